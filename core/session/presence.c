#include <stdlib.h>

#include "hub/follow.h"
#include "session/session_internal.h"

/* Who is in a topic: asked for once, or followed. A client that does not read is sent no changes
 * meanwhile, and the list again when it does. */

struct session_follow {
	struct hw_list link; /* s->follows */
	struct hw_session *session;
	struct hw_follower follower;
	bool stale; /* it is to be sent the list */
};

static bool must_wait(const struct hw_session *s, size_t more)
{
	return s->held ||
	       (s->outlet->blocked(s->arg) && s->outlet->queued(s->arg) + more >
						      s->worker->generation->settings.outbox_bytes);
}

static void send_list(struct session_follow *f)
{
	struct hw_session *s = f->session;
	struct hw_buf *out = session_out(s);

	f->stale = must_wait(s, 0);
	if (f->stale)
		return;
	f->follower.seen = hw_follow_list_again(s->hub, hw_followed(&f->follower), out);
	session_send(s);
}

static void changed(struct hw_follower *follower, struct hw_str text)
{
	struct session_follow *f = HW_CONTAINER_OF(follower, struct session_follow, follower);
	struct hw_session *s = f->session;

	if (s->closed || f->stale)
		return;
	if (!text.p) {
		session_close_code(s, HW_CODE_UNAVAILABLE, "out of memory");
		return;
	}
	f->stale = must_wait(s, text.len);
	if (f->stale)
		return;
	hw_buf_str(session_out(s), text);
	session_send(s);
}

static const struct hw_follower_ops follower_ops = {.changed = changed};

void presence_catch_up(struct hw_session *s)
{
	hw_list_each_safe (node, &s->follows) {
		struct session_follow *f = HW_CONTAINER_OF(node, struct session_follow, link);

		if (f->stale)
			send_list(f);
		if (s->closed)
			return; /* and none of what it followed is there any more */
	}
}

/* ---- following
 * -----------------------------------------------------------------------------------------------------------------
 */

static struct session_follow *first(const struct hw_session *s)
{
	return HW_CONTAINER_OF(s->follows.next, struct session_follow, link);
}

static struct session_follow *find(struct hw_session *s, struct hw_str topic)
{
	hw_list_each (node, &s->follows) {
		struct session_follow *f = HW_CONTAINER_OF(node, struct session_follow, link);

		if (hw_str_eq(hw_followed(&f->follower), topic))
			return f;
	}
	return NULL;
}

static void end(struct session_follow *f)
{
	struct hw_session *s = f->session;

	hw_unfollow(s->hub, &f->follower);
	hw_list_remove(&f->link);
	s->n_follows--;
	free(f);
}

void presence_end(struct hw_session *s)
{
	while (!hw_list_empty(&s->follows))
		end(first(s));
}

static struct session_follow *begin(struct hw_session *s, struct hw_str topic)
{
	struct session_follow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->session = s;
	f->follower.ops = &follower_ops;
	if (hw_follow(s->hub, &f->follower, topic)) {
		free(f);
		return NULL;
	}
	hw_list_push(&s->follows, &f->link);
	s->n_follows++;
	return f;
}

struct hw_str presence_first(const struct hw_session *s)
{
	return hw_followed(&first(s)->follower);
}

void presence_keep(struct hw_session *s)
{
	struct session_follow *f = first(s);

	hw_list_remove(&f->link);
	hw_list_push(&s->follows, &f->link);
}

void presence_revoke(struct hw_session *s, enum hw_code code)
{
	struct session_follow *f = first(s);

	hw_control_presence_over(session_out(s), hw_followed(&f->follower), code);
	end(f);
	session_send(s);
}

/* ---- the command
 * ---------------------------------------------------------------------------------------------------------------
 */

static void refuse(struct job *job, enum hw_code code, const char *message, int64_t retry_ms)
{
	session_error(job->session, job->command.id, code, message, retry_ms);
}

/* NULL, and it is answered: it cannot be followed. */
static struct session_follow *follow(struct job *job)
{
	struct hw_session *s = job->session;
	struct session_follow *f = find(s, job->command.event.topic);

	if (f)
		return f;
	if (s->n_follows >= s->worker->generation->settings.topics_per_session) {
		refuse(job, HW_CODE_TOPIC_LIMIT, NULL, HW_CONTROL_NO_RETRY);
		return NULL;
	}
	f = begin(s, job->command.event.topic);
	if (!f)
		refuse(job, HW_CODE_UNAVAILABLE, "out of memory", HW_CONTROL_NO_RETRY);
	return f;
}

static void show(struct job *job)
{
	struct hw_session *s = job->session;
	struct hw_str topic = job->command.event.topic;
	struct session_follow *f = NULL;
	struct hw_buf *out;
	uint64_t number;

	if (job->command.follow == HW_FOLLOW_YES) {
		f = follow(job);
		if (!f)
			return;
	}
	out = session_out(s);
	hw_control_presence_begin(out, s->plain, job->command.id, topic);
	number = hw_follow_list(s->hub, topic, out);
	hw_control_presence_end(out, number);
	if (f) {
		f->follower.seen = number;
		f->stale = false;
	}
	session_send(s);
}

static bool after_ask(struct job *job, enum hw_verdict verdict)
{
	const struct hw_settings *settings = &job->session->worker->generation->settings;

	if (verdict != HW_ALLOW)
		refuse(job, hw_ask_code(&job->ask, HW_CODE_FORBIDDEN_TOPIC), job->ask.message,
			hw_ask_retry_ms(&job->ask));
	else if (!hw_presence_keeps(&settings->presence, job->command.event.topic))
		refuse(job, HW_CODE_BAD_REQUEST, "presence is not kept for this topic",
			HW_CONTROL_NO_RETRY);
	else
		show(job);
	return true;
}

static void on_decided(struct hw_ask *ask)
{
	struct job *job = HW_CONTAINER_OF(ask, struct job, ask);

	if (after_ask(job, ask->verdict))
		job_resume(job);
}

bool command_presence(struct job *job)
{
	struct hw_session *s = job->session;
	struct hw_str topic = job->command.event.topic;
	struct session_follow *f = find(s, topic);
	enum hw_verdict verdict;

	if (f && job->command.follow == HW_FOLLOW_NO)
		end(f);
	if (s->plain && job->command.follow == HW_FOLLOW_YES) {
		refuse(job, HW_CODE_BAD_REQUEST,
			"to follow is for clients that speak hookwire.v1: what changes comes "
			"unasked",
			HW_CONTROL_NO_RETRY);
		return true;
	}
	verdict = session_ask(job, HW_OP_PRESENCE, topic, false, on_decided);
	return verdict == HW_PENDING ? false : after_ask(job, verdict);
}
