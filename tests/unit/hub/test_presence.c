/* Who is in a topic, as all workers say it together: what is told, in which order, and that a list
 * and the changes behind it are the list of later. */
#include "hub/presence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "hub/presence_rules.h"

#define GRACE_MS 100
#define TOPIC HW_STR("a:1")

struct world {
	struct hw_presence p;
	struct hw_presence_reader reader;
	int64_t now_ms;
	uint64_t last_number;
	unsigned n_tells;
	char told[4096]; /* "+u=1 ~u=2{…} -u=0 " */
};

static void on_tell(struct hw_presence_reader *reader)
{
	HW_CONTAINER_OF(reader, struct world, reader)->n_tells++;
}

static void world_init(struct world *w)
{
	struct hw_hash_key key = hw_hash_key_random();

	memset(w, 0, sizeof(*w));
	w->now_ms = 1000;
	hw_presence_init(&w->p, &key);
	w->reader = (struct hw_presence_reader){.index = 3, .tell = on_tell};
	hw_presence_attach(&w->p, &w->reader);
	assert_int_equal(hw_presence_watch(&w->p, &w->reader, TOPIC), 0);
}

static void world_fini(struct world *w)
{
	hw_presence_unwatch(&w->p, &w->reader, TOPIC);
	assert_int_equal(hw_map_count(&w->p.topics), 0); /* nothing is kept of what is over */
	assert_int_equal(w->p.n_graces, 0);
	hw_presence_detach(&w->p, &w->reader);
	hw_presence_fini(&w->p);
}

static void join_as(struct world *w, const char *user, const void *same, const char *info)
{
	assert_int_equal(hw_presence_join(&w->p, TOPIC, hw_str_of(user), same, hw_str_of(info)), 0);
}

static void join(struct world *w, const char *user)
{
	join_as(w, user, NULL, NULL);
}

static bool leave(struct world *w, const char *user, int64_t grace_ms)
{
	return hw_presence_leave(&w->p, TOPIC, hw_str_of(user), NULL, w->now_ms, grace_ms);
}

static int64_t expire(struct world *w)
{
	return hw_presence_expire(&w->p, w->now_ms, GRACE_MS);
}

static void add(char *to, const char *mark, const struct hw_presence_user *u)
{
	sprintf(to + strlen(to), "%s%.*s=%u%.*s ", mark, HW_STR_ARG(u->user_id),
		(unsigned)u->connections, (int)u->info.len, u->info.p ? u->info.p : "");
}

static void told(struct world *w, const char *expected)
{
	static const char *const marks[] = {"+", "-", "~"};
	struct hw_list changes, *node;

	hw_list_init(&changes);
	assert_false(hw_presence_take(&w->p, &w->reader, &changes));
	w->told[0] = '\0';
	while ((node = hw_list_pop(&changes))) {
		struct hw_presence_change *c =
			HW_CONTAINER_OF(node, struct hw_presence_change, link);

		assert_true(hw_str_eq(c->topic, TOPIC));
		assert_true(c->number > w->last_number);
		w->last_number = c->number;
		add(w->told, marks[c->kind], &c->user);
		free(c);
	}
	assert_string_equal(w->told, expected);
}

static void list_one(void *arg, const struct hw_presence_user *user)
{
	add(arg, "", user);
}

static void listed(struct world *w, const char *expected)
{
	char text[4096] = "";

	assert_int_equal(hw_presence_list(&w->p, TOPIC, list_one, text), w->p.last_number);
	assert_string_equal(text, expected);
}

static void connections_of_a_user_are_counted(void **state HW_UNUSED)
{
	struct world w;

	world_init(&w);
	listed(&w, "");
	join(&w, "u");
	join(&w, "u");
	assert_int_equal(w.n_tells, 1); /* until it takes */
	told(&w, "+u=1 ~u=2 ");
	listed(&w, "u=2 ");
	join(&w, "v");
	assert_int_equal(w.n_tells, 2);
	assert_false(leave(&w, "u", 0));
	assert_false(leave(&w, "v", 0));
	assert_false(leave(&w, "u", 0));
	assert_false(leave(&w, "u", 0)); /* who is not there does not leave */
	told(&w, "+v=1 ~u=1 -v=0 -u=0 ");
	listed(&w, "");
	world_fini(&w);
}

