/* Reading a tenant's events on from a cursor, for one who asks: a session that is behind, one that
 * resumes, a page of history, a poll. What memory has dropped comes from the store, where there is
 * one. One worker's own.
 *
 *   cursor ──> [ gone from memory: the store's rows ][ the journal's runs ] ──> upto
 *
 * It goes in turns, so that nobody waits for one who has much to read. */
#pragma once

#include "base/timers.h"
#include "hub/hub.h"

struct hw_reading;

struct hw_reading_ops {
	/** The @i-th topic, or pattern, that is read; p NULL: there are no more. */
	struct hw_str (*topic)(struct hw_reading *r, size_t i);
	/** The number up to which the @i-th is not wanted. */
	uint64_t (*after)(struct hw_reading *r, size_t i);
	/** Is it of these topics, and behind where they begin? */
	bool (*wants)(struct hw_reading *r, const struct hw_run *run);
	/** Takes a run that is wanted, and moves r->cursor on: behind it, or as far as it took of
	 * it. false: no more in this turn. */
	bool (*give)(struct hw_reading *r, const struct hw_run *run);
	/** Events that were to be read are gone for good: ask hw_reading_gone of each topic. It may
	 * call hw_reading_stop. */
	void (*lost)(struct hw_reading *r);
	/** The store has answered: call hw_reading_go again, in this turn or a later one. */
	void (*ready)(struct hw_reading *r);
};

struct hw_reading {
	/* the owner's, set before the first use */
	const struct hw_reading_ops *ops;
	struct hw_hub *hub;
	uint64_t cursor; /* a number: what is up to here has been read */
	/* its own */
	struct hw_recall *recall; /* asked of the store, or being given */
	size_t n_recalled;        /* runs of it that were given */
	bool waiting;             /* the store has not answered */
	struct hw_timer again;    /* it could not */
};

enum hw_reading_state {
	HW_READING_LEVEL, /* the cursor is at upto */
	HW_READING_MORE,  /* in another turn */
	HW_READING_WAITS, /* for the store: ready follows */
};

void hw_reading_init(struct hw_reading *r, const struct hw_reading_ops *ops);
/** A turn's worth of what is behind r->cursor up to @upto, at most what ops->give takes. */
enum hw_reading_state hw_reading_go(struct hw_reading *r, uint64_t upto);
/** Inside of ops->lost: the number of the topic's newest event that is gone, 0 = none. */
uint64_t hw_reading_gone(const struct hw_reading *r, struct hw_str topic);
/** It ends, or its cursor is another: what was asked of the store is not for it. ready is not
 * called any more. */
void hw_reading_stop(struct hw_reading *r);
/** Is @run of @topic, a name or a pattern? */
bool hw_reading_is_of(const struct hw_run *run, struct hw_str topic);
