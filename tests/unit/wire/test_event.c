#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/event.h"

#define GOOD \
	"{\"topic\":\"gift-list:123\",\"event\":\"UPDATED\",\"data\":{\"entity_id\":\"g-1\"," \
	"\"payload\":{ \"n\": 1.50 },\"user_id\":\"forged\"," \
	"\"mutation_id\":\"m\",\"tenant_id\":\"other\",\"timestamp\":\"2026-01-01T00:00:00Z\"}," \
	"\"trace_id\":\"t-1\",\"version\":3}"

static const struct hw_event_fill fill = {.user_id = {"u1", 2},
	.tenant_id = {"acme", 4},
	.trace_id = {"feed", 4},
	.wall_ms = 1767225600123};

/* What the last call found wrong. */
static struct hw_err err;

static int read_event(const char *text, struct hw_event *ev)
{
	err.text[0] = 0;
	return hw_event_parse(hw_str_of(text), 0, ev, NULL, &err);
}

static void assert_str(struct hw_str s, const char *expected)
{
	if (s.len != strlen(expected) || memcmp(s.p, expected, s.len) != 0)
		fail_msg("got %.*s\nexpected %s", HW_STR_ARG(s), expected);
}

static void assert_encoded(const char *text, const struct hw_event_fill *f, const char *expected)
{
	struct hw_event ev;
	struct hw_buf out;

	if (read_event(text, &ev) != 0)
		fail_msg("%s: %s", text, err.text);
	hw_buf_init(&out);
	hw_event_encode(&out, &ev, f);
	assert_false(out.failed);
	assert_str(hw_buf_view(&out), expected);
	hw_buf_fini(&out);
}

static void assert_refused(const char *text, const char *message)
{
	struct hw_event ev;

	assert_int_equal(read_event(text, &ev), HW_EVENT_INVALID);
	assert_string_equal(err.text, message);
}

static void test_views_of_a_valid_event(void **state)
{
	struct hw_event ev;

	(void)state;
	assert_int_equal(read_event(GOOD, &ev), 0);
	assert_str(ev.topic, "gift-list:123");
	assert_str(ev.resource, "gift-list");
	assert_str(ev.topic_id, "123");
	assert_str(ev.event.raw, "\"UPDATED\"");
	assert_str(ev.entity_id.raw, "\"g-1\"");
	assert_str(ev.payload.raw, "{ \"n\": 1.50 }");
	assert_str(ev.user_id.raw, "\"forged\"");
	assert_str(ev.tenant_id.raw, "\"other\"");
	assert_str(ev.timestamp.raw, "\"2026-01-01T00:00:00Z\"");
	assert_str(ev.trace_id.raw, "\"t-1\"");
	assert_str(ev.version.raw, "3");
	assert_int_equal(ev.previous.kind, HW_JSON_NONE);
	assert_int_equal(ev.n_members, 6);
	assert_int_equal(ev.data.kind, HW_JSON_OBJECT);
}

static void test_encoding_keeps_order_and_bytes_and_overwrites_who_it_was(void **state)
{
	(void)state;
	assert_encoded(GOOD, &fill,
		"{\"topic\":\"gift-list:123\",\"event\":\"UPDATED\",\"data\":{\"entity_id\":\"g-"
		"1\",\"payload\":{ \"n\": 1.50 },\"user_id\":\"u1\","
		"\"mutation_id\":\"m\",\"tenant_id\":\"acme\",\"timestamp\":\"2026-01-01T00:00:"
		"00Z\"},\"trace_id\":\"t-1\",\"version\":3");
}

static void test_encoding_writes_no_space_of_its_own_and_drops_unknown_members(void **state)
{
	(void)state;
	assert_encoded(" { \"x\" : {\"topic\":1} , \"data\" : { \"timestamp\" : \"2026\" , "
		       "\"entity_id\" : 5e0 , \"payload\" : [ 1 , 2 ] } ,\n"
		       "\"event\" : \"A\\u0042\" , \"id\" : 7 , \"topic\" : \"a:1\" } ",
		&fill,
		"{\"topic\":\"a:1\",\"event\":\"A\\u0042\",\"data\":{\"timestamp\":\"2026\","
		"\"entity_id\":5e0,\"payload\":[ 1 , 2 ],"
		"\"user_id\":\"u1\",\"tenant_id\":\"acme\"},\"trace_id\":\"feed\"");
}

