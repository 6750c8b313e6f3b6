/* What a plugin does on a worker beside answering: timers, work that blocks, state that outlives a
 * reload. The test is the plugin. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "forwarded.h"
#include "hook/crew.h"

#define TIMERS_MAX 256

/* cmocka's tests have no argument of their own that reaches a plugin's callback; arg does. */
struct seen {
	struct forward to; /* first: the instance */
	pthread_t worker;
	uint64_t timer;
	int n_fired, n_again;
	/* work */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool may_end;
	int n_begun, n_worked, n_done, n_done_without, n_refused, n_to_add;
	bool on_worker_thread;
	uint64_t ticket;
	/* state */
	int n_restored, n_saved;
	int n_unloaded;
};

static struct seen *seen_of(const struct hw_call *call)
{
	return (struct seen *)call->instance;
}

static void seen_init(struct seen *s)
{
	memset(s, 0, sizeof(*s));
	s->worker = pthread_self();
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
}

static void seen_fini(struct seen *s)
{
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

/* ---- timers ---- */

static void fire(struct hw_call *call, void *arg)
{
	struct seen *s = arg;

	assert_ptr_equal(seen_of(call), s);
	assert_non_null(call->worker);
	assert_int_equal(call->tenant.len, 4);
	assert_int_equal(call->host->set_user(call, HW_SLICE("u2")), -1);
	assert_int_equal(call->host->suspend(call, 0), 0);
	s->n_fired++;
	if (s->n_again-- > 0)
		s->timer = call->host->timer(call, 10, fire, s);
}

static int start_timer(struct hw_call *call)
{
	struct seen *s = seen_of(call);

	s->timer = call->host->timer(call, 10, fire, s);
	return s->timer ? 0 : -1;
}

static void a_timer_fires_once_and_may_be_set_again(void **state HW_UNUSED)
{
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to.worker_start = start_timer;
	s.n_again = 1;
	bench = forwarded_bench(&f, &s.to, 1, "acme");
	assert_non_null(bench);
	forwarded_pass(&f, 9);
	assert_int_equal(s.n_fired, 0);
	forwarded_pass(&f, 1);
	assert_int_equal(s.n_fired, 1);
	forwarded_pass(&f, 10);
	assert_int_equal(s.n_fired, 2);
	forwarded_pass(&f, 1000);
	assert_int_equal(s.n_fired, 2);
	hw_hook_bench_destroy(&bench);
	forwarded_fini(&f);
	seen_fini(&s);
}

static void a_timer_is_forgotten_with_its_state(void **state HW_UNUSED)
{
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to.worker_start = start_timer;
	bench = forwarded_bench(&f, &s.to, 1, "acme");
	hw_hook_bench_destroy(&bench);
	forwarded_pass(&f, 1000);
	assert_int_equal(s.n_fired, 0);
	forwarded_fini(&f);
	seen_fini(&s);
}

static enum hw_verdict cancel_timer(struct hw_call *call)
{
	struct seen *s = seen_of(call);

	if (call->host->timer_cancel(call, s->timer + 1) != -1)
		return HW_ERROR;
	return call->host->timer_cancel(call, s->timer) == 0 ? HW_ALLOW : HW_DENY;
}

static void a_timer_that_is_cancelled_does_not_fire(void **state HW_UNUSED)
{
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct hw_ask ask;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to.worker_start = start_timer;
	s.to.authorize = cancel_timer;
	bench = forwarded_bench(&f, &s.to, 1, "acme");
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_ALLOW);
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_DENY);
	forwarded_pass(&f, 1000);
	assert_int_equal(s.n_fired, 0);
	hw_hook_bench_destroy(&bench);
	forwarded_fini(&f);
	seen_fini(&s);
}

static int start_too_many_timers(struct hw_call *call)
{
	for (int i = 0; i < TIMERS_MAX; i++) {
		if (!call->host->timer(call, i % 2 ? -5 : INT64_MAX, fire, seen_of(call)))
			return -1;
	}
	return call->host->timer(call, 1, fire, seen_of(call)) ? -1 : 0;
}

