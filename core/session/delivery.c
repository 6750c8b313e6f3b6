#include "session/session_internal.h"

static void leave_live(struct hw_session *s, uint64_t cursor)
{
	s->reading.cursor = cursor;
	session_lag_begins(s);
	s->sub.behind = true;
	session_read_later(s);
	session_arm(s);
}

/* The outbox is full: what has not begun to leave is dropped, the place in the journal is kept. */
static void fall_behind(struct hw_session *s, const struct hw_run *run)
{
	uint64_t dropped = s->outlet->drop(s->arg);

	hw_metric_add(s->worker->counters->slow, 1);
	/* more than the outbox may hold can also come at once, to one that reads */
	s->slow = s->outlet->blocked(s->arg);
	leave_live(s, dropped ? dropped - 1 : run->after);
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
	else if (s->outlet->run(s->arg, run, 0))
		fall_behind(s, run);      /* no memory now: read it again later */
	else if (run->upto != run->after) /* its last event has an id */
		s->told = run->upto;
}

/* The turn's hooks are spent: what is queued stays, it is not the client's doing. */
static void defer(struct hw_subscriber *sub, uint64_t number)
{
	leave_live(HW_CONTAINER_OF(sub, struct hw_session, sub), number);
}

static const struct hw_identity *identity(const struct hw_subscriber *sub)
{
	return HW_CONTAINER_OF(sub, struct hw_session, sub)->identity;
}

const struct hw_subscriber_ops session_subscriber_ops = {
	.deliver = deliver, .defer = defer, .identity = identity};
