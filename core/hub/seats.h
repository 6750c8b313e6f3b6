/* One client that has several sessions: it is counted once in its tenant's limits, however many. A
 * poll session is such: its polls come over any connection, and the kernel gives each to whichever
 * worker; and one token of a person follows another. Any thread. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "crypto/digest.h"
#include "hub/tenant.h"

struct hw_seat;

struct hw_seat_name {
	uint8_t key[HW_SHA256_LEN]; /* of the person, and what it follows */
	uint32_t n_subscriptions;   /* that it counts for */
};

#define HW_SEAT_SESSIONS 256 /* of one: for each of 64 workers some tokens, and not any number */

enum hw_seat_outcome { HW_SEAT_CONNECTIONS = 1, HW_SEAT_SUBSCRIPTIONS };
/** The first charges the tenant's connections and subscriptions. 0, -ENOMEM, or which of them the
 * limit has no room for: nothing is charged. */
HW_MUST_CHECK int hw_seat_take(
	struct hw_tenant *tenant, const struct hw_seat_name *name, struct hw_seat **out);
/** The last one gives it all back. */
void hw_seat_leave(struct hw_seat **seat);