static void test_what_is_missing_is_filled_in(void **state)
{
	(void)state;
	assert_encoded("{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\"}}", &fill,
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\",\"user_id\":"
		"\"u1\",\"tenant_id\":\"acme\","
		"\"timestamp\":\"2026-01-01T00:00:00.123Z\"},\"trace_id\":\"feed\"");
	/* null, false, 0 and "" are missing too, and are filled where they stand */
	assert_encoded("{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"timestamp\":null,\"user_"
		       "id\":0,\"entity_id\":\"e\",\"tenant_id\":\"\"},\"trace_id\":\"\"}",
		&fill,
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"timestamp\":\"2026-01-01T00:00:00."
		"123Z\",\"user_id\":\"u1\",\"entity_id\":\"e\",\"tenant_id\":\"acme\"},"
		"\"trace_id\":\"feed\"");
	assert_encoded("{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"timestamp\":0,\"entity_id\":"
		       "\"e\"},\"trace_id\":false}",
		&fill,
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"timestamp\":\"2026-01-01T00:00:00."
		"123Z\",\"entity_id\":\"e\",\"user_id\":\"u1\",\"tenant_id\":\"acme\"},"
		"\"trace_id\":\"feed\"");
}

static void test_forgeries_under_escaped_names_are_overwritten_too(void **state)
{
	(void)state;
	assert_encoded("{\"t\\u006fpic\":\"a:1\",\"event\":\"E\",\"d\\u0061ta\":{\"entity_id\":"
		       "\"e\",\"\\u0075ser_id\":\"forged\",\"tenant\\u005fid\":{\"a\":1},"
		       "\"timestamp\":\"2026\"}}",
		&fill,
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\",\"\\u0075ser_"
		"id\":\"u1\",\"tenant\\u005fid\":\"acme\",\"timestamp\":\"2026\"},\"trace_id\":"
		"\"feed\"");
}

static void test_identities_are_escaped_when_written(void **state)
{
	struct hw_event_fill odd = fill;

	(void)state;
	odd.user_id = HW_STR("a\"b\\\n\xc3\xa9");
	odd.tenant_id = HW_STR_NULL;
	odd.trace_id = HW_STR("\"");
	assert_encoded("{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"tenant_id\":\"x\",\"entity_"
		       "id\":\"e\",\"timestamp\":\"2026\"}}",
		&odd,
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\",\"timestamp\":"
		"\"2026\",\"user_id\":\"a\\\"b\\\\\\n\xc3\xa9\"},\"trace_id\":\"\\\"\"");
}

static void test_a_back_end_may_be_let_name_the_user(void **state)
{
	static const struct {
		const char *named, *written;
	} cases[] = {{"\"bob\"", "\"bob\""}, {"\"b\\u006fb\"", "\"b\\u006fb\""}, {"17", "17"},
		{"\"\"", "\"u1\""}, {"null", "\"u1\""}, {"true", "\"u1\""}, {"[\"bob\"]", "\"u1\""},
		{"{}", "\"u1\""}, {"0", "\"u1\""}};
	struct hw_event_fill keep = fill;
	char text[256], expected[256];

	(void)state;
	keep.keep_user_id = true;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		snprintf(text, sizeof(text),
			"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\",\"user_"
			"id\":%s,\"tenant_id\":\"x\",\"timestamp\":\"2026\"}}",
			cases[i].named);
		snprintf(expected, sizeof(expected),
			"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\",\"user_"
			"id\":%s,\"tenant_id\":\"acme\",\"timestamp\":\"2026\"},\"trace_id\":"
			"\"feed\"",
			cases[i].written);
		assert_encoded(text, &keep, expected);
	}
}

static void test_previous_is_written_only_on_demand(void **state)
{
	static const char text[] = "{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"previous\":{"
				   "\"p\":1},\"entity_id\":\"e\",\"timestamp\":\"2026\"}}";
	struct hw_event_fill keep = fill;

	(void)state;
	keep.keep_previous = true;
	assert_encoded(text, &fill,
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\",\"timestamp\":"
		"\"2026\",\"user_id\":\"u1\",\"tenant_id\":\"acme\"},\"trace_id\":\"feed\"");
	assert_encoded(text, &keep,
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"previous\":{\"p\":1},\"entity_id\":"
		"\"e\",\"timestamp\":\"2026\",\"user_id\":\"u1\",\"tenant_id\":\"acme\"},\"trace_"
		"id\":\"feed\"");
}

