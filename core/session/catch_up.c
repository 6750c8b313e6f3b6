#include <stdlib.h>

#include "hub/recall.h"
#include "session/session_internal.h"

/* Reading on from a session's own cursor: for who is behind, whyever. What memory has dropped comes
 * from the store, where there is one.
 *
 *   cursor ──> [ gone from memory: the store's rows ][ the journal's runs ] ──> level with the hub
 */

/* What a session that catches up gets, and looks through for it, in one turn: the others are served
 * in between. It looks through more than a hub reads in a turn, or it would never be level. */
enum {
	CATCH_UP_BYTES = 256u << 10,
	CATCH_UP_RUNS = 2048,
	RECALL_EVENTS = 1000,   /* of the store at a time */
	RECALL_AGAIN_MS = 1000, /* when it cannot now */
};

void session_read_later(struct hw_session *s)
{
	struct hw_hub *hub = s->hub;

	hw_list_push(&hub->behind, &s->catch_up);
	if (hw_list_empty(&hub->behind_link))
		hw_list_push(&hub->worker->catching_up, &hub->behind_link);
}

/* ---- what is lost
 * --------------------------------------------------------------------------------------------------------
 */

void session_gap(struct hw_session *s, const struct hw_str *topics, size_t n, const char *reason)
{
	hw_metric_add(s->worker->counters->gaps, 1);
	if (s->plain && !s->knows_cursors) {
		session_close_code(
			s, HW_CODE_SLOW_CONSUMER, "events were lost; reconnect and read again");
		return;
	}
	hw_control_gap(session_out(s), s->plain, topics, n, hw_str_of(reason));
	session_send(s);
}

typedef uint64_t gone_fn(const void *from, struct hw_str topic);

static uint64_t gone_from_memory(const void *scan, struct hw_str topic)
{
	return hw_scan_gone(scan, topic);
}

static uint64_t gone_from_store(const void *recall, struct hw_str topic)
{
	return hw_recall_gone(recall, topic);
}

/* Tells of which subscriptions events are no longer there. Other classes may have much to be read
 * before the cursor is past it: it is told once. */
static void tell_gone(struct hw_session *s, gone_fn *gone, const void *from)
{
	struct hw_str *topics = calloc(s->sub.n_subs ? s->sub.n_subs : 1, sizeof(*topics));
	size_t n = 0;

	if (!topics) {
		session_close_code(
			s, HW_CODE_SLOW_CONSUMER, "events were lost; reconnect and read again");
		return;
	}
	for (uint32_t i = 0; i < s->sub.n_subs; i++) {
		struct hw_sub_link *link = &s->sub.subs[i];
		struct hw_str topic = hw_hub_topic_name(link->topic);
		uint64_t last = gone(from, topic);

		if (last > link->told && last > link->after && last > s->cursor)
			topics[n++] = topic;
		if (last > link->told)
			link->told = last;
	}
	if (n)
		session_gap(s, topics, n, "retention passed while the client was slow");
	free(topics);
}

/* Queues what the session may see of a run, and moves its cursor. false: not all of it, as there is
 * no memory, or no more room for hooks in this turn. */
static bool give(struct hw_session *s, const struct hw_run *run, size_t *bytes)
{
	const struct hw_run *pieces = run;
	size_t n = 1, n_delivered = 0, i;
	const struct hw_seen *seen = NULL;

	if (s->hub->classes.filtering) {
		seen = hw_hub_see(s->hub, &s->sub, run);
		if (!seen)
			return false;
		pieces = seen->pieces;
		n = seen->n_pieces;
	}
	for (i = 0; i < n && !s->outlet->run(s->arg, &pieces[i], true); i++) {
		n_delivered += pieces[i].n;
		*bytes += pieces[i].len;
	}
	if (seen) /* else the fan-out has counted it */
		hw_hub_count(s->hub, n_delivered, seen->n_filtered, seen->n_failed);
	s->cursor = i < n ? pieces[i].after : seen ? seen->upto : run->upto;
	return i == n && (!seen || seen->whole);
}

/* ---- from the store
 * -----------------------------------------------------------------------------------------------------
 */

/* Up to where the session's topics may miss events in memory that it has not seen; 0: nowhere. */
static uint64_t missing_upto(const struct hw_session *s, const struct hw_scan *scan)
{
	uint64_t upto = 0;

	for (uint32_t i = 0; i < s->sub.n_subs; i++) {
		const struct hw_sub_link *link = &s->sub.subs[i];
		uint64_t gone = hw_scan_gone(scan, hw_hub_topic_name(link->topic));

		if (gone > link->after && gone > upto)
			upto = gone;
	}
	return upto > s->cursor ? upto : 0;
}

static void recall_later(struct hw_session *s)
{
	hw_timer_arm(
		s->worker->timers, &s->recall_again, hw_worker_now_ms(s->worker) + RECALL_AGAIN_MS);
}

static void go_on(struct hw_session *s)
{
	if (s->sub.behind && !s->held && !s->closed && hw_list_empty(&s->catch_up))
		session_read_later(s);
}

void session_recall_again(struct hw_timer *timer)
{
	go_on(HW_CONTAINER_OF(timer, struct hw_session, recall_again));
}

static void on_recalled(void *arg)
{
	struct hw_session *s = arg;

	s->recalling = false;
	s->n_recalled = 0;
	if (hw_recall_result(s->recall)) {
		hw_recall_free(&s->recall);
		recall_later(s); /* until its deadline as a slow one */
		return;
	}
	go_on(s);
}

