#include <stdlib.h>
#include <string.h>

#include "edge/edge_internal.h"
#include "wire/proxy2.h"

enum {
	HEAD_MS = 10000,
	BODY_MS = 30000,
	IDLE_MS = 60000,
	WRITE_MS = 30000,   /* for a peer that does not read its answers */
	MAX_QUEUED = 65536, /* of answers: then the next request waits */
	LOG_EVERY_MS = 1000,
};

enum deadline {
	DEADLINE_NONE,
	DEADLINE_HEAD,
	DEADLINE_BODY,
	DEADLINE_IDLE,
	DEADLINE_TURN,
	DEADLINE_WRITE
};

/* One HTTP connection; requests are answered one after the other. Before the first one there may be
 * a PROXY header, whose time is the first head's.
 *
 *   reading ──> waiting (a hook) ──> reading      input: the bytes behind a request that is not
 * answered yet └──> choked (unsent answers) ──┘           finished: hw_stream_finish was called,
 * the end is on its way */
struct http_conn {
	struct edge_conn base; /* first */
	enum hw_edge_kind kind;
	enum deadline deadline;
	struct hw_http1 reader;
	struct hw_timer timer;
	struct exchange *exchange; /* NULL between requests */
	struct hw_buf input;
	bool choked, finished;
	bool used;               /* a request came */
	struct hw_proxy2 *proxy; /* a PROXY header that has not come whole; NULL: none is due */
	char address[EDGE_ADDRESS_MAX]; /* the peer's, or what the PROXY header says */
};

struct hw_edge *http_edge(const struct exchange *ex)
{
	return ex->conn->base.edge;
}

const struct hw_settings *http_settings(const struct exchange *ex)
{
	return &ex->conn->base.edge->worker->generation->settings;
}

const char *http_address(const struct exchange *ex)
{
	return ex->client[0] ? ex->client : ex->conn->address;
}

const char *http_transport(const struct exchange *ex)
{
	if (ex->upgrade)
		return "ws";
	return ex->route && ex->route->transport ? ex->route->transport : "http";
}

enum hw_edge_kind http_kind(const struct exchange *ex)
{
	return ex->conn->kind;
}

struct hw_stream *http_stream(const struct exchange *ex)
{
	return ex->conn->base.stream;
}

struct hw_stream *http_give_stream(struct exchange *ex)
{
	struct hw_stream *stream = ex->conn->base.stream;

	ex->conn->base.stream = NULL;
	return stream;
}

/* ---- life
 * ---------------------------------------------------------------------------------------------------------------
 */

static void conn_destroy(struct edge_conn *base)
{
	struct http_conn *conn = HW_CONTAINER_OF(base, struct http_conn, base);

	hw_timer_cancel(&conn->timer);
	exchange_free(&conn->exchange);
	hw_http1_fini(&conn->reader);
	hw_buf_fini(&conn->input);
	free(conn->proxy);
	edge_conn_fini(&conn->base);
	free(conn);
}

static void set_deadline(struct http_conn *conn, enum deadline deadline)
{
	static const int64_t after_ms[] = {
		[DEADLINE_HEAD] = HEAD_MS,
		[DEADLINE_BODY] = BODY_MS,
		[DEADLINE_IDLE] = IDLE_MS,
		[DEADLINE_TURN] = 0,
		[DEADLINE_WRITE] = WRITE_MS,
	};
	struct hw_worker *w = conn->base.edge->worker;

	if (conn->deadline == deadline)
		return;
	conn->deadline = deadline;
	if (deadline == DEADLINE_NONE)
		hw_timer_cancel(&conn->timer);
	else
		hw_timer_arm(w->timers, &conn->timer, hw_worker_now_ms(w) + after_ms[deadline]);
}

/* What is queued is written, then the connection ends. */
static void finish(struct http_conn *conn)
{
	conn->finished = true;
	set_deadline(conn, DEADLINE_NONE);
	hw_stream_finish(conn->base.stream, WRITE_MS, EDGE_LINGER_MS);
}

static void conn_drain(struct edge_conn *base)
{
	struct http_conn *conn = HW_CONTAINER_OF(base, struct http_conn, base);

	/* one that has not asked anything yet is about to: it gets its answer, and "Connection:
	 * close" with it */
	if (conn->used && !conn->exchange && !conn->finished && conn->input.len == 0 &&
		hw_http1_phase(&conn->reader) == HW_HTTP1_IDLE)
		finish(conn);
}

