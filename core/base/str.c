#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DISTANCE_MAX 64

struct hw_str hw_str_of(const char *zero_terminated)
{
	if (!zero_terminated)
		return HW_STR_NULL;
	return (struct hw_str){zero_terminated, strlen(zero_terminated)};
}

/* memcmp() may not be given NULL, not even for no bytes. */
static bool same_bytes(const char *a, const char *b, size_t len)
{
	return len == 0 || memcmp(a, b, len) == 0;
}

bool hw_str_eq(struct hw_str a, struct hw_str b)
{
	return a.len == b.len && same_bytes(a.p, b.p, a.len);
}

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool hw_str_eq_nocase(struct hw_str a, struct hw_str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

bool hw_str_starts(struct hw_str s, struct hw_str prefix)
{
	return s.len >= prefix.len && same_bytes(s.p, prefix.p, prefix.len);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct hw_str hw_str_trim(struct hw_str s)
{
	while (s.len > 0 && is_blank(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

struct hw_str hw_str_cut(struct hw_str *rest, char sep)
{
	struct hw_str part = *rest;
	const char *at = part.len > 0 ? memchr(part.p, sep, part.len) : NULL;

	if (!at) {
		*rest = HW_STR_NULL;
		return part;
	}
	part.len = (size_t)(at - part.p);
	rest->p = at + 1;
	rest->len -= part.len + 1;
	return part;
}

int hw_str_to_u64(struct hw_str s, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, (uint64_t)(s.p[i] - '0'), &n))
			return -EINVAL;
	}
	*out = n;
	return 0;
}

char *hw_str_dup(struct hw_str s)
{
	char *copy = s.len < SIZE_MAX ? malloc(s.len + 1) : NULL;

	if (!copy)
		return NULL;
	if (s.len > 0)
		memcpy(copy, s.p, s.len);
	copy[s.len] = '\0';
	return copy;
}

size_t hw_str_distance(struct hw_str a, struct hw_str b)
{
	/* one row of the table is enough: row[j] is the distance of a[0..i] and b[0..j] */
	unsigned row[DISTANCE_MAX + 1];

	if (a.len > DISTANCE_MAX || b.len > DISTANCE_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; i < a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < b.len; j++) {
			unsigned best = diagonal + (a.p[i] != b.p[j]);

			if (best > row[j] + 1)
				best = row[j] + 1;
			if (best > row[j + 1] + 1)
				best = row[j + 1] + 1;
			diagonal = row[j + 1];
			row[j + 1] = best;
		}
	}
	return row[b.len];
}
