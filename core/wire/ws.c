#include "wire/ws.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

enum { STATE_HEADER, STATE_DATA, STATE_CONTROL, STATE_DONE };

#define CONTROL_BIT 0x8

_Static_assert(sizeof(struct hw_ws_reader) == 64, "every idle connection has one");

void hw_ws_reader_init(struct hw_ws_reader *r, enum hw_ws_role role, uint64_t max_message_bytes)
{
	*r = (struct hw_ws_reader){.role = role, .max_message_bytes = max_message_bytes};
}

static void drop_control(struct hw_ws_reader *r)
{
	free(r->control);
	r->control = NULL;
}

void hw_ws_reader_fini(struct hw_ws_reader *r)
{
	drop_control(r);
	r->state = STATE_DONE;
}

bool hw_ws_reader_busy(const struct hw_ws_reader *r)
{
	return r->message_opcode != 0;
}

static int refuse(struct hw_ws_reader *r, struct hw_ws_event *ev, uint16_t code, const char *reason)
{
	r->state = STATE_DONE;
	ev->code = code;
	ev->reason = reason;
	return HW_WS_ERROR;
}

static size_t length_bytes(const struct hw_ws_reader *r) /* of the extended length */
{
	uint8_t len = r->header[1] & 0x7f;

	return len == 126 ? 2 : len == 127 ? 8 : 0;
}

/* How much of the header must be there before the next look at it: two bytes, then the length, then
 * all. */
static size_t header_need(const struct hw_ws_reader *r)
{
	size_t with_length;

	if (r->n_header < 2)
		return 2;
	with_length = 2 + length_bytes(r);
	if (r->n_header < with_length)
		return with_length;
	return with_length + (r->header[1] & 0x80 ? 4 : 0);
}

static int check_start(struct hw_ws_reader *r, struct hw_ws_event *ev)
{
	uint8_t opcode = r->header[0] & 0x0f, len = r->header[1] & 0x7f;
	bool fin = r->header[0] & 0x80, masked = r->header[1] & 0x80;

	if (r->header[0] & 0x70)
		return refuse(r, ev, HW_WS_CODE_PROTOCOL, "a reserved bit is set");
	if ((opcode & 0x7) > 2)
		return refuse(r, ev, HW_WS_CODE_PROTOCOL, "a reserved opcode");
	if (masked != (r->role == HW_WS_SERVER))
		return refuse(r, ev, HW_WS_CODE_PROTOCOL,
			masked ? "a frame from a server is masked" : "a frame is not masked");
	if (opcode & CONTROL_BIT) {
		if (!fin)
			return refuse(r, ev, HW_WS_CODE_PROTOCOL, "a fragmented control frame");
		if (len > HW_WS_CONTROL_BYTES)
			return refuse(
				r, ev, HW_WS_CODE_PROTOCOL, "a control frame is over 125 bytes");
		return 0;
	}
	if (opcode == HW_WS_OP_CONTINUATION && !r->message_opcode)
		return refuse(r, ev, HW_WS_CODE_PROTOCOL, "a continuation without a message");
	if (opcode != HW_WS_OP_CONTINUATION && r->message_opcode)
		return refuse(r, ev, HW_WS_CODE_PROTOCOL, "a new message inside another");
	if (opcode == HW_WS_OP_BINARY && r->text_only)
		return refuse(r, ev, HW_WS_CODE_UNSUPPORTED, "messages are text");
	return 0;
}

static uint64_t frame_len(const struct hw_ws_reader *r)
{
	size_t n = length_bytes(r);
	uint64_t len = 0;

	if (n == 0)
		return r->header[1] & 0x7f;
	for (size_t i = 0; i < n; i++)
		len = len << 8 | r->header[2 + i];
	return len;
}

static int check_length(struct hw_ws_reader *r, struct hw_ws_event *ev)
{
	uint64_t len = frame_len(r);
	size_t n = length_bytes(r);

	if (n == 8 && len >> 63)
		return refuse(
			r, ev, HW_WS_CODE_PROTOCOL, "a frame length with its highest bit set");
	if ((n == 2 && len < 126) || (n == 8 && len <= UINT16_MAX))
		return refuse(
			r, ev, HW_WS_CODE_PROTOCOL, "a frame length is not in its shortest form");
	/* message_bytes is 0 when this frame begins a message */
	if (!(r->header[0] & CONTROL_BIT) &&
		(len > r->max_message_bytes || r->message_bytes > r->max_message_bytes - len))
		return refuse(r, ev, HW_WS_CODE_TOO_BIG, "the message is larger than allowed");
	return 0;
}

static void begin_frame(struct hw_ws_reader *r)
{
	uint8_t opcode = r->header[0] & 0x0f;

	r->left = frame_len(r);
	r->fin = r->header[0] >> 7;
	if (r->role == HW_WS_SERVER)
		memcpy(r->mask, r->header + r->n_header - 4, 4);
	r->n_header = 0;
	if (opcode & CONTROL_BIT) {
		r->state = STATE_CONTROL;
		r->control_opcode = opcode & 0x3;
		r->n_control = 0;
		return;
	}
	r->state = STATE_DATA;
	r->message_bytes += r->left;
	if (opcode != HW_WS_OP_CONTINUATION) {
		r->message_opcode = opcode;
		r->started = false;
		r->utf8 = (struct hw_utf8){0};
	}
}

