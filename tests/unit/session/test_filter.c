/* Who gets what where a policy filters and redacts: classes, view changes, who is behind, and what
 * a reload or a refresh makes of it. A session's claim "mark" are the digits behind its token. */
#include "session_world.h"

#define ALL \
	"authorize = { subscribe = function() return allow() end, publish = function() return " \
	"allow() end }"
#define FILTER_BY_MARK \
	"return policy { api = 1, " ALL ", reads = { filter = { 'claims.mark' } }," \
	" filter = function(event, audience)" \
	" return event.data.payload == nil or event.data.payload.level == nil or" \
	" tonumber(audience.claims.mark or 0) >= event.data.payload.level end }"
#define REDACT_BY_MARK \
	"return policy { api = 1, " ALL ", reads = { redact = { 'claims.mark' } }," \
	" redact = function(event, audience)" \
	" if audience.claims.mark == '9' then return event end" \
	" if audience.claims.mark == '0' then return nil end" \
	" event.data.payload.price = nil return event end }"

static char text[1 << 18];

static unsigned count(const char *in, const char *what)
{
	unsigned n = 0;

	for (const char *p = in; (p = strstr(p, what)); p++)
		n++;
	return n;
}

/* A client that has subscribed and has read what it was told of that. */
static void join(struct world *w, struct client *c, const char *token)
{
	client_open(w, c, token, NULL, false);
	say(c, "{\"type\":\"subscribe\",\"topics\":[\"a:1\"]}");
	heard(c, text, sizeof(text));
}

static void publish(struct client *c, const char *event, const char *id, const char *more)
{
	char message[4096];

	snprintf(message, sizeof(message),
		"{\"type\":\"publish\",\"topic\":\"a:1\",\"event\":\"%s\",\"data\":{\"entity_id\":"
		"\"%s\"%s}}",
		event, id, more);
	say(c, message);
}

static int64_t metric(struct world *w, const char *line)
{
	struct hw_buf out;
	const char *at;
	int64_t n;

	hw_buf_init(&out);
	hw_metrics_print(w->metrics, &out);
	hw_buf_putc(&out, '\0');
	for (at = strstr(out.data, line); at && at[-1] != '\n'; at = strstr(at + 1, line))
		;
	n = at ? atoll(at + strlen(line)) : 0;
	hw_buf_fini(&out);
	return n;
}

#define CALLS(stage) \
	"hookwire_hook_calls_total{hook=\"policy\",tenant=\"acme\",stage=\"" stage "\"} "
#define WITHHELD(reason) "hookwire_events_withheld_total{reason=\"" reason "\"} "

static void a_class_is_asked_once_whatever_its_number(void **state)
{
	struct world w;
	struct client c[6];

	(void)state;
	world_init(&w, FILTER_BY_MARK);
	for (size_t i = 0; i < HW_COUNT(c); i++)
		join(&w, &c[i], i % 2 ? "ann@acme5" : "bob@acme1");
	publish(&c[0], "UPDATED", "low", ",\"payload\":{\"level\":1}");
	publish(&c[0], "UPDATED", "high", ",\"payload\":{\"level\":5}");
	publish(&c[0], "UPDATED", "all", "");
	world_turn(&w);
	for (size_t i = 0; i < HW_COUNT(c); i++) {
		heard(&c[i], text, sizeof(text));
		assert_int_equal(count(text, "\"low\""), 1);
		assert_int_equal(count(text, "\"high\""), i % 2);
		assert_int_equal(count(text, "\"all\""), 1);
		assert_true(strstr(text, "\"low\"") < strstr(text, "\"all\""));
	}
	assert_int_equal(metric(&w, CALLS("filter")), 3 * 2);
	assert_int_equal(metric(&w, WITHHELD("filtered")), 3);
	assert_int_equal(metric(&w, WITHHELD("failed")), 0);
	assert_int_equal(metric(&w, "hookwire_events_delivered_total "), 18 - 3);
	for (size_t i = 0; i < HW_COUNT(c); i++)
		client_fini(&c[i]);
	world_fini(&w);
}

