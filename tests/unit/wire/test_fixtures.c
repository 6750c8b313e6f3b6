/* The protocol's fixtures (tests/fixtures/README.md), as the broker's own codecs read and write
 * them. Clients and validators run the same files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "wire/command.h"
#include "wire/sse.h"

#define DIRECTORY HW_SOURCE_DIR "/tests/fixtures/protocol/"

static const char *current; /* the name of the case, for who reads that it failed */

#define wrong(...) \
	do { \
		print_error("%s: ", current); \
		fail_msg(__VA_ARGS__); \
	} while (0)

static json_t *load(const char *name)
{
	char path[512];
	json_error_t error;
	json_t *file;

	snprintf(path, sizeof(path), DIRECTORY "%s", name);
	file = json_load_file(path, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	if (!file)
		fail_msg("%s:%d: %s", path, error.line, error.text);
	return file;
}

typedef void run_case(json_t *test);

/* Returns how many cases there were. */
static size_t each(const char *name, run_case *run)
{
	json_t *file = load(name), *cases = json_object_get(file, "cases"), *test;
	size_t i, n = json_array_size(cases);

	json_array_foreach(cases, i, test)
	{
		current = json_string_value(json_object_get(test, "name"));
		assert_non_null(current);
		run(test);
	}
	json_decref(file);
	return n;
}

static struct hw_str str_of(const json_t *string)
{
	if (!json_is_string(string))
		return HW_STR_NULL;
	return (struct hw_str){json_string_value(string), json_string_length(string)};
}

static struct hw_str str_at(const json_t *object, const char *member)
{
	return str_of(json_object_get(object, member));
}

static int64_t number_at(const json_t *object, const char *member, int64_t otherwise)
{
	json_t *value = json_object_get(object, member);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static void assert_same(struct hw_str got, struct hw_str expected)
{
	if (!hw_str_eq(got, expected))
		wrong("got %.*s\nexpected %.*s", HW_STR_ARG(got), HW_STR_ARG(expected));
}

/* ---- events ---- */

static void assert_problems(
	const struct hw_event_report *report, bool warnings, const json_t *expected)
{
	size_t n = 0;

	for (size_t i = 0; i < report->n_problems; i++) {
		if (report->problems[i].warning != warnings)
			continue;
		assert_same(hw_event_report_text(report, i), str_of(json_array_get(expected, n)));
		n++;
	}
	if (n != json_array_size(expected))
		wrong("%zu %s, expected %zu", n, warnings ? "warnings" : "errors",
			json_array_size(expected));
}

static void run_event(json_t *test)
{
	json_t *errors = json_object_get(test, "errors");
	struct hw_event_report report;
	struct hw_event ev;
	struct hw_err err;
	int rc, alone;

	hw_event_report_init(&report);
	rc = hw_event_parse(str_at(test, "text"), 0, &ev, &report, &err);
	alone = hw_event_parse(str_at(test, "text"), 0, &ev, NULL, &err);
	if (!errors) {
		assert_true(json_is_false(json_object_get(test, "json")));
		if (rc != -EINVAL || alone != -EINVAL)
			wrong("it is JSON");
	} else {
		assert_problems(&report, false, errors);
		assert_problems(&report, true, json_object_get(test, "warnings"));
		if (rc != (json_array_size(errors) ? HW_EVENT_INVALID : 0) || alone != rc)
			wrong("the verdict is %d, and %d without a report", rc, alone);
	}
	hw_event_report_fini(&report);
}

static void test_events(void **state)
{
	(void)state;
	assert_true(each("events.json", run_event) > 200);
}

/* ---- what clients say ---- */

static const char *const types[] = {
	[HW_COMMAND_AUTH] = "auth",
	[HW_COMMAND_SUBSCRIBE] = "subscribe",
	[HW_COMMAND_UNSUBSCRIBE] = "unsubscribe",
	[HW_COMMAND_PUBLISH] = "publish",
	[HW_COMMAND_PRESENCE] = "presence",
	[HW_COMMAND_HISTORY] = "history",
	[HW_COMMAND_PING] = "ping",
};

static void assert_id(struct hw_str id, const json_t *expected)
{
	json_t *got = id.p ? json_loadb(id.p, id.len, JSON_DECODE_ANY, NULL) : NULL;

	if ((got == NULL) != (expected == NULL) || (got && !json_equal(got, expected)))
		wrong("another id");
	json_decref(got);
}

static void assert_cursor(bool has_cursor, struct hw_cursor cursor, const json_t *expected)
{
	char text[HW_CURSOR_MAX + 1];
	struct hw_str got = HW_STR_NULL;

	if (has_cursor)
		got = (struct hw_str){text, hw_cursor_format(cursor, text)};
	assert_same(got, str_of(expected));
}

static void assert_topics(const struct hw_command *cmd, const json_t *expected)
{
	struct hw_command_topics it;
	struct hw_command_topic topic;
	size_t n = 0;

	for (hw_command_topics(&it, cmd); hw_command_topic(&it, &topic); n++) {
		json_t *entry = json_array_get(expected, n);
		json_t *error = json_object_get(entry, "error");

		if (topic.code != HW_CODE_NONE) {
			assert_same(hw_str_of(hw_code_info(topic.code)->name), str_of(error));
			assert_same(hw_str_of(topic.message), str_at(entry, "message"));
			continue;
		}
		assert_null(error);
		assert_same(topic.topic, str_at(entry, "topic"));
		assert_cursor(topic.has_cursor, topic.cursor, json_object_get(entry, "cursor"));
		assert_int_equal(topic.last, json_is_true(json_object_get(entry, "last")));
	}
	if (n != json_array_size(expected) || n != cmd->n_topics)
		wrong("%zu topics", n);
}

static void assert_members(const struct hw_command *cmd, const json_t *expected)
{
	static const enum hw_follow_wish wishes[] = {HW_FOLLOW_NO, HW_FOLLOW_YES};
	json_t *follow = json_object_get(expected, "follow");
	struct hw_str key = HW_STR_NULL;

	assert_same(hw_str_of(types[cmd->type]), str_at(expected, "type"));
	if (cmd->key.kind != HW_JSON_NONE)
		key = hw_json_inside(cmd->key);
	assert_same(key, str_at(expected, "key"));
	if (cmd->type == HW_COMMAND_SUBSCRIBE || cmd->type == HW_COMMAND_UNSUBSCRIBE)
		assert_topics(cmd, json_object_get(expected, "topics"));
	if (cmd->type == HW_COMMAND_HISTORY || cmd->type == HW_COMMAND_PRESENCE)
		assert_same(cmd->event.topic, str_at(expected, "topic"));
	assert_cursor(cmd->has_cursor, cmd->cursor, json_object_get(expected, "cursor"));
	assert_int_equal(cmd->limit, number_at(expected, "limit", HW_HISTORY_DEFAULT));
	assert_int_equal(cmd->follow, follow ? wishes[json_is_true(follow)] : HW_FOLLOW_AS_IS);
}

static void assert_command(
	int rc, const struct hw_command *cmd, const struct hw_err *err, const json_t *expected)
{
	json_t *error = json_object_get(expected, "error");

	assert_id(cmd->id, json_object_get(expected, "id"));
	if (rc == HW_COMMAND_REFUSED) {
		assert_same(HW_STR("bad_request"), str_of(error));
		assert_same(hw_str_of(err->text), str_at(expected, "message"));
	} else if (cmd->type == HW_COMMAND_UNKNOWN) { /* the session refuses it */
		assert_same(HW_STR("bad_request"), str_of(error));
		assert_true(json_is_null(json_object_get(expected, "type")));
	} else {
		assert_null(error);
		assert_members(cmd, expected);
	}
}

static void run_commands(const json_t *test, unsigned flags)
{
	json_t *expected = json_object_get(test, "commands");
	struct hw_commands it;
	struct hw_command cmd;
	struct hw_err err;
	size_t n = 0;
	int rc = hw_commands_open(&it, str_at(test, "text"), flags, HW_COMMAND_MAX, &err);

	if (!expected)
		assert_true(json_is_false(json_object_get(test, "json")));
	while (rc == 0 || rc == HW_COMMAND_REFUSED) {
		rc = hw_command_next(&it, &cmd, &err);
		if (rc != 0 && rc != HW_COMMAND_REFUSED)
			break;
		if (!expected)
			wrong("a command was read");
		assert_command(rc, &cmd, &err, json_array_get(expected, n++));
	}
	if (expected ? rc != HW_COMMAND_END : rc != -EINVAL && rc != -E2BIG)
		wrong("it ends with %d: %s", rc, rc < 0 ? err.text : "");
	if (n != json_array_size(expected))
		wrong("%zu commands, expected %zu", n, json_array_size(expected));
}

static void run_message(json_t *test)
{
	run_commands(test, 0);
	run_commands(test, HW_COMMAND_UTF8_DONE); /* as it comes over WebSocket */
}

static void run_body(json_t *test)
{
	run_commands(test, HW_COMMAND_BODY);
}

static void test_what_clients_say(void **state)
{
	(void)state;
	assert_true(each("client.json", run_message) > 80);
}

static void test_bodies_of_publish(void **state)
{
	(void)state;
	assert_true(each("publish.json", run_body) > 10);
}

/* ---- what the broker says: written from what the fixture holds, it is the fixture again ---- */

static struct hw_str raw(json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	return text ? hw_str_of(text) : HW_STR_NULL; /* freed by drop */
}

static void drop(struct hw_str text)
{
	free((char *)text.p);
}

static void write_welcome(struct hw_buf *out, bool plain, json_t *m)
{
	json_t *limits = json_object_get(m, "limits");
	struct hw_welcome welcome = {
		.session = str_at(m, "session"),
		.user_id = str_at(m, "user_id"),
		.tenant_id = str_at(m, "tenant_id"),
		.cursor = str_at(m, "cursor"),
		.ping_ms = number_at(m, "ping_ms", 0),
		.expires_at = number_at(m, "expires_at", HW_CONTROL_NO_EXPIRY),
		.message_bytes = (uint64_t)number_at(limits, "message_bytes", 0),
		.topics_per_session = (uint64_t)number_at(limits, "topics_per_session", 0),
		.publish_per_s = (uint64_t)number_at(limits, "publish_per_s", 0),
	};

	hw_control_welcome(out, plain, &welcome);
}

static void write_users(struct hw_buf *out, json_t *users)
{
	json_t *user;
	size_t i;

	json_array_foreach(users, i, user)
	{
		struct hw_str info = raw(json_object_get(user, "info"));

		hw_control_presence_add(out, str_at(user, "user_id"),
			(uint64_t)number_at(user, "connections", 0), info);
		drop(info);
	}
}

static struct hw_str first_key(json_t *object)
{
	return hw_str_of(json_object_iter_key(json_object_iter(object)));
}

static json_t *first_value(json_t *object)
{
	return json_object_iter_value(json_object_iter(object));
}

static void write_present(struct hw_buf *out, json_t *m)
{
	static const char *const lists[] = {"joined", "left", "updated"};
	json_t *topics = json_object_get(m, "topics"), *topic = first_value(topics);
	struct hw_str name = first_key(topics);

	if (json_object_get(topic, "code")) {
		hw_control_presence_over(out, name, hw_code_find(str_at(topic, "code")));
	} else if (json_object_get(topic, "users")) {
		hw_control_presence_again_begin(out, name);
		write_users(out, json_object_get(topic, "users"));
		hw_control_presence_again_end(out, (uint64_t)number_at(topic, "number", 0));
	} else {
		hw_control_presence_changed_begin(
			out, name, (uint64_t)number_at(topic, "number", 0));
		for (unsigned i = 0; i < HW_COUNT(lists); i++) {
			hw_control_presence_changed_list(out, i);
			write_users(out, json_object_get(m, lists[i]));
		}
		hw_control_presence_changed_end(out);
	}
}

static void write_events(struct hw_buf *out, bool plain, struct hw_str id, json_t *m)
{
	json_t *event;
	size_t i;

	hw_control_events_begin(out, plain, id);
	json_array_foreach(json_object_get(m, "events"), i, event)
	{
		struct hw_str text = raw(event);

		hw_control_events_add(out, text);
		drop(text);
	}
	hw_control_events_end(out, str_at(m, "cursor"));
}

static void write_topics(struct hw_buf *out, bool plain, struct hw_str id, json_t *topics)
{
	const char *name;
	json_t *one;

	hw_control_topics_begin(out, plain, id);
	json_object_foreach(topics, name, one)
	{
		json_t *recovered = json_object_get(one, "recovered");
		struct hw_topic_result result = {
			.topic = hw_str_of(name),
			.code = hw_code_find(str_at(one, "code")),
			.has_recovered = recovered != NULL,
			.recovered = json_is_true(recovered),
			.cursor = str_at(one, "cursor"),
		};

		hw_control_topics_add(out, &result);
	}
	hw_control_topics_end(out);
}

static void write_reply(struct hw_buf *out, bool plain, struct hw_str id, json_t *m)
{
	json_t *topics = json_object_get(m, "topics");

	if (json_object_get(m, "expires_at")) {
		hw_control_auth(out, plain, id, number_at(m, "expires_at", HW_CONTROL_NO_EXPIRY));
	} else if (json_object_get(m, "events")) {
		write_events(out, plain, id, m);
	} else if (!topics) {
		hw_control_ok(out, plain, id);
	} else if (json_object_get(first_value(topics), "users")) {
		hw_control_presence_begin(out, plain, id, first_key(topics));
		write_users(out, json_object_get(first_value(topics), "users"));
		hw_control_presence_end(out, (uint64_t)number_at(first_value(topics), "number", 0));
	} else {
		write_topics(out, plain, id, topics);
	}
}

static void write_error(struct hw_buf *out, bool plain, struct hw_str id, json_t *m)
{
	hw_control_error(out, plain, id, hw_code_find(str_at(m, "code")), str_at(m, "message"),
		number_at(m, "retry_after_ms", HW_CONTROL_NO_RETRY));
}

static size_t topics_of(json_t *m, struct hw_str topics[4])
{
	json_t *topic;
	size_t i;

	json_array_foreach(json_object_get(m, "topics"), i, topic)
	{
		assert_true(i < 4);
		topics[i] = str_of(topic);
	}
	return i;
}

static void write_control(struct hw_buf *out, bool plain, struct hw_str type, json_t *m)
{
	struct hw_str id = raw(json_object_get(m, "id")), topics[4];

	if (hw_str_eq(type, HW_STR("welcome")))
		write_welcome(out, plain, m);
	else if (hw_str_eq(type, HW_STR("reply")))
		write_reply(out, plain, id, m);
	else if (hw_str_eq(type, HW_STR("present")))
		write_present(out, m);
	else if (hw_str_eq(type, HW_STR("ack")))
		hw_control_ack(out, plain, id, str_at(m, "event_id"),
			json_is_true(json_object_get(m, "duplicate")));
	else if (hw_str_eq(type, HW_STR("error")))
		write_error(out, plain, id, m);
	else if (hw_str_eq(type, HW_STR("gap")))
		hw_control_gap(out, plain, topics, topics_of(m, topics), str_at(m, "reason"));
	else if (hw_str_eq(type, HW_STR("unsubscribed")))
		hw_control_unsubscribed(
			out, plain, topics, topics_of(m, topics), hw_code_find(str_at(m, "code")));
	else if (hw_str_eq(type, HW_STR("cursor")))
		hw_control_cursor(out, plain, str_at(m, "cursor"));
	else if (hw_str_eq(type, HW_STR("goaway")))
		hw_control_goaway(out, plain, number_at(m, "retry_after_ms", 0),
			number_at(m, "jitter_ms", 0), str_at(m, "reason"));
	else if (hw_str_eq(type, HW_STR("pong")))
		hw_control_pong(out, plain, id);
	else
		fail_msg("%s: nobody writes %.*s", current, HW_STR_ARG(type));
	drop(id);
}

/* An event is written from one that was published: here, from itself. */
static void write_event(struct hw_buf *out, struct hw_str text)
{
	struct hw_str id = hw_sse_id_of(text);
	struct hw_event_fill fill = {.keep_user_id = true};
	struct hw_event ev;

	assert_int_equal(hw_event_parse(text, 0, &ev, NULL, NULL), 0);
	fill.tenant_id = hw_json_inside(ev.tenant_id);
	hw_event_encode(out, &ev, &fill);
	if (id.p) {
		hw_buf_puts(out, ",\"id\":");
		hw_buf_json(out, id);
	}
	hw_buf_putc(out, '}');
}

static size_t n_written;

static void run_said(json_t *test)
{
	struct hw_str text = str_at(test, "text"), type = str_at(test, "type");
	bool plain = json_is_true(json_object_get(test, "plain"));
	struct hw_buf out;
	json_t *m;

	if (json_object_get(test, "error")) /* what no broker says cannot be written */
		return;
	hw_buf_init(&out);
	if (hw_str_eq(type, HW_STR("event"))) {
		write_event(&out, text);
	} else {
		m = json_loadb(text.p, text.len, 0, NULL);
		assert_non_null(m);
		write_control(&out, plain, type, m);
		json_decref(m);
	}
	assert_same(hw_buf_view(&out), text);
	hw_buf_fini(&out);
	n_written++;
}

static void test_what_the_broker_says(void **state)
{
	(void)state;
	n_written = 0;
	each("broker.json", run_said);
	assert_true(n_written > 45);
}

/* ---- Server-Sent Events ---- */

static void run_block(json_t *test)
{
	struct hw_sse_block block = {.event = str_at(test, "event"),
		.id = str_at(test, "id"),
		.data = str_at(test, "data")};
	struct hw_str text = str_at(test, "text");
	char out[2048];

	if (json_object_get(test, "retry")) /* not a block of these; the edge writes it */
		return;
	if (json_is_true(json_object_get(test, "comment"))) {
		assert_same(HW_STR(HW_SSE_COMMENT), text);
		return;
	}
	assert_true(hw_sse_size(&block) <= sizeof(out));
	assert_same((struct hw_str){out, (size_t)(hw_sse_write(out, &block) - out)}, text);
	n_written++;
}

static void test_blocks_of_events(void **state)
{
	(void)state;
	n_written = 0;
	each("sse.json", run_block);
	assert_true(n_written > 7);
}

/* ---- bodies of HTTP that this layer writes ---- */

/* Of its code; bad_request is also what those statuses carry that have no code of their own. */
static void assert_status(enum hw_code code, int64_t status)
{
	static const int64_t others[] = {404, 405, 408, 415, 422, 431};

	for (size_t i = 0; code == HW_CODE_BAD_REQUEST && i < HW_COUNT(others); i++) {
		if (status == others[i])
			return;
	}
	assert_int_equal(hw_code_info(code)->http_status, status);
}

static void run_answer(json_t *test)
{
	struct hw_str text = str_at(test, "text"), schema = str_at(test, "schema");
	struct hw_buf out;
	json_t *m;

	if (json_object_get(test, "error"))
		return;
	m = json_loadb(text.p, text.len, 0, NULL);
	assert_non_null(m);
	hw_buf_init(&out);
	if (hw_str_eq(schema, HW_STR("Error"))) {
		enum hw_code code = hw_code_find(str_at(m, "code"));

		hw_code_body(&out, code, str_at(m, "message"), number_at(m, "retry_after_ms", -1));
		assert_status(code, number_at(test, "status", 0));
	} else if (hw_str_eq(schema, HW_STR("Presence"))) {
		json_t *topics = json_object_get(m, "topics");

		hw_control_presence_body(&out, first_key(topics));
		write_users(&out, json_object_get(first_value(topics), "users"));
		hw_control_presence_end(
			&out, (uint64_t)number_at(first_value(topics), "number", 0));
	}
	if (out.len > 0) {
		assert_same(hw_buf_view(&out), text);
		n_written++;
	}
	hw_buf_fini(&out);
	json_decref(m);
}

static void test_answers_over_http(void **state)
{
	(void)state;
	n_written = 0;
	each("http.json", run_answer);
	assert_true(n_written > HW_CODE_COUNT - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_what_clients_say),
		cmocka_unit_test(test_bodies_of_publish),
		cmocka_unit_test(test_what_the_broker_says),
		cmocka_unit_test(test_blocks_of_events),
		cmocka_unit_test(test_answers_over_http),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
