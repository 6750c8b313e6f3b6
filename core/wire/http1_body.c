#include "wire/http1_internal.h"

/* Every byte between the pieces of a chunked body goes through one of the small functions below,
 * which look at nothing else: so no split of the input can change what is read. They return 0 or
 * HW_HTTP1_ERROR. */

#define MAX_SIZE_DIGITS 16

static int size_byte(struct hw_http1 *r, char c)
{
	int digit = hw_http1_hex(c);

	if (digit >= 0) {
		if (r->state == HW_HTTP1_S_SIZE_FIRST) {
			r->state = HW_HTTP1_S_SIZE;
			r->n_lines = 0; /* counts digits here, lines in trailers */
			r->left = 0;
		}
		if (++r->n_lines > MAX_SIZE_DIGITS)
			return hw_http1_refuse(r, 400, "a chunk size has too many digits");
		r->left = r->left << 4 | (unsigned)digit;
		return 0;
	}
	if (r->state == HW_HTTP1_S_SIZE_FIRST)
		return hw_http1_refuse(
			r, 400, "a chunk does not start with its size in hexadecimal");
	if (c == '\r')
		r->state = HW_HTTP1_S_SIZE_LF;
	else if (c == ';')
		r->state = HW_HTTP1_S_EXT_NAME_FIRST;
	else
		return hw_http1_refuse(
			r, 400, "a chunk size is followed by what does not belong there");
	return 0;
}

/* After a whole name or value: another extension, or the end of the line. */
static int ext_next(struct hw_http1 *r, char c)
{
	if (c == ';')
		r->state = HW_HTTP1_S_EXT_NAME_FIRST;
	else if (c == '\r')
		r->state = HW_HTTP1_S_SIZE_LF;
	else
		return hw_http1_refuse(r, 400, "a malformed chunk extension");
	return 0;
}

/* RFC 9112 7.1.1 without its "bad white space": ;name, ;name=token, ;name="quoted". They mean
 * nothing to us. */
static int ext_byte(struct hw_http1 *r, char c)
{
	bool token = hw_http1_is(c, HW_HTTP1_C_TOKEN);

	if (++r->line_bytes > HW_HTTP1_EXTENSION_BYTES)
		return hw_http1_refuse(r, 400, "too many chunk extensions");
	switch (r->state) {
	case HW_HTTP1_S_EXT_NAME_FIRST:
		if (token)
			r->state = HW_HTTP1_S_EXT_NAME;
		return token ? 0 : hw_http1_refuse(r, 400, "a malformed chunk extension");
	case HW_HTTP1_S_EXT_NAME:
		if (c == '=')
			r->state = HW_HTTP1_S_EXT_VALUE_FIRST;
		else if (!token)
			return ext_next(r, c);
		return 0;
	case HW_HTTP1_S_EXT_VALUE_FIRST:
		if (c != '"' && !token)
			return hw_http1_refuse(r, 400, "a malformed chunk extension");
		r->state = c == '"' ? HW_HTTP1_S_EXT_QUOTED : HW_HTTP1_S_EXT_TOKEN;
		return 0;
	case HW_HTTP1_S_EXT_TOKEN:
		return token ? 0 : ext_next(r, c);
	case HW_HTTP1_S_EXT_QUOTED:
	case HW_HTTP1_S_EXT_QUOTED_PAIR:
		if (hw_http1_control(c))
			return hw_http1_refuse(r, 400, "a control byte in a chunk extension");
		if (r->state == HW_HTTP1_S_EXT_QUOTED_PAIR)
			r->state = HW_HTTP1_S_EXT_QUOTED;
		else if (c == '\\')
			r->state = HW_HTTP1_S_EXT_QUOTED_PAIR;
		else if (c == '"')
			r->state = HW_HTTP1_S_EXT_QUOTED_END;
		return 0;
	default:
		return ext_next(r, c);
	}
}