static void a_class_shares_what_is_redacted_for_it(void **state)
{
	struct world w;
	struct client c[6];
	const char *tokens[] = {"a@acme9", "b@acme1", "c@acme1", "d@acme9", "e@acme0", "f@acme2"};

	(void)state;
	world_init(&w, REDACT_BY_MARK);
	for (size_t i = 0; i < HW_COUNT(c); i++)
		join(&w, &c[i], tokens[i]);
	publish(&c[0], "UPDATED", "x", ",\"payload\":{ \"name\": \"Bike\",\"price\":1.50}");
	world_turn(&w);
	for (size_t i = 0; i < HW_COUNT(c); i++) {
		heard(&c[i], text, sizeof(text));
		assert_int_equal(count(text, "1.50"), i == 0 || i == 3);
		assert_int_equal(count(text, "\"name\": \"Bike\""), i != 4);
		assert_int_equal(count(text, ",\"id\":\""), i != 4);
		assert_int_equal(count(text, "\"user_id\":\"a\",\"tenant_id\":\"acme\""), i != 4);
	}
	assert_ptr_equal(c[1].frames, c[2].frames);
	assert_ptr_equal(c[0].frames, c[3].frames);
	assert_ptr_not_equal(c[0].frames, c[1].frames);
	assert_ptr_not_equal(c[5].frames, c[1].frames);
	assert_int_equal(metric(&w, CALLS("redact")), 4);
	assert_int_equal(metric(&w, CALLS("filter")), 0);
	for (size_t i = 0; i < HW_COUNT(c); i++)
		client_fini(&c[i]);
	world_fini(&w);
}

/* What the clients 1 (sees level 1) and 5 (sees level 5 too) hear of an event with what was before.
 */
static void view(struct world *w, struct client c[2], const char *event, const char *now,
	const char *before, const char *low, const char *high)
{
	const char *expected[] = {low, high};
	char more[256];

	snprintf(more, sizeof(more), ",\"note\":\"n\",\"payload\":%s,\"previous\":%s", now, before);
	publish(&c[0], event, "gift", more);
	world_turn(w);
	for (int i = 0; i < 2; i++) {
		char event_text[64];

		heard(&c[i], text, sizeof(text));
		assert_null(strstr(text, "previous"));
		if (!expected[i]) {
			assert_null(strstr(text, "gift"));
			continue;
		}
		snprintf(event_text, sizeof(event_text), "\"event\":\"%s\"", expected[i]);
		if (!strstr(text, event_text))
			fail_msg("client %d of %s %s: %s", i, event, before, text);
		assert_int_equal(count(text, "\"entity_id\":\"gift\""), 1);
		assert_int_equal(count(text, ",\"id\":\""), 1);
		if (i == 0 ? !strstr(now, "1") : strstr(now, "9") != NULL) { /* not seen now */
			assert_null(strstr(text, "payload"));
			assert_null(strstr(text, "note"));
			assert_null(strstr(text, "level"));
		} else {
			assert_non_null(strstr(text, now));
		}
	}
}

static void who_loses_sight_hears_deleted_and_who_gains_it_added(void **state)
{
	static const char one[] = "{\"level\":1}", five[] = "{\"level\":5}",
			  nine[] = "{\"level\":9}";
	struct world w;
	struct client c[2];

	(void)state;
	world_init(&w, FILTER_BY_MARK);
	join(&w, &c[0], "low@acme1");
	join(&w, &c[1], "high@acme5");
	view(&w, c, "UPDATED", one, one, "UPDATED", "UPDATED");
	view(&w, c, "UPDATED", five, one, "DELETED", "UPDATED");
	view(&w, c, "STATUS_CHANGED", one, five, "ADDED", "STATUS_CHANGED");
	view(&w, c, "UPDATED", nine, five, NULL, "DELETED");
	view(&w, c, "UPDATED", nine, nine, NULL, NULL);
	view(&w, c, "MOVED", five, nine, NULL, "ADDED");
	/* what goes is told to who saw it, and was never there for the others */
	view(&w, c, "DELETED", five, five, NULL, "DELETED");
	view(&w, c, "DELETED", one, five, NULL, "DELETED");
	view(&w, c, "DELETED", five, one, "DELETED", "DELETED");
	/* null says nothing of what was before */
	view(&w, c, "UPDATED", five, "null", NULL, "UPDATED");
	client_fini(&c[0]);
	client_fini(&c[1]);
	world_fini(&w);
}

