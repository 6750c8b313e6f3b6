#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/ws_handshake.h"

/* the example of RFC 6455 1.3 */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static const struct hw_http1_limits limits = {HW_HTTP1_HEAD_BYTES, HW_HTTP1_MAX_HEADERS, 1000};

static void parse(struct hw_http1_request *request, const char *text)
{
	struct hw_http1 r;
	size_t used;

	hw_http1_init(&r, &limits, request);
	assert_int_equal(hw_http1_read(&r, text, strlen(text), &used), HW_HTTP1_HEAD);
	hw_http1_fini(&r);
}

static int check(
	const char *line, const char *headers, struct hw_ws_handshake *out, struct hw_err *err)
{
	struct hw_http1_request request;
	char text[4000];

	snprintf(text, sizeof(text), "%s\r\nHost: a.test\r\n%s\r\n", line, headers);
	parse(&request, text);
	return hw_ws_handshake_check(&request, out, err);
}

#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define WITH_KEY "Sec-WebSocket-Key: " KEY "\r\n"
#define GET_WS "GET /ws HTTP/1.1"

static void assert_outcome(const char *line, const char *headers, int outcome)
{
	struct hw_ws_handshake out = {.n_protocols = 77};
	struct hw_err err = {""};
	int rc = check(line, headers, &out, &err);

	if (rc != outcome)
		fail_msg("wanted %d, got %d (%s) of: %s\n%s", outcome, rc, err.text, line, headers);
	assert_int_equal(err.text[0] != '\0', outcome != 0);
	if (outcome)
		assert_int_equal(out.n_protocols, 77);
	assert_int_equal(check(line, headers, &out, NULL), outcome);
}

static void a_browsers_upgrade_is_accepted(void **state HW_UNUSED)
{
	static const char text[] =
		"GET /ws?token=x HTTP/1.1\r\nHost: a.test:8080\r\n"
		"Connection: keep-alive, Upgrade\r\nPragma: no-cache\r\nUpgrade: WebSocket\r\n"
		"Origin: https://a.test\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY
		"\r\n"
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
		"Sec-WebSocket-Protocol: hookwire.v1, token.eyJhbGciOiJI.eyJzdWIi-_.c2ln\r\n\r\n";
	struct hw_http1_request request;
	struct hw_ws_handshake out;
	struct hw_ws_protocols it;
	struct hw_str name;

	parse(&request, text);
	assert_int_equal(hw_ws_handshake_check(&request, &out, NULL), 0);
	assert_true(hw_str_eq(out.key, HW_STR(KEY)));
	assert_true(
		hw_str_eq(out.extensions, HW_STR("permessage-deflate; client_max_window_bits")));
	assert_int_equal(out.n_protocols, 2);
	hw_ws_protocols_init(&it, &request);
	assert_true(hw_ws_protocols_next(&it, &name));
	assert_true(hw_str_eq(name, HW_STR("hookwire.v1")));
	assert_true(hw_ws_protocols_next(&it, &name));
	assert_true(hw_str_eq(name, HW_STR("token.eyJhbGciOiJI.eyJzdWIi-_.c2ln")));
	assert_false(hw_ws_protocols_next(&it, &name));
	assert_false(hw_ws_protocols_next(&it, &name));
}

static void nothing_offered_is_nothing_found(void **state HW_UNUSED)
{
	struct hw_ws_handshake out;

	assert_int_equal(check(GET_WS, UPGRADE VERSION WITH_KEY, &out, NULL), 0);
	assert_int_equal(out.n_protocols, 0);
	assert_null(out.extensions.p);
}

