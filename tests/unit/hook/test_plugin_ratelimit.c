#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loaded.h"

#define RATELIMIT HW_BINARY_DIR "/plugins/ratelimit.so"
#define WORKERS 4

/* The plugin as a tenant's entry and as a global one, with nobody beside it: what it defers is
 * denied by nobody's name. */
struct world {
	struct loaded l;
	struct hw_hook_bench *empty; /* of guards, without entries */
	struct hw_hook_bench *tenant;
};

static struct hw_hook_bench *bench_of(
	struct world *w, struct hw_hook_chain *chain, const char *tenant, unsigned worker)
{
	struct hw_hook_bench *bench;

	assert_int_equal(
		hw_hook_bench_create(w->l.env, chain, hw_str_of(tenant), worker, &bench), 0);
	return bench;
}

static struct hw_hook_chain *chain_with(struct world *w, const char *config)
{
	struct hw_hook_entry *entry;
	struct hw_hook_chain *chain;

	if (loaded_load(&w->l, RATELIMIT, config, false, &entry) < 0)
		fail_msg("%s: %s", w->l.problem.path, w->l.problem.text);
	chain = hw_hook_chain_create(&entry, 1);
	hw_hook_entry_unref(&entry);
	return chain;
}

static void world_init(struct world *w, const char *config)
{
	struct hw_hook_chain *none = hw_hook_chain_create(NULL, 0), *chain;

	memset(w, 0, sizeof(*w));
	loaded_init(&w->l, NULL);
	chain = chain_with(w, config);
	w->tenant = bench_of(w, chain, "acme", 0);
	w->empty = bench_of(w, none, "", 0);
	hw_hook_chain_unref(&chain);
	hw_hook_chain_unref(&none);
}

static void world_fini(struct world *w)
{
	hw_hook_bench_destroy(&w->empty);
	hw_hook_bench_destroy(&w->tenant);
	loaded_fini(&w->l);
}

struct who {
	const char *user, *tenant, *address;
};

/* 0: it goes on; else after how many ms there is a token. */
static int64_t ask_at(struct world *w, struct hw_hook_bench *bench, enum hw_operation operation,
	const struct who *by, int again)
{
	struct hw_who who = {.user_id = {by->user, strlen(by->user)},
		.tenant_id = {by->tenant, strlen(by->tenant)},
		.address = {by->address, strlen(by->address)},
		.claims = HW_SLICE("{}")};
	struct hw_question question = {
		.operation = operation, .topic = HW_SLICE("a:1"), .again = again};
	struct hw_ask a = {.stage = HW_STAGE_AUTHORIZE,
		.global = w->empty,
		.tenant = bench,
		.who = &who,
		.question = &question};

	assert_int_equal(hw_hooks_ask(&a), HW_DENY);
	if (!a.decided_by[0])
		return 0;
	assert_string_equal(a.code, "rate_limited");
	assert_true(a.retry_after_ms > 0);
	return a.retry_after_ms;
}

static int64_t publish(struct world *w, const char *user, const char *address)
{
	struct who who = {user, "acme", address};

	return ask_at(w, w->tenant, HW_OP_PUBLISH, &who, 0);
}

static int publishes(struct world *w, const char *user, const char *address)
{
	int n = 0;

	while (publish(w, user, address) == 0)
		n++;
	return n;
}

static void a_burst_goes_through_then_the_rate(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "{\"publish\":{\"per\":\"user\",\"rate\":2,\"burst\":5}}");
	assert_int_equal(publishes(&w, "ann", "192.0.2.1"), 5);
	assert_int_equal(publish(&w, "ann", "192.0.2.1"), 500);
	w.l.now_ms += 499;
	assert_int_equal(publish(&w, "ann", "192.0.2.1"), 1);
	w.l.now_ms += 1;
	assert_int_equal(publishes(&w, "ann", "192.0.2.1"), 1);
	/* what was refused cost nothing, and no more than a burst is saved up */
	w.l.now_ms += 60000;
	assert_int_equal(publishes(&w, "ann", "192.0.2.1"), 5);
	w.l.now_ms += 1250;
	assert_int_equal(publishes(&w, "ann", "192.0.2.1"), 2);
	assert_int_equal(publish(&w, "ann", "192.0.2.1"), 250);
	assert_true(
		loaded_metric(&w.l, "hookwire_plugin_ratelimit_limited_total", "ratelimit") > 5);
	world_fini(&w);
}

