#include "edge_world.h"

#include "wire/ws.h"

#define OPEN \
	"return policy { api = 1, authorize = { subscribe = function() return allow() end," \
	" publish = function() return allow() end } }"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define UPGRADE(path, headers) \
	"GET " path \
	" HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" KEY headers "\r\n"
#define V1 "Sec-WebSocket-Protocol: hookwire.v1\r\n"

static const char *const one_origin[] = {"https://app.example.com"};

static void list_an_origin(struct hw_settings *settings)
{
	settings->any_origin = false;
	settings->origins = one_origin;
	settings->n_origins = 1;
}

static void make_echo(struct hw_settings *settings)
{
	settings->echo_path = "/echo";
	settings->message_bytes = 4 << 20;
}

static void no_first_message(struct hw_settings *settings)
{
	settings->auth_first_message = false;
}

/* A client's frame, masked. */
static size_t frame(uint8_t *out, bool fin, enum hw_ws_opcode opcode, const void *p, size_t len)
{
	static const uint8_t mask[4] = {1, 2, 3, 4};
	size_t n = hw_ws_header(out, fin, opcode, len, mask);

	memcpy(out + n, p, len);
	hw_ws_mask(out + n, len, mask, 0);
	return n + len;
}

static void say_frame(int fd, bool fin, enum hw_ws_opcode opcode, const char *text)
{
	uint8_t out[70000];

	say_bytes(fd, out, frame(out, fin, opcode, text, strlen(text)));
}

static int hear_close(struct edge_world *ew, int fd)
{
	size_t len;

	assert_int_equal(hear_frame(ew, fd, &len), HW_WS_OP_CLOSE);
	assert_true(len >= 2);
	return (uint8_t)ew->answer[0] << 8 | (uint8_t)ew->answer[1];
}

static int upgrade(struct edge_world *ew, const char *request)
{
	int fd = dial(ew, HW_EDGE_PUBLIC);

	say_text(fd, request);
	assert_int_equal(hear_http(ew, fd, true), 101);
	return fd;
}

static void an_upgrade_is_accepted_and_carries_a_session(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int fd = upgrade(ew, UPGRADE("/ws?token=ann@acme&topics=a:1", V1));

	(void)state;
	heard_part(ew, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
	heard_part(ew, "\r\nSec-WebSocket-Protocol: hookwire.v1\r\n");
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_TEXT);
	heard_part(ew, "{\"type\":\"welcome\"");
	say_frame(fd, true, HW_WS_OP_TEXT,
		"{\"type\":\"publish\",\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":{\"entity_"
		"id\":1,\"payload\":2}}");
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_TEXT);
	heard_part(ew, "{\"topic\":\"a:1\",\"event\":\"ADDED\"");
	say_frame(fd, true, HW_WS_OP_PING, "still there?");
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_PONG);
	assert_string_equal(ew->answer, "still there?");
	say_frame(fd, true, HW_WS_OP_CLOSE, "\x0f\xa0");
	assert_int_equal(hear_close(ew, fd), 4000);
	assert_int_equal(hear(ew, fd, 0), 0);
	close(fd);
	edge_world_destroy(ew);
}

static void bytes_behind_the_upgrade_are_read_whatever_the_split(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	static const char head[] = UPGRADE("/ws?token=ann@acme", "");
	static const char ping[] = "{\"type\":\"ping\"}";
	uint8_t all[1024];
	size_t n = sizeof(head) - 1;

	(void)state;
	memcpy(all, head, n);
	n += frame(all + n, false, HW_WS_OP_TEXT, ping, 5);
	n += frame(all + n, true, HW_WS_OP_CONTINUATION, ping + 5, sizeof(ping) - 6);
	for (size_t split = sizeof(head) - 30; split < n; split++) {
		int fd = dial(ew, HW_EDGE_PUBLIC);

		say_bytes(fd, all, split);
		on_loop(ew, nothing_to_do, NULL);
		say_bytes(fd, all + split, n - split);
		assert_int_equal(hear_http(ew, fd, true), 101);
		not_heard(ew, "Sec-WebSocket-Protocol");
		assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_TEXT);
		assert_string_equal(ew->answer, "{\"type\":\"pong\",\"topic\":\"\"}");
		close(fd);
	}
	edge_world_destroy(ew);
}

