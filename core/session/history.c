#include "session/session_internal.h"
#include "wire/topic.h"

/* A page of what a topic has had: asked about as a subscription to it is, and shown as a subscriber
 * would see it. */

enum { HISTORY_BYTES = 1u << 20 }; /* then the cursor says where to go on */

static void answer(struct job *job, uint64_t number)
{
	struct hw_session *s = job->session;
	char text[HW_CURSOR_MAX + 1];
	struct hw_cursor cursor = {
		.epoch = hw_journal_epoch(s->hub->tenant->journal), .seq = number};

	hw_control_events_end(&job->reply, (struct hw_str){text, hw_cursor_format(cursor, text)});
	hw_buf_str(session_out(s), hw_buf_view(&job->reply));
	session_send(s);
}

static void answer_page(struct job *job)
{
	struct hw_session *s = job->session;
	struct hw_page *p = &job->page;

	if (p->gap)
		session_gap(s, &job->command.event.topic, 1, "retention has passed the cursor");
	answer(job, p->cursor);
}

static void on_page(struct hw_page *page)
{
	struct job *job = HW_CONTAINER_OF(page, struct job, page);

	answer_page(job);
	job_resume(job);
}

static bool show(struct job *job)
{
	const struct hw_command *command = &job->command;
	struct hw_session *s = job->session;
	struct hw_journal *journal = s->hub->tenant->journal;

	hw_buf_clear(&job->reply);
	hw_control_events_begin(&job->reply, s->plain, command->id);
	if (command->has_cursor) {
		s->knows_cursors = true;
		if (command->cursor.epoch != hw_journal_epoch(journal) ||
			command->cursor.seq > hw_journal_last(journal)) {
			session_gap(s, &command->event.topic, 1,
				"the cursor is none of this journal's");
			answer(job, hw_journal_number(journal, hw_journal_head(journal)));
			return true;
		}
	}
	job->page = (struct hw_page){.hub = s->hub,
		.identity = s->identity,
		.topics = &command->event.topic,
		.n_topics = 1,
		.oldest = !command->has_cursor,
		.after = command->cursor.seq,
		.limit = command->limit,
		.max_bytes = HISTORY_BYTES,
		.out = &job->reply,
		.done = on_page};
	if (!hw_page_start(&job->page))
		return false;
	answer_page(job);
	return true;
}

static bool after_ask(struct job *job, enum hw_verdict verdict)
{
	struct hw_session *s = job->session;

	if (verdict == HW_ALLOW)
		return show(job);
	session_error(s, job->command.id, hw_ask_code(&job->ask, HW_CODE_FORBIDDEN_TOPIC),
		job->ask.message, hw_ask_retry_ms(&job->ask));
	return true;
}

static void on_decided(struct hw_ask *ask)
{
	struct job *job = HW_CONTAINER_OF(ask, struct job, ask);

	if (after_ask(job, ask->verdict))
		job_resume(job);
}

bool command_history(struct job *job)
{
	struct hw_str topic = job->command.event.topic;
	enum hw_verdict verdict =
		session_ask(job, hw_topic_is_wildcard(topic) ? HW_OP_WILDCARD : HW_OP_SUBSCRIBE,
			topic, false, on_decided);

	return verdict == HW_PENDING ? false : after_ask(job, verdict);
}
