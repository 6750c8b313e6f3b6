/* The journal: one tenant's events in one order, in shared memory, stored ready to send.
 * Everything that delivers reads on from a cursor: live, replay, a slow client's catching up,
 * history.
 *
 * A journal has one sequence and up to HW_JOURNAL_MAX_CLASSES topic classes, each with its own
 * segments and its own retention, so that a flood in one class evicts nothing of another. A reader
 * belongs to one worker and merges the classes back into the one order. Appending takes a short
 * lock; reading takes none.
 *
 *   class 0   [segment 7: frames…]->[segment 8: frames…]->[segment 9: frames… | room ]
 *   class 1   [segment 3: frames…      | room ]
 *                    ^ reader.at                                  ^ head: the last sequence number
 * that readers may see
 *
 * In a segment the finished WebSocket frames lie back to back from the start and their index grows
 * down from the end: what one topic got in a row is one run of bytes, and a delivery is a pointer
 * to it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/pin.h"
#include "base/str.h"

#define HW_JOURNAL_MAX_CLASSES 16
#define HW_JOURNAL_MAX_WORKERS 64
#define HW_JOURNAL_RUN_BYTES 65536 /* a run is at most this long, or a single frame */

struct hw_journal;
struct hw_segment;

struct hw_retention {
	uint64_t count; /* at least so many are kept (and fewer than twice as many), unless bytes or
			   age forbid */
	uint64_t bytes; /* memory of the class's segments */
	int64_t age_ms;
};

/* What the config says of topics. An exact pattern wins over "resource:*", which wins over the
 * default. */
struct hw_topic_class {
	char pattern[256]; /* "cursor:*" or "cursor:1"; "" for the default */
	bool history;      /* false: no id, never replayed, evicts nothing */
	struct hw_retention retention;
};

struct hw_topic_classes {
	size_t n; /* 1 to HW_JOURNAL_MAX_CLASSES; classes[0] is the default */
	struct hw_topic_class classes[HW_JOURNAL_MAX_CLASSES];
};

/** @hash_key: of topic names, the same for all who look topics up. The epoch is drawn at random.
 * NULL: out of memory. */
struct hw_journal *hw_journal_create(
	const struct hw_topic_classes *classes, const struct hw_hash_key *hash_key);
void hw_journal_destroy(struct hw_journal **journal); /* no reader is active, nothing pinned */
/** Takes new patterns and retention (reload). A class whose pattern is gone is kept until its
 * events have left. 0, -ENOMEM, or -ENOSPC when more than HW_JOURNAL_MAX_CLASSES would be in use:
 * nothing is changed. Any thread. */
HW_MUST_CHECK int hw_journal_configure(
	struct hw_journal *journal, const struct hw_topic_classes *classes);

uint64_t hw_journal_epoch(const struct hw_journal *journal);
/** The last sequence number that readers may see; 0 = nothing yet. Any thread. */
uint64_t hw_journal_head(const struct hw_journal *journal);

/* ---- append: any worker
 * ------------------------------------------------------------------------------------ */

struct hw_append {
	struct hw_str topic;
	struct hw_str text;     /* the event as hw_event_encode wrote it: no id, no final brace */
	struct hw_str previous; /* kept beside the frame and never in it; p NULL: none */
	int64_t wall_ms;
};

/** Numbers, stores and publishes one event. *@seq is its number; *@history false when its class
 * keeps none (it has no id).
 *  *@wake gets the set of workers (bit = worker) whose active readers now have something to read.
 *  0 or -ENOMEM (nothing was stored). */
HW_MUST_CHECK int hw_journal_append(struct hw_journal *journal, const struct hw_append *event,
	uint64_t *seq, bool *history, uint64_t *wake);

/** Drops what retention no longer keeps and nobody reads. Appending does it for its class; age
 * needs this call now and then. Returns the set of workers whose readers keep something of it,
 * because nothing came since that would have made them move on: one call of hw_reader_next and
 * hw_reader_advance does. Any thread. */
uint64_t hw_journal_trim(struct hw_journal *journal, int64_t wall_ms);

