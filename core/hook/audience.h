/* What filter and redact may know of who receives: the values that they declare that they read, and
 * no others. Recipients that are alike in all values that a chain reads are one class, about which
 * the chain is asked once. */
#pragma once

#include "hook/hooks.h"
#include "wire/json.h"

#define HW_READS_MAX 16 /* of one function */

enum hw_read_what { HW_READ_USER, HW_READ_TENANT, HW_READ_CLAIM };

struct hw_read {
	enum hw_read_what what;
	char *name;          /* "user", "tenant", "claims.role" */
	struct hw_str claim; /* CLAIM: the claim's own name, in @name */
};

/* What one function reads, in the order of its declaration. */
struct hw_reads {
	size_t n;
	struct hw_read reads[HW_READS_MAX];
};

/* One class of recipients as one function sees it: a value for each of @reads, kind NONE where the
 * recipients have none. */
struct hw_audience {
	const struct hw_reads *reads;
	const struct hw_json *values;
};

/** Adds what is declared by @name; twice is once. 0, -EINVAL with @err (nothing of that name can be
 * read, or they are too many), -ENOMEM. */
HW_MUST_CHECK int hw_reads_add(struct hw_reads *reads, struct hw_str name, struct hw_err *err);
void hw_reads_fini(struct hw_reads *reads);
/** The value declared by @name; NULL: nothing of that name is declared. */
const struct hw_json *hw_audience_find(const struct hw_audience *audience, struct hw_str name);
