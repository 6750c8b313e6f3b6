#include "app/conf_arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 8192

/* 0..used given out | used..size free */
struct hw_conf_block {
	struct hw_conf_block *next;
	size_t used;
	size_t size;
	max_align_t data[];
};

void hw_conf_arena_init(struct hw_conf_arena *a)
{
	*a = (struct hw_conf_arena){0};
}

void hw_conf_arena_fini(struct hw_conf_arena *a)
{
	struct hw_conf_block *next;

	for (struct hw_conf_block *b = a->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	hw_conf_arena_init(a);
}

void *hw_conf_arena_alloc(struct hw_conf_arena *a, size_t size)
{
	struct hw_conf_block *b = a->blocks;
	size_t block = BLOCK_SIZE;
	void *p;

	if (size > SIZE_MAX / 2) {
		a->failed = true;
		return NULL;
	}
	size = (size + sizeof(max_align_t)) & ~(sizeof(max_align_t) - 1); /* never 0 */
	if (!b || b->size - b->used < size) {
		if (block < size)
			block = size;
		b = calloc(1, sizeof(*b) + block);
		if (!b) {
			a->failed = true;
			return NULL;
		}
		b->size = block;
		b->next = a->blocks;
		a->blocks = b;
	}
	p = (char *)b->data + b->used;
	b->used += size;
	return p;
}

void *hw_conf_arena_array(struct hw_conf_arena *a, size_t n, size_t size)
{
	if (n > SIZE_MAX / 2 / size) {
		a->failed = true;
		return NULL;
	}
	return hw_conf_arena_alloc(a, n * size);
}

char *hw_conf_arena_dup(struct hw_conf_arena *a, struct hw_str s)
{
	char *p = hw_conf_arena_alloc(a, s.len + 1);

	if (p && s.len > 0)
		memcpy(p, s.p, s.len);
	return p;
}
