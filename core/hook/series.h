/* Inside core/hook: what is counted of a hook for a tenant, of all workers and generations
 * together, as /metrics and /api/hooks tell it. Looked up when a bench begins, bumped at every
 * call, told from any thread. */
#pragma once

#include <time.h>

#include "hook/chain_internal.h"

/* Of a stage: how its calls ended. By verdict: DEFER, ALLOW, DENY, and ERROR for anything else. */
struct hw_hook_stage_series {
	struct hw_metric *calls, *errors;
	struct hw_metric *verdicts[4];
	struct hw_histogram *duration;
	struct hw_metric
		*agrees[2]; /* of a shadow: no, yes; NULL: it is none, or decides nothing */
};

struct hw_hook_series;

/** Monotonic, for durations. */
static inline int64_t hw_hook_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/** A bench begins: fills the @stats of an entry, but not those that are there already, or when
 * memory is short. */
void hw_hook_series_enter(struct hw_hook_bench *bench, const struct hw_hook_entry *entry,
	struct hw_bench_stats *stats);
/** The bench ends. */
void hw_hook_series_leave(struct hw_bench_stats *stats);

struct hw_hook_all_series;
struct hw_hook_all_series *hw_hook_all_series_create(void);
void hw_hook_all_series_destroy(struct hw_hook_all_series **all);
