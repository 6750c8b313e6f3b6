/* For the tests of the Lua runtime: one thread under a watchdog, one policy at a time, loaded
 * from a text as a tenant's or a global entry, and asked directly, so that a test sees what the
 * entry said and why. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hook/entry_internal.h"
#include "hook/watchdog.h"

#if defined(__SANITIZE_THREAD__)
#define WORLD_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WORLD_TSAN 1
#endif
#endif
#ifndef WORLD_TSAN
#define WORLD_TSAN 0
#endif

/* ThreadSanitizer holds asynchronous signals back until the next blocking call, and a loop in Lua
 * makes none. */
#define NEEDS_SIGNALS() \
	do { \
		if (WORLD_TSAN) { \
			print_message( \
				"not run: ThreadSanitizer defers the signals that end a call\n"); \
			skip(); \
		} \
	} while (0)

struct world {
	struct hw_watchdog *watchdog;
	struct hw_metrics *metrics;
	struct hw_log *log;
	int log_fd;
	int64_t mono_ms, wall_ms; /* the clock that hooks see */
	struct hw_clock clock;
	struct hw_hook_env *env;
	char dir[64];
	struct hw_hook_budget budget;
	struct hw_breaker_rules breaker; /* none unless a test sets it */
	struct hw_hook_entry *entry;
	struct hw_hook_chain *chain;
	struct hw_hook_bench *bench;
	struct hw_hook_problem problem;
	/* of the session that asks */
	const char *user_id, *tenant_id, *session, *claims;
	struct hw_entry_answer answer;
};

static inline int64_t world_mono_ms(void *arg)
{
	return ((struct world *)arg)->mono_ms;
}

static inline int64_t world_wall_ms(void *arg)
{
	return ((struct world *)arg)->wall_ms;
}

static inline void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->mono_ms = 1000000;
	w->wall_ms = 1767225600000; /* 2026-01-01T00:00:00Z */
	w->clock = (struct hw_clock){world_mono_ms, world_wall_ms, w};
	w->budget = HW_HOOK_BUDGET_DEFAULT;
	w->user_id = "u1";
	w->tenant_id = "acme";
	w->session = "s1";
	w->claims = "{}";
	strcpy(w->dir, "/tmp/hw-lua-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->log_fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	assert_true(w->log_fd >= 0);
	w->log = hw_log_create(w->log_fd, HW_LOG_DEBUG, HW_LOG_TEXT);
	w->metrics = hw_metrics_create();
	assert_int_equal(hw_watchdog_create(&w->watchdog), 0);
	assert_int_equal(hw_watchdog_enter_thread(w->watchdog), 0);
	w->env = hw_hook_env_create(w->log, w->metrics, &w->clock, w->watchdog, w->dir, NULL, NULL);
	assert_non_null(w->env);
}

static inline void world_forget_policy(struct world *w)
{
	hw_entry_answer_fini(&w->answer);
	hw_hook_bench_destroy(&w->bench);
	if (w->chain)
		hw_hook_chain_unref(&w->chain);
	if (w->entry)
		hw_hook_entry_unref(&w->entry);
	hw_hook_env_reap(w->env);
}

static inline void world_fini(struct world *w)
{
	char command[128];

	world_forget_policy(w);
	hw_hook_env_destroy(&w->env);
	hw_watchdog_leave_thread(w->watchdog);
	hw_watchdog_destroy(&w->watchdog);
	hw_log_destroy(&w->log);
	hw_metrics_destroy(&w->metrics);
	close(w->log_fd);
	snprintf(command, sizeof(command), "rm -rf %s", w->dir);
	assert_int_equal(system(command), 0);
}

static inline void world_write(struct world *w, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fwrite(text, 1, strlen(text), f) == strlen(text));
	assert_int_equal(fclose(f), 0);
}