static void who_comes_back_within_the_grace_period_has_not_been_away(void **state HW_UNUSED)
{
	struct world w;

	world_init(&w);
	join(&w, "u");
	told(&w, "+u=1 ");
	for (int i = 0; i < 5; i++) {
		assert_true(leave(&w, "u", GRACE_MS));
		listed(&w, "u=1 ");
		w.now_ms += GRACE_MS - 1;
		assert_int_equal(expire(&w), w.now_ms + 1);
		join(&w, "u");
		w.now_ms += GRACE_MS;
		assert_int_equal(expire(&w), INT64_MAX);
	}
	told(&w, "");
	assert_true(leave(&w, "u", GRACE_MS));
	w.now_ms += GRACE_MS;
	assert_int_equal(expire(&w), INT64_MAX);
	told(&w, "-u=0 ");
	world_fini(&w);
}

static void fewer_connections_are_told_after_it_too(void **state HW_UNUSED)
{
	struct world w;

	world_init(&w);
	for (int i = 0; i < 3; i++)
		join(&w, "u");
	told(&w, "+u=1 ~u=2 ~u=3 ");
	assert_true(leave(&w, "u", GRACE_MS));
	w.now_ms += GRACE_MS / 2;
	assert_true(leave(&w, "u", GRACE_MS));
	join(&w, "u"); /* two are there, three are told of */
	w.now_ms += GRACE_MS / 2;
	assert_int_equal(expire(&w), INT64_MAX);
	told(&w, "~u=2 ");
	/* the period of who has gone begins with the last one */
	assert_true(leave(&w, "u", GRACE_MS));
	w.now_ms += GRACE_MS - 1;
	assert_true(leave(&w, "u", GRACE_MS));
	w.now_ms += GRACE_MS - 1;
	assert_int_equal(expire(&w), w.now_ms + 1);
	told(&w, "");
	w.now_ms++;
	assert_int_equal(expire(&w), INT64_MAX);
	told(&w, "-u=0 ");
	world_fini(&w);
}

static void what_is_shown_is_told_when_it_is_another(void **state HW_UNUSED)
{
	struct world w;

	world_init(&w);
	join_as(&w, "u", NULL, "{1}");
	join_as(&w, "u", NULL, "{1}");
	hw_presence_inform(&w.p, TOPIC, HW_STR("u"), HW_STR("{1}"));
	told(&w, "+u=1{1} ~u=2{1} ");
	hw_presence_inform(&w.p, TOPIC, HW_STR("u"), HW_STR("{2}"));
	hw_presence_inform(&w.p, TOPIC, HW_STR("nobody"), HW_STR("{2}"));
	hw_presence_inform(&w.p, TOPIC, HW_STR("u"), HW_STR_NULL);
	told(&w, "~u=2{2} ~u=2 ");
	assert_true(leave(&w, "u", GRACE_MS));
	join_as(&w, "u", NULL, "{3}"); /* it comes back as another */
	told(&w, "~u=2{3} ");
	leave(&w, "u", 0);
	leave(&w, "u", 0);
	told(&w, "~u=1{3} -u=0 ");
	world_fini(&w);
}

static void connections_that_are_the_same_are_one(void **state HW_UNUSED)
{
	const int one = 1, other = 2;
	struct world w;

	world_init(&w);
	join_as(&w, "u", &one, NULL);
	join_as(&w, "u", &one, NULL);
	join_as(&w, "u", &other, NULL);
	join(&w, "u");
	told(&w, "+u=1 ~u=2 ~u=3 ");
	assert_false(hw_presence_leave(&w.p, TOPIC, HW_STR("u"), &one, w.now_ms, 0));
	told(&w, "");
	assert_false(hw_presence_leave(&w.p, TOPIC, HW_STR("u"), &one, w.now_ms, 0));
	assert_false(hw_presence_leave(&w.p, TOPIC, HW_STR("u"), &other, w.now_ms, 0));
	leave(&w, "u", 0);
	told(&w, "~u=2 ~u=1 -u=0 ");
	world_fini(&w);
}

