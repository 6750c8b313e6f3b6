/* `hookwire pub`: publishes one event, or events from standard input, with POST /publish, and
 * prints their ids. */
#pragma once

/** @argv[0] is the name of the command. Returns the exit code: 0 all published, 1 something was
 * refused or failed, 2 wrong usage. */
int hw_cmd_pub(int argc, char **argv);
