/* Sessions that are authorized again: after a swap to another policy, in slices, held or not, with
 * hooks that wait. */
#include "session_world.h"

#include "../hook/fake_entry.h"

#define POLICY(test) \
	"return policy { api = 1, authorize = { subscribe = function(s, topic) if " test \
	" then return allow() end return deny('forbidden_topic') end, publish = function() " \
	"return " \
	"allow() end } }"
#define ALL POLICY("true")
#define NO_B POLICY("topic.resource ~= 'b'")
#define SESSIONS(test) \
	"return policy { api = 1, authorize = { session = function(s) if " test \
	" then return allow() end return deny('forbidden_topic', 'out') end, subscribe = " \
	"function() return allow() end } }"
#define PUBLISH(topic) \
	"{\"type\":\"publish\",\"topic\":\"" topic \
	"\",\"event\":\"UPDATED\",\"data\":{\"entity_id\":\"e\",\"payload\":{}}}"

enum { REAUTH_MS = 1000, AGAIN_MS = 250 };

static char text[1 << 20];
static struct fake_log fake_log;

static unsigned count(const char *haystack, const char *needle)
{
	unsigned n = 0;

	while ((haystack = strstr(haystack, needle))) {
		haystack += strlen(needle);
		n++;
	}
	return n;
}

static struct hw_generation *another(struct world *w, unsigned number, const char *lua)
{
	struct hw_generation *g = world_generation(w, number, lua);

	/* its file is another, but the global chain must be the same object */
	hw_hook_chain_unref(&g->global);
	g->global = hw_hook_chain_ref(w->worker.generation->global);
	g->settings.reauth_ms = REAUTH_MS;
	return g;
}

static void swap(struct world *w, struct hw_generation *g)
{
	const char *refused;

	assert_int_equal(hw_worker_swap(&w->worker, g, &refused), 0);
	hw_generation_unref(&g);
}

static void swap_to(struct world *w, unsigned number, const char *lua)
{
	swap(w, another(w, number, lua));
}

static void pass(struct world *w, int64_t ms)
{
	w->mono_ms += ms;
	world_turns(w, 64); /* a sweep does little in each */
}

static long long due(struct world *w)
{
	return (long long)atomic_load(&w->counters.recheck_due->value);
}

static void what_is_denied_now_is_unsubscribed(void **state)
{
	struct world w;
	struct client v1, plain;

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &v1, "u@acme", "a:1,b:1,b:2", false);
	client_open(&w, &plain, "v@acme", "a:1,b:1", true);
	heard(&v1, text, sizeof(text));
	heard(&plain, text, sizeof(text));
	swap_to(&w, 2, NO_B);
	assert_int_equal(due(&w), 2);
	pass(&w, REAUTH_MS);
	assert_int_equal(due(&w), 0);
	heard(&v1, text, sizeof(text));
	assert_int_equal(count(text, "unsubscribed"), 2);
	assert_non_null(
		strstr(text, "{\"type\":\"unsubscribed\",\"topics\":[\"b:1\"],\"code\":\"forbidden_"
			     "topic\"}"));
	say(&v1, PUBLISH("b:1"));
	say(&v1, PUBLISH("b:2"));
	say(&v1, PUBLISH("a:1"));
	world_turn(&w);
	heard(&v1, text, sizeof(text));
	assert_int_equal(count(text, "\"topic\""), 1);
	assert_non_null(strstr(text, "a:1"));
	/* who does not know control messages gets none, and no event either */
	heard(&plain, text, sizeof(text));
	assert_int_equal(count(text, "\n"), 1);
	assert_non_null(strstr(text, "a:1"));
	assert_int_equal(v1.closed_with + plain.closed_with, 0);
	client_fini(&v1);
	client_fini(&plain);
	world_fini(&w);
}

