/* Time: monotonic milliseconds for deadlines, wall milliseconds for people.
 * Tests set both by hand. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hw_clock {
	int64_t (*mono_ms)(void *arg);
	int64_t (*wall_ms)(void *arg); /* since 1970-01-01T00:00:00Z */
	void *arg;
};

extern const struct hw_clock hw_clock_system;

static inline int64_t hw_clock_mono_ms(const struct hw_clock *c)
{
	return c->mono_ms(c->arg);
}
static inline int64_t hw_clock_wall_ms(const struct hw_clock *c)
{
	return c->wall_ms(c->arg);
}

#define HW_ISO8601_LEN 24
/** Writes "2026-01-01T00:00:00.000Z" and a zero (25 bytes). Years 0 to 9999. */
void hw_clock_iso8601(int64_t wall_ms, char out[HW_ISO8601_LEN + 1]);

#define HW_HTTP_DATE_LEN 29
/** Writes "Thu, 01 Jan 2026 00:00:00 GMT" and a zero: the IMF-fixdate of RFC 9110 5.6.7. The same
 * years. */
void hw_clock_http_date(int64_t wall_ms, char out[HW_HTTP_DATE_LEN + 1]);
