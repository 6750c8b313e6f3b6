#include "net_world.h"

#include <pthread.h>
#include <sched.h>

/* A loop of its own thread that sleeps whenever it may: a wake-up that is lost hangs the test. */
struct sleeper {
	struct hw_loop *loop;
	atomic_uint work;
	atomic_uint done;
	unsigned turns, stop_at;
	int flushed_fd; /* the other end of @stream */
	struct hw_stream *stream;
	bool flushed_once;
};

static bool sleeper_turn(void *arg)
{
	struct sleeper *s = arg;
	unsigned n = atomic_exchange(&s->work, 0);

	s->turns++;
	if (n && atomic_fetch_add(&s->done, n) + n == s->stop_at)
		hw_loop_stop(s->loop);
	return false;
}

static void sleeper_flushed(void *arg)
{
	struct sleeper *s = arg;

	if (s->stream && !s->flushed_once)
		assert_int_equal(hw_stream_copy(s->stream, "flushed", 7), 0);
	s->flushed_once = true;
}

static bool sleeper_has_work(void *arg)
{
	return atomic_load(&((struct sleeper *)arg)->work) > 0;
}

static const struct hw_loop_ops sleeper_ops = {sleeper_turn, sleeper_flushed, sleeper_has_work};

static void sleeper_init(struct sleeper *s)
{
	*s = (struct sleeper){.flushed_fd = -1};
	s->loop = hw_loop_create(&hw_clock_system, &sleeper_ops, s);
	assert_non_null(s->loop);
}

static void *run_loop(void *arg)
{
	hw_loop_run(((struct sleeper *)arg)->loop);
	return NULL;
}

/* ---- waking
 * ---------------------------------------------------------------------------------------- */

enum { WAKERS = 2, WAKES = 50000 };

/* Each wake-up matters: nothing more is given before the last was seen. */
static void *wake_and_wait(void *arg)
{
	struct sleeper *s = arg;

	for (unsigned i = 0; i < WAKES; i++) {
		unsigned before = atomic_load(&s->done);

		atomic_fetch_add(&s->work, 1);
		hw_loop_wake(s->loop);
		while (atomic_load(&s->work) && atomic_load(&s->done) == before)
			sched_yield();
	}
	return NULL;
}

static void no_wake_is_ever_lost(void **state)
{
	pthread_t loop, wakers[WAKERS];
	struct sleeper s;

	(void)state;
	sleeper_init(&s);
	s.stop_at = WAKERS * WAKES;
	assert_int_equal(pthread_create(&loop, NULL, run_loop, &s), 0);
	for (size_t i = 0; i < WAKERS; i++)
		assert_int_equal(pthread_create(&wakers[i], NULL, wake_and_wait, &s), 0);
	for (size_t i = 0; i < WAKERS; i++)
		pthread_join(wakers[i], NULL);
	pthread_join(loop, NULL);
	assert_int_equal(atomic_load(&s.done), WAKERS * WAKES);
	hw_loop_destroy(&s.loop);
}

/* ---- tasks
 * ------------------------------------------------------------------------------------------ */

enum { POSTERS = 4, POSTS = 5000 };

struct numbered {
	struct hw_task task;
	struct poster *poster;
	unsigned n;
};

struct poster {
	struct sleeper *s;
	unsigned seen; /* by the loop */
	bool disorder;
};

static void run_numbered(struct hw_task *task)
{
	struct numbered *t = HW_CONTAINER_OF(task, struct numbered, task);

	if (t->n != ++t->poster->seen)
		t->poster->disorder = true;
	atomic_fetch_add(&t->poster->s->work, 1);
	free(t);
}

static void *post_all(void *arg)
{
	struct poster *p = arg;

	for (unsigned n = 1; n <= POSTS; n++) {
		struct numbered *t = calloc(1, sizeof(*t));

		*t = (struct numbered){.task.run = run_numbered, .poster = p, .n = n};
		hw_loop_post(p->s->loop, &t->task);
		if (n % 16 == 0)
			sched_yield();
	}
	return NULL;
}

static void tasks_of_a_poster_run_once_and_in_order(void **state)
{
	struct poster posters[POSTERS];
	pthread_t loop, threads[POSTERS];
	struct sleeper s;

	(void)state;
	sleeper_init(&s);
	s.stop_at = POSTERS * POSTS;
	assert_int_equal(pthread_create(&loop, NULL, run_loop, &s), 0);
	for (size_t i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){.s = &s};
		assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
	}
	for (size_t i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	pthread_join(loop, NULL);
	for (size_t i = 0; i < POSTERS; i++) {
		assert_int_equal(posters[i].seen, POSTS);
		assert_false(posters[i].disorder);
	}
	hw_loop_destroy(&s.loop);
}

/* A task may post the next one: it runs, but others get a turn in between. */
struct chained {
	struct hw_task task;
	struct sleeper *s;
	unsigned left;
};

static void run_chained(struct hw_task *task)
{
	struct chained *c = HW_CONTAINER_OF(task, struct chained, task);

	if (--c->left)
		hw_loop_post(c->s->loop, task);
	else
		hw_loop_stop(c->s->loop);
}

static void a_task_may_post_itself_again(void **state)
{
	struct chained c = {.task.run = run_chained, .left = 5};
	struct sleeper s;

	(void)state;
	sleeper_init(&s);
	c.s = &s;
	hw_loop_post(s.loop, &c.task); /* before the loop runs: nobody is there to be woken */
	hw_loop_run(s.loop);
	assert_int_equal(c.left, 0);
	assert_int_equal(s.turns, 5);
	hw_loop_destroy(&s.loop);
}

/* ---- timers
 * ---------------------------------------------------------------------------------------- */

