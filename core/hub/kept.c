#include "hub/kept.h"

#include "base/buf.h"
#include "base/metrics.h"

static struct hw_metric *bytes_gauge(
	struct hw_metrics *metrics, const struct hw_buf *tenant, const char *part)
{
	struct hw_metric *metric;
	struct hw_buf labels;

	hw_buf_init(&labels);
	hw_buf_str(&labels, hw_buf_view(tenant));
	hw_metrics_label(&labels, "part", hw_str_of(part));
	hw_buf_putc(&labels, '\0');
	metric = hw_metrics_get(metrics, HW_METRIC_GAUGE, "hookwire_journal_bytes",
		"Memory of the events that a tenant's journal keeps, and of what finds topics in "
		"it",
		labels.failed ? "" : labels.data);
	hw_buf_fini(&labels);
	return metric;
}

static void find(struct hw_kept *kept, struct hw_metrics *metrics, const char *label)
{
	struct hw_buf tenant;

	hw_buf_init(&tenant);
	hw_metrics_label(&tenant, "tenant", hw_str_of(label));
	kept->event_bytes = bytes_gauge(metrics, &tenant, "events");
	kept->topic_bytes = bytes_gauge(metrics, &tenant, "topics");
	hw_buf_putc(&tenant, '\0');
	kept->events = hw_metrics_get(metrics, HW_METRIC_GAUGE, "hookwire_journal_events",
		"Events that a tenant's journal keeps in memory", tenant.failed ? "" : tenant.data);
	hw_buf_fini(&tenant);
}

void hw_kept_tell(struct hw_kept *kept, struct hw_metrics *metrics, const char *label,
	struct hw_journal *journal)
{
	struct hw_journal_stats now;

	if (!kept->events)
		find(kept, metrics, label);
	hw_journal_stats(journal, &now);
	/* the difference: another tenant may have the same gauges */
	hw_metric_add(kept->events, (int64_t)(now.events - kept->told.events));
	hw_metric_add(kept->event_bytes, (int64_t)(now.bytes - kept->told.bytes));
	hw_metric_add(kept->topic_bytes, (int64_t)(now.index_bytes - kept->told.index_bytes));
	kept->told = now;
}
