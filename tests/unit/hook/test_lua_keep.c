/* What goes on without anybody asking: timers, the end of idle states, and what save keeps beyond a
 * state's end. */
#include "wait_world.h"

#include "hook/chain_internal.h"
#include "hook/lua_internal.h"

static int64_t counted(struct wait_world *ww, const char *name)
{
	return atomic_load(&hw_metrics_get(ww->w.metrics, HW_METRIC_COUNTER, name, "",
		"hook=\"test\",tenant=\"acme\",stage=\"every\"")
				    ->value);
}

static void pass(struct wait_world *ww, int64_t ms)
{
	while (ms-- > 0)
		wait_pass(ww, 1);
}

/* What ctx.state.n is, by an answer that says so. */
static int number_kept(struct wait_world *ww)
{
	struct wait_ask ask;
	enum hw_verdict verdict = wait_subscribe(ww, &ask, "a:n");

	assert_int_equal(verdict, HW_DENY);
	return atoi(ask.ask.message);
}

#define SAYS_N \
	"authorize = { subscribe = function(s, topic, ctx)\n" \
	"  if topic.id == 'stay' then while true do end end\n" \
	"  if topic.id == 'add' then ctx.state.n = (ctx.state.n or 0) + 1 return allow() end\n" \
	"  if topic.id == 'wait' then ctx.sleep(5000) return allow() end\n" \
	"  return deny('forbidden_topic', tostring(ctx.state.n or 0)) end },\n"

/* ---- every ---- */

static const char TICKS[] =
	"return policy { api = 1, " SAYS_N "\n"
	"every = {\n"
	"  { seconds = 1, run = function(ctx) ctx.state.n = (ctx.state.n or 0) + 1 end },\n"
	"  { seconds = 0.5, run = function(ctx) ctx.sleep(1200) ctx.log.info('slow tick') end },\n"
	"} }";

static void timers_run_and_may_wait_and_never_overlap(void **state)
{
	struct wait_world ww;

	(void)state;
	wait_init(&ww);
	world_policy(&ww.w, TICKS);
	assert_null(ww.w.bench->lua); /* nothing is made before it is due */
	pass(&ww, 499);
	assert_int_equal(counted(&ww, "hookwire_hook_calls_total"), 0);
	pass(&ww, 1);
	assert_int_equal(counted(&ww, "hookwire_hook_calls_total"), 1);
	pass(&ww, 499);
	assert_int_equal(number_kept(&ww), 0);
	pass(&ww, 1);
	assert_int_equal(number_kept(&ww), 1);
	pass(&ww, 9000);
	assert_int_equal(number_kept(&ww), 10);
	/* the slow one is due every 500 ms and takes 1200: every third time */
	assert_int_equal(counted(&ww, "hookwire_hook_calls_total"), 10 + 7);
	assert_int_equal(counted(&ww, "hookwire_hook_errors_total"), 0);
	assert_true(wait_log_says(&ww, "slow tick"));
	wait_fini(&ww);
}

static void a_timer_that_fails_is_told_and_comes_again(void **state)
{
	struct wait_world ww;

	(void)state;
	wait_init(&ww);
	world_policy(&ww.w,
		"return policy { api = 1, every = { { seconds = 1, run = function(ctx)\n"
		"ctx.sleep(1) error('no roles today') end } } }");
	pass(&ww, 3500);
	assert_int_equal(counted(&ww, "hookwire_hook_errors_total"), 3);
	{
		char *log = world_take_log(&ww.w);

		assert_non_null(strstr(log, "stage=every"));
		assert_non_null(strstr(log, "tenant=acme"));
		assert_non_null(strstr(log, "no roles today"));
		free(log);
	}
	wait_fini(&ww);
}

static void a_timer_that_is_killed_rests_by_the_breaker_and_makes_a_new_state(void **state)
{
	struct wait_world ww;

	(void)state;
	NEEDS_SIGNALS();
	wait_init(&ww);
	ww.w.breaker =
		(struct hw_breaker_rules){.failures = 2, .open_ms = 5000, .open_max_ms = 5000};
	world_policy(&ww.w,
		"return policy { api = 1, " SAYS_N
		"every = { { seconds = 1, run = function(ctx) while true do end end } } }");
	pass(&ww, 2000);
	assert_int_equal(counted(&ww, "hookwire_hook_errors_total"), 2);
	assert_null(ww.w.bench->lua);
	pass(&ww, 4000); /* open: the timer comes, and nothing runs */
	assert_int_equal(counted(&ww, "hookwire_hook_errors_total"), 2);
	pass(&ww, 1000);
	assert_int_equal(counted(&ww, "hookwire_hook_errors_total"), 3);
	wait_fini(&ww);
}

