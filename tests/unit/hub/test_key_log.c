#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hub/key_log.h"

#define WALL INT64_C(1700000000000)
#define NOW 5000 /* since the machine began */

static const struct hw_hash_key hash_key = {1, 2};
static const struct hw_idempotency_name name = {{"a", 1}, {"u", 1}, {"k", 1}};

static bool reads(const char *text)
{
	struct hw_journal_event row = {.at_ms = WALL, .event = {text, strlen(text)}};
	struct hw_idempotency_key key;

	return hw_key_row_read(&row, &key);
}

/* What one broker writes of a key, another knows it by, whatever its maps are keyed with. */
static void test_a_key_is_the_same_in_the_next_broker(void **state)
{
	const struct hw_hash_key other_key = {3, 4};
	struct hw_idempotency first, second;
	struct hw_idempotency_entry *e;
	struct hw_idempotency_key key;
	struct hw_journal_event row;
	char text[HW_KEY_ROW_MAX];
	uint64_t seq = 0;

	(void)state;
	hw_idempotency_init(&first, &hash_key);
	hw_idempotency_init(&second, &other_key);
	assert_int_equal(
		hw_idempotency_begin(&first, &name, UINT64_MAX, NOW, &e, &seq), HW_IDEMPOTENCY_NEW);
	row = hw_key_row((struct hw_str){text, hw_key_row_write(e, text)}, WALL);
	assert_true(row.event.len > 0 && row.event.p[row.event.len - 1] == '}');
	assert_true(row.at_ms == WALL);
	hw_idempotency_release(&first, e);
	assert_true(hw_key_row_read(&row, &key));
	assert_int_equal(hw_idempotency_restore(&second, &key, 17, 60000, NOW), 0);
	assert_int_equal(hw_idempotency_begin(&second, &name, UINT64_MAX, NOW + 1, &e, &seq),
		HW_IDEMPOTENCY_DUPLICATE);
	assert_int_equal(seq, 17);
	assert_int_equal(hw_idempotency_begin(&second, &name, 1, NOW + 1, &e, &seq),
		HW_IDEMPOTENCY_CONFLICT);
	/* no longer than from its first use, a minute before */
	assert_int_equal(
		hw_idempotency_begin(&second, &name, 1, NOW + HW_IDEMPOTENCY_MS - 60001, &e, &seq),
		HW_IDEMPOTENCY_CONFLICT);
	assert_int_equal(
		hw_idempotency_begin(&second, &name, 1, NOW + HW_IDEMPOTENCY_MS - 60000, &e, &seq),
		HW_IDEMPOTENCY_NEW);
	hw_idempotency_release(&second, e);
	hw_idempotency_fini(&first);
	hw_idempotency_fini(&second);
}

static void test_what_is_no_key_is_passed_over(void **state)
{
#define DATA "{\"topic\":\"@keys:all\",\"event\":\"KEY\",\"data\":"
#define DIGEST "\"entity_id\":\"0123456789abcdef0123456789abcdef\""

	(void)state;
	assert_true(reads(DATA "{" DIGEST ",\"body\":\"7\"}}"));
	assert_true(reads(DATA "{" DIGEST ",\"body\":\"7\",\"more\":[1]}}"));
	assert_false(reads(""));
	assert_false(reads("{}"));
	assert_false(reads(DATA "{}}"));
	assert_false(reads(DATA "{" DIGEST "}}"));
	assert_false(reads(DATA "{\"body\":\"7\"}}"));
	assert_false(reads(DATA "{" DIGEST ",\"body\":7}}"));
	assert_false(reads(DATA "{" DIGEST ",\"body\":\"x\"}}"));
	assert_false(reads(DATA "{\"entity_id\":\"0123\",\"body\":\"7\"}}"));
	assert_false(reads(DATA "{" DIGEST ",\"body\":\"7\"}"));
}

static void test_what_is_read_back_is_bounded_and_the_newest_use_holds(void **state)
{
	struct hw_idempotency store;
	struct hw_idempotency_entry *e;
	struct hw_idempotency_key key = {0};
	uint64_t seq = 0;

	(void)state;
	hw_idempotency_init(&store, &hash_key);
	for (unsigned i = 0; i < HW_IDEMPOTENCY_MAX + 10; i++) {
		snprintf(key.digest, sizeof(key.digest), "%032u", i);
		assert_int_equal(hw_idempotency_restore(&store, &key, i + 1, 0, NOW), 0);
	}
	assert_int_equal(hw_map_count(&store.by_key), HW_IDEMPOTENCY_MAX);
	/* those that are over leave no trace */
	hw_idempotency_trim(&store, NOW + HW_IDEMPOTENCY_MS);
	assert_int_equal(hw_map_count(&store.by_key), 0);
	assert_int_equal(hw_idempotency_restore(&store, &key, 1, HW_IDEMPOTENCY_MS, NOW), 0);
	assert_int_equal(hw_map_count(&store.by_key), 0);
	/* used again after it had ended */
	assert_int_equal(hw_idempotency_begin(&store, &name, 5, NOW, &e, &seq), HW_IDEMPOTENCY_NEW);
	key = hw_idempotency_key_of(e);
	hw_idempotency_release(&store, e);
	assert_int_equal(hw_idempotency_restore(&store, &key, 3, 5, NOW), 0);
	assert_int_equal(hw_idempotency_restore(&store, &key, 9, -HW_IDEMPOTENCY_MS, NOW), 0);
	assert_int_equal(
		hw_idempotency_begin(&store, &name, 5, NOW, &e, &seq), HW_IDEMPOTENCY_DUPLICATE);
	assert_int_equal(seq, 9);
	/* what is dated from the future is as if it were used now */
	assert_int_equal(hw_idempotency_begin(&store, &name, 5, NOW + HW_IDEMPOTENCY_MS, &e, &seq),
		HW_IDEMPOTENCY_NEW);
	hw_idempotency_release(&store, e);
	hw_idempotency_fini(&store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_key_is_the_same_in_the_next_broker),
		cmocka_unit_test(test_what_is_no_key_is_passed_over),
		cmocka_unit_test(test_what_is_read_back_is_bounded_and_the_newest_use_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
