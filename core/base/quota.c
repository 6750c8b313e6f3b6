#include "base/quota.h"

#include <assert.h>

#define SECOND_NS INT64_C(1000000000)
#define MS_NS INT64_C(1000000)
#define FULL INT64_MIN

void hw_quota_init(struct hw_quota *q, uint64_t limit)
{
	atomic_init(&q->used, 0);
	atomic_init(&q->limit, limit);
}

void hw_quota_limit(struct hw_quota *q, uint64_t limit)
{
	atomic_store_explicit(&q->limit, limit, memory_order_relaxed);
}

/* Relaxed throughout: the number itself is all that is shared, it publishes nothing else. */
bool hw_quota_charge(struct hw_quota *q, uint64_t n)
{
	uint64_t limit = atomic_load_explicit(&q->limit, memory_order_relaxed);
	uint_fast64_t used = atomic_load_explicit(&q->used, memory_order_relaxed);

	do {
		if (used > limit || n > limit - used)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&q->used, &used, used + n, memory_order_relaxed, memory_order_relaxed));
	return true;
}

bool hw_quota_has_room(const struct hw_quota *q, uint64_t n)
{
	uint64_t limit = atomic_load_explicit(&q->limit, memory_order_relaxed);
	uint64_t used = atomic_load_explicit(&q->used, memory_order_relaxed);

	return used <= limit && n <= limit - used;
}

void hw_quota_release(struct hw_quota *q, uint64_t n)
{
	uint64_t used = atomic_fetch_sub_explicit(&q->used, n, memory_order_relaxed);

	assert(used >= n);
	(void)used;
}

void hw_rate_init(struct hw_rate *r, uint64_t per_s)
{
	atomic_init(&r->per_s, per_s);
	atomic_init(&r->spent_ns, FULL);
}

void hw_rate_limit(struct hw_rate *r, uint64_t per_s)
{
	/* debts were counted at the old rate; the same rate again (a reload) forgives nothing */
	if (atomic_exchange_explicit(&r->per_s, per_s, memory_order_relaxed) != per_s)
		atomic_store_explicit(&r->spent_ns, FULL, memory_order_relaxed);
}

/* Rounded down, so that a second's worth of single tokens fits into the second. */
static int64_t cost_ns(uint64_t n, uint64_t per_s)
{
	const uint64_t longest = (uint64_t)INT64_MAX / 4; /* 73 years: sums stay in range */
	uint64_t whole = n / per_s;
	uint64_t rest = n % per_s;

	if (whole > longest / SECOND_NS - 1)
		return (int64_t)longest;
	/* beyond 18e9 a second the rest is less than a nanosecond's worth of anybody's attention */
	rest = rest <= UINT64_MAX / SECOND_NS ? rest * SECOND_NS / per_s
					      : rest / (per_s / SECOND_NS);
	return (int64_t)(whole * SECOND_NS + rest);
}

int64_t hw_rate_take(struct hw_rate *r, uint64_t n, int64_t now_us)
{
	uint64_t per_s = atomic_load_explicit(&r->per_s, memory_order_relaxed);
	int_fast64_t spent = atomic_load_explicit(&r->spent_ns, memory_order_relaxed);
	int64_t now = now_us * 1000;
	int64_t cost;

	if (per_s == 0 || n == 0)
		return 0;
	cost = cost_ns(n, per_s);
	for (;;) {
		int64_t from = spent > now ? spent : now;
		/* an order larger than the bucket asks for a full one */
		int64_t room = cost < SECOND_NS ? SECOND_NS - cost : 0;

		if (from - now > room)
			return (from - now - room + MS_NS - 1) / MS_NS;
		if (atomic_compare_exchange_weak_explicit(&r->spent_ns, &spent, from + cost,
			    memory_order_relaxed, memory_order_relaxed))
			return 0;
	}
}
