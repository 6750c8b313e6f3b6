#include <stdlib.h>

#include "session/session_internal.h"

/* What a session that catches up gets, and looks through for it, in one turn: the others are served
 * in between. It looks through more than a hub reads in a turn, or it would never be level. */
enum { CATCH_UP_BYTES = 256u << 10, CATCH_UP_RUNS = 2048 };

void session_read_later(struct hw_session *s)
{
	struct hw_hub *hub = s->hub;

	hw_list_push(&hub->behind, &s->catch_up);
	if (hw_list_empty(&hub->behind_link))
		hw_list_push(&hub->worker->catching_up, &hub->behind_link);
}

static void leave_live(struct hw_session *s, uint64_t cursor_seq)
{
	s->cursor_seq = cursor_seq;
	s->sub.behind = true;
	s->lag_since_ms = hw_worker_now_ms(s->worker);
	session_read_later(s);
	session_arm(s);
}

/* The outbox is full: what has not begun to leave is dropped, the place in the journal is kept. */
static void fall_behind(struct hw_session *s, const struct hw_run *run)
{
	uint64_t dropped = s->outlet->drop(s->arg);

	hw_metric_add(s->worker->counters->slow, 1);
	leave_live(s, (dropped ? dropped : run->first_seq) - 1);
}

/* Is it more than may wait for the socket? What waits for a full one stays where it is and keeps
 * the memory around it: the little that comes for a quiet topic may be spread over the whole
 * journal. */
static bool too_much(struct hw_session *s, const struct hw_run *run)
{
	size_t outbox_bytes = s->worker->generation->settings.outbox_bytes;
	size_t queued = s->outlet->queued(s->arg);

	if (queued == 0 || !s->outlet->blocked(s->arg))
		s->held_position = run->position;
	return queued && (queued + run->len > outbox_bytes ||
				 run->position > s->held_position + outbox_bytes);
}

static void deliver(struct hw_subscriber *sub, const struct hw_run *run)
{
	struct hw_session *s = HW_CONTAINER_OF(sub, struct hw_session, sub);

	if (sub->behind)
		return; /* it will read on from its own cursor */
	if (too_much(s, run))
		fall_behind(s, run);
	else if (s->outlet->run(s->arg, run, false))
		fall_behind(s, run); /* no memory now: read it again later */
}

/* The turn's hooks are spent: what is queued stays, it is not the client's doing. */
static void defer(struct hw_subscriber *sub, uint64_t seq)
{
	leave_live(HW_CONTAINER_OF(sub, struct hw_session, sub), seq);
}

static const struct hw_identity *identity(const struct hw_subscriber *sub)
{
	return HW_CONTAINER_OF(sub, struct hw_session, sub)->identity;
}

const struct hw_subscriber_ops session_subscriber_ops = {
	.deliver = deliver, .defer = defer, .identity = identity};

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

/* Tells of which subscriptions events are no longer there. Other classes may have much to be read
 * before the cursor is past it: it is told once. */
static void tell_gone(struct hw_session *s, const struct hw_scan *scan)
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
		uint64_t gone_seq = hw_scan_gone(scan, topic);

		if (gone_seq > link->gap_seq && gone_seq > link->after_seq)
			topics[n++] = topic;
		if (gone_seq > link->gap_seq)
			link->gap_seq = gone_seq;
	}
	if (n)
		session_gap(s, topics, n, "retention passed while the client was slow");
	free(topics);
}

/* Queues what the session may see of a run. Returns the last event that was dealt with: the run's,
 * unless there is no memory, or no more room for hooks in this turn. */
static uint64_t give(struct hw_session *s, const struct hw_run *run, size_t *bytes)
{
	const struct hw_run *pieces = run;
	size_t n = 1, n_delivered = 0;
	const struct hw_seen *seen = NULL;
	uint64_t upto = run->last_seq;

	if (s->hub->classes.filtering) {
		seen = hw_hub_see(s->hub, &s->sub, run);
		if (!seen)
			return run->first_seq - 1;
		pieces = seen->pieces;
		n = seen->n_pieces;
		upto = seen->upto;
	}
	for (size_t i = 0; i < n; i++) {
		if (s->outlet->run(s->arg, &pieces[i], true)) {
			upto = pieces[i].first_seq - 1;
			break;
		}
		n_delivered += pieces[i].n;
		*bytes += pieces[i].len;
	}
	if (seen) /* else the fan-out has counted it */
		hw_hub_count(s->hub, n_delivered, seen->n_filtered, seen->n_failed);
	return upto;
}

/* Reads on from the session's cursor. true: it is level with the hub again. */
static bool read_on(struct hw_session *s)
{
	size_t outbox_bytes = s->worker->generation->settings.outbox_bytes, bytes = 0;
	size_t most = outbox_bytes < CATCH_UP_BYTES ? outbox_bytes : CATCH_UP_BYTES;
	uint64_t head = hw_hub_seq(s->hub), until = s->cursor_seq;
	struct hw_scan scan;
	struct hw_run run;
	bool level = false;

	if (hw_scan_begin(&scan, s->hub->tenant->journal, s->cursor_seq) == HW_JOURNAL_GONE)
		tell_gone(s, &scan);
	for (size_t n = 0; n < CATCH_UP_RUNS && bytes < most && !s->closed; n++) {
		if (!hw_scan_next(&scan, until, &run)) {
			s->cursor_seq = until;
			if (until == head) {
				level = true;
				break;
			}
			until = hw_subscriber_next_join(&s->sub, until, head);
			continue;
		}
		s->cursor_seq = hw_hub_matches(s->hub, &s->sub, &run) ? give(s, &run, &bytes)
								      : run.last_seq;
		if (s->cursor_seq < run.last_seq)
			break;
	}
	hw_scan_end(&scan);
	if (level)
		s->sub.delivered_seq = head;
	return level;
}

/* One session's turn. true: it wants another. */
static bool catch_up(struct hw_session *s)
{
	if (s->outlet->blocked(s->arg)) {
		/* Its draining brings us back. Until then it pins nothing: the memory of a segment
		 * is not for one slow client to keep. */
		uint64_t dropped = s->outlet->drop(s->arg);

		if (dropped)
			s->cursor_seq = dropped - 1;
		return false;
	}
	if (!read_on(s))
		return !s->closed;
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
	if (s->sub.behind && !s->held && !s->closed && hw_list_empty(&s->catch_up))
		session_read_later(s);
}
