#include "wire/sse.h"

#include <assert.h>
#include <string.h>

#include "wire/cursor.h"

static bool has_break(struct hw_str s)
{
	return s.len > 0 && (memchr(s.p, '\n', s.len) || memchr(s.p, '\r', s.len));
}

/* Cuts the first line off. A payload may have been published over several lines, and its bytes are
 * kept: white space of JSON, so that how a line ends means nothing. */
static struct hw_str cut_line(struct hw_str *rest)
{
	struct hw_str line = *rest;

	for (size_t i = 0; i < rest->len; i++) {
		size_t end = i + 1;

		if (rest->p[i] != '\n' && rest->p[i] != '\r')
			continue;
		if (rest->p[i] == '\r' && end < rest->len && rest->p[end] == '\n')
			end++;
		line.len = i;
		*rest = (struct hw_str){rest->p + end, rest->len - end};
		return line;
	}
	*rest = HW_STR_NULL;
	return line;
}

static size_t field_size(const char *name, struct hw_str value)
{
	return value.p ? strlen(name) + value.len + 1 : 0;
}

static char *field(char *out, const char *name, struct hw_str value)
{
	size_t n = strlen(name);

	if (!value.p)
		return out;
	memcpy(out, name, n);
	if (value.len)
		memcpy(out + n, value.p, value.len);
	out[n + value.len] = '\n';
	return out + n + value.len + 1;
}

size_t hw_sse_size(const struct hw_sse_block *b)
{
	size_t n = field_size("event: ", b->event) + field_size("id: ", b->id) + 1;
	struct hw_str rest = b->data;

	if (!has_break(rest))
		return n + field_size("data: ", rest);
	while (rest.p)
		n += field_size("data: ", cut_line(&rest));
	return n;
}

char *hw_sse_write(char *out, const struct hw_sse_block *b)
{
	struct hw_str rest = b->data;

	assert(!has_break(b->event) && !has_break(b->id));
	out = field(out, "event: ", b->event);
	out = field(out, "id: ", b->id);
	if (!has_break(rest)) {
		out = field(out, "data: ", rest);
	} else {
		while (rest.p)
			out = field(out, "data: ", cut_line(&rest));
	}
	*out = '\n';
	return out + 1;
}

struct hw_str hw_sse_id_of(struct hw_str event)
{
	static const char name[] = ",\"id\":\"";
	size_t before = sizeof(name) - 1, end = event.len - 2;

	if (event.len < before + 2 || event.p[end] != '"' || event.p[end + 1] != '}')
		return HW_STR_NULL;
	for (size_t len = 0; len <= HW_CURSOR_MAX && len + before <= end; len++) {
		if (event.p[end - len - 1] != '"')
			continue;
		if (memcmp(event.p + end - len - before, name, before) != 0)
			return HW_STR_NULL;
		return (struct hw_str){event.p + end - len, len};
	}
	return HW_STR_NULL;
}
