#include "session_world.h"

#define OPEN_POLICY \
	"return policy { api = 1, authorize = { subscribe = function(s, t) if t.resource == 'a' " \
	"then return allow() end end," \
	" publish = function() return allow() end, wildcard = function(s, t) if s.user_id == " \
	"'boss' then return allow() end end } }"

static char text[65536];

static void a_session_subscribes_publishes_and_gets_its_event_once(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &c, "boss@acme", NULL, false);
	assert_non_null(strstr(heard(&c, text, sizeof(text)), "\"type\":\"welcome\""));
	say(&c, "{\"type\":\"subscribe\",\"topics\":[\"a:1\",\"a:*\",\"b:1\"],\"id\":7}");
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(
		text, "{\"type\":\"reply\",\"id\":7,\"ok\":true,\"topics\":{\"a:1\":{\"ok\":true"));
	assert_non_null(strstr(text, "\"b:1\":{\"ok\":false,\"code\":\"forbidden_topic\""));
	say(&c, "{\"type\":\"publish\",\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":{\"entity_"
		"id\":\"e\",\"payload\": 1.50,"
		"\"user_id\":\"forged\",\"tenant_id\":\"other\"},\"id\":\"p\"}");
	world_turn(&w);
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "{\"type\":\"ack\",\"id\":\"p\",\"event_id\":\""));
	assert_non_null(strstr(text, "{\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":{\"entity_"
				     "id\":\"e\",\"payload\":1.50"));
	assert_non_null(strstr(text, "\"user_id\":\"boss\""));
	assert_non_null(strstr(text, "\"tenant_id\":\"acme\""));
	assert_null(strstr(text, "forged"));
	assert_null(strstr(strstr(text, "\"event\":\"ADDED\"") + 1, "\"event\":\"ADDED\""));
	client_fini(&c);
	world_fini(&w);
}

static void refused_tokens_and_late_first_messages_close(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &c, "nonsense", NULL, false);
	assert_int_equal(c.closed_with, 4401);
	client_fini(&c);
	client_open(&w, &c, NULL, NULL, false);
	say(&c, "{\"type\":\"ping\"}");
	assert_int_equal(c.closed_with, 4401);
	client_fini(&c);
	client_open(&w, &c, NULL, NULL, true);
	w.mono_ms += 5000;
	world_turn(&w);
	assert_int_equal(c.closed_with, 4408);
	client_fini(&c);
	world_fini(&w);
}

static void the_first_message_may_authenticate_and_then_the_query_counts(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &c, NULL, "a:1,b:2", true);
	say(&c, "{\"type\":\"auth\",\"token\":\"u@acme\",\"id\":1}");
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "\"type\":\"reply\""));
	assert_non_null(strstr(text, "\"topic\":\"\""));
	assert_null(strstr(text, "welcome"));
	assert_non_null(strstr(text, "\"type\":\"error\""));
	assert_non_null(strstr(text, "b:2"));
	say(&c, "{\"type\":\"publish\",\"topic\":\"a:1\",\"event\":\"X\",\"data\":{\"entity_id\":1}"
		"}");
	world_turn(&w);
	assert_non_null(strstr(heard(&c, text, sizeof(text)), "\"topic\":\"a:1\""));
	say(&c, "{\"type\":\"auth\",\"token\":\"v@acme\"}");
	assert_int_equal(c.closed_with, 4403);
	client_fini(&c);
	world_fini(&w);
}

static void a_silent_client_is_pinged_and_then_closed(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &c, "u@acme", NULL, true);
	w.mono_ms += 25000;
	world_turn(&w);
	assert_int_equal(c.n_pings, 1);
	w.mono_ms += 34000;
	hw_session_alive(c.session);
	w.mono_ms += 25000;
	world_turn(&w);
	assert_int_equal(c.n_pings, 2);
	assert_int_equal(c.closed_with, 0);
	w.mono_ms += 35000;
	world_turn(&w);
	assert_int_equal(c.closed_with, 4408);
	client_fini(&c);
	world_fini(&w);
}

