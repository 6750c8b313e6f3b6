#include "hook/lua_arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Two-level segregated fit: free blocks hang in lists by size, two bitmaps find a list that
 * surely fits in a few instructions, and neighbours that become free are joined at once. A list
 * holds the sizes of one eighth of a power of two. (Plain size classes without joining are a
 * little faster, but a script that once filled the arena with small objects could then never
 * again get a large one.)
 *
 *   region:  arena | block | block | … | block
 *   block:   size and flag (4) | size of the block before (4) | payload
 *   free:    size and flag (4) | size of the block before (4) | next (4) | previous (4) | …
 *
 * Sizes and links are 32-bit numbers of bytes, links counted from the start of the region; 0 is
 * no block. A fresh mapping is zeroes, and zeroes are an arena without free blocks: making one
 * touches a page, not the region. */

#define ALIGN 8u
#define HEAD 8u
#define MIN_BLOCK 16u /* a head and two links */
#define FREE 1u       /* bit of block.size */

#define SL_BITS 3u
#define SL_COUNT (1u << SL_BITS)
#define FL_SHIFT 6u /* below 64 bytes every multiple of 8 has its own list */
#define FL_COUNT (31u - FL_SHIFT + 1u)

struct block {
	uint32_t size; /* with the head; bit 0: free */
	uint32_t before;
	uint32_t next, prev; /* while free */
};

struct hw_lua_arena {
	uint32_t bytes; /* of the region */
	uint32_t used;
	uint32_t first;
	uint32_t fl_map;
	uint8_t sl_map[FL_COUNT];
	uint32_t heads[FL_COUNT][SL_COUNT];
};

static struct block *block_at(const struct hw_lua_arena *a, uint32_t at)
{
	return (struct block *)(void *)((char *)(uintptr_t)a + at);
}

static uint32_t place_of(const struct hw_lua_arena *a, const struct block *b)
{
	return (uint32_t)((const char *)b - (const char *)a);
}

static uint32_t size_of(const struct block *b)
{
	return b->size & ~FREE;
}

/* NULL behind the last one: no mark stands there, since writing it would touch the region's far
 * end. */
static struct block *after(const struct hw_lua_arena *a, struct block *b)
{
	uint32_t at = place_of(a, b) + size_of(b);

	return at < a->bytes ? block_at(a, at) : NULL;
}

static struct block *free_after(const struct hw_lua_arena *a, struct block *b)
{
	struct block *next = after(a, b);

	return next && (next->size & FREE) ? next : NULL;
}

/* Tells the block behind @b how large @b has become. */
static void tell_after(const struct hw_lua_arena *a, struct block *b)
{
	struct block *next = after(a, b);

	if (next)
		next->before = size_of(b);
}

static struct block *block_of(void *payload)
{
	return (struct block *)(void *)((char *)payload - HEAD);
}

static void *payload_of(struct block *b)
{
	return (char *)b + HEAD;
}

/* The list where a free block of @size belongs. */
static void list_of(uint32_t size, uint32_t *fl, uint32_t *sl)
{
	uint32_t log;

	if (size < (1u << FL_SHIFT)) {
		*fl = 0;
		*sl = size / ALIGN;
		return;
	}
	log = 31u - (uint32_t)__builtin_clz(size);
	*fl = log - FL_SHIFT + 1;
	*sl = (size >> (log - SL_BITS)) & (SL_COUNT - 1);
}

static void link_free(struct hw_lua_arena *a, struct block *b)
{
	uint32_t fl, sl, at = place_of(a, b), next;

	list_of(size_of(b), &fl, &sl);
	next = a->heads[fl][sl];
	b->size |= FREE;
	b->next = next;
	b->prev = 0;
	if (next)
		block_at(a, next)->prev = at;
	a->heads[fl][sl] = at;
	a->fl_map |= 1u << fl;
	a->sl_map[fl] |= (uint8_t)(1u << sl);
}

