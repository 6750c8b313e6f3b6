/* What a tenant's journal keeps in memory, told as gauges, by tenant: those that share the label
 * "other" are told as one. Control thread. */
#pragma once

#include "journal/journal.h"

struct hw_metric;
struct hw_metrics;

struct hw_kept {
	struct hw_metric *events, *event_bytes, *topic_bytes; /* NULL: nothing has been told yet */
	struct hw_journal_stats told;
};

/** Tells by how much it has changed. @label: of the tenant, the same each time. */
void hw_kept_tell(struct hw_kept *kept, struct hw_metrics *metrics, const char *label,
	struct hw_journal *journal);
