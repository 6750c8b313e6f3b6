/* The walk of filter and redact, in every combination of what six entries answer, and which values
 * of a class each of them is given. */
#include "chain_world.h"

#define EVENT "{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\"}}"
#define OTHER "{\"topic\":\"a:1\",\"event\":\"F\",\"data\":{\"entity_id\":\"f\"}}"

enum what { UNREGISTERED, ALLOWS, DEFERS, DENIES, WAITS, FAILS, NONSENSE, N_WHAT };

static const enum hw_verdict verdict_of[N_WHAT] = {
	HW_ALLOW, HW_ALLOW, HW_DEFER, HW_DENY, HW_ALLOW, HW_ERROR, (enum hw_verdict)99};

static void register_only(struct world *w, enum hw_hook_stage stage, const enum what *what)
{
	for (size_t i = 0; i < HW_COUNT(w->fakes); i++) {
		w->fakes[i]->base.registers =
			what[i] == UNREGISTERED ? 0 : HW_REGISTERS_STAGE(stage);
		w->fakes[i]->verdict = verdict_of[what[i]];
		w->fakes[i]->pend = what[i] == WAITS;
	}
	w->log.text[0] = '\0';
}

static struct hw_view view_of(const struct world *w, const struct hw_json *values)
{
	return (struct hw_view){.global = w->global,
		.tenant = w->tenant,
		.tenant_id = HW_STR("acme"),
		.topic = HW_STR("a:1"),
		.event = HW_STR(EVENT),
		.values = values};
}

/* The first that is no clear yes ends it. */
static void check(struct world *w, enum hw_hook_stage stage, const enum what *what)
{
	struct hw_view view = view_of(w, NULL);
	enum hw_verdict expected = HW_ALLOW;
	char asked[64] = "";
	const char *by = "";

	for (size_t i = 0; i < HW_COUNT(w->fakes) && expected == HW_ALLOW; i++) {
		if (what[i] == UNREGISTERED)
			continue;
		by = w->fakes[i]->base.name;
		strcat(asked, by);
		if (what[i] == WAITS)
			strcat(strcat(asked, by), "!");
		if (what[i] == DEFERS || what[i] == DENIES)
			expected = HW_DENY;
		else if (what[i] != ALLOWS)
			expected = HW_ERROR;
	}
	register_only(w, stage, what);
	assert_int_equal(hw_hooks_view(&view), expected);
	assert_string_equal(w->log.text, asked);
	assert_string_equal(view.decided_by, by);
	assert_null(view.new_event);
}

static void check_all(enum hw_hook_stage stage)
{
	size_t n = 1;
	struct world w;

	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(w.fakes); i++)
		n *= N_WHAT;
	for (size_t combination = 0; combination < n; combination++) {
		enum what what[N_GLOBAL + N_TENANT];
		size_t rest = combination;

		for (size_t i = 0; i < HW_COUNT(what); i++, rest /= N_WHAT)
			what[i] = (enum what)(rest % N_WHAT);
		check(&w, stage, what);
	}
	world_fini(&w);
}

static void filter_in_every_combination(void **state HW_UNUSED)
{
	check_all(HW_STAGE_FILTER);
}

static void redact_in_every_combination(void **state HW_UNUSED)
{
	check_all(HW_STAGE_REDACT);
}

static void all_filters_come_before_the_first_redact(void **state HW_UNUSED)
{
	struct hw_view view;
	struct world w;

	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(w.fakes); i++)
		w.fakes[i]->verdict = HW_ALLOW;
	w.fakes[1]->redacted = EVENT;
	w.fakes[4]->redacted = OTHER;
	view = view_of(&w, NULL);
	assert_int_equal(hw_hooks_view(&view), HW_ALLOW);
	assert_string_equal(w.log.text, "ABCabcABCabc");
	assert_int_equal(view.new_event_len, strlen(OTHER));
	assert_memory_equal(view.new_event, OTHER, strlen(OTHER));
	free(view.new_event);
	/* what was redacted so far goes with the refusal */
	w.fakes[5]->base.registers = HW_REGISTERS_STAGE(HW_STAGE_REDACT);
	w.fakes[5]->verdict = HW_DENY;
	assert_int_equal(hw_hooks_view(&view), HW_DENY);
	assert_null(view.new_event);
	world_fini(&w);
}

