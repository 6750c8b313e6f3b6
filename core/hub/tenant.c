#include "hub/tenant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hub/hub_internal.h"

int hw_tenants_init(struct hw_tenants *tenants)
{
	tenants->hash_key = hw_hash_key_random();
	hw_map_init(&tenants->by_id, &tenants->hash_key);
	return -pthread_mutex_init(&tenants->lock, NULL);
}

static void tenant_free(struct hw_tenant *t)
{
	hw_journal_destroy(&t->journal);
	hw_idempotency_fini(&t->idempotency);
	free((char *)(uintptr_t)t->id.p);
	free(t);
}

void hw_tenants_fini(struct hw_tenants *tenants)
{
	for (hw_map_each (&tenants->by_id, i))
		tenant_free(tenants->by_id.slots[i].value);
	hw_map_fini(&tenants->by_id);
	pthread_mutex_destroy(&tenants->lock);
}

static struct hw_tenant *tenant_create(struct hw_tenants *tenants, struct hw_str id,
	const struct hw_tenant_rules *rules, unsigned generation)
{
	struct hw_tenant *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	hw_idempotency_init(&t->idempotency, &tenants->hash_key);
	t->id = (struct hw_str){hw_str_dup(id), id.len};
	t->journal = hw_journal_create(&rules->classes, &tenants->hash_key);
	if (!t->id.p || !t->journal) {
		tenant_free(t);
		return NULL;
	}
	hw_quota_init(&t->connections, rules->connections);
	hw_quota_init(&t->subscriptions, rules->subscriptions);
	hw_rate_init(&t->publishes, rules->publish_per_s);
	atomic_init(&t->generation, generation);
	return t;
}

struct hw_tenant *hw_tenants_get(struct hw_tenants *tenants, struct hw_str id,
	const struct hw_tenant_rules *rules, unsigned generation)
{
	struct hw_tenant *t;

	pthread_mutex_lock(&tenants->lock);
	t = hw_map_get(&tenants->by_id, id);
	if (!t) {
		t = tenant_create(tenants, id, rules, generation);
		if (t && hw_map_put(&tenants->by_id, t->id, t, NULL)) {
			tenant_free(t);
			t = NULL;
		}
	}
	pthread_mutex_unlock(&tenants->lock);
	return t;
}

int hw_tenant_configure(struct hw_tenant *t, const struct hw_generation *g)
{
	const struct hw_tenant_rules *rules = hw_generation_rules(g, t->id);

	/* without rules it is refused from now on: nobody is left to be limited */
	if (!rules || atomic_exchange(&t->generation, g->number) == g->number)
		return 0;
	hw_quota_limit(&t->connections, rules->connections);
	hw_quota_limit(&t->subscriptions, rules->subscriptions);
	hw_rate_limit(&t->publishes, rules->publish_per_s);
	return hw_journal_configure(t->journal, &rules->classes);
}

int hw_tenants_configure(struct hw_tenants *tenants, const struct hw_generation *g)
{
	int result = 0;

	pthread_mutex_lock(&tenants->lock);
	for (hw_map_each (&tenants->by_id, i)) {
		int r = hw_tenant_configure(tenants->by_id.slots[i].value, g);

		if (r && !result)
			result = r;
	}
	pthread_mutex_unlock(&tenants->lock);
	return result;
}

void hw_tenants_trim(struct hw_tenants *tenants, int64_t wall_ms)
{
	pthread_mutex_lock(&tenants->lock);
	for (hw_map_each (&tenants->by_id, i)) {
		struct hw_tenant *t = tenants->by_id.slots[i].value;

		hw_hubs_tell(t, hw_journal_trim(t->journal, wall_ms));
		hw_idempotency_trim(&t->idempotency, wall_ms);
	}
	pthread_mutex_unlock(&tenants->lock);
}

void hw_tenants_each(
	struct hw_tenants *tenants, void (*each)(void *arg, struct hw_tenant *tenant), void *arg)
{
	pthread_mutex_lock(&tenants->lock);
	for (hw_map_each (&tenants->by_id, i))
		each(arg, tenants->by_id.slots[i].value);
	pthread_mutex_unlock(&tenants->lock);
}
