#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_entry.h"

/* Guards A, B, C and the tenant's own a, b, c, wired to one pair of benches. */
#define N_GLOBAL 3
#define N_TENANT 3

struct world {
	struct hw_metrics *metrics;
	struct hw_hook_env *env;
	struct fake_log log;
	struct fake *fakes[N_GLOBAL + N_TENANT];
	struct hw_hook_bench *global, *tenant;
	int64_t now_ms;
};

static int64_t now_of(void *arg)
{
	return *(int64_t *)arg;
}

static struct hw_clock clock_of;

static struct hw_hook_bench *bench_of(struct world *w, size_t first, size_t n, const char *tenant)
{
	struct hw_hook_entry *entries[N_GLOBAL + N_TENANT];
	struct hw_hook_bench *bench;
	struct hw_hook_chain *chain;

	for (size_t i = 0; i < n; i++)
		entries[i] = &w->fakes[first + i]->base;
	chain = hw_hook_chain_create(entries, n);
	assert_non_null(chain);
	assert_int_equal(hw_hook_bench_create(w->env, chain, hw_str_of(tenant), 0, &bench), 0);
	assert_ptr_equal(hw_hook_bench_chain(bench), chain);
	hw_hook_chain_unref(&chain);
	return bench;
}

static void world_init(struct world *w)
{
	static const char *const names[] = {"A", "B", "C", "a", "b", "c"};

	memset(w, 0, sizeof(*w));
	w->metrics = hw_metrics_create();
	clock_of = (struct hw_clock){now_of, now_of, &w->now_ms};
	w->env = hw_hook_env_create(NULL, w->metrics, &clock_of, NULL, NULL, NULL, NULL);
	for (size_t i = 0; i < HW_COUNT(names); i++)
		w->fakes[i] = fake_create(w->env, &w->log, names[i], i < N_GLOBAL);
	w->global = bench_of(w, 0, N_GLOBAL, "");
	w->tenant = bench_of(w, N_GLOBAL, N_TENANT, "acme");
}

static void world_fini(struct world *w)
{
	hw_hook_bench_destroy(&w->global);
	hw_hook_bench_destroy(&w->tenant);
	for (size_t i = 0; i < HW_COUNT(w->fakes); i++) {
		struct hw_hook_entry *entry = &w->fakes[i]->base;

		hw_hook_entry_unref(&entry);
	}
	assert_int_equal(w->log.n_freed, 0); /* only the reaper frees */
	hw_hook_env_reap(w->env);
	assert_int_equal(w->log.n_freed, N_GLOBAL + N_TENANT);
	assert_int_equal(w->log.n_attached, w->log.n_detached);
	hw_hook_env_destroy(&w->env);
	hw_metrics_destroy(&w->metrics);
}

/* ---- asking ---- */

struct asked {
	struct hw_ask ask; /* first */
	struct world *world;
	unsigned n_decided, n_found;
	const char *find_code; /* find_tenant refuses with this */
	bool find_nothing;
};

static void decided(struct hw_ask *ask)
{
	((struct asked *)ask)->n_decided++;
}

static struct hw_hook_bench *find_tenant(struct hw_ask *ask, struct hw_str tenant_id)
{
	struct asked *a = (struct asked *)ask;

	a->n_found++;
	assert_true(hw_str_eq(tenant_id, HW_STR("acme")));
	if (!a->find_code && !a->find_nothing)
		return a->world->tenant;
	ask->code = a->find_code;
	snprintf(ask->message, sizeof(ask->message), "not here");
	return NULL;
}

static const struct hw_who somebody = {.user_id = {"u1", 2}, .tenant_id = {"acme", 4}, .claims = {"{}", 2}};
static const struct hw_request request = {.token = {"t", 1}};
static const struct hw_lifecycle connected = {.kind = HW_ON_CONNECT};
static const struct hw_question questions[] = {
	[HW_OP_SUBSCRIBE] = {.operation = HW_OP_SUBSCRIBE}, [HW_OP_WILDCARD] = {.operation = HW_OP_WILDCARD},
	[HW_OP_PUBLISH] = {.operation = HW_OP_PUBLISH}, [HW_OP_PRESENCE] = {.operation = HW_OP_PRESENCE},
	[HW_OP_SESSION] = {.operation = HW_OP_SESSION},
};

