/* Requests on the loop: answers, failures, limits; and a resolver that never answers, which must
 * hold up nobody. */
#include "wait_world.h"

#include <netdb.h>

#include "hook/http_client.h"
#include "http_server.h"

#define MAX_GAP_MS 50

/* ---- the resolver: libcurl's threads call this one ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool silent;
	int n_running, n_most;
} resolver = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
	const struct addrinfo *hints, struct addrinfo **result);
__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *result);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
	struct addrinfo **result)
{
	struct {
		struct addrinfo info[2];
		struct sockaddr_in address[2];
	} * found;
	/* that host has another address before: 127.0.0.2 */
	int n = strcmp(node, "two.test") == 0 ? 2 : 1;

	(void)hints;
	pthread_mutex_lock(&resolver.lock);
	resolver.n_running++;
	if (resolver.n_most < resolver.n_running)
		resolver.n_most = resolver.n_running;
	while (resolver.silent)
		pthread_cond_wait(&resolver.changed, &resolver.lock);
	resolver.n_running--;
	pthread_mutex_unlock(&resolver.lock);
	found = calloc(1, sizeof(*found));
	if (!found)
		return EAI_MEMORY;
	for (int i = 0; i < n; i++) {
		found->address[i] = (struct sockaddr_in){.sin_family = AF_INET,
			.sin_port = htons((uint16_t)(service ? atoi(service) : 0)),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(n - 1 - i))};
		found->info[i] = (struct addrinfo){.ai_family = AF_INET,
			.ai_socktype = SOCK_STREAM,
			.ai_protocol = IPPROTO_TCP,
			.ai_addrlen = sizeof(found->address[i]),
			.ai_addr = (struct sockaddr *)&found->address[i],
			.ai_next = i + 1 < n ? &found->info[i + 1] : NULL};
	}
	*result = &found->info[0];
	return 0;
}

void freeaddrinfo(struct addrinfo *result)
{
	free(result);
}

static void set_silent(bool silent)
{
	pthread_mutex_lock(&resolver.lock);
	resolver.silent = silent;
	if (silent)
		resolver.n_most = 0;
	pthread_cond_broadcast(&resolver.changed);
	pthread_mutex_unlock(&resolver.lock);
}

static int resolver_most(void)
{
	int n;

	pthread_mutex_lock(&resolver.lock);
	n = resolver.n_most;
	pthread_mutex_unlock(&resolver.lock);
	return n;
}

/* ---- a client and what it asks ---- */

struct http_world {
	struct wait_world ww;
	struct http_server server;
	struct hw_http_client *client;
};

struct asked {
	struct hw_http_request *request;
	unsigned n_done;
	unsigned status;
	char error[256], body[65536];
	size_t len;
	struct asked *then_destroy;
};

static void setup(struct http_world *w)
{
	wait_init(&w->ww);
	http_server_start(&w->server);
	w->client = hw_http_client_create(&w->ww.poller, NULL);
	assert_non_null(w->client);
}

static void teardown(struct http_world *w)
{
	hw_http_client_destroy(&w->client);
	http_server_stop(&w->server);
	wait_fini(&w->ww);
}

static void on_done(struct hw_http_request *r, void *arg)
{
	struct asked *a = arg;
	struct hw_str body = hw_buf_view(&r->body);

	a->n_done++;
	a->status = r->status;
	snprintf(a->error, sizeof(a->error), "%s", r->error ? r->error : "");
	a->len = body.len < sizeof(a->body) ? body.len : sizeof(a->body) - 1;
	if (a->len > 0)
		memcpy(a->body, body.p, a->len);
	a->body[a->len] = '\0';
	assert_ptr_equal(r, a->request);
	hw_http_request_destroy(&a->request);
	if (a->then_destroy)
		hw_http_request_destroy(&a->then_destroy->request);
}

static int ask(struct http_world *w, struct asked *a, struct hw_http_spec spec, const char *host,
	const char *path)
{
	char url[256];

	snprintf(url, sizeof(url), "http://%s:%u%s", host, w->server.port, path);
	*a = (struct asked){0};
	spec.url = url;
	spec.method = spec.method ? spec.method : "GET";
	spec.timeout_ms = spec.timeout_ms ? spec.timeout_ms : WAIT_AT_MOST_MS;
	spec.max_bytes = spec.max_bytes ? spec.max_bytes : 65536;
	spec.done = on_done;
	spec.arg = a;
	return hw_http_start(w->client, &spec, &a->request);
}

