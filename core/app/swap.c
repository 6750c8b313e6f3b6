#include <errno.h>
#include <stdlib.h>

#include "app/broker.h"
#include "app/round.h"

/* A worker answers within a turn of its loop. One that does not is held up by a plugin; it takes
 * the generation when it comes back, and neither signals nor the other workers wait for it. */
enum { ANSWER_S = 10 };

struct swap {
	struct hw_round round;
	struct hw_generation *generation;
	_Atomic(const char *) refused; /* see hw_worker_swap; set before the result */
	atomic_int result;             /* 0, or the errno of a worker that keeps what it has */
};

static void swap_free(struct hw_round *round)
{
	struct swap *swap = HW_CONTAINER_OF(round, struct swap, round);

	hw_generation_unref(&swap->generation);
	free(swap);
}

static void run_swap(struct hw_round *round, struct hw_worker_thread *to)
{
	struct swap *swap = HW_CONTAINER_OF(round, struct swap, round);
	const char *refused;
	int r = hw_worker_swap(&to->worker, swap->generation, &refused);

	if (r) {
		atomic_store(&swap->refused, refused);
		atomic_store(&swap->result, r);
		if (atomic_load(&round->given_up))
			hw_log(to->broker->log, HW_LOG_ERROR, "reload",
				"a worker came back too late and cannot start the new hooks: it "
				"decides as before, unlike the others; reload again",
				HW_F_UINT("worker", to->worker.index));
	} else {
		hw_edge_settings_changed(&to->edge);
	}
	hw_round_done(round);
}

int hw_broker_swap(struct hw_broker *b, struct hw_generation *g, const char **refused)
{
	struct swap *swap = calloc(1, sizeof(*swap));
	int r, result;

	*refused = NULL;
	if (!swap)
		return -ENOMEM;
	swap->round.run = run_swap;
	swap->round.free = swap_free;
	swap->generation = hw_generation_ref(g);
	r = hw_round_go(&swap->round, b, ANSWER_S, false);
	/* one that refuses counts for more than one that does not answer */
	result = atomic_load(&swap->result);
	*refused = atomic_load(&swap->refused);
	hw_round_unref(&swap->round);
	return result ? result : r;
}
