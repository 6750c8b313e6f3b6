#include "chain_world.h"

/* ---- waiting ---- */

static void a_cancelled_question_is_never_decided(void **state HW_UNUSED)
{
	static const enum hw_hook_stage stages[] = {
		HW_STAGE_AUTHENTICATE, HW_STAGE_AUTHORIZE, HW_STAGE_TRANSFORM, HW_STAGE_LIFECYCLE};

	for (size_t s = 0; s < HW_COUNT(stages); s++) {
		for (size_t waits = 0; waits < N_GLOBAL + N_TENANT; waits++) {
			struct asked a;
			struct world w;
			char seen[64];

			a_allows(&w);
			w.fakes[0]->append = 'x';
			w.fakes[waits]->pend = true;
			prepare(&w, &a, stages[s], HW_OP_SUBSCRIBE);
			assert_int_equal(hw_hooks_ask(&a.ask), HW_PENDING);
			snprintf(
				seen, sizeof(seen), "%s%s!", w.log.text, w.fakes[waits]->base.name);
			hw_hooks_cancel(&a.ask);
			assert_string_equal(w.log.text, seen);
			assert_null(a.ask.internal);
			hw_hooks_cancel(&a.ask);
			fake_resume(w.fakes[waits], &a.ask); /* an answer that comes too late */
			assert_string_equal(w.log.text, seen);
			assert_int_equal(a.n_decided, 0);
			assert_null(a.ask.new_event);
			assert_true(hw_list_empty(&w.global->pending));
			assert_true(hw_list_empty(&w.tenant->pending));
			world_fini(&w);
		}
	}
}

static void cancelling_what_is_decided_is_harmless(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	prepare(&w, &a, HW_STAGE_AUTHENTICATE, HW_OP_SUBSCRIBE);
	assert_int_equal(ask_to_the_end(&w, &a), HW_ALLOW);
	hw_hooks_cancel(&a.ask);
	assert_int_equal(a.ask.verdict, HW_ALLOW);
	release(&a);
	world_fini(&w);
}

static void either_bench_ends_what_waits_when_it_goes(void **state HW_UNUSED)
{
	/* in the guards, and in the tenant's own; the global bench goes first, or the tenant's */
	for (int i = 0; i < 4; i++) {
		struct asked a[3];
		struct world w;

		a_allows(&w);
		w.fakes[i & 1 ? 1 : 4]->pend = true;
		for (size_t j = 0; j < HW_COUNT(a); j++) {
			prepare(&w, &a[j], HW_STAGE_TRANSFORM, HW_OP_SUBSCRIBE);
			assert_int_equal(hw_hooks_ask(&a[j].ask), HW_PENDING);
		}
		hw_hook_bench_destroy(i & 2 ? &w.global : &w.tenant);
		for (size_t j = 0; j < HW_COUNT(a); j++) {
			assert_int_equal(a[j].n_decided, 1);
			assert_int_equal(a[j].ask.verdict, HW_ERROR);
			assert_string_equal(a[j].ask.code, "unavailable");
			assert_string_equal(a[j].ask.decided_by, i & 1 ? "B" : "b");
		}
		world_fini(&w);
	}
}

/* A decision that asks again at once, as a session does that retries, must not keep a bench from
 * going. */
static void ask_again(struct hw_ask *ask)
{
	struct asked *a = (struct asked *)ask;

	a->n_decided++;
	ask->decided = decided;
	assert_int_equal(hw_hooks_ask(ask), HW_ERROR);
	assert_string_equal(ask->code, "unavailable");
}

static void a_bench_that_goes_takes_no_more_questions(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	w.fakes[3]->pend = true;
	prepare(&w, &a, HW_STAGE_TRANSFORM, HW_OP_SUBSCRIBE);
	a.ask.decided = ask_again;
	assert_int_equal(hw_hooks_ask(&a.ask), HW_PENDING);
	hw_hook_bench_destroy(&w.tenant);
	assert_int_equal(a.n_decided, 1);
	world_fini(&w);
}

struct owned {
	struct asked asked;
	unsigned *n_freed;
};

static void free_it(struct hw_ask *ask)
{
	struct owned *o = (struct owned *)ask;

	++*o->n_freed;
	free(o);
}

static void a_question_may_be_freed_by_its_decision(void **state HW_UNUSED)
{
	unsigned n_freed = 0;
	struct world w;

	a_allows(&w);
	w.fakes[3]->pend = true;
	for (int i = 0; i < 4; i++) {
		struct owned *o = calloc(1, sizeof(*o));

		prepare(&w, &o->asked, HW_STAGE_TRANSFORM, HW_OP_SUBSCRIBE);
		o->n_freed = &n_freed;
		o->asked.ask.decided = free_it;
		assert_int_equal(hw_hooks_ask(&o->asked.ask), HW_PENDING);
		if (i % 2 == 0)
			fake_resume(w.fakes[3], &o->asked.ask);
	}
	assert_int_equal(n_freed, 2);
	hw_hook_bench_destroy(&w.tenant);
	assert_int_equal(n_freed, 4);
	world_fini(&w);
}

static void a_resumed_entry_that_waits_again_has_failed(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	w.fakes[3]->pend = true;
	w.fakes[3]->verdict = HW_PENDING;
	prepare(&w, &a, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
	assert_int_equal(hw_hooks_ask(&a.ask), HW_PENDING);
	fake_resume(w.fakes[3], &a.ask);
	assert_int_equal(a.n_decided, 1);
	assert_int_equal(a.ask.verdict, HW_ERROR);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cancelled_question_is_never_decided),
		cmocka_unit_test(cancelling_what_is_decided_is_harmless),
		cmocka_unit_test(either_bench_ends_what_waits_when_it_goes),
		cmocka_unit_test(a_bench_that_goes_takes_no_more_questions),
		cmocka_unit_test(a_question_may_be_freed_by_its_decision),
		cmocka_unit_test(a_resumed_entry_that_waits_again_has_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