static void get(struct http_world *w, struct asked *a, const char *path)
{
	assert_int_equal(ask(w, a, (struct hw_http_spec){0}, "127.0.0.1", path), 0);
}

static void an_answer_comes_and_the_connection_is_used_again(void **state)
{
	struct http_world w;
	struct asked a;

	(void)state;
	setup(&w);
	for (int i = 0; i < 5; i++) {
		get(&w, &a, "/json");
		wait_until(&w.ww, a.n_done);
		assert_string_equal(a.error, "");
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body, "{\"role\":\"admin\",\"n\":[1,2]}");
	}
	assert_int_equal(atomic_load(&w.server.n_connections), 1);
	assert_int_equal(atomic_load(&w.server.n_requests), 5);
	assert_int_equal(hw_http_client_count(w.client), 0);
	teardown(&w);
}

static void what_is_sent_is_what_was_said(void **state)
{
	static const char *const headers[] = {"X-Key: k", "X-Empty;", "Content-Type: text/x"};
	struct http_world w;
	struct asked a;

	(void)state;
	setup(&w);
	assert_int_equal(ask(&w, &a,
				 (struct hw_http_spec){.method = "PUT",
					 .headers = headers,
					 .n_headers = 3,
					 .body = HW_STR("hello")},
				 "127.0.0.1", "/echo?x=1"),
		0);
	wait_until(&w.ww, a.n_done);
	assert_non_null(strstr(a.body, "PUT /echo?x=1 HTTP/1.1\r\n"));
	assert_non_null(strstr(a.body, "\r\nX-Key: k\r\n"));
	assert_non_null(strstr(a.body, "\r\nX-Empty:\r\n"));
	assert_non_null(strstr(a.body, "\r\nContent-Type: text/x\r\n"));
	assert_non_null(strstr(a.body, "\r\nUser-Agent: hookwire/"));
	assert_non_null(strstr(a.body, "\r\n\r\nhello"));
	assert_null(strstr(a.body, "Expect"));
	teardown(&w);
}

static void failures_say_what_happened(void **state)
{
	struct http_world w;
	struct asked a;
	struct hw_quota memory;

	(void)state;
	setup(&w);
	get(&w, &a, "/close");
	wait_until(&w.ww, a.n_done);
	assert_string_not_equal(a.error, "");
	assert_int_equal(a.status, 0);
	assert_int_equal(
		ask(&w, &a, (struct hw_http_spec){.timeout_ms = 40}, "127.0.0.1", "/stall"), 0);
	wait_until(&w.ww, a.n_done);
	assert_string_equal(a.error, "no answer within 40 ms");
	assert_int_equal(
		ask(&w, &a, (struct hw_http_spec){.max_bytes = 999}, "127.0.0.1", "/bytes/1000"),
		0);
	wait_until(&w.ww, a.n_done);
	assert_string_equal(a.error, "the answer is longer than 999 bytes");
	assert_int_equal(
		ask(&w, &a, (struct hw_http_spec){.max_bytes = 1000}, "127.0.0.1", "/bytes/1000"),
		0);
	wait_until(&w.ww, a.n_done);
	assert_string_equal(a.error, "");
	hw_quota_init(&memory, 999);
	assert_int_equal(
		ask(&w, &a, (struct hw_http_spec){.memory = &memory}, "127.0.0.1", "/bytes/1000"),
		0);
	wait_until(&w.ww, a.n_done);
	assert_non_null(strstr(a.error, "no room in its memory"));
	assert_int_equal(atomic_load(&memory.used), 0);
	get(&w, &a, "/status/503");
	wait_until(&w.ww, a.n_done);
	assert_string_equal(a.error, "");
	assert_int_equal(a.status, 503);
	teardown(&w);
}

/* A listener whose queue is full, so that a client waits, and is refused when the listener goes. */
struct full_listener {
	int fd, fillers[4];
};

