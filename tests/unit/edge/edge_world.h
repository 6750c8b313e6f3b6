/* For the tests of the edge: a worker with real hooks on a real loop in a thread of its own, and
 * clients that are the other end of a socket pair. The clock stands still but for world_pass. */
#pragma once

#include "../session/session_world.h"

#include <pthread.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/socket.h>

#include "edge/edge.h"
#include "net/loop.h"

#define ANSWER_MAX (1 << 20)

struct edge_world {
	struct world world;
	struct hw_edge edge;
	struct hw_loop *loop;
	pthread_t thread;
	atomic_uint n_reloads;
	struct hw_control_request *asked;
	bool keeps_requests;
	char answer[ANSWER_MAX]; /* what a client read last */
};

/* A function that the loop's thread runs while the test waits. */
struct order {
	struct hw_task task;
	void (*run)(struct edge_world *ew, void *arg);
	struct edge_world *ew;
	void *arg;
	sem_t done;
};

static inline void order_run(struct hw_task *task)
{
	struct order *order = HW_CONTAINER_OF(task, struct order, task);

	order->run(order->ew, order->arg);
	sem_post(&order->done);
}

static inline void on_loop(
	struct edge_world *ew, void (*run)(struct edge_world *ew, void *arg), void *arg)
{
	struct order order = {.task.run = order_run, .run = run, .ew = ew, .arg = arg};

	sem_init(&order.done, 0, 0);
	hw_loop_post(ew->loop, &order.task);
	while (sem_wait(&order.done))
		continue;
	sem_destroy(&order.done);
}

static inline bool edge_turn(void *arg)
{
	return hw_worker_turn(arg);
}
static inline void edge_flushed(void *arg)
{
	hw_edge_flushed(&HW_CONTAINER_OF(arg, struct edge_world, world.worker)->edge);
	hw_worker_flushed(arg);
}
static inline bool edge_has_work(void *arg)
{
	return hw_worker_has_work(arg);
}
static const struct hw_loop_ops edge_loop_ops = {edge_turn, edge_flushed, edge_has_work};

static inline void *edge_thread(void *arg)
{
	struct edge_world *ew = arg;

	if (hw_watchdog_enter_thread(ew->world.watchdog))
		abort();
	hw_loop_run(ew->loop);
	hw_watchdog_leave_thread(ew->world.watchdog);
	return NULL;
}

/* Answers at once, or keeps it. */
static inline void take_control(void *arg, struct hw_control_request *request)
{
	struct edge_world *ew = arg;

	ew->n_reloads++;
	ew->asked = request;
	if (ew->keeps_requests)
		return;
	request->status = 207;
	hw_buf_puts(&request->body, "{\"result\":\"partial\"}");
	hw_loop_post(request->loop, &request->answered);
}

static inline struct edge_world *edge_world_create(
	const char *policy, void (*configure)(struct hw_settings *settings))
{
	struct edge_world *ew = calloc(1, sizeof(*ew));
	struct hw_worker *w = &ew->world.worker;

	world_init(&ew->world, policy);
	hw_watchdog_leave_thread(ew->world.watchdog);
	if (configure)
		configure(&ew->world.generation->settings);
	ew->loop = hw_loop_create(&ew->world.clock, &edge_loop_ops, w);
	assert_non_null(ew->loop);
	hw_timers_destroy(&w->timers);
	w->timers = hw_loop_timers(ew->loop);
	w->loop = ew->loop;
	w->wake = hw_loop_wake;
	ew->edge = (struct hw_edge){
		.worker = w, .version = "1.2.3", .control = take_control, .control_arg = ew};
	assert_int_equal(hw_edge_init(&ew->edge), 0);
	assert_int_equal(pthread_create(&ew->thread, NULL, edge_thread, ew), 0);
	return ew;
}

static inline void order_stop(struct edge_world *ew, void *arg)
{
	(void)arg;
	hw_edge_close_all(&ew->edge);
	hw_loop_stop(ew->loop);
}

static inline void edge_world_destroy(struct edge_world *ew)
{
	on_loop(ew, order_stop, NULL);
	pthread_join(ew->thread, NULL);
	assert_int_equal(hw_edge_count(&ew->edge), 0);
	assert_int_equal(atomic_load(&ew->world.counters.connections->value), 0);
	hw_edge_fini(&ew->edge);
	assert_int_equal(hw_watchdog_enter_thread(ew->world.watchdog), 0);
	ew->world.worker.timers = NULL;
	world_fini(&ew->world);
	hw_loop_destroy(&ew->loop);
	free(ew);
}

