#include "journal_world.h"

#include <pthread.h>
#include <sched.h>

enum { APPENDERS = 4, READERS = 4, EACH = 15000, ALL = APPENDERS * EACH };

static const char *const topics[APPENDERS] = {"a:1", "a:2", "b:1", "c:1"};

struct world {
	struct hw_journal *j;
	atomic_uint failures;
	atomic_bool done;
	atomic_uint scans;
};

struct part {
	struct world *w;
	size_t i;
	struct hw_reader *reader;
};

/* What may be checked in any thread: cmocka's asserts belong to the main one. */
#define CHECK(w, condition) \
	do { \
		if (!(condition) && atomic_fetch_add(&(w)->failures, 1) < 10) \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
	} while (0)

static size_t pad_of(uint64_t n)
{
	return n * 7 % 300;
}

static void *append_all(void *arg)
{
	struct part *part = arg;
	struct world *w = part->w;
	char text[1024];

	for (uint64_t n = 1; n <= EACH; n++) {
		struct hw_append event = {
			.topic = hw_str_of(topics[part->i]), .mono_ms = (int64_t)n};
		uint64_t number, wake;

		event.text = (struct hw_str){text, world_text(text, topics[part->i], n, pad_of(n))};
		CHECK(w, hw_journal_append(w->j, &event, &number, &wake) == 0);
		CHECK(w, (number != 0) == (part->i != 3));
		CHECK(w, wake == (1u << READERS) - 1);
	}
	return NULL;
}

static size_t appender_of(struct hw_str topic)
{
	for (size_t i = 0; i < APPENDERS; i++)
		if (hw_str_eq(topic, hw_str_of(topics[i])))
			return i;
	return APPENDERS;
}

/* Every event as its appender wrote it, in its order, with the journal's number. */
static void check_run(struct world *w, const struct hw_run *run, uint64_t *seq, uint64_t n_of[])
{
	size_t a = appender_of(run->topic);
	char text[1024];

	CHECK(w, a < APPENDERS);
	if (a == APPENDERS)
		return;
	for (size_t i = 0; i < run->n; i++) {
		uint64_t found;
		struct hw_str event = hw_run_event(run, i, &found);
		uint64_t n = ++n_of[a];
		size_t len = world_expect(text, w->j, topics[a], n, pad_of(n), a == 3 ? 0 : found);

		CHECK(w, found == ++*seq);
		CHECK(w, event.len == len && !memcmp(event.p, text, len));
	}
	CHECK(w, run->last_seq == *seq);
}

/* A socket that takes its time: the run is sent long after the reader has gone on. */
struct late {
	struct hw_run run;
	uint64_t seq, n_of[APPENDERS];
};

static void *read_all(void *arg)
{
	struct part *part = arg;
	struct world *w = part->w;
	uint64_t seq = 0, n_of[APPENDERS] = {0}, rounds = 0;
	struct late late = {0};

	while (seq < ALL && atomic_load(&w->failures) == 0) {
		uint64_t head = hw_journal_head(w->j);
		struct hw_run run;

		while (hw_reader_next(part->reader, head, &run)) {
			if (!late.run.pin && rounds % 8 == part->i) {
				late.run = run;
				late.seq = seq;
				memcpy(late.n_of, n_of, sizeof(n_of));
				hw_pin_hold(run.pin);
			}
			check_run(w, &run, &seq, n_of);
		}
		CHECK(w, hw_reader_seq(part->reader) == head && seq == head);
		hw_reader_advance(part->reader);
		if (late.run.pin && rounds % 8 == (part->i + 5) % 8) {
			check_run(w, &late.run, &late.seq, late.n_of);
			hw_pin_release(late.run.pin);
			late.run.pin = NULL;
		}
		rounds++;
		sched_yield();
	}
	if (late.run.pin)
		hw_pin_release(late.run.pin);
	return NULL;
}

/* Clients that come back with any cursor, and the sweep, while all of that goes on. */
static void *scan_and_trim(void *arg)
{
	struct world *w = arg;
	uint64_t rounds = 0;

	while (!atomic_load(&w->done)) {
		uint64_t head = hw_journal_head(w->j), last;
		uint64_t after = head - (head < 100 ? head : 100) * (rounds++ % 3) / 2;
		struct hw_scan scan;
		struct hw_run run;

		last = after;
		(void)!hw_scan_begin(&scan, w->j, after, NULL, 0);
		while (hw_scan_next(&scan, head, &run)) {
			uint64_t found;

			CHECK(w, run.first_seq > last && run.last_seq <= head);
			CHECK(w, appender_of(run.topic) < 3);
			for (size_t i = 0; i < run.n; i++) {
				struct hw_str event = hw_run_event(&run, i, &found);

				CHECK(w, found > last && event.p[0] == '{');
				CHECK(w, event.p[event.len - 1] == '}');
				last = found;
			}
		}
		hw_scan_end(&scan);
		hw_journal_trim(w->j, (int64_t)(head / APPENDERS));
		atomic_fetch_add(&w->scans, 1);
		sched_yield();
	}
	return NULL;
}

