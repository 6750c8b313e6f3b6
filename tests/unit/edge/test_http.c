#include "edge_world.h"

#define OPEN \
	"return policy { api = 1, authorize = { subscribe = function() return allow() end," \
	" publish = function(s, t) if t.resource ~= 'shut' then return allow() end end } }"
#define GET(path, headers) "GET " path " HTTP/1.1\r\nHost: localhost\r\n" headers "\r\n"
#define BEARER "Authorization: Bearer ann@acme\r\n"
#define JSON "Content-Type: application/json\r\n"

static const char *const one_origin[] = {"https://app.example.com"};

static void list_an_origin(struct hw_settings *settings)
{
	settings->any_origin = false;
	settings->origins = one_origin;
	settings->n_origins = 1;
	settings->auth_cookie = "sid";
}

static void set_admin_token(struct hw_settings *settings)
{
	settings->admin_token = "s3cret";
}

/* A POST /publish on a connection of its own. */
static int publish(struct edge_world *ew, const char *headers, const char *body)
{
	static char request[70000];

	snprintf(request, sizeof(request),
		"POST /publish HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n%s", headers,
		strlen(body), body);
	return ask_once(ew, HW_EDGE_PUBLIC, request);
}

#define EVENT(topic) \
	"{\"topic\":\"" topic "\",\"event\":\"ADDED\",\"data\":{\"entity_id\":\"e\",\"payload\":" \
	"1}}"

static void health_is_answered_on_both_listeners_and_unknown_paths_are_not_found(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);

	(void)state;
	for (int kind = HW_EDGE_PUBLIC; kind <= HW_EDGE_ADMIN; kind++) {
		assert_int_equal(ask_once(ew, kind, GET("/healthz", "")), 200);
		assert_int_equal(ask_once(ew, kind, GET("/readyz", "")), 200);
		assert_int_equal(ask_once(ew, kind, GET("/nothing", "")), 404);
		heard_part(ew, "{\"code\":\"bad_request\",\"message\":\"");
	}
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC,
			"POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"),
		405);
	heard_part(ew, "\r\nAllow: GET, HEAD, OPTIONS\r\n");
	heard_part(ew, "\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, GET("/publish", "")), 405);
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC, "HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n"), 200);
	heard_part(ew, "\r\nContent-Length: 11\r\n");
	edge_world_destroy(ew);
}

static void pipelined_requests_are_answered_in_their_order_at_every_split(void **state)
{
	static const char requests[] = GET("/healthz", "")
		GET("/none", "") "POST /publish HTTP/1.1\r\nHost: h\r\n" JSON BEARER
				 "Transfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n" GET(
					 "/cursor", BEARER);
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	static const int expected[] = {200, 404, 207, 200};
	size_t step = 7;

	(void)state;
	for (size_t split = 1; split < sizeof(requests) - 1; split += step) {
		int fd = dial(ew, HW_EDGE_PUBLIC);

		say_bytes(fd, requests, split);
		on_loop(ew, nothing_to_do, NULL);
		say_bytes(fd, requests + split, sizeof(requests) - 1 - split);
		for (size_t i = 0; i < HW_COUNT(expected); i++)
			assert_int_equal(hear_http(ew, fd, false), expected[i]);
		close(fd);
	}
	edge_world_destroy(ew);
}

static void many_pipelined_requests_are_all_answered(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	static const char request[] = GET("/healthz", "");
	int fd = dial(ew, HW_EDGE_PUBLIC);
	char *all = malloc(1500 * sizeof(request));

	(void)state;
	for (size_t i = 0; i < 1500; i++)
		memcpy(all + i * (sizeof(request) - 1), request, sizeof(request) - 1);
	say_bytes(fd, all, 1500 * (sizeof(request) - 1));
	for (size_t i = 0; i < 1500; i++)
		assert_int_equal(hear_http(ew, fd, false), 200);
	free(all);
	close(fd);
	edge_world_destroy(ew);
}

