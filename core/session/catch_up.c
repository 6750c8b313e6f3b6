#include <stdlib.h>

#include "session/conflate.h"
#include "session/session_internal.h"

/* Who is behind, whyever, reads on from its own cursor in turns, until it is level with its hub. */

enum {
	CATCH_UP_BYTES = 256u << 10, /* what a session gets in one turn: the others are served in
					between */
	/* what is read event by event in one turn, for all sessions: as much as one may */
	CONFLATE_BYTES = HW_WINDOW_BYTES,
};

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

static bool send_window(struct hw_session *s);

/* Tells of which subscriptions events are no longer there. There may be much to be read before the
 * cursor is past it: it is told once. */
static void lost(struct hw_reading *r)
{
	struct hw_session *s = session_of(r);
	struct hw_str *topics;
	size_t n = 0;

	if (!send_window(s))
		return; /* what is before the gap comes before the word of it */
	topics = calloc(s->sub.n_subs ? s->sub.n_subs : 1, sizeof(*topics));
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

/* ---- what it need not have
 * --------------------------------------------------------------------------------------------------
 *
 * In a slow session's turn, from its first event of a topic that is conflated on, what it may see
 * goes into the worker's window, and leaves at the end of the turn.
 */

static size_t most_in_a_turn(const struct hw_session *s)
{
	size_t outbox_bytes = s->worker->generation->settings.outbox_bytes;

	return outbox_bytes < CATCH_UP_BYTES ? outbox_bytes : CATCH_UP_BYTES;
}

static enum hw_conflate conflate_how(const struct hw_session *s, const struct hw_run *run)
{
	const struct hw_conflate_rules *rules = &s->worker->generation->settings.conflate;

	return s->slow && rules->n ? hw_conflate_of(rules, run->topic) : HW_CONFLATE_NONE;
}

static bool has_window(const struct hw_session *s)
{
	const struct hw_window *window = s->worker->sessions->conflating.window;

	return window && !hw_window_empty(window);
}

/* The window of the session's turn. NULL: out of memory. */
static struct hw_window *window_of(struct hw_session *s)
{
	struct hw_sessions *all = s->worker->sessions;

	if (!all->conflating.window)
		all->conflating.window = hw_window_create(&s->worker->tenants->hash_key);
	if (all->conflating.window && !has_window(s))
		hw_window_begin(all->conflating.window, most_in_a_turn(s));
	return all->conflating.window;
}

/* As session_give, into the window. */
static bool look_ahead(
	struct hw_session *s, struct hw_reading *r, const struct hw_run *run, enum hw_conflate how)
{
	struct hw_window *window = window_of(s);
	const struct hw_run *pieces = run;
	const struct hw_seen *seen = NULL;
	size_t n_pieces = 1;

	if (!window || s->closed)
		return false;
	if (s->hub->classes.filtering) {
		seen = hw_hub_see(s->hub, &s->sub, run);
		if (!seen)
			return false;
		pieces = seen->pieces;
		n_pieces = seen->n_pieces;
	}
	for (size_t i = 0; i < n_pieces; i++) {
		size_t n = hw_window_add(window, &pieces[i], how);

		if (n == pieces[i].n)
			continue;
		r->cursor = n ? hw_run_number(&pieces[i], n - 1) : pieces[i].after;
		return false;
	}
	if (seen)
		hw_hub_count(s->hub, 0, seen->n_filtered, seen->n_failed);
	r->cursor = seen ? seen->upto : run->upto;
	return (!seen || seen->whole) && !hw_window_full(window);
}

static void note_left_out(struct hw_session *s, size_t n, uint64_t after, uint64_t upto)
{
	if (n == 0)
		return;
	hw_metric_add(s->worker->counters->conflated, (int64_t)n);
	if (s->conflated_upto == 0)
		s->conflated_after = after;
	s->conflated_upto = upto;
}

/* Sends what the window holds. false: not all of it now. */
static bool send_window(struct hw_session *s)
{
	struct hw_sessions *all = s->worker->sessions;
	struct hw_window *window = all->conflating.window;
	struct hw_window_join join = {.tenant_id = s->hub->tenant->id,
		.max_bytes = s->worker->generation->settings.message_bytes};
	size_t passed = 0, left_out = 0, read_bytes;
	uint64_t after, upto;
	struct hw_run run;
	int r = 0;

	if (!has_window(s) || all->conflating.stuck)
		return !all->conflating.stuck;
	join.frames = hw_hub_frames(s->hub);
	after = upto = hw_window_after(window);
	while (!s->closed && !(r = hw_window_next(window, &join, &run)) &&
		!s->outlet->run(s->arg, &run, HW_RUN_HELD)) {
		s->told = upto = run.upto;
		s->caught_up_bytes += run.len;
		passed = hw_window_passed(window);
		left_out = hw_window_left_out(window);
	}
	if (r == HW_WINDOW_END) {
		passed = hw_window_passed(window);
		left_out = hw_window_left_out(window);
		upto = hw_window_upto(window);
	}
	if (s->hub->classes.filtering) /* else the fan-out has counted it */
		hw_hub_count(s->hub, passed, 0, 0);
	note_left_out(s, left_out, after, upto);
	read_bytes = hw_window_read_bytes(window);
	all->conflating.left_bytes -=
		read_bytes < all->conflating.left_bytes ? read_bytes : all->conflating.left_bytes;
	all->conflating.stuck = r != HW_WINDOW_END;
	all->conflating.stuck_at = upto;
	hw_window_begin(window, 0);
	return !all->conflating.stuck;
}

static bool give(struct hw_reading *r, const struct hw_run *run)
{
	struct hw_session *s = session_of(r);
	enum hw_conflate how = conflate_how(s, run);

	if (s->worker->sessions->conflating.stuck || s->caught_up_bytes >= most_in_a_turn(s))
		return false; /* the window left before the word of a gap */
	if (how != HW_CONFLATE_NONE || has_window(s))
		return look_ahead(s, r, run, how);
	return session_give(s, r, run, 0, &s->caught_up_bytes) &&
	       s->caught_up_bytes < most_in_a_turn(s);
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

/* As hw_reading_go, with what the window holds then. */
static enum hw_reading_state read_on(struct hw_session *s)
{
	struct hw_sessions *all = s->worker->sessions;
	enum hw_reading_state state = hw_reading_go(&s->reading, hw_hub_number(s->hub));

	if (send_window(s))
		return state;
	all->conflating.stuck = false;
	hw_reading_stop(&s->reading); /* what it has of the store is behind that */
	s->reading.cursor = all->conflating.stuck_at;
	return HW_READING_MORE;
}

/* One session's turn. true: it wants another. */
static bool catch_up(struct hw_session *s)
{
	uint64_t dropped;

	if (s->outlet->blocked(s->arg)) {
		/* Its draining brings us back. Until then it pins nothing: the memory of a segment
		 * is not for one slow client to keep. */
		s->slow = true;
		dropped = s->outlet->drop(s->arg);
		if (dropped) {
			s->reading.cursor = dropped - 1;
			hw_reading_stop(&s->reading);
		}
		return false;
	}
	s->caught_up_bytes = 0;
	s->reading.hub = s->hub;
	switch (read_on(s)) {
	case HW_READING_LEVEL:
		s->sub.delivered_seq = hw_hub_seq(s->hub);
		s->sub.behind = s->slow = false;
		subscribe_go_on(s);
		return false;
	case HW_READING_WAITS:
		return false;
	case HW_READING_MORE:
		break;
	}
	return !s->closed;
}

static bool may_conflate(const struct hw_worker *w)
{
	return w->sessions->conflating.left_bytes > 0;
}

/* Those of one hub, until the turn's hooks, or what may be read for conflating, are spent. */
static void hub_catch_up(struct hw_hub *hub)
{
	struct hw_list list, *node;

	hw_list_init(&list);
	hw_list_splice(&list, &hub->behind);
	while (hw_classes_may_ask(hub) && may_conflate(hub->worker) &&
		(node = hw_list_pop(&list))) {
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
	bool more;

	w->sessions->conflating.left_bytes = CONFLATE_BYTES;
	hw_list_init(&hubs);
	hw_list_splice(&hubs, &w->catching_up);
	while (may_conflate(w) && (node = hw_list_pop(&hubs))) {
		struct hw_hub *hub = HW_CONTAINER_OF(node, struct hw_hub, behind_link);

		hub_catch_up(hub);
		if (!hw_list_empty(&hub->behind) && hw_list_empty(&hub->behind_link))
			hw_list_push(&w->catching_up, &hub->behind_link);
	}
	hw_list_splice(&hubs, &w->catching_up); /* likewise */
	hw_list_splice(&w->catching_up, &hubs);
	more = !hw_list_empty(&w->catching_up);
	if (!more)
		hw_window_destroy(&w->sessions->conflating.window);
	return more;
}

void hw_session_drained(struct hw_session *s)
{
	go_on(s);
	subscribe_go_on(s);
	presence_catch_up(s);
}
