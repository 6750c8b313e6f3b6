/* Open-addressing hash map from byte strings to pointers. Keys are borrowed: they must live as long
 * as their entry (point into the value). A caller that knows the hash already may give it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/str.h"

struct hw_map_slot {
	uint64_t hash; /* 0 = empty, 1 = removed; real hashes are moved off these two */
	struct hw_str key;
	void *value;
};

struct hw_map {
	struct hw_map_slot *slots;
	size_t n_slots; /* power of two, or 0 before the first put */
	size_t n_used;
	size_t n_removed;
	struct hw_hash_key key;
};

void hw_map_init(struct hw_map *m, const struct hw_hash_key *key);
void hw_map_fini(struct hw_map *m); /* frees the table, not the values */
uint64_t hw_map_hash(const struct hw_map *m, struct hw_str key);
void *hw_map_get(const struct hw_map *m, struct hw_str key); /* NULL: not there */
void *hw_map_get_hashed(const struct hw_map *m, uint64_t hash, struct hw_str key);
/** Puts or replaces; @value is not NULL. The former value goes to *@old (may be NULL).
 *  0, or -ENOMEM with the map unchanged. */
HW_MUST_CHECK int hw_map_put(struct hw_map *m, struct hw_str key, void *value, void **old);
void *hw_map_remove(struct hw_map *m, struct hw_str key); /* the value, or NULL */
static inline size_t hw_map_count(const struct hw_map *m)
{
	return m->n_used;
}
/* for (hw_map_each(m, i)) { m->slots[i].value … }
 * Removing the current entry is allowed, putting is not. */
static inline size_t hw_map_next(const struct hw_map *m, size_t i)
{
	while (i < m->n_slots && m->slots[i].hash < 2)
		i++;
	return i;
}
/* clang-format off */
#define hw_map_each(m, i) \
	size_t i = hw_map_next((m), 0); i < (m)->n_slots; i = hw_map_next((m), i + 1)
/* clang-format on */