static void what_was_before_is_nobodys_without_a_filter_either(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_init(&w, "return policy { api = 1, " ALL "}");
	join(&w, &c, "a@acme1");
	for (int i = 0; i < 3; i++)
		publish(&c, "UPDATED", "x", ",\"previous\":{\"secret\":1},\"payload\":[1]");
	world_turn(&w);
	heard(&c, text, sizeof(text));
	assert_int_equal(count(text, "\"payload\":[1]"), 3);
	assert_null(strstr(text, "previous"));
	assert_null(strstr(text, "secret"));
	client_fini(&c);
	world_fini(&w);
}

static void a_transform_sees_and_sets_what_was_before(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_init(&w,
		"return policy { api = 1, " ALL ", filter = function(event)"
		" return event.data.payload.shown and event.data.previous == nil end,"
		" transform = function(event) local d = event.data"
		" assert(d.previous.was == 1) d.previous = { shown = true } return event end }");
	join(&w, &c, "a@acme1");
	publish(&c, "UPDATED", "x", ",\"previous\":{\"was\":1},\"payload\":{}");
	world_turn(&w);
	heard(&c, text, sizeof(text));
	assert_int_equal(count(text, "\"event\":\"DELETED\""), 1);
	assert_null(strstr(text, "shown"));
	client_fini(&c);
	world_fini(&w);
}

static void what_keeps_no_history_has_no_id_when_it_is_made_anew_either(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_init(&w, REDACT_BY_MARK);
	w.generation->rules[0].classes.classes[0].history = false;
	join(&w, &c, "a@acme1");
	publish(&c, "UPDATED", "x", ",\"payload\":{\"price\":1,\"n\":2}");
	publish(&c, "UPDATED", "y", ",\"payload\":{\"n\":2},\"previous\":{\"price\":1}");
	world_turn(&w);
	heard(&c, text, sizeof(text));
	assert_int_equal(count(text, "\"payload\":{\"n\":2}"), 2);
	assert_null(strstr(text, "price"));
	assert_null(strstr(text, "\"id\":"));
	assert_int_equal(count(text, "\"}\n"), 2);
	client_fini(&c);
	world_fini(&w);
}

static void redaction_holds_for_the_view_before_too(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_init(&w,
		"return policy { api = 1, " ALL ", redact = function(event)"
		" if event.data.payload.hidden then return nil end"
		" event.data.payload.price = nil event.data.user_id = nil return event end }");
	join(&w, &c, "a@acme1");
	publish(&c, "UPDATED", "x",
		",\"payload\":{\"hidden\":true},\"previous\":{\"price\":7,\"z\":1}");
	world_turn(&w);
	heard(&c, text, sizeof(text));
	assert_int_equal(count(text, "\"event\":\"DELETED\",\"data\":{\"entity_id\":\"x\","
				     "\"tenant_id\":\"acme\",\"timestamp\":"),
		1);
	assert_null(strstr(text, "user_id"));
	publish(&c, "UPDATED", "y",
		",\"payload\":{\"price\":7,\"z\":1},\"previous\":{\"hidden\":1}");
	world_turn(&w);
	heard(&c, text, sizeof(text));
	assert_int_equal(count(text, "\"event\":\"ADDED\""), 1);
	assert_non_null(strstr(text, "\"payload\":{\"z\":1}"));
	client_fini(&c);
	world_fini(&w);
}