static void what_makes_no_handshake_is_refused(void **state HW_UNUSED)
{
	assert_outcome(GET_WS, UPGRADE VERSION WITH_KEY, 0);
	assert_outcome(GET_WS, "Content-Length: 0\r\n" UPGRADE VERSION WITH_KEY, 0);
	assert_outcome("POST /ws HTTP/1.1", UPGRADE VERSION WITH_KEY, HW_WS_HANDSHAKE_BAD);
	assert_outcome("get /ws HTTP/1.1", UPGRADE VERSION WITH_KEY, HW_WS_HANDSHAKE_BAD);
	assert_outcome("GET /ws HTTP/1.0", UPGRADE VERSION WITH_KEY, HW_WS_HANDSHAKE_BAD);
	assert_outcome(GET_WS, VERSION WITH_KEY, HW_WS_HANDSHAKE_BAD);
	assert_outcome(GET_WS, "Connection: Upgrade\r\n" VERSION WITH_KEY, HW_WS_HANDSHAKE_BAD);
	assert_outcome(GET_WS, "Upgrade: websocket\r\n" VERSION WITH_KEY, HW_WS_HANDSHAKE_BAD);
	assert_outcome(GET_WS, "Upgrade: websocket\r\nConnection: close\r\n" VERSION WITH_KEY,
		HW_WS_HANDSHAKE_BAD);
	assert_outcome(GET_WS, "Upgrade: h2c\r\nConnection: Upgrade\r\n" VERSION WITH_KEY,
		HW_WS_HANDSHAKE_BAD);
	assert_outcome(GET_WS, "Upgrade: websockets\r\nConnection: Upgrade\r\n" VERSION WITH_KEY,
		HW_WS_HANDSHAKE_BAD);
	assert_outcome(
		GET_WS, "Upgrade: h2c, WEBSOCKET\r\nConnection: x,upgrade\r\n" VERSION WITH_KEY, 0);
	assert_outcome(GET_WS,
		"Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: x\r\nConnection: "
		"upgrade\r\n" VERSION WITH_KEY,
		0);
	assert_outcome(
		GET_WS, "Content-Length: 1\r\n" UPGRADE VERSION WITH_KEY, HW_WS_HANDSHAKE_BAD);
	assert_outcome(GET_WS, "Transfer-Encoding: chunked\r\n" UPGRADE VERSION WITH_KEY,
		HW_WS_HANDSHAKE_BAD);
}

static void another_version_is_told_which_one_we_speak(void **state HW_UNUSED)
{
	static const char *const other[] = {
		"8", "12", "14", "013", "13, 8", "8, 13", "", "x", "+13"};
	char headers[300];

	for (size_t i = 0; i < HW_COUNT(other); i++) {
		snprintf(headers, sizeof(headers), UPGRADE WITH_KEY "Sec-WebSocket-Version: %s\r\n",
			other[i]);
		assert_outcome(GET_WS, headers, HW_WS_HANDSHAKE_VERSION);
	}
	assert_outcome(GET_WS, UPGRADE WITH_KEY, HW_WS_HANDSHAKE_BAD);
	assert_outcome(GET_WS, UPGRADE WITH_KEY VERSION VERSION, HW_WS_HANDSHAKE_BAD);
	/* the version decides before the key, which another version may form differently */
	assert_outcome(GET_WS, UPGRADE "Sec-WebSocket-Version: 8\r\n", HW_WS_HANDSHAKE_VERSION);
}

static void the_key_is_sixteen_bytes_in_base64(void **state HW_UNUSED)
{
	static const struct {
		const char *key;
		bool good;
	} cases[] = {
		{"AAAAAAAAAAAAAAAAAAAAAA==", true},
		{"//////////////////////w==", false}, /* 25 characters */
		{"/////////////////////w==", true},
		{"+++++++++++++++++++++Q==", true},
		{"azAZ09+/azAZ09+/azAZ0A==", true},
		{"AAAAAAAAAAAAAAAAAAAAAB==", false}, /* bits behind the sixteenth byte */
		{"AAAAAAAAAAAAAAAAAAAAA===", false},
		{"AAAAAAAAAAAAAAAAAAAAAAA=", false}, /* 17 bytes */
		{"AAAAAAAAAAAAAAAAAAAAAAAA", false}, /* 18 bytes */
		{"AAAAAAAAAAAAAAAAAAAA", false},     /* 15 bytes */
		{"AAAAAAAAAAAAAAAAAAAAAA", false},   /* no padding */
		{"AAAAAAAAAA AAAAAAAAAAA==", false},
		{"AAAAAAAAAA-AAAAAAAAAAA==", false}, /* the other alphabet */
		{"AAAAAAAAAA_AAAAAAAAAAA==", false},
		{"AAAAAAAAAA=AAAAAAAAAAA==", false},
		{"", false},
		{"==", false},
	};
	char headers[300];

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		snprintf(headers, sizeof(headers), UPGRADE VERSION "Sec-WebSocket-Key: %s\r\n",
			cases[i].key);
		assert_outcome(GET_WS, headers, cases[i].good ? 0 : HW_WS_HANDSHAKE_BAD);
	}
	assert_outcome(GET_WS, UPGRADE VERSION, HW_WS_HANDSHAKE_BAD);
	assert_outcome(GET_WS, UPGRADE VERSION WITH_KEY WITH_KEY, HW_WS_HANDSHAKE_BAD);
}

