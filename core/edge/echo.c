#include <stdlib.h>

#include "edge/edge_internal.h"

/* The echo endpoint: what comes goes back, so that test suites can look at our WebSocket. Nobody
 * has to say who it is here, so nobody may stay who says nothing. */

#define ECHO_QUEUED (4u << 20)

struct echo {
	struct ws_conn *conn;
	struct hw_timer timer;
	int64_t alive_ms; /* when a byte came last */
};

static const struct hw_settings *settings_of(const struct ws_conn *conn)
{
	return &conn->base.edge->worker->generation->settings;
}

/* ---- silence
 * ---------------------------------------------------------------------------------------------------------------------
 */

static void arm(struct echo *echo)
{
	hw_timer_arm(echo->conn->base.edge->worker->timers, &echo->timer,
		echo->alive_ms + settings_of(echo->conn)->ping_timeout_ms);
}

static void on_timer(struct hw_timer *timer)
{
	struct echo *echo = HW_CONTAINER_OF(timer, struct echo, timer);
	struct ws_conn *conn = echo->conn;

	if (hw_worker_now_ms(conn->base.edge->worker) - echo->alive_ms <
		settings_of(conn)->ping_timeout_ms)
		arm(echo);
	else
		ws_conn_close(conn, HW_WS_CODE_GOING_AWAY, HW_STR("nothing came for too long"));
}

static void alive(struct ws_conn *conn)
{
	conn->echo->alive_ms = hw_worker_now_ms(conn->base.edge->worker);
}

static void gone(struct ws_conn *conn)
{
	hw_timer_cancel(&conn->echo->timer);
	free(conn->echo);
}

/* ---- messages
 * --------------------------------------------------------------------------------------------------------------------
 */

static uint64_t max_bytes(struct ws_conn *conn)
{
	return settings_of(conn)->message_bytes;
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

static bool begin(struct exchange *ex, const struct ws_ops *ops)
{
	struct echo *echo = calloc(1, sizeof(*echo));

	if (!echo)
		return false;
	hw_timer_init(&echo->timer, on_timer);
	echo->conn = ws_conn_create(ex, ops);
	if (!echo->conn) {
		free(echo);
		return false;
	}
	echo->conn->echo = echo;
	alive(echo->conn);
	arm(echo);
	return true;
}

void echo_handle(struct exchange *ex)
{
	static const struct ws_ops ops = {
		.max_bytes = max_bytes,
		.max_queued = max_queued,
		.alive = alive,
		.message = message,
		.too_large = nothing,
		.ended = ended,
		.drained = nothing,
		.gone = gone,
		.drain = drain,
	};

	if (begin(ex, &ops))
		return;
	exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
	ex->keep_alive = false;
	answer_refusal(ex);
}
