/* Inside core/app: an explanation while it is gathered (explain.c), and as JSON. */
#pragma once

#include <stdatomic.h>

#include "app/find_event.h"
#include "app/round.h"
#include "hub/refusals.h"
#include "session/explain.h"
#include "wire/event.h"

#define EXPLAIN_REFUSALS 32 /* so many are told of, the newest first */

struct explain_round;

struct explain_part {
	struct explain_round *round;
	struct hw_explain explain; /* nothing but its error, where there is no user or no event */
	struct hw_refusal *refusals;
	size_t n_refusals, n_fitting;
	uint64_t n_forgotten;
	atomic_bool done;
};

/* The texts are its own: a worker may come back when the request is answered. */
struct explain_round {
	struct hw_round round;
	unsigned n_parts;
	char *trace, *user, *tenant; /* as they were asked for; NULL: not */
	struct hw_found found;
	struct hw_event parsed; /* FOUND */
	struct hw_explain_event event;
	struct hw_refusal_match matches[2]; /* either */
	size_t n_matches;
	struct explain_part *parts; /* by worker */
};

/** Appends it. All workers are done. 0 or -ENOMEM. */
HW_MUST_CHECK int explain_tell(
	struct hw_broker *broker, const struct explain_round *r, struct hw_buf *out);
