#include "edge/edge_internal.h"

/* The echo endpoint: what comes goes back, so that test suites can look at our WebSocket. */

#define ECHO_QUEUED (4u << 20)

static uint64_t max_bytes(struct ws_conn *conn)
{
	return conn->base.edge->worker->generation->settings.message_bytes;
}

static size_t max_queued(struct ws_conn *conn)
{
	(void)conn;
	return ECHO_QUEUED;
}

static void message(struct ws_conn *conn, enum hw_ws_opcode opcode, struct hw_str text)
{
	if (ws_conn_send(conn, opcode, text))
		ws_conn_close(conn, HW_WS_CODE_INTERNAL, HW_STR("out of memory"));
}

static void nothing(struct ws_conn *conn)
{
	(void)conn;
}

static void drain(struct ws_conn *conn)
{
	ws_conn_close(conn, HW_WS_CODE_GOING_AWAY, HW_STR("the server is shutting down"));
}

static void ended(struct ws_conn *conn, uint16_t code, struct hw_str reason)
{
	(void)conn;
	(void)code;
	(void)reason;
}

void echo_handle(struct exchange *ex)
{
	static const struct ws_ops ops = {
		.max_bytes = max_bytes,
		.max_queued = max_queued,
		.alive = nothing,
		.message = message,
		.too_large = nothing,
		.ended = ended,
		.drained = nothing,
		.gone = nothing,
		.drain = drain,
	};

	if (ws_conn_create(ex, &ops))
		return;
	exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
	ex->keep_alive = false;
	answer_refusal(ex);
}
