/* One generation of the configuration as the broker's lower ranks see it: numbers and chains,
 * nothing of files. Made on the control thread by core/app, immutable, shared by reference count;
 * each worker holds the current one. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/map.h"
#include "hook/hooks.h"
#include "hub/conflate_rules.h"
#include "hub/presence_rules.h"
#include "journal/journal.h"

struct hw_settings {
	/* auth */
	bool auth_query, auth_first_message;
	const char *auth_cookie; /* NULL: none */
	int64_t auth_timeout_ms;
	bool any_origin;
	const char *const *origins; /* verbatim */
	size_t n_origins;
	/* limits */
	size_t message_bytes, body_bytes, topics_per_session;
	size_t outbox_bytes;
	int64_t slow_deadline_ms;
	int64_t ping_interval_ms, ping_timeout_ms;
	bool sse_gzip; /* who asks for it gets it */
	int64_t drain_ms;
	int64_t reauth_ms;
	int64_t grace_ms; /* before a topic without subscriptions is vacated */
	struct hw_presence_rules presence;
	struct hw_conflate_rules conflate;
	/* whose PROXY headers and X-Forwarded-For are believed */
	const struct hw_address_block *trusted_proxies;
	size_t n_trusted_proxies;
	const char *echo_path;   /* NULL: off */
	const char *admin_token; /* NULL: none */
};

/* What holds for a tenant: an entry of the config, or that of "*". */
struct hw_tenant_rules {
	const char *id; /* "*" or the tenant's */
	struct hw_hook_chain *chain;
	uint64_t connections, subscriptions, publish_per_s;
	struct hw_topic_classes classes; /* with this tenant's retention */
};

struct hw_generation {
	atomic_uint n_refs;
	unsigned number; /* 1 for the first */
	struct hw_settings settings;
	struct hw_hook_chain *global;
	size_t n_rules;
	struct hw_tenant_rules *rules; /* sorted by id (strcmp) */
	void (*free)(struct hw_generation
			*g); /* by who made it: frees all this, once n_refs is 0; any thread */
};

static inline struct hw_generation *hw_generation_ref(struct hw_generation *g)
{
	atomic_fetch_add_explicit(&g->n_refs, 1, memory_order_relaxed);
	return g;
}
void hw_generation_unref(struct hw_generation **g);
/** The tenant's own rules, else those of "*", else NULL: refused. */
const struct hw_tenant_rules *hw_generation_rules(
	const struct hw_generation *g, struct hw_str tenant_id);