static void what_is_no_event_of_that_topic_is_an_error(void **state HW_UNUSED)
{
	static const char *const bad[] = {"{}", "nonsense", "[]",
		"{\"topic\":\"a:2\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\"}}",
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{}}"};

	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		struct hw_view view;
		struct world w;

		world_init(&w);
		for (size_t k = 0; k < HW_COUNT(w.fakes); k++)
			w.fakes[k]->verdict = HW_ALLOW;
		w.fakes[3]->redacted = bad[i];
		view = view_of(&w, NULL);
		assert_int_equal(hw_hooks_view(&view), HW_ERROR);
		assert_null(view.new_event);
		assert_string_equal(view.decided_by, "a");
		world_fini(&w);
	}
}

static void reads(struct fake *f, int stage, const char *name)
{
	struct hw_err err;

	assert_int_equal(hw_reads_add(&f->base.reads[stage], hw_str_of(name), &err), 0);
}

/* Each is given its own values, also those that another one reads, and absent ones. */
static void every_entry_is_given_what_it_declares(void **state HW_UNUSED)
{
	const struct hw_identity who = {.user_id = HW_STR("u1"),
		.tenant_id = HW_STR("acme"),
		.claims = HW_STR("{\"a.b\":[1, 2],\"r\\u006fle\":\"x\",\"exp\":1}")};
	struct hw_json values[8];
	struct hw_view view;
	struct hw_buf key;
	struct world w;

	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(w.fakes); i++)
		w.fakes[i]->verdict = HW_ALLOW;
	reads(w.fakes[0], 0, "claims.role");
	reads(w.fakes[0], 0, "claims.role"); /* twice is once */
	reads(w.fakes[0], 1, "tenant");
	reads(w.fakes[2], 1, "user_id");
	reads(w.fakes[2], 1, "user");
	reads(w.fakes[4], 0, "claims.none");
	reads(w.fakes[4], 0, "claims.a.b");
	reads(w.fakes[4], 0, "claims.role");
	assert_int_equal(hw_audience_count(w.global, w.tenant), 6);
	hw_buf_init(&key);
	hw_audience_key(w.global, w.tenant, &who, &key);
	assert_int_equal(key.len, strlen("\"x\"..[1, 2].\"x\".\"acme\".\"u1\"."));
	hw_audience_values(hw_buf_view(&key), values, 6);
	view = view_of(&w, values);
	assert_int_equal(hw_hooks_view(&view), HW_ALLOW);
	assert_string_equal(w.log.text, "A[\"x\"]BCab[][[1, 2]][\"x\"]cA[\"acme\"]BC[\"u1\"]abc");
	hw_buf_fini(&key);
	world_fini(&w);
}

struct explained {
	struct hw_view view;
	char text[1024];
};

static void on_heard(struct hw_view *view, const struct hw_view_heard *heard)
{
	struct explained *x = HW_CONTAINER_OF(view, struct explained, view);
	size_t len = strlen(x->text);

	snprintf(x->text + len, sizeof(x->text) - len, "%s%s:%s%d%s", heard->global ? "*" : "",
		heard->entry, heard->stage == HW_STAGE_REDACT ? "redact" : "filter",
		(int)heard->verdict, heard->changed ? "!" : "");
	for (size_t i = 0; i < heard->audience->reads->n; i++) {
		len = strlen(x->text);
		snprintf(x->text + len, sizeof(x->text) - len, "[%s=%.*s]",
			heard->audience->reads->reads[i].name,
			HW_STR_ARG(heard->audience->values[i].raw));
	}
	strcat(x->text, " ");
}

