#include "buckets.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LOCKS 64 /* each of a part of the sets: workers rarely want the same one */
#define CACHE_LINE 64
#define SLACK_NS INT64_C(1000000000)

struct bucket {
	uint64_t key; /* 0: nobody's */
	int64_t full_ns;
};

struct set {
	struct bucket ways[BUCKETS_WAYS];
};

/* Held for some tens of nanoseconds. */
struct lock {
	_Alignas(CACHE_LINE) pthread_mutex_t mutex;
};

struct buckets {
	struct lock locks[LOCKS];
	int64_t interval_ns, burst_ns;
	size_t n_sets; /* a power of 2 */
	struct set *sets;
};

struct buckets *buckets_create(size_t n, int64_t interval_ns, int64_t burst)
{
	struct buckets *b = aligned_alloc(CACHE_LINE, sizeof(*b));

	if (!b)
		return NULL;
	memset(b, 0, sizeof(*b));
	b->interval_ns = interval_ns;
	b->burst_ns = burst * interval_ns;
	b->n_sets = 1;
	while (b->n_sets * BUCKETS_WAYS < n)
		b->n_sets *= 2;
	b->sets = calloc(b->n_sets, sizeof(*b->sets));
	if (!b->sets) {
		free(b);
		return NULL;
	}
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&b->locks[i].mutex, NULL);
	return b;
}

void buckets_destroy(struct buckets **buckets)
{
	struct buckets *b = *buckets;

	if (!b)
		return;
	*buckets = NULL;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&b->locks[i].mutex);
	free(b->sets);
	free(b);
}

int64_t buckets_interval_ns(const struct buckets *b)
{
	return b->interval_ns;
}

static pthread_mutex_t *lock_of(struct buckets *b, size_t set)
{
	return &b->locks[set % LOCKS].mutex;
}

static size_t set_of(const struct buckets *b, uint64_t *key)
{
	*key = *key ? *key : 1; /* 0 is nobody's */
	return *key & (b->n_sets - 1);
}

/* A debt of more than a burst there is only after the clock was set back: then it is a burst. What
 * workers' clocks are apart is less than the slack. */
static void forgive(const struct buckets *b, struct bucket *place, int64_t now_ns)
{
	int64_t latest = now_ns + b->burst_ns;

	if (place->full_ns > latest + SLACK_NS)
		place->full_ns = latest;
}

/* The key's place, or the one that it gets: of whoever owes least. */
static struct bucket *find(const struct buckets *b, size_t at, uint64_t key, int64_t now_ns)
{
	struct set *set = &b->sets[at];
	struct bucket *least = &set->ways[0];

	for (size_t i = 0; i < BUCKETS_WAYS; i++) {
		forgive(b, &set->ways[i], now_ns);
		if (set->ways[i].key == key)
			return &set->ways[i];
		if (set->ways[i].full_ns < least->full_ns)
			least = &set->ways[i];
	}
	return least;
}

int64_t buckets_take(struct buckets *b, uint64_t key, int64_t now_ns, bool *crowded)
{
	size_t at = set_of(b, &key);
	struct bucket *place;
	int64_t full_ns, wait_ns;

	pthread_mutex_lock(lock_of(b, at));
	place = find(b, at, key, now_ns);
	full_ns = place->full_ns > now_ns ? place->full_ns : now_ns;
	*crowded = place->key != key && full_ns > now_ns;
	wait_ns = full_ns + b->interval_ns - (now_ns + b->burst_ns);
	if (wait_ns <= 0)
		*place = (struct bucket){key, full_ns + b->interval_ns};
	pthread_mutex_unlock(lock_of(b, at));
	return wait_ns > 0 ? wait_ns : 0;
}

void buckets_give_back(struct buckets *b, uint64_t key, int64_t now_ns)
{
	size_t at = set_of(b, &key);
	struct bucket *place;

	pthread_mutex_lock(lock_of(b, at));
	place = find(b, at, key, now_ns);
	if (place->key == key)
		place->full_ns -= b->interval_ns;
	pthread_mutex_unlock(lock_of(b, at));
}

void buckets_owe(struct buckets *b, uint64_t key, int64_t debt_ns, int64_t now_ns)
{
	size_t at = set_of(b, &key);
	struct bucket *place;
	int64_t full_ns;

	if (debt_ns > b->burst_ns)
		debt_ns = b->burst_ns;
	pthread_mutex_lock(lock_of(b, at));
	place = find(b, at, key, now_ns);
	full_ns = place->full_ns > now_ns ? place->full_ns : now_ns;
	if (full_ns < now_ns + debt_ns)
		full_ns = now_ns + debt_ns;
	*place = (struct bucket){key, full_ns};
	pthread_mutex_unlock(lock_of(b, at));
}

void buckets_each(struct buckets *b, int64_t now_ns,
	void (*each)(void *arg, uint64_t key, int64_t debt_ns), void *arg)
{
	for (size_t at = 0; at < b->n_sets; at++) {
		struct set set;

		pthread_mutex_lock(lock_of(b, at));
		set = b->sets[at];
		pthread_mutex_unlock(lock_of(b, at));
		for (size_t i = 0; i < BUCKETS_WAYS; i++) {
			forgive(b, &set.ways[i], now_ns);
			if (set.ways[i].key && set.ways[i].full_ns > now_ns)
				each(arg, set.ways[i].key, set.ways[i].full_ns - now_ns);
		}
	}
}
