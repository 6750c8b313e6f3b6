/* A worker's event loop: sockets, timers, wake-ups from other threads, and the end of each turn,
 * where what the turn queued is written. One loop belongs to one thread; only wake and post may be
 * called by others. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/list.h"
#include "base/timers.h"

struct hw_loop;
struct hw_poller;

struct hw_loop_ops {
	/** The end of a turn, before queued output is written: deliver what is there. true: there
	 * is more, come again at once (after looking at the sockets). */
	bool (*turn)(void *arg);
	/** All output of the turn has been handed to the kernel or pinned. */
	void (*flushed)(void *arg);
	/** Last look before sleeping, after others were told to wake us: true if there is work
	 * after all. */
	bool (*has_work)(void *arg);
};

/** NULL when out of memory or file descriptors. */
struct hw_loop *hw_loop_create(
	const struct hw_clock *clock, const struct hw_loop_ops *ops, void *arg);
void hw_loop_destroy(struct hw_loop **loop); /* every stream and listener of it is gone */
void hw_loop_run(struct hw_loop *loop);      /* until hw_loop_stop */
void hw_loop_stop(struct hw_loop *loop);     /* its own thread; the current turn ends first */

/** Any thread: a sleeping loop wakes up; one that runs does not notice. What has_work looks at was
 * stored before with the default memory order. */
void hw_loop_wake(struct hw_loop *loop);

/* Something to do on a loop's thread, given by another: control, never events. Embedded in what it
 * is about. */
struct hw_task {
	struct hw_list link;
	void (*run)(struct hw_task *task); /* may free the task */
};
/** Any thread: takes @task until it has run. Tasks of one poster run in their order. The list is
 * intrusive, so that a task is never refused; whoever posts many bounds them at the source. */
void hw_loop_post(struct hw_loop *loop, struct hw_task *task);

/** The loop for those who may not know it. Lives as long. */
struct hw_poller *hw_loop_poller(struct hw_loop *loop);
struct hw_timers *hw_loop_timers(struct hw_loop *loop);
int64_t hw_loop_now_ms(const struct hw_loop *loop);  /* monotonic, read once a turn */
int64_t hw_loop_wall_ms(const struct hw_loop *loop); /* likewise */
/** Number of bytes of the receive buffer that all streams of the loop share. */
#define HW_LOOP_RECEIVE_BYTES 65536