/* Loads @source; 0 or what hw_hook_entry_load said, with w->problem filled. */
static inline int world_load(struct world *w, bool global, const char *source, const char *config)
{
	char path[128];
	struct hw_hook_spec spec = {.name = "test",
		.kind = HW_HOOK_LUA,
		.budget = w->budget,
		.breaker = w->breaker,
		.global = global};
	int rc;

	world_forget_policy(w);
	world_write(w, "policy.lua", source);
	snprintf(path, sizeof(path), "%s/policy.lua", w->dir);
	spec.path = path;
	spec.config = hw_str_of(config ? config : "{}");
	rc = hw_hook_entry_load(w->env, &spec, NULL, 0, &w->entry, &w->problem);
	if (rc < 0)
		return rc;
	w->chain = hw_hook_chain_create(&w->entry, 1);
	assert_non_null(w->chain);
	assert_int_equal(hw_hook_bench_create(w->env, w->chain,
				 hw_str_of(global ? "" : w->tenant_id), 0, &w->bench),
		0);
	return 0;
}

/* The same for a source that must be good. */
static inline void world_policy(struct world *w, const char *source)
{
	if (world_load(w, false, source, NULL) != 0)
		fail_msg("the policy did not load: %s", w->problem.text);
}

static inline struct hw_slice slice(const char *s)
{
	return (struct hw_slice){s, strlen(s)};
}

static inline enum hw_verdict world_ask(struct world *w, struct hw_ask *ask)
{
	struct hw_who who = {.size = sizeof(who),
		.user_id = slice(w->user_id),
		.tenant_id = slice(w->tenant_id),
		.session = slice(w->session),
		.address = slice("192.0.2.1"),
		.claims = slice(w->claims)};

	ask->global = ask->tenant = w->bench;
	if (!ask->who)
		ask->who = &who;
	hw_entry_answer_fini(&w->answer);
	w->answer.verdict = w->entry->ops->call(w->entry, w->bench->states[0], ask, &w->answer);
	return w->answer.verdict;
}

static inline enum hw_verdict world_authorize(
	struct world *w, enum hw_operation operation, const char *topic, const char *event)
{
	const char *colon = strchr(topic, ':');
	struct hw_question question = {
		.size = sizeof(question), .operation = operation, .topic = slice(topic)};
	struct hw_ask ask = {.stage = HW_STAGE_AUTHORIZE, .question = &question};

	if (colon) {
		question.resource = (struct hw_slice){topic, (size_t)(colon - topic)};
		question.id = slice(colon + 1);
	}
	if (event)
		question.event = slice(event);
	return world_ask(w, &ask);
}

static inline enum hw_verdict world_subscribe(struct world *w, const char *topic)
{
	return world_authorize(w, HW_OP_SUBSCRIBE, topic, NULL);
}

static inline enum hw_verdict world_transform(struct world *w, const char *event)
{
	struct hw_ask ask = {.stage = HW_STAGE_TRANSFORM, .event = hw_str_of(event)};

	return world_ask(w, &ask);
}

static inline enum hw_verdict world_authenticate(struct world *w, const char *token)
{
	struct hw_request request = {.size = sizeof(request),
		.token = slice(token),
		.address = slice("192.0.2.1"),
		.origin = slice(""),
		.path = slice("/ws"),
		.transport = slice("ws")};
	struct hw_ask ask = {.stage = HW_STAGE_AUTHENTICATE, .request = &request};

	return world_ask(w, &ask);
}

static inline enum hw_verdict world_lifecycle(
	struct world *w, enum hw_lifecycle_kind kind, int close_code)
{
	struct hw_lifecycle lifecycle = {
		.size = sizeof(lifecycle), .kind = kind, .close_code = close_code};
	struct hw_ask ask = {.stage = HW_STAGE_LIFECYCLE, .lifecycle = &lifecycle};

	return world_ask(w, &ask);
}

/* What was logged since the last time, zero-terminated; to be freed. */
static inline char *world_take_log(struct world *w)
{
	off_t size = lseek(w->log_fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	assert_non_null(text);
	assert_true(pread(w->log_fd, text, (size_t)size, 0) == size);
	assert_int_equal(ftruncate(w->log_fd, 0), 0);
	lseek(w->log_fd, 0, SEEK_SET);
	return text;
}

static inline int64_t world_cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
