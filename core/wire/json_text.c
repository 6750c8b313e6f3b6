#include "wire/json.h"

#include <errno.h>
#include <string.h>

/* What strings say. The strings were read by json.c, so their escapes are known to be complete. */

static unsigned hex4(const char *p)
{
	unsigned n = 0;

	for (int i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)p[i];

		n = n << 4 | (c <= '9' ? c - 0x30u : (c | 0x20u) - 'a' + 10u);
	}
	return n;
}

static size_t put_utf8(unsigned code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

static bool is_lead(unsigned code)
{
	return (code & 0xfc00) == 0xd800;
}

static bool is_trail(unsigned code)
{
	return (code & 0xfc00) == 0xdc00;
}

/* Walks what a string says in pieces: runs of plain bytes are views of the text, an escape is one
 * piece in @store. */
struct walk {
	const char *p;
	const char *end;
	char store[4];
	bool lone; /* the piece is a surrogate without its other half, as three bytes */
};

static void walk_init(struct walk *w, struct hw_json string)
{
	struct hw_str inside = hw_json_inside(string);

	w->p = inside.p;
	w->end = inside.p + inside.len;
	w->lone = false;
}

static struct hw_str walk_unicode(struct walk *w)
{
	unsigned code = hex4(w->p + 2);

	w->p += 6;
	if (is_lead(code) && w->end - w->p >= 6 && w->p[0] == '\\' && w->p[1] == 'u' &&
		is_trail(hex4(w->p + 2))) {
		code = 0x10000 + ((code & 0x3ff) << 10 | (hex4(w->p + 2) & 0x3ff));
		w->p += 6;
	}
	w->lone = code >= 0xd800 && code <= 0xdfff;
	return (struct hw_str){w->store, put_utf8(code, w->store)};
}

/* false at the end */
static bool walk_next(struct walk *w, struct hw_str *piece)
{
	static const char letters[] = "bfnrt", means[] = "\b\f\n\r\t";
	const char *stop, *letter;

	w->lone = false;
	if (w->p == w->end)
		return false;
	if (*w->p != '\\') {
		stop = memchr(w->p, '\\', (size_t)(w->end - w->p));
		stop = stop ? stop : w->end;
		*piece = (struct hw_str){w->p, (size_t)(stop - w->p)};
		w->p = stop;
		return true;
	}
	if (w->p[1] == 'u') {
		*piece = walk_unicode(w);
		return true;
	}
	letter = strchr(letters, w->p[1]);
	w->store[0] = letter ? means[letter - letters] : w->p[1];
	w->p += 2;
	*piece = (struct hw_str){w->store, 1};
	return true;
}

int hw_json_unescape(struct hw_buf *out, struct hw_json string)
{
	size_t before = out->len;
	struct hw_str piece;
	struct walk w;

	walk_init(&w, string);
	while (walk_next(&w, &piece)) {
		if (w.lone) {
			out->len = before;
			return -EILSEQ;
		}
		hw_buf_str(out, piece);
	}
	return out->failed ? -ENOMEM : 0;
}

int hw_json_copy(struct hw_json string, char *out, size_t size, size_t *len)
{
	struct hw_str piece;
	struct walk w;
	size_t n = 0;

	walk_init(&w, string);
	while (walk_next(&w, &piece)) {
		if (w.lone)
			return -EILSEQ;
		if (piece.len > size - n)
			return -ERANGE;
		memcpy(out + n, piece.p, piece.len);
		n += piece.len;
	}
	*len = n;
	return 0;
}

size_t hw_json_copy_any(struct hw_json string, char *out)
{
	struct hw_str piece;
	struct walk w;
	size_t n = 0;

	walk_init(&w, string);
	while (walk_next(&w, &piece)) {
		memcpy(out + n, piece.p, piece.len);
		n += piece.len;
	}
	return n;
}

int hw_json_text(struct hw_json string, struct hw_buf *scratch, struct hw_str *out)
{
	int rc;

	if (!string.escaped) {
		*out = hw_json_inside(string);
		return 0;
	}
	hw_buf_clear(scratch);
	rc = hw_json_unescape(scratch, string);
	if (rc == 0)
		*out = hw_buf_view(scratch);
	return rc;
}

bool hw_json_is(struct hw_json string, struct hw_str plain)
{
	struct hw_str piece;
	struct walk w;

	if (string.kind != HW_JSON_STRING)
		return false;
	if (!string.escaped)
		return hw_str_eq(hw_json_inside(string), plain);
	walk_init(&w, string);
	while (walk_next(&w, &piece)) {
		if (w.lone || piece.len > plain.len || memcmp(piece.p, plain.p, piece.len) != 0)
			return false;
		plain.p += piece.len;
		plain.len -= piece.len;
	}
	return plain.len == 0;
}

bool hw_json_same(struct hw_json a, struct hw_json b)
{
	struct hw_str x = {NULL, 0}, y = {NULL, 0};
	struct walk v, w;

	if (!a.escaped && !b.escaped)
		return hw_str_eq(a.raw, b.raw);
	walk_init(&v, a);
	walk_init(&w, b);
	for (;;) {
		size_t n;
		bool more_x = x.len > 0 || walk_next(&v, &x);
		bool more_y = y.len > 0 || walk_next(&w, &y);

		if (!more_x || !more_y)
			return more_x == more_y;
		n = x.len < y.len ? x.len : y.len;
		if (memcmp(x.p, y.p, n) != 0)
			return false;
		x = (struct hw_str){x.p + n, x.len - n};
		y = (struct hw_str){y.p + n, y.len - n};
	}
}

bool hw_json_paired(struct hw_json string)
{
	struct hw_str piece;
	struct walk w;

	if (!string.escaped)
		return true;
	walk_init(&w, string);
	while (walk_next(&w, &piece)) {
		if (w.lone)
			return false;
	}
	return true;
}

static void js_string(struct hw_buf *out, struct hw_json string)
{
	struct hw_str piece;
	struct walk w;

	walk_init(&w, string);
	while (walk_next(&w, &piece))
		hw_buf_str(out, w.lone ? HW_STR("\xef\xbf\xbd") : piece);
}

/* Array.prototype.join: null is nothing. Recursion is bounded: no text that was read is deeper than
 * HW_JSON_DEPTH. */
static void js_array(struct hw_buf *out, struct hw_json array)
{
	struct hw_json_reader r;
	struct hw_json element;
	bool first = true;

	hw_json_init(&r, array.raw, HW_JSON_UTF8_DONE);
	if (hw_json_enter(&r, HW_JSON_ARRAY) != 0)
		return;
	while (hw_json_element(&r) == 0 && hw_json_value(&r, &element) == 0) {
		if (!first)
			hw_buf_putc(out, ',');
		first = false;
		if (element.kind != HW_JSON_NULL)
			hw_json_js_text(out, element);
	}
}

void hw_json_js_text(struct hw_buf *out, struct hw_json value)
{
	switch (value.kind) {
	case HW_JSON_NONE:
		hw_buf_puts(out, "undefined");
		break;
	case HW_JSON_STRING:
		js_string(out, value);
		break;
	case HW_JSON_NUMBER:
		hw_json_js_number(out, hw_json_double(value));
		break;
	case HW_JSON_ARRAY:
		js_array(out, value);
		break;
	case HW_JSON_OBJECT:
		hw_buf_puts(out, "[object Object]");
		break;
	default: /* null, true, false are spelt alike */
		hw_buf_str(out, value.raw);
	}
}

bool hw_json_falsy(struct hw_json value)
{
	switch (value.kind) {
	case HW_JSON_NONE:
	case HW_JSON_NULL:
	case HW_JSON_FALSE:
		return true;
	case HW_JSON_NUMBER:
		return hw_json_double(value) == 0;
	case HW_JSON_STRING:
		return value.raw.len == 2;
	default:
		return false;
	}
}
