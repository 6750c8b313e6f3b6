#include "journal_world.h"

#include <errno.h>

/* ---- what is stored ---------------------------------------------------------------------------
 */

/* RFC 6455 5.2: FIN and text, the shortest form of the length, no mask. */
static size_t write_frame(uint8_t *out, const char *text, size_t len)
{
	size_t n = 0;

	out[n++] = 0x81;
	if (len < 126) {
		out[n++] = (uint8_t)len;
	} else if (len < 65536) {
		out[n++] = 126;
		out[n++] = (uint8_t)(len >> 8);
		out[n++] = (uint8_t)len;
	} else {
		out[n++] = 127;
		for (int shift = 56; shift >= 0; shift -= 8)
			out[n++] = (uint8_t)((uint64_t)len >> shift);
	}
	memcpy(out + n, text, len);
	return n + len;
}

static void check_frame_of(size_t payload, bool history)
{
	struct hw_topic_classes classes;
	struct hw_topic_class class = {.history = history, .retention = KEEP_ALL};
	struct hw_journal *j = world_journal(1, &class, &classes);
	struct hw_reader *r = hw_reader_create(j, 0);
	char *text = malloc(payload + 700);
	uint8_t *frame = malloc(payload + 700);
	size_t base = world_expect(text, j, "a:1", 1, 0, history ? 1 : 0), len, frame_len;
	struct hw_run run;
	uint64_t seq;

	hw_reader_activate(r);
	len = world_expect(text, j, "a:1", 1, payload - base, history ? 1 : 0);
	assert_int_equal(len, payload);
	frame_len = write_frame(frame, text, len);
	assert_int_equal(world_append_at(j, "a:1", 1, payload - base, 77), 1);
	assert_true(hw_reader_next(r, hw_journal_head(j), &run));
	assert_int_equal(run.n, 1);
	assert_int_equal(run.len, frame_len);
	assert_memory_equal(run.frames, frame, frame_len);
	assert_int_equal(run.wall_ms, 77);
	assert_int_equal(hw_run_event(&run, 0, &seq).len, len);
	assert_memory_equal(hw_run_event(&run, 0, NULL).p, text, len);
	assert_int_equal(seq, 1);
	free(text);
	free(frame);
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

static void a_frame_is_a_websocket_frame_of_any_length(void **state)
{
	static const size_t payloads[] = {100, 125, 126, 127, 65535, 65536, 65537, 1200000};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(payloads); i++) {
		check_frame_of(payloads[i], true);
		check_frame_of(payloads[i], false);
	}
}

static void the_frames_of_a_run_lie_back_to_back(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP_ALL);
	struct hw_reader *r = hw_reader_create(j, 3);
	char text[1000];
	uint8_t all[4000];
	size_t len = 0, pads[] = {1, 200, 0};
	struct hw_run run;

	(void)state;
	hw_reader_activate(r);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(world_append_at(j, "gift-list:9", i, pads[i], 5), i + 1);
		len += write_frame(
			all + len, text, world_expect(text, j, "gift-list:9", i, pads[i], i + 1));
	}
	assert_true(hw_reader_next(r, hw_journal_head(j), &run));
	assert_int_equal(run.n, 3);
	assert_int_equal(run.len, len);
	assert_memory_equal(run.frames, all, len);
	assert_true(hw_str_eq(run.topic, HW_STR("gift-list:9")));
	assert_int_equal(run.topic_hash, hw_hash(&world_key, "gift-list:9", 11));
	assert_int_equal(
		hw_run_event(&run, 1, NULL).len, world_expect(text, j, "gift-list:9", 1, 200, 2));
	assert_memory_equal(hw_run_event(&run, 1, NULL).p, text, hw_run_event(&run, 1, NULL).len);
	assert_false(hw_reader_next(r, hw_journal_head(j), &run));
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

static void append_previous(struct hw_journal *j, uint64_t n, const char *previous)
{
	char text[600];
	struct hw_append event = {
		.topic = HW_STR("a:1"), .previous = hw_str_of(previous), .wall_ms = 5};
	uint64_t number = 0, wake = 0;

	event.text = (struct hw_str){text, world_text(text, "a:1", n, 8)};
	assert_int_equal(hw_journal_append(j, &event, &number, &wake), 0);
	assert_int_equal(number, n);
}

/* It is beside the frames: a run ends with an event that has something before it, by reader and by
 * scan, and what is delivered of the run is the frames alone. */
