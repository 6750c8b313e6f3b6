/* What the config says of presence: of which topics it is kept, and what of an identity is shown
 * with it. Pure functions. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Of one user; claims that do not fit are left out. */
#define HW_PRESENCE_INFO_MAX 1024

struct hw_presence_rules {
	const char *const *topics; /* "room:1", "room:*"; none: presence is off */
	size_t n_topics;
	const char *const *claims; /* by name, in this order */
	size_t n_claims;
	int64_t grace_ms; /* before who has gone is told of */
};

/** Is presence kept for @topic? Never for a pattern. */
bool hw_presence_keeps(const struct hw_presence_rules *rules, struct hw_str topic);
/** Do both say the same of topics and claims? */
bool hw_presence_rules_same(const struct hw_presence_rules *a, const struct hw_presence_rules *b);
/** An object of those of @claims, a JSON object, that are shown, in @buf; p NULL: of none, or
 * there is no memory. */
struct hw_str hw_presence_info(
	const struct hw_presence_rules *rules, struct hw_str claims, struct hw_buf *buf);
