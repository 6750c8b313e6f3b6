#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/query.h"

/* Reads all pairs as "name=value;" each; "!" when refused. From a heap block of the exact size. */
static void pairs(struct hw_buf *out, struct hw_str text)
{
	char *copy = text.p ? malloc(text.len ? text.len : 1) : NULL;
	struct hw_str name, value;
	struct hw_buf scratch;
	struct hw_query q;
	int rc;

	if (text.len)
		memcpy(copy, text.p, text.len);
	hw_buf_init(&scratch);
	hw_query_init(&q, (struct hw_str){copy, text.len});
	while ((rc = hw_query_next(&q, &scratch, &name, &value)) == 0) {
		assert_non_null(name.p);
		assert_non_null(value.p);
		hw_buf_str(out, name);
		hw_buf_putc(out, '=');
		hw_buf_str(out, value);
		hw_buf_putc(out, ';');
	}
	if (rc == -EINVAL)
		hw_buf_putc(out, '!');
	else
		assert_int_equal(rc, HW_QUERY_END);
	hw_buf_fini(&scratch);
	free(copy);
}

static void assert_pairs(struct hw_str text, const char *expected)
{
	struct hw_buf got;

	hw_buf_init(&got);
	pairs(&got, text);
	if (!hw_str_eq(hw_buf_view(&got), hw_str_of(expected)))
		fail_msg("%.*s: %.*s", HW_STR_ARG(text), HW_STR_ARG(hw_buf_view(&got)));
	hw_buf_fini(&got);
}

static void pairs_come_in_order_and_decoded(void **state HW_UNUSED)
{
	assert_pairs(HW_STR_NULL, "");
	assert_pairs(HW_STR(""), "");
	assert_pairs(HW_STR("&&"), "");
	assert_pairs(HW_STR("a=1"), "a=1;");
	assert_pairs(HW_STR("a=1&b=2&a=3"), "a=1;b=2;a=3;");
	assert_pairs(HW_STR("&a=1&&b&"), "a=1;b=;");
	assert_pairs(HW_STR("a==b=&=x&="), "a==b=;=x;=;");
	assert_pairs(HW_STR("topics=gift-list%3Afamily-1,b:2"), "topics=gift-list:family-1,b:2;");
	assert_pairs(HW_STR("%61%3d=%26%3D%25"), "a==&=%;");
	assert_pairs(HW_STR("a+b=c+d%2Be"), "a b=c d+e;");
	assert_pairs(HW_STR("x=%C3%A4%e2%82%ac"), "x=\xc3\xa4\xe2\x82\xac;");
	assert_pairs(HW_STR("x=\xc3\xa4"), "x=\xc3\xa4;");
}

static void malformed_parts_are_refused(void **state HW_UNUSED)
{
	static const char *const bad[] = {"a=%", "a=%4", "a=%4g", "a=%g4", "a=% 1", "a=%+1",
		"a=%%41", "%=a", "a%2=b", "a=%00", "a=%0", "a=%c3", "a=%c3(", "a=%ed%a0%80",
		"a=%ff", "a=\xff", "a=\x80", "a=\xc3%28", "%c3=%a4", "a=%u0041", "a=%-1"};

	for (size_t i = 0; i < HW_COUNT(bad); i++)
		assert_pairs(hw_str_of(bad[i]), "!");
	assert_pairs(HW_STR("a=\0"), "!");
	assert_pairs(HW_STR("fine=1&a=%"), "fine=1;!");
}

static void every_escape_of_two_bytes_is_judged(void **state HW_UNUSED)
{
	const char *digits = "0123456789abcdefABCDEF";

	for (int high = 1; high < 256; high++) {
		for (int low = 1; low < 256; low++) {
			char text[] = {'%', (char)high, (char)low};
			bool hex = strchr(digits, high) && strchr(digits, low);
			struct hw_buf out;
			int rc;

			hw_buf_init(&out);
			rc = hw_percent_decode(&out, (struct hw_str){text, 3});
			if (hex && strtol((char[]){text[1], text[2], 0}, NULL, 16) > 0 &&
				high < '8') {
				assert_int_equal(rc, 0);
				assert_int_equal(out.len, 1);
				assert_int_equal(out.data[0],
					strtol((char[]){text[1], text[2], 0}, NULL, 16));
			} else {
				/* no escape, a NUL, or half a character */
				assert_int_equal(rc, -EINVAL);
				assert_int_equal(out.len, 0);
			}
			hw_buf_fini(&out);
		}
	}
}