static void a_plain_client_reads_its_refusal_as_a_status(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);

	(void)state;
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, UPGRADE("/ws?token=nobody", "")), 401);
	heard_part(ew, "{\"code\":\"unauthorized\"");
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC, UPGRADE("/ws?token=ann@acme&cursor=x", "")), 400);
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC, UPGRADE("/ws?token=ann@acme&token=b", "")), 400);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, "GET /ws HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC,
				 "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: "
				 "Upgrade\r\n"
				 "Sec-WebSocket-Key: "
				 "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n"),
		426);
	heard_part(ew, "\r\nSec-WebSocket-Version: 13\r\n");
	heard_part(ew, "\r\nConnection: upgrade\r\n");
	edge_world_destroy(ew);
}

static void refused(struct edge_world *ew, const char *request, int code)
{
	int fd = upgrade(ew, request);

	assert_int_equal(hear_close(ew, fd), code);
	assert_int_equal(hear(ew, fd, 0), 0);
	close(fd);
}

static void a_client_of_v1_reads_its_refusal_as_a_close_code(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, no_first_message);

	(void)state;
	refused(ew, UPGRADE("/ws?token=nobody", V1), 4401);
	refused(ew, UPGRADE("/ws", V1), 4401);
	refused(ew, UPGRADE("/ws?token=ann@acme&cursor=x", V1), 4400);
	refused(ew, UPGRADE("/ws?token=%zz", V1), 4400);
	refused(ew, UPGRADE("/ws", "Sec-WebSocket-Protocol: hookwire.v1, token.a, token.b\r\n"),
		4400);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, UPGRADE("/ws", "")), 401);
	edge_world_destroy(ew);
}

/* RFC 6455 5.5.1: a client fails a connection whose close reason is no UTF-8, and never sees the
 * code. */
static void a_long_reason_is_cut_between_characters(void **state)
{
	struct edge_world *ew = edge_world_create(
		"return policy { api = 1, authorize = { session = function(s)"
		" return deny('forbidden_topic', s.user_id .. ('\\u{20ac}'):rep(80)) end } }",
		NULL);
	static const char *const tokens[] = {"a@acme", "an@acme", "ann@acme"};
	char request[512];
	size_t len;

	(void)state;
	for (size_t i = 0; i < HW_COUNT(tokens); i++) {
		int fd;

		snprintf(request, sizeof(request), UPGRADE("/ws?token=%s", V1), tokens[i]);
		fd = upgrade(ew, request);
		assert_int_equal(hear_frame(ew, fd, &len), HW_WS_OP_CLOSE);
		assert_memory_equal(ew->answer + 2, "forbidden_topic: a", 18);
		assert_true(hw_utf8_valid(ew->answer + 2, len - 2));
		assert_true(len > HW_WS_CONTROL_BYTES - 3);
		close(fd);
	}
	edge_world_destroy(ew);
}

static void a_token_may_be_a_sub_protocol_and_is_not_echoed(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	/* the world's tokens hold an @, which no sub-protocol may: what counts is that it was asked
	 * about */
	int fd = upgrade(
		ew, UPGRADE("/ws", "Sec-WebSocket-Protocol: token.nobody, hookwire.v1\r\n"));

	(void)state;
	not_heard(ew, "nobody");
	assert_int_equal(hear_close(ew, fd), 4401);
	close(fd);
	edge_world_destroy(ew);
}

/* A page behind a proxy's login: the browser adds Basic to the upgrade by itself. */
static void another_schemes_credentials_leave_the_first_message_to_say_who_it_is(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int fd = upgrade(ew, UPGRADE("/ws", "Authorization: Basic YTpi\r\n"));

	(void)state;
	say_frame(fd, true, HW_WS_OP_TEXT, "{\"type\":\"auth\",\"token\":\"ann@acme\",\"id\":1}");
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_TEXT);
	heard_part(ew, "{\"type\":\"reply\",\"topic\":\"\",\"id\":1,\"ok\":true");
	close(fd);
	edge_world_destroy(ew);
}

