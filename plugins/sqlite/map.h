/* A hash table of what carries a map_node, for names that clients choose: the hash is keyed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct map_node {
	struct map_node *next;
	uint64_t hash;
};

struct map {
	struct map_node **slots;
	size_t n, n_slots; /* a power of two, or 0 */
	uint64_t key[2];   /* random, set by the owner */
};

#define MAP_OF(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

/** Of a name and of what it belongs to. */
uint64_t map_hash(const struct map *map, uint64_t scope, const char *p, size_t len);
/** The first node with this hash, NULL: none; map_next: the next one. The caller compares names. */
struct map_node *map_first(const struct map *map, uint64_t hash);
struct map_node *map_next(const struct map_node *node);
/** 0, or -1: out of memory. */
int map_add(struct map *map, struct map_node *node, uint64_t hash);
/** Takes all out, each to @drop (NULL: they stay as they are). */
void map_clear(struct map *map, void (*drop)(struct map_node *node));
/** map_clear, and gives the memory back. */
void map_fini(struct map *map, void (*drop)(struct map_node *node));
