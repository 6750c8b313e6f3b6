#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/command.h"

#define EVENT "\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":{\"entity_id\":\"e\"}"

static struct hw_err err;

/* Reads the only command of @text. */
static int read_as(const char *text, unsigned flags, struct hw_command *cmd)
{
	struct hw_commands it;
	struct hw_command next;
	int rc;

	err.text[0] = 0;
	rc = hw_commands_open(&it, hw_str_of(text), flags, HW_COMMAND_MAX, &err);
	if (rc != 0)
		return rc;
	rc = hw_command_next(&it, cmd, &err);
	if (rc >= 0)
		assert_int_equal(hw_command_next(&it, &next, NULL), HW_COMMAND_END);
	return rc;
}

static int read_command(const char *text, struct hw_command *cmd)
{
	return read_as(text, 0, cmd);
}

static void assert_str(struct hw_str s, const char *expected)
{
	if (s.len != strlen(expected) || memcmp(s.p, expected, s.len) != 0)
		fail_msg("got %.*s\nexpected %s", HW_STR_ARG(s), expected);
}

static void assert_refused(const char *text, const char *message)
{
	struct hw_command cmd;
	int rc = read_command(text, &cmd);

	if (rc != HW_COMMAND_REFUSED || strcmp(err.text, message) != 0)
		fail_msg("%s\ngave %d: %s", text, rc, err.text);
}

static void test_each_type_is_known_by_its_name(void **state)
{
	static const struct {
		const char *text;
		enum hw_command_type type;
	} cases[] = {
		{"{\"type\":\"auth\",\"token\":\"t\"}", HW_COMMAND_AUTH},
		{"{\"type\":\"subscribe\",\"topics\":[]}", HW_COMMAND_SUBSCRIBE},
		{"{\"type\":\"unsubscribe\",\"topics\":[]}", HW_COMMAND_UNSUBSCRIBE},
		{"{\"type\":\"publish\"," EVENT "}", HW_COMMAND_PUBLISH},
		{"{\"type\":\"presence\",\"topic\":\"a:1\",\"id\":1}", HW_COMMAND_PRESENCE},
		{"{\"type\":\"history\",\"topic\":\"a:1\",\"id\":1}", HW_COMMAND_HISTORY},
		{"{\"type\":\"ping\"}", HW_COMMAND_PING},
		{" { \"t\\u0079pe\" : \"p\\u0069ng\" } ", HW_COMMAND_PING},
		{"{\"type\":\"pings\"}", HW_COMMAND_UNKNOWN},
		{"{\"type\":\"\"}", HW_COMMAND_UNKNOWN},
		{"{\"type\":\"Ping\"}", HW_COMMAND_UNKNOWN},
	};
	struct hw_command cmd;

	(void)state;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		assert_int_equal(read_command(cases[i].text, &cmd), 0);
		assert_int_equal(cmd.type, cases[i].type);
	}
	assert_str(cmd.type_raw.raw, "\"Ping\"");
}

static void test_ids_are_strings_or_numbers_and_kept_as_given(void **state)
{
	static const char *const good[] = {
		"1", "-1.50e3", "\"x\"", "\"\"", "\"\\u0041\\n\"", "0", "12345678901234567890123"};
	static const char *const bad[] = {"null", "true", "false", "[]", "{}", "[1]"};
	struct hw_command cmd;
	char text[256];

	(void)state;
	for (size_t i = 0; i < HW_COUNT(good); i++) {
		snprintf(text, sizeof(text), "{\"type\":\"ping\",\"id\": %s }", good[i]);
		assert_int_equal(read_command(text, &cmd), 0);
		assert_str(cmd.id, good[i]);
	}
	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		snprintf(text, sizeof(text), "{\"type\":\"ping\",\"id\":%s}", bad[i]);
		assert_refused(text, "id must be a string or a number");
	}
	snprintf(text, sizeof(text), "{\"id\":\"%0126d\",\"type\":\"ping\"}", 7);
	assert_int_equal(read_command(text, &cmd), 0);
	snprintf(text, sizeof(text), "{\"id\":\"%0127d\",\"type\":\"ping\"}", 7);
	assert_refused(text, "id must not be longer than 128 bytes");
	assert_int_equal(read_command("{\"type\":\"ping\"}", &cmd), 0);
	assert_null(cmd.id.p);
}

