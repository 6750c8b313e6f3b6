/* Idempotency keys survive the broker where there is a store that keeps and lets go: beside an
 * event that was published with a key the store gets one of the topic "@keys:all", which no client
 * can name, in the same append and with the number before the event's. Both are stored, or neither.
 *
 *   tenant made ──> the first publish with a key: read ──> read … ──> known, and all who wait go on
 *
 * Retention of that topic is the keys' own: ten minutes, so many at most. What has no key costs
 * nothing, and a tenant that uses none is never read. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "hook/store.h"
#include "hub/idempotency.h"

struct hw_hub;
struct hw_keys_waiter;

#define HW_KEYS_TOPIC "@keys:all"
#define HW_KEY_ROW_MAX 128 /* bytes of such an event */

/* Of a tenant. Any thread. */
struct hw_key_log {
	bool kept;         /* the store keeps keys; set when the tenant is made */
	uint64_t upto;     /* likewise: the last number of before */
	atomic_bool known; /* what was before is known */
	pthread_mutex_t lock;
	bool reading;
	struct hw_list waiters;
};

/** @store may be NULL; @last: the tenant's last number in it. */
void hw_key_log_init(struct hw_key_log *log, const struct hw_store *store, uint64_t last);
void hw_key_log_fini(struct hw_key_log *log);
/** How long keys are to be kept, and how many of them. */
struct hw_journal_class hw_key_log_class(void);

/** Writes the event that is stored beside one that has @entry; its length. */
size_t hw_key_row_write(const struct hw_idempotency_entry *entry, char out[HW_KEY_ROW_MAX]);
/** Makes an append's event of that text, and of the time of the event beside it. */
struct hw_journal_event hw_key_row(struct hw_str text, int64_t wall_ms);
/** What one says that was stored. false: it is none. */
bool hw_key_row_read(const struct hw_journal_event *row, struct hw_idempotency_key *out);

/* Embedded in who publishes, zeroed. One worker's own. */
struct hw_keys_wait {
	/** 0: all keys are known; else they cannot be read now. May free it. */
	void (*done)(struct hw_keys_wait *wait, int r);
	struct hw_keys_waiter *waiter; /* NULL: nothing is waited for */
};

enum { HW_KEYS_LATER = 1 };
/** Before a key is looked up. 0: all are known; HW_KEYS_LATER: done comes in a later turn;
 * -ENOMEM. */
HW_MUST_CHECK int hw_keys_know(struct hw_hub *hub, struct hw_keys_wait *wait);
/** done is not called any more. */
void hw_keys_forget(struct hw_keys_wait *wait);
