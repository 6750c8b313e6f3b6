#include "edge_world.h"

/* Polls, as far as time decides: it passes when the test says so. */

#define OPEN \
	"return policy { api = 1, authorize = { subscribe = function() return allow() end," \
	" publish = function() return allow() end } }"
#define ANN "Authorization: Bearer ann@acme\r\n"
#define LINGER_MS 30000
#define WAIT_DEFAULT_MS 25000

static int64_t count(const struct hw_metric *metric)
{
	return atomic_load(&metric->value);
}

static int64_t n_sessions(struct edge_world *ew)
{
	return count(ew->world.counters.sessions);
}

static void wait_for(struct edge_world *ew, const struct hw_metric *metric, int64_t n)
{
	for (int i = 0; i < 1000 && count(metric) != n; i++)
		on_loop(ew, nothing_to_do, NULL);
	assert_int_equal(count(metric), n);
}

static void ask(int fd, const char *query)
{
	char text[512];

	snprintf(text, sizeof(text), "GET /poll?%s HTTP/1.1\r\nHost: h\r\n" ANN "\r\n", query);
	say_text(fd, text);
}

static void publish(struct edge_world *ew)
{
	static const char event[] = "{\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":"
				    "{\"entity_id\":\"e\",\"payload\":1}}";
	char text[512];

	snprintf(text, sizeof(text),
		"POST /publish HTTP/1.1\r\nHost: h\r\n" ANN
		"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		sizeof(event) - 1, event);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, text), 200);
}

static void a_session_lives_from_poll_to_poll_and_thirty_seconds_more(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	ask(fd, "topics=a:1&wait=0");
	assert_int_equal(hear_http(ew, fd, false), 200);
	for (int i = 0; i < 3; i++) {
		world_pass(ew, LINGER_MS - 1);
		assert_int_equal(n_sessions(ew), 1);
		ask(fd, "topics=a:1&wait=0");
		assert_int_equal(hear_http(ew, fd, false), 200);
	}
	assert_int_equal(n_sessions(ew), 1);
	world_pass(ew, LINGER_MS + 1);
	assert_int_equal(n_sessions(ew), 0);
	assert_int_equal(count(ew->world.counters.subscriptions), 0);
	ask(fd, "topics=a:1&wait=0");
	assert_int_equal(hear_http(ew, fd, false), 200);
	assert_int_equal(n_sessions(ew), 1);
	close(fd);
	edge_world_destroy(ew);
}

static void who_left_does_not_keep_the_session_longer(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	ask(fd, "topics=a:1&wait=60");
	wait_for(ew, ew->world.counters.polls_waiting, 1);
	world_pass(ew, LINGER_MS + 1);
	assert_int_equal(n_sessions(ew), 1); /* somebody polls */
	close(fd);
	wait_for(ew, ew->world.counters.polls_waiting, 0);
	wait_for(ew, ew->world.counters.connections, 0);
	world_pass(ew, LINGER_MS - 1);
	assert_int_equal(n_sessions(ew), 1);
	world_pass(ew, 2);
	assert_int_equal(n_sessions(ew), 0);
	edge_world_destroy(ew);
}

static void a_poll_waits_as_long_as_it_says(void **state)
{
	static const struct {
		const char *query;
		int64_t wait_ms;
	} cases[] = {{"topics=a:1", WAIT_DEFAULT_MS}, {"topics=a:1&wait=7", 7000},
		{"topics=a:1&wait=60", 60000}};
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		ask(fd, cases[i].query);
		wait_for(ew, ew->world.counters.polls_waiting, 1);
		world_pass(ew, cases[i].wait_ms - 1);
		assert_int_equal(count(ew->world.counters.polls_waiting), 1);
		world_pass(ew, 1);
		assert_int_equal(hear_http(ew, fd, false), 200);
		heard_part(ew, "{\"events\":[],\"cursor\":\"");
	}
	close(fd);
	edge_world_destroy(ew);
}

static void an_event_ends_the_wait_and_a_request_behind_it_waits_its_turn(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	ask(fd, "topics=a:1&wait=60");
	wait_for(ew, ew->world.counters.polls_waiting, 1);
	say_text(fd, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
	publish(ew);
	assert_int_equal(hear_http(ew, fd, false), 200);
	heard_part(ew, "{\"events\":[{\"topic\":\"a:1\"");
	assert_int_equal(hear_http(ew, fd, false), 200);
	heard_part(ew, "{\"ok\":true}");
	close(fd);
	edge_world_destroy(ew);
}

static void heartbeats_are_not_asked_of_who_polls(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	for (int i = 0; i < 8; i++) {
		ask(fd, "topics=a:1&wait=29");
		wait_for(ew, ew->world.counters.polls_waiting, 1);
		world_pass(ew, 29000);
		assert_int_equal(hear_http(ew, fd, false), 200);
		assert_int_equal(n_sessions(ew), 1);
	}
	assert_int_equal(count(ew->world.counters.http_requests), 8);
	close(fd);
	edge_world_destroy(ew);
}

static void a_worker_that_ends_takes_its_polls_with_it(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int waits = dial(ew, HW_EDGE_PUBLIC), idle = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	ask(waits, "topics=a:1&wait=60");
	ask(idle, "topics=b:1&wait=0");
	wait_for(ew, ew->world.counters.polls_waiting, 1);
	assert_int_equal(hear_http(ew, idle, false), 200);
	edge_world_destroy(ew);
	close(waits);
	close(idle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_lives_from_poll_to_poll_and_thirty_seconds_more),
		cmocka_unit_test(who_left_does_not_keep_the_session_longer),
		cmocka_unit_test(a_poll_waits_as_long_as_it_says),
		cmocka_unit_test(an_event_ends_the_wait_and_a_request_behind_it_waits_its_turn),
		cmocka_unit_test(heartbeats_are_not_asked_of_who_polls),
		cmocka_unit_test(a_worker_that_ends_takes_its_polls_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
