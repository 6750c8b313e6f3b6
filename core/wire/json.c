#include "wire/json.h"

#include <errno.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/err.h"
#include "base/utf8.h"

/* Every scan_… function takes the place where it starts and returns the place behind what it read,
 * or NULL with the reader's error set. That way the place stays in a register. */

static const char open_end[] = "the text ends inside an array or object";

static const char *scan_fail(struct hw_json_reader *r, const char *at, const char *text)
{
	r->error = text;
	r->error_at = (size_t)(at - r->start);
	return NULL;
}

static inline bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline const char *scan_space(const char *p, const char *end)
{
	/* Compact texts have none: the first test settles it. */
	while (p < end && HW_UNLIKELY((unsigned char)*p <= ' ') && is_space(*p))
		p++;
	return p;
}

/* Runs through the bytes of a string that need no thought: to the first quote, backslash or control
 * character. Bytes above ASCII are only noted, and checked once for the whole string. */
#if defined(__SSE2__) && !defined(HW_JSON_PORTABLE)
static inline const char *scan_plain(const char *p, const char *end, bool *high)
{
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i control = _mm_set1_epi8(0x1f);

	while (end - p >= 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)p);
		__m128i stop = _mm_or_si128(
			_mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash)),
			_mm_cmpeq_epi8(_mm_min_epu8(x, control), x));
		unsigned stops = (unsigned)_mm_movemask_epi8(stop);
		unsigned highs = (unsigned)_mm_movemask_epi8(x);

		if (stops) {
			unsigned n = (unsigned)__builtin_ctz(stops);

			*high |= (highs & ((1u << n) - 1)) != 0;
			return p + n;
		}
		*high |= highs != 0;
		p += 16;
	}
	while (p < end && (unsigned char)*p > 0x1f && *p != '"' && *p != '\\')
		*high |= (*p++ & 0x80) != 0;
	return p;
}
#else
/* Eight bytes at a time. Borrows may set the bit of a byte that is not meant, but only beside one
 * that is: the word then holds the end of the run, and the bytes below find it. */
