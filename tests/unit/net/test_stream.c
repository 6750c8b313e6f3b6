#include <netinet/in.h>
#include <netinet/tcp.h>

#include "stream_world.h"

/* ---- order and number of writes ---------------------------------------------------------------
 */

static void what_a_turn_queued_leaves_in_order_in_one_write(void **state)
{
	struct stream_world w;
	char got[64];

	(void)state;
	stream_world_init(&w, SOCK_SEQPACKET, 0);
	assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, "one ", 4, 1, false), 0);
	assert_int_equal(hw_stream_copy(w.s, "two ", 4), 0);
	assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, "three ", 6, 2, true), 0);
	assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, "", 0, 3, true), 0);
	assert_int_equal(hw_stream_copy(w.s, "four", 4), 0);
	assert_int_equal(hw_stream_queued(w.s), 18);
	assert_true(hw_stream_cost(w.s) >= 18 + 2 * sizeof(struct hw_blob));
	assert_int_equal(peer_read(&w, got, sizeof(got)), 0); /* not before the turn ends */
	net_world_spin(&w.net, 1);
	assert_int_equal(peer_read(&w, got, sizeof(got)), 18);
	assert_memory_equal(got, "one two three four", 18);
	assert_int_equal(hw_stream_queued(w.s), 0);
	assert_int_equal(hw_stream_cost(w.s), 0);
	assert_int_equal(hw_stream_written(w.s), 18);
	assert_int_equal(w.pin.total, 1); /* only where asked for */
	assert_int_equal(w.pin.held, 0);
	assert_int_equal(w.n_drained, 0);
	stream_world_fini(&w);
}

static void neighbours_in_memory_are_one_reference(void **state)
{
	static const char text[] = "0123456789";
	struct stream_world w;
	char got[64];

	(void)state;
	stream_world_init(&w, SOCK_SEQPACKET, 0);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, text + i, 1, i + 1, true), 0);
	assert_int_equal(w.pin.held, 1);
	net_world_spin(&w.net, 1);
	assert_int_equal(peer_read(&w, got, sizeof(got)), 10);
	assert_memory_equal(got, text, 10);
	stream_world_fini(&w);
}

/* Many references, a peer that reads in odd pieces, more queued all the while. */
static void thousands_of_references_keep_their_order(void **state)
{
	enum { REFS = 3000 };
	struct stream_world w;
	char *expected = malloc(REFS * 64), *got = malloc(REFS * 64);
	char source[64 * 2];
	size_t expected_len = 0, got_len = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(source); i++)
		source[i] = (char)i;
	stream_world_init(&w, SOCK_STREAM, 4096);
	for (size_t i = 0; i < REFS; i++) {
		size_t len = 1 + i * 37 % 63, from = i * 11 % 64;

		memcpy(expected + expected_len, source + from, len);
		expected_len += len;
		if (i % 3)
			assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, source + from, len,
						 i % 2 ? i : 0, i % 5 == 0),
				0);
		else
			assert_int_equal(hw_stream_copy(w.s, source + from, len), 0);
		if (i % 50 == 0) {
			net_world_spin(&w.net, 1);
			got_len += peer_read(&w, got + got_len, 1 + i % 777);
		}
	}
	got_len += peer_read_all(&w, got + got_len, REFS * 64 - got_len, 501);
	assert_int_equal(got_len, expected_len);
	assert_memory_equal(got, expected, got_len);
	assert_int_equal(hw_stream_queued(w.s), 0);
	assert_int_equal(w.pin.held, 0);
	free(expected);
	free(got);
	stream_world_fini(&w);
}

/* ---- blocked ------------------------------------------------------------------------------------
 */

static void a_blocked_stream_holds_what_is_left_and_lets_it_go(void **state)
{
	enum { LEN = 1 << 19 };
	struct stream_world w;
	char *bytes, *got = malloc(LEN + 8);

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 4096);
	bytes = stream_world_block(&w, LEN);
	assert_int_equal(w.pin.held, 1);
	assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, "behind", 6, 2, false), 0);
	assert_int_equal(w.pin.held, 2); /* at once: the end of the turn does not visit it */
	assert_int_equal(hw_stream_queued(w.s) + hw_stream_written(w.s), LEN + 6);
	assert_int_equal(w.n_drained, 0);
	assert_int_equal(peer_read_all(&w, got, LEN + 8, 1 << 16), LEN + 6);
	assert_memory_equal(got, bytes, LEN);
	assert_memory_equal(got + LEN, "behind", 6);
	assert_false(hw_stream_blocked(w.s));
	assert_int_equal(w.n_drained, 1);
	assert_int_equal(w.pin.held, 0);
	assert_int_equal(hw_stream_copy(w.s, "x", 1), 0);
	net_world_spin(&w.net, 1);
	assert_int_equal(peer_read(&w, got, 8), 1);
	assert_int_equal(w.n_drained, 1);
	free(bytes);
	free(got);
	stream_world_fini(&w);
}

