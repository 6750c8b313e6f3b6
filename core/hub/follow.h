/* Who follows the presence of which topic on this worker, and what each is told. What changed in
 * one topic and was not told yet goes out together, written once for all who follow:
 *
 *   tenant's changes ──tell──> this worker takes them ──> by topic ──> one text ──> each follower
 *
 * One worker's own. */
#pragma once

#include "hub/hub.h"

struct hw_watch; /* a topic that somebody follows here */
struct hw_follower;

struct hw_follower_ops {
	/** A message that says what changed, or the whole list again; p NULL: there was no memory
	 * to write it. Queues; may unfollow, and what follows from that. */
	void (*changed)(struct hw_follower *f, struct hw_str text);
};

/* Embedded in who follows; zeroed before. */
struct hw_follower {
	const struct hw_follower_ops *ops;
	struct hw_watch *watch; /* NULL: it follows nothing */
	uint64_t seen;          /* what it was told has this number; set by who lists */
	struct hw_list link;
};

/** @f->ops set. It is told from here on: list once, then. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_follow(struct hw_hub *hub, struct hw_follower *f, struct hw_str topic);
void hw_unfollow(struct hw_hub *hub, struct hw_follower *f); /* twice is harmless */
struct hw_str hw_followed(const struct hw_follower *f);      /* its topic */

/** Writes who is in @topic: the entries of "users". Gives the number of the list. */
uint64_t hw_follow_list(struct hw_hub *hub, struct hw_str topic, struct hw_buf *out);
/** Writes the message that says it again. */
uint64_t hw_follow_list_again(struct hw_hub *hub, struct hw_str topic, struct hw_buf *out);

/* ---- inside core/hub ---- */

void hw_follows_init(struct hw_hub *hub);
void hw_follows_start(struct hw_hub *hub); /* it has its tenant */
void hw_follows_fini(struct hw_hub *hub);
/** Tells what there is; true: there is more, for the next turn. */
HW_MUST_CHECK bool hw_follows_run(struct hw_hub *hub);
