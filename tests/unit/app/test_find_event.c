/* An event is found by its id in the one journal that gave it, and by its trace in all, the newest
 * first, as far as the time allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "app/find_event.h"

struct world {
	struct hw_tenants tenants;
	struct hw_tenant_rules rules;
	struct hw_clock clock;
	int64_t mono_ms, step_ms;
};

static int64_t mono_ms(void *arg)
{
	struct world *w = arg;

	return w->mono_ms += w->step_ms; /* each look at the clock takes its time */
}

static void world_init(struct world *w, uint64_t count)
{
	memset(w, 0, sizeof(*w));
	w->clock = (struct hw_clock){.mono_ms = mono_ms, .arg = w};
	w->rules.classes.n = 2;
	w->rules.classes.classes[0] = (struct hw_topic_class){
		.history = true, .retention = {.count = count, .bytes = 1 << 30}};
	w->rules.classes.classes[1] = (struct hw_topic_class){.pattern = "audit:*",
		.history = true,
		.retention = {.count = 10, .bytes = 1 << 30}};
	assert_int_equal(hw_tenants_init(&w->tenants), 0);
}

static struct hw_tenant *tenant_of(struct world *w, const char *id)
{
	struct hw_tenant *tenant;

	assert_int_equal(hw_tenants_get(&w->tenants, hw_str_of(id), &w->rules, 1, &tenant), 0);
	return tenant;
}

/* @trace as JSON, without its quotes. */
static uint64_t append(
	struct world *w, const char *id, const char *topic, const char *trace, int64_t wall_ms)
{
	char text[512];
	struct hw_append event = {
		.topic = hw_str_of(topic), .previous = HW_STR("{\"was\":1}"), .wall_ms = wall_ms};
	uint64_t number, wake;

	event.text.p = text;
	event.text.len = (size_t)snprintf(text, sizeof(text),
		"{\"topic\":\"%s\",\"event\":\"E\",\"data\":{\"entity_id\":\"e\",\"trace_id\":"
		"\"decoy\",\"x\":\"\\\"trace_id\\\":\\\"decoy\\\"\"},\"trace_id\":\"%s\"",
		topic, trace);
	assert_int_equal(hw_journal_append(tenant_of(w, id)->journal, &event, &number, &wake), 0);
	return number;
}

static enum hw_find_outcome by_id(
	struct world *w, const char *tenant, uint64_t epoch, uint64_t seq, struct hw_found *found)
{
	struct hw_cursor id = {.epoch = epoch, .seq = seq};

	assert_int_equal(hw_find_by_id(&w->tenants, hw_str_of(tenant), id, found), 0);
	return found->outcome;
}

static enum hw_find_outcome by_trace(
	struct world *w, const char *tenant, const char *trace, struct hw_found *found)
{
	assert_int_equal(hw_find_by_trace(&w->tenants, hw_str_of(tenant), hw_str_of(trace),
				 &w->clock, 1000, found),
		0);
	return found->outcome;
}

static void by_its_id_in_the_journal_that_gave_it(void **state)
{
	struct hw_found found;
	struct world w;
	uint64_t acme, beta;

	(void)state;
	world_init(&w, 10);
	acme = hw_journal_epoch(tenant_of(&w, "acme")->journal);
	beta = hw_journal_epoch(tenant_of(&w, "beta")->journal);
	for (int i = 1; i <= 3; i++) {
		append(&w, "acme", "a:1", "t", 1000 + i);
		append(&w, "beta", "a:1", "t", 2000 + i);
	}
	assert_int_equal(by_id(&w, NULL, acme, 2, &found), HW_FIND_FOUND);
	assert_true(hw_str_eq(found.tenant->id, HW_STR("acme")));
	assert_int_equal(found.number, 2);
	assert_int_equal(found.wall_ms, 1002);
	assert_memory_equal(found.previous, "{\"was\":1}", found.previous_len);
	assert_memory_equal(found.text, "{\"topic\":\"a:1\"", 14);
	assert_int_equal(found.text[found.text_len - 1], '}');
	hw_found_fini(&found);
	assert_int_equal(by_id(&w, "beta", beta, 2, &found), HW_FIND_FOUND);
	assert_int_equal(found.wall_ms, 2002);
	hw_found_fini(&found);
	assert_int_equal(by_id(&w, "beta", acme, 2, &found), HW_FIND_NO_TENANT);
	assert_int_equal(by_id(&w, "gamma", acme, 2, &found), HW_FIND_NO_TENANT);
	assert_int_equal(by_id(&w, NULL, acme ^ beta ^ 1, 2, &found), HW_FIND_NO_TENANT);
	assert_int_equal(by_id(&w, NULL, acme, 0, &found), HW_FIND_NO_EVENT);
	assert_int_equal(by_id(&w, NULL, acme, 4, &found), HW_FIND_NO_EVENT);
	for (int i = 0; i < 100; i++)
		append(&w, "acme", "a:1", "t", 3000);
	assert_int_equal(by_id(&w, NULL, acme, 2, &found), HW_FIND_GONE);
	assert_null(found.text);
	hw_tenants_fini(&w.tenants);
}

