#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/session_internal.h"
#include "wire/topic.h"

/* Subscribing: each topic of a message is asked about, then all that may be had join together.
 *
 *   asked ──> asked … ──> what is newer than the cursors given is read ──> level: all join ──>
 * reply
 *
 * So recovering and going live are one step, recovered events come before the reply, and live ones
 * behind it. */

enum { RECOVER_BYTES = 256u << 10 }; /* in one turn */
#define TENANT_IS_FULL "the tenant has as many subscriptions as its limit allows"

/* One topic of the message. */
struct grant {
	struct hw_str topic; /* plain; p NULL: it is none, and @raw is what was given */
	struct hw_str raw;
	char *own; /* heap: @topic where its name was escaped */
	enum hw_code code;
	int64_t retry_after_ms; /* refused: when to try again; 0: nobody said */
	bool has_cursor;
	struct hw_cursor cursor;
	bool last;     /* from its newest event on, unless there is a cursor */
	bool recovers; /* from @after on */
	bool gap;
	uint64_t told; /* the newest that is gone, as of when that was said last */
	uint64_t after;
};

struct subscribing {
	struct job *job;
	struct hw_reading reading;
	struct hw_timer next_turn;
	bool pumped;
	bool joined;  /* a topic that the session had not */
	size_t bytes; /* given in this turn */
	size_t n, cap;
	struct grant *grants;
	struct hw_map named; /* by topic: its place in @grants, from 1 on */
	size_t n_granted;    /* of @grants, as far as they have been asked about */
	size_t n_recovering; /* of @grants, in their order: */
	struct grant **recovering;
	enum hw_code refused; /* of a session that has all or none: why none; see job->scratch */
};

void subscribe_cancel(struct job *job)
{
	struct subscribing *sub = job->subscribing;

	if (!sub)
		return;
	job->session->recovering = false;
	hw_reading_stop(&sub->reading);
	hw_timer_cancel(&sub->next_turn);
}

void subscribe_free(struct job *job)
{
	struct subscribing *sub = job->subscribing;

	if (!sub)
		return;
	subscribe_cancel(job);
	job->subscribing = NULL;
	for (size_t i = 0; i < sub->n; i++)
		free(sub->grants[i].own);
	hw_map_fini(&sub->named);
	free(sub->recovering);
	free(sub->grants);
	free(sub);
}

/* ---- answers
 * ----------------------------------------------------------------------------------------------------------------
 */

/* Into job->scratch: the topic's name, and what a person is told. */
static void write_refusal(struct job *job, const struct grant *g, const char *message)
{
	hw_buf_clear(&job->scratch);
	hw_buf_str(&job->scratch, g->topic.p ? g->topic : g->raw);
	hw_buf_printf(&job->scratch, ": %s",
		message && *message ? message : hw_code_info(g->code)->message);
}

/* Without an id in the request only what is refused is told, and by name. */
static void tell_refused(struct job *job, const struct grant *g, const char *message)
{
	struct hw_session *s = job->session;

	if (job->command.id.p)
		return;
	write_refusal(job, g, message);
	hw_control_error(session_out(s), s->plain, HW_STR_NULL, g->code, hw_buf_view(&job->scratch),
		g->retry_after_ms ? g->retry_after_ms : HW_CONTROL_NO_RETRY);
	session_send(s);
}

/* One refusal is told for all: rather one that will be the same the next time. */
static void keep_refusal(struct job *job, const struct grant *g, const char *message)
{
	struct subscribing *sub = job->subscribing;

	if (sub->refused != HW_CODE_NONE &&
		(hw_code_info(g->code)->retryable || !hw_code_info(sub->refused)->retryable))
		return;
	write_refusal(job, g, message);
	sub->refused = g->code;
}

static void refuse(struct job *job, struct grant *g, enum hw_code code, const char *message)
{
	g->code = code;
	if (job->session->only_query)
		keep_refusal(job, g, message);
	else
		tell_refused(job, g, message);
}

static void refuse_limit(struct job *job, struct grant *g, const char *message)
{
	session_note_refused(job->session, HW_REFUSED_SUBSCRIBE, g->topic, HW_CODE_TOPIC_LIMIT, "");
	refuse(job, g, HW_CODE_TOPIC_LIMIT, message);
}

static void add_result(struct job *job, const struct grant *g, struct hw_str cursor)
{
	struct hw_topic_result result = {
		.topic = g->topic,
		.raw = g->raw,
		.code = g->code,
		.has_recovered = g->has_cursor && g->code == HW_CODE_NONE,
		.recovered = !g->gap,
	};

	if (g->code == HW_CODE_NONE)
		result.cursor = cursor;
	hw_control_topics_add(&job->reply, &result);
}

