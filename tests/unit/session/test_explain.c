/* An event explained to its end, while sessions go, hooks wait, and workers end. */
#include "session_world.h"

#include "../hook/fake_entry.h"
#include "session/explain.h"

#define ALL \
	"return policy { api = 1, authorize = { subscribe = function() return allow() end," \
	" wildcard = function() return allow() end, publish = function() return allow() end } }"

static struct fake_log fake_log;
static unsigned n_done;
static char found_text[1024];

static void on_done(struct hw_explain *explain)
{
	(void)explain;
	n_done++;
}

static void turn(struct world *w)
{
	w->mono_ms++;
	world_turn(w);
}

static struct hw_explain_event publish(struct world *w, struct client *c)
{
	struct hw_journal *journal =
		((struct hw_hub *)hw_map_get(&w->worker.hubs, HW_STR("acme")))->tenant->journal;
	uint64_t head = hw_journal_head(journal);
	struct hw_explain_event event = {.wall_ms = w->wall_ms};
	struct hw_scan scan;
	struct hw_run run;
	struct hw_str text;

	say(c, "{\"type\":\"publish\",\"topic\":\"a:1\",\"event\":\"E\","
	       "\"data\":{\"entity_id\":\"e\"}}");
	assert_int_equal(hw_journal_head(journal), head + 1);
	assert_int_equal(hw_scan_begin(&scan, journal, head, NULL, 0), 0);
	assert_true(hw_scan_next(&scan, head + 1, &run));
	text = hw_run_event(&run, 0, &event.seq);
	event.number = hw_run_number(&run, 0);
	assert_true(text.len < sizeof(found_text));
	memcpy(found_text, text.p, text.len);
	hw_scan_end(&scan);
	event.text = (struct hw_str){found_text, text.len};
	event.topic = HW_STR("a:1");
	return event;
}

static void start(struct world *w, const struct hw_explain_event *event, const char *user,
	struct hw_explain *x)
{
	*x = (struct hw_explain){.worker = &w->worker,
		.tenant = HW_STR("acme"),
		.user = hw_str_of(user),
		.event = event,
		.done = on_done};
	n_done = 0;
	hw_explain_start(x);
}

static enum hw_explain_outcome outcome(
	struct world *w, const struct hw_explain_event *event, const char *user, const char *part)
{
	enum hw_explain_outcome result;
	struct hw_explain x;

	start(w, event, user, &x);
	for (int i = 0; i < 10 && !n_done; i++)
		turn(w);
	assert_int_equal(n_done, 1);
	assert_int_equal(x.error, 0);
	assert_int_equal(x.n_rows, 1);
	if (!strstr(x.rows[0].json, part))
		fail_msg("%s in %s", part, x.rows[0].json);
	result = x.rows[0].outcome;
	hw_explain_fini(&x);
	return result;
}

static void each_outcome(void **state)
{
	struct hw_explain_event event, next;
	struct client u, v, away;
	struct world w;

	(void)state;
	world_init(&w, ALL);
	client_open(&w, &u, "u@acme", "a:1", false);
	client_open(&w, &v, "v@acme", "b:1", false);
	client_open(&w, &away, "u@beta", "a:1", false);
	event = publish(&w, &v);
	assert_int_equal(outcome(&w, &event, "u", "\"before_event\":true"), HW_EXPLAIN_NOT_YET);
	assert_int_equal(outcome(&w, &event, "u", "\"before_event\":true"), HW_EXPLAIN_SENT);
	assert_int_equal(
		outcome(&w, &event, "v", "\"if_subscribed\":{"), HW_EXPLAIN_NOT_SUBSCRIBED);
	say(&v, "{\"type\":\"subscribe\",\"topics\":[\"a:*\"]}");
	assert_int_equal(
		outcome(&w, &event, "v", "\"topic\":\"a:*\""), HW_EXPLAIN_SUBSCRIBED_LATER);
	/* the socket takes no more: queued, then dropped to the journal */
	u.keeps = true;
	next = publish(&w, &v);
	turn(&w);
	assert_int_equal(outcome(&w, &next, "u", "\"socket_full\":true"), HW_EXPLAIN_QUEUED);
	for (int i = 0; i < 100; i++)
		next = publish(&w, &v);
	turn(&w);
	assert_int_equal(outcome(&w, &next, "u", "\"lagging\":true"), HW_EXPLAIN_LAGGING);
	assert_int_equal(outcome(&w, &event, "u", "\"lagging\":true"), HW_EXPLAIN_QUEUED);
	u.keeps = false;
	u.queued = 0;
	hw_session_drained(u.session);
	turn(&w);
	assert_int_equal(outcome(&w, &next, "u", "\"lagging\":false"), HW_EXPLAIN_SENT);
	client_fini(&away);
	client_fini(&v);
	client_fini(&u);
	world_fini(&w);
}

/* The chain in force has one hook, which the test answers for. */
static struct fake *fake_world(struct world *w)
{
	struct hw_hook_entry *entry;
	struct fake *fake;

	fake_log = (struct fake_log){0};
	world_init(w, ALL);
	fake = fake_create(w->env, &fake_log, "w", false);
	fake->base.registers =
		HW_REGISTERS_OPERATION(HW_OP_SUBSCRIBE) | HW_REGISTERS_OPERATION(HW_OP_PUBLISH);
	fake->verdict = HW_ALLOW;
	entry = &fake->base;
	hw_hook_chain_unref(&w->generation->rules[0].chain);
	w->generation->rules[0].chain = hw_hook_chain_create(&entry, 1);
	hw_hook_entry_unref(&entry);
	return fake;
}

