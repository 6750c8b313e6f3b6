#include <string.h>

#include "wire/http1_internal.h"

static bool ipv6_literal(struct hw_str s) /* what is between the brackets */
{
	size_t n_colons = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (c == ':')
			n_colons++;
		else if (c != '.' && hw_http1_hex(c) < 0)
			return false;
	}
	return n_colons >= 2 && s.len <= 45;
}

static bool port_valid(struct hw_str s)
{
	uint64_t port;

	return s.len <= 5 && hw_str_to_u64(s, &port) == 0 && port <= 65535;
}

/* Narrower than the reg-name of RFC 3986: commas, percent signs and the like are in no real host
 * name, and two readers may well see two different hosts in them. */
bool hw_http1_host_valid(struct hw_str host)
{
	size_t i = 0;

	if (host.len > 0 && host.p[0] == '[') {
		const char *end = memchr(host.p, ']', host.len);

		if (!end || !ipv6_literal((struct hw_str){host.p + 1, (size_t)(end - host.p) - 1}))
			return false;
		i = (size_t)(end - host.p) + 1;
	} else {
		while (i < host.len && hw_http1_is(host.p[i], HW_HTTP1_C_HOST))
			i++;
		if (i == 0)
			return false;
	}
	if (i == host.len)
		return true;
	return host.p[i] == ':' && port_valid((struct hw_str){host.p + i + 1, host.len - i - 1});
}

static size_t scheme_len(struct hw_str target)
{
	static const struct hw_str schemes[] = {{"http://", 7}, {"https://", 8}};

	for (size_t i = 0; i < HW_COUNT(schemes); i++) {
		if (target.len >= schemes[i].len &&
			hw_str_eq_nocase((struct hw_str){target.p, schemes[i].len}, schemes[i]))
			return schemes[i].len;
	}
	return 0;
}

static void split_query(struct hw_http1_request *request, struct hw_str rest)
{
	const char *mark = rest.len ? memchr(rest.p, '?', rest.len) : NULL;

	request->path = rest;
	request->query = HW_STR_NULL;
	if (mark) {
		request->path.len = (size_t)(mark - rest.p);
		request->query = (struct hw_str){mark + 1, rest.len - request->path.len - 1};
	}
	if (request->path.len == 0)
		request->path = HW_STR("/"); /* RFC 9110 4.2.3: an empty path is "/" */
}

const char *hw_http1_target_parse(struct hw_http1_request *request, struct hw_str *authority)
{
	struct hw_str target = request->target;
	size_t i, start;

	for (i = 0; i < target.len; i++) {
		if (!hw_http1_is(target.p[i], HW_HTTP1_C_TARGET))
			return target.p[i] == '#'
				       ? "the request target has a fragment ('#')"
				       : "the request target has a character that must be escaped";
	}
	*authority = HW_STR_NULL;
	if (hw_str_eq(request->method, HW_STR("CONNECT")))
		return "CONNECT: this is not a proxy";
	if (hw_str_eq(target, HW_STR("*"))) {
		if (!hw_str_eq(request->method, HW_STR("OPTIONS")))
			return "the request target \"*\" is only for OPTIONS";
		split_query(request, target);
		return NULL;
	}
	if (target.len > 0 && target.p[0] == '/') {
		split_query(request, target);
		return NULL;
	}
	start = scheme_len(target);
	if (start == 0)
		return "the request target starts neither with '/' nor with \"http://\"";
	i = start;
	while (i < target.len && target.p[i] != '/' && target.p[i] != '?')
		i++;
	*authority = (struct hw_str){target.p + start, i - start};
	if (!hw_http1_host_valid(*authority))
		return "the request target names no valid host";
	split_query(request, (struct hw_str){target.p + i, target.len - i});
	return NULL;
}
