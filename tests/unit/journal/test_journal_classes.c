#include "journal_world.h"

#include <time.h>

#include <errno.h>

/* ---- retention
 * ----------------------------------------------------------------------------------- */

static void at_least_count_and_less_than_twice_as_many_are_kept(void **state)
{
	static const uint64_t counts[] = {1, 2, 3, 4, 7, 50, 1001};

	(void)state;
	for (size_t c = 0; c < HW_COUNT(counts); c++) {
		uint64_t count = counts[c];
		struct hw_journal *j = world_plain((struct hw_retention)KEEP(count, 1u << 30, 0));

		for (uint64_t n = 1; n <= 5 * count + 3; n++) {
			uint64_t events;

			(void)world_append(j, "a:1", n);
			events = world_stats(j).events;
			assert_true(events >= (n < count ? n : count));
			assert_true(events < 2 * count);
			assert_int_equal(world_scan(j, 0).n, events);
		}
		hw_journal_destroy(&j);
	}
}

static void a_lower_count_holds_from_the_next_events_on(void **state)
{
	struct hw_topic_class class = {.history = true, .retention = KEEP(100000, 1u << 30, 0)};
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(1, &class, &classes);

	(void)state;
	for (uint64_t n = 1; n <= 100; n++)
		(void)world_append(j, "a:1", n);
	classes.classes[0].retention.count = 10;
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	for (uint64_t n = 101; n <= 111; n++)
		(void)world_append(j, "a:1", n);
	assert_in_range(world_stats(j).events, 10, 19);
	hw_journal_destroy(&j);
}

static void the_memory_of_a_class_is_bounded(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(1u << 30, 128u << 10, 0));
	struct world_seen seen;

	(void)state;
	for (uint64_t n = 1; n <= 3000; n++) {
		(void)world_append_at(j, "a:1", n, n % 2000, 1);
		assert_true(world_stats(j).bytes <= 128u << 10);
	}
	seen = world_scan(j, 0);
	assert_int_equal(seen.result, HW_JOURNAL_GONE);
	assert_false(seen.holes);
	assert_int_equal(seen.last, 3000);
	assert_true(seen.n > 30);
	assert_int_equal(seen.n, world_stats(j).events);
	hw_journal_destroy(&j);
}

/* Segments are at least 16 KiB and leave as a whole: less memory than a few of them keeps nothing.
 */
static void the_least_memory_that_the_config_takes_is_put_to_use(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(1u << 30, 64u << 10, 0));

	(void)state;
	for (uint64_t n = 1; n <= 1000; n++) {
		(void)world_append_at(j, "a:1", n, 1000, 1);
		assert_true(world_stats(j).events >= (n < 40 ? n : 40));
		assert_true(world_stats(j).bytes <= 64u << 10);
	}
	hw_journal_destroy(&j);
}

/* A topic so slow that all of its events would fit one segment. */
static void old_events_leave_though_their_segment_is_not_full(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(1u << 20, 1u << 30, 1000));

	(void)state;
	for (int64_t n = 1; n <= 200; n++) {
		struct world_seen seen;

		(void)world_append_at(j, "a:1", (uint64_t)n, 8, n * 100);
		hw_journal_trim(j, n * 100);
		seen = world_scan(j, 0);
		assert_true(seen.n >= (n < 10 ? (size_t)n : 10));
		assert_true(seen.n <= 17);
		assert_int_equal(seen.last, n);
	}
	hw_journal_destroy(&j);
}

static void a_quiet_topic_ages_too(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(1000, 1u << 30, 1000));

	(void)state;
	for (uint64_t n = 1; n <= 5; n++)
		(void)world_append_at(j, "a:1", n, 8, 100);
	hw_journal_trim(j, 1100);
	assert_int_equal(world_scan(j, 0).n, 5);
	hw_journal_trim(j, 1101);
	assert_int_equal(world_stats(j).events, 0);
	assert_int_equal(world_scan(j, 4).result, HW_JOURNAL_GONE);
	assert_int_equal(world_scan(j, 5).result, 0);
	assert_int_equal(world_append_at(j, "a:1", 6, 8, 1102), 6);
	assert_int_equal(world_scan(j, 5).n, 1);
	hw_journal_destroy(&j);
}

