#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/revoke.h"
#include "session/session_internal.h"
#include "wire/topic.h"

static struct hw_str session_id(const struct hw_session *s)
{
	return (struct hw_str){s->id, HW_SESSION_ID_LEN};
}

/* ---- asking
 * -------------------------------------------------------------------------------------------------------------
 */

enum hw_verdict session_ask(struct job *job, enum hw_operation operation, struct hw_str topic,
	bool again, void (*decided)(struct hw_ask *ask))
{
	struct hw_session *s = job->session;
	struct hw_str resource = HW_STR_NULL, id = HW_STR_NULL;

	if (topic.p)
		hw_topic_split(topic, &resource, &id);
	job->question = (struct hw_question){
		.size = sizeof(job->question),
		.operation = operation,
		.topic = hw_slice_of(topic),
		.resource = hw_slice_of(resource),
		.id = hw_slice_of(id),
		.again = again,
	};
	hw_who_fill(&job->who, s->identity, session_id(s), hw_str_of(s->address));
	hw_pins_take(&job->pins, s->hub);
	job->ask = (struct hw_ask){
		.stage = HW_STAGE_AUTHORIZE,
		.global = job->pins.global,
		.tenant = job->pins.tenant,
		.who = &job->who,
		.question = &job->question,
		.decided = decided,
		.verdict = HW_ERROR,
	};
	return job->pins.tenant ? hw_hooks_ask(&job->ask) : HW_ERROR;
}

/* ---- auth
 * ----------------------------------------------------------------------------------------------------------------
 */

static void send_welcome(struct hw_session *s)
{
	const struct hw_settings *settings = &s->worker->generation->settings;
	const struct hw_tenant_rules *rules =
		hw_generation_rules(s->worker->generation, s->hub->tenant->id);
	char cursor[HW_CURSOR_MAX + 1];
	struct hw_welcome welcome = {
		.session = session_id(s),
		.user_id = s->identity->user_id,
		.tenant_id = s->identity->tenant_id,
		.cursor = session_cursor(s, cursor),
		.ping_ms = settings->ping_interval_ms,
		.expires_at =
			s->identity->expires_at ? s->identity->expires_at : HW_CONTROL_NO_EXPIRY,
		.message_bytes = settings->message_bytes,
		.topics_per_session = settings->topics_per_session,
		.publish_per_s = rules ? rules->publish_per_s : 0,
	};

	if (s->plain)
		return; /* unasked control messages are for those who know them */
	hw_control_welcome(session_out(s), s->plain, &welcome);
	session_send(s);
}

static void reply_auth(struct job *job)
{
	struct hw_session *s = job->session;

	if (!job->command.id.p)
		return;
	hw_control_auth(session_out(s), s->plain, job->command.id,
		s->identity->expires_at ? s->identity->expires_at : HW_CONTROL_NO_EXPIRY);
	session_send(s);
}

static void tell_connect(struct job *job)
{
	struct hw_session *s = job->session;

	job->lifecycle =
		(struct hw_lifecycle){.size = sizeof(job->lifecycle), .kind = HW_ON_CONNECT};
	job->ask = (struct hw_ask){
		.stage = HW_STAGE_LIFECYCLE,
		.global = s->worker->global,
		.tenant = s->hub->bench,
		.who = &job->who,
		.lifecycle = &job->lifecycle,
	};
	hw_who_fill(&job->who, s->identity, session_id(s), hw_str_of(s->address));
	if (s->hub->bench && hw_hooks_ask(&job->ask) == HW_PENDING)
		hw_hooks_cancel(&job->ask);
}

/* Among those that the tenant may have. false: it is closed. */
static bool take_place(struct hw_session *s)
{
	int r = 0;

	if (s->seat_name)
		r = hw_seat_take(s->hub->tenant, s->seat_name, &s->seat);
	else if (!hw_quota_charge(&s->hub->tenant->connections, 1))
		r = HW_SEAT_CONNECTIONS;
	if (r == HW_SEAT_SUBSCRIPTIONS)
		session_close_code(s, HW_CODE_TOPIC_LIMIT,
			"the tenant has as many subscriptions as its limit allows");
	else if (r == HW_SEAT_CONNECTIONS)
		session_close_code(s, HW_CODE_RATE_LIMITED,
			"the tenant has as many connections as its limit allows");
	else if (r)
		session_close_code(s, HW_CODE_UNAVAILABLE, "out of memory");
	else
		s->sub.same = s->seat;
	return r == 0;
}