static void a_filter_that_fails_withholds_and_is_counted(void **state)
{
	static const char *const bodies[] = {"error('no')", "return audience.claims.role == 'x'",
		"return audience.user_id ~= nil", "return allow()", "return 1",
		"return audience.claims['mark'] and audience.color"};
	struct world w;
	struct client c[2];
	char lua[512];

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bodies); i++) {
		snprintf(lua, sizeof(lua),
			"return policy { api = 1, " ALL ", reads = { filter = { 'claims.mark' } },"
			" filter = function(event, audience) %s end }",
			bodies[i]);
		world_init(&w, lua);
		join(&w, &c[0], "a@acme1");
		join(&w, &c[1], "b@acme1");
		publish(&c[0], "UPDATED", "x", "");
		world_turn(&w);
		assert_string_equal(heard(&c[0], text, sizeof(text)), "");
		assert_string_equal(heard(&c[1], text, sizeof(text)), "");
		assert_int_equal(metric(&w, WITHHELD("failed")), 2);
		assert_int_equal(metric(&w, "hookwire_hook_errors_total{hook=\"policy\",tenant="
					    "\"acme\",stage=\"filter\"} "),
			1);
		client_fini(&c[0]);
		client_fini(&c[1]);
		world_fini(&w);
	}
}

static void a_redact_that_spoils_the_event_withholds_it(void **state)
{
	static const char *const bodies[] = {"event.topic = 'a:2' return event",
		"event.data.entity_id = nil return event", "return {}", "return event.data",
		"return true", "event.data = 7 return event"};
	struct world w;
	struct client c;
	char lua[512];

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bodies); i++) {
		snprintf(lua, sizeof(lua),
			"return policy { api = 1, " ALL ", redact = function(event) %s end }",
			bodies[i]);
		world_init(&w, lua);
		join(&w, &c, "a@acme1");
		publish(&c, "UPDATED", "x", "");
		world_turn(&w);
		assert_string_equal(heard(&c, text, sizeof(text)), "");
		assert_int_equal(metric(&w, WITHHELD("failed")), 1);
		client_fini(&c);
		world_fini(&w);
	}
}

static void who_is_behind_sees_what_it_would_have_seen(void **state)
{
	struct world w;
	struct client quick, slow;

	(void)state;
	world_init(&w, FILTER_BY_MARK);
	join(&w, &quick, "quick@acme1");
	join(&w, &slow, "slow@acme1");
	slow.keeps = true;
	for (int i = 0; i < 100; i++) {
		char id[16];

		snprintf(id, sizeof(id), "n%d.", i);
		publish(&quick, "UPDATED", id,
			i % 3 ? ",\"payload\":{\"level\":1}" : ",\"payload\":{\"level\":2}");
		world_turn(&w);
	}
	slow.keeps = false;
	heard(&slow, text, sizeof(text));
	hw_session_drained(slow.session);
	world_turn(&w);
	heard(&slow, text, sizeof(text));
	assert_int_equal(count(text, "\"level\":2"), 0);
	assert_int_equal(count(text, "\"level\":1"), 66);
	for (int i = 1; i < 100; i += i % 3) {
		char id[16];

		snprintf(id, sizeof(id), "\"n%d.\"", i);
		assert_int_equal(count(text, id), 1);
	}
	heard(&quick, text, sizeof(text));
	assert_int_equal(count(text, "\"level\":1"), 66);
	publish(&quick, "UPDATED", "live", "");
	world_turn(&w);
	assert_int_equal(count(heard(&slow, text, sizeof(text)), "\"live\""), 1);
	client_fini(&quick);
	client_fini(&slow);
	world_fini(&w);
}

