#include "app/round.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "app/broker.h"

enum { LOOK_MS = 100 }; /* how often for a signal that ends the waiting */

struct hw_round_task {
	struct hw_task task;
	struct hw_round *round;
	struct hw_worker_thread *to;
};

void hw_round_unref(struct hw_round *round)
{
	if (atomic_fetch_sub_explicit(&round->n_refs, 1, memory_order_acq_rel) != 1)
		return;
	sem_destroy(&round->answered);
	free(round->tasks);
	round->free(round);
}

void hw_round_done(struct hw_round *round)
{
	atomic_fetch_add_explicit(&round->n_done, 1, memory_order_release);
	sem_post(&round->answered);
	hw_round_unref(round);
}

static void run(struct hw_task *task)
{
	struct hw_round_task *mine = HW_CONTAINER_OF(task, struct hw_round_task, task);

	mine->round->run(mine->round, mine->to);
}

bool hw_round_told_to_end(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

static void add_ms(struct timespec *t, long ms)
{
	t->tv_nsec += ms * 1000000;
	t->tv_sec += t->tv_nsec / 1000000000;
	t->tv_nsec %= 1000000000;
}

static bool before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static int wait_all(struct hw_round *round, unsigned n, unsigned wait_s, bool yields)
{
	struct timespec until, next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	until = next;
	until.tv_sec += wait_s;
	while (n > 0) {
		if (sem_clockwait(&round->answered, CLOCK_MONOTONIC, &next) == 0) {
			n--;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (yields && hw_round_told_to_end())
			return -EINTR;
		if (!before(&next, &until))
			return -ETIMEDOUT;
		add_ms(&next, LOOK_MS);
		if (before(&until, &next))
			next = until;
	}
	/* Whoever waited has seen all that the workers wrote. The semaphore says so too, but not to
	 * ThreadSanitizer, which does not know sem_clockwait. */
	(void)atomic_load_explicit(&round->n_done, memory_order_acquire);
	return 0;
}

int hw_round_go(struct hw_round *round, struct hw_broker *b, unsigned wait_s, bool yields)
{
	int r;

	atomic_init(&round->n_refs, b->n_workers + 1);
	sem_init(&round->answered, 0, 0);
	round->tasks = calloc(b->n_workers, sizeof(*round->tasks));
	if (!round->tasks) {
		atomic_store(&round->n_refs, 1);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < b->n_workers; i++) {
		round->tasks[i] = (struct hw_round_task){
			.task.run = run, .round = round, .to = &b->workers[i]};
		hw_loop_post(b->workers[i].loop, &round->tasks[i].task);
	}
	r = wait_all(round, b->n_workers, wait_s, yields);
	atomic_store(&round->given_up, true);
	return r;
}
