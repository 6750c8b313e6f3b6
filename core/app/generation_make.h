/* From a configuration to a generation: loads every hook, builds the chains, copies the numbers.
 * Control thread. Used by start-up, reload and `hookwire check` alike, so that the three agree. */
#pragma once

#include "app/conf.h"
#include "hub/generation.h"

/** Loads the hooks of every unit that is not broken; what does not load is reported at its place in
 * the configuration and its unit marked broken (hw_conf_unit_break). Entries of @old (may be NULL)
 * that did not change are taken over; so are whole chains. 0 with *@out; HW_CONF_PARTIAL: some unit
 * broke just now, *@out is untouched (inherit and call again); -ENOMEM. */
HW_MUST_CHECK int hw_generation_make(struct hw_hook_env *env, struct hw_conf *conf,
	struct hw_generation *old, struct hw_conf_report *report, struct hw_generation **out);
