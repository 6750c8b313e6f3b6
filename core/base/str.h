/* A borrowed run of bytes: pointer and length, not terminated, owned by somebody else.
 * Wire parsers hand these out into the buffer they parsed; they die with it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct hw_str {
	const char *p;
	size_t len;
};

#define HW_STR(literal) ((struct hw_str){(literal), sizeof(literal) - 1})
#define HW_STR_NULL ((struct hw_str){NULL, 0})
/* for printf: "%.*s", HW_STR_ARG(s) */
#define HW_STR_ARG(s) (int)(s).len, (s).p

struct hw_str hw_str_of(const char *zero_terminated); /* NULL gives HW_STR_NULL */
bool hw_str_eq(struct hw_str a, struct hw_str b);
bool hw_str_eq_nocase(struct hw_str a, struct hw_str b); /* ASCII only */
bool hw_str_starts(struct hw_str s, struct hw_str prefix);
struct hw_str hw_str_trim(struct hw_str s); /* spaces and tabs at both ends (RFC 9110 OWS) */

/** Cuts the part before the first @sep from @rest and returns it; @rest then starts behind @sep.
 *  Without @sep all of it is returned and @rest becomes HW_STR_NULL (p == NULL: nothing left). */
struct hw_str hw_str_cut(struct hw_str *rest, char sep);

/** Decimal digits only, no sign, no overflow. Returns 0, or -EINVAL with @out untouched. */
HW_MUST_CHECK int hw_str_to_u64(struct hw_str s, uint64_t *out);

/** Heap copy with a terminating zero; NULL when out of memory. The caller frees it. */
char *hw_str_dup(struct hw_str s);

/** Edit distance (Levenshtein) of two short strings, for "did you mean"; both at most 64 bytes,
 *  longer ones give SIZE_MAX. */
size_t hw_str_distance(struct hw_str a, struct hw_str b);