static void what_is_no_request_is_refused_and_the_connection_ends(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	say_text(fd, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" GET("/healthz", ""));
	hear(ew, fd, 0);
	heard_part(ew, "HTTP/1.1 400 Bad Request\r\n");
	heard_part(ew, "\r\nConnection: close\r\n");
	not_heard(ew, "200 OK");
	close(fd);
	edge_world_destroy(ew);
}

static void late_heads_and_bodies_get_408_and_silence_is_closed(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	say_text(fd, "GET /hea");
	on_loop(ew, nothing_to_do, NULL);
	world_pass(ew, 9990);
	say_text(fd, "lthz");
	world_pass(ew, 20);
	hear(ew, fd, 0);
	heard_part(ew, "HTTP/1.1 408 ");
	close(fd);
	fd = dial(ew, HW_EDGE_PUBLIC);
	say_text(fd, "POST /publish HTTP/1.1\r\nHost: h\r\n" JSON BEARER
		     "Content-Length: 10\r\n\r\n12345");
	on_loop(ew, nothing_to_do, NULL);
	world_pass(ew, 29990);
	say_text(fd, "6");
	world_pass(ew, 20);
	hear(ew, fd, 0);
	heard_part(ew, "HTTP/1.1 408 ");
	close(fd);
	fd = dial(ew, HW_EDGE_PUBLIC);
	world_pass(ew, 10000);
	assert_int_equal(hear(ew, fd, 0), 0);
	close(fd);
	fd = dial(ew, HW_EDGE_PUBLIC);
	say_text(fd, GET("/healthz", ""));
	assert_int_equal(hear_http(ew, fd, false), 200);
	world_pass(ew, 59000);
	say_text(fd, GET("/healthz", ""));
	assert_int_equal(hear_http(ew, fd, false), 200);
	world_pass(ew, 60000);
	assert_int_equal(hear(ew, fd, 0), 0);
	close(fd);
	edge_world_destroy(ew);
}

static void continue_is_said_before_a_body_and_not_before_a_refusal(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	say_text(fd, "POST /publish HTTP/1.1\r\nHost: h\r\n" JSON BEARER
		     "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	hear(ew, fd, sizeof(HW_HTTP1_CONTINUE) - 1);
	assert_string_equal(ew->answer, HW_HTTP1_CONTINUE);
	say_text(fd, "[]");
	assert_int_equal(hear_http(ew, fd, false), 400);
	close(fd);
	fd = dial(ew, HW_EDGE_PUBLIC);
	say_text(fd, "POST /publish HTTP/1.1\r\nHost: h\r\n" JSON
		     "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	hear(ew, fd, 0);
	assert_memory_equal(ew->answer, "HTTP/1.1 401 ", 13);
	close(fd);
	edge_world_destroy(ew);
}

static void a_publish_is_authenticated_and_answered_one_by_one(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);

	(void)state;
	assert_int_equal(publish(ew, JSON, EVENT("a:1")), 401);
	heard_part(ew, "\r\nCache-Control: no-store\r\n");
	assert_int_equal(publish(ew, BEARER, EVENT("a:1")), 415);
	assert_int_equal(publish(ew, JSON "Authorization: Bearer nobody\r\n", EVENT("a:1")), 401);
	assert_int_equal(publish(ew, JSON BEARER, "{"), 400);
	assert_int_equal(publish(ew, JSON BEARER, "[]"), 400);
	assert_int_equal(publish(ew, JSON BEARER, EVENT("shut:1")), 403);
	heard_part(ew, "{\"code\":\"forbidden_topic\"");
	assert_int_equal(publish(ew, "Content-Type: Application/JSON; charset=utf-8\r\n" BEARER,
				 EVENT("a:1")),
		200);
	heard_part(ew, "{\"ok\":true,\"id\":\"");
	assert_int_equal(publish(ew, JSON BEARER, "[" EVENT("a:1") "," EVENT("shut:1") ",7]"), 207);
	heard_part(ew, "{\"results\":[{\"ok\":true,\"id\":\"");
	heard_part(ew, "\"},{\"ok\":false,\"code\":\"forbidden_topic\",");
	heard_part(ew, "},{\"ok\":false,\"code\":\"bad_request\",");
	assert_int_equal(publish(ew, JSON BEARER, "[" EVENT("a:1") "," EVENT("a:2") "]"), 200);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor?token=ann@acme", "")), 200);
	heard_part(ew, "-4\"}"); /* one, one of three, two */
	edge_world_destroy(ew);
}

/* The time that a connection lingers is for the peer's FIN; a long answer to a slow reader has its
 * own. */
static void a_last_answer_is_whole_for_a_slow_reader_too(void **state)
{
	enum { ITEMS = 1000 };
	struct edge_world *ew =
		edge_world_create("return policy { api = 1, authorize = { publish = function()"
				  " return deny('forbidden_topic', ('no '):rep(80)) end } }",
			NULL);
	struct hw_buf request;
	size_t len;
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	hw_buf_init(&request);
	hw_buf_printf(&request,
		"POST /publish HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" JSON BEARER
		"Content-Length: %zu\r\n\r\n",
		ITEMS * sizeof(EVENT("a:1")) + 1);
	for (int i = 0; i < ITEMS; i++)
		hw_buf_puts(&request, i == 0 ? "[" EVENT("a:1") : "," EVENT("a:1"));
	hw_buf_puts(&request, "]");
	say_bytes(fd, request.data, request.len);
	hear(ew, fd, 12);
	assert_memory_equal(ew->answer, "HTTP/1.1 207", 12);
	world_pass(ew, 20000);
	len = hear(ew, fd, 0);
	assert_true(len > ITEMS * 240);
	assert_memory_equal(ew->answer + len - 2, "]}", 2);
	hw_buf_fini(&request);
	close(fd);
	edge_world_destroy(ew);
}

static void idempotency_keys_come_from_the_header_and_the_items(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);

	(void)state;
	assert_int_equal(publish(ew, JSON BEARER "Idempotency-Key: k\r\n", EVENT("a:1")), 200);
	not_heard(ew, "duplicate");
	assert_int_equal(publish(ew, JSON BEARER "Idempotency-Key: k\r\n", EVENT("a:1")), 200);
	heard_part(ew, "-1\",\"duplicate\":true}");
	assert_int_equal(publish(ew, JSON BEARER "Idempotency-Key: k\r\n", EVENT("a:2")), 422);
	heard_part(ew, "{\"code\":\"bad_request\"");
	assert_int_equal(publish(ew, JSON BEARER "Idempotency-Key: k\r\n",
				 "[" EVENT("a:1") "," EVENT("a:1") "]"),
		200);
	not_heard(ew, "duplicate");
	assert_int_equal(
		publish(ew, JSON BEARER "Idempotency-Key: k\r\n", "[" EVENT("a:1") "]"), 200);
	heard_part(ew, "-2\",\"duplicate\":true}");
	assert_int_equal(publish(ew, JSON BEARER "Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
				 EVENT("a:1")),
		400);
	edge_world_destroy(ew);
}

static void tokens_that_are_several_or_malformed_are_bad_requests(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);

	(void)state;
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor?token=ann@acme&token=b", "")), 400);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor?token=%zz", "")), 400);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor", BEARER BEARER)), 400);
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor", "Authorization: Bearer\r\n")), 400);
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor", "Authorization: Bearer a b\r\n")), 400);
	/* another scheme is no token */
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor", "Authorization: Basic YTpi\r\n")), 401);
	heard_part(ew, "\r\nWWW-Authenticate: Bearer\r\n");
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor?token=", "")), 401);
	/* the query decides, whatever the header says */
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor?token=nobody", BEARER)), 401);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor", BEARER)), 200);
	edge_world_destroy(ew);
}