static void a_timer_that_waits_ends_with_its_bench(void **state)
{
	struct wait_world ww;

	(void)state;
	wait_init(&ww);
	world_policy(&ww.w, TICKS);
	pass(&ww, 600);
	hw_hook_bench_destroy(&ww.w.bench);
	pass(&ww, 5000);
	assert_int_equal(counted(&ww, "hookwire_hook_calls_total"), 1);
	assert_int_equal(counted(&ww, "hookwire_hook_errors_total"), 0);
	wait_fini(&ww);
}

static void wrong_timers_do_not_load(void **state)
{
	static const char *const wrong[][2] = {
		{"every = 1", "'every' must be a list, not a number"},
		{"every = {}", "'every' must be a list"},
		{"every = { 1 }", "not of numbers"},
		{"every = { { seconds = 0, run = print } }", "0.1 to 604800"},
		{"every = { { seconds = 0/0, run = print } }", "0.1 to 604800"},
		{"every = { { seconds = '1', run = print } }", "must be a number"},
		{"every = { { seconds = 1 } }", "'run' of every must be a function, not a nil"},
		{"every = { { seconds = 1, run = print, time = 1 } }",
			"unknown key 'time' in every"},
		{"every = { { seconds = 1, fun = print } }", "did you mean 'run'?"},
		{"save = 1", "'save' must be a function"},
		{"save = print", "registers no function"},
	};
	struct wait_world ww;

	(void)state;
	wait_init(&ww);
	for (size_t i = 0; i < HW_COUNT(wrong); i++) {
		char source[256];

		snprintf(source, sizeof(source), "return policy { api = 1, %s }", wrong[i][0]);
		assert_int_not_equal(world_load(&ww.w, false, source, NULL), 0);
		if (!strstr(ww.w.problem.text, wrong[i][1]))
			fail_msg("%s: '%s' does not say '%s'", wrong[i][0], ww.w.problem.text,
				wrong[i][1]);
	}
	{
		char source[2048] =
			"local t = {} for i = 1, 17 do t[i] = { seconds = 1, run = print } end "
			"return policy { api = 1, every = t }";

		assert_int_not_equal(world_load(&ww.w, false, source, NULL), 0);
		assert_non_null(strstr(ww.w.problem.text, "more than 16"));
	}
	wait_fini(&ww);
}

/* ---- idle states ---- */

static void a_state_that_nobody_asks_is_given_back(void **state)
{
	struct wait_world ww;
	struct wait_ask ask;

	(void)state;
	wait_init(&ww);
	ww.w.budget.idle_ms = 1000;
	ww.w.budget.deadline_ms = 60000;
	world_policy(&ww.w, "return policy { api = 1, " SAYS_N "}");
	assert_int_equal(wait_subscribe(&ww, &ask, "a:add"), HW_ALLOW);
	for (int i = 0; i < 10; i++) { /* asked now and then */
		pass(&ww, 900);
		assert_int_equal(number_kept(&ww), 1);
	}
	pass(&ww, 900);
	assert_non_null(ww.w.bench->lua);
	assert_int_equal(wait_subscribe(&ww, &ask, "a:wait"), HW_PENDING);
	pass(&ww, 4500);
	assert_non_null(ww.w.bench->lua); /* somebody waits in it */
	pass(&ww, 500);
	assert_int_equal(ask.ask.verdict, HW_ALLOW);
	pass(&ww, 2000);
	assert_null(ww.w.bench->lua);
	assert_int_equal(number_kept(&ww), 0);
	wait_fini(&ww);
}

static void timers_keep_a_state(void **state)
{
	struct wait_world ww;

	(void)state;
	wait_init(&ww);
	ww.w.budget.idle_ms = 1000;
	world_policy(&ww.w, "return policy { api = 1, " SAYS_N
			    "every = { { seconds = 30, run = function(ctx) ctx.state.n = "
			    "(ctx.state.n or 0) + 1 end } } }");
	pass(&ww, 95000);
	assert_int_equal(number_kept(&ww), 3);
	wait_fini(&ww);
}

