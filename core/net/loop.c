#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include "net/net_internal.h"

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	(void)arg;
	(void)!read(fd, &count, sizeof(count));
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg; /* that the loop woke up is all that is wanted: timers are advanced every turn */
}

/* Callbacks run inside event_base_loop, maybe long after the clock was read: the first of them
 * reads it. */
void hw_loop_refresh(struct hw_loop *loop)
{
	if (loop->clock_is_fresh)
		return;
	loop->clock_is_fresh = true;
	loop->now_ms = hw_clock_mono_ms(loop->clock);
	loop->wall_ms = hw_clock_wall_ms(loop->clock);
}

struct hw_loop *hw_loop_create(
	const struct hw_clock *clock, const struct hw_loop_ops *ops, void *arg)
{
	struct hw_loop *loop = calloc(1, sizeof(*loop));
	struct event_config *config = event_config_new();

	if (!loop || !config)
		goto fail;
	loop->wake_fd = -1;
	loop->clock = clock;
	loop->ops = ops;
	loop->arg = arg;
	hw_list_init(&loop->dirty);
	hw_list_init(&loop->graveyard);
	hw_list_init(&loop->tasks);
	pthread_mutex_init(&loop->tasks_lock, NULL);
	hw_loop_refresh(loop);
	/* one thread a base: no locks; our own wake-up replaces libevent's */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	loop->base = event_base_new_with_config(config);
	loop->timers = hw_timers_create(loop->now_ms);
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!loop->base || !loop->timers || loop->wake_fd < 0)
		goto fail;
	hw_poller_init(loop);
	event_assign(
		&loop->wake_event, loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
	event_assign(&loop->timeout, loop->base, -1, 0, on_timeout, loop);
	if (event_add(&loop->wake_event, NULL))
		goto fail;
	event_config_free(config);
	return loop;
fail:
	if (config)
		event_config_free(config);
	hw_loop_destroy(&loop);
	return NULL;
}

void hw_loop_destroy(struct hw_loop **loop_in)
{
	struct hw_loop *loop = *loop_in;

	if (!loop)
		return;
	hw_streams_bury(loop);
	while (loop->free_blocks) {
		struct hw_ref_block *next = loop->free_blocks->next;

		free(loop->free_blocks);
		loop->free_blocks = next;
	}
	if (loop->base) {
		if (event_initialized(&loop->wake_event))
			event_del(&loop->wake_event);
		if (event_initialized(&loop->timeout))
			event_del(&loop->timeout);
		event_base_free(loop->base);
	}
	hw_timers_destroy(&loop->timers);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	pthread_mutex_destroy(&loop->tasks_lock);
	free(loop);
	*loop_in = NULL;
}

static void run_tasks(struct hw_loop *loop)
{
	struct hw_list tasks, *node;

	if (!atomic_load_explicit(&loop->has_tasks, memory_order_acquire))
		return;
	hw_list_init(&tasks);
	pthread_mutex_lock(&loop->tasks_lock);
	hw_list_splice(&tasks, &loop->tasks);
	atomic_store_explicit(&loop->has_tasks, false, memory_order_relaxed);
	pthread_mutex_unlock(&loop->tasks_lock);
	while ((node = hw_list_pop(&tasks))) {
		struct hw_task *task = HW_CONTAINER_OF(node, struct hw_task, link);

		task->run(task);
	}
}

/* Blocks until something happens, unless there is work; @more: only looks. */
static void wait_for_events(struct hw_loop *loop, bool more)
{
	int64_t wait_ms;

	if (!more) {
		/* seq_cst on both sides: either we see the work here, or its maker sees that we
		 * sleep */
		atomic_store(&loop->sleeping, 1);
		more = loop->ops->has_work(loop->arg) || atomic_load(&loop->has_tasks) ||
		       !hw_list_empty(&loop->dirty);
	}
	if (!more) {
		wait_ms = hw_timers_wait_ms(loop->timers, hw_clock_mono_ms(loop->clock));
		if (wait_ms > 0)
			event_add(&loop->timeout,
				&(struct timeval){wait_ms / 1000, (wait_ms % 1000) * 1000});
		else if (wait_ms == 0)
			more = true;
	}
	loop->clock_is_fresh = false;
	event_base_loop(loop->base, more ? EVLOOP_NONBLOCK | EVLOOP_ONCE : EVLOOP_ONCE);
	atomic_store_explicit(&loop->sleeping, 0, memory_order_relaxed);
	if (event_pending(&loop->timeout, EV_TIMEOUT, NULL))
		event_del(&loop->timeout);
}

void hw_loop_run(struct hw_loop *loop)
{
	bool more = false;

	while (!loop->stopped) {
		wait_for_events(loop, more);
		hw_loop_refresh(loop);
		run_tasks(loop);
		hw_timers_advance(loop->timers, loop->now_ms);
		more = loop->ops->turn(loop->arg);
		/* what a flush sets free may queue more: that is written by the next turn, which
		 * then does not sleep */
		hw_streams_flush(loop);
		loop->ops->flushed(loop->arg);
		hw_streams_bury(loop);
	}
}

void hw_loop_stop(struct hw_loop *loop)
{
	loop->stopped = true;
}

void hw_loop_wake(struct hw_loop *loop)
{
	uint64_t one = 1;

	if (atomic_load(&loop->sleeping) && atomic_exchange(&loop->sleeping, 0))
		(void)!write(loop->wake_fd, &one, sizeof(one));
}

void hw_loop_post(struct hw_loop *loop, struct hw_task *task)
{
	pthread_mutex_lock(&loop->tasks_lock);
	hw_list_push(&loop->tasks, &task->link);
	atomic_store(&loop->has_tasks, true);
	pthread_mutex_unlock(&loop->tasks_lock);
	hw_loop_wake(loop);
}

struct hw_timers *hw_loop_timers(struct hw_loop *loop)
{
	return loop->timers;
}

int64_t hw_loop_now_ms(const struct hw_loop *loop)
{
	return loop->now_ms;
}

int64_t hw_loop_wall_ms(const struct hw_loop *loop)
{
	return loop->wall_ms;
}
