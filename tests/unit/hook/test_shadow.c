/* Shadows: asked and counted, and nothing of them comes into a decision. */
#include "chain_world.h"
#include "hook/inbox.h"
#include "hook/series.h"

#include <time.h>

enum what { UNREGISTERED, DEFERS, ALLOWS, DENIES, FAILS, NONSENSE, N_WHAT };

static const enum hw_verdict verdict_of[N_WHAT] = {
	HW_DEFER, HW_DEFER, HW_ALLOW, HW_DENY, HW_ERROR, (enum hw_verdict)77};

#define EVENT "{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\"}}"
#define OTHER "{\"topic\":\"a:1\",\"event\":\"F\",\"data\":{\"entity_id\":\"f\"}}"

/* Entry @i is one; what is counted is looked up when benches begin, so they begin anew. */
static void make_shadow(struct world *w, size_t i)
{
	w->fakes[i]->base.shadow = true;
	hw_hook_bench_destroy(&w->global);
	hw_hook_bench_destroy(&w->tenant);
	w->global = bench_of(w, 0, N_GLOBAL, "");
	w->tenant = bench_of(w, N_GLOBAL, N_TENANT, "acme");
}

static struct hw_hook_bench *bench_with(struct world *w, size_t i)
{
	return i < N_GLOBAL ? w->global : w->tenant;
}

static struct hw_bench_stats *stats_of(struct world *w, size_t i)
{
	return &bench_with(w, i)->stats[i < N_GLOBAL ? i : i - N_GLOBAL];
}

static long long value_of(struct hw_metric *metric)
{
	return metric ? (long long)atomic_load(&metric->value) : -1;
}

static long long n_agree(struct world *w, size_t i, enum hw_hook_stage stage, bool yes)
{
	return value_of(stats_of(w, i)->stages[stage]->agrees[yes]);
}

/* ---- it is as if it were not there, and what is counted is what it would have changed ---- */

struct outcome {
	enum hw_verdict verdict;
	char code[32], by[8], event[128];
};

static void instruct(struct world *w, enum hw_hook_stage stage, enum hw_operation operation,
	const enum what *what)
{
	for (size_t i = 0; i < HW_COUNT(w->fakes); i++) {
		struct fake *f = w->fakes[i];

		f->base.registers = UINT32_MAX;
		if (what[i] == UNREGISTERED)
			f->base.registers &= stage == HW_STAGE_AUTHORIZE
						     ? ~HW_REGISTERS_OPERATION(operation)
						     : ~HW_REGISTERS_STAGE(stage);
		if (stage == HW_STAGE_FILTER || stage == HW_STAGE_REDACT) /* not the other, too */
			f->base.registers &= HW_REGISTERS_STAGE(stage);
		f->verdict = verdict_of[what[i]];
		f->append = what[i] == ALLOWS ? f->base.name[0] : '\0';
		f->user = "u1";
		f->tenant = "acme";
	}
}

static void ask_chain(
	struct world *w, enum hw_hook_stage stage, enum hw_operation operation, struct outcome *out)
{
	struct asked a;

	prepare(w, &a, stage, operation);
	ask_to_the_end(w, &a);
	memset(out, 0, sizeof(*out));
	out->verdict = a.ask.verdict;
	snprintf(out->code, sizeof(out->code), "%s", a.ask.code ? a.ask.code : "");
	snprintf(out->by, sizeof(out->by), "%s", a.ask.decided_by);
	snprintf(out->event, sizeof(out->event), "%.*s", (int)a.ask.new_event_len,
		a.ask.new_event ? a.ask.new_event : "");
	release(&a);
}

static void ask_view(struct world *w, struct outcome *out)
{
	struct hw_view view = {.global = w->global,
		.tenant = w->tenant,
		.tenant_id = HW_STR("acme"),
		.topic = HW_STR("a:1"),
		.event = HW_STR(EVENT)};

	w->log.text[0] = '\0';
	memset(out, 0, sizeof(*out));
	out->verdict = hw_hooks_view(&view);
	snprintf(out->by, sizeof(out->by), "%s", view.decided_by);
	snprintf(out->event, sizeof(out->event), "%.*s", (int)view.new_event_len,
		view.new_event ? view.new_event : "");
	free(view.new_event);
}

static bool is_view(enum hw_hook_stage stage)
{
	return stage == HW_STAGE_FILTER || stage == HW_STAGE_REDACT;
}

static void ask_it(
	struct world *w, enum hw_hook_stage stage, enum hw_operation operation, struct outcome *out)
{
	if (is_view(stage))
		ask_view(w, out);
	else
		ask_chain(w, stage, operation, out);
}

