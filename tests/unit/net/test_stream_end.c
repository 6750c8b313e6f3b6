#include "stream_world.h"

/* ---- finish
 * --------------------------------------------------------------------------------------- */

static void finishing_writes_out_then_waits_for_the_peer(void **state)
{
	struct stream_world w;
	char got[16];

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 0);
	assert_int_equal(hw_stream_copy(w.s, "bye", 3), 0);
	hw_stream_finish(w.s, 100, 100);
	assert_int_equal(hw_stream_copy(w.s, "too late", 8), 0);
	net_world_spin(&w.net, 1);
	assert_int_equal(peer_read(&w, got, sizeof(got)), 3);
	assert_true(peer_sees_end(&w));
	peer_write(&w, "dropped");
	net_world_spin(&w.net, 2);
	assert_int_equal(w.n_received, 0);
	assert_int_equal(w.n_closed, 0);
	shutdown(w.peer, SHUT_WR);
	net_world_spin(&w.net, 2);
	assert_int_equal(w.n_closed, 1);
	assert_int_equal(w.error, 0);
	net_world_pass(&w.net, 1000);
	assert_int_equal(w.n_closed, 1);
	stream_world_fini(&w);
}

static void finishing_ends_when_the_time_is_over(void **state)
{
	struct stream_world w;
	char *bytes = NULL;

	(void)state;
	for (int blocked = 0; blocked < 2; blocked++) {
		stream_world_init(&w, SOCK_STREAM, 4096);
		if (blocked)
			bytes = stream_world_block(&w, 1 << 19);
		hw_stream_finish(w.s, blocked ? 100 : 10, blocked ? 10 : 100);
		net_world_spin(&w.net, 1);
		net_world_pass(&w.net, 99);
		assert_int_equal(w.n_closed, 0);
		net_world_pass(&w.net, 1);
		assert_int_equal(w.n_closed, 1);
		assert_int_equal(w.error, -ETIMEDOUT);
		assert_int_equal(w.pin.held, 0);
		stream_world_fini(&w);
	}
	free(bytes);
}

static void finishing_a_blocked_stream_loses_nothing(void **state)
{
	enum { LEN = 1 << 19 };
	struct stream_world w;
	char *bytes, *got = malloc(LEN + 8);

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 4096);
	bytes = stream_world_block(&w, LEN);
	assert_int_equal(hw_stream_copy(w.s, "end", 3), 0);
	hw_stream_finish(w.s, 1000, 1000);
	/* the peer has said all that it had to say, and still listens */
	shutdown(w.peer, SHUT_WR);
	assert_int_equal(peer_read_all(&w, got, LEN + 8, 1 << 16), LEN + 3);
	assert_memory_equal(got, bytes, LEN);
	assert_memory_equal(got + LEN, "end", 3);
	assert_true(peer_sees_end(&w));
	assert_int_equal(w.n_drained, 0);
	assert_int_equal(w.n_closed, 1);
	assert_int_equal(w.error, 0);
	free(bytes);
	free(got);
	stream_world_fini(&w);
}

/* A slow reader of a long answer has its time, and then as long to close as a quick one. */
static void finishing_waits_for_the_peer_from_when_all_is_written(void **state)
{
	enum { LEN = 1 << 19 };
	struct stream_world w;
	char *bytes, *got = malloc(LEN);

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 4096);
	bytes = stream_world_block(&w, LEN);
	hw_stream_finish(w.s, 1000, 100);
	net_world_pass(&w.net, 990);
	assert_int_equal(peer_read_all(&w, got, LEN, 1 << 16), LEN);
	assert_memory_equal(got, bytes, LEN);
	assert_true(peer_sees_end(&w));
	net_world_pass(&w.net, 99);
	assert_int_equal(w.n_closed, 0);
	net_world_pass(&w.net, 1);
	assert_int_equal(w.n_closed, 1);
	assert_int_equal(w.error, -ETIMEDOUT);
	free(bytes);
	free(got);
	stream_world_fini(&w);
}

static void finishing_a_paused_stream_sees_the_peer_close(void **state)
{
	struct stream_world w;

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 0);
	hw_stream_read(w.s, false);
	peer_write(&w, "unread");
	net_world_spin(&w.net, 2);
	hw_stream_finish(w.s, 100, 100);
	hw_stream_read(w.s, false); /* has no say any more */
	shutdown(w.peer, SHUT_WR);
	net_world_spin(&w.net, 3);
	assert_int_equal(w.n_closed, 1);
	assert_int_equal(w.n_received, 0);
	stream_world_fini(&w);
}

/* ---- closed
 * ---------------------------------------------------------------------------------------- */

static void closed_comes_once_whatever_is_done_after_it(void **state)
{
	struct stream_world w;

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 0);
	assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, "x", 1, 1, true), 0);
	close(w.peer);
	net_world_spin(&w.net, 2);
	assert_int_equal(w.n_closed, 1);
	assert_int_equal(w.pin.held, 0);
	assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, "x", 1, 1, true), 0);
	assert_int_equal(hw_stream_copy(w.s, "x", 1), 0);
	assert_int_equal(hw_stream_queued(w.s), 0);
	hw_stream_read(w.s, false);
	hw_stream_read(w.s, true);
	hw_stream_finish(w.s, 10, 10);
	assert_int_equal(hw_stream_drop(w.s), 0);
	net_world_spin(&w.net, 3);
	net_world_pass(&w.net, 100);
	assert_int_equal(w.n_closed, 1);
	w.peer = dup(0);
	stream_world_fini(&w);
}