static void test_an_event_is_written_under_another_name_and_with_another_payload(void **state)
{
	static const char text[] =
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"m\":1,\"payload\":{\"p\":"
		"1},\"entity_id\":\"e\",\"timestamp\":\"2026\"},\"version\":3}";
	static const char none[] =
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\","
		"\"timestamp\":\"2026\"}}";
	struct hw_event_fill other = fill;

	(void)state;
	other.name = HW_STR("\"ADDED\"");
	other.payload = HW_STR("[2]");
	assert_encoded(text, &other,
		"{\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":{\"m\":1,\"payload\":[2],\"entity_"
		"id\":"
		"\"e\",\"timestamp\":\"2026\",\"user_id\":\"u1\",\"tenant_id\":\"acme\"},\"trace_"
		"id\":"
		"\"feed\",\"version\":3");
	assert_encoded(none, &other,
		"{\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":{\"entity_id\":\"e\","
		"\"timestamp\":"
		"\"2026\",\"payload\":[2],\"user_id\":\"u1\",\"tenant_id\":\"acme\"},\"trace_id\":"
		"\"feed\"");
	other = fill;
	other.bare = true;
	assert_encoded(text, &other,
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\",\"timestamp\":"
		"\"2026\","
		"\"user_id\":\"u1\",\"tenant_id\":\"acme\"},\"trace_id\":\"feed\",\"version\":3");
}

/* An event whose data has @n members besides entity_id and timestamp, some with escaped names. */
static void many(struct hw_buf *out, unsigned n, const char *last)
{
	hw_buf_clear(out);
	hw_buf_puts(out, "{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\"");
	for (unsigned i = 0; i < n; i++)
		hw_buf_printf(out, i % 5 == 4 ? ",\"\\u006b%u\" : [%u]" : ",\"k%u\" : [%u]", i, i);
	hw_buf_printf(out, ",\"timestamp\":\"2026\"%s}}", last);
	assert_false(out->failed);
}

static void test_any_number_of_members_is_walked_in_order(void **state)
{
	struct hw_buf text, expected, out;
	struct hw_event ev;

	(void)state;
	hw_buf_init(&text);
	hw_buf_init(&expected);
	hw_buf_init(&out);
	for (unsigned n = 0; n < 2000; n += n < 60 ? 1 : 397) {
		struct hw_event_member m;
		struct hw_event_walk walk;
		size_t seen = 0;

		many(&text, n, "");
		assert_int_equal(hw_event_parse(hw_buf_view(&text), 0, &ev, NULL, &err), 0);
		assert_int_equal(ev.n_members, n + 2);
		hw_event_walk(&walk, &ev);
		while (hw_event_next(&walk, &m))
			seen++;
		assert_int_equal(seen, n + 2);
		assert_false(hw_event_next(&walk, &m));

		hw_buf_clear(&expected);
		hw_buf_puts(&expected,
			"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\"");
		for (unsigned i = 0; i < n; i++)
			hw_buf_printf(&expected,
				i % 5 == 4 ? ",\"\\u006b%u\":[%u]" : ",\"k%u\":[%u]", i, i);
		hw_buf_puts(&expected, ",\"timestamp\":\"2026\",\"user_id\":\"u1\",\"tenant_id\":"
				       "\"acme\"},\"trace_id\":\"feed\"");
		hw_buf_clear(&out);
		hw_event_encode(&out, &ev, &fill);
		assert_true(hw_str_eq(hw_buf_view(&out), hw_buf_view(&expected)));
	}
	hw_buf_fini(&text);
	hw_buf_fini(&expected);
	hw_buf_fini(&out);
}

static void test_members_that_repeat_are_refused(void **state)
{
	struct hw_buf text;
	struct hw_event ev;

	(void)state;
	assert_refused("{\"topic\":\"a:1\",\"topic\":\"a:1\"}", "Duplicate member: topic");
	assert_refused("{\"topic\":\"a:1\",\"t\\u006fpic\":\"a:1\"}", "Duplicate member: topic");
	assert_refused(
		"{\"data\":{\"entity_id\":1,\"entity_id\":1}}", "Duplicate member: data.entity_id");
	assert_refused("{\"data\":{\"m\":1,\"\\u006d\":1}}", "Duplicate member: data.m");
	assert_refused(
		"{\"data\":{\"user_id\":1,\"user_id\":1}}", "Duplicate member: data.user_id");
	assert_refused("{\"x\":1,\"y\":2,\"x\":3}", "Duplicate member: x");
	assert_refused("{\"data\":{},\"data\":{}}", "Duplicate member: data");
	hw_buf_init(&text);
	for (unsigned n = 1; n < 2000; n += n < 60 ? 1 : 397) {
		many(&text, n, ",\"k0\":1");
		assert_int_equal(
			hw_event_parse(hw_buf_view(&text), 0, &ev, NULL, &err), HW_EVENT_INVALID);
		assert_string_equal(err.text, "Duplicate member: data.k0");
		many(&text, n, ",\"\\u006b0\":1");
		assert_int_equal(
			hw_event_parse(hw_buf_view(&text), 0, &ev, NULL, &err), HW_EVENT_INVALID);
	}
	hw_buf_fini(&text);
	/* elsewhere they are nobody's business */
	assert_int_equal(read_event("{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":1,"
				    "\"payload\":{\"a\":1,\"a\":2}}}",
				 &ev),
		0);
}

static void test_the_first_error_is_told(void **state)
{
	(void)state;
	assert_refused("{}", "Missing required field: topic");
	assert_refused("[]", "Missing required field: topic");
	assert_refused("null", "Missing required field: topic");
	assert_refused("{\"topic\":\"A:1\"}", "Invalid topic format \"A:1\". Expected: "
					      "\"{resource}:{id}\" (e.g., \"gift-list:123\")");
	assert_refused("{\"topic\":[\"a:1\"]}", "topic must be a string");
	assert_refused("{\"topic\":\"a:1\"}", "Missing required field: event");
	assert_refused("{\"topic\":\"a:1\",\"event\":5}", "event must be a string");
	assert_refused("{\"topic\":\"a:1\",\"event\":\"\\ud800\"}",
		"event must not hold half of a surrogate pair");
	assert_refused("{\"topic\":\"a:1\",\"event\":\"E\"}", "Missing required field: data");
	assert_refused("{\"topic\":\"a:1\",\"event\":\"E\",\"data\":5}",
		"Missing required field: data.entity_id");
	assert_refused("{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"\"}}",
		"Missing required field: data.entity_id");
	assert_refused("{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":[]}}",
		"data.entity_id must be a string, not an array or object");
	assert_refused("{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":1,\"timestamp\":"
		       "\"soon\"}}",
		"Invalid timestamp \"soon\". Use ISO 8601 format.");
	assert_refused(
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":1,\"timestamp\":17e2}}",
		"Invalid timestamp \"1700\". Use ISO 8601 format.");
	/* an array as it stands: to print it as the validator does would cost a broker seconds */
	assert_refused(
		"{\"topic\":\"a:1\",\"event\":\"A\",\"data\":{\"entity_id\":1,\"timestamp\":[1.50, "
		"[2e-308]]}}",
		"Invalid timestamp \"[1.50, [2e-308]]\". Use ISO 8601 format.");
	assert_refused(
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":1},\"trace_id\":5}",
		"trace_id must be a string");
	assert_refused("{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":1},\"trace_id\":"
		       "\"\\udc00\"}",
		"trace_id must not hold half of a surrogate pair");
}

