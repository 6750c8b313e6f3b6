#include "app/cli_url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool all_of(struct hw_str s, const char *besides)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || !strchr(besides, s.p[i])))
			return false;
	}
	return s.len > 0;
}

static int read_scheme(struct hw_str *text, const char *scheme, bool *tls, struct hw_err *err)
{
	size_t n = strlen(scheme);

	if (text->len > n && hw_str_eq_nocase((struct hw_str){text->p, n}, hw_str_of(scheme))) {
		*tls = text->p[n] == 's' || text->p[n] == 'S';
		n += *tls;
		if (hw_str_starts((struct hw_str){text->p + n, text->len - n}, HW_STR("://"))) {
			text->p += n + 3;
			text->len -= n + 3;
			return 0;
		}
	}
	return hw_err_set(err, -EINVAL, "an address begins with %s://", scheme);
}

static int read_host(struct hw_str authority, struct hw_str *host, struct hw_str *port, bool *ipv6,
	struct hw_err *err)
{
	*ipv6 = authority.len > 0 && authority.p[0] == '[';
	if (*ipv6) {
		struct hw_str inside = {authority.p + 1, authority.len - 1};

		*host = hw_str_cut(&inside, ']');
		if (!inside.p || (inside.len > 0 && inside.p[0] != ':'))
			return hw_err_set(
				err, -EINVAL, "an IPv6 host is written [::1] or [::1]:8080");
		*port = inside.len > 0 ? (struct hw_str){inside.p + 1, inside.len - 1}
				       : HW_STR_NULL;
		if (!all_of(*host, ":."))
			return hw_err_set(err, -EINVAL, "the host in brackets is no IPv6 address");
	} else {
		*port = authority;
		*host = hw_str_cut(port, ':');
		if (!all_of(*host, "-._"))
			return hw_err_set(err, -EINVAL, "the address has no valid host");
	}
	if (host->len > HW_CLI_HOST_MAX - 2)
		return hw_err_set(err, -EINVAL, "the host is longer than any host is");
	return 0;
}

static int read_target(struct hw_str text, const char *path, char *out, struct hw_err *err)
{
	bool bare = text.len == 0 || text.p[0] == '?'; /* a query, but no path */
	const char *before = "";

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '#')
			return hw_err_set(err, -EINVAL, "an address of a broker has no #fragment");
		if (text.p[i] <= ' ' || text.p[i] > '~')
			return hw_err_set(err, -EINVAL,
				"the path has characters that must be percent-encoded");
	}
	if (bare || hw_str_eq(text, HW_STR("/"))) {
		before = path;
		text = bare ? text : HW_STR("");
	}
	if (strlen(before) + text.len > HW_CLI_TARGET_MAX)
		return hw_err_set(
			err, -EINVAL, "the path is longer than %d bytes", HW_CLI_TARGET_MAX);
	snprintf(out, HW_CLI_TARGET_MAX + 1, "%s%.*s", before, HW_STR_ARG(text));
	return 0;
}

int hw_cli_url_parse(struct hw_str text, const char *scheme, const char *path,
	struct hw_cli_url *out, struct hw_err *err)
{
	struct hw_cli_url url = {0};
	struct hw_str authority, host, port;
	uint64_t number;
	size_t n = 0;
	bool ipv6;
	int rc = read_scheme(&text, scheme, &url.tls, err);

	if (rc < 0)
		return rc;
	while (n < text.len && text.p[n] != '/' && text.p[n] != '?' && text.p[n] != '#')
		n++;
	authority = (struct hw_str){text.p, n};
	if (n > 0 && memchr(authority.p, '@', n))
		return hw_err_set(
			err, -EINVAL, "user names and passwords do not belong into an address");
	rc = read_host(authority, &host, &port, &ipv6, err);
	if (rc == 0)
		rc = read_target((struct hw_str){text.p + n, text.len - n}, path, url.target, err);
	if (rc < 0)
		return rc;
	number = url.tls ? 443 : 80;
	if (port.p && (hw_str_to_u64(port, &number) < 0 || number < 1 || number > 65535))
		return hw_err_set(err, -EINVAL, "a port is a number from 1 to 65535");
	snprintf(url.host, sizeof(url.host), "%.*s", HW_STR_ARG(host));
	snprintf(url.port, sizeof(url.port), "%u", (unsigned)number);
	snprintf(url.authority, sizeof(url.authority), "%s%.*s%s%s%s", ipv6 ? "[" : "",
		HW_STR_ARG(host), ipv6 ? "]" : "", port.p ? ":" : "", port.p ? url.port : "");
	*out = url;
	return 0;
}

uint32_t hw_cli_backoff_ms(unsigned n, uint32_t random)
{
	uint32_t ms = HW_CLI_BACKOFF_FIRST_MS;

	while (n-- > 0 && ms < HW_CLI_BACKOFF_MAX_MS)
		ms *= 2;
	if (ms > HW_CLI_BACKOFF_MAX_MS)
		ms = HW_CLI_BACKOFF_MAX_MS;
	return ms - random % (ms / 2 + 1);
}

bool hw_cli_close_is_final(uint16_t code)
{
	switch (code) {
	case 1002: /* one of the two does not speak the protocol: that does not pass */
	case 1003:
	case 1007:
	case 1008: /* an operator wants it so */
	case 4400:
	case 4401:
	case 4403:
	case 4413:
		return true;
	default:
		return false;
	}
}

bool hw_cli_status_is_final(unsigned status)
{
	return status >= 400 && status < 500 && status != 408 && status != 429;
}
