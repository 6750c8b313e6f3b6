#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "app/broker.h"

/* A worker answers within a turn of its loop. One that does not is held up by a plugin; it takes
 * the generation when it comes back, and neither signals nor the other workers wait for it. */
enum { ANSWER_S = 10 };

/* Shared by the control thread and the tasks that it posted; whoever is last frees it. */
struct swap {
	atomic_uint n_refs;
	struct hw_generation *generation;
	_Atomic(const char *) refused; /* see hw_worker_swap; set before the result */
	atomic_int result;             /* 0, or the errno of a worker that keeps what it has */
	atomic_bool given_up;          /* nobody looks at the result any more */
	sem_t answered;
	struct swap_task {
		struct hw_task task;
		struct swap *swap;
		struct hw_worker_thread *to;
	} tasks[];
};

static void swap_unref(struct swap *swap)
{
	if (atomic_fetch_sub_explicit(&swap->n_refs, 1, memory_order_acq_rel) != 1)
		return;
	hw_generation_unref(&swap->generation);
	sem_destroy(&swap->answered);
	free(swap);
}

static void run_swap(struct hw_task *task)
{
	struct swap_task *mine = HW_CONTAINER_OF(task, struct swap_task, task);
	struct swap *swap = mine->swap;
	const char *refused;
	int r = hw_worker_swap(&mine->to->worker, swap->generation, &refused);

	if (r) {
		atomic_store(&swap->refused, refused);
		atomic_store(&swap->result, r);
		if (atomic_load(&swap->given_up))
			hw_log(mine->to->broker->log, HW_LOG_ERROR, "reload",
				"a worker came back too late and cannot start the new hooks: it "
				"decides as before, unlike the others; reload again",
				HW_F_UINT("worker", mine->to->worker.index));
	} else {
		hw_edge_settings_changed(&mine->to->edge);
	}
	sem_post(&swap->answered);
	swap_unref(swap);
}

/* One that refuses counts for more than one that does not answer. */
static int wait_all(struct swap *swap, unsigned n)
{
	struct timespec until;
	int r, timeout = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ANSWER_S;
	while (n > 0 && !timeout) {
		if (sem_clockwait(&swap->answered, CLOCK_MONOTONIC, &until) == 0)
			n--;
		else if (errno != EINTR)
			timeout = -errno;
	}
	atomic_store(&swap->given_up, true);
	r = atomic_load(&swap->result);
	return r ? r : timeout;
}

int hw_broker_swap(struct hw_broker *b, struct hw_generation *g, const char **refused)
{
	struct swap *swap = calloc(1, sizeof(*swap) + b->n_workers * sizeof(swap->tasks[0]));
	int r;

	*refused = NULL;
	if (!swap)
		return -ENOMEM;
	atomic_init(&swap->n_refs, b->n_workers + 1);
	swap->generation = hw_generation_ref(g);
	sem_init(&swap->answered, 0, 0);
	for (unsigned i = 0; i < b->n_workers; i++) {
		swap->tasks[i] = (struct swap_task){
			.task.run = run_swap, .swap = swap, .to = &b->workers[i]};
		hw_loop_post(b->workers[i].loop, &swap->tasks[i].task);
	}
	r = wait_all(swap, b->n_workers);
	*refused = atomic_load(&swap->refused);
	swap_unref(swap);
	return r;
}
