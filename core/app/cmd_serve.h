/* `hookwire serve -c FILE`: runs the broker in the foreground until SIGTERM.
 * For systemd and for people at a terminal. */
#pragma once

/** @argv[0] is the name of the command. Returns the exit code: 0 after a drain, 1 it could not
 * start, 2 wrong usage. */
int hw_cmd_serve(int argc, char **argv);