static void unlink_free(struct hw_lua_arena *a, struct block *b)
{
	uint32_t fl, sl;

	if (b->next)
		block_at(a, b->next)->prev = b->prev;
	if (b->prev) {
		block_at(a, b->prev)->next = b->next;
	} else {
		list_of(size_of(b), &fl, &sl);
		a->heads[fl][sl] = b->next;
		if (!b->next) {
			a->sl_map[fl] &= (uint8_t) ~(1u << sl);
			if (!a->sl_map[fl])
				a->fl_map &= ~(1u << fl);
		}
	}
	b->size &= ~FREE;
}

/* A block from the first list all of whose blocks suffice; when there is none, one look at the
 * head of the list that @size itself belongs to, which may suffice too (the last large hole of a
 * nearly full arena). */
static struct block *find_free(struct hw_lua_arena *a, uint32_t size)
{
	uint32_t fl, sl, own_fl, own_sl, map, rounded = size;

	if (size >= (1u << FL_SHIFT))
		rounded += (1u << (31u - (uint32_t)__builtin_clz(size) - SL_BITS)) - 1;
	list_of(rounded, &fl, &sl);
	if (fl < FL_COUNT) {
		map = a->sl_map[fl] & ~((1u << sl) - 1);
		if (!map) {
			uint32_t above = a->fl_map & ~((2u << fl) - 1);

			if (above) {
				fl = (uint32_t)__builtin_ctz(above);
				map = a->sl_map[fl];
			}
		}
		if (map)
			return block_at(a, a->heads[fl][__builtin_ctz(map)]);
	}
	list_of(size, &own_fl, &own_sl);
	for (uint32_t at = a->heads[own_fl][own_sl], n = 0; at && n < 8; n++) {
		struct block *b = block_at(a, at);

		if (size_of(b) >= size)
			return b;
		at = b->next;
	}
	return NULL;
}

/* Cuts what @b has beyond @size off and gives it back, joined with a free block behind it. @b is
 * in use. */
static void trim(struct hw_lua_arena *a, struct block *b, uint32_t size)
{
	uint32_t rest = size_of(b) - size;
	struct block *tail, *next;

	if (rest < MIN_BLOCK)
		return;
	next = free_after(a, b);
	if (next) {
		unlink_free(a, next);
		rest += size_of(next);
	}
	b->size = size;
	tail = after(a, b);
	tail->size = rest;
	tail->before = size;
	tell_after(a, tail);
	link_free(a, tail);
}

static uint32_t block_size(size_t payload)
{
	uint32_t size = ((uint32_t)payload + HEAD + ALIGN - 1) & ~(ALIGN - 1);

	return size < MIN_BLOCK ? MIN_BLOCK : size;
}

static void *take(struct hw_lua_arena *a, size_t want)
{
	uint32_t size;
	struct block *b;

	if (want > a->bytes)
		return NULL;
	size = block_size(want);
	b = find_free(a, size);
	if (!b)
		return NULL;
	unlink_free(a, b);
	trim(a, b, size);
	a->used += size_of(b);
	return payload_of(b);
}

static void give(struct hw_lua_arena *a, void *p)
{
	struct block *b = block_of(p), *next = free_after(a, b);

	a->used -= size_of(b);
	if (next) {
		unlink_free(a, next);
		b->size += size_of(next);
	}
	if (b->before) {
		struct block *before = (struct block *)(void *)((char *)b - b->before);

		if (before->size & FREE) {
			unlink_free(a, before);
			before->size += size_of(b);
			b = before;
		}
	}
	tell_after(a, b);
	link_free(a, b);
}

/* In place when it shrinks or when what is free behind it suffices. */
static bool resize_in_place(struct hw_lua_arena *a, struct block *b, uint32_t size)
{
	uint32_t old = size_of(b);

	if (size > old) {
		struct block *next = free_after(a, b);

		if (!next || old + size_of(next) < size)
			return false;
		unlink_free(a, next);
		b->size = old + size_of(next);
		tell_after(a, b);
	}
	trim(a, b, size);
	a->used += size_of(b) - old;
	return true;
}

