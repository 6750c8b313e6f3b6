#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "hook/identity.h"
#include "hub/tenant.h"

enum { THREADS = 4, ROUNDS = 200 };

struct house {
	struct hw_hash_key hash_key;
	struct hw_tickets tickets;
	struct hw_tenant tenant; /* its quota alone */
	struct hw_identity *ann;
};

static void house_init(struct house *h)
{
	struct hw_identity ann = {
		.user_id = HW_STR("ann"), .tenant_id = HW_STR("acme"), .claims = HW_STR("{}")};

	memset(h, 0, sizeof(*h));
	h->hash_key = (struct hw_hash_key){1, 2};
	hw_tickets_init(&h->tickets, &h->hash_key);
	hw_quota_init(&h->tenant.tickets, 3);
	h->ann = hw_identity_create(&ann);
	assert_non_null(h->ann);
}

static void house_fini(struct house *h)
{
	hw_tickets_fini(&h->tickets);
	assert_int_equal(atomic_load(&h->tenant.tickets.used), 0);
	assert_int_equal(atomic_load(&h->ann->n_refs), 1);
	hw_identity_unref(&h->ann);
}

static int make(struct house *h, int64_t now_ms, char out[HW_TICKET_LEN + 1])
{
	return hw_ticket_make(&h->tickets, &h->tenant, h->ann, now_ms, out);
}

static bool take(struct house *h, const char *text, int64_t now_ms)
{
	struct hw_identity *who = hw_ticket_take(&h->tickets, hw_str_of(text), now_ms);
	bool found = who == h->ann;

	hw_identity_unref(&who);
	return found;
}

static void a_ticket_is_good_once(void **state)
{
	char one[HW_TICKET_LEN + 1], two[HW_TICKET_LEN + 1];
	struct house h;

	(void)state;
	house_init(&h);
	assert_int_equal(make(&h, 0, one), 0);
	assert_int_equal(make(&h, 0, two), 0);
	assert_int_equal(strlen(one), HW_TICKET_LEN);
	assert_string_not_equal(one, two);
	assert_false(take(&h, "", 1));
	assert_false(take(&h, "no such", 1));
	assert_true(take(&h, one, 1));
	assert_false(take(&h, one, 1));
	assert_true(take(&h, two, 1));
	house_fini(&h);
}

static void a_ticket_is_good_for_thirty_seconds(void **state)
{
	char text[HW_TICKET_LEN + 1];
	struct house h;

	(void)state;
	house_init(&h);
	assert_int_equal(make(&h, 500, text), 0);
	assert_true(take(&h, text, 500 + HW_TICKET_MS - 1));
	assert_int_equal(make(&h, 500, text), 0);
	assert_false(take(&h, text, 500 + HW_TICKET_MS));
	house_fini(&h);
}

static void a_tenant_has_so_many_until_they_are_used_or_old(void **state)
{
	char text[3][HW_TICKET_LEN + 1], more[HW_TICKET_LEN + 1];
	struct house h;

	(void)state;
	house_init(&h);
	for (int i = 0; i < 3; i++)
		assert_int_equal(make(&h, i, text[i]), 0);
	assert_int_equal(make(&h, 3, more), -EDQUOT);
	assert_true(take(&h, text[1], 3));
	assert_int_equal(make(&h, 4, text[1]), 0);
	assert_int_equal(make(&h, HW_TICKET_MS - 1, more), -EDQUOT);
	assert_int_equal(make(&h, HW_TICKET_MS, more), 0); /* the first is too old */
	hw_tickets_trim(&h.tickets, 4 * HW_TICKET_MS);
	assert_int_equal(atomic_load(&h.tenant.tickets.used), 0);
	house_fini(&h);
}

/* What is kept is of no use to who reads it. */
static void the_text_is_not_kept(void **state)
{
	char text[HW_TICKET_LEN + 1];
	struct house h;

	(void)state;
	house_init(&h);
	assert_int_equal(make(&h, 0, text), 0);
	for (hw_map_each (&h.tickets.by_digest, i))
		assert_false(hw_str_eq(h.tickets.by_digest.slots[i].key, hw_str_of(text)));
	house_fini(&h);
}

struct racer {
	struct house *house;
	const char *text;
	pthread_barrier_t *start;
	bool won;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->start);
	r->won = take(r->house, r->text, 1);
	return NULL;
}

static void of_several_threads_one_gets_it(void **state)
{
	struct house h;

	(void)state;
	house_init(&h);
	for (int round = 0; round < ROUNDS; round++) {
		char text[HW_TICKET_LEN + 1];
		struct racer racers[THREADS];
		pthread_t threads[THREADS];
		pthread_barrier_t start;
		int n = 0;

		assert_int_equal(make(&h, 0, text), 0);
		pthread_barrier_init(&start, NULL, THREADS);
		for (int i = 0; i < THREADS; i++) {
			racers[i] = (struct racer){&h, text, &start, false};
			assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
		}
		for (int i = 0; i < THREADS; i++) {
			pthread_join(threads[i], NULL);
			n += racers[i].won;
		}
		pthread_barrier_destroy(&start);
		assert_int_equal(n, 1);
	}
	house_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ticket_is_good_once),
		cmocka_unit_test(a_ticket_is_good_for_thirty_seconds),
		cmocka_unit_test(a_tenant_has_so_many_until_they_are_used_or_old),
		cmocka_unit_test(the_text_is_not_kept),
		cmocka_unit_test(of_several_threads_one_gets_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
