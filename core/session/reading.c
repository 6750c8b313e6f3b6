#include "session/reading.h"

#include <stdlib.h>
#include <string.h>

#include "hub/recall.h"
#include "wire/topic.h"

/* It looks through more than a hub reads in a turn, or who follows a busy tenant would never be
 * level. */
enum {
	TURN_RUNS = 2048,
	RECALL_EVENTS = 1000, /* of the store at a time */
	RECALL_BYTES = 256u << 10,
	AGAIN_MS = 1000, /* when the store cannot now */
};

static void on_again(struct hw_timer *timer)
{
	struct hw_reading *r = HW_CONTAINER_OF(timer, struct hw_reading, again);

	r->ops->ready(r);
}

void hw_reading_init(struct hw_reading *r, const struct hw_reading_ops *ops)
{
	*r = (struct hw_reading){.ops = ops};
	hw_timer_init(&r->again, on_again);
}

void hw_reading_stop(struct hw_reading *r)
{
	hw_timer_cancel(&r->again);
	hw_recall_free(&r->recall);
	r->waiting = false;
}

bool hw_reading_is_of(const struct hw_run *run, struct hw_str topic)
{
	return hw_topic_is_wildcard(topic) ? run->topic.len >= topic.len - 1 &&
						     !memcmp(run->topic.p, topic.p, topic.len - 1)
					   : hw_str_eq(run->topic, topic);
}

uint64_t hw_reading_gone(const struct hw_reading *r, struct hw_str topic)
{
	return r->recall ? hw_recall_gone(r->recall, topic)
			 : hw_journal_gone(r->hub->tenant->journal, topic);
}

/* ---- from the store
 * -----------------------------------------------------------------------------------------------------
 */

/* Up to where its topics miss events in memory that it has not read; 0: nowhere. */
static uint64_t missing_upto(struct hw_reading *r, uint64_t upto)
{
	uint64_t missing = 0;
	struct hw_str topic;

	for (size_t i = 0; (topic = r->ops->topic(r, i)).p; i++) {
		uint64_t gone = hw_journal_gone(r->hub->tenant->journal, topic);

		if (gone > r->ops->after(r, i) && gone > missing)
			missing = gone;
	}
	if (missing > upto)
		missing = upto;
	return missing > r->cursor ? missing : 0;
}

static void try_again(struct hw_reading *r)
{
	struct hw_worker *w = r->hub->worker;

	hw_timer_arm(w->timers, &r->again, hw_worker_now_ms(w) + AGAIN_MS);
}

static void on_recalled(void *arg)
{
	struct hw_reading *r = arg;

	r->waiting = false;
	r->n_recalled = 0;
	if (hw_recall_result(r->recall) == 0) {
		r->ops->ready(r);
		return;
	}
	hw_recall_free(&r->recall);
	try_again(r);
}

static void recall(struct hw_reading *r, uint64_t upto)
{
	struct hw_recall_query query = {.after = r->cursor,
		.upto = upto,
		.limit = RECALL_EVENTS,
		.max_bytes = RECALL_BYTES};
	struct hw_str *topics;
	size_t n = 0;

	while (r->ops->topic(r, n).p)
		n++;
	topics = calloc(n ? n : 1, sizeof(*topics));
	for (size_t i = 0; topics && i < n; i++)
		topics[i] = r->ops->topic(r, i);
	query.topics = topics;
	query.n_topics = n;
	if (topics)
		r->recall = hw_recall_start(r->hub, &query, on_recalled, r);
	free(topics);
	r->waiting = r->recall != NULL;
	if (!r->recall)
		try_again(r);
}

/* What the store gave, from where it was left. true: all of it is dealt with. */
static bool give_recalled(struct hw_reading *r)
{
	const struct hw_run *run;
	uint64_t upto = hw_recall_upto(r->recall);

	if (r->n_recalled == 0)
		r->ops->lost(r);
	if (!r->recall)
		return false; /* whoever was told has ended for it, and stopped this */
	for (; (run = hw_recall_run(r->recall, r->n_recalled)); r->n_recalled++) {
		if (run->upto <= r->cursor)
			continue; /* it was the last of its turn */
		if (!r->ops->wants(r, run))
			r->cursor = run->upto;
		else if (!r->ops->give(r, run))
			return false;
	}
	r->cursor = upto;
	hw_recall_free(&r->recall);
	return true;
}

/* ---- from the journal
 * ---------------------------------------------------------------------------------------------------
 */

/* A run may not go over a point where a topic begins. */
static uint64_t next_limit(struct hw_reading *r, uint64_t number, uint64_t upto)
{
	uint64_t next = upto;

	for (size_t i = 0; r->ops->topic(r, i).p; i++) {
		uint64_t after = r->ops->after(r, i);

		if (after > number && after < next)
			next = after;
	}
	return next;
}

static enum hw_reading_state read_runs(struct hw_reading *r, struct hw_scan *scan, uint64_t upto)
{
	uint64_t limit = next_limit(r, r->cursor, upto);
	struct hw_run run;

	for (size_t n = 0; n < TURN_RUNS; n++) {
		if (!hw_scan_next(scan, limit, &run)) {
			r->cursor = limit;
			if (limit >= upto)
				return HW_READING_LEVEL;
			limit = next_limit(r, limit, upto);
			continue;
		}
		if (!r->ops->wants(r, &run))
			r->cursor = run.upto;
		else if (!r->ops->give(r, &run))
			break;
	}
	return HW_READING_MORE;
}

static int scan_begin(struct hw_reading *r, struct hw_scan *scan)
{
	struct hw_str topics[HW_SCAN_TOPICS + 1];
	size_t n = 0;

	while (n <= HW_SCAN_TOPICS && (topics[n] = r->ops->topic(r, n)).p)
		n++;
	return hw_scan_begin(scan, r->hub->tenant->journal, r->cursor, topics, n);
}

enum hw_reading_state hw_reading_go(struct hw_reading *r, uint64_t upto)
{
	enum hw_reading_state state;
	struct hw_scan scan;
	uint64_t missing;

	if (r->waiting || hw_timer_armed(&r->again))
		return HW_READING_WAITS;
	if (r->recall && !give_recalled(r))
		return HW_READING_MORE;
	if (r->cursor >= upto)
		return HW_READING_LEVEL;
	if (scan_begin(r, &scan) == HW_JOURNAL_GONE) {
		missing = missing_upto(r, upto);
		if (missing && r->hub->tenant->store) {
			hw_scan_end(&scan);
			recall(r, missing);
			return HW_READING_WAITS;
		}
		if (missing)
			r->ops->lost(r);
	}
	state = read_runs(r, &scan, upto);
	hw_scan_end(&scan);
	return state;
}