static void prepare(struct world *w, struct asked *a, enum hw_hook_stage stage, enum hw_operation operation)
{
	memset(a, 0, sizeof(*a));
	a->world = w;
	a->ask.stage = stage;
	a->ask.global = w->global;
	a->ask.decided = decided;
	w->log.text[0] = '\0';
	if (stage == HW_STAGE_AUTHENTICATE) {
		a->ask.request = &request;
		a->ask.find_tenant = find_tenant;
		return;
	}
	a->ask.tenant = w->tenant;
	a->ask.who = &somebody;
	a->ask.question = &questions[operation];
	a->ask.event = HW_STR("-");
	a->ask.lifecycle = &connected;
}

static struct fake *last_asked(struct world *w)
{
	char name = w->log.text[strlen(w->log.text) - 1];

	for (size_t i = 0; i < HW_COUNT(w->fakes); i++) {
		if (w->fakes[i]->base.name[0] == name)
			return w->fakes[i];
	}
	fail();
	return NULL;
}

/* Asks, and resumes whatever waits until there is a decision. */
static enum hw_verdict ask_to_the_end(struct world *w, struct asked *a)
{
	enum hw_verdict verdict = hw_hooks_ask(&a->ask);

	if (verdict != HW_PENDING) {
		assert_int_equal(a->n_decided, 0);
		assert_int_equal(a->ask.verdict, verdict);
		return verdict;
	}
	while (a->n_decided == 0)
		fake_resume(last_asked(w), &a->ask);
	assert_int_equal(a->n_decided, 1);
	return a->ask.verdict;
}

static void release(struct asked *a)
{
	hw_identity_unref(&a->ask.identity);
	free(a->ask.new_event);
	a->ask.new_event = NULL;
}

/* ---- every combination, against the rules written down once more ---- */

enum what { UNREGISTERED, DEFERS, ALLOWS, DENIES, FAILS, NONSENSE, N_WHAT };

static const enum hw_verdict verdict_of[N_WHAT] = {HW_DEFER, HW_DEFER, HW_ALLOW, HW_DENY, HW_ERROR, (enum hw_verdict)77};

struct expected {
	enum hw_verdict verdict;
	const char *code, *by;
	char asked[16], event[16];
};

static void expect_end(struct expected *e, enum hw_verdict verdict, const char *code, const char *by)
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

static void expect_authorize(const enum what *what, struct fake **fakes, bool session, struct expected *e)
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

static void expect(enum hw_hook_stage stage, enum hw_operation operation, const enum what *what, struct fake **fakes,
	struct expected *e)
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
	case HW_STAGE_LIFECYCLE:
		expect_lifecycle(what, fakes, e);
		break;
	}
}

static void instruct(struct world *w, enum hw_hook_stage stage, enum hw_operation operation, const enum what *what,
	bool pend)
{
	for (size_t i = 0; i < HW_COUNT(w->fakes); i++) {
		struct fake *f = w->fakes[i];

		/* everything else stays registered: only the bit that is asked for may count */
		f->base.registers = UINT32_MAX;
		if (what[i] == UNREGISTERED)
			f->base.registers &= stage == HW_STAGE_AUTHORIZE ? ~HW_REGISTERS_OPERATION(operation) :
				~HW_REGISTERS_STAGE(stage);
		f->verdict = verdict_of[what[i]];
		f->pend = pend;
		f->append = what[i] == ALLOWS ? f->base.name[0] : '\0';
		f->user = "u1";
		f->tenant = "acme";
	}
}

static void check_one(struct world *w, enum hw_hook_stage stage, enum hw_operation operation, const enum what *what,
	bool pend)
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
	assert_int_equal(a.ask.identity != NULL, stage == HW_STAGE_AUTHENTICATE && e.verdict == HW_ALLOW);
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

/* A allows u1 of acme; the others defer until a test says otherwise. */
static void a_allows(struct world *w)
{
	world_init(w);
	for (size_t i = 0; i < HW_COUNT(w->fakes); i++)
		w->fakes[i]->verdict = HW_DEFER;
	w->fakes[0]->verdict = HW_ALLOW;
	w->fakes[0]->user = "u1";
	w->fakes[0]->tenant = "acme";
}