static void test_json_errors_say_at_which_byte(void **state)
{
	struct hw_event ev;

	(void)state;
	assert_int_equal(read_event("{\"topic\":\"a:1\",\"data\":{\"a\":tru}}", &ev), -EINVAL);
	assert_string_equal(err.text, "byte 27: a value is expected");
	assert_int_equal(read_event("{} x", &ev), -EINVAL);
	assert_int_equal(read_event("", &ev), -EINVAL);
	assert_int_equal(read_event("{\"\xff\":1}", &ev), -EINVAL);
	assert_int_equal(read_event("nul", &ev), -EINVAL);
}

static void test_an_event_cut_anywhere_is_no_json(void **state)
{
	struct hw_event ev;

	(void)state;
	for (size_t n = 0; n < sizeof(GOOD) - 1; n++) {
		char *copy = malloc(n + 1); /* of its own, so that reading on is seen */

		assert_non_null(copy);
		memcpy(copy, GOOD, n);
		assert_int_equal(
			hw_event_parse((struct hw_str){copy, n}, 0, &ev, NULL, &err), -EINVAL);
		free(copy);
	}
}

static void test_topics_are_bounded_and_may_be_escaped(void **state)
{
	char text[2048], id[1024];
	struct hw_event ev;

	(void)state;
	memset(id, 'x', 253);
	id[253] = 0;
	snprintf(text, sizeof(text),
		"{\"topic\":\"a:%s\",\"event\":\"E\",\"data\":{\"entity_id\":1}}", id);
	assert_int_equal(read_event(text, &ev), 0);
	assert_int_equal(ev.topic.len, HW_TOPIC_MAX);
	snprintf(text, sizeof(text),
		"{\"topic\":\"a:x%s\",\"event\":\"E\",\"data\":{\"entity_id\":1}}", id);
	assert_refused(text, "topic must not be longer than 255 bytes");
	snprintf(text, sizeof(text),
		"{\"topic\":\"a:\\u0078%s\",\"event\":\"E\",\"data\":{\"entity_id\":1}}", id);
	assert_refused(text, "topic must not be longer than 255 bytes");
	snprintf(text, sizeof(text),
		"{\"topic\":\"\\u0061:%s\",\"event\":\"E\",\"data\":{\"entity_id\":1}}", id);
	assert_int_equal(read_event(text, &ev), 0);
	assert_int_equal(ev.topic.len, HW_TOPIC_MAX);
	assert_int_equal(read_event("{\"topic\":\"gift\\u002dlist:\\u0031\",\"event\":\"E\","
				    "\"data\":{\"entity_id\":1}}",
				 &ev),
		0);
	assert_str(ev.topic, "gift-list:1");
	assert_str(ev.resource, "gift-list");
	assert_str(ev.topic_id, "1");
}

