#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "loaded.h"

#define TEMPLATE HW_BINARY_DIR "/plugins/template.so"

static enum hw_verdict ask(struct hw_hook_bench *bench, enum hw_operation operation,
	struct hw_slice resource, struct hw_ask *a)
{
	struct hw_who who = {
		.user_id = HW_SLICE("u1"), .tenant_id = HW_SLICE("acme"), .claims = HW_SLICE("{}")};
	struct hw_question question = {.operation = operation, .resource = resource};
	enum hw_verdict verdict;

	/* a guard: who is not denied here is denied by nobody after it, with no name */
	*a = (struct hw_ask){
		.stage = HW_STAGE_AUTHORIZE, .global = bench, .who = &who, .question = &question};
	verdict = hw_hooks_ask(a);
	a->who = NULL;
	a->question = NULL;
	return verdict;
}

static void it_denies_its_resource_and_has_no_opinion_on_others(void **state HW_UNUSED)
{
	static const struct {
		enum hw_operation operation;
		const char *resource, *by;
	} cases[] = {
		{HW_OP_SUBSCRIBE, "secret-list", "it"},
		{HW_OP_WILDCARD, "secret-list", "it"},
		{HW_OP_PUBLISH, "secret-list", "it"},
		{HW_OP_PRESENCE, "secret-list", "it"},
		{HW_OP_SUBSCRIBE, "secret-lists", ""},
		{HW_OP_SUBSCRIBE, "secret", ""},
		{HW_OP_SUBSCRIBE, "gift-list", ""},
	};
	struct hw_hook_entry *entry;
	struct hw_hook_bench *bench;
	struct loaded l;

	loaded_init(&l, NULL);
	assert_int_equal(
		loaded_load(&l, TEMPLATE, "{\"deny_resource\":\"secret-list\"}", true, &entry), 0);
	bench = loaded_bench(&l, entry);
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_slice resource = {cases[i].resource, strlen(cases[i].resource)};
		struct hw_ask a;

		assert_int_equal(ask(bench, cases[i].operation, resource, &a), HW_DENY);
		assert_string_equal(a.code, "forbidden_topic");
		assert_string_equal(a.decided_by, cases[i].by);
		assert_string_equal(a.message, cases[i].by[0] ? "this is not for anybody" : "");
	}
	assert_int_equal(loaded_metric(&l, "hookwire_plugin_template_denied_total", "template"), 4);
	hw_hook_bench_destroy(&bench);
	loaded_fini(&l);
}

static void settings_that_are_wrong_are_refused(void **state HW_UNUSED)
{
	static const struct {
		const char *config, *path;
	} cases[] = {
		{"{}", ""},
		{"{\"deny\":\"x\"}", ""},
		{"{\"deny_resource\":7}", "/deny_resource"},
		{"{\"deny_resource\":\"\"}", "/deny_resource"},
		{"{\"deny_resource\":"
		 "\"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
			"/deny_resource"},
	};
	struct loaded l;

	loaded_init(&l, NULL);
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_hook_entry *entry;

		assert_true(loaded_load(&l, TEMPLATE, cases[i].config, false, &entry) < 0);
		assert_string_equal(l.problem.path, cases[i].path);
	}
	loaded_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_denies_its_resource_and_has_no_opinion_on_others),
		cmocka_unit_test(settings_that_are_wrong_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
