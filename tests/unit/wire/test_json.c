#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/json.h"
#include "wire/keys.h"

/* A copy that ends where its memory ends, so that a sanitizer sees a byte read too far. */
static struct hw_str exact(const void *p, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	memcpy(copy, p, len);
	return (struct hw_str){copy, len};
}

static int read_flags(
	const void *p, size_t len, unsigned flags, struct hw_json *out, struct hw_err *err)
{
	struct hw_str text = exact(p, len);
	struct hw_json value;
	int rc = hw_json_whole(text, flags, &value, err);

	if (rc == 0 && out) {
		*out = value;
		out->raw.p = (const char *)p + (value.raw.p - text.p);
	}
	free((void *)text.p);
	return rc;
}

static int read_text(const char *text, struct hw_json *out, struct hw_err *err)
{
	return read_flags(text, strlen(text), 0, out, err);
}

static struct hw_json value_of(const char *text)
{
	struct hw_json value;

	assert_int_equal(read_text(text, &value, NULL), 0);
	return value;
}

static void assert_str(struct hw_str s, const char *expected)
{
	assert_int_equal(s.len, strlen(expected));
	assert_memory_equal(s.p, expected, s.len);
}

static void test_what_the_grammar_has_is_read(void **state)
{
	static const struct {
		const char *text;
		enum hw_json_kind kind;
	} good[] = {
		{"null", HW_JSON_NULL}, {"true", HW_JSON_TRUE}, {"false", HW_JSON_FALSE},
		{"0", HW_JSON_NUMBER}, {"-0", HW_JSON_NUMBER}, {"10", HW_JSON_NUMBER},
		{"-1.50", HW_JSON_NUMBER}, {"0.0e00", HW_JSON_NUMBER}, {"1E+5", HW_JSON_NUMBER},
		{"1e-05", HW_JSON_NUMBER}, {"123456789012345678901234567890.1e400", HW_JSON_NUMBER},
		{"\"\"", HW_JSON_STRING}, {"\"a\"", HW_JSON_STRING},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0aFf\"", HW_JSON_STRING},
		{"\"\\ud800\"", HW_JSON_STRING}, {"\"\x7f\"", HW_JSON_STRING},
		{"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", HW_JSON_STRING}, {"[]", HW_JSON_ARRAY},
		{"[ ]", HW_JSON_ARRAY}, {"[1]", HW_JSON_ARRAY},
		{"[1,\"a\",null,[],{}]", HW_JSON_ARRAY}, {"[[[]],[]]", HW_JSON_ARRAY},
		{"{}", HW_JSON_OBJECT}, {"{\t}", HW_JSON_OBJECT}, {"{\"a\":1}", HW_JSON_OBJECT},
		{"{ \"a\" : 1 , \"b\" :\r\n[ { \"c\" : { } } ] }", HW_JSON_OBJECT},
		{"{\"\":\"\",\"a\":[1,2,{\"b\":[]}],\"c\":true}", HW_JSON_OBJECT},
		{"{\"a\":1,\"a\":2}", HW_JSON_OBJECT}, /* members that repeat are JSON */
	};
	struct hw_json value;
	char padded[256];

	(void)state;
	for (size_t i = 0; i < HW_COUNT(good); i++) {
		if (read_text(good[i].text, &value, NULL) != 0 || value.kind != good[i].kind)
			fail_msg("not read: %s", good[i].text);
		assert_str(value.raw, good[i].text);
		snprintf(padded, sizeof(padded), " \t\r\n%s \t\r\n", good[i].text);
		assert_int_equal(read_text(padded, &value, NULL), 0);
		assert_str(value.raw, good[i].text);
	}
}

