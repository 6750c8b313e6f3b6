/* Counters, gauges and histograms that any thread may bump, printed in the Prometheus text format.
 * A registry owns its metrics; they live as long as it does. Bumping is one relaxed atomic add (two
 * for a histogram). */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

enum hw_metric_kind { HW_METRIC_COUNTER, HW_METRIC_GAUGE, HW_METRIC_HISTOGRAM };

struct hw_metric {
	atomic_int_fast64_t value;
};

/* How long things took. Bucket i holds those of more than 2^(i-1) and at most 2^i microseconds, the
 * last one all longer ones; every second one's edge is printed. */
#define HW_HISTOGRAM_EDGES 23 /* the last: 4.2 s */
struct hw_histogram {
	atomic_uint_fast64_t sum_ns;
	atomic_uint_fast64_t buckets[HW_HISTOGRAM_EDGES + 1];
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
/** The same for a histogram; @name is that of a time in seconds. */
struct hw_histogram *hw_metrics_histogram(
	struct hw_metrics *metrics, const char *name, const char *help, const char *labels);
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
static inline void hw_histogram_note(struct hw_histogram *h, int64_t ns)
{
	uint64_t us = ns > 0 ? ((uint64_t)ns + 999) / 1000 : 0;
	unsigned i = us <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(us - 1);

	if (i > HW_HISTOGRAM_EDGES)
		i = HW_HISTOGRAM_EDGES;
	atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_ns, ns > 0 ? (uint64_t)ns : 0, memory_order_relaxed);
}
/** The time in seconds within which @share (0 to 1) of all were, by the buckets, as if they were
 * spread evenly in each; of what is over the last edge, that edge. Negative: there were none. */
double hw_histogram_quantile(const struct hw_histogram *h, double share);
/** Prometheus text exposition 0.0.4: HELP, TYPE, samples grouped by name, sorted. */
void hw_metrics_print(struct hw_metrics *metrics, struct hw_buf *out);
