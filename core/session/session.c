#include "session/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/conflate.h"
#include "session/preview.h"
#include "session/session_internal.h"

/* ---- speaking
 * ------------------------------------------------------------------------------------------------------
 */

void session_send(struct hw_session *s)
{
	struct hw_buf *out = &s->worker->sessions->out;

	if (s->closed)
		return;
	if (out->failed || s->outlet->message(s->arg, hw_buf_view(out)))
		hw_session_close(
			s, hw_code_info(HW_CODE_INTERNAL)->close_code, HW_STR("out of memory"));
}

void session_error(struct hw_session *s, struct hw_str id, enum hw_code code, const char *message,
	int64_t retry_after_ms)
{
	hw_control_error(session_out(s), s->plain, id, code, hw_str_of(message), retry_after_ms);
	session_send(s);
}

void session_close_code(struct hw_session *s, enum hw_code code, const char *message)
{
	session_close_by(s, code, message, "");
}

void session_close_by(
	struct hw_session *s, enum hw_code code, const char *message, const char *hook)
{
	char reason[HW_CODE_REASON_BYTES];

	if (s->identity && !s->closed)
		session_note_refused(s, HW_REFUSED_SESSION, HW_STR_NULL, code, hook);
	hw_session_close(s, hw_code_info(code)->close_code, hw_code_reason(code, message, reason));
}

void session_note_refused(struct hw_session *s, enum hw_refusal_kind kind, struct hw_str topic,
	enum hw_code code, const char *hook)
{
	struct hw_refused refused = {.tenant = s->hub->tenant,
		.kind = kind,
		.code = hw_code_info(code)->name,
		.user = s->identity->user_id,
		.topic = topic,
		.hook = hook};

	hw_refusals_note(&s->worker->refusals, &refused, hw_worker_wall_ms(s->worker));
}

struct hw_str session_cursor(const struct hw_session *s, char text[HW_CURSOR_MAX + 1])
{
	struct hw_cursor cursor = {
		.epoch = hw_journal_epoch(s->hub->tenant->journal),
		.seq = hw_session_number(s),
	};

	return (struct hw_str){text, hw_cursor_format(cursor, text)};
}

static int tell_place(struct hw_session *s, struct hw_str cursor)
{
	if (s->outlet->place)
		return s->outlet->place(s->arg, cursor);
	hw_control_cursor(session_out(s), s->plain, cursor);
	session_send(s);
	return 0;
}

void session_move_on(struct hw_session *s)
{
	char cursor[HW_CURSOR_MAX + 1];

	/* What waits for the socket may be dropped and read again: no cursor may get ahead of it.
	 */
	if (s->closed || s->plain || s->sub.n_subs == 0 || s->sub.behind || s->recovering ||
		s->outlet->queued(s->arg) || s->told == hw_hub_number(s->hub))
		return;
	if (!tell_place(s, session_cursor(s, cursor)))
		s->told = hw_hub_number(s->hub);
}

/* ---- time
 * ------------------------------------------------------------------------------------------------------------
 */

static int64_t expiry_ms(const struct hw_session *s) /* wall; INT64_MAX = never */
{
	return s->identity && s->identity->expires_at ? s->identity->expires_at * 1000 : INT64_MAX;
}

static bool lags(const struct hw_session *s)
{
	return (s->sub.behind && !s->held) || s->recovering;
}

void session_lag_begins(struct hw_session *s)
{
	if (!lags(s))
		s->lag_since_ms = hw_worker_now_ms(s->worker);
}

/* When the next of the session's limits may be reached, monotonic. */
static int64_t next_due_ms(const struct hw_session *s)
{
	const struct hw_settings *settings = &s->worker->generation->settings;
	int64_t due, other;

	if (!s->live)
		return s->opened_ms + settings->auth_timeout_ms;
	due = s->alive_ms + (s->pinged ? settings->ping_timeout_ms : settings->ping_interval_ms);
	if (lags(s)) {
		other = s->lag_since_ms + settings->slow_deadline_ms;
		due = other < due ? other : due;
	}
	if (s->identity->expires_at) {
		other = hw_worker_now_ms(s->worker) + expiry_ms(s) - hw_worker_wall_ms(s->worker);
		due = other < due ? other : due;
	}
	return due;
}

void session_arm(struct hw_session *s)
{
	if (!s->closed)
		hw_timer_arm(s->worker->timers, &s->timer, next_due_ms(s));
}

