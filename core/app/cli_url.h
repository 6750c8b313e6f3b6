/* What the commands that talk to a broker have in common: reading its address, and how long to
 * wait before the next attempt. Pure functions; any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define HW_CLI_HOST_MAX 255
#define HW_CLI_TARGET_MAX 2047

/* All zero-terminated. */
struct hw_cli_url {
	char host[HW_CLI_HOST_MAX + 1];          /* a name or number, IPv6 without its brackets */
	char port[6];                            /* 1 to 65535; 80 or 443 when it was not given */
	char authority[HW_CLI_HOST_MAX + 1 + 8]; /* for the Host header, and safe to print */
	char target[HW_CLI_TARGET_MAX + 1]; /* path and query: may hold a token, never print it */
	bool tls;                           /* wss or https */
};

/** Reads "SCHEME://HOST[:PORT][/PATH][?QUERY]" (RFC 3986); @scheme is "ws" or "http", and the same
 * with an "s" sets tls. Without a path, or with "/" alone, the target is @path. User names and
 * fragments are refused. 0, or -EINVAL with @out untouched and a reason in @err that shows nothing
 * of the path or the query. */
HW_MUST_CHECK int hw_cli_url_parse(struct hw_str text, const char *scheme, const char *path,
	struct hw_cli_url *out, struct hw_err *err);

#define HW_CLI_BACKOFF_FIRST_MS 250
#define HW_CLI_BACKOFF_MAX_MS 30000

/** How long to wait before attempt @n (0: the first after a failure): doubles from the first to the
 * maximum above, and of that between a half and all, as @random says. */
uint32_t hw_cli_backoff_ms(unsigned n, uint32_t random);

/** Whether a WebSocket close code says that the same attempt would fail again. */
bool hw_cli_close_is_final(uint16_t code);
/** The same of an HTTP status: 4xx, but not 408 and 429. */
bool hw_cli_status_is_final(unsigned status);
