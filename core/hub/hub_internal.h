/* Inside core/hub: what the worker does with its hubs. */
#pragma once

#include "hub/hub.h"

void hw_hub_destroy(struct hw_hub **hub);
/** pins.c. Takes a bench that decides no more: it lives while messages hold it. @generation is the
 * last that it decided for. */
void hw_bench_leave(struct hw_worker *w, struct hw_hook_bench **bench, unsigned generation);
void hw_left_benches_reap(struct hw_worker *w);
/** What is pending in generations that are too many ends `unavailable`, the oldest first. */
void hw_left_benches_bound(struct hw_worker *w);
void hw_left_benches_end(struct hw_worker *w);
/** The hub or its worker has another bench: sets hub->policy. */
void hw_hub_note_policy(struct hw_hub *hub);
/** Any thread, for an active reader: the hub's worker will read on. Wakes it if it sleeps. */
void hw_hub_tell(struct hw_hub *hub);
/** The same for those of a set of workers (bit = worker). */
void hw_hubs_tell(struct hw_tenant *tenant, uint64_t workers);
/** Reads on for one turn; true: there is more. */
bool hw_hub_pump_some(struct hw_hub *hub);
/** Stops reading now. */
void hw_hub_stop(struct hw_hub *hub);
/** Without subscriptions: stops reading, once nothing of this turn needs the segments. */
void hw_hub_rest(struct hw_hub *hub);
/** The grace period may be another now. */
void hw_hub_check_grace(struct hw_hub *hub);
/** Presence may be kept for other topics now, show other claims, or have another grace period.
 * @before: the rules until now. */
void hw_hub_renew_presence(struct hw_hub *hub, const struct hw_presence_rules *before);
/** No topic is in grace from now on. */
void hw_hub_end_grace(struct hw_hub *hub);
