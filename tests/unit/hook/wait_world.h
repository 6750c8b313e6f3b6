/* For tests of hooks that wait: lua_world.h with a loop. Time stands still but for wait_pass
 * (timers) and wait_until (descriptors, and the time that really passes). */
#pragma once

#include <poll.h>

#include "lua_world.h"

#include "hook/io.h"

#define WAIT_POLLS 64
#define WAIT_AT_MOST_MS 20000 /* far beyond what a test needs on a busy machine */

struct wait_world {
	struct world w;
	struct hw_poller poller;
	struct hw_poll *polls[WAIT_POLLS]; /* NULL: free */
	unsigned what[WAIT_POLLS];
	struct hw_hook_bench *guards; /* a global chain without entries */
	struct hw_hook_chain *no_guards;
	bool joined;
};

/* A question through the chain, as a session asks it. */
struct wait_ask {
	struct hw_ask ask;
	struct hw_who who;
	struct hw_question question;
	struct hw_request request;
	struct hw_lifecycle lifecycle;
	unsigned n_decided;
	struct wait_ask *then_cancel; /* in decided */
};

static inline int wait_watch(struct hw_poller *poller, struct hw_poll *poll, unsigned what)
{
	struct wait_world *ww = HW_CONTAINER_OF(poller, struct wait_world, poller);
	int i, unused = -1;

	for (i = 0; i < WAIT_POLLS && ww->polls[i] != poll; i++)
		if (!ww->polls[i])
			unused = i;
	if (i == WAIT_POLLS)
		i = unused;
	assert_true(i >= 0);
	ww->polls[i] = what ? poll : NULL;
	ww->what[i] = what;
	return 0;
}

static inline void wait_init(struct wait_world *ww)
{
	memset(ww, 0, sizeof(*ww));
	world_init(&ww->w);
	ww->poller = (struct hw_poller){.clock = &ww->w.clock,
		.timers = hw_timers_create(ww->w.mono_ms),
		.watch = wait_watch};
	assert_non_null(ww->poller.timers);
	assert_int_equal(hw_hook_env_join(ww->w.env, 0, &ww->poller), 0);
	ww->joined = true;
	ww->no_guards = hw_hook_chain_create(NULL, 0);
	assert_int_equal(
		hw_hook_bench_create(ww->w.env, ww->no_guards, HW_STR(""), 0, &ww->guards), 0);
}

static inline void wait_fini(struct wait_world *ww)
{
	world_forget_policy(&ww->w);
	hw_hook_bench_destroy(&ww->guards);
	hw_hook_chain_unref(&ww->no_guards);
	hw_hook_env_part(ww->w.env, 0);
	for (int i = 0; i < WAIT_POLLS; i++)
		assert_null(ww->polls[i]);
	assert_int_equal(
		hw_timers_wait_ms(ww->poller.timers, ww->w.mono_ms), -1); /* none is armed */
	hw_timers_destroy(&ww->poller.timers);
	world_fini(&ww->w);
}

/* Lets the clock go on. */
static inline void wait_pass(struct wait_world *ww, int64_t ms)
{
	ww->w.mono_ms += ms;
	ww->w.wall_ms += ms;
	hw_timers_advance(ww->poller.timers, ww->w.mono_ms);
}

