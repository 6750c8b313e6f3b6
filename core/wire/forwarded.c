#include "wire/forwarded.h"

#include <errno.h>
#include <string.h>

#define HEADER HW_STR("X-Forwarded-For")

void hw_forwarded_init(struct hw_forwarded *it, const struct hw_http1_request *request)
{
	*it = (struct hw_forwarded){.request = request, .n_headers = request->n_headers};
}

/* The line before those that were read. */
static bool next_line(struct hw_forwarded *it)
{
	while (it->n_headers > 0) {
		const struct hw_http1_header *h = &it->request->headers[--it->n_headers];

		if (!hw_str_eq_nocase(h->name, HEADER))
			continue;
		it->rest = h->value;
		if (!it->rest.p)
			it->rest = HW_STR("");
		return true;
	}
	return false;
}

/* Cuts the last entry off the line. */
static struct hw_str cut_last(struct hw_str *rest)
{
	size_t start = rest->len;
	struct hw_str last;

	while (start > 0 && rest->p[start - 1] != ',')
		start--;
	last = (struct hw_str){rest->p + start, rest->len - start};
	if (start == 0)
		*rest = HW_STR_NULL;
	else
		rest->len = start - 1;
	return hw_str_trim(last);
}

static bool is_port(struct hw_str s)
{
	uint64_t port;

	return s.len <= 5 && !hw_str_to_u64(s, &port) && port <= UINT16_MAX;
}

static int parse(struct hw_str entry, struct hw_address *out)
{
	const char *colon = memrchr(entry.p, ':', entry.len);
	struct hw_str host, port;

	if (hw_str_eq(entry, HW_STR("unix:")))
		entry = HW_STR("unix");
	if (!hw_address_parse(entry, out))
		return 0;
	if (!colon)
		return -EINVAL;
	host = (struct hw_str){entry.p, (size_t)(colon - entry.p)};
	port = (struct hw_str){colon + 1, entry.len - host.len - 1};
	/* an IPv6 address has colons of its own: with a port it wants brackets */
	if (!is_port(port) || (memchr(host.p, ':', host.len) && host.p[0] != '['))
		return -EINVAL;
	return hw_address_parse(host, out);
}

int hw_forwarded_next(struct hw_forwarded *it, struct hw_address *out)
{
	for (;;) {
		struct hw_str entry;

		if (!it->rest.p && !next_line(it))
			return 1;
		entry = cut_last(&it->rest);
		if (entry.len > 0)
			return parse(entry, out);
	}
}
