#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/timers.h"
#include "random.h"

/* A timer that writes down that it fired, and then does what its test wants. */
struct probe {
	struct hw_timer timer;
	struct hw_timers *timers;
	int n_fired;
	struct probe *cancels;
	struct probe *arms;
	int64_t arms_for_ms;
};

static void probe_fired(struct hw_timer *t)
{
	struct probe *p = HW_CONTAINER_OF(t, struct probe, timer);

	assert_false(hw_timer_armed(t));
	p->n_fired++;
	if (p->cancels)
		hw_timer_cancel(&p->cancels->timer);
	if (p->arms)
		hw_timer_arm(p->timers, &p->arms->timer, p->arms_for_ms);
}

static void probe_init(struct probe *p, struct hw_timers *timers)
{
	*p = (struct probe){.timers = timers};
	hw_timer_init(&p->timer, probe_fired);
}

static void fires_at_its_millisecond_and_once(void **state HW_UNUSED)
{
	struct hw_timers *timers = hw_timers_create(1000);
	struct probe p;

	probe_init(&p, timers);
	assert_false(hw_timer_armed(&p.timer));
	hw_timer_arm(timers, &p.timer, 1500);
	assert_true(hw_timer_armed(&p.timer));
	hw_timers_advance(timers, 1499);
	assert_int_equal(p.n_fired, 0);
	hw_timers_advance(timers, 1500);
	assert_int_equal(p.n_fired, 1);
	hw_timers_advance(timers, 100000);
	assert_int_equal(p.n_fired, 1);
	hw_timers_destroy(&timers);
	assert_null(timers);
	hw_timers_destroy(&timers);
}

static void rearming_moves_and_cancelling_stops(void **state HW_UNUSED)
{
	struct hw_timers *timers = hw_timers_create(0);
	struct probe p;

	probe_init(&p, timers);
	hw_timer_cancel(&p.timer);
	hw_timer_arm(timers, &p.timer, 10);
	hw_timer_arm(timers, &p.timer, 5000);
	hw_timers_advance(timers, 4999);
	assert_int_equal(p.n_fired, 0);
	hw_timer_arm(timers, &p.timer, 5001);
	hw_timers_advance(timers, 5001);
	assert_int_equal(p.n_fired, 1);
	hw_timer_arm(timers, &p.timer, 6000);
	hw_timer_cancel(&p.timer);
	hw_timer_cancel(&p.timer);
	assert_false(hw_timer_armed(&p.timer));
	hw_timers_advance(timers, 7000);
	assert_int_equal(p.n_fired, 1);
	assert_int_equal(hw_timers_wait_ms(timers, 7000), -1);
	hw_timers_destroy(&timers);
}

