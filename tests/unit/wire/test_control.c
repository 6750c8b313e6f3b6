#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/control.h"
#include "wire/json.h"

static const struct hw_str no_id = {NULL, 0};

static int set_up(void **state)
{
	static struct hw_buf out;

	hw_buf_init(&out);
	*state = &out;
	return 0;
}

static int tear_down(void **state)
{
	hw_buf_fini(*state);
	return 0;
}

/* What was written is one JSON text without needless white space, and as expected. */
static void assert_out(struct hw_buf *out, const char *expected)
{
	struct hw_json value;

	assert_false(out->failed);
	if (!hw_str_eq(hw_buf_view(out), hw_str_of(expected)))
		fail_msg("got %.*s\nexpected %s", HW_STR_ARG(hw_buf_view(out)), expected);
	assert_int_equal(hw_json_whole(hw_buf_view(out), 0, &value, NULL), 0);
	hw_buf_clear(out);
}

static void test_welcome(void **state)
{
	struct hw_welcome w = {.session = {"s1", 2},
		.user_id = {"u\"1", 3},
		.tenant_id = {"acme", 4},
		.cursor = {"z-0", 3},
		.ping_ms = 25000,
		.expires_at = 1767225600,
		.message_bytes = 65536,
		.topics_per_session = 100,
		.publish_per_s = 1000};

	hw_control_welcome(*state, false, &w);
	assert_out(*state, "{\"type\":\"welcome\",\"session\":\"s1\",\"user_id\":\"u\\\"1\","
			   "\"tenant_id\":\"acme\",\"cursor\":\"z-0\",\"ping_ms\":25000,"
			   "\"expires_at\":1767225600,\"limits\":{\"message_bytes\":65536,\"topics_"
			   "per_session\":100,\"publish_per_s\":1000}}");
	w.expires_at = HW_CONTROL_NO_EXPIRY;
	hw_control_welcome(*state, true, &w);
	assert_out(*state, "{\"type\":\"welcome\",\"topic\":\"\",\"session\":\"s1\",\"user_id\":"
			   "\"u\\\"1\",\"tenant_id\":\"acme\",\"cursor\":\"z-0\",\"ping_ms\":25000,"
			   "\"expires_at\":null,\"limits\":{\"message_bytes\":65536,\"topics_per_"
			   "session\":100,\"publish_per_s\":1000}}");
}

static void test_results_of_subscribing(void **state)
{
	const struct hw_topic_result results[] = {
		{.topic = {"a:1", 3},
			.has_recovered = true,
			.recovered = true,
			.cursor = {"z-5", 3}},
		{.topic = {"b:2", 3}, .code = HW_CODE_FORBIDDEN_TOPIC},
		{.raw = {"\"B\\u0042\"", 9}, .code = HW_CODE_BAD_REQUEST},
		{.topic = {"c:*", 3}, .has_recovered = true, .cursor = {"z-6", 3}},
		{.topic = {"d:4", 3}},
	};

	hw_control_topics_begin(*state, false, HW_STR("17"));
	for (size_t i = 0; i < HW_COUNT(results); i++)
		hw_control_topics_add(*state, &results[i]);
	hw_control_topics_end(*state);
	assert_out(*state, "{\"type\":\"reply\",\"id\":17,\"ok\":true,\"topics\":{\"a:1\":{\"ok\":"
			   "true,\"recovered\":true,\"cursor\":\"z-5\"},"
			   "\"b:2\":{\"ok\":false,\"code\":\"forbidden_topic\"},\"B\\u0042\":{"
			   "\"ok\":false,\"code\":\"bad_request\"},"
			   "\"c:*\":{\"ok\":true,\"recovered\":false,\"cursor\":\"z-6\"},\"d:4\":{"
			   "\"ok\":true}}}");
	hw_control_topics_begin(*state, true, HW_STR("\"x\""));
	hw_control_topics_end(*state);
	assert_out(*state,
		"{\"type\":\"reply\",\"topic\":\"\",\"id\":\"x\",\"ok\":true,\"topics\":{}}");
}

