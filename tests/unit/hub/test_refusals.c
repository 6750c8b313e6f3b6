/* What is remembered of refusals: the last ones, each once in a row, and whose they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "hub/refusals.h"
#include "hub/tenant.h"

static const struct hw_tenant acme, beta;

static struct hw_refused refused_of(const char *topic)
{
	return (struct hw_refused){.tenant = &acme,
		.kind = HW_REFUSED_SUBSCRIBE,
		.code = "forbidden_topic",
		.user = HW_STR("u"),
		.topic = hw_str_of(topic),
		.hook = "h"};
}

static void the_newest_come_first_and_the_oldest_go(void **state)
{
	struct hw_refusals r = {0};
	char topic[32];

	(void)state;
	assert_null(hw_refusals_at(&r, 0));
	for (int n = 0; n < HW_REFUSALS + 10; n++) {
		struct hw_refused refused;

		snprintf(topic, sizeof(topic), "a:%d", n);
		refused = refused_of(topic);
		hw_refusals_note(&r, &refused, n);
	}
	assert_int_equal(r.n, HW_REFUSALS);
	assert_int_equal(r.n_forgotten, 10);
	for (int i = 0; i < HW_REFUSALS; i++) {
		const struct hw_refusal *item = hw_refusals_at(&r, (size_t)i);

		snprintf(topic, sizeof(topic), "a:%d", HW_REFUSALS + 9 - i);
		assert_string_equal(item->topic, topic);
		assert_int_equal(item->wall_ms, HW_REFUSALS + 9 - i);
	}
	assert_null(hw_refusals_at(&r, HW_REFUSALS));
	hw_refusals_fini(&r);
	assert_null(hw_refusals_at(&r, 0));
}

static void the_same_in_a_row_is_one(void **state)
{
	struct hw_refused refused = refused_of("a:1");
	struct hw_refusals r = {0};

	(void)state;
	for (int n = 0; n < 1000; n++)
		hw_refusals_note(&r, &refused, n);
	assert_int_equal(r.n, 1);
	assert_int_equal(hw_refusals_at(&r, 0)->n_times, 1000);
	assert_int_equal(hw_refusals_at(&r, 0)->wall_ms, 999);
	/* whatever is another makes it another */
	refused.tenant = &beta;
	hw_refusals_note(&r, &refused, 1000);
	refused.user = HW_STR("v");
	hw_refusals_note(&r, &refused, 1000);
	refused.kind = HW_REFUSED_REVOKED;
	hw_refusals_note(&r, &refused, 1000);
	refused.code = "unavailable";
	hw_refusals_note(&r, &refused, 1000);
	refused.code = NULL;
	hw_refusals_note(&r, &refused, 1000);
	refused.hook = NULL;
	hw_refusals_note(&r, &refused, 1000);
	refused.trace = HW_STR("t");
	hw_refusals_note(&r, &refused, 1000);
	refused.why = "because";
	hw_refusals_note(&r, &refused, 1000);
	refused.topic = HW_STR("a:2");
	hw_refusals_note(&r, &refused, 1000);
	assert_int_equal(r.n, 10);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(hw_refusals_at(&r, i)->n_times, 1);
	hw_refusals_fini(&r);
}

static void what_is_too_long_is_cut_and_half_a_trace_is_none(void **state)
{
	char words[HW_REFUSAL_WHY_MAX + 20], trace[HW_REFUSAL_TRACE_MAX + 2];
	struct hw_refused refused = refused_of("a:1");
	struct hw_refusals r = {0};
	const struct hw_refusal *item;

	(void)state;
	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	memset(trace, 't', sizeof(trace));
	refused.hook = refused.why = words;
	refused.trace = (struct hw_str){trace, HW_REFUSAL_TRACE_MAX + 1};
	hw_refusals_note(&r, &refused, 1);
	refused.trace.len = HW_REFUSAL_TRACE_MAX;
	hw_refusals_note(&r, &refused, 1);
	item = hw_refusals_at(&r, 0);
	assert_int_equal(strlen(item->hook), HW_REFUSAL_HOOK_MAX);
	assert_int_equal(strlen(item->why), HW_REFUSAL_WHY_MAX);
	assert_int_equal(strlen(item->trace), HW_REFUSAL_TRACE_MAX);
	assert_string_equal(hw_refusals_at(&r, 1)->trace, "");
	hw_refusals_fini(&r);
}

static bool fits(const struct hw_refused *refused, struct hw_refusal_match match)
{
	struct hw_refusals r = {0};
	bool result;

	hw_refusals_note(&r, refused, 1);
	result = hw_refusal_fits(hw_refusals_at(&r, 0), &match);
	hw_refusals_fini(&r);
	return result;
}

static void each_is_found_by_what_it_is_about(void **state)
{
	struct hw_refused one = refused_of("a:1"), wide = refused_of("a:*"), session = one;
	struct hw_refused publish = one;

	(void)state;
	session.topic = HW_STR_NULL;
	session.kind = HW_REFUSED_SESSION;
	publish.kind = HW_REFUSED_PUBLISH;
	publish.trace = HW_STR("t");
	assert_true(fits(&one, (struct hw_refusal_match){0}));
	assert_true(fits(&one, (struct hw_refusal_match){.tenant = &acme}));
	assert_false(fits(&one, (struct hw_refusal_match){.tenant = &beta}));
	assert_true(fits(&one, (struct hw_refusal_match){.user = HW_STR("u")}));
	assert_false(fits(&one, (struct hw_refusal_match){.user = HW_STR("uu")}));
	/* nothing has an empty trace */
	assert_false(fits(&one, (struct hw_refusal_match){.trace = HW_STR("")}));
	assert_true(fits(&publish, (struct hw_refusal_match){.trace = HW_STR("t")}));
	assert_false(fits(&publish, (struct hw_refusal_match){.trace = HW_STR("tt")}));
	assert_true(fits(&one, (struct hw_refusal_match){.topic = HW_STR("a:1")}));
	assert_false(fits(&one, (struct hw_refusal_match){.topic = HW_STR("a:2")}));
	assert_true(fits(&wide, (struct hw_refusal_match){.topic = HW_STR("a:2")}));
	assert_false(fits(&wide, (struct hw_refusal_match){.topic = HW_STR("b:2")}));
	assert_true(fits(&session, (struct hw_refusal_match){.topic = HW_STR("b:2")}));
	assert_true(fits(&session, (struct hw_refusal_match){.receiving = true}));
	assert_true(fits(&one, (struct hw_refusal_match){.receiving = true}));
	assert_false(fits(&publish, (struct hw_refusal_match){.receiving = true}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_come_first_and_the_oldest_go),
		cmocka_unit_test(the_same_in_a_row_is_one),
		cmocka_unit_test(what_is_too_long_is_cut_and_half_a_trace_is_none),
		cmocka_unit_test(each_is_found_by_what_it_is_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