static void only_who_watches_is_told(void **state HW_UNUSED)
{
	struct hw_presence_reader other = {.index = 0, .tell = NULL}; /* is never told */
	struct world w;

	world_init(&w);
	hw_presence_attach(&w.p, &other);
	assert_int_equal(hw_presence_watch(&w.p, &other, HW_STR("a:2")), 0);
	join(&w, "u");
	hw_presence_unwatch(&w.p, &w.reader, TOPIC);
	leave(&w, "u", 0);
	told(&w, "+u=1 ");
	hw_presence_detach(&w.p, &other);
	world_fini(&w);
}

static void a_reader_that_is_behind_is_told_that_it_lost_something(void **state HW_UNUSED)
{
	struct hw_list changes;
	struct world w;

	world_init(&w);
	for (int i = 0; i < HW_PRESENCE_UNREAD_MAX; i++) {
		join(&w, "u");
		assert_int_equal(w.reader.n_unread, i + 1);
	}
	assert_int_equal(w.n_tells, 1);
	join(&w, "u");
	assert_int_equal(w.reader.n_unread, 0);
	join(&w, "u");
	assert_int_equal(w.reader.n_unread, 0); /* it will list */
	hw_list_init(&changes);
	assert_true(hw_presence_take(&w.p, &w.reader, &changes));
	assert_true(hw_list_empty(&changes));
	w.last_number = w.p.last_number;
	join(&w, "v");
	told(&w, "+v=1 ");
	leave(&w, "v", 0);
	for (int i = 0; i < HW_PRESENCE_UNREAD_MAX + 2; i++)
		leave(&w, "u", i < HW_PRESENCE_UNREAD_MAX + 1 ? GRACE_MS : 0);
	told(&w, "-v=0 -u=0 ");
	world_fini(&w);
}

static void memory_is_bounded_by_what_is_live(void **state HW_UNUSED)
{
	char user[64];
	struct world w;

	world_init(&w);
	hw_presence_unwatch(&w.p, &w.reader, TOPIC);
	for (int i = 0; i < HW_PRESENCE_GRACES_MAX + 1; i++) {
		snprintf(user, sizeof(user), "u%d", i);
		join(&w, user);
		assert_true(leave(&w, user, GRACE_MS));
	}
	assert_int_equal(w.p.n_graces, HW_PRESENCE_GRACES_MAX);
	w.now_ms += GRACE_MS;
	/* a herd that leaves together does not hold the lock for long */
	assert_int_equal(expire(&w), w.now_ms);
	assert_int_equal(w.p.n_graces, HW_PRESENCE_GRACES_MAX - HW_PRESENCE_EXPIRE_MAX);
	while (expire(&w) != INT64_MAX)
		;
	assert_int_equal(hw_presence_watch(&w.p, &w.reader, TOPIC), 0);
	world_fini(&w);
}

/* ---- what the config says ---- */

