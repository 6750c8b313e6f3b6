/* Who is in which topic of a tenant, over all workers of the broker: each user with the number of
 * its connections, and what its identity says of it. Only topics that the config names are kept.
 *
 *           first connection joins           the last one leaves
 *   absent ────────────────────────> present ───────────────────> in grace ──grace_ms──> absent
 *               "joined"                ^                            │         "left"
 *                                       └──── one joins: nothing ────┘
 *
 * Fewer connections than were told of are in grace as well, and then are "updated"; more, or other
 * information, are at once. What is listed is what was told, so that a list and the changes with
 * larger numbers than it has are the list of any later time. Changes are numbered in the tenant
 * under the lock, and every worker with somebody who follows the topic gets each, in that order.
 *
 * Memory is bounded by subscriptions, users in grace and changes that a worker has yet to read: of
 * what is too much the worker is told that it has lost something, and lists again. Any thread. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "wire/topic.h"

#define HW_PRESENCE_WORKERS_MAX 64
/* Users in grace at the same time; of more, those that wait longest are settled at once. */
#define HW_PRESENCE_GRACES_MAX 65536
/* Changes that wait for one worker. */
#define HW_PRESENCE_UNREAD_MAX 4096
/* Settled by one call of hw_presence_expire. */
#define HW_PRESENCE_EXPIRE_MAX 1024

/* A worker that has somebody who follows. */
struct hw_presence_reader {
	unsigned index; /* of the worker */
	/** There is something to take. Any thread, the lock held: it may not call back. */
	void (*tell)(struct hw_presence_reader *reader);
	/* under the lock: */
	struct hw_list unread;
	size_t n_unread;
	bool lost;
};

struct hw_presence {
	pthread_mutex_t lock;
	struct hw_map topics;
	struct hw_list graces; /* users, oldest first */
	size_t n_graces;
	uint64_t last_number;
	struct hw_presence_reader *readers[HW_PRESENCE_WORKERS_MAX];
};

enum hw_presence_kind { HW_PRESENCE_JOINED, HW_PRESENCE_LEFT, HW_PRESENCE_UPDATED };
#define HW_PRESENCE_KINDS 3

/* What is known of a user in a topic. */
struct hw_presence_user {
	struct hw_str user_id;
	uint64_t connections;
	struct hw_str info; /* a JSON object; p NULL: none */
};

struct hw_presence_change {
	struct hw_list link;
	uint64_t number;
	enum hw_presence_kind kind;
	struct hw_str topic;
	struct hw_presence_user user;
	char bytes[];
};

void hw_presence_init(struct hw_presence *p, const struct hw_hash_key *hash_key);
void hw_presence_fini(struct hw_presence *p); /* no reader is left */

/** A connection of the user is in @topic now. @same: connections for which it is the same, and not
 * NULL, are counted once. @info p NULL: none. 0 or -ENOMEM: it is not. */
HW_MUST_CHECK int hw_presence_join(struct hw_presence *p, struct hw_str topic,
	struct hw_str user_id, const void *same, struct hw_str info);
/** One that joined is not any more. Times are monotonic. true: call hw_presence_expire when
 * @grace_ms have passed. */
bool hw_presence_leave(struct hw_presence *p, struct hw_str topic, struct hw_str user_id,
	const void *same, int64_t now_ms, int64_t grace_ms);
/** The information of a user that is there is another. Without memory it stays what it was. */
void hw_presence_inform(
	struct hw_presence *p, struct hw_str topic, struct hw_str user_id, struct hw_str info);
/** Settles what has been in grace for @grace_ms. When to come again; INT64_MAX: nothing is in
 * grace. */
int64_t hw_presence_expire(struct hw_presence *p, int64_t now_ms, int64_t grace_ms);

/** @reader can watch topics, until it is detached. */
void hw_presence_attach(struct hw_presence *p, struct hw_presence_reader *reader);
void hw_presence_detach(struct hw_presence *p, struct hw_presence_reader *reader);
/** The reader gets the changes of @topic from now on. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_presence_watch(
	struct hw_presence *p, struct hw_presence_reader *reader, struct hw_str topic);
void hw_presence_unwatch(
	struct hw_presence *p, struct hw_presence_reader *reader, struct hw_str topic);
/** Moves the changes that wait to the end of @out (each to be freed). true: some before them were
 * lost, and all that the reader watches is to be listed again. */
bool hw_presence_take(
	struct hw_presence *p, struct hw_presence_reader *reader, struct hw_list *out);
/** Calls @each with who is in @topic, the lock held, in no order. The number of the last change of
 * the tenant: those with larger ones are not in the list. */
uint64_t hw_presence_list(struct hw_presence *p, struct hw_str topic,
	void (*each)(void *arg, const struct hw_presence_user *user), void *arg);