static void by_its_trace_the_newest_first(void **state)
{
	struct hw_found found;
	struct world w;
	uint64_t seq;

	(void)state;
	world_init(&w, 100000);
	append(&w, "acme", "a:1", "x", 1);
	append(&w, "acme", "a:1", "x", 2);
	for (int i = 0; i < 5000; i++) /* windows without it */
		append(&w, "acme", i % 2 ? "a:1" : "a:2", "y", 3);
	append(&w, "beta", "b:1", "x", 1);
	assert_int_equal(by_trace(&w, "acme", "x", &found), HW_FIND_FOUND);
	assert_int_equal(found.number, 2);
	assert_int_equal(found.n_also, 1);
	assert_int_equal(found.also[0].number, 1);
	assert_false(found.gave_up);
	assert_int_equal(found.n_looked_at, 5002);
	hw_found_fini(&found);
	/* of all tenants the one that was stored last */
	assert_int_equal(by_trace(&w, NULL, "x", &found), HW_FIND_FOUND);
	assert_int_equal(found.wall_ms, 2);
	assert_int_equal(found.n_also, 2);
	hw_found_fini(&found);
	for (int i = 0; i < 20; i++)
		seq = append(&w, "acme", "a:1", "\\u0078", 4); /* as JSON may spell it */
	assert_int_equal(by_trace(&w, "acme", "x", &found), HW_FIND_FOUND);
	assert_int_equal(found.number, seq);
	assert_int_equal(found.n_also, HW_FIND_ALSO);
	for (size_t i = 0; i < HW_FIND_ALSO; i++)
		assert_int_equal(found.also[i].number, seq - 1 - i);
	hw_found_fini(&found);
	/* nothing else that looks like it */
	assert_int_equal(by_trace(&w, NULL, "decoy", &found), HW_FIND_NOWHERE);
	assert_int_equal(by_trace(&w, NULL, "", &found), HW_FIND_NOWHERE);
	assert_int_equal(by_trace(&w, "gamma", "x", &found), HW_FIND_NO_TENANT);
	hw_tenants_fini(&w.tenants);
}

static void numbers_that_are_gone_cost_no_time(void **state)
{
	struct hw_found found;
	struct world w;

	(void)state;
	world_init(&w, 10);
	append(&w, "acme", "audit:1", "x", 1);
	for (int i = 0; i < 200000; i++)
		append(&w, "acme", "a:1", "y", 2);
	w.step_ms = 40; /* 25 looks at the clock; the gap has a hundred windows */
	assert_int_equal(by_trace(&w, "acme", "x", &found), HW_FIND_FOUND);
	assert_int_equal(found.number, 1);
	hw_found_fini(&found);
	hw_tenants_fini(&w.tenants);
}

static void it_gives_up_and_says_so(void **state)
{
	struct hw_found found;
	struct world w;

	(void)state;
	world_init(&w, 100000);
	append(&w, "acme", "a:1", "x", 1);
	for (int i = 0; i < 20000; i++)
		append(&w, "acme", "a:1", "y", 2);
	w.step_ms = 200;
	assert_int_equal(by_trace(&w, NULL, "x", &found), HW_FIND_GAVE_UP);
	assert_true(found.gave_up);
	assert_in_range(found.n_looked_at, 1, 20000);
	assert_null(found.text);
	assert_int_equal(by_trace(&w, NULL, "y", &found), HW_FIND_FOUND);
	assert_false(found.gave_up);
	hw_found_fini(&found);
	hw_tenants_fini(&w.tenants);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_its_id_in_the_journal_that_gave_it),
		cmocka_unit_test(by_its_trace_the_newest_first),
		cmocka_unit_test(numbers_that_are_gone_cost_no_time),
		cmocka_unit_test(it_gives_up_and_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