/* A worker that looks so much later than it wanted has stood still itself (the machine was
 * suspended, the process stopped): that is nobody's silence. */
#define LATE_MS 1000

/* Asks, or asks again: from now on there is the rest of the time-out to answer. */
static void ask_life(struct hw_session *s, int64_t now_ms, bool late)
{
	if (late)
		s->alive_ms = now_ms - s->worker->generation->settings.ping_interval_ms;
	s->pinged = true;
	s->outlet->ping(s->arg);
}

static void check_life(struct hw_session *s, int64_t now_ms, bool late)
{
	const struct hw_settings *settings = &s->worker->generation->settings;
	int64_t silent_ms = now_ms - s->alive_ms;

	if (s->only_query) {
		/* it never says a word: the transport sees to it whether it is there */
		if (silent_ms >= settings->ping_interval_ms) {
			s->alive_ms = now_ms;
			s->outlet->ping(s->arg);
		}
	} else if (silent_ms >= settings->ping_interval_ms && (!s->pinged || late)) {
		ask_life(s, now_ms, late);
	} else if (silent_ms >= settings->ping_timeout_ms) {
		hw_session_close(s, 4408, HW_STR("heartbeat timeout"));
	}
}

static void on_timer(struct hw_timer *timer)
{
	struct hw_session *s = HW_CONTAINER_OF(timer, struct hw_session, timer);
	const struct hw_settings *settings = &s->worker->generation->settings;
	int64_t now_ms = hw_worker_now_ms(s->worker);
	int64_t late_ms = now_ms - timer->due_ms;
	bool late = late_ms >= LATE_MS;

	if (s->closed)
		return;
	if (late) /* nor could a client that lags have been sent anything meanwhile */
		s->lag_since_ms += late_ms;
	if (!s->live) {
		if (now_ms - s->opened_ms >= settings->auth_timeout_ms)
			hw_session_close(s, 4408, HW_STR("authentication timeout"));
	} else if (hw_worker_wall_ms(s->worker) >= expiry_ms(s)) {
		session_close_code(s, HW_CODE_TOKEN_EXPIRED, NULL);
	} else if (lags(s) && now_ms - s->lag_since_ms >= settings->slow_deadline_ms) {
		session_close_code(s, HW_CODE_SLOW_CONSUMER, NULL);
	} else {
		session_move_on(s); /* before a ping is queued */
		check_life(s, now_ms, late);
	}
	session_arm(s);
}

void hw_session_alive(struct hw_session *s)
{
	s->alive_ms = hw_worker_now_ms(s->worker);
	if (s->pinged) {
		s->pinged = false;
		session_arm(s);
	}
}

/* ---- life
 * -------------------------------------------------------------------------------------------------------------
 */

static bool copy_origin(struct hw_session *s, const struct hw_session_open *open)
{
	char *p = malloc(open->address.len + open->origin.len + open->path.len + 3);

	if (!p)
		return false;
	s->address = p;
	p += snprintf(p, open->address.len + 1, "%.*s", HW_STR_ARG(open->address)) + 1;
	s->origin = p;
	p += snprintf(p, open->origin.len + 1, "%.*s", HW_STR_ARG(open->origin)) + 1;
	s->path = p;
	snprintf(p, open->path.len + 1, "%.*s", HW_STR_ARG(open->path));
	return true;
}

/* The query's topics become the first message of the session: {"type":"subscribe","topics":[…]}. */
static bool keep_query_topics(struct hw_session *s, const struct hw_session_open *open)
{
	struct hw_str rest = open->topics, topic;
	struct hw_buf text;

	hw_buf_init(&text);
	hw_buf_puts(&text, "{\"type\":\"subscribe\",\"topics\":[");
	for (bool first = true; rest.p;) {
		topic = hw_str_cut(&rest, ',');
		if (topic.len == 0)
			continue;
		hw_buf_puts(&text, first ? "" : ",");
		first = false;
		if (open->cursor.p) {
			hw_buf_puts(&text, "{\"topic\":");
			hw_buf_json(&text, topic);
			hw_buf_puts(&text, ",\"cursor\":");
			hw_buf_json(&text, open->cursor);
			hw_buf_puts(&text, "}");
		} else if (open->last) {
			hw_buf_puts(&text, "{\"topic\":");
			hw_buf_json(&text, topic);
			hw_buf_puts(&text, ",\"last\":1}");
		} else {
			hw_buf_json(&text, topic);
		}
	}
	hw_buf_puts(&text, "]}");
	s->query = hw_buf_steal(&text);
	return s->query != NULL;
}

