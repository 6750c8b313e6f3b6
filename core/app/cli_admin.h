/* What the commands that ask a running broker on its admin listener have in common: the address,
 * the token, one request. */
#pragma once

#include <stdbool.h>

#include "app/cli_url.h"
#include "base/buf.h"

#define HW_CLI_ADMIN_URL "http://127.0.0.1:8081"
#define HW_CLI_ADMIN_TOKEN_ENV "HOOKWIRE_ADMIN_TOKEN"

struct hw_cli_admin {
	const char *command; /* "check": who speaks to the person */
	const char *url, *token_file;
	char *token_argument;
	/* its own */
	struct hw_cli_url at;
	struct hw_buf token, answer;
	long status; /* HTTP's */
};

/* Their options, for getopt_long: of @options and of its short ones. */
enum { HW_CLI_ADMIN_TOKEN_FILE = 200 };
#define HW_CLI_ADMIN_SHORT "u:t:"
#define HW_CLI_ADMIN_OPTIONS \
	{"url", required_argument, NULL, 'u'}, {"token", required_argument, NULL, 't'}, \
	{ \
		"token-file", required_argument, NULL, HW_CLI_ADMIN_TOKEN_FILE \
	}

void hw_cli_admin_init(struct hw_cli_admin *admin, const char *command);
void hw_cli_admin_fini(struct hw_cli_admin *admin);
/** Takes one of HW_CLI_ADMIN_OPTIONS; false: it is none of them. @value is kept. */
bool hw_cli_admin_option(struct hw_cli_admin *admin, int id, char *value);
/** Reads what the options gave: @path is asked for where the URL has none of its own. The argument
 * with the token is overwritten. 0, or the exit code: why was said. */
HW_MUST_CHECK int hw_cli_admin_ready(struct hw_cli_admin *admin, const char *path);
/** One request: POST of @body, or GET where it is NULL. Status and answer are then there. 0, or the
 * exit code: why was said. */
HW_MUST_CHECK int hw_cli_admin_ask(struct hw_cli_admin *admin, const char *body);
/** A command that is one such request: @read is what reading the options gave, -1 for @usage. Asks
 * as above, has @show print the answer, and frees @admin. The exit code. */
HW_MUST_CHECK int hw_cli_admin_run(struct hw_cli_admin *admin, int read, const char *usage,
	const char *body, int (*show)(void *arg), void *arg);
/** Ends a command whose answer is no such answer: says what the broker said. Returns 1. */
int hw_cli_admin_refused(const struct hw_cli_admin *admin, const char *message);
