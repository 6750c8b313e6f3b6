#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "hub/revocations.h"

#define NOW 1000
#define DAY_S 86400

static const struct hw_hash_key key = {1, 2};

static int set_up(void **state)
{
	static struct hw_revocations r;

	hw_revocations_init(&r, &key);
	*state = &r;
	return 0;
}

static int tear_down(void **state)
{
	hw_revocations_fini(*state);
	return 0;
}

static int add(struct hw_revocations *r, enum hw_revoked_kind kind, const char *tenant,
	const char *name, int64_t before_s, int64_t until_s, uint64_t *number)
{
	struct hw_revocation what = {.kind = kind,
		.tenant = hw_str_of(tenant),
		.name = hw_str_of(name),
		.before_s = before_s,
		.until_s = until_s};

	return hw_revocations_add(r, &what, NOW, number);
}

static bool hit(struct hw_revocations *r, const char *tenant, const char *user, const char *jti,
	int64_t issued_s, int64_t now_s)
{
	struct hw_token_facts facts = {.tenant = hw_str_of(tenant),
		.user = hw_str_of(user),
		.jti = hw_str_of(jti),
		.issued_s = issued_s};

	return hw_revocations_hit(r, &facts, now_s);
}

static void test_kinds_hit_what_they_name(void **state)
{
	struct hw_revocations *r = *state;
	uint64_t n;

	assert_false(hw_revocations_any(r));
	assert_int_equal(add(r, HW_REVOKED_USER, "acme", "anna", 500, 0, &n), 0);
	assert_int_equal(n, 1);
	assert_true(hw_revocations_any(r));
	assert_true(hit(r, "acme", "anna", NULL, 500, NOW));
	assert_true(hit(r, "acme", "anna", NULL, HW_ISSUED_NEVER, NOW));
	assert_false(hit(r, "acme", "anna", NULL, 501, NOW));
	assert_false(hit(r, "acme", "ben", NULL, 500, NOW));
	assert_false(hit(r, "beta", "anna", NULL, 500, NOW));
	assert_int_equal(add(r, HW_REVOKED_TENANT, "beta", NULL, 500, 0, &n), 0);
	assert_true(hit(r, "beta", "anna", NULL, 500, NOW));
	assert_false(hit(r, "beta", "anna", NULL, 501, NOW));
	assert_int_equal(add(r, HW_REVOKED_TOKEN, "acme", "a", 0, 0, &n), 0);
	assert_true(hit(r, "acme", "ben", "a", NOW, NOW));
	assert_false(hit(r, "beta", "ben", "a", NOW, NOW));
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "a", 0, 0, &n), 0);
	assert_true(hit(r, "beta", "ben", "a", NOW, NOW));
	/* a name is no other kind's */
	assert_false(hit(r, "acme", "a", "anna", 500, NOW));
}

/* Tenant and name are kept apart, whatever a token calls itself. */
static void test_names_do_not_run_together(void **state)
{
	struct hw_revocations *r = *state;
	struct hw_token_facts facts = {
		.tenant = HW_STR("b"), .user = HW_STR("u"), .jti = {"c\0d", 3}, .issued_s = 0};
	uint64_t n;

	assert_int_equal(add(r, HW_REVOKED_TOKEN, "bc", "d", 0, 0, &n), 0);
	assert_false(hit(r, "b", "u", "cd", 0, NOW));
	assert_false(hw_revocations_hit(r, &facts, NOW));
}