static void sub_protocols_are_unique_tokens(void **state HW_UNUSED)
{
	static const struct {
		const char *lines;
		int n; /* -1: refused */
	} cases[] = {
		{"Sec-WebSocket-Protocol: a", 1},
		{"Sec-WebSocket-Protocol: a,b , c", 3},
		{"Sec-WebSocket-Protocol: a\r\nsec-websocket-protocol: b, c", 3},
		{"Sec-WebSocket-Protocol: ,a,, b,", 2},
		{"Sec-WebSocket-Protocol: a, A", 2},
		{"Sec-WebSocket-Protocol: a, a", -1},
		{"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b,a", -1},
		{"Sec-WebSocket-Protocol:", -1},
		{"Sec-WebSocket-Protocol: ,", -1},
		{"Sec-WebSocket-Protocol: a b", -1},
		{"Sec-WebSocket-Protocol: a;b", -1},
		{"Sec-WebSocket-Protocol: \"a\"", -1},
		{"Sec-WebSocket-Protocol: a/b", -1},
		{"Sec-WebSocket-Protocol: \xc3\xa4", -1},
	};
	char headers[2000];
	size_t len;

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_ws_handshake out;

		snprintf(headers, sizeof(headers), UPGRADE VERSION WITH_KEY "%s\r\n",
			cases[i].lines);
		assert_outcome(GET_WS, headers, cases[i].n < 0 ? HW_WS_HANDSHAKE_BAD : 0);
		if (cases[i].n < 0)
			continue;
		assert_int_equal(check(GET_WS, headers, &out, NULL), 0);
		assert_int_equal(out.n_protocols, cases[i].n);
	}
	for (int n = HW_WS_MAX_PROTOCOLS; n <= HW_WS_MAX_PROTOCOLS + 1; n++) {
		len = (size_t)snprintf(headers, sizeof(headers),
			UPGRADE VERSION WITH_KEY "Sec-WebSocket-Protocol: ");
		for (int i = 0; i < n; i++)
			len += (size_t)snprintf(headers + len, sizeof(headers) - len, "p%d,", i);
		snprintf(headers + len, sizeof(headers) - len, "\r\n");
		assert_outcome(GET_WS, headers, n == HW_WS_MAX_PROTOCOLS ? 0 : HW_WS_HANDSHAKE_BAD);
	}
}

static void assert_text(struct hw_buf *out, const char *expected)
{
	assert_int_equal(out->len, strlen(expected));
	assert_memory_equal(out->data, expected, out->len);
	hw_buf_fini(out);
	hw_buf_init(out);
}

static void the_answer_names_what_was_chosen(void **state HW_UNUSED)
{
	struct hw_buf out;

	hw_buf_init(&out);
	assert_int_equal(hw_ws_handshake_accept(&out, HW_STR(ACCEPT), HW_STR_NULL), 0);
	assert_text(&out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
			  "Connection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n");
	assert_int_equal(hw_ws_handshake_accept(&out, HW_STR(ACCEPT), HW_STR("hookwire.v1")), 0);
	assert_text(&out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
			  "Connection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"
			  "Sec-WebSocket-Protocol: hookwire.v1\r\n\r\n");
	assert_int_equal(
		hw_ws_handshake_accept(&out, HW_STR(ACCEPT), HW_STR("a\r\nX: b")), -EINVAL);
	assert_int_equal(hw_ws_handshake_accept(&out, HW_STR(ACCEPT), HW_STR("")), -EINVAL);
	assert_int_equal(hw_ws_handshake_accept(&out, HW_STR("short"), HW_STR_NULL), -EINVAL);
	assert_int_equal(
		hw_ws_handshake_accept(&out, HW_STR("\r\n3pPLMBiTxaQ9kYGzzhZRbK+xO"), HW_STR_NULL),
		-EINVAL);
	assert_int_equal(out.len, 0);
	hw_buf_fini(&out);
}