/* Nothing was heard for an hour, as nobody listened: whoever is there may say so. */
static void a_worker_that_stood_still_asks_before_it_closes(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &c, "u@acme", NULL, true);
	for (unsigned n = 1; n <= 2; n++) { /* the second time it was being asked already */
		w.mono_ms += 3600000;
		world_turn(&w);
		assert_int_equal(c.n_pings, n);
		assert_int_equal(c.closed_with, 0);
	}
	w.mono_ms += 34999;
	world_turn(&w);
	assert_int_equal(c.closed_with, 0);
	w.mono_ms += 1;
	world_turn(&w);
	assert_int_equal(c.closed_with, 4408);
	client_fini(&c);
	world_fini(&w);
}

static void publish_one(struct client *c, const char *topic, unsigned i)
{
	char message[256];

	snprintf(message, sizeof(message),
		"{\"type\":\"publish\",\"topic\":\"%s\",\"event\":\"X\",\"data\":{"
		"\"entity_id\":\"n%u.\"}}",
		topic, i);
	say(c, message);
}

static void publish_n(struct world *w, struct client *c, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++)
		publish_one(c, "a:1", i);
	world_turn(w);
}

static unsigned count(const char *in, const char *what)
{
	unsigned n = 0;

	for (const char *p = in; (p = strstr(p, what)); p++)
		n++;
	return n;
}

/* The client's socket is full and more came for it than its outbox takes: events n0. to n99. */
static void fall_behind(struct world *w, struct client *slow, struct client *publisher)
{
	slow->keeps = true;
	for (unsigned i = 0; i < 100; i++)
		publish_n(w, publisher, i, 1);
}

static void read_again(struct client *slow)
{
	slow->keeps = false;
	slow->queued = 0;
	hw_session_drained(slow->session);
}

static void a_slow_client_is_caught_up_in_order_and_without_loss(void **state)
{
	struct world w;
	struct client slow, other;
	const char *p;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &slow, "u@acme", "a:1", true);
	client_open(&w, &other, "v@acme", NULL, true);
	fall_behind(&w, &slow, &other);
	assert_true(slow.queued < 8192);
	read_again(&slow);
	publish_n(&w, &other, 100, 50);
	p = heard(&slow, text, sizeof(text));
	for (unsigned i = 0; i < 150; i++) {
		char wanted[32];

		snprintf(wanted, sizeof(wanted), "\"n%u.\"", i);
		p = strstr(p, wanted);
		if (!p)
			fail_msg("event %u is missing or out of order", i);
	}
	assert_int_equal(slow.closed_with, 0);
	client_fini(&slow);
	client_fini(&other);
	world_fini(&w);
}

/* What a client is answered while it catches up is on its way, not held up. */
static void a_slow_client_that_is_answered_meanwhile_is_caught_up(void **state)
{
	struct world w;
	struct client slow, other;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &slow, "u@acme", "a:1", true);
	client_open(&w, &other, "v@acme", NULL, true);
	fall_behind(&w, &slow, &other);
	read_again(&slow);
	slow.queued = 100; /* an answer of this turn */
	(void)hw_worker_turn(&w.worker);
	hw_worker_flushed(&w.worker);
	slow.queued = 0;
	world_turn(&w);
	assert_non_null(strstr(heard(&slow, text, sizeof(text)), "\"n99.\""));
	client_fini(&slow);
	client_fini(&other);
	world_fini(&w);
}

static void what_is_subscribed_while_behind_begins_where_its_session_is(void **state)
{
	const char *const numbers[] = {
		"\"n200.\"", "\"n201.\"", "\"n202.\"", "\"n300.\"", "\"n301.\""};
	const char *last = text;
	struct world w;
	struct client slow, other;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &slow, "boss@acme", "a:1", true);
	client_open(&w, &other, "v@acme", NULL, true);
	fall_behind(&w, &slow, &other);
	publish_one(&other, "a:2", 200); /* these three are one run of the journal */
	publish_one(&other, "a:2", 201);
	say(&slow, "{\"type\":\"subscribe\",\"topics\":[\"a:2\"]}");
	publish_one(&other, "a:2", 202);
	publish_one(&other, "a:3", 300);
	say(&slow, "{\"type\":\"subscribe\",\"topics\":[\"a:*\"]}");
	publish_one(&other, "a:3", 301);
	publish_one(&other, "a:1", 100);
	read_again(&slow);
	world_turn(&w);
	heard(&slow, text, sizeof(text));
	assert_int_equal(count(text, "\"topic\":\"a:1\""), 101);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		assert_int_equal(count(text, numbers[i]), 1);
		assert_true(strstr(text, numbers[i]) > last);
		last = strstr(text, numbers[i]);
	}
	client_fini(&slow);
	client_fini(&other);
	world_fini(&w);
}

