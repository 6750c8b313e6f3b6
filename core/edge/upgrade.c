#include <string.h>

#include "base/base64.h"
#include "crypto/digest.h"
#include "edge/edge_internal.h"
#include "wire/cursor.h"
#include "wire/ws_handshake.h"

/* Sec-WebSocket-Accept (RFC 6455 4.2.2). */
static void make_accept(struct exchange *ex, struct hw_str key)
{
	char text[HW_WS_KEY_CHARS + sizeof(HW_WS_GUID)];
	uint8_t digest[HW_SHA1_LEN];
	struct hw_buf out;

	memcpy(text, key.p, HW_WS_KEY_CHARS);
	memcpy(text + HW_WS_KEY_CHARS, HW_WS_GUID, sizeof(HW_WS_GUID));
	hw_sha1(text, sizeof(text) - 1, digest);
	hw_buf_init(&out);
	hw_base64_encode(&out, digest, sizeof(digest));
	if (out.failed)
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
	else
		memcpy(ex->accept, out.data, EDGE_ACCEPT_CHARS);
	hw_buf_fini(&out);
}

static bool check_handshake(struct exchange *ex, const struct hw_http1_request *request)
{
	struct hw_ws_handshake handshake;
	struct hw_ws_protocols it;
	struct hw_str name;
	int r = hw_ws_handshake_check(request, &handshake, NULL);

	if (r) {
		ex->bad_handshake = true;
		exchange_refuse(ex, r == HW_WS_HANDSHAKE_VERSION ? 426 : 400, HW_CODE_BAD_REQUEST,
			r == HW_WS_HANDSHAKE_VERSION
				? "only version 13 of WebSocket (RFC 6455) is spoken here"
				: "this is a WebSocket endpoint, and the request is no "
				  "WebSocket handshake (RFC 6455 4.2.1)");
		return false;
	}
	make_accept(ex, handshake.key);
	if (exchange_refused(ex)) {
		ex->bad_handshake = true;
		return false;
	}
	hw_ws_protocols_init(&it, request);
	while (hw_ws_protocols_next(&it, &name))
		ex->v1 = ex->v1 || hw_str_eq(name, HW_STR("hookwire.v1"));
	return true;
}

/* A browser says which page opens the socket; no preflight protects a WebSocket. */
static void check_origin(struct exchange *ex)
{
	const struct hw_settings *settings = http_settings(ex);
	struct hw_str origin = exchange_str(ex, ex->origin);

	if (!settings->any_origin && origin.p && !token_origin_listed(settings, origin))
		exchange_refuse(ex, 0, HW_CODE_FORBIDDEN_TOPIC, "this origin is not allowed here");
}

void upgrade_read_head(struct exchange *ex, const struct hw_http1_request *request)
{
	struct hw_cursor cursor;
	bool last;

	if (!check_handshake(ex, request))
		return;
	if (ex->route->login == ROUTE_ECHO) {
		ex->v1 = false;
		return;
	}
	check_origin(ex);
	if (http_edge(ex)->worker->draining)
		exchange_refuse(ex, 0, HW_CODE_DRAINING, NULL);
	token_read_query(ex, request);
	if (!ex->ticket.there)
		token_find(ex, request, true);
	(void)token_query_last(ex, &last);
	if (ex->cursor.there && hw_cursor_parse(exchange_str(ex, ex->cursor), &cursor))
		exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, "the cursor is malformed");
	if (!ex->token.there && !ex->ticket.there && !http_settings(ex)->auth_first_message)
		exchange_refuse(ex, 0, HW_CODE_UNAUTHORIZED, "a token is needed to connect");
	if (ex->ticket.there)
		ticket_redeem(ex);
}