static void a_session_that_is_denied_now_is_closed(void **state)
{
	struct world w;
	struct client in, out;

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &in, "u@acme", "a:1", false);
	client_open(&w, &out, "v@acme", "a:1", false);
	swap_to(&w, 2, SESSIONS("s.user_id ~= 'v'"));
	pass(&w, REAUTH_MS);
	assert_int_equal(in.closed_with, 0);
	assert_int_equal(out.closed_with, 4403);
	assert_int_equal(due(&w), 0);
	client_fini(&in);
	client_fini(&out);
	world_fini(&w);
}

static void a_hook_that_cannot_say_for_long_takes_away(void **state)
{
	struct world w;
	struct client c, d;

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &c, "u@acme", "a:1,b:1", false);
	heard(&c, text, sizeof(text));
	swap_to(&w, 2, POLICY("topic.resource == 'a' or error('no')"));
	/* its turn comes, and reauth_ms are left to whoever has to mend it */
	pass(&w, REAUTH_MS);
	for (int64_t ms = 0; ms < REAUTH_MS; ms += AGAIN_MS) {
		assert_int_equal(due(&w), 1);
		assert_string_equal(heard(&c, text, sizeof(text)), "");
		pass(&w, AGAIN_MS);
	}
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "[\"b:1\"],\"code\":\"unavailable\""));
	assert_int_equal(count(text, "unsubscribed"), 1);
	assert_int_equal(due(&w), 0);
	client_open(&w, &d, "v@acme", "a:1", false);
	swap_to(&w, 3, SESSIONS("error('no')"));
	pass(&w, REAUTH_MS);
	assert_int_equal(c.closed_with + d.closed_with, 0);
	for (int64_t ms = 0; ms < REAUTH_MS; ms += AGAIN_MS)
		pass(&w, AGAIN_MS);
	assert_int_equal(c.closed_with, 4503);
	assert_int_equal(d.closed_with, 4503);
	assert_int_equal(due(&w), 0);
	client_fini(&c);
	client_fini(&d);
	world_fini(&w);
}

/* The clock of the world is os.time's. */
#define FAILS_UNTIL(wall_s, test) \
	"return policy { api = 1, authorize = { subscribe = function(s, topic) if os.time() " \
	"< " wall_s " then return unavailable('soon') end if " test \
	" then return allow() end return deny('forbidden_topic') end, publish = function() " \
	"return allow() " \
	"end } }"

static void a_hook_that_recovers_decides(void **state)
{
	struct world w;
	struct client c;
	char policy[512];

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &c, "u@acme", "a:1,b:1", false);
	heard(&c, text, sizeof(text));
	snprintf(policy, sizeof(policy), FAILS_UNTIL("%lld", "topic.resource == 'a'"),
		(long long)(w.wall_ms / 1000 + 2));
	swap_to(&w, 2, policy);
	pass(&w, REAUTH_MS);
	pass(&w, AGAIN_MS);
	assert_int_equal(due(&w), 1);
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	w.wall_ms += 2000;
	pass(&w, AGAIN_MS);
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "[\"b:1\"],\"code\":\"forbidden_topic\""));
	assert_int_equal(count(text, "unsubscribed"), 1);
	assert_int_equal(due(&w), 0);
	assert_int_equal(c.closed_with, 0);
	client_fini(&c);
	world_fini(&w);
}

static void swap_now(struct world *w, unsigned number, const char *lua);

static void who_is_held_gets_nothing_while_a_hook_cannot_say(void **state)
{
	struct world w;
	struct client c, back_end;
	char policy[512];

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &c, "u@acme", "a:1,b:1", false);
	client_open(&w, &back_end, "v@acme", NULL, false);
	heard(&c, text, sizeof(text));
	snprintf(policy, sizeof(policy), FAILS_UNTIL("%lld", "topic.resource == 'a'"),
		(long long)(w.wall_ms / 1000 + 2));
	swap_now(&w, 2, policy);
	say(&back_end, PUBLISH("a:1"));
	say(&back_end, PUBLISH("b:1"));
	pass(&w, AGAIN_MS);
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	w.wall_ms += 2000;
	pass(&w, AGAIN_MS);
	pass(&w, 1);
	heard(&c, text, sizeof(text));
	assert_int_equal(count(text, "unsubscribed"), 1);
	assert_int_equal(count(text, "\"topic\":\"a:1\""), 1);
	assert_int_equal(count(text, "\"topic\":\"b:1\""), 0);
	client_fini(&back_end);
	client_fini(&c);
	world_fini(&w);
}