/* The login that is decided is the session's first. */
void command_admitted(struct job *job, struct hw_login *login)
{
	struct hw_session *s = job->session;

	s->identity = login->identity;
	login->identity = NULL;
	s->hub = login->hub;
	s->policy = login->policy;
	/* while a hook was asked whether it may be a session nobody saw it among the live ones */
	if (hw_token_revoked(s->worker, s->identity)) {
		session_close_code(s, HW_CODE_UNAUTHORIZED, HW_REVOKED_WORDS);
		return;
	}
	if (!take_place(s))
		return;
	s->connected = true;
	s->live = true;
	hw_metric_add(s->worker->counters->sessions, 1);
	tell_connect(job);
	session_arm(s);
	reauth_join(s);
	reply_auth(job);
	send_welcome(s);
	if (s->query && !inbox_push(s, hw_str_of(s->query), true))
		session_close_code(s, HW_CODE_UNAVAILABLE, "out of memory");
	free(s->query);
	s->query = NULL;
}

static void on_refreshed(struct job *job)
{
	reply_auth(job);
	job_resume(job);
}

static bool refresh(struct job *job)
{
	struct hw_session *s = job->session;
	struct hw_identity *identity = job->login.identity;
	bool same_claims = hw_identity_same_claims(identity, s->identity);

	job->login.identity = NULL;
	if (!hw_identity_same_person(identity, s->identity)) {
		hw_identity_unref(&identity);
		session_close_code(s, HW_CODE_FORBIDDEN_TOPIC,
			"a refresh must be for the same user and tenant");
		return true;
	}
	hw_classes_leave(s->hub, &s->sub); /* what it may see is asked of who it is now */
	hw_identity_unref(&s->identity);
	s->identity = identity;
	session_arm(s);
	if (!same_claims)
		hw_hub_reidentify(s->hub, &s->sub);
	/* what the claims opened is asked again */
	if (!same_claims && !reauth_subscriptions(job, on_refreshed))
		return false;
	reply_auth(job);
	return true;
}

static bool after_login(struct job *job, enum hw_verdict verdict)
{
	struct hw_session *s = job->session;

	if (verdict != HW_ALLOW) {
		session_close_code(s, job->login.code, job->login.message);
		return true;
	}
	if (s->live)
		return refresh(job);
	command_admitted(job, &job->login);
	return true;
}

static void on_login(struct hw_login *login)
{
	struct job *job = HW_CONTAINER_OF(login, struct job, login);

	if (after_login(job, login->ask.verdict))
		job_resume(job);
}

static bool login(struct job *job, struct hw_str token, struct hw_identity *known)
{
	struct hw_session *s = job->session;
	enum hw_verdict verdict;

	job->login = (struct hw_login){
		.worker = s->worker,
		.known = known,
		.request = {.token = hw_slice_of(token),
			.address = hw_slice_of(hw_str_of(s->address)),
			.origin = hw_slice_of(hw_str_of(s->origin)),
			.path = hw_slice_of(hw_str_of(s->path)),
			.transport = hw_slice_of(hw_str_of(s->transport))},
		.decided = on_login,
	};
	if (!s->live)
		memcpy(job->login.session, s->id, sizeof(job->login.session));
	verdict = hw_login_start(&job->login);
	return verdict == HW_PENDING ? false : after_login(job, verdict);
}

bool command_login(struct job *job, struct hw_str token)
{
	if (token.len > 0)
		return login(job, token, NULL);
	session_close_code(job->session, HW_CODE_UNAUTHORIZED, "the token is empty");
	return true;
}

bool command_known(struct job *job, struct hw_identity *identity)
{
	return login(job, HW_STR_NULL, identity);
}

static bool command_auth(struct job *job)
{
	struct hw_str token;

	if (hw_json_text(job->command.token, &job->scratch, &token)) {
		session_close_code(job->session, HW_CODE_UNAUTHORIZED, "the token is malformed");
		return true;
	}
	return command_login(job, token);
}

/* ---- publish
 * ----------------------------------------------------------------------------------------------------------------
 */

/* A publish of the session that is on its way to the store; its message is done with, but for the
 * answer. */
struct unacked {
	struct hw_list link; /* s->unacked */
	struct hw_keep_wait wait;
	struct hw_session *session;
	struct hw_hub *hub;
	size_t id_len;
	char id[]; /* of the request */
};

static void answer_publish(struct hw_session *s, struct hw_str id, enum hw_code code,
	const char *message, int64_t retry_after_ms, const char *event_id, bool duplicate)
{
	if (code != HW_CODE_NONE) {
		session_error(s, id, code, message, retry_after_ms);
	} else if (id.p) {
		hw_control_ack(session_out(s), s->plain, id,
			event_id[0] ? hw_str_of(event_id) : HW_STR_NULL, duplicate);
		session_send(s);
	}
}

