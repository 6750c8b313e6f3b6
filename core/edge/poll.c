#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "edge/poll_internal.h"
#include "wire/topic.h"

enum {
	WAIT_DEFAULT_S =
		25, /* under the 30 and 60 seconds after which proxies and browsers give up */
	WAIT_MOST_S = 60,
	POLL_EVENTS = 1000, /* of an answer: the cursor says where to go on */
	POLL_BYTES = 1u << 20,
	HELD_LOOK_MS = 50, /* while its session may not be given anything */
};

/* ---- life
 * ------------------------------------------------------------------------------------------------------------------
 */

static void stop_page(struct poll *p)
{
	if (!p->page)
		return;
	hw_page_stop(p->page);
	free(p->page);
	p->page = NULL;
}

static void set_state(struct poll *p, enum poll_state state)
{
	int waits = (state == POLL_LIVE) - (p->state == POLL_LIVE);

	p->state = state;
	if (waits)
		hw_metric_add(http_edge(p->ex)->worker->counters->polls_waiting, waits);
}

void poll_free(struct poll **poll)
{
	struct poll *p = *poll;

	if (!p)
		return;
	*poll = NULL;
	set_state(p, POLL_ANSWERED);
	stop_page(p);
	hw_timer_cancel(&p->timer);
	poller_leave(p);
	hw_identity_unref(&p->identity);
	hw_buf_fini(&p->out);
	free(p->afters);
	free(p);
}

/* ---- answers
 * ---------------------------------------------------------------------------------------------------------------
 */

static struct hw_journal *journal_of(const struct poll *p)
{
	return hw_session_hub(p->poller->session)->tenant->journal;
}

static struct hw_worker *worker_of(const struct poll *p)
{
	return http_edge(p->ex)->worker;
}

/* The exchange has its answer. The poll may be gone afterwards. */
static bool answered(struct poll *p)
{
	set_state(p, POLL_ANSWERED);
	hw_timer_cancel(&p->timer);
	poller_leave(p);
	if (!p->handling)
		http_resume(p->ex);
	return true;
}

static bool refuse(struct poll *p, enum hw_code code, const char *message)
{
	exchange_refuse(p->ex, 0, code, message);
	answer_refusal(p->ex);
	return answered(p);
}

static bool answer(struct poll *p)
{
	struct hw_cursor upto = {.epoch = hw_journal_epoch(journal_of(p)), .seq = p->cursor};

	if (p->out.failed)
		return refuse(p, HW_CODE_UNAVAILABLE, "out of memory");
	answer_events(p->ex, hw_buf_view(&p->out), upto, p->gap);
	return answered(p);
}

/* With nothing new: the session's cursor is behind all that it did not want. */
static bool answer_empty(struct poll *p)
{
	uint64_t number = hw_session_number(p->poller->session);

	if (p->state == POLL_LIVE && number > p->cursor)
		p->cursor = number;
	return answer(p);
}

static bool expired(const struct poll *p)
{
	return p->expires_at && p->expires_at * 1000 <= hw_worker_wall_ms(worker_of(p));
}

/* ---- waiting
 * ----------------------------------------------------------------------------------------------------------------
 */

/* Not later than what it waits for, and than its token's end. That is a matter of the wall clock,
 * which is asked each time: a timer that it has let run may be due a little before, and then it is
 * not the end yet. */
static void arm(struct poll *p, int64_t after_ms)
{
	struct hw_worker *w = worker_of(p);
	int64_t now_ms = hw_worker_now_ms(w);
	int64_t due_ms = now_ms + after_ms;

	if (due_ms > p->deadline_ms)
		due_ms = p->deadline_ms;
	if (p->expires_at) {
		int64_t ends_ms = now_ms + p->expires_at * 1000 - hw_worker_wall_ms(w);

		due_ms = ends_ms < due_ms ? ends_ms : due_ms;
	}
	hw_timer_arm(w->timers, &p->timer, due_ms);
}

static bool late(const struct poll *p)
{
	return hw_worker_now_ms(worker_of(p)) >= p->deadline_ms;
}

void poll_take(struct poll *p, const struct hw_run *run)
{
	bool unnumbered = run->after == run->upto; /* its topic keeps no history */

	p->missed = true;
	for (size_t i = 0; p->state == POLL_LIVE && i < run->n && !p->full; i++) {
		uint64_t number = hw_run_number(run, i);

		if (!unnumbered && number <= p->cursor)
			continue; /* the page had it */
		if (p->n++)
			hw_buf_putc(&p->out, ',');
		hw_buf_str(&p->out, hw_run_event(run, i, NULL));
		if (!unnumbered)
			p->cursor = number;
		p->full = p->n >= POLL_EVENTS || p->out.len >= POLL_BYTES || p->out.failed;
	}
	if (p->n && p->state == POLL_LIVE)
		arm(p, 0); /* with all that comes in this turn */
}

