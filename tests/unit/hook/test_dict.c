#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook/dict.h"

#define ACME HW_STR("acme")
#define BETA HW_STR("beta")

static struct hw_dict_value bytes(const char *text)
{
	return (struct hw_dict_value){HW_DICT_BYTES, hw_str_of(text)};
}

static int set(struct hw_dict *d, struct hw_str space, const char *key, const char *text,
	int64_t ttl_ms, int64_t now_ms)
{
	struct hw_dict_value value = bytes(text);

	return hw_dict_set(d, space, hw_str_of(key), &value, ttl_ms, now_ms);
}

/* NULL: absent */
static void assert_holds(
	struct hw_dict *d, struct hw_str space, const char *key, int64_t now_ms, const char *text)
{
	enum hw_dict_kind kind;
	struct hw_buf buf;

	hw_buf_init(&buf);
	assert_int_equal(hw_dict_get(d, space, hw_str_of(key), now_ms, &kind, &buf),
		text ? HW_DICT_OK : HW_DICT_ABSENT);
	if (text) {
		hw_buf_putc(&buf, '\0');
		assert_string_equal(buf.data, text);
	}
	hw_buf_fini(&buf);
}

static void what_is_set_is_got_in_its_space_alone(void **state HW_UNUSED)
{
	struct hw_dict *d = hw_dict_create();

	assert_int_equal(set(d, ACME, "k", "one", 0, 0), HW_DICT_OK);
	assert_int_equal(set(d, HW_STR(""), "k", "global", 0, 0), HW_DICT_OK);
	assert_holds(d, ACME, "k", 0, "one");
	assert_holds(d, BETA, "k", 0, NULL);
	assert_holds(d, HW_STR(""), "k", 0, "global");
	assert_int_equal(set(d, ACME, "k", "a much longer text than before", 0, 0), HW_DICT_OK);
	assert_holds(d, ACME, "k", 0, "a much longer text than before");
	assert_int_equal(set(d, ACME, "k", "", 0, 0), HW_DICT_OK);
	assert_holds(d, ACME, "k", INT64_MAX - 1, "");
	assert_int_equal(hw_dict_delete(d, ACME, HW_STR("k"), 0), HW_DICT_OK);
	assert_int_equal(hw_dict_delete(d, ACME, HW_STR("k"), 0), HW_DICT_ABSENT);
	assert_holds(d, ACME, "k", 0, NULL);
	assert_int_equal(hw_dict_bytes(d, ACME), 0);
	hw_dict_destroy(&d);
}

static void a_value_ends_when_its_time_is_over(void **state HW_UNUSED)
{
	struct hw_dict *d = hw_dict_create();

	assert_int_equal(set(d, ACME, "a", "1", 100, 1000), HW_DICT_OK);
	assert_int_equal(set(d, ACME, "b", "2", 50, 1000), HW_DICT_OK);
	assert_holds(d, ACME, "b", 1049, "2");
	assert_holds(d, ACME, "b", 1050, NULL);
	assert_holds(d, ACME, "a", 1099, "1");
	/* set anew it begins anew, without a time it stays */
	assert_int_equal(set(d, ACME, "a", "1", 100, 1099), HW_DICT_OK);
	assert_holds(d, ACME, "a", 1198, "1");
	assert_int_equal(set(d, ACME, "a", "1", 0, 1198), HW_DICT_OK);
	assert_holds(d, ACME, "a", 1000000, "1");
	assert_int_equal(set(d, ACME, "a", "1", INT64_MAX, 1198), HW_DICT_OK);
	assert_holds(d, ACME, "a", INT64_MAX - 1, "1");
	assert_int_equal(set(d, ACME, "a", "1", 1, 2000), HW_DICT_OK);
	assert_int_not_equal(hw_dict_bytes(d, ACME), 0);
	hw_dict_trim(d, 2001);
	assert_int_equal(hw_dict_bytes(d, ACME), 0);
	hw_dict_destroy(&d);
}

static void add_is_for_what_is_absent(void **state HW_UNUSED)
{
	struct hw_dict *d = hw_dict_create();
	struct hw_dict_value one = bytes("1"), two = bytes("2");

	assert_int_equal(hw_dict_add(d, ACME, HW_STR("k"), &one, 10, 0), HW_DICT_OK);
	assert_int_equal(hw_dict_add(d, ACME, HW_STR("k"), &two, 10, 9), HW_DICT_PRESENT);
	assert_holds(d, ACME, "k", 9, "1");
	assert_int_equal(hw_dict_add(d, ACME, HW_STR("k"), &two, 10, 10), HW_DICT_OK);
	assert_holds(d, ACME, "k", 10, "2");
	hw_dict_destroy(&d);
}