static void timers_are_bounded(void **state HW_UNUSED)
{
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to.worker_start = start_too_many_timers;
	bench = forwarded_bench(&f, &s.to, 1, "acme");
	assert_non_null(bench);
	forwarded_pass(&f, 1);
	assert_int_equal(s.n_fired, TIMERS_MAX / 2);
	hw_hook_bench_destroy(&bench);
	forwarded_fini(&f);
	seen_fini(&s);
}

static int refuse(struct hw_call *call)
{
	(void)call->host->timer(call, 1, fire, seen_of(call));
	return -1;
}

static void a_worker_that_does_not_start_makes_no_bench(void **state HW_UNUSED)
{
	struct forwarded f;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to.worker_start = refuse;
	assert_null(forwarded_bench(&f, &s.to, 1, "acme"));
	forwarded_pass(&f, 10);
	assert_int_equal(s.n_fired, 0);
	forwarded_fini(&f);
	seen_fini(&s);
}

/* ---- work that blocks ---- */

static void work(const struct hw_host *host, void *instance, void *arg)
{
	struct seen *s = arg;

	assert_non_null(host);
	assert_ptr_equal(instance, s);
	pthread_mutex_lock(&s->lock);
	s->on_worker_thread = pthread_equal(pthread_self(), s->worker);
	s->n_begun++;
	pthread_cond_broadcast(&s->changed);
	while (!s->may_end)
		pthread_cond_wait(&s->changed, &s->lock);
	s->n_worked++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void work_done(struct hw_call *call, void *arg)
{
	struct hw_answer answer = {.size = sizeof(answer), .verdict = HW_ALLOW};
	struct seen *s = arg;

	pthread_mutex_lock(&s->lock);
	if (call) {
		assert_true(pthread_equal(pthread_self(), s->worker));
		s->n_done++;
		if (s->ticket)
			assert_int_equal(call->host->finish(call->host, s->ticket, &answer), 0);
	} else {
		s->n_done_without++;
	}
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static enum hw_verdict offload(struct hw_call *call)
{
	struct seen *s = seen_of(call);

	for (int i = 0; i < s->n_to_add; i++)
		s->n_refused += call->host->offload(call, work, work_done, s) != 0;
	return HW_ALLOW;
}

static void let_end(struct seen *s)
{
	pthread_mutex_lock(&s->lock);
	s->may_end = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void wait_for(struct seen *s, const int *n, int at_least)
{
	pthread_mutex_lock(&s->lock);
	while (*n < at_least)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static void turn_until_done(struct forwarded *f, struct seen *s, int n)
{
	while (s->n_done < n) {
		while (!hw_hook_inbox_has(f->l.env, WORKER))
			sched_yield();
		forwarded_turn(f);
	}
}

static void work_runs_elsewhere_and_is_done_here(void **state HW_UNUSED)
{
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct hw_ask ask;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to.authorize = offload;
	s.n_to_add = 3 * HW_CREW_THREADS;
	bench = forwarded_bench(&f, &s.to, 1, "acme");
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_ALLOW);
	wait_for(&s, &s.n_begun, HW_CREW_THREADS); /* so many at the same time */
	assert_int_equal(s.n_done, 0);
	let_end(&s);
	wait_for(&s, &s.n_worked, s.n_to_add);
	assert_int_equal(s.n_done, 0);
	turn_until_done(&f, &s, s.n_to_add);
	assert_false(s.on_worker_thread);
	assert_int_equal(s.n_refused, 0);
	assert_int_equal(s.n_done_without, 0);
	hw_hook_bench_destroy(&bench);
	forwarded_fini(&f);
	seen_fini(&s);
}

static void the_queue_is_bounded(void **state HW_UNUSED)
{
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct hw_ask ask;
	struct seen s;
	int accepted;

	seen_init(&s);
	forwarded_init(&f);
	s.to.authorize = offload;
	s.n_to_add = HW_CREW_THREADS + HW_CREW_QUEUE_MAX + 50;
	bench = forwarded_bench(&f, &s.to, 1, "acme");
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_ALLOW);
	assert_in_range(s.n_refused, 50, 50 + HW_CREW_THREADS);
	accepted = s.n_to_add - s.n_refused;
	let_end(&s);
	turn_until_done(&f, &s, accepted);
	assert_int_equal(s.n_worked, accepted);
	hw_hook_bench_destroy(&bench);
	forwarded_fini(&f);
	seen_fini(&s);
}

/* The test's instance is found by the host alone: unload has no call. */
static struct seen *unloading;

static void count_unload(const struct hw_host *host)
{
	(void)host;
	unloading->n_unloaded++;
}

/* What waits never runs; what runs ends; done says to each that the state is gone; and the instance
 * stays until the last of them. */
static void work_outlives_its_state_but_not_its_instance(void **state HW_UNUSED)
{
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct hw_ask ask;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to.authorize = offload;
	s.to.unload = count_unload;
	unloading = &s;
	s.n_to_add = 2 * HW_CREW_THREADS;
	bench = forwarded_bench(&f, &s.to, 1, "acme");
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_ALLOW);
	wait_for(&s, &s.n_begun, HW_CREW_THREADS);
	hw_hook_bench_destroy(&bench);
	assert_int_equal(s.n_done_without, HW_CREW_THREADS);
	hw_hook_env_reap(f.l.env);
	assert_int_equal(s.n_unloaded, 0);
	let_end(&s);
	wait_for(&s, &s.n_done_without, s.n_to_add);
	assert_int_equal(s.n_begun, HW_CREW_THREADS);
	forwarded_turn(&f);
	assert_int_equal(s.n_done, 0);
	forwarded_fini(&f);
	assert_int_equal(s.n_unloaded, 1);
	seen_fini(&s);
}

/* Finished in the inbox, and the bench goes before the worker has come to it. */
static void work_that_was_done_too_late_is_told_so(void **state HW_UNUSED)
{
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct hw_ask ask;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to.authorize = offload;
	s.n_to_add = 1;
	s.may_end = true;
	bench = forwarded_bench(&f, &s.to, 1, "acme");
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_ALLOW);
	while (!hw_hook_inbox_has(f.l.env, WORKER))
		sched_yield();
	hw_hook_bench_destroy(&bench);
	assert_int_equal(s.n_done_without, 1);
	forwarded_turn(&f);
	assert_int_equal(s.n_done, 0);
	forwarded_fini(&f);
	seen_fini(&s);
}

