#include "chain_world.h"

/* ---- every combination, against the rules written down once more ---- */

enum what { UNREGISTERED, DEFERS, ALLOWS, DENIES, FAILS, NONSENSE, N_WHAT };

static const enum hw_verdict verdict_of[N_WHAT] = {
	HW_DEFER, HW_DEFER, HW_ALLOW, HW_DENY, HW_ERROR, (enum hw_verdict)77};

struct expected {
	enum hw_verdict verdict;
	const char *code, *by;
	char asked[16], event[16];
};

static void expect_end(
	struct expected *e, enum hw_verdict verdict, const char *code, const char *by)
{
	e->verdict = verdict;
	e->code = code;
	e->by = by;
}

/* true: the entry ends the walk by refusing or failing. */
static bool expect_refusal(struct expected *e, enum what what, const char *name, const char *code)
{
	if (what == DENIES)
		expect_end(e, HW_DENY, code, name);
	else if (what == FAILS || what == NONSENSE)
		expect_end(e, HW_ERROR, "unavailable", name);
	return what >= DENIES;
}

static void expect_authenticate(const enum what *what, struct fake **fakes, struct expected *e)
{
	const char *fixed_by = NULL;

	for (int i = 0; i < N_GLOBAL + N_TENANT; i++) {
		if (i == N_GLOBAL && !fixed_by) {
			expect_end(e, HW_DENY, "unauthorized", "");
			return;
		}
		if (what[i] == UNREGISTERED)
			continue;
		strcat(e->asked, fakes[i]->base.name);
		if (expect_refusal(e, what[i], fakes[i]->base.name, "unauthorized"))
			return;
		if (what[i] == ALLOWS && !fixed_by)
			fixed_by = fakes[i]->base.name;
	}
	expect_end(e, HW_ALLOW, NULL, fixed_by);
}

static void expect_authorize(
	const enum what *what, struct fake **fakes, bool session, struct expected *e)
{
	bool asked = false;

	for (int i = N_GLOBAL; i < N_GLOBAL + N_TENANT; i++)
		asked = asked || what[i] != UNREGISTERED;
	for (int i = 0; i < N_GLOBAL + N_TENANT; i++) {
		if (i == N_GLOBAL && session && !asked) {
			expect_end(e, HW_ALLOW, NULL, "");
			return;
		}
		if (what[i] == UNREGISTERED)
			continue;
		strcat(e->asked, fakes[i]->base.name);
		if (expect_refusal(e, what[i], fakes[i]->base.name, "forbidden_topic"))
			return;
		if (what[i] == ALLOWS && i >= N_GLOBAL) {
			expect_end(e, HW_ALLOW, NULL, fakes[i]->base.name);
			return;
		}
	}
	expect_end(e, HW_DENY, "forbidden_topic", "");
}

static void expect_transform(const enum what *what, struct fake **fakes, struct expected *e)
{
	strcpy(e->event, "-");
	for (int i = 0; i < N_GLOBAL + N_TENANT; i++) {
		if (what[i] == UNREGISTERED)
			continue;
		strcat(e->asked, fakes[i]->base.name);
		if (expect_refusal(e, what[i], fakes[i]->base.name, "forbidden_topic"))
			return;
		if (what[i] == ALLOWS)
			strcat(e->event, fakes[i]->base.name);
	}
	expect_end(e, HW_ALLOW, NULL, "");
}

static void expect_lifecycle(const enum what *what, struct fake **fakes, struct expected *e)
{
	for (int i = 0; i < N_GLOBAL + N_TENANT; i++) {
		if (what[i] != UNREGISTERED)
			strcat(e->asked, fakes[i]->base.name);
	}
	expect_end(e, HW_ALLOW, NULL, "");
}

