#include "hub/generation.h"

#include <string.h>

void hw_generation_unref(struct hw_generation **generation)
{
	struct hw_generation *g = *generation;

	*generation = NULL;
	if (g && atomic_fetch_sub_explicit(&g->n_refs, 1, memory_order_acq_rel) == 1)
		g->free(g);
}

static int compare_id(const char *id, struct hw_str wanted)
{
	size_t len = strlen(id);
	int r = memcmp(id, wanted.p, len < wanted.len ? len : wanted.len);

	return r ? r : len < wanted.len ? -1 : len > wanted.len;
}

static const struct hw_tenant_rules *find(const struct hw_generation *g, struct hw_str id)
{
	size_t low = 0, high = g->n_rules;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = compare_id(g->rules[middle].id, id);

		if (r == 0)
			return &g->rules[middle];
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct hw_tenant_rules *hw_generation_rules(
	const struct hw_generation *g, struct hw_str tenant_id)
{
	const struct hw_tenant_rules *own = find(g, tenant_id);

	return own ? own : find(g, HW_STR("*"));
}
