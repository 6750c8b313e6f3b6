#include "hook/counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct hw_hook_counter {
	struct hw_hook_counter *next;
	struct hw_metric *metric;
	char name[];
};

void hw_hook_counters_init(struct hw_hook_counters *counters)
{
	atomic_init(&counters->list, NULL);
	atomic_init(&counters->n, 0);
}

void hw_hook_counters_fini(struct hw_hook_counters *counters)
{
	struct hw_hook_counter *c = atomic_load_explicit(&counters->list, memory_order_acquire);

	while (c) {
		struct hw_hook_counter *next = c->next;

		free(c);
		c = next;
	}
	atomic_store_explicit(&counters->list, NULL, memory_order_relaxed);
}

bool hw_hook_counter_name_valid(const char *name)
{
	size_t len = name ? strnlen(name, HW_HOOK_COUNTER_NAME_MAX + 1) : 0;

	if (len == 0 || len > HW_HOOK_COUNTER_NAME_MAX)
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz_") == len;
}

static struct hw_hook_counter *find(struct hw_hook_counters *counters, const char *name)
{
	struct hw_hook_counter *c = atomic_load_explicit(&counters->list, memory_order_acquire);

	while (c && strcmp(c->name, name) != 0)
		c = c->next;
	return c;
}

static struct hw_metric *get_metric(
	struct hw_metrics *metrics, const char *kind, const char *owner, const char *name)
{
	char full[HW_HOOK_COUNTER_NAME_MAX + 32];
	struct hw_metric *metric;
	struct hw_buf label;

	snprintf(full, sizeof(full), "hookwire_%s_%s_total", kind, name);
	hw_buf_init(&label);
	hw_metrics_label(&label, kind, hw_str_of(owner));
	hw_buf_putc(&label, '\0');
	metric = hw_metrics_get(metrics, HW_METRIC_COUNTER, full, "Counted by a hook.",
		label.failed ? "" : label.data);
	hw_buf_fini(&label);
	return metric;
}

/* Two threads may both make it; the metric behind is one, and the second node is never found. */
static struct hw_hook_counter *make(struct hw_hook_counters *counters, struct hw_metrics *metrics,
	const char *kind, const char *owner, const char *name)
{
	size_t size = strlen(name) + 1;
	struct hw_hook_counter *c = NULL;

	if (atomic_fetch_add_explicit(&counters->n, 1, memory_order_relaxed) < HW_HOOK_COUNTERS_MAX)
		c = malloc(sizeof(*c) + size);
	if (!c) {
		atomic_fetch_sub_explicit(&counters->n, 1, memory_order_relaxed);
		return NULL;
	}
	memcpy(c->name, name, size);
	c->metric = get_metric(metrics, kind, owner, name);
	c->next = atomic_load_explicit(&counters->list, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(
		&counters->list, &c->next, c, memory_order_release, memory_order_relaxed))
		;
	return c;
}

void hw_hook_count(struct hw_hook_counters *counters, struct hw_metrics *metrics, const char *kind,
	const char *owner, const char *name, int64_t add)
{
	struct hw_hook_counter *c;

	if (!metrics || !hw_hook_counter_name_valid(name))
		return;
	c = find(counters, name);
	if (!c)
		c = make(counters, metrics, kind, owner, name);
	if (c)
		hw_metric_add(c->metric, add);
}