/* A turn of the loop: waits for descriptors, at most @most_ms and until a timer is due. */
static inline void wait_turn_of(struct wait_world *ww, int most_ms)
{
	struct pollfd fds[WAIT_POLLS];
	struct hw_poll *polls[WAIT_POLLS];
	int64_t wait_ms = hw_timers_wait_ms(ww->poller.timers, ww->w.mono_ms);
	struct timespec before, after;
	nfds_t n = 0;

	for (int i = 0; i < WAIT_POLLS; i++) {
		if (!ww->polls[i])
			continue;
		polls[n] = ww->polls[i];
		fds[n++] = (struct pollfd){.fd = ww->polls[i]->fd,
			.events = (short)((ww->what[i] & HW_POLL_READ ? POLLIN : 0) |
					  (ww->what[i] & HW_POLL_WRITE ? POLLOUT : 0))};
	}
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_true(poll(fds, n, wait_ms < 0 || wait_ms > most_ms ? most_ms : (int)wait_ms) >= 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	wait_pass(ww, (after.tv_sec - before.tv_sec) * 1000 +
			      (after.tv_nsec - before.tv_nsec) / 1000000 + 1);
	for (nfds_t i = 0; i < n; i++) {
		bool still = false;

		for (int j = 0; j < WAIT_POLLS; j++)
			still |= ww->polls[j] == polls[i];
		if (fds[i].revents && still)
			polls[i]->ready(
				polls[i], (fds[i].revents & ~POLLOUT ? HW_POLL_READ : 0u) |
						  (fds[i].revents & ~POLLIN ? HW_POLL_WRITE : 0u));
	}
}

static inline void wait_turn(struct wait_world *ww)
{
	wait_turn_of(ww, 50);
}

#define wait_until(ww, condition) \
	do { \
		for (int64_t from_ = (ww)->w.mono_ms; !(condition);) { \
			if ((ww)->w.mono_ms - from_ > WAIT_AT_MOST_MS) \
				fail_msg("waited in vain for " #condition); \
			wait_turn(ww); \
		} \
	} while (0)

static inline void wait_decided(struct hw_ask *ask)
{
	struct wait_ask *wa = HW_CONTAINER_OF(ask, struct wait_ask, ask);

	wa->n_decided++;
	if (wa->then_cancel)
		hw_hooks_cancel(&wa->then_cancel->ask);
}

static inline enum hw_verdict wait_ask_stage(
	struct wait_world *ww, struct wait_ask *wa, enum hw_hook_stage stage)
{
	struct world *w = &ww->w;

	wa->who = (struct hw_who){.size = sizeof(wa->who),
		.user_id = slice(w->user_id),
		.tenant_id = slice(w->tenant_id),
		.session = slice(w->session),
		.address = slice("192.0.2.1"),
		.claims = slice(w->claims)};
	wa->ask.stage = stage;
	wa->ask.global = w->entry->global ? w->bench : ww->guards;
	wa->ask.tenant = w->entry->global ? ww->guards : w->bench;
	wa->ask.who = &wa->who;
	wa->ask.decided = wait_decided;
	return hw_hooks_ask(&wa->ask);
}

static inline enum hw_verdict wait_subscribe(
	struct wait_world *ww, struct wait_ask *wa, const char *topic)
{
	const char *colon = strchr(topic, ':');

	memset(wa, 0, sizeof(*wa));
	wa->question = (struct hw_question){.size = sizeof(wa->question),
		.operation = HW_OP_SUBSCRIBE,
		.topic = slice(topic),
		.resource = {topic, (size_t)(colon - topic)},
		.id = slice(colon + 1)};
	wa->ask.question = &wa->question;
	return wait_ask_stage(ww, wa, HW_STAGE_AUTHORIZE);
}

static inline enum hw_verdict wait_transform(
	struct wait_world *ww, struct wait_ask *wa, const char *event)
{
	memset(wa, 0, sizeof(*wa));
	wa->ask.event = hw_str_of(event);
	return wait_ask_stage(ww, wa, HW_STAGE_TRANSFORM);
}

static inline enum hw_verdict wait_lifecycle(
	struct wait_world *ww, struct wait_ask *wa, enum hw_lifecycle_kind kind)
{
	memset(wa, 0, sizeof(*wa));
	wa->lifecycle = (struct hw_lifecycle){.size = sizeof(wa->lifecycle), .kind = kind};
	wa->ask.lifecycle = &wa->lifecycle;
	return wait_ask_stage(ww, wa, HW_STAGE_LIFECYCLE);
}

/* Whether the log since the last look holds @text. */
static inline bool wait_log_says(struct wait_world *ww, const char *text)
{
	char *log = world_take_log(&ww->w);
	bool found = strstr(log, text) != NULL;

	if (!found)
		print_message("the log, without '%s':\n%s", text, log);
	free(log);
	return found;
}