static void destroying_a_blocked_stream_lets_everything_go(void **state)
{
	struct stream_world w;
	char *bytes;

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 4096);
	bytes = stream_world_block(&w, 1 << 19);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(
			hw_stream_queue(w.s, &w.pin.pin, bytes + i * 2, 1, i + 2, false), 0);
	assert_int_equal(w.pin.held, 101);
	hw_stream_destroy(&w.s);
	assert_null(w.s);
	assert_int_equal(w.pin.held, 0);
	assert_int_equal(w.n_closed, 0);
	net_world_spin(&w.net, 2);
	free(bytes);
	stream_world_fini(&w);
}

/* ---- drop ---------------------------------------------------------------------------------------
 */

static void drop_keeps_what_had_begun_and_what_has_no_number(void **state)
{
	enum { LEN = 1 << 19 };
	struct stream_world w;
	char *bytes, *got = malloc(LEN + 64);

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 4096);
	bytes = stream_world_block(&w, LEN);
	assert_int_equal(hw_stream_copy(w.s, "pong", 4), 0);
	for (size_t i = 0; i < 90; i++)
		assert_int_equal(
			hw_stream_queue(w.s, &w.pin.pin, bytes + i * 2, 1, i + 7, false), 0);
	assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, "ack", 3, 0, false), 0);
	assert_int_equal(hw_stream_drop(w.s), 7);
	assert_int_equal(w.pin.held, 1); /* of the one without a number */
	assert_int_equal(hw_stream_drop(w.s), 0);
	assert_int_equal(hw_stream_copy(w.s, "end", 3), 0);
	assert_int_equal(hw_stream_queued(w.s) + hw_stream_written(w.s), LEN + 10);
	bytes[LEN - 1] ^= 1; /* the stream has a copy: the owner may do as it likes */
	assert_int_equal(peer_read_all(&w, got, LEN + 64, 1 << 16), LEN + 10);
	bytes[LEN - 1] ^= 1;
	assert_memory_equal(got, bytes, LEN);
	assert_memory_equal(got + LEN, "pongackend", 10);
	assert_int_equal(hw_stream_cost(w.s), 0);
	free(bytes);
	free(got);
	stream_world_fini(&w);
}

static void drop_takes_all_that_has_not_begun(void **state)
{
	struct stream_world w;
	char got[64];

	(void)state;
	stream_world_init(&w, SOCK_SEQPACKET, 0);
	assert_int_equal(hw_stream_copy(w.s, "hello", 5), 0);
	net_world_spin(&w.net, 1);
	assert_int_equal(peer_read(&w, got, sizeof(got)), 5);
	assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, "aaa", 3, 5, false), 0);
	assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, "bbb", 3, 6, true), 0);
	assert_int_equal(
		hw_stream_cost(w.s), 6); /* whoever numbers has a bound of his own for these */
	assert_int_equal(hw_stream_copy(w.s, "c", 1), 0);
	assert_int_equal(hw_stream_drop(w.s), 5);
	assert_int_equal(hw_stream_queued(w.s), 1);
	assert_int_equal(w.pin.held, 0);
	net_world_spin(&w.net, 1);
	assert_int_equal(peer_read(&w, got, sizeof(got)), 1);
	assert_int_equal(got[0], 'c');
	assert_int_equal(hw_stream_cost(w.s), 0);
	stream_world_fini(&w);
}

static void what_is_to_be_kept_is_not_dropped(void **state)
{
	enum { LEN = 1 << 19, N = 90 };
	struct stream_world w;
	char *bytes, *got = malloc(LEN + N + 64);
	size_t cost;

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 4096);
	bytes = stream_world_block(&w, LEN);
	cost = hw_stream_cost(w.s);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(
			hw_stream_queue(w.s, &w.pin.pin, bytes + i * 2, 1, i + 7, false), 0);
	hw_stream_keep(w.s);
	assert_true(hw_stream_cost(w.s) > cost + N); /* they are ours by now */
	assert_int_equal(hw_stream_copy(w.s, "reply", 5), 0);
	assert_int_equal(hw_stream_queue(w.s, &w.pin.pin, "x", 1, N + 7, false), 0);
	assert_int_equal(hw_stream_drop(w.s), N + 7);
	assert_int_equal(peer_read_all(&w, got, LEN + N + 64, 1 << 16), LEN + N + 5);
	assert_memory_equal(got, bytes, LEN);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(got[LEN + i], bytes[i * 2]);
	assert_memory_equal(got + LEN + N, "reply", 5);
	assert_int_equal(w.pin.held, 0);
	assert_int_equal(hw_stream_cost(w.s), 0);
	free(bytes);
	free(got);
	stream_world_fini(&w);
}