static void every_reader_sees_every_event_in_order(void **state)
{
	static const struct hw_topic_class setup[] = {
		{.history = true, .retention = KEEP(64, 1u << 20, 500)},
		{.pattern = "b:*", .history = true, .retention = KEEP(32, 1u << 16, 0)},
		{.pattern = "c:*"},
	};
	struct hw_topic_classes classes;
	struct world w = {.j = world_journal(HW_COUNT(setup), setup, &classes)};
	struct part appenders[APPENDERS], readers[READERS];
	pthread_t threads[APPENDERS + READERS], scanner;

	(void)state;
	for (size_t i = 0; i < READERS; i++) {
		readers[i] = (struct part){&w, i, hw_reader_create(w.j, (unsigned)i)};
		hw_reader_activate(readers[i].reader);
	}
	assert_int_equal(pthread_create(&scanner, NULL, scan_and_trim, &w), 0);
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
	for (size_t i = 0; i < APPENDERS; i++) {
		appenders[i] = (struct part){.w = &w, .i = i};
		assert_int_equal(
			pthread_create(&threads[READERS + i], NULL, append_all, &appenders[i]), 0);
	}
	for (size_t i = 0; i < HW_COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	atomic_store(&w.done, true);
	pthread_join(scanner, NULL);
	assert_int_equal(atomic_load(&w.failures), 0);
	assert_int_equal(hw_journal_head(w.j), ALL);
	assert_true(atomic_load(&w.scans) > 0);
	hw_journal_trim(w.j, 0);
	assert_true(world_stats(w.j).events < ALL / 4); /* it was trimmed under way */
	for (size_t i = 0; i < READERS; i++)
		hw_reader_destroy(&readers[i].reader);
	hw_journal_destroy(&w.j);
}

/* Subscribers come and go: an inactive reader holds nothing back, an active one misses nothing. */
static void *come_and_go(void *arg)
{
	struct part *part = arg;
	struct world *w = part->w;

	while (!atomic_load(&w->done)) {
		uint64_t expected;
		struct hw_run run;

		hw_reader_activate(part->reader);
		expected = hw_reader_seq(part->reader) + 1;
		for (int i = 0; i < 3; i++) {
			while (hw_reader_next(part->reader, hw_journal_head(w->j), &run)) {
				CHECK(w, run.first_seq == expected);
				expected = run.last_seq + 1;
			}
			hw_reader_advance(part->reader);
		}
		hw_reader_deactivate(part->reader);
	}
	return NULL;
}

/* Reloads that add, retire and change classes go on under it. */
static void readers_come_and_go_while_classes_do(void **state)
{
	struct hw_topic_class plain = {.history = true, .retention = KEEP(20, 1u << 20, 0)};
	struct hw_topic_classes classes;
	struct world w = {.j = world_journal(1, &plain, &classes)};
	struct part readers[READERS];
	pthread_t threads[READERS];

	(void)state;
	for (size_t i = 0; i < READERS; i++) {
		readers[i] = (struct part){&w, i, hw_reader_create(w.j, (unsigned)i)};
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &readers[i]), 0);
	}
	for (unsigned n = 0; n < 3000; n++) {
		snprintf(classes.classes[1].pattern, 32, "t%u:*", n / 10 % 7);
		classes.classes[1].history = n % 20 < 10;
		classes.classes[1].retention = (struct hw_retention)KEEP(5, 1u << 16, 0);
		classes.n = 1 + n / 10 % 2;
		if (n % 10 == 0)
			assert_int_equal(hw_journal_configure(w.j, &classes), 0);
		(void)world_append(w.j, n % 2 ? "t3:1" : "t5:1", n);
		if (n % 5 == 0)
			hw_journal_trim(w.j, 1000);
	}
	atomic_store(&w.done, true);
	for (size_t i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		hw_reader_destroy(&readers[i].reader);
	}
	assert_int_equal(atomic_load(&w.failures), 0);
	hw_journal_destroy(&w.j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reader_sees_every_event_in_order),
		cmocka_unit_test(readers_come_and_go_while_classes_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
