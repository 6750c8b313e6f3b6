#include "wire/cursor.h"

#include <errno.h>
#include <string.h>

static const char digits36[] = "0123456789abcdefghijklmnopqrstuvwxyz";

static size_t put_number(char *out, uint64_t n, unsigned base)
{
	char backwards[20];
	size_t len = 0;

	do {
		backwards[len++] = digits36[n % base];
		n /= base;
	} while (n > 0);
	for (size_t i = 0; i < len; i++)
		out[i] = backwards[len - 1 - i];
	return len;
}

size_t hw_cursor_format(struct hw_cursor c, char out[HW_CURSOR_MAX + 1])
{
	size_t n = put_number(out, c.epoch, 36);

	out[n++] = '-';
	n += put_number(out + n, c.seq, 10);
	out[n] = 0;
	return n;
}

void hw_cursor_add(struct hw_buf *out, struct hw_cursor c)
{
	char text[HW_CURSOR_MAX + 1];

	hw_buf_add(out, text, hw_cursor_format(c, text));
}

static int read_number(struct hw_str s, unsigned base, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0 || (s.p[0] == '0' && s.len > 1))
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		const char *digit = memchr(digits36, s.p[i], base);

		if (!digit || __builtin_mul_overflow(n, (uint64_t)base, &n) ||
			__builtin_add_overflow(n, (uint64_t)(digit - digits36), &n))
			return -EINVAL;
	}
	*out = n;
	return 0;
}

int hw_cursor_parse(struct hw_str text, struct hw_cursor *out)
{
	struct hw_cursor c;
	struct hw_str rest = text, epoch;

	if (text.len > HW_CURSOR_MAX)
		return -EINVAL;
	epoch = hw_str_cut(&rest, '-');
	if (read_number(epoch, 36, &c.epoch) != 0 || read_number(rest, 10, &c.seq) != 0)
		return -EINVAL;
	*out = c;
	return 0;
}