/* Its cursor counts what waits for the socket as given: that may not be dropped any more, to be
 * read again and to come behind it. */
static void send_reply(struct job *job)
{
	struct hw_session *s = job->session;

	if (s->outlet->keep)
		s->outlet->keep(s->arg);
	hw_control_topics_end(&job->reply);
	hw_buf_str(session_out(s), hw_buf_view(&job->reply));
	session_send(s);
}

static void begin_reply(struct job *job)
{
	hw_buf_clear(&job->reply);
	hw_control_topics_begin(&job->reply, job->session->plain, job->command.id);
}

/* ---- joining
 * -----------------------------------------------------------------------------------------------------------------
 */

static void join(struct job *job, struct grant *g)
{
	struct hw_session *s = job->session;
	int r = hw_hub_subscribe(s->hub, &s->sub, g->topic);

	job->subscribing->joined |= r == 0;
	if (r == -EDQUOT)
		refuse_limit(job, g, TENANT_IS_FULL);
	else if (r < 0)
		refuse(job, g, HW_CODE_UNAVAILABLE, "out of memory");
	else if (g->recovers)
		hw_hub_recovered(s->hub, &s->sub, g->topic, g->after);
	else if (s->sub.behind && r == 0)
		hw_hub_begins(s->hub, &s->sub, g->topic, s->reading.cursor);
}

/* Who is behind has its new topics from where it is, which is what the reply says. What was asked
 * of the store does not know of them. */
static void read_with_new_topics(struct hw_session *s)
{
	if (!s->sub.behind || s->closed)
		return;
	hw_reading_stop(&s->reading);
	if (!s->held && hw_list_empty(&s->catch_up))
		session_read_later(s);
}

/* A session of its query alone: from here on it is live, and its client knows where. */
static void begin_live(struct job *job)
{
	struct subscribing *sub = job->subscribing;
	struct hw_session *s = job->session;
	char cursor[HW_CURSOR_MAX + 1];

	if (s->closed)
		return;
	if (sub->refused != HW_CODE_NONE) /* since it was granted: another was quicker */
		session_close_code(s, sub->refused, NULL);
	else if (s->outlet->place(s->arg, session_cursor(s, cursor)))
		session_close_code(s, HW_CODE_UNAVAILABLE, "out of memory");
	else
		s->told = hw_hub_number(s->hub);
}

static bool join_all(struct job *job)
{
	struct subscribing *sub = job->subscribing;
	bool reply = job->command.id.p != NULL;
	char cursor[HW_CURSOR_MAX + 1];

	for (size_t i = 0; i < sub->n && !job->session->closed; i++)
		if (sub->grants[i].code == HW_CODE_NONE)
			join(job, &sub->grants[i]);
	if (sub->joined)
		read_with_new_topics(job->session);
	if (job->session->only_query)
		begin_live(job);
	if (reply)
		begin_reply(job);
	for (size_t i = 0; reply && i < sub->n; i++)
		add_result(job, &sub->grants[i], session_cursor(job->session, cursor));
	if (reply && !job->session->closed)
		send_reply(job);
	subscribe_free(job);
	return true;
}

/* ---- recovering
 * -------------------------------------------------------------------------------------------------------------------
 */

static struct subscribing *subscribing_of(struct hw_reading *r)
{
	return HW_CONTAINER_OF(r, struct subscribing, reading);
}

static struct hw_str topic(struct hw_reading *r, size_t i)
{
	const struct subscribing *sub = subscribing_of(r);

	return i < sub->n_recovering ? sub->recovering[i]->topic : HW_STR_NULL;
}

static uint64_t after(struct hw_reading *r, size_t i)
{
	return subscribing_of(r)->recovering[i]->after;
}

/* What the session has by another subscription comes by that. */
static bool wants(struct hw_reading *r, const struct hw_run *run)
{
	struct subscribing *sub = subscribing_of(r);

	for (size_t i = 0; i < sub->n_recovering; i++) {
		const struct grant *g = sub->recovering[i];

		if (g->after <= run->after && hw_reading_is_of(run, g->topic))
			return !hw_hub_has(r->hub, &sub->job->session->sub, run);
	}
	return false;
}

static bool give(struct hw_reading *r, const struct hw_run *run)
{
	struct subscribing *sub = subscribing_of(r);
	struct hw_session *s = sub->job->session;

	return session_give(s, r, run, HW_RUN_KEPT, &sub->bytes) && sub->bytes < RECOVER_BYTES;
}