static struct hw_ws_client usual_client(void)
{
	return (struct hw_ws_client){.host = HW_STR("a.test:8080"),
		.target = HW_STR("/ws?topics=a:1"),
		.key = HW_STR(KEY),
		.protocols = HW_STR("hookwire.v1, token.abc")};
}

static void a_client_asks_in_a_way_that_a_server_accepts(void **state HW_UNUSED)
{
	const struct hw_http1_header headers[] = {{HW_STR("Authorization"), HW_STR("Bearer x")}};
	struct hw_ws_client client = usual_client();
	struct hw_http1_request request;
	struct hw_ws_handshake found;
	struct hw_buf out;

	client.headers = headers;
	client.n_headers = 1;
	hw_buf_init(&out);
	assert_int_equal(hw_ws_handshake_request(&out, &client, NULL), 0);
	hw_buf_putc(&out, '\0');
	parse(&request, out.data);
	assert_int_equal(hw_ws_handshake_check(&request, &found, NULL), 0);
	assert_true(hw_str_eq(request.target, client.target));
	assert_true(hw_str_eq(request.host, client.host));
	assert_true(hw_str_eq(found.key, client.key));
	assert_int_equal(found.n_protocols, 2);
	assert_null(found.extensions.p);
	assert_true(
		hw_str_eq(hw_http1_header(&request, "authorization", NULL), HW_STR("Bearer x")));
	hw_buf_fini(&out);
}

static void a_client_sends_nothing_malformed(void **state HW_UNUSED)
{
	const struct hw_http1_header split = {HW_STR("X"), HW_STR("a\r\nY: b")};
	struct hw_ws_client clients[7];
	struct hw_buf out;

	for (size_t i = 0; i < HW_COUNT(clients); i++)
		clients[i] = usual_client();
	clients[0].host = HW_STR("a\r\nX: b");
	clients[1].target = HW_STR("/ws x");
	clients[2].target = HW_STR("ws");
	clients[3].key = HW_STR("short");
	clients[4].protocols = HW_STR("a\r\nX: b");
	clients[5].headers = &split;
	clients[5].n_headers = 1;
	clients[6].target = HW_STR("/a\r\n");
	hw_buf_init(&out);
	for (size_t i = 0; i < HW_COUNT(clients); i++) {
		struct hw_err err = {""};

		assert_int_equal(hw_ws_handshake_request(&out, &clients[i], &err), -EINVAL);
		assert_true(strlen(err.text) > 10);
		assert_int_equal(out.len, 0);
	}
	hw_buf_fini(&out);
}

static int check_answer(const char *text, struct hw_ws_answer *out, struct hw_err *err)
{
	struct hw_ws_client client = usual_client();

	return hw_ws_handshake_check_response(hw_str_of(text), &client, HW_STR(ACCEPT), out, err);
}

#define S101 "HTTP/1.1 101 Switching Protocols\r\n"
#define WITH_ACCEPT "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static void a_client_accepts_our_own_answer(void **state HW_UNUSED)
{
	struct hw_ws_answer answer;
	struct hw_buf out;

	hw_buf_init(&out);
	assert_int_equal(hw_ws_handshake_accept(&out, HW_STR(ACCEPT), HW_STR("hookwire.v1")), 0);
	hw_buf_putc(&out, '\0');
	assert_int_equal(check_answer(out.data, &answer, NULL), 0);
	assert_true(hw_str_eq(answer.protocol, HW_STR("hookwire.v1")));
	assert_int_equal(answer.status, 101);
	hw_buf_fini(&out);
	assert_int_equal(
		check_answer("HTTP/1.1 101 \r\nupgrade: WebSocket\r\nconnection: x, upgrade\r\n"
			     "sec-websocket-accept:" ACCEPT "\r\n\r\n",
			&answer, NULL),
		0);
	assert_null(answer.protocol.p);
	assert_int_equal(check_answer(S101 "Upgrade: websocket\r\nUpgrade: x\r\n"
					   "Connection: upgrade, x\r\n" WITH_ACCEPT "\r\n",
				 &answer, NULL),
		0);
}

