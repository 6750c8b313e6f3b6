#include "hub/worker.h"

#include <errno.h>

#include "hook/inbox.h"
#include "hub/follow.h"
#include "hub/hub_internal.h"
#include "hub/keep.h"

void hw_counters_init(struct hw_counters *c, struct hw_metrics *m)
{
#define COUNTER(name, help) hw_metrics_get(m, HW_METRIC_COUNTER, "hookwire_" name, help, "")
#define GAUGE(name, help) hw_metrics_get(m, HW_METRIC_GAUGE, "hookwire_" name, help, "")
	*c = (struct hw_counters){
		.http_requests =
			COUNTER("http_requests_total", "HTTP requests read, refused ones too"),
		.connections = GAUGE("connections", "Connections open now"),
		.connections_total = COUNTER("connections_total", "Connections accepted"),
		.proxy_refused = COUNTER("proxy_headers_refused_total",
			"Connections closed for their PROXY header: missing, malformed, late, or "
			"of an address that is not trusted"),
		.sessions = GAUGE("sessions", "Sessions that are authenticated and open"),
		.polls_waiting = GAUGE("polls_waiting", "Long-polls that wait for an event"),
		.subscriptions = GAUGE("subscriptions", "Subscriptions of all sessions"),
		.published = COUNTER("events_published_total", "Events stored in a journal"),
		.delivered = COUNTER("events_delivered_total", "Events queued to subscribers"),
		.refused = COUNTER("publishes_refused_total",
			"Events refused: not allowed, malformed, over a limit"),
		.dropped = COUNTER("events_dropped_total", "Events that a transform hook dropped"),
		.slow = COUNTER("slow_sessions_total",
			"Times a session fell behind and went on from the journal"),
		.conflated =
			COUNTER("events_conflated_total", "Events left out, or joined to the next "
							  "one, for sessions that were behind"),
		.filtered = hw_metrics_get(m, HW_METRIC_COUNTER, "hookwire_events_withheld_total",
			"Events that a subscriber did not get because of filter and redact",
			"reason=\"filtered\""),
		.filter_failed =
			hw_metrics_get(m, HW_METRIC_COUNTER, "hookwire_events_withheld_total",
				"Events that a subscriber did not get because of filter and redact",
				"reason=\"failed\""),
		.gaps = COUNTER(
			"gaps_total", "Times a session lost events that retention had dropped"),
		.recheck_due = GAUGE("reauthorizations_due",
			"Sessions that are to be authorized again because the policy changed"),
		.rechecked =
			COUNTER("reauthorizations_total", "Sessions that were authorized again"),
		.revoked_subscriptions =
			hw_metrics_get(m, HW_METRIC_COUNTER, "hookwire_revoked_total",
				"What authorizing again took away", "what=\"subscription\""),
		.revoked_sessions = hw_metrics_get(m, HW_METRIC_COUNTER, "hookwire_revoked_total",
			"What authorizing again took away", "what=\"session\""),
		.revoked_tokens = COUNTER("revoked_tokens_refused_total",
			"Logins and requests refused because their token is revoked"),
		.occupied = GAUGE("topics_occupied", "Topics with a subscription, or in grace "
						     "after the last one, of all tenants"),
		.untold_occupancy =
			hw_metrics_get(m, HW_METRIC_COUNTER, "hookwire_lifecycle_untold_total",
				"What hooks were not told of because too much waited to be told",
				"what=\"occupancy\""),
		.untold_published =
			hw_metrics_get(m, HW_METRIC_COUNTER, "hookwire_lifecycle_untold_total",
				"What hooks were not told of because too much waited to be told",
				"what=\"publish\""),
	};
#undef COUNTER
#undef GAUGE
}

static int global_start(struct hw_worker *w, struct hw_generation *g, struct hw_hook_bench **out)
{
	return hw_hook_bench_create(w->env, g->global, HW_STR(""), w->index, out);
}

static void wake(void *arg)
{
	struct hw_worker *w = arg;

	w->wake(w->loop);
}

int hw_worker_init(struct hw_worker *w, struct hw_generation *g)
{
	int r;

	hw_map_init(&w->hubs, &w->tenants->hash_key);
	hw_list_init(&w->read_hubs);
	hw_list_init(&w->unread_hubs);
	hw_list_init(&w->catching_up);
	hw_list_init(&w->keeps);
	hw_notices_init(&w->notices);
	w->turn = 1;
	hw_list_init(&w->left_benches);
	w->generation = hw_generation_ref(g);
	r = hw_hook_inbox_open(w->env, w->index, w->timers, wake, w);
	return r ? r : global_start(w, g, &w->global);
}

