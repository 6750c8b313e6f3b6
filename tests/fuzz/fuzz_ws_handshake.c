// links: wire
/* The WebSocket handshake: a request head through the reader and the check, the same bytes as the
 * answer to a client, and as what a client asks for, which a server must then accept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/ws_handshake.h"

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static const struct hw_http1_limits limits = {HW_HTTP1_HEAD_BYTES, HW_HTTP1_MAX_HEADERS, 1000};

static void check_accepted(
	const struct hw_http1_request *request, const struct hw_ws_handshake *found)
{
	struct hw_ws_client client = {.protocols = HW_STR_NULL};
	struct hw_ws_protocols it;
	struct hw_str name;
	size_t n = 0;

	CHECK(request->minor == 1 && hw_str_eq(request->method, HW_STR("GET")));
	CHECK(found->key.len == HW_WS_KEY_CHARS && found->n_protocols <= HW_WS_MAX_PROTOCOLS);
	hw_ws_protocols_init(&it, request);
	while (hw_ws_protocols_next(&it, &name)) {
		struct hw_ws_answer answer;
		struct hw_buf out;

		n++;
		client.protocols = name;
		hw_buf_init(&out);
		CHECK(hw_ws_handshake_accept(&out, HW_STR(ACCEPT), name) == 0);
		CHECK(hw_ws_handshake_check_response(
			      hw_buf_view(&out), &client, HW_STR(ACCEPT), &answer, NULL) == 0);
		CHECK(hw_str_eq(answer.protocol, name));
		hw_buf_fini(&out);
	}
	CHECK(n == found->n_protocols);
}

static void as_request(const char *p, size_t len)
{
	struct hw_http1_request request;
	struct hw_ws_handshake found;
	struct hw_err err = {""};
	struct hw_http1 r;
	size_t used;
	int rc;

	hw_http1_init(&r, &limits, &request);
	if (hw_http1_read(&r, p, len, &used) == HW_HTTP1_HEAD) {
		rc = hw_ws_handshake_check(&request, &found, &err);
		CHECK(rc == 0 || rc == HW_WS_HANDSHAKE_BAD || rc == HW_WS_HANDSHAKE_VERSION);
		CHECK((rc != 0) == (err.text[0] != '\0'));
		if (rc == 0)
			check_accepted(&request, &found);
	}
	hw_http1_fini(&r);
}

static void as_answer(const char *p, size_t len)
{
	struct hw_ws_client client = {.protocols = HW_STR("hookwire.v1, token.abc")};
	struct hw_ws_answer answer = {.status = 0};
	struct hw_err err = {""};
	int rc = hw_ws_handshake_check_response(
		(struct hw_str){p, len}, &client, HW_STR(ACCEPT), &answer, &err);

	CHECK(rc == 0 || rc == HW_WS_HANDSHAKE_BAD || rc == HW_WS_HANDSHAKE_STATUS);
	CHECK((rc != 0) == (err.text[0] != '\0'));
	if (rc == 0) {
		CHECK(answer.status == 101 && memmem(p, len, ACCEPT, HW_WS_ACCEPT_CHARS));
		CHECK(!answer.protocol.p || hw_str_eq(answer.protocol, HW_STR("hookwire.v1")) ||
			hw_str_eq(answer.protocol, HW_STR("token.abc")));
	}
	if (rc == HW_WS_HANDSHAKE_STATUS)
		CHECK(answer.status >= 100 && answer.status <= 999 && answer.status != 101);
}

/* Host, target, protocols, and one header from the lines of the input. */
static void as_client(const char *p, size_t len)
{
	struct hw_str rest = {p, len};
	struct hw_http1_header header;
	struct hw_ws_client client = {.key = HW_STR(KEY), .headers = &header};
	struct hw_http1_request request;
	struct hw_http1 r;
	struct hw_buf out;
	size_t used;

	client.host = hw_str_cut(&rest, '\n');
	client.target = hw_str_cut(&rest, '\n');
	client.protocols = hw_str_cut(&rest, '\n');
	header.name = hw_str_cut(&rest, '\n');
	header.value = rest;
	client.n_headers = rest.p != NULL;
	hw_buf_init(&out);
	if (hw_ws_handshake_request(&out, &client, NULL) == 0 && out.len <= HW_HTTP1_HEAD_BYTES) {
		hw_http1_init(&r, &limits, &request);
		/* a header of the caller's may still make it no request: a second Host */
		if (hw_http1_read(&r, out.data, out.len, &used) == HW_HTTP1_HEAD) {
			CHECK(used == out.len);
			CHECK(hw_str_eq(request.target, client.target));
			CHECK(hw_str_eq(request.host, client.host));
		} else {
			CHECK(client.n_headers == 1 && r.status != 0);
		}
		hw_http1_fini(&r);
	}
	hw_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_request((const char *)data, size);
	as_answer((const char *)data, size);
	as_client((const char *)data, size);
	return 0;
}
