#include "base/clock.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/compiler.h"

static int64_t read_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_mono_ms(void *arg HW_UNUSED)
{
	return read_ms(CLOCK_MONOTONIC);
}

static int64_t system_wall_ms(void *arg HW_UNUSED)
{
	return read_ms(CLOCK_REALTIME);
}

const struct hw_clock hw_clock_system = {system_mono_ms, system_wall_ms, NULL};

#define DAY_MS INT64_C(86400000)
#define MIN_MS (-INT64_C(719528) * DAY_MS)     /* 0000-01-01T00:00:00.000Z */
#define MAX_MS (INT64_C(2932897) * DAY_MS - 1) /* 9999-12-31T23:59:59.999Z */

static void put_digits(char *out, int n_digits, unsigned value)
{
	while (n_digits-- > 0) {
		out[n_digits] = (char)('0' + value % 10);
		value /= 10;
	}
}

/* Days from 0000-01-01 to January 1st of @year. */
static unsigned days_before(unsigned year)
{
	return 365 * year + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
}

/* @day counts from 0000-01-01. */
static void put_date(char *out, unsigned day)
{
	static const unsigned char lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	/* 400 years always have 146097 days; the estimate from their average is off by one at most
	 */
	unsigned year = (unsigned)((uint64_t)day * 400 / 146097);
	unsigned month = 0;
	bool leap;

	if (days_before(year) > day)
		year--;
	else if (days_before(year + 1) <= day)
		year++;
	day -= days_before(year);
	leap = days_before(year + 1) - days_before(year) == 366;
	for (; month < 11; month++) {
		unsigned length = lengths[month] + (month == 1 && leap);

		if (day < length)
			break;
		day -= length;
	}
	put_digits(out, 4, year);
	put_digits(out + 5, 2, month + 1);
	put_digits(out + 8, 2, day + 1);
}

/* Milliseconds since 0000-01-01. */
static int64_t since_year_0(int64_t wall_ms)
{
	return (wall_ms < MIN_MS ? MIN_MS : wall_ms > MAX_MS ? MAX_MS : wall_ms) - MIN_MS;
}

void hw_clock_iso8601(int64_t wall_ms, char out[HW_ISO8601_LEN + 1])
{
	static const char shape[HW_ISO8601_LEN + 1] = "0000-00-00T00:00:00.000Z";
	int64_t since = since_year_0(wall_ms);
	unsigned in_day = (unsigned)(since % DAY_MS);

	for (size_t i = 0; i < sizeof(shape); i++)
		out[i] = shape[i];
	put_date(out, (unsigned)(since / DAY_MS));
	put_digits(out + 11, 2, in_day / 3600000);
	put_digits(out + 14, 2, in_day / 60000 % 60);
	put_digits(out + 17, 2, in_day / 1000 % 60);
	put_digits(out + 20, 3, in_day % 1000);
}

void hw_clock_http_date(int64_t wall_ms, char out[HW_HTTP_DATE_LEN + 1])
{
	/* 0000-01-01 is a Saturday */
	static const char days[7][4] = {"Sat", "Sun", "Mon", "Tue", "Wed", "Thu", "Fri"};
	static const char months[12][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	char iso[HW_ISO8601_LEN + 1];

	hw_clock_iso8601(wall_ms, iso);
	memcpy(out, "Day, 00 Mon 0000 00:00:00 GMT", HW_HTTP_DATE_LEN + 1);
	memcpy(out, days[since_year_0(wall_ms) / DAY_MS % 7], 3);
	memcpy(out + 5, iso + 8, 2);
	memcpy(out + 8, months[(iso[5] - '0') * 10 + iso[6] - '1'], 3);
	memcpy(out + 12, iso, 4);
	memcpy(out + 17, iso + 11, 8);
}
