#include "hub/idempotency.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/hex.h"

struct hw_idempotency_entry {
	struct hw_list link;
	int64_t expires_ms;
	uint64_t body_hash;
	uint64_t seq;
	bool settled;
	char digest[HW_IDEMPOTENCY_DIGITS + 1]; /* of tenant, user and key */
};

static struct hw_str name_of(const char digest[HW_IDEMPOTENCY_DIGITS + 1])
{
	return (struct hw_str){digest, HW_IDEMPOTENCY_DIGITS};
}

void hw_idempotency_init(struct hw_idempotency *store, const struct hw_hash_key *hash_key)
{
	pthread_mutex_init(&store->lock, NULL);
	hw_map_init(&store->by_key, hash_key);
	hw_list_init(&store->by_age);
}

static void forget(struct hw_idempotency *store, struct hw_idempotency_entry *e)
{
	hw_map_remove(&store->by_key, name_of(e->digest));
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

/* Nobody finds another name with the same one, so that nobody has another's answer. */
static void digest_of(
	const struct hw_idempotency_name *name, char digest[HW_IDEMPOTENCY_DIGITS + 1])
{
	uint8_t hash[HW_SHA256_LEN];
	struct hw_sha256 s;

	hw_sha256_init(&s);
	hw_sha256_add_field(&s, name->tenant.p, name->tenant.len);
	hw_sha256_add_field(&s, name->user.p, name->user.len);
	hw_sha256_add_field(&s, name->key.p, name->key.len);
	hw_sha256_finish(&s, hash);
	hw_hex(hash, HW_IDEMPOTENCY_DIGITS / 2, digest);
}

static struct hw_idempotency_entry *reserve(struct hw_idempotency *store,
	const char digest[HW_IDEMPOTENCY_DIGITS + 1], uint64_t body_hash, int64_t mono_ms)
{
	struct hw_idempotency_entry *e = malloc(sizeof(*e));

	if (!e)
		return NULL;
	*e = (struct hw_idempotency_entry){
		.expires_ms = mono_ms + HW_IDEMPOTENCY_MS, .body_hash = body_hash};
	memcpy(e->digest, digest, sizeof(e->digest));
	if (hw_map_put(&store->by_key, name_of(e->digest), e, NULL)) {
		free(e);
		return NULL;
	}
	hw_list_push(&store->by_age, &e->link);
	return e;
}

enum hw_idempotency_outcome hw_idempotency_begin(struct hw_idempotency *store,
	const struct hw_idempotency_name *name, uint64_t body_hash, int64_t mono_ms,
	struct hw_idempotency_entry **entry, uint64_t *seq)
{
	enum hw_idempotency_outcome outcome = HW_IDEMPOTENCY_NEW;
	char digest[HW_IDEMPOTENCY_DIGITS + 1];
	struct hw_idempotency_entry *e;

	digest_of(name, digest);
	pthread_mutex_lock(&store->lock);
	trim(store, mono_ms);
	e = hw_map_get(&store->by_key, name_of(digest));
	if (!e) {
		e = reserve(store, digest, body_hash, mono_ms);
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

struct hw_idempotency_key hw_idempotency_key_of(const struct hw_idempotency_entry *entry)
{
	struct hw_idempotency_key key = {.body_hash = entry->body_hash};

	memcpy(key.digest, entry->digest, sizeof(key.digest));
	return key;
}

int hw_idempotency_restore(struct hw_idempotency *store, const struct hw_idempotency_key *key,
	uint64_t seq, int64_t age_ms, int64_t mono_ms)
{
	struct hw_idempotency_entry *e;
	int r = 0;

	if (age_ms >= HW_IDEMPOTENCY_MS)
		return 0;
	pthread_mutex_lock(&store->lock);
	trim(store, mono_ms);
	e = hw_map_get(&store->by_key, name_of(key->digest));
	if (e) /* it had ended once, and was used again */
		forget(store, e);
	e = reserve(store, key->digest, key->body_hash, age_ms > 0 ? mono_ms - age_ms : mono_ms);
	if (e) {
		e->seq = seq;
		e->settled = true;
	} else {
		r = -ENOMEM;
	}
	pthread_mutex_unlock(&store->lock);
	return r;
}