static void the_past_fires_at_the_next_advance(void **state HW_UNUSED)
{
	struct hw_timers *timers = hw_timers_create(1000);
	struct probe p[3];
	const int64_t due[] = {1000, 1, INT64_MIN};

	for (int i = 0; i < 3; i++) {
		probe_init(&p[i], timers);
		hw_timer_arm(timers, &p[i].timer, due[i]);
	}
	assert_int_equal(hw_timers_wait_ms(timers, 1000), 0);
	hw_timers_advance(timers, 1000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(p[i].n_fired, 1);
	hw_timers_destroy(&timers);
}

static void a_callback_may_rearm_itself_for_the_next_advance(void **state HW_UNUSED)
{
	struct hw_timers *timers = hw_timers_create(0);
	struct probe p;

	probe_init(&p, timers);
	p.arms = &p;
	p.arms_for_ms = 100;
	hw_timer_arm(timers, &p.timer, 100);
	hw_timers_advance(timers, 500);
	assert_int_equal(p.n_fired, 1);
	assert_int_equal(hw_timers_wait_ms(timers, 500), 0);
	hw_timers_advance(timers, 500);
	assert_int_equal(p.n_fired, 2);
	p.arms_for_ms = 501;
	hw_timers_advance(timers, 500);
	hw_timers_advance(timers, 500);
	assert_int_equal(p.n_fired, 3);
	hw_timers_advance(timers, 501);
	assert_int_equal(p.n_fired, 4);
	hw_timers_destroy(&timers);
}

static void a_callback_may_stop_or_move_another_that_is_due(void **state HW_UNUSED)
{
	struct hw_timers *timers = hw_timers_create(0);
	struct probe first, cancelled, moved, last;

	probe_init(&first, timers);
	probe_init(&cancelled, timers);
	probe_init(&moved, timers);
	probe_init(&last, timers);
	first.cancels = &cancelled;
	first.arms = &moved;
	first.arms_for_ms = 300;
	hw_timer_arm(timers, &first.timer, 100);
	hw_timer_arm(timers, &cancelled.timer, 101);
	hw_timer_arm(timers, &moved.timer, 102);
	hw_timer_arm(timers, &last.timer, 103);
	hw_timers_advance(timers, 200);
	assert_int_equal(first.n_fired, 1);
	assert_int_equal(cancelled.n_fired, 0);
	assert_int_equal(moved.n_fired, 0);
	assert_int_equal(last.n_fired, 1);
	hw_timers_advance(timers, 300);
	assert_int_equal(cancelled.n_fired, 0);
	assert_int_equal(moved.n_fired, 1);
	hw_timers_destroy(&timers);
}

static void free_owner(struct hw_timer *t)
{
	free(HW_CONTAINER_OF(t, struct probe, timer));
}

static void a_callback_may_free_its_owner(void **state HW_UNUSED)
{
	struct hw_timers *timers = hw_timers_create(0);

	for (int i = 0; i < 10; i++) {
		struct probe *p = malloc(sizeof(*p));

		hw_timer_init(&p->timer, free_owner);
		hw_timer_arm(timers, &p->timer, 5);
	}
	hw_timers_advance(timers, 5);
	assert_int_equal(hw_timers_wait_ms(timers, 5), -1);
	hw_timers_destroy(&timers);
}

static void destroying_forgets_the_armed(void **state HW_UNUSED)
{
	struct hw_timers *timers = hw_timers_create(0);
	struct probe p[3];
	const int64_t due[] = {0, 70, INT64_MAX};

	for (int i = 0; i < 3; i++) {
		probe_init(&p[i], timers);
		hw_timer_arm(timers, &p[i].timer, due[i]);
	}
	hw_timers_destroy(&timers);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(p[i].n_fired, 0);
		assert_false(hw_timer_armed(&p[i].timer));
		hw_timer_cancel(&p[i].timer);
	}
}

static void the_ends_of_time_are_exact(void **state HW_UNUSED)
{
	struct hw_timers *timers = hw_timers_create(INT64_MIN);
	struct probe p[5];
	const int64_t due[] = {INT64_MIN + 1, -1, 0, 1, INT64_MAX};

	for (int i = 0; i < 5; i++) {
		probe_init(&p[i], timers);
		hw_timer_arm(timers, &p[i].timer, due[i]);
	}
	assert_int_equal(hw_timers_wait_ms(timers, INT64_MIN), 1);
	for (int i = 0; i < 5; i++) {
		hw_timers_advance(timers, due[i] - 1);
		assert_int_equal(p[i].n_fired, 0);
		hw_timers_advance(timers, due[i]);
		assert_int_equal(p[i].n_fired, 1);
	}
	hw_timers_destroy(&timers);
}

/* Stepping through the milliseconds of a century, or its seconds, would take longer than any test.
 */
static void a_long_sleep_is_one_step(void **state HW_UNUSED)
{
	const int64_t year_ms = INT64_C(31556952000);
	struct hw_timers *timers = hw_timers_create(0);
	struct probe p[100];

	for (int i = 0; i < 100; i++) {
		probe_init(&p[i], timers);
		hw_timer_arm(timers, &p[i].timer, (i + 1) * year_ms);
	}
	for (int round = 0; round < 1000; round++)
		hw_timers_advance(timers, year_ms / 2 + round);
	hw_timers_advance(timers, 100 * year_ms - 1);
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i].n_fired, i < 99);
	hw_timers_advance(timers, 2000000 * year_ms);
	assert_int_equal(p[99].n_fired, 1);
	hw_timers_destroy(&timers);
}