static void test_what_the_grammar_has_not_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"nul",
		"nulL",
		"True",
		"truefalse",
		"NaN",
		"Infinity",
		"undefined",
		"'a'",
		"a",
		"+1",
		"01",
		"-01",
		"00",
		"-",
		"--1",
		"1.",
		".5",
		"-.5",
		"1.e5",
		"1e",
		"1e+",
		"1e1.5",
		"0x1",
		"1_0",
		"1 2",
		"\"",
		"\"a",
		"\"\\\"",
		"\"\\",
		"\"\\a\"",
		"\"\\x41\"",
		"\"\\u\"",
		"\"\\u12\"",
		"\"\\u123g\"",
		"\"\\U0041\"",
		"\"\t\"",
		"\"\n\"",
		"\"\x01\"",
		"\"\x1f\"",
		"\"a\"\"b\"",
		"[",
		"]",
		"[1",
		"[1,",
		"[1,]",
		"[,1]",
		"[,]",
		"[1 2]",
		"[1}",
		"[1]]",
		"[\"a]",
		"[[]",
		"[1:2]",
		"{",
		"}",
		"{\"a\"",
		"{\"a\":",
		"{\"a\":1",
		"{\"a\":1,",
		"{\"a\":1,}",
		"{,}",
		"{\"a\":}",
		"{\"a\",1}",
		"{\"a\" 1}",
		"{\"a\":1 \"b\":2}",
		"{a:1}",
		"{1:1}",
		"{null:1}",
		"{'a':1}",
		"{\"a\":1]",
		"{\"a\":1}}",
		"{}{}",
		"[]{}",
		"{} 1",
		"{\"a\":1,,\"b\":2}",
		"{\"a\"::1}",
		"{\"a\":1:2}",
		"{[]:1}",
		"/**/1",
		"1//",
		"#1",
		"1\f",
		"\v1",
		"\xc2\xa0"
		"1",
		"\xef\xbb\xbf{}",
		"1;",
	};
	struct hw_err err;

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		err.text[0] = 0;
		if (read_text(bad[i], NULL, &err) != -EINVAL)
			fail_msg("read: %s", bad[i]);
		assert_memory_equal(err.text, "byte ", 5);
	}
	assert_int_equal(read_flags("1\0", 2, 0, NULL, NULL), -EINVAL);
	assert_int_equal(read_flags("\"\0\"", 3, 0, NULL, NULL), -EINVAL);
	assert_int_equal(hw_json_whole(HW_STR_NULL, 0, &(struct hw_json){0}, NULL), -EINVAL);
}

static void test_errors_say_where_and_what(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"{\"a\":1,}", "byte 7: a member name is expected"},
		{"{\"a\" 1}", "byte 5: a colon is expected"},
		{"[1 2]", "byte 3: a comma or the closing bracket is expected"},
		{"[1,2", "byte 4: the text ends inside an array or object"},
		{"\"ab\\q\"", "byte 3: there is no such escape in JSON"},
		{"\"ab\n\"", "byte 3: a control character in a string must be escaped"},
		{"\"abc", "byte 4: the text ends inside a string"},
		{"\"a\\u00", "byte 6: the text ends inside a string"},
		{"\"a\\u00x0\"", "byte 2: \\u needs four hexadecimal digits"},
		{"[01]", "byte 2: a number has no leading zeros"},
		{"-x", "byte 1: a digit is expected"},
		{"nope", "byte 0: a value is expected"},
		{"1 1", "byte 2: there is more behind the end of the value"},
		{"\"\xff\"", "byte 1: a string is not UTF-8"},
	};
	struct hw_err err;

	(void)state;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		assert_int_equal(read_text(cases[i].text, NULL, &err), -EINVAL);
		assert_string_equal(err.text, cases[i].error);
	}
}

static void test_a_text_cut_anywhere_is_refused(void **state)
{
	static const char text[] =
		"{\"topic\" : \"gift-list:1\", "
		"\"n\":[-1.5e+3,true,false,null,{\"a\\u00e9\\n\":\"\xc3\xa9 0123456789abcdef\"}]}";

	(void)state;
	assert_int_equal(read_text(text, NULL, NULL), 0);
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_int_equal(read_flags(text, n, 0, NULL, NULL), -EINVAL);
}

/* Every length of a run, every place of what ends it, every kind of end: the blocks of 16 and of 8
 * bytes and what is left. */