static enum hw_verdict ask_outside(struct hw_call *call)
{
	struct seen *s = seen_of(call);

	s->ticket = call->host->suspend(call, 0);
	return call->host->offload(call, work, work_done, s) == 0 ? HW_PENDING : HW_ERROR;
}

static void ended(struct hw_ask *ask)
{
	assert_int_equal(ask->verdict, HW_ALLOW);
}

/* The two together: a call that asks something that blocks. */
static void a_call_waits_for_work(void **state HW_UNUSED)
{
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct hw_ask ask;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to.authorize = ask_outside;
	bench = forwarded_bench(&f, &s.to, 1, "acme");
	assert_int_equal(forwarded_ask(&f, bench, &ask, ended), HW_PENDING);
	let_end(&s);
	while (ask.internal) {
		while (!hw_hook_inbox_has(f.l.env, WORKER))
			sched_yield();
		forwarded_turn(&f);
	}
	assert_int_equal(ask.verdict, HW_ALLOW);
	hw_hook_bench_destroy(&bench);
	forwarded_fini(&f);
	seen_fini(&s);
}

/* ---- state over a reload ---- */

static int keep_count(struct hw_call *call)
{
	struct seen *s = seen_of(call);
	int n = *(int *)call->worker;

	s->n_saved++;
	if (n < 0)
		return -1;
	return call->host->keep(call, (struct hw_slice){(const char *)&n, sizeof(n)});
}

static int take_count(struct hw_call *call, struct hw_slice state)
{
	struct seen *s = seen_of(call);

	s->n_restored++;
	if (state.len != sizeof(int))
		return -1;
	memcpy(call->worker, state.p, sizeof(int));
	return 0;
}

static enum hw_verdict count(struct hw_call *call)
{
	int *n = call->worker;
	char text[16];

