/* ctx.http as a policy sees it. */
#include "wait_world.h"

#include "hook/http_client.h"
#include "hook/lua_internal.h"
#include "http_server.h"

struct http_world {
	struct wait_world ww;
	struct http_server server;
};

static void setup(struct http_world *w)
{
	wait_init(&w->ww);
	w->ww.w.budget.cpu_ms = 50; /* the kill has its own tests */
	http_server_start(&w->server);
}

static void teardown(struct http_world *w)
{
	world_forget_policy(&w->ww.w);
	hw_http_client_destroy(&hw_hook_env_io(w->ww.w.env, 0)->http);
	http_server_stop(&w->server);
	wait_fini(&w->ww);
}

/* Runs @body with `base` (the server's URL) and ctx; the verdict when it is decided. */
static enum hw_verdict run(struct http_world *w, const char *body)
{
	static struct wait_ask ask;
	char source[4096];
	enum hw_verdict verdict;

	snprintf(source, sizeof(source),
		"local base = 'http://127.0.0.1:%u'\n"
		"return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)\n%s\n"
		"return allow() end } }",
		w->server.port, body);
	world_policy(&w->ww.w, source);
	free(world_take_log(&w->ww.w));
	verdict = wait_subscribe(&w->ww, &ask, "a:b");
	if (verdict == HW_PENDING)
		wait_until(&w->ww, ask.n_decided);
	if (ask.ask.verdict == HW_ERROR) {
		char *log = world_take_log(&w->ww.w);

		print_message("%s", log);
		free(log);
	}
	return ask.ask.verdict;
}

static void answers_are_tables(void **state)
{
	struct http_world w;

	(void)state;
	setup(&w);
	assert_int_equal(
		run(&w, "local r = ctx.http.get(base .. '/json')\n"
			"assert(r.ok == true and r.status == 200 and r.error == nil)\n"
			"assert(r.headers['content-type'] == 'application/json')\n"
			"assert(r.headers['x-two'] == 'a, b')\n"
			"assert(r.body:sub(1, 1) == '{')\n"
			"assert(r.json.role == 'admin' and r.json.n[2] == 2)\n"
			"assert(rawequal(r.json, r.json) and r.other == nil)\n"
			"assert(getmetatable(r) == false and not pcall(setmetatable, r, {}))\n"
			"local no = ctx.http.get(base .. '/status/404')\n"
			"assert(no.ok == false and no.status == 404 and no.error == 'status 404')\n"
			"assert(no.body == 'no' and no.json == nil)\n"
			"local long = ctx.http.get(base .. '/bytes/1000', {max_bytes = 999})\n"
			"assert(long.ok == false and long.error:find('longer than 999 bytes'))\n"
			"local late = ctx.http.get(base .. '/stall', {timeout_ms = 30})\n"
			"assert(late.ok == false and late.status == nil and late.error == 'no "
			"answer within 30 ms')\n"
			"local none = ctx.http.get('http://127.0.0.1:1/')\n"
			"assert(none.ok == false and #none.error > 0)\n"
			"assert(not ctx.http.get('file:///etc/passwd').ok)"),
		HW_ALLOW);
	teardown(&w);
}

static void requests_are_what_the_options_say(void **state)
{
	struct http_world w;

	(void)state;
	setup(&w);
	assert_int_equal(run(&w, "local r = ctx.http.get(base .. '/echo?a=1', {query = {q = 'x "
				 "y&z', b = true, n = 3, list = {'1', 'ä'}},\n"
				 "  headers = {['X-B'] = '2', ['X-A'] = 'one'}})\n"
				 "assert(r.body:find('GET "
				 "/echo?a=1&b=true&list=1&list=%C3%A4&n=3&q=x%20y%26z HTTP/1.1', "
				 "1, true), r.body)\n"
				 "local a, b = r.body:find('X-A: one', 1, true), r.body:find('X-B: "
				 "2', 1, true)\n"
				 "assert(a and b and a < b)\n"
				 "r = ctx.http.post(base .. '/echo', {json = {role = 'x', list = "
				 "json.array {}}})\n"
				 "assert(r.body:find('POST /echo', 1, true) and "
				 "r.body:find('Content-Type: application/json', 1, true))\n"
				 "assert(r.body:find('\\r\\n\\r\\n{\"list\":[],\"role\":\"x\"}', "
				 "1, true), r.body)\n"
				 "r = ctx.http.post(base .. '/echo', {json = {}, headers = "
				 "{['content-type'] = 'application/x'}})\n"
				 "assert(r.body:find('content-type: application/x', 1, true) and "
				 "not r.body:find('application/json', 1, true))\n"
				 "r = ctx.http.request(base .. '/echo', {method = 'DELETE', body = "
				 "'b\\0c'})\n"
				 "assert(r.body:find('DELETE /echo', 1, true) and "
				 "r.body:find('Content-Length: 3', 1, true))\n"
				 "assert(not r.body:find('Content-Type', 1, true))\n"
				 "r = ctx.http.post(base .. '/echo')\n"
				 "assert(r.body:find('POST /echo', 1, true), r.body)\n"
				 "r = ctx.http.get(base .. '/echo', {headers = ctx.config, query = "
				 "ctx.config})\n"
				 "assert(r.ok)"),
		HW_ALLOW);
	teardown(&w);
}