/* The topics of which a test says that something is lost. */
static void tell_gaps(struct subscribing *sub,
	bool (*is_lost)(struct subscribing *, struct grant *), const char *reason)
{
	struct hw_str *topics = calloc(sub->n, sizeof(*topics));
	struct hw_session *s = sub->job->session;
	size_t n = 0;

	if (!topics) {
		session_close_code(s, HW_CODE_UNAVAILABLE, "out of memory");
		return;
	}
	for (size_t i = 0; i < sub->n; i++) {
		struct grant *g = &sub->grants[i];

		if (g->code != HW_CODE_NONE || !is_lost(sub, g))
			continue;
		g->gap = true;
		topics[n++] = g->topic;
	}
	if (n)
		session_gap(s, topics, n, reason);
	free(topics);
}

/* While a client reads slowly retention may pass it again and again: what is gone behind the place
 * is told each time, and what it has read before that went is not. */
static bool is_gone(struct subscribing *sub, struct grant *g)
{
	uint64_t gone = g->recovers && g->has_cursor ? hw_reading_gone(&sub->reading, g->topic) : 0;
	bool lost = gone > g->after && gone > g->told && gone > sub->reading.cursor;

	if (gone > g->told)
		g->told = gone;
	return lost;
}

static void lost(struct hw_reading *r)
{
	tell_gaps(subscribing_of(r), is_gone, "retention passed before the client came back");
}

static void go_on(struct job *job);

static void ready(struct hw_reading *r)
{
	go_on(subscribing_of(r)->job);
}

static const struct hw_reading_ops reading_ops = {
	.topic = topic, .after = after, .wants = wants, .give = give, .lost = lost, .ready = ready};

static void on_next_turn(struct hw_timer *timer)
{
	go_on(HW_CONTAINER_OF(timer, struct subscribing, next_turn)->job);
}

/* The policy that granted it may not hold any more, and says that nothing is delivered meanwhile:
 * the client asks again. */
static bool give_up(struct job *job)
{
	struct subscribing *sub = job->subscribing;

	for (size_t i = 0; i < sub->n; i++)
		if (sub->grants[i].code == HW_CODE_NONE)
			refuse(job, &sub->grants[i], HW_CODE_UNAVAILABLE,
				"the policy has changed meanwhile; subscribe again");
	return join_all(job);
}

/* As hw_reading_go, up to the hub's place. A run may not go over a point where a subscription of
 * the session began: what is behind it comes, or came, by that. */
static enum hw_reading_state read_on(struct subscribing *sub)
{
	struct hw_session *s = sub->job->session;
	uint64_t upto = hw_hub_number(s->hub), next;
	enum hw_reading_state state;

	do {
		next = hw_subscriber_next_begin(&s->sub, sub->reading.cursor, upto);
		state = hw_reading_go(&sub->reading, next);
	} while (state == HW_READING_LEVEL && next < upto);
	return state;
}

/* A turn of reading. true: all have joined. */
static bool recover(struct job *job)
{
	struct subscribing *sub = job->subscribing;
	struct hw_session *s = job->session;
	enum hw_reading_state state;

	if (s->held)
		return give_up(job);
	if (s->outlet->blocked(s->arg))
		return false; /* its draining brings us back */
	sub->bytes = 0;
	/* level with the hub and joined to it is one step, also for the first who subscribes */
	hw_hub_stand(s->hub);
	state = read_on(sub);
	if (state == HW_READING_LEVEL && !sub->pumped) {
		/* topics without a cursor begin now, and not with what the hub has yet to read */
		hw_hub_pump(s->hub);
		sub->pumped = true;
		state = read_on(sub);
	}
	/* it is joined where the session is, and not before that: one cursor is to hold for both */
	if (state == HW_READING_LEVEL && s->sub.behind && !s->closed)
		return false; /* its being level brings us back */
	if (state == HW_READING_LEVEL || s->closed)
		return join_all(job);
	if (state == HW_READING_MORE)
		hw_timer_arm(s->worker->timers, &sub->next_turn, hw_worker_now_ms(s->worker));
	return false;
}

static void go_on(struct job *job)
{
	if (recover(job))
		job_resume(job);
}

void subscribe_go_on(struct hw_session *s)
{
	if (s->recovering && s->job && s->job->subscribing &&
		!hw_timer_armed(&s->job->subscribing->next_turn) &&
		!s->job->subscribing->reading.waiting)
		hw_timer_arm(s->worker->timers, &s->job->subscribing->next_turn,
			hw_worker_now_ms(s->worker));
}

/* Another tenant's, another epoch's, one of the future: what it is, is not told. */
static bool is_foreign(struct subscribing *sub, struct grant *g)
{
	(void)sub;
	return g->has_cursor && !g->recovers;
}

