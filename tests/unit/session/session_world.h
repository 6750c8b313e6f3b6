/* For the tests of sessions: one worker with real hooks, journal and hubs, a clock set by hand, and
 * clients whose outlet is a buffer. Policies are Lua texts: a global one that takes "USER@TENANT"
 * for a token, with a claim "mark" of the digits behind, and the tenant's under test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hook/watchdog.h"
#include "session/session.h"

#define WORLD_AUTH \
	"return policy { api = 1, authenticate = function(req, ctx)" \
	" local user, tenant, mark = req.token:match('^(%w+)@(%a+)(%d*)$')" \
	" if not user then return deny('unauthorized', 'no such token') end" \
	" return allow { user_id = user, tenant_id = tenant, claims = { mark = mark } } end }"

struct world {
	struct hw_watchdog *watchdog;
	struct hw_metrics *metrics;
	struct hw_counters counters;
	int64_t mono_ms, wall_ms;
	struct hw_clock clock;
	struct hw_hook_env *env;
	struct hw_tenants tenants;
	struct hw_generation *generation;
	struct hw_worker worker;
	unsigned n_wakes;
	char dir[64];
};

struct client {
	struct hw_session *session;
	struct hw_buf text;  /* what it was sent, a line each */
	size_t queued, room; /* bytes that a full socket would keep; drop forgets them */
	bool keeps;          /* the socket is full */
	bool no_memory;      /* to be told anything */
	uint64_t first_kept;
	const char *frames; /* where the last run lay */
	unsigned n_pings;
	int closed_with;
	bool paused;
};

static inline int64_t world_mono(void *arg)
{
	return ((struct world *)arg)->mono_ms;
}
static inline int64_t world_wall(void *arg)
{
	return ((struct world *)arg)->wall_ms;
}
static inline void world_wake(struct hw_loop *loop)
{
	((struct world *)(void *)loop)->n_wakes++;
}

static inline struct hw_hook_chain *world_chain_that(
	struct world *w, const char *name, const char *lua, bool global, bool revoke_now)
{
	struct hw_hook_spec spec = {.name = name,
		.kind = HW_HOOK_LUA,
		.config = HW_STR("{}"),
		.budget = HW_HOOK_BUDGET_DEFAULT,
		.global = global,
		.revoke_now = revoke_now};
	struct hw_hook_problem problem = {0};
	struct hw_hook_entry *entry;
	struct hw_hook_chain *chain;
	char path[128];
	FILE *f;

	spec.budget.cpu_ms = 200; /* a slow test machine is not what is tested */
	snprintf(path, sizeof(path), "%s/%s.lua", w->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(lua, f);
	fclose(f);
	spec.path = path;
	if (hw_hook_entry_load(w->env, &spec, NULL, 0, &entry, &problem))
		fail_msg("%s", problem.text);
	chain = hw_hook_chain_create(&entry, 1);
	assert_non_null(chain);
	hw_hook_entry_unref(&entry);
	return chain;
}

static inline struct hw_hook_chain *world_chain(
	struct world *w, const char *name, const char *lua, bool global)
{
	return world_chain_that(w, name, lua, global, false);
}

static inline void world_generation_free(struct hw_generation *g)
{
	hw_hook_chain_unref(&g->global);
	hw_hook_chain_unref(&g->rules[0].chain);
	free(g->rules);
	free(g);
}

static inline struct hw_generation *world_generation(
	struct world *w, unsigned number, const char *lua)
{
	struct hw_generation *g = calloc(1, sizeof(*g));
	struct hw_tenant_rules *rules = calloc(1, sizeof(*rules));