/* Readable and writable in the same event, both of which fail. */
static void a_blocked_stream_whose_peer_dies_is_closed_once(void **state)
{
	struct stream_world w;
	char *bytes;

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 4096);
	bytes = stream_world_block(&w, 1 << 19);
	close(w.peer);
	net_world_spin(&w.net, 3);
	assert_int_equal(w.n_closed, 1);
	assert_true(w.error < 0);
	assert_int_equal(w.pin.held, 0);
	free(bytes);
	w.peer = dup(0);
	stream_world_fini(&w);
}

/* ---- destroyed inside callbacks
 * ------------------------------------------------------------------ */

static void destroying_inside_received(void **state)
{
	struct stream_world w;

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 0);
	w.on_received = ACT_DESTROY;
	assert_int_equal(hw_stream_copy(w.s, "x", 1), 0);
	peer_write(&w, "now");
	net_world_spin(&w.net, 3);
	assert_null(w.s);
	assert_int_equal(w.n_received, 1);
	assert_int_equal(w.n_closed, 0);
	stream_world_fini(&w);
}

static void destroying_inside_drained(void **state)
{
	enum { LEN = 1 << 18 };
	struct stream_world w;
	char *bytes, *got = malloc(LEN);

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 4096);
	w.on_drained = ACT_DESTROY;
	bytes = stream_world_block(&w, LEN);
	peer_write(&w, "both events at once");
	assert_int_equal(peer_read_all(&w, got, LEN, 1 << 16), LEN);
	net_world_spin(&w.net, 3);
	assert_null(w.s);
	assert_int_equal(w.n_drained, 1);
	free(bytes);
	free(got);
	stream_world_fini(&w);
}

static void destroying_inside_closed(void **state)
{
	(void)state;
	/* the peer ends it; writing fails at the end of a turn; writing fails when blocked; time is
	 * over */
	for (int how = 0; how < 4; how++) {
		struct stream_world w;
		char *bytes = NULL;

		stream_world_init(&w, SOCK_STREAM, 4096);
		w.on_closed = ACT_DESTROY;
		if (how == 2)
			bytes = stream_world_block(&w, 1 << 19);
		if (how == 1) {
			hw_stream_read(w.s, false);
			assert_int_equal(hw_stream_copy(w.s, "x", 1), 0);
		}
		if (how == 3)
			hw_stream_finish(w.s, 5, 5);
		else
			close(w.peer);
		net_world_pass(&w.net, 10);
		assert_null(w.s);
		assert_int_equal(w.n_closed, 1);
		assert_int_equal(w.error == 0, how == 0);
		if (how != 3)
			w.peer = dup(0);
		stream_world_fini(&w);
		free(bytes);
	}
}

static void finishing_inside_received_and_drained(void **state)
{
	enum { LEN = 1 << 18 };
	struct stream_world w;
	char *bytes, *got = malloc(LEN);

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 4096);
	w.on_received = ACT_FINISH;
	peer_write(&w, "a");
	net_world_spin(&w.net, 2);
	assert_true(peer_sees_end(&w));
	stream_world_fini(&w);
	stream_world_init(&w, SOCK_STREAM, 4096);
	w.on_drained = ACT_FINISH;
	bytes = stream_world_block(&w, LEN);
	assert_int_equal(peer_read_all(&w, got, LEN, 1 << 16), LEN);
	net_world_spin(&w.net, 2);
	assert_true(peer_sees_end(&w));
	free(bytes);
	free(got);
	stream_world_fini(&w);
}

/* One stream's end destroys others that have yet to be written in the same turn. */
struct circle {
	struct hw_stream *streams[3];
	unsigned n_closed;
};

static void close_all(void *owner, int error)
{
	struct circle *c = owner;

	(void)error;
	c->n_closed++;
	for (size_t i = 0; i < 3; i++)
		hw_stream_destroy(&c->streams[i]);
}

static void one_stream_may_destroy_the_others_of_its_turn(void **state)
{
	static const struct hw_stream_ops ops = {.received = on_received, .closed = close_all};
	struct circle c = {0};
	struct net_world net;

	(void)state;
	net_world_init(&net);
	for (size_t i = 0; i < 3; i++) {
		int fds[2];

		net_world_pair(SOCK_STREAM, fds);
		c.streams[i] = hw_stream_create(net.loop, fds[0], &ops, &c);
		hw_stream_read(c.streams[i], false);
		assert_int_equal(hw_stream_copy(c.streams[i], "x", 1), 0);
		close(fds[1]);
	}
	net_world_spin(&net, 2);
	assert_int_equal(c.n_closed, 1);
	hw_loop_destroy(&net.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finishing_writes_out_then_waits_for_the_peer),
		cmocka_unit_test(finishing_ends_when_the_time_is_over),
		cmocka_unit_test(finishing_a_blocked_stream_loses_nothing),
		cmocka_unit_test(finishing_waits_for_the_peer_from_when_all_is_written),
		cmocka_unit_test(finishing_a_paused_stream_sees_the_peer_close),
		cmocka_unit_test(closed_comes_once_whatever_is_done_after_it),
		cmocka_unit_test(a_blocked_stream_whose_peer_dies_is_closed_once),
		cmocka_unit_test(destroying_inside_received),
		cmocka_unit_test(destroying_inside_drained),
		cmocka_unit_test(destroying_inside_closed),
		cmocka_unit_test(finishing_inside_received_and_drained),
		cmocka_unit_test(one_stream_may_destroy_the_others_of_its_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