static void test_versions_are_positive_integers_as_javascript_sees_them(void **state)
{
	static const char *const good[] = {"1", "9", "10", "1.0", "1e0", "10e-1", "0.1e1", "1E+3",
		"123456789012345678901234567890", "1e308", "0.99999999999999999999"};
	static const char *const bad[] = {"0", "-1", "-0", "0.0", "1.5", "0.5", "1e-1", "1e400",
		"null", "true", "\"1\"", "[1]", "{}", "\"\"", "false"};
	struct hw_event ev;
	char text[256];

	(void)state;
	for (size_t i = 0; i < HW_COUNT(good); i++) {
		snprintf(text, sizeof(text),
			"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":1},\"version\":"
			"%s}",
			good[i]);
		assert_int_equal(read_event(text, &ev), 0);
		assert_str(ev.version.raw, good[i]);
	}
	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		snprintf(text, sizeof(text),
			"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":1},\"version\":"
			"%s}",
			bad[i]);
		assert_refused(text, "version must be a positive integer");
	}
}

static void test_timestamps_are_iso_8601(void **state)
{
	static const char *const good[] = {"2026", "2026-01", "2026-12-31", "2024-02-29",
		"2000-02-29", "0000-01-01", "+002026-01-01", "-000001", "+275760-09-13",
		"-271821-04-20", "2026T00:00", "2026-01T23:59Z", "2026-01-01T00:00:00",
		"2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.123456789+01:00",
		"2026-01-01T24:00:00.000Z", "2026-01-01t00:00z", "2026-01-01T00:00:00+0000",
		"+275760-09-13T23:59+23:59", "2026-01-01T00:00-00:00"};
	static const char *const bad[] = {"", "202", "20266", "2026-", "2026-1", "2026-13",
		"2026-00", "2026-01-00", "2026-01-32", "2026-02-29", "2026-02-30", "1900-02-29",
		"2026-04-31", "-000000", "+2026", "+275760-09-14", "+275760-09-13T00:00:00.001Z",
		"-271821-04-19", "+275760-09-13T00:00-00:01", "2026-01-01T", "2026-01-01T00",
		"2026-01-01T00Z", "2026-01-01T24:00:00.0001Z", "2026-01-01T24:01",
		"2026-01-01T25:00", "2026-01-01T23:60", "2026-01-01T23:59:60",
		"2026-01-01T00:00:00.", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00,5Z",
		"2026-01-01T00:00+24:00", "2026-01-01T00:00+00:60", "2026-01-01T00:00+1",
		"2026-01-01T00:00+01", "2026-01-01T00:00+01:", "2026-01-01T00:00ZZ", "2026-01-01Z",
		"2026-01-01 00:00", "20260101", "2026-001", "2026-W01", " 2026", "2026 ",
		"Thu Jan 01 2026", "1", "now", "2026-01-01T00:00:00 Z", "2026-01-01T00:00:00Z\n"};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(good); i++) {
		if (!hw_event_time_valid(hw_str_of(good[i])))
			fail_msg("refused: %s", good[i]);
	}
	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		if (hw_event_time_valid(hw_str_of(bad[i])))
			fail_msg("accepted: %s", bad[i]);
	}
	assert_false(hw_event_time_valid(HW_STR_NULL));
	assert_false(hw_event_time_valid((struct hw_str){"2026\0", 5}));
}

