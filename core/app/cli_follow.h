/* What a subscriber knows: its topics, how each stands and from which cursor to go on, learned from
 * the messages of the broker (PROTOCOL "Broker to client", "Cursors"). Pure but for the heap. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define HW_FOLLOW_CURSOR_MAX 127 /* cursors are opaque: room for longer ones than today's */

enum hw_follow_state {
	HW_FOLLOW_WANTED, /* to be subscribed */
	HW_FOLLOW_ASKED,  /* the subscribe is under way: events may come, in recovery */
	HW_FOLLOW_LIVE,
	HW_FOLLOW_REFUSED, /* for good */
};

struct hw_follow_topic {
	struct hw_str name; /* borrowed */
	enum hw_follow_state state;
	char cursor[HW_FOLLOW_CURSOR_MAX + 1]; /* empty: from now */
};

struct hw_follow {
	struct hw_follow_topic *topics;
	size_t n_topics;
	uint64_t request;         /* the id of the last subscribe */
	uint64_t retry_after_ms;  /* the broker's advice for the next attempt; 0: none */
	uint64_t retry_jitter_ms; /* and how much to add at random */
};

enum hw_follow_outcome {
	HW_FOLLOW_EVENT = 1, /* print it */
	HW_FOLLOW_CONTROL,
	HW_FOLLOW_ODD, /* neither: not a JSON object */
};

/** @names are borrowed until fini; @cursor (may be empty) is where all begin. 0, -EINVAL: the
 * cursor is too long, -ENOMEM. */
HW_MUST_CHECK int hw_follow_init(
	struct hw_follow *f, const struct hw_str *names, size_t n_names, struct hw_str cursor);
void hw_follow_fini(struct hw_follow *f);

/** Appends the subscribe message for all topics that are wanted; they are asked for then. Nothing
 * when there are none. */
void hw_follow_subscribe(struct hw_follow *f, struct hw_buf *out);
/** The connection is gone: all that was not refused is wanted again. */
void hw_follow_lost(struct hw_follow *f);
/** Learns from one message. What a person must know (refusals, errors, gaps) is appended to @say,
 * one thing a line, each line ended by a newline; -ENOMEM or an outcome. */
HW_MUST_CHECK int hw_follow_read(struct hw_follow *f, struct hw_str text, struct hw_buf *say);
/** How many topics are in @state. */
size_t hw_follow_count(const struct hw_follow *f, enum hw_follow_state state);
/** Appends @json in one line: line breaks, which can only stand between its tokens, become spaces.
 */
void hw_follow_line(struct hw_buf *out, struct hw_str json);
