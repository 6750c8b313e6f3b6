#include "wire/ws_handshake.h"

#include <errno.h>
#include <string.h>

#include "wire/http1_internal.h"
#include "wire/ws_handshake_internal.h"

/* Base64 of 16 bytes without decoding it: 22 digits of which the last has only its two high bits,
 * and "==". */
bool hw_ws_key_valid(struct hw_str key)
{
	if (key.len != HW_WS_KEY_CHARS || key.p[22] != '=' || key.p[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++) {
		char c = key.p[i];

		if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
			c != '+' && c != '/')
			return false;
	}
	return memchr("AQgw", key.p[21], 4) != NULL;
}

static int bad(struct hw_err *err, const char *why)
{
	return hw_err_set(err, HW_WS_HANDSHAKE_BAD, "%s", why);
}

void hw_ws_protocols_init(struct hw_ws_protocols *it, const struct hw_http1_request *request)
{
	*it = (struct hw_ws_protocols){.request = request};
}

bool hw_ws_protocols_next(struct hw_ws_protocols *it, struct hw_str *name)
{
	for (;;) {
		if (hw_http1_list_next(&it->rest, name))
			return true;
		if (it->header == it->request->n_headers)
			return false;
		if (hw_str_eq_nocase(it->request->headers[it->header].name,
			    HW_STR("Sec-WebSocket-Protocol")))
			it->rest = it->request->headers[it->header].value;
		it->header++;
	}
}

static int check_protocols(
	const struct hw_http1_request *request, size_t *n_protocols, struct hw_err *err)
{
	struct hw_str seen[HW_WS_MAX_PROTOCOLS], name;
	struct hw_ws_protocols it;
	size_t n = 0, n_lines;

	hw_ws_protocols_init(&it, request);
	while (hw_ws_protocols_next(&it, &name)) {
		if (!hw_http1_is_token(name))
			return bad(err, "Sec-WebSocket-Protocol is not a list of tokens");
		if (n == HW_WS_MAX_PROTOCOLS)
			return bad(err, "Sec-WebSocket-Protocol offers too many sub-protocols");
		for (size_t i = 0; i < n; i++) {
			if (hw_str_eq(seen[i], name))
				return bad(
					err, "Sec-WebSocket-Protocol offers a sub-protocol twice");
		}
		seen[n++] = name;
	}
	hw_http1_header(request, "Sec-WebSocket-Protocol", &n_lines);
	if (n_lines > 0 && n == 0)
		return bad(err, "Sec-WebSocket-Protocol is empty");
	*n_protocols = n;
	return 0;
}

static int check_upgrade(const struct hw_http1_request *request, struct hw_err *err)
{
	if (!hw_str_eq(request->method, HW_STR("GET")))
		return bad(err, "a WebSocket is opened with GET");
	if (request->minor != 1)
		return bad(err, "a WebSocket is opened with HTTP/1.1");
	if (!hw_http1_list_has(request, "Upgrade", HW_STR("websocket")))
		return bad(err,
			"this is a WebSocket endpoint: the request has no \"Upgrade: websocket\"");
	if (!request->has_upgrade)
		return bad(
			err, "the request has no \"Connection: Upgrade\"; does a proxy drop it?");
	if (hw_http1_has_body(request))
		return bad(err, "an upgrade request may have no body");
	return 0;
}

int hw_ws_handshake_check(
	const struct hw_http1_request *request, struct hw_ws_handshake *out, struct hw_err *err)
{
	struct hw_ws_handshake found = {0};
	struct hw_str version;
	size_t n;
	int rc = check_upgrade(request, err);

	if (rc)
		return rc;
	version = hw_http1_header(request, "Sec-WebSocket-Version", &n);
	if (n != 1)
		return bad(err, n ? "more than one Sec-WebSocket-Version"
				  : "the request has no Sec-WebSocket-Version");
	if (!hw_str_eq(version, HW_STR("13")))
		return hw_err_set(err, HW_WS_HANDSHAKE_VERSION,
			"only version 13 of WebSocket (RFC 6455) is spoken here");
	found.key = hw_http1_header(request, "Sec-WebSocket-Key", &n);
	if (n != 1)
		return bad(err, n ? "more than one Sec-WebSocket-Key"
				  : "the request has no Sec-WebSocket-Key");
	if (!hw_ws_key_valid(found.key))
		return bad(err, "Sec-WebSocket-Key is not 16 bytes in base64");
	rc = check_protocols(request, &found.n_protocols, err);
	if (rc)
		return rc;
	found.extensions = hw_http1_header(request, "Sec-WebSocket-Extensions", NULL);
	*out = found;
	return 0;
}

bool hw_ws_accept_valid(struct hw_str accept)
{
	return accept.len == HW_WS_ACCEPT_CHARS &&
	       hw_http1_find_control(accept.p, accept.len) == accept.len;
}

int hw_ws_handshake_accept(struct hw_buf *out, struct hw_str accept, struct hw_str protocol)
{
	size_t before = out->len;

	if (!hw_ws_accept_valid(accept) || (protocol.p && !hw_http1_is_token(protocol)))
		return -EINVAL;
	hw_buf_puts(out, "HTTP/1.1 101 Switching Protocols\r\n"
			 "Upgrade: websocket\r\n"
			 "Connection: Upgrade\r\n");
	hw_http1_header_add(out, HW_STR("Sec-WebSocket-Accept"), accept);
	if (protocol.p)
		hw_http1_header_add(out, HW_STR("Sec-WebSocket-Protocol"), protocol);
	hw_buf_puts(out, "\r\n");
	if (out->failed) {
		out->len = before;
		return -ENOMEM;
	}
	return 0;
}