static int read_header(
	struct hw_ws_reader *r, const uint8_t *p, size_t len, size_t *used, struct hw_ws_event *ev)
{
	for (;;) {
		size_t need = header_need(r), n = need - r->n_header;
		int rc = 0;

		if (n == 0)
			break;
		if (*used == len)
			return HW_WS_MORE;
		if (n > len - *used)
			n = len - *used;
		memcpy(r->header + r->n_header, p + *used, n);
		*used += n;
		r->n_header += (uint8_t)n;
		if (r->n_header == 2)
			rc = check_start(r, ev);
		if (!rc && r->n_header >= 2 && r->n_header == 2 + length_bytes(r))
			rc = check_length(r, ev);
		if (rc)
			return rc;
	}
	begin_frame(r);
	return 0;
}

/* Unmasks the next @n bytes of the frame's payload, which are at @p. */
static void take_payload(struct hw_ws_reader *r, uint8_t *p, size_t n)
{
	uint8_t turned[4];

	r->left -= n;
	if (r->role != HW_WS_SERVER || n == 0)
		return;
	hw_ws_mask(p, n, r->mask, 0);
	for (size_t i = 0; i < 4; i++)
		turned[i] = r->mask[(n + i) & 3];
	memcpy(r->mask, turned, 4);
}

static int read_data(
	struct hw_ws_reader *r, uint8_t *p, size_t len, size_t *used, struct hw_ws_event *ev)
{
	size_t n = len - *used < r->left ? len - *used : (size_t)r->left;
	bool text = r->message_opcode == HW_WS_OP_TEXT, last;
	uint8_t *piece = n ? p + *used : p;

	if (n == 0 && r->left > 0)
		return HW_WS_MORE;
	take_payload(r, piece, n);
	*used += n;
	last = r->left == 0 && r->fin;
	if (text && (!hw_utf8_feed(&r->utf8, piece, n) || (last && !hw_utf8_done(&r->utf8))))
		return refuse(r, ev, HW_WS_CODE_BAD_DATA, "a text message is not UTF-8");
	if (r->left == 0)
		r->state = STATE_HEADER;
	if (n == 0 && !last)
		return 0; /* an empty fragment */
	*ev = (struct hw_ws_event){
		.data = {(const char *)piece, n},
		.opcode = r->message_opcode,
		.first = !r->started,
		.last = last,
	};
	r->started = true;
	if (last) {
		r->message_opcode = 0;
		r->message_bytes = 0;
	}
	return HW_WS_DATA;
}

static int finish_close(struct hw_ws_reader *r, struct hw_str payload, struct hw_ws_event *ev)
{
	const uint8_t *p = (const uint8_t *)payload.p;
	uint16_t code = HW_WS_CODE_NONE;

	if (payload.len == 1)
		return refuse(r, ev, HW_WS_CODE_PROTOCOL, "a close frame with half a code");
	if (payload.len >= 2) {
		code = (uint16_t)(p[0] << 8 | p[1]);
		if (!hw_ws_code_sendable(code))
			return refuse(
				r, ev, HW_WS_CODE_PROTOCOL, "a close code that may not be sent");
		if (!hw_utf8_valid(p + 2, payload.len - 2))
			return refuse(r, ev, HW_WS_CODE_BAD_DATA, "a close reason is not UTF-8");
		payload = (struct hw_str){payload.p + 2, payload.len - 2};
	}
	r->state = STATE_DONE;
	*ev = (struct hw_ws_event){.data = payload, .code = code};
	return HW_WS_CLOSE;
}

static int finish_control(struct hw_ws_reader *r, struct hw_str payload, struct hw_ws_event *ev)
{
	r->state = STATE_HEADER;
	switch (r->control_opcode | CONTROL_BIT) {
	case HW_WS_OP_CLOSE:
		return finish_close(r, payload, ev);
	case HW_WS_OP_PING:
		*ev = (struct hw_ws_event){.data = payload};
		return HW_WS_PING;
	default:
		*ev = (struct hw_ws_event){.data = payload};
		return HW_WS_PONG;
	}
}

static int read_control(
	struct hw_ws_reader *r, uint8_t *p, size_t len, size_t *used, struct hw_ws_event *ev)
{
	size_t n = len - *used < r->left ? len - *used : (size_t)r->left;
	uint8_t *piece = n ? p + *used : p;

	if (n == 0 && r->left > 0)
		return HW_WS_MORE;
	if (n == r->left && r->n_control == 0) {
		take_payload(r, piece, n);
		*used += n;
		return finish_control(r, (struct hw_str){(const char *)piece, n}, ev);
	}
	if (!r->control) {
		r->control = malloc(HW_WS_CONTROL_BYTES);
		if (!r->control)
			return -ENOMEM;
	}
	memcpy(r->control + r->n_control, piece, n);
	take_payload(r, r->control + r->n_control, n);
	*used += n;
	r->n_control += (uint8_t)n;
	if (r->left > 0)
		return HW_WS_MORE;
	return finish_control(r, (struct hw_str){(const char *)r->control, r->n_control}, ev);
}

int hw_ws_read(struct hw_ws_reader *r, uint8_t *p, size_t len, size_t *used, struct hw_ws_event *ev)
{
	int rc = 0;

	*used = 0;
	if (r->control && r->state != STATE_CONTROL)
		drop_control(r); /* the event that showed it is over */
	while (!rc) {
		switch (r->state) {
		case STATE_HEADER:
			rc = read_header(r, p, len, used, ev);
			break;
		case STATE_DATA:
			rc = read_data(r, p, len, used, ev);
			break;
		case STATE_CONTROL:
			rc = read_control(r, p, len, used, ev);
			break;
		default:
			*used = len;
			return HW_WS_MORE;
		}
	}
	return rc;
}