static void test_events_of_history(void **state)
{
	hw_control_events_begin(*state, false, HW_STR("1"));
	hw_control_events_add(*state, HW_STR("{\"topic\":\"a:1\"}"));
	hw_control_events_add(*state, HW_STR("{\"topic\":\"a:2\"}"));
	hw_control_events_end(*state, HW_STR("z-2"));
	assert_out(*state, "{\"type\":\"reply\",\"id\":1,\"ok\":true,\"events\":[{\"topic\":\"a:"
			   "1\"},{\"topic\":\"a:2\"}],\"cursor\":\"z-2\"}");
	hw_control_events_begin(*state, true, HW_STR("1"));
	hw_control_events_end(*state, HW_STR("z-2"));
	assert_out(*state, "{\"type\":\"reply\",\"topic\":\"\",\"id\":1,\"ok\":true,\"events\":[],"
			   "\"cursor\":\"z-2\"}");
}

static void test_presence(void **state)
{
	hw_control_presence_begin(*state, false, HW_STR("1"), HW_STR("a:1"));
	hw_control_presence_add(*state, HW_STR("u1"), 2, HW_STR("{\"n\":1}"));
	hw_control_presence_add(*state, HW_STR("u2"), 1, no_id);
	hw_control_presence_end(*state, 0);
	assert_out(*state, "{\"type\":\"reply\",\"id\":1,\"ok\":true,\"topics\":{\"a:1\":{"
			   "\"users\":[{\"user_id\":\"u1\",\"connections\":2,\"info\":{\"n\":1}},"
			   "{\"user_id\":\"u2\",\"connections\":1}],\"number\":0}}}");
	hw_control_presence_body(*state, HW_STR("a:1"));
	hw_control_presence_add(*state, HW_STR("u1"), 1, no_id);
	hw_control_presence_end(*state, 12);
	assert_out(*state,
		"{\"topics\":{\"a:1\":{\"users\":[{\"user_id\":\"u1\",\"connections\":1}],"
		"\"number\":12}}}");
}

static void test_what_changed_of_presence(void **state)
{
	hw_control_presence_changed_begin(*state, HW_STR("a:1"), 7);
	hw_control_presence_changed_list(*state, 0);
	hw_control_presence_add(*state, HW_STR("u1"), 1, HW_STR("{\"n\":1}"));
	hw_control_presence_add(*state, HW_STR("u2"), 1, no_id);
	hw_control_presence_changed_list(*state, 1);
	hw_control_presence_add(*state, HW_STR("u3"), 0, no_id);
	hw_control_presence_changed_list(*state, 2);
	hw_control_presence_changed_end(*state);
	assert_out(*state, "{\"type\":\"presence\",\"topics\":{\"a:1\":{\"number\":7}},"
			   "\"joined\":[{\"user_id\":\"u1\",\"connections\":1,\"info\":{\"n\":1}},"
			   "{\"user_id\":\"u2\",\"connections\":1}],"
			   "\"left\":[{\"user_id\":\"u3\",\"connections\":0}],\"updated\":[]}");
	hw_control_presence_again_begin(*state, HW_STR("a:1"));
	hw_control_presence_add(*state, HW_STR("u1"), 2, no_id);
	hw_control_presence_again_end(*state, 9);
	assert_out(*state, "{\"type\":\"presence\",\"topics\":{\"a:1\":{\"users\":["
			   "{\"user_id\":\"u1\",\"connections\":2}],\"number\":9}},"
			   "\"joined\":[],\"left\":[],\"updated\":[]}");
	hw_control_presence_over(*state, HW_STR("a:1"), HW_CODE_FORBIDDEN_TOPIC);
	assert_out(*state, "{\"type\":\"presence\",\"topics\":{\"a:1\":{\"ok\":false,"
			   "\"code\":\"forbidden_topic\"}},"
			   "\"joined\":[],\"left\":[],\"updated\":[]}");
}