static void test_strings_end_where_they_end_whatever_their_length(void **state)
{
	static const struct {
		const char *bytes;
		bool good;
	} marks[] = {{"\\\"", true}, {"\\u0041", true}, {"\n", false}, {"\x1f", false},
		{"\x20", true}, {"\x7f", true}, {"\xc3\xa9", true}, {"\xc3", false},
		{"\x80", false}, {"\xed\xa0\x80", false}, {"!", true}, {"#", true}, {"[", true},
		{"]", true}, {"\xe2\x80\xa2", true}};
	char text[128];

	(void)state;
	for (size_t len = 0; len < 40; len++) {
		for (size_t at = 0; at <= len; at++) {
			for (size_t m = 0; m < HW_COUNT(marks); m++) {
				size_t n = strlen(marks[m].bytes);
				struct hw_json value;
				int rc;

				memset(text, 'x', sizeof(text));
				text[0] = '"';
				memcpy(text + 1 + at, marks[m].bytes, n);
				text[1 + len + n] = '"';
				rc = read_flags(text, len + n + 2, 0, &value, NULL);
				assert_int_equal(rc, marks[m].good ? 0 : -EINVAL);
				if (rc == 0)
					assert_int_equal(value.escaped, marks[m].bytes[0] == '\\');
				/* the same with more behind it, which must not be looked at */
				text[len + n + 2] = ' ';
				text[len + n + 3] = '\x01';
				assert_int_equal(read_flags(text, len + n + 3, 0, NULL, NULL), rc);
			}
		}
	}
}

static void test_utf8_is_validated_unless_it_was(void **state)
{
	static const char *const bad[] = {"\"\xff\"", "\"\xc0\xaf\"", "\"\xe2\x82\"",
		"\"\xf4\x90\x80\x80\"", "{\"\xfe\":1}",
		"[\"ok\",{\"a\":\"0123456789abcdef\xc3\"}]"};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		assert_int_equal(read_text(bad[i], NULL, NULL), -EINVAL);
		assert_int_equal(
			read_flags(bad[i], strlen(bad[i]), HW_JSON_UTF8_DONE, NULL, NULL), 0);
	}
	/* outside strings they are never right */
	assert_int_equal(read_flags("[\xff]", 3, HW_JSON_UTF8_DONE, NULL, NULL), -EINVAL);
}

static void nest(char *out, unsigned n, bool objects)
{
	char *p = out;

	for (unsigned i = 0; i < n; i++)
		p += sprintf(p, objects ? "{\"a\":" : "[");
	p += sprintf(p, "1");
	for (unsigned i = 0; i < n; i++)
		*p++ = objects ? '}' : ']';
	*p = 0;
}

static void test_nesting_is_bounded(void **state)
{
	char text[1024];
	struct hw_err err;

	(void)state;
	for (int objects = 0; objects < 2; objects++) {
		nest(text, HW_JSON_DEPTH, objects);
		assert_int_equal(read_text(text, NULL, NULL), 0);
		nest(text, HW_JSON_DEPTH + 1, objects);
		assert_int_equal(read_text(text, NULL, &err), -EINVAL);
		assert_non_null(strstr(err.text, "nested too deeply"));
	}
}

static void test_what_was_entered_counts_as_nesting(void **state)
{
	char text[1024];
	struct hw_json_reader r;
	struct hw_json value;

	(void)state;
	nest(text, HW_JSON_DEPTH, false);
	hw_json_init(&r, hw_str_of(text), 0);
	for (int i = 0; i < HW_JSON_DEPTH; i++) {
		assert_int_equal(hw_json_enter(&r, HW_JSON_ARRAY), 0);
		assert_int_equal(hw_json_element(&r), 0);
	}
	assert_int_equal(hw_json_value(&r, &value), 0);
	for (int i = 0; i < HW_JSON_DEPTH; i++)
		assert_int_equal(hw_json_element(&r), HW_JSON_END);
	assert_int_equal(hw_json_finish(&r), 0);

	nest(text, HW_JSON_DEPTH + 1, false);
	hw_json_init(&r, hw_str_of(text), 0);
	for (int i = 0; i < HW_JSON_DEPTH - 1; i++) {
		assert_int_equal(hw_json_enter(&r, HW_JSON_ARRAY), 0);
		assert_int_equal(hw_json_element(&r), 0);
	}
	assert_int_equal(hw_json_value(&r, &value), -EINVAL);
	hw_json_init(&r, hw_str_of(text), 0);
	for (int i = 0; i < HW_JSON_DEPTH; i++) {
		assert_int_equal(hw_json_enter(&r, HW_JSON_ARRAY), 0);
		assert_int_equal(hw_json_element(&r), 0);
	}
	assert_int_equal(hw_json_enter(&r, HW_JSON_ARRAY), -EINVAL);
}