/* ---- an exchange
 * ------------------------------------------------------------------------------------------------------------
 */

/* The connection is another's from now on. */
static bool is_given(const struct exchange *ex)
{
	return ex->ws || ex->given;
}

static bool begin_exchange(struct http_conn *conn)
{
	conn->exchange = calloc(1, sizeof(*conn->exchange));
	if (!conn->exchange)
		return false;
	conn->exchange->conn = conn;
	conn->exchange->retry_after_ms = EDGE_NO_RETRY;
	hw_metric_add(conn->base.edge->worker->counters->http_requests, 1);
	return true;
}

/* The answer is queued: is there a next one? */
static void end_exchange(struct http_conn *conn)
{
	bool keep = conn->exchange->keep_alive;

	exchange_free(&conn->exchange);
	conn->used = true;
	set_deadline(conn, DEADLINE_NONE);
	if (!keep) {
		finish(conn);
	} else if (hw_stream_cost(conn->base.stream) > MAX_QUEUED) {
		conn->choked = true;
		set_deadline(conn, DEADLINE_TURN);
	}
}

/* Ends a request that cannot be read to its end. */
static void abort_exchange(
	struct http_conn *conn, unsigned status, enum hw_code code, const char *why)
{
	struct exchange *ex;

	if (!conn->exchange && !begin_exchange(conn)) {
		finish(conn);
		return;
	}
	ex = conn->exchange;
	ex->code = HW_CODE_NONE; /* this comes before what it would have been refused for */
	exchange_refuse(ex, status, code, why);
	ex->keep_alive = false;
	answer_refusal(ex);
	end_exchange(conn);
}

static void on_reader_error(struct http_conn *conn)
{
	struct hw_http1 *reader = &conn->reader;

	if (!conn->exchange && reader->request_known && begin_exchange(conn))
		exchange_open(conn->exchange, reader->request);
	abort_exchange(conn, reader->status,
		reader->status == 413 ? HW_CODE_TOO_LARGE : HW_CODE_BAD_REQUEST, reader->reason);
}

/* The head is understood and whoever sent it is known: the body may come. */
static void after_login(struct http_conn *conn)
{
	struct exchange *ex = conn->exchange;

	if (!ex->wants_continue)
		return;
	ex->wants_continue = false;
	if (exchange_refused(ex) || hw_stream_copy(conn->base.stream, HW_HTTP1_CONTINUE,
					    sizeof(HW_HTTP1_CONTINUE) - 1)) {
		if (!exchange_refused(ex))
			exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
		ex->keep_alive = false; /* the body may come all the same */
		answer_refusal(ex);
		end_exchange(conn);
	}
}

static void on_head(struct http_conn *conn)
{
	if (!begin_exchange(conn)) {
		finish(conn);
		return;
	}
	set_deadline(conn, DEADLINE_BODY);
	exchange_open(conn->exchange, conn->reader.request);
	exchange_login(conn->exchange);
	if (!conn->exchange->waiting)
		after_login(conn);
}

static void on_body(struct http_conn *conn)
{
	struct exchange *ex = conn->exchange;

	if (exchange_refused(ex) || !ex->route->post)
		return;
	hw_buf_str(&ex->body, conn->reader.piece);
	if (ex->body.failed)
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
}

static void on_end(struct http_conn *conn)
{
	struct exchange *ex = conn->exchange;

	set_deadline(conn, DEADLINE_NONE);
	exchange_recheck(ex);
	if (exchange_refused(ex) && !(ex->v1 && !ex->bad_handshake))
		answer_refusal(ex);
	else
		ex->route->handle(ex);
	if (!ex->waiting && !is_given(ex))
		end_exchange(conn);
}

/* ---- reading
 * -------------------------------------------------------------------------------------------------------------------
 */

static bool stopped(const struct http_conn *conn)
{
	return conn->finished || conn->choked ||
	       (conn->exchange && (conn->exchange->waiting || is_given(conn->exchange)));
}

