/* What the journal's tests share: events that can be written again from their number, and exact
 * expectations of frames, runs and scans. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/journal.h"
#include "wire/cursor.h"

#define KEEP(c, b, a) \
	{ \
		.count = (c), .bytes = (b), .age_ms = (a) \
	}
#define KEEP_ALL KEEP(1u << 20, 1u << 30, 0)

static const struct hw_hash_key world_key = {11, 22};

static inline struct hw_journal *world_journal(
	size_t n, const struct hw_topic_class classes[], struct hw_topic_classes *out)
{
	struct hw_journal *j;

	memset(out, 0, sizeof(*out));
	out->n = n;
	memcpy(out->classes, classes, n * sizeof(*classes));
	j = hw_journal_create(out, &world_key);
	assert_non_null(j);
	return j;
}

/* A journal with one class. */
static inline struct hw_journal *world_plain(struct hw_retention keep)
{
	struct hw_topic_classes classes;

	return world_journal(
		1, &(struct hw_topic_class){.history = true, .retention = keep}, &classes);
}

/* The text of an event: @pad bytes of filling behind its number. */
static inline size_t world_text(char *out, const char *topic, uint64_t n, size_t pad)
{
	size_t len = (size_t)sprintf(out,
		"{\"topic\":\"%s\",\"event\":\"e\",\"data\":{\"n\":%llu,\"x\":\"", topic,
		(unsigned long long)n);

	memset(out + len, 'a' + (int)(n % 26), pad);
	len += pad;
	memcpy(out + len, "\"}", 2);
	return len + 2;
}

static inline uint64_t world_append_at(
	struct hw_journal *j, const char *topic, uint64_t n, size_t pad, int64_t at_ms)
{
	char *text = malloc(pad + 512);
	struct hw_append event = {.topic = hw_str_of(topic), .wall_ms = at_ms, .mono_ms = at_ms};
	uint64_t number = 0, wake = 0;

	event.text = (struct hw_str){text, world_text(text, topic, n, pad)};
	assert_int_equal(hw_journal_append(j, &event, &number, &wake), 0);
	free(text);
	if (number)
		assert_int_equal(number, hw_journal_head(j));
	return hw_journal_head(j);
}

static inline uint64_t world_append(struct hw_journal *j, const char *topic, uint64_t n)
{
	return world_append_at(j, topic, n, 8, 1000);
}

/* What the event of that number must look like when it is read. @out has room for @pad + 600. */
static inline size_t world_expect(char *out, const struct hw_journal *j, const char *topic,
	uint64_t n, size_t pad, uint64_t id_seq)
{
	size_t len = world_text(out, topic, n, pad);
	char cursor[HW_CURSOR_MAX + 1];

	if (id_seq) {
		struct hw_cursor c = {.epoch = hw_journal_epoch(j), .seq = id_seq};

		hw_cursor_format(c, cursor);
		len += (size_t)sprintf(out + len, ",\"id\":\"%s\"", cursor);
	}
	out[len++] = '}';
	return len;
}

/* The topics of the runs that are there, as "a:1*3 b:1*1". */
static inline void world_runs(struct hw_reader *r, const struct hw_journal *j, char *out)
{
	struct hw_run run;

	*out = '\0';
	while (hw_reader_next(r, hw_journal_head(j), &run)) {
		out += sprintf(out, "%s%.*s*%zu", run.first_seq == 1 ? "" : " ",
			HW_STR_ARG(run.topic), run.n);
	}
}

struct world_seen {
	int result; /* of hw_scan_begin */
	size_t n;
	uint64_t first, last;
	bool holes; /* numbers that do not follow one another */
};

static inline struct world_seen world_scan(struct hw_journal *j, uint64_t after)
{
	struct world_seen seen = {0};
	struct hw_scan scan;
	struct hw_run run;

	seen.result = hw_scan_begin(&scan, j, after, NULL, 0);
	while (hw_scan_next(&scan, hw_journal_head(j), &run)) {
		for (size_t i = 0; i < run.n; i++) {
			uint64_t seq;

			(void)hw_run_event(&run, i, &seq);
			assert_true(seq > seen.last);
			if (seen.n == 0)
				seen.first = seq;
			else if (seq != seen.last + 1)
				seen.holes = true;
			seen.last = seq;
			seen.n++;
		}
		assert_int_equal(run.last_seq, seen.last);
	}
	hw_scan_end(&scan);
	return seen;
}

static inline struct hw_journal_stats world_stats(struct hw_journal *j)
{
	struct hw_journal_stats stats;

	hw_journal_stats(j, &stats);
	return stats;
}
