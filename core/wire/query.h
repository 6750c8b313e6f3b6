/* Query strings and percent-decoding (WHATWG application/x-www-form-urlencoded, RFC 3986 2.1),
 * strictly: a bad escape, a NUL or what is not UTF-8 is an error, never passed on as it is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

/* A position in a query string. */
struct hw_query {
	struct hw_str rest; /* p == NULL: at the end */
};

enum hw_query_outcome {
	HW_QUERY_END = 1,  /* hw_query_next: no pair is left; hw_query_get: there is no such name */
	HW_QUERY_REPEATED, /* hw_query_get: the name is there more than once */
};

/** @text is what follows '?', or HW_STR_NULL; borrowed while the query is read. */
void hw_query_init(struct hw_query *q, struct hw_str text);

/** Takes the next name=value pair, decoded ('+' is a space; a name alone has an empty value; empty
 * parts between '&' are skipped). What has no escape is a view into the text, the rest is written
 * to @scratch, whose former content is lost: both strings live until @scratch is touched again.
 * 0, HW_QUERY_END, -EINVAL (malformed; the query must be refused), or -ENOMEM. */
HW_MUST_CHECK int hw_query_next(
	struct hw_query *q, struct hw_buf *scratch, struct hw_str *name, struct hw_str *value);

/** Looks for @name (compared decoded) and reads to the end, so that one malformed pair anywhere is
 * an error. The @value is as with hw_query_next. 0, HW_QUERY_END, HW_QUERY_REPEATED, -EINVAL, or
 * -ENOMEM. */
HW_MUST_CHECK int hw_query_get(
	struct hw_str text, struct hw_str name, struct hw_buf *scratch, struct hw_str *value);

/** Appends @text to @out with its %XX decoded; '+' stays as it is. For path segments: cut the path
 * at '/' first. 0, -EINVAL, or -ENOMEM; on failure @out is as long as before. */
HW_MUST_CHECK int hw_percent_decode(struct hw_buf *out, struct hw_str text);

/** Appends @text with everything but RFC 3986 unreserved characters as %XX. */
void hw_percent_encode(struct hw_buf *out, struct hw_str text);
