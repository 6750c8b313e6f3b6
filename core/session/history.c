#include "session/session_internal.h"

/* A page of what a topic has had: asked about as a subscription to it is, and shown as a subscriber
 * would see it. */

static void answer(struct job *job)
{
	struct hw_session *s = job->session;
	struct hw_peek *p = &job->peek;
	char text[HW_CURSOR_MAX + 1];

	if (p->code != HW_CODE_NONE) {
		session_error(s, job->command.id, p->code, p->message, p->retry_after_ms);
		return;
	}
	if (p->gap)
		session_gap(s, &p->topic, 1,
			p->foreign ? "the cursor is none of this journal's"
				   : "retention has passed the cursor");
	hw_control_events_end(&job->reply, (struct hw_str){text, hw_cursor_format(p->upto, text)});
	hw_buf_str(session_out(s), hw_buf_view(&job->reply));
	session_send(s);
}

static void on_done(struct hw_peek *peek)
{
	struct job *job = HW_CONTAINER_OF(peek, struct job, peek);

	answer(job);
	job_resume(job);
}

bool command_history(struct job *job)
{
	const struct hw_command *command = &job->command;
	struct hw_session *s = job->session;

	s->knows_cursors |= command->has_cursor;
	hw_buf_clear(&job->reply);
	hw_control_events_begin(&job->reply, s->plain, command->id);
	job->peek = (struct hw_peek){.hub = s->hub,
		.identity = s->identity,
		.session = {s->id, HW_SESSION_ID_LEN},
		.address = hw_str_of(s->address),
		.topic = command->event.topic,
		.has_cursor = command->has_cursor,
		.cursor = command->cursor,
		.limit = command->limit,
		.out = &job->reply,
		.done = on_done};
	if (!hw_peek_start(&job->peek))
		return false;
	answer(job);
	return true;
}