static void it_outlives_the_session_and_waits_for_the_hook(void **state)
{
	struct hw_explain_event event;
	struct hw_explain x;
	struct fake *fake;
	struct client u;
	struct world w;

	(void)state;
	fake = fake_world(&w);
	client_open(&w, &u, "u@acme", "a:1", false);
	event = publish(&w, &u);
	turn(&w);
	fake->pend = true;
	fake->verdict = HW_DENY;
	start(&w, &event, "u", &x);
	for (int i = 0; i < 5; i++)
		turn(&w);
	assert_non_null(fake->waiting);
	assert_int_equal(n_done, 0);
	client_fini(&u);
	turn(&w);
	assert_int_equal(n_done, 0);
	fake_resume(fake, fake->waiting);
	assert_int_equal(n_done, 0); /* never from within the hook's answer */
	turn(&w);
	assert_int_equal(n_done, 1);
	assert_int_equal(x.error, 0);
	assert_int_equal(x.rows[0].outcome, HW_EXPLAIN_SENT);
	assert_non_null(strstr(x.rows[0].json,
		"\"authorize\":{\"verdict\":\"deny\",\"cached\":false,\"code\":"
		"\"forbidden_topic\",\"hook\":\"w\""));
	hw_explain_fini(&x);
	world_fini(&w);
	assert_int_equal(fake_log.n_attached, fake_log.n_detached);
}

static void a_cancel_and_the_workers_end_end_it(void **state)
{
	struct hw_explain first, second, third;
	struct hw_explain_event event;
	struct fake *fake;
	struct client u;
	struct world w;

	(void)state;
	fake = fake_world(&w);
	client_open(&w, &u, "u@acme", "a:1", false);
	event = publish(&w, &u);
	fake->pend = true;
	start(&w, &event, "u", &first);
	hw_explain_cancel(&first); /* while it looks for sessions */
	hw_explain_cancel(&first);
	assert_int_equal(n_done, 1);
	assert_int_equal(first.error, -ECANCELED);
	start(&w, &event, "u", &second);
	for (int i = 0; i < 5; i++)
		turn(&w);
	assert_non_null(fake->waiting);
	hw_explain_cancel(&second); /* while a hook waits */
	assert_int_equal(n_done, 1);
	assert_int_equal(second.n_rows, 0);
	start(&w, &event, "u", &third);
	for (int i = 0; i < 5; i++)
		turn(&w);
	client_fini(&u);
	assert_int_equal(n_done, 0);
	world_fini(&w);
	assert_int_equal(n_done, 1);
	assert_int_equal(third.error, -ECANCELED);
	hw_explain_fini(&first);
	hw_explain_fini(&second);
	hw_explain_fini(&third);
	assert_int_equal(fake_log.n_attached, fake_log.n_detached);
}

static void many_sessions_one_a_turn(void **state)
{
	struct client clients[3 * HW_EXPLAIN_SESSIONS];
	struct hw_explain_event event;
	struct hw_explain x;
	struct fake *fake;
	struct world w;
	size_t before;

	(void)state;
	fake = fake_world(&w);
	for (size_t i = 0; i < HW_COUNT(clients); i++)
		client_open(&w, &clients[i], "u@acme", "a:1", false);
	event = publish(&w, &clients[0]);
	turn(&w);
	fake->pend = true; /* all of them wait at the same time */
	start(&w, &event, "u", &x);
	turn(&w);
	turn(&w);
	before = strlen(fake_log.text);
	turn(&w);
	assert_in_range(strlen(fake_log.text), before, before + 1);
	for (size_t i = 0; i < HW_EXPLAIN_SESSIONS + 5; i++)
		turn(&w);
	assert_int_equal(n_done, 0);
	hw_explain_cancel(&x);
	assert_int_equal(x.n_found, HW_COUNT(clients));
	hw_explain_fini(&x);
	fake->pend = false;
	start(&w, &event, "u", &x);
	for (int i = 0; i < 50 && !n_done; i++)
		turn(&w);
	assert_int_equal(x.n_rows, HW_EXPLAIN_SESSIONS);
	assert_int_equal(x.n_found, HW_COUNT(clients));
	hw_explain_fini(&x);
	for (size_t i = 0; i < HW_COUNT(clients); i++)
		client_fini(&clients[i]);
	world_fini(&w);
}

static void hooks_that_do_not_start_are_said(void **state)
{
	struct hw_explain_event event;
	struct hw_explain x;
	struct fake *fake;
	struct client u;
	struct world w;

	(void)state;
	fake = fake_world(&w);
	client_open(&w, &u, "u@acme", "a:1", false);
	event = publish(&w, &u);
	fake->attach_rc = -EIO;
	start(&w, &event, "u", &x);
	for (int i = 0; i < 5 && !n_done; i++)
		turn(&w);
	assert_int_equal(n_done, 1);
	assert_int_equal(x.error, -EIO);
	assert_int_equal(x.n_rows, 0);
	hw_explain_fini(&x);
	client_fini(&u);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_outcome),
		cmocka_unit_test(it_outlives_the_session_and_waits_for_the_hook),
		cmocka_unit_test(a_cancel_and_the_workers_end_end_it),
		cmocka_unit_test(many_sessions_one_a_turn),
		cmocka_unit_test(hooks_that_do_not_start_are_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
