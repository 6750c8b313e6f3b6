#include "app/warden.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "app/broker.h"
#include "hook/hooks.h"

enum {
	LOOK_MS = 500,
	AWAY_MS =
		2000, /* a control thread that was seen within that is on its way to its signals */
	HELD_MS = 10000,    /* then it is told of */
	END_STEP_MS = 12000 /* of the end: what a plugin may ask for its last words is less */
};

static int64_t now_ms(void)
{
	return hw_clock_mono_ms(&hw_clock_system);
}

/* Of the process: every thread but the control thread blocks them, and that one is busy. */
static bool told_to_end(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* Under the lock, which is kept: whoever would go on now has come too late. */
static void give_up(struct hw_warden *w, const char *doing)
{
	hw_log(w->broker->log, HW_LOG_ERROR, "app",
		"something does not return; the process ends without it",
		HW_F_Z("what", doing[0] ? doing : "the control thread"));
	hw_broker_leave_no_files(w->broker);
	_exit(1);
}

static void look(struct hw_warden *w)
{
	int64_t now = now_ms();
	char doing[160] = "";
	uint64_t number = w->env ? hw_hook_env_doing(w->env, doing, sizeof(doing)) : 0;

	if (number != w->doing) { /* it goes on, if slowly */
		w->doing = number;
		w->beat_ms = now;
	}
	if (now - w->beat_ms >= HELD_MS && !w->said) {
		w->said = true;
		hw_log(w->broker->log, HW_LOG_WARN, "app",
			"signals and reloads wait: the control thread is held up",
			HW_F_Z("what", doing[0] ? doing : "a worker, or a file system"));
	}
	if (w->ending) {
		if (now - w->beat_ms >= END_STEP_MS)
			give_up(w, doing);
		return;
	}
	if (now - w->beat_ms < AWAY_MS || !told_to_end())
		w->told_ms = 0;
	else if (!w->told_ms)
		w->told_ms = now;
	else if (now - w->told_ms >= w->give_up_ms)
		give_up(w, doing);
}

static void *watch(void *arg)
{
	struct hw_warden *w = arg;
	struct timespec until;

	pthread_setname_np(pthread_self(), "hw-warden");
	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		look(w);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOOK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&w->wake, &w->lock, &until);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int hw_warden_start(struct hw_warden *w, struct hw_broker *broker)
{
	pthread_condattr_t clock;
	sigset_t all, before;
	int rc;

	w->broker = broker;
	w->beat_ms = now_ms();
	w->give_up_ms = HW_BROKER_HARD_STOP_MS + HW_BROKER_STUCK_MS;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, &clock);
	pthread_condattr_destroy(&clock);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&w->thread, NULL, watch, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	w->started = rc == 0;
	return -rc;
}

void hw_warden_stop(struct hw_warden *w)
{
	if (!w->started)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	w->started = false;
}

void hw_warden_beat(struct hw_warden *w, int64_t drain_ms)
{
	pthread_mutex_lock(&w->lock);
	w->beat_ms = now_ms();
	w->give_up_ms = drain_ms + HW_BROKER_HARD_STOP_MS + HW_BROKER_STUCK_MS;
	w->said = false;
	pthread_mutex_unlock(&w->lock);
}

void hw_warden_env(struct hw_warden *w, struct hw_hook_env *env)
{
	if (!w->started)
		return;
	pthread_mutex_lock(&w->lock);
	w->env = env;
	pthread_mutex_unlock(&w->lock);
}

void hw_warden_ending(struct hw_warden *w)
{
	if (!w->started)
		return;
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	w->beat_ms = now_ms();
	pthread_mutex_unlock(&w->lock);
}