static void a_cookie_counts_only_with_a_listed_origin_and_never_for_a_post(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, list_an_origin);

	(void)state;
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor", "Cookie: x=1; sid=ann@acme\r\n")), 401);
	assert_int_equal(
		ask_once(ew, HW_EDGE_PUBLIC,
			GET("/cursor",
				"Cookie: sid=ann@acme\r\nOrigin: https://evil.example.com\r\n")),
		401);
	not_heard(ew, "Access-Control-Allow-Origin");
	heard_part(ew, "\r\nVary: Origin\r\n");
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC,
				 GET("/cursor", "Cookie: x=1; sid=ann@acme\r\nOrigin: "
						"https://app.example.com\r\n")),
		200);
	heard_part(ew, "\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n");
	assert_int_equal(
		publish(ew, JSON "Cookie: sid=ann@acme\r\nOrigin: https://app.example.com\r\n",
			EVENT("a:1")),
		401);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC,
				 "OPTIONS /publish HTTP/1.1\r\nHost: h\r\nOrigin: "
				 "https://app.example.com\r\n"
				 "Access-Control-Request-Method: POST\r\n\r\n"),
		204);
	heard_part(ew, "\r\nAccess-Control-Allow-Methods: GET, POST\r\n");
	edge_world_destroy(ew);
}

