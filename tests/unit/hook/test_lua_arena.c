/* The memory of a Lua state: a fixed region, blocks that join again, and a price that is paid
 * only for what is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "hook/lua_arena.h"

static void *take(struct hw_lua_arena *a, size_t n)
{
	return hw_lua_arena_alloc(a, NULL, 0, n);
}

static void give(struct hw_lua_arena *a, void *p, size_t n)
{
	assert_null(hw_lua_arena_alloc(a, p, n, 0));
}

static void assert_sound(struct hw_lua_arena *a)
{
	const char *wrong = hw_lua_arena_check(a);

	if (wrong)
		fail_msg("%s", wrong);
}

static void a_fresh_arena_is_sound_and_touches_two_pages_at_most(void **state)
{
	size_t bytes = 16u << 20, n_resident = 0;
	struct hw_lua_arena *a = hw_lua_arena_create(bytes);
	unsigned char *pages = calloc(bytes / 4096, 1);

	(void)state;
	assert_non_null(a);
	assert_sound(a);
	assert_int_equal(mincore(a, bytes, pages), 0);
	for (size_t i = 0; i < bytes / 4096; i++)
		n_resident += pages[i] & 1;
	assert_true(n_resident <= 2);
	free(pages);
	hw_lua_arena_destroy(&a);
	assert_null(a);
	hw_lua_arena_destroy(&a);
}

static void what_is_freed_joins_and_can_be_had_in_one_piece(void **state)
{
	struct hw_lua_arena *a = hw_lua_arena_create(1u << 20);
	void *blocks[4096];
	size_t n = 0, used = hw_lua_arena_used(a);

	(void)state;
	for (; n < 4096 && (blocks[n] = take(a, 300)); n++)
		memset(blocks[n], 1, 300);
	assert_in_range(n, 3000, 3500);
	assert_null(take(a, 300));
	assert_sound(a);
	for (size_t i = 0; i < n; i += 2)
		give(a, blocks[i], 300);
	assert_sound(a);
	for (size_t i = 1; i < n; i += 2)
		give(a, blocks[i], 300);
	assert_sound(a);
	assert_int_equal(hw_lua_arena_used(a), used);
	blocks[0] = take(a, 1000000);
	assert_non_null(blocks[0]);
	give(a, blocks[0], 1000000);
	hw_lua_arena_destroy(&a);
}

static void more_than_the_region_is_refused_and_nothing_changes(void **state)
{
	struct hw_lua_arena *a = hw_lua_arena_create(1u << 20);
	char *p = take(a, 100);

	(void)state;
	memset(p, 7, 100);
	assert_null(take(a, 1u << 20));
	assert_null(take(a, (size_t)1 << 40));
	assert_null(take(a, SIZE_MAX));
	assert_null(hw_lua_arena_alloc(a, p, 100, SIZE_MAX - 100));
	assert_null(hw_lua_arena_alloc(a, p, 100, 1u << 20));
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 7);
	assert_sound(a);
	hw_lua_arena_destroy(&a);
}

static void a_block_grows_in_place_when_nothing_is_behind_it(void **state)
{
	struct hw_lua_arena *a = hw_lua_arena_create(1u << 20);
	char *p = take(a, 16), *q;

	(void)state;
	for (size_t n = 16; n < 500000; n *= 2) {
		q = hw_lua_arena_alloc(a, p, n, n * 2);
		assert_ptr_equal(q, p);
		assert_sound(a);
	}
	q = hw_lua_arena_alloc(a, p, 524288, 24);
	assert_ptr_equal(q, p);
	assert_sound(a);
	assert_non_null(take(a, 900000));
	hw_lua_arena_destroy(&a);
}

static void sizes_are_kept_within_the_limits(void **state)
{
	struct hw_lua_arena *a = hw_lua_arena_create(0);

	(void)state;
	assert_non_null(take(a, HW_LUA_ARENA_MIN / 2));
	assert_null(take(a, HW_LUA_ARENA_MIN));
	hw_lua_arena_destroy(&a);
	a = hw_lua_arena_create(SIZE_MAX / 2);
	assert_non_null(take(a, HW_LUA_ARENA_MAX / 2));
	assert_null(take(a, HW_LUA_ARENA_MAX));
	hw_lua_arena_destroy(&a);
}

/* ---- a long random life, with a shadow of what every block must hold ---- */

#define N_LIVE 600

struct live {
	unsigned char *p;
	size_t n;
	unsigned char fill;
};

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static size_t random_size(uint32_t *seed)
{
	switch (next_random(seed) % 10) {
	case 0:
		return 1 + next_random(seed) % 20000;
	case 1:
	case 2:
		return 1 + next_random(seed) % 1500;
	default:
		return 1 + next_random(seed) % 120;
	}
}

static void assert_filled(const struct live *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->p[i] != l->fill)
			fail_msg("byte %zu of a block of %zu was overwritten", i, l->n);
	}
}

static void step(struct hw_lua_arena *a, struct live *l, uint32_t *seed)
{
	size_t n = next_random(seed) % 3 == 0 ? 0 : random_size(seed), kept;
	unsigned char *p;

	if (l->p)
		assert_filled(l);
	kept = n < l->n ? n : l->n;
	p = hw_lua_arena_alloc(a, l->p, l->n, n);
	if (n > 0 && !p)
		return; /* full: the old block stands */
	if (n > 0)
		assert_int_equal((uintptr_t)p % 8, 0);
	for (size_t i = 0; i < kept; i++)
		assert_int_equal(p[i], l->fill);
	l->p = p;
	l->n = n;
	l->fill = (unsigned char)next_random(seed);
	if (n > 0)
		memset(p, l->fill, n);
}

static void blocks_keep_their_bytes_through_any_sequence(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 4; seed++) {
		struct hw_lua_arena *a = hw_lua_arena_create(seed % 2 ? 256u << 10 : 4u << 20);
		size_t used = hw_lua_arena_used(a);
		struct live live[N_LIVE] = {{0}};
		uint32_t random = seed;

		for (int i = 0; i < 60000; i++) {
			step(a, &live[next_random(&random) % N_LIVE], &random);
			if (i % 500 == 0)
				assert_sound(a);
		}
		for (int i = 0; i < N_LIVE; i++) {
			if (live[i].p) {
				assert_filled(&live[i]);
				give(a, live[i].p, live[i].n);
			}
		}
		assert_sound(a);
		assert_int_equal(hw_lua_arena_used(a), used);
		hw_lua_arena_destroy(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_arena_is_sound_and_touches_two_pages_at_most),
		cmocka_unit_test(what_is_freed_joins_and_can_be_had_in_one_piece),
		cmocka_unit_test(more_than_the_region_is_refused_and_nothing_changes),
		cmocka_unit_test(a_block_grows_in_place_when_nothing_is_behind_it),
		cmocka_unit_test(sizes_are_kept_within_the_limits),
		cmocka_unit_test(blocks_keep_their_bytes_through_any_sequence),
	};

	return cmocka_run_group_tests_name("hook.lua_arena", tests, NULL, NULL);
}
