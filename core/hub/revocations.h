/* Which tokens are good no longer, though they are signed and have not expired: what an operator
 * revoked. One list for all workers and tenants, bounded; while it is empty it costs a login one
 * load. Any thread. What makes it survive the broker: revocation_log.h. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "hook/identity.h"

#define HW_REVOCATIONS_MAX 10000
#define HW_TOKEN_ID_MAX 255       /* of a jti; one that is longer cannot be revoked by it */
#define HW_ISSUED_NEVER INT64_MIN /* the token does not say when it was issued */

enum hw_revoked_kind {
	HW_REVOKED_TOKEN,  /* the one with that jti, whenever it was issued */
	HW_REVOKED_USER,   /* what was issued to that user of the tenant until before_s */
	HW_REVOKED_TENANT, /* to anybody of the tenant */
};

struct hw_revocation {
	uint64_t number;  /* its own; never given twice */
	uint64_t version; /* the list's: whatever was added later, or again, has a higher one */
	enum hw_revoked_kind kind;
	struct hw_str tenant; /* of TOKEN: p NULL, of whichever tenant */
	struct hw_str name;   /* the user's, or the jti; of TENANT: p NULL */
	int64_t before_s;     /* USER, TENANT: issued in this second or before it */
	int64_t until_s;      /* it ends then, in seconds since 1970; 0: it does not */
};

/* What of a token the list is asked about. */
struct hw_token_facts {
	struct hw_str tenant, user;
	struct hw_str jti; /* p NULL: it has none */
	int64_t issued_s;  /* HW_ISSUED_NEVER is before everything */
};

struct hw_revocations {
	pthread_mutex_t lock;
	atomic_size_t n;
	struct hw_map by_key;
	uint64_t last;           /* number given */
	uint64_t version;        /* given last */
	uint64_t stored_version; /* what has a higher one is not in the journal yet */
};

void hw_revocations_init(struct hw_revocations *revocations, const struct hw_hash_key *key);
void hw_revocations_fini(struct hw_revocations *revocations);
static inline bool hw_revocations_any(const struct hw_revocations *revocations)
{
	return atomic_load_explicit(&revocations->n, memory_order_acquire) > 0;
}
static inline size_t hw_revocations_count(const struct hw_revocations *revocations)
{
	return atomic_load_explicit(&revocations->n, memory_order_acquire);
}
bool hw_revocations_hit(
	struct hw_revocations *revocations, const struct hw_token_facts *facts, int64_t now_s);
/** Adds a copy of @what under a number of its own, unless @what has one; who is on the list already
 * stays under his number and is revoked by both, for as long as the longer one holds. 0, -ENOMEM,
 * or -ENOSPC. */
HW_MUST_CHECK int hw_revocations_add(struct hw_revocations *revocations,
	const struct hw_revocation *what, int64_t now_s, uint64_t *number);
/** false: there is none of that number, or it was added again since it had @version (0: whichever).
 */
bool hw_revocations_remove(struct hw_revocations *revocations, uint64_t number, uint64_t version);
/** false: there is none of that number. */
bool hw_revocations_find(struct hw_revocations *revocations, uint64_t number, uint64_t *version);
/** Takes off what ended a day ago: a clock that was ahead may be set back, and who had ended holds
 * again. How many hold now. */
size_t hw_revocations_trim(struct hw_revocations *revocations, int64_t now_s);
/** Calls @each in the order of the numbers, from the first that is larger than @after on, until it
 * returns false, also what has ended and is still there; the lock is held. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_revocations_each(struct hw_revocations *revocations, uint64_t after,
	bool (*each)(void *arg, const struct hw_revocation *revocation), void *arg);

/* ---- for revocation_log.c ---- */

/** As it was said before the broker ended: it takes the place of what revoked the same tokens. More
 * than HW_REVOCATIONS_MAX are taken: none that was in force is left out. 0, -ENOMEM, or -EINVAL: it
 * is none. */
HW_MUST_CHECK int hw_revocations_restore(
	struct hw_revocations *revocations, const struct hw_revocation *what);
/** No number up to @last is given any more. */
void hw_revocations_skip(struct hw_revocations *revocations, uint64_t last);
/** The number that was given last. */
uint64_t hw_revocations_last(struct hw_revocations *revocations);
/** As hw_revocations_each, what is not stored, in the order of the versions. */
HW_MUST_CHECK int hw_revocations_each_unstored(struct hw_revocations *revocations,
	bool (*each)(void *arg, const struct hw_revocation *revocation), void *arg);
/** All that has this version or a lower one is stored. */
void hw_revocations_stored(struct hw_revocations *revocations, uint64_t version);
/** How many are not. */
size_t hw_revocations_unstored(struct hw_revocations *revocations);