static void the_admin_api_wants_its_token_and_a_host_of_this_machine(void **state)
{
	static const char *const ours[] = {"[::1]", "[::1]:8081", "LocalHost:1", "127.0.0.1",
		"127.0.0.2:8081", "127.255.255.254"};
	static const char *const theirs[] = {"127.0.0.1.example", "127.1", "127.0.0.1234",
		"128.0.0.1", "[::1:1]", "localhost.", "127.0.0.1.1", "[::ffff:127.0.0.1]"};
	struct edge_world *ew = edge_world_create(OPEN, set_admin_token);
	char request[256];

	(void)state;
	assert_int_equal(ask_once(ew, HW_EDGE_ADMIN, GET("/metrics", "")), 200);
	heard_part(ew, "hookwire_http_requests_total ");
	assert_int_equal(ask_once(ew, HW_EDGE_ADMIN,
				 "GET /metrics HTTP/1.1\r\nHost: evil.example.com\r\n\r\n"),
		403);
	assert_int_equal(ask_once(ew, HW_EDGE_ADMIN,
				 "GET /metrics HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n"),
		403);
	for (size_t i = 0; i < HW_COUNT(ours); i++) {
		snprintf(request, sizeof(request), "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n",
			ours[i]);
		assert_int_equal(ask_once(ew, HW_EDGE_ADMIN, request), 200);
	}
	for (size_t i = 0; i < HW_COUNT(theirs); i++) {
		snprintf(request, sizeof(request), "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n",
			theirs[i]);
		assert_int_equal(ask_once(ew, HW_EDGE_ADMIN, request), 403);
	}
	assert_int_equal(ask_once(ew, HW_EDGE_ADMIN, GET("/api/status", "")), 401);
	assert_int_equal(
		ask_once(ew, HW_EDGE_ADMIN, GET("/api/status", "Authorization: Bearer s3creT\r\n")),
		401);
	assert_int_equal(
		ask_once(ew, HW_EDGE_ADMIN, GET("/api/status", "Authorization: Bearer s3cret\r\n")),
		200);
	heard_part(
		ew, "{\"version\":\"1.2.3\",\"generation\":1,\"draining\":false,\"sessions\":0}");
	assert_int_equal(ask_once(ew, HW_EDGE_ADMIN, GET("/api/none", "")), 401);
	assert_int_equal(
		ask_once(ew, HW_EDGE_ADMIN, GET("/api/none", "Authorization: Bearer s3cret\r\n")),
		404);
	assert_int_equal(ask_once(ew, HW_EDGE_ADMIN,
				 "POST /api/reload HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
				 "Bearer s3cret\r\n\r\n"),
		415);
	assert_int_equal(ask_once(ew, HW_EDGE_ADMIN,
				 "POST /api/reload HTTP/1.1\r\nHost: localhost\r\n" JSON
				 "Authorization: Bearer s3cret\r\n\r\n"),
		207);
	heard_part(ew, "{\"result\":\"partial\"}");
	assert_int_equal(ew->n_reloads, 1);
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, GET("/metrics", "")), 404);
	edge_world_destroy(ew);
}

static int reauthorize(struct edge_world *ew, const char *body)
{
	char request[512];

	snprintf(request, sizeof(request),
		"POST /api/reauthorize HTTP/1.1\r\nHost: localhost\r\n" JSON
		"Authorization: Bearer s3cret\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(body), body);
	return ask_once(ew, HW_EDGE_ADMIN, request);
}

static void who_is_authorized_again_is_said_in_the_body(void **state)
{
	static const char *const bad[] = {"", "{}", "[]", "{\"user\":1}", "{\"user\":\"\"}",
		"{\"users\":\"a\"}", "{\"user\":\"a\",\"us\\u0065r\":\"b\"}",
		"{\"user\":\"a\\u0000\"}", "{\"topic\":\"a\"}", "{\"user\":\"a\"}{}",
		"{\"user\":\"a\"", "{\"user\":\"a\",}"};
	struct edge_world *ew = edge_world_create(OPEN, set_admin_token);

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++)
		assert_int_equal(reauthorize(ew, bad[i]), 400);
	assert_int_equal(ew->n_reloads, 0);
	assert_int_equal(
		reauthorize(ew, "{\"user\":\"a\",\"tenant\":\"t\",\"topic\":\"a:*\"}"), 207);
	assert_int_equal(ew->n_reloads, 1);
	edge_world_destroy(ew);
}

static void close_all(struct edge_world *ew, void *arg)
{
	(void)arg;
	hw_edge_close_all(&ew->edge);
}

static void answer_kept(struct edge_world *ew, void *arg)
{
	(void)arg;
	ew->asked->status = 200;
	hw_loop_post(ew->loop, &ew->asked->answered);
}

