/* Events that a tenant's hooks publish: they go the way of all events, each in a turn of its own.
 */
#include "session_world.h"

#define EVENT(topic, more) \
	"{ topic = '" topic "', event = 'ADDED', data = { entity_id = 'e', payload = 'x'" more \
	" } }"

/* Whoever subscribes is announced on log:1; nobody may publish. */
#define ANNOUNCE \
	"return policy { api = 1, authorize = { subscribe = function(s, t, ctx)" \
	" if t.resource == 'a' then assert(ctx.publish(" EVENT( \
		"log:1", "") ")) end" \
			     " return allow() end } }"

static char text[65536];

static size_t count(const char *in, const char *what)
{
	size_t n = 0;

	while ((in = strstr(in, what))) {
		n++;
		in++;
	}
	return n;
}

static void it_reaches_the_tenants_subscribers_and_no_others(void **state HW_UNUSED)
{
	struct client log, other, c;
	struct world w;

	world_init(&w, ANNOUNCE);
	client_open(&w, &log, "keeper@acme", "log:1", false);
	client_open(&w, &other, "keeper@beta", "log:1", false);
	heard(&log, text, sizeof(text));
	heard(&other, text, sizeof(text));
	client_open(&w, &c, "u1@acme", "a:1", false);
	assert_int_equal(log.text.len, 0); /* not from inside of the call */
	world_turn(&w);
	heard(&log, text, sizeof(text));
	assert_int_equal(count(text, "\"topic\":\"log:1\""), 1);
	assert_non_null(strstr(text, "\"user_id\":\"system\""));
	assert_non_null(strstr(text, "\"tenant_id\":\"acme\""));
	assert_non_null(strstr(text, "\"timestamp\":\""));
	assert_int_equal(other.text.len, 0);
	client_fini(&c);
	client_fini(&log);
	client_fini(&other);
	world_fini(&w);
}

/* The tenant is the chain's, whatever the event says; the user is the event's. */
static void it_names_the_user_but_not_the_tenant(void **state HW_UNUSED)
{
	struct client log, c;
	struct world w;

	world_init(&w,
		"return policy { api = 1, authorize = { subscribe = function(s, t, ctx)"
		" if t.resource == 'a' then ctx.publish(" EVENT("log:1",
			", user_id = s.user_id, tenant_id = 'beta'") ") end"
								     " return allow() end } }");
	client_open(&w, &log, "keeper@acme", "log:1", false);
	heard(&log, text, sizeof(text));
	client_open(&w, &c, "u7@acme", "a:1", false);
	world_turn(&w);
	heard(&log, text, sizeof(text));
	assert_non_null(strstr(text, "\"user_id\":\"u7\""));
	assert_non_null(strstr(text, "\"tenant_id\":\"acme\""));
	assert_null(strstr(text, "beta"));
	client_fini(&c);
	client_fini(&log);
	world_fini(&w);
}

/* A transform that publishes at each event is asked about what it published too: that ends. */
static void events_that_beget_events_end(void **state HW_UNUSED)
{
	struct client c;
	struct world w;

	world_init(&w, "return policy { api = 1, authorize = { subscribe = function() return "
		       "allow() end, publish = function() return allow() end },"
		       " transform = function(event, ctx) ctx.publish(" EVENT(
			       "a:1", "") ")"
					  " return event end }");
	client_open(&w, &c, "u1@acme", "a:1", false);
	heard(&c, text, sizeof(text));
	say(&c, "{\"type\":\"publish\",\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":{\"entity_"
		"id\":\"first\",\"payload\":1}}");
	world_turn(&w);
	heard(&c, text, sizeof(text));
	assert_int_equal(count(text, "\"entity_id\":\"first\""), 1);
	assert_int_equal(count(text, "\"entity_id\":\"e\""), 4);
	client_fini(&c);
	world_fini(&w);
}

static int64_t refused(struct world *w)
{
	return atomic_load(&w->counters.refused->value);
}

static void limits_hold_for_it_too(void **state HW_UNUSED)
{
	struct client log, c;
	struct world w;

	world_init(&w,
		"return policy { api = 1, authorize = { subscribe = function(s, t, ctx)"
		" if t.resource == 'a' then assert(ctx.publish { topic = 'log:1', event = "
		"'ADDED', data = { entity_id = 'e', payload = string.rep('x', 70000) } }) end"
		" return allow() end } }");
	client_open(&w, &log, "keeper@acme", "log:1", false);
	heard(&log, text, sizeof(text));
	client_open(&w, &c, "u1@acme", "a:1", false);
	world_turn(&w);
	assert_int_equal(log.text.len, 0);
	assert_int_equal(refused(&w), 1);
	client_fini(&c);
	client_fini(&log);
	world_fini(&w);
}

/* The worker ends with one in its queue. */
static void what_is_queued_ends_with_the_worker(void **state HW_UNUSED)
{
	struct client c;
	struct world w;

	world_init(&w, ANNOUNCE);
	client_open(&w, &c, "u1@acme", "a:1", false);
	client_fini(&c);
	world_fini(&w);
}

/* What the policy reads is changed, by itself, for u1 alone: who is asked again loses the topic. */
#define CHANGES \
	"return policy { api = 1, authorize = { subscribe = function(s, t, ctx)" \
	" if t.resource == 'change' then ctx.dict.set('closed', true)" \
	"  assert(ctx.reauthorize { user = 'u1', topic = 'a:1' }) return allow() end" \
	" if ctx.dict.get('closed') then return deny() end return allow() end } }"

static void who_is_connected_is_authorized_again(void **state HW_UNUSED)
{
	struct client one, two, other, c;
	struct world w;

	world_init(&w, CHANGES);
	client_open(&w, &one, "u1@acme", "a:1", false);
	client_open(&w, &two, "u2@acme", "a:1", false);
	client_open(&w, &other, "u1@beta", "a:1", false);
	heard(&one, text, sizeof(text));
	heard(&two, text, sizeof(text));
	heard(&other, text, sizeof(text));
	client_open(&w, &c, "boss@acme", "change:1", false);
	for (int i = 0; i < 100 && one.text.len == 0; i++) {
		w.mono_ms += 100; /* the sweep is paced */
		world_turn(&w);
	}
	assert_non_null(strstr(heard(&one, text, sizeof(text)), "\"type\":\"unsubscribed\""));
	assert_int_equal(two.text.len, 0);
	assert_int_equal(other.text.len, 0);
	client_fini(&one);
	client_fini(&two);
	client_fini(&other);
	client_fini(&c);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_reaches_the_tenants_subscribers_and_no_others),
		cmocka_unit_test(it_names_the_user_but_not_the_tenant),
		cmocka_unit_test(events_that_beget_events_end),
		cmocka_unit_test(limits_hold_for_it_too),
		cmocka_unit_test(what_is_queued_ends_with_the_worker),
		cmocka_unit_test(who_is_connected_is_authorized_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
