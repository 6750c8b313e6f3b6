#include "hub/pins.h"

#include <stdlib.h>

#include "hub/hub_internal.h"

enum { MAX_LEFT = 3 }; /* generations that live beside the one in force */

void hw_pins_take(struct hw_pins *pins, struct hw_hub *hub)
{
	if (pins->global)
		return;
	pins->global = hw_hook_bench_ref(hub->worker->global);
	pins->tenant = hub->bench ? hw_hook_bench_ref(hub->bench) : NULL;
	pins->policy = hub->policy;
}

void hw_pins_copy(struct hw_pins *pins, const struct hw_pins *from)
{
	if (!from->global)
		return;
	*pins = *from;
	hw_hook_bench_ref(pins->global);
	if (pins->tenant)
		hw_hook_bench_ref(pins->tenant);
}

void hw_pins_drop(struct hw_pins *pins)
{
	hw_hook_bench_unref(&pins->global);
	hw_hook_bench_unref(&pins->tenant);
}

/* ---- benches that a swap has left ---- */

struct left_bench {
	struct hw_list link;
	struct hw_hook_bench *bench;
	unsigned generation; /* the last one that it decided for */
};

static void end(struct left_bench *left)
{
	hw_list_remove(&left->link);
	hw_hook_bench_destroy(&left->bench);
	free(left);
}

void hw_bench_leave(struct hw_worker *w, struct hw_hook_bench **bench, unsigned generation)
{
	struct left_bench *left;

	if (!*bench)
		return;
	left = hw_hook_bench_idle(*bench) ? NULL : malloc(sizeof(*left));
	if (!left) {
		hw_hook_bench_destroy(bench);
		return;
	}
	left->bench = *bench;
	left->generation = generation;
	*bench = NULL;
	hw_list_push(&w->left_benches, &left->link);
}

void hw_left_benches_reap(struct hw_worker *w)
{
	hw_list_each_safe (node, &w->left_benches) {
		struct left_bench *left = HW_CONTAINER_OF(node, struct left_bench, link);

		if (hw_hook_bench_idle(left->bench))
			end(left);
	}
}

static unsigned count_generations(const struct hw_worker *w)
{
	unsigned n = 0, last = 0;

	hw_list_each (node, &w->left_benches) {
		const struct left_bench *left = HW_CONTAINER_OF(node, struct left_bench, link);

		n += n == 0 || left->generation != last;
		last = left->generation;
	}
	return n;
}

/* Ending one may begin or end what is asked of others: the list is looked at anew each time. */
void hw_left_benches_bound(struct hw_worker *w)
{
	hw_left_benches_reap(w);
	while (count_generations(w) > MAX_LEFT)
		end(HW_CONTAINER_OF(w->left_benches.next, struct left_bench, link));
}

void hw_left_benches_end(struct hw_worker *w)
{
	while (!hw_list_empty(&w->left_benches))
		end(HW_CONTAINER_OF(w->left_benches.next, struct left_bench, link));
}
