#include "wire/event.h"

#include <stdlib.h>

/* Which timestamps are good: those that ISO 8601 covers and `new Date` of JavaScript reads, because
 * the reference validator asks that and clients do too. That is the profile of ECMA-262 ("Date Time
 * String Format"):
 *
 *   YYYY | YYYY-MM | YYYY-MM-DD    the year also as +YYYYYY or -YYYYYY, but not -000000
 *   THH:mm | THH:mm:ss | THH:mm:ss.f…    behind any of them; 24:00 ends a day
 *   Z | ±HH:mm    behind the time; without it the time is local
 *
 * and two things that V8 takes and other writers of ISO 8601 write: t and z in lower case (RFC
 * 3339), and ±HHmm. The moment is within 100 000 000 days of 1970.
 *
 * V8 takes more, and we do not: a day that its month does not have (2026-02-30, read as March 2nd),
 * a number, true, and whatever else its legacy parser makes a date of: "1", "2026-1-1", "Thu Jan 01
 * 2026", "2026-01-01 00:00", "2026-01-01Z", "(c)2026-01-01". ISO 8601 has more as well (week and
 * ordinal dates, the basic format, a comma before the fraction, leap seconds): V8 refuses or
 * misreads those. */

#define DAYS_MAX 100000000
#define DAY_MS 86400000

struct cut {
	const char *p;
	const char *end;
};

static bool take(struct cut *c, char what)
{
	if (c->p == c->end || *c->p != what)
		return false;
	c->p++;
	return true;
}

static bool take_letter(struct cut *c, char lower)
{
	if (c->p == c->end || (*c->p | 0x20) != lower)
		return false;
	c->p++;
	return true;
}

/* exactly @n digits */
static bool take_digits(struct cut *c, int n, int *out)
{
	int value = 0;

	if (c->end - c->p < n)
		return false;
	for (int i = 0; i < n; i++) {
		if (c->p[i] < '0' || c->p[i] > '9')
			return false;
		value = value * 10 + (c->p[i] - '0');
	}
	c->p += n;
	*out = value;
	return true;
}

static int days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar: whole eras of 400 years, then a year
 * that begins in March. */
static int64_t days_since_1970(int year, int month, int day)
{
	int y = year - (month <= 2);
	int era = (y >= 0 ? y : y - 399) / 400;
	int of_era = y - era * 400;
	int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool take_date(struct cut *c, int64_t *days)
{
	int year, month = 1, day = 1;

	if (c->p < c->end && (*c->p == '+' || *c->p == '-')) {
		bool negative = *c->p++ == '-';

		if (!take_digits(c, 6, &year) || (negative && year == 0))
			return false;
		year = negative ? -year : year;
	} else if (!take_digits(c, 4, &year)) {
		return false;
	}
	if (take(c, '-')) {
		if (!take_digits(c, 2, &month) || month < 1 || month > 12)
			return false;
		if (take(c, '-') &&
			(!take_digits(c, 2, &day) || day < 1 || day > days_of_month(year, month)))
			return false;
	}
	*days = days_since_1970(year, month, day);
	return true;
}

/* @rest: there is something left below a millisecond. */
static bool take_fraction(struct cut *c, int *ms, bool *rest)
{
	int digit, weight = 100;

	if (!take_digits(c, 1, &digit))
		return false;
	do {
		*ms += digit * weight;
		*rest |= weight == 0 && digit > 0;
		weight /= 10;
	} while (take_digits(c, 1, &digit));
	return true;
}

static bool take_time(struct cut *c, int64_t *ms)
{
	int hour, minute, second = 0, fraction = 0;
	bool rest = false;

	if (!take_digits(c, 2, &hour) || !take(c, ':') || !take_digits(c, 2, &minute))
		return false;
	if (take(c, ':')) {
		if (!take_digits(c, 2, &second) ||
			(take(c, '.') && !take_fraction(c, &fraction, &rest)))
			return false;
	}
	*ms = ((hour * 60 + minute) * 60 + second) * (int64_t)1000 + fraction;
	return minute < 60 && second < 60 && (*ms < DAY_MS || (*ms == DAY_MS && !rest));
}

static bool take_zone(struct cut *c, int64_t *ms)
{
	int hour, minute, sign;

	if (c->p == c->end || take_letter(c, 'z'))
		return true;
	sign = *c->p == '-' ? -1 : 1;
	if (!take(c, '+') && !take(c, '-'))
		return false;
	if (!take_digits(c, 2, &hour) || (take(c, ':'), !take_digits(c, 2, &minute)))
		return false;
	*ms -= sign * (hour * 60 + minute) * (int64_t)60000;
	return hour < 24 && minute < 60;
}

bool hw_event_time_valid(struct hw_str text)
{
	struct cut c = {text.p, text.len > 0 ? text.p + text.len : text.p};
	int64_t days, ms = 0;

	if (!take_date(&c, &days))
		return false;
	if (take_letter(&c, 't') && (!take_time(&c, &ms) || !take_zone(&c, &ms)))
		return false;
	return c.p == c.end && llabs(days * DAY_MS + ms) <= (int64_t)DAYS_MAX * DAY_MS;
}
