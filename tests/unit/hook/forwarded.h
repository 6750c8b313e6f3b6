/* For tests that are a plugin: a worker with an inbox, benches whose one plugin is the test itself
 * (forward_plugin.c), and questions put to it. */
#pragma once

#include "forward.h"
#include "loaded.h"

#define FORWARD HW_BINARY_DIR "/tests/probes/forward.so"
#define WORKER 3 /* as loaded_bench has it */

struct forwarded {
	struct loaded l;
	struct hw_timers *timers;
	struct hw_hook_chain *none;
	struct hw_hook_bench *empty; /* of global guards */
	atomic_uint n_wakes;
};

static inline void forwarded_wake(void *arg)
{
	atomic_fetch_add(&((struct forwarded *)arg)->n_wakes, 1);
}

static inline void forwarded_init(struct forwarded *f)
{
	memset(f, 0, sizeof(*f));
	loaded_init(&f->l, NULL);
	f->timers = hw_timers_create(f->l.now_ms);
	assert_non_null(f->timers);
	assert_int_equal(hw_hook_inbox_open(f->l.env, WORKER, f->timers, forwarded_wake, f), 0);
	f->none = hw_hook_chain_create(NULL, 0);
	assert_int_equal(hw_hook_bench_create(f->l.env, f->none, HW_STR(""), WORKER, &f->empty), 0);
}

static inline void forwarded_fini(struct forwarded *f)
{
	hw_hook_bench_destroy(&f->empty);
	hw_hook_chain_unref(&f->none);
	hw_hook_inbox_close(f->l.env, WORKER);
	hw_timers_destroy(&f->timers);
	loaded_fini(&f->l);
}

/* The bench of @tenant, whose plugin is @to; @n makes another entry of it. */
static inline struct hw_hook_bench *forwarded_bench(
	struct forwarded *f, const struct forward *to, int n, const char *tenant)
{
	struct hw_hook_entry *entry;
	struct hw_hook_chain *chain;
	struct hw_hook_bench *bench = NULL;
	char config[64];
	int rc;

	snprintf(config, sizeof(config), "{\"to\":%llu,\"n\":%d}",
		(unsigned long long)(uintptr_t)to, n);
	assert_int_equal(loaded_load(&f->l, FORWARD, config, false, &entry), 0);
	chain = hw_hook_chain_create(&entry, 1);
	rc = hw_hook_bench_create(f->l.env, chain, hw_str_of(tenant), WORKER, &bench);
	hw_hook_chain_unref(&chain);
	hw_hook_entry_unref(&entry);
	return rc == 0 ? bench : NULL;
}

static inline enum hw_verdict forwarded_ask(struct forwarded *f, struct hw_hook_bench *bench,
	struct hw_ask *ask, void (*decided)(struct hw_ask *ask))
{
	static const struct hw_who who = {
		.user_id = HW_SLICE("u1"), .tenant_id = HW_SLICE("acme"), .claims = HW_SLICE("{}")};
	static const struct hw_question question = {.operation = HW_OP_SUBSCRIBE};

	*ask = (struct hw_ask){
		.stage = HW_STAGE_AUTHORIZE,
		.global = f->empty,
		.tenant = bench,
		.who = &who,
		.question = &question,
		.decided = decided,
	};
	return hw_hooks_ask(ask);
}

static inline void forwarded_turn(struct forwarded *f)
{
	hw_hook_inbox_run(f->l.env, WORKER);
}

static inline void forwarded_pass(struct forwarded *f, int64_t ms)
{
	f->l.now_ms += ms;
	hw_timers_advance(f->timers, f->l.now_ms);
}