static void take_back(struct poll *p)
{
	stop_page(p);
	hw_buf_fini(&p->out);
	hw_buf_init(&p->out);
	free(p->afters);
	p->afters = NULL;
	p->n = 0;
	p->full = p->gap = false;
	p->cursor = p->from;
}

void poll_hold(struct poll *p)
{
	if (p->state != POLL_READING && p->state != POLL_LIVE)
		return;
	take_back(p);
	set_state(p, POLL_HELD);
	arm(p, HELD_LOOK_MS);
}

void poll_end(struct poll *p)
{
	struct poller *r = p->poller;
	struct exchange *ex = p->ex;

	if (!ex->waiting) {
		/* the rest of its request is yet to come, and to be answered */
		exchange_refuse(ex, 0, r->end.code ? r->end.code : HW_CODE_UNAVAILABLE, NULL);
		poller_leave(p);
	} else if (r->end.code != HW_CODE_NONE) {
		(void)refuse(p, r->end.code, r->end.message);
	} else if (!p->identity) { /* it never began: it has no place to go on from */
		(void)refuse(p, HW_CODE_DRAINING, NULL);
	} else {
		if (p->state == POLL_READING)
			take_back(p);
		(void)answer(p);
	}
}

/* ---- reading
 * ------------------------------------------------------------------------------------------------------------------
 */

static bool read_page(struct poll *p);

/* All up to the journal's head is read. true: answered. */
static bool take_page(struct poll *p)
{
	p->cursor = p->page->cursor;
	p->gap = p->gap || p->page->gap;
	p->n += (uint32_t)p->page->n;
	stop_page(p);
	if (p->n || p->gap || p->out.failed || late(p))
		return answer(p);
	if (p->missed) {
		free(p->afters); /* behind all of them by now */
		p->afters = NULL;
		return read_page(p);
	}
	set_state(p, POLL_LIVE);
	arm(p, INT32_MAX);
	return false;
}

static void on_page(struct hw_page *page)
{
	struct poll *p = page->arg;

	(void)take_page(p);
}

static bool read_page(struct poll *p)
{
	const struct poller *r = p->poller;

	set_state(p, POLL_READING);
	p->missed = false;
	p->page = calloc(1, sizeof(*p->page));
	if (!p->page)
		return refuse(p, HW_CODE_UNAVAILABLE, "out of memory");
	*p->page = (struct hw_page){.hub = hw_session_hub(r->session),
		.identity = p->identity,
		.topics = r->topics,
		.n_topics = r->n_topics,
		.after = p->cursor,
		.afters = p->afters,
		.limit = POLL_EVENTS,
		.max_bytes = POLL_BYTES,
		.out = &p->out,
		.done = on_page,
		.arg = p};
	return hw_page_start(p->page) ? take_page(p) : false;
}

/* Where each topic has its newest event. false: there is none. */
static bool find_last(struct poll *p)
{
	const struct poller *r = p->poller;
	struct hw_hub *hub = hw_session_hub(r->session);
	uint64_t number = p->cursor, least = number;

	p->afters = calloc(r->n_topics, sizeof(*p->afters));
	for (size_t i = 0; p->afters && i < r->n_topics; i++) {
		if (!hw_page_last(hub, r->topics[i], &p->afters[i]))
			p->afters[i] = number;
		least = p->afters[i] < least ? p->afters[i] : least;
	}
	if (!p->afters || least == number)
		return false;
	p->cursor = least;
	return true;
}

/* Its session may be given events. true: answered. */
static bool start(struct poll *p)
{
	struct hw_hub *hub = hw_session_hub(p->poller->session);

	if (!p->identity)
		p->identity = hw_identity_ref(hw_session_identity(p->poller->session));
	/* what comes live from now on is behind what is read now */
	hw_hub_pump(hub);
	p->cursor = hw_hub_number(hub);
	if (p->has_cursor && !hw_page_is_ours(hub, p->given)) {
		p->gap = true;
		return answer(p);
	}
	if (p->has_cursor)
		p->cursor = p->given.seq;
	else if (p->last)
		(void)find_last(p);
	else
		p->given = (struct hw_cursor){hw_journal_epoch(journal_of(p)), p->cursor};
	/* should it be held, it begins there again */
	p->has_cursor = p->has_cursor || !p->last;
	p->from = p->cursor;
	return read_page(p);
}

