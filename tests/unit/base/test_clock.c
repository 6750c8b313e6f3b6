#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/compiler.h"

static void assert_iso(int64_t wall_ms, const char *expected)
{
	char out[HW_ISO8601_LEN + 1];

	hw_clock_iso8601(wall_ms, out);
	assert_string_equal(out, expected);
}

static void known_instants(void **state HW_UNUSED)
{
	assert_iso(0, "1970-01-01T00:00:00.000Z");
	assert_iso(-1, "1969-12-31T23:59:59.999Z");
	assert_iso(INT64_C(951782400123), "2000-02-29T00:00:00.123Z");
	assert_iso(INT64_C(1767225600000), "2026-01-01T00:00:00.000Z");
	assert_iso(INT64_C(1709251199999), "2024-02-29T23:59:59.999Z");
	assert_iso(INT64_C(4107542400000), "2100-03-01T00:00:00.000Z");
	assert_iso(INT64_C(253402300799999), "9999-12-31T23:59:59.999Z");
	assert_iso(INT64_C(-62167219200000), "0000-01-01T00:00:00.000Z");
}

static void years_out_of_range_stop_at_the_ends(void **state HW_UNUSED)
{
	assert_iso(INT64_C(253402300800000), "9999-12-31T23:59:59.999Z");
	assert_iso(INT64_MAX, "9999-12-31T23:59:59.999Z");
	assert_iso(INT64_C(-62167219200001), "0000-01-01T00:00:00.000Z");
	assert_iso(INT64_MIN, "0000-01-01T00:00:00.000Z");
}

static void every_day_agrees_with_libc(void **state HW_UNUSED)
{
	char expected[80];
	struct tm tm;

	for (int64_t day = -719528; day <= 2932896; day++) {
		time_t s = (time_t)(day * 86400 + (day % 7 + 7) * 9999 % 86400);

		assert_non_null(gmtime_r(&s, &tm));
		snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
			tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			tm.tm_sec, 7);
		assert_iso((int64_t)s * 1000 + 7, expected);
	}
}

static void http_dates_agree_with_libc(void **state HW_UNUSED)
{
	char out[HW_HTTP_DATE_LEN + 1], expected[80];
	struct tm tm;

	hw_clock_http_date(INT64_C(784111777000), out);
	assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110 5.6.7 */
	/* names as strftime has them in the C locale, which this is; from the year 1000 on */
	for (int64_t day = -354285; day <= 2932896; day += 3) {
		time_t s = (time_t)(day * 86400 + (day % 7 + 7) * 9999 % 86400);

		assert_non_null(gmtime_r(&s, &tm));
		assert_int_not_equal(
			strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm), 0);
		hw_clock_http_date((int64_t)s * 1000 + 999, out);
		assert_string_equal(out, expected);
	}
}

static void system_clock_runs(void **state HW_UNUSED)
{
	int64_t before = hw_clock_mono_ms(&hw_clock_system);
	int64_t wall = hw_clock_wall_ms(&hw_clock_system);
	const struct timespec nap = {0, 3000000};

	nanosleep(&nap, NULL);
	assert_true(hw_clock_mono_ms(&hw_clock_system) >= before + 2);
	assert_true(wall / 1000 >= (int64_t)time(NULL) - 5);
	assert_true(wall / 1000 <= (int64_t)time(NULL));
}

static int64_t seven(void *arg)
{
	return *(int64_t *)arg;
}

static void tests_set_the_clock(void **state HW_UNUSED)
{
	int64_t now = 7;
	struct hw_clock c = {seven, seven, &now};

	assert_int_equal(hw_clock_mono_ms(&c), 7);
	now = 8;
	assert_int_equal(hw_clock_wall_ms(&c), 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_instants),
		cmocka_unit_test(years_out_of_range_stop_at_the_ends),
		cmocka_unit_test(every_day_agrees_with_libc),
		cmocka_unit_test(http_dates_agree_with_libc),
		cmocka_unit_test(system_clock_runs),
		cmocka_unit_test(tests_set_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