static void burst_is_a_second_s_worth_unless_it_is_given(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "{\"publish\":{\"per\":\"user\",\"rate\":2.5}}");
	assert_int_equal(publishes(&w, "ann", ""), 3);
	world_fini(&w);
	world_init(&w, "{\"publish\":[{\"per\":\"user\",\"rate\":0.1}]}");
	assert_int_equal(publishes(&w, "ann", ""), 1);
	assert_int_equal(publish(&w, "ann", ""), 10000);
	world_fini(&w);
}

static void each_user_tenant_and_address_has_a_bucket_of_its_own(void **state)
{
	static const struct who ann = {"ann", "acme", "192.0.2.1"},
				bob = {"bob", "acme", "192.0.2.1"},
				beta = {"ann", "beta", "192.0.2.1"},
				away = {"ann", "acme", "192.0.2.2"};
	struct world w;

#define PUBLISH(who) ask_at(&w, w.tenant, HW_OP_PUBLISH, &who, 0)
	(void)state;
	world_init(&w, "{\"publish\":{\"per\":\"user\",\"rate\":1}}");
	assert_int_equal(PUBLISH(ann), 0);
	assert_int_equal(PUBLISH(away), 1000);
	assert_int_equal(PUBLISH(bob), 0);
	assert_int_equal(PUBLISH(beta), 0);
	world_fini(&w);
	world_init(&w, "{\"publish\":{\"per\":\"address\",\"rate\":1}}");
	assert_int_equal(PUBLISH(ann), 0);
	assert_int_equal(PUBLISH(bob), 1000);
	assert_int_equal(PUBLISH(away), 0);
	assert_int_equal(PUBLISH(beta), 0); /* no tenant empties another's */
	world_fini(&w);
	world_init(&w, "{\"publish\":{\"per\":\"tenant\",\"rate\":1}}");
	assert_int_equal(PUBLISH(ann), 0);
	assert_int_equal(PUBLISH(bob), 1000);
	assert_int_equal(PUBLISH(away), 1000);
	assert_int_equal(PUBLISH(beta), 0);
	world_fini(&w);
#undef PUBLISH
}

static void addresses_of_ipv6_are_taken_together(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "{\"publish\":{\"per\":\"address\",\"rate\":1}}");
	assert_int_equal(publish(&w, "a", "[2001:db8:0:1::1]"), 0);
	assert_int_equal(publish(&w, "a", "[2001:db8:0:1:ffff::2]"), 1000);
	assert_int_equal(publish(&w, "a", "[2001:db8:0:2::1]"), 0);
	assert_int_equal(publish(&w, "a", "192.0.2.1"), 0);
	assert_int_equal(publish(&w, "a", "192.0.2.2"), 0);
	assert_int_equal(publish(&w, "a", "unix"), 0);
	assert_int_equal(publish(&w, "a", "unix"), 1000);
	world_fini(&w);
	world_init(&w, "{\"publish\":{\"per\":\"address\",\"rate\":1},\"ipv6_prefix\":52}");
	assert_int_equal(publish(&w, "a", "[2001:db8:0:1fff::1]"), 0);
	assert_int_equal(publish(&w, "a", "[2001:db8:0:1000::1]"), 1000);
	assert_int_equal(publish(&w, "a", "[2001:db8:0:2000::1]"), 0);
	world_fini(&w);
	world_init(&w, "{\"publish\":{\"per\":\"address\",\"rate\":1},\"ipv6_prefix\":128}");
	assert_int_equal(publish(&w, "a", "[2001:db8::1]"), 0);
	assert_int_equal(publish(&w, "a", "[2001:db8::2]"), 0);
	assert_int_equal(publish(&w, "a", "[2001:db8::2]"), 1000);
	world_fini(&w);
}

