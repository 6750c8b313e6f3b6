#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/quota.h"
#include "random.h"

static void charges_up_to_the_limit(void **state HW_UNUSED)
{
	struct hw_quota q;

	hw_quota_init(&q, 10);
	assert_true(hw_quota_charge(&q, 4));
	assert_false(hw_quota_charge(&q, 7));
	assert_true(hw_quota_charge(&q, 6));
	assert_true(hw_quota_charge(&q, 0));
	assert_false(hw_quota_charge(&q, 1));
	hw_quota_release(&q, 3);
	assert_true(hw_quota_has_room(&q, 3));
	assert_false(hw_quota_has_room(&q, 4));
	assert_true(hw_quota_charge(&q, 3));
	assert_true(hw_quota_has_room(&q, 0));
	hw_quota_limit(&q, 5);
	assert_false(hw_quota_has_room(&q, 0));
	hw_quota_release(&q, 10);
	assert_int_equal(q.used, 0);
}

static void huge_charges_do_not_wrap(void **state HW_UNUSED)
{
	struct hw_quota q;

	hw_quota_init(&q, 10);
	assert_true(hw_quota_charge(&q, 5));
	assert_false(hw_quota_charge(&q, UINT64_MAX));
	assert_false(hw_quota_charge(&q, UINT64_MAX - 4));
	hw_quota_init(&q, UINT64_MAX);
	assert_true(hw_quota_charge(&q, UINT64_MAX - 1));
	assert_false(hw_quota_charge(&q, 2));
	assert_true(hw_quota_charge(&q, 1));
}

static void a_lower_limit_waits_for_releases(void **state HW_UNUSED)
{
	struct hw_quota q;

	hw_quota_init(&q, 10);
	assert_true(hw_quota_charge(&q, 8));
	hw_quota_limit(&q, 5);
	assert_false(hw_quota_charge(&q, 1));
	assert_false(hw_quota_charge(&q, 0));
	hw_quota_release(&q, 4);
	assert_true(hw_quota_charge(&q, 1));
	assert_false(hw_quota_charge(&q, 1));
	hw_quota_limit(&q, UINT64_MAX);
	assert_true(hw_quota_charge(&q, UINT64_MAX / 2));
}

#define N_THREADS 4

struct worker {
	struct hw_quota *quota;
	struct hw_rate *rate;
	uint64_t n_taken;
	uint64_t seed;
};

static void run(void *(*what)(void *), struct worker *workers)
{
	pthread_t threads[N_THREADS];

	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, what, &workers[i]), 0);
	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void *charge_until_full(void *arg)
{
	struct worker *w = arg;

	while (hw_quota_charge(w->quota, 1))
		w->n_taken++;
	return NULL;
}

static void threads_get_exactly_the_limit(void **state HW_UNUSED)
{
	struct hw_quota q;
	struct worker workers[N_THREADS];
	uint64_t sum = 0;

	hw_quota_init(&q, 100003);
	for (int i = 0; i < N_THREADS; i++)
		workers[i] = (struct worker){.quota = &q};
	run(charge_until_full, workers);
	for (int i = 0; i < N_THREADS; i++)
		sum += workers[i].n_taken;
	assert_int_equal(sum, 100003);
	assert_int_equal(q.used, 100003);
}

static void *charge_and_release(void *arg)
{
	struct worker *w = arg;
	struct random r = {w->seed};

	for (int i = 0; i < 30000; i++) {
		uint64_t n = random_below(&r, 60);

		if (hw_quota_charge(w->quota, n)) {
			w->n_taken += atomic_load(&w->quota->used) > 100;
			hw_quota_release(w->quota, n);
		}
	}
	return NULL;
}

static void threads_never_exceed_the_limit(void **state HW_UNUSED)
{
	struct random r = random_start("quota");
	struct hw_quota q;
	struct worker workers[N_THREADS];

	hw_quota_init(&q, 100);
	for (int i = 0; i < N_THREADS; i++)
		workers[i] = (struct worker){.quota = &q, .seed = random_next(&r)};
	run(charge_and_release, workers);
	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(workers[i].n_taken, 0);
	assert_int_equal(q.used, 0);
}

static uint64_t take_all(struct hw_rate *r, int64_t now_us)
{
	uint64_t n = 0;

	while (hw_rate_take(r, 1, now_us) == 0)
		n++;
	return n;
}

static void a_bucket_holds_one_second(void **state HW_UNUSED)
{
	static const uint64_t rates[] = {1, 2, 3, 7, 10, 333, 1000, 9999};

	for (size_t i = 0; i < HW_COUNT(rates); i++) {
		struct hw_rate r;

		hw_rate_init(&r, rates[i]);
		assert_int_equal(take_all(&r, 5000000), rates[i]);
		/* and has filled up again a second later, not more however long it takes */
		assert_int_equal(take_all(&r, 6000000), rates[i]);
		assert_int_equal(take_all(&r, INT64_C(86400000000)), rates[i]);
	}
}

