/* Feeds a WebSocket frame reader cut into pieces and writes down all it says, so that two ways of
 * cutting the same bytes can be compared: messages whole, whatever pieces they came in. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "wire/ws.h"

#define WS_CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

struct ws_transcript {
	struct hw_ws_reader reader;
	struct hw_buf text;
	struct hw_buf message; /* so far; dropped when it ends in an error */
	bool in_message;
	bool over;   /* by a close frame or an error */
	bool failed; /* by an error */
	uint16_t code;
};

static inline void ws_transcript_data(struct ws_transcript *t, const struct hw_ws_event *ev)
{
	WS_CHECK(ev->first == !t->in_message);
	WS_CHECK(ev->data.len > 0 || ev->last);
	t->in_message = !ev->last;
	hw_buf_str(&t->message, ev->data);
	if (!ev->last)
		return;
	if (ev->opcode == HW_WS_OP_TEXT)
		WS_CHECK(hw_utf8_valid(t->message.data, t->message.len));
	hw_buf_puts(&t->text, ev->opcode == HW_WS_OP_TEXT ? "TEXT " : "BINARY ");
	hw_buf_str(&t->text, hw_buf_view(&t->message));
	hw_buf_putc(&t->text, '\n');
	hw_buf_clear(&t->message);
}

static inline void ws_transcript_event(
	struct ws_transcript *t, int rc, const struct hw_ws_event *ev)
{
	switch (rc) {
	case HW_WS_DATA:
		ws_transcript_data(t, ev);
		break;
	case HW_WS_PING:
	case HW_WS_PONG:
		hw_buf_puts(&t->text, rc == HW_WS_PING ? "PING " : "PONG ");
		hw_buf_str(&t->text, ev->data);
		hw_buf_putc(&t->text, '\n');
		break;
	case HW_WS_CLOSE:
		hw_buf_printf(&t->text, "CLOSE %u %.*s\n", ev->code, HW_STR_ARG(ev->data));
		WS_CHECK(ev->code == HW_WS_CODE_NONE || hw_ws_code_sendable(ev->code));
		t->over = true;
		t->code = ev->code;
		break;
	default:
		WS_CHECK(rc == HW_WS_ERROR);
		WS_CHECK(ev->reason && strlen(ev->reason) <= HW_WS_CONTROL_BYTES - 2);
		hw_buf_printf(&t->text, "ERROR %u %s\n", ev->code, ev->reason);
		t->over = t->failed = true;
		t->code = ev->code;
	}
}

/* One read of the socket, from a heap block that is freed after it. */
static inline void ws_transcript_piece(struct ws_transcript *t, const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	size_t pos = 0, used;

	WS_CHECK(copy);
	memcpy(copy, p, len);
	for (size_t turn = 0;; turn++) {
		struct hw_ws_event ev;
		int rc = hw_ws_read(&t->reader, copy + pos, len - pos, &used, &ev);

		WS_CHECK(used <= len - pos && turn <= len + 2);
		pos += used;
		if (rc == HW_WS_MORE)
			break;
		WS_CHECK(!t->over); /* nothing is said after the end */
		ws_transcript_event(t, rc, &ev);
	}
	WS_CHECK(pos == len);
	if (!t->over)
		WS_CHECK(hw_ws_reader_busy(&t->reader) || !t->in_message);
	free(copy);
}

/* Cuts @input behind each of @cuts (ascending, may repeat) and reads the pieces. */
static inline void ws_transcript_run(struct ws_transcript *t, enum hw_ws_role role,
	uint64_t max_message_bytes, const uint8_t *input, size_t len, const size_t *cuts,
	size_t n_cuts)
{
	size_t pos = 0;

	*t = (struct ws_transcript){0};
	hw_ws_reader_init(&t->reader, role, max_message_bytes);
	hw_buf_init(&t->text);
	hw_buf_init(&t->message);
	for (size_t i = 0; i <= n_cuts; i++) {
		size_t end = i < n_cuts ? cuts[i] : len;

		ws_transcript_piece(t, input + pos, end - pos);
		pos = end;
	}
	WS_CHECK(!t->text.failed && !t->message.failed);
}

static inline void ws_transcript_fini(struct ws_transcript *t)
{
	hw_ws_reader_fini(&t->reader);
	hw_buf_fini(&t->text);
	hw_buf_fini(&t->message);
}
