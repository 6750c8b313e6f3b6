/* One worker: its thread, its loop, and what it listens on. Made and joined by the control thread;
 * between start and join everything in it but @tasks belongs to its own thread. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "app/conf.h"
#include "edge/edge.h"
#include "hook/watchdog.h"
#include "hub/worker.h"
#include "net/listener.h"
#include "net/loop.h"

struct hw_broker;

#define HW_WORKER_LISTENERS (HW_CONF_LISTEN_MAX + 1) /* and the admin listener */

struct hw_worker_thread {
	struct hw_broker *broker;
	struct hw_worker worker;
	struct hw_loop *loop;
	struct hw_edge edge;
	pthread_t thread;
	bool started;
	int fds[HW_WORKER_LISTENERS]; /* to listen on; -1 once taken */
	enum hw_edge_kind kinds[HW_WORKER_LISTENERS];
	bool shared[HW_WORKER_LISTENERS];  /* a unix socket: accepted here, handed out to all */
	bool proxied[HW_WORKER_LISTENERS]; /* connections begin with a PROXY header */
	size_t n_fds;
	struct listening {
		struct hw_worker_thread *worker;
		struct hw_listener *listener;
		enum hw_edge_kind kind;
		bool shared, proxied;
	} listeners[HW_WORKER_LISTENERS];
	unsigned next_worker; /* that gets the next descriptor of a shared listener */
	struct hw_task stop_task, drain_task;
	atomic_bool stop_posted;
	atomic_bool drained; /* nobody is left here; the process ends when that is so everywhere */
	struct hw_timer drain_timer;
	int64_t drain_from_ms, drain_ms;
	int64_t drain_empty_ms; /* the last time there was a session */
	int64_t drain_tick_ms;  /* up to when sessions were closed as they were due */
	double drain_due;       /* to be closed, with a part of one */
	bool worker_made, edge_made;
};

/** 0 or negative errno. The descriptors in fds are taken. */
HW_MUST_CHECK int hw_worker_thread_init(
	struct hw_worker_thread *t, struct hw_broker *broker, unsigned index);
HW_MUST_CHECK int hw_worker_thread_start(struct hw_worker_thread *t);
/** Control thread, once: begins to drain. The worker says in @drained how it stands and goes on
 * answering newcomers until it is stopped. */
void hw_worker_thread_drain(struct hw_worker_thread *t);
/** At once. The first worker stops the others, after everything that it has handed them. Twice is
 * harmless. */
void hw_worker_thread_stop(struct hw_worker_thread *t);
void hw_worker_thread_join(struct hw_worker_thread *t);
void hw_worker_thread_fini(struct hw_worker_thread *t);
