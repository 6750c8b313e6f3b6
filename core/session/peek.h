/* A look at a topic, for who does not follow it. What it has had is asked about as a subscription
 * is, and shown as a subscriber would see it; who is in it is a question of its own. One worker's
 * own. */
#pragma once

#include "hub/pins.h"
#include "session/page.h"
#include "session/who.h"

struct hw_peek {
	/* set by who asks; borrowed until it is done */
	struct hw_hub *hub;
	const struct hw_identity *identity;
	struct hw_str session; /* "" = of no session */
	struct hw_str address;
	bool presence;       /* who is in it, and not what it has had */
	struct hw_str topic; /* or pattern; of presence a name */
	bool has_cursor;     /* from behind @cursor; else from the oldest */
	struct hw_cursor cursor;
	unsigned limit;
	struct hw_buf *out;                 /* gets the events, or users, with commas between */
	void (*done)(struct hw_peek *peek); /* only when start returned false; may free it */
	/* the answer */
	enum hw_code code; /* not NONE: refused */
	char message[256];
	int64_t retry_after_ms;
	bool gap;              /* events behind the cursor are gone for good, or: */
	bool foreign;          /* it is no cursor of this journal */
	struct hw_cursor upto; /* where to go on */
	uint64_t number;       /* of who is in it */
	/* its own */
	struct hw_page page;
	struct hw_pins pins;
	struct hw_ask ask;
	struct hw_who who;
	struct hw_question question;
};

/** true: done now. Memory failure is left in peek->out. */
HW_MUST_CHECK bool hw_peek_start(struct hw_peek *peek);
/** done is not called any more. Harmless on one that is zeroed, or done. */
void hw_peek_cancel(struct hw_peek *peek);
