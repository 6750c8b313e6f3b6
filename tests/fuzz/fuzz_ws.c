// links: wire
/* The WebSocket frame reader: the same bytes whole and cut where the input says, and both against a
 * reader that is as plain as can be and has all bytes at hand. */
#include "../lib/ws_transcript.h"

#define PREFIX 5 /* role and limit, then four distances between cuts, used in turn */
#define MAX_CUTS 512

/* Where the plain reader is. */
struct plain {
	const uint8_t *p;
	size_t len;
	bool masked;
	uint64_t max;
	uint8_t opcode; /* of the message; 0: none */
	bool failed;
	struct hw_buf message;
	struct hw_buf text;
};

static bool plain_error(struct plain *s, unsigned code)
{
	hw_buf_printf(&s->text, "ERROR %u ", code);
	s->failed = true;
	return false;
}

static bool plain_control(struct plain *s, uint8_t opcode, const struct hw_buf *payload)
{
	unsigned code;

	if (opcode != HW_WS_OP_CLOSE) {
		hw_buf_puts(&s->text, opcode == HW_WS_OP_PING ? "PING " : "PONG ");
		hw_buf_str(&s->text, hw_buf_view(payload));
		hw_buf_putc(&s->text, '\n');
		return true;
	}
	if (payload->len == 0) {
		hw_buf_puts(&s->text, "CLOSE 1005 \n");
		return false;
	}
	if (payload->len == 1)
		return plain_error(s, 1002);
	code = (uint8_t)payload->data[0] * 256u + (uint8_t)payload->data[1];
	if (code < 1000 || code > 4999 || (code > 1014 && code < 3000) ||
		(code > 1003 && code < 1007))
		return plain_error(s, 1002);
	if (!hw_utf8_valid(payload->data + 2, payload->len - 2))
		return plain_error(s, 1007);
	hw_buf_printf(&s->text, "CLOSE %u ", code);
	hw_buf_printf(&s->text, "%.*s\n", (int)payload->len - 2, payload->data + 2);
	return false;
}

static bool plain_data(struct plain *s, bool fin, bool complete, const struct hw_buf *payload)
{
	struct hw_utf8 utf8 = {0};

	hw_buf_str(&s->message, hw_buf_view(payload));
	if (s->opcode == HW_WS_OP_TEXT) {
		if (!hw_utf8_feed(&utf8, s->message.data, s->message.len))
			return plain_error(s, 1007);
		if (fin && complete && !hw_utf8_done(&utf8))
			return plain_error(s, 1007);
	}
	if (!complete || !fin)
		return complete;
	hw_buf_puts(&s->text, s->opcode == HW_WS_OP_TEXT ? "TEXT " : "BINARY ");
	hw_buf_str(&s->text, hw_buf_view(&s->message));
	hw_buf_putc(&s->text, '\n');
	hw_buf_clear(&s->message);
	s->opcode = 0;
	return true;
}

/* The header checks in the order of the bytes; *@len is the payload's length. false: the end. */
static bool plain_header(struct plain *s, uint64_t *len, size_t *header)
{
	uint8_t b0, b1;
	bool control;

	if (s->len < 2)
		return false;
	b0 = s->p[0];
	b1 = s->p[1];
	control = (b0 & 0x0f) >= 8;
	if ((b0 & 0x70) || (b0 & 0x0f) > 10 || ((b0 & 0x0f) > 2 && !control))
		return plain_error(s, 1002);
	if ((b1 >= 0x80) != s->masked || (control && (b0 < 0x80 || (b1 & 0x7f) > 125)))
		return plain_error(s, 1002);
	if (!control && ((b0 & 0x0f) == 0) != (s->opcode != 0))
		return plain_error(s, 1002);
	*len = b1 & 0x7f;
	*header = *len < 126 ? 2 : *len == 126 ? 4 : 10;
	if (s->len < *header)
		return false;
	if (*header > 2)
		*len = 0;
	for (size_t i = 2; i < *header; i++)
		*len = *len * 256 + s->p[i];
	if ((*header == 4 && *len < 126) || (*header == 10 && (*len < 65536 || *len > INT64_MAX)))
		return plain_error(s, 1002);
	if (!control && (*len > s->max || s->message.len + *len > s->max))
		return plain_error(s, 1009);
	*header += s->masked ? 4 : 0;
	return s->len >= *header;
}

static bool plain_frame(struct plain *s)
{
	uint8_t b0 = s->len ? s->p[0] : 0, opcode = b0 & 0x0f;
	uint64_t len;
	size_t header, here;
	struct hw_buf payload;
	bool complete, going_on;

	if (!plain_header(s, &len, &header))
		return false;
	complete = s->len - header >= len;
	here = complete ? (size_t)len : s->len - header;
	hw_buf_init(&payload);
	hw_buf_add(&payload, s->p + header, here);
	for (size_t i = 0; s->masked && i < here; i++)
		payload.data[i] ^= (char)s->p[header - 4 + i % 4];
	if (opcode >= 8) {
		going_on = complete && plain_control(s, opcode, &payload);
	} else {
		if (opcode)
			s->opcode = opcode;
		going_on = plain_data(s, b0 >= 0x80, complete, &payload);
	}
	hw_buf_fini(&payload);
	s->p += header + here;
	s->len -= header + here;
	return going_on;
}

static void check_plain(const struct ws_transcript *t, enum hw_ws_role role, uint64_t max,
	const uint8_t *p, size_t len)
{
	struct plain s = {.p = p, .len = len, .masked = role == HW_WS_SERVER, .max = max};
	struct hw_str got = hw_buf_view(&t->text), expected;

	hw_buf_init(&s.message);
	hw_buf_init(&s.text);
	while (plain_frame(&s))
		;
	expected = hw_buf_view(&s.text);
	/* an error has its reason behind it, which is ours */
	WS_CHECK(s.failed == t->failed);
	if (s.failed)
		WS_CHECK(hw_str_starts(got, expected));
	else
		WS_CHECK(hw_str_eq(got, expected));
	hw_buf_fini(&s.message);
	hw_buf_fini(&s.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t limits[] = {1 << 20, 10, 0, UINT64_MAX};
	struct ws_transcript whole, split;
	size_t cuts[MAX_CUTS], n_cuts = 0, at = 0, len;
	enum hw_ws_role role;
	const uint8_t *input;
	uint64_t max;

	if (size < PREFIX)
		return 0;
	input = data + PREFIX;
	len = size - PREFIX;
	role = data[0] & 1 ? HW_WS_CLIENT : HW_WS_SERVER;
	max = limits[data[0] >> 1 & 3];
	for (size_t i = 0; n_cuts < MAX_CUTS; i++) {
		at += data[1 + i % 4];
		if (at > len || (i > 3 && at == 0))
			break;
		cuts[n_cuts++] = at;
	}
	ws_transcript_run(&whole, role, max, input, len, NULL, 0);
	ws_transcript_run(&split, role, max, input, len, cuts, n_cuts);
	WS_CHECK(hw_str_eq(hw_buf_view(&whole.text), hw_buf_view(&split.text)));
	WS_CHECK(hw_ws_reader_busy(&whole.reader) == hw_ws_reader_busy(&split.reader));
	check_plain(&whole, role, max, input, len);
	ws_transcript_fini(&whole);
	ws_transcript_fini(&split);
	return 0;
}