struct hw_journal_stats {
	uint64_t events;
	uint64_t bytes; /* memory of all segments */
	uint64_t segments;
};
void hw_journal_stats(struct hw_journal *journal, struct hw_journal_stats *out); /* any thread */

/* ---- read
 * ----------------------------------------------------------------------------------------------------
 */

/* Some events of one topic, contiguous in memory and in the journal's order. Valid until the
 * reader's worker advances. */
struct hw_run {
	const char *frames; /* finished WebSocket text frames, back to back */
	size_t len;
	size_t n;
	uint64_t first_seq, last_seq;
	struct hw_str topic;
	uint64_t topic_hash;
	int64_t wall_ms;    /* when the first was appended */
	uint64_t position;  /* in the journal's memory, of the segment: how far apart runs are */
	struct hw_pin *pin; /* holds the frames for who must wait to send them */
	const struct hw_journal_entry *entry; /* of the first; hw_run_event finds the rest */
	struct hw_str previous; /* what the last event was appended with; p NULL: nothing */
	uint8_t header_len;     /* of a single frame that is in no journal (@entry NULL) */
};

/** The JSON text of the @i-th event of a run, i < run->n. */
struct hw_str hw_run_event(const struct hw_run *run, size_t i, uint64_t *seq);
/** @n events of a run from the @i-th on, as a run. */
struct hw_run hw_run_part(const struct hw_run *run, size_t i, size_t n);
/** Some of what hw_run_part gave, made longer by the @n events that follow it in @run. */
void hw_run_extend(struct hw_run *part, const struct hw_run *run, size_t n);

/* Where to read next in one class. */
struct hw_place {
	struct hw_segment *segment;
	size_t index; /* of the entry to read next; the number of entries when there is none yet */
};

struct hw_reader; /* one worker's place in one journal */

/** One a worker; inactive at first: costs a publisher nothing. NULL: out of memory. */
struct hw_reader *hw_reader_create(struct hw_journal *journal, unsigned worker);
void hw_reader_destroy(struct hw_reader **reader);
/** Stands at the head: what was there before is not read. */
void hw_reader_activate(struct hw_reader *reader);
void hw_reader_deactivate(struct hw_reader *reader);
bool hw_reader_active(const struct hw_reader *reader);
/** Everything up to this number has been read. */
uint64_t hw_reader_seq(const struct hw_reader *reader);
/** The next run at or below @head (from hw_journal_head); false: nothing. */
HW_MUST_CHECK bool hw_reader_next(struct hw_reader *reader, uint64_t head, struct hw_run *run);
/** What was read before may be freed from now on: call when all of it was sent or pinned. */
void hw_reader_advance(struct hw_reader *reader);

/* A look back from a cursor, for one client, within one turn: while it lasts nothing that it has
 * yet to read is trimmed. A run of it is valid until the next; who must wait to send it holds its
 * pin. */
struct hw_scan {
	struct hw_journal *journal;
	uint64_t seq;   /* everything up to this number has been looked at */
	bool any_class; /* it began before the classes became what they are */
	unsigned n_classes;
	uint64_t gone[HW_JOURNAL_MAX_CLASSES]; /* the last that is no longer there, 0 = all are */
	struct hw_place places[HW_JOURNAL_MAX_CLASSES]; /* segment NULL: not read */
};

enum { HW_JOURNAL_GONE = 1 };
/** Starts behind @after. 0, or HW_JOURNAL_GONE: events newer than @after are no longer there (the
 * scan starts with the oldest that are). End it with hw_scan_end. Classes without history are left
 * out. */
HW_MUST_CHECK int hw_scan_begin(struct hw_scan *scan, struct hw_journal *journal, uint64_t after);
/** The last number up to which events of @topic, or of what a pattern stands for, may be missing;
 * 0: none are. */
uint64_t hw_scan_gone(const struct hw_scan *scan, struct hw_str topic);
HW_MUST_CHECK bool hw_scan_next(struct hw_scan *scan, uint64_t head, struct hw_run *run);
void hw_scan_end(struct hw_scan *scan);