static void a_refused_upgrade_tells_its_status(void **state HW_UNUSED)
{
	struct hw_ws_answer answer;
	struct hw_err err = {""};

	assert_int_equal(check_answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n",
				 &answer, &err),
		HW_WS_HANDSHAKE_STATUS);
	assert_int_equal(answer.status, 401);
	assert_int_equal(check_answer("HTTP/1.1 100 Continue\r\n\r\n", &answer, NULL),
		HW_WS_HANDSHAKE_STATUS);
	assert_non_null(strstr(err.text, "401 Unauthorized"));
	assert_int_equal(
		check_answer("HTTP/1.1 200 OK\r\n" UPGRADE WITH_ACCEPT "\r\n", &answer, &err),
		HW_WS_HANDSHAKE_STATUS);
}

static void a_client_refuses_what_proves_nothing(void **state HW_UNUSED)
{
	static const char *const answers[] = {
		"",
		"\r\n",
		"HTTP/1.1 101 Switching Protocols",
		S101 UPGRADE WITH_ACCEPT, /* no empty line */
		S101 UPGRADE WITH_ACCEPT "\r\nx",
		"HTTP/1.0 101 Switching Protocols\r\n" UPGRADE WITH_ACCEPT "\r\n",
		"HTTP/1.1 1011 X\r\n" UPGRADE WITH_ACCEPT "\r\n",
		"HTTP/1.1 10 X\r\n" UPGRADE WITH_ACCEPT "\r\n",
		"HTTP/1.1 101\r\n" UPGRADE WITH_ACCEPT "\r\n",
		"HTTP/1.1  101 X\r\n" UPGRADE WITH_ACCEPT "\r\n",
		"HTTP/1.1 099 X\r\n" UPGRADE WITH_ACCEPT "\r\n",
		"HTTP/2 101 X\r\n" UPGRADE WITH_ACCEPT "\r\n",
		S101 UPGRADE "\r\n",
		S101 "Upgrade: websocket\r\n" WITH_ACCEPT "\r\n",
		S101 "Connection: Upgrade\r\n" WITH_ACCEPT "\r\n",
		S101 "Upgrade: websockets\r\nConnection: Upgrade\r\n" WITH_ACCEPT "\r\n",
		S101 UPGRADE "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
		S101 UPGRADE "Sec-WebSocket-Accept: \r\n\r\n",
		S101 UPGRADE WITH_ACCEPT WITH_ACCEPT "\r\n",
		S101 UPGRADE WITH_ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
		S101 UPGRADE WITH_ACCEPT "Sec-WebSocket-Protocol: other\r\n\r\n",
		S101 UPGRADE WITH_ACCEPT "Sec-WebSocket-Protocol: hookwire.v1, token.abc\r\n\r\n",
		S101 UPGRADE WITH_ACCEPT "Sec-WebSocket-Protocol: hookwire.v1\r\n"
					 "Sec-WebSocket-Protocol: hookwire.v1\r\n\r\n",
		S101 UPGRADE WITH_ACCEPT "Bad Name: x\r\n\r\n",
		S101 UPGRADE WITH_ACCEPT "X: a\nb\r\n\r\n",
		S101 UPGRADE WITH_ACCEPT "X: a\rb\r\n\r\n",
		S101 UPGRADE WITH_ACCEPT "X: a\x01\n\r\n",
		S101 UPGRADE WITH_ACCEPT "\n",
	};

	for (size_t i = 0; i < HW_COUNT(answers); i++) {
		struct hw_ws_answer answer;
		struct hw_err err = {""};

		if (check_answer(answers[i], &answer, &err) != HW_WS_HANDSHAKE_BAD)
			fail_msg("accepted: %s", answers[i]);
		assert_true(strlen(err.text) > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_browsers_upgrade_is_accepted),
		cmocka_unit_test(nothing_offered_is_nothing_found),
		cmocka_unit_test(what_makes_no_handshake_is_refused),
		cmocka_unit_test(another_version_is_told_which_one_we_speak),
		cmocka_unit_test(the_key_is_sixteen_bytes_in_base64),
		cmocka_unit_test(sub_protocols_are_unique_tokens),
		cmocka_unit_test(the_answer_names_what_was_chosen),
		cmocka_unit_test(a_client_asks_in_a_way_that_a_server_accepts),
		cmocka_unit_test(a_client_sends_nothing_malformed),
		cmocka_unit_test(a_client_accepts_our_own_answer),
		cmocka_unit_test(a_refused_upgrade_tells_its_status),
		cmocka_unit_test(a_client_refuses_what_proves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