void hw_worker_fini(struct hw_worker *w)
{
	hw_left_benches_end(w);
	hw_keeps_fini(w);
	for (hw_map_each (&w->hubs, i)) {
		struct hw_hub *hub = w->hubs.slots[i].value;

		hw_hub_destroy(&hub);
	}
	hw_map_fini(&w->hubs);
	hw_refusals_fini(&w->refusals);
	hw_hook_bench_destroy(&w->global);
	hw_hook_inbox_close(w->env, w->index);
	hw_notices_fini(&w->notices);
	hw_generation_unref(&w->generation);
}

void hw_worker_drain(struct hw_worker *w)
{
	w->draining = true;
	for (hw_map_each (&w->hubs, i))
		hw_hub_end_grace(w->hubs.slots[i].value);
}

void hw_worker_leave(struct hw_worker *w)
{
	hw_worker_drain(w);
	hw_notices_end(w);
}

/* ---- telling and reading
 * ------------------------------------------------------------------------------------------------
 */

void hw_hub_tell(struct hw_hub *hub)
{
	struct hw_worker *w;
	struct hw_hub *top;

	/* NULL: its worker is ending and has deactivated the reader since */
	if (!hub || atomic_exchange(&hub->told, true))
		return;
	w = hub->worker;
	top = atomic_load_explicit(&w->told, memory_order_relaxed);
	do
		hub->told_next = top;
	while (!atomic_compare_exchange_weak(&w->told, &top, hub));
	w->wake(w->loop);
}

void hw_hubs_tell(struct hw_tenant *tenant, uint64_t workers)
{
	for (; workers; workers &= workers - 1)
		hw_hub_tell(atomic_load(&tenant->hubs[__builtin_ctzll(workers)]));
}

bool hw_worker_has_work(struct hw_worker *w)
{
	return atomic_load(&w->told) || !hw_list_empty(&w->unread_hubs) ||
	       !hw_list_empty(&w->catching_up) || !hw_list_empty(&w->keeps) ||
	       hw_notices_has(&w->notices) || hw_hook_inbox_has(w->env, w->index);
}

bool hw_worker_turn(struct hw_worker *w)
{
	struct hw_list unread, *node;
	struct hw_hub *told;

	/* first, as what it publishes is delivered in this turn */
	hw_hook_inbox_run(w->env, w->index);
	hw_keeps_submit(w);
	told = atomic_exchange(&w->told, NULL);
	while (told) {
		struct hw_hub *hub = told;

		told = hub->told_next;
		/* before the head is read: whoever appends after that tells again; by an exchange,
		 * so that what the last to find it told had appended is seen */
		(void)atomic_exchange(&hub->told, false);
		if (hw_list_empty(&hub->unread_link))
			hw_list_push(&w->unread_hubs, &hub->unread_link);
	}
	hw_list_init(&unread);
	hw_list_splice(&unread, &w->unread_hubs);
	while ((node = hw_list_pop(&unread))) {
		struct hw_hub *hub = HW_CONTAINER_OF(node, struct hw_hub, unread_link);

		bool more = hw_hub_pump_some(hub);

		more |= hw_follows_run(hub);
		if (more)
			hw_list_push(&w->unread_hubs, &hub->unread_link);
	}
	if (!hw_list_empty(&w->catching_up)) {
		w->turn++; /* those who are behind are not held up by what is live */
		(void)w->catch_up(w);
	}
	if (!hw_list_empty(&w->left_benches))
		hw_left_benches_reap(w);
	return hw_worker_has_work(w);
}

void hw_worker_flushed(struct hw_worker *w)
{
	struct hw_list *node;

	while ((node = hw_list_pop(&w->read_hubs))) {
		struct hw_hub *hub = HW_CONTAINER_OF(node, struct hw_hub, read_link);

		if (hub->n_subscriptions)
			hw_reader_advance(hub->reader);
		else
			hw_hub_stop(hub);
		hw_classes_flushed(hub);
	}
	w->turn++;
	hw_notices_run(w); /* now that nobody waits for what was queued */
}

/* ---- generations
 * ------------------------------------------------------------------------------------------------------------
 */

/* Is there another bench to be made for @hub? */
static bool changes(struct hw_hub *hub, const struct hw_tenant_rules *rules)
{
	return !rules || !hub->bench || hw_hook_bench_chain(hub->bench) != rules->chain;
}

/* Makes what @g wants of the hub and changes nothing yet. One without a bench has nothing to go
 * back to, so that its hooks hold nobody up. */
