/* Which lines of a policy ran, for those who test it. Slow: every line that runs is noted, so no
 * broker does this. One thread's own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "hook/hooks.h"

enum hw_coverage_line {
	HW_COVERAGE_NOTHING, /* a line without code */
	HW_COVERAGE_CODE,
	HW_COVERAGE_RAN,
};

struct hw_coverage {
	char *path;
	size_t n_lines; /* lines[1] is the first */
	uint8_t *lines;
};

/** Of the policy at @path, whose text is @source. 0, -ENOMEM, or -EINVAL when it does not compile.
 */
HW_MUST_CHECK int hw_coverage_create(
	const char *path, struct hw_str source, struct hw_coverage **out);
void hw_coverage_destroy(struct hw_coverage **coverage);
/** From now on states that are made note what runs of that file; NULL: they do not. @coverage lives
 * as long as they. */
void hw_hook_env_cover(struct hw_hook_env *env, struct hw_coverage *coverage);
