/* Why a user's sessions on one worker got an event, or did not: from what they are subscribed to,
 * how far they have read, what was answered lately, and what the policy in force says now when it
 * is asked again, on benches of its own, so that nothing is counted and nobody is held up. One
 * worker's own. */
#pragma once

#include "base/list.h"
#include "session/login.h"
#include "session/walk.h"

#define HW_EXPLAIN_SESSIONS 16 /* so many of a worker are told of */

/* What became of an event for one session, the best first. */
enum hw_explain_outcome {
	HW_EXPLAIN_SENT,   /* the kernel has taken all that was queued */
	HW_EXPLAIN_QUEUED, /* something is still queued, this may be of it */
	/* this, or a later event in its place: it was behind, and the topic is conflated */
	HW_EXPLAIN_CONFLATED,
	HW_EXPLAIN_NOT_YET,  /* it is read from the journal in a moment */
	HW_EXPLAIN_LAGGING,  /* the session reads the journal by itself and is not there yet */
	HW_EXPLAIN_HELD,     /* it gets nothing until it is authorized again */
	HW_EXPLAIN_FILTERED, /* a hook said no */
	HW_EXPLAIN_FAILED,   /* a hook failed */
	HW_EXPLAIN_SUBSCRIBED_LATER,
	HW_EXPLAIN_NOT_SUBSCRIBED,
	HW_EXPLAIN_NOT_CONNECTED, /* no session */
};
const char *hw_explain_outcome_name(enum hw_explain_outcome outcome);

/* An event as the journal has it. */
struct hw_explain_event {
	uint64_t number;                     /* of its id, which cursors are held against */
	uint64_t seq;                        /* its place in memory */
	struct hw_str topic, text, previous; /* previous.p NULL: nothing was kept beside it */
	int64_t wall_ms;                     /* when it was appended */
};

struct hw_explain_row {
	char id[HW_SESSION_ID_LEN + 1];
	enum hw_explain_outcome outcome;
	char *json; /* an object */
};

struct hw_explain_slot;

struct hw_explain {
	/* set by who starts it, zeroed before; borrowed until done */
	struct hw_worker *worker;
	struct hw_str tenant, user;
	const struct hw_explain_event *event;
	void (*done)(struct hw_explain *explain);
	/* the answer */
	int error;      /* negative errno: it is not complete; -EIO: the hooks do not start */
	size_t n_found; /* sessions of the user */
	struct hw_explain_row rows[HW_EXPLAIN_SESSIONS];
	size_t n_rows;
	/* its own */
	struct hw_list link; /* of the worker's */
	struct hw_session_walk walk;
	struct hw_hook_bench *global, *bench;
	struct hw_explain_slot *slots[HW_EXPLAIN_SESSIONS];
	size_t n_slots, next, n_open;
	struct hw_timer timer;
	bool ended;
};

/** Begins; done is called later, from the loop. */
void hw_explain_start(struct hw_explain *explain);
/** Ends it now, if it has not: done is called with -ECANCELED. */
void hw_explain_cancel(struct hw_explain *explain);
/** Frees the answer. It has ended. */
void hw_explain_fini(struct hw_explain *explain);
