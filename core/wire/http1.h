/* A strict, incremental HTTP/1.1 request reader (RFC 9112): bytes in any split go in, heads and
 * pieces of bodies come out as views. It reads a message in one way or refuses it, and holds no
 * memory while idle. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define HW_HTTP1_HEAD_BYTES 16384     /* the usual max_head_bytes */
#define HW_HTTP1_MAX_HEADERS 64       /* what a request can hold; max_headers is at most this */
#define HW_HTTP1_EXTENSION_BYTES 4096 /* chunk extensions of one body, together */

#define HW_HTTP1_CONTINUE "HTTP/1.1 100 Continue\r\n\r\n" /* the answer to expect_continue */

/* Shared by all readers of a worker, borrowed by them; may be changed between two reads. */
struct hw_http1_limits {
	size_t max_head_bytes;   /* request line to empty line; also all trailers: 431 */
	size_t max_headers;      /* lines, also of trailers: 431 */
	uint64_t max_body_bytes; /* without framing: 413 */
};

struct hw_http1_header {
	struct hw_str name;  /* a token, as it was written */
	struct hw_str value; /* without the white space around it; no control bytes but HTAB */
};

/* One request head. All strings are views, see hw_http1_read for how long they live. */
struct hw_http1_request {
	struct hw_str method; /* a token, not necessarily one we know; never CONNECT */
	struct hw_str target; /* as it was written: visible ASCII without '#' */
	struct hw_str path;   /* starts with '/', or is "*" for OPTIONS; escapes are not decoded */
	struct hw_str query; /* behind the first '?', not decoded; p is NULL when there is no '?' */
	struct hw_str host;  /* the Host header, checked; p is NULL only in HTTP/1.0 without one */
	uint64_t content_length; /* 0 when absent or chunked */
	uint8_t minor;           /* HTTP/1.minor: 0 or 1 */
	bool has_content_length;
	bool chunked;
	bool keep_alive;      /* what the client wants: the default of its version and Connection */
	bool expect_continue; /* waits for HW_HTTP1_CONTINUE before it sends the body */
	bool has_upgrade;     /* HTTP/1.1 with Upgrade, and Connection lists "upgrade" */
	size_t n_headers;
	struct hw_http1_header headers[HW_HTTP1_MAX_HEADERS];
};

enum hw_http1_outcome {
	HW_HTTP1_MORE = 1, /* all bytes are used; come again with more */
	HW_HTTP1_HEAD,     /* r->request is filled */
	HW_HTTP1_BODY,     /* r->piece is the next piece of the body, never empty */
	HW_HTTP1_END,      /* the request is complete; what follows is the next one */
	HW_HTTP1_ERROR,    /* r->status and r->reason; answer and close */
};

/* For deadlines: what the reader is waiting for. */
enum hw_http1_phase {
	HW_HTTP1_IDLE,    /* between requests, nothing of the next one has come */
	HW_HTTP1_IN_HEAD, /* a part of a head has come and is kept */
	HW_HTTP1_IN_BODY, /* from HEAD until END */
	HW_HTTP1_DONE,    /* after ERROR, or END without keep-alive: further bytes are dropped */
};

/* One per connection, embedded; about 100 bytes. The fields up to the line are the results. */
struct hw_http1 {
	struct hw_http1_request *request; /* the storage given to init */
	struct hw_str piece;              /* with BODY */
	const char *reason; /* with ERROR: for the client; a constant, without a dot */
	uint16_t status;    /* with ERROR: 400, 413, 417, 431, 501 or 505 */
	bool request_known; /* ERROR in place of HEAD, but r->request is filled (for CORS) */
	/* ---- private */
	uint8_t state;
	bool skipped_empty_line;
	bool keep_alive;
	uint16_t n_lines;    /* trailer lines */
	uint32_t line_bytes; /* of chunk extensions, later of trailers */
	uint64_t left;       /* of the body or of the chunk */
	uint64_t body_bytes; /* chunked: announced so far */
	const struct hw_http1_limits *limits;
	struct hw_buf head; /* a head that came in parts */
};

/** @limits and @request are borrowed until fini. @request is scratch that all readers of one thread
 * may share: 2 KiB that an idle connection need not have. */
void hw_http1_init(
	struct hw_http1 *r, const struct hw_http1_limits *limits, struct hw_http1_request *request);
void hw_http1_fini(struct hw_http1 *r);

/** Reads on in @p, writes to *@used how much it took, and returns an enum hw_http1_outcome, or
 * -ENOMEM when a partial head could not be kept (then close). Call it with what is left until it
 * says MORE (which uses everything) or ERROR; @len may be 0. A request is HEAD, BODY any number of
 * times, END.
 *
 * Views in r->request, and its header list, live until the first call after END, but only as long
 * as the caller leaves @p of the call that returned HEAD as it is, and reads no other connection
 * that shares the request storage. So they hold for a request that came in one read; copy at HEAD
 * what must outlast waiting for a body. r->piece lives as long as @p. The call after END, if it
 * says MORE with nothing left over, has freed the kept head.
 *
 * After an upgrade was accepted at HEAD the bytes behind *@used belong to the new protocol: call
 * fini.
 *
 * Stricter than RFC 9112 has to be, because readers in front of us may disagree: at most one empty
 * line before a request (2.2); a request has one Content-Length at most, without leading zeros;
 * Transfer-Encoding is "chunked" alone; only HTTP/1.0 and 1.1 (3.1); absolute-form names the same
 * authority as Host (3.2.2); Host has a host, of letters, digits, "-._~" or an IPv6 literal, and a
 * port of digits; no white space in a chunk's size line (7.1.1). Trailers are checked like headers,
 * and dropped (7.1.2). */
HW_MUST_CHECK int hw_http1_read(struct hw_http1 *r, const char *p, size_t len, size_t *used);

enum hw_http1_phase hw_http1_phase(const struct hw_http1 *r);

/** The value of the first header @name (zero-terminated, any case); HW_STR_NULL when there is none.
 * *@n_found (may be NULL) is how many there are. */
struct hw_str hw_http1_header(
	const struct hw_http1_request *request, const char *name, size_t *n_found);

static inline bool hw_http1_has_body(const struct hw_http1_request *request)
{
	return request->chunked || request->content_length > 0;
}
