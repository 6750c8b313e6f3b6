/* What another generation would take away: asked while sessions go on, close, or wait for hooks. */
#include "session_world.h"

#include "../hook/fake_entry.h"
#include "session/preview.h"

#define ALL "return policy { api = 1, authorize = { subscribe = function() return allow() end } }"

static struct fake_log fake_log;
static unsigned n_done;

static void on_done(struct hw_preview *preview)
{
	(void)preview;
	n_done++;
}

static struct hw_generation *waiting(struct world *w, struct fake **fake)
{
	struct hw_generation *g = world_generation(w, 2, ALL);
	struct hw_hook_entry *entry;

	fake_log = (struct fake_log){0};
	n_done = 0;
	*fake = fake_create(w->env, &fake_log, "w", false);
	(*fake)->base.registers = HW_REGISTERS_OPERATION(HW_OP_SUBSCRIBE);
	(*fake)->verdict = HW_DENY;
	(*fake)->pend = true;
	entry = &(*fake)->base;
	hw_hook_chain_unref(&g->rules[0].chain);
	g->rules[0].chain = hw_hook_chain_create(&entry, 1);
	hw_hook_entry_unref(&entry);
	return g;
}

static void start(struct world *w, struct hw_generation *g, struct hw_preview *p)
{
	*p = (struct hw_preview){.worker = &w->worker, .generation = g, .done = on_done};
	hw_preview_start(p);
	world_turn(w);
}

static void turn(struct world *w)
{
	w->mono_ms++;
	world_turn(w);
}

static void it_waits_for_hooks_and_survives_who_leaves(void **state)
{
	struct hw_preview_tenant *t;
	struct hw_generation *g;
	struct hw_preview p;
	struct world w;
	struct client c, gone;
	struct fake *fake;

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &gone, "v@acme", "a:1", false);
	client_open(&w, &c, "u@acme", "a:1,a:2,a:3", false);
	g = waiting(&w, &fake);
	start(&w, g, &p);
	assert_string_equal(fake_log.text, "ww");
	client_fini(&gone);
	/* a subscription goes meanwhile: no more is asked than is there */
	say(&c, "{\"type\":\"unsubscribe\",\"topics\":[\"a:3\"]}");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(n_done, 0);
		fake_resume(fake, fake->waiting);
		turn(&w);
	}
	turn(&w);
	assert_int_equal(n_done, 1);
	t = hw_map_get(&p.tenants, HW_STR("acme"));
	assert_non_null(t);
	assert_int_equal(t->n_subscriptions, 4);
	assert_int_equal(t->cut_subscriptions, 2);
	assert_int_equal(p.error, 0);
	assert_string_equal(p.revoked[1].topic, "a:2");
	assert_string_equal(p.revoked[1].hook, "w");
	hw_preview_fini(&p);
	hw_generation_unref(&g);
	client_fini(&c);
	world_fini(&w);
}

static void one_ends_the_one_before_and_the_workers_end_ends_it(void **state)
{
	struct hw_generation *g;
	struct hw_preview first, second;
	struct world w;
	struct client c;
	struct fake *fake;

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &c, "u@acme", "a:1", false);
	g = waiting(&w, &fake);
	start(&w, g, &first);
	turn(&w);
	start(&w, g, &second);
	assert_int_equal(n_done, 1);
	assert_int_equal(first.error, -ECANCELED);
	turn(&w);
	client_fini(&c);
	turn(&w);
	assert_int_equal(n_done, 2);
	assert_int_equal(second.error, 0);
	hw_preview_fini(&first);
	hw_preview_fini(&second);
	start(&w, g, &first);
	assert_int_equal(n_done, 3);
	hw_preview_fini(&first);
	assert_int_equal(fake_log.n_attached, fake_log.n_detached);
	hw_generation_unref(&g);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_waits_for_hooks_and_survives_who_leaves),
		cmocka_unit_test(one_ends_the_one_before_and_the_workers_end_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
