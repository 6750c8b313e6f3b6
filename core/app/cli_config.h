/* The command line of the commands that read a configuration: -c FILE and nothing else. */
#pragma once

/** @argv[0] is what messages begin with ("hookwire serve"). -1: go on with @path; else the command
 * is over with this exit code: 0 @usage was asked for and printed, 2 wrong usage. */
int hw_cli_config(int argc, char **argv, const char *usage, const char **path);
