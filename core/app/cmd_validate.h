/* hookwire validate: is this JSON an event? Prints what the protocol's validator prints.
 * Reads its arguments, one event each, or standard input (one document, or NDJSON). */
#pragma once

/** argv[0] is the name of the sub-command; the array is reordered. Returns the exit code: 0 if
 * every event is valid, else 1. */
int hw_cmd_validate(int argc, char **argv);
