/* Writes HTTP/1.1 responses (RFC 9112) into a buffer: status line, headers, framing, body.
 * Connection lists what belongs there: close, keep-alive for HTTP/1.0, upgrade beside an Upgrade
 * header. What would break the framing (a line break in a value, a second length) is refused, never
 * sent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "wire/http1.h"

enum hw_http1_framing {
	HW_HTTP1_LENGTH,      /* Content-Length: the length of body */
	HW_HTTP1_UNTIL_CLOSE, /* a stream that ends with the connection: says Connection: close */
};

struct hw_http1_response {
	unsigned status; /* 200 to 599; 204 and 304 carry neither body nor Content-Length */
	enum hw_http1_framing framing;
	uint8_t minor;   /* of the request: 1.0 must be told of keep-alive */
	bool keep_alive; /* after this response; with false the caller closes */
	bool head_only;  /* answers HEAD: the headers of body, but not body */
	const struct hw_http1_header *headers; /* but for those of framing and Connection */
	size_t n_headers;
	struct hw_str body;
};

/** Appends the response. 0; -EINVAL for a status out of range, a header name that is no token or is
 * one of the three that the writer makes, a value with a control byte, a body where none may be;
 * -ENOMEM. On failure @out is as long as before. */
HW_MUST_CHECK int hw_http1_response_write(
	struct hw_buf *out, const struct hw_http1_response *response);

/** The reason phrase of RFC 9110 for @status; "Unknown" for others. */
const char *hw_http1_status_text(unsigned status);
