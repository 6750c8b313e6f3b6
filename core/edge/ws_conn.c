#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "edge/edge_internal.h"
#include "wire/ws_handshake.h"

#define MESSAGE_KEPT 4096 /* what of a buffer for messages in pieces stays between two of them */
#define TURN_MS 2         /* of one peer's messages: then others get their turn */

/* What came while the endpoint wanted nothing, or more than a turn's worth. It is read on from the
 * loop, not from within whoever says go on. */
struct held_input {
	struct hw_timer timer;
	struct ws_conn *conn;
	struct hw_buf bytes;
};

static void held_free(struct ws_conn *conn)
{
	if (!conn->held)
		return;
	hw_timer_cancel(&conn->held->timer);
	hw_buf_fini(&conn->held->bytes);
	free(conn->held);
	conn->held = NULL;
}

static void conn_destroy(struct edge_conn *base)
{
	struct ws_conn *conn = HW_CONTAINER_OF(base, struct ws_conn, base);

	conn->closing = true;
	conn->ops->gone(conn);
	held_free(conn);
	hw_ws_reader_fini(&conn->reader);
	hw_buf_fini(&conn->message);
	edge_conn_fini(&conn->base);
	free(conn);
}

static void conn_drain(struct edge_conn *base)
{
	struct ws_conn *conn = HW_CONTAINER_OF(base, struct ws_conn, base);

	conn->ops->drain(conn);
}

/* ---- sending
 * -----------------------------------------------------------------------------------------------------------------
 */

int ws_conn_send(struct ws_conn *conn, enum hw_ws_opcode opcode, struct hw_str payload)
{
	struct hw_blob *blob;
	uint8_t header[HW_WS_HEADER_BYTES];
	size_t n = hw_ws_header(header, true, opcode, payload.len, NULL);
	int r;

	if (conn->closing)
		return 0;
	blob = hw_blob_create(NULL, n + payload.len);
	if (!blob)
		return -ENOMEM;
	memcpy(blob->data, header, n);
	if (payload.len > 0)
		memcpy(blob->data + n, payload.p, payload.len);
	r = hw_stream_queue(conn->base.stream, &blob->pin, blob->data, n + payload.len, 0, true);
	hw_pin_release(&blob->pin); /* the stream holds it */
	return r;
}

void ws_conn_close(struct ws_conn *conn, uint16_t code, struct hw_str reason)
{
	uint8_t frame[HW_WS_CLOSE_BYTES];
	size_t n;

	if (conn->closing)
		return;
	conn->closing = true;
	if (code != HW_WS_CODE_NONE && !hw_ws_code_sendable(code))
		code = HW_WS_CODE_NORMAL;
	n = hw_ws_close(frame, code, code == HW_WS_CODE_NONE ? HW_STR_NULL : reason, NULL);
	(void)!hw_stream_copy(
		conn->base.stream, frame, n); /* without memory the end alone must do */
	/* the peer's own close frame is waited for, and dropped */
	hw_stream_finish(conn->base.stream, EDGE_LINGER_MS, EDGE_LINGER_MS);
}

/* ---- messages
 * ------------------------------------------------------------------------------------------------------------------
 */

static void on_data(struct ws_conn *conn, const struct hw_ws_event *ev)
{
	if (ev->first && ev->last) {
		conn->ops->message(conn, ev->opcode, ev->data);
		return;
	}
	hw_buf_str(&conn->message, ev->data);
	if (conn->message.failed) {
		ws_conn_close(conn, HW_WS_CODE_INTERNAL, HW_STR("out of memory"));
		return;
	}
	if (!ev->last)
		return;
	conn->ops->message(conn, ev->opcode, hw_buf_view(&conn->message));
	if (conn->message.cap > MESSAGE_KEPT)
		hw_buf_fini(&conn->message);
	else
		hw_buf_clear(&conn->message);
}

static void on_close(struct ws_conn *conn, const struct hw_ws_event *ev)
{
	/* the echo of the code ends the handshake (5.5.1); an empty close frame is answered by
	 * another */
	ws_conn_close(conn, ev->code, HW_STR_NULL);
	conn->ops->ended(conn, ev->code, ev->data);
}

static void on_error(struct ws_conn *conn, const struct hw_ws_event *ev)
{
	if (ev->code == HW_WS_CODE_TOO_BIG)
		conn->ops->too_large(conn);
	if (conn->closing)
		return;
	ws_conn_close(conn, ev->code, hw_str_of(ev->reason));
	conn->ops->ended(conn, ev->code, hw_str_of(ev->reason));
}

static void on_event(struct ws_conn *conn, int outcome, const struct hw_ws_event *ev)
{
	switch (outcome) {
	case HW_WS_DATA:
		on_data(conn, ev);
		break;
	case HW_WS_PING:
		if (ws_conn_send(conn, HW_WS_OP_PONG, ev->data))
			ws_conn_close(conn, HW_WS_CODE_INTERNAL, HW_STR("out of memory"));
		break;
	case HW_WS_PONG:
		break;
	case HW_WS_CLOSE:
		on_close(conn, ev);
		break;
	case HW_WS_ERROR:
		on_error(conn, ev);
		break;
	default:
		ws_conn_close(conn, HW_WS_CODE_INTERNAL, HW_STR("out of memory"));
		break;
	}
}

/* ---- reading
 * ---------------------------------------------------------------------------------------------------------------------
 */

static void on_held(struct hw_timer *timer);