	(*n)++;
	snprintf(text, sizeof(text), "%d", *n);
	call->host->reason(call, "forbidden_topic", (struct hw_slice){text, strlen(text)});
	/* of save's only */
	return call->host->keep(call, HW_SLICE("x")) == 0 ? HW_ERROR : HW_DENY;
}

static void assert_count(struct forwarded *f, struct hw_hook_bench *bench, const char *n)
{
	struct hw_ask ask;

	assert_int_equal(forwarded_ask(f, bench, &ask, NULL), HW_DENY);
	assert_string_equal(ask.message, n);
}

static void state_goes_from_one_generation_to_the_next(void **state HW_UNUSED)
{
	struct hw_hook_bench *first, *second, *third;
	struct forwarded f;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to = (struct forward){.authorize = count, .save = keep_count, .restore = take_count};
	first = forwarded_bench(&f, &s.to, 1, "acme");
	assert_count(&f, first, "1");
	assert_count(&f, first, "2");
	second = forwarded_bench(&f, &s.to, 2, "acme");
	assert_int_equal(s.n_saved, 0);
	hw_hook_bench_inherit(second, first);
	hw_hook_bench_destroy(&first);
	assert_int_equal(s.n_restored, 1);
	assert_count(&f, second, "3");
	third = forwarded_bench(&f, &s.to, 3, "acme");
	hw_hook_bench_inherit(third, second);
	hw_hook_bench_destroy(&second);
	assert_count(&f, third, "4");
	hw_hook_bench_destroy(&third);
	forwarded_fini(&f);
	seen_fini(&s);
}

static int keep_too_much(struct hw_call *call)
{
	static const char large[(1 << 20) + 1];

	return call->host->keep(call, (struct hw_slice){large, sizeof(large)});
}

static int keep_twice(struct hw_call *call)
{
	if (call->host->keep(call, HW_SLICE("abcd")) != 0)
		return -1;
	return call->host->keep(call, HW_SLICE("efgh"));
}

static int refuse_state(struct hw_call *call, struct hw_slice state)
{
	(void)state;
	seen_of(call)->n_restored++;
	return -1;
}

static void state_that_cannot_be_taken_over_is_begun_anew(void **state HW_UNUSED)
{
	struct hw_hook_bench *first, *second;
	struct forwarded f;
	struct seen s;

	seen_init(&s);
	forwarded_init(&f);
	s.to = (struct forward){.authorize = count, .save = keep_too_much, .restore = refuse_state};
	first = forwarded_bench(&f, &s.to, 1, "acme");
	assert_count(&f, first, "1");
	second = forwarded_bench(&f, &s.to, 2, "acme");
	hw_hook_bench_inherit(second, first);
	s.to.save = keep_twice;
	hw_hook_bench_inherit(second, first);
	s.to.save = NULL;
	hw_hook_bench_inherit(second, first);
	assert_int_equal(s.n_restored, 0);
	s.to.save = keep_count;
	hw_hook_bench_inherit(second, first);
	assert_int_equal(s.n_restored, 1);
	assert_count(&f, second, "1");
	hw_hook_bench_destroy(&first);
	hw_hook_bench_destroy(&second);
	forwarded_fini(&f);
	seen_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_fires_once_and_may_be_set_again),
		cmocka_unit_test(a_timer_is_forgotten_with_its_state),
		cmocka_unit_test(a_timer_that_is_cancelled_does_not_fire),
		cmocka_unit_test(timers_are_bounded),
		cmocka_unit_test(a_worker_that_does_not_start_makes_no_bench),
		cmocka_unit_test(work_runs_elsewhere_and_is_done_here),
		cmocka_unit_test(the_queue_is_bounded),
		cmocka_unit_test(work_outlives_its_state_but_not_its_instance),
		cmocka_unit_test(work_that_was_done_too_late_is_told_so),
		cmocka_unit_test(a_call_waits_for_work),
		cmocka_unit_test(state_goes_from_one_generation_to_the_next),
		cmocka_unit_test(state_that_cannot_be_taken_over_is_begun_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
