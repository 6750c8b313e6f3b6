/* Names of topics: "resource:id", as PROTOCOL has them, and the pattern "resource:*".
 * Pure functions of the text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

#define HW_TOPIC_MAX 255 /* bytes */

/** ^[a-z][a-z0-9-]*:[a-z0-9-]+$ and at most HW_TOPIC_MAX bytes. */
bool hw_topic_valid(struct hw_str topic);
/** The pattern alone, whatever the length. */
bool hw_topic_well_formed(struct hw_str topic);
/** What may be subscribed to: a valid topic or "resource:*". */
bool hw_topic_pattern_valid(struct hw_str pattern);
/** Whether a valid pattern is the wide kind. */
static inline bool hw_topic_is_wildcard(struct hw_str pattern)
{
	return pattern.len > 0 && pattern.p[pattern.len - 1] == '*';
}
/** Splits a valid topic or pattern at its colon; either out may be NULL. */
void hw_topic_split(struct hw_str topic, struct hw_str *resource, struct hw_str *id);
/** "resource:*" of a valid topic, in @out. */
struct hw_str hw_topic_pattern(struct hw_str topic, char out[HW_TOPIC_MAX + 2]);