static void what_was_before_is_beside_the_frame_and_ends_its_run(void **state)
{
	static const char *const previous[] = {NULL, NULL, "{\"secret\":1}", "[2]", NULL};
	static const size_t runs[] = {3, 1, 1};
	struct hw_journal *j = world_plain((struct hw_retention)KEEP_ALL);
	struct hw_reader *r = hw_reader_create(j, 0);
	char text[700];
	struct hw_scan scan;
	struct hw_run run;
	uint64_t n = 0;

	(void)state;
	hw_reader_activate(r);
	for (size_t i = 0; i < HW_COUNT(previous); i++)
		append_previous(j, i + 1, previous[i]);
	assert_int_equal(hw_scan_begin(&scan, j, 0, NULL, 0), 0);
	for (size_t k = 0; k < 2 * HW_COUNT(runs); k++) {
		bool scanned = k >= HW_COUNT(runs);
		uint64_t head = hw_journal_head(j);

		n = k == HW_COUNT(runs) ? 0 : n;
		assert_true(
			scanned ? hw_scan_next(&scan, head, &run) : hw_reader_next(r, head, &run));
		assert_int_equal(run.n, runs[k % HW_COUNT(runs)]);
		n += run.n;
		assert_int_equal(run.last_seq, n);
		assert_true(hw_str_eq(run.previous, hw_str_of(previous[n - 1])));
		assert_null(memmem(run.frames, run.len, "secret", 6));
		for (size_t i = 0; i < run.n; i++) {
			struct hw_str event = hw_run_event(&run, i, NULL);
			size_t len = world_expect(
				text, j, "a:1", run.first_seq + i, 8, run.first_seq + i);

			assert_true(hw_str_eq(event, (struct hw_str){text, len}));
		}
	}
	hw_scan_end(&scan);
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

static void a_part_of_a_run_is_a_run(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP_ALL);
	struct hw_reader *r = hw_reader_create(j, 0);
	struct hw_run run, part;
	uint64_t seq;

	(void)state;
	hw_reader_activate(r);
	for (uint64_t i = 1; i <= 5; i++)
		append_previous(j, i, i == 5 ? "[]" : NULL);
	assert_true(hw_reader_next(r, hw_journal_head(j), &run));
	assert_int_equal(run.n, 5);
	for (size_t i = 0; i < run.n; i++) {
		for (size_t n = 1; n <= run.n - i; n++) {
			const char *end = hw_run_event(&run, i + n - 1, NULL).p;

			part = hw_run_part(&run, i, n);
			assert_int_equal(part.n, n);
			assert_int_equal(part.first_seq, run.first_seq + i);
			assert_int_equal(part.last_seq, run.first_seq + i + n - 1);
			assert_ptr_equal(hw_run_event(&part, n - 1, &seq).p, end);
			assert_int_equal(seq, part.last_seq);
			assert_ptr_equal(part.frames + part.len,
				end + hw_run_event(&run, i + n - 1, NULL).len);
			assert_int_equal(part.previous.len, i + n == run.n ? 2 : 0);
			part = hw_run_part(&run, i, 1);
			if (n > 1)
				hw_run_extend(&part, &run, n - 1);
			assert_int_equal(part.last_seq, run.first_seq + i + n - 1);
			assert_int_equal(part.n, n);
		}
	}
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

static void numbers_grow_past_every_digit(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(4, 1u << 20, 0));
	char text[700];
	struct hw_scan scan;
	struct hw_run run;

	(void)state;
	for (uint64_t n = 1; n <= 1001; n++) {
		size_t len = world_expect(text, j, "a:1", n, 8, n);

		assert_int_equal(world_append(j, "a:1", n), n);
		assert_int_equal(hw_scan_begin(&scan, j, n - 1, NULL, 0), 0);
		assert_true(hw_scan_next(&scan, n, &run));
		assert_int_equal(hw_run_event(&run, 0, NULL).len, len);
		assert_memory_equal(hw_run_event(&run, 0, NULL).p, text, len);
		hw_scan_end(&scan);
	}
	hw_journal_destroy(&j);
}

/* ---- readers ------------------------------------------------------------------------------------
 */

static void a_reader_starts_at_the_head_and_only_then_is_woken(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP_ALL);
	struct hw_reader *a = hw_reader_create(j, 0), *b = hw_reader_create(j, 63);
	struct hw_append event = {
		.topic = HW_STR("a:1"), .text = HW_STR("{\"topic\":\"a:1\",\"event\":\"e\"")};
	uint64_t number, wake;
	struct hw_run run;

	(void)state;
	assert_int_equal(hw_journal_append(j, &event, &number, &wake), 0);
	assert_int_equal(wake, 0);
	hw_reader_activate(b);
	assert_int_equal(hw_reader_seq(b), 1);
	assert_false(hw_reader_next(b, hw_journal_head(j), &run));
	hw_reader_activate(a);
	assert_int_equal(hw_journal_append(j, &event, &number, &wake), 0);
	assert_int_equal(number, 2);
	assert_int_equal(wake, UINT64_C(1) << 63 | 1);
	assert_true(hw_reader_next(b, hw_journal_head(j), &run));
	assert_int_equal(run.first_seq, 2);
	assert_int_equal(run.last_seq, 2);
	hw_reader_deactivate(b);
	assert_false(hw_reader_active(b));
	assert_int_equal(hw_journal_append(j, &event, &number, &wake), 0);
	assert_int_equal(wake, 1);
	hw_reader_activate(b);
	assert_false(hw_reader_next(b, hw_journal_head(j), &run));
	hw_reader_destroy(&a);
	hw_reader_destroy(&b);
	assert_null(b);
	hw_journal_destroy(&j);
}