/* However much lies between a slow client and the present, the others get their turn. It is looked
 * through only for who follows more topics than are read each by itself. */
static void looking_through_what_is_for_others_takes_turns(void **state)
{
	const unsigned between = 3000;
	char topics[16 * (HW_SCAN_TOPICS + 1)] = "a:1";
	struct world w;
	struct client slow, other;

	(void)state;
	world_init(&w, OPEN_POLICY);
	w.generation->rules[0].classes.classes[0].retention.count = 10 * between;
	for (unsigned i = 0; i < HW_SCAN_TOPICS; i++)
		sprintf(topics + strlen(topics), ",a:1%03u", i);
	w.generation->settings.topics_per_session = HW_SCAN_TOPICS + 1;
	client_open(&w, &slow, "u@acme", topics, true);
	client_open(&w, &other, "v@acme", NULL, true);
	fall_behind(&w, &slow, &other);
	for (unsigned i = 0; i < between; i++)
		publish_one(&other, i % 2 ? "a:2" : "a:3", 1000 + i);
	publish_n(&w, &other, 100, 1);
	w.generation->settings.outbox_bytes = 1 << 20; /* all that is for it fits into one turn */
	read_again(&slow);
	assert_true(hw_worker_turn(&w.worker));
	hw_worker_flushed(&w.worker);
	heard(&slow, text, sizeof(text));
	assert_non_null(strstr(text, "\"n99.\""));
	assert_null(strstr(text, "\"n100.\""));
	world_turn(&w);
	assert_non_null(strstr(heard(&slow, text, sizeof(text)), "\"n100.\""));
	client_fini(&slow);
	client_fini(&other);
	world_fini(&w);
}

static void what_is_lost_is_told_once(void **state)
{
	struct world w;
	struct client slow, other;
	struct hw_topic_classes *classes;

	(void)state;
	world_init(&w, OPEN_POLICY);
	classes = &w.generation->rules[0].classes;
	classes->classes[classes->n] = classes->classes[0];
	strcpy(classes->classes[classes->n].pattern, "a:2");
	classes->classes[classes->n++].retention.count = 2;
	client_open(&w, &slow, "u@acme", "a:1,a:2", false);
	client_open(&w, &other, "v@acme", NULL, true);
	fall_behind(&w, &slow, &other);
	for (unsigned i = 0; i < 10; i++) {
		publish_one(&other, "a:2", 200 + i);
		world_turn(&w);
	}
	say(&slow, "{\"type\":\"subscribe\",\"topics\":[\"a:3\"]}");
	read_again(&slow); /* several turns' worth of a:1 comes before what is left of a:2 */
	world_turn(&w);
	heard(&slow, text, sizeof(text));
	assert_null(strstr(text, "a:3")); /* it lost nothing of what it joined later */
	assert_int_equal(count(text, "\"topic\":\"a:1\""), 100);
	assert_non_null(strstr(text, "\"n209.\""));
	assert_null(strstr(text, "\"n200.\""));
	assert_int_equal(count(text, "\"type\":\"gap\""), 1);
	client_fini(&slow);
	client_fini(&other);
	world_fini(&w);
}