static struct hw_session *session_new(struct hw_worker *w, const struct hw_session_open *open)
{
	struct hw_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (!copy_origin(s, open)) {
		free(s);
		return NULL;
	}
	if (open->seat) {
		s->seat_name = malloc(sizeof(*s->seat_name));
		if (!s->seat_name) {
			free((char *)(uintptr_t)s->address);
			free(s);
			return NULL;
		}
		*s->seat_name = *open->seat;
		s->sub.uncharged = true;
	}
	if (open->login)
		memcpy(s->id, open->login->session, sizeof(s->id));
	else
		hw_session_id_make(s->id);
	s->worker = w;
	s->outlet = open->outlet;
	s->arg = open->arg;
	s->plain = open->plain;
	s->only_query = open->only_query;
	s->transport = open->transport;
	s->sub.ops = &session_subscriber_ops;
	s->opened_ms = s->alive_ms = hw_worker_now_ms(w);
	s->knows_cursors = open->cursor.p != NULL;
	hw_list_init(&s->follows);
	hw_list_init(&s->unacked);
	hw_list_init(&s->inbox);
	hw_list_init(&s->catch_up);
	hw_list_init(&s->due);
	reauth_enter(s);
	hw_list_init(&s->preview);
	hw_timer_init(&s->timer, on_timer);
	hw_reading_init(&s->reading, &session_reading_ops);
	hw_list_push(&w->sessions->all, &s->all);
	w->sessions->n++;
	return s;
}

struct hw_session *hw_session_create(struct hw_worker *w, const struct hw_session_open *open)
{
	struct hw_session *s = session_new(w, open);
	struct hw_cursor cursor;

	if (!s)
		return NULL;
	session_arm(s);
	if (open->cursor.p && hw_cursor_parse(open->cursor, &cursor))
		session_close_code(s, HW_CODE_BAD_REQUEST, "the cursor is malformed");
	else if (w->draining)
		session_close_code(s, HW_CODE_DRAINING, NULL);
	else if (!open->login && !open->known && !open->token.p &&
		 !w->generation->settings.auth_first_message)
		session_close_code(s, HW_CODE_UNAUTHORIZED, "a token is needed to connect");
	else if (open->topics.p && !keep_query_topics(s, open))
		session_close_code(s, HW_CODE_UNAVAILABLE, "out of memory");
	else if (open->login)
		job_start_admitted(s, open->login);
	else if (open->known)
		job_start_known(s, open->known);
	else if (open->token.p)
		job_start_login(s, open->token);
	return s;
}

void hw_session_destroy(struct hw_session **session)
{
	struct hw_session *s = *session;

	if (!s)
		return;
	*session = NULL;
	if (!s->closed) {
		s->closed = true; /* the peer went: there is nobody to tell */
		hw_session_close(s, 0, HW_STR_NULL);
	}
	hw_timer_cancel(&s->timer);
	hw_list_remove(&s->catch_up);
	walks_leave(s);
	reauth_forget(s);
	hw_list_remove(&s->all);
	s->worker->sessions->n--;
	job_free(&s->job);
	inbox_clear(s);
	hw_identity_unref(&s->identity);
	free(s->query);
	free(s->seat_name);
	free((char *)(uintptr_t)s->address);
	free(s);
}

/* The policy hears that the session ends; what it answers changes nothing. */
static void tell_disconnect(struct hw_session *s, uint16_t close_code)
{
	struct hw_lifecycle what = {
		.size = sizeof(what), .kind = HW_ON_DISCONNECT, .close_code = close_code};
	struct hw_who who;
	struct hw_ask ask = {
		.stage = HW_STAGE_LIFECYCLE,
		.global = s->worker->global,
		.tenant = s->hub->bench,
		.who = &who,
		.lifecycle = &what,
	};

	hw_who_fill(&who, s->identity, (struct hw_str){s->id, HW_SESSION_ID_LEN},
		hw_str_of(s->address));
	if (hw_hooks_ask(&ask) == HW_PENDING)
		hw_hooks_cancel(&ask);
}

