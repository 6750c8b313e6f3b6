#include "map.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_FIRST = 64 };

/* ---- SipHash-1-3 (Aumasson and Bernstein): short and keyed ---- */

struct sip {
	uint64_t a, b, c, d;
};

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(struct sip *s)
{
	s->a += s->b;
	s->b = rotate(s->b, 13) ^ s->a;
	s->a = rotate(s->a, 32);
	s->c += s->d;
	s->d = rotate(s->d, 16) ^ s->c;
	s->a += s->d;
	s->d = rotate(s->d, 21) ^ s->a;
	s->c += s->b;
	s->b = rotate(s->b, 17) ^ s->c;
	s->c = rotate(s->c, 32);
}

static void sip_word(struct sip *s, uint64_t word)
{
	s->d ^= word;
	sip_round(s);
	s->a ^= word;
}

uint64_t map_hash(const struct map *map, uint64_t scope, const char *p, size_t len)
{
	struct sip s = {map->key[0] ^ UINT64_C(0x736f6d6570736575),
		map->key[1] ^ UINT64_C(0x646f72616e646f6d),
		map->key[0] ^ UINT64_C(0x6c7967656e657261),
		map->key[1] ^ UINT64_C(0x7465646279746573)};
	uint64_t word;

	sip_word(&s, scope);
	for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sip_word(&s, word);
	}
	word = (uint64_t)len << 56;
	for (size_t i = 0; i < len; i++)
		word |= (uint64_t)(unsigned char)p[i] << (8 * i);
	sip_word(&s, word);
	s.c ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(&s);
	return s.a ^ s.b ^ s.c ^ s.d;
}

/* ---- the table ---- */

static struct map_node *from(struct map_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct map_node *map_first(const struct map *map, uint64_t hash)
{
	return map->n_slots ? from(map->slots[hash & (map->n_slots - 1)], hash) : NULL;
}

struct map_node *map_next(const struct map_node *node)
{
	return from(node->next, node->hash);
}

static void put(struct map *map, struct map_node *node)
{
	struct map_node **slot = &map->slots[node->hash & (map->n_slots - 1)];

	node->next = *slot;
	*slot = node;
}

static int grow(struct map *map)
{
	struct map old = *map;
	size_t n_slots = old.n_slots ? 2 * old.n_slots : SLOTS_FIRST;
	struct map_node **slots = calloc(n_slots, sizeof(struct map_node *));

	if (!slots)
		return -1;
	map->slots = slots;
	map->n_slots = n_slots;
	for (size_t i = 0; i < old.n_slots; i++) {
		struct map_node *node = old.slots[i], *next;

		for (; node; node = next) {
			next = node->next;
			put(map, node);
		}
	}
	free(old.slots);
	return 0;
}

int map_add(struct map *map, struct map_node *node, uint64_t hash)
{
	if (map->n == map->n_slots && grow(map))
		return -1;
	node->hash = hash;
	put(map, node);
	map->n++;
	return 0;
}

void map_clear(struct map *map, void (*drop)(struct map_node *node))
{
	for (size_t i = 0; i < map->n_slots && map->n; i++) {
		struct map_node *node = map->slots[i], *next;

		map->slots[i] = NULL;
		for (; node; node = next) {
			next = node->next;
			if (drop)
				drop(node);
			map->n--;
		}
	}
}

void map_fini(struct map *map, void (*drop)(struct map_node *node))
{
	map_clear(map, drop);
	free(map->slots);
	map->slots = NULL;
	map->n_slots = 0;
}
