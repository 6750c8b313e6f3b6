/* Events that memory has dropped, read back from the store: finished frames, in runs of one, like
 * those of the journal. One worker's own, but for the store's answer. */
#pragma once

#include "hub/hub.h"

struct hw_recall;

struct hw_recall_query {
	const struct hw_str *topics; /* names or patterns; borrowed for the call */
	size_t n_topics;
	uint64_t after, upto; /* numbers: what is above the one, up to the other */
	unsigned limit;       /* events */
	size_t max_bytes;
};

/** @done comes in a later turn, unless the recall is freed before. NULL: no memory; a hub without a
 * store has nothing to recall. */
struct hw_recall *hw_recall_start(struct hw_hub *hub, const struct hw_recall_query *query,
	void (*done)(void *arg), void *arg);
/** Forgets it. Runs of it that are pinned live on. Accepts NULL in it. */
void hw_recall_free(struct hw_recall **recall);

/** 0, or negative errno: the store could not. Like all that follows: after done. */
int hw_recall_result(const struct hw_recall *recall);
/** The @i-th run; NULL: there are no more. Valid until the recall is freed, and while pinned. */
const struct hw_run *hw_recall_run(const struct hw_recall *recall, size_t i);
/** For a topic of the query, the number of its newest event that is not kept any more; 0 = none has
 * gone, or it was not asked about. */
uint64_t hw_recall_gone(const struct hw_recall *recall, struct hw_str topic);
/** A cursor behind all that was looked at: the query's upto, unless there is more. */
uint64_t hw_recall_upto(const struct hw_recall *recall);