/* A loop that sleeps for as long as it is told meets every due time exactly, in few wake-ups. */
static void sleeping_as_told_is_exact(void **state HW_UNUSED)
{
	struct random r = random_start("timers sleep");

	for (int round = 0; round < 3000; round++) {
		int64_t now = (int64_t)(random_next(&r) >> (2 + random_below(&r, 40)));
		int64_t due = now + (int64_t)(random_next(&r) >> (2 + random_below(&r, 62)));
		struct hw_timers *timers;
		struct probe p;
		int n_wakes = 0;

		timers = hw_timers_create(now);
		probe_init(&p, timers);
		hw_timer_arm(timers, &p.timer, due);
		while (!p.n_fired) {
			int64_t wait = hw_timers_wait_ms(timers, now);

			assert_true(wait >= 0 && wait <= due - now);
			assert_true(n_wakes++ <= 11);
			now += wait;
			hw_timers_advance(timers, now);
		}
		assert_true(now == due);
		assert_int_equal(hw_timers_wait_ms(timers, now), -1);
		hw_timers_destroy(&timers);
	}
}

static void waiting_counts_from_the_callers_now(void **state HW_UNUSED)
{
	struct hw_timers *timers = hw_timers_create(0);
	struct probe p;

	probe_init(&p, timers);
	assert_int_equal(hw_timers_wait_ms(timers, 0), -1);
	hw_timer_arm(timers, &p.timer, 50);
	assert_int_equal(hw_timers_wait_ms(timers, 0), 50);
	assert_int_equal(hw_timers_wait_ms(timers, 20), 30);
	assert_int_equal(hw_timers_wait_ms(timers, 50), 0);
	assert_int_equal(hw_timers_wait_ms(timers, 80), 0);
	hw_timers_destroy(&timers);
}

static void a_clock_that_goes_back_fires_nothing_early(void **state HW_UNUSED)
{
	struct hw_timers *timers = hw_timers_create(0);
	struct probe late, later, future;

	probe_init(&late, timers);
	probe_init(&later, timers);
	probe_init(&future, timers);
	hw_timers_advance(timers, 1000);
	hw_timer_arm(timers, &later.timer, 900);
	hw_timers_advance(timers, 500);
	assert_int_equal(later.n_fired, 0);
	hw_timer_arm(timers, &late.timer, 700);
	hw_timer_arm(timers, &future.timer, 1001);
	hw_timers_advance(timers, 699);
	assert_int_equal(late.n_fired, 0);
	hw_timers_advance(timers, 700);
	assert_int_equal(late.n_fired, 1);
	assert_int_equal(later.n_fired, 0);
	hw_timers_advance(timers, 900);
	assert_int_equal(later.n_fired, 1);
	hw_timers_advance(timers, 1000);
	assert_int_equal(future.n_fired, 0);
	hw_timers_advance(timers, 1001);
	assert_int_equal(future.n_fired, 1);
	hw_timers_destroy(&timers);
}

/* The model: an array that is searched from end to end. */
#define N_TIMERS 200

struct entry {
	struct hw_timer timer;
	struct world *world;
	bool armed;
	bool armed_late;   /* when it was due already */
	unsigned armed_in; /* number of the advance during which it was armed */
};

struct world {
	struct hw_timers *timers;
	struct random random;
	struct entry entries[N_TIMERS];
	int64_t now;
	int64_t last_due; /* of what fired in this advance and was not armed late */
	unsigned advance;
	bool advancing;
	size_t n_fired;
};

/* Distances of all magnitudes: from the past over this millisecond to many years. */
static int64_t random_distance(struct random *r)
{
	int64_t distance = (int64_t)(random_next(r) >> (20 + random_below(r, 44)));

	return random_below(r, 10) == 0 ? -distance : distance;
}

static void world_arm(struct world *w, struct entry *e)
{
	int64_t due = w->now + random_distance(&w->random);

	hw_timer_arm(w->timers, &e->timer, due);
	e->armed = true;
	e->armed_late = due <= w->now;
	e->armed_in = w->advancing ? w->advance : 0;
}

static void world_cancel(struct entry *e)
{
	hw_timer_cancel(&e->timer);
	e->armed = false;
}