static void incr_counts_in_a_window_that_stays(void **state HW_UNUSED)
{
	struct hw_dict *d = hw_dict_create();
	int64_t n = 0;

	assert_int_equal(hw_dict_incr(d, ACME, HW_STR("k"), 1, 100, 0, &n), HW_DICT_OK);
	assert_int_equal(n, 1);
	assert_int_equal(hw_dict_incr(d, ACME, HW_STR("k"), 41, 100, 99, &n), HW_DICT_OK);
	assert_int_equal(n, 42);
	assert_int_equal(hw_dict_incr(d, ACME, HW_STR("k"), -1, 100, 100, &n), HW_DICT_OK);
	assert_int_equal(n, -1);
	assert_int_equal(hw_dict_incr(d, ACME, HW_STR("k"), INT64_MIN + 1, 0, 100, &n), HW_DICT_OK);
	assert_int_equal(n, INT64_MIN);
	assert_int_equal(hw_dict_incr(d, ACME, HW_STR("k"), -1, 0, 100, &n), HW_DICT_DIFFERENT);
	assert_holds(d, ACME, "k", 100, "-9223372036854775808");
	/* a text that is an integer counts as one */
	assert_int_equal(set(d, ACME, "t", "7", 0, 0), HW_DICT_OK);
	assert_int_equal(hw_dict_incr(d, ACME, HW_STR("t"), 1, 0, 0, &n), HW_DICT_OK);
	assert_int_equal(n, 8);
	for (size_t i = 0; i < 7; i++) {
		static const char *const none[] = {"", "7x", " 7", "1.5", "--1",
			"9223372036854775808", "a text that is no number"};

		assert_int_equal(set(d, ACME, "t", none[i], 0, 0), HW_DICT_OK);
		assert_int_equal(
			hw_dict_incr(d, ACME, HW_STR("t"), 1, 0, 0, &n), HW_DICT_DIFFERENT);
		assert_holds(d, ACME, "t", 0, none[i]);
	}
	assert_int_equal(n, 8);
	hw_dict_destroy(&d);
}

static void cas_replaces_only_what_is_expected(void **state HW_UNUSED)
{
	struct hw_dict_value one = bytes("1"), two = bytes("2"),
			     number = {HW_DICT_INTEGER, HW_STR("2")};
	struct hw_dict *d = hw_dict_create();

	assert_int_equal(hw_dict_cas(d, ACME, HW_STR("k"), &one, true, &two, 0, 0), HW_DICT_ABSENT);
	assert_int_equal(hw_dict_set(d, ACME, HW_STR("k"), &one, 0, 0), HW_DICT_OK);
	assert_int_equal(
		hw_dict_cas(d, ACME, HW_STR("k"), &two, true, &one, 0, 0), HW_DICT_DIFFERENT);
	assert_int_equal(hw_dict_cas(d, ACME, HW_STR("k"), &one, false, &number, 0, 0), HW_DICT_OK);
	assert_int_equal(
		hw_dict_cas(d, ACME, HW_STR("k"), &two, false, &one, 0, 0), HW_DICT_DIFFERENT);
	assert_int_equal(hw_dict_cas(d, ACME, HW_STR("k"), &two, true, &one, 0, 0), HW_DICT_OK);
	assert_holds(d, ACME, "k", 0, "1");
	hw_dict_destroy(&d);
}