/* ---- classes
 * --------------------------------------------------------------------------------------- */

static bool has_history(struct hw_journal *j, const char *topic)
{
	char text[256];
	struct hw_append event = {.topic = hw_str_of(topic)};
	uint64_t number, wake;

	event.text = (struct hw_str){text, world_text(text, topic, 1, 0)};
	assert_int_equal(hw_journal_append(j, &event, &number, &wake), 0);
	return number != 0;
}

static void the_exact_pattern_wins_in_any_order(void **state)
{
	static const struct hw_topic_class plain = {.history = true, .retention = KEEP_ALL};
	static const struct hw_topic_class wide = {.pattern = "a:*"};
	static const struct hw_topic_class exact = {
		.pattern = "a:1", .history = true, .retention = KEEP_ALL};
	const struct hw_topic_class orders[2][3] = {{plain, wide, exact}, {plain, exact, wide}};
	char pattern[256];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct hw_topic_classes classes;
		struct hw_journal *j = world_journal(3, orders[i], &classes);

		assert_true(has_history(j, "a:1"));
		assert_false(has_history(j, "a:2"));
		assert_false(has_history(j, "a:11"));
		assert_true(has_history(j, "aa:2"));
		assert_true(has_history(j, "b:1"));
		hw_journal_class_pattern(j, HW_STR("a:1"), pattern);
		assert_string_equal(pattern, "a:1");
		hw_journal_class_pattern(j, HW_STR("a:11"), pattern);
		assert_string_equal(pattern, "a:*");
		hw_journal_class_pattern(j, HW_STR("b:1"), pattern);
		assert_string_equal(pattern, "");
		hw_journal_destroy(&j);
	}
}

static void without_history_there_is_no_id_and_no_replay(void **state)
{
	static const struct hw_topic_class setup[] = {
		{.history = true, .retention = KEEP(10, 1u << 20, 0)},
		{.pattern = "cursor:*"},
	};
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(HW_COUNT(setup), setup, &classes);
	struct hw_reader *r = hw_reader_create(j, 0);
	char text[700], runs[64];
	struct world_seen seen;
	struct hw_run run;

	(void)state;
	hw_reader_activate(r);
	(void)world_append(j, "a:1", 1);
	(void)world_append(j, "cursor:7", 2);
	(void)world_append(j, "a:1", 3);
	world_runs(r, j, runs);
	assert_string_equal(runs, "a:1*1 cursor:7*1 a:1*1");
	hw_reader_advance(r);
	seen = world_scan(j, 0);
	assert_int_equal(seen.result, 0);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.last, 3);
	(void)world_append(j, "cursor:7", 4);
	assert_true(hw_reader_next(r, 4, &run));
	assert_int_equal(
		hw_run_event(&run, 0, NULL).len, world_expect(text, j, "cursor:7", 4, 8, 0));
	assert_memory_equal(hw_run_event(&run, 0, NULL).p, text, hw_run_event(&run, 0, NULL).len);
	for (uint64_t n = 5; n < 20000; n++) {
		(void)world_append(j, "cursor:7", n);
		while (hw_reader_next(r, n, &run))
			;
		hw_reader_advance(r);
	}
	seen = world_scan(j, 0);
	assert_int_equal(seen.result, 0);
	assert_int_equal(seen.n, 2);
	/* nor does it grow: it is gone once it was read */
	assert_true(world_stats(j).bytes <= 512u << 10);
	for (int round = 0; round < 3; round++) {
		hw_journal_trim(j, 1000);
		assert_false(hw_reader_next(r, hw_journal_head(j), &run));
		hw_reader_advance(r);
	}
	assert_int_equal(world_stats(j).events, 2);
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