static void wait_for_more(struct http_conn *conn)
{
	switch (hw_http1_phase(&conn->reader)) {
	case HW_HTTP1_IDLE:
		if (conn->base.edge->worker->draining && conn->used)
			finish(conn);
		else
			set_deadline(conn, conn->used ? DEADLINE_IDLE : DEADLINE_HEAD);
		break;
	case HW_HTTP1_IN_HEAD:
		set_deadline(conn, DEADLINE_HEAD);
		break;
	case HW_HTTP1_IN_BODY:
	case HW_HTTP1_DONE:
		break;
	}
}

/* Keeps what is behind a request until it is answered, and reads no more meanwhile. */
static void keep_input(struct http_conn *conn, const char *p, size_t len)
{
	hw_buf_add(&conn->input, p, len);
	if (conn->input.failed) {
		finish(conn);
		return;
	}
	/* who waits long for an event may leave meanwhile, which only reading shows */
	hw_stream_read(
		conn->base.stream, conn->exchange && conn->exchange->poll && conn->input.len == 0);
}

/* The connection may be gone afterwards. */
static void feed(struct http_conn *conn, char *p, size_t len)
{
	while (!stopped(conn)) {
		size_t used = 0;
		int r = hw_http1_read(&conn->reader, p, len, &used);

		p += used;
		len -= used;
		switch (r) {
		case HW_HTTP1_MORE:
			wait_for_more(conn);
			return;
		case HW_HTTP1_HEAD:
			on_head(conn);
			break;
		case HW_HTTP1_BODY:
			on_body(conn);
			break;
		case HW_HTTP1_END:
			on_end(conn);
			break;
		case HW_HTTP1_ERROR:
			on_reader_error(conn);
			break;
		default:
			finish(conn);
			break;
		}
	}
	if (conn->exchange && is_given(conn->exchange)) {
		struct ws_conn *ws = conn->exchange->ws;

		conn_destroy(&conn->base);
		if (ws)
			ws_conn_feed(ws, (uint8_t *)p, len);
	} else if (!conn->finished) {
		keep_input(conn, p, len);
	}
}

/* Goes on where it stopped. The connection may be gone afterwards. */
static void go_on(struct http_conn *conn)
{
	struct hw_buf input = conn->input;
	char nothing[1] = "";

	hw_buf_init(&conn->input);
	hw_stream_read(conn->base.stream, true);
	feed(conn, input.len ? input.data : nothing, input.len);
	hw_buf_fini(&input);
}

void http_resume(struct exchange *ex)
{
	struct http_conn *conn = ex->conn;

	ex->waiting = false;
	if (ex->given) {
		conn_destroy(&conn->base);
		return;
	}
	if (ex->answered)
		end_exchange(conn);
	else if (!ex->ws)
		after_login(conn);
	if (!conn->finished && !conn->choked)
		go_on(conn);
}

/* ---- the PROXY header
 * -------------------------------------------------------------------------------------------------------
 */

/* Whoever is refused for it may try again at once: a line a second says enough. */
static void tell_refused(struct hw_edge *edge, const char *address, const char *reason)
{
	struct hw_worker *w = edge->worker;
	int64_t now_ms = hw_worker_now_ms(w);

	hw_metric_add(w->counters->proxy_refused, 1);
	if (edge->told_ms && now_ms - edge->told_ms < LOG_EVERY_MS)
		return;
	edge->told_ms = now_ms;
	hw_log(w->log, HW_LOG_WARN, "edge", "a connection is refused for its PROXY header",
		HW_F_Z("address", address), HW_F_Z("reason", reason));
}

/* The connection ends without an answer: whoever sent that may speak no HTTP. */
static void refuse_header(struct http_conn *conn, const char *reason)
{
	tell_refused(conn->base.edge, conn->address, reason);
	conn_destroy(&conn->base);
}

/* Moves @p and @len behind the header. false: it is not complete, or the connection is gone. */
static bool read_header(struct http_conn *conn, uint8_t **p, size_t *len)
{
	size_t used;
	int r = hw_proxy2_read(conn->proxy, *p, *len, &used);

	if (r == HW_PROXY2_ERROR)
		refuse_header(conn, conn->proxy->reason);
	if (r != HW_PROXY2_DONE)
		return false;
	*p += used;
	*len -= used;
	if (conn->proxy->source.kind != HW_ADDRESS_NONE)
		hw_address_print(&conn->proxy->source, conn->address);
	free(conn->proxy);
	conn->proxy = NULL;
	return true;
}