void session_forget_recall(struct hw_session *s)
{
	hw_timer_cancel(&s->recall_again);
	hw_recall_free(&s->recall);
	s->recalling = false;
}

static void recall(struct hw_session *s, uint64_t upto, size_t max_bytes)
{
	struct hw_str *topics = calloc(s->sub.n_subs ? s->sub.n_subs : 1, sizeof(*topics));
	struct hw_recall_query query = {
		.topics = topics,
		.n_topics = s->sub.n_subs,
		.after = s->cursor,
		.upto = upto,
		.limit = RECALL_EVENTS,
		.max_bytes = max_bytes,
	};

	for (uint32_t i = 0; topics && i < s->sub.n_subs; i++)
		topics[i] = hw_hub_topic_name(s->sub.subs[i].topic);
	if (topics)
		s->recall = hw_recall_start(s->hub, &query, on_recalled, s);
	free(topics);
	s->recalling = s->recall != NULL;
	if (!s->recall)
		recall_later(s);
}

/* What the store gave, from where the session is in it. true: all of it is dealt with. */
static bool give_recalled(struct hw_session *s, size_t most, size_t *bytes)
{
	const struct hw_run *run;

	if (s->n_recalled == 0)
		tell_gone(s, gone_from_store, s->recall);
	for (; !s->closed && (run = hw_recall_run(s->recall, s->n_recalled)); s->n_recalled++) {
		if (*bytes >= most)
			return false;
		if (!hw_hub_matches(s->hub, &s->sub, run))
			s->cursor = run->upto;
		else if (!give(s, run, bytes))
			return false;
	}
	s->cursor = hw_recall_upto(s->recall);
	session_forget_recall(s);
	return true;
}

/* ---- from the journal
 * ---------------------------------------------------------------------------------------------------
 */

/* true: level with the hub again. */
static bool read_runs(struct hw_session *s, struct hw_scan *scan, size_t most, size_t *bytes)
{
	uint64_t last = hw_hub_number(s->hub), until = s->cursor;
	struct hw_run run;

	for (size_t n = 0; n < CATCH_UP_RUNS && *bytes < most && !s->closed; n++) {
		if (!hw_scan_next(scan, until, &run)) {
			s->cursor = until;
			if (until == last)
				return true;
			until = hw_subscriber_next_join(&s->sub, until, last);
			continue;
		}
		if (!hw_hub_matches(s->hub, &s->sub, &run))
			s->cursor = run.upto;
		else if (!give(s, &run, bytes))
			break;
	}
	return false;
}

/* Reads on from the session's cursor. true: it is level with the hub again. */
static bool read_on(struct hw_session *s)
{
	size_t outbox_bytes = s->worker->generation->settings.outbox_bytes, bytes = 0;
	size_t most = outbox_bytes < CATCH_UP_BYTES ? outbox_bytes : CATCH_UP_BYTES;
	struct hw_scan scan;
	bool level = false;
	uint64_t upto = 0;

	if (s->recall && !give_recalled(s, most, &bytes))
		return false;
	if (hw_scan_begin(&scan, s->hub->tenant->journal, s->cursor) == HW_JOURNAL_GONE) {
		if (s->hub->tenant->store)
			upto = missing_upto(s, &scan);
		else
			tell_gone(s, gone_from_memory, &scan);
	}
	if (upto)
		recall(s, upto, most);
	else
		level = read_runs(s, &scan, most, &bytes);
	hw_scan_end(&scan);
	if (level)
		s->sub.delivered_seq = hw_hub_seq(s->hub);
	return level;
}

/* ---- turns
 * -------------------------------------------------------------------------------------------------------------
 */

/* One session's turn. true: it wants another. */
static bool catch_up(struct hw_session *s)
{
	if (s->recalling)
		return false; /* the store's answer brings us back */
	if (s->outlet->blocked(s->arg)) {
		/* Its draining brings us back. Until then it pins nothing: the memory of a segment
		 * is not for one slow client to keep. */
		uint64_t dropped = s->outlet->drop(s->arg);

		if (dropped) {
			s->cursor = dropped - 1;
			session_forget_recall(s);
		}
		return false;
	}
	if (!read_on(s))
		return !s->closed && !s->recalling && !hw_timer_armed(&s->recall_again);
	s->sub.behind = false;
	return false;
}

/* Those of one hub, until the turn's hooks are spent. */
static void hub_catch_up(struct hw_hub *hub)
{
	struct hw_list list, *node;

	hw_list_init(&list);
	hw_list_splice(&list, &hub->behind);
	while (hw_classes_may_ask(hub) && (node = hw_list_pop(&list))) {
		struct hw_session *s = HW_CONTAINER_OF(node, struct hw_session, catch_up);

		if (!s->closed && catch_up(s))
			hw_list_push(&hub->behind, &s->catch_up);
	}
	hw_list_splice(&list, &hub->behind); /* who has had no turn is the first in the next */
	hw_list_splice(&hub->behind, &list);
}

bool sessions_catch_up(struct hw_worker *w)
{
	struct hw_list hubs, *node;

	hw_list_init(&hubs);
	hw_list_splice(&hubs, &w->catching_up);
	while ((node = hw_list_pop(&hubs))) {
		struct hw_hub *hub = HW_CONTAINER_OF(node, struct hw_hub, behind_link);

		hub_catch_up(hub);
		if (!hw_list_empty(&hub->behind) && hw_list_empty(&hub->behind_link))
			hw_list_push(&w->catching_up, &hub->behind_link);
	}
	return !hw_list_empty(&w->catching_up);
}

void hw_session_drained(struct hw_session *s)
{
	go_on(s);
}