static void a_refresh_and_a_reload_change_who_sees_what(void **state)
{
	struct world w;
	struct client c, other;
	struct hw_generation *next;
	const char *refused;

	(void)state;
	world_init(&w, FILTER_BY_MARK);
	join(&w, &c, "a@acme1");
	join(&w, &other, "b@acme1");
	publish(&c, "UPDATED", "x", ",\"payload\":{\"level\":5}");
	world_turn(&w);
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	say(&c, "{\"type\":\"auth\",\"token\":\"a@acme5\"}");
	publish(&c, "UPDATED", "y", ",\"payload\":{\"level\":5}");
	world_turn(&w);
	assert_int_equal(count(heard(&c, text, sizeof(text)), "\"y\""), 1);
	assert_string_equal(heard(&other, text, sizeof(text)), "");
	next = world_generation(&w, 2,
		"return policy { api = 1, " ALL ", reads = { filter = { 'user' } },"
		" filter = function(event, audience) return audience.user == 'b' end }");
	assert_int_equal(hw_worker_swap(&w.worker, next, &refused), 0);
	hw_generation_unref(&next);
	publish(&c, "UPDATED", "z", ",\"payload\":{\"level\":5}");
	world_turn(&w);
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	assert_int_equal(count(heard(&other, text, sizeof(text)), "\"z\""), 1);
	next = world_generation(&w, 3, "return policy { api = 1, " ALL "}");
	assert_int_equal(hw_worker_swap(&w.worker, next, &refused), 0);
	hw_generation_unref(&next);
	publish(&c, "UPDATED", "free", "");
	world_turn(&w);
	assert_int_equal(count(heard(&c, text, sizeof(text)), "\"free\""), 1);
	assert_int_equal(count(heard(&other, text, sizeof(text)), "\"free\""), 1);
	client_fini(&c);
	client_fini(&other);
	world_fini(&w);
}

enum { MANY = 600 };

static void past_what_a_turn_asks_the_rest_follows_in_order(void **state)
{
	static struct client c[MANY];
	struct world w;
	char token[32];
	unsigned n_first = 0;

	(void)state;
	world_init(&w, "return policy { api = 1, " ALL ", reads = { filter = { 'user' } },"
		       " filter = function(event, audience) return audience.user ~= 'u7' end }");
	w.generation->rules[0].connections = w.generation->rules[0].subscriptions = MANY;
	for (int i = 0; i < MANY; i++) {
		snprintf(token, sizeof(token), "u%d@acme", i);
		join(&w, &c[i], token);
	}
	publish(&c[0], "UPDATED", "n0", "");
	publish(&c[0], "UPDATED", "n1", "");
	publish(&c[0], "UPDATED", "n2", "");
	hw_worker_turn(&w.worker);
	hw_worker_flushed(&w.worker);
	for (int i = 0; i < MANY; i++)
		n_first += c[i].text.len > 0;
	assert_in_range(n_first, 1, 2 * HW_ASKS_A_TURN);
	assert_true(hw_worker_has_work(&w.worker));
	/* somebody new is not held up by that, and begins now */
	publish(&c[0], "UPDATED", "n3", "");
	world_turn(&w);
	for (int i = 0; i < MANY; i++) {
		const char *at[4];

		heard(&c[i], text, sizeof(text));
		if (i == 7) {
			assert_string_equal(text, "");
			continue;
		}
		for (int n = 0; n < 4; n++) {
			char id[8];

			snprintf(id, sizeof(id), "\"n%d\"", n);
			assert_int_equal(count(text, id), 1);
			at[n] = strstr(text, id);
			assert_true(n == 0 || at[n - 1] < at[n]);
		}
	}
	/* nobody was asked about twice */
	assert_int_equal(metric(&w, CALLS("filter")), 4 * MANY);
	for (int i = 0; i < MANY; i++)
		client_fini(&c[i]);
	world_fini(&w);
}

/* Events n0 to n(count - 1), each once and in order? */
static void assert_all(const char *heard_text, int count_)
{
	const char *at = heard_text;

	for (int i = 0; i < count_; i++) {
		char id[16];

		snprintf(id, sizeof(id), "\"n%d\"", i);
		assert_int_equal(count(heard_text, id), 1);
		assert_true(strstr(heard_text, id) > at || i == 0);
		at = strstr(heard_text, id);
	}
	assert_int_equal(count(heard_text, "\"topic\":\"a:1\""), count_);
}

#ifdef __SANITIZE_THREAD__
enum { HOOKS_ARE_SLOW = 1 }; /* so slow that each session is put off by itself */
#else
enum { HOOKS_ARE_SLOW = 0 };
#endif

