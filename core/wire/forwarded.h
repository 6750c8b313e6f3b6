/* X-Forwarded-For: the addresses that a request came by. Each proxy adds, at the right, who it had
 * it from; several header lines are one list, in their order. Read from the right, since only what
 * a trusted proxy added is worth anything, and all to the left of it is the client's to invent. */
#pragma once

#include "base/address.h"
#include "wire/http1.h"

struct hw_forwarded {
	const struct hw_http1_request *request;
	size_t n_headers;   /* those before it are still to be read */
	struct hw_str rest; /* of the present line; p NULL: the next one */
};

void hw_forwarded_init(struct hw_forwarded *it, const struct hw_http1_request *request);
/** The next entry to the left: an address, IPv6 with or without brackets, a port behind it or not
 * (then IPv6 in brackets), or "unix:" as nginx writes it. Empty entries are passed over
 * (RFC 9110 5.6.1.2). 0; 1: there is none left; -EINVAL: it is no address, and what is to the left
 * of it is not to be read. */
HW_MUST_CHECK int hw_forwarded_next(struct hw_forwarded *it, struct hw_address *out);
