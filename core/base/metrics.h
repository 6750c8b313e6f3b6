/* Counters and gauges that any thread may bump, printed in the Prometheus text format.
 * A registry owns its metrics; they live as long as it does. Bumping is one relaxed atomic add. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

enum hw_metric_kind { HW_METRIC_COUNTER, HW_METRIC_GAUGE };

struct hw_metric {
	atomic_int_fast64_t value;
};

struct hw_metrics; /* opaque */

struct hw_metrics *hw_metrics_create(void); /* NULL when out of memory */
void hw_metrics_destroy(struct hw_metrics **metrics);
/** Finds or makes the metric @name with @labels (already in the form a="x",b="y", or "" for none;
 *  use hw_metrics_label to escape a value). The first call for a name gives kind and help.
 *  Takes a lock: look up once, keep the pointer. Never NULL: when out of memory, or when
 *  @name is not one by Prometheus' rules, a metric that counts nowhere. */
struct hw_metric *hw_metrics_get(struct hw_metrics *metrics, enum hw_metric_kind kind,
	const char *name, const char *help, const char *labels);
/** Appends name="escaped value" to @out, behind a comma if something is there already. */
void hw_metrics_label(struct hw_buf *out, const char *name, struct hw_str value);
static inline void hw_metric_add(struct hw_metric *m, int64_t n)
{
	atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}
static inline void hw_metric_set(struct hw_metric *m, int64_t n)
{
	atomic_store_explicit(&m->value, n, memory_order_relaxed);
}
/** Prometheus text exposition 0.0.4: HELP, TYPE, samples grouped by name, sorted. */
void hw_metrics_print(struct hw_metrics *metrics, struct hw_buf *out);
