#include "wire/http1_internal.h"

#include <string.h>

/* A row is 16 bytes, the sum of their classes; what is not ASCII is in none. */
/* clang-format off */
const uint8_t hw_http1_classes[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 3, 2, 1, 3, 3, 3, 3, 2, 2, 3, 3, 2, 7, 7, 2, /*    ! " # $ % & ' ( ) * + , - . / */
	7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 2, 2, 2, 2, 2, /* 0 1 2 3 4 5 6 7 8 9 : ; < = > ? */
	2, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, /* @ A B C D E F G H I J K L M N O */
	7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 2, 2, 3, 7, /* P Q R S T U V W X Y Z [ \ ] ^ _ */
	3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, /* ` a b c d e f g h i j k l m n o */
	7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 3, 2, 7, 0, /* p q r s t u v w x y z { | } ~ DEL */
};
/* clang-format on */

#define EACH_BYTE(b) (UINT64_MAX / 255 * (b))

/* Nonzero if one of the eight bytes of @w is below 0x20 or is 0x7f: both tests are the classic
 * borrow trick, and bytes from 0x80 on are masked out. */
static uint64_t may_control(uint64_t w)
{
	uint64_t del = w ^ EACH_BYTE(0x7f);
	uint64_t below = (w - EACH_BYTE(0x20)) & ~w;
	uint64_t is_del = (del - EACH_BYTE(0x01)) & ~del;

	return (below | is_del) & EACH_BYTE(0x80);
}

size_t hw_http1_find_control(const char *p, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t w;

		memcpy(&w, p + i, 8);
		if (!may_control(w))
			continue;
		for (size_t k = i; k < i + 8; k++) {
			if (hw_http1_control(p[k]))
				return k;
		}
	}
	while (i < len && !hw_http1_control(p[i]))
		i++;
	return i;
}

bool hw_http1_is_token(struct hw_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!hw_http1_is(s.p[i], HW_HTTP1_C_TOKEN))
			return false;
	}
	return s.len > 0;
}

const char *hw_http1_header_line(struct hw_str line, struct hw_http1_header *out)
{
	size_t i = 0;

	while (i < line.len && hw_http1_is(line.p[i], HW_HTTP1_C_TOKEN))
		i++;
	if (i == line.len)
		return "a header line has no colon";
	if (line.p[i] != ':') {
		if (line.p[i] != ' ' && line.p[i] != '\t')
			return "a header name has a character that is not allowed";
		if (i == 0)
			return "a header line starts with white space (folded lines are not "
			       "accepted)";
		return "white space before the colon of a header";
	}
	if (i == 0)
		return "a header has no name";
	out->name = (struct hw_str){line.p, i};
	out->value = hw_str_trim((struct hw_str){line.p + i + 1, line.len - i - 1});
	return NULL;
}

bool hw_http1_list_next(struct hw_str *rest, struct hw_str *item)
{
	while (rest->p) {
		struct hw_str part = hw_str_trim(hw_str_cut(rest, ','));

		if (part.len > 0) {
			*item = part;
			return true;
		}
	}
	return false;
}

bool hw_http1_list_has(const struct hw_http1_request *request, const char *name, struct hw_str item)
{
	struct hw_str wanted = hw_str_of(name);

	for (size_t i = 0; i < request->n_headers; i++) {
		struct hw_str rest = request->headers[i].value, found;

		if (!hw_str_eq_nocase(request->headers[i].name, wanted))
			continue;
		while (hw_http1_list_next(&rest, &found)) {
			if (hw_str_eq_nocase(found, item))
				return true;
		}
	}
	return false;
}

struct hw_str hw_http1_header(
	const struct hw_http1_request *request, const char *name, size_t *n_found)
{
	struct hw_str wanted = hw_str_of(name), value = HW_STR_NULL;
	size_t n = 0;

	for (size_t i = 0; i < request->n_headers; i++) {
		if (!hw_str_eq_nocase(request->headers[i].name, wanted))
			continue;
		if (n++ == 0)
			value = request->headers[i].value;
	}
	if (n_found)
		*n_found = n;
	return value;
}