static void what_an_idle_state_saves_comes_back(void **state)
{
	struct wait_world ww;
	struct wait_ask ask;

	(void)state;
	wait_init(&ww);
	ww.w.budget.idle_ms = 1000;
	world_policy(&ww.w, "return policy { api = 1, " SAYS_N
			    "save = function(ctx) return { n = ctx.state.n } end,\n"
			    "restore = function(saved, ctx) ctx.state.n = saved.n end }");
	for (int i = 0; i < 3; i++)
		assert_int_equal(wait_subscribe(&ww, &ask, "a:add"), HW_ALLOW);
	pass(&ww, 2000);
	assert_null(ww.w.bench->lua);
	assert_int_equal(number_kept(&ww), 3);
	pass(&ww, 2000);
	assert_null(ww.w.bench->lua);
	assert_int_equal(number_kept(&ww), 3); /* again, from the one before */
	wait_fini(&ww);
}

/* ---- reload ---- */

/* Loads @source as the next generation of the policy, and lets its bench take the other's place. */
static void reload(struct wait_world *ww, const char *source)
{
	struct hw_hook_entry *before_entry = ww->w.entry;
	struct hw_hook_chain *before_chain = ww->w.chain;
	struct hw_hook_bench *before = ww->w.bench;

	ww->w.entry = NULL;
	ww->w.chain = NULL;
	ww->w.bench = NULL;
	world_policy(&ww->w, source);
	hw_hook_bench_inherit(ww->w.bench, before);
	hw_hook_bench_destroy(&before);
	hw_hook_chain_unref(&before_chain);
	hw_hook_entry_unref(&before_entry);
}

#define KEEPS \
	"save = function(ctx) return { n = ctx.state.n } end,\n" \
	"restore = function(saved, ctx) ctx.state.n = saved.n end "

static void what_is_saved_is_there_after_a_reload(void **state)
{
	struct wait_world ww;
	struct wait_ask ask;

	(void)state;
	wait_init(&ww);
	world_policy(&ww.w, "return policy { api = 1, " SAYS_N KEEPS "}");
	for (int i = 0; i < 3; i++)
		assert_int_equal(wait_subscribe(&ww, &ask, "a:add"), HW_ALLOW);
	reload(&ww, "return policy { api = 1, " SAYS_N KEEPS "} -- second");
	/* a reload before anybody asks passes it on */
	reload(&ww, "return policy { api = 1, " SAYS_N KEEPS "} -- third");
	assert_int_equal(number_kept(&ww), 3);
	reload(&ww, "return policy { api = 1, " SAYS_N "} -- without");
	assert_int_equal(number_kept(&ww), 0);
	reload(&ww, "return policy { api = 1, " SAYS_N KEEPS "} -- again");
	assert_int_equal(number_kept(&ww), 0);
	wait_fini(&ww);
}

static void what_a_killed_state_kept_is_gone(void **state)
{
	struct wait_world ww;
	struct wait_ask ask;

	(void)state;
	NEEDS_SIGNALS();
	wait_init(&ww);
	world_policy(&ww.w, "return policy { api = 1, " SAYS_N KEEPS "}");
	assert_int_equal(wait_subscribe(&ww, &ask, "a:add"), HW_ALLOW);
	assert_int_equal(wait_subscribe(&ww, &ask, "a:stay"), HW_ERROR);
	reload(&ww, "return policy { api = 1, " SAYS_N KEEPS "} -- second");
	assert_int_equal(number_kept(&ww), 0);
	wait_fini(&ww);
}

/* Each save and restore that goes wrong: the policy goes on as one that is new, and the log says
 * why. */
