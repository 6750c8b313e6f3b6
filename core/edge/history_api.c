#include <stdlib.h>

#include "edge/edge_internal.h"
#include "session/peek.h"
#include "wire/command.h"
#include "wire/topic.h"

/* GET /topics/{topic}/history and …/presence: the topic is looked at while the exchange waits. */
struct history {
	struct exchange *ex;
	struct hw_buf out;
	struct hw_peek peek;
};

void history_free(struct history **history)
{
	struct history *h = *history;

	if (!h)
		return;
	*history = NULL;
	hw_peek_cancel(&h->peek);
	hw_buf_fini(&h->out);
	free(h);
}

static void answer_presence(struct exchange *ex, const struct hw_peek *p, struct hw_str users)
{
	struct hw_buf *body = answer_body(ex);

	hw_control_presence_body(body, p->topic);
	hw_buf_str(body, users);
	hw_control_presence_end(body, p->number);
	answer_json(ex, 200, hw_buf_view(body));
}

static void answer(struct history *h)
{
	struct exchange *ex = h->ex;
	struct hw_peek *p = &h->peek;

	if (h->out.failed)
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
	else if (p->code != HW_CODE_NONE)
		exchange_refuse(ex, 0, p->code, p->message);
	if (p->code != HW_CODE_NONE)
		ex->retry_after_ms = p->retry_after_ms;
	if (exchange_refused(ex))
		answer_refusal(ex);
	else if (p->presence)
		answer_presence(ex, p, hw_buf_view(&h->out));
	else
		answer_events(ex, hw_buf_view(&h->out), p->upto, p->gap);
}

static void on_done(struct hw_peek *peek)
{
	struct history *h = HW_CONTAINER_OF(peek, struct history, peek);

	answer(h);
	http_resume(h->ex);
}

/* false: refused. */
static bool read_query(struct exchange *ex, struct hw_peek *peek)
{
	struct hw_str topic = exchange_str(ex, ex->topic);
	const char *why = NULL;

	if (!(peek->presence ? hw_topic_valid(topic) : hw_topic_pattern_valid(topic)))
		why = "this is no topic: {resource}:{id} is expected";
	else if (ex->cursor.there && hw_cursor_parse(exchange_str(ex, ex->cursor), &peek->cursor))
		why = "the cursor is malformed";
	else if (hw_history_limit(exchange_str(ex, ex->limit), &peek->limit))
		why = "limit is a number, 1 or more";
	if (why)
		exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, why);
	return !why;
}

static void look(struct exchange *ex, bool presence)
{
	struct history *h = calloc(1, sizeof(*h));

	ex->history = h;
	if (!h)
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
	else
		h->peek.presence = presence;
	if (!h || !read_query(ex, &h->peek)) {
		answer_refusal(ex);
		return;
	}
	h->ex = ex;
	hw_buf_init(&h->out);
	h->peek.hub = ex->login.hub;
	h->peek.identity = ex->login.identity;
	h->peek.session = HW_STR("");
	h->peek.address = hw_str_of(http_address(ex));
	h->peek.topic = exchange_str(ex, ex->topic);
	h->peek.has_cursor = ex->cursor.there;
	h->peek.out = &h->out;
	h->peek.done = on_done;
	ex->waiting = !hw_peek_start(&h->peek);
	if (!ex->waiting)
		answer(h);
}

void history_handle(struct exchange *ex)
{
	look(ex, false);
}

void presence_handle(struct exchange *ex)
{
	look(ex, true);
}
