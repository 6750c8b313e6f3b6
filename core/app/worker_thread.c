#include "app/worker_thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/broker.h"
#include "app/control.h"
#include "hook/io.h"
#include "session/session.h"

enum {
	DRAIN_TICK_MS = 20,
	GOAWAY_RETRY_MS = 1000,
	DRAIN_GRACE_MS =
		1000, /* for connections that carry no session, once the last session is gone */
};

/* What a client hears when the process has no descriptor left for it. */
static const char refusal[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: "
			      "application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
			      "Content-Length: 94\r\n\r\n"
			      "{\"code\":\"unavailable\",\"message\":\"too many "
			      "connections\",\"retryable\":true,\"retry_after_ms\":1000}";

/* ---- the loop's questions
 * --------------------------------------------------------------------------------------- */

static bool on_turn(void *arg)
{
	struct hw_worker_thread *t = arg;

	return hw_worker_turn(&t->worker);
}

static void on_flushed(void *arg)
{
	struct hw_worker_thread *t = arg;

	hw_edge_flushed(&t->edge);
	hw_worker_flushed(&t->worker);
}

static bool has_work(void *arg)
{
	struct hw_worker_thread *t = arg;

	return hw_worker_has_work(&t->worker);
}

static const struct hw_loop_ops loop_ops = {
	.turn = on_turn, .flushed = on_flushed, .has_work = has_work};

/* ---- accepting
 * ----------------------------------------------------------------------------------------------------
 */

struct handed {
	struct hw_task task;
	struct hw_worker_thread *to;
	int fd;
	bool proxied;
};

static void take_handed(struct hw_task *task)
{
	struct handed *h = HW_CONTAINER_OF(task, struct handed, task);

	hw_edge_accept(&h->to->edge, h->fd, "unix", HW_EDGE_PUBLIC, h->proxied);
	free(h);
}

static void hand_out(struct hw_worker_thread *t, int fd, bool proxied)
{
	struct hw_worker_thread *to = &t->broker->workers[t->next_worker++ % t->broker->n_workers];
	struct handed *h = to == t ? NULL : malloc(sizeof(*h));

	if (!h) {
		hw_edge_accept(&t->edge, fd, "unix", HW_EDGE_PUBLIC, proxied);
		return;
	}
	*h = (struct handed){.task.run = take_handed, .to = to, .fd = fd, .proxied = proxied};
	hw_loop_post(to->loop, &h->task);
}

static void on_accepted(void *owner, int fd, const char *address)
{
	struct listening *l = owner;

	if (l->shared)
		hand_out(l->worker, fd, l->proxied);
	else
		hw_edge_accept(&l->worker->edge, fd, address, l->kind, l->proxied);
}

static const struct hw_listener_ops listener_ops = {.accepted = on_accepted};

static int listen_all(struct hw_worker_thread *t)
{
	for (size_t i = 0; i < t->n_fds; i++) {
		t->listeners[i] = (struct listening){.worker = t,
			.kind = t->kinds[i],
			.shared = t->shared[i],
			.proxied = t->proxied[i]};
		t->listeners[i].listener = hw_listener_create(t->loop, t->fds[i], &listener_ops,
			&t->listeners[i], t->broker->log, refusal);
		t->fds[i] = -1;
		if (!t->listeners[i].listener)
			return -ENOMEM;
	}
	return 0;
}

/* ---- draining
 * -------------------------------------------------------------------------------------------------------
 */

static void count_open(void *arg, struct hw_session *session)
{
	size_t *n = arg;

	*n += !hw_session_closed(session);
}

/* @arg: how many are to be closed now. */
static void close_some(void *arg, struct hw_session *session)
{
	size_t *n = arg;

	if (*n == 0 || hw_session_closed(session))
		return;
	--*n;
	hw_session_close(session, 1001, HW_STR("draining"));
}

/* Evenly over the time that is left: who stays has all of it, however many go by themselves when
 * they are told to. */
static size_t due_now(struct hw_worker_thread *t, int64_t now_ms)
{
	int64_t left_ms = t->drain_from_ms + t->drain_ms - t->drain_tick_ms;
	size_t n_open = 0, n;

	if (now_ms - t->drain_from_ms >= t->drain_ms)
		return SIZE_MAX;
	hw_sessions_each(&t->worker, count_open, &n_open);
	t->drain_due += (double)n_open * (double)(now_ms - t->drain_tick_ms) / (double)left_ms;
	t->drain_tick_ms = now_ms;
	n = (size_t)t->drain_due;
	t->drain_due -= (double)n;
	return n;
}

static void say_drained(struct hw_worker_thread *t, bool drained)
{
	if (atomic_exchange(&t->drained, drained) != drained && drained)
		hw_broker_wake(t->broker);
}

static void on_drain_tick(struct hw_timer *timer)
{
	struct hw_worker_thread *t = HW_CONTAINER_OF(timer, struct hw_worker_thread, drain_timer);
	int64_t now_ms = hw_loop_now_ms(t->loop);
	size_t n = due_now(t, now_ms);

	hw_sessions_each(&t->worker, close_some, &n);
	if (hw_sessions_count(&t->worker))
		t->drain_empty_ms = now_ms;
	/* hooks hear of who left before the end: control bounds how long that may take */
	say_drained(t, !hw_notices_has(&t->worker.notices) &&
			       (hw_edge_count(&t->edge) == 0 ||
				       now_ms - t->drain_empty_ms >= DRAIN_GRACE_MS));
	hw_timer_arm(hw_loop_timers(t->loop), timer, now_ms + DRAIN_TICK_MS);
}

static void say_goaway(void *arg, struct hw_session *session)
{
	struct hw_worker_thread *t = arg;

	hw_session_goaway(session, GOAWAY_RETRY_MS, t->drain_ms, HW_STR("draining"));
}

static void begin_drain(struct hw_task *task)
{
	struct hw_worker_thread *t = HW_CONTAINER_OF(task, struct hw_worker_thread, drain_task);

	hw_worker_drain(&t->worker);
	t->drain_ms = t->worker.generation->settings.drain_ms;
	t->drain_from_ms = t->drain_tick_ms = t->drain_empty_ms = hw_loop_now_ms(t->loop);
	t->drain_due = 1; /* the first one goes at once */
	hw_edge_drain(&t->edge);
	hw_sessions_each(&t->worker, say_goaway, t);
	hw_timer_arm(hw_loop_timers(t->loop), &t->drain_timer, t->drain_from_ms);
}

/* A descriptor handed to a loop that has stopped would be lost: who hands them out stops first. */
static void stop_now(struct hw_task *task)
{
	struct hw_worker_thread *t = HW_CONTAINER_OF(task, struct hw_worker_thread, stop_task);

	hw_loop_stop(t->loop);
	for (unsigned i = 1; t->worker.index == 0 && i < t->broker->n_workers; i++)
		hw_worker_thread_stop(&t->broker->workers[i]);
}

void hw_worker_thread_drain(struct hw_worker_thread *t)
{
	hw_loop_post(t->loop, &t->drain_task);
}

void hw_worker_thread_stop(struct hw_worker_thread *t)
{
	if (!atomic_exchange(&t->stop_posted, true))
		hw_loop_post(t->loop, &t->stop_task);
}

/* ---- life
 * ---------------------------------------------------------------------------------------------------------------
 */

static void *run_worker(void *arg)
{
	struct hw_worker_thread *t = arg;
	char name[16];

	snprintf(name, sizeof(name), "hw-worker-%u", t->worker.index);
	pthread_setname_np(pthread_self(), name);
	if (hw_watchdog_enter_thread(t->broker->watchdog))
		hw_log(t->broker->log, HW_LOG_ERROR, "app",
			"no watchdog for this worker: its Lua hooks answer unavailable");
	hw_loop_run(t->loop);
	hw_edge_close_all(&t->edge);
	hw_worker_leave(&t->worker);
	hw_watchdog_leave_thread(t->broker->watchdog);
	atomic_fetch_sub(&t->broker->n_running, 1);
	hw_broker_wake(t->broker);
	return NULL;
}

int hw_worker_thread_init(struct hw_worker_thread *t, struct hw_broker *broker, unsigned index)
{
	int r;

	t->broker = broker;
	hw_timer_init(&t->drain_timer, on_drain_tick);
	t->stop_task.run = stop_now;
	t->drain_task.run = begin_drain;
	t->loop = hw_loop_create(&hw_clock_system, &loop_ops, t);
	if (!t->loop)
		return -ENOMEM;
	t->worker = (struct hw_worker){
		.index = index,
		.loop = t->loop,
		.wake = hw_loop_wake,
		.clock = &hw_clock_system,
		.timers = hw_loop_timers(t->loop),
		.log = broker->log,
		.metrics = broker->metrics,
		.counters = &broker->counters,
		.env = broker->env,
		.tenants = &broker->tenants,
		.revocations = &broker->revocations,
	};
	t->worker_made = true;
	r = hw_hook_env_join(broker->env, index, hw_loop_poller(t->loop));
	if (!r)
		r = hw_worker_init(&t->worker, broker->generation);
	if (!r)
		r = hw_sessions_init(&t->worker);
	t->edge.worker = &t->worker;
	t->edge.version = HW_VERSION;
	t->edge.control = hw_broker_ask;
	t->edge.control_arg = broker;
	if (!r) {
		r = hw_edge_init(&t->edge);
		t->edge_made = r == 0;
	}
	return r ? r : listen_all(t);
}

int hw_worker_thread_start(struct hw_worker_thread *t)
{
	int r = pthread_create(&t->thread, NULL, run_worker, t);

	t->started = r == 0;
	return -r;
}

void hw_worker_thread_join(struct hw_worker_thread *t)
{
	if (t->started)
		pthread_join(t->thread, NULL);
	t->started = false;
}

void hw_worker_thread_fini(struct hw_worker_thread *t)
{
	for (size_t i = 0; i < t->n_fds; i++) {
		hw_listener_destroy(&t->listeners[i].listener);
		if (t->fds[i] >= 0)
			close(t->fds[i]);
	}
	if (t->edge_made)
		hw_edge_fini(&t->edge);
	if (t->worker_made) {
		hw_worker_fini(&t->worker);
		hw_sessions_fini(&t->worker);
	}
	if (t->broker)
		hw_hook_env_part(t->broker->env, t->worker.index);
	hw_loop_destroy(&t->loop);
}
