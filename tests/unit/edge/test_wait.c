#include "edge_world.h"

#include "../hook/fake_entry.h"
#include "wire/ws.h"

/* Requests whose hooks take their time: a guard that answers when the test says so. */

#define OPEN \
	"return policy { api = 1, authorize = { subscribe = function() return allow() end," \
	" publish = function() return allow() end } }"
#define BEARER "Authorization: Bearer ann\r\n"
#define EVENT "{\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":{\"entity_id\":\"e\",\"payload\":1}}"
#define HEALTH "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"

static struct fake *guard;
static struct fake_log guard_log;
static struct hw_ask *asked; /* the loop's thread only */

static enum hw_verdict guard_call(struct hw_hook_entry *entry, struct hw_entry_state *state,
	struct hw_ask *ask, struct hw_entry_answer *answer)
{
	asked = ask;
	return fake_call(entry, state, ask, answer);
}

static void guard_cancel(
	struct hw_hook_entry *entry, struct hw_entry_state *state, struct hw_ask *ask)
{
	if (asked == ask)
		asked = NULL;
	fake_cancel(entry, state, ask);
}

static const struct hw_entry_ops guard_ops = {
	fake_attach, fake_detach, guard_call, guard_cancel, fake_free, NULL};

static void order_install(struct edge_world *ew, void *arg)
{
	struct hw_generation *g = world_generation(&ew->world, 2, OPEN);
	struct hw_hook_entry *entry;
	const char *refused;

	(void)arg;
	memset(&guard_log, 0, sizeof(guard_log));
	guard = fake_create(ew->world.env, &guard_log, "g", true);
	guard->base.ops = &guard_ops;
	guard->base.registers = HW_REGISTERS_STAGE(HW_STAGE_AUTHENTICATE) |
				HW_REGISTERS_STAGE(HW_STAGE_AUTHORIZE) |
				HW_REGISTERS_OPERATION(HW_OP_PUBLISH);
	guard->verdict = HW_ALLOW;
	guard->user = "ann";
	guard->tenant = "acme";
	guard->pend = true;
	entry = &guard->base;
	hw_hook_chain_unref(&g->global);
	g->global = hw_hook_chain_create(&entry, 1);
	hw_hook_entry_unref(&entry);
	if (!g->global || hw_worker_swap(&ew->world.worker, g, &refused))
		abort();
	hw_generation_unref(&g);
	asked = NULL;
}

static void order_answer(struct edge_world *ew, void *arg)
{
	struct hw_ask *ask = asked;

	(void)ew;
	*(bool *)arg = ask != NULL;
	asked = NULL;
	if (ask)
		fake_resume(guard, ask);
}

static void order_peek(struct edge_world *ew, void *arg)
{
	(void)ew;
	*(bool *)arg = asked != NULL;
}

/* Waits until the guard is asked, and lets it answer. */
static void guard_answers(struct edge_world *ew)
{
	bool did = false;

	for (int i = 0; i < 10000 && !did; i++) {
		on_loop(ew, order_answer, &did);
		if (!did)
			usleep(1000);
	}
	assert_true(did);
}

static void guard_is_asked(struct edge_world *ew)
{
	bool did = false;

	for (int i = 0; i < 10000 && !did; i++) {
		on_loop(ew, order_peek, &did);
		if (!did)
			usleep(1000);
	}
	assert_true(did);
}

static struct edge_world *guarded_world(void)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);

	on_loop(ew, order_install, NULL);
	return ew;
}

