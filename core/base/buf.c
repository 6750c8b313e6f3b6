#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define MIN_CAP 64

void hw_buf_init(struct hw_buf *b)
{
	*b = (struct hw_buf){0};
}

void hw_buf_fini(struct hw_buf *b)
{
	free(b->data);
	hw_buf_init(b);
}

void hw_buf_clear(struct hw_buf *b)
{
	b->len = 0;
	b->failed = false;
}

static bool grow(struct hw_buf *b, size_t extra)
{
	size_t need;
	size_t cap = b->cap > 0 ? b->cap : MIN_CAP;
	char *data;

	/* objects larger than this have no pointer difference; no caller means that */
	if (__builtin_add_overflow(b->len, extra, &need) || need > SIZE_MAX / 4)
		return false;
	while (cap < need)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

char *hw_buf_reserve(struct hw_buf *b, size_t extra)
{
	if (b->failed)
		return NULL;
	if ((!b->data || b->cap - b->len < extra) && !grow(b, extra)) {
		b->failed = true;
		return NULL;
	}
	return b->data + b->len;
}

void hw_buf_add(struct hw_buf *b, const void *p, size_t len)
{
	char *to;

	if (len == 0)
		return;
	to = hw_buf_reserve(b, len);
	if (!to)
		return;
	memcpy(to, p, len);
	b->len += len;
}

void hw_buf_str(struct hw_buf *b, struct hw_str s)
{
	hw_buf_add(b, s.p, s.len);
}

void hw_buf_puts(struct hw_buf *b, const char *zero_terminated)
{
	hw_buf_add(b, zero_terminated, strlen(zero_terminated));
}

void hw_buf_putc(struct hw_buf *b, char c)
{
	hw_buf_add(b, &c, 1);
}

void hw_buf_printf(struct hw_buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	hw_buf_vprintf(b, format, args);
	va_end(args);
}

void hw_buf_vprintf(struct hw_buf *b, const char *format, va_list args)
{
	va_list again;
	int len;
	char *to;

	if (b->failed)
		return;
	va_copy(again, args);
	len = vsnprintf(b->data ? b->data + b->len : NULL, b->cap - b->len, format, args);
	if (len < 0) {
		b->failed = true;
	} else if ((size_t)len >= b->cap - b->len) {
		/* did not fit with its zero; now its length is known */
		to = hw_buf_reserve(b, (size_t)len + 1);
		if (to && vsnprintf(to, (size_t)len + 1, format, again) != len)
			b->failed = true;
	}
	va_end(again);
	if (!b->failed)
		b->len += (size_t)len;
}

void hw_buf_u64(struct hw_buf *b, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	hw_buf_add(b, digits + at, sizeof(digits) - at);
}

/* As it is: printable ASCII but for the two that JSON escapes. */
static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Code points that a reader does not see but a terminal or a JavaScript engine obeys. */
static bool is_unsafe(uint32_t c)
{
	return (c >= 0x7f && c <= 0x9f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

static uint32_t decode_upto3(const char *p, size_t len)
{
	const unsigned char *b = (const unsigned char *)p;

	if (len == 1)
		return b[0];
	if (len == 2)
		return (uint32_t)(b[0] & 0x1f) << 6 | (b[1] & 0x3f);
	return (uint32_t)(b[0] & 0x0f) << 12 | (uint32_t)(b[1] & 0x3f) << 6 | (b[2] & 0x3f);
}

/* The letter that JSON has for @c behind a backslash, or 'u'. */
static char escape_letter(uint32_t c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\b':
		return 'b';
	case '\t':
		return 't';
	case '\n':
		return 'n';
	case '\f':
		return 'f';
	case '\r':
		return 'r';
	default:
		return 'u';
	}
}

static size_t put_escape(char *out, uint32_t c)
{
	static const char hex[] = "0123456789abcdef";

	out[0] = '\\';
	out[1] = escape_letter(c);
	if (out[1] != 'u')
		return 2;
	for (int i = 0; i < 4; i++)
		out[2 + i] = hex[c >> (12 - 4 * i) & 0xf];
	return 6;
}

size_t hw_json_char(struct hw_str s, char out[HW_JSON_CHAR_MAX], size_t *out_len)
{
	bool valid;
	size_t len = hw_utf8_next(s.p, s.len, &valid);
	uint32_t c;

	if (!valid) {
		memcpy(out, "\xef\xbf\xbd", 3);
		*out_len = 3;
		return len;
	}
	if (len < 4) {
		c = decode_upto3(s.p, len);
		if ((len == 1 && !is_plain(s.p[0])) || is_unsafe(c)) {
			*out_len = put_escape(out, c);
			return len;
		}
	}
	memcpy(out, s.p, len);
	*out_len = len;
	return len;
}

void hw_buf_json(struct hw_buf *b, struct hw_str s)
{
	char out[HW_JSON_CHAR_MAX];
	size_t out_len;
	size_t n;

	hw_buf_putc(b, '"');
	while (s.len > 0) {
		for (n = 0; n < s.len && is_plain(s.p[n]);)
			n++;
		hw_buf_add(b, s.p, n);
		if (n < s.len) {
			n += hw_json_char((struct hw_str){s.p + n, s.len - n}, out, &out_len);
			hw_buf_add(b, out, out_len);
		}
		s.p += n;
		s.len -= n;
	}
	hw_buf_putc(b, '"');
}

void hw_buf_consume(struct hw_buf *b, size_t n)
{
	if (n == 0)
		return;
	if (n > b->len)
		n = b->len;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

struct hw_str hw_buf_view(const struct hw_buf *b)
{
	return (struct hw_str){b->data, b->len};
}

char *hw_buf_steal(struct hw_buf *b)
{
	char *data = NULL;

	if (hw_buf_reserve(b, 1)) {
		data = b->data;
		data[b->len] = '\0';
		b->data = NULL;
	}
	hw_buf_fini(b);
	return data;
}