static void test_kinds_of_containers_are_not_mixed_up_at_depth(void **state)
{
	static const char good[] = "[{\"a\":[{\"b\":[1,{\"c\":[[],{}]},2]},3]},[[{\"d\":{}}]]]";
	char text[sizeof(good)];

	(void)state;
	assert_int_equal(read_text(good, NULL, NULL), 0);
	for (size_t i = 0; i < sizeof(good) - 1;
		i++) { /* each bracket turned into the other kind */
		const char *from = "[]{}", *to = "{}[]", *at = strchr(from, good[i]);

		if (!at)
			continue;
		memcpy(text, good, sizeof(good));
		text[i] = to[at - from];
		assert_int_equal(read_text(text, NULL, NULL), -EINVAL);
	}
}

static void test_members_come_one_by_one_with_their_slices(void **state)
{
	struct hw_json_reader r;
	struct hw_json key, value;

	(void)state;
	hw_json_init(&r, HW_STR(" { \"a\" : 1 , \"b\\n\":[ 2 ],\"c\":{\"d\":3}} "), 0);
	assert_int_equal(hw_json_peek(&r), HW_JSON_OBJECT);
	assert_int_equal(hw_json_enter(&r, HW_JSON_OBJECT), 0);
	assert_int_equal(hw_json_member(&r, &key), 0);
	assert_str(key.raw, "\"a\"");
	assert_false(key.escaped);
	assert_int_equal(hw_json_value(&r, &value), 0);
	assert_str(value.raw, "1");
	assert_int_equal(hw_json_member(&r, &key), 0);
	assert_str(key.raw, "\"b\\n\"");
	assert_true(key.escaped);
	assert_int_equal(hw_json_value(&r, &value), 0);
	assert_str(value.raw, "[ 2 ]");
	assert_int_equal(value.kind, HW_JSON_ARRAY);
	assert_int_equal(hw_json_member(&r, &key), 0);
	assert_int_equal(hw_json_peek(&r), HW_JSON_OBJECT);
	assert_int_equal(hw_json_enter(&r, HW_JSON_OBJECT), 0);
	assert_int_equal(hw_json_member(&r, &key), 0);
	assert_str(hw_json_inside(key), "d");
	assert_int_equal(hw_json_value(&r, &value), 0);
	assert_int_equal(hw_json_member(&r, &key), HW_JSON_END);
	assert_int_equal(hw_json_member(&r, &key), HW_JSON_END);
	assert_int_equal(hw_json_finish(&r), 0);
	assert_int_equal(hw_json_peek(&r), HW_JSON_NONE);
}

static void test_stepping_is_as_strict_as_skipping(void **state)
{
	static const char *const bad[] = {"{\"a\":1 \"b\":2}", "{\"a\":1,}", "{,\"a\":1}",
		"{\"a\":1", "{1:1}", "{\"a\" 1}", "{", "{\"a\"", "{\"a\":", "{\"a\":1,"};
	struct hw_json_reader r;
	struct hw_json key, value;

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		int rc;

		hw_json_init(&r, hw_str_of(bad[i]), 0);
		assert_int_equal(hw_json_enter(&r, HW_JSON_OBJECT), 0);
		while ((rc = hw_json_member(&r, &key)) == 0 &&
			(rc = hw_json_value(&r, &value)) == 0)
			;
		assert_int_equal(rc, -EINVAL);
		assert_non_null(r.error);
	}
	hw_json_init(&r, HW_STR("[1,]"), 0);
	assert_int_equal(hw_json_enter(&r, HW_JSON_OBJECT), -EINVAL);
	hw_json_init(&r, HW_STR("[1,]"), 0);
	assert_int_equal(hw_json_enter(&r, HW_JSON_ARRAY), 0);
	assert_int_equal(hw_json_element(&r), 0);
	assert_int_equal(hw_json_value(&r, &value), 0);
	assert_int_equal(hw_json_element(&r), 0); /* the comma: an element must follow */
	assert_int_equal(hw_json_value(&r, &value), -EINVAL);
}

