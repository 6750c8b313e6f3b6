/* The memory of one Lua state: a mapped region of fixed size from which the state allocates
 * everything, so that its budget is the region's size and a killed state is unmapped without
 * looking at it. */
#pragma once

#include <stddef.h>

#include "base/compiler.h"

struct hw_lua_arena; /* lives at the start of its own region */

#define HW_LUA_ARENA_MIN (64u << 10)
#define HW_LUA_ARENA_MAX (1u << 30)

/** Reserves @bytes (rounded up to pages, kept within MIN and MAX); pages cost memory only once
 *  they are touched. NULL when the kernel has no room. It belongs to one thread at a time. */
struct hw_lua_arena *hw_lua_arena_create(size_t bytes);
/** Unmaps. What was allocated is gone, whatever state it was in. */
void hw_lua_arena_destroy(struct hw_lua_arena **arena);
/** The lua_Alloc of a state, @arena as its ud. @old_size is what was asked for @p before (any
 *  value when @p is NULL). Results are aligned to 8 bytes: Lua 5.4 asks for no more. Never grows
 *  the region, never calls libc's allocator. */
void *hw_lua_arena_alloc(void *arena, void *p, size_t old_size, size_t new_size);
/** Bytes in use, with what the blocks themselves cost. */
size_t hw_lua_arena_used(const struct hw_lua_arena *arena);
/** Walks every block and free list. NULL if all is as it must be, else what is wrong. For tests. */
const char *hw_lua_arena_check(const struct hw_lua_arena *arena);