/* What it has heard, and will hear of again. */
static const char *so_far(struct client *c)
{
	hw_buf_putc(&c->text, '\0');
	c->text.len--;
	return c->text.data;
}

static void a_burst_takes_turns_and_who_joins_meanwhile_begins_there(void **state)
{
	enum { BURST = 400 };
	struct world w;
	struct client c[2], late, leaves;
	struct hw_hub *hub;
	uint64_t seq;

	(void)state;
	world_init(&w, FILTER_BY_MARK);
	join(&w, &c[0], "a@acme1");
	join(&w, &c[1], "b@acme2");
	join(&w, &leaves, "c@acme3");
	for (int i = 0; i < BURST; i++) {
		char id[16];

		snprintf(id, sizeof(id), "n%d", i);
		publish(&c[0], "UPDATED", id, "");
	}
	assert_int_equal(hw_hub_get(&w.worker, HW_STR("acme"), &hub), 0);
	assert_true(hw_worker_turn(&w.worker));
	hw_worker_flushed(&w.worker);
	/* some of it is out, to all of them alike; the hub stands there */
	seq = hw_hub_seq(hub);
	assert_in_range(seq, 1, BURST - 1);
	if (!HOOKS_ARE_SLOW) {
		assert_int_equal(count(so_far(&c[0]), "\"topic\":\"a:1\""), seq);
		assert_int_equal(count(so_far(&c[1]), "\"topic\":\"a:1\""), seq);
	}
	say(&leaves, "{\"type\":\"unsubscribe\",\"topics\":[\"a:1\"]}");
	heard(&leaves, text, sizeof(text));
	join(&w, &late, "d@acme1");
	assert_int_equal(count(text, "error"), 0);
	world_turn(&w);
	assert_all(heard(&c[0], text, sizeof(text)), BURST);
	assert_all(heard(&c[1], text, sizeof(text)), BURST);
	assert_string_equal(heard(&late, text, sizeof(text)), "");
	assert_string_equal(heard(&leaves, text, sizeof(text)), "");
	publish(&c[0], "UPDATED", "n0", "");
	world_turn(&w);
	assert_all(heard(&c[0], text, sizeof(text)), 1);
	assert_all(heard(&late, text, sizeof(text)), 1);
	client_fini(&c[0]);
	client_fini(&c[1]);
	client_fini(&late);
	client_fini(&leaves);
	world_fini(&w);
}

static void when_all_leave_in_the_middle_nothing_of_it_is_kept(void **state)
{
	struct world w;
	struct client c, next;

	(void)state;
	world_init(&w, FILTER_BY_MARK);
	join(&w, &c, "a@acme1");
	for (int i = 0; i < 500; i++)
		publish(&c, "UPDATED", "old", "");
	assert_true(hw_worker_turn(&w.worker));
	hw_worker_flushed(&w.worker);
	client_fini(&c);
	world_turn(&w);
	join(&w, &next, "a@acme1");
	world_turn(&w);
	assert_string_equal(heard(&next, text, sizeof(text)), "");
	publish(&next, "UPDATED", "n0", "");
	world_turn(&w);
	assert_all(heard(&next, text, sizeof(text)), 1);
	client_fini(&next);
	world_fini(&w);
}

/* Puts the class of @key where a look for one of @hash begins, under that hash. */
static void move_class(struct hw_map *classes, struct hw_str key, uint64_t hash)
{
	struct hw_map_slot found = {0};
	size_t to = hash & (classes->n_slots - 1);

	for (hw_map_each (classes, i)) {
		if (!hw_str_eq(classes->slots[i].key, key))
			continue;
		found = classes->slots[i];
		classes->slots[i].hash = 1; /* removed */
	}
	assert_non_null(found.value);
	while (classes->slots[to].hash > 1)
		to = (to + 1) & (classes->n_slots - 1);
	found.hash = hash;
	classes->slots[to] = found;
	assert_ptr_equal(hw_map_get_hashed(classes, hash, key), found.value);
}