static void expect(enum hw_hook_stage stage, enum hw_operation operation, const enum what *what,
	struct fake **fakes, struct expected *e)
{
	memset(e, 0, sizeof(*e));
	switch (stage) {
	case HW_STAGE_AUTHENTICATE:
		expect_authenticate(what, fakes, e);
		break;
	case HW_STAGE_AUTHORIZE:
		expect_authorize(what, fakes, operation == HW_OP_SESSION, e);
		break;
	case HW_STAGE_TRANSFORM:
		expect_transform(what, fakes, e);
		break;
	case HW_STAGE_FILTER: /* test_chain_filter.c */
	case HW_STAGE_REDACT:
		break;
	case HW_STAGE_LIFECYCLE:
	case HW_STAGE_EVERY:
		expect_lifecycle(what, fakes, e);
		break;
	}
}

static uint32_t bit_of(enum hw_hook_stage stage, enum hw_operation operation)
{
	switch (stage) {
	case HW_STAGE_AUTHORIZE:
		return HW_REGISTERS_OPERATION(operation);
	case HW_STAGE_LIFECYCLE:
		return HW_REGISTERS_KIND(connected.kind);
	default:
		return HW_REGISTERS_STAGE(stage);
	}
}

static void instruct(struct world *w, enum hw_hook_stage stage, enum hw_operation operation,
	const enum what *what, bool pend)
{
	for (size_t i = 0; i < HW_COUNT(w->fakes); i++) {
		struct fake *f = w->fakes[i];

		/* everything else stays registered: only the bit that is asked for may count */
		f->base.registers = UINT32_MAX;
		if (what[i] == UNREGISTERED)
			f->base.registers &= ~bit_of(stage, operation);
		f->verdict = verdict_of[what[i]];
		f->pend = pend;
		f->append = what[i] == ALLOWS ? f->base.name[0] : '\0';
		f->user = "u1";
		f->tenant = "acme";
	}
}

static void check_one(struct world *w, enum hw_hook_stage stage, enum hw_operation operation,
	const enum what *what, bool pend)
{
	struct expected e;
	struct asked a;

	instruct(w, stage, operation, what, pend);
	expect(stage, operation, what, w->fakes, &e);
	prepare(w, &a, stage, operation);
	ask_to_the_end(w, &a);
	assert_int_equal(a.ask.verdict, e.verdict);
	assert_string_equal(a.ask.code ? a.ask.code : "", e.code ? e.code : "");
	assert_string_equal(a.ask.decided_by, e.by);
	assert_string_equal(w->log.text, e.asked);
	assert_int_equal(
		a.ask.identity != NULL, stage == HW_STAGE_AUTHENTICATE && e.verdict == HW_ALLOW);
	if (stage == HW_STAGE_TRANSFORM && e.verdict == HW_ALLOW && e.event[1]) {
		assert_int_equal(a.ask.new_event_len, strlen(e.event));
		assert_memory_equal(a.ask.new_event, e.event, strlen(e.event));
	} else {
		assert_null(a.ask.new_event);
	}
	assert_null(a.ask.internal);
	assert_true(hw_list_empty(&w->global->pending));
	assert_true(hw_list_empty(&w->tenant->pending));
	release(&a);
}

static void check_all(enum hw_hook_stage stage, enum hw_operation operation)
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
		check_one(&w, stage, operation, what, false);
		check_one(&w, stage, operation, what, true);
	}
	world_fini(&w);
}

static void authenticate_in_every_combination(void **state HW_UNUSED)
{
	check_all(HW_STAGE_AUTHENTICATE, HW_OP_SUBSCRIBE);
}

