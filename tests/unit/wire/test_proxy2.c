#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy2_headers.h"
#include "wire/proxy2.h"

#define BEHIND "GET /"
#define ROOM 8192

/* Reads @p with pieces of @first bytes and the rest; returns the outcome, what was taken in
 * *@taken. */
static int read_split(
	struct hw_proxy2 *r, const uint8_t *p, size_t len, size_t first, size_t *taken)
{
	size_t used = 0;
	int outcome;

	*r = (struct hw_proxy2){0};
	*taken = 0;
	outcome = hw_proxy2_read(r, p, first, taken);
	if (outcome != HW_PROXY2_MORE)
		return outcome;
	assert_int_equal(*taken, first);
	outcome = hw_proxy2_read(r, p + first, len - first, &used);
	*taken += used;
	return outcome;
}

/* Reads it split at every byte, and byte by byte. */
static void expect(const uint8_t *p, size_t len, const char *address)
{
	uint8_t with_more[ROOM + sizeof(BEHIND)];
	struct hw_proxy2 r;
	size_t taken, used;
	char text[HW_ADDRESS_TEXT];

	memcpy(with_more, p, len);
	memcpy(with_more + len, BEHIND, sizeof(BEHIND));
	for (size_t first = 0; first <= len; first++) {
		assert_int_equal(read_split(&r, with_more, len + sizeof(BEHIND), first, &taken),
			HW_PROXY2_DONE);
		assert_int_equal(taken, len);
		hw_address_print(&r.source, text);
		assert_string_equal(text, address);
	}
	r = (struct hw_proxy2){0};
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(hw_proxy2_read(&r, p + i, 1, &used),
			i + 1 < len ? HW_PROXY2_MORE : HW_PROXY2_DONE);
		assert_int_equal(used, 1);
	}
	hw_address_print(&r.source, text);
	assert_string_equal(text, address);
	/* cut short anywhere it is not complete */
	for (size_t n = 0; n < len; n++) {
		r = (struct hw_proxy2){0};
		assert_int_equal(hw_proxy2_read(&r, p, n, &used), HW_PROXY2_MORE);
	}
}

static void a_header_names_the_client(void **state)
{
	uint8_t header[ROOM], names[216] = "/run/client.sock";

	(void)state;
	expect(header, proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4, PROXY2_V4, 12, 0),
		"203.0.113.9");
	expect(header, proxy2_header(header, PROXY2_PROXY, PROXY2_TCP6, PROXY2_V6, 36, 0),
		"[2001:db8::9]");
	expect(header, proxy2_header(header, PROXY2_PROXY, PROXY2_UNIX, names, sizeof(names), 0),
		"unix");
}

static void an_ipv4_address_in_an_ipv6_header_is_the_ipv4_address(void **state)
{
	uint8_t header[ROOM], addresses[36] = {[10] = 0xff, [11] = 0xff, 203, 0, 113, 9};

	(void)state;
	expect(header, proxy2_header(header, PROXY2_PROXY, PROXY2_TCP6, addresses, 36, 0),
		"203.0.113.9");
}

static void what_follows_the_addresses_is_passed_over(void **state)
{
	uint8_t header[ROOM];

	(void)state;
	expect(header, proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4, PROXY2_V4, 12, 1),
		"203.0.113.9");
	expect(header, proxy2_header(header, PROXY2_PROXY, PROXY2_TCP6, PROXY2_V6, 36, 300),
		"[2001:db8::9]");
	expect(header,
		proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4, PROXY2_V4, 12,
			HW_PROXY2_MAX_BYTES - HW_PROXY2_FIXED - 12),
		"203.0.113.9");
}