static void classes_of_one_hash_are_told_apart_by_their_values(void **state)
{
	struct world w;
	struct client c[2];
	struct hw_hub *hub;
	struct hw_map *classes;
	struct hw_str five = {"\"5\"\0", 4}, one = {"\"1\"\0", 4};

	(void)state;
	world_init(&w, FILTER_BY_MARK);
	join(&w, &c[0], "a@acme5");
	assert_int_equal(hw_hub_get(&w.worker, HW_STR("acme"), &hub), 0);
	classes = &hub->classes.by_key;
	move_class(classes, five, hw_map_hash(classes, one));
	join(&w, &c[1], "b@acme1");
	assert_int_equal(hw_map_count(classes), 2);
	publish(&c[0], "UPDATED", "high", ",\"payload\":{\"level\":5}");
	world_turn(&w);
	assert_int_equal(count(heard(&c[0], text, sizeof(text)), "high"), 1);
	assert_string_equal(heard(&c[1], text, sizeof(text)), "");
	move_class(classes, five, hw_map_hash(classes, five));
	client_fini(&c[1]);
	client_fini(&c[0]);
	assert_int_equal(hw_map_count(classes), 0);
	world_fini(&w);
}

static void a_reload_that_reads_the_same_asks_anew(void **state)
{
	static const char *const answers[] = {
		"audience.user == 'a'", "audience.user == 'b'", "true"};
	struct world w;
	struct client a, b;
	struct hw_generation *next;
	const char *refused;
	char lua[512];

	(void)state;
	for (size_t i = 0; i < HW_COUNT(answers); i++) {
		snprintf(lua, sizeof(lua),
			"return policy { api = 1, " ALL ", reads = { filter = { 'user' } },"
			" filter = function(event, audience) return %s end }",
			answers[i]);
		if (i == 0) {
			world_init(&w, lua);
			join(&w, &a, "a@acme1");
			join(&w, &b, "b@acme1");
		} else {
			next = world_generation(&w, (unsigned)i + 1, lua);
			assert_int_equal(hw_worker_swap(&w.worker, next, &refused), 0);
			hw_generation_unref(&next);
		}
		publish(&a, "UPDATED", "n0", "");
		world_turn(&w);
		assert_int_equal(count(heard(&a, text, sizeof(text)), "\"n0\""), i != 1);
		assert_int_equal(count(heard(&b, text, sizeof(text)), "\"n0\""), i != 0);
	}
	client_fini(&a);
	client_fini(&b);
	world_fini(&w);
}

/* Also for what was answered before, for others of its class. */
static void who_is_behind_is_judged_by_the_policy_of_now(void **state)
{
	struct world w;
	struct client quick, slow;
	struct hw_generation *next;
	const char *refused;

	(void)state;
	world_init(&w, FILTER_BY_MARK);
	join(&w, &quick, "quick@acme1");
	join(&w, &slow, "slow@acme1");
	slow.keeps = true;
	for (int i = 0; i < 60; i++) {
		publish(&quick, "UPDATED", "x", ",\"payload\":{\"level\":1}");
		world_turn(&w);
	}
	assert_int_equal(count(heard(&quick, text, sizeof(text)), "\"x\""), 60);
	assert_true(metric(&w, "hookwire_slow_sessions_total ") > 0);
	next = world_generation(&w, 2,
		"return policy { api = 1, " ALL ", reads = { filter = { 'claims.mark' } },"
		" filter = function(event, audience) return event.event == 'NEW' end }");
	assert_int_equal(hw_worker_swap(&w.worker, next, &refused), 0);
	hw_generation_unref(&next);
	slow.keeps = false;
	heard(&slow, text, sizeof(text));
	hw_session_drained(slow.session);
	publish(&quick, "NEW", "y", "");
	world_turn(&w);
	heard(&slow, text, sizeof(text));
	assert_int_equal(count(text, "\"x\""), 0);
	assert_int_equal(count(text, "\"y\""), 1);
	client_fini(&quick);
	client_fini(&slow);
	world_fini(&w);
}

