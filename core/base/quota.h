/* Accounting of what somebody may hold or do: a bound that is charged before and given back after,
 * and a token bucket for rates. Not thread safe unless said. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

/* Charged by several threads: a tenant's connections. */
struct hw_quota {
	atomic_uint_fast64_t used;
	atomic_uint_fast64_t limit; /* UINT64_MAX = none */
};
void hw_quota_init(struct hw_quota *q, uint64_t limit);
/** For a reload. What is used stays, even if it is more. */
void hw_quota_limit(struct hw_quota *q, uint64_t limit);
HW_MUST_CHECK bool hw_quota_charge(struct hw_quota *q, uint64_t n); /* false: nothing was charged */
void hw_quota_release(struct hw_quota *q, uint64_t n);
/** Would a charge of @n succeed now? Others may be quicker. */
bool hw_quota_has_room(const struct hw_quota *q, uint64_t n);

/* Token bucket of one second's worth; lock free, several threads. rate 0 = no limit.
 * Kept as GCRA does: one time, up to which the bucket's tokens are spent. */
struct hw_rate {
	atomic_uint_fast64_t per_s;
	atomic_int_fast64_t spent_ns; /* now + 1 s = empty, now or before = full */
};
void hw_rate_init(struct hw_rate *r, uint64_t per_s);
void hw_rate_limit(struct hw_rate *r, uint64_t per_s); /* another rate starts with a full bucket */
/** Takes @n at @now_us of any clock that does not run back. 0: taken; else nothing taken and the
 *  milliseconds after which it may succeed (>= 1). More than a bucket holds is taken from a full
 *  one, whose debt is then paid at the usual rate: a large batch waits, it does not starve. */
HW_MUST_CHECK int64_t hw_rate_take(struct hw_rate *r, uint64_t n, int64_t now_us);
