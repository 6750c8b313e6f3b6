#include "chain_world.h"

/* ---- benches, chains, metrics ---- */

static void a_bench_knows_what_its_entries_register(void **state HW_UNUSED)
{
	struct world w;

	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(w.fakes); i++)
		w.fakes[i]->base.registers = 0;
	w.fakes[1]->base.registers = HW_REGISTERS_OPERATION(HW_OP_PUBLISH);
	w.fakes[4]->base.registers = HW_REGISTERS_STAGE(HW_STAGE_TRANSFORM);
	assert_true(hw_hook_bench_has(w.global, HW_STAGE_AUTHORIZE));
	assert_false(hw_hook_bench_has(w.global, HW_STAGE_AUTHENTICATE));
	assert_false(hw_hook_bench_has(w.global, HW_STAGE_TRANSFORM));
	assert_true(hw_hook_bench_has_operation(w.global, HW_OP_PUBLISH));
	assert_false(hw_hook_bench_has_operation(w.global, HW_OP_SUBSCRIBE));
	assert_true(hw_hook_bench_has(w.tenant, HW_STAGE_TRANSFORM));
	assert_false(hw_hook_bench_has(w.tenant, HW_STAGE_AUTHORIZE));
	world_fini(&w);
}

static void a_bench_that_cannot_attach_detaches_what_it_had(void **state HW_UNUSED)
{
	struct hw_hook_entry *entries[3];
	struct hw_hook_bench *bench = NULL;
	struct hw_hook_chain *chain;
	struct world w;

	world_init(&w);
	for (int i = 0; i < 3; i++)
		entries[i] = &w.fakes[i]->base;
	w.fakes[2]->attach_rc = -EIO;
	chain = hw_hook_chain_create(entries, 3);
	assert_int_equal(hw_hook_bench_create(w.env, chain, HW_STR("acme"), 1, &bench), -EIO);
	assert_null(bench);
	assert_int_equal(w.log.n_attached - w.log.n_detached, N_GLOBAL + N_TENANT);
	hw_hook_chain_unref(&chain);
	world_fini(&w);
}

static void a_chains_hash_is_of_its_entries_in_order(void **state HW_UNUSED)
{
	struct hw_hook_entry *ab[2], *ba[2];
	struct hw_hook_chain *a, *b, *same;
	struct world w;

	world_init(&w);
	ab[0] = ba[1] = &w.fakes[0]->base;
	ab[1] = ba[0] = &w.fakes[1]->base;
	a = hw_hook_chain_create(ab, 2);
	b = hw_hook_chain_create(ba, 2);
	same = hw_hook_chain_create(ab, 2);
	assert_memory_equal(hw_hook_chain_hash(a), hw_hook_chain_hash(same), 32);
	assert_memory_not_equal(hw_hook_chain_hash(a), hw_hook_chain_hash(b), 32);
	hw_hook_chain_unref(&same);
	same = hw_hook_chain_create(ab, 1);
	assert_memory_not_equal(hw_hook_chain_hash(a), hw_hook_chain_hash(same), 32);
	hw_hook_chain_unref(&a);
	hw_hook_chain_unref(&b);
	hw_hook_chain_unref(&same);
	world_fini(&w);
}

