#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/forwarded.h"

static void add(struct hw_http1_request *request, const char *name, const char *value)
{
	request->headers[request->n_headers++] =
		(struct hw_http1_header){hw_str_of(name), hw_str_of(value)};
}

/* @expected: the entries from the right, "!" for one that is malformed, each with a blank behind
 * it. */
static void expect(const struct hw_http1_request *request, const char *expected)
{
	struct hw_forwarded it;
	struct hw_address a;
	char got[512] = "", text[HW_ADDRESS_TEXT];
	int r;

	hw_forwarded_init(&it, request);
	while (!(r = hw_forwarded_next(&it, &a))) {
		hw_address_print(&a, text);
		strcat(got, text);
		strcat(got, " ");
	}
	if (r == -EINVAL)
		strcat(got, "!");
	else
		assert_int_equal(r, 1);
	assert_string_equal(got, expected);
}

static void expect_one(const char *value, const char *expected)
{
	struct hw_http1_request request = {0};

	add(&request, "X-Forwarded-For", value);
	expect(&request, expected);
}

static void entries_come_from_the_right(void **state)
{
	(void)state;
	expect_one("192.0.2.1", "192.0.2.1 ");
	expect_one("192.0.2.1, 198.51.100.2,203.0.113.3", "203.0.113.3 198.51.100.2 192.0.2.1 ");
	expect_one("2001:db8::1 ,\t192.0.2.1", "192.0.2.1 [2001:db8::1] ");
}

static void several_lines_are_one_list_in_their_order(void **state)
{
	struct hw_http1_request request = {0};

	(void)state;
	add(&request, "X-Forwarded-For", "192.0.2.1, 192.0.2.2");
	add(&request, "Host", "192.0.2.99");
	add(&request, "x-forwarded-FOR", "192.0.2.3");
	add(&request, "X-Forwarded-For", "");
	add(&request, "X-Forwarded", "192.0.2.98");
	expect(&request, "192.0.2.3 192.0.2.2 192.0.2.1 ");
}

static void ports_brackets_and_nginxs_unix_are_understood(void **state)
{
	(void)state;
	expect_one("192.0.2.1:4711", "192.0.2.1 ");
	expect_one("[2001:db8::1]:4711", "[2001:db8::1] ");
	expect_one("[2001:db8::1]", "[2001:db8::1] ");
	expect_one("::ffff:192.0.2.1", "192.0.2.1 ");
	expect_one("192.0.2.1, unix:", "unix 192.0.2.1 ");
}

static void empty_entries_are_passed_over(void **state)
{
	struct hw_http1_request none = {0};

	(void)state;
	expect_one("", "");
	expect_one(" , ,", "");
	expect_one(",192.0.2.1,, 192.0.2.2,", "192.0.2.2 192.0.2.1 ");
	expect(&none, "");
}

static void what_is_no_address_ends_the_list(void **state)
{
	static const char *const bad[] = {"unknown", "_hidden", "192.0.2.1:", "192.0.2.1:65536",
		"192.0.2.1:x", "192.0.2.1:4711:1", "2001:db8::1:99999", "[2001:db8::1",
		"[192.0.2.1]", "192.0.2.1 192.0.2.2", "\"192.0.2.1\"", "192.0.2", ":80", "::1%lo",
		"[::1]80", "[]:80", "unix:/run/x", "1.2.3.4/8"};
	char value[128];

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		snprintf(value, sizeof(value), "198.51.100.1, %s, 203.0.113.1", bad[i]);
		expect_one(value, "203.0.113.1 !");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_from_the_right),
		cmocka_unit_test(several_lines_are_one_list_in_their_order),
		cmocka_unit_test(ports_brackets_and_nginxs_unix_are_understood),
		cmocka_unit_test(empty_entries_are_passed_over),
		cmocka_unit_test(what_is_no_address_ends_the_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
