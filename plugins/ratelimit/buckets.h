/* Token buckets in a table of fixed size, shared by all workers. A bucket is one number: the time
 * at which it is full again. Each token that is taken puts it off by one interval, and no token is
 * there when that would be more than a burst's worth of intervals from now.
 *
 *   now ........................ full_ns      debt = full_ns - now, at most burst × interval
 *
 * A bucket that is full is as good as none: its place is taken by the next newcomer and nothing is
 * lost. When all places of a set are in debt, a newcomer takes the place of the least of them and
 * takes over its debt: so nobody's debt is ever forgotten by pushing him out, since whoever comes
 * back finds a debt at least as large as the one he had. What it costs is that, while more are in
 * debt at once than the table has places, newcomers may be refused for what others did. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUCKETS_WAYS 8 /* places of a set: a key can be in its set alone */
#define BUCKETS_MIN 64
#define BUCKETS_MAX (1u << 20)

struct buckets;

/** At least @n places (BUCKETS_MIN to BUCKETS_MAX). NULL: no memory. */
struct buckets *buckets_create(size_t n, int64_t interval_ns, int64_t burst);
void buckets_destroy(struct buckets **buckets);
int64_t buckets_interval_ns(const struct buckets *buckets);

/* All of these: any thread. now_ns is the wall clock's; when that is set back, a bucket is in full
 * debt at most. */

/** Takes a token of @key. 0, or after how many ns there will be one. *@crowded: the key's debt is
 * not its own alone. */
int64_t buckets_take(struct buckets *buckets, uint64_t key, int64_t now_ns, bool *crowded);
/** Gives it back: what it was taken for is refused for another reason. */
void buckets_give_back(struct buckets *buckets, uint64_t key, int64_t now_ns);
/** Makes a key's debt at least this. */
void buckets_owe(struct buckets *buckets, uint64_t key, int64_t debt_ns, int64_t now_ns);
/** Calls @each for every key in debt, with no lock held. */
void buckets_each(struct buckets *buckets, int64_t now_ns,
	void (*each)(void *arg, uint64_t key, int64_t debt_ns), void *arg);
