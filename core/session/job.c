#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/session_internal.h"

/* ---- messages that wait
 * ------------------------------------------------------------------------------------------------
 */

/* What it takes of the inbox's bound: an empty message is kept too. */
static size_t item_bytes(const struct inbox_item *item)
{
	return sizeof(*item) + item->len;
}

bool inbox_push(struct hw_session *s, struct hw_str text, bool first)
{
	struct inbox_item *item = malloc(sizeof(*item) + text.len);

	if (!item)
		return false;
	item->len = text.len;
	memcpy(item->text, text.p, text.len);
	hw_list_push(first ? s->inbox.next : &s->inbox, &item->link);
	s->inbox_bytes += item_bytes(item);
	return true;
}

void inbox_clear(struct hw_session *s)
{
	struct hw_list *node;

	while ((node = hw_list_pop(&s->inbox)))
		free(HW_CONTAINER_OF(node, struct inbox_item, link));
	s->inbox_bytes = 0;
}

static void set_paused(struct hw_session *s, bool paused)
{
	if (s->paused == paused)
		return;
	s->paused = paused;
	s->outlet->pause(s->arg, paused);
}

/* ---- the one message that is worked on
 * ---------------------------------------------------------------------------------- */

void job_free(struct job **job)
{
	struct job *j = *job;

	if (!j)
		return;
	*job = NULL;
	hw_list_remove(&j->parked);
	subscribe_free(j);
	hw_peek_cancel(&j->peek);
	hw_pins_drop(&j->pins);
	hw_buf_fini(&j->reply);
	hw_buf_fini(&j->scratch);
	free(j->text);
	free(j);
}

static struct job *job_new(struct hw_session *s, const char *text, size_t len)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->text = malloc(len + 1);
	if (!job->text) {
		free(job);
		return NULL;
	}
	memcpy(job->text, text, len);
	job->len = len;
	job->session = s;
	hw_list_init(&job->parked);
	hw_buf_init(&job->reply);
	hw_buf_init(&job->scratch);
	return job;
}

/* Commands until one is pending (false), or all are done or the session is closed (true). */
static bool run_commands(struct job *job)
{
	struct hw_session *s = job->session;
	struct hw_err err;
	int r;

	while (!s->closed) {
		r = hw_command_next(&job->commands, &job->command, &err);
		if (r == HW_COMMAND_END)
			return true;
		if (!s->live && (r || job->command.type != HW_COMMAND_AUTH)) {
			session_close_code(
				s, HW_CODE_UNAUTHORIZED, "the first message must be auth");
			return true;
		}
		if (r == HW_COMMAND_REFUSED || r == -EINVAL) {
			if (job->command.type == HW_COMMAND_PUBLISH)
				hw_metric_add(s->worker->counters->refused, 1);
			session_error(s, job->command.id, HW_CODE_BAD_REQUEST, err.text,
				HW_CONTROL_NO_RETRY);
			if (r == -EINVAL)
				return true;
		} else if (r) {
			session_error(s, HW_STR_NULL, HW_CODE_UNAVAILABLE, "out of memory",
				HW_CONTROL_NO_RETRY);
			return true;
		} else if (!command_run(job)) {
			return false;
		}
	}
	return true;
}

/* Works off the inbox until something is pending. */
static void go_on(struct hw_session *s)
{
	struct hw_list *node;

	if (s->running)
		return; /* further up on this stack somebody does it already */
	s->running = true;
	while (!s->job && !s->closed) {
		struct inbox_item *item;

		if (s->recheck == RECHECK_NEXT) {
			job_start_recheck(s);
			continue;
		}
		node = hw_list_pop(&s->inbox);
		if (!node)
			break;
		item = HW_CONTAINER_OF(node, struct inbox_item, link);
		s->inbox_bytes -= item_bytes(item);
		job_start(s, (struct hw_str){item->text, item->len});
		free(item);
	}
	s->running = false;
	if (!s->closed && s->inbox_bytes < SESSION_INBOX_BYTES / 2)
		set_paused(s, false);
}

static void job_done(struct job *job)
{
	struct hw_session *s = job->session;

	if (job->pins.global)
		reauth_note(s, job->pins.policy);
	job_free(&s->job);
	go_on(s);
}

void job_resume(struct job *job)
{
	if (run_commands(job))
		job_done(job);
}

void job_start(struct hw_session *s, struct hw_str text)
{
	struct hw_err err;
	int r;

	s->job = job_new(s, text.p, text.len);
	if (!s->job) {
		session_close_code(s, HW_CODE_UNAVAILABLE, "out of memory");
		return;
	}
	r = hw_commands_open(&s->job->commands, (struct hw_str){s->job->text, text.len},
		HW_COMMAND_UTF8_DONE, HW_COMMAND_MAX, &err);
	if (r && !s->live)
		session_close_code(s, HW_CODE_UNAUTHORIZED, "the first message must be auth");
	else if (r)
		session_error(s, HW_STR_NULL,
			r == -ENOMEM ? HW_CODE_UNAVAILABLE : HW_CODE_BAD_REQUEST, err.text,
			HW_CONTROL_NO_RETRY);
	if (r || run_commands(s->job))
		job_done(s->job);
}

/* A job without commands: an iterator that is at its end. */
static bool start_bare(struct hw_session *s, struct hw_str text)
{
	s->job = job_new(s, text.p ? text.p : "", text.len);
	if (!s->job) {
		session_close_code(s, HW_CODE_UNAVAILABLE, "out of memory");
		return false;
	}
	s->job->commands.done = true;
	return true;
}

void job_start_recheck(struct hw_session *s)
{
	if (start_bare(s, HW_STR_NULL) && reauth_swept(s->job))
		job_done(s->job);
}

void job_start_login(struct hw_session *s, struct hw_str token)
{
	if (start_bare(s, token) && command_login(s->job, (struct hw_str){s->job->text, token.len}))
		job_done(s->job);
}

void job_start_known(struct hw_session *s, struct hw_identity *identity)
{
	if (start_bare(s, HW_STR_NULL) && command_known(s->job, identity))
		job_done(s->job);
}

void job_start_admitted(struct hw_session *s, struct hw_login *login)
{
	if (!start_bare(s, HW_STR_NULL))
		return;
	command_admitted(s->job, login);
	job_done(s->job);
}

void hw_session_received(struct hw_session *s, struct hw_str text)
{
	if (s->closed)
		return;
	if (!s->job && hw_list_empty(&s->inbox)) {
		job_start(s, text);
		return;
	}
	if (!inbox_push(s, text, false)) {
		session_close_code(s, HW_CODE_UNAVAILABLE, "out of memory");
		return;
	}
	if (s->inbox_bytes >= SESSION_INBOX_BYTES)
		set_paused(s, true);
	go_on(s);
}