static bool silent(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

static void what_is_behind_a_waiting_request_waits_too(void **state)
{
	struct edge_world *ew = guarded_world();
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	say_text(fd, "GET /cursor HTTP/1.1\r\nHost: h\r\n" BEARER "\r\n" HEALTH);
	guard_is_asked(ew);
	assert_true(silent(fd));
	guard_answers(ew);
	assert_int_equal(hear_http(ew, fd, false), 200);
	heard_part(ew, "{\"cursor\":\"");
	assert_int_equal(hear_http(ew, fd, false), 200);
	heard_part(ew, "{\"ok\":true}");
	close(fd);
	edge_world_destroy(ew);
}

static void items_are_published_one_after_the_other(void **state)
{
	static const char body[] = "[" EVENT "," EVENT "]";
	struct edge_world *ew = guarded_world();
	int fd = dial(ew, HW_EDGE_PUBLIC);
	char request[1024];

	(void)state;
	snprintf(request, sizeof(request),
		"POST /publish HTTP/1.1\r\nHost: h\r\n" BEARER
		"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s" HEALTH,
		sizeof(body) - 1, body);
	say_text(fd, request);
	for (int i = 0; i < 3; i++) { /* who it is, and each item */
		guard_is_asked(ew);
		assert_true(silent(fd));
		guard_answers(ew);
	}
	assert_int_equal(hear_http(ew, fd, false), 200);
	heard_part(ew, "-1\"},{\"ok\":true,\"id\":\"");
	assert_int_equal(hear_http(ew, fd, false), 200);
	assert_string_equal(guard_log.text, "ggg");
	close(fd);
	edge_world_destroy(ew);
}

static void an_upgrade_waits_for_the_login_and_keeps_what_came_behind_it(void **state)
{
	static const char text[] = "{\"type\":\"ping\"}";
	static const uint8_t mask[4] = {9, 8, 7, 6};
	struct edge_world *ew = guarded_world();
	int fd = dial(ew, HW_EDGE_PUBLIC);
	uint8_t frame[64];
	size_t n = hw_ws_header(frame, true, HW_WS_OP_TEXT, sizeof(text) - 1, mask);

	(void)state;
	memcpy(frame + n, text, sizeof(text) - 1);
	hw_ws_mask(frame + n, sizeof(text) - 1, mask, 0);
	say_text(fd,
		"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: "
		"Upgrade\r\n" BEARER
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
	say_bytes(fd, frame, n + sizeof(text) - 1);
	guard_is_asked(ew);
	assert_true(silent(fd));
	guard_answers(ew);
	assert_int_equal(hear_http(ew, fd, true), 101);
	hear(ew, fd, 28); /* and is not asked again */
	heard_part(ew, "{\"type\":\"pong\",\"topic\":\"\"}");
	close(fd);
	edge_world_destroy(ew);
}

/* Who has shown a token with its upgrade may say at once what a session may. */
static void a_message_of_full_size_waits_for_the_login_too(void **state)
{
	static const uint8_t mask[4] = {9, 8, 7, 6};
	struct edge_world *ew = guarded_world();
	int fd = dial(ew, HW_EDGE_PUBLIC);
	char text[20000];
	uint8_t frame[sizeof(text) + HW_WS_HEADER_BYTES];
	size_t n = hw_ws_header(frame, true, HW_WS_OP_TEXT, sizeof(text), mask);

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "{\"type\":\"ping\"}", 15);
	memcpy(frame + n, text, sizeof(text));
	hw_ws_mask(frame + n, sizeof(text), mask, 0);
	say_text(fd,
		"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: "
		"Upgrade\r\nSec-WebSocket-Protocol: hookwire.v1\r\n" BEARER
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
	assert_int_equal(hear_http(ew, fd, true), 101);
	guard_is_asked(ew);
	say_bytes(fd, frame, n + sizeof(text));
	/* another connection's answer: the loop has read this one's message by then */
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, HEALTH), 200);
	guard_answers(ew);
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_TEXT);
	heard_part(ew, "{\"type\":\"welcome\"");
	assert_int_equal(hear_frame(ew, fd, NULL), HW_WS_OP_TEXT);
	heard_part(ew, "{\"type\":\"pong\"}");
	close(fd);
	edge_world_destroy(ew);
}

static void a_refused_login_is_answered_when_it_is_decided(void **state)
{
	struct edge_world *ew = guarded_world();
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	guard->verdict = HW_DENY;
	say_text(fd, "POST /publish HTTP/1.1\r\nHost: h\r\n" BEARER
		     "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: "
		     "2\r\n\r\n");
	guard_answers(ew);
	hear(ew, fd, 0);
	assert_memory_equal(ew->answer, "HTTP/1.1 401 ", 13);
	close(fd);
	edge_world_destroy(ew);
}

static void order_close(struct edge_world *ew, void *arg)
{
	(void)arg;
	hw_edge_close_all(&ew->edge);
}

static void the_end_of_a_waiting_connection_cancels_its_question(void **state)
{
	struct edge_world *ew = guarded_world();
	int late = dial(ew, HW_EDGE_PUBLIC), open = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	say_text(late, "GET /cursor HTTP/1.1\r\nHost: h\r\n" BEARER "\r\n");
	guard_is_asked(ew);
	world_pass(ew, 30000);
	hear(ew, late, 0);
	assert_memory_equal(ew->answer, "HTTP/1.1 408 ", 13);
	close(late);
	close(open);
	open = dial(ew, HW_EDGE_PUBLIC);
	say_text(open, "GET /cursor HTTP/1.1\r\nHost: h\r\n" BEARER "\r\n");
	guard_is_asked(ew);
	on_loop(ew, order_close, NULL);
	assert_string_equal(guard_log.text, "gg!gg!");
	close(open);
	edge_world_destroy(ew);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_behind_a_waiting_request_waits_too),
		cmocka_unit_test(items_are_published_one_after_the_other),
		cmocka_unit_test(an_upgrade_waits_for_the_login_and_keeps_what_came_behind_it),
		cmocka_unit_test(a_message_of_full_size_waits_for_the_login_too),
		cmocka_unit_test(a_refused_login_is_answered_when_it_is_decided),
		cmocka_unit_test(the_end_of_a_waiting_connection_cancels_its_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