static void what_is_too_long_is_refused(void **state HW_UNUSED)
{
	static char large[HW_DICT_VALUE_MAX + 1];
	struct hw_dict *d = hw_dict_create();
	struct hw_dict_value v = {HW_DICT_BYTES, {large, HW_DICT_VALUE_MAX}}, one = bytes("1");
	int64_t n;

	memset(large, 'x', sizeof(large));
	assert_int_equal(hw_dict_set(d, ACME, HW_STR("k"), &v, 0, 0), HW_DICT_OK);
	v.text.len++;
	assert_int_equal(hw_dict_set(d, ACME, HW_STR("k"), &v, 0, 0), HW_DICT_TOO_LONG);
	assert_int_equal(hw_dict_add(d, ACME, HW_STR("j"), &v, 0, 0), HW_DICT_TOO_LONG);
	assert_int_equal(hw_dict_cas(d, ACME, HW_STR("k"), &one, true, &v, 0, 0), HW_DICT_TOO_LONG);
	assert_int_equal(hw_dict_set(d, ACME, (struct hw_str){large, HW_DICT_KEY_MAX}, &one, 0, 0),
		HW_DICT_OK);
	assert_int_equal(
		hw_dict_set(d, ACME, (struct hw_str){large, HW_DICT_KEY_MAX + 1}, &one, 0, 0),
		HW_DICT_TOO_LONG);
	assert_int_equal(hw_dict_set(d, ACME, HW_STR(""), &one, 0, 0), HW_DICT_TOO_LONG);
	assert_int_equal(hw_dict_incr(d, ACME, HW_STR(""), 1, 0, 0, &n), HW_DICT_TOO_LONG);
	hw_dict_destroy(&d);
}

/* Full is full, whoever was there stays; what has ended makes room; another tenant has its own. */
static void a_full_space_takes_nothing_and_loses_nothing(void **state HW_UNUSED)
{
	static char large[HW_DICT_VALUE_MAX];
	struct hw_dict *d = hw_dict_create();
	struct hw_dict_value v = {HW_DICT_BYTES, {large, sizeof(large)}};
	char key[16];
	int n = 0, rc;

	for (;; n++) {
		snprintf(key, sizeof(key), "k%d", n);
		rc = hw_dict_set(d, ACME, hw_str_of(key), &v, n % 2 ? 100 : 0, 0);
		if (rc != HW_DICT_OK)
			break;
		assert_true(hw_dict_bytes(d, ACME) <= HW_DICT_SPACE_BYTES);
	}
	assert_int_equal(rc, HW_DICT_FULL);
	assert_in_range(n, 60, 64);
	assert_int_equal(hw_dict_set(d, BETA, HW_STR("k"), &v, 0, 0), HW_DICT_OK);
	/* one that is there may be replaced by what is no larger */
	assert_int_equal(hw_dict_set(d, ACME, HW_STR("k0"), &v, 0, 99), HW_DICT_OK);
	assert_int_equal(hw_dict_set(d, ACME, HW_STR("more"), &v, 0, 99), HW_DICT_FULL);
	assert_int_equal(hw_dict_set(d, ACME, HW_STR("more"), &v, 0, 100), HW_DICT_OK);
	for (int i = 0; i < n; i += 2) {
		enum hw_dict_kind kind;
		struct hw_buf buf;

		snprintf(key, sizeof(key), "k%d", i);
		hw_buf_init(&buf);
		assert_int_equal(
			hw_dict_get(d, ACME, hw_str_of(key), 100, &kind, &buf), HW_DICT_OK);
		assert_int_equal(buf.len, sizeof(large));
		hw_buf_fini(&buf);
	}
	hw_dict_destroy(&d);
}

static void all_spaces_together_are_bounded(void **state HW_UNUSED)
{
	static char large[HW_DICT_VALUE_MAX];
	struct hw_dict *d = hw_dict_create();
	struct hw_dict_value v = {HW_DICT_BYTES, {large, sizeof(large)}};
	size_t n_tenants = HW_DICT_TOTAL_BYTES / HW_DICT_SPACE_BYTES + 4, n_stored = 0;
	char space[16], key[16];

	for (size_t t = 0; t < n_tenants; t++) {
		snprintf(space, sizeof(space), "t%zu", t);
		for (int i = 0; i < 70; i++) {
			snprintf(key, sizeof(key), "k%d", i);
			n_stored += hw_dict_set(d, hw_str_of(space), hw_str_of(key), &v, 1, 0) ==
				    HW_DICT_OK;
		}
	}
	assert_true(n_stored * sizeof(large) <= HW_DICT_TOTAL_BYTES);
	assert_true((n_stored + 2) * (sizeof(large) + 256) > HW_DICT_TOTAL_BYTES);
	hw_dict_trim(d, 1);
	assert_int_equal(hw_dict_set(d, ACME, HW_STR("k"), &v, 0, 1), HW_DICT_OK);
	hw_dict_destroy(&d);
}