static void test_strings_say_what_their_escapes_mean(void **state)
{
	static const struct {
		const char *json, *plain;
	} cases[] = {
		{"\"\"", ""},
		{"\"plain\"", "plain"},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
		{"\"a\\u0041b\"", "aAb"},
		{"\"\\u00e9\\u00E9\"", "\xc3\xa9\xc3\xa9"},
		{"\"\\u07ff\\u0800\\uffff\"", "\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"},
		{"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
		{"\"\\uD800\\uDC00x\"", "\xf0\x90\x80\x80x"},
		{"\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf"},
		{"\"\\\\u0041\"", "\\u0041"},
		{"\"\xc3\xa9\\n\xf0\x9f\x98\x80\"", "\xc3\xa9\n\xf0\x9f\x98\x80"},
	};
	struct hw_buf out, scratch;

	(void)state;
	hw_buf_init(&out);
	hw_buf_init(&scratch);
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_json value = value_of(cases[i].json);
		size_t len, n = strlen(cases[i].plain);
		struct hw_str text;
		char room[64];

		hw_buf_clear(&out);
		hw_buf_puts(&out, "<");
		assert_int_equal(hw_json_unescape(&out, value), 0);
		assert_int_equal(out.len, n + 1);
		assert_memory_equal(out.data + 1, cases[i].plain, n);
		assert_int_equal(hw_json_text(value, &scratch, &text), 0);
		assert_str(text, cases[i].plain);
		assert_true(hw_json_is(value, hw_str_of(cases[i].plain)));
		assert_false(hw_json_is(value, HW_STR("plain!")));
		assert_true(hw_json_paired(value));
		assert_int_equal(hw_json_copy(value, room, n, &len), 0);
		assert_int_equal(len, n);
		if (n > 0)
			assert_int_equal(hw_json_copy(value, room, n - 1, &len), -ERANGE);
	}
	hw_buf_fini(&out);
	hw_buf_fini(&scratch);
}

static void test_half_a_surrogate_pair_is_an_error_where_strings_are_resolved(void **state)
{
	static const char *const lone[] = {"\"\\ud800\"", "\"\\udc00\"", "\"a\\ud83dx\"",
		"\"\\ud83d\\u0041\"", "\"\\ud83d\\ud83d\\ude00\"", "\"\\ude00\\ud83d\"",
		"\"\\ud83d\\n\"", "\"\\ud83d\\\\ude00\""};
	struct hw_buf out;
	struct hw_str text;
	char room[64];
	size_t len;

	(void)state;
	hw_buf_init(&out);
	for (size_t i = 0; i < HW_COUNT(lone); i++) {
		struct hw_json value = value_of(lone[i]);

		hw_buf_clear(&out);
		hw_buf_puts(&out, "before");
		assert_int_equal(hw_json_unescape(&out, value), -EILSEQ);
		assert_str(hw_buf_view(&out), "before");
		assert_int_equal(hw_json_copy(value, room, sizeof(room), &len), -EILSEQ);
		assert_int_equal(hw_json_text(value, &out, &text), -EILSEQ);
		assert_false(hw_json_paired(value));
		assert_false(hw_json_is(value, HW_STR("\xed\xa0\x80")));
		assert_true(hw_json_copy_any(value, room) > 0);
	}
	assert_int_equal(hw_json_copy_any(value_of("\"\\ud800x\""), room), 4);
	assert_memory_equal(room, "\xed\xa0\x80x", 4);
	hw_buf_fini(&out);
}