static void topics_and_claims_are_those_of_the_config(void **state HW_UNUSED)
{
	static const char *const topics[] = {"room:*", "hall:1"}, *const claims[] = {
									  "name", "a\"b"};
	struct hw_presence_rules rules = {
		.topics = topics, .n_topics = 2, .claims = claims, .n_claims = 2};
	struct hw_presence_rules fewer = rules, none = {0};
	char large[HW_PRESENCE_INFO_MAX + 64];
	struct hw_buf buf;

	assert_true(hw_presence_keeps(&rules, HW_STR("room:7")));
	assert_true(hw_presence_keeps(&rules, HW_STR("hall:1")));
	assert_false(hw_presence_keeps(&rules, HW_STR("hall:12")));
	assert_false(hw_presence_keeps(&rules, HW_STR("rooms:7")));
	assert_false(hw_presence_keeps(&rules, HW_STR("room:*")));
	assert_false(hw_presence_keeps(&none, HW_STR("room:7")));
	fewer.n_claims = 1;
	assert_false(hw_presence_rules_same(&rules, &fewer));
	fewer.n_claims = 2;
	assert_true(hw_presence_rules_same(&rules, &fewer));
	fewer.topics = claims;
	assert_false(hw_presence_rules_same(&rules, &fewer));

	hw_buf_init(&buf);
#define INFO(text) hw_presence_info(&rules, hw_str_of(text), &buf)
	assert_null(INFO("{}").p);
	assert_null(INFO("{\"role\":\"admin\",\"deep\":{\"name\":1}}").p);
	assert_true(hw_str_eq(INFO("{\"a\\u0022b\":[1,{\"x\":2}],\"role\":1,\"n\\u0061me\":\"N\"}"),
		HW_STR("{\"name\":\"N\",\"a\\\"b\":[1,{\"x\":2}]}")));
	/* what is too large is left out, and what fits beside it stays */
	snprintf(large, sizeof(large), "{\"name\":\"%0*d\",\"a\\\"b\":1}", HW_PRESENCE_INFO_MAX, 0);
	assert_true(hw_str_eq(INFO(large), HW_STR("{\"a\\\"b\":1}")));
	snprintf(large, sizeof(large), "{\"name\":1,\"a\\\"b\":\"%0*d\"}", HW_PRESENCE_INFO_MAX, 0);
	assert_true(hw_str_eq(INFO(large), HW_STR("{\"name\":1}")));
	snprintf(large, sizeof(large), "{\"name\":\"%0*d\"}", HW_PRESENCE_INFO_MAX - 11, 0);
	assert_int_equal(INFO(large).len, HW_PRESENCE_INFO_MAX);
	snprintf(large, sizeof(large), "{\"name\":\"%0*d\"}", HW_PRESENCE_INFO_MAX - 10, 0);
	assert_null(INFO(large).p);
#undef INFO
	hw_buf_fini(&buf);
}

/* ---- threads, as workers ---- */

enum { N_WORKERS = 4, N_USERS = 5, N_STEPS = 20000, MAX_TOLD = N_WORKERS * N_STEPS * 2 };

struct told {
	uint64_t number;
	unsigned user, connections;
	enum hw_presence_kind kind;
};

static bool told_same(const struct told *a, const struct told *b)
{
	return a->number == b->number && a->user == b->user && a->kind == b->kind &&
	       a->connections == b->connections;
}

struct racer {
	struct hw_presence *p;
	struct hw_presence_reader reader;
	atomic_bool due; /* it was told that there is something */
	unsigned n_mine[N_USERS];
	uint64_t first; /* the number of its list */
	unsigned counts[N_USERS];
	struct told *told;
	size_t n_told;
	pthread_t thread;
};

static void race_tell(struct hw_presence_reader *reader)
{
	atomic_store(&HW_CONTAINER_OF(reader, struct racer, reader)->due, true);
}

static void race_list(void *arg, const struct hw_presence_user *user)
{
	((struct racer *)arg)->counts[user->user_id.p[0] - '0'] = (unsigned)user->connections;
}

static void race_follow(struct racer *me)
{
	memset(me->counts, 0, sizeof(me->counts));
	me->n_told = 0;
	me->first = hw_presence_list(me->p, TOPIC, race_list, me);
}

static void race_read(struct racer *me)
{
	struct hw_list changes, *node;

	if (!atomic_exchange(&me->due, false))
		return;
	hw_list_init(&changes);
	if (hw_presence_take(me->p, &me->reader, &changes))
		race_follow(me); /* it did not run for long: it begins anew */
	while ((node = hw_list_pop(&changes))) {
		struct hw_presence_change *c =
			HW_CONTAINER_OF(node, struct hw_presence_change, link);

		if (c->number > me->first)
			me->told[me->n_told++] = (struct told){.number = c->number,
				.user = (unsigned)(c->user.user_id.p[0] - '0'),
				.connections = (unsigned)c->user.connections,
				.kind = c->kind};
		free(c);
	}
}