static void a_page_of_another_origin_opens_no_socket(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, list_an_origin);

	(void)state;
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC,
			UPGRADE("/ws?token=ann@acme", "Origin: https://evil.example.com\r\n")),
		403);
	refused(ew, UPGRADE("/ws?token=ann@acme", V1 "Origin: https://evil.example.com\r\n"), 4403);
	close(upgrade(ew, UPGRADE("/ws?token=ann@acme", "Origin: https://app.example.com\r\n")));
	close(upgrade(ew, UPGRADE("/ws?token=ann@acme", "")));
	edge_world_destroy(ew);
}

static void too_large_messages_and_binary_ones_close(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	static char large[70000];
	int fd = upgrade(ew, UPGRADE("/ws", ""));

	(void)state;
	memset(large, ' ', sizeof(large));
	large[8193] = '\0';
	say_frame(fd, true, HW_WS_OP_TEXT, large); /* not authenticated yet: 8 KiB */
	assert_int_equal(hear_close(ew, fd), 4413);
	close(fd);
	fd = upgrade(ew, UPGRADE("/ws?token=ann@acme", ""));
	large[8193] = ' ';
	large[65537] = '\0';
	say_frame(fd, true, HW_WS_OP_TEXT, large);
	assert_int_equal(hear_close(ew, fd), 4413);
	close(fd);
	fd = upgrade(ew, UPGRADE("/ws?token=ann@acme", ""));
	say_frame(fd, true, HW_WS_OP_BINARY, "{}");
	assert_int_equal(hear_close(ew, fd), 1003);
	close(fd);
	/* the first two bytes tell: nothing of it is waited for or kept, however large it would be
	 */
	fd = upgrade(ew, UPGRADE("/ws?token=ann@acme", ""));
	say_bytes(fd, "\x02\xff", 2);
	assert_int_equal(hear_close(ew, fd), 1003);
	close(fd);
	fd = upgrade(ew, UPGRADE("/ws?token=ann@acme", ""));
	say_frame(fd, true, HW_WS_OP_TEXT, "\xff");
	assert_int_equal(hear_close(ew, fd), 1007);
	close(fd);
	edge_world_destroy(ew);
}

static void the_echo_endpoint_gives_back_what_it_gets(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, make_echo);
	int fd = upgrade(ew, UPGRADE("/echo", ""));
	size_t len;

	(void)state;
	say_frame(fd, true, HW_WS_OP_BINARY, "bytes");
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_BINARY);
	assert_string_equal(ew->answer, "bytes");
	say_frame(fd, false, HW_WS_OP_TEXT, "one ");
	say_frame(fd, true, HW_WS_OP_PING, "");
	say_frame(fd, true, HW_WS_OP_CONTINUATION, "two");
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_PONG);
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_TEXT);
	assert_string_equal(ew->answer, "one two");
	say_frame(fd, true, HW_WS_OP_CLOSE, "");
	assert_int_equal(hear_frame(ew, fd, &len), HW_WS_OP_CLOSE);
	assert_int_equal(len, 0);
	close(fd);
	edge_world_destroy(ew);
}

/* Without a token anybody may come: who is silent, or vanished, does not keep a descriptor for
 * ever. */
static void a_silent_peer_of_the_echo_endpoint_is_closed(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, make_echo);
	int fd = upgrade(ew, UPGRADE("/echo", ""));

	(void)state;
	world_pass(ew, 59999);
	say_frame(fd, true, HW_WS_OP_TEXT, "any byte counts");
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_TEXT);
	world_pass(ew, 59999);
	say_frame(fd, true, HW_WS_OP_PING, "");
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_PONG);
	world_pass(ew, 60000);
	assert_int_equal(hear_close(ew, fd), HW_WS_CODE_GOING_AWAY);
	assert_int_equal(hear(ew, fd, 0), 0);
	close(fd);
	edge_world_destroy(ew);
}

