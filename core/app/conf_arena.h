/* Memory that is given back all at once: what one configuration file became. Failure is remembered,
 * so that a reader can go on and ask once, at the end. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct hw_conf_arena {
	struct hw_conf_block *blocks;
	bool failed;
};

void hw_conf_arena_init(struct hw_conf_arena *a);
void hw_conf_arena_fini(struct hw_conf_arena *a);
/** Zeroed, aligned for anything; NULL when out of memory (failed is then set). */
void *hw_conf_arena_alloc(struct hw_conf_arena *a, size_t size);
/** An array of @n, as alloc; never NULL for n 0 unless out of memory. */
void *hw_conf_arena_array(struct hw_conf_arena *a, size_t n, size_t size);
/** A zero-terminated copy; NULL when out of memory. */
char *hw_conf_arena_dup(struct hw_conf_arena *a, struct hw_str s);