static void keeping_may_fail(void **state)
{
	static const char *const wrong[][2] = {
		{"save = function() error('cannot save') end", "cannot save"},
		{"save = function() return { f = print } end", "function"},
		{"save = function() local t = {} for i = 1, 300 do t[i] = ('x'):rep(1000) end "
		 "return t end",
			"save gave more than 256 KiB"},
		{"save = function() return ctx.none end", "global 'ctx'"},
		{"save = function(ctx) ctx.sleep(1) end", "nothing may wait here"},
		{"save = function() while true do end end", "CPU time"},
		{"save = function() return { n = 1 } end, restore = function() error('cannot "
		 "restore') end",
			"cannot restore"},
		{"save = function() return { n = 1 } end, restore = function() while true do end "
		 "end",
			"CPU time"},
	};
	struct wait_world ww;
	struct wait_ask ask;

	(void)state;
	NEEDS_SIGNALS();
	wait_init(&ww);
	ww.w.budget.cpu_ms = 50; /* the long text takes a slow build a while */
	for (size_t i = 0; i < HW_COUNT(wrong); i++) {
		char source[1024];

		world_policy(&ww.w, "return policy { api = 1, on = { connect = print } }");
		snprintf(source, sizeof(source), "return policy { api = 1, " SAYS_N "%s }",
			wrong[i][0]);
		reload(&ww, source);
		assert_int_equal(wait_subscribe(&ww, &ask, "a:add"), HW_ALLOW);
		free(world_take_log(&ww.w));
		strcat(source, " -- second");
		reload(&ww, source);
		if (wait_subscribe(&ww, &ask, "a:n") == HW_ERROR) /* restore was killed, once */
			assert_int_equal(wait_subscribe(&ww, &ask, "a:n"), HW_DENY);
		assert_string_equal(ask.ask.message, "0");
		if (!wait_log_says(&ww, wrong[i][1]))
			fail_msg("%s", wrong[i][0]);
	}
	wait_fini(&ww);
}

static void a_reload_does_not_put_a_timer_off(void **state)
{
	struct wait_world ww;

	(void)state;
	wait_init(&ww);
	world_policy(&ww.w, TICKS);
	pass(&ww, 400);
	reload(&ww,
		"return policy { api = 1, " SAYS_N "every = {\n"
		"{ seconds = 1, run = function(ctx) ctx.state.n = (ctx.state.n or 0) + 1 end },\n"
		"{ seconds = 60, run = print } } }");
	pass(&ww, 100);
	assert_int_equal(
		counted(&ww, "hookwire_hook_calls_total"), 1); /* the second, when it was due */
	pass(&ww, 500);
	assert_int_equal(number_kept(&ww), 1);
	wait_fini(&ww);
}

/* A file may say something else each time it is run: here it has one timer less from the third
 * second on. The call that its breaker lets try is then none, and the next one may. */
static void a_timer_that_is_gone_leaves_the_breaker_as_it_was(void **state)
{
	struct wait_world ww;
	struct wait_ask wa;
	char policy[512];

	(void)state;
	NEEDS_SIGNALS();
	wait_init(&ww);
	ww.w.breaker = HW_BREAKER_DEFAULT;
	ww.w.breaker.failures = 1;
	snprintf(policy, sizeof(policy),
		"local every = { { seconds = 1000, run = function() end } }\n"
		"if os.time() < %lld then\n"
		"  every[2] = { seconds = 1, run = function() while true do end end }\n"
		"end\n"
		"return policy { api = 1, every = every,\n"
		"  authorize = { subscribe = function() return allow() end } }",
		(long long)(ww.w.wall_ms / 1000 + 3));
	world_policy(&ww.w, policy);
	wait_pass(&ww, 1000);
	assert_int_equal(wait_subscribe(&ww, &wa, "a:1"), HW_ERROR); /* it is open */
	wait_pass(&ww, 1000);
	wait_pass(&ww, 1000);
	assert_int_equal(wait_subscribe(&ww, &wa, "a:1"), HW_ALLOW);
	wait_fini(&ww);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_that_is_gone_leaves_the_breaker_as_it_was),
		cmocka_unit_test(timers_run_and_may_wait_and_never_overlap),
		cmocka_unit_test(a_timer_that_fails_is_told_and_comes_again),
		cmocka_unit_test(a_timer_that_is_killed_rests_by_the_breaker_and_makes_a_new_state),
		cmocka_unit_test(a_timer_that_waits_ends_with_its_bench),
		cmocka_unit_test(wrong_timers_do_not_load),
		cmocka_unit_test(a_state_that_nobody_asks_is_given_back),
		cmocka_unit_test(timers_keep_a_state),
		cmocka_unit_test(what_an_idle_state_saves_comes_back),
		cmocka_unit_test(what_is_saved_is_there_after_a_reload),
		cmocka_unit_test(what_a_killed_state_kept_is_gone),
		cmocka_unit_test(keeping_may_fail),
		cmocka_unit_test(a_reload_does_not_put_a_timer_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
