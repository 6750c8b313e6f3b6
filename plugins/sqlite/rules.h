/* What is to be kept of a tenant's topics, as the broker said it, and which pattern a topic falls
 * under: an exact one wins over "resource:*", which wins over "". */
#pragma once

#include <stdbool.h>

#include <hookwire/plugin.h>

struct rule {
	struct hw_slice pattern; /* in the same block */
	uint64_t count, bytes;
	int64_t age_ms; /* 0: for ever */
};

struct rules {
	size_t n;
	struct rule rules[];
};

bool slice_is(struct hw_slice a, struct hw_slice b);
/** One block, to be freed; NULL: out of memory. */
struct rules *rules_copy(const struct hw_journal_class *classes, size_t n);
/** The rule for a topic, or for what was once a pattern itself. NULL: there is none, and all is
 * kept. */
const struct rule *rules_find(const struct rules *rules, struct hw_slice topic);
/** May a topic (or, @wild, one of a "resource:*") have been stored under @pattern? */
bool pattern_covers(struct hw_slice pattern, struct hw_slice topic, bool wild);