static void a_flood_in_one_class_evicts_nothing_of_another(void **state)
{
	static const struct hw_topic_class setup[] = {
		{.history = true, .retention = KEEP(10, 1u << 16, 0)},
		{.pattern = "flood:*", .history = true, .retention = KEEP(10, 1u << 16, 0)},
	};
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(HW_COUNT(setup), setup, &classes);
	struct hw_scan scan;
	struct hw_run run;

	(void)state;
	for (uint64_t n = 1; n <= 3; n++)
		(void)world_append(j, "quiet:1", n);
	for (uint64_t n = 4; n <= 3000; n++)
		(void)world_append_at(j, "flood:1", n, 500, 1000);
	assert_int_equal(hw_scan_begin(&scan, j, 0, NULL, 0), HW_JOURNAL_GONE);
	assert_true(hw_scan_next(&scan, hw_journal_head(j), &run));
	assert_true(hw_str_eq(run.topic, HW_STR("quiet:1")));
	assert_int_equal(run.n, 3);
	assert_true(hw_scan_next(&scan, hw_journal_head(j), &run));
	assert_true(hw_str_eq(run.topic, HW_STR("flood:1")));
	hw_scan_end(&scan);
	hw_journal_destroy(&j);
}

/* ---- reload
 * ---------------------------------------------------------------------------------------- */

static void set_class(struct hw_topic_classes *classes, size_t i, const char *pattern, bool history)
{
	struct hw_topic_class *c = &classes->classes[i];

	*c = (struct hw_topic_class){.history = history, .retention = KEEP_ALL};
	snprintf(c->pattern, sizeof(c->pattern), "%s", pattern);
	if (classes->n <= i)
		classes->n = i + 1;
}

static void a_reload_adds_and_retires_classes_under_a_reader(void **state)
{
	struct hw_topic_class plain = {.history = true, .retention = KEEP_ALL};
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(1, &plain, &classes);
	struct hw_reader *r = hw_reader_create(j, 0);
	char runs[256];

	(void)state;
	hw_reader_activate(r);
	(void)world_append(j, "a:1", 1);
	set_class(&classes, 1, "a:*", true);
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	(void)world_append(j, "a:1", 2);
	(void)world_append(j, "b:1", 3);
	world_runs(r, j, runs);
	assert_string_equal(runs, "a:1*1 a:1*1 b:1*1");
	hw_reader_advance(r);
	classes.n = 1;
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	assert_int_equal(world_scan(j, 0).n, 3);
	(void)world_append(j, "a:1", 4);
	assert_int_equal(world_scan(j, 0).n, 4);
	hw_journal_trim(j, 1000);
	(void)world_append(j, "a:1", 5);
	world_runs(r, j, runs);
	assert_string_equal(runs, " a:1*2");
	hw_reader_advance(r);
	hw_journal_trim(j, 1000);
	assert_int_equal(world_stats(j).events, 4); /* the one of the retired class is gone */
	assert_int_equal(world_scan(j, 1).result, HW_JOURNAL_GONE);
	assert_int_equal(world_scan(j, 2).result, 0);
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

static void reloads_never_run_out_of_classes(void **state)
{
	struct hw_topic_class plain = {.history = true, .retention = KEEP_ALL};
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(1, &plain, &classes);
	struct hw_reader *r = hw_reader_create(j, 0);
	char name[32], text[700];
	struct hw_run run;

	(void)state;
	hw_reader_activate(r);
	for (uint64_t n = 1; n <= 100; n++) {
		snprintf(name, sizeof(name), "t%u:1", (unsigned)n);
		set_class(&classes, 1, name, n % 3 != 0);
		assert_int_equal(hw_journal_configure(j, &classes), 0);
		assert_int_equal(world_append(j, name, n), n);
		assert_true(hw_reader_next(r, n, &run));
		assert_int_equal(
			run.len - 2, world_expect(text, j, name, n, 8, n % 3 != 0 ? n : 0));
		assert_memory_equal(run.frames + 2, text, run.len - 2);
		assert_false(hw_reader_next(r, n, &run));
		hw_reader_advance(r);
		hw_journal_trim(j, 1000);
		assert_int_equal(world_scan(j, n - 1).n, n % 3 != 0);
	}
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

static void too_many_classes_change_nothing(void **state)
{
	struct hw_topic_class plain = {.history = true, .retention = KEEP_ALL};
	struct hw_topic_classes classes, more;
	struct hw_journal *j = world_journal(1, &plain, &classes);
	char name[32];

	(void)state;
	for (size_t i = 1; i < HW_JOURNAL_MAX_CLASSES; i++) {
		snprintf(name, sizeof(name), "t%zu:*", i);
		set_class(&classes, i, name, true);
	}
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	(void)world_append(j, "t3:1", 1); /* what it holds keeps its class in use */
	more = classes;
	set_class(&more, 3, "new:*", false);
	set_class(&more, 4, "t4:*", false);
	assert_int_equal(hw_journal_configure(j, &more), -ENOSPC);
	assert_true(has_history(j, "t4:1"));
	assert_true(has_history(j, "t3:1"));
	assert_true(has_history(j, "new:1"));
	hw_journal_destroy(&j);
}

static void history_that_a_reload_begins_shows_nothing_from_before(void **state)
{
	struct hw_topic_class plain = {.history = true, .retention = KEEP_ALL};
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(1, &plain, &classes);
	struct world_seen seen;

	(void)state;
	set_class(&classes, 1, "a:*", false);
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	(void)world_append(j, "a:1", 1);
	classes.classes[1].history = true;
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	assert_int_equal(world_scan(j, 0).n, 0);
	(void)world_append(j, "a:1", 2);
	seen = world_scan(j, 0);
	assert_int_equal(seen.result, 0); /* what has no history cannot be missed */
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.first, 2);
	/* ended and begun again: number 2 was promised and is lost */
	classes.classes[1].history = false;
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	(void)world_append(j, "a:1", 3);
	classes.classes[1].history = true;
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	(void)world_append(j, "a:1", 4);
	seen = world_scan(j, 1);
	assert_int_equal(seen.result, HW_JOURNAL_GONE);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.first, 4);
	assert_int_equal(world_scan(j, 2).result, 0);
	hw_journal_destroy(&j);
}