/* Leap years by the rule as everybody knows it. */
static void test_the_calendar_has_every_day_once(void **state)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	char text[16];

	(void)state;
	for (int year = 1896; year <= 2104; year++) {
		bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

		for (int month = 0; month <= 13; month++) {
			for (int day = 0; day <= 32; day++) {
				int last = month < 1 || month > 12
						   ? 0
						   : days[month - 1] + (month == 2 && leap);

				snprintf(text, sizeof(text), "%04d-%02d-%02d", year, month, day);
				assert_int_equal(hw_event_time_valid(hw_str_of(text)),
					day >= 1 && day <= last);
			}
		}
	}
}

static void test_a_report_has_every_problem_in_order(void **state)
{
	static const struct {
		const char *text;
		bool warning;
	} expected[] = {
		{"Duplicate member: x", false},
		{"Duplicate member: data.m", false},
		{"Invalid topic format \"A\". Expected: \"{resource}:{id}\" (e.g., "
		 "\"gift-list:123\")",
			false},
		{"Non-standard event type \"x y\". Standard: ADDED, UPDATED, DELETED, "
		 "STATUS_CHANGED",
			true},
		{"Missing required field: data.entity_id", false},
		{"Missing data.payload (optional but recommended)", true},
		{"Missing data.timestamp (recommended for ordering)", true},
		{"trace_id must be a string", false},
		{"version must be a positive integer", false},
	};
	struct hw_event_report report;
	struct hw_event ev;

	(void)state;
	hw_event_report_init(&report);
	for (int turn = 0; turn < 2; turn++) { /* a report may be used again */
		assert_int_equal(
			hw_event_parse(HW_STR("{\"x\":1,\"x\":2,\"topic\":\"A\",\"event\":\"x "
					      "y\",\"data\":{\"m\":1,\"m\":2},\"trace_id\":1,"
					      "\"version\":0}"),
				0, &ev, &report, &err),
			HW_EVENT_INVALID);
		assert_int_equal(report.n_problems, HW_COUNT(expected));
		assert_int_equal(report.n_errors, 6);
		for (size_t i = 0; i < HW_COUNT(expected); i++) {
			assert_str(hw_event_report_text(&report, i), expected[i].text);
			assert_int_equal(report.problems[i].warning, expected[i].warning);
		}
		assert_string_equal(err.text, "Duplicate member: x");
	}
	assert_int_equal(hw_event_parse(HW_STR(GOOD), 0, &ev, &report, &err), 0);
	assert_int_equal(report.n_problems, 0);
	hw_event_report_fini(&report);
}

static void test_names_of_events_in_plain_text(void **state)
{
	struct hw_event ev;
	struct hw_buf scratch;
	struct hw_str name;

	(void)state;
	hw_buf_init(&scratch);
	assert_int_equal(
		read_event("{\"topic\":\"a:1\",\"event\":\"A\\u0042\",\"data\":{\"entity_id\":1}}",
			&ev),
		0);
	assert_int_equal(hw_event_name(&ev, &scratch, &name), 0);
	assert_str(name, "AB");
	hw_buf_fini(&scratch);
}