static void plain_values_are_views_and_need_no_memory(void **state HW_UNUSED)
{
	struct hw_str text = HW_STR("token=abc.def&x=%41"), name, value;
	struct hw_buf scratch;
	struct hw_query q;

	hw_buf_init(&scratch);
	hw_query_init(&q, text);
	assert_int_equal(hw_query_next(&q, &scratch, &name, &value), 0);
	assert_ptr_equal(name.p, text.p);
	assert_ptr_equal(value.p, text.p + 6);
	assert_null(scratch.data);
	assert_int_equal(hw_query_next(&q, &scratch, &name, &value), 0);
	assert_ptr_equal(name.p, text.p + 14);
	assert_ptr_equal(value.p, scratch.data);
	hw_buf_fini(&scratch);
}

static void assert_get(const char *text, const char *name, int rc, const char *expected)
{
	struct hw_str value = HW_STR("untouched");
	struct hw_buf scratch;

	hw_buf_init(&scratch);
	assert_int_equal(hw_query_get(hw_str_of(text), hw_str_of(name), &scratch, &value), rc);
	if (!hw_str_eq(value, hw_str_of(rc ? "untouched" : expected)))
		fail_msg("%s: %s is %.*s", text, name, HW_STR_ARG(value));
	hw_buf_fini(&scratch);
}

static void get_finds_one_value_or_says_why_not(void **state HW_UNUSED)
{
	assert_get("a=1&b=2", "b", 0, "2");
	assert_get("a=1&b=2", "a", 0, "1");
	assert_get("&&a=%31&b=%32&c=%33", "a", 0, "1"); /* later pairs do not disturb it */
	assert_get("%61=x%20y&b=%32", "a", 0, "x y");
	assert_get("a", "a", 0, "");
	assert_get("ab=1&A=2", "a", HW_QUERY_END, NULL);
	assert_get("", "a", HW_QUERY_END, NULL);
	assert_get(NULL, "a", HW_QUERY_END, NULL);
	assert_get("a=1&b=2&a=1", "a", HW_QUERY_REPEATED, NULL);
	assert_get("a=1&%61=2", "a", HW_QUERY_REPEATED, NULL);
	assert_get("a=1&b=%", "a", -EINVAL, NULL);
	assert_get("a=1&a=2&b=%", "a", -EINVAL, NULL);
}

static void decoding_appends_or_leaves_as_it_was(void **state HW_UNUSED)
{
	struct hw_buf out;

	hw_buf_init(&out);
	hw_buf_puts(&out, "before");
	assert_int_equal(hw_percent_decode(&out, HW_STR("")), 0);
	assert_int_equal(hw_percent_decode(&out, HW_STR("a%20b+c%2f")), 0);
	assert_int_equal(hw_percent_decode(&out, HW_STR("ok%2")), -EINVAL);
	assert_true(hw_str_eq(hw_buf_view(&out), HW_STR("beforea b+c/")));
	hw_buf_fini(&out);
}

static void encoding_is_undone_by_decoding(void **state HW_UNUSED)
{
	struct hw_buf encoded, decoded;
	char all[127];

	for (int i = 0; i < 127; i++)
		all[i] = (char)(i + 1);
	hw_buf_init(&encoded);
	hw_buf_init(&decoded);
	hw_percent_encode(&encoded, (struct hw_str){all, sizeof(all)});
	hw_percent_encode(&encoded, HW_STR("\xe2\x82\xac"));
	assert_int_equal(hw_percent_decode(&decoded, hw_buf_view(&encoded)), 0);
	assert_int_equal(decoded.len, sizeof(all) + 3);
	assert_memory_equal(decoded.data, all, sizeof(all));
	assert_null(memchr(encoded.data, '&', encoded.len));
	hw_buf_clear(&encoded);
	hw_percent_encode(&encoded, HW_STR("azAZ09-._~ :/@[`{\xff"));
	assert_true(hw_str_eq(hw_buf_view(&encoded), HW_STR("azAZ09-._~%20%3A%2F%40%5B%60%7B%FF")));
	hw_buf_fini(&encoded);
	hw_buf_fini(&decoded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_come_in_order_and_decoded),
		cmocka_unit_test(malformed_parts_are_refused),
		cmocka_unit_test(every_escape_of_two_bytes_is_judged),
		cmocka_unit_test(plain_values_are_views_and_need_no_memory),
		cmocka_unit_test(get_finds_one_value_or_says_why_not),
		cmocka_unit_test(decoding_appends_or_leaves_as_it_was),
		cmocka_unit_test(encoding_is_undone_by_decoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