static int size_end(struct hw_http1 *r, char c)
{
	if (c != '\n')
		return hw_http1_refuse(r, 400, "a CR without its LF after a chunk size");
	if (r->left == 0) {
		r->state = HW_HTTP1_S_TRAILER_FIRST;
		r->line_bytes = 0;
		r->n_lines = 0;
		return 0;
	}
	if (r->left > r->limits->max_body_bytes ||
		r->body_bytes > r->limits->max_body_bytes - r->left)
		return hw_http1_refuse(r, 413, "the body is larger than allowed");
	r->body_bytes += r->left;
	r->state = HW_HTTP1_S_DATA;
	return 0;
}

static int data_end(struct hw_http1 *r, char c)
{
	bool cr = r->state == HW_HTTP1_S_DATA_CR;

	if (c != (cr ? '\r' : '\n'))
		return hw_http1_refuse(
			r, 400, "a chunk is longer than its size, or lacks its CR LF");
	r->state = cr ? HW_HTTP1_S_DATA_LF : HW_HTTP1_S_SIZE_FIRST;
	return 0;
}

static int trailer_byte(struct hw_http1 *r, char c)
{
	if (++r->line_bytes > r->limits->max_head_bytes)
		return hw_http1_refuse(r, 431, "the trailers are too long");
	switch (r->state) {
	case HW_HTTP1_S_TRAILER_FIRST:
		if (c == '\r') {
			r->state = HW_HTTP1_S_LAST_LF;
			return 0;
		}
		if (++r->n_lines > r->limits->max_headers)
			return hw_http1_refuse(r, 431, "too many trailer lines");
		r->state = HW_HTTP1_S_TRAILER_NAME;
		return hw_http1_is(c, HW_HTTP1_C_TOKEN)
			       ? 0
			       : hw_http1_refuse(r, 400, "a malformed trailer");
	case HW_HTTP1_S_TRAILER_NAME:
		if (c == ':')
			r->state = HW_HTTP1_S_TRAILER_VALUE;
		else if (!hw_http1_is(c, HW_HTTP1_C_TOKEN))
			return hw_http1_refuse(r, 400, "a malformed trailer");
		return 0;
	case HW_HTTP1_S_TRAILER_VALUE:
		if (c == '\r')
			r->state = HW_HTTP1_S_TRAILER_LF;
		else if (hw_http1_control(c))
			return hw_http1_refuse(r, 400, "a control byte in a trailer");
		return 0;
	default:
		if (c != '\n')
			return hw_http1_refuse(r, 400, "a CR without its LF in the trailers");
		r->state =
			r->state == HW_HTTP1_S_LAST_LF ? HW_HTTP1_S_END : HW_HTTP1_S_TRAILER_FIRST;
		return 0;
	}
}

static int framing_byte(struct hw_http1 *r, char c)
{
	if (r->state <= HW_HTTP1_S_SIZE)
		return size_byte(r, c);
	if (r->state <= HW_HTTP1_S_EXT_QUOTED_END)
		return ext_byte(r, c);
	if (r->state == HW_HTTP1_S_SIZE_LF)
		return size_end(r, c);
	if (r->state <= HW_HTTP1_S_DATA_LF)
		return data_end(r, c);
	return trailer_byte(r, c);
}

static int take_piece(struct hw_http1 *r, const char *p, size_t len, size_t *used)
{
	r->piece = (struct hw_str){p, len < r->left ? len : (size_t)r->left};
	r->left -= r->piece.len;
	*used += r->piece.len;
	if (r->left == 0)
		r->state = r->state == HW_HTTP1_S_DATA ? HW_HTTP1_S_DATA_CR : HW_HTTP1_S_END;
	return HW_HTTP1_BODY;
}

int hw_http1_body_read(struct hw_http1 *r, const char *p, size_t len, size_t *used)
{
	while (*used < len) {
		int rc;

		if (r->state == HW_HTTP1_S_END)
			return HW_HTTP1_END;
		if (r->state == HW_HTTP1_S_LENGTH || r->state == HW_HTTP1_S_DATA)
			return take_piece(r, p + *used, len - *used, used);
		rc = framing_byte(r, p[*used]);
		if (rc)
			return rc;
		++*used;
	}
	return r->state == HW_HTTP1_S_END ? HW_HTTP1_END : HW_HTTP1_MORE;
}