static void authorize_in_every_combination(void **state HW_UNUSED)
{
	check_all(HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
	check_all(HW_STAGE_AUTHORIZE, HW_OP_WILDCARD);
	check_all(HW_STAGE_AUTHORIZE, HW_OP_PUBLISH);
}

static void authorize_session_in_every_combination(void **state HW_UNUSED)
{
	check_all(HW_STAGE_AUTHORIZE, HW_OP_SESSION);
}

static void transform_in_every_combination(void **state HW_UNUSED)
{
	check_all(HW_STAGE_TRANSFORM, HW_OP_SUBSCRIBE);
}

static void lifecycle_in_every_combination(void **state HW_UNUSED)
{
	check_all(HW_STAGE_LIFECYCLE, HW_OP_SUBSCRIBE);
}

/* ---- what an identity is made of ---- */

static void assert_authenticates(
	struct world *w, struct asked *a, enum hw_verdict verdict, const char *by)
{
	for (int pend = 0; pend < 2; pend++) {
		for (size_t i = 0; i < HW_COUNT(w->fakes); i++)
			w->fakes[i]->pend = pend;
		if (pend)
			release(a);
		prepare(w, a, HW_STAGE_AUTHENTICATE, HW_OP_SUBSCRIBE);
		assert_int_equal(ask_to_the_end(w, a), verdict);
		assert_string_equal(a->ask.decided_by, by);
	}
}

static void later_entries_add_claims_and_grants_and_shorten(void **state HW_UNUSED)
{
	const struct hw_identity *id;
	struct asked a;
	struct world w;

	a_allows(&w);
	w.fakes[0]->claims = "{\"sub\":\"u1\",\"role\":\"x\"}";
	w.fakes[0]->expires_at = 500;
	w.fakes[0]->granted[0] = "beta";
	w.fakes[1]->verdict = HW_ALLOW;
	w.fakes[1]->claims = "{\"role\":\"child\"}";
	w.fakes[1]->granted[0] = "gamma";
	w.fakes[1]->granted[1] = "beta";
	w.fakes[1]->expires_at = 900;
	w.fakes[4]->verdict = HW_ALLOW;
	w.fakes[4]->claims = "{\"age\":1.50}";
	w.fakes[4]->expires_at = 400;
	w.fakes[4]->act_as = true;
	/* what is said with DEFER is not said */
	w.fakes[5]->claims = "{\"admin\":true}";
	w.fakes[5]->expires_at = 1;
	assert_authenticates(&w, &a, HW_ALLOW, "A");
	id = a.ask.identity;
	assert_true(hw_str_eq(id->user_id, HW_STR("u1")));
	assert_true(hw_str_eq(id->tenant_id, HW_STR("acme")));
	assert_true(
		hw_str_eq(id->claims, HW_STR("{\"sub\":\"u1\",\"role\":\"child\",\"age\":1.50}")));
	assert_int_equal(id->expires_at, 400);
	assert_true(id->act_as);
	assert_int_equal(id->n_tenants, 2);
	assert_true(hw_str_eq(id->tenants[0], HW_STR("beta")));
	assert_true(hw_str_eq(id->tenants[1], HW_STR("gamma")));
	assert_int_equal(a.n_found, 1);
	assert_string_equal(w.log.text, "ABCabc");
	release(&a);
	world_fini(&w);
}

static void an_identity_with_nothing_else_has_empty_claims(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	assert_authenticates(&w, &a, HW_ALLOW, "A");
	assert_true(hw_str_eq(a.ask.identity->claims, HW_STR("{}")));
	assert_int_equal(a.ask.identity->expires_at, 0);
	assert_false(a.ask.identity->act_as);
	assert_int_equal(a.ask.identity->n_tenants, 0);
	release(&a);
	world_fini(&w);
}

/* Each case changes one field of one fake that allows. */
static void what_an_entry_may_not_say_is_an_error(void **state HW_UNUSED)
{
	static const struct {
		int entry;
		const char *user, *tenant, *claims, *granted;
		int64_t expires_at;
	} cases[] = {
		{0, NULL, "acme", NULL, NULL, 0},
		{0, "u1", NULL, NULL, NULL, 0},
		{0, "", "acme", NULL, NULL, 0},
		{0, "\xff", "acme", NULL, NULL, 0},
		{0, "u1", "a/b", NULL, NULL, 0},
		{0, "u1", "acme", "[]", NULL, 0},
		{0, "u1", "acme", "{\"a\":1,\"a\":2}", NULL, 0},
		{0, "u1", "acme", "", NULL, 0},
		{0, "u1", "acme", NULL, "no tenant", 0},
		{0, "u1", "acme", NULL, NULL, -5},
		{0, "u1", "acme", NULL, NULL, INT64_C(1700000000000)},
		{1, "u2", NULL, NULL, NULL, 0},
		{1, NULL, "other", NULL, NULL, 0},
		{3, "u2", NULL, NULL, NULL, 0},
		{3, NULL, "other", NULL, NULL, 0},
		{3, NULL, NULL, NULL, "beta", 0},
		{3, NULL, NULL, NULL, "acme", 0},
		{3, NULL, NULL, "7", NULL, 0},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct fake *f;
		struct asked a;
		struct world w;

		a_allows(&w);
		f = w.fakes[cases[i].entry];
		f->verdict = HW_ALLOW;
		f->message = "welcome";
		f->user = cases[i].user;
		f->tenant = cases[i].tenant;
		f->claims = cases[i].claims;
		f->granted[0] = cases[i].granted;
		f->expires_at = cases[i].expires_at;
		assert_authenticates(&w, &a, HW_ERROR, f->base.name);
		assert_string_equal(a.ask.code, "unavailable");
		assert_string_equal(a.ask.message, "");
		assert_null(a.ask.identity);
		world_fini(&w);
	}
}

static void a_tenants_entry_never_says_who_it_is(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	w.fakes[0]->verdict = HW_DEFER;
	w.fakes[3]->verdict = HW_ALLOW;
	w.fakes[3]->user = "u1";
	w.fakes[3]->tenant = "acme";
	assert_authenticates(&w, &a, HW_DENY, "");
	assert_string_equal(a.ask.code, "unauthorized");
	assert_string_equal(w.log.text, "ABC");
	assert_int_equal(a.n_found, 0);
	world_fini(&w);
}

static void a_tenant_that_is_not_found_ends_it(void **state HW_UNUSED)
{
	static const struct {
		const char *code;
		enum hw_verdict verdict;
	} cases[] = {{"forbidden_topic", HW_DENY}, {"unavailable", HW_ERROR}, {NULL, HW_ERROR}};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct asked a;
		struct world w;

		a_allows(&w);
		prepare(&w, &a, HW_STAGE_AUTHENTICATE, HW_OP_SUBSCRIBE);
		a.find_nothing = true;
		a.find_code = cases[i].code;
		assert_int_equal(ask_to_the_end(&w, &a), cases[i].verdict);
		assert_string_equal(a.ask.code, cases[i].code ? cases[i].code : "unavailable");
		assert_string_equal(a.ask.message, "not here");
		assert_string_equal(w.log.text, "ABC");
		assert_null(a.ask.identity);
		world_fini(&w);
	}
}