static void zero_is_no_limit(void **state HW_UNUSED)
{
	struct hw_rate r;

	hw_rate_init(&r, 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(hw_rate_take(&r, UINT64_MAX, 0), 0);
}

static void nothing_costs_nothing(void **state HW_UNUSED)
{
	struct hw_rate r;

	hw_rate_init(&r, 1);
	assert_int_equal(hw_rate_take(&r, 1, 0), 0);
	assert_int_equal(hw_rate_take(&r, 0, 0), 0);
	assert_true(hw_rate_take(&r, 1, 0) > 0);
}

static void the_told_wait_is_enough_and_needed(void **state HW_UNUSED)
{
	struct random rnd = random_start("rate");

	for (int round = 0; round < 20000; round++) {
		uint64_t per_s = 1 + random_below(&rnd, 1u << random_below(&rnd, 20));
		uint64_t n = 1 + random_below(&rnd, per_s);
		int64_t now_us = (int64_t)random_below(&rnd, UINT64_C(1) << 50);
		struct hw_rate r, early;
		int64_t wait;

		hw_rate_init(&r, per_s);
		assert_int_equal(hw_rate_take(&r, per_s, now_us), 0);
		wait = hw_rate_take(&r, n, now_us);
		assert_true(wait >= 1);
		assert_true(wait <= 1000);
		atomic_init(&early.per_s, per_s);
		atomic_init(&early.spent_ns, atomic_load(&r.spent_ns));
		if (wait > 1)
			assert_true(hw_rate_take(&early, n, now_us + (wait - 1) * 1000) >= 1);
		assert_int_equal(hw_rate_take(&r, n, now_us + wait * 1000), 0);
	}
}

static void the_long_run_is_the_rate(void **state HW_UNUSED)
{
	static const uint64_t rates[] = {1, 3, 30, 1000, 123456, 700000, 3000000};
	struct random rnd = random_start("rate in the long run");

	for (size_t i = 0; i < HW_COUNT(rates); i++) {
		struct hw_rate r;
		int64_t now_us = 0;
		uint64_t n_taken = 0;
		uint64_t expected;

		hw_rate_init(&r, rates[i]);
		while (now_us < 20 * 1000000) {
			uint64_t n = 1 + random_below(&rnd, rates[i] / 20 + 1);
			int64_t wait = hw_rate_take(&r, n, now_us);

			if (wait == 0)
				n_taken += n;
			else
				now_us += wait * 1000;
		}
		/* twenty seconds and the bucket, give or take the last refusal and 0.3 % */
		expected = rates[i] * 21;
		assert_true(n_taken <= expected + expected / 300 + 1);
		assert_true(n_taken >= expected - expected / 100 - 2);
	}
}

static void a_large_batch_is_taken_from_a_full_bucket(void **state HW_UNUSED)
{
	struct hw_rate r;

	hw_rate_init(&r, 10);
	assert_int_equal(hw_rate_take(&r, 1, 0), 0);
	assert_int_equal(hw_rate_take(&r, 25, 0), 100);
	assert_int_equal(hw_rate_take(&r, 25, 100000), 0);
	/* 25 tokens are 2.5 seconds; a bucket of one second has room for one again at 1.6 */
	assert_int_equal(hw_rate_take(&r, 1, 100000), 1600);
	assert_int_equal(hw_rate_take(&r, 1, 1700000), 0);
}

static void absurd_numbers_stay_numbers(void **state HW_UNUSED)
{
	struct hw_rate r;

	hw_rate_init(&r, 1);
	assert_int_equal(hw_rate_take(&r, UINT64_MAX, 0), 0);
	assert_true(hw_rate_take(&r, UINT64_MAX, 0) > INT64_C(31556952000));
	assert_true(hw_rate_take(&r, 1, 0) > INT64_C(31556952000));
	hw_rate_init(&r, UINT64_MAX);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(hw_rate_take(&r, 1000000, 0), 0);
	assert_int_equal(hw_rate_take(&r, UINT64_MAX, 0), 0);
	assert_true(hw_rate_take(&r, UINT64_MAX, 0) >= 1);
}

static void only_another_rate_forgives(void **state HW_UNUSED)
{
	struct hw_rate r;

	hw_rate_init(&r, 10);
	assert_int_equal(take_all(&r, 0), 10);
	hw_rate_limit(&r, 10);
	assert_int_equal(take_all(&r, 0), 0);
	hw_rate_limit(&r, 20);
	assert_int_equal(take_all(&r, 0), 20);
	hw_rate_limit(&r, 0);
	assert_int_equal(hw_rate_take(&r, 1000, 0), 0);
}

static void *take_until_empty(void *arg)
{
	struct worker *w = arg;

	w->n_taken = take_all(w->rate, 1000000);
	return NULL;
}

static void threads_share_a_bucket_exactly(void **state HW_UNUSED)
{
	struct hw_rate r;
	struct worker workers[N_THREADS];
	uint64_t sum = 0;

	hw_rate_init(&r, 100000);
	for (int i = 0; i < N_THREADS; i++)
		workers[i] = (struct worker){.rate = &r};
	run(take_until_empty, workers);
	for (int i = 0; i < N_THREADS; i++)
		sum += workers[i].n_taken;
	assert_int_equal(sum, 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(charges_up_to_the_limit),
		cmocka_unit_test(huge_charges_do_not_wrap),
		cmocka_unit_test(a_lower_limit_waits_for_releases),
		cmocka_unit_test(threads_get_exactly_the_limit),
		cmocka_unit_test(threads_never_exceed_the_limit),
		cmocka_unit_test(a_bucket_holds_one_second),
		cmocka_unit_test(zero_is_no_limit),
		cmocka_unit_test(nothing_costs_nothing),
		cmocka_unit_test(the_told_wait_is_enough_and_needed),
		cmocka_unit_test(the_long_run_is_the_rate),
		cmocka_unit_test(a_large_batch_is_taken_from_a_full_bucket),
		cmocka_unit_test(absurd_numbers_stay_numbers),
		cmocka_unit_test(only_another_rate_forgives),
		cmocka_unit_test(threads_share_a_bucket_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
