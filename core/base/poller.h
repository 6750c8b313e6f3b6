/* How code below the loop is told that a descriptor is ready, and when. Whoever has a loop
 * implements it (core/net does); tests bring their own. Everything here belongs to the loop's
 * thread. */
#pragma once

#include "base/clock.h"
#include "base/compiler.h"
#include "base/timers.h"

#define HW_POLL_READ 1u
#define HW_POLL_WRITE 2u

/* A descriptor that is watched; embedded in who watches. */
struct hw_poll {
	int fd;
	/** @what: what it is ready for, or has failed for. Comes again as long as it is ready. May
	 * change or end the watch and free it. */
	void (*ready)(struct hw_poll *poll, unsigned what);
	void *loop_own; /* the implementation's; NULL: not watched */
};

struct hw_poller {
	const struct hw_clock *clock;
	struct hw_timers *timers;
	/** Watches @poll for @what from now on instead of what it was watched for; 0 ends the
	 * watch, which never fails, and before the descriptor is closed. 0 or negative errno. */
	int (*watch)(struct hw_poller *poller, struct hw_poll *poll, unsigned what);
};
