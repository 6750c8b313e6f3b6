/* filter, redact and audience as a plugin has them, and a plugin that was built before there were
 * any. What the plugin does is in its audience's claims: see probe_plugin.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loaded.h"

#define PROBE(name) HW_BINARY_DIR "/tests/probes/" name ".so"
#define EVENT "{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\"},\"id\":\"x-1\"}"

struct seen {
	enum hw_verdict verdict;
	char event[256]; /* "" = as it was */
};

static struct hw_hook_bench *bench_of(struct loaded *l, const char *name, bool global)
{
	struct hw_hook_entry *entry = NULL;
	struct hw_hook_bench *bench;
	char path[256];

	snprintf(path, sizeof(path), "%s/tests/probes/%s.so", HW_BINARY_DIR, name);
	if (loaded_load(l, path, "{}", global, &entry))
		fail_msg("%s", l->problem.text);
	bench = loaded_bench(l, entry);
	assert_non_null(bench);
	return bench;
}

/* What somebody with these claims sees. */
static struct seen see(
	struct hw_hook_bench *global, struct hw_hook_bench *tenant, const char *claims)
{
	const struct hw_identity who = {.user_id = HW_STR("a\"b"),
		.tenant_id = HW_STR("acme"),
		.claims = hw_str_of(claims)};
	struct hw_json values[16];
	struct hw_view view = {.global = global,
		.tenant = tenant,
		.tenant_id = HW_STR("acme"),
		.topic = HW_STR("a:1"),
		.values = values,
		.event = HW_STR(EVENT)};
	struct seen seen = {0};
	struct hw_buf key;
	size_t n = hw_audience_count(global, tenant);

	hw_buf_init(&key);
	hw_audience_key(global, tenant, &who, &key);
	assert_false(key.failed);
	assert_in_range(n, 1, HW_COUNT(values));
	hw_audience_values(hw_buf_view(&key), values, n);
	seen.verdict = hw_hooks_view(&view);
	if (view.new_event)
		snprintf(seen.event, sizeof(seen.event), "%.*s", (int)view.new_event_len,
			view.new_event);
	free(view.new_event);
	hw_buf_fini(&key);
	return seen;
}

static void assert_sees(struct hw_hook_bench *empty, struct hw_hook_bench *bench,
	const char *claims, enum hw_verdict verdict, const char *event)
{
	struct seen seen = see(empty, bench, claims);

	if (seen.verdict != verdict || strcmp(seen.event, event) != 0)
		fail_msg("%s: %d %s", claims, (int)seen.verdict, seen.event);
}

static struct hw_hook_bench *empty_bench(struct loaded *l)
{
	struct hw_hook_chain *chain = hw_hook_chain_create(NULL, 0);
	struct hw_hook_bench *bench = NULL;

	assert_int_equal(hw_hook_bench_create(l->env, chain, HW_STR(""), 3, &bench), 0);
	hw_hook_chain_unref(&chain);
	return bench;
}

static int64_t errors(struct loaded *l, const char *stage)
{
	char labels[128];

	snprintf(labels, sizeof(labels), "hook=\"it\",tenant=\"acme\",stage=\"%s\"", stage);
	return atomic_load(&hw_metrics_get(
		l->metrics, HW_METRIC_COUNTER, "hookwire_hook_errors_total", "", labels)
				    ->value);
}

#define ENTITY(text) "{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"" text "\"}}"

static void a_plugin_filters_and_redacts_by_what_it_declares(void **state HW_UNUSED)
{
	struct hw_hook_bench *empty, *bench;
	struct loaded l;

	loaded_init(&l, NULL);
	empty = empty_bench(&l);
	bench = bench_of(&l, "probe", false);
	assert_true(hw_hook_bench_has(bench, HW_STAGE_FILTER));
	assert_true(hw_hook_bench_has(bench, HW_STAGE_REDACT));
	assert_int_equal(hw_audience_count(empty, bench), 4);
	assert_sees(empty, bench, "{}", HW_ALLOW, "");
	assert_sees(empty, bench, "{\"filter\":\"return=1\"}", HW_ALLOW, "");
	/* nothing but a yes is one */
	assert_sees(empty, bench, "{\"filter\":\"return=2\"}", HW_DENY, "");
	assert_sees(empty, bench, "{\"filter\":\"return=0\"}", HW_DENY, "");
	assert_sees(empty, bench, "{\"filter\":\"return=3\"}", HW_ERROR, "");
	assert_sees(empty, bench, "{\"filter\":\"return=4\"}", HW_ERROR, "");
	assert_sees(empty, bench, "{\"filter\":\"return=77\"}", HW_ERROR, "");
	assert_int_equal(errors(&l, "filter"), 3);
	assert_sees(empty, bench, "{\"redact\":\"return=0\"}", HW_DENY, "");
	assert_sees(empty, bench, "{\"redact\":\"return=2\"}", HW_DENY, "");
	/* the quote in the user's name spoils the event that the probe makes of it */
	assert_sees(empty, bench, "{\"redact\":\"audience=user;return=1\"}", HW_ERROR, "");
	hw_hook_bench_destroy(&bench);
	hw_hook_bench_destroy(&empty);
	loaded_fini(&l);
}