/* A peer that sends and does not read is not read either, and gets everything once it reads. */
static void echoes_to_a_peer_that_does_not_read_are_bounded(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, make_echo);
	int fd = upgrade(ew, UPGRADE("/echo", ""));
	static uint8_t out[66000];
	static char text[65000];
	size_t n, sent = 0, heard = 0, len;

	(void)state;
	memset(text, 'x', sizeof(text));
	n = frame(out, true, HW_WS_OP_TEXT, text, sizeof(text));
	for (size_t at = 0;;) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		ssize_t did;

		if (poll(&p, 1, 300) != 1 || sent + at > (64u << 20)) {
			assert_true(sent < (16u << 20));
			/* the rest of a frame that has begun goes out while we read */
			if (at > 0) {
				hear_frame(ew, fd, &len);
				heard += len;
				say_bytes(fd, out + at, n - at);
				sent += sizeof(text);
			}
			break;
		}
		did = send(fd, out + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (did < 0)
			continue;
		at += (size_t)did;
		if (at == n) {
			at = 0;
			sent += sizeof(text);
		}
	}
	while (heard < sent) {
		assert_int_equal(hear_frame(ew, fd, &len), HW_WS_OP_TEXT);
		heard += len;
	}
	close(fd);
	edge_world_destroy(ew);
}

/* How many bytes of @frame, again and again, are taken of a peer that never reads. */
static size_t taken(int fd, const char *frame, size_t len)
{
	static char many[6 * 4096];
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	size_t n = sizeof(many) / len * len, sent = 0, at = 0;

	for (size_t i = 0; i < n; i++)
		many[i] = frame[i % len];
	while (sent < (16u << 20) && poll(&p, 1, 300) == 1) {
		ssize_t did = send(fd, many + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (did < 0)
			continue;
		sent += (size_t)did;
		at = (at + (size_t)did) % n;
	}
	return sent;
}

/* An answer of two bytes costs us a hundred: what is bounded is what it costs. Nobody had to say
 * who it is for this. */
static void answers_of_two_bytes_to_a_peer_that_does_not_read_are_bounded(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, make_echo);
	int fd = upgrade(ew, UPGRADE("/ws", ""));

	(void)state;
	assert_true(taken(fd, "\x89\x80\0\0\0\0", 6) < (1u << 20)); /* pings, and none read */
	close(fd);
	fd = upgrade(ew, UPGRADE("/echo", ""));
	assert_true(taken(fd, "\x81\x80\0\0\0\0", 6) < (1u << 20)); /* messages to echo */
	close(fd);
	edge_world_destroy(ew);
}

static void order_drain(struct edge_world *ew, void *arg)
{
	(void)arg;
	ew->world.worker.draining = true;
	hw_edge_drain(&ew->edge);
}

static void draining_refuses_new_sockets_as_each_client_can_read_it(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);

	(void)state;
	on_loop(ew, order_drain, NULL);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, UPGRADE("/ws?token=ann@acme", "")), 503);
	heard_part(ew, "\r\nRetry-After: ");
	heard_part(ew, "\"code\":\"draining\"");
	refused(ew, UPGRADE("/ws?token=ann@acme", V1), 4503);
	edge_world_destroy(ew);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_upgrade_is_accepted_and_carries_a_session),
		cmocka_unit_test(bytes_behind_the_upgrade_are_read_whatever_the_split),
		cmocka_unit_test(a_plain_client_reads_its_refusal_as_a_status),
		cmocka_unit_test(a_client_of_v1_reads_its_refusal_as_a_close_code),
		cmocka_unit_test(a_long_reason_is_cut_between_characters),
		cmocka_unit_test(a_token_may_be_a_sub_protocol_and_is_not_echoed),
		cmocka_unit_test(
			another_schemes_credentials_leave_the_first_message_to_say_who_it_is),
		cmocka_unit_test(a_page_of_another_origin_opens_no_socket),
		cmocka_unit_test(too_large_messages_and_binary_ones_close),
		cmocka_unit_test(the_echo_endpoint_gives_back_what_it_gets),
		cmocka_unit_test(a_silent_peer_of_the_echo_endpoint_is_closed),
		cmocka_unit_test(echoes_to_a_peer_that_does_not_read_are_bounded),
		cmocka_unit_test(answers_of_two_bytes_to_a_peer_that_does_not_read_are_bounded),
		cmocka_unit_test(draining_refuses_new_sockets_as_each_client_can_read_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
