/* Sessions whose hook takes its time: an entry that the test resumes stands for one that waits for
 * the world outside. */
#include "session_world.h"

#include "../hook/fake_entry.h"

#define ALLOW_ALL \
	"return policy { api = 1, authorize = { subscribe = function() return allow() end } }"
#define SUBSCRIBE(topic, id) "{\"type\":\"subscribe\",\"topics\":[\"" topic "\"],\"id\":" id "}"

static char text[65536];
static struct fake_log fake_log;

/* The tenants' chain is one entry that waits for the test; it says nothing to sessions and
 * publishes. */
static struct fake *world_init_waiting(struct world *w)
{
	struct hw_tenant_rules *rules;
	struct hw_hook_entry *entry;
	struct fake *fake;

	world_init(w, ALLOW_ALL);
	fake_log = (struct fake_log){0};
	fake = fake_create(w->env, &fake_log, "w", false);
	fake->base.registers = HW_REGISTERS_OPERATION(HW_OP_SUBSCRIBE);
	fake->verdict = HW_ALLOW;
	fake->pend = true;
	entry = &fake->base;
	rules = &w->generation->rules[0];
	hw_hook_chain_unref(&rules->chain);
	rules->chain = hw_hook_chain_create(&entry, 1);
	assert_non_null(rules->chain);
	hw_hook_entry_unref(&entry);
	return fake;
}

static void messages_wait_their_turn_and_are_bounded(void **state)
{
	struct world w;
	struct client c;
	struct fake *fake;
	unsigned n;

	(void)state;
	fake = world_init_waiting(&w);
	client_open(&w, &c, "u@acme", NULL, false);
	heard(&c, text, sizeof(text));
	say(&c, SUBSCRIBE("a:1", "1"));
	/* an empty message is no free one: it is kept too */
	for (n = 0; n < 100000 && !c.paused; n++)
		say(&c, "");
	assert_true(c.paused);
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	fake_resume(fake, fake->waiting);
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "\"a:1\":{\"ok\":true"));
	assert_non_null(strstr(text, "bad_request"));
	assert_false(c.paused);
	client_fini(&c);
	world_fini(&w);
}

static void what_waits_behind_a_decision_is_the_next_generations(void **state)
{
	struct world w;
	struct client c;
	struct hw_generation *g;
	struct fake *fake;
	const char *refused;

	(void)state;
	fake = world_init_waiting(&w);
	client_open(&w, &c, "u@acme", NULL, false);
	heard(&c, text, sizeof(text));
	say(&c, SUBSCRIBE("a:1", "1"));
	say(&c, SUBSCRIBE("a:2", "2"));
	say(&c, "{\"type\":\"auth\",\"token\":\"u@acme\",\"id\":3}");
	g = world_generation(&w, 2, ALLOW_ALL);
	assert_int_equal(hw_worker_swap(&w.worker, g, &refused), 0);
	hw_generation_unref(&g);
	/* the one that waits is still the former's */
	world_turn(&w);
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	assert_int_equal(fake_log.n_detached, 0);
	fake_resume(fake, fake->waiting);
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "\"a:1\":{\"ok\":true"));
	assert_non_null(strstr(text, "\"a:2\":{\"ok\":true"));
	assert_non_null(strstr(text, "\"id\":3,\"ok\":true"));
	assert_int_equal(c.closed_with, 0);
	world_turn(&w);
	assert_int_equal(fake_log.n_detached, 1);
	client_fini(&c);
	world_fini(&w);
}

static void a_message_sees_one_generation(void **state)
{
	struct world w;
	struct client c;
	struct hw_generation *g;
	struct fake *fake;
	const char *refused;

	(void)state;
	fake = world_init_waiting(&w);
	client_open(&w, &c, "u@acme", NULL, false);
	heard(&c, text, sizeof(text));
	say(&c, "[{\"type\":\"subscribe\",\"topics\":[\"a:1\",\"a:2\"],\"id\":1},{\"type\":"
		"\"subscribe\",\"topics\":[\"a:3\"],\"id\":2}]");
	g = world_generation(
		&w, 2, "return policy { api = 1, authorize = { publish = function() end } }");
	assert_int_equal(hw_worker_swap(&w.worker, g, &refused), 0);
	hw_generation_unref(&g);
	for (int i = 0; i < 3; i++) {
		world_turn(&w);
		fake_resume(fake, fake->waiting);
	}
	w.mono_ms++;
	world_turn(&w);
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "\"a:1\":{\"ok\":true"));
	assert_non_null(strstr(text, "\"a:2\":{\"ok\":true"));
	assert_non_null(strstr(text, "\"a:3\":{\"ok\":true"));
	/* and what it was allowed by a former policy holds no longer than the others' */
	assert_non_null(strstr(text, "unsubscribed"));
	client_fini(&c);
	world_fini(&w);
}

static void swap_to_another_that_waits(struct world *w, unsigned number)
{
	struct hw_generation *g = world_generation(w, number, ALLOW_ALL);
	struct fake *fake = fake_create(w->env, &fake_log, "x", false);
	struct hw_hook_entry *entry = &fake->base;
	const char *refused;

	fake->base.registers = HW_REGISTERS_OPERATION(HW_OP_SUBSCRIBE);
	fake->pend = true;
	hw_hook_chain_unref(&g->rules[0].chain);
	g->rules[0].chain = hw_hook_chain_create(&entry, 1);
	hw_hook_entry_unref(&entry);
	assert_int_equal(hw_worker_swap(&w->worker, g, &refused), 0);
	hw_generation_unref(&g);
	world_turn(w);
}

static void the_oldest_of_four_generations_ends(void **state)
{
	enum { N = 5 };
	struct client clients[N];
	struct world w;

	(void)state;
	(void)world_init_waiting(&w);
	for (unsigned i = 0; i < N; i++) {
		/* one that nobody waits for is none of the four */
		swap_to_another_that_waits(&w, 2 * i + 2);
		swap_to_another_that_waits(&w, 2 * i + 3);
		client_open(&w, &clients[i], "u@acme", NULL, false);
		heard(&clients[i], text, sizeof(text));
		say(&clients[i], SUBSCRIBE("a:1", "1"));
		for (unsigned j = 0; j <= i; j++) {
			heard(&clients[j], text, sizeof(text));
			if (j + 4 == i)
				assert_non_null(strstr(text, "\"code\":\"unavailable\""));
			else
				assert_string_equal(text, "");
		}
	}
	for (unsigned i = 0; i < N; i++)
		client_fini(&clients[i]);
	world_turn(&w);
	/* all but the one in force and what world_init_waiting began with are gone */
	assert_int_equal(fake_log.n_attached - fake_log.n_detached, 1);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_wait_their_turn_and_are_bounded),
		cmocka_unit_test(a_message_sees_one_generation),
		cmocka_unit_test(the_oldest_of_four_generations_ends),
		cmocka_unit_test(what_waits_behind_a_decision_is_the_next_generations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
