/* The opening handshake of WebSocket (RFC 6455, 4), both sides, without sockets and without SHA-1:
 * Sec-WebSocket-Accept is computed by whoever has digests, from the key and HW_WS_GUID. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "wire/http1.h"

/* Sec-WebSocket-Accept = base64(SHA-1(key followed by this)), 28 characters (4.2.2) */
#define HW_WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define HW_WS_KEY_CHARS 24
#define HW_WS_ACCEPT_CHARS 28
#define HW_WS_MAX_PROTOCOLS 32 /* sub-protocols that one request may offer */

struct hw_ws_handshake {
	struct hw_str key;        /* 24 characters, checked */
	struct hw_str extensions; /* the first Sec-WebSocket-Extensions, raw; p is NULL: none */
	size_t n_protocols;       /* sub-protocols offered; read them with hw_ws_protocols_next */
};

enum hw_ws_handshake_outcome {
	HW_WS_HANDSHAKE_BAD = 1, /* answer 400 */
	HW_WS_HANDSHAKE_VERSION, /* answer 426 with "Sec-WebSocket-Version: 13" (4.4) */
	HW_WS_HANDSHAKE_STATUS,  /* client: the server answered with a status other than 101 */
};

/** Checks an upgrade request (4.2.1). 0 with @out filled (views of the request), or
 * HW_WS_HANDSHAKE_BAD or _VERSION with the reason in @err (may be NULL). A 426 is only for another
 * version; a request that asks for no WebSocket at all is BAD. */
HW_MUST_CHECK int hw_ws_handshake_check(
	const struct hw_http1_request *request, struct hw_ws_handshake *out, struct hw_err *err);

/* Walks the sub-protocols that a request offers, in order, over all lines of the header. */
struct hw_ws_protocols {
	const struct hw_http1_request *request;
	size_t header; /* the next header line to look at */
	struct hw_str rest;
};

void hw_ws_protocols_init(struct hw_ws_protocols *it, const struct hw_http1_request *request);
/** false at the end. After hw_ws_handshake_check has passed, names are unique tokens. */
bool hw_ws_protocols_next(struct hw_ws_protocols *it, struct hw_str *name);

/** Appends the 101 response. @accept is the value of Sec-WebSocket-Accept; @protocol the chosen
 * sub-protocol, or HW_STR_NULL. 0, -EINVAL (one of them is malformed; nothing is appended), or
 * -ENOMEM. */
HW_MUST_CHECK int hw_ws_handshake_accept(
	struct hw_buf *out, struct hw_str accept, struct hw_str protocol);

/* What a client asks for. */
struct hw_ws_client {
	struct hw_str host;                    /* "example.com:8080" */
	struct hw_str target;                  /* "/ws?topics=a:1" */
	struct hw_str key;                     /* base64 of 16 random bytes */
	struct hw_str protocols;               /* "hookwire.v1, token.abc", or HW_STR_NULL */
	const struct hw_http1_header *headers; /* others: Authorization, Origin */
	size_t n_headers;
};

struct hw_ws_answer {
	struct hw_str protocol; /* the one chosen; p is NULL when none */
	unsigned status;
};

/** Appends the upgrade request. 0, -EINVAL with the reason in @err (nothing is appended), or
 * -ENOMEM. */
HW_MUST_CHECK int hw_ws_handshake_request(
	struct hw_buf *out, const struct hw_ws_client *client, struct hw_err *err);

/** Checks the response head @head, from the status line to its empty line inclusive, against
 * @accept and the sub-protocols offered (4.1). 0; HW_WS_HANDSHAKE_STATUS (out->status is set);
 * HW_WS_HANDSHAKE_BAD; the reason is in @err (may be NULL). */
HW_MUST_CHECK int hw_ws_handshake_check_response(struct hw_str head,
	const struct hw_ws_client *client, struct hw_str accept, struct hw_ws_answer *out,
	struct hw_err *err);
