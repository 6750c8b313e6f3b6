/* Inside core/net: the loop's libevent side, shared by streams and listeners. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/poller.h"
#include "net/loop.h"

struct hw_ref;

/* A block of outbox references, kept by the loop for the next stream that needs one. */
struct hw_ref_block {
	struct hw_ref_block *next;
};

struct hw_loop {
	struct event_base *base;
	const struct hw_clock *clock;
	const struct hw_loop_ops *ops;
	void *arg;
	struct hw_timers *timers;
	struct hw_poller poller;
	struct event timeout;
	struct event wake_event;
	int wake_fd;
	atomic_int sleeping; /* 1: whoever has work for us writes wake_fd, once */
	bool stopped;
	bool clock_is_fresh; /* read since the last wait */
	int64_t now_ms, wall_ms;
	struct hw_list dirty;     /* streams with something to write at the end of the turn */
	struct hw_list graveyard; /* streams destroyed in this turn: their callbacks may still be on
				     the stack */
	struct hw_ref_block *free_blocks;
	size_t n_free_blocks;
	pthread_mutex_t tasks_lock;
	struct hw_list tasks;
	atomic_bool has_tasks;
	uint8_t received[HW_LOOP_RECEIVE_BYTES];
};

void hw_loop_refresh(struct hw_loop *loop);
void hw_poller_init(struct hw_loop *loop);
void hw_streams_flush(struct hw_loop *loop);
void hw_streams_bury(struct hw_loop *loop);
