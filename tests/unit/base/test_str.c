#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static void assert_str(struct hw_str s, const char *expected)
{
	assert_int_equal(s.len, strlen(expected));
	assert_memory_equal(s.p, expected, s.len);
}

static void of_null_is_the_null_string(void **state HW_UNUSED)
{
	assert_null(hw_str_of(NULL).p);
	assert_int_equal(hw_str_of(NULL).len, 0);
	assert_str(hw_str_of("abc"), "abc");
}

static void equality_is_of_bytes_and_length(void **state HW_UNUSED)
{
	assert_true(hw_str_eq(HW_STR("abc"), HW_STR("abc")));
	assert_false(hw_str_eq(HW_STR("abc"), HW_STR("abd")));
	assert_false(hw_str_eq(HW_STR("abc"), HW_STR("ab")));
	assert_false(hw_str_eq(HW_STR("abc"), HW_STR("ABC")));
	assert_true(hw_str_eq(HW_STR("a\0b"), HW_STR("a\0b")));
	assert_false(hw_str_eq(HW_STR("a\0b"), HW_STR("a\0c")));
	assert_true(hw_str_eq(HW_STR_NULL, HW_STR("")));
}

static void nocase_folds_ascii_letters_only(void **state HW_UNUSED)
{
	assert_true(hw_str_eq_nocase(HW_STR("Keep-Alive"), HW_STR("kEEP-aLIVE")));
	assert_false(hw_str_eq_nocase(HW_STR("abc"), HW_STR("abcd")));
	/* the neighbours of the letters differ by the same bit as the cases do */
	assert_false(hw_str_eq_nocase(HW_STR("@"), HW_STR("`")));
	assert_false(hw_str_eq_nocase(HW_STR("["), HW_STR("{")));
	assert_false(hw_str_eq_nocase(HW_STR("\xc3\x89"), HW_STR("\xc3\xa9")));
	assert_true(hw_str_eq_nocase(HW_STR_NULL, HW_STR("")));
}

static void starts_looks_at_the_prefix_only(void **state HW_UNUSED)
{
	assert_true(hw_str_starts(HW_STR("token.abc"), HW_STR("token.")));
	assert_true(hw_str_starts(HW_STR("abc"), HW_STR("")));
	assert_true(hw_str_starts(HW_STR_NULL, HW_STR_NULL));
	assert_false(hw_str_starts(HW_STR("tok"), HW_STR("token")));
	assert_false(hw_str_starts(HW_STR("Token"), HW_STR("token")));
}

static void trim_takes_spaces_and_tabs_only(void **state HW_UNUSED)
{
	assert_str(hw_str_trim(HW_STR(" \t a b\t ")), "a b");
	assert_str(hw_str_trim(HW_STR("\r\na\v")), "\r\na\v");
	assert_int_equal(hw_str_trim(HW_STR(" \t ")).len, 0);
	assert_int_equal(hw_str_trim(HW_STR_NULL).len, 0);
}

static void cut_walks_over_all_parts(void **state HW_UNUSED)
{
	struct hw_str rest = HW_STR("a,,bc,");

	assert_str(hw_str_cut(&rest, ','), "a");
	assert_str(hw_str_cut(&rest, ','), "");
	assert_str(hw_str_cut(&rest, ','), "bc");
	assert_non_null(rest.p);
	assert_str(hw_str_cut(&rest, ','), "");
	assert_null(rest.p);
	assert_null(hw_str_cut(&rest, ',').p);
}

static void cut_without_separator_takes_all(void **state HW_UNUSED)
{
	struct hw_str rest = HW_STR("abc");

	assert_str(hw_str_cut(&rest, ';'), "abc");
	assert_null(rest.p);
	assert_int_equal(rest.len, 0);
}

static void numbers_are_digits_in_range(void **state HW_UNUSED)
{
	static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", "a",
		"18446744073709551616", "99999999999999999999", "184467440737095516150"};
	uint64_t n = 7;

	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		assert_int_equal(hw_str_to_u64(hw_str_of(bad[i]), &n), -EINVAL);
		assert_int_equal(n, 7);
	}
	assert_int_equal(hw_str_to_u64(HW_STR("1\0"), &n), -EINVAL);
	assert_int_equal(hw_str_to_u64(HW_STR("0"), &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(hw_str_to_u64(HW_STR("0042"), &n), 0);
	assert_int_equal(n, 42);
	assert_int_equal(hw_str_to_u64(HW_STR("18446744073709551615"), &n), 0);
	assert_true(n == UINT64_MAX);
}

static void dup_is_terminated_and_keeps_zeros(void **state HW_UNUSED)
{
	char *copy = hw_str_dup(HW_STR("a\0b"));

	assert_non_null(copy);
	assert_memory_equal(copy, "a\0b", 4);
	free(copy);
	copy = hw_str_dup(HW_STR_NULL);
	assert_non_null(copy);
	assert_string_equal(copy, "");
	free(copy);
}

static void distance_counts_edits(void **state HW_UNUSED)
{
	assert_int_equal(hw_str_distance(HW_STR(""), HW_STR("")), 0);
	assert_int_equal(hw_str_distance(HW_STR(""), HW_STR("abc")), 3);
	assert_int_equal(hw_str_distance(HW_STR("abc"), HW_STR("")), 3);
	assert_int_equal(hw_str_distance(HW_STR("listen"), HW_STR("lisen")), 1);
	assert_int_equal(hw_str_distance(HW_STR("tenants"), HW_STR("tenant")), 1);
	assert_int_equal(hw_str_distance(HW_STR("kitten"), HW_STR("sitting")), 3);
	assert_int_equal(hw_str_distance(HW_STR("ab"), HW_STR("ba")), 2);
	assert_int_equal(hw_str_distance(HW_STR("intention"), HW_STR("execution")), 5);
}

static void distance_of_long_strings_is_refused(void **state HW_UNUSED)
{
	char text[65];
	struct hw_str s64 = {text, 64};
	struct hw_str s65 = {text, 65};

	memset(text, 'x', sizeof(text));
	assert_int_equal(hw_str_distance(s64, HW_STR("")), 64);
	assert_int_equal(hw_str_distance(s64, s64), 0);
	assert_true(hw_str_distance(s65, HW_STR("x")) == SIZE_MAX);
	assert_true(hw_str_distance(HW_STR("x"), s65) == SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_null_is_the_null_string),
		cmocka_unit_test(equality_is_of_bytes_and_length),
		cmocka_unit_test(nocase_folds_ascii_letters_only),
		cmocka_unit_test(starts_looks_at_the_prefix_only),
		cmocka_unit_test(trim_takes_spaces_and_tabs_only),
		cmocka_unit_test(cut_walks_over_all_parts),
		cmocka_unit_test(cut_without_separator_takes_all),
		cmocka_unit_test(numbers_are_digits_in_range),
		cmocka_unit_test(dup_is_terminated_and_keeps_zeros),
		cmocka_unit_test(distance_counts_edits),
		cmocka_unit_test(distance_of_long_strings_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