/* Lets go of everything but the memory. Twice is harmless. */
static void leave(struct hw_session *s, uint16_t close_code)
{
	hw_timer_cancel(&s->timer);
	hw_list_remove(&s->catch_up);
	hw_reading_stop(&s->reading);
	session_forget_unacked(s);
	reauth_leave(s);
	preview_leave(s);
	if (s->job)
		command_cancel(s->job);
	if (!s->hub)
		return;
	presence_end(s);
	hw_hub_unsubscribe_all(s->hub, &s->sub);
	if (s->connected) {
		s->connected = false;
		if (s->seat)
			hw_seat_leave(&s->seat);
		else
			hw_quota_release(&s->hub->tenant->connections, 1);
		hw_metric_add(s->worker->counters->sessions, -1);
		tell_disconnect(s, close_code);
	}
}

void hw_session_close(struct hw_session *s, uint16_t close_code, struct hw_str reason)
{
	bool was_closed = s->closed;

	s->closed = true;
	leave(s, close_code);
	if (was_closed)
		return;
	hw_log(s->worker->log, HW_LOG_DEBUG, "session", "session closed", HW_F_Z("session", s->id),
		HW_F_STR("tenant", s->hub ? s->hub->tenant->id : HW_STR("")),
		HW_F_INT("code", close_code), HW_F_STR("reason", reason));
	s->outlet->close(s->arg, close_code, reason);
}

void hw_session_goaway(
	struct hw_session *s, int64_t retry_after_ms, int64_t jitter_ms, struct hw_str reason)
{
	if (s->plain || !s->live)
		return;
	hw_control_goaway(session_out(s), s->plain, retry_after_ms, jitter_ms, reason);
	session_send(s);
}

bool hw_session_closed(const struct hw_session *s)
{
	return s->closed;
}

struct hw_hub *hw_session_hub(const struct hw_session *s)
{
	return s->hub;
}

struct hw_identity *hw_session_identity(const struct hw_session *s)
{
	return s->identity;
}

bool hw_session_held(const struct hw_session *s)
{
	return s->held;
}

uint64_t hw_session_number(const struct hw_session *s)
{
	return s->sub.behind ? s->reading.cursor : hw_hub_number(s->hub);
}

void hw_session_extend(struct hw_session *s, struct hw_identity *identity)
{
	/* a question that waits has its words of the identity */
	if (!s->live || s->closed || s->job || !s->identity->expires_at ||
		(identity->expires_at && identity->expires_at <= s->identity->expires_at))
		return;
	hw_classes_leave(s->hub, &s->sub); /* it names the identity that goes */
	hw_identity_unref(&s->identity);
	s->identity = hw_identity_ref(identity);
	session_arm(s);
}

size_t hw_session_message_bytes(const struct hw_session *s)
{
	size_t most = s->worker->generation->settings.message_bytes;

	/* whose token is being looked at has said what there is to say before */
	return s->live || s->job || most < SESSION_AUTH_BYTES ? most : SESSION_AUTH_BYTES;
}

void hw_session_too_large(struct hw_session *s)
{
	session_close_code(s, HW_CODE_TOO_LARGE, NULL);
}

/* ---- all of a worker's
 * ---------------------------------------------------------------------------------------------------
 */

void hw_sessions_each(
	struct hw_worker *w, void (*each)(void *arg, struct hw_session *session), void *arg)
{
	hw_list_each_safe (node, &w->sessions->all)
		each(arg, HW_CONTAINER_OF(node, struct hw_session, all));
}

size_t hw_sessions_count(const struct hw_worker *w)
{
	return w->sessions->n;
}

int hw_sessions_init(struct hw_worker *w)
{
	w->sessions = calloc(1, sizeof(*w->sessions));
	if (!w->sessions)
		return -ENOMEM;
	hw_list_init(&w->sessions->all);
	hw_list_init(&w->sessions->walks);
	hw_list_init(&w->sessions->explains);
	hw_buf_init(&w->sessions->out);
	w->catch_up = sessions_catch_up;
	reauth_init(w);
	hook_wishes_init(w);
	return 0;
}

void hw_sessions_fini(struct hw_worker *w)
{
	if (!w->sessions)
		return;
	if (w->sessions->preview)
		hw_preview_cancel(w->sessions->preview);
	explains_fini(w);
	walks_fini(w);
	reauth_fini(w);
	hw_buf_fini(&w->sessions->out);
	hw_window_destroy(&w->sessions->conflating.window);
	free(w->sessions);
	w->sessions = NULL;
}
