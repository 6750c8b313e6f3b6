/* One thing that every worker does and the control thread waits for. A worker that a plugin holds
 * up is not waited for longer than the asker likes: it does its part when it comes back. */
#pragma once

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "net/loop.h"

struct hw_broker;
struct hw_worker_thread;
struct hw_round_task;

/* Embedded, on the heap: shared by the control thread and the workers, whoever is last frees it. */
struct hw_round {
	/** Worker's thread: begins the part of @to, which ends with hw_round_done, now or later. */
	void (*run)(struct hw_round *round, struct hw_worker_thread *to);
	void (*free)(struct hw_round *round);
	/* its own */
	atomic_uint n_refs;
	atomic_uint n_done;
	atomic_bool given_up; /* nobody looks at the result any more */
	sem_t answered;
	struct hw_round_task *tasks;
};

/** Control thread; @round is zeroed but for @run and @free. Waits until all workers are done: 0;
 * for
 * @wait_s at most: -ETIMEDOUT; or until SIGTERM or SIGINT is pending, if @yields: -EINTR. -ENOMEM:
 * none has begun. The caller has one reference in any case. */
HW_MUST_CHECK int hw_round_go(
	struct hw_round *round, struct hw_broker *broker, unsigned wait_s, bool yields);
/** SIGTERM or SIGINT is pending: what waits on the control thread is to end. */
bool hw_round_told_to_end(void);
/** Worker's thread: its part is done. The round may be gone afterwards. */
void hw_round_done(struct hw_round *round);
void hw_round_unref(struct hw_round *round);
