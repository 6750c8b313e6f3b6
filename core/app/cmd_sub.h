/* `hookwire sub`: subscribes from a shell and prints every event as one line of JSON.
 * For a first look, for scripts, and for finding out what a user gets. */
#pragma once

/** @argv[0] is the name of the command. Returns the exit code: 0 ended as asked, 1 refused or disconnected, 2 wrong usage. */
int hw_cmd_sub(int argc, char **argv);