static void an_empty_chain_denies(void **state HW_UNUSED)
{
	struct hw_hook_chain *none = hw_hook_chain_create(NULL, 0);
	struct hw_hook_bench *bench;
	struct asked a;
	struct world w;

	world_init(&w);
	assert_int_equal(hw_hook_bench_create(w.env, none, HW_STR("acme"), 0, &bench), 0);
	prepare(&w, &a, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
	a.ask.global = a.ask.tenant = bench;
	assert_int_equal(hw_hooks_ask(&a.ask), HW_DENY);
	prepare(&w, &a, HW_STAGE_AUTHENTICATE, HW_OP_SUBSCRIBE);
	a.ask.global = bench;
	assert_int_equal(hw_hooks_ask(&a.ask), HW_DENY);
	assert_string_equal(a.ask.code, "unauthorized");
	hw_hook_bench_destroy(&bench);
	hw_hook_chain_unref(&none);
	world_fini(&w);
}

static int64_t metric(struct world *w, const char *name, const char *labels)
{
	return atomic_load(&hw_metrics_get(w->metrics, HW_METRIC_COUNTER, name, "", labels)->value);
}

static void each_call_and_each_failure_is_counted_once(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	w.fakes[3]->pend = true;
	w.fakes[4]->verdict = HW_ERROR;
	for (int i = 0; i < 5; i++) {
		prepare(&w, &a, HW_STAGE_TRANSFORM, HW_OP_SUBSCRIBE);
		assert_int_equal(ask_to_the_end(&w, &a), HW_ERROR);
	}
	prepare(&w, &a, HW_STAGE_LIFECYCLE, HW_OP_SUBSCRIBE);
	assert_int_equal(ask_to_the_end(&w, &a), HW_ALLOW);
	assert_int_equal(metric(&w, "hookwire_hook_calls_total",
				 "hook=\"a\",tenant=\"acme\",stage=\"transform\""),
		5);
	assert_int_equal(metric(&w, "hookwire_hook_calls_total",
				 "hook=\"A\",tenant=\"\",stage=\"transform\""),
		5);
	assert_int_equal(metric(&w, "hookwire_hook_calls_total",
				 "hook=\"b\",tenant=\"acme\",stage=\"lifecycle\""),
		1);
	assert_int_equal(metric(&w, "hookwire_hook_calls_total",
				 "hook=\"c\",tenant=\"acme\",stage=\"transform\""),
		0);
	assert_int_equal(metric(&w, "hookwire_hook_errors_total",
				 "hook=\"b\",tenant=\"acme\",stage=\"transform\""),
		5);
	assert_int_equal(metric(&w, "hookwire_hook_errors_total",
				 "hook=\"b\",tenant=\"acme\",stage=\"lifecycle\""),
		1);
	assert_int_equal(metric(&w, "hookwire_hook_errors_total",
				 "hook=\"a\",tenant=\"acme\",stage=\"transform\""),
		0);
	world_fini(&w);
}

static void tenants_beyond_a_hundred_share_a_label(void **state HW_UNUSED)
{
	struct hw_hook_bench *benches[120];
	struct hw_buf text;
	struct world w;
	unsigned n = 0;

	world_init(&w);
	for (int i = 0; i < 120; i++) {
		char tenant[16];

		snprintf(tenant, sizeof(tenant), "t%d", i);
		benches[i] = bench_of(&w, N_GLOBAL, 1, tenant);
	}
	hw_buf_init(&text);
	hw_metrics_print(w.metrics, &text);
	hw_buf_putc(&text, '\0');
	for (const char *p = text.data;
		(p = strstr(p, "hookwire_hook_calls_total{hook=\"a\",tenant=\"t")); p++)
		n += strstr(p, "stage=\"transform\"") < strchr(p, '\n') &&
		     strstr(p, "stage=\"transform\"");
	assert_int_equal(n, 99); /* acme has one of the hundred */
	assert_non_null(strstr(text.data,
		"hookwire_hook_calls_total{hook=\"a\",tenant=\"other\",stage=\"transform\"} 0"));
	assert_null(strstr(text.data, "tenant=\"t119\""));
	hw_buf_fini(&text);
	for (int i = 0; i < 120; i++)
		hw_hook_bench_destroy(&benches[i]);
	world_fini(&w);
}

static void a_hook_that_keeps_failing_does_not_fill_the_log(void **state HW_UNUSED)
{
	FILE *file = tmpfile();
	char text[4096] = "";
	struct asked a;
	struct world w;
	struct hw_log *log = hw_log_create(fileno(file), HW_LOG_INFO, HW_LOG_TEXT);

	a_allows(&w);
	w.env->log = log;
	w.fakes[3]->verdict = HW_ERROR;
	w.fakes[3]->message = "no answer";
	for (int i = 0; i < 10; i++) {
		prepare(&w, &a, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
		assert_int_equal(ask_to_the_end(&w, &a), HW_ERROR);
		w.now_ms += 150;
	}
	rewind(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	assert_non_null(strstr(text, "no answer"));
	assert_non_null(strstr(text, "hook=a"));
	assert_non_null(strstr(strchr(text, '\n'), "unlogged=6"));
	assert_ptr_equal(strstr(text, "unlogged"), strstr(text, "unlogged=6")); /* 0 goes unsaid */
	assert_int_equal(strchr(strchr(text, '\n') + 1, '\n')[1], '\0');        /* two lines */
	hw_log_destroy(&log);
	w.env->log = NULL;
	fclose(file);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bench_knows_what_its_entries_register),
		cmocka_unit_test(a_bench_that_cannot_attach_detaches_what_it_had),
		cmocka_unit_test(a_chains_hash_is_of_its_entries_in_order),
		cmocka_unit_test(an_empty_chain_denies),
		cmocka_unit_test(each_call_and_each_failure_is_counted_once),
		cmocka_unit_test(tenants_beyond_a_hundred_share_a_label),
		cmocka_unit_test(a_hook_that_keeps_failing_does_not_fill_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
