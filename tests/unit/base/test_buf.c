#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void assert_content(struct hw_buf *b, const char *expected)
{
	assert_false(b->failed);
	assert_int_equal(b->len, strlen(expected));
	assert_memory_equal(b->data, expected, b->len);
}

static void appends_grow_the_buffer(void **state HW_UNUSED)
{
	struct hw_buf b;

	hw_buf_init(&b);
	for (int i = 0; i < 1000; i++)
		hw_buf_add(&b, "0123456789", 10);
	assert_int_equal(b.len, 10000);
	for (size_t i = 0; i < b.len; i++)
		assert_int_equal(b.data[i], '0' + i % 10);
	hw_buf_fini(&b);
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
}

static void every_append_adds_what_it_says(void **state HW_UNUSED)
{
	struct hw_buf b;

	hw_buf_init(&b);
	hw_buf_add(&b, NULL, 0);
	hw_buf_str(&b, HW_STR_NULL);
	assert_int_equal(b.len, 0);
	hw_buf_str(&b, HW_STR("one"));
	hw_buf_putc(&b, ' ');
	hw_buf_puts(&b, "two");
	hw_buf_printf(&b, " %d-%s", 3, "four");
	hw_buf_putc(&b, ' ');
	hw_buf_u64(&b, 0);
	hw_buf_putc(&b, ' ');
	hw_buf_u64(&b, UINT64_MAX);
	assert_content(&b, "one two 3-four 0 18446744073709551615");
	hw_buf_fini(&b);
}

static void printf_fits_at_every_fill(void **state HW_UNUSED)
{
	struct hw_buf b;

	for (size_t before = 0; before < 140; before++) {
		hw_buf_init(&b);
		for (size_t i = 0; i < before; i++)
			hw_buf_putc(&b, 'x');
		hw_buf_printf(&b, "%s", "0123456789012345678901234567890123456789");
		assert_int_equal(b.len, before + 40);
		assert_memory_equal(
			b.data + before, "0123456789012345678901234567890123456789", 40);
		hw_buf_fini(&b);
	}
}

static void reserve_gives_room_where_the_end_is(void **state HW_UNUSED)
{
	struct hw_buf b;
	char *to;

	hw_buf_init(&b);
	assert_non_null(hw_buf_reserve(&b, 0));
	hw_buf_puts(&b, "ab");
	to = hw_buf_reserve(&b, 5000);
	assert_ptr_equal(to, b.data + 2);
	assert_true(b.cap - b.len >= 5000);
	memset(to, 'c', 5000);
	b.len += 5000;
	assert_memory_equal(b.data, "abccc", 5);
	hw_buf_fini(&b);
}

static void failure_is_remembered_until_clear(void **state HW_UNUSED)
{
	struct hw_buf b;

	hw_buf_init(&b);
	hw_buf_puts(&b, "ab");
	assert_null(hw_buf_reserve(&b, SIZE_MAX - 1));
	assert_true(b.failed);
	hw_buf_puts(&b, "c");
	hw_buf_putc(&b, 'c');
	hw_buf_printf(&b, "%d", 1);
	hw_buf_u64(&b, 1);
	hw_buf_json(&b, HW_STR("x"));
	assert_null(hw_buf_reserve(&b, 0));
	assert_int_equal(b.len, 2);
	hw_buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_true(b.cap > 0);
	hw_buf_puts(&b, "d");
	assert_content(&b, "d");
	hw_buf_fini(&b);
}

static void steal_of_failed_is_null(void **state HW_UNUSED)
{
	struct hw_buf b;

	hw_buf_init(&b);
	hw_buf_puts(&b, "ab");
	assert_null(hw_buf_reserve(&b, SIZE_MAX / 2));
	assert_null(hw_buf_steal(&b));
	assert_null(b.data);
	assert_false(b.failed);
}