static void test_a_refused_command_still_has_its_id(void **state)
{
	static const char *const bad[] = {"{\"type\":\"subscribe\",\"id\":7}", "{\"id\":7}",
		"{\"type\":5,\"id\":7}", "{\"type\":\"publish\",\"id\":7}",
		"{\"type\":\"auth\",\"id\":7}", "{\"x\":1,\"x\":1,\"type\":\"ping\",\"id\":7}"};
	struct hw_command cmd;

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		assert_int_equal(read_command(bad[i], &cmd), HW_COMMAND_REFUSED);
		assert_str(cmd.id, "7");
	}
	/* of two ids none is the one to answer to */
	assert_int_equal(
		read_command("{\"type\":\"ping\",\"id\":7,\"id\":8}", &cmd), HW_COMMAND_REFUSED);
	assert_null(cmd.id.p);
}

static void test_wrong_members_are_named(void **state)
{
	(void)state;
	assert_refused("{}", "type is missing");
	assert_refused("{\"type\":null}", "type must be a string");
	assert_refused("{\"type\":[\"ping\"]}", "type must be a string");
	assert_refused("{\"type\":\"auth\"}", "token is missing");
	assert_refused("{\"type\":\"auth\",\"token\":null}", "token is missing");
	assert_refused(
		"{\"type\":\"auth\",\"token\":5}", "token must be a string that is not empty");
	assert_refused(
		"{\"type\":\"auth\",\"token\":\"\"}", "token must be a string that is not empty");
	assert_refused("{\"type\":\"auth\",\"token\":\"\\ud800\"}",
		"token must be a string that is not empty");
	assert_refused("{\"type\":\"subscribe\"}", "topics is missing");
	assert_refused("{\"type\":\"unsubscribe\",\"topics\":\"a:1\"}", "topics must be an array");
	assert_refused("{\"type\":\"subscribe\",\"topics\":[\"a:1\",5]}",
		"topics must hold strings or objects with a topic");
	assert_refused("{\"type\":\"subscribe\",\"topics\":[[]]}",
		"topics must hold strings or objects with a topic");
	assert_refused("{\"type\":\"subscribe\",\"topics\":[{}]}",
		"topics must hold strings or objects with a topic");
	assert_refused("{\"type\":\"subscribe\",\"topics\":[{\"topic\":null}]}",
		"topics must hold strings or objects with a topic");
	assert_refused("{\"type\":\"subscribe\",\"topics\":[{\"topic\":\"a:1\",\"cursor\":5}]}",
		"cursor must be a string");
	assert_refused(
		"{\"type\":\"subscribe\",\"topics\":[{\"topic\":\"a:1\",\"t\\u006fpic\":\"a:2\"}]}",
		"topics holds an entry with a duplicate member");
	assert_refused("{\"type\":\"history\",\"topic\":\"a:1\"}", "id is missing");
	assert_refused("{\"type\":\"presence\",\"topic\":\"a:1\"}", "id is missing");
	assert_refused("{\"type\":\"presence\",\"id\":1}", "Missing required field: topic");
	assert_refused("{\"type\":\"presence\",\"id\":1,\"topic\":\"a:1\",\"follow\":1}",
		"follow must be true or false");
	assert_refused("{\"type\":\"presence\",\"id\":1,\"topic\":\"a:*\"}",
		"Invalid topic format \"a:*\". Expected: \"{resource}:{id}\" (e.g., "
		"\"gift-list:123\")");
	assert_refused("{\"type\":\"history\",\"id\":1,\"topic\":\"a:1\",\"cursor\":\"A-1\"}",
		"cursor is no cursor");
	assert_refused("{\"type\":\"history\",\"id\":1,\"topic\":\"a:1\",\"cursor\":5}",
		"cursor is no cursor");
	assert_refused("{\"type\":\"history\",\"id\":1,\"topic\":\"a:1\",\"limit\":0}",
		"limit must be a positive integer");
	assert_refused("{\"type\":\"history\",\"id\":1,\"topic\":\"a:1\",\"limit\":1.5}",
		"limit must be a positive integer");
	assert_refused("{\"type\":\"history\",\"id\":1,\"topic\":\"a:1\",\"limit\":\"5\"}",
		"limit must be a positive integer");
	assert_refused("{\"type\":\"publish\"," EVENT ",\"key\":5}",
		"key must be a string of 1 to 256 bytes");
	assert_refused("{\"type\":\"publish\"," EVENT ",\"key\":\"\"}",
		"key must be a string of 1 to 256 bytes");
	assert_refused("{\"type\":\"publish\",\"topic\":\"a:1\",\"event\":\"E\"}",
		"Missing required field: data");
	assert_refused("{\"type\":\"publish\"," EVENT ",\"version\":0}",
		"version must be a positive integer");
}