/* Nanoseconds that finding the newest event takes in a journal of so many segments: the best of
 * some. */
static int64_t scan_begin_ns(unsigned n_segments)
{
	/* an event a segment, since each is older than the next by half of what is kept; a reader
	 * that does not move on keeps them all */
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(1u << 20, 1u << 30, 2));
	struct hw_reader *r = hw_reader_create(j, 0);
	int64_t best = INT64_MAX;

	hw_reader_activate(r);
	for (unsigned n = 1; n <= n_segments; n++)
		(void)world_append_at(j, "a:1", n, 8, 2 * n);
	assert_true(world_stats(j).segments >= n_segments);
	for (int i = 0; i < 50; i++) {
		struct timespec from, to;
		struct hw_scan scan;
		struct hw_run run;

		clock_gettime(CLOCK_MONOTONIC, &from);
		assert_int_equal(hw_scan_begin(&scan, j, n_segments - 1, NULL, 0), 0);
		clock_gettime(CLOCK_MONOTONIC, &to);
		assert_true(hw_scan_next(&scan, hw_journal_head(j), &run));
		assert_int_equal(run.first_seq, n_segments);
		hw_scan_end(&scan);
		if ((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec < best)
			best = (to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
	}
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
	return best;
}

/* Publishers wait meanwhile. */
static void finding_a_place_does_not_take_longer_by_the_segment(void **state)
{
	int64_t few = scan_begin_ns(64), many = scan_begin_ns(64 * 128);

	(void)state;
	if (many > 16 * few)
		fail_msg("in 128 times as many segments it takes %lld ns instead of %lld",
			(long long)many, (long long)few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_least_count_and_less_than_twice_as_many_are_kept),
		cmocka_unit_test(a_lower_count_holds_from_the_next_events_on),
		cmocka_unit_test(the_memory_of_a_class_is_bounded),
		cmocka_unit_test(finding_a_place_does_not_take_longer_by_the_segment),
		cmocka_unit_test(the_least_memory_that_the_config_takes_is_put_to_use),
		cmocka_unit_test(old_events_leave_though_their_segment_is_not_full),
		cmocka_unit_test(a_quiet_topic_ages_too),
		cmocka_unit_test(the_exact_pattern_wins_in_any_order),
		cmocka_unit_test(without_history_there_is_no_id_and_no_replay),
		cmocka_unit_test(a_flood_in_one_class_evicts_nothing_of_another),
		cmocka_unit_test(a_reload_adds_and_retires_classes_under_a_reader),
		cmocka_unit_test(reloads_never_run_out_of_classes),
		cmocka_unit_test(too_many_classes_change_nothing),
		cmocka_unit_test(history_that_a_reload_begins_shows_nothing_from_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