static void steal_terminates_and_resets(void **state HW_UNUSED)
{
	struct hw_buf b;
	char *text;

	hw_buf_init(&b);
	text = hw_buf_steal(&b);
	assert_string_equal(text, "");
	free(text);
	for (int i = 0; i < 64; i++) /* full to the brim: the zero needs room of its own */
		hw_buf_putc(&b, 'x');
	text = hw_buf_steal(&b);
	assert_int_equal(strlen(text), 64);
	free(text);
	assert_null(b.data);
	hw_buf_puts(&b, "again");
	assert_content(&b, "again");
	hw_buf_fini(&b);
}

static void consume_moves_the_rest_down(void **state HW_UNUSED)
{
	struct hw_buf b;

	hw_buf_init(&b);
	hw_buf_consume(&b, 0);
	hw_buf_puts(&b, "abcdef");
	hw_buf_consume(&b, 2);
	assert_content(&b, "cdef");
	assert_true(hw_str_eq(hw_buf_view(&b), HW_STR("cdef")));
	hw_buf_consume(&b, 4);
	assert_int_equal(b.len, 0);
	hw_buf_puts(&b, "x");
	hw_buf_consume(&b, 99);
	assert_int_equal(b.len, 0);
	hw_buf_fini(&b);
}

static void assert_json(struct hw_str s, const char *expected)
{
	struct hw_buf b;

	hw_buf_init(&b);
	hw_buf_json(&b, s);
	assert_content(&b, expected);
	hw_buf_fini(&b);
}

static void json_escapes_what_it_must(void **state HW_UNUSED)
{
	assert_json(HW_STR_NULL, "\"\"");
	assert_json(HW_STR("plain / text"), "\"plain / text\"");
	assert_json(HW_STR("\"\\"), "\"\\\"\\\\\"");
	assert_json(HW_STR("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\"");
	assert_json(HW_STR("a\0b\x01\x0b\x1f"), "\"a\\u0000b\\u0001\\u000b\\u001f\"");
	assert_json(HW_STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
		"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

static void json_escapes_what_a_terminal_obeys(void **state HW_UNUSED)
{
	assert_json(HW_STR("\x1b[2J\x7f"), "\"\\u001b[2J\\u007f\"");
	assert_json(
		HW_STR("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0"), "\"\\u0080\\u009b\\u009f\xc2\xa0\"");
	assert_json(HW_STR("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xae\xe2\x80\xaf"),
		"\"\\u2028\\u2029\\u202e\xe2\x80\xaf\"");
	assert_json(HW_STR("\xe2\x81\xa6\xe2\x81\xa9"), "\"\\u2066\\u2069\"");
}

#define R "\xef\xbf\xbd"

static void json_replaces_what_is_not_utf8(void **state HW_UNUSED)
{
	assert_json(HW_STR("a\xff"
			   "b"),
		"\"a" R "b\"");
	assert_json(HW_STR("\x80\x80"), "\"" R R "\"");
	/* one mark for each longest beginning of a character: the Unicode standard's own example */
	assert_json(HW_STR("a\xf1\x80\x80\xe1\x80\xc2"
			   "b\x80"
			   "c\x80\xbf"
			   "d"),
		"\"a" R R R "b" R "c" R R "d\"");
	assert_json(HW_STR("\xed\xa0\x80"), "\"" R R R "\"");
	assert_json(HW_STR("\xf0\x9f\x98"), "\"" R "\"");
	assert_json(HW_STR("\xc0\x22"), "\"" R "\\\"\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_grow_the_buffer),
		cmocka_unit_test(every_append_adds_what_it_says),
		cmocka_unit_test(printf_fits_at_every_fill),
		cmocka_unit_test(reserve_gives_room_where_the_end_is),
		cmocka_unit_test(failure_is_remembered_until_clear),
		cmocka_unit_test(steal_of_failed_is_null),
		cmocka_unit_test(steal_terminates_and_resets),
		cmocka_unit_test(consume_moves_the_rest_down),
		cmocka_unit_test(json_escapes_what_it_must),
		cmocka_unit_test(json_escapes_what_a_terminal_obeys),
		cmocka_unit_test(json_replaces_what_is_not_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
