/* What one worker is to the ranks above: its clock, its timers, its generation, its hubs. One
 * thread's own, but for what is marked atomic. core/app makes it and drives it: hw_worker_turn in
 * each turn of the loop, then hw_worker_flushed. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/timers.h"
#include "hub/generation.h"
#include "hub/notices.h"
#include "hub/refusals.h"
#include "hub/tenant.h"

struct hw_loop;
struct hw_revocations;
struct hw_sessions;

/* Counters of the whole broker, looked up once. */
struct hw_counters {
	struct hw_metric *http_requests, *connections, *connections_total, *proxy_refused,
		*sessions, *subscriptions, *recheck_due, *polls_waiting;
	struct hw_metric *published, *delivered, *refused, *dropped, *slow, *conflated, *gaps;
	struct hw_metric *filtered, *filter_failed;
	struct hw_metric *rechecked, *revoked_subscriptions, *revoked_sessions, *revoked_tokens;
	struct hw_metric *occupied, *untold_occupancy, *untold_published;
};
void hw_counters_init(struct hw_counters *c, struct hw_metrics *metrics);

struct hw_worker {
	unsigned index;
	struct hw_loop *loop;
	void (*wake)(struct hw_loop *loop); /* hw_loop_wake: any thread */
	const struct hw_clock *clock;
	struct hw_timers *timers;
	struct hw_log *log;
	struct hw_metrics *metrics;
	const struct hw_counters *counters;
	struct hw_hook_env *env;
	struct hw_tenants *tenants;
	struct hw_revocations *revocations; /* NULL: nothing can be revoked */
	struct hw_generation *generation;
	struct hw_hook_bench *global; /* bench of the generation's global chain */
	struct hw_list left_benches;  /* of former generations, for messages that began then */
	bool draining;
	struct hw_map hubs;         /* tenant id -> struct hw_hub */
	struct hw_list read_hubs;   /* read in this turn: advance them when flushed */
	struct hw_list unread_hubs; /* have more than one turn's worth */
	struct hw_list catching_up; /* hubs some of whose sessions are behind: hub->behind */
	bool (*catch_up)(struct hw_worker *w); /* of core/session; true: there is more */
	/* Of core/session: policies of hubs may have changed. Called within a swap, before what
	 * waits for a hook of the former policy goes on. */
	void (*policy_changed)(struct hw_worker *w);
	_Atomic(struct hw_hub *) told; /* stack of hubs whose journal grew, linked by told_next */
	struct hw_list keeps;          /* events that are to be handed to the store: keep.c */
	size_t keep_bytes;             /* these, and those that it has not answered */
	struct hw_notices notices;     /* what hooks have yet to hear of */
	uint64_t n_traces;             /* trace ids made */
	uint64_t turn; /* grows where what is spent on hooks, and what is seen, begins anew */
	struct hw_refusals refusals;  /* lately */
	struct hw_sessions *sessions; /* core/session's own */
};

static inline int64_t hw_worker_now_ms(const struct hw_worker *w) /* monotonic */
{
	return hw_clock_mono_ms(w->clock);
}
static inline int64_t hw_worker_wall_ms(const struct hw_worker *w)
{
	return hw_clock_wall_ms(w->clock);
}

/** @w zeroed with index … tenants set. Takes a reference of @g. 0 or negative errno. */
HW_MUST_CHECK int hw_worker_init(struct hw_worker *w, struct hw_generation *g);
void hw_worker_fini(struct hw_worker *w); /* no session is left */
/** The broker ends: w->draining, and no topic is in grace any more. */
void hw_worker_drain(struct hw_worker *w);
/** On the worker's thread, when its last turn is over and no session is left: hooks hear what they
 * have not yet. */
void hw_worker_leave(struct hw_worker *w);
/** Reads on from each told hub's cursor and delivers; true: there is more. */
bool hw_worker_turn(struct hw_worker *w);
void hw_worker_flushed(struct hw_worker *w);
bool hw_worker_has_work(struct hw_worker *w);
/** Between turns: @g decides from the next message on. Benches whose chain is the same object stay;
 * the others live on for messages that began with them, until they are of the oldest of four
 * generations.
 * Hubs whose tenant @g refuses keep their old chain's bench closed: their asks answer
 * `unavailable`. 0, or negative errno: all stays as it was, and @refused is the id of the rules
 * whose hooks do not start here, "" for the global ones; it lives as long as @g. */
HW_MUST_CHECK int hw_worker_swap(
	struct hw_worker *w, struct hw_generation *g, const char **refused);
