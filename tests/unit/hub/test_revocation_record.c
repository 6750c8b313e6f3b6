#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "hub/revocation_record.h"

static void same(struct hw_str a, struct hw_str b)
{
	assert_int_equal(a.p != NULL, b.p != NULL);
	assert_true(hw_str_eq(a, b));
}

/* What is written is read. */
static void round_trip(struct hw_revocation what)
{
	struct hw_revocation_record record;
	struct hw_buf out;

	hw_buf_init(&out);
	hw_revocation_record_write(&out, HW_RECORD_REVOKED, &what);
	assert_false(out.failed);
	assert_int_equal(hw_revocation_record_read(hw_buf_view(&out), &record), 0);
	assert_int_equal(record.kind, HW_RECORD_REVOKED);
	assert_int_equal(record.revocation.kind, what.kind);
	assert_true(record.revocation.number == what.number);
	assert_true(record.revocation.before_s == what.before_s);
	assert_true(record.revocation.until_s == what.until_s);
	same(record.revocation.tenant, what.tenant);
	same(record.revocation.name, what.name);
	hw_revocation_record_fini(&record);
	hw_buf_fini(&out);
}

static void test_every_kind_comes_back_as_it_was(void **state)
{
	static const char zero[] = "a\0\"\\\n\xc3\xa4\xf0\x9f\x98\x80";
	char longest[HW_TOKEN_ID_MAX];

	(void)state;
	memset(longest, '\x01', sizeof(longest));
	round_trip((struct hw_revocation){
		.number = 1, .kind = HW_REVOKED_TOKEN, .name = HW_STR("jti-1")});
	round_trip((struct hw_revocation){.number = UINT64_MAX,
		.kind = HW_REVOKED_TOKEN,
		.tenant = HW_STR("acme"),
		.name = {zero, sizeof(zero) - 1},
		.until_s = INT64_MAX});
	round_trip((struct hw_revocation){.number = 7,
		.kind = HW_REVOKED_TOKEN,
		.tenant = HW_STR("acme"),
		.name = {longest, sizeof(longest)}});
	round_trip((struct hw_revocation){.number = 2,
		.kind = HW_REVOKED_USER,
		.tenant = HW_STR("acme"),
		.name = HW_STR("anna"),
		.before_s = 1700000000,
		.until_s = 1800000000});
	round_trip((struct hw_revocation){.number = 3,
		.kind = HW_REVOKED_TENANT,
		.tenant = HW_STR("acme"),
		.before_s = 1700000000});
}

static void test_the_other_events_have_a_number_alone(void **state)
{
	static const struct hw_revocation what = {.number = 12};
	static const enum hw_revocation_record_kind kinds[] = {
		HW_RECORD_UNREVOKED, HW_RECORD_LIST, HW_RECORD_LIST_END};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(kinds); i++) {
		struct hw_revocation_record record;
		struct hw_buf out;

		hw_buf_init(&out);
		hw_revocation_record_write(&out, kinds[i], &what);
		assert_int_equal(hw_revocation_record_read(hw_buf_view(&out), &record), 0);
		assert_int_equal(record.kind, kinds[i]);
		assert_int_equal(record.revocation.number, 12);
		hw_revocation_record_fini(&record);
		hw_buf_fini(&out);
	}
}

static int reads(const char *text)
{
	struct hw_revocation_record record;
	int r = hw_revocation_record_read(hw_str_of(text), &record);

	if (!r)
		hw_revocation_record_fini(&record);
	return r;
}

#define REVOKED "{\"event\":\"REVOKED\",\"data\":"

static void test_what_is_none_is_refused(void **state)
{
	(void)state;
	assert_int_equal(reads(REVOKED "{\"entity_id\":\"1\",\"tenant\":\"a\"}}"), 0);
	/* what it does not know it takes as if it were not there: more is revoked, not less */
	assert_int_equal(
		reads("{\"x\":1,\"event\":\"REVOKED\",\"data\":{\"entity_id\":\"1\",\"tenant\":"
		      "\"a\",\"only\":[1]}}"),
		0);
	assert_int_equal(reads(""), -EINVAL);
	assert_int_equal(reads("[]"), -EINVAL);
	assert_int_equal(reads("{}"), -EINVAL);
	assert_int_equal(reads("{\"data\":{\"entity_id\":\"1\",\"tenant\":\"a\"}}"), -EINVAL);
	assert_int_equal(reads("{\"event\":\"FORGIVEN\",\"data\":{\"entity_id\":\"1\"}}"), -EINVAL);
	assert_int_equal(reads("{\"event\":1,\"data\":{\"entity_id\":\"1\"}}"), -EINVAL);
	assert_int_equal(reads(REVOKED "{\"tenant\":\"a\"}}"), -EINVAL);
	assert_int_equal(reads(REVOKED "{\"entity_id\":\"0\",\"tenant\":\"a\"}}"), -EINVAL);
	assert_int_equal(reads(REVOKED "{\"entity_id\":1,\"tenant\":\"a\"}}"), -EINVAL);
	assert_int_equal(reads(REVOKED "{\"entity_id\":\"x\",\"tenant\":\"a\"}}"), -EINVAL);
	assert_int_equal(reads(REVOKED "{\"entity_id\":\"1\",\"tenant\":null}}"), -EINVAL);
	assert_int_equal(reads(REVOKED "{\"entity_id\":\"1\",\"jti\":\"\\ud800\"}}"), -EINVAL);
	assert_int_equal(
		reads(REVOKED "{\"entity_id\":\"1\",\"tenant\":\"a\",\"until\":-1}}"), -EINVAL);
	assert_int_equal(
		reads(REVOKED "{\"entity_id\":\"1\",\"tenant\":\"a\",\"until\":1.5}}"), -EINVAL);
	assert_int_equal(reads(REVOKED "{\"entity_id\":\"1\",\"tenant\":\"a\",\"until\":"
				       "9223372036854775808}}"),
		-EINVAL);
}

/* A text that was cut is none, wherever. */
static void test_no_part_of_it_is_taken(void **state)
{
	static const char text[] =
		REVOKED "{\"entity_id\":\"1\",\"jti\":\"a\\u0000b\",\"until\":17}}";
	char part[sizeof(text)];

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		memcpy(part, text, len);
		part[len] = '\0';
		assert_int_equal(reads(part), -EINVAL);
	}
	assert_int_equal(reads(text), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_comes_back_as_it_was),
		cmocka_unit_test(test_the_other_events_have_a_number_alone),
		cmocka_unit_test(test_what_is_none_is_refused),
		cmocka_unit_test(test_no_part_of_it_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
