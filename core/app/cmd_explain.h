/* hookwire explain: why a user got an event of a running broker, or did not. */
#pragma once

/** argv[0] is "hookwire explain". Returns the process's exit code. */
int hw_cmd_explain(int argc, char **argv);