static struct entry *random_entry(struct world *w)
{
	return &w->entries[random_below(&w->random, N_TIMERS)];
}

static void entry_fired(struct hw_timer *t)
{
	struct entry *e = HW_CONTAINER_OF(t, struct entry, timer);
	struct world *w = e->world;

	assert_true(w->advancing);
	assert_true(e->armed);
	assert_true(e->timer.due_ms <= w->now);
	assert_int_not_equal(e->armed_in, w->advance);
	if (!e->armed_late) {
		assert_true(e->timer.due_ms >= w->last_due);
		w->last_due = e->timer.due_ms;
	} else {
		assert_true(w->last_due == INT64_MIN);
	}
	e->armed = false;
	w->n_fired++;
	if (random_below(&w->random, 4) == 0)
		world_arm(w, random_below(&w->random, 2) ? e : random_entry(w));
	if (random_below(&w->random, 8) == 0)
		world_cancel(random_entry(w));
}

static void assert_world(struct world *w)
{
	int64_t wait = hw_timers_wait_ms(w->timers, w->now);
	int64_t first = INT64_MAX;
	bool any = false;

	for (int i = 0; i < N_TIMERS; i++) {
		struct entry *e = &w->entries[i];

		assert_int_equal(hw_timer_armed(&e->timer), e->armed);
		if (!e->armed)
			continue;
		any = true;
		if (e->timer.due_ms < first)
			first = e->timer.due_ms;
	}
	if (!any) {
		assert_int_equal(wait, -1);
	} else if (first <= w->now) {
		assert_int_equal(wait, 0);
	} else {
		assert_true(wait >= 1);
		assert_true(wait <= first - w->now);
	}
}

static void world_advance(struct world *w)
{
	int64_t by = random_distance(&w->random);

	w->now += by < 0 ? 0 : by;
	w->advance++;
	w->last_due = INT64_MIN;
	w->advancing = true;
	hw_timers_advance(w->timers, w->now);
	w->advancing = false;
	for (int i = 0; i < N_TIMERS; i++) {
		struct entry *e = &w->entries[i];

		/* nothing that was due is left, but for what callbacks armed meanwhile */
		if (e->armed && e->timer.due_ms <= w->now)
			assert_int_equal(e->armed_in, w->advance);
	}
}

static void random_walk_agrees_with_a_model(void **state HW_UNUSED)
{
	static struct world w;
	size_t n_fired = 0;

	w.random = random_start("timers");
	for (int round = 0; round < 20; round++) {
		w.now = (int64_t)(random_next(&w.random) >> (3 + random_below(&w.random, 60)));
		w.timers = hw_timers_create(w.now);
		w.advance = 0;
		for (int i = 0; i < N_TIMERS; i++) {
			w.entries[i] = (struct entry){.world = &w};
			hw_timer_init(&w.entries[i].timer, entry_fired);
		}
		for (int step = 0; step < 2000; step++) {
			switch (random_below(&w.random, 8)) {
			case 0:
				world_advance(&w);
				break;
			case 1:
				world_cancel(random_entry(&w));
				break;
			default:
				world_arm(&w, random_entry(&w));
			}
			assert_world(&w);
		}
		hw_timers_destroy(&w.timers);
		assert_true(w.n_fired > n_fired);
		n_fired = w.n_fired;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_at_its_millisecond_and_once),
		cmocka_unit_test(rearming_moves_and_cancelling_stops),
		cmocka_unit_test(the_past_fires_at_the_next_advance),
		cmocka_unit_test(a_callback_may_rearm_itself_for_the_next_advance),
		cmocka_unit_test(a_callback_may_stop_or_move_another_that_is_due),
		cmocka_unit_test(a_callback_may_free_its_owner),
		cmocka_unit_test(destroying_forgets_the_armed),
		cmocka_unit_test(the_ends_of_time_are_exact),
		cmocka_unit_test(a_long_sleep_is_one_step),
		cmocka_unit_test(sleeping_as_told_is_exact),
		cmocka_unit_test(waiting_counts_from_the_callers_now),
		cmocka_unit_test(a_clock_that_goes_back_fires_nothing_early),
		cmocka_unit_test(random_walk_agrees_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
