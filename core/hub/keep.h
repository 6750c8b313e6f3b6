/* The way of an event into the tenant's journal. Without a store it is there at once. With one,
 * what has history is on its way to the store until that has numbered and stored it, and enters the
 * journal in memory then: so head moves on commit, and nobody gets what is not stored.
 *
 *   hw_hub_append ──> the worker's queue ──turn──> a batch a tenant ──> store … committed
 *                                                                          │ the store's thread
 *            done(number) <──turn── the worker's inbox <── journal, head <──┘
 *
 * Who appends may go away meanwhile: the event is stored all the same. */
#pragma once

#include "hub/hub.h"

struct hw_keep;
struct hw_idempotency_entry;
struct hw_notice;

/* Embedded in who appends, zeroed. One worker's own. */
struct hw_keep_wait {
	/** What became of it: 0 and its number, else negative errno and nothing is stored. Only
	 * after HW_HUB_LATER; who appended may be freed inside. */
	void (*done)(struct hw_keep_wait *wait, int r, uint64_t number);
	struct hw_keep *keep; /* NULL: nothing is under way */
};

enum { HW_HUB_LATER = 1 };
/** Appends to the tenant's journal and tells every worker that reads it. 0 and *@number, 0 =
 * without an id; HW_HUB_LATER: done follows, and @key (NULL: none) is settled or released by then
 * by whom it is left to here; -ENOMEM; -EAGAIN: the store takes nothing now. What @event points to
 * is copied where it must. Takes @notice (NULL: none): hooks hear of it if and when it is stored.
 */
HW_MUST_CHECK int hw_hub_append(struct hw_hub *hub, const struct hw_append *event,
	struct hw_idempotency_entry *key, struct hw_notice *notice, struct hw_keep_wait *wait,
	uint64_t *number);
/** done is not called any more. */
void hw_keep_forget(struct hw_keep_wait *wait);
/** What @from waits for, @to waits for from now on. */
void hw_keep_move(struct hw_keep_wait *from, struct hw_keep_wait *to);

/** Inside core/hub: hands over what was appended in this turn. */
void hw_keeps_submit(struct hw_worker *w);
/** Inside core/hub: what was not handed over has failed, and nobody is told. */
void hw_keeps_fini(struct hw_worker *w);