static void test_an_end_comes(void **state)
{
	struct hw_revocations *r = *state;
	uint64_t n, again;

	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "a", 0, NOW + 5, &n), 0);
	assert_true(hit(r, "acme", "anna", "a", 0, NOW + 4));
	assert_false(hit(r, "acme", "anna", "a", 0, NOW + 5));
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "a", 0, NOW + 9, &again), 0);
	assert_int_equal(again, n);
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "a", 0, NOW + 2, &again), 0);
	assert_int_equal(hw_revocations_trim(r, NOW + 8), 1);
	assert_int_equal(hw_revocations_trim(r, NOW + 9), 0);
	/* a clock that was ahead is set back: it holds again */
	assert_int_equal(hw_revocations_trim(r, NOW + 9 + DAY_S - 1), 0);
	assert_int_equal(hw_revocations_trim(r, NOW + 8), 1);
	assert_true(hit(r, "acme", "anna", "a", 0, NOW + 8));
	assert_int_equal(hw_revocations_trim(r, NOW + 9 + DAY_S), 0);
	assert_false(hw_revocations_any(r));
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "a", 0, 0, &again), 0);
	assert_int_equal(again, n + 1); /* a number is not given twice */
	assert_int_equal(hw_revocations_trim(r, INT64_MAX), 1);
}

static bool sum(void *arg, const struct hw_revocation *what)
{
	uint64_t *total = arg;

	*total = *total * 10 + what->number;
	return *total < 100;
}

static void test_the_list_is_bounded_and_in_order(void **state)
{
	struct hw_revocations *r = *state;
	uint64_t n, total = 0;
	char name[16];

	for (int i = 0; i < HW_REVOCATIONS_MAX; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(
			add(r, HW_REVOKED_TOKEN, NULL, name, 0, i == 4 ? NOW + 1 : 0, &n), 0);
	}
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "x", 0, 0, &n), -ENOSPC);
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "1", 0, 0, &n), 0);
	assert_int_equal(n, 2);
	assert_true(hw_revocations_remove(r, 2, 0));
	assert_false(hw_revocations_remove(r, 2, 0));
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "x", 0, 0, &n), 0);
	assert_int_equal(hw_revocations_each(r, 0, sum, &total), 0);
	assert_int_equal(total, 134); /* 2 is gone, and it stops when told to */
	total = 0;
	assert_int_equal(hw_revocations_each(r, HW_REVOCATIONS_MAX, sum, &total), 0);
	assert_int_equal(total, HW_REVOCATIONS_MAX + 1);
	/* one that has ended makes room */
	assert_int_equal(hw_revocations_trim(r, NOW + 1), HW_REVOCATIONS_MAX - 1);
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "y", 0, 0, &n), -ENOSPC);
	assert_int_equal(
		hw_revocations_add(r, &(struct hw_revocation){.name = HW_STR("y")}, NOW + 1, &n),
		0);
	assert_int_equal(hw_revocations_trim(r, NOW + 1), HW_REVOCATIONS_MAX);
}

static int restore(struct hw_revocations *r, uint64_t number, enum hw_revoked_kind kind,
	const char *tenant, const char *name, int64_t until_s)
{
	struct hw_revocation what = {.number = number,
		.kind = kind,
		.tenant = hw_str_of(tenant),
		.name = hw_str_of(name),
		.before_s = 500,
		.until_s = until_s};

	return hw_revocations_restore(r, &what);
}

static void test_what_is_restored_takes_the_place_of_what_was(void **state)
{
	struct hw_revocations *r = *state;
	uint64_t n, total = 0;
	char name[16];

	assert_int_equal(restore(r, 3, HW_REVOKED_TOKEN, NULL, "a", NOW + 9), 0);
	assert_int_equal(restore(r, 5, HW_REVOKED_USER, "acme", "anna", 0), 0);
	/* the newest holds, also when it ends earlier: the former one had been taken back */
	assert_int_equal(restore(r, 6, HW_REVOKED_TOKEN, NULL, "a", NOW + 2), 0);
	assert_true(hit(r, "acme", "ben", "a", 0, NOW));
	assert_false(hit(r, "acme", "ben", "a", 0, NOW + 2));
	assert_true(hit(r, "acme", "anna", NULL, 500, NOW));
	assert_int_equal(hw_revocations_each(r, 0, sum, &total), 0);
	assert_int_equal(total, 56);
	/* numbers go on behind the largest one there was */
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "b", 0, 0, &n), 0);
	assert_int_equal(n, 7);
	hw_revocations_skip(r, 20);
	hw_revocations_skip(r, 10);
	assert_int_equal(hw_revocations_last(r), 20);
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "c", 0, 0, &n), 0);
	assert_int_equal(n, 21);
	/* all that was in force is, however much that is */
	for (int i = 0; i < HW_REVOCATIONS_MAX; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(restore(r, (uint64_t)i + 100, HW_REVOKED_TOKEN, NULL, name, 0), 0);
	}
	assert_true(hit(r, "acme", "ben", name, 0, NOW));
	assert_int_equal(hw_revocations_count(r), HW_REVOCATIONS_MAX + 4);
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "d", 0, 0, &n), -ENOSPC);
}