/* ---- reasons and grants ---- */

static void a_refusal_carries_the_hooks_code_and_words(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	w.fakes[3]->verdict = HW_DENY;
	w.fakes[3]->code = "topic_limit";
	w.fakes[3]->message = "too many";
	prepare(&w, &a, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
	assert_int_equal(ask_to_the_end(&w, &a), HW_DENY);
	assert_string_equal(a.ask.code, "topic_limit");
	assert_string_equal(a.ask.message, "too many");
	w.fakes[3]->verdict = HW_ERROR;
	prepare(&w, &a, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
	assert_int_equal(ask_to_the_end(&w, &a), HW_ERROR);
	assert_string_equal(a.ask.code, "unavailable");
	assert_string_equal(a.ask.message, "too many");
	world_fini(&w);
}

static void act_as_counts_from_whoever_allowed_a_publish(void **state HW_UNUSED)
{
	static const struct {
		enum hw_operation operation;
		int granting;
		enum hw_verdict its_verdict, tenants_verdict;
		bool act_as;
	} cases[] = {
		{HW_OP_PUBLISH, 3, HW_ALLOW, HW_ALLOW, true},
		{HW_OP_PUBLISH, 1, HW_ALLOW, HW_ALLOW, true},
		{HW_OP_PUBLISH, 1, HW_DEFER, HW_ALLOW, false},
		{HW_OP_PUBLISH, 1, HW_ALLOW, HW_DENY, false},
		{HW_OP_PUBLISH, 5, HW_ALLOW, HW_ALLOW, false}, /* after the one that decided */
		{HW_OP_SUBSCRIBE, 3, HW_ALLOW, HW_ALLOW, false},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct asked a;
		struct world w;

		a_allows(&w);
		w.fakes[3]->verdict = cases[i].tenants_verdict;
		w.fakes[cases[i].granting]->verdict = cases[i].its_verdict;
		w.fakes[cases[i].granting]->act_as = true;
		prepare(&w, &a, HW_STAGE_AUTHORIZE, cases[i].operation);
		assert_int_equal(ask_to_the_end(&w, &a), cases[i].tenants_verdict);
		assert_int_equal(a.ask.act_as, cases[i].act_as);
		world_fini(&w);
	}
}

static void the_tenant_of_a_call_is_known_when_it_can_be(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	prepare(&w, &a, HW_STAGE_AUTHENTICATE, HW_OP_SUBSCRIBE);
	w.fakes[0]->pend = w.fakes[1]->pend = w.fakes[3]->pend = true;
	assert_int_equal(hw_hooks_ask(&a.ask), HW_PENDING);
	assert_int_equal(hw_ask_tenant(&a.ask, &w.fakes[0]->base).len, 0);
	fake_resume(w.fakes[0], &a.ask);
	assert_true(hw_str_eq(hw_ask_tenant(&a.ask, &w.fakes[1]->base), HW_STR("acme")));
	fake_resume(w.fakes[1], &a.ask);
	assert_true(hw_str_eq(hw_ask_tenant(&a.ask, &w.fakes[3]->base), HW_STR("acme")));
	fake_resume(w.fakes[3], &a.ask);
	assert_int_equal(a.n_decided, 1);
	release(&a);
	prepare(&w, &a, HW_STAGE_LIFECYCLE, HW_OP_SUBSCRIBE);
	assert_true(hw_str_eq(hw_ask_tenant(&a.ask, &w.fakes[0]->base), HW_STR("acme")));
	world_fini(&w);
}

static char heard_text[256];

static void on_heard(struct hw_ask *ask, const struct hw_heard *heard)
{
	size_t n = strlen(heard_text);

	(void)ask;
	snprintf(heard_text + n, sizeof(heard_text) - n, "%s%s:%d%s%s ",
		heard->global ? "global " : "", heard->entry, heard->verdict,
		heard->code ? " " : "", heard->code ? heard->code : "");
}

static void who_explains_hears_every_entry_and_none_that_is_not_asked(void **state HW_UNUSED)
{
	struct world w;
	struct asked a;

	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(w.fakes); i++)
		w.fakes[i]->verdict = HW_DEFER;
	w.fakes[1]->verdict = HW_ALLOW;
	w.fakes[4]->verdict = HW_DENY;
	w.fakes[4]->code = "rate_limited";
	prepare(&w, &a, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
	a.ask.heard = on_heard;
	heard_text[0] = '\0';
	assert_int_equal(hw_hooks_ask(&a.ask), HW_DENY);
	assert_string_equal(heard_text, "global A:0 global B:1 global C:0 a:0 b:2 rate_limited ");
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(authenticate_in_every_combination),
		cmocka_unit_test(authorize_in_every_combination),
		cmocka_unit_test(authorize_session_in_every_combination),
		cmocka_unit_test(transform_in_every_combination),
		cmocka_unit_test(lifecycle_in_every_combination),
		cmocka_unit_test(later_entries_add_claims_and_grants_and_shorten),
		cmocka_unit_test(an_identity_with_nothing_else_has_empty_claims),
		cmocka_unit_test(what_an_entry_may_not_say_is_an_error),
		cmocka_unit_test(a_tenants_entry_never_says_who_it_is),
		cmocka_unit_test(a_tenant_that_is_not_found_ends_it),
		cmocka_unit_test(a_refusal_carries_the_hooks_code_and_words),
		cmocka_unit_test(act_as_counts_from_whoever_allowed_a_publish),
		cmocka_unit_test(the_tenant_of_a_call_is_known_when_it_can_be),
		cmocka_unit_test(who_explains_hears_every_entry_and_none_that_is_not_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