struct order_accept {
	int fd;
	enum hw_edge_kind kind;
	bool proxied;
};

static inline void order_accept(struct edge_world *ew, void *arg)
{
	struct order_accept *a = arg;

	hw_edge_accept(&ew->edge, a->fd, "192.0.2.1", a->kind, a->proxied);
}

/* A new connection: the client's end. */
static inline int dial_as(struct edge_world *ew, enum hw_edge_kind kind, bool proxied)
{
	struct order_accept a = {.kind = kind, .proxied = proxied};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(pair[1] >= 0);
	a.fd = pair[1];
	on_loop(ew, order_accept, &a);
	return pair[0];
}
static inline int dial(struct edge_world *ew, enum hw_edge_kind kind)
{
	return dial_as(ew, kind, false);
}

static inline void order_pass(struct edge_world *ew, void *arg)
{
	ew->world.mono_ms += *(int64_t *)arg;
}

/* Time passes; what is due has fired when this returns. */
static inline void nothing_to_do(struct edge_world *ew, void *arg)
{
	(void)ew;
	(void)arg;
}
static inline void world_pass(struct edge_world *ew, int64_t ms)
{
	on_loop(ew, order_pass, &ms);
	/* the clock is read before tasks run: two more turns see the new time, and fire */
	on_loop(ew, nothing_to_do, NULL);
	on_loop(ew, nothing_to_do, NULL);
}

static inline void say_bytes(int fd, const void *p, size_t len)
{
	const char *at = p;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		assert_true(n > 0);
		at += n;
		len -= (size_t)n;
	}
}
static inline void say_text(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

/* Reads to ew->answer until @n bytes are there, or (n 0) the other side has closed. */
static inline size_t hear(struct edge_world *ew, int fd, size_t n)
{
	size_t len = 0;

	while ((n == 0 || len < n) && len < ANSWER_MAX - 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t got;

		if (poll(&p, 1, 20000) != 1)
			fail_msg("nothing came after %zu bytes: %.*s", len, (int)len, ew->answer);
		got = recv(fd, ew->answer + len, n ? n - len : ANSWER_MAX - 1 - len, 0);
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	ew->answer[len] = '\0';
	return len;
}

/* Reads one HTTP answer, by its Content-Length, to ew->answer; returns its status. */
static inline int hear_http(struct edge_world *ew, int fd, bool head_only)
{
	size_t len = 0, body = 0;
	char *end = NULL, *length;

	while (!end || len < (size_t)(end + 4 - ew->answer) + body) {
		ssize_t got = recv(fd, ew->answer + len, 1, 0);

		if (got <= 0)
			fail_msg("the connection ended after: %s", ew->answer);
		ew->answer[++len] = '\0';
		if (!end && (end = strstr(ew->answer, "\r\n\r\n"))) {
			length = strstr(ew->answer, "\r\nContent-Length: ");
			body = length && !head_only ? strtoul(length + 18, NULL, 10) : 0;
		}
	}
	return atoi(ew->answer + 9);
}

/* One request on a connection of its own that the client ends; the answer is in ew->answer. */
static inline int ask_once(struct edge_world *ew, enum hw_edge_kind kind, const char *request)
{
	int fd = dial(ew, kind), status;

	say_text(fd, request);
	status = hear_http(ew, fd, strncmp(request, "HEAD", 4) == 0);
	close(fd);
	return status;
}

/* The next frame from the broker: its payload is in ew->answer, zero-terminated. Returns its
 * opcode. */
static inline int hear_frame(struct edge_world *ew, int fd, size_t *len_out)
{
	uint64_t len;
	int opcode;

	assert_int_equal(hear(ew, fd, 2), 2);
	opcode = ew->answer[0] & 15;
	assert_true(ew->answer[0] & 0x80);
	len = (uint8_t)ew->answer[1];
	assert_true(len < 128);
	if (len >= 126) {
		size_t n = len == 126 ? 2 : 8;

		assert_int_equal(hear(ew, fd, n), n);
		len = 0;
		for (size_t i = 0; i < n; i++)
			len = len << 8 | (uint8_t)ew->answer[i];
	}
	ew->answer[0] = '\0';
	if (len > 0)
		assert_int_equal(hear(ew, fd, len), len);
	if (len_out)
		*len_out = len;
	return opcode;
}

static inline void heard_part(struct edge_world *ew, const char *part)
{
	if (!strstr(ew->answer, part))
		fail_msg("no %s in: %s", part, ew->answer);
}
static inline void not_heard(struct edge_world *ew, const char *part)
{
	if (strstr(ew->answer, part))
		fail_msg("%s is in: %s", part, ew->answer);
}