static void test_what_cannot_have_been_said_is_not_restored(void **state)
{
	char longest[HW_USER_ID_MAX + 2];
	struct hw_revocations *r = *state;

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(restore(r, 0, HW_REVOKED_TOKEN, NULL, "a", 0), -EINVAL);
	assert_int_equal(restore(r, 1, HW_REVOKED_TOKEN, NULL, NULL, 0), -EINVAL);
	assert_int_equal(restore(r, 1, HW_REVOKED_TOKEN, NULL, longest, 0), -EINVAL);
	assert_int_equal(restore(r, 1, HW_REVOKED_TOKEN, longest, "a", 0), -EINVAL);
	assert_int_equal(restore(r, 1, HW_REVOKED_USER, NULL, "a", 0), -EINVAL);
	assert_int_equal(restore(r, 1, HW_REVOKED_USER, "acme", longest, 0), -EINVAL);
	assert_int_equal(restore(r, 1, HW_REVOKED_TENANT, NULL, NULL, 0), -EINVAL);
	assert_int_equal(restore(r, 1, HW_REVOKED_TENANT, "acme", "a", 0), -EINVAL);
	assert_false(hw_revocations_any(r));
}

static void test_what_is_not_stored_is_known_by_its_version(void **state)
{
	struct hw_revocations *r = *state;
	uint64_t a, b, version, total = 0;

	assert_int_equal(restore(r, 9, HW_REVOKED_TOKEN, NULL, "old", 0), 0);
	hw_revocations_stored(r, UINT64_MAX); /* what there is, and nothing that is to come */
	assert_int_equal(hw_revocations_unstored(r), 0);
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "a", 0, 0, &a), 0);
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "b", 0, 0, &b), 0);
	assert_int_equal(hw_revocations_unstored(r), 2);
	assert_true(hw_revocations_find(r, a, &version));
	/* again: it comes last, and what was stored of it is not it */
	assert_int_equal(add(r, HW_REVOKED_TOKEN, NULL, "a", 0, 0, &a), 0);
	assert_int_equal(hw_revocations_unstored(r), 2);
	assert_int_equal(hw_revocations_each_unstored(r, sum, &total), 0);
	assert_int_equal(total, b * 10 + a);
	hw_revocations_stored(r, version);
	assert_int_equal(hw_revocations_unstored(r), 2);
	assert_false(hw_revocations_remove(r, a, version));
	assert_true(hw_revocations_find(r, b, &version));
	hw_revocations_stored(r, version);
	assert_int_equal(hw_revocations_unstored(r), 1);
	assert_true(hw_revocations_find(r, a, &version));
	hw_revocations_stored(r, version);
	assert_int_equal(hw_revocations_unstored(r), 0);
	assert_true(hw_revocations_remove(r, a, version));
	assert_false(hw_revocations_find(r, a, &version));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kinds_hit_what_they_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_do_not_run_together, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_end_comes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_the_list_is_bounded_and_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_what_is_restored_takes_the_place_of_what_was, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_what_cannot_have_been_said_is_not_restored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_what_is_not_stored_is_known_by_its_version, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