static void test_presence_is_followed_or_not_or_left_as_it_is(void **state)
{
#define PRESENCE "{\"type\":\"presence\",\"id\":1,\"topic\":\"a:1\""
	struct hw_command cmd;

	(void)state;
	assert_int_equal(read_command(PRESENCE ",\"follow\":true}", &cmd), 0);
	assert_int_equal(cmd.follow, HW_FOLLOW_YES);
	assert_int_equal(read_command(PRESENCE ",\"follow\":false}", &cmd), 0);
	assert_int_equal(cmd.follow, HW_FOLLOW_NO);
	assert_int_equal(read_command(PRESENCE ",\"follow\":null}", &cmd), 0);
	assert_int_equal(cmd.follow, HW_FOLLOW_AS_IS);
	assert_int_equal(read_command(PRESENCE "}", &cmd), 0);
	assert_int_equal(cmd.follow, HW_FOLLOW_AS_IS);
	assert_str(cmd.event.topic, "a:1");
#undef PRESENCE
}

static void test_members_that_repeat_are_refused_in_every_command(void **state)
{
	(void)state;
	assert_refused("{\"type\":\"ping\",\"type\":\"ping\"}", "Duplicate member: type");
	assert_refused("{\"type\":\"ping\",\"x\":1,\"\\u0078\":1}", "Duplicate member: \\u0078");
	assert_refused(
		"{\"type\":\"ping\",\"topics\":[],\"topics\":[]}", "Duplicate member: topics");
	assert_refused(
		"{\"type\":\"publish\"," EVENT ",\"topic\":\"a:1\"}", "Duplicate member: topic");
	assert_refused("{\"type\":\"publish\",\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_"
		       "id\":1,\"m\":1,\"m\":1}}",
		"Duplicate member: data.m");
}

static void test_members_of_other_types_are_ignored(void **state)
{
	struct hw_command cmd;

	(void)state;
	assert_int_equal(read_command("{\"type\":\"ping\",\"token\":5,\"topics\":7,\"data\":{\"a\":"
				      "1,\"a\":2},\"limit\":\"x\",\"cursor\":{},\"key\":[],"
				      "\"topic\":5,\"what\":{\"ever\":1}}",
				 &cmd),
		0);
	assert_int_equal(cmd.type, HW_COMMAND_PING);
	assert_int_equal(cmd.topics.kind, HW_JSON_NONE);
}

static void test_publish_carries_its_event_whatever_the_order(void **state)
{
	struct hw_command cmd;

	(void)state;
	assert_int_equal(read_command("{\"data\":{\"entity_id\":\"e\",\"payload\":[1]},\"key\":"
				      "\"k\\u0031\",\"id\":\"r1\",\"event\":\"ADDED\",\"trace_id\":"
				      "\"t\",\"topic\":\"a:1\",\"type\":\"publish\"}",
				 &cmd),
		0);
	assert_int_equal(cmd.type, HW_COMMAND_PUBLISH);
	assert_str(cmd.event.topic, "a:1");
	assert_str(cmd.event.payload.raw, "[1]");
	assert_str(cmd.event.trace_id.raw, "\"t\"");
	assert_str(cmd.key.raw, "\"k\\u0031\"");
	assert_str(cmd.id, "\"r1\"");
	assert_int_equal(read_command("{\"type\":\"publish\"," EVENT ",\"key\":null}", &cmd), 0);
	assert_int_equal(cmd.key.kind, HW_JSON_NONE);
}

