/* What ctx offers a policy beside answers: shared values, counters, events of its own, tokens. A
 * policy checks itself with assert and allows; what it raises is in the answer's detail. */
#include "lua_world.h"

#include "hook/dict.h"
#include "hook/publish.h"

static void services_init(struct world *w)
{
	world_init(w);
	w->budget.cpu_ms = 500; /* a slow test machine is not what is tested */
}

static void run(struct world *w, bool global, const char *body)
{
	char source[4096];

	snprintf(source, sizeof(source),
		"return policy { api = 1, authenticate = function(req, ctx) %s return allow { "
		"user_id = 'u1', tenant_id = 'acme' } end, authorize = { subscribe = function(s, "
		"topic, ctx) %s return allow() end } }",
		global ? body : "", global ? "" : body);
	if (world_load(w, global, source, NULL) != 0)
		fail_msg("%s", w->problem.text);
}

static void assert_passes(struct world *w, const char *body)
{
	run(w, false, body);
	if (world_subscribe(w, "a:1") != HW_ALLOW)
		fail_msg("%s", w->answer.detail);
}

static void assert_raises(struct world *w, const char *body, const char *what)
{
	run(w, false, body);
	assert_int_equal(world_subscribe(w, "a:1"), HW_ERROR);
	if (!strstr(w->answer.detail, what))
		fail_msg("\"%s\" for \"%s\"", w->answer.detail, what);
}

/* ---- ctx.dict ---- */

static void values_keep_what_they_are(void **state HW_UNUSED)
{
	struct world w;

	services_init(&w);
	assert_passes(&w,
		"local d = ctx.dict "
		"assert(d.get('k') == nil and select('#', d.get('k')) == 1) "
		"for _, v in ipairs { 'text', '', 'a\\0b', 7, math.mininteger, 0.1, 1e300, 3.0, "
		"true, "
		"false } do "
		"  assert(d.set('k', v) == true) "
		"  local got = d.get('k') "
		"  assert(got == v and math.type(got) == math.type(v)) "
		"end "
		"assert(d.delete('k') == true and d.delete('k') == false and d.get('k') == nil)");
	world_fini(&w);
}

static void operations_answer_as_they_say(void **state HW_UNUSED)
{
	struct world w;

	services_init(&w);
	assert_passes(&w,
		"local d = ctx.dict "
		"assert(d.add('a', 1) == true and d.add('a', 2) == false and d.get('a') == 1) "
		"assert(d.incr('n') == 1 and d.incr('n', 41) == 42 and d.incr('n', -2) == 40) "
		"assert(d.cas('a', '1', 5) == false) " /* a text is no number */
		"assert(d.cas('a', 1, 5) == true and d.get('a') == 5) "
		"assert(d.cas('b', 1, 5) == false) "
		"assert(d.cas('b', nil, 'new') == true and d.cas('b', nil, 'newer') == false) "
		"assert(d.set('t', 'x', 50) == true)");
	w.mono_ms += 49;
	assert_passes(&w, "assert(ctx.dict.get('t') == 'x')");
	w.mono_ms++;
	assert_passes(&w, "assert(ctx.dict.get('t') == nil)");
	world_fini(&w);
}

static void what_makes_no_sense_is_an_error(void **state HW_UNUSED)
{
	static const struct {
		const char *body, *what;
	} cases[] = {
		{"ctx.dict.set('', 1)", "1 to 255 bytes"},
		{"ctx.dict.get(string.rep('k', 256))", "1 to 255 bytes"},
		{"ctx.dict.set('k', {})", "ctx.json.encode"},
		{"ctx.dict.set('k', nil)", "a text, a number or a boolean"},
		{"ctx.dict.set('k', string.rep('x', 65537))", "64 KiB"},
		{"ctx.dict.set('k', 0/0)", "no number"},
		{"ctx.dict.set('k', 1, -1)", "not negative"},
		{"ctx.dict.set('k', 'x') ctx.dict.incr('k')", "no integer"},
		{"ctx.dict.set('k', math.maxinteger) ctx.dict.incr('k')", "no integer"},
		{"ctx.dict.new = 1", ""},
	};
	struct world w;

	services_init(&w);
	for (size_t i = 0; i < HW_COUNT(cases); i++)
		assert_raises(&w, cases[i].body, cases[i].what);
	world_fini(&w);
}

static void a_full_space_says_so(void **state HW_UNUSED)
{
	struct world w;

	services_init(&w);
	assert_passes(&w, "local large, n = string.rep('x', 65000), 0 "
			  "while true do "
			  "  local ok, why = ctx.dict.set('k' .. n, large) "
			  "  if not ok then assert(ok == nil and why == 'full') break end "
			  "  n = n + 1 "
			  "end "
			  "assert(n > 50 and n < 70 and #ctx.dict.get('k0') == 65000)");
	world_fini(&w);
}

