#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/random.h"
#include "edge/edge_internal.h"
#include "wire/cursor.h"
#include "wire/gzip.h"
#include "wire/sse.h"

/* GET /sse: a session whose client only listens. The exchange waits until all topics are decided;
 * then it is answered with a refusal, or its stream begins, which ends with the connection.
 *
 *   opened ──> waits ──(outlet.begin)──> streams ──(outlet.close)──> event: closed, end
 *                └──(refused)──> answered like any request  */

enum {
	RETRY_MIN_MS = 1000,
	RETRY_MAX_MS = 3000
}; /* advice; spread, so that not all come at once */

struct sse_conn {
	struct edge_conn base; /* of the edge's list, with a stream, once it streams */
	struct hw_session *session;
	struct exchange *ex; /* NULL: it streams */
	struct hw_edge *edge;
	struct hw_timer later; /* what was decided in a later turn is answered from the loop */
	struct hw_gzip *gzip;  /* NULL: as it is */
	enum hw_code code;     /* why it does not begin; NONE: HEAD wanted no more than the head */
	char *why;
	bool opening, placed, closing;
	bool broken; /* a piece of the compressed stream is lost: it ends */
};

/* ---- writing
 * ----------------------------------------------------------------------------------------------------------
 */

/* What was compressed and cannot be queued is missing for good. */
static int break_off(struct sse_conn *conn)
{
	struct hw_worker *w = conn->edge->worker;

	conn->broken = true;
	hw_timer_arm(w->timers, &conn->later, hw_worker_now_ms(w));
	return -ENOMEM;
}

static int send_gzip(struct sse_conn *conn, struct hw_str text, bool last)
{
	struct hw_buf *out = &conn->edge->out;
	int r;

	if (conn->broken)
		return -ENOMEM;
	hw_buf_clear(out);
	r = hw_gzip_write(conn->gzip, text, last, out);
	if (r)
		return r;
	r = hw_stream_copy(conn->base.stream, out->data, out->len);
	return r ? break_off(conn) : 0;
}

static int send_text(struct sse_conn *conn, struct hw_str text)
{
	return conn->gzip ? send_gzip(conn, text, false)
			  : hw_stream_copy(conn->base.stream, text.p, text.len);
}

static int send_block(struct sse_conn *conn, const struct hw_sse_block *block)
{
	struct hw_buf *text = &conn->edge->body;
	size_t size = hw_sse_size(block);
	char *p;

	if (!conn->base.stream || conn->closing)
		return 0;
	hw_buf_clear(text);
	p = hw_buf_reserve(text, size);
	if (!p)
		return -ENOMEM;
	(void)hw_sse_write(p, block);
	return send_text(conn, (struct hw_str){p, size});
}

/* What a client hears of the control messages: each by its name, so that an EventSource whose page
 * did not ask for it shows none of them as a message. None is called as an event of EventSource
 * itself is: open, error, message. */
static struct hw_str name_of(struct hw_str text)
{
	static const char begin[] = "{\"type\":\"";
	static const char *const heard[] = {"gap", "unsubscribed", "goaway"};

	if (!hw_str_starts(text, HW_STR(begin)))
		return HW_STR_NULL;
	text = (struct hw_str){text.p + sizeof(begin) - 1, text.len - (sizeof(begin) - 1)};
	text = hw_str_cut(&text, '"');
	for (size_t i = 0; i < HW_COUNT(heard); i++) {
		if (hw_str_eq(text, hw_str_of(heard[i])))
			return text;
	}
	return HW_STR_NULL;
}

/* ---- the session's outlet
 * ----------------------------------------------------------------------------------------------------------
 */

static int outlet_message(void *arg, struct hw_str text)
{
	struct hw_sse_block block = {.event = name_of(text), .data = text};

	return block.event.p ? send_block(arg, &block) : 0;
}

static int outlet_run(void *arg, const struct hw_run *run, unsigned how)
{
	struct sse_conn *conn = arg;
	struct sse_text text;
	int r;

	if (conn->closing)
		return 0;
	r = sse_run_text(conn->edge, run, !(how & HW_RUN_HELD), &text);
	if (r)
		return r;
	if (conn->gzip) /* once compressed it cannot be taken back: what follows refers to it */
		return send_gzip(conn, (struct hw_str){text.p, text.len}, false);
	return hw_stream_queue(conn->base.stream, text.pin, text.p, text.len,
		how & HW_RUN_KEPT ? 0 : run->after + 1, how & HW_RUN_HELD);
}

static size_t outlet_queued(void *arg)
{
	struct sse_conn *conn = arg;

	return conn->base.stream ? hw_stream_queued(conn->base.stream) : 0;
}

static bool outlet_blocked(void *arg)
{
	struct sse_conn *conn = arg;

	return conn->base.stream && hw_stream_blocked(conn->base.stream);
}

static uint64_t outlet_drop(void *arg)
{
	struct sse_conn *conn = arg;

	return conn->base.stream ? hw_stream_drop(conn->base.stream) : 0;
}

