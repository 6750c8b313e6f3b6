/* A page of events as text, for who asks once: history, a poll. What it shows is what a subscriber
 * would see today. One worker's own. */
#pragma once

#include "base/buf.h"
#include "session/reading.h"
#include "wire/cursor.h"

struct hw_page {
	/* set by who asks; borrowed until it is done */
	struct hw_hub *hub;
	const struct hw_identity *identity;
	const struct hw_str *topics; /* names or patterns */
	size_t n_topics;
	bool oldest;                        /* from the oldest that there is; else: */
	uint64_t after;                     /* from behind this number on */
	const uint64_t *afters;             /* each topic from behind its own; NULL: @after */
	unsigned limit;                     /* events, 1 or more */
	size_t max_bytes;                   /* of their text, but one event in any case */
	struct hw_buf *out;                 /* gets them, with commas between */
	void (*done)(struct hw_page *page); /* only when start returned false; may free the page */
	void *arg;                          /* the asker's */
	/* the answer */
	size_t n;
	uint64_t cursor; /* number: behind all that was looked at */
	bool gap;        /* something behind @after is gone for good */
	/* its own */
	size_t begin; /* of out, before the first */
	bool full;
	uint64_t upto;
	struct hw_reading reading;
	struct hw_subscriber sub;
	struct hw_timer next_turn;
};

/** Is it a cursor of this journal, and not of the future? What else it may be is not told. */
bool hw_page_is_ours(struct hw_hub *hub, struct hw_cursor cursor);
/** Where to read on from to begin with the newest event of @topic. false: it has none. */
HW_MUST_CHECK bool hw_page_last(struct hw_hub *hub, struct hw_str topic, uint64_t *after);
/** true: done now. Memory failure is left in page->out. */
HW_MUST_CHECK bool hw_page_start(struct hw_page *page);
/** done is not called any more. Harmless on one that is zeroed, or done. */
void hw_page_stop(struct hw_page *page);
