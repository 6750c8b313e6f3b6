#include <errno.h>
#include <stdlib.h>

#include "net/net_internal.h"

/* The loop as struct hw_poller shows it to code that must not know libevent. */

/* Frees nothing that libevent still walks: an event may be deleted and freed in its own callback.
 */
struct watch {
	struct event event;
	struct hw_loop *loop;
	struct hw_poll *poll;
};

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;
	unsigned ready =
		(what & EV_READ ? HW_POLL_READ : 0u) | (what & EV_WRITE ? HW_POLL_WRITE : 0u);

	(void)fd;
	hw_loop_refresh(watch->loop);
	watch->poll->ready(watch->poll, ready);
}

static int poller_watch(struct hw_poller *poller, struct hw_poll *poll, unsigned what)
{
	struct hw_loop *loop = HW_CONTAINER_OF(poller, struct hw_loop, poller);
	struct watch *watch = poll->loop_own;
	short events = EV_PERSIST;

	if (watch) {
		event_del(&watch->event);
	} else if (what) {
		watch = calloc(1, sizeof(*watch));
		if (!watch)
			return -ENOMEM;
		watch->loop = loop;
		watch->poll = poll;
		poll->loop_own = watch;
	}
	if (what) {
		events |= (short)((what & HW_POLL_READ ? EV_READ : 0) |
				  (what & HW_POLL_WRITE ? EV_WRITE : 0));
		event_assign(&watch->event, loop->base, poll->fd, events, on_ready, watch);
		if (event_add(&watch->event, NULL) == 0)
			return 0;
	}
	free(watch);
	poll->loop_own = NULL;
	return what ? -ENOMEM : 0;
}

void hw_poller_init(struct hw_loop *loop)
{
	loop->poller = (struct hw_poller){
		.clock = loop->clock, .timers = loop->timers, .watch = poller_watch};
}

struct hw_poller *hw_loop_poller(struct hw_loop *loop)
{
	return &loop->poller;
}