static void wrong_options_say_what_is_wrong(void **state)
{
	static const char *const wrong[][2] = {
		{"ctx.http.get()", "string expected"},
		{"ctx.http.get('http://a b/')", "no spaces"},
		{"ctx.http.get('http://a/\\r\\nX: y')", "no spaces"},
		{"ctx.http.get('http://a/\\0')", "no spaces"},
		{"ctx.http.get(base, 'x')", "table expected"},
		{"ctx.http.get(base, {timout_ms = 1})", "did you mean 'timeout_ms'?"},
		{"ctx.http.get(base, {timeout_ms = 0})",
			"'timeout_ms' must be a whole number, 1 to 600000"},
		{"ctx.http.get(base, {max_bytes = 1 << 40})", "'max_bytes' must be"},
		{"ctx.http.request(base, {method = 'get'})", "'method' must be GET"},
		{"ctx.http.get(base, {headers = {['X-A'] = 'a\\r\\nX-B: c'}})",
			"no header may have"},
		{"ctx.http.get(base, {headers = {['X A'] = 'a'}})", "no header may have"},
		{"ctx.http.get(base, {headers = {['X:A'] = 'a'}})", "no header may have"},
		{"ctx.http.get(base, {headers = {['Content-Length'] = '5'}})",
			"set by the broker itself"},
		{"ctx.http.get(base, {headers = {['transfer-encoding'] = 'chunked'}})",
			"set by the broker itself"},
		{"ctx.http.get(base, {headers = {['X-A'] = {}}})", "a value in headers is a table"},
		{"ctx.http.get(base, {query = {1, 2}})", "a name in query is a number"},
		{"ctx.http.get(base, {query = {a = function() end}})",
			"a value in query is a function"},
		{"ctx.http.post(base, {body = 'x', json = 1})", "'body' or 'json', not both"},
		{"ctx.http.post(base, {body = {}})", "'body' must be a text"},
		{"ctx.http.post(base, {json = print})", "function"},
		{"ctx.http.get(base, {query = {a = ('x'):rep(9000)}})", "longer than 8 KiB"},
		{"local q = {} for i = 1, 65 do q['k' .. i] = 1 end ctx.http.get(base, {query = "
		 "q})",
			"query has more than 64 members"},
		{"ctx.http.get = nil", "read-only"},
		{"('a'):gsub('a', function() ctx.http.get(base) end)",
			"nothing may wait inside of string.gsub"},
	};
	struct http_world w;

	(void)state;
	setup(&w);
	for (size_t i = 0; i < HW_COUNT(wrong); i++) {
		char body[512];

		snprintf(body, sizeof(body),
			"local ok, why = pcall(function() %s end)\n"
			"if ok or not why:find([[%s]], 1, true) then error(tostring(why)) end",
			wrong[i][0], wrong[i][1]);
		if (run(&w, body) != HW_ALLOW)
			fail_msg("%s does not say '%s'", wrong[i][0], wrong[i][1]);
	}
	assert_int_equal(atomic_load(&w.server.n_requests), 0);
	teardown(&w);
}

/* Whoever leaves, is late or is ended takes the request along. */
static void a_request_ends_with_its_call(void **state)
{
	struct http_world w;
	struct wait_ask a, b;
	char source[512];

	(void)state;
	setup(&w);
	w.ww.w.budget.deadline_ms = 100;
	snprintf(source, sizeof(source),
		"return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)\n"
		"ctx.http.get('http://127.0.0.1:%u/stall', {timeout_ms = 60000}) return allow() "
		"end } }",
		w.server.port);
	world_policy(&w.ww.w, source);
	assert_int_equal(wait_subscribe(&w.ww, &a, "a:b"), HW_PENDING);
	assert_int_equal(wait_subscribe(&w.ww, &b, "a:b"), HW_PENDING);
	wait_until(&w.ww, atomic_load(&w.server.n_requests) == 2);
	hw_hooks_cancel(&a.ask);
	assert_int_equal(hw_http_client_count(hw_hook_env_io(w.ww.w.env, 0)->http), 1);
	wait_until(&w.ww, b.n_decided);
	assert_int_equal(b.ask.verdict, HW_ERROR);
	assert_int_equal(hw_http_client_count(hw_hook_env_io(w.ww.w.env, 0)->http), 0);
	assert_int_equal(wait_subscribe(&w.ww, &a, "a:b"), HW_PENDING);
	hw_hook_bench_destroy(&w.ww.w.bench);
	assert_int_equal(hw_http_client_count(hw_hook_env_io(w.ww.w.env, 0)->http), 0);
	assert_int_equal(a.ask.verdict, HW_ERROR);
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_tables),
		cmocka_unit_test(requests_are_what_the_options_say),
		cmocka_unit_test(wrong_options_say_what_is_wrong),
		cmocka_unit_test(a_request_ends_with_its_call),
	};

	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	unsetenv("all_proxy");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
