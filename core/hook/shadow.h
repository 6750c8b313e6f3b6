/* Inside core/hook: entries that are asked and counted, and decide nothing ("shadow": true).
 *
 *   a walk comes by: kept, with a copy of what is asked --the walk ends--> due --a later turn-->
 * asked |                                      |                   |
 *                                     +-- the walk is given up, the bench ends: forgotten        |
 *                                                                   the answer <-- it waits <----+
 *                                                                       |
 *                                                                       +--> counted, beside what
 * was decided
 *
 * Nothing of it is on the way of a decision: a shadow is asked when the worker has done its turn,
 * in a Lua state of its own, for a bounded share of the worker's time, and what there is no room
 * for is dropped and counted. */
#pragma once

#include "hook/chain_internal.h"

struct hw_shadow; /* one question to one entry */
struct hw_hook_inbox;

/* What was decided without it. */
struct hw_shadow_live {
	enum hw_verdict verdict;
	const char *by;                     /* as hw_ask.decided_by; may be NULL */
	const struct hw_identity *identity; /* AUTHENTICATE and ALLOW */
	bool act_as;                        /* AUTHORIZE(PUBLISH) */
	bool unasked; /* AUTHORIZE(SESSION): admitted because no other entry is asked for it */
};

/** The walk that asks @ask stands before entry @i, a shadow: copies what that would be asked and
 * adds it to @kept. @tenant, @topic: for the log and for who asks whose the call is. Not on a bench
 * that is only tried. */
void hw_shadow_keep(struct hw_shadow **kept, struct hw_hook_bench *bench, size_t i,
	const struct hw_ask *ask, struct hw_str tenant, struct hw_str topic);
/** The walk has ended: they are asked in later turns; at once where no worker takes turns. */
void hw_shadows_decided(struct hw_shadow **kept, const struct hw_shadow_live *live);
/** Nothing was decided. */
void hw_shadows_forget(struct hw_shadow **kept);
/** The bench ends: what is due, or waits, is forgotten. */
void hw_shadows_end(struct hw_hook_bench *bench);

/** For hw_hooks_resume: a shadow that waited has its answer. */
void hw_shadow_resume(struct hw_shadow *shadow, struct hw_entry_answer *answer);
/** For hw_ask_tenant. */
struct hw_str hw_shadow_tenant(const struct hw_shadow *shadow);
/** Of a new inbox. */
void hw_shadows_init(struct hw_hook_inbox *inbox);
