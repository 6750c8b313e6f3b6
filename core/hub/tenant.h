/* A tenant as all workers share it: its journal, its limits, its idempotency keys, which of its
 * topics are occupied and who is in them. Made when first named, kept until the broker ends.
 * Isolation is by construction: whoever holds this pointer reaches no other tenant's things. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/quota.h"
#include "hub/generation.h"
#include "hub/idempotency.h"
#include "hub/kept.h"
#include "hub/key_log.h"
#include "hub/occupancy.h"
#include "hub/presence.h"
#include "hub/seat_table.h"
#include "hub/tickets.h"
#include "journal/journal.h"

struct hw_hub;
struct hw_store;

struct hw_tenant {
	struct hw_str id;
	struct hw_journal *journal;
	struct hw_store *store; /* behind the journal; NULL: it is all there is */
	struct hw_kept kept;
	struct hw_quota connections;
	struct hw_quota subscriptions;
	struct hw_quota tickets; /* that are not used yet: tickets.h */
	struct hw_seats seats;
	struct hw_rate publishes;
	struct hw_idempotency idempotency;
	struct hw_key_log keys; /* of these, in the store */
	struct hw_occupancy occupancy;
	struct hw_presence presence;
	_Atomic(struct hw_hub *) hubs[HW_JOURNAL_MAX_WORKERS]; /* by worker; whoever appends tells
								  the ones that read */
	atomic_uint generation;                                /* whose limits are in force */
};

/* All tenants of the broker. */
struct hw_tenants {
	pthread_mutex_t lock;
	struct hw_map by_id;
	struct hw_hash_key hash_key;
	struct hw_store *store; /* borrowed, of all tenants; set before the first is made */
	struct hw_tickets tickets;
};

HW_MUST_CHECK int hw_tenants_init(struct hw_tenants *tenants);
void hw_tenants_fini(struct hw_tenants *tenants); /* no hub is left */
/** Finds or makes; limits and classes are those of @rules when made. Any thread. 0, -ENOMEM, or
 * -EAGAIN: the store does not know it yet. */
HW_MUST_CHECK int hw_tenants_get(struct hw_tenants *tenants, struct hw_str id,
	const struct hw_tenant_rules *rules, unsigned generation, struct hw_tenant **out);
/** Puts a generation's limits and classes in force for a tenant, if they are not. Any thread. 0 or
 * negative errno: it kept its classes. */
HW_MUST_CHECK int hw_tenant_configure(struct hw_tenant *tenant, const struct hw_generation *g);
/** Puts a new generation's limits and classes in force for all tenants there are. 0 or negative
 * errno: some kept the old. */
HW_MUST_CHECK int hw_tenants_configure(struct hw_tenants *tenants, const struct hw_generation *g);
/** Housekeeping, once a second: age retention, idempotency keys. Any thread. */
void hw_tenants_trim(struct hw_tenants *tenants, int64_t mono_ms);
/** Calls @each for every tenant, the lock held. */
void hw_tenants_each(
	struct hw_tenants *tenants, void (*each)(void *arg, struct hw_tenant *tenant), void *arg);
