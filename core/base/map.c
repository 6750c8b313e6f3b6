#include "base/map.h"

#include <errno.h>
#include <stdlib.h>

#define HASH_EMPTY 0
#define HASH_REMOVED 1
#define MIN_SLOTS 8

void hw_map_init(struct hw_map *m, const struct hw_hash_key *key)
{
	*m = (struct hw_map){.key = *key};
}

void hw_map_fini(struct hw_map *m)
{
	free(m->slots);
	m->slots = NULL;
	m->n_slots = m->n_used = m->n_removed = 0;
}

uint64_t hw_map_hash(const struct hw_map *m, struct hw_str key)
{
	uint64_t hash = hw_hash(&m->key, key.p, key.len);

	return hash > HASH_REMOVED ? hash : hash + 2;
}

static struct hw_map_slot *find(const struct hw_map *m, uint64_t hash, struct hw_str key)
{
	size_t mask = m->n_slots - 1;

	if (m->n_used == 0)
		return NULL;
	/* ends because make_room() always leaves empty slots */
	for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
		struct hw_map_slot *slot = &m->slots[i];

		if (slot->hash == hash && hw_str_eq(slot->key, key))
			return slot;
		if (slot->hash == HASH_EMPTY)
			return NULL;
	}
}

void *hw_map_get(const struct hw_map *m, struct hw_str key)
{
	if (m->n_used == 0)
		return NULL;
	return hw_map_get_hashed(m, hw_map_hash(m, key), key);
}

void *hw_map_get_hashed(const struct hw_map *m, uint64_t hash, struct hw_str key)
{
	struct hw_map_slot *slot = find(m, hash, key);

	return slot ? slot->value : NULL;
}

/* The first slot of the probe that a new entry may take. */
static struct hw_map_slot *find_free(struct hw_map_slot *slots, size_t n_slots, uint64_t hash)
{
	size_t i = (size_t)hash & (n_slots - 1);

	while (slots[i].hash > HASH_REMOVED)
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

static int rehash(struct hw_map *m, size_t n_slots)
{
	struct hw_map_slot *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (hw_map_each (m, i))
		*find_free(slots, n_slots, m->slots[i].hash) = m->slots[i];
	free(m->slots);
	m->slots = slots;
	m->n_slots = n_slots;
	m->n_removed = 0;
	return 0;
}

/* At most three quarters of the slots are ever used or removed. A rehash leaves at most half of
 * them used, so that the next one is at least a quarter of the table away, and also shrinks the
 * table. */
static int make_room(struct hw_map *m)
{
	size_t n_slots = MIN_SLOTS;

	if (m->n_slots > 0 && m->n_used + m->n_removed < m->n_slots / 4 * 3)
		return 0;
	while (n_slots / 2 <= m->n_used)
		n_slots *= 2;
	return rehash(m, n_slots);
}

int hw_map_put(struct hw_map *m, struct hw_str key, void *value, void **old)
{
	uint64_t hash = hw_map_hash(m, key);
	struct hw_map_slot *slot = find(m, hash, key);
	void *former = slot ? slot->value : NULL;

	if (!slot) {
		int r = make_room(m);

		if (r < 0)
			return r;
		slot = find_free(m->slots, m->n_slots, hash);
		if (slot->hash == HASH_REMOVED)
			m->n_removed--;
		m->n_used++;
	}
	/* a replaced entry takes the new key too: the old one may die with the old value */
	*slot = (struct hw_map_slot){.hash = hash, .key = key, .value = value};
	if (old)
		*old = former;
	return 0;
}

void *hw_map_remove(struct hw_map *m, struct hw_str key)
{
	struct hw_map_slot *slot = m->n_used > 0 ? find(m, hw_map_hash(m, key), key) : NULL;
	size_t mask = m->n_slots - 1;
	size_t i;
	void *value;

	if (!slot)
		return NULL;
	value = slot->value;
	i = (size_t)(slot - m->slots);
	*slot = (struct hw_map_slot){.hash = HASH_REMOVED};
	m->n_used--;
	m->n_removed++;
	/* no probe goes on from here if the next slot is empty: then this one and the removed ones
	 * before it may be empty too */
	if (m->slots[(i + 1) & mask].hash == HASH_EMPTY) {
		for (; m->slots[i].hash == HASH_REMOVED; i = (i - 1) & mask) {
			m->slots[i].hash = HASH_EMPTY;
			m->n_removed--;
		}
	}
	return value;
}