static void on_stored(struct hw_keep_wait *wait, int r, uint64_t number)
{
	struct unacked *u = HW_CONTAINER_OF(wait, struct unacked, wait);
	struct hw_session *s = u->session;
	char event_id[HW_CURSOR_MAX + 1];
	const char *message;
	enum hw_code code = hw_publish_outcome(u->hub, r, number, event_id, &message);

	hw_list_remove(&u->link);
	s->n_unacked--;
	if (code != HW_CODE_NONE)
		hw_metric_add(s->worker->counters->refused, 1);
	answer_publish(s, u->id_len ? (struct hw_str){u->id, u->id_len} : HW_STR_NULL, code,
		message, HW_CONTROL_NO_RETRY, event_id, false);
	free(u);
}

static bool hand_over(struct hw_publish *p)
{
	struct job *job = HW_CONTAINER_OF(p, struct job, publish);
	struct hw_session *s = job->session;
	struct hw_str id = job->command.id;
	struct unacked *u = s->n_unacked < SESSION_UNACKED_MAX ? malloc(sizeof(*u) + id.len) : NULL;

	if (!u)
		return false; /* the session waits for this one */
	*u = (struct unacked){
		.wait = {.done = on_stored}, .session = s, .hub = p->hub, .id_len = id.len};
	if (id.len)
		memcpy(u->id, id.p, id.len);
	hw_keep_move(&p->wait, &u->wait);
	hw_list_push(&s->unacked, &u->link);
	s->n_unacked++;
	return true;
}

void session_forget_unacked(struct hw_session *s)
{
	struct hw_list *node;

	while ((node = hw_list_pop(&s->unacked))) {
		struct unacked *u = HW_CONTAINER_OF(node, struct unacked, link);

		hw_keep_forget(&u->wait);
		free(u);
	}
	s->n_unacked = 0;
}

static void publish_done(struct job *job)
{
	struct hw_publish *p = &job->publish;

	if (!p->handed_over)
		answer_publish(job->session, job->command.id, p->code, p->message,
			p->retry_after_ms, p->event_id, p->duplicate);
	hw_publish_fini(p);
}

static void on_published(struct hw_publish *publish)
{
	struct job *job = HW_CONTAINER_OF(publish, struct job, publish);

	publish_done(job);
	job_resume(job);
}

static bool command_publish(struct job *job)
{
	struct hw_session *s = job->session;
	struct hw_str key = HW_STR_NULL;

	if (job->command.key.kind == HW_JSON_STRING &&
		hw_json_text(job->command.key, &job->scratch, &key)) {
		session_error(s, job->command.id, HW_CODE_UNAVAILABLE, "out of memory",
			HW_CONTROL_NO_RETRY);
		return true;
	}
	job->publish = (struct hw_publish){
		.hub = s->hub,
		.identity = s->identity,
		.command = &job->command,
		.text = {job->text, job->len},
		.key = key,
		.session = session_id(s),
		.address = hw_str_of(s->address),
		.decided = on_published,
		.hand_over = hand_over,
	};
	hw_pins_take(&job->pins, s->hub);
	hw_pins_copy(&job->publish.pins, &job->pins);
	if (!hw_publish_start(&job->publish))
		return false;
	publish_done(job);
	return true;
}

/* ---- the rest
 * -----------------------------------------------------------------------------------------------------------------
 */

static bool refuse(struct job *job, const char *message)
{
	session_error(
		job->session, job->command.id, HW_CODE_BAD_REQUEST, message, HW_CONTROL_NO_RETRY);
	return true;
}

bool command_run(struct job *job)
{
	struct hw_session *s = job->session;

	switch (job->command.type) {
	case HW_COMMAND_AUTH:
		return command_auth(job);
	case HW_COMMAND_SUBSCRIBE:
		return command_subscribe(job);
	case HW_COMMAND_UNSUBSCRIBE:
		return command_unsubscribe(job);
	case HW_COMMAND_PUBLISH:
		return command_publish(job);
	case HW_COMMAND_PING:
		hw_control_pong(session_out(s), s->plain, job->command.id);
		session_send(s);
		return true;
	case HW_COMMAND_PRESENCE:
		return command_presence(job);
	case HW_COMMAND_HISTORY:
		return command_history(job);
	case HW_COMMAND_UNKNOWN:
		break;
	}
	return refuse(job,
		"unknown type; known are auth, subscribe, unsubscribe, publish, presence, history "
		"and ping");
}

void command_cancel(struct job *job)
{
	hw_list_remove(&job->parked);
	subscribe_cancel(job);
	hw_peek_cancel(&job->peek);
	hw_login_cancel(&job->login);
	hw_hooks_cancel(&job->ask);
	if (job->publish.hub)
		hw_publish_cancel(&job->publish);
	hw_identity_unref(&job->login.identity);
}
