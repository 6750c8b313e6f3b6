/* `hookwire token`: mints a JSON Web Token that the jwt plugin accepts, for development and for
 * back ends. The secret comes from the environment or a file, never from the command line, where
 * other users could see it. */
#pragma once

/** @argv[0] is the name of the command. Prints the token and a newline to standard output. Returns
 * the exit code: 0 printed, 1 it cannot be made, 2 wrong usage. */
int hw_cmd_token(int argc, char **argv);
