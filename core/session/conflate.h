/* What a client that is behind is sent of the events that wait for it: those that a later one makes
 * needless are left out, and payloads that follow each other become one. It knows runs and texts,
 * nothing of sessions. One worker's own, filled and emptied within one session's turn.
 *
 *   wait    A1 u1 x1 u2 | u3 …      A1, u1, u2 of one entity, x1 of another; | as far as is looked
 *   leave   A1    x1 u2 |           each where it was: nothing overtakes
 *
 * An event is left out only for a later one, so that a cursor at whatever was sent is right:
 * behind it is what came in the place of what was left out. For the same reason payloads are
 * joined only where nothing that is sent lies between them. */
#pragma once

#include "hub/conflate_rules.h"
#include "hub/frames.h"

enum {
	HW_WINDOW_EVENTS = 2048,
	HW_WINDOW_BYTES = 512 << 10, /* of text that is read event by event */
};

struct hw_window;

/** Empty. @hash_key must live as long. NULL: out of memory. */
struct hw_window *hw_window_create(const struct hw_hash_key *hash_key);
void hw_window_destroy(struct hw_window **window);

/** Empties it, for what is to become about @most bytes to send. */
void hw_window_begin(struct hw_window *window, size_t most);
bool hw_window_empty(const struct hw_window *window);
bool hw_window_full(const struct hw_window *window);
/** Adds events of @run, which are behind all that is in it, and holds the run's pin. Returns how
 * many: fewer than there are when it is full then, and none if it was. */
size_t hw_window_add(struct hw_window *window, const struct hw_run *run, enum hw_conflate how);
/** The numbers of cursors before and behind all that is in it; it is not empty. */
uint64_t hw_window_after(const struct hw_window *window);
uint64_t hw_window_upto(const struct hw_window *window);
/** Bytes that were read event by event, since it began. */
size_t hw_window_read_bytes(const struct hw_window *window);

/* Where payloads are joined. */
struct hw_window_join {
	struct hw_frames *frames;
	struct hw_str tenant_id;
	size_t max_bytes; /* of one event that is made so */
};

enum { HW_WINDOW_END = 1 };
/** What is to be sent next, good until the window begins anew. 0; HW_WINDOW_END; or -ENOMEM: the
 * rest is for another time. */
HW_MUST_CHECK int hw_window_next(
	struct hw_window *window, const struct hw_window_join *join, struct hw_run *run);
/** Of what hw_window_next has passed: events, and how many of these it did not give as they are,
 * left out or joined to the next one. */
size_t hw_window_passed(const struct hw_window *window);
size_t hw_window_left_out(const struct hw_window *window);
