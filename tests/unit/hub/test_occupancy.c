/* Topics are occupied and vacated once for all workers, in an order that makes sense. */
#include "hub/occupancy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define GRACE_MS 100

/* What a worker does, with the clock in the test's hand. */
struct world {
	struct hw_occupancy o;
	int64_t now_ms;
	char told[4096]; /* "+a:1 -a:1 " */
	uint64_t last_number, n_undone;
};

static void world_init(struct world *w)
{
	struct hw_hash_key key = hw_hash_key_random();

	memset(w, 0, sizeof(*w));
	w->now_ms = 1000;
	hw_occupancy_init(&w->o, &key);
}

static void world_fini(struct world *w)
{
	assert_int_equal(hw_map_count(&w->o.topics), 0); /* nothing is kept of what is over */
	assert_int_equal(w->o.n_graces, 0);
	hw_occupancy_fini(&w->o);
}

static struct hw_occupied *join(struct world *w, const char *topic, bool *tell)
{
	struct hw_occupied *t = NULL;

	assert_int_equal(hw_occupancy_join(&w->o, hw_str_of(topic), &t, tell), 0);
	assert_non_null(t);
	return t;
}

static bool leave(struct world *w, struct hw_occupied **topic, int64_t grace_ms, bool *tell)
{
	bool waits = hw_occupancy_leave(&w->o, topic, w->now_ms, grace_ms, tell);

	assert_null(*topic);
	return waits;
}

static void tell_all(struct world *w, bool *tell)
{
	struct hw_occupancy_change change;

	if (!*tell)
		return;
	*tell = false;
	while (hw_occupancy_next(&w->o, &change)) {
		assert_true(change.number > w->last_number);
		w->last_number = change.number;
		w->n_undone += change.n_undone;
		sprintf(w->told + strlen(w->told), "%s%.*s ", change.occupied ? "+" : "-",
			(int)change.topic_len, change.topic);
	}
}

static void told(struct world *w, const char *expected)
{
	assert_string_equal(w->told, expected);
	w->told[0] = '\0';
}

static void the_first_worker_occupies_and_the_last_one_vacates(void **state HW_UNUSED)
{
	struct hw_occupied *a, *b, *other;
	struct world w;
	bool tell = false;

	world_init(&w);
	a = join(&w, "a:1", &tell);
	assert_true(tell);
	tell_all(&w, &tell);
	told(&w, "+a:1 ");
	b = join(&w, "a:1", &tell);
	assert_ptr_equal(a, b);
	other = join(&w, "b:1", &tell);
	assert_false(leave(&w, &a, GRACE_MS, &tell));
	tell_all(&w, &tell);
	told(&w, "+b:1 ");
	assert_true(leave(&w, &b, GRACE_MS, &tell));
	assert_false(tell);
	assert_int_equal(hw_occupancy_expire(&w.o, w.now_ms, GRACE_MS, &tell), w.now_ms + GRACE_MS);
	assert_false(tell);
	w.now_ms += GRACE_MS - 1;
	assert_int_equal(hw_occupancy_expire(&w.o, w.now_ms, GRACE_MS, &tell), w.now_ms + 1);
	assert_false(tell);
	w.now_ms++;
	assert_int_equal(hw_occupancy_expire(&w.o, w.now_ms, GRACE_MS, &tell), INT64_MAX);
	tell_all(&w, &tell);
	told(&w, "-a:1 ");
	assert_false(leave(&w, &other, 0, &tell)); /* without grace at once */
	tell_all(&w, &tell);
	told(&w, "-b:1 ");
	world_fini(&w);
}

static void who_comes_back_within_the_grace_period_has_not_been_away(void **state HW_UNUSED)
{
	struct hw_occupied *t;
	struct world w;
	bool tell = false;

	world_init(&w);
	t = join(&w, "a:1", &tell);
	tell_all(&w, &tell);
	told(&w, "+a:1 ");
	for (int i = 0; i < 5; i++) {
		assert_true(leave(&w, &t, GRACE_MS, &tell));
		w.now_ms += GRACE_MS - 1;
		hw_occupancy_expire(&w.o, w.now_ms, GRACE_MS, &tell);
		t = join(&w, "a:1", &tell);
		/* the period begins anew with each absence */
		w.now_ms += GRACE_MS;
		assert_int_equal(hw_occupancy_expire(&w.o, w.now_ms, GRACE_MS, &tell), INT64_MAX);
	}
	assert_false(tell);
	assert_true(leave(&w, &t, GRACE_MS, &tell));
	/* a reload has made the period shorter */
	assert_int_equal(hw_occupancy_expire(&w.o, w.now_ms, 0, &tell), INT64_MAX);
	tell_all(&w, &tell);
	told(&w, "-a:1 ");
	world_fini(&w);
}

