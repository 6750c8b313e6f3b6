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
	const char *refused;

	(void)state;
	world_init_waiting(&w);
	client_open(&w, &c, "u@acme", NULL, false);
	heard(&c, text, sizeof(text));
	say(&c, SUBSCRIBE("a:1", "1"));
	say(&c, SUBSCRIBE("a:2", "2"));
	say(&c, "{\"type\":\"auth\",\"token\":\"u@acme\",\"id\":3}");
	g = world_generation(&w, 2, ALLOW_ALL);
	assert_int_equal(hw_worker_swap(&w.worker, g, &refused), 0);
	hw_generation_unref(&g);
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "\"a:1\":{\"ok\":false,\"code\":\"unavailable\""));
	assert_non_null(strstr(text, "\"a:2\":{\"ok\":true"));
	assert_non_null(strstr(text, "\"id\":3,\"ok\":true"));
	assert_int_equal(c.closed_with, 0);
	client_fini(&c);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_wait_their_turn_and_are_bounded),
		cmocka_unit_test(what_waits_behind_a_decision_is_the_next_generations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
