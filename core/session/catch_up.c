#include <stdlib.h>

#include "session/session_internal.h"

/* Who is behind, whyever, reads on from its own cursor in turns, until it is level with its hub. */

/* What a session gets in one turn: the others are served in between. */
enum { CATCH_UP_BYTES = 256u << 10 };

static struct hw_session *session_of(struct hw_reading *r)
{
	return HW_CONTAINER_OF(r, struct hw_session, reading);
}

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

/* Tells of which subscriptions events are no longer there. There may be much to be read before the
 * cursor is past it: it is told once. */
static void lost(struct hw_reading *r)
{
	struct hw_session *s = session_of(r);
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
		uint64_t last = hw_reading_gone(r, topic);

		if (last > link->told && last > link->after && last > r->cursor)
			topics[n++] = topic;
		if (last > link->told)
			link->told = last;
	}
	if (n)
		session_gap(s, topics, n, "retention passed while the client was slow");
	free(topics);
}

/* ---- what is read
 * -----------------------------------------------------------------------------------------------------------
 */

static struct hw_str topic(struct hw_reading *r, size_t i)
{
	const struct hw_session *s = session_of(r);

	return i < s->sub.n_subs ? hw_hub_topic_name(s->sub.subs[i].topic) : HW_STR_NULL;
}

static uint64_t after(struct hw_reading *r, size_t i)
{
	return session_of(r)->sub.subs[i].after;
}

static bool wants(struct hw_reading *r, const struct hw_run *run)
{
	return hw_hub_matches(r->hub, &session_of(r)->sub, run);
}

bool session_give(struct hw_session *s, struct hw_reading *r, const struct hw_run *run,
	unsigned how, size_t *bytes)
{
	const struct hw_run *pieces = run;
	size_t n = 1, n_delivered = 0, i;
	const struct hw_seen *seen = NULL;

	if (s->closed)
		return false;
	if (s->hub->classes.filtering) {
		seen = hw_hub_see(s->hub, &s->sub, run);
		if (!seen)
			return false; /* no memory, or no more room for hooks in this turn */
		pieces = seen->pieces;
		n = seen->n_pieces;
	}
	for (i = 0; i < n && !s->outlet->run(s->arg, &pieces[i], how | HW_RUN_HELD); i++) {
		n_delivered += pieces[i].n;
		*bytes += pieces[i].len;
	}
	if (i > 0)
		s->told = pieces[i - 1].upto;
	if (seen || how & HW_RUN_KEPT) /* else the fan-out has counted it */
		hw_hub_count(s->hub, n_delivered, seen ? seen->n_filtered : 0,
			seen ? seen->n_failed : 0);
	r->cursor = i < n ? pieces[i].after : seen ? seen->upto : run->upto;
	return i == n && (!seen || seen->whole);
}

static bool give(struct hw_reading *r, const struct hw_run *run)
{
	struct hw_session *s = session_of(r);
	size_t outbox_bytes = s->worker->generation->settings.outbox_bytes;
	size_t most = outbox_bytes < CATCH_UP_BYTES ? outbox_bytes : CATCH_UP_BYTES;

	return session_give(s, r, run, 0, &s->caught_up_bytes) && s->caught_up_bytes < most;
}

static void go_on(struct hw_session *s)
{
	if (s->sub.behind && !s->held && !s->closed && hw_list_empty(&s->catch_up))
		session_read_later(s);
}

static void ready(struct hw_reading *r)
{
	go_on(session_of(r));
}

const struct hw_reading_ops session_reading_ops = {
	.topic = topic, .after = after, .wants = wants, .give = give, .lost = lost, .ready = ready};

/* ---- turns
 * -------------------------------------------------------------------------------------------------------------
 */

/* One session's turn. true: it wants another. */
static bool catch_up(struct hw_session *s)
{
	uint64_t dropped;

	if (s->outlet->blocked(s->arg)) {
		/* Its draining brings us back. Until then it pins nothing: the memory of a segment
		 * is not for one slow client to keep. */
		dropped = s->outlet->drop(s->arg);
		if (dropped) {
			s->reading.cursor = dropped - 1;
			hw_reading_stop(&s->reading);
		}
		return false;
	}
	s->caught_up_bytes = 0;
	s->reading.hub = s->hub;
	switch (hw_reading_go(&s->reading, hw_hub_number(s->hub))) {
	case HW_READING_LEVEL:
		s->sub.delivered_seq = hw_hub_seq(s->hub);
		s->sub.behind = false;
		subscribe_go_on(s);
		return false;
	case HW_READING_WAITS:
		return false;
	case HW_READING_MORE:
		break;
	}
	return !s->closed;
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
	subscribe_go_on(s);
	presence_catch_up(s);
}