static void outlet_ping(void *arg)
{
	struct sse_conn *conn = arg;

	/* what waits for the client says as much */
	if (conn->base.stream && hw_stream_queued(conn->base.stream) == 0)
		(void)!send_text(conn, HW_STR(HW_SSE_COMMENT));
}

static void outlet_pause(void *arg, bool on)
{
	(void)arg; /* its client says nothing */
	(void)on;
}

/* The first names the event: there are clients that keep the id of a bare block for nothing, and
 * one that is cut off before its first event has to come back with something. */
static int outlet_place(void *arg, struct hw_str cursor)
{
	struct sse_conn *conn = arg;
	char text[HW_CURSOR_MAX + 32];
	struct hw_sse_block block = {.id = cursor};

	if (!conn->placed) {
		snprintf(text, sizeof(text), "{\"type\":\"cursor\",\"cursor\":\"%.*s\"}",
			HW_STR_ARG(cursor));
		block.event = HW_STR("cursor");
		block.data = hw_str_of(text);
		conn->placed = true;
	}
	return send_block(conn, &block);
}

/* ---- the end
 * ----------------------------------------------------------------------------------------------------------
 */

static void conn_destroy(struct edge_conn *base)
{
	struct sse_conn *conn = HW_CONTAINER_OF(base, struct sse_conn, base);

	conn->closing = true;
	hw_session_destroy(&conn->session);
	hw_timer_cancel(&conn->later);
	if (!conn->ex)
		edge_conn_fini(&conn->base);
	hw_gzip_destroy(&conn->gzip);
	free(conn->why);
	free(conn);
}

/* Whoever drains the sessions spreads their closes. */
static void conn_drain(struct edge_conn *base)
{
	(void)base;
}

static void say_closed(struct sse_conn *conn, uint16_t close_code, struct hw_str reason)
{
	struct hw_str message;
	enum hw_code code = hw_code_of_close(close_code, reason, &message);
	struct hw_buf text;
	struct hw_sse_block block = {.event = HW_STR("closed")};

	hw_buf_init(&text);
	hw_buf_printf(&text, "{\"type\":\"closed\",\"close_code\":%u,", close_code);
	hw_code_members(&text, code, message, EDGE_NO_RETRY);
	hw_buf_putc(&text, '}');
	block.data = hw_buf_view(&text);
	if (!text.failed)
		(void)!send_block(conn, &block); /* without memory the end alone must do */
	hw_buf_fini(&text);
}

static int answer_head(struct sse_conn *conn)
{
	struct hw_str type = HW_STR(HW_SSE_TYPE);
	struct hw_buf *begin = &conn->edge->body;
	char retry[32];
	uint32_t r;

	hw_random(&r, sizeof(r));
	snprintf(retry, sizeof(retry), "retry: %u\n\n",
		RETRY_MIN_MS + r % (RETRY_MAX_MS - RETRY_MIN_MS + 1));
	if (!conn->gzip)
		return answer_stream(conn->ex, type, hw_str_of(retry));
	hw_buf_clear(begin);
	if (hw_gzip_write(conn->gzip, hw_str_of(retry), false, begin))
		return -ENOMEM;
	return answer_stream(conn->ex, type, hw_buf_view(begin));
}

/* The exchange has its answer. */
static void answer(struct sse_conn *conn)
{
	struct exchange *ex = conn->ex;

	if (conn->code == HW_CODE_NONE && !answer_head(conn))
		return;
	exchange_refuse(
		ex, 0, conn->code == HW_CODE_NONE ? HW_CODE_UNAVAILABLE : conn->code, conn->why);
	answer_refusal(ex);
}

static void on_later(struct hw_timer *timer)
{
	struct sse_conn *conn = HW_CONTAINER_OF(timer, struct sse_conn, later);

	if (!conn->ex) { /* it is broken */
		conn_destroy(&conn->base);
		return;
	}
	answer(conn);
	http_resume(conn->ex);
}

static void outlet_close(void *arg, uint16_t close_code, struct hw_str reason)
{
	struct sse_conn *conn = arg;
	struct hw_worker *w = conn->edge->worker;
	struct hw_str message;

	if (close_code == 0 || conn->closing) /* the connection is gone already */
		return;
	if (!conn->ex) {
		say_closed(conn, close_code, reason);
		if (conn->gzip)
			(void)!send_gzip(conn, HW_STR(""), true);
		conn->closing = true;
		hw_stream_finish(conn->base.stream, EDGE_LINGER_MS, EDGE_LINGER_MS);
		return;
	}
	conn->closing = true;
	if (conn->code == HW_CODE_NONE && reason.len > 0) {
		conn->code = hw_code_of_close(close_code, reason, &message);
		conn->why = hw_str_dup(message); /* NULL: the code's own */
	}
	if (!conn->opening)
		hw_timer_arm(w->timers, &conn->later, hw_worker_now_ms(w));
}

/* ---- the stream's callbacks
 * ----------------------------------------------------------------------------------------------------------
 */

static void on_received(void *owner, uint8_t *p, size_t len)
{
	(void)owner; /* nothing behind this request is answered */
	(void)p;
	(void)len;
}