static void full_listener_open(struct full_listener *full, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};

	const int on = 1;

	full->fd = socket(AF_INET, SOCK_STREAM, 0);
	/* connections of another run may be remembered at this port */
	assert_int_equal(setsockopt(full->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(full->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(full->fd, 0), 0);
	for (size_t i = 0; i < HW_COUNT(full->fillers); i++) {
		full->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(full->fillers[i], (struct sockaddr *)&at, sizeof(at));
	}
}

static void full_listener_close(struct full_listener *full)
{
	close(full->fd);
	for (size_t i = 0; i < HW_COUNT(full->fillers); i++)
		close(full->fillers[i]);
}

/* A socket is waited for to become writable. */
static bool connects(const struct wait_world *ww)
{
	for (int i = 0; i < WAIT_POLLS; i++)
		if (ww->polls[i] && (ww->what[i] & HW_POLL_WRITE))
			return true;
	return false;
}

static void an_address_that_refuses_is_followed_by_the_next(void **state)
{
	struct full_listener full;
	struct http_world w;
	struct asked a;

	(void)state;
	setup(&w);
	full_listener_open(&full, (uint16_t)w.server.port);
	assert_int_equal(ask(&w, &a, (struct hw_http_spec){0}, "two.test", "/status/200"), 0);
	wait_until(&w.ww, connects(&w.ww));
	assert_int_equal(a.n_done, 0);
	full_listener_close(&full);
	wait_until(&w.ww, a.n_done);
	assert_string_equal(a.error, "");
	assert_int_equal(a.status, 200);
	teardown(&w);
}

/* The copy of what is sent is the client's, outside of any script's arena. */
static void what_is_sent_is_charged_until_the_request_is_gone(void **state)
{
	enum { LEN = 1000 };
	static const char body[LEN];
	struct http_world w;
	struct asked first, second;
	struct hw_quota memory;
	struct hw_http_spec spec = {
		.method = "POST", .body = {body, LEN}, .memory = &memory, .timeout_ms = 60000};

	(void)state;
	setup(&w);
	hw_quota_init(&memory, 2 * LEN - 1);
	assert_int_equal(ask(&w, &first, spec, "127.0.0.1", "/stall"), 0);
	assert_int_equal(atomic_load(&memory.used), LEN);
	assert_int_equal(ask(&w, &second, spec, "127.0.0.1", "/stall"), -EDQUOT);
	assert_int_equal(atomic_load(&memory.used), LEN);
	assert_int_equal(hw_http_client_count(w.client), 1);
	hw_http_request_destroy(&first.request);
	assert_int_equal(atomic_load(&memory.used), 0);
	assert_int_equal(ask(&w, &second, spec, "127.0.0.1", "/status/200"), 0);
	wait_until(&w.ww, second.n_done);
	assert_string_equal(second.error, "");
	assert_int_equal(atomic_load(&memory.used), 0);
	teardown(&w);
}

static void what_is_no_url_of_the_web_is_refused(void **state)
{
	static const char *const urls[] = {"file:///etc/passwd", "gopher://127.0.0.1/",
		"ftp://127.0.0.1/", "http://", "http:///x", "http://a b/"};
	struct http_world w;
	struct asked a;

	(void)state;
	setup(&w);
	for (size_t i = 0; i < HW_COUNT(urls); i++) {
		struct hw_http_spec spec = {.method = "GET",
			.url = urls[i],
			.timeout_ms = 1000,
			.max_bytes = 100,
			.done = on_done,
			.arg = &a};

		a = (struct asked){0};
		if (hw_http_start(w.client, &spec, &a.request) != 0)
			continue;
		wait_until(&w.ww, a.n_done);
		assert_string_not_equal(a.error, "");
		assert_int_equal(a.len, 0);
	}
	teardown(&w);
}

static void a_destroyed_request_is_never_heard_of(void **state)
{
	struct http_world w;
	struct asked a, b, other;

	(void)state;
	setup(&w);
	get(&w, &a, "/stall");
	hw_http_request_destroy(&a.request); /* queued */
	get(&w, &a, "/json");
	get(&w, &b, "/json");
	a.then_destroy = &b; /* from the other's end, maybe between the two ends */
	b.then_destroy = &a;
	wait_until(&w.ww, a.n_done + b.n_done > 0);
	get(&w, &other, "/json");
	wait_until(&w.ww, other.n_done);
	wait_until(&w.ww, hw_http_client_count(w.client) == 0);
	assert_int_equal(a.n_done + b.n_done, 1);
	teardown(&w);
}

/* ---- the silent resolver ---- */

static int64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

enum { ASKED = 12 };

static void a_silent_resolver_holds_up_nobody(void **state)
{
	static const char owner[2];
	struct http_world w;
	struct asked *asked = calloc(ASKED + 1, sizeof(*asked)), *numeric = &asked[ASKED];
	unsigned n_done = 0;
	int64_t cpu_before;

	(void)state;
	setup(&w);
	set_silent(true);
	for (int i = 0; i < ASKED; i++)
		assert_int_equal(
			ask(&w, &asked[i],
				(struct hw_http_spec){.timeout_ms = 100, .owner = &owner[0]},
				"silent.example", "/json"),
			0);
	/* an address needs no resolver, and another's requests no leave */
	assert_int_equal(
		ask(&w, numeric, (struct hw_http_spec){.owner = &owner[1]}, "127.0.0.1", "/json"),
		0);
	wait_until(&w.ww, numeric->n_done);
	assert_string_equal(numeric->error, "");
	while (n_done < ASKED) {
		wait_turn(&w.ww);
		n_done = 0;
		for (int i = 0; i < ASKED; i++)
			n_done += asked[i].n_done;
	}
	for (int i = 0; i < ASKED; i++)
		assert_non_null(strstr(asked[i].error,
			i < HW_HTTP_OWNER_RESOLVES ? "name is not resolved" : "other names"));
	assert_int_equal(hw_http_client_resolves(w.client), HW_HTTP_OWNER_RESOLVES);
	/* another ten: not one thread more */
	for (int i = 0; i < ASKED; i++)
		assert_int_equal(
			ask(&w, &asked[i],
				(struct hw_http_spec){.timeout_ms = 20, .owner = &owner[0]},
				"silent.example", "/json"),
			0);
	cpu_before = cpu_ms();
	for (int64_t from_ms = wall_ms(); wall_ms() - from_ms < 300;)
		wait_turn(&w.ww);
	assert_true(cpu_ms() - cpu_before < 150); /* it sleeps, it does not spin */
	assert_int_equal(resolver_most(), HW_HTTP_OWNER_RESOLVES);
	set_silent(false);
	wait_until(&w.ww, hw_http_client_resolves(w.client) == 0);
	assert_int_equal(hw_http_client_count(w.client), 0);
	assert_int_equal(ask(&w, numeric, (struct hw_http_spec){.owner = &owner[0]},
				 "silent.example", "/json"),
		0);
	wait_until(&w.ww, numeric->n_done);
	assert_string_equal(numeric->error, "");
	free(asked);
	teardown(&w);
}

static void resolves_of_all_are_bounded(void **state)
{
	enum { OWNERS = HW_HTTP_RESOLVES / HW_HTTP_OWNER_RESOLVES + 3 };
	static const char owner[OWNERS];
	struct http_world w;
	struct asked *asked = calloc(OWNERS * HW_HTTP_OWNER_RESOLVES, sizeof(*asked));

	(void)state;
	setup(&w);
	set_silent(true);
	for (int i = 0; i < OWNERS * HW_HTTP_OWNER_RESOLVES; i++)
		assert_int_equal(ask(&w, &asked[i],
					 (struct hw_http_spec){
						 .timeout_ms = 200, .owner = &owner[i % OWNERS]},
					 "silent.example", "/json"),
			0);
	wait_until(&w.ww, asked[OWNERS * HW_HTTP_OWNER_RESOLVES - 1].n_done);
	assert_int_equal(hw_http_client_resolves(w.client), HW_HTTP_RESOLVES);
	assert_in_range(
		resolver_most(), HW_HTTP_RESOLVES - HW_HTTP_OWNER_RESOLVES, HW_HTTP_RESOLVES);
	set_silent(false);
	wait_until(&w.ww, hw_http_client_count(w.client) == 0);
	free(asked);
	teardown(&w);
}

static void the_client_ends_without_waiting_for_a_resolve(void **state)
{
	struct http_world w;
	struct asked a, b;
	int64_t from_ms;

	(void)state;
	setup(&w);
	set_silent(true);
	assert_int_equal(
		ask(&w, &a, (struct hw_http_spec){.timeout_ms = 30}, "silent.example", "/json"), 0);
	assert_int_equal(ask(&w, &b, (struct hw_http_spec){0}, "silent.example", "/json"), 0);
	wait_until(&w.ww, a.n_done);
	hw_http_request_destroy(&b.request);
	from_ms = wall_ms();
	hw_http_client_destroy(&w.client);
	assert_true(wall_ms() - from_ms < MAX_GAP_MS * 4);
	set_silent(false);
	for (;;) { /* the threads use what this program's end takes away */
		int n;

		pthread_mutex_lock(&resolver.lock);
		n = resolver.n_running;
		pthread_mutex_unlock(&resolver.lock);
		if (n == 0)
			break;
		wait_turn(&w.ww);
	}
	teardown(&w);
}

struct stub {
	unsigned n_asked;
	int64_t delay_ms;
	const char *body;
};

static int64_t answer(void *arg, const struct hw_http_spec *spec, struct hw_http_request *request)
{
	struct stub *stub = arg;

	stub->n_asked++;
	assert_string_equal(spec->method, "GET");
	assert_string_equal(spec->url, "http://stub.example/x");
	request->status = 201;
	hw_buf_puts(&request->body, stub->body);
	return stub->delay_ms;
}

static void a_stub_takes_the_place_of_the_network(void **state HW_UNUSED)
{
	struct hw_http_spec spec = {.method = "GET",
		.url = "http://stub.example/x",
		.timeout_ms = 30,
		.max_bytes = 4,
		.done = on_done};
	struct stub stub = {.body = "four"};
	struct asked a = {0};
	struct http_world w;

	setup(&w);
	spec.arg = &a;
	hw_http_client_stub(w.client, answer, &stub);
	/* not before the loop's turn, and what it said is what comes */
	assert_int_equal(hw_http_start(w.client, &spec, &a.request), 0);
	assert_int_equal(a.n_done, 0);
	wait_until(&w.ww, a.n_done);
	assert_int_equal(a.status, 201);
	assert_string_equal(a.body, "four");
	assert_string_equal(a.error, "");
	/* limits count as ever */
	stub.body = "five!";
	assert_int_equal(hw_http_start(w.client, &spec, &a.request), 0);
	wait_until(&w.ww, a.n_done == 2);
	assert_string_equal(a.error, "the answer is longer than 4 bytes");
	stub = (struct stub){.body = "four", .delay_ms = 30};
	assert_int_equal(hw_http_start(w.client, &spec, &a.request), 0);
	wait_until(&w.ww, a.n_done == 3);
	assert_string_equal(a.error, "no answer within 30 ms");
	/* one that is destroyed is not heard of */
	assert_int_equal(hw_http_start(w.client, &spec, &a.request), 0);
	hw_http_request_destroy(&a.request);
	assert_int_equal(hw_http_client_count(w.client), 0);
	teardown(&w);
	assert_int_equal(a.n_done, 3);
	assert_int_equal(stub.n_asked, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_comes_and_the_connection_is_used_again),
		cmocka_unit_test(what_is_sent_is_what_was_said),
		cmocka_unit_test(failures_say_what_happened),
		cmocka_unit_test(an_address_that_refuses_is_followed_by_the_next),
		cmocka_unit_test(what_is_sent_is_charged_until_the_request_is_gone),
		cmocka_unit_test(what_is_no_url_of_the_web_is_refused),
		cmocka_unit_test(a_destroyed_request_is_never_heard_of),
		cmocka_unit_test(a_silent_resolver_holds_up_nobody),
		cmocka_unit_test(resolves_of_all_are_bounded),
		cmocka_unit_test(the_client_ends_without_waiting_for_a_resolve),
		cmocka_unit_test(a_stub_takes_the_place_of_the_network),
	};

	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	unsetenv("all_proxy");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
