#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/code.h"

static void assert_body(
	enum hw_code code, const char *message, int64_t retry_after_ms, const char *expected)
{
	struct hw_buf out;

	hw_buf_init(&out);
	hw_code_body(&out, code, hw_str_of(message), retry_after_ms);
	assert_false(out.failed);
	assert_int_equal(out.len, strlen(expected));
	assert_memory_equal(out.data, expected, out.len);
	hw_buf_fini(&out);
}

static void test_every_code_of_the_protocol_is_there_once(void **state)
{
	static const struct {
		enum hw_code code;
		const char *name;
		int http, close;
		bool retryable;
	} rows[] = {
		{HW_CODE_BAD_REQUEST, "bad_request", 400, 4400, false},
		{HW_CODE_UNAUTHORIZED, "unauthorized", 401, 4401, false},
		{HW_CODE_TOKEN_EXPIRED, "token_expired", 401, 4401, false},
		{HW_CODE_FORBIDDEN_TOPIC, "forbidden_topic", 403, 4403, false},
		{HW_CODE_UNAVAILABLE, "unavailable", 503, 4503, true},
		{HW_CODE_TOPIC_LIMIT, "topic_limit", 403, 4403, false},
		{HW_CODE_RATE_LIMITED, "rate_limited", 429, 4429, true},
		{HW_CODE_TOO_LARGE, "too_large", 413, 4413, false},
		{HW_CODE_SLOW_CONSUMER, "slow_consumer", 503, 4508, true},
		{HW_CODE_DRAINING, "draining", 503, 4503, true},
		{HW_CODE_INTERNAL, "internal", 500, 1011, true},
	};

	(void)state;
	assert_int_equal(HW_COUNT(rows), HW_CODE_COUNT - 1);
	for (size_t i = 0; i < HW_COUNT(rows); i++) {
		const struct hw_code_info *info = hw_code_info(rows[i].code);

		assert_string_equal(info->name, rows[i].name);
		assert_int_equal(info->http_status, rows[i].http);
		assert_int_equal(info->close_code, rows[i].close);
		assert_int_equal(info->retryable, rows[i].retryable);
		assert_int_equal(info->quoted.len, strlen(info->name) + 2);
		assert_memory_equal(info->quoted.p + 1, info->name, strlen(info->name));
		assert_true(
			info->quoted.p[0] == '"' && info->quoted.p[info->quoted.len - 1] == '"');
		assert_true(strlen(info->message) > 0);
		assert_int_equal(hw_code_find(hw_str_of(rows[i].name)), rows[i].code);
	}
}

static void test_names_are_found_exactly(void **state)
{
	(void)state;
	assert_int_equal(hw_code_find(HW_STR("")), HW_CODE_NONE);
	assert_int_equal(hw_code_find(HW_STR("bad_reques")), HW_CODE_NONE);
	assert_int_equal(hw_code_find(HW_STR("bad_requests")), HW_CODE_NONE);
	assert_int_equal(hw_code_find(HW_STR("Internal")), HW_CODE_NONE);
	assert_int_equal(hw_code_find(HW_STR_NULL), HW_CODE_NONE);
}

static void test_a_close_says_which_code_it_was(void **state)
{
	static const struct {
		uint16_t close_code;
		const char *reason;
		enum hw_code code;
		const char *message;
	} cases[] = {
		{4401, "token_expired: the token has expired", HW_CODE_TOKEN_EXPIRED,
			"the token has expired"},
		{4403, "topic_limit: too: many", HW_CODE_TOPIC_LIMIT, "too: many"},
		{4401, "", HW_CODE_UNAUTHORIZED, ""},
		{4403, "out, now", HW_CODE_FORBIDDEN_TOPIC, "out, now"},
		{1001, "draining", HW_CODE_DRAINING, ""},
		{1001, "", HW_CODE_UNAVAILABLE, ""},
		{4001, "later: perhaps", HW_CODE_UNAVAILABLE, "later: perhaps"},
		{1011, "out of memory", HW_CODE_INTERNAL, "out of memory"},
		{4508, "slow_consumer: ", HW_CODE_SLOW_CONSUMER, ""},
	};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_str message;

		assert_int_equal(
			hw_code_of_close(cases[i].close_code, hw_str_of(cases[i].reason), &message),
			cases[i].code);
		assert_true(hw_str_eq(message, hw_str_of(cases[i].message)));
	}
}

static void test_no_error_is_a_good_answer(void **state)
{
	(void)state;
	assert_int_equal(hw_code_info(HW_CODE_NONE)->http_status, 200);
	assert_int_equal(hw_code_info(HW_CODE_NONE)->close_code, 1000);
	assert_ptr_equal(hw_code_info(HW_CODE_COUNT), hw_code_info(HW_CODE_INTERNAL));
	assert_ptr_equal(hw_code_info((enum hw_code)4711), hw_code_info(HW_CODE_INTERNAL));
}

static void test_error_bodies(void **state)
{
	(void)state;
	assert_body(HW_CODE_BAD_REQUEST, "no \"topic\"\n", -1,
		"{\"code\":\"bad_request\",\"message\":\"no "
		"\\\"topic\\\"\\n\",\"retryable\":false}");
	assert_body(HW_CODE_RATE_LIMITED, "slow down", 1500,
		"{\"code\":\"rate_limited\",\"message\":\"slow "
		"down\",\"retryable\":true,\"retry_after_ms\":1500}");
	assert_body(HW_CODE_DRAINING, "", 0,
		"{\"code\":\"draining\",\"message\":\"the server is shutting "
		"down\",\"retryable\":true,\"retry_after_ms\":0}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code_of_the_protocol_is_there_once),
		cmocka_unit_test(test_names_are_found_exactly),
		cmocka_unit_test(test_a_close_says_which_code_it_was),
		cmocka_unit_test(test_no_error_is_a_good_answer),
		cmocka_unit_test(test_error_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