static void a_tenant_and_the_guards_have_their_own(void **state HW_UNUSED)
{
	struct world w;
	char *log;

	services_init(&w);
	assert_passes(&w, "ctx.dict.set('k', 'of acme')");
	w.tenant_id = "beta";
	assert_passes(&w, "assert(ctx.dict.get('k') == nil) ctx.dict.set('k', 'of beta')");
	run(&w, true, "assert(ctx.dict.get('k') == nil) ctx.dict.set('k', 'global')");
	assert_int_equal(world_authenticate(&w, "t"), HW_ALLOW);
	w.tenant_id = "acme";
	assert_passes(&w, "assert(ctx.dict.get('k') == 'of acme')");
	log = world_take_log(&w);
	free(log);
	world_fini(&w);
}

/* What a plugin counts, a policy reads. */
static void plugins_and_policies_share_it(void **state HW_UNUSED)
{
	struct hw_dict_value v = {HW_DICT_BYTES, HW_STR("from C")};
	struct world w;
	int64_t n;

	services_init(&w);
	assert_int_equal(
		hw_dict_set(w.env->dict, HW_STR("acme"), HW_STR("c"), &v, 0, w.mono_ms), 0);
	assert_int_equal(
		hw_dict_incr(w.env->dict, HW_STR("acme"), HW_STR("n"), 5, 0, w.mono_ms, &n), 0);
	assert_passes(&w, "assert(ctx.dict.get('c') == 'from C' and ctx.dict.incr('n') == 6 and "
			  "math.type(ctx.dict.get('n')) == 'integer')");
	world_fini(&w);
}

/* ---- ctx.metric ---- */

static void counters_are_counted(void **state HW_UNUSED)
{
	struct world w;

	services_init(&w);
	assert_passes(&w, "ctx.metric('seen') ctx.metric('seen', 4)");
	assert_int_equal(atomic_load(&hw_metrics_get(w.metrics, HW_METRIC_COUNTER,
				 "hookwire_policy_seen_total", "", "policy=\"test\"")
					      ->value),
		5);
	assert_raises(&w, "ctx.metric('Seen')", "a-z");
	assert_raises(&w, "ctx.metric('seen', -1)", "only grows");
	world_fini(&w);
}

/* ---- ctx.publish ---- */

struct published {
	int n;
	char tenant[16], event[256], by[16];
	unsigned depth;
};

static void take(
	void *arg, struct hw_str tenant, struct hw_str event, const char *by, unsigned depth)
{
	struct published *p = arg;

	p->n++;
	snprintf(p->tenant, sizeof(p->tenant), "%.*s", HW_STR_ARG(tenant));
	snprintf(p->event, sizeof(p->event), "%.*s", HW_STR_ARG(event));
	snprintf(p->by, sizeof(p->by), "%s", by);
	p->depth = depth;
}

static void nothing(void *arg)
{
	(void)arg;
}

#define EVENT "{ topic = 'a:1', event = 'ADDED', data = { entity_id = 'e1', payload = { n = 1 } } }"

static void events_wait_for_the_end_of_the_call(void **state HW_UNUSED)
{
	struct hw_timers *timers;
	struct published p = {0};
	struct world w;

	services_init(&w);
	timers = hw_timers_create(w.mono_ms);
	assert_passes(&w, "local ok, why = ctx.publish(" EVENT
			  ") assert(ok == nil and why:find('no tenant'))");
	assert_int_equal(hw_hook_inbox_open(w.env, 0, timers, nothing, NULL), 0);
	hw_hook_inbox_on_publish(w.env, 0, take, &p);
	assert_passes(&w, "assert(ctx.publish(" EVENT ") == true)");
	assert_int_equal(p.n, 0);
	assert_true(hw_hook_inbox_has(w.env, 0));
	hw_hook_inbox_run(w.env, 0);
	assert_false(hw_hook_inbox_has(w.env, 0));
	assert_int_equal(p.n, 1);
	assert_string_equal(p.tenant, "acme");
	assert_string_equal(p.by, "test");
	assert_int_equal(p.depth, 1);
	assert_string_equal(p.event, "{\"data\":{\"entity_id\":\"e1\",\"payload\":{\"n\":1}},"
				     "\"event\":\"ADDED\",\"topic\":\"a:1\"}");
	assert_passes(&w, "local ok, why = ctx.publish('{\"topic\":1}') "
			  "assert(ok == nil and #why > 0) "
			  "ok, why = ctx.publish({}) assert(ok == nil)");
	/* so many in one turn */
	assert_passes(&w, "for i = 1, 256 do assert(ctx.publish(" EVENT ")) end "
			  "local ok, why = ctx.publish(" EVENT
			  ") assert(ok == nil and why:find('too many'))");
	hw_hook_inbox_run(w.env, 0);
	assert_int_equal(p.n, 257);
	assert_int_equal(world_subscribe(&w, "a:1"), HW_ALLOW); /* and in the next again */
	world_forget_policy(&w);
	hw_hook_inbox_close(w.env, 0); /* what waits is forgotten */
	hw_timers_destroy(&timers);
	assert_int_equal(p.n, 257);
	world_fini(&w);
}