static void the_end_of_the_broker_grants_no_grace(void **state HW_UNUSED)
{
	struct hw_occupied *a, *b;
	struct world w;
	bool tell = false;

	world_init(&w);
	a = join(&w, "a:1", &tell);
	b = join(&w, "b:1", &tell);
	tell_all(&w, &tell);
	assert_true(leave(&w, &a, GRACE_MS, &tell));
	hw_occupancy_end(&w.o, &tell);
	tell_all(&w, &tell);
	assert_false(leave(&w, &b, GRACE_MS, &tell));
	tell_all(&w, &tell);
	told(&w, "+a:1 +b:1 -a:1 -b:1 ");
	world_fini(&w);
}

static void one_worker_at_a_time_tells(void **state HW_UNUSED)
{
	struct hw_occupancy_change change;
	struct hw_occupied *a, *b;
	struct world w;
	bool first = false, second = false;

	world_init(&w);
	a = join(&w, "a:1", &first);
	assert_true(first);
	b = join(&w, "b:1", &second);
	assert_false(second);
	assert_true(hw_occupancy_next(&w.o, &change));
	assert_true(hw_occupancy_next(&w.o, &change));
	/* the turn is the first one's until it has found nothing */
	leave(&w, &a, 0, &second);
	assert_false(second);
	assert_true(hw_occupancy_next(&w.o, &change));
	assert_false(change.occupied);
	assert_false(hw_occupancy_next(&w.o, &change));
	leave(&w, &b, 0, &second);
	assert_true(second);
	tell_all(&w, &second);
	told(&w, "-b:1 ");
	world_fini(&w);
}

static void what_changes_faster_than_it_is_told_is_told_in_short(void **state HW_UNUSED)
{
	struct hw_occupied *t;
	struct world w;
	bool tell = false;

	world_init(&w);
	t = join(&w, "a:1", &tell);
	for (int i = 0; i < 1000; i++) {
		leave(&w, &t, 0, &tell);
		t = join(&w, "a:1", &tell);
	}
	tell_all(&w, &tell);
	told(&w, "+a:1 ");
	assert_int_equal(w.n_undone, 2000);
	for (int i = 0; i < 1000; i++) {
		leave(&w, &t, 0, &tell);
		t = join(&w, "a:1", &tell);
	}
	leave(&w, &t, 0, &tell);
	tell_all(&w, &tell);
	told(&w, "-a:1 ");
	/* and an absence that is over before anybody heard of it */
	t = join(&w, "a:1", &tell);
	leave(&w, &t, 0, &tell);
	tell_all(&w, &tell);
	told(&w, "+a:1 -a:1 ");
	world_fini(&w);
}

static void memory_is_bounded_by_what_is_live(void **state HW_UNUSED)
{
	char topic[64], oldest[64];
	struct world w;
	bool tell = false;

	world_init(&w);
	for (int i = 0; i < HW_OCCUPANCY_GRACES_MAX + 1; i++) {
		struct hw_occupied *t;

		snprintf(topic, sizeof(topic), "a:%d", i);
		t = join(&w, topic, &tell);
		tell_all(&w, &tell);
		w.told[0] = '\0';
		assert_true(leave(&w, &t, GRACE_MS, &tell));
	}
	assert_int_equal(w.o.n_graces, HW_OCCUPANCY_GRACES_MAX);
	tell_all(&w, &tell);
	snprintf(oldest, sizeof(oldest), "-a:%d ", 0);
	told(&w, oldest);
	w.now_ms += GRACE_MS;
	hw_occupancy_expire(&w.o, w.now_ms, GRACE_MS, &tell);
	w.o.telling = true; /* mine */
	while (hw_occupancy_next(&w.o, &(struct hw_occupancy_change){0}))
		;
	world_fini(&w);
}