/* A session of its query alone gets all of its topics, and begins, or none, and ends. */
static bool admit_all(struct job *job)
{
	struct subscribing *sub = job->subscribing;
	struct hw_session *s = job->session;

	if (sub->refused == HW_CODE_NONE && !s->sub.uncharged &&
		!hw_quota_has_room(&s->hub->tenant->subscriptions, sub->n))
		refuse_limit(job, &sub->grants[0], TENANT_IS_FULL);
	if (sub->refused == HW_CODE_NONE && s->outlet->begin(s->arg, HW_CODE_NONE, HW_STR_NULL))
		return true;
	if (sub->refused != HW_CODE_NONE)
		(void)s->outlet->begin(s->arg, sub->refused, hw_buf_view(&job->scratch));
	hw_session_close(s, hw_code_info(sub->refused)->close_code, HW_STR_NULL);
	return false;
}

/* Where a grant begins, if not now. */
static bool find_begin(struct job *job, struct grant *g)
{
	struct hw_session *s = job->session;

	if (g->code != HW_CODE_NONE || (!g->has_cursor && !g->last))
		return false;
	s->knows_cursors |= g->has_cursor;
	if (hw_hub_subscribed(s->hub, &s->sub, g->topic)) {
		g->has_cursor = false; /* it has all of it already */
		return false;
	}
	if (!g->has_cursor)
		return hw_page_last(s->hub, g->topic, &g->after);
	g->after = g->cursor.seq;
	return hw_page_is_ours(s->hub, g->cursor);
}

/* All topics are asked about. */
static bool decided(struct job *job)
{
	struct subscribing *sub = job->subscribing;
	struct hw_session *s = job->session;

	if (s->only_query && !admit_all(job))
		return true;
	sub->recovering = calloc(sub->n ? sub->n : 1, sizeof(struct grant *));
	if (!sub->recovering) {
		session_close_code(s, HW_CODE_UNAVAILABLE, "out of memory");
		return true;
	}
	sub->reading.hub = s->hub;
	sub->reading.cursor = UINT64_MAX;
	for (size_t i = 0; i < sub->n; i++) {
		struct grant *g = &sub->grants[i];

		if (!find_begin(job, g))
			continue;
		g->recovers = true;
		sub->recovering[sub->n_recovering++] = g;
		if (g->after < sub->reading.cursor)
			sub->reading.cursor = g->after;
	}
	tell_gaps(sub, is_foreign, "the cursor is none of this journal's");
	if (sub->n_recovering == 0) {
		hw_hub_pump(s->hub);
		return join_all(job);
	}
	session_lag_begins(s);
	s->recovering = true;
	session_arm(s);
	return recover(job);
}

/* ---- asking
 * ---------------------------------------------------------------------------------------------------------------------
 */

/* NULL: no memory, and the session is closed. */
static struct grant *grant_new(struct job *job)
{
	struct subscribing *sub = job->subscribing;
	const struct hw_command_topic *t = &job->topic;
	struct grant *g;

	if (sub->n == sub->cap) {
		size_t cap = sub->cap ? sub->cap * 2 : 4;
		void *p = reallocarray(sub->grants, cap, sizeof(*sub->grants));

		if (!p)
			goto fail;
		sub->grants = p;
		sub->cap = cap;
	}
	g = &sub->grants[sub->n];
	*g = (struct grant){.topic = t->topic,
		.raw = t->raw,
		.code = t->code,
		.has_cursor = t->has_cursor,
		.cursor = t->cursor,
		.last = t->last};
	if (t->topic.p == t->store) {
		g->own = hw_str_dup(t->topic);
		if (!g->own)
			goto fail;
		g->topic.p = g->own;
	}
	sub->n++;
	return g;
fail:
	session_close_code(job->session, HW_CODE_UNAVAILABLE, "out of memory");
	return NULL;
}

static void take_verdict(struct job *job, enum hw_verdict verdict)
{
	struct subscribing *sub = job->subscribing;

	struct grant *g = &sub->grants[sub->n - 1];
	enum hw_code code = hw_ask_code(&job->ask, HW_CODE_FORBIDDEN_TOPIC);

	if (verdict == HW_ALLOW) {
		sub->n_granted++;
		return;
	}
	session_note_refused(
		job->session, HW_REFUSED_SUBSCRIBE, g->topic, code, job->ask.decided_by);
	g->retry_after_ms = job->ask.retry_after_ms;
	refuse(job, g, code, job->ask.message);
}