static void *race_run(void *arg)
{
	struct racer *me = arg;
	unsigned seed = me->reader.index + 1;

	for (int i = 0; i < N_STEPS; i++) {
		unsigned n = (unsigned)rand_r(&seed) % N_USERS;
		char user[] = "0";

		user[0] = (char)('0' + n);
		if (i == N_STEPS / 4) {
			/* it follows while the others go on */
			if (hw_presence_watch(me->p, &me->reader, TOPIC))
				abort();
			race_follow(me);
		}
		if (me->n_mine[n] && rand_r(&seed) % 2) {
			me->n_mine[n]--;
			/* even ones have a grace period, that only passes by expiring */
			hw_presence_leave(me->p, TOPIC, hw_str_of(user), NULL, 0, n % 2 ? 0 : 1);
		} else {
			me->n_mine[n]++;
			if (hw_presence_join(me->p, TOPIC, hw_str_of(user), NULL, HW_STR_NULL))
				abort();
		}
		if (i % 64 == 0)
			hw_presence_expire(me->p, 1, 1);
		race_read(me);
		if (i % 16 == 0)
			sched_yield();
	}
	return NULL;
}

static void workers_that_race_are_told_the_same_in_the_same_order(void **state HW_UNUSED)
{
	struct hw_hash_key key = hw_hash_key_random();
	struct racer *racers = calloc(N_WORKERS, sizeof(*racers));
	unsigned counts[N_USERS] = {0};
	struct hw_presence p;

	hw_presence_init(&p, &key);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		racers[i].p = &p;
		racers[i].told = calloc(MAX_TOLD, sizeof(*racers[i].told));
		racers[i].reader = (struct hw_presence_reader){.index = i, .tell = race_tell};
		hw_presence_attach(&p, &racers[i].reader);
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race_run, &racers[i]), 0);
	}
	for (unsigned i = 0; i < N_WORKERS; i++)
		pthread_join(racers[i].thread, NULL);
	while (hw_presence_expire(&p, 1, 1) != INT64_MAX)
		;
	for (unsigned i = 0; i < N_WORKERS; i++)
		for (unsigned n = 0; n < N_USERS; n++)
			counts[n] += racers[i].n_mine[n];
	for (unsigned i = 0; i < N_WORKERS; i++)
		race_read(&racers[i]);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		struct racer *r = &racers[i], *last = &racers[N_WORKERS - 1];

		/* each once, in order, and as there was: a list and what came behind it */
		for (size_t k = 0; k < r->n_told; k++) {
			const struct told *t = &r->told[k];

			assert_true(k == 0 || t->number > t[-1].number);
			assert_int_equal(r->counts[t->user] == 0, t->kind == HW_PRESENCE_JOINED);
			assert_int_equal(t->connections == 0, t->kind == HW_PRESENCE_LEFT);
			assert_int_not_equal(r->counts[t->user], t->connections);
			r->counts[t->user] = t->connections;
		}
		assert_memory_equal(r->counts, counts, sizeof(counts));
		/* from where both follow on, no change is one's alone */
		for (size_t a = r->n_told, b = last->n_told; a-- > 0 && b-- > 0;)
			assert_true(told_same(&r->told[a], &last->told[b]));
		hw_presence_detach(&p, &r->reader);
	}
	for (unsigned i = 0; i < N_WORKERS; i++)
		free(racers[i].told);
	free(racers);
	hw_presence_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_of_a_user_are_counted),
		cmocka_unit_test(who_comes_back_within_the_grace_period_has_not_been_away),
		cmocka_unit_test(fewer_connections_are_told_after_it_too),
		cmocka_unit_test(what_is_shown_is_told_when_it_is_another),
		cmocka_unit_test(connections_that_are_the_same_are_one),
		cmocka_unit_test(only_who_watches_is_told),
		cmocka_unit_test(a_reader_that_is_behind_is_told_that_it_lost_something),
		cmocka_unit_test(memory_is_bounded_by_what_is_live),
		cmocka_unit_test(topics_and_claims_are_those_of_the_config),
		cmocka_unit_test(workers_that_race_are_told_the_same_in_the_same_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