/* The hook cannot say what other claims open: that is asked again too, and ends like a sweep. */
static void a_refresh_that_cannot_be_decided_is_asked_again(void **state)
{
	struct world w;
	struct client c;
	char policy[512];

	(void)state;
	world_init(&w, ALL);
	snprintf(policy, sizeof(policy),
		"return policy { api = 1, authorize = { subscribe = function(s, t)"
		" if s.claims.mark == '' then return allow() end"
		" if os.time() < %lld then return unavailable('soon') end"
		" if t.resource == 'a' then return allow() end end } }",
		(long long)(w.wall_ms / 1000 + 2));
	swap_to(&w, 2, policy);
	client_open(&w, &c, "u@acme", "a:1,b:1", false);
	heard(&c, text, sizeof(text));
	say(&c, "{\"type\":\"auth\",\"token\":\"u@acme1\",\"id\":1}");
	heard(&c, text, sizeof(text));
	assert_int_equal(count(text, "\"type\":\"reply\""), 1);
	assert_int_equal(count(text, "unsubscribed"), 0);
	assert_int_equal(due(&w), 1);
	pass(&w, AGAIN_MS);
	assert_int_equal(due(&w), 1);
	w.wall_ms += 2000;
	pass(&w, AGAIN_MS);
	heard(&c, text, sizeof(text));
	assert_int_equal(count(text, "unsubscribed"), 1);
	assert_non_null(strstr(text, "b:1"));
	assert_int_equal(due(&w), 0);
	assert_int_equal(c.closed_with, 0);
	client_fini(&c);
	world_fini(&w);
}

static void a_tenant_that_is_not_served_any_more_is_closed(void **state)
{
	struct world w;
	struct client c;
	struct hw_generation *g;

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &c, "u@acme", "a:1", false);
	g = another(&w, 2, ALL);
	g->rules[0].id = "other";
	swap(&w, g);
	pass(&w, REAUTH_MS);
	assert_int_equal(c.closed_with, 4403);
	client_fini(&c);
	world_fini(&w);
}

static void nobody_is_asked_while_the_chain_is_the_same(void **state)
{
	struct world w;
	struct client c;
	struct hw_generation *g;

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &c, "u@acme", "a:1", false);
	g = another(&w, 2, NO_B);
	hw_hook_chain_unref(&g->rules[0].chain);
	g->rules[0].chain = hw_hook_chain_ref(w.generation->rules[0].chain);
	swap(&w, g);
	assert_int_equal(due(&w), 0);
	/* nor when the former one is back before the session's turn came */
	swap_to(&w, 3, POLICY("false"));
	assert_int_equal(due(&w), 1);
	g = another(&w, 4, NO_B);
	hw_hook_chain_unref(&g->rules[0].chain);
	g->rules[0].chain = hw_hook_chain_ref(w.generation->rules[0].chain);
	swap(&w, g);
	heard(&c, text, sizeof(text));
	pass(&w, REAUTH_MS);
	assert_int_equal(due(&w), 0);
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	say(&c, "{\"type\":\"unsubscribe\",\"topics\":[\"a:1\"]}");
	client_fini(&c);
	world_fini(&w);
}

