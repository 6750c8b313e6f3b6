#include "hook/crew.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct hw_crew {
	pthread_mutex_t lock;
	pthread_cond_t there_is_work;
	/* under the lock */
	struct hw_list waiting;
	unsigned n_waiting, n_idle, n_threads;
	bool ending;
	pthread_t threads[HW_CREW_THREADS];
};

struct hw_crew *hw_crew_create(void)
{
	struct hw_crew *crew = calloc(1, sizeof(*crew));

	if (!crew)
		return NULL;
	hw_list_init(&crew->waiting);
	if (pthread_mutex_init(&crew->lock, NULL) != 0) {
		free(crew);
		return NULL;
	}
	if (pthread_cond_init(&crew->there_is_work, NULL) != 0) {
		pthread_mutex_destroy(&crew->lock);
		free(crew);
		return NULL;
	}
	return crew;
}

void hw_crew_destroy(struct hw_crew **crew_in)
{
	struct hw_crew *crew = *crew_in;

	if (!crew)
		return;
	pthread_mutex_lock(&crew->lock);
	crew->ending = true;
	pthread_cond_broadcast(&crew->there_is_work);
	pthread_mutex_unlock(&crew->lock);
	for (unsigned i = 0; i < crew->n_threads; i++)
		pthread_join(crew->threads[i], NULL);
	pthread_cond_destroy(&crew->there_is_work);
	pthread_mutex_destroy(&crew->lock);
	free(crew);
	*crew_in = NULL;
}

static void *serve(void *arg)
{
	struct hw_crew *crew = arg;
	struct hw_list *node;

	pthread_setname_np(pthread_self(), "hw-crew");
	pthread_mutex_lock(&crew->lock);
	while (!crew->ending) {
		node = hw_list_pop(&crew->waiting);
		if (!node) {
			crew->n_idle++;
			pthread_cond_wait(&crew->there_is_work, &crew->lock);
			crew->n_idle--;
			continue;
		}
		crew->n_waiting--;
		pthread_mutex_unlock(&crew->lock);
		HW_CONTAINER_OF(node, struct hw_work, link)
			->run(HW_CONTAINER_OF(node, struct hw_work, link));
		pthread_mutex_lock(&crew->lock);
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

/* One more, if all are busy and there may be more. The process's signals are not their business. */
static void grow(struct hw_crew *crew)
{
	sigset_t all, before;

	if (crew->n_idle > crew->n_waiting || crew->n_threads == HW_CREW_THREADS)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&crew->threads[crew->n_threads], NULL, serve, crew) == 0)
		crew->n_threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

bool hw_crew_add(struct hw_crew *crew, struct hw_work *work)
{
	bool taken;

	pthread_mutex_lock(&crew->lock);
	grow(crew);
	taken = !crew->ending && crew->n_threads > 0 && crew->n_waiting < HW_CREW_QUEUE_MAX;
	if (taken) {
		hw_list_push(&crew->waiting, &work->link);
		crew->n_waiting++;
		pthread_cond_signal(&crew->there_is_work);
	}
	pthread_mutex_unlock(&crew->lock);
	return taken;
}

bool hw_crew_take_back(struct hw_crew *crew, struct hw_work *work)
{
	bool waits;

	pthread_mutex_lock(&crew->lock);
	waits = !hw_list_empty(&work->link);
	if (waits) {
		hw_list_remove(&work->link);
		crew->n_waiting--;
	}
	pthread_mutex_unlock(&crew->lock);
	return waits;
}
