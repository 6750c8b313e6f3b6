/* Idempotency keys of one tenant: what was answered to a publish, so that its repeat is answered
 * alike and stored once. A key is its publisher's; kept 10 minutes, whatever the wall clock says
 * meanwhile, at most 100,000, the oldest leave first. What makes them survive the broker:
 * key_log.h. Any thread. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"

#define HW_IDEMPOTENCY_MS (10 * 60 * 1000)
#define HW_IDEMPOTENCY_MAX 100000
#define HW_IDEMPOTENCY_DIGITS 32 /* of the digest of a name: who used which key */

struct hw_idempotency {
	pthread_mutex_t lock;
	struct hw_map by_key;
	struct hw_list by_age; /* oldest first */
};

enum hw_idempotency_outcome {
	HW_IDEMPOTENCY_NEW,       /* reserved: publish, then settle or release */
	HW_IDEMPOTENCY_DUPLICATE, /* done before: *@seq is its event's, 0 = it has no id */
	HW_IDEMPOTENCY_CONFLICT,  /* the same key with another body */
	HW_IDEMPOTENCY_PENDING,   /* the first is being decided: answer unavailable */
	HW_IDEMPOTENCY_NO_MEMORY,
};

struct hw_idempotency_entry;

void hw_idempotency_init(struct hw_idempotency *store, const struct hw_hash_key *hash_key);
void hw_idempotency_fini(struct hw_idempotency *store);
/* Who used which key. The publisher's own tenant is in it: another's, who may publish here, can
 * have a user of the same name. None holds a zero byte. */
struct hw_idempotency_name {
	struct hw_str tenant, user, key;
};
/** @body_hash says what was published, and says the same in another broker. NEW: *@entry is the
 * reservation. */
HW_MUST_CHECK enum hw_idempotency_outcome hw_idempotency_begin(struct hw_idempotency *store,
	const struct hw_idempotency_name *name, uint64_t body_hash, int64_t mono_ms,
	struct hw_idempotency_entry **entry, uint64_t *seq);
/** Published as @seq (0 = without an id). */
void hw_idempotency_settle(
	struct hw_idempotency *store, struct hw_idempotency_entry *entry, uint64_t seq);
/** Not published: the key is free again. */
void hw_idempotency_release(struct hw_idempotency *store, struct hw_idempotency_entry *entry);

/* What is said of a key to a store. */
struct hw_idempotency_key {
	char digest[HW_IDEMPOTENCY_DIGITS + 1];
	uint64_t body_hash;
};
/** While it is reserved, its reservation's holder may ask. */
struct hw_idempotency_key hw_idempotency_key_of(const struct hw_idempotency_entry *entry);
/** One that was published as @seq by a broker before this one, so long ago (a negative time is
 * none), the oldest first. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_idempotency_restore(struct hw_idempotency *store,
	const struct hw_idempotency_key *key, uint64_t seq, int64_t age_ms, int64_t mono_ms);
void hw_idempotency_trim(struct hw_idempotency *store, int64_t mono_ms);
