/* `hookwire check --live`: what the running broker would do with its configuration as it is now on
 * disk, and what that would take away from whom. */
#pragma once

/** @argv behind "check". Returns the exit code. */
int hw_check_live(int argc, char **argv);
