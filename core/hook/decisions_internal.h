/* Inside core/hook: what the chain does for the decision log. Costs a branch while nobody wants to
 * know. */
#pragma once

#include "hook/decisions.h"
#include "hook/entry_internal.h"
#include "hook/series.h"

/* env->decisions_gate, 0: off
 * 0..7 stages | 8..9 enum hw_decisions_always | 16..48 threshold: the sample of 2^32 */
#define HW_DECISIONS_GATE_ALWAYS 8
#define HW_DECISIONS_GATE_SAMPLE 16

/** When a decision begins, if it may be written: else 0. */
static inline int64_t hw_decisions_begin(const struct hw_hook_env *env, enum hw_hook_stage stage)
{
	uint64_t gate = atomic_load_explicit(&env->decisions_gate, memory_order_relaxed);

	return gate >> stage & 1 ? hw_hook_now_ns() : 0;
}

/** @ask is decided; @event is its event as it was at first; @began_ns as above, not 0. Any worker.
 */
void hw_decisions_note(const struct hw_ask *ask, struct hw_str event, int64_t began_ns);
/** The same of a view. */
void hw_decisions_note_view(const struct hw_view *view, enum hw_verdict verdict, int64_t began_ns);