static void the_sweep_takes_its_time(void **state)
{
	enum { N = 50 };
	struct client clients[N];
	struct world w;

	(void)state;
	world_init(&w, ALL);
	for (int i = 0; i < N; i++)
		client_open(&w, &clients[i], "u@acme", "b:1", false);
	swap_to(&w, 2, NO_B);
	assert_int_equal(due(&w), N);
	pass(&w, 0);
	assert_int_equal(due(&w), N);
	pass(&w, REAUTH_MS / 2);
	assert_int_equal(due(&w), N / 2);
	/* one that closes meanwhile is no work; a reload keeps the others' places */
	client_fini(&clients[N - 1]);
	assert_int_equal(due(&w), N / 2 - 1);
	swap_to(&w, 3, POLICY("topic.resource ~= 'c'"));
	assert_int_equal(due(&w), N - 1);
	pass(&w, REAUTH_MS / 2);
	assert_true(due(&w) <= N / 2);
	pass(&w, REAUTH_MS / 2);
	assert_int_equal(due(&w), 0);
	for (int i = 0; i < N - 1; i++) {
		heard(&clients[i], text, sizeof(text));
		assert_int_equal(count(text, "unsubscribed"), i < N / 2);
		client_fini(&clients[i]);
	}
	world_fini(&w);
}

static void a_session_of_many_topics_is_checked_in_slices(void **state)
{
	enum { N = 3000 };
	struct world w;
	struct client c;
	char message[64];
	struct hw_generation *g;

	(void)state;
	world_init(&w, ALL);
	w.generation->settings.topics_per_session = N;
	w.generation->rules[0].subscriptions = N;
	client_open(&w, &c, "u@acme", NULL, false);
	for (int i = 0; i < N; i++) {
		snprintf(message, sizeof(message), "{\"type\":\"subscribe\",\"topics\":[\"b:%d\"]}",
			i);
		say(&c, message);
	}
	g = another(&w, 2, NO_B);
	swap(&w, g);
	heard(&c, text, sizeof(text));
	w.mono_ms += REAUTH_MS;
	/* found, due, begun */
	for (int turn = 0; turn < 3; turn++)
		hw_timers_advance(w.worker.timers, w.mono_ms);
	/* a turn's worth; what the client says meanwhile waits for the rest */
	say(&c, "{\"type\":\"ping\",\"id\":1}");
	heard(&c, text, sizeof(text));
	assert_in_range(count(text, "unsubscribed"), 1, N - 1);
	assert_null(strstr(text, "pong"));
	for (int turn = 0; turn < 100 && due(&w) > 0; turn++)
		pass(&w, 1);
	heard(&c, text, sizeof(text));
	assert_string_equal(text + strlen(text) - strlen("{\"type\":\"pong\",\"id\":1}\n"),
		"{\"type\":\"pong\",\"id\":1}\n");
	assert_int_equal(due(&w), 0);
	client_fini(&c);
	world_fini(&w);
}

/* ---- hooks that wait ---- */

static struct hw_hook_chain *waiting_chain(struct world *w, struct fake **out)
{
	struct fake *fake = fake_create(w->env, &fake_log, "w", false);
	struct hw_hook_entry *entry = &fake->base;
	struct hw_hook_chain *chain;

	fake->base.registers = HW_REGISTERS_OPERATION(HW_OP_SUBSCRIBE);
	fake->verdict = HW_ALLOW;
	fake->pend = true;
	/* two fakes are two policies */
	snprintf((char *)fake->base.hash, sizeof(fake->base.hash), "%p", (void *)fake);
	chain = hw_hook_chain_create(&entry, 1);
	assert_non_null(chain);
	hw_hook_entry_unref(&entry);
	*out = fake;
	return chain;
}

static struct hw_generation *waiting_generation(
	struct world *w, unsigned number, struct fake **fake)
{
	struct hw_generation *g = another(w, number, ALL);

	hw_hook_chain_unref(&g->rules[0].chain);
	g->rules[0].chain = waiting_chain(w, fake);
	return g;
}

