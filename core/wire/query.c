#include "wire/query.h"

#include <errno.h>
#include <string.h>

#include "base/utf8.h"
#include "wire/http1_internal.h"

/* Decodes @text to @out, which has room for text.len bytes. Returns the length, or -1 when
 * malformed. */
static ptrdiff_t decode(char *out, struct hw_str text, bool plus_is_space)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];

		if (c == '%') {
			int high, low;

			if (text.len - i < 3)
				return -1;
			high = hw_http1_hex(text.p[i + 1]);
			low = hw_http1_hex(text.p[i + 2]);
			if (high < 0 || low < 0)
				return -1;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c == '\0')
			return -1;
		out[n++] = c;
	}
	return hw_utf8_valid(out, n) ? (ptrdiff_t)n : -1;
}

static bool plain(struct hw_str s) /* nothing to decode, nothing to check */
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '%' || s.p[i] == '+' || s.p[i] == '\0' ||
			(unsigned char)s.p[i] >= 0x80)
			return false;
	}
	return true;
}

void hw_query_init(struct hw_query *q, struct hw_str text)
{
	q->rest = text;
}

/* Replaces *@s by its decoded form, written to the room at *@room if it needs one. */
static int decode_part(struct hw_str *s, char **room)
{
	ptrdiff_t len;

	if (plain(*s))
		return 0;
	len = decode(*room, *s, true);
	if (len < 0)
		return -EINVAL;
	*s = (struct hw_str){*room, (size_t)len};
	*room += len;
	return 0;
}

int hw_query_next(
	struct hw_query *q, struct hw_buf *scratch, struct hw_str *name, struct hw_str *value)
{
	struct hw_str n, v;
	char *room;
	int rc;

	do {
		if (!q->rest.p)
			return HW_QUERY_END;
		v = hw_str_cut(&q->rest, '&');
	} while (v.len == 0);
	n = hw_str_cut(&v, '=');
	if (!v.p)
		v = HW_STR("");
	if (!plain(n) || !plain(v)) {
		hw_buf_clear(scratch);
		/* both at once: a second reserve could move what the first decoded */
		room = hw_buf_reserve(scratch, n.len + v.len);
		if (!room)
			return -ENOMEM;
		rc = decode_part(&n, &room);
		if (!rc)
			rc = decode_part(&v, &room);
		if (rc)
			return rc;
	}
	*name = n;
	*value = v;
	return 0;
}

int hw_query_get(
	struct hw_str text, struct hw_str name, struct hw_buf *scratch, struct hw_str *value)
{
	struct hw_query q;
	struct hw_str n, v, found = HW_STR_NULL;
	bool repeated = false;
	int rc;

	hw_query_init(&q, text);
	for (;;) {
		struct hw_query here = q;

		rc = hw_query_next(&q, scratch, &n, &v);
		if (rc)
			break;
		if (!hw_str_eq(n, name))
			continue;
		repeated |= found.p != NULL;
		found = here.rest; /* decoded once more below: later pairs use the scratch */
	}
	if (rc != HW_QUERY_END)
		return rc;
	if (repeated)
		return HW_QUERY_REPEATED;
	if (!found.p)
		return HW_QUERY_END;
	hw_query_init(&q, found);
	return hw_query_next(&q, scratch, &n, value);
}

int hw_percent_decode(struct hw_buf *out, struct hw_str text)
{
	char *room = hw_buf_reserve(out, text.len);
	ptrdiff_t len;

	if (!room)
		return -ENOMEM;
	len = decode(room, text, false);
	if (len < 0)
		return -EINVAL;
	out->len += (size_t)len;
	return 0;
}

static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._~", c));
}

void hw_percent_encode(struct hw_buf *out, struct hw_str text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (unreserved(text.p[i]))
			hw_buf_putc(out, text.p[i]);
		else
			hw_buf_add(out, (char[]){'%', digits[c >> 4], digits[c & 15]}, 3);
	}
}