static void several_limits_hold_and_a_refused_one_costs_the_others_nothing(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "{\"publish\":[{\"per\":\"tenant\",\"rate\":0.001,\"burst\":4},"
		       "{\"per\":\"user\",\"rate\":0.001,\"burst\":3},"
		       "{\"per\":\"address\",\"rate\":0.001,\"burst\":50}]}");
	assert_int_equal(publishes(&w, "ann", "192.0.2.1"), 3);
	for (int i = 0; i < 100; i++)
		assert_true(publish(&w, "ann", "192.0.2.1") > 0);
	/* ann's hundred took nothing of her address, nor of the tenant */
	assert_int_equal(publishes(&w, "bob", "192.0.2.1"), 1);
	for (int i = 0; i < 100; i++)
		assert_true(publish(&w, "carl", "192.0.2.1") > 0);
	w.l.now_ms += 4000000;
	/* the tenant is full again, and carl's hundred took nothing of him */
	assert_int_equal(publishes(&w, "carl", "192.0.2.1"), 3);
	world_fini(&w);
}

static void subscribing_and_publishing_are_counted_apart_and_looking_again_is_not(void **state)
{
	static const struct who ann = {"ann", "acme", "192.0.2.1"};
	struct world w;

	(void)state;
	world_init(&w, "{\"publish\":{\"per\":\"user\",\"rate\":1},"
		       "\"subscribe\":{\"per\":\"user\",\"rate\":1,\"burst\":2}}");
	assert_int_equal(publish(&w, "ann", ""), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(ask_at(&w, w.tenant, HW_OP_SUBSCRIBE, &ann, 1), 0);
	assert_int_equal(ask_at(&w, w.tenant, HW_OP_SUBSCRIBE, &ann, 0), 0);
	assert_int_equal(ask_at(&w, w.tenant, HW_OP_WILDCARD, &ann, 0), 0);
	assert_int_equal(ask_at(&w, w.tenant, HW_OP_SUBSCRIBE, &ann, 0), 1000);
	for (int i = 0; i < 10; i++)
		assert_int_equal(ask_at(&w, w.tenant, HW_OP_SUBSCRIBE, &ann, 1), 0);
	assert_int_equal(ask_at(&w, w.tenant, HW_OP_PRESENCE, &ann, 0), 0);
	world_fini(&w);
}

static void a_trial_of_the_policy_costs_nobody_a_token(void **state)
{
	static const struct who ann = {"ann", "acme", "192.0.2.1"};
	struct hw_hook_bench *trial;
	struct world w;

	(void)state;
	world_init(&w, "{\"subscribe\":{\"per\":\"user\",\"rate\":1}}");
	assert_int_equal(hw_hook_bench_create_trial(
				 w.l.env, hw_hook_bench_chain(w.tenant), HW_STR("acme"), 0, &trial),
		0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(ask_at(&w, trial, HW_OP_SUBSCRIBE, &ann, 0), 0);
	assert_int_equal(ask_at(&w, w.tenant, HW_OP_SUBSCRIBE, &ann, 0), 0);
	assert_int_equal(ask_at(&w, w.tenant, HW_OP_SUBSCRIBE, &ann, 0), 1000);
	hw_hook_bench_destroy(&trial);
	world_fini(&w);
}

/* ---- authenticate ---- */

/* Guards: this plugin, and, in front of or behind it, one that says who it is. */
struct door {
	struct loaded l;
	struct hw_hook_bench *global, *tenant;
};

#define JWT HW_BINARY_DIR "/plugins/jwt.so"
#define SECRET "an-hmac-secret-of-more-than-32-bytes"
/* {"alg":"HS256"} . {"sub":"ann","tenant_id":"acme"}, signed with SECRET */
#define TOKEN \
	"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4iLCJ0ZW5hbnRfaWQiOiJhY21lIn0." \
	"eTGOCpv9JUDeryoibS5KyliRuqKLuXqsfAr27n4WtY0"

static struct hw_hook_entry *load_global(struct loaded *l, const char *path, const char *config)
{
	struct hw_hook_entry *entry;

	if (loaded_load(l, path, config, true, &entry) < 0)
		fail_msg("%s: %s", l->problem.path, l->problem.text);
	return entry;
}

static void door_init(struct door *d, const char *config, bool behind)
{
	struct hw_hook_chain *none = hw_hook_chain_create(NULL, 0), *chain;
	struct hw_hook_entry *entries[2];

	loaded_init(&d->l, NULL);
	entries[behind] = load_global(&d->l, RATELIMIT, config);
	entries[!behind] = load_global(
		&d->l, JWT, "{\"keys\":[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\"}]}");
	chain = hw_hook_chain_create(entries, 2);
	hw_hook_entry_unref(&entries[0]);
	hw_hook_entry_unref(&entries[1]);
	assert_int_equal(hw_hook_bench_create(d->l.env, chain, HW_STR(""), 0, &d->global), 0);
	assert_int_equal(hw_hook_bench_create(d->l.env, none, HW_STR("acme"), 0, &d->tenant), 0);
	hw_hook_chain_unref(&chain);
	hw_hook_chain_unref(&none);
}

static void door_fini(struct door *d)
{
	hw_hook_bench_destroy(&d->global);
	hw_hook_bench_destroy(&d->tenant);
	loaded_fini(&d->l);
}

/* 'A' allowed, 'L' limited, 'U' not accepted, 'E' an error. */
static char knock(struct door *d, const char *token, const char *address, const char *transport)
{
	struct hw_request request = {.token = {token, strlen(token)},
		.address = {address, strlen(address)},
		.path = HW_SLICE("/ws"),
		.transport = {transport, strlen(transport)}};
	struct hw_ask a = {.stage = HW_STAGE_AUTHENTICATE,
		.global = d->global,
		.tenant = d->tenant,
		.request = &request};
	enum hw_verdict verdict = hw_hooks_ask(&a);

	if (verdict == HW_ALLOW) {
		hw_identity_unref(&a.identity);
		return 'A';
	}
	if (verdict == HW_ERROR)
		return 'E';
	return strcmp(a.code, "rate_limited") == 0 ? 'L' : 'U';
}

static void before_the_token_is_looked_at_bad_ones_count_too(void **state)
{
	struct door d;

	(void)state;
	door_init(&d,
		"{\"connect\":{\"per\":\"address\",\"rate\":0.1,\"burst\":3},"
		"\"request\":{\"per\":\"address\",\"rate\":0.1,\"burst\":1}}",
		false);
	assert_int_equal(knock(&d, TOKEN, "192.0.2.1", "ws"), 'A');
	assert_int_equal(knock(&d, "guess", "192.0.2.1", "ws"), 'U');
	assert_int_equal(knock(&d, "guess", "192.0.2.1", "ws"), 'U');
	assert_int_equal(knock(&d, TOKEN, "192.0.2.1", "ws"), 'L');
	assert_int_equal(knock(&d, TOKEN, "192.0.2.2", "ws"), 'A');
	assert_int_equal(knock(&d, TOKEN, "192.0.2.1", "http"), 'A');
	assert_int_equal(knock(&d, TOKEN, "192.0.2.1", "http"), 'L');
	door_fini(&d);
}

static void behind_who_says_who_it_is_users_are_known(void **state)
{
	struct door d;

	(void)state;
	door_init(&d, "{\"connect\":{\"per\":\"user\",\"rate\":0.1,\"burst\":2}}", true);
	assert_int_equal(knock(&d, TOKEN, "192.0.2.1", "ws"), 'A');
	assert_int_equal(knock(&d, TOKEN, "192.0.2.2", "ws"), 'A');
	assert_int_equal(knock(&d, TOKEN, "192.0.2.3", "ws"), 'L');
	assert_int_equal(knock(&d, TOKEN, "192.0.2.3", "http"), 'A');
	door_fini(&d);
}

static void in_front_of_it_a_limit_per_user_lets_nobody_in(void **state)
{
	struct door d;

	(void)state;
	door_init(&d, "{\"connect\":{\"per\":\"tenant\",\"rate\":10}}", false);
	assert_int_equal(knock(&d, TOKEN, "192.0.2.1", "ws"), 'E');
	assert_int_equal(knock(&d, TOKEN, "192.0.2.1", "http"), 'A');
	door_fini(&d);
}

/* ---- the table is full ---- */

static void pushing_out_gives_nobody_a_fresh_bucket(void **state)
{
	char user[16];
	struct world w;
	int got = 0;

	(void)state;
	/* 64 places */
	world_init(
		&w, "{\"publish\":{\"per\":\"user\",\"rate\":0.001,\"burst\":4},\"buckets\":64}");
	assert_int_equal(publishes(&w, "attacker", ""), 4);
	for (int i = 0; i < 5000; i++) {
		snprintf(user, sizeof(user), "flood%d", i);
		publish(&w, user, "");
		assert_true(publish(&w, "attacker", "") > 0);
	}
	/* what all got together is bounded by what the table can owe */
	for (int i = 0; i < 5000; i++) {
		snprintf(user, sizeof(user), "late%d", i);
		got += publish(&w, user, "") == 0;
	}
	assert_true(got <= 64 * 4);
	assert_true(
		loaded_metric(&w.l, "hookwire_plugin_ratelimit_crowded_total", "ratelimit") > 0);
	/* time heals it, for all alike */
	w.l.now_ms += 4000000;
	assert_int_equal(publishes(&w, "late1", ""), 4);
	world_fini(&w);
}

static void full_buckets_make_room(void **state)
{
	char user[16];
	struct world w;

	(void)state;
	world_init(&w, "{\"publish\":{\"per\":\"user\",\"rate\":1000,\"burst\":2},\"buckets\":64}");
	for (int i = 0; i < 10000; i++) {
		snprintf(user, sizeof(user), "u%d", i);
		assert_int_equal(publishes(&w, user, ""), 2);
		w.l.now_ms += 2;
	}
	assert_int_equal(
		loaded_metric(&w.l, "hookwire_plugin_ratelimit_crowded_total", "ratelimit"), 0);
	world_fini(&w);
}

static void a_clock_that_is_set_back_costs_a_burst_at_most(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "{\"publish\":{\"per\":\"user\",\"rate\":1,\"burst\":3}}");
	assert_int_equal(publishes(&w, "ann", ""), 3);
	w.l.now_ms -= 86400000;
	assert_int_equal(publish(&w, "ann", ""), 1000);
	w.l.now_ms += 3000;
	assert_int_equal(publishes(&w, "ann", ""), 3);
	world_fini(&w);
}

/* ---- workers ---- */

struct hammer {
	pthread_t thread;
	struct world *w;
	struct hw_hook_bench *bench;
	int got;
};

static void *hammer(void *arg)
{
	static const struct who ann = {"ann", "acme", "192.0.2.1"};
	struct hammer *h = arg;

	for (int i = 0; i < 20000; i++) {
		struct hw_who who = {.user_id = {ann.user, 3}, .tenant_id = {ann.tenant, 4}};
		struct hw_question question = {.operation = HW_OP_PUBLISH};
		struct hw_ask a = {.stage = HW_STAGE_AUTHORIZE,
			.global = h->w->empty,
			.tenant = h->bench,
			.who = &who,
			.question = &question};

		(void)!hw_hooks_ask(&a);
		h->got += !a.decided_by[0];
	}
	return NULL;
}

static void all_workers_take_of_one_bucket(void **state)
{
	struct hammer hammers[WORKERS];
	struct world w;
	int got = 0;

	(void)state;
	world_init(&w, "{\"publish\":{\"per\":\"user\",\"rate\":0.02,\"burst\":1000}}");
	for (unsigned i = 0; i < WORKERS; i++) {
		hammers[i] = (struct hammer){.w = &w,
			.bench = bench_of(&w, hw_hook_bench_chain(w.tenant), "acme", i + 1)};
		assert_int_equal(pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(hammers[i].thread, NULL);
		got += hammers[i].got;
		hw_hook_bench_destroy(&hammers[i].bench);
	}
	assert_int_equal(got, 1000);
	world_fini(&w);
}

/* ---- a reload ---- */

/* Another generation, with these settings, in the place of the present one. */
static void reload(struct world *w, const char *config)
{
	struct hw_hook_chain *chain = chain_with(w, config);
	struct hw_hook_bench *next = bench_of(w, chain, "acme", 0);

	hw_hook_bench_inherit(next, w->tenant);
	hw_hook_bench_destroy(&w->tenant);
	w->tenant = next;
	hw_hook_chain_unref(&chain);
	hw_hook_env_reap(w->l.env);
}

static void what_is_owed_is_owed_after_a_reload(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "{\"publish\":{\"per\":\"user\",\"rate\":1,\"burst\":10}}");
	assert_int_equal(publishes(&w, "ann", ""), 10);
	assert_int_equal(publish(&w, "bob", ""), 0);
	reload(&w, "{\"publish\":{\"per\":\"user\",\"rate\":1,\"burst\":10},\"buckets\":128}");
	assert_int_equal(publish(&w, "ann", ""), 1000);
	assert_int_equal(publishes(&w, "bob", ""), 9);
	/* ten times the rate: as many tokens are owed, and are back sooner */
	reload(&w, "{\"publish\":{\"per\":\"user\",\"rate\":10,\"burst\":10}}");
	assert_int_equal(publish(&w, "ann", ""), 100);
	/* a larger burst is there at once, a smaller one is the most that is owed */
	reload(&w, "{\"publish\":{\"per\":\"user\",\"rate\":10,\"burst\":15}}");
	assert_int_equal(publishes(&w, "ann", ""), 5);
	reload(&w, "{\"publish\":{\"per\":\"user\",\"rate\":10,\"burst\":2}}");
	assert_int_equal(publish(&w, "ann", ""), 100);
	w.l.now_ms += 200;
	assert_int_equal(publishes(&w, "ann", ""), 2);
	/* a limit that was not there begins full, and the old one goes */
	reload(&w, "{\"publish\":{\"per\":\"tenant\",\"rate\":10,\"burst\":2}}");
	assert_int_equal(publishes(&w, "ann", ""), 2);
	world_fini(&w);
}

static void of_more_than_can_be_kept_the_largest_debts_are(void **state)
{
#define MANY "{\"publish\":{\"per\":\"user\",\"rate\":0.01,\"burst\":400},\"buckets\":262144"
	char user[16];
	struct world w;

	(void)state;
	world_init(&w, MANY "}");
	for (int i = 0; i < 100000; i++) {
		snprintf(user, sizeof(user), "small%d", i);
		assert_int_equal(publish(&w, user, ""), 0);
	}
	for (int i = 0; i < 20; i++) {
		snprintf(user, sizeof(user), "large%d", i);
		/* a few less where a set is full of others' debts already */
		assert_in_range(publishes(&w, user, ""), 390, 400);
	}
	reload(&w, MANY ",\"ipv6_prefix\":56}");
	for (int i = 0; i < 20; i++) {
		snprintf(user, sizeof(user), "large%d", i);
		assert_true(publish(&w, user, "") > 0);
	}
	world_fini(&w);
}

/* ---- settings ---- */

static void mistakes_are_told_at_their_places(void **state)
{
	static const struct {
		const char *config, *path, *words;
	} cases[] = {
		{"{}", "", "nothing is limited"},
		{"{\"publish\":[]}", "", "nothing is limited"},
		{"{\"publsh\":{}}", "", "\"publsh\" is no setting"},
		{"{\"publish\":5}", "/publish", "must be a limit like"},
		{"{\"publish\":[5]}", "/publish/0", "must be a limit like"},
		{"{\"publish\":{\"rate\":1}}", "/publish", "has no \"per\""},
		{"{\"publish\":{\"per\":\"user\"}}", "/publish", "has no \"rate\""},
		{"{\"publish\":{\"per\":\"user\",\"rate\":1,\"rte\":1}}", "/publish",
			"\"rte\" is no setting of a limit"},
		{"{\"publish\":{\"per\":\"users\",\"rate\":1}}", "/publish/per",
			"\"address\", \"user\" or \"tenant\""},
		{"{\"publish\":{\"per\":7,\"rate\":1}}", "/publish/per", "\"address\""},
		{"{\"publish\":{\"per\":\"user\",\"rate\":0}}", "/publish/rate", "tokens a second"},
		{"{\"publish\":{\"per\":\"user\",\"rate\":-1}}", "/publish/rate",
			"tokens a second"},
		{"{\"publish\":{\"per\":\"user\",\"rate\":\"1\"}}", "/publish/rate",
			"must be a number"},
		{"{\"publish\":{\"per\":\"user\",\"rate\":1e7}}", "/publish/rate", "1e+06"},
		{"{\"subscribe\":[{\"per\":\"user\",\"rate\":1},{\"per\":\"tenant\",\"rate\":1,"
		 "\"burst\":0}]}",
			"/subscribe/1/burst", "a whole number, 1 to 1000000"},
		{"{\"publish\":{\"per\":\"user\",\"rate\":1,\"burst\":1.5}}", "/publish/burst",
			"a whole number"},
		{"{\"publish\":{\"per\":\"user\",\"rate\":0.001,\"burst\":1000}}", "/publish",
			"more than a day"},
		{"{\"publish\":[{\"per\":\"user\",\"rate\":1},{\"per\":\"user\",\"rate\":2}]}",
			"/publish/1", "there is a limit per user here already"},
		{"{\"publish\":{\"per\":\"user\",\"rate\":1},\"buckets\":63}", "/buckets",
			"64 to 1048576"},
		{"{\"publish\":{\"per\":\"user\",\"rate\":1},\"ipv6_prefix\":129}", "/ipv6_prefix",
			"16 to 128"},
	};
	struct loaded l;

	(void)state;
	loaded_init(&l, NULL);
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_hook_entry *entry;

		if (loaded_load(&l, RATELIMIT, cases[i].config, false, &entry) == 0)
			fail_msg("taken: %s", cases[i].config);
		assert_string_equal(l.problem.path, cases[i].path);
		if (!strstr(l.problem.text, cases[i].words))
			fail_msg("%s: \"%s\" says nothing of \"%s\"", cases[i].config,
				l.problem.text, cases[i].words);
	}
	loaded_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_goes_through_then_the_rate),
		cmocka_unit_test(burst_is_a_second_s_worth_unless_it_is_given),
		cmocka_unit_test(each_user_tenant_and_address_has_a_bucket_of_its_own),
		cmocka_unit_test(addresses_of_ipv6_are_taken_together),
		cmocka_unit_test(several_limits_hold_and_a_refused_one_costs_the_others_nothing),
		cmocka_unit_test(
			subscribing_and_publishing_are_counted_apart_and_looking_again_is_not),
		cmocka_unit_test(a_trial_of_the_policy_costs_nobody_a_token),
		cmocka_unit_test(before_the_token_is_looked_at_bad_ones_count_too),
		cmocka_unit_test(behind_who_says_who_it_is_users_are_known),
		cmocka_unit_test(in_front_of_it_a_limit_per_user_lets_nobody_in),
		cmocka_unit_test(pushing_out_gives_nobody_a_fresh_bucket),
		cmocka_unit_test(full_buckets_make_room),
		cmocka_unit_test(a_clock_that_is_set_back_costs_a_burst_at_most),
		cmocka_unit_test(all_workers_take_of_one_bucket),
		cmocka_unit_test(what_is_owed_is_owed_after_a_reload),
		cmocka_unit_test(of_more_than_can_be_kept_the_largest_debts_are),
		cmocka_unit_test(mistakes_are_told_at_their_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