bool poll_begin(struct poll *p)
{
	if (expired(p))
		return refuse(p, HW_CODE_TOKEN_EXPIRED, NULL);
	if (!hw_session_held(p->poller->session))
		return start(p);
	set_state(p, POLL_HELD);
	if (late(p)) {
		exchange_refuse(p->ex, 0, HW_CODE_UNAVAILABLE,
			"the policy has changed and is asked again; try again");
		answer_refusal(p->ex);
		return answered(p);
	}
	arm(p, HELD_LOOK_MS);
	return false;
}

static void on_timer(struct hw_timer *timer)
{
	struct poll *p = HW_CONTAINER_OF(timer, struct poll, timer);

	switch (p->state) {
	case POLL_OPENING:
	case POLL_HELD:
		if (p->poller->open && !p->poller->ended)
			(void)poll_begin(p);
		break;
	case POLL_LIVE:
		if (p->n)
			(void)answer(p);
		else if (expired(p))
			(void)refuse(p, HW_CODE_TOKEN_EXPIRED, NULL);
		else if (late(p))
			(void)answer_empty(p);
		else
			arm(p, INT32_MAX);
		break;
	case POLL_READING: /* the page is on its way: late ones are answered with it */
	case POLL_ANSWERED:
		break;
	}
}

/* ---- the request
 * --------------------------------------------------------------------------------------------------------------
 */

static bool read_wait(struct exchange *ex, struct poll *p)
{
	struct hw_str text = exchange_str(ex, ex->wait);
	uint64_t s = WAIT_DEFAULT_S;

	if (text.p && (hw_str_to_u64(text, &s) || s > WAIT_MOST_S)) {
		exchange_refuse(
			ex, 0, HW_CODE_BAD_REQUEST, "wait is a whole number of seconds, 0 to 60");
		return false;
	}
	p->wait_ms = (int64_t)s * 1000;
	return true;
}

static bool read_query(struct exchange *ex, struct poll *p)
{
	if (!read_wait(ex, p) || !token_query_last(ex, &p->last))
		return false;
	p->has_cursor = ex->cursor.there;
	if (!p->has_cursor || !hw_cursor_parse(exchange_str(ex, ex->cursor), &p->given))
		return true;
	exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, "the cursor is malformed");
	return false;
}

/* NULL: refused. */
static struct poll *poll_new(struct exchange *ex)
{
	struct poll *p = calloc(1, sizeof(*p));

	ex->poll = p;
	if (!p) {
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
		return NULL;
	}
	p->ex = ex;
	hw_list_init(&p->link);
	hw_timer_init(&p->timer, on_timer);
	hw_buf_init(&p->out);
	return read_query(ex, p) ? p : NULL;
}

/* false: refused. */
static bool read_topics(struct exchange *ex, const struct poll *p, struct poll_topics *out)
{
	if (!poll_topics_read(ex, out))
		return false;
	for (size_t i = 0; p->last && i < out->n; i++)
		if (hw_topic_is_wildcard(out->topics[i]))
			exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST,
				"last is of one topic, not of a pattern");
	if (!exchange_refused(ex))
		return true;
	poll_topics_fini(out);
	return false;
}

bool poll_find(struct exchange *ex)
{
	struct poll *p = poll_new(ex);
	struct poll_topics topics;
	struct poller *r;

	if (!p || !read_topics(ex, p, &topics))
		return true; /* nobody needs to be asked about what is refused */
	r = poller_of_token(ex, &topics);
	if (r) {
		p->expires_at = r->token_expires_at;
		poller_join(r, p);
	}
	poll_topics_fini(&topics);
	return r != NULL;
}

/* Its session, by who it is. false: refused. */
static bool join(struct exchange *ex, struct poll *p)
{
	struct poll_topics topics;
	struct poller *r;

	if (!read_topics(ex, p, &topics))
		return false;
	p->expires_at = ex->login.identity->expires_at;
	r = poller_get(ex, &topics);
	poll_topics_fini(&topics);
	if (r)
		poller_join(r, p);
	else
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
	return r != NULL;
}

void poll_handle(struct exchange *ex)
{
	struct poll *p = ex->poll ? ex->poll : poll_new(ex);

	if (!p || exchange_refused(ex) || (!p->poller && !join(ex, p))) {
		answer_refusal(ex);
		return;
	}
	p->deadline_ms = hw_worker_now_ms(worker_of(p)) + p->wait_ms;
	p->handling = true;
	/* what has ended answers in the next turn */
	ex->waiting = !p->poller->open || p->poller->ended || !poll_begin(p);
	p->handling = false;
}
