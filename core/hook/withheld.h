/* Values that are missing from a decision that is asked again: what stood there nobody knows, so an
 * answer counts only if no script has looked. One thread's own; no broker has any. */
#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "hook/hooks.h"

struct hw_withheld {
	struct hw_str mark; /* the text that stands in the place of each */
	bool seen;          /* a script has looked at one, or may have */
};

/** From now on, for states that are made of @env. NULL: there are none. @withheld lives as long as
 * they. */
void hw_hook_env_withhold(struct hw_hook_env *env, struct hw_withheld *withheld);