static void a_check_is_a_message_among_others(void **state)
{
	struct world w;
	struct client c, gone;
	struct fake *fake;

	(void)state;
	fake_log = (struct fake_log){0};
	world_init(&w, ALL);
	client_open(&w, &c, "u@acme", "a:1,a:2", false);
	client_open(&w, &gone, "v@acme", "a:1", false);
	swap(&w, waiting_generation(&w, 2, &fake));
	pass(&w, REAUTH_MS);
	heard(&c, text, sizeof(text));
	assert_string_equal(fake_log.text, "ww");
	say(&c, "{\"type\":\"ping\",\"id\":1}");
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	/* a session that goes is asked about no more */
	client_fini(&gone);
	assert_int_equal(due(&w), 1);
	fake->verdict = HW_DENY;
	assert_non_null(fake->waiting);
	client_fini(&c);
	assert_int_equal(due(&w), 0);
	world_fini(&w);
}

static void a_message_that_waits_is_ended_first(void **state)
{
	struct world w;
	struct client c;
	struct fake *first, *second;

	(void)state;
	fake_log = (struct fake_log){0};
	world_init(&w, ALL);
	swap(&w, waiting_generation(&w, 2, &first));
	client_open(&w, &c, "u@acme", NULL, false);
	heard(&c, text, sizeof(text));
	say(&c, "{\"type\":\"subscribe\",\"topics\":[\"a:1\"],\"id\":1}");
	say(&c, "{\"type\":\"ping\",\"id\":2}");
	swap_to(&w, 3, NO_B);
	pass(&w, REAUTH_MS);
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	fake_resume(first, first->waiting);
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "\"id\":1"));
	assert_non_null(strstr(text, "\"id\":2"));
	assert_int_equal(due(&w), 0);
	/* the answer of a policy that is not in force any more counts for nothing */
	say(&c, "{\"type\":\"subscribe\",\"topics\":[\"a:1\"],\"id\":3}");
	swap(&w, waiting_generation(&w, 4, &second));
	pass(&w, REAUTH_MS);
	assert_non_null(second->waiting);
	second->verdict = HW_DENY;
	heard(&c, text, sizeof(text));
	swap_to(&w, 5, ALL);
	fake_resume(second, second->waiting);
	pass(&w, REAUTH_MS);
	assert_null(strstr(heard(&c, text, sizeof(text)), "unsubscribed"));
	assert_int_equal(due(&w), 0);
	client_fini(&c);
	world_fini(&w);
}

static void what_a_policy_allows_that_came_and_went_is_asked_again(void **state)
{
	struct world w;
	struct client c;
	struct fake *fake;
	struct hw_generation *g;

	(void)state;
	fake_log = (struct fake_log){0};
	world_init(&w, NO_B);
	client_open(&w, &c, "u@acme", "a:1", false);
	swap(&w, waiting_generation(&w, 2, &fake));
	say(&c, "{\"type\":\"subscribe\",\"topics\":[\"b:1\"],\"id\":1}");
	g = another(&w, 3, ALL);
	hw_hook_chain_unref(&g->rules[0].chain);
	g->rules[0].chain = hw_hook_chain_ref(w.generation->rules[0].chain);
	swap(&w, g);
	heard(&c, text, sizeof(text));
	fake_resume(fake, fake->waiting);
	pass(&w, REAUTH_MS);
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "\"b:1\":{\"ok\":true"));
	assert_non_null(strstr(text, "\"unsubscribed\",\"topics\":[\"b:1\"]"));
	client_fini(&c);
	world_fini(&w);
}

/* ---- held ---- */

static void swap_now(struct world *w, unsigned number, const char *lua)
{
	struct hw_generation *g = another(w, number, lua);

	hw_hook_chain_unref(&g->rules[0].chain);
	g->rules[0].chain = world_chain_that(w, "policy", lua, false, true);
	swap(w, g);
}