/* ---- threads, as workers ---- */

enum { N_WORKERS = 4, N_TOPICS = 7, N_STEPS = 20000, MAX_TOLD = N_WORKERS * N_STEPS + N_TOPICS };

struct race {
	struct hw_occupancy o;
	atomic_int n_telling; /* who tells now: never two */
	size_t n_told;
	struct {
		unsigned topic;
		bool occupied;
		uint64_t number;
	} * told; /* by who has the turn */
	uint64_t n_undone;
};

struct racer {
	struct race *race;
	unsigned number;
	pthread_t thread;
};

static void race_tell(struct race *r, bool *tell)
{
	struct hw_occupancy_change change;
	bool more = *tell;

	*tell = false;
	while (more) {
		more = hw_occupancy_next(&r->o, &change);
		if (!more)
			break;
		if (atomic_fetch_add(&r->n_telling, 1))
			abort();
		r->told[r->n_told].topic = (unsigned)(change.topic[2] - '0');
		r->told[r->n_told].occupied = change.occupied;
		r->told[r->n_told++].number = change.number;
		r->n_undone += change.n_undone;
		atomic_fetch_sub(&r->n_telling, 1);
	}
}

static void *race_run(void *arg)
{
	struct racer *me = arg;
	struct hw_occupied *mine[N_TOPICS] = {0};
	unsigned seed = me->number + 1;
	bool tell = false;

	for (int i = 0; i < N_STEPS; i++) {
		unsigned n = (unsigned)rand_r(&seed) % N_TOPICS;
		char topic[] = "t:0";

		topic[2] = (char)('0' + n);
		if (mine[n])
			/* even topics have a grace period, that never passes by itself */
			hw_occupancy_leave(&me->race->o, &mine[n], 0, n % 2 ? 0 : 1, &tell);
		else if (hw_occupancy_join(&me->race->o, hw_str_of(topic), &mine[n], &tell))
			abort();
		if (i % 64 == 0)
			hw_occupancy_expire(&me->race->o, 1, 1, &tell);
		race_tell(me->race, &tell);
		if (i % 16 == 0)
			sched_yield();
	}
	for (unsigned n = 0; n < N_TOPICS; n++)
		if (mine[n])
			hw_occupancy_leave(&me->race->o, &mine[n], 0, 1, &tell);
	race_tell(me->race, &tell);
	hw_occupancy_end(&me->race->o, &tell);
	race_tell(me->race, &tell);
	return NULL;
}

static void workers_that_race_are_told_of_in_one_order(void **state HW_UNUSED)
{
	struct hw_hash_key key = hw_hash_key_random();
	struct racer racers[N_WORKERS];
	bool occupied[N_TOPICS] = {false};
	size_t n_changes = 0;
	struct race r = {.told = calloc(MAX_TOLD, sizeof(*r.told))};

	assert_non_null(r.told);
	hw_occupancy_init(&r.o, &key);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		racers[i] = (struct racer){.race = &r, .number = i};
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race_run, &racers[i]), 0);
	}
	for (unsigned i = 0; i < N_WORKERS; i++)
		pthread_join(racers[i].thread, NULL);
	for (size_t i = 0; i < r.n_told; i++) {
		assert_true(i == 0 || r.told[i].number > r.told[i - 1].number);
		assert_int_not_equal(occupied[r.told[i].topic], r.told[i].occupied);
		occupied[r.told[i].topic] = r.told[i].occupied;
		n_changes++;
	}
	for (unsigned n = 0; n < N_TOPICS; n++)
		assert_false(occupied[n]);
	assert_true(n_changes > N_TOPICS);
	assert_int_equal(hw_map_count(&r.o.topics), 0);
	hw_occupancy_fini(&r.o);
	free(r.told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_worker_occupies_and_the_last_one_vacates),
		cmocka_unit_test(who_comes_back_within_the_grace_period_has_not_been_away),
		cmocka_unit_test(the_end_of_the_broker_grants_no_grace),
		cmocka_unit_test(one_worker_at_a_time_tells),
		cmocka_unit_test(what_changes_faster_than_it_is_told_is_told_in_short),
		cmocka_unit_test(memory_is_bounded_by_what_is_live),
		cmocka_unit_test(workers_that_race_are_told_of_in_one_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
