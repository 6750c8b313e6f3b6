#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"

static void addresses_are_read_and_written_in_one_way(void **state)
{
	static const struct {
		const char *written, *text;
	} cases[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"0.0.0.0", "0.0.0.0"},
		{"2001:db8::1", "[2001:db8::1]"},
		{"[2001:db8::1]", "[2001:db8::1]"},
		{"2001:0DB8:0:0:0:0:0:1", "[2001:db8::1]"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"[::ffff:c000:201]", "192.0.2.1"},
		{"unix", "unix"},
	};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char text[HW_ADDRESS_TEXT];
		struct hw_address a;

		assert_int_equal(hw_address_parse(hw_str_of(cases[i].written), &a), 0);
		hw_address_print(&a, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void the_longest_address_fits(void **state)
{
	struct hw_address a;
	char text[HW_ADDRESS_TEXT];

	(void)state;
	assert_int_equal(
		hw_address_parse(HW_STR("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"), &a), 0);
	hw_address_print(&a, text);
	assert_string_equal(text, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]");
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = {"", " ", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4 ",
		" 1.2.3.4", "1.2.3.4:80", "[1.2.3.4]", "[]", "[::1", "::1]", "[::1]:80", "::g",
		"fe80::1%lo", "localhost", "unix:", "Unix",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999", "256.0.0.1",
		"0000000000000000000000000000000000000000000000000001"};
	struct hw_address a = {.kind = HW_ADDRESS_UNIX};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++)
		assert_int_equal(hw_address_parse(hw_str_of(bad[i]), &a), -EINVAL);
	assert_int_equal(hw_address_parse((struct hw_str){"1.2.3.4\0", 8}, &a), -EINVAL);
	assert_int_equal(a.kind, HW_ADDRESS_UNIX);
}

static void blocks_are_read_and_what_is_behind_the_prefix_is_told(void **state)
{
	static const struct {
		const char *written, *text;
		int result;
	} cases[] = {
		{"10.0.0.0/8", "10.0.0.0/8", 0},
		{"10.0.0.1", "10.0.0.1", 0},
		{"10.0.0.1/32", "10.0.0.1", 0},
		{"10.0.0.1/8", "10.0.0.0/8", -ERANGE},
		{"0.0.0.0/0", "0.0.0.0/0", 0},
		{"255.255.255.254/31", "255.255.255.254/31", 0},
		{"2001:db8::/32", "2001:db8::/32", 0},
		{"[2001:db8::]/32", "2001:db8::/32", 0},
		{"2001:db8:ffff::/33", "2001:db8:8000::/33", -ERANGE},
		{"::/0", "::/0", 0},
		{"::1/128", "::1", 0},
		{"unix", "unix", 0},
	};
	static const char *const bad[] = {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
		"10.0.0.0/8/8", "10.0.0.0/0000", "::/129", "unix/0", "10/8", "::ffff:10.0.0.0/104"};
	struct hw_address_block block;

	(void)state;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char text[HW_ADDRESS_BLOCK_TEXT];

		assert_int_equal(hw_address_block_parse(hw_str_of(cases[i].written), &block),
			cases[i].result);
		hw_address_block_print(&block, text);
		assert_string_equal(text, cases[i].text);
	}
	for (size_t i = 0; i < HW_COUNT(bad); i++)
		assert_int_equal(hw_address_block_parse(hw_str_of(bad[i]), &block), -EINVAL);
}

static void an_address_is_in_a_block_by_its_first_bits(void **state)
{
	static const struct {
		const char *block, *inside, *outside;
	} cases[] = {
		{"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
		{"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
		{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.0"},
		{"0.0.0.0/0", "203.0.113.9", "2001:db8::1"},
		{"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"},
		{"::/0", "::1", "127.0.0.1"},
		{"::1", "::1", "::2"},
		{"unix", "unix", "0.0.0.0"},
	};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_address_block block;
		struct hw_address a;

		assert_int_equal(hw_address_block_parse(hw_str_of(cases[i].block), &block), 0);
		assert_int_equal(hw_address_parse(hw_str_of(cases[i].inside), &a), 0);
		assert_true(hw_address_in(&a, &block, 1));
		assert_false(hw_address_in(&a, &block, 0));
		assert_int_equal(hw_address_parse(hw_str_of(cases[i].outside), &a), 0);
		assert_false(hw_address_in(&a, &block, 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_written_in_one_way),
		cmocka_unit_test(the_longest_address_fits),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(blocks_are_read_and_what_is_behind_the_prefix_is_told),
		cmocka_unit_test(an_address_is_in_a_block_by_its_first_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