void *hw_lua_arena_alloc(void *arena, void *p, size_t old_size, size_t new_size)
{
	struct hw_lua_arena *a = arena;
	void *fresh;

	if (new_size == 0) {
		if (p)
			give(a, p);
		return NULL;
	}
	if (!p)
		return take(a, new_size);
	if (new_size > a->bytes)
		return NULL;
	if (resize_in_place(a, block_of(p), block_size(new_size)))
		return p;
	fresh = take(a, new_size);
	if (!fresh)
		return NULL;
	memcpy(fresh, p, old_size < new_size ? old_size : new_size);
	give(a, p);
	return fresh;
}

struct hw_lua_arena *hw_lua_arena_create(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct hw_lua_arena *a;
	struct block *b;
	uint32_t first = (sizeof(*a) + ALIGN - 1) & ~(ALIGN - 1);

	if (bytes < HW_LUA_ARENA_MIN)
		bytes = HW_LUA_ARENA_MIN;
	if (bytes > HW_LUA_ARENA_MAX)
		bytes = HW_LUA_ARENA_MAX;
	bytes = (bytes + page - 1) / page * page;
	a = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1, 0);
	if (a == MAP_FAILED)
		return NULL;
	/* Where huge pages are the default, the first byte would cost 2 MiB a tenant. */
	madvise(a, bytes, MADV_NOHUGEPAGE);
	a->bytes = (uint32_t)bytes;
	a->first = first;
	b = block_at(a, first);
	b->size = (uint32_t)bytes - first;
	link_free(a, b);
	return a;
}

void hw_lua_arena_destroy(struct hw_lua_arena **arena)
{
	if (!*arena)
		return;
	munmap(*arena, (*arena)->bytes);
	*arena = NULL;
}

size_t hw_lua_arena_used(const struct hw_lua_arena *arena)
{
	return arena->used;
}

static const char *check_blocks(const struct hw_lua_arena *a, uint32_t *n_free)
{
	uint32_t at = a->first, before = 0, used = 0;
	bool was_free = false;

	*n_free = 0;
	while (at < a->bytes) {
		struct block *b = block_at(a, at);

		if (size_of(b) < MIN_BLOCK || size_of(b) % ALIGN)
			return "a block has an impossible size";
		if (b->before != before)
			return "a block does not know the one before it";
		if (was_free && (b->size & FREE))
			return "two free neighbours were not joined";
		was_free = b->size & FREE;
		*n_free += was_free;
		used += was_free ? 0 : size_of(b);
		before = size_of(b);
		at += before;
	}
	if (at != a->bytes)
		return "the blocks do not end where the region does";
	return used == a->used ? NULL : "the count of used bytes is wrong";
}

const char *hw_lua_arena_check(const struct hw_lua_arena *a)
{
	uint32_t n_free, n_linked = 0;
	const char *wrong = check_blocks(a, &n_free);

	if (wrong)
		return wrong;
	for (uint32_t fl = 0; fl < FL_COUNT; fl++) {
		for (uint32_t sl = 0; sl < SL_COUNT; sl++) {
			uint32_t own_fl, own_sl, before = 0;

			if (!(a->sl_map[fl] & 1u << sl) != !a->heads[fl][sl])
				return "a bitmap and its lists disagree";
			for (uint32_t at = a->heads[fl][sl]; at; at = block_at(a, at)->next) {
				struct block *b = block_at(a, at);

				list_of(size_of(b), &own_fl, &own_sl);
				if (!(b->size & FREE) || own_fl != fl || own_sl != sl)
					return "a block hangs in the wrong list";
				if (b->prev != before)
					return "a list is broken";
				before = at;
				n_linked++;
			}
		}
		if (!(a->fl_map & 1u << fl) != !a->sl_map[fl])
			return "the two bitmaps disagree";
	}
	return n_linked == n_free ? NULL : "a free block is in no list";
}
