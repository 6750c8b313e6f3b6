/* A small world for tests of the chain: six fake entries on two benches, and questions put to them.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_entry.h"

/* Guards A, B, C and the tenant's own a, b, c, wired to one pair of benches. */
#define N_GLOBAL 3
#define N_TENANT 3

struct world {
	struct hw_metrics *metrics;
	struct hw_hook_env *env;
	struct fake_log log;
	struct fake *fakes[N_GLOBAL + N_TENANT];
	struct hw_hook_bench *global, *tenant;
	int64_t now_ms;
	struct hw_clock clock;
};

static inline int64_t now_of(void *arg)
{
	return *(int64_t *)arg;
}

static inline struct hw_hook_bench *bench_of(
	struct world *w, size_t first, size_t n, const char *tenant)
{
	struct hw_hook_entry *entries[N_GLOBAL + N_TENANT];
	struct hw_hook_bench *bench;
	struct hw_hook_chain *chain;

	for (size_t i = 0; i < n; i++)
		entries[i] = &w->fakes[first + i]->base;
	chain = hw_hook_chain_create(entries, n);
	assert_non_null(chain);
	assert_int_equal(hw_hook_bench_create(w->env, chain, hw_str_of(tenant), 0, &bench), 0);
	assert_ptr_equal(hw_hook_bench_chain(bench), chain);
	hw_hook_chain_unref(&chain);
	return bench;
}

static inline void world_init(struct world *w)
{
	static const char *const names[] = {"A", "B", "C", "a", "b", "c"};

	memset(w, 0, sizeof(*w));
	w->metrics = hw_metrics_create();
	w->clock = (struct hw_clock){now_of, now_of, &w->now_ms};
	w->env = hw_hook_env_create(NULL, w->metrics, &w->clock, NULL, NULL, NULL, NULL);
	for (size_t i = 0; i < HW_COUNT(names); i++)
		w->fakes[i] = fake_create(w->env, &w->log, names[i], i < N_GLOBAL);
	w->global = bench_of(w, 0, N_GLOBAL, "");
	w->tenant = bench_of(w, N_GLOBAL, N_TENANT, "acme");
}

static inline void world_fini(struct world *w)
{
	hw_hook_bench_destroy(&w->global);
	hw_hook_bench_destroy(&w->tenant);
	for (size_t i = 0; i < HW_COUNT(w->fakes); i++) {
		struct hw_hook_entry *entry = &w->fakes[i]->base;

		hw_hook_entry_unref(&entry);
	}
	assert_int_equal(w->log.n_freed, 0); /* only the reaper frees */
	hw_hook_env_reap(w->env);
	assert_int_equal(w->log.n_freed, N_GLOBAL + N_TENANT);
	assert_int_equal(w->log.n_attached, w->log.n_detached);
	hw_hook_env_destroy(&w->env);
	hw_metrics_destroy(&w->metrics);
}

/* ---- asking ---- */

struct asked {
	struct hw_ask ask; /* first */
	struct world *world;
	unsigned n_decided, n_found;
	const char *find_code; /* find_tenant refuses with this */
	bool find_nothing;
};

static inline void decided(struct hw_ask *ask)
{
	((struct asked *)ask)->n_decided++;
}

static inline struct hw_hook_bench *find_tenant(struct hw_ask *ask, struct hw_str tenant_id)
{
	struct asked *a = (struct asked *)ask;

	a->n_found++;
	assert_true(hw_str_eq(tenant_id, HW_STR("acme")));
	if (!a->find_code && !a->find_nothing)
		return a->world->tenant;
	ask->code = a->find_code;
	snprintf(ask->message, sizeof(ask->message), "not here");
	return NULL;
}

static const struct hw_who somebody = {
	.user_id = {"u1", 2}, .tenant_id = {"acme", 4}, .claims = {"{}", 2}};
static const struct hw_request request = {.token = {"t", 1}};
static const struct hw_lifecycle connected = {.kind = HW_ON_CONNECT};
static const struct hw_question questions[] = {
	[HW_OP_SUBSCRIBE] = {.operation = HW_OP_SUBSCRIBE},
	[HW_OP_WILDCARD] = {.operation = HW_OP_WILDCARD},
	[HW_OP_PUBLISH] = {.operation = HW_OP_PUBLISH},
	[HW_OP_PRESENCE] = {.operation = HW_OP_PRESENCE},
	[HW_OP_SESSION] = {.operation = HW_OP_SESSION},
};

static inline void prepare(
	struct world *w, struct asked *a, enum hw_hook_stage stage, enum hw_operation operation)
{
	memset(a, 0, sizeof(*a));
	a->world = w;
	a->ask.stage = stage;
	a->ask.global = w->global;
	a->ask.decided = decided;
	w->log.text[0] = '\0';
	if (stage == HW_STAGE_AUTHENTICATE) {
		a->ask.request = &request;
		a->ask.find_tenant = find_tenant;
		return;
	}
	a->ask.tenant = w->tenant;
	a->ask.who = &somebody;
	a->ask.question = &questions[operation];
	a->ask.event = HW_STR("-");
	a->ask.lifecycle = &connected;
}

static inline struct fake *last_asked(struct world *w)
{
	char name = w->log.text[strlen(w->log.text) - 1];

	for (size_t i = 0; i < HW_COUNT(w->fakes); i++) {
		if (w->fakes[i]->base.name[0] == name)
			return w->fakes[i];
	}
	fail();
	return NULL;
}

/* Asks, and resumes whatever waits until there is a decision. */
static inline enum hw_verdict ask_to_the_end(struct world *w, struct asked *a)
{
	enum hw_verdict verdict = hw_hooks_ask(&a->ask);

	if (verdict != HW_PENDING) {
		assert_int_equal(a->n_decided, 0);
		assert_int_equal(a->ask.verdict, verdict);
		return verdict;
	}
	while (a->n_decided == 0)
		fake_resume(last_asked(w), &a->ask);
	assert_int_equal(a->n_decided, 1);
	return a->ask.verdict;
}

static inline void release(struct asked *a)
{
	hw_identity_unref(&a->ask.identity);
	free(a->ask.new_event);
	a->ask.new_event = NULL;
}

/* A allows u1 of acme; the others defer until a test says otherwise. */
static inline void a_allows(struct world *w)
{
	world_init(w);
	for (size_t i = 0; i < HW_COUNT(w->fakes); i++)
		w->fakes[i]->verdict = HW_DEFER;
	w->fakes[0]->verdict = HW_ALLOW;
	w->fakes[0]->user = "u1";
	w->fakes[0]->tenant = "acme";
}
