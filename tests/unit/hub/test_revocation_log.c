/* The log of revocations over a store that is this test: it keeps no more than it is told to, so
 * that what the log lets go too early is missing the next time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/revocation_log.h"

enum {
	ROWS = 8192,
	ROW_BYTES = 256,
	N_REVOKED = 700, /* more than a part of the list */
	N_TAKEN_BACK = 100,
	STEPS = 64, /* more than any of it takes */
};

/* ---- when memory is short ---- */

static unsigned fails_after; /* so many allocations from when all is read on, once; 0: never */
static bool is_read;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool fails(void)
{
	return is_read && fails_after && --fails_after == 0;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

/* ---- the store ---- */

static struct {
	size_t n, first; /* rows, and which of them is the first that is still kept */
	uint64_t keep;
	char text[ROWS][ROW_BYTES];
} stored;

int __wrap_hw_store_tenant(
	struct hw_store *store, struct hw_str tenant, uint64_t *epoch, uint64_t *last);
bool __wrap_hw_store_retains(const struct hw_store *store);
void __wrap_hw_store_retain(struct hw_store *store, struct hw_str tenant,
	const struct hw_journal_class *classes, size_t n);
void __wrap_hw_store_append(struct hw_store *store, struct hw_store_append *append);
void __wrap_hw_store_read(struct hw_store *store, struct hw_store_read *read);

int __wrap_hw_store_tenant(
	struct hw_store *store, struct hw_str tenant, uint64_t *epoch, uint64_t *last)
{
	(void)store, (void)tenant;
	*epoch = 1;
	*last = stored.n;
	return 0;
}

bool __wrap_hw_store_retains(const struct hw_store *store)
{
	(void)store;
	return true;
}

static void let_go(void)
{
	while (stored.n - stored.first > stored.keep)
		stored.first++;
}

void __wrap_hw_store_retain(struct hw_store *store, struct hw_str tenant,
	const struct hw_journal_class *classes, size_t n)
{
	(void)store, (void)tenant;
	assert_int_equal(n, 1);
	stored.keep = classes[0].count;
	let_go();
}

void __wrap_hw_store_append(struct hw_store *store, struct hw_store_append *append)
{
	(void)store;
	for (size_t i = 0; i < append->n; i++) {
		struct hw_slice event = append->events[i].event;

		assert_in_range(stored.n, 0, ROWS - 1);
		assert_in_range(event.len, 1, ROW_BYTES - 1);
		memcpy(stored.text[stored.n], event.p, event.len);
		stored.text[stored.n++][event.len] = '\0';
	}
	let_go();
	append->answered(append, 0, stored.n - append->n + 1);
}

void __wrap_hw_store_read(struct hw_store *store, struct hw_store_read *read)
{
	static struct hw_journal_event events[ROWS];
	uint64_t gone = stored.first;
	struct hw_journal_rows rows = {.size = sizeof(rows), .events = events, .gone = &gone};

	(void)store;
	for (size_t i = stored.first; i < stored.n; i++) {
		if (i + 1 <= read->query.after)
			continue;
		if (rows.n == read->query.limit) {
			rows.more = 1;
			break;
		}
		events[rows.n++] = (struct hw_journal_event){
			.number = i + 1, .event = {stored.text[i], strlen(stored.text[i])}};
	}
	read->answered(read, 0, &rows);
	is_read = !rows.more;
}

/* ---- a broker ---- */

struct world {
	struct hw_revocations list;
	struct hw_revocation_log log;
};

static const struct hw_hash_key hash_key = {5, 6};

/* Until nothing is left to do; what fails is begun again. */
static void settle(struct world *w)
{
	for (int i = 0; i < STEPS; i++)
		if (hw_revocation_log_step(&w->log) == 0)
			return;
	fail_msg("it does not come to an end");
}

static void begin(struct world *w)
{
	hw_revocations_init(&w->list, &hash_key);
	hw_revocation_log_init(&w->log, &w->list, (struct hw_store *)&stored, &hw_clock_system);
	is_read = stored.n == 0;
	while (!hw_revocation_log_is_read(&w->log)) {
		int r = hw_revocation_log_step(&w->log); /* and begins what is next */

		assert_true(r >= 0 || (is_read && r == -ENOMEM));
	}
}

static void end(struct world *w)
{
	assert_int_equal(hw_revocation_log_closed(&w->log), 0);
	hw_revocation_log_fini(&w->log);
	hw_revocations_fini(&w->list);
}

static void revoke(struct world *w, unsigned n)
{
	char jti[16];
	struct hw_revocation what = {.kind = HW_REVOKED_TOKEN};
	uint64_t number;

	snprintf(jti, sizeof(jti), "t%u", n);
	what.name = hw_str_of(jti);
	assert_int_equal(hw_revocations_add(&w->list, &what, 1, &number), 0);
}

static bool count_one(void *arg, const struct hw_revocation *what)
{
	unsigned *n = arg;
	char jti[16];

	snprintf(jti, sizeof(jti), "t%u", N_TAKEN_BACK + ++*n);
	return hw_str_eq(what->name, hw_str_of(jti));
}

static unsigned n_in_force(struct world *w)
{
	unsigned n = 0;

	assert_int_equal(hw_revocations_each(&w->list, 0, count_one, &n), 0);
	return n;
}

/* A list of which there is something to let go. */
static void fill(void)
{
	struct world w;

	stored.n = stored.first = 0;
	stored.keep = ROWS;
	begin(&w);
	for (unsigned n = 1; n <= N_REVOKED; n++)
		revoke(&w, n);
	settle(&w);
	for (unsigned n = 1; n <= N_TAKEN_BACK; n++) {
		assert_true(hw_revocation_log_unrevoke(&w.log, n));
		settle(&w);
	}
	end(&w);
}

/* ---- the tests ---- */

static void test_the_list_is_said_again_and_the_rest_goes(void **state)
{
	struct world w;

	(void)state;
	fill();
	begin(&w);
	assert_int_equal(n_in_force(&w), N_REVOKED - N_TAKEN_BACK);
	settle(&w);
	end(&w);
	assert_int_equal(stored.n - stored.first, N_REVOKED - N_TAKEN_BACK + 2);
	begin(&w);
	assert_int_equal(n_in_force(&w), N_REVOKED - N_TAKEN_BACK);
	end(&w);
}

/* Whichever allocation fails: nothing that is in force is let go. */
static void test_a_list_that_memory_was_short_for_is_said_from_its_beginning(void **state)
{
	struct world w;
	bool came = true;

	(void)state;
	for (unsigned k = 1; came; k++) {
		fill();
		fails_after = k;
		begin(&w);
		settle(&w);
		came = fails_after == 0;
		fails_after = 0;
		end(&w);
		begin(&w);
		assert_int_equal(n_in_force(&w), N_REVOKED - N_TAKEN_BACK);
		end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_list_is_said_again_and_the_rest_goes),
		cmocka_unit_test(test_a_list_that_memory_was_short_for_is_said_from_its_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