/* What is none of this journal's is before all that is: no number of ours says what it lacks. */
static bool is_earlier(struct hw_hub *hub, struct hw_cursor a, struct hw_cursor b)
{
	if (!hw_page_is_ours(hub, a) || !hw_page_is_ours(hub, b))
		return hw_page_is_ours(hub, b);
	return a.seq < b.seq;
}

/* A topic that is named again is one: it begins where the earliest of its cursors says, and is
 * refused if one of them is malformed. */
static void merge(struct job *job, struct grant *g, const struct grant *again)
{
	g->last |= again->last;
	if (again->has_cursor &&
		(!g->has_cursor || is_earlier(job->session->hub, again->cursor, g->cursor)))
		g->cursor = again->cursor;
	g->has_cursor |= again->has_cursor;
	if (again->code == HW_CODE_NONE || g->code != HW_CODE_NONE)
		return;
	job->subscribing->n_granted--;
	refuse(job, g, again->code, job->topic.message);
}

/* The newest grant: is it the first of its topic in this message? Else it is merged and gone. */
static bool is_first(struct job *job)
{
	struct subscribing *sub = job->subscribing;
	struct grant *g = &sub->grants[sub->n - 1];
	uintptr_t place;

	if (!g->topic.p)
		return true;
	place = (uintptr_t)hw_map_get(&sub->named, g->topic);
	if (place == 0 && !hw_map_put(&sub->named, g->topic, (void *)(uintptr_t)sub->n, NULL))
		return true;
	if (place == 0)
		session_close_code(job->session, HW_CODE_UNAVAILABLE, "out of memory");
	else
		merge(job, &sub->grants[place - 1], g);
	free(g->own);
	sub->n--;
	return false;
}

static bool ask_rest(struct job *job);

static void on_decided(struct hw_ask *ask)
{
	struct job *job = HW_CONTAINER_OF(ask, struct job, ask);

	take_verdict(job, ask->verdict);
	if (ask_rest(job))
		job_resume(job);
}

/* false: a hook is pending. */
static bool ask_next(struct job *job)
{
	struct hw_session *s = job->session;
	size_t n = s->sub.n_subs + job->subscribing->n_granted;
	struct grant *g = grant_new(job);
	enum hw_verdict verdict;

	if (!g)
		return true;
	if (!is_first(job))
		return true;
	if (g->code != HW_CODE_NONE) {
		refuse(job, g, g->code, job->topic.message);
		return true;
	}
	if (!hw_hub_subscribed(s->hub, &s->sub, g->topic) &&
		n >= s->worker->generation->settings.topics_per_session) {
		refuse_limit(job, g, NULL);
		return true;
	}
	verdict =
		session_ask(job, hw_topic_is_wildcard(g->topic) ? HW_OP_WILDCARD : HW_OP_SUBSCRIBE,
			g->topic, false, on_decided);
	if (verdict == HW_PENDING)
		return false;
	take_verdict(job, verdict);
	return true;
}

static bool ask_rest(struct job *job)
{
	while (!job->session->closed && hw_command_topic(&job->topics, &job->topic))
		if (!ask_next(job))
			return false;
	return job->session->closed ? true : decided(job);
}

bool command_subscribe(struct job *job)
{
	struct subscribing *sub = calloc(1, sizeof(*sub));

	if (!sub) {
		session_close_code(job->session, HW_CODE_UNAVAILABLE, "out of memory");
		return true;
	}
	sub->job = job;
	hw_map_init(&sub->named, &job->session->worker->tenants->hash_key);
	hw_reading_init(&sub->reading, &reading_ops);
	hw_timer_init(&sub->next_turn, on_next_turn);
	job->subscribing = sub;
	hw_command_topics(&job->topics, &job->command);
	return ask_rest(job);
}

bool command_unsubscribe(struct job *job)
{
	struct hw_session *s = job->session;
	bool reply = job->command.id.p != NULL;
	/* who has no topic any more stands nowhere, or where others are */
	char text[HW_CURSOR_MAX + 1];
	struct hw_str cursor = session_cursor(s, text);

	if (reply)
		begin_reply(job);
	hw_command_topics(&job->topics, &job->command);
	while (hw_command_topic(&job->topics, &job->topic)) {
		struct grant g = {
			.topic = job->topic.topic, .raw = job->topic.raw, .code = job->topic.code};

		if (g.code == HW_CODE_NONE)
			(void)hw_hub_unsubscribe(s->hub, &s->sub, g.topic);
		else
			tell_refused(job, &g, job->topic.message);
		if (reply)
			add_result(job, &g, cursor);
	}
	if (reply)
		send_reply(job);
	return true;
}
