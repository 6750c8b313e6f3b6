/* A circuit breaker: leaves a hook alone for a while that fails again and again, so that its
 * callers hear so at once and what it asks can recover.
 *
 *            enough failures              open_ms have passed: one call may try
 *   closed ----------------------> open ----------------------------------------> half open
 *     ^                             ^                                                |  |
 *     |                             +---- it fails; twice as long, up to the most ---+  |
 *     +------------------------------------------------ it does not fail ---------------+ */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct hw_breaker_rules {
	unsigned failures;      /* in a row; 0: does not count */
	unsigned share_percent; /* of the calls in a window; 0: does not count */
	unsigned min_calls;     /* in the window, before a share means anything */
	unsigned window_ms;
	unsigned open_ms, open_max_ms;
};
#define HW_BREAKER_DEFAULT \
	((struct hw_breaker_rules){.failures = 3, \
		.share_percent = 50, \
		.min_calls = 20, \
		.window_ms = 10000, \
		.open_ms = 100, \
		.open_max_ms = 2000})

enum hw_breaker_state { HW_BREAKER_CLOSED, HW_BREAKER_HALF_OPEN, HW_BREAKER_OPEN };

struct hw_breaker {
	enum hw_breaker_state state;
	bool trying;                /* half open: a call is under way */
	unsigned n_row;             /* failures in a row */
	unsigned n_opens;           /* in a row */
	unsigned n_calls, n_failed; /* in the window */
	int64_t window_ms;          /* its start */
	int64_t open_until_ms;
};

/** Whether a call may be made now. If so, one of the two below follows. */
bool hw_breaker_admit(struct hw_breaker *breaker, int64_t now_ms);
/** The call has ended. true: that has opened the breaker. @now_ms does not matter to a call that
 * did not fail while the breaker is closed: that one costs no look at the clock. */
bool hw_breaker_note(struct hw_breaker *breaker, const struct hw_breaker_rules *rules, bool failed,
	int64_t now_ms);
/** The call has ended and says nothing about the hook. */
void hw_breaker_forget(struct hw_breaker *breaker);
