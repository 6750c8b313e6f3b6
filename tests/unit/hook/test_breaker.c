/* The circuit breaker: by itself, and between the chain and a hook that fails. */
#include "wait_world.h"

#include "hook/breaker.h"

/* ---- by itself ---- */

static void fail_times(
	struct hw_breaker *b, const struct hw_breaker_rules *rules, int n, int64_t now_ms)
{
	for (int i = 0; i < n; i++) {
		assert_true(hw_breaker_admit(b, now_ms));
		(void)hw_breaker_note(b, rules, true, now_ms);
	}
}

static void failures_in_a_row_open_it_and_the_pause_doubles(void **state)
{
	const struct hw_breaker_rules rules = {.failures = 3, .open_ms = 100, .open_max_ms = 350};
	struct hw_breaker b = {0};
	int64_t now_ms = 5000;

	(void)state;
	fail_times(&b, &rules, 2, now_ms);
	assert_true(hw_breaker_admit(&b, now_ms));
	assert_false(hw_breaker_note(&b, &rules, false, now_ms)); /* the row is broken */
	fail_times(&b, &rules, 2, now_ms);
	assert_true(hw_breaker_admit(&b, now_ms));
	assert_true(hw_breaker_note(&b, &rules, true, now_ms));
	for (int pause = 100; pause <= 800; pause *= 2) {
		int64_t bounded = pause < 350 ? pause : 350;

		assert_int_equal(b.state, HW_BREAKER_OPEN);
		assert_false(hw_breaker_admit(&b, now_ms + bounded - 1));
		now_ms += bounded;
		assert_true(hw_breaker_admit(&b, now_ms));
		assert_false(hw_breaker_admit(&b, now_ms)); /* one at a time */
		assert_true(hw_breaker_note(&b, &rules, true, now_ms));
	}
	now_ms += 350;
	assert_true(hw_breaker_admit(&b, now_ms));
	assert_false(hw_breaker_note(&b, &rules, false, now_ms));
	assert_int_equal(b.state, HW_BREAKER_CLOSED);
	fail_times(&b, &rules, 3, now_ms);
	assert_false(hw_breaker_admit(&b, now_ms + 99));
	assert_true(hw_breaker_admit(&b, now_ms + 100)); /* from the start again */
}

static void a_share_of_the_window_opens_it(void **state)
{
	const struct hw_breaker_rules rules = {.share_percent = 40,
		.min_calls = 10,
		.window_ms = 1000,
		.open_ms = 100,
		.open_max_ms = 100};
	struct hw_breaker b = {0};

	(void)state;
	/* 4 of 10 at the tenth call, 5 of which went well in between */
	for (int i = 0; i < 9; i++) {
		assert_true(hw_breaker_admit(&b, 5000));
		assert_false(hw_breaker_note(&b, &rules, i % 3 == 0, 5000 + i));
	}
	assert_true(hw_breaker_note(&b, &rules, true, 5009));
	/* the same again, but the window ends before the tenth */
	b = (struct hw_breaker){0};
	for (int i = 0; i < 9; i++)
		assert_false(hw_breaker_note(&b, &rules, i % 3 == 0, 5000 + i));
	assert_false(hw_breaker_note(&b, &rules, true, 6000));
	assert_int_equal(b.n_calls, 1);
}

static void what_says_nothing_leaves_it_half_open(void **state)
{
	const struct hw_breaker_rules rules = {.failures = 1, .open_ms = 100, .open_max_ms = 100};
	struct hw_breaker b = {0};

	(void)state;
	fail_times(&b, &rules, 1, 0);
	assert_true(hw_breaker_admit(&b, 100));
	hw_breaker_forget(&b);
	assert_true(hw_breaker_admit(&b, 100));
	/* one that began before it opened */
	b.state = HW_BREAKER_OPEN;
	b.open_until_ms = 1000;
	assert_false(hw_breaker_note(&b, &rules, false, 200));
	assert_int_equal(b.state, HW_BREAKER_OPEN);
}

/* ---- with a policy ---- */

static const char POLICY[] =
	"return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)\n"
	"  local what = topic.id\n"
	"  if what == 'stay' then while true do end end\n"
	"  if what == 'down' then return unavailable('the service is down') end\n"
	"  if what == 'late' then ctx.sleep(1e6) end\n"
	"  if what == 'soon' then ctx.sleep(10) end\n"
	"  if what == 'bug' then error('a mistake') end\n"
	"  if what == 'no' then return deny() end\n"
	"  return allow() end },\n"
	"  on = { connect = function(s, ctx) ctx.sleep(10) end } }";

static void setup(struct wait_world *ww)
{
	wait_init(ww);
	ww->w.breaker = HW_BREAKER_DEFAULT;
	world_policy(&ww->w, POLICY);
}

static enum hw_verdict answer_of(struct wait_world *ww, const char *topic)
{
	struct wait_ask ask;
	enum hw_verdict verdict = wait_subscribe(ww, &ask, topic);

	for (int i = 0; verdict == HW_PENDING && i < 3000; i++) {
		wait_pass(ww, 1);
		if (ask.n_decided)
			verdict = ask.ask.verdict;
	}
	return verdict;
}

