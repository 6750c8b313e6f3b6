/* The loop as code below it sees it: descriptors are told as long as they are ready, and no longer
 * than they are watched. */
#include "net_world.h"

struct watcher {
	struct hw_poll poll;
	struct hw_poller *poller;
	unsigned n_read, n_write;
	bool end_when_told; /* inside of the callback, with all its memory */
	struct watcher **self;
};

static void on_ready(struct hw_poll *poll, unsigned what)
{
	struct watcher *w = HW_CONTAINER_OF(poll, struct watcher, poll);

	w->n_read += what & HW_POLL_READ ? 1 : 0;
	w->n_write += what & HW_POLL_WRITE ? 1 : 0;
	if (w->end_when_told) {
		assert_int_equal(w->poller->watch(w->poller, poll, 0), 0);
		*w->self = NULL;
		free(w);
	}
}

static void a_descriptor_is_told_while_it_is_watched(void **state)
{
	struct net_world world;
	struct hw_poller *poller;
	struct watcher w = {.poll.ready = on_ready};
	int fds[2];

	(void)state;
	net_world_init(&world);
	poller = hw_loop_poller(world.loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	w.poll.fd = fds[0];
	assert_int_equal(poller->watch(poller, &w.poll, HW_POLL_READ), 0);
	net_world_spin(&world, 3);
	assert_int_equal(w.n_read + w.n_write, 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	net_world_spin(&world, 3);
	assert_in_range(w.n_read, 2, 3); /* level-triggered */
	assert_int_equal(w.n_write, 0);
	w.n_read = 0;
	assert_int_equal(poller->watch(poller, &w.poll, HW_POLL_WRITE), 0);
	net_world_spin(&world, 2);
	assert_int_equal(w.n_read, 0);
	assert_true(w.n_write > 0);
	assert_int_equal(poller->watch(poller, &w.poll, HW_POLL_READ | HW_POLL_WRITE), 0);
	net_world_spin(&world, 2);
	assert_true(w.n_read > 0);
	assert_int_equal(poller->watch(poller, &w.poll, 0), 0);
	assert_null(w.poll.loop_own);
	w.n_read = w.n_write = 0;
	net_world_spin(&world, 3);
	assert_int_equal(w.n_read + w.n_write, 0);
	close(fds[0]);
	close(fds[1]);
	hw_loop_destroy(&world.loop);
}

static void a_watch_may_end_and_be_freed_when_it_is_told(void **state)
{
	struct net_world world;
	struct watcher *w = calloc(1, sizeof(*w));
	int fds[2];

	(void)state;
	net_world_init(&world);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*w = (struct watcher){.poll = {.fd = fds[0], .ready = on_ready},
		.poller = hw_loop_poller(world.loop),
		.end_when_told = true,
		.self = &w};
	assert_int_equal(w->poller->watch(w->poller, &w->poll, HW_POLL_READ | HW_POLL_WRITE), 0);
	close(fds[1]); /* both at once */
	net_world_spin(&world, 3);
	assert_null(w);
	close(fds[0]);
	hw_loop_destroy(&world.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_descriptor_is_told_while_it_is_watched),
		cmocka_unit_test(a_watch_may_end_and_be_freed_when_it_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