/* Each class trims for itself. */
static void what_another_class_lost_is_no_gap(void **state)
{
	struct world w;
	struct client exact, pattern, other;
	struct hw_topic_classes *classes;

	(void)state;
	world_init(&w, OPEN_POLICY);
	classes = &w.generation->rules[0].classes;
	classes->classes[classes->n] = classes->classes[0];
	classes->classes[0].retention.count = 2;
	strcpy(classes->classes[classes->n++].pattern, "a:1");
	client_open(&w, &exact, "u@acme", "a:1", true); /* plain: a gap would end it */
	client_open(&w, &pattern, "boss@acme", "a:*,a:1", false);
	client_open(&w, &other, "v@acme", NULL, true);
	pattern.keeps = true;
	fall_behind(&w, &exact, &other);
	for (unsigned i = 0; i < 10; i++) {
		publish_one(&other, "a:2", 200 + i);
		world_turn(&w);
	}
	read_again(&exact);
	read_again(&pattern);
	world_turn(&w);
	assert_int_equal(exact.closed_with, 0);
	assert_int_equal(count(heard(&exact, text, sizeof(text)), "\"topic\":\"a:1\""), 100);
	heard(&pattern, text, sizeof(text));
	assert_non_null(strstr(text, "\"type\":\"gap\",\"topics\":[\"a:*\"]"));
	assert_int_equal(count(text, "\"topic\":\"a:1\""), 100);
	client_fini(&exact);
	client_fini(&pattern);
	client_fini(&other);
	world_fini(&w);
}

static void what_is_lost_later_is_told_though_more_was_lost_of_another(void **state)
{
	struct world w;
	struct client slow, other;
	struct hw_topic_classes *classes;

	(void)state;
	world_init(&w, OPEN_POLICY);
	classes = &w.generation->rules[0].classes;
	classes->classes[classes->n] = classes->classes[0];
	classes->classes[0].retention.count = 2;
	strcpy(classes->classes[classes->n].pattern, "a:1");
	classes->classes[classes->n++].retention.count = 150;
	client_open(&w, &slow, "u@acme", "a:1,a:2", false);
	client_open(&w, &other, "v@acme", NULL, true);
	fall_behind(&w, &slow, &other);
	for (unsigned i = 0; i < 10; i++) {
		publish_one(&other, "a:2", 200 + i);
		world_turn(&w);
	}
	read_again(&slow);
	(void)hw_worker_turn(&w.worker);
	hw_worker_flushed(&w.worker);
	heard(&slow, text, sizeof(text));
	assert_non_null(strstr(text, "\"type\":\"gap\",\"topics\":[\"a:2\"]"));
	assert_in_range(count(text, "\"topic\":\"a:1\""), 1, 74);
	slow.keeps = true;
	publish_n(&w, &other, 300, 130); /* half of what is kept goes: 75, before the a:2 */
	read_again(&slow);
	world_turn(&w);
	heard(&slow, text, sizeof(text));
	assert_int_equal(count(text, "\"type\":\"gap\""), 1);
	assert_non_null(strstr(text, "\"type\":\"gap\",\"topics\":[\"a:1\"]"));
	assert_non_null(strstr(text, "\"n429.\""));
	client_fini(&slow);
	client_fini(&other);
	world_fini(&w);
}

static void a_client_that_stays_slow_is_closed(void **state)
{
	struct world w;
	struct client slow, other;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &slow, "u@acme", "a:1", true);
	client_open(&w, &other, "v@acme", NULL, true);
	fall_behind(&w, &slow, &other);
	for (int i = 0; i < 7; i++) {
		w.mono_ms += 10000;
		hw_session_alive(slow.session);
		hw_session_alive(other.session);
		world_turn(&w);
	}
	assert_int_equal(slow.closed_with, 4508);
	assert_int_equal(other.closed_with, 0);
	client_fini(&slow);
	client_fini(&other);
	world_fini(&w);
}

/* Late in that time the other of both reasons to lag begins: it is no second time. */
static void a_client_that_recovers_and_is_behind_has_one_time_for_both(void **state)
{
	(void)state;
	for (int behind_first = 0; behind_first < 2; behind_first++) {
		struct world w;
		struct client slow, other;

		world_init(&w, OPEN_POLICY);
		client_open(&w, &slow, "u@acme", "a:1", true);
		client_open(&w, &other, "v@acme", NULL, true);
		publish_one(&other, "a:2", 0);
		world_turn(&w);
		slow.keeps = true;
		for (int i = 0; i < 12; i++) { /* of five seconds, so that no timer is late */
			if (i == (behind_first ? 0 : 11))
				fall_behind(&w, &slow, &other);
			if (i == (behind_first ? 11 : 0))
				say(&slow, "{\"type\":\"subscribe\",\"topics\":[{\"topic\":"
					   "\"a:2\",\"last\":1}]}");
			assert_int_equal(slow.closed_with, 0);
			assert_int_equal(slow.text.len, 0); /* nothing was refused */
			w.mono_ms += 5000;
			hw_session_alive(slow.session);
			hw_session_alive(other.session);
			world_turn(&w);
		}
		assert_int_equal(slow.closed_with, 4508);
		assert_int_equal(other.closed_with, 0);
		client_fini(&slow);
		client_fini(&other);
		world_fini(&w);
	}
}

