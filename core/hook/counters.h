/* Counters that hooks make by name: hookwire_KIND_NAME_total{KIND="OWNER"}. Bounded, as each lives
 * as long as the broker. Any thread. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"

#define HW_HOOK_COUNTERS_MAX 64 /* names of one entry */
#define HW_HOOK_COUNTER_NAME_MAX 48

struct hw_hook_counter;

/* Those that one entry has bumped. */
struct hw_hook_counters {
	_Atomic(struct hw_hook_counter *) list;
	atomic_uint n;
};

void hw_hook_counters_init(struct hw_hook_counters *counters);
void hw_hook_counters_fini(struct hw_hook_counters *counters);
/** Does nothing when the name is none ([a-z_]+, at most HW_HOOK_COUNTER_NAME_MAX) or there are too
 * many. @kind: "plugin" or "policy". */
void hw_hook_count(struct hw_hook_counters *counters, struct hw_metrics *metrics, const char *kind,
	const char *owner, const char *name, int64_t add);
bool hw_hook_counter_name_valid(const char *name);