/* Its hooks are gone with it: what only they could let through is withheld. */
static void a_tenant_that_is_refused_sees_nothing_that_was_filtered(void **state)
{
	struct world w;
	struct client c;
	struct hw_generation *next;
	const char *refused;

	(void)state;
	world_init(&w, FILTER_BY_MARK);
	join(&w, &c, "ann@acme5");
	publish(&c, "UPDATED", "before", "");
	next = world_generation(&w, 2, FILTER_BY_MARK);
	next->rules[0].id = "other";
	next->settings.reauth_ms = 60000; /* until then the session is there */
	assert_int_equal(hw_worker_swap(&w.worker, next, &refused), 0);
	hw_generation_unref(&next);
	world_turn(&w);
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	assert_int_equal(metric(&w, WITHHELD("failed")), 1);
	next = world_generation(&w, 3, FILTER_BY_MARK);
	assert_int_equal(hw_worker_swap(&w.worker, next, &refused), 0);
	hw_generation_unref(&next);
	publish(&c, "UPDATED", "after", "");
	world_turn(&w);
	assert_int_equal(count(heard(&c, text, sizeof(text)), "\"after\""), 1);
	client_fini(&c);
	world_fini(&w);
}

static void a_reload_in_the_middle_of_a_run_lets_nothing_by(void **state)
{
	struct world w;
	struct client c;
	struct hw_generation *next;
	const char *refused;

	(void)state;
	world_init(&w, FILTER_BY_MARK);
	join(&w, &c, "a@acme1");
	for (int i = 0; i < 500; i++)
		publish(&c, "UPDATED", "x", i % 2 ? ",\"payload\":{\"level\":9}" : "");
	assert_true(hw_worker_turn(&w.worker));
	hw_worker_flushed(&w.worker);
	next = world_generation(&w, 2,
		"return policy { api = 1, " ALL ", reads = { filter = { 'user' } },"
		" filter = function(event, audience) return false end }");
	assert_int_equal(hw_worker_swap(&w.worker, next, &refused), 0);
	hw_generation_unref(&next);
	heard(&c, text, sizeof(text));
	assert_in_range(count(text, "\"x\""), 1, 249);
	assert_int_equal(count(text, "\"level\":9"), 0);
	world_turn(&w);
	assert_string_equal(heard(&c, text, sizeof(text)), "");
	client_fini(&c);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_class_is_asked_once_whatever_its_number),
		cmocka_unit_test(a_class_shares_what_is_redacted_for_it),
		cmocka_unit_test(who_loses_sight_hears_deleted_and_who_gains_it_added),
		cmocka_unit_test(what_was_before_is_nobodys_without_a_filter_either),
		cmocka_unit_test(a_transform_sees_and_sets_what_was_before),
		cmocka_unit_test(what_keeps_no_history_has_no_id_when_it_is_made_anew_either),
		cmocka_unit_test(redaction_holds_for_the_view_before_too),
		cmocka_unit_test(a_filter_that_fails_withholds_and_is_counted),
		cmocka_unit_test(a_redact_that_spoils_the_event_withholds_it),
		cmocka_unit_test(who_is_behind_sees_what_it_would_have_seen),
		cmocka_unit_test(a_refresh_and_a_reload_change_who_sees_what),
		cmocka_unit_test(past_what_a_turn_asks_the_rest_follows_in_order),
		cmocka_unit_test(a_burst_takes_turns_and_who_joins_meanwhile_begins_there),
		cmocka_unit_test(when_all_leave_in_the_middle_nothing_of_it_is_kept),
		cmocka_unit_test(classes_of_one_hash_are_told_apart_by_their_values),
		cmocka_unit_test(a_reload_that_reads_the_same_asks_anew),
		cmocka_unit_test(who_is_behind_is_judged_by_the_policy_of_now),
		cmocka_unit_test(a_tenant_that_is_refused_sees_nothing_that_was_filtered),
		cmocka_unit_test(a_reload_in_the_middle_of_a_run_lets_nothing_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
