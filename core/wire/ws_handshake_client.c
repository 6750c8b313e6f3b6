#include <errno.h>
#include <string.h>

#include "wire/http1_internal.h"
#include "wire/http1_response.h"
#include "wire/ws_handshake_internal.h"

static int refuse(struct hw_err *err, const char *why)
{
	return hw_err_set(err, -EINVAL, "%s", why);
}

static bool target_valid(struct hw_str target)
{
	if (target.len == 0 || target.p[0] != '/')
		return false;
	for (size_t i = 0; i < target.len; i++) {
		if (!hw_http1_is(target.p[i], HW_HTTP1_C_TARGET))
			return false;
	}
	return true;
}

static int check_client(const struct hw_ws_client *client, struct hw_err *err)
{
	struct hw_str rest = client->protocols, name;

	if (!hw_http1_host_valid(client->host))
		return refuse(err, "the address names no valid host");
	if (!target_valid(client->target))
		return refuse(err, "the path of the address has characters that must be escaped");
	if (!hw_ws_key_valid(client->key))
		return refuse(err, "the key is not 16 bytes in base64");
	while (hw_http1_list_next(&rest, &name)) {
		if (!hw_http1_is_token(name))
			return refuse(err, "a sub-protocol is not a token");
	}
	for (size_t i = 0; i < client->n_headers; i++) {
		if (!hw_http1_header_sendable(&client->headers[i]))
			return refuse(err, "a header cannot be sent: its name is no token or its "
					   "value has control characters");
	}
	return 0;
}

int hw_ws_handshake_request(
	struct hw_buf *out, const struct hw_ws_client *client, struct hw_err *err)
{
	size_t before = out->len;
	int rc = check_client(client, err);

	if (rc)
		return rc;
	hw_buf_puts(out, "GET ");
	hw_buf_str(out, client->target);
	hw_buf_puts(out, " HTTP/1.1\r\n");
	hw_http1_header_add(out, HW_STR("Host"), client->host);
	hw_buf_puts(out, "Upgrade: websocket\r\n"
			 "Connection: Upgrade\r\n"
			 "Sec-WebSocket-Version: 13\r\n");
	hw_http1_header_add(out, HW_STR("Sec-WebSocket-Key"), client->key);
	if (client->protocols.len > 0)
		hw_http1_header_add(out, HW_STR("Sec-WebSocket-Protocol"), client->protocols);
	for (size_t i = 0; i < client->n_headers; i++)
		hw_http1_header_add(out, client->headers[i].name, client->headers[i].value);
	hw_buf_puts(out, "\r\n");
	if (out->failed) {
		out->len = before;
		return hw_err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

/* What a response says about the upgrade. */
struct answer {
	struct hw_str accept, protocol;
	size_t n_accept, n_protocol, n_extensions;
	bool upgrade, connection;
};

static int bad(struct hw_err *err, const char *why)
{
	return hw_err_set(err, HW_WS_HANDSHAKE_BAD, "the server's answer: %s", why);
}

/* Cuts a line off @rest. false when there is none, or one that HTTP does not allow. */
static bool cut_line(struct hw_str *rest, struct hw_str *line)
{
	size_t end = hw_http1_find_control(rest->p, rest->len);

	if (rest->len - end < 2 || rest->p[end] != '\r' || rest->p[end + 1] != '\n')
		return false;
	*line = (struct hw_str){rest->p, end};
	*rest = (struct hw_str){rest->p + end + 2, rest->len - end - 2};
	return true;
}

/* "HTTP/1.1 101 Switching Protocols"; RFC 9112 4: the space behind the code is there even without a
 * reason */
static bool parse_status(struct hw_str line, unsigned *status)
{
	uint64_t code;

	if (!hw_str_starts(line, HW_STR("HTTP/1.1 ")) || line.len < 13 || line.p[12] != ' ')
		return false;
	if (hw_str_to_u64((struct hw_str){line.p + 9, 3}, &code) != 0 || code < 100)
		return false;
	*status = (unsigned)code;
	return true;
}

static void take_header(struct answer *a, const struct hw_http1_header *header)
{
	struct hw_str rest = header->value, item;

	if (hw_str_eq_nocase(header->name, HW_STR("Sec-WebSocket-Accept"))) {
		a->n_accept++;
		a->accept = header->value;
	} else if (hw_str_eq_nocase(header->name, HW_STR("Sec-WebSocket-Protocol"))) {
		a->n_protocol++;
		a->protocol = header->value;
	} else if (hw_str_eq_nocase(header->name, HW_STR("Sec-WebSocket-Extensions"))) {
		a->n_extensions++;
	} else if (hw_str_eq_nocase(header->name, HW_STR("Upgrade"))) {
		a->upgrade |= hw_str_eq_nocase(header->value, HW_STR("websocket"));
	} else if (hw_str_eq_nocase(header->name, HW_STR("Connection"))) {
		while (hw_http1_list_next(&rest, &item))
			a->connection |= hw_str_eq_nocase(item, HW_STR("upgrade"));
	}
}

static bool was_offered(struct hw_str protocols, struct hw_str chosen)
{
	struct hw_str name;

	while (hw_http1_list_next(&protocols, &name)) {
		if (hw_str_eq(name, chosen))
			return true;
	}
	return false;
}

static int weigh(const struct answer *a, const struct hw_ws_client *client, struct hw_str accept,
	struct hw_err *err)
{
	if (!a->upgrade)
		return bad(err, "no \"Upgrade: websocket\"");
	if (!a->connection)
		return bad(err, "no \"Connection: Upgrade\"");
	if (a->n_accept != 1 || !hw_str_eq(a->accept, accept))
		return bad(err, "Sec-WebSocket-Accept does not match the key");
	if (a->n_extensions > 0)
		return bad(err, "an extension that was not offered");
	if (a->n_protocol > 1 ||
		(a->n_protocol == 1 && !was_offered(client->protocols, a->protocol)))
		return bad(err, "a sub-protocol that was not offered");
	return 0;
}

int hw_ws_handshake_check_response(struct hw_str head, const struct hw_ws_client *client,
	struct hw_str accept, struct hw_ws_answer *out, struct hw_err *err)
{
	struct answer a = {0};
	struct hw_str rest = head, line;
	unsigned status;
	int rc;

	if (!cut_line(&rest, &line) || !parse_status(line, &status))
		return bad(err, "not an HTTP/1.1 response");
	for (;;) {
		struct hw_http1_header header;
		const char *reason;

		if (!cut_line(&rest, &line))
			return bad(err, "a malformed header line");
		if (line.len == 0)
			break;
		reason = hw_http1_header_line(line, &header);
		if (reason)
			return bad(err, reason);
		take_header(&a, &header);
	}
	if (rest.len > 0)
		return bad(err, "bytes behind its head");
	if (status != 101) {
		out->status = status;
		return hw_err_set(err, HW_WS_HANDSHAKE_STATUS, "the server refused with %u %s",
			status, hw_http1_status_text(status));
	}
	rc = weigh(&a, client, accept, err);
	if (!rc)
		*out = (struct hw_ws_answer){.protocol = a.protocol, .status = status};
	return rc;
}
