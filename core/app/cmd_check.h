/* `hookwire check -c FILE`: reads a configuration as `serve` would and prints every problem it has.
 * For operators before a reload, for editors and for CI. */
#pragma once

/** @argv[0] is the name of the command. Problems go to standard output, one a line. Returns the
 * exit code: 0 no error (warnings may be), 1 errors, 2 wrong usage. */
int hw_cmd_check(int argc, char **argv);
