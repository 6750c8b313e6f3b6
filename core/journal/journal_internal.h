/* Inside core/journal: segments, their index, and who may free them.
 * journal.c appends and trims under the lock; reader.c reads without it. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "journal/journal.h"

/* Index entry of one frame. The topic's name is in the frame: its text begins {"topic":"NAME". */
struct hw_journal_entry {
	uint64_t seq;
	uint64_t number; /* without history: that of the last event before it that has one */
	uint64_t topic_hash;
	int64_t wall_ms;
	uint32_t offset;       /* of the frame's header */
	uint32_t len;          /* header and text */
	uint32_t previous_len; /* bytes behind the frame that are no part of it */
	uint32_t same; /* the next entry here of the same topic, 0 = none; set when that comes */
	uint8_t header_len;
	uint8_t topic_len;
	bool history;
};

/*  data: 0..used frames, each with what was before it | used..cap-n*sizeof(entry) room | entries
 * n-1 … 1, 0 to the end of data used and n are written under the lock; n is published with release
 * after its entry and frame. */
struct hw_segment {
	struct hw_pin pin;
	struct hw_journal *journal;
	atomic_uint
		n_pins; /* blocked sockets: they keep its memory, not its place in the journal */
	atomic_uint n_scans; /* scans that stand in it: nothing from here on is trimmed meanwhile */
	struct hw_segment *held_next;
	size_t class;       /* of the journal's */
	uint64_t number;    /* 1, 2, 3 … within the class */
	uint64_t after_seq; /* the journal's head when it was made: all in it is newer */
	uint64_t after_number;
	uint64_t position;                   /* bytes of all segments that were made before it */
	int64_t first_mono_ms, last_mono_ms; /* when its events were appended; under the lock */
	_Atomic(struct hw_segment *) next;
	atomic_uint n;
	size_t used;
	size_t cap;
	char data[] __attribute__((aligned(16)));
};

static inline struct hw_journal_entry *hw_segment_entry(const struct hw_segment *s, size_t i)
{
	return (struct hw_journal_entry *)(s->data + s->cap) - 1 - i;
}

/** Where in @s what is newer than @seq begins. */
static inline size_t hw_segment_first_after(const struct hw_segment *s, uint64_t seq)
{
	size_t low = 0, high = atomic_load_explicit(&s->n, memory_order_acquire);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (hw_segment_entry(s, middle)->seq <= seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct hw_class_log {
	struct hw_topic_class conf;
	bool retired;             /* its pattern is gone from the config */
	struct hw_segment *first; /* oldest */
	struct hw_segment *last;  /* appended to */
	/* the same, to be searched: index_at .. index_at + n_segments of index_cap */
	struct hw_segment **index;
	size_t index_at, n_segments, index_cap;
	uint64_t n_events;
	uint64_t bytes;
	uint64_t trimmed;      /* number of the newest that is gone; 0 = none */
	uint64_t history_from; /* number of the first segment that has history */
	uint64_t next_number;
	struct hw_segment
		*held; /* trimmed, but some socket has yet to send from it; linked by held_next */
	uint64_t held_bytes;
	struct hw_segment *spare; /* a freed one kept for the next rotation */
};

/* topic_index.h: what it has by class is by that of the topic's name. */
struct hw_topic_index {
	const struct hw_journal *journal;
	struct hw_map
		topics; /* name, and "resource:*" for what is gone of it -> struct hw_topic_log */
	/* those that have nothing left, the longest so first */
	struct hw_list empty[HW_JOURNAL_MAX_CLASSES];
	size_t n_empty[HW_JOURNAL_MAX_CLASSES];
	size_t empty_max; /* HW_TOPICS_EMPTY_MAX of each class, but in tests */
	/* what is gone of topics that are not in it ends here at the latest */
	uint64_t forgotten[HW_JOURNAL_MAX_CLASSES];
	size_t bytes;                               /* all of it */
	size_t class_bytes[HW_JOURNAL_MAX_CLASSES]; /* of those that have something */
};

struct hw_journal {
	pthread_mutex_t lock; /* all of below but head and epoch */
	atomic_uint_fast64_t head;
	atomic_uint_fast64_t torn;
	uint64_t epoch;
	char id_prefix[24]; /* ,"id":"EPOCH- */
	size_t id_prefix_len;
	struct hw_hash_key hash_key;
	uint64_t position;     /* of the next segment */
	bool stored;           /* a store gives the numbers */
	uint64_t number;       /* the last that was given */
	atomic_uint n_classes; /* only grows */
	struct hw_class_log classes[HW_JOURNAL_MAX_CLASSES];
	struct hw_topic_index topics;
	struct hw_reader *readers[HW_JOURNAL_MAX_WORKERS];
	uint64_t active; /* bit = worker */
};

/** Which class a topic's events go to. The lock is held. */
size_t hw_journal_class_of(const struct hw_journal *journal, struct hw_str topic);

struct hw_reader {
	struct hw_journal *journal;
	unsigned worker;
	bool active;
	uint64_t seq;
	unsigned n_classes; /* places that are set */
	struct hw_place places[HW_JOURNAL_MAX_CLASSES];
	/* Oldest segment number that the reader still needs, per class; read by who trims. */
	atomic_uint_fast64_t needs[HW_JOURNAL_MAX_CLASSES];
};
