/* What the net tests share: a loop that is driven turn by turn with a clock set by hand, socket
 * pairs, and pins that count. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "net/net_internal.h"
#include "net/stream.h"

struct net_world {
	int64_t now_ms;
	struct hw_clock clock;
	struct hw_loop *loop;
	unsigned turns_left;
};

static inline int64_t net_world_now(void *arg)
{
	return ((struct net_world *)arg)->now_ms;
}

static inline bool net_world_turn(void *arg)
{
	struct net_world *w = arg;

	if (--w->turns_left == 0)
		hw_loop_stop(w->loop);
	return true;
}

static inline void net_world_flushed(void *arg)
{
	(void)arg;
}

static inline bool net_world_has_work(void *arg)
{
	(void)arg;
	return true;
}

static const struct hw_loop_ops net_world_ops = {
	.turn = net_world_turn,
	.flushed = net_world_flushed,
	.has_work = net_world_has_work,
};

static inline void net_world_init(struct net_world *w)
{
	*w = (struct net_world){.now_ms = 1000};
	w->clock = (struct hw_clock){net_world_now, net_world_now, w};
	w->loop = hw_loop_create(&w->clock, &net_world_ops, w);
	assert_non_null(w->loop);
}

/* So many turns, none of which sleeps. */
static inline void net_world_spin(struct net_world *w, unsigned turns)
{
	w->turns_left = turns;
	w->loop->stopped = false;
	hw_loop_run(w->loop);
}

static inline void net_world_pass(struct net_world *w, int64_t ms)
{
	w->now_ms += ms;
	net_world_spin(w, 2);
}

static inline void net_world_pair(int type, int out[2])
{
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, out), 0);
}

struct counting_pin {
	struct hw_pin pin;
	int held; /* now */
	int total;
};

static inline void counting_hold(struct hw_pin *pin)
{
	struct counting_pin *c = HW_CONTAINER_OF(pin, struct counting_pin, pin);

	c->held++;
	c->total++;
}

static inline void counting_release(struct hw_pin *pin)
{
	HW_CONTAINER_OF(pin, struct counting_pin, pin)->held--;
}

static const struct hw_pin_ops counting_ops = {counting_hold, counting_release};
