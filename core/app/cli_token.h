/* The token of the commands that talk to a broker, and what they say to a person. A token is never
 * printed, and neither is what came from a broker without making it safe for a terminal. */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

#define HW_CLI_TOKEN_ENV "HOOKWIRE_TOKEN"
#define HW_CLI_TOKEN_MAX 8192 /* bytes */

/** Finds the token: @token (of the command line), else the file @file ("-" is not special), else
 * the environment. Either may be NULL. White space around it does not count. Appends it to @out,
 * which the caller clears with hw_cli_token_forget. 0; -EINVAL: both are given, or it is no token;
 * -ENOENT: there is none; other negative errno of the file. The reason is in @err and never shows
 * the token. */
HW_MUST_CHECK int hw_cli_token_read(
	const char *token, const char *file, struct hw_buf *out, struct hw_err *err);
/** Overwrites an argument of the command line, so that other users do not go on seeing it in the
 * list of processes. NULL is fine. */
void hw_cli_token_hide(char *argument);
void hw_cli_token_forget(struct hw_buf *token); /* overwrites and frees */

/** Prints "hookwire COMMAND: …" and a newline on standard error; control characters, which may come
 * from the broker, are shown as \u escapes. Returns @exit_code. */
int hw_cli_say(const char *command, int exit_code, const char *format, ...) HW_PRINTF(3, 4);
/** The end of a command that has printed its answer: @code, unless standard output did not take all
 * of it. Then that is said, and the exit code is @failed. */
HW_MUST_CHECK int hw_cli_end(const char *command, int code, int failed);