static void test_small_replies(void **state)
{
	hw_control_auth(*state, false, HW_STR("1"), 99);
	assert_out(*state, "{\"type\":\"reply\",\"id\":1,\"ok\":true,\"expires_at\":99}");
	hw_control_auth(*state, true, HW_STR("1"), HW_CONTROL_NO_EXPIRY);
	assert_out(*state,
		"{\"type\":\"reply\",\"topic\":\"\",\"id\":1,\"ok\":true,\"expires_at\":null}");
	hw_control_ok(*state, false, HW_STR("\"a\""));
	assert_out(*state, "{\"type\":\"reply\",\"id\":\"a\",\"ok\":true}");
	hw_control_ack(*state, false, HW_STR("1"), HW_STR("z-9"), false);
	assert_out(*state, "{\"type\":\"ack\",\"id\":1,\"event_id\":\"z-9\"}");
	hw_control_ack(*state, true, HW_STR("1"), HW_STR("z-9"), true);
	assert_out(*state, "{\"type\":\"ack\",\"topic\":\"\",\"id\":1,\"event_id\":\"z-9\","
			   "\"duplicate\":true}");
	hw_control_ack(*state, false, HW_STR("1"), no_id, false);
	assert_out(*state, "{\"type\":\"ack\",\"id\":1}");
	hw_control_pong(*state, false, no_id);
	assert_out(*state, "{\"type\":\"pong\"}");
	hw_control_pong(*state, true, HW_STR("5"));
	assert_out(*state, "{\"type\":\"pong\",\"topic\":\"\",\"id\":5}");
}

static void test_errors(void **state)
{
	hw_control_error(*state, false, no_id, HW_CODE_BAD_REQUEST, HW_STR("type is \"missing\""),
		HW_CONTROL_NO_RETRY);
	assert_out(*state, "{\"type\":\"error\",\"code\":\"bad_request\",\"message\":\"type is "
			   "\\\"missing\\\"\",\"retryable\":false}");
	hw_control_error(*state, true, HW_STR("7"), HW_CODE_RATE_LIMITED, HW_STR(""), 250);
	assert_out(*state,
		"{\"type\":\"error\",\"topic\":\"\",\"id\":7,\"code\":\"rate_limited\",\"message\":"
		"\"too many requests\",\"retryable\":true,\"retry_after_ms\":250}");
}

static void test_what_comes_unasked(void **state)
{
	const struct hw_str topics[] = {{"a:1", 3}, {"b:*", 3}};

	hw_control_gap(*state, false, topics, 2, HW_STR("retention"));
	assert_out(
		*state, "{\"type\":\"gap\",\"topics\":[\"a:1\",\"b:*\"],\"reason\":\"retention\"}");
	hw_control_gap(*state, true, topics, 0, HW_STR("epoch"));
	assert_out(*state, "{\"type\":\"gap\",\"topic\":\"\",\"topics\":[],\"reason\":\"epoch\"}");
	hw_control_unsubscribed(*state, false, topics, 1, HW_CODE_FORBIDDEN_TOPIC);
	assert_out(*state,
		"{\"type\":\"unsubscribed\",\"topics\":[\"a:1\"],\"code\":\"forbidden_topic\"}");
	hw_control_cursor(*state, false, HW_STR("z-1"));
	assert_out(*state, "{\"type\":\"cursor\",\"cursor\":\"z-1\"}");
	hw_control_goaway(*state, false, 1000, 500, HW_STR("draining"));
	assert_out(*state, "{\"type\":\"goaway\",\"retry_after_ms\":1000,\"jitter_ms\":500,"
			   "\"reason\":\"draining\"}");
}

static void test_messages_may_follow_others_in_one_buffer(void **state)
{
	struct hw_buf *out = *state;

	hw_buf_puts(out, "[");
	hw_control_topics_begin(out, false, HW_STR("1"));
	hw_control_topics_add(out, &(struct hw_topic_result){.topic = {"a:1", 3}});
	hw_control_topics_end(out);
	hw_buf_puts(out, ",");
	hw_control_pong(out, false, no_id);
	hw_buf_puts(out, "]");
	assert_out(out, "[{\"type\":\"reply\",\"id\":1,\"ok\":true,\"topics\":{\"a:1\":{\"ok\":"
			"true}}},{\"type\":\"pong\"}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_welcome),
		cmocka_unit_test(test_results_of_subscribing),
		cmocka_unit_test(test_events_of_history),
		cmocka_unit_test(test_presence),
		cmocka_unit_test(test_what_changed_of_presence),
		cmocka_unit_test(test_small_replies),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_what_comes_unasked),
		cmocka_unit_test(test_messages_may_follow_others_in_one_buffer),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
