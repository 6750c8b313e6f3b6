/* What hooks hear of once it has happened, so that nobody waits for them: topics that are occupied
 * and vacated, events that were stored (the lifecycle stage). They are told after a turn's output
 * has left, for a bounded time a turn; what waits to be told is bounded too. One worker's own. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "hook/hooks.h"

struct hw_hub;
struct hw_worker;

#define HW_NOTICES_US_A_TURN 1000       /* then it goes on in the next one */
#define HW_NOTICES_END_US 1000000       /* of a worker that ends: less than what counts as stuck */
#define HW_NOTICES_BYTES_MAX (8u << 20) /* of events that wait: what comes then is not told */

struct hw_notices {
	struct hw_list telling;   /* hubs that have their tenant's turn: occupancy.h */
	struct hw_list published; /* events */
	size_t bytes;             /* of these */
	int64_t log_after_ms;
	uint64_t n_unlogged;
};

/* An event that is about to be stored, and by whom. */
struct hw_published {
	const struct hw_identity *identity;
	struct hw_str session, address;
	struct hw_str topic;
	struct hw_str event; /* canonical text, without its end */
	unsigned depth;      /* as hw_ask.depth */
};

/** For hw_hub_append, if a hook wants to hear of it once it is stored. NULL: none does, or there is
 * no room to keep it (which is counted). All of @what is copied. */
struct hw_notice *hw_notice_of(struct hw_hub *hub, const struct hw_published *what);

/* ---- inside core/hub ---- */

/** It was stored: hooks hear of it after this turn. @number is the event's, 0: it has no id. Takes
 * the notice; accepts NULL in it, as the next two. */
void hw_notice_tell(struct hw_notice **notice, uint64_t number);
void hw_notice_drop(struct hw_notice **notice);
/** The same on another thread, once the worker has ended. */
void hw_notice_abandon(struct hw_notice **notice);

void hw_notices_init(struct hw_notices *notices);
void hw_notices_fini(struct hw_notices *notices); /* what is left is forgotten */
/** The hub's worker has its tenant's turn to tell. */
void hw_notices_tell(struct hw_hub *hub);
bool hw_notices_has(const struct hw_notices *notices);
void hw_notices_run(struct hw_worker *w);
/** The worker ends: tells what is left, for a bounded time, and counts the rest. */
void hw_notices_end(struct hw_worker *w);