static void test_names_are_the_same_when_they_say_the_same(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{"\"topic\"", "\"topic\"", true},
		{"\"topic\"", "\"t\\u006fpic\"", true},
		{"\"\\u0074opic\"", "\"topi\\u0063\"", true},
		{"\"topic\"", "\"topics\"", false},
		{"\"topic\\u0073\"", "\"topic\"", false},
		{"\"a\\nb\"", "\"a\\u000ab\"", true},
		{"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", true},
		{"\"\\ud800\"", "\"\\uD800\"", true},
		{"\"\\ud800\"", "\"\\ud801\"", false},
		{"\"\\u0000\"", "\"\"", false},
		{"\"\\/\"", "\"/\"", true},
		{"\"\\u00e9\"", "\"e\"", false},
		{"\"A\"", "\"a\"", false},
	};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_json a = value_of(cases[i].a), b = value_of(cases[i].b);

		assert_int_equal(hw_json_same(a, b), cases[i].same);
		assert_int_equal(hw_json_same(b, a), cases[i].same);
	}
}

static void test_numbers_round_as_javascript_rounds_them(void **state)
{
	static const struct {
		const char *json, *js;
	} cases[] = {
		{"0", "0"},
		{"-0", "0"},
		{"0e999999999", "0"},
		{"1", "1"},
		{"-1.0", "-1"},
		{"1e2", "100"},
		{"1.50", "1.5"},
		{"12345.678", "12345.678"},
		{"1e20", "100000000000000000000"},
		{"1e21", "1e+21"},
		{"123456789012345678901234567890", "1.2345678901234568e+29"},
		{"0.000001", "0.000001"},
		{"0.0000001", "1e-7"},
		{"1.5e-7", "1.5e-7"},
		{"0.1", "0.1"},
		{"0.30000000000000004", "0.30000000000000004"},
		{"9007199254740993", "9007199254740992"},
		{"9007199254740993.000000000000000000000000000001", "9007199254740994"},
		{"1e400", "Infinity"},
		{"-1e400", "-Infinity"},
		{"1e-400", "0"},
		{"5e-324", "5e-324"},
		{"2.4703282292062327e-324", "0"},
		{"2.4703282292062328e-324", "5e-324"},
		{"1.7976931348623157e308", "1.7976931348623157e+308"},
		{"1.7976931348623159e308", "Infinity"},
		{"5.684341886080802e-14", "5.684341886080802e-14"},
		{"0.99999999999999999999", "1"},
		{"1e99999999999999999999", "Infinity"},
		{"1e-99999999999999999999", "0"},
		{"1000000000000000000000000e-24", "1"},
		{"0.000000000000000000000001e24", "1"},
	};
	struct hw_buf out;

	(void)state;
	hw_buf_init(&out);
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		hw_buf_clear(&out);
		hw_json_js_text(&out, value_of(cases[i].json));
		if (!hw_str_eq(hw_buf_view(&out), hw_str_of(cases[i].js)))
			fail_msg("%s gave %.*s", cases[i].json, HW_STR_ARG(hw_buf_view(&out)));
	}
	hw_buf_fini(&out);
}

/* 2^53 + 1 lies half-way between two doubles: digits far behind decide which it is, even the
 * 2000th. */
static void test_digits_beyond_all_memory_still_round(void **state)
{
	char text[2100];
	size_t n = (size_t)sprintf(text, "9007199254740993.");

	(void)state;
	memset(text + n, '0', 2000);
	text[n + 2000] = 0;
	assert_true(hw_json_double(value_of(text)) == 9007199254740992.0);
	text[n + 1999] = '1';
	assert_true(hw_json_double(value_of(text)) == 9007199254740994.0);
	memset(text, '7', 2000); /* an integer of more digits than are kept */
	strcpy(text + 2000, "e-1999");
	assert_true(hw_json_double(value_of(text)) == 7.7777777777777777777);
}

