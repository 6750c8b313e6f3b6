#include "hub/idempotency.h"

#include <stdlib.h>
#include <string.h>

struct hw_idempotency_entry {
	struct hw_list link;
	int64_t expires_ms;
	uint64_t body_hash;
	uint64_t seq;
	bool settled;
	size_t len;
	char name[]; /* tenant, zero, user, zero, key */
};

void hw_idempotency_init(struct hw_idempotency *store, const struct hw_hash_key *hash_key)
{
	pthread_mutex_init(&store->lock, NULL);
	hw_map_init(&store->by_key, hash_key);
	hw_list_init(&store->by_age);
}

static void forget(struct hw_idempotency *store, struct hw_idempotency_entry *e)
{
	hw_map_remove(&store->by_key, (struct hw_str){e->name, e->len});
	hw_list_remove(&e->link);
	free(e);
}

void hw_idempotency_fini(struct hw_idempotency *store)
{
	while (!hw_list_empty(&store->by_age))
		forget(store,
			HW_CONTAINER_OF(store->by_age.next, struct hw_idempotency_entry, link));
	hw_map_fini(&store->by_key);
	pthread_mutex_destroy(&store->lock);
}

/* The oldest go first; one that is being decided stays where it is: whoever decides it holds a
 * pointer. */
static void trim(struct hw_idempotency *store, int64_t mono_ms)
{
	hw_list_each_safe (node, &store->by_age) {
		struct hw_idempotency_entry *e =
			HW_CONTAINER_OF(node, struct hw_idempotency_entry, link);

		if (e->expires_ms > mono_ms && hw_map_count(&store->by_key) < HW_IDEMPOTENCY_MAX)
			return;
		if (e->settled)
			forget(store, e);
	}
}

static size_t name_len(const struct hw_idempotency_name *name)
{
	return name->tenant.len + 1 + name->user.len + 1 + name->key.len;
}

static void name_write(const struct hw_idempotency_name *name, char *out)
{
	const struct hw_str zero = {"", 1};
	const struct hw_str parts[] = {name->tenant, zero, name->user, zero, name->key};

	for (size_t i = 0; i < HW_COUNT(parts); i++) {
		memcpy(out, parts[i].p, parts[i].len);
		out += parts[i].len;
	}
}

static struct hw_idempotency_entry *reserve(struct hw_idempotency *store,
	const struct hw_idempotency_name *name, uint64_t body_hash, int64_t mono_ms)
{
	size_t len = name_len(name);
	struct hw_idempotency_entry *e = malloc(sizeof(*e) + len);

	if (!e)
		return NULL;
	*e = (struct hw_idempotency_entry){
		.expires_ms = mono_ms + HW_IDEMPOTENCY_MS, .body_hash = body_hash, .len = len};
	name_write(name, e->name);
	if (hw_map_put(&store->by_key, (struct hw_str){e->name, len}, e, NULL)) {
		free(e);
		return NULL;
	}
	hw_list_push(&store->by_age, &e->link);
	return e;
}

static struct hw_idempotency_entry *find(
	struct hw_idempotency *store, const struct hw_idempotency_name *name)
{
	char text[1024];
	size_t len = name_len(name);

	if (len > sizeof(text))
		return NULL; /* its parts are bounded well below this */
	name_write(name, text);
	return hw_map_get(&store->by_key, (struct hw_str){text, len});
}

enum hw_idempotency_outcome hw_idempotency_begin(struct hw_idempotency *store,
	const struct hw_idempotency_name *name, uint64_t body_hash, int64_t mono_ms,
	struct hw_idempotency_entry **entry, uint64_t *seq)
{
	enum hw_idempotency_outcome outcome = HW_IDEMPOTENCY_NEW;
	struct hw_idempotency_entry *e;

	pthread_mutex_lock(&store->lock);
	trim(store, mono_ms);
	e = find(store, name);
	if (!e) {
		e = reserve(store, name, body_hash, mono_ms);
		if (e)
			*entry = e;
		else
			outcome = HW_IDEMPOTENCY_NO_MEMORY;
	} else if (e->body_hash != body_hash) {
		outcome = HW_IDEMPOTENCY_CONFLICT;
	} else if (!e->settled) {
		outcome = HW_IDEMPOTENCY_PENDING;
	} else {
		*seq = e->seq;
		outcome = HW_IDEMPOTENCY_DUPLICATE;
	}
	pthread_mutex_unlock(&store->lock);
	return outcome;
}

void hw_idempotency_settle(
	struct hw_idempotency *store, struct hw_idempotency_entry *entry, uint64_t seq)
{
	pthread_mutex_lock(&store->lock);
	entry->seq = seq;
	entry->settled = true;
	pthread_mutex_unlock(&store->lock);
}

void hw_idempotency_release(struct hw_idempotency *store, struct hw_idempotency_entry *entry)
{
	pthread_mutex_lock(&store->lock);
	forget(store, entry);
	pthread_mutex_unlock(&store->lock);
}

void hw_idempotency_trim(struct hw_idempotency *store, int64_t mono_ms)
{
	pthread_mutex_lock(&store->lock);
	trim(store, mono_ms);
	pthread_mutex_unlock(&store->lock);
}
