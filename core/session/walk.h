/* A look at a worker's live sessions, a slice in each turn of the loop: lists them, or ends them.
 * One worker's own. */
#pragma once

#include "base/list.h"
#include "base/timers.h"
#include "hub/worker.h"
#include "session/session.h"

/* A session as operators are told of it. */
struct hw_session_row {
	char *id;
	char *json; /* an object: never its token, never its claims */
};

struct hw_session_walk {
	/* set by who starts it, zeroed before; strings are borrowed until done */
	struct hw_worker *worker;
	struct hw_session_match match; /* user and tenant */
	struct hw_str jti;             /* p NULL: any; else those whose token has it */
	const char *session;           /* only that one, and with its topics; NULL: any */
	const char *after;             /* list those with larger ids; NULL: all */
	size_t limit;                  /* list so many, the smallest ids */
	/** Not NULL: called with each that matches, and none is listed. A negative errno ends it.
	 */
	int (*visit)(struct hw_session_walk *walk, struct hw_session *session);
	uint16_t close_code; /* not 0: end them, list none */
	bool revoked;        /* end them: their tokens are revoked; list none */
	struct hw_str reason;
	void (*done)(struct hw_session_walk *walk);
	/* the answer */
	int error;      /* negative errno: it is not complete */
	size_t n_found; /* that match, whatever @after and @limit; ended, if asked to */
	struct hw_session_row *rows; /* by id */
	size_t n_rows;
	/* its own */
	struct hw_list link; /* of the worker's walks */
	struct hw_list *next;
	int64_t began_ms;
	struct hw_timer timer;
};

/** Begins; done is called later, from the loop. Sessions that open later are left out. */
void hw_session_walk_start(struct hw_session_walk *walk);
/** Ends it now, if it has not: done is called with -ECANCELED. */
void hw_session_walk_cancel(struct hw_session_walk *walk);
/** Frees the answer. It has ended. */
void hw_session_walk_fini(struct hw_session_walk *walk);
