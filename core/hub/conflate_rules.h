/* What the config says of clients that are behind: of which topics they need not have every event.
 * Pure functions. */
#pragma once

#include <stddef.h>

#include "base/str.h"
#include "journal/journal.h"

enum hw_conflate {
	HW_CONFLATE_NONE,   /* every event */
	HW_CONFLATE_LATEST, /* of an entity what it has become */
	HW_CONFLATE_APPEND, /* payloads that follow each other as one */
};

/* With all patterns of "topics", also those that say nothing of it: an exact one wins. */
struct hw_conflate_rules {
	size_t n; /* 0: of no topic at all */
	struct hw_conflate_rule {
		char pattern[256]; /* "doc:*" or "doc:1" */
		enum hw_conflate how;
	} rules[HW_JOURNAL_MAX_CLASSES];
};

enum hw_conflate hw_conflate_of(const struct hw_conflate_rules *rules, struct hw_str topic);