/* It closes while it is told the first of several lists, which ends what it follows. */
static void a_client_that_cannot_be_told_who_is_there_is_closed(void **state)
{
	static const char *const topics[] = {"a:1", "a:2", "a:3"};
	struct world w;
	struct client follower, other;

	(void)state;
	world_init(&w, "return policy { api = 1, authorize = { subscribe = function() return "
		       "allow() end, presence = function() return allow() end } }");
	w.generation->settings.presence.topics = topics;
	w.generation->settings.presence.n_topics = HW_COUNT(topics);
	client_open(&w, &follower, "u@acme", NULL, false);
	for (size_t i = 0; i < HW_COUNT(topics); i++) {
		char message[128];

		snprintf(message, sizeof(message),
			"{\"type\":\"presence\",\"id\":1,\"topic\":\"%s\",\"follow\":true}",
			topics[i]);
		say(&follower, message);
	}
	assert_int_equal(count(heard(&follower, text, sizeof(text)), "\"users\":[]"), 3);
	follower.keeps = true;
	follower.queued = w.generation->settings.outbox_bytes;
	client_open(&w, &other, "v@acme", "a:1,a:2,a:3", false);
	world_turn(&w);
	assert_string_equal(heard(&follower, text, sizeof(text)), "");
	follower.no_memory = true;
	read_again(&follower);
	assert_int_equal(follower.closed_with, 1011);
	client_fini(&other);
	client_fini(&follower);
	world_fini(&w);
}

static void a_new_generation_decides_from_the_next_message_on(void **state)
{
	struct world w;
	struct client c;
	struct hw_generation *g;
	const char *refused;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &c, "u@acme", NULL, true);
	say(&c, "{\"type\":\"subscribe\",\"topics\":[\"b:1\"],\"id\":1}");
	assert_non_null(strstr(heard(&c, text, sizeof(text)), "forbidden_topic"));
	g = world_generation(&w, 2,
		"return policy { api = 1, authorize = { subscribe = function() return allow() end "
		"} }");
	assert_int_equal(hw_worker_swap(&w.worker, g, &refused), 0);
	hw_generation_unref(&g);
	say(&c, "{\"type\":\"subscribe\",\"topics\":[\"b:1\"],\"id\":2}");
	assert_non_null(strstr(heard(&c, text, sizeof(text)), "\"b:1\":{\"ok\":true"));
	say(&c, "{\"type\":\"publish\",\"topic\":\"b:1\",\"event\":\"X\",\"data\":{\"entity_id\":1}"
		",\"id\":3}");
	assert_non_null(strstr(heard(&c, text, sizeof(text)), "forbidden_topic"));
	assert_int_equal(c.closed_with, 0);
	client_fini(&c);
	world_fini(&w);
}

static void a_tenant_made_during_a_reload_has_the_new_limits(void **state)
{
	struct world w;
	struct client a, b;
	struct hw_generation *g;
	const char *refused;

	(void)state;
	world_init(&w, OPEN_POLICY);
	g = world_generation(&w, 2, OPEN_POLICY);
	g->rules[0].connections = 1;
	assert_int_equal(hw_tenants_configure(&w.tenants, g), 0);
	client_open(&w, &a, "u@acme", NULL, true); /* by a worker that has yet to swap */
	assert_int_equal(hw_worker_swap(&w.worker, g, &refused), 0);
	hw_generation_unref(&g);
	client_open(&w, &b, "u@acme", NULL, true);
	assert_int_equal(a.closed_with, 0);
	assert_int_equal(b.closed_with, 4429);
	client_fini(&a);
	client_fini(&b);
	world_fini(&w);
}