	atomic_init(&g->n_refs, 1);
	g->number = number;
	g->free = world_generation_free;
	g->settings = (struct hw_settings){.auth_query = true,
		.auth_first_message = true,
		.auth_timeout_ms = 5000,
		.any_origin = true,
		.message_bytes = 65536,
		.body_bytes = 1 << 20,
		.topics_per_session = 3,
		.outbox_bytes = 4096,
		.slow_deadline_ms = 60000,
		.ping_interval_ms = 25000,
		.ping_timeout_ms = 60000};
	g->global = world_chain(w, "auth", WORLD_AUTH, true);
	rules->id = "*";
	rules->chain = world_chain(w, "policy", lua, false);
	rules->connections = 100;
	rules->subscriptions = 100;
	rules->classes.n = 1;
	rules->classes.classes[0].history = true;
	rules->classes.classes[0].retention =
		(struct hw_retention){.count = 1000, .bytes = 1 << 20};
	g->rules = rules;
	g->n_rules = 1;
	return g;
}

static inline void world_init(struct world *w, const char *lua)
{
	memset(w, 0, sizeof(*w));
	w->mono_ms = 1000000;
	w->wall_ms = 1767225600000;
	w->clock = (struct hw_clock){world_mono, world_wall, w};
	strcpy(w->dir, "/tmp/hw-session-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->metrics = hw_metrics_create();
	hw_counters_init(&w->counters, w->metrics);
	assert_int_equal(hw_watchdog_create(&w->watchdog), 0);
	assert_int_equal(hw_watchdog_enter_thread(w->watchdog), 0);
	w->env = hw_hook_env_create(NULL, w->metrics, &w->clock, w->watchdog, w->dir, NULL, NULL);
	assert_int_equal(hw_tenants_init(&w->tenants), 0);
	w->generation = world_generation(w, 1, lua);
	w->worker = (struct hw_worker){.loop = (struct hw_loop *)(void *)w,
		.wake = world_wake,
		.clock = &w->clock,
		.timers = hw_timers_create(w->mono_ms),
		.metrics = w->metrics,
		.counters = &w->counters,
		.env = w->env,
		.tenants = &w->tenants};
	assert_int_equal(hw_worker_init(&w->worker, w->generation), 0);
	assert_int_equal(hw_sessions_init(&w->worker), 0);
}

static inline void world_fini(struct world *w)
{
	char command[128];

	assert_int_equal(hw_sessions_count(&w->worker), 0);
	hw_worker_fini(&w->worker);
	hw_sessions_fini(&w->worker);
	hw_timers_destroy(&w->worker.timers);
	hw_generation_unref(&w->generation);
	hw_tenants_fini(&w->tenants);
	hw_hook_env_reap(w->env);
	hw_hook_env_destroy(&w->env);
	hw_watchdog_leave_thread(w->watchdog);
	hw_watchdog_destroy(&w->watchdog);
	hw_metrics_destroy(&w->metrics);
	snprintf(command, sizeof(command), "rm -rf %s", w->dir);
	assert_int_equal(system(command), 0);
}

/* A turn of the loop, as core/net makes it. */
static inline void world_turn(struct world *w)
{
	hw_timers_advance(w->worker.timers, w->mono_ms);
	while (hw_worker_turn(&w->worker))
		hw_worker_flushed(&w->worker);
	hw_worker_flushed(&w->worker);
}

/* Turns, for as long as one leaves something to do at once; @most of them. */
static inline void world_turns(struct world *w, unsigned most)
{
	do
		world_turn(w);
	while (--most > 0 && hw_timers_wait_ms(w->worker.timers, w->mono_ms) == 0);
}

static inline int client_message(void *arg, struct hw_str text)
{
	struct client *c = arg;

	if (c->no_memory)
		return -ENOMEM;
	hw_buf_str(&c->text, text);
	hw_buf_putc(&c->text, '\n');
	return 0;
}
static inline int client_run(void *arg, const struct hw_run *run, unsigned how)
{
	struct client *c = arg;

	(void)how;
	c->frames = run->frames;
	if (c->keeps) {
		if (!c->queued)
			c->first_kept = run->first_seq;
		c->queued += run->len;
		return 0;
	}
	for (size_t i = 0; i < run->n; i++) {
		hw_buf_str(&c->text, hw_run_event(run, i, NULL));
		hw_buf_putc(&c->text, '\n');
	}
	return 0;
}
static inline size_t client_queued(void *arg)
{
	return ((struct client *)arg)->queued;
}
static inline bool client_blocked(void *arg)
{
	return ((struct client *)arg)->keeps;
}
static inline uint64_t client_drop(void *arg)
{
	struct client *c = arg;

	/* the socket keeps one byte of what it was given before: it is still full */
	c->queued = 1;
	return c->first_kept;
}
static inline void client_ping(void *arg)
{
	((struct client *)arg)->n_pings++;
}
static inline void client_pause(void *arg, bool on)
{
	((struct client *)arg)->paused = on;
}
static inline void client_close(void *arg, uint16_t code, struct hw_str reason)
{
	struct client *c = arg;

	assert_int_equal(c->closed_with, 0);
	assert_true(reason.len <= 123);
	c->closed_with = code;
}

static const struct hw_outlet client_outlet = {.message = client_message,
	.run = client_run,
	.queued = client_queued,
	.blocked = client_blocked,
	.drop = client_drop,
	.ping = client_ping,
	.pause = client_pause,
	.close = client_close};

static inline void client_open(
	struct world *w, struct client *c, const char *token, const char *topics, bool plain)
{
	struct hw_session_open open = {.outlet = &client_outlet,
		.arg = c,
		.plain = plain,
		.transport = "ws",
		.address = HW_STR("192.0.2.1"),
		.origin = HW_STR(""),
		.path = HW_STR("/ws"),
		.token = hw_str_of(token),
		.topics = hw_str_of(topics)};

	memset(c, 0, sizeof(*c));
	hw_buf_init(&c->text);
	c->session = hw_session_create(&w->worker, &open);
	assert_non_null(c->session);
}

static inline void client_fini(struct client *c)
{
	hw_session_destroy(&c->session);
	hw_buf_fini(&c->text);
}

static inline void say(struct client *c, const char *text)
{
	hw_session_received(c->session, hw_str_of(text));
}

/* What came since the last call, zero-terminated. */
static inline const char *heard(struct client *c, char *out, size_t size)
{
	snprintf(out, size, "%.*s", (int)c->text.len, c->text.data ? c->text.data : "");
	hw_buf_clear(&c->text);
	return out;
}
