/* `hookwire sub`: subscribes to topics over WebSocket and prints each event as a line of JSON. It
 * reconnects by itself and goes on from the last event it saw. */
#pragma once

/** @argv[0] is the name of the command. Returns the exit code: 0 interrupted or --count reached, 1
 * refused or failed, 2 wrong usage. */
int hw_cmd_sub(int argc, char **argv);
