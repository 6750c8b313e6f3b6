/* The process ends when it is told to, whatever a plugin does on the control thread: a thread that
 * watches the one that takes signals. A load or unload that does not return, and offloaded work
 * that does not, are nobody's to interrupt; they are told of, and do not keep a broker from ending.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct hw_broker;
struct hw_hook_env;

struct hw_warden {
	struct hw_broker *broker;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under the lock */
	struct hw_hook_env *env; /* NULL: not yet, or not any more */
	bool stop;
	bool ending;        /* every worker has ended */
	int64_t beat_ms;    /* when the control thread was last seen */
	int64_t give_up_ms; /* how long the end may wait for it */
	uint64_t doing;     /* hw_hook_env_doing's number then */
	int64_t told_ms;    /* when it was found that a signal to end waits; 0: none does */
	bool said;          /* that it is held up */
};

/** On the control thread, with the signals blocked that it takes. 0 or negative errno. */
HW_MUST_CHECK int hw_warden_start(struct hw_warden *warden, struct hw_broker *broker);
/** Harmless when it was not started. */
void hw_warden_stop(struct hw_warden *warden);
/** The control thread is well. @drain_ms: of the configuration in force. */
void hw_warden_beat(struct hw_warden *warden, int64_t drain_ms);
/** There is an environment whose plugins may hold it up; NULL before it goes. */
void hw_warden_env(struct hw_warden *warden, struct hw_hook_env *env);
/** What is left to do is done without looking at signals. */
void hw_warden_ending(struct hw_warden *warden);
