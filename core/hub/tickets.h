/* Tickets: who somebody is, given away under a name that nobody guesses, to be used once within 30
 * seconds. What is kept is the name's digest: who reads the broker's memory or a core cannot use
 * them. Of all tenants and workers; any thread. */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "base/map.h"
#include "base/str.h"

struct hw_identity;
struct hw_tenant;

#define HW_TICKET_MS 30000
#define HW_TICKETS_A_TENANT 10000 /* that are not used yet */
#define HW_TICKET_LEN 48          /* digits: 192 random bits */

struct hw_tickets {
	pthread_mutex_t lock;
	struct hw_map by_digest;
	struct hw_list by_age; /* oldest first */
};

void hw_tickets_init(struct hw_tickets *tickets, const struct hw_hash_key *hash_key);
void hw_tickets_fini(struct hw_tickets *tickets);
/** @tenant is the identity's. 0, -EDQUOT (it has as many as it may), -ENOMEM. */
HW_MUST_CHECK int hw_ticket_make(struct hw_tickets *tickets, struct hw_tenant *tenant,
	struct hw_identity *identity, int64_t mono_ms, char out[HW_TICKET_LEN + 1]);
/** Of all who ask with the same text one gets the identity, with a reference; the others, and who
 * comes late, NULL. */
struct hw_identity *hw_ticket_take(struct hw_tickets *tickets, struct hw_str text, int64_t mono_ms);
/** Forgets those that are too old. */
void hw_tickets_trim(struct hw_tickets *tickets, int64_t mono_ms);
