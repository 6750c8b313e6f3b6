#include "hub/tenant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hook/store.h"
#include "hub/hub_internal.h"

int hw_tenants_init(struct hw_tenants *tenants)
{
	tenants->hash_key = hw_hash_key_random();
	hw_map_init(&tenants->by_id, &tenants->hash_key);
	hw_tickets_init(&tenants->tickets, &tenants->hash_key);
	return -pthread_mutex_init(&tenants->lock, NULL);
}

static void tenant_free(struct hw_tenant *t)
{
	hw_journal_destroy(&t->journal);
	hw_key_log_fini(&t->keys);
	hw_idempotency_fini(&t->idempotency);
	hw_occupancy_fini(&t->occupancy);
	hw_seats_fini(&t->seats);
	hw_presence_fini(&t->presence);
	free((char *)(uintptr_t)t->id.p);
	free(t);
}

void hw_tenants_fini(struct hw_tenants *tenants)
{
	hw_tickets_fini(&tenants->tickets);
	for (hw_map_each (&tenants->by_id, i))
		tenant_free(tenants->by_id.slots[i].value);
	hw_map_fini(&tenants->by_id);
	pthread_mutex_destroy(&tenants->lock);
}

/* What is to be kept, said to the store: nothing of what has no history. */
static void retain(struct hw_tenant *t, const struct hw_topic_classes *classes)
{
	struct hw_journal_class said[HW_JOURNAL_MAX_CLASSES + 1];

	if (!t->store)
		return;
	for (size_t i = 0; i < classes->n; i++) {
		const struct hw_topic_class *c = &classes->classes[i];

		said[i] = (struct hw_journal_class){.pattern = hw_slice_of(hw_str_of(c->pattern))};
		if (!c->history)
			continue;
		said[i].count = c->stored.count;
		said[i].bytes = c->stored.bytes;
		said[i].age_ms = c->stored.age_ms;
	}
	said[classes->n] = hw_key_log_class();
	hw_store_retain(t->store, t->id, said, classes->n + 1);
}

/* The store's numbers go on where they ended. */
static int back(struct hw_tenant *t, struct hw_store *store)
{
	uint64_t epoch = 0, last = 0;
	int r = store ? hw_store_tenant(store, t->id, &epoch, &last) : 0;

	hw_key_log_init(&t->keys, store, last);
	if (r || !store)
		return r;
	t->store = store;
	hw_journal_back(t->journal, epoch, last);
	return 0;
}

static int tenant_create(struct hw_tenants *tenants, struct hw_str id,
	const struct hw_tenant_rules *rules, unsigned generation, struct hw_tenant **out)
{
	struct hw_tenant *t = calloc(1, sizeof(*t));
	int r = -ENOMEM;

	if (!t)
		return r;
	hw_idempotency_init(&t->idempotency, &tenants->hash_key);
	hw_occupancy_init(&t->occupancy, &tenants->hash_key);
	hw_seats_init(&t->seats, &tenants->hash_key);
	hw_quota_init(&t->tickets, HW_TICKETS_A_TENANT);
	hw_presence_init(&t->presence, &tenants->hash_key);
	t->id = (struct hw_str){hw_str_dup(id), id.len};
	t->journal = hw_journal_create(&rules->classes, &tenants->hash_key);
	if (t->id.p && t->journal)
		r = back(t, tenants->store);
	else
		hw_key_log_init(&t->keys, NULL, 0);
	if (r) {
		tenant_free(t);
		return r;
	}
	retain(t, &rules->classes);
	hw_quota_init(&t->connections, rules->connections);
	hw_quota_init(&t->subscriptions, rules->subscriptions);
	hw_rate_init(&t->publishes, rules->publish_per_s);
	atomic_init(&t->generation, generation);
	*out = t;
	return 0;
}

int hw_tenants_get(struct hw_tenants *tenants, struct hw_str id,
	const struct hw_tenant_rules *rules, unsigned generation, struct hw_tenant **out)
{
	int r = 0;

	pthread_mutex_lock(&tenants->lock);
	*out = hw_map_get(&tenants->by_id, id);
	if (!*out) {
		r = tenant_create(tenants, id, rules, generation, out);
		if (!r && hw_map_put(&tenants->by_id, (*out)->id, *out, NULL)) {
			tenant_free(*out);
			r = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&tenants->lock);
	return r;
}

int hw_tenant_configure(struct hw_tenant *t, const struct hw_generation *g)
{
	const struct hw_tenant_rules *rules = hw_generation_rules(g, t->id);
	int r;

	/* without rules it is refused from now on: nobody is left to be limited */
	if (!rules || atomic_exchange(&t->generation, g->number) == g->number)
		return 0;
	hw_quota_limit(&t->connections, rules->connections);
	hw_quota_limit(&t->subscriptions, rules->subscriptions);
	hw_rate_limit(&t->publishes, rules->publish_per_s);
	r = hw_journal_configure(t->journal, &rules->classes);
	if (!r)
		retain(t, &rules->classes);
	return r;
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

void hw_tenants_trim(struct hw_tenants *tenants, int64_t mono_ms)
{
	pthread_mutex_lock(&tenants->lock);
	for (hw_map_each (&tenants->by_id, i)) {
		struct hw_tenant *t = tenants->by_id.slots[i].value;

		hw_hubs_tell(t, hw_journal_trim(t->journal, mono_ms));
		hw_idempotency_trim(&t->idempotency, mono_ms);
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