static void assert_authenticates(struct world *w, struct asked *a, enum hw_verdict verdict, const char *by)
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
	assert_true(hw_str_eq(id->claims, HW_STR("{\"sub\":\"u1\",\"role\":\"child\",\"age\":1.50}")));
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

/* ---- waiting ---- */

static void a_cancelled_question_is_never_decided(void **state HW_UNUSED)
{
	static const enum hw_hook_stage stages[] = {
		HW_STAGE_AUTHENTICATE, HW_STAGE_AUTHORIZE, HW_STAGE_TRANSFORM, HW_STAGE_LIFECYCLE};

	for (size_t s = 0; s < HW_COUNT(stages); s++) {
		for (size_t waits = 0; waits < N_GLOBAL + N_TENANT; waits++) {
			struct asked a;
			struct world w;
			char seen[64];

			a_allows(&w);
			w.fakes[0]->append = 'x';
			w.fakes[waits]->pend = true;
			prepare(&w, &a, stages[s], HW_OP_SUBSCRIBE);
			assert_int_equal(hw_hooks_ask(&a.ask), HW_PENDING);
			snprintf(seen, sizeof(seen), "%s%s!", w.log.text, w.fakes[waits]->base.name);
			hw_hooks_cancel(&a.ask);
			assert_string_equal(w.log.text, seen);
			assert_null(a.ask.internal);
			hw_hooks_cancel(&a.ask);
			fake_resume(w.fakes[waits], &a.ask); /* an answer that comes too late */
			assert_string_equal(w.log.text, seen);
			assert_int_equal(a.n_decided, 0);
			assert_null(a.ask.new_event);
			assert_true(hw_list_empty(&w.global->pending));
			assert_true(hw_list_empty(&w.tenant->pending));
			world_fini(&w);
		}
	}
}

static void cancelling_what_is_decided_is_harmless(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	prepare(&w, &a, HW_STAGE_AUTHENTICATE, HW_OP_SUBSCRIBE);
	assert_int_equal(ask_to_the_end(&w, &a), HW_ALLOW);
	hw_hooks_cancel(&a.ask);
	assert_int_equal(a.ask.verdict, HW_ALLOW);
	release(&a);
	world_fini(&w);
}

static void either_bench_ends_what_waits_when_it_goes(void **state HW_UNUSED)
{
	/* in the guards, and in the tenant's own; the global bench goes first, or the tenant's */
	for (int i = 0; i < 4; i++) {
		struct asked a[3];
		struct world w;

		a_allows(&w);
		w.fakes[i & 1 ? 1 : 4]->pend = true;
		for (size_t j = 0; j < HW_COUNT(a); j++) {
			prepare(&w, &a[j], HW_STAGE_TRANSFORM, HW_OP_SUBSCRIBE);
			assert_int_equal(hw_hooks_ask(&a[j].ask), HW_PENDING);
		}
		hw_hook_bench_destroy(i & 2 ? &w.global : &w.tenant);
		for (size_t j = 0; j < HW_COUNT(a); j++) {
			assert_int_equal(a[j].n_decided, 1);
			assert_int_equal(a[j].ask.verdict, HW_ERROR);
			assert_string_equal(a[j].ask.code, "unavailable");
			assert_string_equal(a[j].ask.decided_by, i & 1 ? "B" : "b");
		}
		world_fini(&w);
	}
}

/* A decision that asks again at once, as a session does that retries, must not keep a bench from going. */
static void ask_again(struct hw_ask *ask)
{
	struct asked *a = (struct asked *)ask;

	a->n_decided++;
	ask->decided = decided;
	assert_int_equal(hw_hooks_ask(ask), HW_ERROR);
	assert_string_equal(ask->code, "unavailable");
}

static void a_bench_that_goes_takes_no_more_questions(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	w.fakes[3]->pend = true;
	prepare(&w, &a, HW_STAGE_TRANSFORM, HW_OP_SUBSCRIBE);
	a.ask.decided = ask_again;
	assert_int_equal(hw_hooks_ask(&a.ask), HW_PENDING);
	hw_hook_bench_destroy(&w.tenant);
	assert_int_equal(a.n_decided, 1);
	world_fini(&w);
}