static void test_keys_are_measured_by_what_they_say(void **state)
{
	struct hw_command cmd;
	char text[4096];
	size_t n;

	(void)state;
	n = (size_t)snprintf(text, sizeof(text), "{\"type\":\"publish\"," EVENT ",\"key\":\"");
	for (int i = 0; i < HW_COMMAND_KEY_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\\u0041");
	snprintf(text + n, sizeof(text) - n, "\"}");
	assert_int_equal(read_command(text, &cmd), 0);
	snprintf(text + n, sizeof(text) - n, "B\"}");
	assert_refused(text, "key must be a string of 1 to 256 bytes");
}

static void test_history_has_a_cursor_and_a_limit(void **state)
{
	struct hw_command cmd;

	(void)state;
	assert_int_equal(
		read_command("{\"type\":\"history\",\"id\":1,\"topic\":\"a:1\"}", &cmd), 0);
	assert_false(cmd.has_cursor);
	assert_int_equal(cmd.limit, HW_HISTORY_DEFAULT);
	assert_int_equal(read_command("{\"type\":\"history\",\"id\":1,\"topic\":\"a:1\",\"cursor\":"
				      "\"z\\u002d10\",\"limit\":2e1}",
				 &cmd),
		0);
	assert_true(cmd.has_cursor);
	assert_true(cmd.cursor.epoch == 35 && cmd.cursor.seq == 10);
	assert_int_equal(cmd.limit, 20);
	assert_str(cmd.event.topic, "a:1");
	assert_int_equal(read_command("{\"type\":\"history\",\"id\":1,\"topic\":\"a:1\",\"cursor\":"
				      "null,\"limit\":1e300}",
				 &cmd),
		0);
	assert_false(cmd.has_cursor);
	assert_int_equal(cmd.limit, HW_HISTORY_MAX);
}

static void test_limits_of_a_query(void **state)
{
	static const char *const bad[] = {
		"0", "-1", "1.5", "x", " 1", "1 ", "99999999999999999999999"};
	unsigned limit = 7;

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++)
		assert_int_equal(hw_history_limit(hw_str_of(bad[i]), &limit), -EINVAL);
	assert_int_equal(limit, 7);
	assert_int_equal(hw_history_limit(HW_STR_NULL, &limit), 0);
	assert_int_equal(limit, HW_HISTORY_DEFAULT);
	assert_int_equal(hw_history_limit(HW_STR("1"), &limit), 0);
	assert_int_equal(limit, 1);
	assert_int_equal(hw_history_limit(HW_STR("1001"), &limit), 0);
	assert_int_equal(limit, HW_HISTORY_MAX);
}

static void test_a_topic_may_begin_with_its_last_event(void **state)
{
	static const struct {
		const char *entry;
		enum hw_code code;
		bool last;
	} good[] = {
		{"{\"topic\":\"a:1\",\"last\":1}", HW_CODE_NONE, true},
		{"{\"last\":1.0,\"topic\":\"a:1\",\"cursor\":\"z-7\"}", HW_CODE_NONE, true},
		{"{\"topic\":\"a:1\",\"last\":0}", HW_CODE_NONE, false},
		{"{\"topic\":\"a:1\",\"last\":null}", HW_CODE_NONE, false},
		{"{\"topic\":\"a:*\",\"last\":0}", HW_CODE_NONE, false},
		{"{\"topic\":\"a:*\",\"last\":1}", HW_CODE_BAD_REQUEST, true},
	};
	static const char *const bad[] = {"2", "-1", "1.5", "1e9", "true", "\"1\"", "[]", "{}"};
	struct hw_command_topics it;
	struct hw_command_topic topic;
	struct hw_command cmd;
	char text[128];

	(void)state;
	for (size_t i = 0; i < HW_COUNT(good); i++) {
		snprintf(text, sizeof(text), "{\"type\":\"subscribe\",\"topics\":[%s]}",
			good[i].entry);
		assert_int_equal(read_command(text, &cmd), 0);
		hw_command_topics(&it, &cmd);
		assert_true(hw_command_topic(&it, &topic));
		assert_int_equal(topic.code, good[i].code);
		assert_int_equal(topic.last, good[i].last);
	}
	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		snprintf(text, sizeof(text),
			"{\"type\":\"subscribe\",\"topics\":[{\"topic\":\"a:1\",\"last\":%s}]}",
			bad[i]);
		assert_refused(text, "last must be 1, or 0");
	}
	assert_refused("{\"type\":\"subscribe\",\"topics\":"
		       "[{\"topic\":\"a:1\",\"last\":1,\"l\\u0061st\":0}]}",
		"topics holds an entry with a duplicate member");
}