static inline const char *scan_plain(const char *p, const char *end, bool *high)
{
	const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;

	for (; end - p >= 8; p += 8) {
		uint64_t x, q, b, stop;

		memcpy(&x, p, 8);
		q = x ^ ones * '"';
		b = x ^ ones * '\\';
		stop = ((x - ones * 0x20) | (q - ones) | (b - ones)) & ~x & tops;
		if (stop)
			break;
		*high |= (x & tops) != 0;
	}
	while (p < end && (unsigned char)*p > 0x1f && *p != '"' && *p != '\\')
		*high |= (*p++ & 0x80) != 0;
	return p;
}
#endif

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* @p is at the backslash */
static const char *scan_escape(struct hw_json_reader *r, const char *p)
{
	if (r->end - p < 2)
		return scan_fail(r, r->end, "the text ends inside a string");
	switch (p[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return p + 2;
	case 'u':
		for (int i = 2; i < 6; i++) {
			if (p + i == r->end)
				return scan_fail(r, r->end, "the text ends inside a string");
			if (!is_hex(p[i]))
				return scan_fail(r, p, "\\u needs four hexadecimal digits");
		}
		return p + 6;
	default:
		return scan_fail(r, p, "there is no such escape in JSON");
	}
}

/* @p is behind the opening quote */
static inline const char *scan_string(struct hw_json_reader *r, const char *p, bool *escaped)
{
	const char *begin = p;
	bool high = false;

	for (;;) {
		p = scan_plain(p, r->end, &high);
		if (HW_UNLIKELY(p == r->end))
			return scan_fail(r, p, "the text ends inside a string");
		if (HW_LIKELY(*p == '"'))
			break;
		if (*p != '\\')
			return scan_fail(r, p, "a control character in a string must be escaped");
		*escaped = true;
		p = scan_escape(r, p);
		if (!p)
			return NULL;
	}
	if (high && !(r->flags & HW_JSON_UTF8_DONE) && !hw_utf8_valid(begin, (size_t)(p - begin)))
		return scan_fail(r, begin, "a string is not UTF-8");
	return p + 1;
}

static inline bool is_digit(char c)
{
	return (unsigned char)(c - '0') <= 9;
}

static inline const char *scan_digits(struct hw_json_reader *r, const char *p)
{
	if (p == r->end || !is_digit(*p))
		return scan_fail(r, p, "a digit is expected");
	do
		p++;
	while (p < r->end && is_digit(*p));
	return p;
}

static inline const char *scan_number(struct hw_json_reader *r, const char *p)
{
	if (*p == '-')
		p++;
	if (p < r->end && *p == '0') {
		p++;
		if (p < r->end && is_digit(*p))
			return scan_fail(r, p, "a number has no leading zeros");
	} else {
		p = scan_digits(r, p);
		if (!p)
			return NULL;
	}
	if (p < r->end && *p == '.') {
		p = scan_digits(r, p + 1);
		if (!p)
			return NULL;
	}
	if (p < r->end && (*p | 0x20) == 'e') {
		p++;
		if (p < r->end && (*p == '+' || *p == '-'))
			p++;
		p = scan_digits(r, p);
	}
	return p;
}

static const char *scan_word(struct hw_json_reader *r, const char *p, const char *word, size_t len)
{
	if ((size_t)(r->end - p) < len || memcmp(p, word, len) != 0)
		return scan_fail(r, p, "a value is expected");
	return p + len;
}

static enum hw_json_kind kind_of(char c)
{
	switch (c) {
	case '"':
		return HW_JSON_STRING;
	case '{':
		return HW_JSON_OBJECT;
	case '[':
		return HW_JSON_ARRAY;
	case 't':
		return HW_JSON_TRUE;
	case 'f':
		return HW_JSON_FALSE;
	case 'n':
		return HW_JSON_NULL;
	default:
		return c == '-' || is_digit(c) ? HW_JSON_NUMBER : HW_JSON_NONE;
	}
}

/* Everything but arrays and objects. @p < end. */
static inline const char *scan_scalar(struct hw_json_reader *r, const char *p, bool *escaped)
{
	switch (*p) {
	case '"':
		return scan_string(r, p + 1, escaped);
	case 't':
		return scan_word(r, p, "true", 4);
	case 'f':
		return scan_word(r, p, "false", 5);
	case 'n':
		return scan_word(r, p, "null", 4);
	default:
		if (*p != '-' && !is_digit(*p))
			return scan_fail(r, p, "a value is expected");
		return scan_number(r, p);
	}
}

/* A name and its colon. */
static inline const char *scan_key(struct hw_json_reader *r, const char *p, bool *escaped)
{
	if (p == r->end || *p != '"')
		return scan_fail(r, p, "a member name is expected");
	p = scan_string(r, p + 1, escaped);
	if (!p)
		return NULL;
	p = scan_space(p, r->end);
	if (p == r->end || *p != ':')
		return scan_fail(r, p, "a colon is expected");
	return p + 1;
}

/* An array or object and all that is inside, without recursion: bit 0 of @objects says whether the
 * innermost open container is an object, bit 1 the one around it, and so on. @p: its bracket. */
static const char *scan_container(struct hw_json_reader *r, const char *p)
{
	unsigned open = 0, room = HW_JSON_DEPTH - r->depth;
	uint64_t objects = 0;
	bool ignored = false;

	for (;;) {
		bool object = *p == '{';

		if (object || *p == '[') { /* step in */
			if (open == room)
				return scan_fail(r, p, "nested too deeply");
			open++;
			objects = objects << 1 | object;
			p = scan_space(p + 1, r->end);
			if (p == r->end)
				return scan_fail(r, p, open_end);
			if (*p == (object ? '}' : ']'))
				goto close;
		} else {
			p = scan_scalar(r, p, &ignored);
			if (!p)
				return NULL;
		after:
			p = scan_space(p, r->end);
			object = objects & 1;
			if (p == r->end)
				return scan_fail(r, p, open_end);
			if (*p == (object ? '}' : ']')) {
			close:
				p++;
				objects >>= 1;
				if (--open == 0)
					return p;
				goto after;
			}
			if (*p != ',')
				return scan_fail(
					r, p, "a comma or the closing bracket is expected");
			p = scan_space(p + 1, r->end);
		}
		if (object) {
			p = scan_key(r, p, &ignored);
			if (!p)
				return NULL;
			p = scan_space(p, r->end);
		}
		if (p == r->end)
			return scan_fail(r, p, "the text ends where a value is expected");
	}
}

void hw_json_init(struct hw_json_reader *r, struct hw_str text, unsigned flags)
{
	*r = (struct hw_json_reader){.start = text.p, .p = text.p, .flags = flags};
	r->end = text.len > 0 ? text.p + text.len : text.p; /* p may be NULL */
}

enum hw_json_kind hw_json_peek(struct hw_json_reader *r)
{
	r->p = scan_space(r->p, r->end);
	return r->p == r->end ? HW_JSON_NONE : kind_of(*r->p);
}

static inline int done(struct hw_json_reader *r, const char *p)
{
	if (!p)
		return -EINVAL;
	r->p = p;
	return 0;
}

int hw_json_value(struct hw_json_reader *r, struct hw_json *out)
{
	const char *begin = scan_space(r->p, r->end);
	bool escaped = false;
	const char *p;

	if (begin == r->end)
		return done(r, scan_fail(r, begin, "the text ends where a value is expected"));
	if (*begin == '{' || *begin == '[')
		p = scan_container(r, begin);
	else
		p = scan_scalar(r, begin, &escaped);
	if (!p)
		return -EINVAL;
	r->fresh = false;
	r->p = p;
	*out = (struct hw_json){
		.raw = {begin, (size_t)(p - begin)}, .kind = kind_of(*begin), .escaped = escaped};
	return 0;
}

int hw_json_enter(struct hw_json_reader *r, enum hw_json_kind kind)
{
	if (hw_json_peek(r) != kind)
		return done(r, scan_fail(r, r->p,
				       kind == HW_JSON_OBJECT ? "an object is expected"
							      : "an array is expected"));
	if (r->depth == HW_JSON_DEPTH)
		return done(r, scan_fail(r, r->p, "nested too deeply"));
	r->depth++;
	r->fresh = true;
	r->p++;
	return 0;
}

/* Steps over the comma, or out of the container when @closing stands there. */
static int step(struct hw_json_reader *r, char closing)
{
	const char *p = scan_space(r->p, r->end);

	if (p == r->end)
		return done(r, scan_fail(r, p, open_end));
	if (*p == closing) {
		r->p = p + 1;
		r->depth--;
		r->fresh = false;
		return HW_JSON_END;
	}
	if (!r->fresh) {
		if (*p != ',')
			return done(
				r, scan_fail(r, p, "a comma or the closing bracket is expected"));
		p = scan_space(p + 1, r->end);
	}
	r->p = p;
	return 0;
}

int hw_json_member(struct hw_json_reader *r, struct hw_json *key)
{
	int rc = step(r, '}');
	bool escaped = false;
	const char *begin = r->p, *p;

	if (rc != 0)
		return rc;
	p = scan_key(r, begin, &escaped);
	if (!p)
		return -EINVAL;
	r->p = p;
	do /* back over the colon and the space before it, to the quote */
		p--;
	while (*p != '"');
	*key = (struct hw_json){.raw = {begin, (size_t)(p + 1 - begin)},
		.kind = HW_JSON_STRING,
		.escaped = escaped};
	return 0;
}

int hw_json_element(struct hw_json_reader *r)
{
	return step(r, ']');
}

int hw_json_next_object(struct hw_json_reader *r, bool many, bool *done)
{
	struct hw_json value;
	int rc;

	if (*done)
		return HW_JSON_END;
	if (!many) {
		*done = true;
		return 0;
	}
	rc = hw_json_element(r);
	if (rc == HW_JSON_END)
		*done = true;
	if (rc == 0 && hw_json_peek(r) != HW_JSON_OBJECT) {
		rc = hw_json_value(r, &value);
		if (rc == 0)
			rc = HW_JSON_NO_OBJECT;
	}
	return rc;
}

int hw_json_finish(struct hw_json_reader *r)
{
	r->p = scan_space(r->p, r->end);
	if (r->p != r->end)
		return done(r, scan_fail(r, r->p, "there is more behind the end of the value"));
	return 0;
}

int hw_json_err(const struct hw_json_reader *r, struct hw_err *err)
{
	return hw_err_set(err, -EINVAL, "byte %zu: %s", r->error_at, r->error);
}

int hw_json_open_items(struct hw_json_reader *r, struct hw_str text, unsigned flags,
	size_t max_items, size_t *n, struct hw_err *err)
{
	struct hw_json value;
	int rc;

	*n = 0;
	hw_json_init(r, text, flags);
	rc = hw_json_enter(r, HW_JSON_ARRAY);
	while (rc == 0 && (rc = hw_json_element(r)) == 0) {
		if ((*n)++ == max_items && max_items > 0)
			return hw_err_set(
				err, -E2BIG, "more than %zu items in one message", max_items);
		rc = hw_json_value(r, &value);
	}
	if (rc == HW_JSON_END)
		rc = hw_json_finish(r);
	if (rc != 0)
		return hw_json_err(r, err);
	hw_json_init(r, text, HW_JSON_UTF8_DONE);
	return hw_json_enter(r, HW_JSON_ARRAY);
}

int hw_json_whole(struct hw_str text, unsigned flags, struct hw_json *out, struct hw_err *err)
{
	struct hw_json_reader r;
	struct hw_json value;

	hw_json_init(&r, text, flags);
	if (hw_json_value(&r, &value) != 0 || hw_json_finish(&r) != 0)
		return hw_json_err(&r, err);
	*out = value;
	return 0;
}