static int64_t metric(struct wait_world *ww, const char *name)
{
	char full[64];

	snprintf(full, sizeof(full), "hookwire_hook_%s", name);
	return atomic_load(&hw_metrics_get(
		ww->w.metrics, HW_METRIC_COUNTER, full, "", "hook=\"test\",tenant=\"acme\"")
				    ->value);
}

static void a_hook_that_cannot_is_left_alone(void **state)
{
	static const char *const failing[] = {"a:down", "a:late", "a:stay"};
	struct wait_world ww;

	(void)state;
	NEEDS_SIGNALS();
	for (size_t i = 0; i < HW_COUNT(failing); i++) {
		setup(&ww);
		for (int n = 0; n < 3; n++)
			assert_int_equal(answer_of(&ww, failing[i]), HW_ERROR);
		assert_int_equal(metric(&ww, "breaker_open"), 1);
		assert_int_equal(metric(&ww, "breaker_opened_total"), 1);
		assert_int_equal(metric(&ww, "breaker_refused_total"), 0);
		assert_int_equal(answer_of(&ww, "a:fine"), HW_ERROR);
		assert_int_equal(metric(&ww, "breaker_refused_total"), 1);
		assert_true(wait_log_says(&ww, "left alone for a while"));
		wait_pass(&ww, 100);
		assert_int_equal(answer_of(&ww, "a:fine"), HW_ALLOW);
		assert_int_equal(metric(&ww, "breaker_open"), 0);
		assert_true(wait_log_says(&ww, "asked again"));
		wait_fini(&ww);
	}
}

static void mistakes_and_denials_do_not_open_it(void **state)
{
	struct wait_world ww;

	(void)state;
	setup(&ww);
	for (int n = 0; n < 30; n++) {
		assert_int_equal(answer_of(&ww, "a:bug"), HW_ERROR);
		assert_int_equal(answer_of(&ww, "a:no"), HW_DENY);
	}
	assert_int_equal(answer_of(&ww, "a:fine"), HW_ALLOW);
	assert_int_equal(metric(&ww, "breaker_opened_total"), 0);
	wait_fini(&ww);
}

/* The call that may try leaves with its session, or waits itself: the next may try, and only then.
 */
static void the_one_that_tries_may_leave(void **state)
{
	struct wait_world ww;
	struct wait_ask trying;

	(void)state;
	setup(&ww);
	for (int n = 0; n < 3; n++)
		assert_int_equal(answer_of(&ww, "a:down"), HW_ERROR);
	wait_pass(&ww, 100);
	assert_int_equal(wait_subscribe(&ww, &trying, "a:soon"), HW_PENDING);
	assert_int_equal(metric(&ww, "pending"), 1);
	assert_int_equal(answer_of(&ww, "a:fine"), HW_ERROR);
	hw_hooks_cancel(&trying.ask);
	assert_int_equal(metric(&ww, "pending"), 0);
	assert_int_equal(wait_subscribe(&ww, &trying, "a:soon"), HW_PENDING);
	wait_pass(&ww, 10);
	assert_int_equal(trying.ask.verdict, HW_ALLOW);
	assert_int_equal(answer_of(&ww, "a:fine"), HW_ALLOW);
	wait_fini(&ww);
}

static void pending_counts_lifecycle_hooks_too_and_ends_with_the_bench(void **state)
{
	struct wait_world ww;
	struct wait_ask a, b;

	(void)state;
	setup(&ww);
	assert_int_equal(wait_lifecycle(&ww, &a, HW_ON_CONNECT), HW_ALLOW);
	assert_int_equal(metric(&ww, "pending"), 1);
	wait_pass(&ww, 10);
	assert_int_equal(metric(&ww, "pending"), 0);
	assert_int_equal(wait_lifecycle(&ww, &a, HW_ON_CONNECT), HW_ALLOW);
	assert_int_equal(wait_subscribe(&ww, &b, "a:late"), HW_PENDING);
	assert_int_equal(metric(&ww, "pending"), 2);
	for (int n = 0; n < 3; n++)
		assert_int_equal(answer_of(&ww, "a:down"), HW_ERROR);
	assert_int_equal(metric(&ww, "breaker_open"), 1);
	hw_hook_bench_destroy(&ww.w.bench);
	assert_int_equal(metric(&ww, "pending"), 0);
	assert_int_equal(metric(&ww, "breaker_open"), 0);
	wait_fini(&ww);
}

static void without_rules_there_is_none(void **state)
{
	struct wait_world ww;

	(void)state;
	setup(&ww);
	ww.w.breaker = (struct hw_breaker_rules){0};
	world_policy(&ww.w, POLICY);
	for (int n = 0; n < 50; n++)
		assert_int_equal(answer_of(&ww, "a:down"), HW_ERROR);
	assert_int_equal(answer_of(&ww, "a:fine"), HW_ALLOW);
	wait_fini(&ww);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_in_a_row_open_it_and_the_pause_doubles),
		cmocka_unit_test(a_share_of_the_window_opens_it),
		cmocka_unit_test(what_says_nothing_leaves_it_half_open),
		cmocka_unit_test(a_hook_that_cannot_is_left_alone),
		cmocka_unit_test(mistakes_and_denials_do_not_open_it),
		cmocka_unit_test(the_one_that_tries_may_leave),
		cmocka_unit_test(pending_counts_lifecycle_hooks_too_and_ends_with_the_bench),
		cmocka_unit_test(without_rules_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