static bool same_decision(
	enum hw_hook_stage stage, const struct outcome *a, const struct outcome *b)
{
	if (is_view(stage) && a->verdict != HW_ALLOW && b->verdict != HW_ALLOW)
		return true; /* withheld */
	return a->verdict == b->verdict && strcmp(a->event, b->event) == 0;
}

static void check_one(struct world *w, size_t i, enum hw_hook_stage stage,
	enum hw_operation operation, enum what *what, bool pend, bool edits)
{
	long long yes = n_agree(w, i, stage, true), no = n_agree(w, i, stage, false);
	struct outcome with, without, live;
	enum what own = what[i];

	instruct(w, stage, operation, what);
	for (size_t j = 0; j < HW_COUNT(w->fakes); j++) {
		w->fakes[j]->pend = pend && !is_view(stage);
		/* every redact leaves it as it is, but the one in question */
		w->fakes[j]->redacted = j == i && edits ? OTHER : NULL;
	}
	w->fakes[i]->waiting = NULL;
	ask_it(w, stage, operation, &with);
	if (w->fakes[i]->waiting)
		fake_resume(w->fakes[i], w->fakes[i]->waiting);
	yes = n_agree(w, i, stage, true) - yes;
	no = n_agree(w, i, stage, false) - no;
	assert_int_equal(bench_with(w, i)->n_shadows, 0);
	assert_int_equal(bench_with(w, i)->shadow_bytes, 0);

	what[i] = UNREGISTERED;
	instruct(w, stage, operation, what);
	ask_it(w, stage, operation, &without);
	assert_memory_equal(&with, &without, sizeof(with));

	what[i] = own;
	instruct(w, stage, operation, what);
	w->fakes[i]->base.shadow = false;
	ask_it(w, stage, operation, &live);
	w->fakes[i]->base.shadow = true;
	assert_true(yes + no <= 1);
	if (own == UNREGISTERED)
		assert_int_equal(yes + no, 0);
	assert_int_equal(no, !same_decision(stage, &without, &live));
}

static void check_some(enum hw_hook_stage stage, enum hw_operation operation)
{
	unsigned seed = 1;

	for (size_t i = 0; i < N_GLOBAL + N_TENANT; i++) {
		struct world w;

		world_init(&w);
		make_shadow(&w, i);
		for (int n = 0; n < 2000; n++) {
			enum what what[N_GLOBAL + N_TENANT];

			for (size_t j = 0; j < HW_COUNT(what); j++) {
				seed = seed * 1103515245 + 12345;
				what[j] = (enum what)((seed >> 16) % N_WHAT);
				/* else most views are withheld anyway */
				if (is_view(stage) && (seed >> 24) % 2)
					what[j] = ALLOWS;
			}
			check_one(&w, i, stage, operation, what, n % 2, n % 4 < 2);
		}
		assert_true(n_agree(&w, i, stage, true) > 0);
		assert_true(n_agree(&w, i, stage, false) > 0);
		world_fini(&w);
	}
}

