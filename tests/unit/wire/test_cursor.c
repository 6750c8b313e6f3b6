#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/cursor.h"

static const struct {
	struct hw_cursor cursor;
	const char *text;
} pairs[] = {
	{{0, 0}, "0-0"},
	{{1, 1}, "1-1"},
	{{35, 9}, "z-9"},
	{{36, 10}, "10-10"},
	{{1355, 10412}, "11n-10412"},
	{{5998294, 10412}, "3kkba-10412"},
	{{UINT64_MAX, UINT64_MAX}, "3w5e11264sgsf-18446744073709551615"},
	{{UINT64_MAX - 1, 0}, "3w5e11264sgse-0"},
};

static void test_cursors_are_written_and_read_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < HW_COUNT(pairs); i++) {
		char text[HW_CURSOR_MAX + 1];
		struct hw_cursor back;
		struct hw_buf out;

		assert_int_equal(hw_cursor_format(pairs[i].cursor, text), strlen(pairs[i].text));
		assert_string_equal(text, pairs[i].text);
		assert_int_equal(hw_cursor_parse(hw_str_of(text), &back), 0);
		assert_true(back.epoch == pairs[i].cursor.epoch && back.seq == pairs[i].cursor.seq);
		hw_buf_init(&out);
		hw_buf_putc(&out, '<');
		hw_cursor_add(&out, pairs[i].cursor);
		assert_int_equal(out.len, strlen(text) + 1);
		assert_memory_equal(out.data + 1, text, strlen(text));
		hw_buf_fini(&out);
	}
}

static void test_the_longest_cursor_fits_exactly(void **state)
{
	(void)state;
	assert_int_equal(strlen(pairs[6].text), HW_CURSOR_MAX);
}

static void test_what_format_does_not_write_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"-",
		"a",
		"a-",
		"-1",
		"a-1-",
		"a-1-2",
		"-a-1",
		"a--1",
		"a-+1",
		"a-1 ",
		" a-1",
		"a -1",
		"a- 1",
		"a-1\n",
		"A-1",
		"a-A",
		"a-a",
		"a-1a",
		"a_1",
		"a-0x1",
		"a-1.0",
		"a-1e3",
		"0a-1",
		"00-1",
		"a-01",
		"a-00", /* leading zeros */
		"3w5e11264sgsg-1",
		"zzzzzzzzzzzzz-1",
		"10000000000000-1", /* 2^64 and more */
		"a-18446744073709551616",
		"a-99999999999999999999",
		"a-100000000000000000000",
		"3w5e11264sgsf-184467440737095516150",
		"\xc3\xa9-1",
	};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		struct hw_cursor out = {7, 7};

		if (hw_cursor_parse(hw_str_of(bad[i]), &out) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(out.epoch == 7 && out.seq == 7);
	}
	assert_int_equal(hw_cursor_parse(HW_STR_NULL, &(struct hw_cursor){0}), -EINVAL);
	assert_int_equal(
		hw_cursor_parse((struct hw_str){"a-1\0", 4}, &(struct hw_cursor){0}), -EINVAL);
	assert_int_equal(
		hw_cursor_parse((struct hw_str){"a\0-1", 4}, &(struct hw_cursor){0}), -EINVAL);
}

/* Whatever is read is written back as the same bytes: no two texts are one cursor. */
static void test_every_short_text_is_read_only_in_its_own_form(void **state)
{
	static const char alphabet[] = "019az-A ";
	unsigned read = 0;

	(void)state;
	for (unsigned n = 0; n < 8u * 8 * 8 * 8 * 8; n++) {
		char text[5], again[HW_CURSOR_MAX + 1];
		struct hw_cursor c;

		for (unsigned i = 0, rest = n; i < 5; i++, rest /= 8)
			text[i] = alphabet[rest % 8];
		for (size_t len = 0; len <= sizeof(text); len++) {
			if (hw_cursor_parse((struct hw_str){text, len}, &c) != 0)
				continue;
			read++;
			assert_int_equal(hw_cursor_format(c, again), len);
			assert_memory_equal(again, text, len);
		}
	}
	assert_true(read > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cursors_are_written_and_read_back),
		cmocka_unit_test(test_the_longest_cursor_fits_exactly),
		cmocka_unit_test(test_what_format_does_not_write_is_refused),
		cmocka_unit_test(test_every_short_text_is_read_only_in_its_own_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
