#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "hub/idempotency.h"

static struct hw_hash_key hash_key = {1, 2};
static const struct hw_idempotency_name u_k = {{"a", 1}, {"u", 1}, {"k", 1}};
static const struct hw_idempotency_name v_k = {{"a", 1}, {"v", 1}, {"k", 1}};
static const struct hw_idempotency_name b_u_k = {{"b", 1}, {"u", 1}, {"k", 1}};

static void a_key_goes_through_its_life(void **state)
{
	struct hw_idempotency store;
	struct hw_idempotency_entry *e = NULL, *other = NULL;
	uint64_t seq = 99;

	(void)state;
	hw_idempotency_init(&store, &hash_key);
	assert_int_equal(hw_idempotency_begin(&store, &u_k, 1, 1000, &e, &seq), HW_IDEMPOTENCY_NEW);
	assert_int_equal(
		hw_idempotency_begin(&store, &u_k, 1, 1000, &other, &seq), HW_IDEMPOTENCY_PENDING);
	hw_idempotency_settle(&store, e, 42);
	assert_int_equal(hw_idempotency_begin(&store, &u_k, 1, 2000, &other, &seq),
		HW_IDEMPOTENCY_DUPLICATE);
	assert_int_equal(seq, 42);
	assert_int_equal(
		hw_idempotency_begin(&store, &u_k, 2, 2000, &other, &seq), HW_IDEMPOTENCY_CONFLICT);
	/* another user's key of the same name is another key; so is one that only concatenates to
	 * the same bytes */
	assert_int_equal(
		hw_idempotency_begin(&store, &v_k, 2, 2000, &other, &seq), HW_IDEMPOTENCY_NEW);
	hw_idempotency_release(&store, other);
	assert_int_equal(
		hw_idempotency_begin(&store, &v_k, 3, 2000, &other, &seq), HW_IDEMPOTENCY_NEW);
	hw_idempotency_release(&store, other);
	/* so is that of a user of the same name at home in another tenant */
	assert_int_equal(
		hw_idempotency_begin(&store, &b_u_k, 2, 2000, &other, &seq), HW_IDEMPOTENCY_NEW);
	hw_idempotency_release(&store, other);
	/* ten minutes after it came */
	assert_int_equal(
		hw_idempotency_begin(&store, &u_k, 1, 1000 + HW_IDEMPOTENCY_MS - 1, &other, &seq),
		HW_IDEMPOTENCY_DUPLICATE);
	assert_int_equal(
		hw_idempotency_begin(&store, &u_k, 2, 1000 + HW_IDEMPOTENCY_MS, &other, &seq),
		HW_IDEMPOTENCY_NEW);
	hw_idempotency_release(&store, other);
	hw_idempotency_fini(&store);
}

static void the_oldest_leave_when_there_are_too_many(void **state)
{
	struct hw_idempotency store;
	struct hw_idempotency_entry *e;
	uint64_t seq;
	struct hw_idempotency_name name = {HW_STR("a"), HW_STR("u"), HW_STR_NULL};
	char key[32];

	(void)state;
	hw_idempotency_init(&store, &hash_key);
	for (unsigned i = 0; i < HW_IDEMPOTENCY_MAX + 10; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		name.key = hw_str_of(key);
		assert_int_equal(
			hw_idempotency_begin(&store, &name, i, 1000, &e, &seq), HW_IDEMPOTENCY_NEW);
		hw_idempotency_settle(&store, e, i + 1);
	}
	assert_true(hw_map_count(&store.by_key) <= HW_IDEMPOTENCY_MAX);
	name.key = HW_STR("k5");
	assert_int_equal(
		hw_idempotency_begin(&store, &name, 5, 1000, &e, &seq), HW_IDEMPOTENCY_NEW);
	hw_idempotency_release(&store, e);
	name.key = HW_STR("k100000");
	assert_int_equal(hw_idempotency_begin(&store, &name, 100000, 1000, &e, &seq),
		HW_IDEMPOTENCY_DUPLICATE);
	assert_int_equal(seq, 100001);
	hw_idempotency_fini(&store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_goes_through_its_life),
		cmocka_unit_test(the_oldest_leave_when_there_are_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