static void the_proxys_own_connections_and_unknown_ones_name_nobody(void **state)
{
	uint8_t header[ROOM];

	(void)state;
	expect(header, proxy2_header(header, PROXY2_LOCAL, PROXY2_UNSPEC, NULL, 0, 0), "");
	expect(header, proxy2_header(header, PROXY2_LOCAL, PROXY2_TCP4, PROXY2_V4, 12, 7), "");
	/* LOCAL: the family is ignored, even one that nobody knows */
	expect(header, proxy2_header(header, PROXY2_LOCAL, 0xff, NULL, 0, 5), "");
	expect(header, proxy2_header(header, PROXY2_PROXY, PROXY2_UNSPEC, NULL, 0, 0), "");
	expect(header, proxy2_header(header, PROXY2_PROXY, PROXY2_UNSPEC, PROXY2_V4, 12, 4), "");
}

static void expect_error(const uint8_t *p, size_t len, size_t at_most)
{
	struct hw_proxy2 r;
	size_t taken;

	for (size_t first = 0; first <= len; first++) {
		assert_int_equal(read_split(&r, p, len, first, &taken), HW_PROXY2_ERROR);
		assert_non_null(r.reason);
	}
	/* refused as soon as it is clear, not when more has come */
	r = (struct hw_proxy2){0};
	assert_int_equal(hw_proxy2_read(&r, p, at_most, &taken), HW_PROXY2_ERROR);
}

static void what_is_no_header_is_refused_at_its_first_wrong_byte(void **state)
{
	uint8_t header[ROOM];
	size_t len = proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4, PROXY2_V4, 12, 0);

	(void)state;
	for (size_t i = 0; i < 12; i++) {
		header[i] ^= 1;
		expect_error(header, len, i + 1);
		header[i] ^= 1;
	}
	expect_error((const uint8_t *)"GET /ws HTTP/1.1\r\n", 18, 1);
	/* version 1, the text, is not read */
	expect_error((const uint8_t *)"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n", 38, 1);
}

static void commands_and_families_that_are_not_these_are_refused(void **state)
{
	static const uint8_t families[] = {
		0x01, 0x02, 0x10, 0x12, 0x13, 0x20, 0x22, 0x30, 0x32, 0x41, 0xff};
	static const uint8_t commands[] = {0x00, 0x01, 0x10, 0x11, 0x22, 0x2f, 0x30, 0x31, 0xff};
	uint8_t header[ROOM], addresses[216] = {0};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(families); i++)
		expect_error(header,
			proxy2_header(header, PROXY2_PROXY, families[i], addresses, 216, 0),
			HW_PROXY2_FIXED);
	for (size_t i = 0; i < HW_COUNT(commands); i++)
		expect_error(header,
			proxy2_header(header, commands[i], PROXY2_TCP4, PROXY2_V4, 12, 0),
			HW_PROXY2_FIXED);
}

static void lengths_that_do_not_fit_are_refused(void **state)
{
	uint8_t header[ROOM], addresses[216] = {0};

	(void)state;
	expect_error(header, proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4, addresses, 11, 0),
		HW_PROXY2_FIXED);
	expect_error(header, proxy2_header(header, PROXY2_PROXY, PROXY2_TCP6, addresses, 35, 0),
		HW_PROXY2_FIXED);
	expect_error(header, proxy2_header(header, PROXY2_PROXY, PROXY2_UNIX, addresses, 215, 0),
		HW_PROXY2_FIXED);
	expect_error(header,
		proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4, addresses, 12,
			HW_PROXY2_MAX_BYTES - HW_PROXY2_FIXED - 11),
		HW_PROXY2_FIXED);
	expect_error(header, proxy2_header(header, PROXY2_LOCAL, PROXY2_UNSPEC, NULL, 0, ROOM - 16),
		HW_PROXY2_FIXED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_names_the_client),
		cmocka_unit_test(an_ipv4_address_in_an_ipv6_header_is_the_ipv4_address),
		cmocka_unit_test(what_follows_the_addresses_is_passed_over),
		cmocka_unit_test(the_proxys_own_connections_and_unknown_ones_name_nobody),
		cmocka_unit_test(what_is_no_header_is_refused_at_its_first_wrong_byte),
		cmocka_unit_test(commands_and_families_that_are_not_these_are_refused),
		cmocka_unit_test(lengths_that_do_not_fit_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
