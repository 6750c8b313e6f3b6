/* Which topics of a tenant are occupied: have a subscription on any worker of the broker. A worker
 * says only that its own first subscription of a topic began or that its own last one ended, so
 * that the lock is taken for no other. A topic without subscriptions stays occupied for a grace
 * period: who comes back in time has not been away.
 *
 *            a first worker joins            the last one leaves
 *   vacant ───────────────────────> occupied ───────────────────> in grace ──grace_ms──> vacant
 *                "occupied"            ^                              │      "vacated"
 *                                      └──────── one joins: nothing ──┘
 *
 * Changes are numbered in the order in which they happen, and told in that order, each once: by one
 * worker at a time, which has the turn until nothing is left to tell. At most two changes of a
 * topic wait to be told; a third and the second undo each other, so that memory is bounded by the
 * topics there are. Patterns ("resource:*") occupy nothing. Any thread. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "wire/topic.h"

/* Topics in grace at the same time; of more, those that wait longest are vacated at once. */
#define HW_OCCUPANCY_GRACES_MAX 65536

struct hw_occupancy {
	pthread_mutex_t lock;
	struct hw_map topics;           /* struct hw_occupied */
	struct hw_list graces, changes; /* oldest first */
	size_t n_graces;
	uint64_t last_number;
	uint64_t n_undone; /* changes that nobody will be told of; since the last look */
	bool telling;      /* a worker has the turn */
	bool ending;       /* nothing comes back: no more grace */
};

struct hw_occupied; /* a topic */

struct hw_occupancy_change {
	bool occupied; /* else vacated */
	uint64_t number;
	size_t topic_len;
	char topic[HW_TOPIC_MAX];
	uint64_t n_undone; /* before this one */
};

void hw_occupancy_init(struct hw_occupancy *o, const struct hw_hash_key *hash_key);
void hw_occupancy_fini(struct hw_occupancy *o);

/* All of these may hand the turn to tell to the caller (*@tell; else it is left alone): it then
 * calls hw_occupancy_next until that is false. */

/** A worker's first subscription of @topic. *@out is for hw_occupancy_leave. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_occupancy_join(
	struct hw_occupancy *o, struct hw_str topic, struct hw_occupied **out, bool *tell);
/** Its last one of it ended. Times are monotonic. true: the topic is in grace now, call
 * hw_occupancy_expire when that has passed. */
bool hw_occupancy_leave(struct hw_occupancy *o, struct hw_occupied **topic, int64_t now_ms,
	int64_t grace_ms, bool *tell);
/** Vacates what has been in grace for @grace_ms. When to come again; INT64_MAX: nothing is in
 * grace. */
int64_t hw_occupancy_expire(struct hw_occupancy *o, int64_t now_ms, int64_t grace_ms, bool *tell);
/** Nobody comes back any more (the broker ends): no topic is in grace from now on. */
void hw_occupancy_end(struct hw_occupancy *o, bool *tell);
/** The next change to be told. false: there is none, and the turn is given up. */
bool hw_occupancy_next(struct hw_occupancy *o, struct hw_occupancy_change *out);