static void on_drained(void *owner)
{
	struct sse_conn *conn = owner;

	if (conn->session)
		hw_session_drained(conn->session);
}

static void on_closed(void *owner, int error)
{
	struct sse_conn *conn = owner;

	(void)error;
	conn_destroy(&conn->base);
}

/* ---- the beginning
 * ----------------------------------------------------------------------------------------------------------
 */

static int64_t patience_ms(const struct hw_settings *settings)
{
	return settings->ping_timeout_ms > settings->slow_deadline_ms ? settings->ping_timeout_ms
								      : settings->slow_deadline_ms;
}

static bool take_stream(struct sse_conn *conn)
{
	static const struct hw_stream_ops stream_ops = {
		.received = on_received,
		.drained = on_drained,
		.closed = on_closed,
	};
	static const struct edge_conn_ops conn_ops = {.destroy = conn_destroy, .drain = conn_drain};
	struct exchange *ex = conn->ex;

	if (ex->accepts_gzip)
		conn->gzip = hw_gzip_create();
	if ((ex->accepts_gzip && !conn->gzip) || answer_head(conn)) {
		conn->code = HW_CODE_UNAVAILABLE;
		return false;
	}
	edge_conn_init(&conn->base, conn->edge, &conn_ops);
	hw_stream_expect_acks(http_stream(ex), patience_ms(http_settings(ex)));
	conn->base.stream = http_give_stream(ex);
	hw_stream_set_owner(conn->base.stream, &stream_ops, conn);
	hw_stream_read(conn->base.stream, true);
	conn->ex = NULL;
	ex->sse = NULL;
	ex->given = true;
	if (!conn->opening)
		http_resume(ex);
	return true;
}

static bool outlet_begin(void *arg, enum hw_code code, struct hw_str message)
{
	struct sse_conn *conn = arg;

	conn->code = code;
	if (code != HW_CODE_NONE) {
		conn->why = hw_str_dup(message);
		return false;
	}
	return !conn->ex->head_only && take_stream(conn);
}

static const struct hw_outlet outlet = {
	.message = outlet_message,
	.run = outlet_run,
	.queued = outlet_queued,
	.blocked = outlet_blocked,
	.drop = outlet_drop,
	.ping = outlet_ping,
	.pause = outlet_pause,
	.close = outlet_close,
	.begin = outlet_begin,
	.place = outlet_place,
};

static bool has_topic(struct hw_str list)
{
	while (list.p) {
		if (hw_str_cut(&list, ',').len > 0)
			return true;
	}
	return false;
}

void sse_read_head(struct exchange *ex, const struct hw_http1_request *request)
{
	size_t n;
	struct hw_str last = hw_http1_header(request, "Last-Event-ID", &n);
	struct hw_cursor cursor;
	bool is_last;

	(void)token_query_last(ex, &is_last);
	if (n > 1)
		exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, "there is more than one Last-Event-ID");
	if (n == 1 && last.len > 0) /* the address of an EventSource stays, the header is newer */
		ex->cursor = exchange_keep(ex, last);
	if (ex->cursor.there && hw_cursor_parse(exchange_str(ex, ex->cursor), &cursor))
		exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, "the cursor is malformed");
	for (size_t i = 0; http_settings(ex)->sse_gzip && i < request->n_headers; i++) {
		if (hw_str_eq_nocase(request->headers[i].name, HW_STR("Accept-Encoding")))
			ex->accepts_gzip |= hw_gzip_accepted(request->headers[i].value);
	}
	if (!has_topic(exchange_str(ex, ex->topics)))
		exchange_refuse(
			ex, 0, HW_CODE_BAD_REQUEST, "the query has no topics: /sse?topics=a:1,b:2");
}

void sse_abandon(struct exchange *ex)
{
	if (!ex->sse)
		return;
	conn_destroy(&ex->sse->base);
	ex->sse = NULL;
}

void sse_handle(struct exchange *ex)
{
	struct sse_conn *conn = calloc(1, sizeof(*conn));
	struct hw_session_open open = {
		.outlet = &outlet,
		.arg = conn,
		.only_query = true,
		.transport = ex->route->transport,
		.address = hw_str_of(http_address(ex)),
		.origin = exchange_str(ex, ex->origin),
		.path = hw_str_of(ex->route->path),
		.login = &ex->login,
		.topics = exchange_str(ex, ex->topics),
		.cursor = exchange_str(ex, ex->cursor),
	};

	(void)token_query_last(ex, &open.last); /* the head was refused if it is none */

	if (!conn) {
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
		answer_refusal(ex);
		return;
	}
	conn->ex = ex;
	conn->edge = http_edge(ex);
	hw_timer_init(&conn->later, on_later);
	ex->sse = conn;
	conn->opening = true;
	conn->session = hw_session_create(conn->edge->worker, &open);
	conn->opening = false;
	if (!conn->session)
		conn->code = HW_CODE_UNAVAILABLE;
	if (!conn->ex)
		return;
	if (conn->closing || !conn->session)
		answer(conn);
	else
		ex->waiting = true;
}