static void authorize_is_as_without_it(void **state HW_UNUSED)
{
	check_some(HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
}

static void a_session_is_admitted_as_without_it(void **state HW_UNUSED)
{
	check_some(HW_STAGE_AUTHORIZE, HW_OP_SESSION);
}

static void transform_is_as_without_it(void **state HW_UNUSED)
{
	check_some(HW_STAGE_TRANSFORM, HW_OP_SUBSCRIBE);
}

static void filter_is_as_without_it(void **state HW_UNUSED)
{
	check_some(HW_STAGE_FILTER, HW_OP_SUBSCRIBE);
}

static void redact_is_as_without_it(void **state HW_UNUSED)
{
	check_some(HW_STAGE_REDACT, HW_OP_SUBSCRIBE);
}

/* ---- authenticate: what would have become of the identity ---- */

static void check_identity(struct fake *shadow, struct world *w, bool same, enum hw_verdict live)
{
	size_t i = shadow->base.name[0] == 'B' ? 1 : N_GLOBAL;
	long long before = n_agree(w, i, HW_STAGE_AUTHENTICATE, same);
	struct asked a;

	prepare(w, &a, HW_STAGE_AUTHENTICATE, HW_OP_SUBSCRIBE);
	assert_int_equal(ask_to_the_end(w, &a), live);
	if (live == HW_ALLOW) {
		assert_true(hw_str_eq(a.ask.identity->user_id, HW_STR("u1")));
		assert_true(hw_str_eq(a.ask.identity->claims, HW_STR("{\"role\":\"x\"}")));
		assert_int_equal(a.ask.identity->expires_at, 1000);
		assert_false(a.ask.identity->act_as);
	}
	assert_int_equal(n_agree(w, i, HW_STAGE_AUTHENTICATE, same), before + 1);
	release(&a);
	shadow->verdict = HW_ALLOW;
	shadow->user = shadow->tenant = shadow->claims = NULL;
	shadow->granted[0] = NULL;
	shadow->expires_at = 0;
	shadow->act_as = false;
}

static void an_identity_is_compared_member_by_member(void **state HW_UNUSED)
{
	static const size_t shadows[] = {1, N_GLOBAL}; /* a guard, a tenant's own */

	for (size_t k = 0; k < HW_COUNT(shadows); k++) {
		struct fake *f;
		struct world w;

		a_allows(&w);
		make_shadow(&w, shadows[k]);
		w.fakes[0]->claims = "{\"role\":\"x\"}";
		w.fakes[0]->expires_at = 1000;
		f = w.fakes[shadows[k]];
		check_identity(f, &w, true, HW_ALLOW); /* it defers */
		check_identity(f, &w, true, HW_ALLOW); /* it allows and adds nothing */
		f->user = "u2";
		check_identity(f, &w, false, HW_ALLOW);
		f->user = "u1";
		f->tenant = "beta";
		check_identity(f, &w, false, HW_ALLOW);
		f->claims = "{\"role\":\"x\"}";
		check_identity(f, &w, true, HW_ALLOW);
		f->claims = "{\"role\":\"y\"}";
		check_identity(f, &w, false, HW_ALLOW);
		f->claims = "{\"more\":1}";
		check_identity(f, &w, false, HW_ALLOW);
		f->expires_at = 2000;
		check_identity(f, &w, true, HW_ALLOW);
		f->expires_at = 999;
		check_identity(f, &w, false, HW_ALLOW);
		f->act_as = true;
		check_identity(f, &w, false, HW_ALLOW);
		f->granted[0] = "beta";
		check_identity(f, &w, false, HW_ALLOW);
		f->verdict = HW_DENY;
		check_identity(f, &w, false, HW_ALLOW);
		f->verdict = HW_ERROR;
		check_identity(f, &w, false, HW_ALLOW);
		world_fini(&w);
	}
}

static void it_lets_nobody_in(void **state HW_UNUSED)
{
	struct world w;

	a_allows(&w);
	make_shadow(&w, 1);
	w.fakes[0]->verdict = HW_DEFER;
	w.fakes[1]->verdict = HW_ALLOW;
	w.fakes[1]->user = "u1";
	w.fakes[1]->tenant = "acme";
	check_identity(w.fakes[1], &w, false, HW_DENY);
	w.fakes[2]->verdict = HW_DENY; /* which is no business of its */
	check_identity(w.fakes[1], &w, true, HW_DENY);
	world_fini(&w);
}

/* ---- when it is asked ---- */

static void wake(void *arg HW_UNUSED)
{
}

struct turns {
	struct world w;
	struct hw_timers *timers;
};

/* A world whose worker takes turns. The tenant's first entry is a shadow. */
static void turns_init(struct turns *t)
{
	world_init(&t->w);
	t->timers = hw_timers_create(0);
	assert_int_equal(hw_hook_inbox_open(t->w.env, 0, t->timers, wake, NULL), 0);
	make_shadow(&t->w, N_GLOBAL);
	for (size_t i = 0; i < HW_COUNT(t->w.fakes); i++)
		t->w.fakes[i]->verdict = HW_ALLOW;
}

static void turns_fini(struct turns *t)
{
	hw_hook_bench_destroy(&t->w.tenant);
	hw_hook_bench_destroy(&t->w.global);
	hw_hook_inbox_close(t->w.env, 0);
	hw_timers_destroy(&t->timers);
	world_fini(&t->w);
}

static void turn(struct turns *t, int64_t ms)
{
	t->w.now_ms += ms;
	hw_timers_advance(t->timers, t->w.now_ms);
}

static void ask_subscribe(struct turns *t)
{
	struct asked a;

	prepare(&t->w, &a, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
	assert_int_equal(hw_hooks_ask(&a.ask), HW_ALLOW);
}

static void it_is_asked_after_the_decision_with_what_was_asked_then(void **state HW_UNUSED)
{
	static const char event[] = "event that goes";
	char *text = strdup(event);
	struct asked a;
	struct turns t;

	turns_init(&t);
	t.w.fakes[N_GLOBAL]->append = 'a';
	prepare(&t.w, &a, HW_STAGE_TRANSFORM, HW_OP_SUBSCRIBE);
	a.ask.event = hw_str_of(text);
	assert_int_equal(hw_hooks_ask(&a.ask), HW_ALLOW);
	assert_string_equal(t.w.log.text, "ABCbc");
	assert_null(a.ask.new_event);
	memset(&a, 0xaa, sizeof(a));
	memset(text, 'x', strlen(text));
	free(text);
	turn(&t, 0);
	assert_string_equal(t.w.log.text, "ABCbca");
	assert_int_equal(n_agree(&t.w, N_GLOBAL, HW_STAGE_TRANSFORM, false), 1);
	turns_fini(&t);
}

static void what_waits_goes_on_by_itself(void **state HW_UNUSED)
{
	struct turns t;

	turns_init(&t);
	t.w.fakes[N_GLOBAL]->pend = true;
	t.w.fakes[N_GLOBAL]->verdict = HW_DENY;
	ask_subscribe(&t);
	turn(&t, 0);
	assert_string_equal(t.w.log.text, "ABCba");
	assert_int_equal(value_of(stats_of(&t.w, N_GLOBAL)->pending), 1);
	assert_true(hw_list_empty(&t.w.tenant->pending));
	assert_true(hw_hook_bench_idle(t.w.tenant)); /* it holds no generation back */
	fake_resume(t.w.fakes[N_GLOBAL], t.w.fakes[N_GLOBAL]->waiting);
	assert_int_equal(value_of(stats_of(&t.w, N_GLOBAL)->pending), 0);
	assert_int_equal(n_agree(&t.w, N_GLOBAL, HW_STAGE_AUTHORIZE, false), 1);
	turns_fini(&t);
}

static void the_end_of_its_bench_is_its_end(void **state HW_UNUSED)
{
	struct turns t;
	struct hw_metric *dropped;

	turns_init(&t);
	dropped = stats_of(&t.w, N_GLOBAL)->dropped;
	t.w.fakes[N_GLOBAL]->pend = true;
	ask_subscribe(&t);
	turn(&t, 0);       /* waits */
	ask_subscribe(&t); /* due */
	hw_hook_bench_destroy(&t.w.tenant);
	assert_non_null(strstr(t.w.log.text, "a!"));
	assert_int_equal(value_of(dropped), 2);
	turn(&t, 1);
	turns_fini(&t);
}

static void a_walk_that_is_given_up_asks_no_shadow(void **state HW_UNUSED)
{
	struct asked a;
	struct turns t;

	turns_init(&t);
	t.w.fakes[N_GLOBAL + 1]->pend = true;
	prepare(&t.w, &a, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
	assert_int_equal(hw_hooks_ask(&a.ask), HW_PENDING);
	hw_hooks_cancel(&a.ask);
	turn(&t, 1);
	assert_string_equal(t.w.log.text, "ABCbb!");
	assert_int_equal(t.w.tenant->n_shadows, 0);
	turns_fini(&t);
}

static void what_there_is_no_room_for_is_dropped_and_counted(void **state HW_UNUSED)
{
	struct hw_bench_stats *stats;
	struct turns t;
	long long asked;

	turns_init(&t);
	stats = stats_of(&t.w, N_GLOBAL);
	for (int i = 0; i < 1500; i++)
		ask_subscribe(&t);
	assert_int_equal(value_of(stats->dropped), 1500 - 1024);
	for (int i = 0; i < 1000 && t.w.tenant->n_shadows > 0; i++) {
		t.w.log.text[0] = '\0';
		turn(&t, 1000);
	}
	asked = n_agree(&t.w, N_GLOBAL, HW_STAGE_AUTHORIZE, true);
	assert_int_equal(asked, 1024);
	turns_fini(&t);
}

#define SLOW_NS 2000000 /* twice what shadows may take of a turn */

static enum hw_verdict slow_call(struct hw_hook_entry *entry, struct hw_entry_state *state,
	struct hw_ask *ask, struct hw_entry_answer *answer)
{
	int64_t until_ns = hw_hook_now_ns() + SLOW_NS;

	while (hw_hook_now_ns() < until_ns) {
	}
	return fake_call(entry, state, ask, answer);
}

static void a_slow_one_gets_a_share_of_the_workers_time(void **state HW_UNUSED)
{
	struct hw_entry_ops slow = fake_ops;
	struct turns t;

	slow.call = slow_call;
	turns_init(&t);
	t.w.fakes[N_GLOBAL]->base.ops = &slow;
	for (int i = 0; i < 3; i++)
		ask_subscribe(&t);
	t.w.log.text[0] = '\0';
	turn(&t, 0);
	assert_string_equal(t.w.log.text, "a"); /* one, and the turn is over */
	turn(&t, 3 * SLOW_NS / 1000000 - 1);
	assert_string_equal(t.w.log.text, "a"); /* it rests */
	turn(&t, 60000);
	assert_string_equal(t.w.log.text, "aa");
	turns_fini(&t);
}

/* ---- what it does beside answering ---- */

static void its_values_are_its_own(void **state HW_UNUSED)
{
	struct turns t;

	turns_init(&t);
	assert_string_equal(hw_bench_space(t.w.tenant, &t.w.fakes[N_GLOBAL]->base), "acme!shadow");
	assert_string_equal(hw_bench_space(t.w.tenant, &t.w.fakes[N_GLOBAL + 1]->base), "acme");
	turns_fini(&t);
}

static void lifecycle_hooks_are_called_and_not_compared(void **state HW_UNUSED)
{
	struct asked a;
	struct turns t;

	turns_init(&t);
	prepare(&t.w, &a, HW_STAGE_LIFECYCLE, HW_OP_SUBSCRIBE);
	assert_int_equal(hw_hooks_ask(&a.ask), HW_ALLOW);
	turn(&t, 0);
	assert_string_equal(t.w.log.text, "ABCbca");
	assert_null(stats_of(&t.w, N_GLOBAL)->stages[HW_STAGE_LIFECYCLE]->agrees[0]);
	turns_fini(&t);
}

static void a_trial_asks_no_shadow(void **state HW_UNUSED)
{
	struct hw_hook_chain *chain;
	struct asked a;
	struct turns t;

	turns_init(&t);
	chain = hw_hook_chain_ref(hw_hook_bench_chain(t.w.tenant));
	hw_hook_bench_destroy(&t.w.tenant);
	assert_int_equal(
		hw_hook_bench_create_trial(t.w.env, chain, HW_STR("acme"), 0, &t.w.tenant), 0);
	hw_hook_chain_unref(&chain);
	prepare(&t.w, &a, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
	assert_int_equal(hw_hooks_ask(&a.ask), HW_ALLOW);
	turn(&t, 1);
	assert_string_equal(t.w.log.text, "ABCb");
	turns_fini(&t);
}

/* ---- what a reload makes of it ---- */

static void it_is_no_part_of_the_hash(void **state HW_UNUSED)
{
	struct hw_hook_entry *entries[2];
	struct hw_hook_chain *with, *without, *live;
	struct world w;

	world_init(&w);
	entries[0] = &w.fakes[N_GLOBAL]->base;
	entries[1] = &w.fakes[N_GLOBAL + 1]->base;
	entries[1]->revoke_now = true;
	live = hw_hook_chain_create(entries, 2);
	without = hw_hook_chain_create(entries, 1);
	entries[1]->shadow = true;
	with = hw_hook_chain_create(entries, 2);
	assert_memory_equal(hw_hook_chain_hash(with), hw_hook_chain_hash(without), 32);
	assert_memory_not_equal(hw_hook_chain_hash(with), hw_hook_chain_hash(live), 32);
	assert_false(hw_hook_chain_same(with, without)); /* but a reload puts it in force */
	assert_true(hw_hook_chain_same(with, with));
	assert_false(hw_hook_chain_revokes_now(with));
	hw_hook_chain_unref(&with);
	hw_hook_chain_unref(&without);
	hw_hook_chain_unref(&live);
	world_fini(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(authorize_is_as_without_it),
		cmocka_unit_test(a_session_is_admitted_as_without_it),
		cmocka_unit_test(transform_is_as_without_it),
		cmocka_unit_test(filter_is_as_without_it),
		cmocka_unit_test(redact_is_as_without_it),
		cmocka_unit_test(an_identity_is_compared_member_by_member),
		cmocka_unit_test(it_lets_nobody_in),
		cmocka_unit_test(it_is_asked_after_the_decision_with_what_was_asked_then),
		cmocka_unit_test(what_waits_goes_on_by_itself),
		cmocka_unit_test(the_end_of_its_bench_is_its_end),
		cmocka_unit_test(a_walk_that_is_given_up_asks_no_shadow),
		cmocka_unit_test(what_there_is_no_room_for_is_dropped_and_counted),
		cmocka_unit_test(a_slow_one_gets_a_share_of_the_workers_time),
		cmocka_unit_test(its_values_are_its_own),
		cmocka_unit_test(lifecycle_hooks_are_called_and_not_compared),
		cmocka_unit_test(a_trial_asks_no_shadow),
		cmocka_unit_test(it_is_no_part_of_the_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