static void what_the_audience_says(void **state HW_UNUSED)
{
#define SHOW ",\"redact\":\"audience=claims.v;return=1\"}"
	struct hw_hook_bench *empty, *bench;
	struct loaded l;

	loaded_init(&l, NULL);
	empty = empty_bench(&l);
	bench = bench_of(&l, "probe", false);
	assert_sees(empty, bench, "{\"v\":\"child\"" SHOW, HW_ALLOW, ENTITY("s:child"));
	assert_sees(empty, bench, "{\"v\":\"ch\\u0069ld\"" SHOW, HW_ALLOW, ENTITY("s:child"));
	assert_sees(empty, bench, "{\"\\u0076\":1.50" SHOW, HW_ALLOW, ENTITY("n:1.50"));
	assert_sees(empty, bench, "{\"v\":null" SHOW, HW_ALLOW, ENTITY("z:null"));
	assert_sees(empty, bench, "{\"v\": true " SHOW, HW_ALLOW, ENTITY("t:true"));
	assert_sees(empty, bench, "{\"v\":[1, 2]" SHOW, HW_ALLOW, ENTITY("a:[1, 2]"));
	assert_sees(empty, bench, "{\"w\":\"child\"" SHOW, HW_ALLOW, ENTITY("-:"));
	/* longer, unescaped, than the scratch: the call failed, whatever it answers */
	assert_sees(empty, bench, "{\"v\":\"\\u00690123456789abcdefghi\"" SHOW, HW_ERROR, "");
	hw_hook_bench_destroy(&bench);
	hw_hook_bench_destroy(&empty);
	loaded_fini(&l);
}

static void what_is_not_declared_is_an_error_whatever_the_answer(void **state HW_UNUSED)
{
	struct hw_hook_bench *empty, *bench;
	struct loaded l;

	loaded_init(&l, NULL);
	empty = empty_bench(&l);
	bench = bench_of(&l, "probe", false);
	/* declared for redact, not for filter */
	assert_sees(empty, bench, "{\"filter\":\"audience=user;return=1\"}", HW_ERROR, "");
	assert_sees(empty, bench, "{\"filter\":\"audience=user;return=2\"}", HW_ERROR, "");
	assert_sees(empty, bench, "{\"redact\":\"audience=tenant;return=1\"}", HW_ERROR, "");
	assert_sees(empty, bench, "{\"redact\":\"audience=claims.x;return=1\"}", HW_ERROR, "");
	assert_sees(empty, bench, "{\"redact\":\"audience=nonsense;return=1\"}", HW_ERROR, "");
	assert_int_equal(errors(&l, "filter"), 2);
	assert_int_equal(errors(&l, "redact"), 3);
	hw_hook_bench_destroy(&bench);
	hw_hook_bench_destroy(&empty);
	loaded_fini(&l);
}

static void what_nobody_can_read_is_refused_at_load(void **state HW_UNUSED)
{
	struct hw_hook_entry *entry = NULL;
	struct loaded l;

	loaded_init(&l, NULL);
	assert_true(loaded_load(&l, PROBE("probe_reads"), "{}", false, &entry) < 0);
	assert_non_null(strstr(l.problem.text, "'role' cannot be read"));
	loaded_fini(&l);
}

/* Its table ends before filter: these are not registered, and all else works. */
static void a_plugin_of_the_minor_before_loads(void **state HW_UNUSED)
{
	struct hw_hook_bench *bench;
	struct loaded l;

	loaded_init(&l, NULL);
	bench = bench_of(&l, "probe_1_0", false);
	assert_false(hw_hook_bench_has(bench, HW_STAGE_FILTER));
	assert_false(hw_hook_bench_has(bench, HW_STAGE_REDACT));
	assert_true(hw_hook_bench_has(bench, HW_STAGE_LIFECYCLE));
	hw_hook_bench_destroy(&bench);
	loaded_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plugin_filters_and_redacts_by_what_it_declares),
		cmocka_unit_test(what_the_audience_says),
		cmocka_unit_test(what_is_not_declared_is_an_error_whatever_the_answer),
		cmocka_unit_test(what_nobody_can_read_is_refused_at_load),
		cmocka_unit_test(a_plugin_of_the_minor_before_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