static int hub_prepare(struct hw_worker *w, struct hw_generation *g, struct hw_hub *hub)
{
	const struct hw_tenant_rules *rules = hw_generation_rules(g, hub->tenant->id);
	int r;

	if (!rules || !changes(hub, rules))
		return 0;
	r = hw_hook_bench_create(w->env, rules->chain, hub->tenant->id, w->index, &hub->other);
	if (r && !hub->bench) {
		hw_log(w->log, HW_LOG_ERROR, "hub",
			"the tenant's hooks do not start; it is unavailable",
			HW_F_STR("tenant", hub->tenant->id), HW_F_INT("error", -r));
		r = 0;
	}
	return r;
}

static int prepare(struct hw_worker *w, struct hw_generation *g, struct hw_hook_bench **global,
	const char **refused)
{
	int r = 0;

	*refused = "";
	if (hw_hook_bench_chain(w->global) != g->global)
		r = global_start(w, g, global);
	for (hw_map_each (&w->hubs, i)) {
		struct hw_hub *hub = w->hubs.slots[i].value;

		if (r)
			break;
		r = hub_prepare(w, g, hub);
		if (r)
			*refused = hw_generation_rules(g, hub->tenant->id)->id;
	}
	return r;
}

static void forget_prepared(struct hw_worker *w, struct hw_hook_bench **global)
{
	hw_hook_bench_destroy(global);
	for (hw_map_each (&w->hubs, i)) {
		struct hw_hub *hub = w->hubs.slots[i].value;

		hw_hook_bench_destroy(&hub->other);
	}
}

static bool revokes_now(struct hw_hook_bench *bench)
{
	return bench && hw_hook_chain_revokes_now(hw_hook_bench_chain(bench));
}

/* Its new bench, or none: then its sessions' questions end `unavailable` and new sessions ask
 * again. The old one is left to the end of the swap. */
static void hub_swap(
	struct hw_worker *w, struct hw_hub *hub, bool global_changes, struct hw_list *left)
{
	struct hw_hook_bench *before = hub->bench;
	bool own_changes = changes(hub, hw_generation_rules(w->generation, hub->tenant->id));
	int r;

	/* it may have been made after the others were configured, by who had yet to swap */
	r = hw_tenant_configure(hub->tenant, w->generation);
	if (r)
		hw_log(w->log, HW_LOG_ERROR, "hub", "the tenant keeps its topic classes",
			HW_F_STR("tenant", hub->tenant->id), HW_F_INT("error", -r));
	if (own_changes) {
		hub->bench = hub->other;
		hub->other = before;
		if (before && hub->bench)
			hw_hook_bench_inherit(hub->bench, before);
		hub->revoke_now |= revokes_now(before) || revokes_now(hub->bench);
		if (before)
			hw_list_push(left, &hub->left_link);
	}
	if (own_changes || global_changes)
		hw_classes_renew(hub);
}

int hw_worker_swap(struct hw_worker *w, struct hw_generation *g, const char **refused)
{
	struct hw_generation *left_generation = w->generation;
	unsigned left_number = w->generation->number;
	struct hw_hook_bench *global = NULL, *left_global = NULL;
	struct hw_list left, *node;
	int r = prepare(w, g, &global, refused);

	if (r) {
		forget_prepared(w, &global);
		return r;
	}
	if (global) {
		left_global = w->global;
		w->global = global;
		hw_hook_bench_inherit(global, left_global);
	}
	w->generation = hw_generation_ref(g);
	hw_list_init(&left);
	for (hw_map_each (&w->hubs, i)) {
		struct hw_hub *hub = w->hubs.slots[i].value;

		hub->revoke_now =
			left_global && (revokes_now(left_global) || revokes_now(w->global));
		hub_swap(w, hub, left_global != NULL, &left);
		hw_hub_note_policy(hub);
		hw_hub_check_grace(hub);
		hw_hub_renew_presence(hub, &left_generation->settings.presence);
	}
	if (w->policy_changed)
		w->policy_changed(w);
	/* What is pending goes on with its bench, or ends with it when there are too many. What
	 * waits behind it goes on from there: the new generation decides it, all of it is in place,
	 * and a new hub disturbs no walk over them. */
	hw_bench_leave(w, &left_global, left_number);
	while ((node = hw_list_pop(&left)))
		hw_bench_leave(
			w, &HW_CONTAINER_OF(node, struct hw_hub, left_link)->other, left_number);
	hw_left_benches_bound(w);
	hw_generation_unref(&left_generation);
	return 0;
}