static void test_values_print_as_in_a_template_literal(void **state)
{
	static const struct {
		const char *json, *js;
	} cases[] = {{"null", "null"}, {"true", "true"}, {"\"a\\nb\"", "a\nb"},
		{"\"\\ud800\"", "\xef\xbf\xbd"}, {"{\"a\":1}", "[object Object]"}, {"[]", ""},
		{"[1,[2,\"x\",null],{\"a\":1},true, 1e21 ]", "1,2,x,,[object Object],true,1e+21"},
		{"[null,null]", ","}};
	struct hw_buf out;

	(void)state;
	hw_buf_init(&out);
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		hw_buf_clear(&out);
		hw_json_js_text(&out, value_of(cases[i].json));
		assert_str(hw_buf_view(&out), cases[i].js);
	}
	hw_buf_clear(&out);
	hw_json_js_text(&out, (struct hw_json){.kind = HW_JSON_NONE});
	assert_str(hw_buf_view(&out), "undefined");
	hw_buf_fini(&out);
}

static void test_what_counts_as_missing(void **state)
{
	static const char *const falsy[] = {
		"null", "false", "0", "-0", "0.0", "0e5", "1e-400", "\"\""};
	static const char *const truthy[] = {
		"true", "1", "-1", "1e-300", "\"0\"", "\" \"", "\"\\u0000\"", "[]", "{}"};

	(void)state;
	assert_true(hw_json_falsy((struct hw_json){.kind = HW_JSON_NONE}));
	for (size_t i = 0; i < HW_COUNT(falsy); i++)
		assert_true(hw_json_falsy(value_of(falsy[i])));
	for (size_t i = 0; i < HW_COUNT(truthy); i++)
		assert_false(hw_json_falsy(value_of(truthy[i])));
}

/* The name "k0", "k1"… plainly or with an escape. */
static struct hw_json name(char *store, unsigned i, bool escaped)
{
	sprintf(store, escaped ? "\"\\u006b%u\"" : "\"k%u\"", i);
	return value_of(store);
}

static void test_repeated_names_are_found_among_few_and_many(void **state)
{
	static char stores[3000][24], plain[3000][24], escaped[3000][24];
	struct hw_keys keys;

	(void)state;
	for (unsigned n = 0; n < 3000; n += n < 40 ? 1 : 997) {
		hw_keys_init(&keys);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(hw_keys_add(&keys, name(stores[i], i, i % 3 == 0)), 0);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(
				hw_keys_add(&keys, name(plain[i], i, false)), HW_KEYS_TWICE);
			assert_int_equal(
				hw_keys_add(&keys, name(escaped[i], i, true)), HW_KEYS_TWICE);
		}
		assert_int_equal(hw_keys_add(&keys, value_of("\"another\"")), 0);
		hw_keys_fini(&keys);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_grammar_has_is_read),
		cmocka_unit_test(test_what_the_grammar_has_not_is_refused),
		cmocka_unit_test(test_errors_say_where_and_what),
		cmocka_unit_test(test_a_text_cut_anywhere_is_refused),
		cmocka_unit_test(test_strings_end_where_they_end_whatever_their_length),
		cmocka_unit_test(test_utf8_is_validated_unless_it_was),
		cmocka_unit_test(test_nesting_is_bounded),
		cmocka_unit_test(test_what_was_entered_counts_as_nesting),
		cmocka_unit_test(test_kinds_of_containers_are_not_mixed_up_at_depth),
		cmocka_unit_test(test_members_come_one_by_one_with_their_slices),
		cmocka_unit_test(test_stepping_is_as_strict_as_skipping),
		cmocka_unit_test(test_strings_say_what_their_escapes_mean),
		cmocka_unit_test(test_half_a_surrogate_pair_is_an_error_where_strings_are_resolved),
		cmocka_unit_test(test_names_are_the_same_when_they_say_the_same),
		cmocka_unit_test(test_numbers_round_as_javascript_rounds_them),
		cmocka_unit_test(test_digits_beyond_all_memory_still_round),
		cmocka_unit_test(test_values_print_as_in_a_template_literal),
		cmocka_unit_test(test_what_counts_as_missing),
		cmocka_unit_test(test_repeated_names_are_found_among_few_and_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
