/* Inside core/journal: where each topic's events are, so that reading one topic costs what that
 * topic holds, and what is told of its losses is its own. Under the journal's lock, but for
 * entry.same.
 *
 *   topic "a:1"   part: segment 7, entries 3 … 90 ──> part: segment 9, entries 0 … 4
 *                 in a segment each entry names the next of its topic: 3 ─same─> 7 ─same─> 90
 *
 * A topic that has nothing left is remembered for what is gone of it; of these only the latest, and
 * of the rest no more than how far it goes for any of its class: what many topics of one class
 * cost, and what is not known of them any more, is no matter of another. */
#pragma once

#include "base/list.h"
#include "journal/journal_internal.h"

/* Topics of a class that have nothing left and are still known by name. */
#define HW_TOPICS_EMPTY_MAX 16384

struct hw_topic_part {
	struct hw_segment *segment;
	uint32_t first, last; /* entries */
};

struct hw_topic_log {
	struct hw_list empty; /* in the index, when it has no part */
	uint64_t gone;        /* number of its newest event that is not there any more */
	size_t charged;       /* of class_bytes[class] */
	size_t class;         /* that it is charged to, or among whose empty ones it is */
	struct hw_topic_part *parts;
	uint32_t part_at, n_parts, cap_parts; /* parts[part_at .. part_at + n_parts] */
	size_t name_len;
	char name[];
};

void hw_topic_index_init(struct hw_topic_index *index, const struct hw_journal *journal,
	const struct hw_hash_key *key);
void hw_topic_index_fini(struct hw_topic_index *index);
/** The log of a topic that is about to get an event in @segment, of @class, with room for that:
 * NULL when there is no memory. */
struct hw_topic_log *hw_topic_index_reserve(struct hw_topic_index *index, uint64_t hash,
	struct hw_str topic, size_t class, const struct hw_segment *segment);
/** The entry is stored there, as the segment's @i-th; not published yet. */
void hw_topic_index_add(struct hw_topic_log *topic, struct hw_segment *segment, uint32_t i);
/** The segment, the oldest of its class, is about to go. */
void hw_topic_index_drop(struct hw_topic_index *index, const struct hw_segment *segment);
/** NULL: it never had one, or is forgotten. */
struct hw_topic_log *hw_topic_index_find(const struct hw_topic_index *index, struct hw_str topic);
/** The number of the newest event of the topic, 0: there is none. */
uint64_t hw_topic_log_newest(const struct hw_topic_log *topic);
/** The number of the newest event of a topic, or of what a pattern stands for, that is gone. */
uint64_t hw_topic_index_gone(const struct hw_topic_index *index, struct hw_str topic);
/** An event of the topic that was never here is gone. */
void hw_topic_index_lost(struct hw_topic_index *index, struct hw_str topic, uint64_t number);
/** Topics are of other classes from now on. */
void hw_topic_index_mingle(struct hw_topic_index *index);
/** All up to @number may be gone, of whatever topic. */
void hw_topic_index_lost_all(struct hw_topic_index *index, uint64_t number);
/** Where the first event of the topic above @number is; segment NULL: there is none. */
struct hw_place hw_topic_log_find(const struct hw_topic_log *topic, uint64_t number);