static void test_topics_are_walked_with_what_is_wrong_about_each(void **state)
{
	static const struct {
		const char *raw, *topic;
		enum hw_code code;
		bool has_cursor;
	} expected[] = {
		{"\"a:1\"", "a:1", HW_CODE_NONE, false},
		{"\"gift\\u002dlist:1\"", "gift-list:1", HW_CODE_NONE, false},
		{"\"b:2\"", "b:2", HW_CODE_NONE, true},
		{"\"b:*\"", "b:*", HW_CODE_NONE, false},
		{"\"B\"", NULL, HW_CODE_BAD_REQUEST, false},
		{"\"*:*\"", NULL, HW_CODE_BAD_REQUEST, false},
		{"\"c:3\"", "c:3", HW_CODE_BAD_REQUEST, true},
		{"\"d:4\"", "d:4", HW_CODE_NONE, false},
		{"\"\\ud800\"", NULL, HW_CODE_BAD_REQUEST, false},
		{"\"\"", NULL, HW_CODE_BAD_REQUEST, false},
	};
	struct hw_command_topics it;
	struct hw_command_topic topic;
	struct hw_command cmd;
	size_t n = 0;

	(void)state;
	assert_int_equal(read_command("{\"type\":\"subscribe\",\"topics\": [ \"a:1\" , "
				      "\"gift\\u002dlist:1\",{\"x\":[],\"cursor\":\"z-7\","
				      "\"topic\":\"b:2\"},\"b:*\",\"B\",\"*:*\","
				      "{\"topic\":\"c:3\",\"cursor\":\"z-07\"},{\"topic\":\"d:4\","
				      "\"cursor\":null},\"\\ud800\",\"\"]}",
				 &cmd),
		0);
	assert_int_equal(cmd.n_topics, HW_COUNT(expected));
	hw_command_topics(&it, &cmd);
	while (hw_command_topic(&it, &topic)) {
		assert_true(n < HW_COUNT(expected));
		assert_str(topic.raw, expected[n].raw);
		assert_int_equal(topic.code, expected[n].code);
		assert_int_equal(topic.message != NULL, topic.code != HW_CODE_NONE);
		assert_int_equal(topic.has_cursor, expected[n].has_cursor);
		if (expected[n].topic)
			assert_str(topic.topic, expected[n].topic);
		else
			assert_null(topic.topic.p);
		if (n == 2)
			assert_true(topic.cursor.epoch == 35 && topic.cursor.seq == 7);
		n++;
	}
	assert_int_equal(n, HW_COUNT(expected));
	assert_int_equal(read_command("{\"type\":\"subscribe\",\"topics\":[]}", &cmd), 0);
	hw_command_topics(&it, &cmd);
	assert_false(hw_command_topic(&it, &topic));
	assert_int_equal(read_command("{\"type\":\"ping\"}", &cmd), 0);
	hw_command_topics(&it, &cmd);
	assert_false(hw_command_topic(&it, &topic));
}

static void test_an_array_is_read_item_by_item(void **state)
{
	static const char text[] =
		"[{\"type\":\"ping\",\"id\":1}, 5 "
		",{\"type\":\"ping\",\"type\":\"x\",\"id\":2},{\"type\":\"publish\"," EVENT
		",\"id\":3},{}]";
	static const int results[] = {0, HW_COMMAND_REFUSED, HW_COMMAND_REFUSED, 0,
		HW_COMMAND_REFUSED, HW_COMMAND_END, HW_COMMAND_END};
	struct hw_commands it;
	struct hw_command cmd;

	(void)state;
	assert_int_equal(hw_commands_open(&it, HW_STR(text), 0, 5, &err), 0);
	assert_true(it.array);
	assert_int_equal(it.n_items, 5);
	for (size_t i = 0; i < HW_COUNT(results); i++) {
		assert_int_equal(hw_command_next(&it, &cmd, &err), results[i]);
		if (i == 1)
			assert_string_equal(err.text, "an object is expected");
	}
	assert_int_equal(hw_commands_open(&it, HW_STR(text), 0, 4, &err), -E2BIG);
	assert_string_equal(err.text, "more than 4 items in one message");
	assert_int_equal(hw_commands_open(&it, HW_STR(text), 0, 0, &err), 0);
}

