#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/utf8.h"

static void set_formats_and_returns_the_code(void **state HW_UNUSED)
{
	struct hw_err err;

	assert_int_equal(hw_err_set(&err, -EINVAL, "key %s: %d", "workers", 7), -EINVAL);
	assert_string_equal(err.text, "key workers: 7");
	assert_int_equal(hw_err_set(&err, 3, "%s again", err.text), 3);
	assert_string_equal(err.text, "key workers: 7 again");
}

static void no_message_is_wanted(void **state HW_UNUSED)
{
	assert_int_equal(hw_err_set(NULL, -ENOMEM, "x"), -ENOMEM);
	hw_err_prefix(NULL, "x");
}

static void prefix_goes_in_front(void **state HW_UNUSED)
{
	struct hw_err err;

	hw_err_set(&err, -EINVAL, "not a number");
	hw_err_prefix(&err, "%s:%d", "a.json", 3);
	assert_string_equal(err.text, "a.json:3: not a number");
	hw_err_prefix(&err, "%s", err.text);
	assert_string_equal(err.text, "a.json:3: not a number: a.json:3: not a number");
}

static void long_messages_are_cut_between_characters(void **state HW_UNUSED)
{
	static const char *const chars[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
	char text[2000];
	struct hw_err err;

	for (size_t c = 0; c < HW_COUNT(chars); c++) {
		for (size_t before = 0; before < 4; before++) {
			size_t len = strlen(chars[c]);

			memset(text, '.', before);
			for (size_t i = before; i + len < sizeof(text); i += len)
				strcpy(text + i, chars[c]);
			hw_err_set(&err, 0, "%s", text);
			assert_true(hw_utf8_valid(err.text, strlen(err.text)));
			assert_true(strlen(err.text) > sizeof(err.text) - 1 - len);
			assert_memory_equal(err.text, text, strlen(err.text));
			hw_err_prefix(&err, "%s", text);
			assert_true(hw_utf8_valid(err.text, strlen(err.text)));
			assert_true(strlen(err.text) > sizeof(err.text) - 1 - len);
		}
	}
}

static void text_that_just_fits_is_whole(void **state HW_UNUSED)
{
	char text[sizeof(((struct hw_err *)NULL)->text)];
	struct hw_err err;

	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 3, "\xc3\xa9", 3);
	hw_err_set(&err, 0, "%s", text);
	assert_string_equal(err.text, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_formats_and_returns_the_code),
		cmocka_unit_test(no_message_is_wanted),
		cmocka_unit_test(prefix_goes_in_front),
		cmocka_unit_test(long_messages_are_cut_between_characters),
		cmocka_unit_test(text_that_just_fits_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