/* ---- against a model ---- */

#define N_KEYS 40
#define N_STEPS 200000

struct model {
	bool there;
	int64_t ends_ms;
	char text[64];
};

static void it_does_what_a_simple_one_does(void **state HW_UNUSED)
{
	static struct model model[N_KEYS];
	struct hw_dict *d = hw_dict_create();
	uint32_t seed = 12345;
	int64_t now_ms = 0;

	for (int step = 0; step < N_STEPS; step++) {
		uint32_t r = seed = seed * 1664525 + 1013904223;
		struct model *m = &model[(r >> 8) % N_KEYS];
		char key[8], text[64] = "";
		int64_t ttl_ms = (r >> 20) % 3 ? (r >> 16) % 50 : 0;
		struct hw_dict_value v;

		now_ms += (r >> 4) % 3;
		if (m->there && m->ends_ms <= now_ms)
			m->there = false;
		snprintf(key, sizeof(key), "%d", (int)(m - model));
		memset(text, 'a' + (int)(r >> 9) % 26, (r >> 13) % 63);
		v = bytes(text);
		switch ((r >> 28) % 5) {
		case 0:
		case 1:
			assert_int_equal(hw_dict_set(d, ACME, hw_str_of(key), &v, ttl_ms, now_ms),
				HW_DICT_OK);
			m->there = true;
			m->ends_ms = ttl_ms ? now_ms + ttl_ms : INT64_MAX;
			strcpy(m->text, text);
			break;
		case 2:
			assert_int_equal(hw_dict_add(d, ACME, hw_str_of(key), &v, ttl_ms, now_ms),
				m->there ? HW_DICT_PRESENT : HW_DICT_OK);
			if (!m->there) {
				m->there = true;
				m->ends_ms = ttl_ms ? now_ms + ttl_ms : INT64_MAX;
				strcpy(m->text, text);
			}
			break;
		case 3:
			assert_int_equal(hw_dict_delete(d, ACME, hw_str_of(key), now_ms),
				m->there ? HW_DICT_OK : HW_DICT_ABSENT);
			m->there = false;
			break;
		default:
			assert_holds(d, ACME, key, now_ms, m->there ? m->text : NULL);
		}
	}
	for (int i = 0; i < N_KEYS; i++) {
		char key[8];

		snprintf(key, sizeof(key), "%d", i);
		(void)!hw_dict_delete(d, ACME, hw_str_of(key), now_ms);
	}
	hw_dict_trim(d, INT64_MAX - 1);
	assert_int_equal(hw_dict_bytes(d, ACME), 0);
	hw_dict_destroy(&d);
}

/* ---- threads ---- */

#define N_THREADS 4
#define N_HITS 20000

static void *hit(void *arg)
{
	int64_t n;

	for (int i = 0; i < N_HITS; i++) {
		if (hw_dict_incr(arg, ACME, HW_STR("hits"), 1, 0, i, &n) != HW_DICT_OK)
			return arg;
		if (i % 64 == 0)
			hw_dict_trim(arg, i);
	}
	return NULL;
}

static void counting_from_many_threads_loses_nothing(void **state HW_UNUSED)
{
	struct hw_dict *d = hw_dict_create();
	pthread_t threads[N_THREADS];
	int64_t n = 0;
	void *rc;

	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hit, d), 0);
	for (int i = 0; i < N_THREADS; i++) {
		pthread_join(threads[i], &rc);
		assert_null(rc);
	}
	assert_int_equal(hw_dict_incr(d, ACME, HW_STR("hits"), 0, 0, 0, &n), HW_DICT_OK);
	assert_int_equal(n, N_THREADS * N_HITS);
	hw_dict_destroy(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_set_is_got_in_its_space_alone),
		cmocka_unit_test(a_value_ends_when_its_time_is_over),
		cmocka_unit_test(add_is_for_what_is_absent),
		cmocka_unit_test(incr_counts_in_a_window_that_stays),
		cmocka_unit_test(cas_replaces_only_what_is_expected),
		cmocka_unit_test(what_is_too_long_is_refused),
		cmocka_unit_test(a_full_space_takes_nothing_and_loses_nothing),
		cmocka_unit_test(all_spaces_together_are_bounded),
		cmocka_unit_test(it_does_what_a_simple_one_does),
		cmocka_unit_test(counting_from_many_threads_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