static void test_no_json_is_refused_before_anything_of_it_is_acted_upon(void **state)
{
	static const char *const bad[] = {"", " ", "5", "null", "\"ping\"", "[", "[]",
		"[{\"type\":\"ping\"}", "[{\"type\":\"ping\"},]", "[{\"type\":\"ping\"}]x",
		"[{\"type\":\"ping\"},{\"type\":}]", "[{\"type\":\"\xff\"}]"};
	static const char *const bad_objects[] = {"{", "{\"type\":\"ping\"", "{\"type\":\"ping\"}}",
		"{\"type\":\"ping\"} {}", "{\"type\":\"ping\",}",
		"{\"a\":\"\xff\",\"type\":\"ping\"}"};
	struct hw_commands it;
	struct hw_command cmd;

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++)
		assert_int_equal(hw_commands_open(&it, hw_str_of(bad[i]), 0, 0, &err), -EINVAL);
	for (size_t i = 0; i < HW_COUNT(bad_objects); i++)
		assert_int_equal(read_command(bad_objects[i], &cmd), -EINVAL);
	assert_int_equal(hw_commands_open(&it, HW_STR_NULL, 0, 0, NULL), -EINVAL);
	assert_int_equal(
		read_as("{\"type\":\"ping\",\"x\":\"\xff\"}", HW_COMMAND_UTF8_DONE, &cmd), 0);
}

static void test_a_command_cut_anywhere_is_no_json(void **state)
{
	static const char text[] = "[{\"type\":\"publish\"," EVENT
				   ",\"id\":\"x\\n\",\"version\":1},{\"type\":\"subscribe\","
				   "\"topics\":[\"a:1\",{\"topic\":\"b:2\"}]}]";
	struct hw_commands it;
	struct hw_command cmd;

	(void)state;
	for (size_t from = 0; from < 2; from++) { /* the array, and its first object alone */
		size_t len = from == 0 ? sizeof(text) - 1
				       : (size_t)(strstr(text, ",{\"type\":\"sub") - text) - 1;

		for (size_t n = 0; n < len; n++) {
			char *copy = malloc(n + 1);
			struct hw_str cut = {copy, n};
			int rc;

			assert_non_null(copy);
			memcpy(copy, text + from, n);
			rc = hw_commands_open(&it, cut, 0, 0, &err);
			if (rc == 0)
				rc = hw_command_next(&it, &cmd, &err);
			assert_int_equal(rc, -EINVAL);
			free(copy);
		}
	}
}

static void test_a_body_holds_events_without_a_type(void **state)
{
	struct hw_command cmd;

	(void)state;
	assert_int_equal(
		read_as("{" EVENT ",\"key\":\"k\",\"id\":\"e-1\"}", HW_COMMAND_BODY, &cmd), 0);
	assert_int_equal(cmd.type, HW_COMMAND_PUBLISH);
	assert_str(cmd.key.raw, "\"k\"");
	assert_int_equal(read_as("{" EVENT ",\"type\":5}", HW_COMMAND_BODY, &cmd), 0);
	assert_int_equal(read_as("{\"type\":\"ping\"}", HW_COMMAND_BODY, &cmd), HW_COMMAND_REFUSED);
	assert_int_equal(read_as("[{" EVENT "}]", HW_COMMAND_BODY, &cmd), 0);
	assert_int_equal(cmd.type, HW_COMMAND_PUBLISH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_type_is_known_by_its_name),
		cmocka_unit_test(test_ids_are_strings_or_numbers_and_kept_as_given),
		cmocka_unit_test(test_a_refused_command_still_has_its_id),
		cmocka_unit_test(test_wrong_members_are_named),
		cmocka_unit_test(test_presence_is_followed_or_not_or_left_as_it_is),
		cmocka_unit_test(test_members_that_repeat_are_refused_in_every_command),
		cmocka_unit_test(test_members_of_other_types_are_ignored),
		cmocka_unit_test(test_publish_carries_its_event_whatever_the_order),
		cmocka_unit_test(test_keys_are_measured_by_what_they_say),
		cmocka_unit_test(test_history_has_a_cursor_and_a_limit),
		cmocka_unit_test(test_limits_of_a_query),
		cmocka_unit_test(test_a_topic_may_begin_with_its_last_event),
		cmocka_unit_test(test_topics_are_walked_with_what_is_wrong_about_each),
		cmocka_unit_test(test_an_array_is_read_item_by_item),
		cmocka_unit_test(test_no_json_is_refused_before_anything_of_it_is_acted_upon),
		cmocka_unit_test(test_a_command_cut_anywhere_is_no_json),
		cmocka_unit_test(test_a_body_holds_events_without_a_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
