/* The plugin interface against its own past: tests/abi holds the headers that were shipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "abi_offsets.h"
#include "crypto/hex.h"
#include "loaded.h"

#include "base/buf.h"
#include "crypto/digest.h"

#define OLD HW_BINARY_DIR "/tests/probes/probe_1_0.so"
#define FROZEN HW_SOURCE_DIR "/tests/abi/1.0/hookwire/plugin.h"
#define FROZEN_SHA256 "9986d9aaed9668cb3d95b6568d90061f49323892eb5005095815343e817fd457"

static void a_shipped_header_is_never_edited(void **state HW_UNUSED)
{
	FILE *file = fopen(FROZEN, "rb");
	uint8_t digest[HW_SHA256_LEN];
	char hex[2 * HW_SHA256_LEN + 1];
	struct hw_sha256 s;
	char chunk[4096];
	size_t n;

	assert_non_null(file);
	hw_sha256_init(&s);
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
		hw_sha256_add(&s, chunk, n);
	fclose(file);
	hw_sha256_finish(&s, digest);
	hw_hex(digest, sizeof(digest), hex);
	assert_string_equal(hex, FROZEN_SHA256);
}

static void what_was_there_is_where_it_was(void **state HW_UNUSED)
{
	size_t i;

	for (i = 0; abi_1_0[i].name; i++) {
		assert_string_equal(abi_now[i].name, abi_1_0[i].name);
		if (abi_now[i].at != abi_1_0[i].at || abi_now[i].size != abi_1_0[i].size)
			fail_msg("%s has moved", abi_1_0[i].name);
	}
	assert_null(abi_now[i].name);
	assert_in_range(i, 80, 1000);
}

static enum hw_verdict ask_old(struct loaded *l, struct hw_hook_bench *bench,
	enum hw_hook_stage stage, const char *script, struct hw_ask *ask)
{
	struct hw_hook_chain *none = hw_hook_chain_create(NULL, 0);
	struct hw_hook_bench *empty = NULL;
	struct hw_request request = {.token = {script, strlen(script)}};
	struct hw_who who = {.session = {script, strlen(script)}, .tenant_id = HW_SLICE("acme")};
	struct hw_question question = {.operation = HW_OP_SUBSCRIBE};
	struct hw_lifecycle gone = {.kind = HW_ON_DISCONNECT, .close_code = 1000};
	enum hw_verdict verdict;

	assert_int_equal(hw_hook_bench_create(l->env, none, HW_STR("acme"), 3, &empty), 0);
	*ask = (struct hw_ask){
		.stage = stage,
		.global = stage == HW_STAGE_AUTHENTICATE ? bench : empty,
		.tenant = stage == HW_STAGE_AUTHENTICATE ? empty : bench,
		.request = &request,
		.who = stage == HW_STAGE_AUTHENTICATE ? NULL : &who,
		.question = &question,
		.event = HW_STR("{\"topic\":\"a:1\"}"),
		.lifecycle = &gone,
	};
	verdict = hw_hooks_ask(ask);
	hw_hook_bench_destroy(&empty);
	hw_hook_chain_unref(&none);
	return verdict;
}

/* Each of its hooks, and each setter that it knows: the functions stand where it looks for them. */
static void a_plugin_of_1_0_loads_and_is_asked(void **state HW_UNUSED)
{
	struct hw_hook_entry *entry;
	struct hw_hook_bench *global, *tenant;
	struct loaded l;
	struct hw_ask ask;

	loaded_init(&l, NULL);
	assert_int_equal(loaded_load(&l, OLD, "{}", true, &entry), 0);
	global = loaded_bench(&l, entry);
	assert_int_equal(loaded_load(&l, OLD, "{}", false, &entry), 0);
	tenant = loaded_bench(&l, entry);
	assert_int_equal(
		ask_old(&l, global, HW_STAGE_AUTHENTICATE,
			"user=u1;tenant=acme;claims={\"a\":1};expires=900;grant=b;act_as;return=1",
			&ask),
		HW_ALLOW);
	assert_true(hw_str_eq(ask.identity->claims, HW_STR("{\"a\":1}")));
	assert_int_equal(ask.identity->expires_at, 900);
	assert_int_equal(ask.identity->n_tenants, 1);
	assert_true(ask.identity->act_as);
	hw_identity_unref(&ask.identity);
	assert_int_equal(ask_old(&l, tenant, HW_STAGE_AUTHORIZE,
				 "metric=old;reason=rate_limited:no;return=2", &ask),
		HW_DENY);
	assert_string_equal(ask.message, "no");
	assert_int_equal(loaded_metric(&l, "hookwire_plugin_old_total", "probe"), 2);
	assert_int_equal(ask_old(&l, tenant, HW_STAGE_TRANSFORM, "walk;return=2", &ask), HW_DENY);
	assert_string_equal(ask.message, "topic=sa:1,1");
	assert_int_equal(
		ask_old(&l, tenant, HW_STAGE_TRANSFORM, "event={};return=1", &ask), HW_ALLOW);
	assert_int_equal(ask.new_event_len, 2);
	free(ask.new_event);
	assert_int_equal(ask_old(&l, tenant, HW_STAGE_LIFECYCLE, "metric=old", &ask), HW_ALLOW);
	assert_int_equal(loaded_metric(&l, "hookwire_plugin_old_total", "probe"), 4);
	/* it knows of sessions alone, and is told of nothing else */
	assert_true(hw_hook_bench_has_kind(tenant, HW_ON_CONNECT));
	assert_true(hw_hook_bench_has_kind(tenant, HW_ON_DISCONNECT));
	for (enum hw_lifecycle_kind kind = HW_ON_OCCUPIED; kind <= HW_ON_PUBLISH; kind++)
		assert_false(hw_hook_bench_has_kind(tenant, kind));
	/* it knows of no waiting: what the number means today is not what it means by it */
	assert_int_equal(ask_old(&l, tenant, HW_STAGE_AUTHORIZE, "return=3", &ask), HW_ERROR);
	hw_hook_bench_destroy(&global);
	hw_hook_bench_destroy(&tenant);
	loaded_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shipped_header_is_never_edited),
		cmocka_unit_test(what_was_there_is_where_it_was),
		cmocka_unit_test(a_plugin_of_1_0_loads_and_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