struct alarm {
	struct hw_timer timer;
	struct sleeper *s;
	int64_t due_ms, at_ms;
	unsigned *order, nth;
	bool last;
};

static void ring(struct hw_timer *timer)
{
	struct alarm *a = HW_CONTAINER_OF(timer, struct alarm, timer);

	a->at_ms = hw_clock_mono_ms(&hw_clock_system);
	a->nth = ++*a->order;
	if (a->last)
		hw_loop_stop(a->s->loop);
}

static void timers_fire_in_order_not_early_and_without_spinning(void **state)
{
	static const int64_t after_ms[] = {60, 10, 0, 35};
	static const unsigned nth[] = {4, 2, 1, 3};
	struct alarm alarms[4];
	unsigned order = 0;
	struct sleeper s;

	(void)state;
	sleeper_init(&s);
	for (size_t i = 0; i < 4; i++) {
		alarms[i] = (struct alarm){.s = &s, .order = &order, .last = i == 0};
		alarms[i].due_ms = hw_loop_now_ms(s.loop) + after_ms[i];
		hw_timer_init(&alarms[i].timer, ring);
		hw_timer_arm(hw_loop_timers(s.loop), &alarms[i].timer, alarms[i].due_ms);
	}
	hw_loop_run(s.loop);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(alarms[i].nth, nth[i]);
		assert_true(alarms[i].at_ms >= alarms[i].due_ms);
	}
	assert_true(s.turns <= 12);
	hw_loop_destroy(&s.loop);
}

static void a_cancelled_timer_does_not_fire(void **state)
{
	struct alarm early = {0}, stop = {0};
	unsigned order = 0;
	struct sleeper s;

	(void)state;
	sleeper_init(&s);
	early = (struct alarm){.s = &s, .order = &order};
	stop = (struct alarm){.s = &s, .order = &order, .last = true};
	hw_timer_init(&early.timer, ring);
	hw_timer_init(&stop.timer, ring);
	hw_timer_arm(hw_loop_timers(s.loop), &early.timer, hw_loop_now_ms(s.loop) + 5);
	hw_timer_arm(hw_loop_timers(s.loop), &stop.timer, hw_loop_now_ms(s.loop) + 15);
	hw_timer_cancel(&early.timer);
	hw_loop_run(s.loop);
	assert_int_equal(order, 1);
	hw_loop_destroy(&s.loop);
}

/* ---- turns
 * ------------------------------------------------------------------------------------------ */

static void no_input(void *owner, uint8_t *p, size_t len)
{
	(void)owner;
	(void)p;
	(void)len;
}

static void no_end(void *owner, int error)
{
	(void)owner;
	(void)error;
}

static const struct hw_stream_ops quiet_ops = {.received = no_input, .closed = no_end};

struct look {
	struct hw_timer timer;
	struct sleeper *s;
	char got[64];
	ssize_t n;
};

static void look_then_stop(struct hw_timer *timer)
{
	struct look *look = HW_CONTAINER_OF(timer, struct look, timer);

	look->n = recv(look->s->flushed_fd, look->got, sizeof(look->got), MSG_DONTWAIT);
	hw_loop_stop(look->s->loop);
}

/* Before the loop runs and when a turn is over already: the loop does not sleep on it. */
static void output_never_waits_for_an_event(void **state)
{
	struct sleeper s;
	struct look look = {0};
	int fds[2];

	(void)state;
	sleeper_init(&s);
	net_world_pair(SOCK_STREAM, fds);
	s.flushed_fd = fds[1];
	s.stream = hw_stream_create(s.loop, fds[0], &quiet_ops, &s);
	assert_int_equal(hw_stream_copy(s.stream, "first ", 6), 0);
	look.s = &s;
	hw_timer_init(&look.timer, look_then_stop);
	hw_timer_arm(hw_loop_timers(s.loop), &look.timer, hw_loop_now_ms(s.loop) + 100);
	hw_loop_run(s.loop);
	assert_int_equal(look.n, 13);
	assert_memory_equal(look.got, "first flushed", 13);
	hw_stream_destroy(&s.stream);
	close(fds[1]);
	hw_loop_destroy(&s.loop);
}

static void stop_and_write(struct hw_timer *timer)
{
	struct look *look = HW_CONTAINER_OF(timer, struct look, timer);

	hw_loop_stop(look->s->loop);
	assert_int_equal(hw_stream_copy(look->s->stream, "last", 4), 0);
}

static void the_turn_that_stops_ends_first(void **state)
{
	struct look look = {0};
	struct sleeper s;
	char got[8];
	int fds[2];

	(void)state;
	sleeper_init(&s);
	s.flushed_once = true;
	net_world_pair(SOCK_STREAM, fds);
	s.stream = hw_stream_create(s.loop, fds[0], &quiet_ops, &s);
	look.s = &s;
	hw_timer_init(&look.timer, stop_and_write);
	hw_timer_arm(hw_loop_timers(s.loop), &look.timer, hw_loop_now_ms(s.loop));
	hw_loop_run(s.loop);
	assert_int_equal(recv(fds[1], got, sizeof(got), MSG_DONTWAIT), 4);
	hw_stream_destroy(&s.stream);
	close(fds[1]);
	hw_loop_destroy(&s.loop);
	assert_null(s.loop);
	hw_loop_destroy(&s.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_wake_is_ever_lost),
		cmocka_unit_test(tasks_of_a_poster_run_once_and_in_order),
		cmocka_unit_test(a_task_may_post_itself_again),
		cmocka_unit_test(timers_fire_in_order_not_early_and_without_spinning),
		cmocka_unit_test(a_cancelled_timer_does_not_fire),
		cmocka_unit_test(output_never_waits_for_an_event),
		cmocka_unit_test(the_turn_that_stops_ends_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