static void a_refresh_with_other_claims_asks_again(void **state)
{
	struct world w;
	struct client c, other;

	(void)state;
	world_init(&w,
		"return policy { api = 1, authorize = { subscribe = function(s, t)"
		" if t.resource == 'a' or s.claims.mark == '' then return allow() end end } }");
	client_open(&w, &other, "v@acme", "a:1", true);
	client_open(&w, &c, "u@acme", "a:1,b:1,b:2", false);
	heard(&c, text, sizeof(text));
	say(&c, "{\"type\":\"auth\",\"token\":\"u@acme1\"}");
	heard(&c, text, sizeof(text));
	assert_int_equal(count(text, "\"type\":\"unsubscribed\""), 2);
	assert_null(strstr(text, "a:1"));
	say(&c, "{\"type\":\"auth\",\"token\":\"u@acme\"}");
	say(&c, "{\"type\":\"subscribe\",\"topics\":[\"b:1\",\"b:2\"],\"id\":1}");
	assert_int_equal(count(heard(&c, text, sizeof(text)), "\"ok\":true"), 3);
	/* who cannot be told is closed, and loses the subscriptions that are being looked at */
	c.no_memory = true;
	say(&c, "{\"type\":\"auth\",\"token\":\"u@acme1\"}");
	assert_int_equal(c.closed_with, 1011);
	client_fini(&c);
	client_fini(&other);
	world_fini(&w);
}

static void tenants_see_nothing_of_each_other(void **state)
{
	struct world w;
	struct client a, b;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &a, "u@acme", "a:1", true);
	client_open(&w, &b, "u@other", "a:1", true);
	publish_n(&w, &a, 0, 3);
	assert_non_null(strstr(heard(&a, text, sizeof(text)), "n2."));
	assert_string_equal(heard(&b, text, sizeof(text)), "");
	client_fini(&a);
	client_fini(&b);
	world_fini(&w);
}

/* Housekeeping, once a second. */
static void trim(struct world *w, int64_t passed_ms)
{
	w->mono_ms += passed_ms;
	hw_tenants_trim(&w->tenants, w->mono_ms);
	world_turn(w);
}

static void what_was_read_ages_though_nothing_new_comes(void **state)
{
	struct world w;
	struct client c;
	struct hw_tenant *tenant;
	struct hw_journal_stats stats;
	unsigned n_wakes;

	(void)state;
	world_init(&w, OPEN_POLICY);
	w.generation->rules[0].classes.classes[0].retention.age_ms = 5000;
	client_open(&w, &c, "u@acme", "a:1", true);
	publish_n(&w, &c, 0, 5);
	assert_int_equal(
		hw_tenants_get(&w.tenants, HW_STR("acme"), &w.generation->rules[0], 1, &tenant), 0);
	trim(&w, 5000);
	hw_journal_stats(tenant->journal, &stats);
	assert_int_equal(stats.events, 5);
	trim(&w, 1000); /* old enough: who has read it is told to move on */
	trim(&w, 1000);
	hw_journal_stats(tenant->journal, &stats);
	assert_int_equal(stats.events, 0);
	n_wakes = w.n_wakes;
	trim(&w, 1000);
	assert_int_equal(w.n_wakes, n_wakes); /* nothing is left to move on for */
	publish_n(&w, &c, 5, 1);
	assert_non_null(strstr(heard(&c, text, sizeof(text)), "\"n5.\""));
	client_fini(&c);
	world_fini(&w);
}

static void topics_over_the_limit_are_refused(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_init(&w, OPEN_POLICY);
	client_open(&w, &c, "u@acme", NULL, true);
	say(&c, "{\"type\":\"subscribe\",\"topics\":[\"a:1\",\"a:2\",\"a:3\",\"a:4\",\"a:1\"],"
		"\"id\":1}");
	heard(&c, text, sizeof(text));
	assert_non_null(strstr(text, "\"a:4\":{\"ok\":false,\"code\":\"topic_limit\""));
	assert_non_null(strstr(text, "\"a:3\":{\"ok\":true"));
	client_fini(&c);
	world_fini(&w);
}