static void a_reader_goes_no_further_than_the_head_it_was_given(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP_ALL);
	struct hw_reader *r = hw_reader_create(j, 0);
	struct hw_run run;

	(void)state;
	hw_reader_activate(r);
	for (uint64_t n = 1; n <= 5; n++)
		(void)world_append(j, "a:1", n);
	assert_false(hw_reader_next(r, 0, &run));
	assert_true(hw_reader_next(r, 3, &run));
	assert_int_equal(run.n, 3);
	assert_false(hw_reader_next(r, 3, &run));
	assert_int_equal(hw_reader_seq(r), 3);
	assert_true(hw_reader_next(r, 5, &run));
	assert_int_equal(run.first_seq, 4);
	assert_int_equal(run.n, 2);
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

static void what_an_active_reader_has_not_read_is_kept(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(10, 1u << 16, 100));
	struct hw_reader *r = hw_reader_create(j, 0);
	uint64_t expected = 0;
	struct hw_run run;

	(void)state;
	hw_reader_activate(r);
	for (uint64_t n = 1; n <= 2000; n++)
		(void)world_append_at(j, "a:1", n, 100, (int64_t)n * 1000);
	hw_journal_trim(j, 10000000);
	while (hw_reader_next(r, hw_journal_head(j), &run)) {
		assert_int_equal(run.first_seq, expected + 1);
		expected = run.last_seq;
	}
	assert_int_equal(expected, 2000);
	/* read is not sent: only advancing says so */
	hw_journal_trim(j, 10000000);
	assert_int_equal(world_stats(j).events, 2000);
	hw_reader_advance(r);
	hw_journal_trim(j, 2000 * 1000);
	assert_in_range(world_stats(j).events, 1, 19);
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

/* ---- runs
 * ---------------------------------------------------------------------------------------- */

static void runs_are_maximal_and_merged_in_order(void **state)
{
	static const struct hw_topic_class setup[] = {
		{.history = true, .retention = KEEP_ALL},
		{.pattern = "b:*", .history = true, .retention = KEEP_ALL},
		{.pattern = "c:1", .history = false},
	};
	static const char *const topics[] = {"a:1", "a:1", "b:1", "b:1", "b:2", "a:1", "c:1", "a:1",
		"a:2", "a:2", "c:2", "c:1", "c:1", "b:1", "a:1"};
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(HW_COUNT(setup), setup, &classes);
	struct hw_reader *r = hw_reader_create(j, 0);
	char runs[512];

	(void)state;
	hw_reader_activate(r);
	for (size_t i = 0; i < HW_COUNT(topics); i++)
		assert_int_equal(world_append(j, topics[i], i), i + 1);
	world_runs(r, j, runs);
	assert_string_equal(
		runs, "a:1*2 b:1*2 b:2*1 a:1*1 c:1*1 a:1*1 a:2*2 c:2*1 c:1*2 b:1*1 a:1*1");
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

static void a_run_is_bounded_or_a_single_frame(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP_ALL);
	struct hw_reader *r = hw_reader_create(j, 0);
	size_t longest = 0, n = 0;
	struct hw_run run;

	(void)state;
	hw_reader_activate(r);
	for (uint64_t i = 1; i <= 500; i++)
		(void)world_append_at(j, "a:1", i, i % 100 == 0 ? 100000 : 1000, 1);
	while (hw_reader_next(r, hw_journal_head(j), &run)) {
		assert_true(run.len <= HW_JOURNAL_RUN_BYTES || run.n == 1);
		if (run.n > 1 && run.len > longest)
			longest = run.len;
		n += run.n;
	}
	assert_int_equal(n, 500);
	assert_true(longest > HW_JOURNAL_RUN_BYTES - 1200);
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

/* ---- pins and scans
 * -------------------------------------------------------------------------------- */

/* What one blocked socket has yet to send stays for it, and keeps nothing of what came after. */
static void a_pinned_run_stays_alone_until_it_is_released(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(4, 1u << 16, 0));
	struct hw_reader *r = hw_reader_create(j, 0);
	uint64_t held_bytes;
	char *copy;
	struct hw_run run, later;

	(void)state;
	hw_reader_activate(r);
	(void)world_append(j, "a:1", 1);
	assert_true(hw_reader_next(r, 1, &run));
	copy = malloc(run.len);
	memcpy(copy, run.frames, run.len);
	hw_pin_hold(run.pin);
	hw_pin_hold(run.pin);
	for (uint64_t n = 2; n <= 1000; n++) {
		(void)world_append(j, "a:1", n);
		while (hw_reader_next(r, n, &later))
			;
		hw_reader_advance(r);
	}
	hw_pin_release(run.pin);
	hw_journal_trim(j, 1000);
	assert_in_range(world_stats(j).events, 4, 7);
	assert_memory_equal(run.frames, copy, run.len);
	held_bytes = world_stats(j).bytes;
	hw_pin_release(run.pin);
	hw_journal_trim(j, 1000);
	assert_in_range(world_stats(j).events, 4, 7);
	assert_true(world_stats(j).bytes < held_bytes);
	free(copy);
	hw_reader_destroy(&r);
	hw_journal_destroy(&j);
}

