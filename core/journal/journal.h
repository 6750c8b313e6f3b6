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
 * to it.
 *
 * An event has a sequence number, its place in the order here, and, where its class has history, a
 * number: that of its id and of cursors. Without a store they are the same. A store (hub/keep.h)
 * gives the events that it keeps numbers of its own, which grow and may have gaps, and the journal
 * in memory is then the newest part of what there is. */
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
	char pattern[256];             /* "cursor:*" or "cursor:1"; "" for the default */
	bool history;                  /* false: no id, never replayed, evicts nothing */
	struct hw_retention retention; /* of what is in memory */
	struct hw_retention stored;    /* what a store keeps; unused without one */
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

/** From now on a store numbers what has history, and @last is the last number that it has given, in
 * @epoch. Before anything is appended. */
void hw_journal_back(struct hw_journal *journal, uint64_t epoch, uint64_t last);

uint64_t hw_journal_epoch(const struct hw_journal *journal);
/** The last sequence number that readers may see; 0 = nothing yet. Any thread. */
uint64_t hw_journal_head(const struct hw_journal *journal);
/** The largest number that a cursor of it may have. Any thread. */
uint64_t hw_journal_last(struct hw_journal *journal);
/** The number for a cursor of who has seen all up to @seq, which is in memory or was the head. Any
 * thread. */
uint64_t hw_journal_number(struct hw_journal *journal, uint64_t seq);

/* ---- append: any worker
 * ------------------------------------------------------------------------------------ */

struct hw_append {
	struct hw_str topic;
	struct hw_str text;     /* the event as hw_event_encode wrote it: no id, no final brace */
	struct hw_str previous; /* kept beside the frame and never in it; p NULL: none */
	int64_t wall_ms;        /* what people are told of when it was */
	int64_t mono_ms;        /* what it ages by: nobody can set that clock */
	uint64_t number;        /* the store's; 0: it is not in a store */
};

enum { HW_JOURNAL_TO_STORE = 1 };
/** Stores and publishes one event. *@number is its number, 0 when its class keeps no history: it
 * has no id.
 *  *@wake gets the set of workers (bit = worker) whose active readers now have something to read.
 *  0; -ENOMEM (nothing was stored); HW_JOURNAL_TO_STORE: it belongs to the store first, which has
 * to number it; -ESTALE: that number is not above the last one. */
HW_MUST_CHECK int hw_journal_append(struct hw_journal *journal, const struct hw_append *event,
	uint64_t *number, uint64_t *wake);

/** The store has numbered an event so that cannot be had in memory: as if it had been there and was
 * dropped. Who reads on live does not find it, see hw_journal_torn. *@wake as above. */
void hw_journal_skip(
	struct hw_journal *journal, struct hw_str topic, uint64_t number, uint64_t *wake);
/** The number of the last event that was skipped so, 0 = none. Any thread. */
uint64_t hw_journal_torn(const struct hw_journal *journal);

/** Drops what retention no longer keeps and nobody reads. Appending does it for its class; age
 * needs this call now and then. Returns the set of workers whose readers keep something of it,
 * because nothing came since that would have made them move on: one call of hw_reader_next and
 * hw_reader_advance does. Any thread. */
uint64_t hw_journal_trim(struct hw_journal *journal, int64_t mono_ms);

/** The pattern of the class that events of @topic go to now; "" = the default. Any thread. */
void hw_journal_class_pattern(struct hw_journal *journal, struct hw_str topic, char out[256]);

struct hw_journal_stats {
	uint64_t events;
	uint64_t bytes;       /* memory of all segments */
	uint64_t index_bytes; /* and of what finds topics in them */
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
	/* numbers of cursors that are right before it and right behind it: */
	uint64_t after, upto;
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
/** The number of a cursor that is right behind the @i-th event. */
uint64_t hw_run_number(const struct hw_run *run, size_t i);
/** Has the @i-th event an id? Not if its class keeps no history. */
bool hw_run_has_id(const struct hw_run *run, size_t i);
/** @n events of a run from the @i-th on, as a run. */
struct hw_run hw_run_part(const struct hw_run *run, size_t i, size_t n);
/** Some of what hw_run_part gave, made longer by the @n events that follow it in @run. */
void hw_run_extend(struct hw_run *part, const struct hw_run *run, size_t n);

/* Where to read next in one class, or in one topic. */
struct hw_place {
	struct hw_segment *segment;
	size_t index; /* of the entry to read next; the number of entries when there is none yet */
	struct hw_topic_log *topic; /* NULL: it is in a class */
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

#define HW_SCAN_TOPICS 64 /* that are read each by itself; more: the classes are looked through */

/* A look back from a cursor, for one client, within one turn: while it lasts nothing that it has
 * yet to read is trimmed. A run of it is valid until the next; who must wait to send it holds its
 * pin. */
struct hw_scan {
	struct hw_journal *journal;
	unsigned n_places;
	struct hw_place places[HW_SCAN_TOPICS]; /* segment NULL: nothing to read */
};

enum { HW_JOURNAL_GONE = 1 };
/** Starts behind the number @after. 0, or HW_JOURNAL_GONE: events newer than @after are no longer
 * there (the scan starts with the oldest that are). End it with hw_scan_end. What has no history is
 * left out. With @n up to HW_SCAN_TOPICS names and no pattern among @topics, runs are of these and
 * reading costs what they hold; else of any. */
HW_MUST_CHECK int hw_scan_begin(struct hw_scan *scan, struct hw_journal *journal, uint64_t after,
	const struct hw_str *topics, size_t n);
/** The number of the newest event of @topic, or of what a pattern stands for, that is gone; 0 =
 * none is. A topic that has had nothing for long may be forgotten, and then it is that of any. */
uint64_t hw_journal_gone(struct hw_journal *journal, struct hw_str topic);
/** The number of the newest event of @topic, a name, that is there; 0: none is. Any thread. */
uint64_t hw_journal_newest(struct hw_journal *journal, struct hw_str topic);
/** The next run with numbers up to @upto; false: nothing. */
HW_MUST_CHECK bool hw_scan_next(struct hw_scan *scan, uint64_t upto, struct hw_run *run);
void hw_scan_end(struct hw_scan *scan);
