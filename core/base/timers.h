/* A hierarchical timer wheel of one millisecond: arm, re-arm and cancel in constant time, the timer
 * embedded in its owner, no allocation. One wheel belongs to one thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct hw_timer {
	struct hw_list link;
	int64_t due_ms;
	/* the timer is disarmed before; it may be re-armed or freed inside */
	void (*fire)(struct hw_timer *t);
};

struct hw_timers; /* opaque */

struct hw_timers *hw_timers_create(int64_t now_ms); /* NULL when out of memory */
void hw_timers_destroy(struct hw_timers **timers);  /* armed timers are forgotten, not fired */
void hw_timer_init(struct hw_timer *t, void (*fire)(struct hw_timer *t));
/** Fires at the first advance whose now is at or past @due_ms; re-arms if armed. */
void hw_timer_arm(struct hw_timers *timers, struct hw_timer *t, int64_t due_ms);
void hw_timer_cancel(struct hw_timer *t); /* harmless when not armed */
bool hw_timer_armed(const struct hw_timer *t);
/** Fires all that is due: first what was armed when it was due already, in that order, then the
 *  rest in the order of due times. What a callback arms for now or earlier fires at the next
 *  advance. A callback may not destroy the wheel. */
void hw_timers_advance(struct hw_timers *timers, int64_t now_ms);
/** Milliseconds until something may be due, never later than the true due time; -1 when nothing
 *  is armed. */
int64_t hw_timers_wait_ms(const struct hw_timers *timers, int64_t now_ms);