/* A call about an event that hooks published, four times removed, publishes no more. */
static void events_of_events_end(void **state HW_UNUSED)
{
	struct hw_ask ask = {.stage = HW_STAGE_TRANSFORM, .event = HW_STR("{}")};
	struct hw_timers *timers;
	struct published p = {0};
	struct world w;

	services_init(&w);
	timers = hw_timers_create(w.mono_ms);
	assert_int_equal(hw_hook_inbox_open(w.env, 0, timers, nothing, NULL), 0);
	hw_hook_inbox_on_publish(w.env, 0, take, &p);
	world_policy(&w, "return policy { api = 1, transform = function(event, ctx) "
			 "if not ctx.publish(" EVENT ") then return nil end "
			 "return event end }");
	for (unsigned depth = 0; depth < 6; depth++) {
		ask.depth = depth;
		assert_int_equal(world_ask(&w, &ask), depth < 4 ? HW_ALLOW : HW_DENY);
		hw_hook_inbox_run(w.env, 0);
		assert_int_equal(p.depth, depth < 4 ? depth + 1 : 4);
	}
	assert_int_equal(p.n, 4);
	world_forget_policy(&w);
	hw_hook_inbox_close(w.env, 0);
	hw_timers_destroy(&timers);
	world_fini(&w);
}

/* ---- ctx.crypto, ctx.jwt ---- */

#define KEY "0123456789abcdef0123456789abcdef"

static void random_bytes_differ(void **state HW_UNUSED)
{
	struct world w;

	services_init(&w);
	assert_passes(&w, "local a, b = ctx.crypto.random(16), ctx.crypto.random(16) "
			  "assert(#a == 32 and a:find('^%x+$') and a ~= b) "
			  "assert(#ctx.crypto.random(256) == 512)");
	assert_raises(&w, "ctx.crypto.random(0)", "1 to 256");
	assert_raises(&w, "ctx.crypto.random(257)", "1 to 256");
	world_fini(&w);
}

static void a_token_that_is_signed_is_verified(void **state HW_UNUSED)
{
	struct world w;

	services_init(&w);
	assert_int_equal(
		world_load(&w, true,
			"return policy { api = 1, authenticate = function(req, ctx) "
			"local token = ctx.jwt.sign({ sub = 'u9', exp = 1800000000 }, { key = '" KEY
			"' }) "
			"local claims = assert(ctx.jwt.verify(token)) "
			"return allow { user_id = claims.sub, tenant_id = 'acme' } end }",
			"{\"keys\":[{\"alg\":\"HS256\",\"secret\":\"" KEY "\"}]}"),
		0);
	if (world_authenticate(&w, "t") != HW_ALLOW)
		fail_msg("%s", w.answer.detail);
	assert_string_equal(w.answer.user_id, "u9");
	assert_raises(&w, "ctx.jwt.sign({}, {})", "'key' is missing");
	assert_raises(&w, "ctx.jwt.sign({}, { key = 'short' })", "ctx.jwt.sign");
	assert_raises(&w, "ctx.jwt.sign({}, { key = '" KEY "', alg = 'RS256' })", "HS512");
	assert_raises(&w, "ctx.jwt.sign({}, { key = '" KEY "', aud = 1 })", "unknown key 'aud'");
	assert_raises(&w, "ctx.jwt.sign('x', { key = '" KEY "' })", "table expected");
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_keep_what_they_are),
		cmocka_unit_test(operations_answer_as_they_say),
		cmocka_unit_test(what_makes_no_sense_is_an_error),
		cmocka_unit_test(a_full_space_says_so),
		cmocka_unit_test(a_tenant_and_the_guards_have_their_own),
		cmocka_unit_test(plugins_and_policies_share_it),
		cmocka_unit_test(counters_are_counted),
		cmocka_unit_test(events_wait_for_the_end_of_the_call),
		cmocka_unit_test(events_of_events_end),
		cmocka_unit_test(random_bytes_differ),
		cmocka_unit_test(a_token_that_is_signed_is_verified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