static void update_reading(struct ws_conn *conn)
{
	hw_stream_read(conn->base.stream, !conn->paused && !conn->choked && !conn->held);
}

static void hold_input(struct ws_conn *conn, const uint8_t *p, size_t len)
{
	if (len == 0)
		return;
	if (!conn->held) {
		conn->held = calloc(1, sizeof(*conn->held));
		if (conn->held) {
			conn->held->conn = conn;
			hw_timer_init(&conn->held->timer, on_held);
			hw_buf_init(&conn->held->bytes);
		}
	}
	if (conn->held)
		hw_buf_add(&conn->held->bytes, p, len);
	if (!conn->held || conn->held->bytes.failed)
		ws_conn_close(conn, HW_WS_CODE_INTERNAL, HW_STR("out of memory"));
}

/* What waits is read in the loop's next turn, once nothing stands against it. */
static void plan_held(struct ws_conn *conn)
{
	struct hw_worker *w = conn->base.edge->worker;

	if (conn->held && !conn->paused && !conn->choked && !conn->closing)
		hw_timer_arm(w->timers, &conn->held->timer, hw_worker_now_ms(w));
}

/* Nothing in here frees the connection: streams close from the loop. */
void ws_conn_feed(struct ws_conn *conn, uint8_t *p, size_t len)
{
	struct hw_worker *w = conn->base.edge->worker;
	int64_t until_ms = hw_worker_now_ms(w) + TURN_MS;

	conn->feeding = true;
	while (len > 0 && !conn->paused && !conn->closing) {
		struct hw_ws_event ev = {0};
		size_t used = 0;
		int r;

		conn->reader.max_message_bytes = conn->ops->max_bytes(conn);
		r = hw_ws_read(&conn->reader, p, len, &used, &ev);
		p += used;
		len -= used;
		if (r == HW_WS_MORE)
			break;
		on_event(conn, r, &ev);
		if (hw_worker_now_ms(w) >= until_ms)
			break;
	}
	conn->feeding = false;
	if (conn->closing)
		return;
	hold_input(conn, p, len);
	/* a peer that sends and does not read is not read either; drained comes because the stream
	 * is blocked */
	if (hw_stream_blocked(conn->base.stream) &&
		hw_stream_cost(conn->base.stream) > conn->ops->max_queued(conn))
		conn->choked = true;
	if (!conn->closing)
		update_reading(conn);
	plan_held(conn);
}

static void on_held(struct hw_timer *timer)
{
	struct held_input *held = HW_CONTAINER_OF(timer, struct held_input, timer);
	struct ws_conn *conn = held->conn;
	struct hw_buf bytes = held->bytes;

	conn->held = NULL;
	free(held);
	ws_conn_feed(conn, (uint8_t *)bytes.data, bytes.len);
	hw_buf_fini(&bytes);
}

void ws_conn_pause(struct ws_conn *conn, bool on)
{
	if (conn->paused == on || conn->closing)
		return;
	conn->paused = on;
	if (conn->feeding)
		return; /* feed looks at it when it is through */
	update_reading(conn);
	plan_held(conn);
}

/* ---- the stream's callbacks
 * ----------------------------------------------------------------------------------------------------------
 */

static void on_received(void *owner, uint8_t *p, size_t len)
{
	struct ws_conn *conn = owner;

	if (conn->closing)
		return;
	conn->ops->alive(conn);
	if (conn->closing)
		return;
	if (conn->held || conn->paused)
		hold_input(conn, p, len); /* behind what waits */
	else
		ws_conn_feed(conn, p, len);
}

static void on_drained(void *owner)
{
	struct ws_conn *conn = owner;

	if (conn->choked) {
		conn->choked = false;
		update_reading(conn);
		plan_held(conn);
	}
	conn->ops->drained(conn);
}

static void on_closed(void *owner, int error)
{
	struct ws_conn *conn = owner;

	(void)error;
	conn_destroy(&conn->base);
}

/* ---- the beginning
 * --------------------------------------------------------------------------------------------------------------------
 */

static int answer_upgrade(struct exchange *ex)
{
	struct hw_buf *out = &http_edge(ex)->out;
	int r;

	hw_buf_clear(out);
	r = hw_ws_handshake_accept(out, (struct hw_str){ex->accept, EDGE_ACCEPT_CHARS},
		ex->v1 ? HW_STR("hookwire.v1") : HW_STR_NULL);
	return r ? r : hw_stream_copy(http_stream(ex), out->data, out->len);
}

struct ws_conn *ws_conn_create(struct exchange *ex, const struct ws_ops *ops)
{
	static const struct hw_stream_ops stream_ops = {
		.received = on_received,
		.drained = on_drained,
		.closed = on_closed,
	};
	static const struct edge_conn_ops conn_ops = {.destroy = conn_destroy, .drain = conn_drain};
	struct ws_conn *conn = calloc(1, sizeof(*conn));

	if (!conn || answer_upgrade(ex)) {
		free(conn);
		return NULL;
	}
	conn->ops = ops;
	edge_conn_init(&conn->base, http_edge(ex), &conn_ops);
	conn->base.stream = http_give_stream(ex);
	hw_stream_set_owner(conn->base.stream, &stream_ops, conn);
	hw_stream_read(conn->base.stream, true);
	hw_buf_init(&conn->message);
	hw_ws_reader_init(&conn->reader, HW_WS_SERVER, 0);
	conn->reader.text_only = ops->text_only;
	ex->ws = conn;
	return conn;
}