static void what_is_held_is_caught_up_or_never_sent(void **state)
{
	struct world w;
	struct client reader, allowed, denied;

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &reader, "x@acme", NULL, false);
	client_open(&w, &allowed, "u@acme", "a:1", false);
	client_open(&w, &denied, "v@acme", "a:1,b:1", false);
	say(&reader, PUBLISH("a:1"));
	world_turn(&w);
	/* queued, not sent: it does not leave any more */
	denied.keeps = true;
	say(&reader, PUBLISH("a:1"));
	say(&reader, PUBLISH("b:1"));
	world_turn(&w);
	heard(&allowed, text, sizeof(text));
	assert_int_equal(count(text, "\"topic\":\"a:1\""), 2);
	heard(&denied, text, sizeof(text));
	swap_now(&w, 2, NO_B);
	denied.keeps = false;
	hw_session_drained(denied.session);
	say(&reader, PUBLISH("a:1"));
	say(&reader, PUBLISH("b:1"));
	while (hw_worker_turn(&w.worker)) /* no timer fires: nobody is checked yet */
		hw_worker_flushed(&w.worker);
	hw_worker_flushed(&w.worker);
	assert_string_equal(heard(&allowed, text, sizeof(text)), "");
	assert_string_equal(heard(&denied, text, sizeof(text)), "");
	/* as soon as may be, whatever reauth_ms says */
	pass(&w, 1);
	world_turn(&w);
	assert_int_equal(due(&w), 0);
	heard(&allowed, text, sizeof(text));
	assert_int_equal(count(text, "\"topic\":\"a:1\""), 1);
	heard(&denied, text, sizeof(text));
	assert_int_equal(count(text, "\"topic\":\"a:1\""), 2);
	assert_int_equal(count(text, "\"topic\":\"b:1\""), 0);
	say(&reader, PUBLISH("a:1"));
	world_turn(&w);
	heard(&allowed, text, sizeof(text));
	assert_int_equal(count(text, "\"topic\":\"a:1\""), 1);
	client_fini(&reader);
	client_fini(&allowed);
	client_fini(&denied);
	world_fini(&w);
}

static void a_held_session_is_no_slow_one(void **state)
{
	struct world w;
	struct client c;
	struct fake *fake;
	struct hw_generation *g;

	(void)state;
	fake_log = (struct fake_log){0};
	world_init(&w, ALL);
	client_open(&w, &c, "u@acme", "a:1", false);
	g = waiting_generation(&w, 2, &fake);
	fake->base.revoke_now = true;
	swap(&w, g);
	pass(&w, 1);
	assert_non_null(fake->waiting);
	heard(&c, text, sizeof(text));
	for (int i = 0; i < 10; i++) {
		pass(&w, 10000);
		hw_session_alive(c.session);
	}
	assert_int_equal(c.closed_with, 0);
	fake_resume(fake, fake->waiting);
	pass(&w, 1);
	assert_int_equal(c.closed_with, 0);
	assert_int_equal(due(&w), 0);
	client_fini(&c);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_denied_now_is_unsubscribed),
		cmocka_unit_test(a_session_that_is_denied_now_is_closed),
		cmocka_unit_test(a_hook_that_cannot_say_for_long_takes_away),
		cmocka_unit_test(a_hook_that_recovers_decides),
		cmocka_unit_test(who_is_held_gets_nothing_while_a_hook_cannot_say),
		cmocka_unit_test(a_refresh_that_cannot_be_decided_is_asked_again),
		cmocka_unit_test(a_tenant_that_is_not_served_any_more_is_closed),
		cmocka_unit_test(nobody_is_asked_while_the_chain_is_the_same),
		cmocka_unit_test(the_sweep_takes_its_time),
		cmocka_unit_test(a_session_of_many_topics_is_checked_in_slices),
		cmocka_unit_test(a_check_is_a_message_among_others),
		cmocka_unit_test(a_message_that_waits_is_ended_first),
		cmocka_unit_test(what_a_policy_allows_that_came_and_went_is_asked_again),
		cmocka_unit_test(what_is_held_is_caught_up_or_never_sent),
		cmocka_unit_test(a_held_session_is_no_slow_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