static void drop_keeps_the_order_of_however_much_stays(void **state)
{
	enum { LEN = 1 << 19, N = 200, MOST = LEN + 4 * N };
	struct stream_world w;
	char *bytes, *got = malloc(MOST), wanted[4 * N + 4] = "";

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 4096);
	bytes = stream_world_block(&w, LEN);
	for (unsigned i = 0; i < N; i++) {
		char text[8];

		assert_int_equal(
			hw_stream_queue(w.s, &w.pin.pin, bytes + i * 2, 1, i + 9, false), 0);
		if (i % 3 == 0)
			continue;
		snprintf(text, sizeof(text), "%03u.", i);
		assert_int_equal(hw_stream_copy(w.s, text, 4), 0);
		strcat(wanted, text);
	}
	assert_int_equal(hw_stream_drop(w.s), 9);
	assert_int_equal(w.pin.held, 0);
	assert_int_equal(hw_stream_queued(w.s) + hw_stream_written(w.s), LEN + strlen(wanted));
	assert_int_equal(hw_stream_drop(w.s), 0);
	assert_int_equal(hw_stream_copy(w.s, "end", 3), 0);
	strcat(wanted, "end");
	assert_int_equal(peer_read_all(&w, got, MOST, 1 << 16), LEN + strlen(wanted));
	assert_memory_equal(got + LEN, wanted, strlen(wanted));
	assert_int_equal(hw_stream_cost(w.s), 0); /* what was dropped costs nothing either */
	free(bytes);
	free(got);
	stream_world_fini(&w);
}

/* ---- reading ------------------------------------------------------------------------------------
 */

static void a_paused_stream_reads_nothing(void **state)
{
	struct stream_world w;

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 0);
	hw_stream_read(w.s, false);
	peer_write(&w, "later");
	net_world_spin(&w.net, 3);
	assert_int_equal(w.n_received, 0);
	hw_stream_read(w.s, true);
	net_world_spin(&w.net, 3);
	assert_int_equal(w.in_len, 5);
	assert_memory_equal(w.in, "later", 5);
	stream_world_fini(&w);
}

static void pausing_inside_received_stops_at_once(void **state)
{
	struct stream_world w;
	char *much = calloc(1, HW_LOOP_RECEIVE_BYTES * 2);
	int bytes = 1 << 20;

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 0);
	assert_int_equal(setsockopt(w.peer, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	assert_true(send(w.peer, much, HW_LOOP_RECEIVE_BYTES * 2, 0) > HW_LOOP_RECEIVE_BYTES);
	w.on_received = ACT_PAUSE;
	net_world_spin(&w.net, 5);
	assert_int_equal(w.n_received, 1);
	/* writing does not need reading */
	assert_int_equal(hw_stream_copy(w.s, "x", 1), 0);
	net_world_spin(&w.net, 1);
	assert_int_equal(peer_read(&w, much, 8), 1);
	free(much);
	stream_world_fini(&w);
}

static void the_new_owner_gets_what_comes_next(void **state)
{
	struct stream_world w, other = {0};

	(void)state;
	stream_world_init(&w, SOCK_STREAM, 0);
	peer_write(&w, "one");
	net_world_spin(&w.net, 2);
	hw_stream_set_owner(w.s, &world_ops, &other);
	peer_write(&w, "two!");
	net_world_spin(&w.net, 2);
	assert_int_equal(w.in_len, 3);
	assert_int_equal(other.in_len, 4);
	close(w.peer);
	net_world_spin(&w.net, 2);
	assert_int_equal(w.n_closed, 0);
	assert_int_equal(other.n_closed, 1);
	w.peer = dup(0);
	stream_world_fini(&w);
}

/* What the kernel does with it is the kernel's; that it knows is ours. */
static void the_kernel_is_told_how_long_to_wait_for_a_peer(void **state)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(any);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
	struct stream_world w;
	struct hw_stream *s;
	unsigned ms = 0;

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&any, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&any, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&any, len), 0);
	stream_world_init(&w, SOCK_STREAM, 0);
	s = hw_stream_create(w.net.loop, fd, &world_ops, &w);
	hw_stream_expect_acks(s, 61000);
	len = sizeof(ms);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len), 0);
	assert_int_equal(ms, 61000);
	hw_stream_expect_acks(w.s, 1); /* a unix socket: nothing to tell, and nothing happens */
	net_world_spin(&w.net, 2);
	assert_int_equal(w.n_closed, 0);
	hw_stream_destroy(&s);
	close(listener);
	stream_world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_turn_queued_leaves_in_order_in_one_write),
		cmocka_unit_test(neighbours_in_memory_are_one_reference),
		cmocka_unit_test(thousands_of_references_keep_their_order),
		cmocka_unit_test(a_blocked_stream_holds_what_is_left_and_lets_it_go),
		cmocka_unit_test(destroying_a_blocked_stream_lets_everything_go),
		cmocka_unit_test(drop_keeps_what_had_begun_and_what_has_no_number),
		cmocka_unit_test(drop_takes_all_that_has_not_begun),
		cmocka_unit_test(what_is_to_be_kept_is_not_dropped),
		cmocka_unit_test(drop_keeps_the_order_of_however_much_stays),
		cmocka_unit_test(a_paused_stream_reads_nothing),
		cmocka_unit_test(pausing_inside_received_stops_at_once),
		cmocka_unit_test(the_new_owner_gets_what_comes_next),
		cmocka_unit_test(the_kernel_is_told_how_long_to_wait_for_a_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
