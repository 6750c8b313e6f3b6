#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "hub/seats.h"

static void tenant_init(struct hw_tenant *t, uint64_t connections, uint64_t subscriptions)
{
	static const struct hw_hash_key key = {1, 2};

	memset(t, 0, sizeof(*t));
	hw_quota_init(&t->connections, connections);
	hw_quota_init(&t->subscriptions, subscriptions);
	hw_seats_init(&t->seats, &key);
}

static void used(struct hw_tenant *t, uint64_t connections, uint64_t subscriptions)
{
	assert_int_equal(atomic_load(&t->connections.used), connections);
	assert_int_equal(atomic_load(&t->subscriptions.used), subscriptions);
}

static void a_seat_counts_once_until_its_last_session_leaves(void **state)
{
	struct hw_seat_name ann = {.key = {1}, .n_subscriptions = 3}, bob = {.key = {2}};
	struct hw_seat *first, *second, *other;
	struct hw_tenant t;

	(void)state;
	tenant_init(&t, 2, 10);
	assert_int_equal(hw_seat_take(&t, &ann, &first), 0);
	assert_int_equal(hw_seat_take(&t, &ann, &second), 0);
	used(&t, 1, 3);
	assert_int_equal(hw_seat_take(&t, &bob, &other), 0);
	used(&t, 2, 3);
	hw_seat_leave(&first);
	assert_null(first);
	used(&t, 2, 3);
	hw_seat_leave(&second);
	used(&t, 1, 0);
	hw_seat_leave(&other);
	used(&t, 0, 0);
	hw_seats_fini(&t.seats);
}

static void without_room_nothing_is_charged(void **state)
{
	struct hw_seat_name ann = {.key = {1}, .n_subscriptions = 3},
			    bob = {.key = {2}, .n_subscriptions = 3},
			    eve = {.key = {3}, .n_subscriptions = 1};
	struct hw_seat *first, *second, *none = NULL;
	struct hw_tenant t;

	(void)state;
	tenant_init(&t, 2, 4);
	assert_int_equal(hw_seat_take(&t, &ann, &first), 0);
	assert_int_equal(hw_seat_take(&t, &bob, &none), HW_SEAT_SUBSCRIPTIONS);
	used(&t, 1, 3);
	assert_int_equal(hw_seat_take(&t, &eve, &second), 0);
	assert_int_equal(hw_seat_take(&t, &bob, &none), HW_SEAT_CONNECTIONS);
	used(&t, 2, 4);
	assert_null(none);
	hw_seat_leave(&first);
	hw_seat_leave(&second);
	used(&t, 0, 0);
	hw_seats_fini(&t.seats);
}

static void a_seat_does_not_hold_any_number_of_sessions(void **state)
{
	struct hw_seat *seats[HW_SEAT_SESSIONS], *none = NULL;
	struct hw_seat_name ann = {.key = {1}};
	struct hw_tenant t;

	(void)state;
	tenant_init(&t, 2, 4);
	for (int i = 0; i < HW_SEAT_SESSIONS; i++)
		assert_int_equal(hw_seat_take(&t, &ann, &seats[i]), 0);
	assert_int_equal(hw_seat_take(&t, &ann, &none), HW_SEAT_CONNECTIONS);
	hw_seat_leave(&seats[0]);
	assert_int_equal(hw_seat_take(&t, &ann, &seats[0]), 0);
	for (int i = 0; i < HW_SEAT_SESSIONS; i++)
		hw_seat_leave(&seats[i]);
	used(&t, 0, 0);
	hw_seats_fini(&t.seats);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seat_counts_once_until_its_last_session_leaves),
		cmocka_unit_test(without_room_nothing_is_charged),
		cmocka_unit_test(a_seat_does_not_hold_any_number_of_sessions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
