/* What of a JSON text may be kept: a copy in which the values that rules name are replaced, and
 * those that are secrets by their name or their looks whatever the rules say. Fails rather than
 * lets something through. Pure, any thread. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define HW_REDACT_RULES_MAX 32 /* a word of bits */
#define HW_REDACT_DEPTH_MAX 8
#define HW_REDACT_PATH_MAX 255

/* "claims.email", "event.data.items.*.price": names from the first on, "*" is every member or
 * element. */
struct hw_redact_rule {
	size_t n_names;
	struct hw_str names[HW_REDACT_DEPTH_MAX]; /* in @text */
	char text[HW_REDACT_PATH_MAX + 1];
};

struct hw_redact {
	size_t n_rules;
	struct hw_redact_rule rules[HW_REDACT_RULES_MAX];
};

/** Adds one; its first name is one of @roots (which ends in NULL). 0, or -EINVAL with @err. */
HW_MUST_CHECK int hw_redact_add(
	struct hw_redact *redact, struct hw_str path, const char *const *roots, struct hw_err *err);
/** Appends @json (a whole value) to @out as it may be kept of what is called @root, with null in
 * the place of what may not, and appends the JSON pointers of those places to @paths, each as a
 * JSON string behind a comma but the first. 0; -EINVAL: it is no JSON, a member's name is a token,
 * or a rule leads into something that is not built as it says, and nobody knows where the secret
 * is; -ENOMEM. @out and @paths are of no use then. */
HW_MUST_CHECK int hw_redact_json(const struct hw_redact *redact, const char *root,
	struct hw_str json, struct hw_buf *out, struct hw_buf *paths);
/** Whether a rule takes all of @root. */
bool hw_redact_takes(const struct hw_redact *redact, const char *root);
/** Whether there is a signed token (JWS or JWE, compact) in @text. */
bool hw_redact_is_token(struct hw_str text);

/** The opposite: appends @json with @mark (JSON) in each of the places of @root that @paths (a JSON
 * array of pointers) names. 0; -EINVAL: not JSON, or a place is not there; -ENOMEM. */
HW_MUST_CHECK int hw_redact_mark(struct hw_str json, const char *root, struct hw_str paths,
	struct hw_str mark, struct hw_buf *out);
