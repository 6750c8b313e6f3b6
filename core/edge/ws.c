#include "edge/edge_internal.h"

#define PONGS_QUEUED (1u << 20) /* beyond what the session may queue */

static const struct hw_settings *settings_of(const struct ws_conn *conn)
{
	return &conn->base.edge->worker->generation->settings;
}

/* ---- the session's outlet
 * ------------------------------------------------------------------------------------------------------
 */

static int outlet_message(void *arg, struct hw_str text)
{
	return ws_conn_send(arg, HW_WS_OP_TEXT, text);
}

static int outlet_run(void *arg, const struct hw_run *run, unsigned how)
{
	struct ws_conn *conn = arg;

	if (conn->closing)
		return 0;
	return hw_stream_queue(conn->base.stream, run->pin, run->frames, run->len,
		how & HW_RUN_KEPT ? 0 : run->after + 1, how & HW_RUN_HELD);
}

static size_t outlet_queued(void *arg)
{
	struct ws_conn *conn = arg;

	return hw_stream_queued(conn->base.stream);
}

static bool outlet_blocked(void *arg)
{
	struct ws_conn *conn = arg;

	return hw_stream_blocked(conn->base.stream);
}

static uint64_t outlet_drop(void *arg)
{
	struct ws_conn *conn = arg;

	return hw_stream_drop(conn->base.stream);
}

static void outlet_keep(void *arg)
{
	struct ws_conn *conn = arg;

	hw_stream_keep(conn->base.stream);
}

static void outlet_ping(void *arg)
{
	(void)!ws_conn_send(arg, HW_WS_OP_PING,
		HW_STR_NULL); /* without it the session's own deadline decides */
}

static void outlet_pause(void *arg, bool on)
{
	ws_conn_pause(arg, on);
}

static void outlet_close(void *arg, uint16_t close_code, struct hw_str reason)
{
	struct ws_conn *conn = arg;

	if (close_code != 0) /* 0: the connection is gone already */
		ws_conn_close(conn, close_code, reason);
}

static const struct hw_outlet outlet = {
	.message = outlet_message,
	.run = outlet_run,
	.queued = outlet_queued,
	.blocked = outlet_blocked,
	.drop = outlet_drop,
	.keep = outlet_keep,
	.ping = outlet_ping,
	.pause = outlet_pause,
	.close = outlet_close,
};

/* ---- what comes in
 * ---------------------------------------------------------------------------------------------------------------
 */

static uint64_t max_bytes(struct ws_conn *conn)
{
	return conn->session ? hw_session_message_bytes(conn->session) : 0;
}

static size_t max_queued(struct ws_conn *conn)
{
	return settings_of(conn)->outbox_bytes + PONGS_QUEUED;
}

static void alive(struct ws_conn *conn)
{
	if (conn->session)
		hw_session_alive(conn->session);
}

static void message(struct ws_conn *conn, enum hw_ws_opcode opcode, struct hw_str text)
{
	(void)opcode;
	if (conn->session)
		hw_session_received(conn->session, text);
}

static void too_large(struct ws_conn *conn)
{
	if (conn->session)
		hw_session_too_large(conn->session);
}

static void ended(struct ws_conn *conn, uint16_t code, struct hw_str reason)
{
	if (conn->session)
		hw_session_close(conn->session, code, reason);
}

static void drained(struct ws_conn *conn)
{
	if (conn->session)
		hw_session_drained(conn->session);
}

static void gone(struct ws_conn *conn)
{
	hw_session_destroy(&conn->session);
}

/* Whoever drains the sessions spreads their closes; none is this connection's to make. */
static void drain(struct ws_conn *conn)
{
	(void)conn;
}

/* ---- the beginning
 * -----------------------------------------------------------------------------------------------------------------
 */

/* A browser cannot read the status of a refused upgrade: a client that knows our close codes is
 * accepted and closed. */
static void close_refused(struct ws_conn *conn, const struct exchange *ex)
{
	char reason[HW_CODE_REASON_BYTES];

	ws_conn_close(conn, hw_code_info(ex->code)->close_code,
		hw_code_reason(ex->code, ex->why, reason));
}

static void open_session(struct ws_conn *conn, struct exchange *ex)
{
	bool last;
	struct hw_session_open open = {
		.outlet = &outlet,
		.arg = conn,
		.plain = !ex->v1,
		.transport = "ws",
		.address = hw_str_of(http_address(ex)),
		.origin = exchange_str(ex, ex->origin),
		.path = hw_str_of(ex->route->path),
		.login = ex->login.identity ? &ex->login : NULL,
		.known = ex->known,
		.token = exchange_str(ex, ex->token),
		.topics = exchange_str(ex, ex->topics),
		.cursor = exchange_str(ex, ex->cursor),
	};

	(void)token_query_last(ex, &last); /* the head was refused if it is none */
	open.last = last;
	conn->session = hw_session_create(conn->base.edge->worker, &open);
	if (!conn->session)
		ws_conn_close(conn, HW_WS_CODE_INTERNAL, HW_STR("out of memory"));
}

void ws_handle(struct exchange *ex)
{
	static const struct ws_ops ops = {
		.text_only = true,
		.max_bytes = max_bytes,
		.max_queued = max_queued,
		.alive = alive,
		.message = message,
		.too_large = too_large,
		.ended = ended,
		.drained = drained,
		.gone = gone,
		.drain = drain,
	};
	struct ws_conn *conn = ws_conn_create(ex, &ops);

	if (!conn) {
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
		ex->keep_alive = false;
		answer_refusal(ex);
	} else if (exchange_refused(ex)) {
		close_refused(conn, ex);
	} else {
		open_session(conn, ex);
	}
}