static void append_stored(struct hw_hub *hub, uint64_t number)
{
	struct hw_append event = {.topic = HW_STR("a:1"),
		.text = HW_STR("{\"topic\":\"a:1\",\"event\":\"e\",\"data\":{}"),
		.wall_ms = 1000,
		.number = number};
	uint64_t n, wake;

	assert_int_equal(hw_journal_append(hub->tenant->journal, &event, &n, &wake), 0);
	assert_int_equal(n, number);
}

/* The store has numbered an event that memory had no room for: it is read from there, or told to be
 * lost; also when nothing comes behind it. */
static void what_memory_had_no_room_for_is_not_passed_over(void **state)
{
	struct hw_cursor one = {.epoch = 77, .seq = 1};
	char cursor[HW_CURSOR_MAX + 1], message[256];
	struct client live, late;
	struct hw_hub *hub;
	struct world w;
	uint64_t wake;

	(void)state;
	world_init(&w, OPEN_POLICY);
	assert_int_equal(hw_hub_get(&w.worker, HW_STR("acme"), &hub), 0);
	hw_journal_back(hub->tenant->journal, one.epoch, 0);
	client_open(&w, &live, "u@acme", "a:1", false);
	append_stored(hub, 1);
	hw_hub_pump(hub);
	world_turns(&w, 10);
	heard(&live, text, sizeof(text));
	assert_int_equal(count(text, "\"event\":\"e\""), 1);
	hw_journal_skip(hub->tenant->journal, HW_STR("a:1"), 2, &wake);
	assert_int_equal(wake, 1);
	hw_hub_pump(hub);
	world_turns(&w, 10);
	heard(&live, text, sizeof(text));
	assert_int_equal(count(text, "\"type\":\"gap\""), 1);

	client_open(&w, &late, "v@acme", NULL, false);
	hw_cursor_format(one, cursor);
	snprintf(message, sizeof(message),
		"{\"type\":\"subscribe\",\"topics\":[{\"topic\":\"a:1\",\"cursor\":\"%s\"}]}",
		cursor);
	say(&late, message);
	heard(&late, text, sizeof(text));
	assert_int_equal(count(text, "\"type\":\"gap\""), 1);

	append_stored(hub, 3);
	hw_hub_pump(hub);
	world_turns(&w, 10);
	heard(&live, text, sizeof(text));
	assert_int_equal(count(text, "\"event\":\"e\""), 1);
	assert_int_equal(count(text, "\"type\":\"gap\""), 0);
	heard(&late, text, sizeof(text));
	assert_int_equal(count(text, "\"event\":\"e\""), 1);
	client_fini(&live);
	client_fini(&late);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_subscribes_publishes_and_gets_its_event_once),
		cmocka_unit_test(refused_tokens_and_late_first_messages_close),
		cmocka_unit_test(the_first_message_may_authenticate_and_then_the_query_counts),
		cmocka_unit_test(a_silent_client_is_pinged_and_then_closed),
		cmocka_unit_test(a_worker_that_stood_still_asks_before_it_closes),
		cmocka_unit_test(a_slow_client_is_caught_up_in_order_and_without_loss),
		cmocka_unit_test(a_slow_client_that_is_answered_meanwhile_is_caught_up),
		cmocka_unit_test(what_is_subscribed_while_behind_begins_where_its_session_is),
		cmocka_unit_test(looking_through_what_is_for_others_takes_turns),
		cmocka_unit_test(what_is_lost_is_told_once),
		cmocka_unit_test(what_another_class_lost_is_no_gap),
		cmocka_unit_test(what_memory_had_no_room_for_is_not_passed_over),
		cmocka_unit_test(what_is_lost_later_is_told_though_more_was_lost_of_another),
		cmocka_unit_test(a_client_that_stays_slow_is_closed),
		cmocka_unit_test(a_client_that_recovers_and_is_behind_has_one_time_for_both),
		cmocka_unit_test(a_client_that_cannot_be_told_who_is_there_is_closed),
		cmocka_unit_test(a_new_generation_decides_from_the_next_message_on),
		cmocka_unit_test(a_tenant_made_during_a_reload_has_the_new_limits),
		cmocka_unit_test(a_refresh_with_other_claims_asks_again),
		cmocka_unit_test(tenants_see_nothing_of_each_other),
		cmocka_unit_test(what_was_read_ages_though_nothing_new_comes),
		cmocka_unit_test(topics_over_the_limit_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