static void who_goes_before_the_answer_does_no_harm(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, set_admin_token);
	int fd;

	(void)state;
	ew->keeps_requests = true;
	for (int i = 0; i < 2; i++) {
		unsigned before = ew->n_reloads;

		fd = dial(ew, HW_EDGE_ADMIN);
		say_text(fd, "POST /api/reload HTTP/1.1\r\nHost: localhost\r\n" JSON
			     "Authorization: Bearer s3cret\r\n\r\n");
		while (ew->n_reloads == before)
			assert_int_equal(ask_once(ew, HW_EDGE_ADMIN, GET("/healthz", "")), 200);
		/* others were served; the first is answered, the second never is */
		on_loop(ew, close_all, NULL);
		close(fd);
		if (i == 0)
			on_loop(ew, answer_kept, NULL);
	}
	assert_int_equal(ask_once(ew, HW_EDGE_ADMIN, GET("/healthz", "")), 200);
	edge_world_destroy(ew);
}

static void without_an_admin_token_the_api_is_shut(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);

	(void)state;
	assert_int_equal(
		ask_once(ew, HW_EDGE_ADMIN, GET("/api/status", "Authorization: Bearer \r\n")), 401);
	assert_int_equal(ask_once(ew, HW_EDGE_ADMIN, GET("/console", BEARER)), 401);
	edge_world_destroy(ew);
}

static void order_drain(struct edge_world *ew, void *arg)
{
	(void)arg;
	ew->world.worker.draining = true;
	hw_edge_drain(&ew->edge);
}

static void draining_closes_idle_connections_answers_the_others_and_is_not_ready(void **state)
{
	struct edge_world *ew = edge_world_create(OPEN, NULL);
	int idle = dial(ew, HW_EDGE_PUBLIC), begun = dial(ew, HW_EDGE_PUBLIC),
	    fresh = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	say_text(idle, GET("/healthz", ""));
	assert_int_equal(hear_http(ew, idle, false), 200);
	say_text(begun, "GET /ready");
	on_loop(ew, nothing_to_do, NULL);
	on_loop(ew, order_drain, NULL);
	assert_int_equal(hear(ew, idle, 0), 0);
	say_text(begun, "z HTTP/1.1\r\nHost: h\r\n\r\n");
	hear(ew, begun, 0);
	heard_part(ew, "HTTP/1.1 503 ");
	heard_part(ew, "\r\nRetry-After: 1\r\n");
	heard_part(ew, "\r\nConnection: close\r\n");
	heard_part(ew, "\"code\":\"draining\"");
	say_text(fresh, GET("/healthz", ""));
	hear(ew, fresh, 0);
	heard_part(ew, "HTTP/1.1 200 ");
	heard_part(ew, "\r\nConnection: close\r\n");
	close(idle);
	close(begun);
	close(fresh);
	assert_int_equal(publish(ew, JSON BEARER, EVENT("a:1")), 503);
	heard_part(ew, "\"code\":\"draining\"");
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, GET("/cursor", BEARER)), 503);
	heard_part(ew, "\r\nRetry-After: 1\r\n");
	heard_part(ew, "\"code\":\"draining\"");
	assert_int_equal(ask_once(ew, HW_EDGE_PUBLIC, GET("/healthz", "")), 200);
	edge_world_destroy(ew);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			health_is_answered_on_both_listeners_and_unknown_paths_are_not_found),
		cmocka_unit_test(pipelined_requests_are_answered_in_their_order_at_every_split),
		cmocka_unit_test(many_pipelined_requests_are_all_answered),
		cmocka_unit_test(what_is_no_request_is_refused_and_the_connection_ends),
		cmocka_unit_test(late_heads_and_bodies_get_408_and_silence_is_closed),
		cmocka_unit_test(continue_is_said_before_a_body_and_not_before_a_refusal),
		cmocka_unit_test(a_publish_is_authenticated_and_answered_one_by_one),
		cmocka_unit_test(a_last_answer_is_whole_for_a_slow_reader_too),
		cmocka_unit_test(idempotency_keys_come_from_the_header_and_the_items),
		cmocka_unit_test(tokens_that_are_several_or_malformed_are_bad_requests),
		cmocka_unit_test(a_cookie_counts_only_with_a_listed_origin_and_never_for_a_post),
		cmocka_unit_test(the_admin_api_wants_its_token_and_a_host_of_this_machine),
		cmocka_unit_test(who_is_authorized_again_is_said_in_the_body),
		cmocka_unit_test(who_goes_before_the_answer_does_no_harm),
		cmocka_unit_test(without_an_admin_token_the_api_is_shut),
		cmocka_unit_test(
			draining_closes_idle_connections_answers_the_others_and_is_not_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
