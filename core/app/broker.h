/* The broker as a process: what all workers share, and the control thread that starts, reloads and
 * stops them. Everything but @requests, @n_running and what is thread-safe by itself belongs to
 * the control thread. */
#pragma once

#include <stdatomic.h>

#include "app/conf.h"
#include "app/plugin_cache.h"
#include "app/warden.h"
#include "app/worker_thread.h"
#include "base/log.h"
#include "base/metrics.h"
#include "hook/watchdog.h"
#include "hub/revocation_log.h"
#include "hub/worker.h"

#define HW_BROKER_FIXED 6
#define HW_BROKER_HARD_STOP_MS 5000 /* after drain_ms: whoever is left is cut off */
#define HW_BROKER_STUCK_MS 3000 /* after that: a worker is held up by a plugin and will not end */

/* This very program, also when its file was replaced or removed since it began. */
#define HW_SELF_EXE "/proc/self/exe"

struct hw_broker {
	const char *conf_path;
	struct hw_log *log;
	struct hw_metrics *metrics;
	struct hw_counters counters;
	struct hw_metric *reloads_ok, *reloads_partial, *reloads_failed, *failed_units,
		*generation_gauge, *revocations_gauge, *unstored_gauge;
	struct hw_watchdog *watchdog;
	struct hw_hook_env *env;
	struct hw_decisions *decisions; /* what is written of them: app/decision_log.c */
	struct hw_trust *trust;         /* of policies' https; NULL: there are no authorities */
	struct hw_store *store;         /* behind all journals; NULL: they are in memory alone */
	struct hw_tenants tenants;
	bool tenants_made;
	struct hw_revocations revocations;       /* made with the tenants */
	struct hw_revocation_log revocation_log; /* likewise */
	bool unstored_told;                      /* that some of these are not stored */
	struct hw_conf *conf;
	struct hw_generation *generation;
	struct hw_worker_thread *workers;
	unsigned n_workers;
	atomic_uint n_running;
	pthread_mutex_t requests_lock;
	struct hw_list requests; /* struct hw_control_request */
	struct hw_warden warden;
	pthread_mutex_t files_lock; /* of the two below that lie in the file system, once they do */
	struct hw_plugin_cache plugin_cache;
	char *script_lib; /* the hooks' env borrows it: a reload replaces the configuration it came
			     from */
	char *fixed[HW_BROKER_FIXED];       /* what the keys that only a restart changes were at the
					       start: see app/fixed.c */
	char *sockets[HW_WORKER_LISTENERS]; /* files of unix sockets, ours to remove */
	size_t n_sockets;
	struct hw_broker_bound {
		const char *what;
		const struct hw_conf_listen *listen;
		uint16_t port;        /* TCP */
	} bound[HW_WORKER_LISTENERS]; /* to be announced */
	size_t n_bound;
};

/** Starts everything, runs until it is told to stop, and ends everything. Returns the process's
 * exit code. */
int hw_broker_run(const char *conf_path);
/** Removes what is ours of the file system: sockets, copies of plugins. Any thread, more than
 * once. */
void hw_broker_leave_no_files(struct hw_broker *broker);
/** Any thread: the control thread looks again at what is atomic. */
void hw_broker_wake(struct hw_broker *broker);

/* app/reload.c */
/** Loads configuration and hooks for the start: any problem is printed to stderr and refused. 0 or
 * negative errno. */
HW_MUST_CHECK int hw_broker_load(struct hw_broker *broker);

/* app/swap.c */
/** Gives every worker @g and waits until all have taken it. 0; -ETIMEDOUT: a worker does not
 * answer, and takes it later; other negative errno: a worker keeps what it has, the others have @g,
 * and @refused is as in hw_worker_swap, or NULL when memory was short. */
HW_MUST_CHECK int hw_broker_swap(
	struct hw_broker *broker, struct hw_generation *g, const char **refused);

/* app/fixed.c */
/** Remembers what the start found. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_broker_fix(struct hw_broker *broker);
void hw_broker_unfix(struct hw_broker *broker);
/** Logs a warning for each key whose value in @conf needs a restart. */
void hw_broker_warn_fixed(const struct hw_broker *broker, const struct hw_conf *conf);

/* app/decision_log.c */
/** The decision log, off. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_broker_open_decisions(struct hw_broker *broker);
/** It is as the configuration says; when that cannot be, it is as it was, and the log says so. */
void hw_broker_configure_decisions(struct hw_broker *broker);