/* ---- the stream's callbacks
 * -------------------------------------------------------------------------------------------------------
 */

static void on_received(void *owner, uint8_t *p, size_t len)
{
	struct http_conn *conn = owner;

	if (conn->proxy && !read_header(conn, &p, &len))
		return;
	if (stopped(conn))
		keep_input(conn, (const char *)p, len);
	else
		feed(conn, (char *)p, len);
}

static void unchoke(struct http_conn *conn)
{
	conn->choked = false;
	set_deadline(conn, DEADLINE_NONE);
	go_on(conn);
}

static void on_turn(struct http_conn *conn)
{
	if (hw_stream_cost(conn->base.stream) <= MAX_QUEUED)
		unchoke(conn);
	else if (hw_stream_blocked(conn->base.stream))
		set_deadline(
			conn, DEADLINE_WRITE); /* drained comes before, or the peer does not read */
	else
		set_deadline(conn, DEADLINE_TURN); /* timers come before the turn's output: nothing
						      was tried yet */
}

/* Output is being written: what follows belongs into the next turn. */
static void on_drained(void *owner)
{
	struct http_conn *conn = owner;

	if (conn->choked)
		set_deadline(conn, DEADLINE_TURN);
}

/* Whoever says no more may still read the answer to what it said. */
static void on_half_closed(void *owner)
{
	struct http_conn *conn = owner;

	if (!conn->exchange)
		finish(conn);
}

static void on_closed(void *owner, int error)
{
	struct http_conn *conn = owner;

	(void)error;
	conn_destroy(&conn->base);
}

static void on_timer(struct hw_timer *timer)
{
	struct http_conn *conn = HW_CONTAINER_OF(timer, struct http_conn, timer);
	enum deadline was = conn->deadline;

	conn->deadline = DEADLINE_NONE;
	switch (was) {
	case DEADLINE_TURN:
		on_turn(conn);
		break;
	case DEADLINE_WRITE:
		conn_destroy(&conn->base);
		break;
	case DEADLINE_BODY:
		abort_exchange(conn, 408, HW_CODE_BAD_REQUEST, "the body did not come in time");
		break;
	case DEADLINE_HEAD:
		if (conn->proxy)
			refuse_header(conn, "it did not come in time");
		else if (hw_http1_phase(&conn->reader) == HW_HTTP1_IN_HEAD)
			abort_exchange(
				conn, 408, HW_CODE_BAD_REQUEST, "the request did not come in time");
		else
			finish(conn);
		break;
	case DEADLINE_IDLE:
	case DEADLINE_NONE:
		finish(conn);
		break;
	}
}

void http_open(
	struct hw_edge *edge, int fd, const char *address, enum hw_edge_kind kind, bool proxied)
{
	static const struct hw_stream_ops stream_ops = {
		.received = on_received,
		.drained = on_drained,
		.half_closed = on_half_closed,
		.closed = on_closed,
	};
	static const struct edge_conn_ops ops = {.destroy = conn_destroy, .drain = conn_drain};
	struct http_conn *conn = calloc(1, sizeof(*conn));
	struct hw_stream *stream = hw_stream_create(edge->worker->loop, fd, &stream_ops, conn);
	bool refused = proxied && !client_may_tell(edge, address);

	if (conn && proxied && !refused)
		conn->proxy = calloc(1, sizeof(*conn->proxy));
	if (!conn || !stream || (proxied && !conn->proxy)) {
		if (refused)
			tell_refused(edge, address, "the address is not in trusted_proxies");
		hw_stream_destroy(&stream);
		free(conn ? conn->proxy : NULL);
		free(conn);
		return;
	}
	edge_conn_init(&conn->base, edge, &ops);
	conn->base.stream = stream;
	conn->kind = kind;
	strncpy(conn->address, address, sizeof(conn->address) - 1);
	hw_buf_init(&conn->input);
	hw_http1_init(&conn->reader, &edge->limits, &edge->request);
	hw_timer_init(&conn->timer, on_timer);
	set_deadline(conn, DEADLINE_HEAD);
}