static void who_explains_hears_what_each_said_and_from_what(void **state HW_UNUSED)
{
	const struct hw_identity who = {
		.user_id = HW_STR("u1"), .claims = HW_STR("{\"role\":\"x\"}")};
	struct hw_json values[2];
	struct explained x = {0};
	char expected[256];
	struct hw_buf key;
	struct world w;

	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(w.fakes); i++) {
		w.fakes[i]->verdict = HW_ALLOW;
		w.fakes[i]->base.registers = 0;
	}
	w.fakes[0]->base.registers = w.fakes[4]->base.registers =
		HW_REGISTERS_STAGE(HW_STAGE_FILTER);
	w.fakes[5]->base.registers = HW_REGISTERS_STAGE(HW_STAGE_REDACT);
	w.fakes[5]->redacted = OTHER;
	reads(w.fakes[4], 0, "claims.role");
	reads(w.fakes[5], 1, "user");
	hw_buf_init(&key);
	hw_audience_key(w.global, w.tenant, &who, &key);
	hw_audience_values(hw_buf_view(&key), values, 2);
	x.view = view_of(&w, values);
	x.view.heard = on_heard;
	assert_int_equal(hw_hooks_view(&x.view), HW_ALLOW);
	snprintf(expected, sizeof(expected),
		"*A:filter%d b:filter%d[claims.role=\"x\"] c:redact%d![user=\"u1\"] ", HW_ALLOW,
		HW_ALLOW, HW_ALLOW);
	assert_string_equal(x.text, expected);
	free(x.view.new_event);
	/* nobody is asked behind a no */
	x.text[0] = '\0';
	w.fakes[4]->verdict = HW_DENY;
	assert_int_equal(hw_hooks_view(&x.view), HW_DENY);
	snprintf(expected, sizeof(expected), "*A:filter%d b:filter%d[claims.role=\"x\"] ", HW_ALLOW,
		HW_DENY);
	assert_string_equal(x.text, expected);
	hw_buf_fini(&key);
	world_fini(&w);
}

static void those_that_register_a_stage_are_named_in_order(void **state HW_UNUSED)
{
	const struct hw_hook_chain *chain;
	struct world w;
	size_t i = 0;

	world_init(&w);
	for (size_t k = 0; k < HW_COUNT(w.fakes); k++)
		w.fakes[k]->base.registers = 0;
	w.fakes[3]->base.registers = w.fakes[5]->base.registers =
		HW_REGISTERS_STAGE(HW_STAGE_TRANSFORM);
	chain = hw_hook_bench_chain(w.tenant);
	assert_string_equal(hw_hook_chain_registers(chain, HW_STAGE_TRANSFORM, &i), "a");
	assert_string_equal(hw_hook_chain_registers(chain, HW_STAGE_TRANSFORM, &i), "c");
	assert_null(hw_hook_chain_registers(chain, HW_STAGE_TRANSFORM, &i));
	i = 0;
	assert_null(hw_hook_chain_registers(chain, HW_STAGE_REDACT, &i));
	world_fini(&w);
}

static void without_a_bench_nothing_is_seen(void **state HW_UNUSED)
{
	struct hw_view view;
	struct world w;

	world_init(&w);
	view = view_of(&w, NULL);
	view.tenant = NULL;
	assert_int_equal(hw_hooks_view(&view), HW_ERROR);
	assert_string_equal(w.log.text, "");
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filter_in_every_combination),
		cmocka_unit_test(redact_in_every_combination),
		cmocka_unit_test(all_filters_come_before_the_first_redact),
		cmocka_unit_test(what_is_no_event_of_that_topic_is_an_error),
		cmocka_unit_test(every_entry_is_given_what_it_declares),
		cmocka_unit_test(who_explains_hears_what_each_said_and_from_what),
		cmocka_unit_test(those_that_register_a_stage_are_named_in_order),
		cmocka_unit_test(without_a_bench_nothing_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