static void a_scan_from_any_cursor_finds_what_is_there(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(50, 1u << 20, 0));
	uint64_t oldest, head = 333;

	(void)state;
	for (uint64_t n = 1; n <= head; n++)
		(void)world_append(j, n % 3 ? "a:1" : "b:1", n);
	oldest = head - world_stats(j).events + 1;
	assert_true(oldest > 1);
	for (uint64_t after = 0; after <= head; after++) {
		struct world_seen seen = world_scan(j, after);
		uint64_t first = after + 1 > oldest ? after + 1 : oldest;

		assert_int_equal(seen.result, after + 1 < oldest ? HW_JOURNAL_GONE : 0);
		assert_int_equal(seen.n, head - first + 1);
		if (seen.n)
			assert_int_equal(seen.first, first);
		assert_false(seen.holes);
	}
	hw_journal_destroy(&j);
}

static void a_scan_outlives_the_retention_of_what_it_has_yet_to_read(void **state)
{
	static const struct hw_topic_class setup[] = {
		{.history = true, .retention = KEEP(4, 1u << 16, 0)},
		{.pattern = "b:*", .history = true, .retention = KEEP(9, 1u << 16, 0)},
	};
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(HW_COUNT(setup), setup, &classes);
	uint64_t next = 1, n = 0;
	struct hw_scan scan;
	struct hw_run run;

	(void)state;
	for (; n < 3; n++)
		(void)world_append(j, n % 2 ? "b:1" : "a:1", n + 1);
	assert_int_equal(hw_scan_begin(&scan, j, 0, NULL, 0), 0);
	for (int round = 0; round < 500; round++) {
		for (int i = 0; i < 3; i++, n++)
			(void)world_append(j, n % 5 ? "b:1" : "a:1", n + 1);
		hw_journal_trim(j, 1000);
		for (int i = 0; i < 2 && hw_scan_next(&scan, hw_journal_head(j), &run); i++) {
			assert_int_equal(run.first_seq, next);
			next = run.last_seq + 1;
		}
	}
	while (hw_scan_next(&scan, hw_journal_head(j), &run)) {
		assert_int_equal(run.first_seq, next);
		next = run.last_seq + 1;
	}
	assert_int_equal(next, n + 1);
	hw_scan_end(&scan);
	hw_journal_trim(j, 1000);
	assert_in_range(world_stats(j).events, 13, 24);
	hw_journal_destroy(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_a_websocket_frame_of_any_length),
		cmocka_unit_test(the_frames_of_a_run_lie_back_to_back),
		cmocka_unit_test(numbers_grow_past_every_digit),
		cmocka_unit_test(a_reader_starts_at_the_head_and_only_then_is_woken),
		cmocka_unit_test(a_reader_goes_no_further_than_the_head_it_was_given),
		cmocka_unit_test(what_an_active_reader_has_not_read_is_kept),
		cmocka_unit_test(runs_are_maximal_and_merged_in_order),
		cmocka_unit_test(what_was_before_is_beside_the_frame_and_ends_its_run),
		cmocka_unit_test(a_part_of_a_run_is_a_run),
		cmocka_unit_test(a_run_is_bounded_or_a_single_frame),
		cmocka_unit_test(a_pinned_run_stays_alone_until_it_is_released),
		cmocka_unit_test(a_scan_from_any_cursor_finds_what_is_there),
		cmocka_unit_test(a_scan_outlives_the_retention_of_what_it_has_yet_to_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