struct owned {
	struct asked asked;
	unsigned *n_freed;
};

static void free_it(struct hw_ask *ask)
{
	struct owned *o = (struct owned *)ask;

	++*o->n_freed;
	free(o);
}

static void a_question_may_be_freed_by_its_decision(void **state HW_UNUSED)
{
	unsigned n_freed = 0;
	struct world w;

	a_allows(&w);
	w.fakes[3]->pend = true;
	for (int i = 0; i < 4; i++) {
		struct owned *o = calloc(1, sizeof(*o));

		prepare(&w, &o->asked, HW_STAGE_TRANSFORM, HW_OP_SUBSCRIBE);
		o->n_freed = &n_freed;
		o->asked.ask.decided = free_it;
		assert_int_equal(hw_hooks_ask(&o->asked.ask), HW_PENDING);
		if (i % 2 == 0)
			fake_resume(w.fakes[3], &o->asked.ask);
	}
	assert_int_equal(n_freed, 2);
	hw_hook_bench_destroy(&w.tenant);
	assert_int_equal(n_freed, 4);
	world_fini(&w);
}

static void a_resumed_entry_that_waits_again_has_failed(void **state HW_UNUSED)
{
	struct asked a;
	struct world w;

	a_allows(&w);
	w.fakes[3]->pend = true;
	w.fakes[3]->verdict = HW_PENDING;
	prepare(&w, &a, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE);
	assert_int_equal(hw_hooks_ask(&a.ask), HW_PENDING);
	fake_resume(w.fakes[3], &a.ask);
	assert_int_equal(a.n_decided, 1);
	assert_int_equal(a.ask.verdict, HW_ERROR);
	world_fini(&w);
}

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
	assert_int_equal(metric(&w, "hookwire_hook_calls_total", "hook=\"a\",tenant=\"acme\",stage=\"transform\""), 5);
	assert_int_equal(metric(&w, "hookwire_hook_calls_total", "hook=\"A\",tenant=\"\",stage=\"transform\""), 5);
	assert_int_equal(metric(&w, "hookwire_hook_calls_total", "hook=\"b\",tenant=\"acme\",stage=\"lifecycle\""), 1);
	assert_int_equal(metric(&w, "hookwire_hook_calls_total", "hook=\"c\",tenant=\"acme\",stage=\"transform\""), 0);
	assert_int_equal(metric(&w, "hookwire_hook_errors_total", "hook=\"b\",tenant=\"acme\",stage=\"transform\""), 5);
	assert_int_equal(metric(&w, "hookwire_hook_errors_total", "hook=\"b\",tenant=\"acme\",stage=\"lifecycle\""), 1);
	assert_int_equal(metric(&w, "hookwire_hook_errors_total", "hook=\"a\",tenant=\"acme\",stage=\"transform\""), 0);
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
	for (const char *p = text.data; (p = strstr(p, "hookwire_hook_calls_total{hook=\"a\",tenant=\"t")); p++)
		n += strstr(p, "stage=\"transform\"") < strchr(p, '\n') && strstr(p, "stage=\"transform\"");
	assert_int_equal(n, 99); /* acme has one of the hundred */
	assert_non_null(strstr(text.data, "hookwire_hook_calls_total{hook=\"a\",tenant=\"other\",stage=\"transform\"} 0"));
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
	assert_non_null(strstr(text, "unlogged=6"));
	assert_int_equal(strchr(strchr(text, '\n') + 1, '\n')[1], '\0'); /* two lines */
	hw_log_destroy(&log);
	w.env->log = NULL;
	fclose(file);
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
		cmocka_unit_test(a_cancelled_question_is_never_decided),
		cmocka_unit_test(cancelling_what_is_decided_is_harmless),
		cmocka_unit_test(either_bench_ends_what_waits_when_it_goes),
		cmocka_unit_test(a_bench_that_goes_takes_no_more_questions),
		cmocka_unit_test(a_question_may_be_freed_by_its_decision),
		cmocka_unit_test(a_resumed_entry_that_waits_again_has_failed),
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