static void test_topic_names_and_patterns(void **state)
{
	static const struct {
		const char *text;
		bool topic, pattern;
	} cases[] = {
		{"a:1", true, true},
		{"gift-list:family-123", true, true},
		{"a1-:-", true, true},
		{"a:*", false, true},
		{"gift-list:*", false, true},
		{"", false, false},
		{":", false, false},
		{"a", false, false},
		{"a:", false, false},
		{":1", false, false},
		{"*", false, false},
		{"*:*", false, false},
		{"a:1*", false, false},
		{"a:**", false, false},
		{"a*", false, false},
		{"A:1", false, false},
		{"1:1", false, false},
		{"-a:1", false, false},
		{"a:1:2", false, false},
		{"a:B", false, false},
		{"a:b_c", false, false},
		{"a: 1", false, false},
		{"a:1\n", false, false},
		{"a:*:*", false, false},
		{"a:\xc3\xa9", false, false},
	};
	struct hw_str resource, id;
	char longest[300];

	(void)state;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		assert_int_equal(hw_topic_valid(hw_str_of(cases[i].text)), cases[i].topic);
		assert_int_equal(
			hw_topic_pattern_valid(hw_str_of(cases[i].text)), cases[i].pattern);
	}
	assert_false(hw_topic_valid(HW_STR_NULL));
	assert_false(hw_topic_pattern_valid(HW_STR_NULL));
	memset(longest, 'a', sizeof(longest));
	longest[100] = ':';
	assert_true(hw_topic_valid((struct hw_str){longest, 255}));
	assert_false(hw_topic_valid((struct hw_str){longest, 256}));
	assert_true(hw_topic_well_formed((struct hw_str){longest, 256}));
	longest[100] = 'a';
	memcpy(longest + 253, ":*", 2);
	assert_true(hw_topic_pattern_valid((struct hw_str){longest, 255}));
	memcpy(longest + 253, "a:*", 3);
	assert_false(hw_topic_pattern_valid((struct hw_str){longest, 256}));
	hw_topic_split(HW_STR("gift-list:*"), &resource, &id);
	assert_str(resource, "gift-list");
	assert_str(id, "*");
	hw_topic_split(HW_STR("a:1"), NULL, &id);
	hw_topic_split(HW_STR("a:1"), &resource, NULL);
	assert_str(resource, "a");
	assert_true(hw_topic_is_wildcard(HW_STR("a:*")));
	assert_false(hw_topic_is_wildcard(HW_STR("a:1")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_views_of_a_valid_event),
		cmocka_unit_test(test_encoding_keeps_order_and_bytes_and_overwrites_who_it_was),
		cmocka_unit_test(
			test_encoding_writes_no_space_of_its_own_and_drops_unknown_members),
		cmocka_unit_test(test_what_is_missing_is_filled_in),
		cmocka_unit_test(test_forgeries_under_escaped_names_are_overwritten_too),
		cmocka_unit_test(test_identities_are_escaped_when_written),
		cmocka_unit_test(test_a_back_end_may_be_let_name_the_user),
		cmocka_unit_test(test_previous_is_written_only_on_demand),
		cmocka_unit_test(
			test_an_event_is_written_under_another_name_and_with_another_payload),
		cmocka_unit_test(test_any_number_of_members_is_walked_in_order),
		cmocka_unit_test(test_members_that_repeat_are_refused),
		cmocka_unit_test(test_the_first_error_is_told),
		cmocka_unit_test(test_json_errors_say_at_which_byte),
		cmocka_unit_test(test_an_event_cut_anywhere_is_no_json),
		cmocka_unit_test(test_topics_are_bounded_and_may_be_escaped),
		cmocka_unit_test(test_versions_are_positive_integers_as_javascript_sees_them),
		cmocka_unit_test(test_timestamps_are_iso_8601),
		cmocka_unit_test(test_the_calendar_has_every_day_once),
		cmocka_unit_test(test_a_report_has_every_problem_in_order),
		cmocka_unit_test(test_names_of_events_in_plain_text),
		cmocka_unit_test(test_topic_names_and_patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
