/* A walk over live sessions takes turns, while sessions come and go under it. */
#include "session_world.h"

#include "session/walk.h"

#define ALL "return policy { api = 1, authorize = { subscribe = function() return allow() end } }"
#define N_CLIENTS 1100 /* a turn looks at 512 */

static unsigned n_done;

static void on_done(struct hw_session_walk *walk)
{
	(void)walk;
	n_done++;
}

struct crowd {
	struct world w;
	struct client clients[N_CLIENTS];
};

static struct crowd *crowd_create(void)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	assert_non_null(crowd);
	world_init(&crowd->w, ALL);
	crowd->w.generation->rules[0].connections = 2 * N_CLIENTS;
	for (size_t i = 0; i < N_CLIENTS; i++)
		client_open(
			&crowd->w, &crowd->clients[i], i % 2 ? "u@acme" : "v@beta", NULL, false);
	n_done = 0;
	return crowd;
}

static void turn(struct crowd *crowd)
{
	crowd->w.mono_ms++;
	world_turn(&crowd->w);
}

static void leave(struct crowd *crowd, size_t i)
{
	client_fini(&crowd->clients[i]);
	memset(&crowd->clients[i], 0, sizeof(crowd->clients[i]));
}

static void crowd_destroy(struct crowd *crowd)
{
	for (size_t i = 0; i < N_CLIENTS; i++)
		if (crowd->clients[i].session)
			client_fini(&crowd->clients[i]);
	world_fini(&crowd->w);
	free(crowd);
}

static void sessions_come_and_go_under_it(void **state)
{
	struct crowd *crowd = crowd_create();
	struct hw_session_walk walk = {.worker = &crowd->w.worker, .limit = 2000, .done = on_done};

	(void)state;
	hw_session_walk_start(&walk);
	turn(crowd);
	assert_int_equal(n_done, 0);
	/* the one it stands before, its neighbours, the first, the last; and a new one */
	for (size_t i = 510; i < 515; i++)
		leave(crowd, i);
	leave(crowd, 0);
	leave(crowd, N_CLIENTS - 1);
	client_open(&crowd->w, &crowd->clients[0], "late@acme", NULL, false);
	for (int i = 0; i < 4 && !n_done; i++)
		turn(crowd);
	assert_int_equal(n_done, 1);
	assert_int_equal(walk.error, 0);
	/* 512, 513, 514 and the last went before it came there */
	assert_int_equal(walk.n_found, N_CLIENTS - 4);
	assert_int_equal(walk.n_rows, N_CLIENTS - 4);
	for (size_t i = 1; i < walk.n_rows; i++)
		assert_true(strcmp(walk.rows[i - 1].id, walk.rows[i].id) < 0);
	hw_session_walk_fini(&walk);
	crowd_destroy(crowd);
}

static void it_ends_whom_it_is_told_to_a_few_in_a_turn(void **state)
{
	struct crowd *crowd = crowd_create();
	struct hw_session_walk walk = {.worker = &crowd->w.worker,
		.match.tenant = HW_STR("acme"),
		.close_code = 4403,
		.reason = HW_STR("away"),
		.done = on_done};
	size_t n = 0;

	(void)state;
	hw_session_walk_start(&walk);
	turn(crowd);
	for (size_t i = 0; i < N_CLIENTS; i++)
		n += hw_session_closed(crowd->clients[i].session);
	assert_in_range(n, 1, 20);
	for (int i = 0; i < 100 && !n_done; i++)
		turn(crowd);
	assert_int_equal(n_done, 1);
	assert_int_equal(walk.n_found, N_CLIENTS / 2);
	for (size_t i = 0; i < N_CLIENTS; i++)
		assert_int_equal(hw_session_closed(crowd->clients[i].session), i % 2);
	hw_session_walk_fini(&walk);
	crowd_destroy(crowd);
}

static void the_workers_end_and_a_cancel_end_it(void **state)
{
	struct crowd *crowd = crowd_create();
	struct hw_session_walk first = {.worker = &crowd->w.worker, .limit = 5, .done = on_done},
			       second = first;

	(void)state;
	hw_session_walk_start(&first);
	hw_session_walk_start(&second);
	turn(crowd);
	hw_session_walk_cancel(&first);
	hw_session_walk_cancel(&first);
	assert_int_equal(n_done, 1);
	assert_int_equal(first.error, -ECANCELED);
	assert_int_equal(first.n_rows, 5);
	hw_session_walk_fini(&first);
	crowd_destroy(crowd);
	assert_int_equal(n_done, 2);
	assert_int_equal(second.error, -ECANCELED);
	hw_session_walk_fini(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_come_and_go_under_it),
		cmocka_unit_test(it_ends_whom_it_is_told_to_a_few_in_a_turn),
		cmocka_unit_test(the_workers_end_and_a_cancel_end_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
