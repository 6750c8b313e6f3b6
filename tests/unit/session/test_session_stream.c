/* Sessions of their query alone, as Server-Sent Events have them: all topics or none, a client that
 * never says a word, and the cursor to come back with. */
#include "session_world.h"

#define POLICY \
	"return policy { api = 1, authorize = { subscribe = function(s, t)" \
	" if t.resource == 'down' then return unavailable('it is away') end" \
	" if t.resource == 'a' or t.resource == 'b' then return allow() end" \
	" return deny('forbidden_topic', 'not this one') end," \
	" publish = function() return allow() end } }"
#define EVENT(topic) \
	"{\"type\":\"publish\",\"topic\":\"" topic \
	"\",\"event\":\"ADDED\",\"data\":{\"entity_id\":\"e\",\"payload\":1}}"

/* A client whose stream begins or does not. */
struct listener {
	struct client c;
	unsigned n_begins, n_places;
	enum hw_code code;
	char message[300], place[HW_CURSOR_MAX + 1];
	bool cannot_begin, no_place;
};

static bool begin(void *arg, enum hw_code code, struct hw_str message)
{
	struct listener *l = arg;

	l->n_begins++;
	l->code = code;
	snprintf(l->message, sizeof(l->message), "%.*s", HW_STR_ARG(message));
	return code == HW_CODE_NONE && !l->cannot_begin;
}

static int place(void *arg, struct hw_str cursor)
{
	struct listener *l = arg;

	if (l->no_place)
		return -ENOMEM;
	assert_int_equal(l->c.closed_with, 0);
	l->n_places++;
	snprintf(l->place, sizeof(l->place), "%.*s", HW_STR_ARG(cursor));
	return 0;
}

static void listen_to(struct world *w, struct listener *l, const char *topics, const char *cursor)
{
	static struct hw_outlet outlet;
	struct hw_session_open open = {.outlet = &outlet,
		.arg = &l->c,
		.only_query = true,
		.transport = "sse",
		.address = HW_STR("192.0.2.1"),
		.origin = HW_STR(""),
		.path = HW_STR("/sse"),
		.token = HW_STR("u1@acme"),
		.topics = hw_str_of(topics),
		.cursor = hw_str_of(cursor)};

	outlet = client_outlet;
	outlet.begin = begin;
	outlet.place = place;
	hw_buf_init(&l->c.text);
	l->c.session = hw_session_create(&w->worker, &open);
	assert_non_null(l->c.session);
}

static uint64_t subscriptions(struct world *w)
{
	return (uint64_t)atomic_load(&w->counters.subscriptions->value);
}

static void all_topics_or_none(void **state)
{
	static const struct {
		const char *topics;
		enum hw_code code;
		const char *message;
		int closed_with;
	} cases[] = {
		{"a:1,b:1", HW_CODE_NONE, "", 0},
		{"a:1,c:1,b:1", HW_CODE_FORBIDDEN_TOPIC, "c:1: not this one", 4403},
		{"down:1,a:1", HW_CODE_UNAVAILABLE, "down:1: it is away", 4503},
		/* what is for good is told, not what may pass; and of these the first */
		{"down:1,c:1,c:2,down:2", HW_CODE_FORBIDDEN_TOPIC, "c:1: not this one", 4403},
		{"a:1,A:1", HW_CODE_BAD_REQUEST, NULL, 4400},
		{"a:1,a:2,a:3,a:4", HW_CODE_TOPIC_LIMIT, NULL, 4403},
	};
	struct world w;

	(void)state;
	world_init(&w, POLICY);
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct listener l = {0};

		listen_to(&w, &l, cases[i].topics, NULL);
		assert_int_equal(l.n_begins, 1);
		assert_int_equal(l.code, cases[i].code);
		if (cases[i].message)
			assert_string_equal(l.message, cases[i].message);
		assert_int_equal(l.c.closed_with, cases[i].closed_with);
		assert_int_equal(l.n_places, cases[i].code == HW_CODE_NONE);
		assert_int_equal(subscriptions(&w), cases[i].code == HW_CODE_NONE ? 2 : 0);
		client_fini(&l.c);
	}
	world_fini(&w);
}

static void a_stream_that_cannot_begin_leaves_nothing(void **state)
{
	struct listener l = {.cannot_begin = true};
	struct world w;

	(void)state;
	world_init(&w, POLICY);
	listen_to(&w, &l, "a:1", NULL);
	assert_int_equal(l.c.closed_with, 1000);
	assert_int_equal(l.n_places, 0);
	assert_int_equal(subscriptions(&w), 0);
	client_fini(&l.c);
	/* nor does one whose client cannot be told where it begins */
	l = (struct listener){.no_place = true};
	listen_to(&w, &l, "a:1", NULL);
	assert_int_equal(l.c.closed_with, 4503);
	assert_int_equal(subscriptions(&w), 0);
	client_fini(&l.c);
	world_fini(&w);
}

static void silence_is_no_reason_to_close_it(void **state)
{
	struct listener l = {0};
	struct world w;

	(void)state;
	world_init(&w, POLICY);
	listen_to(&w, &l, "a:1", NULL);
	for (unsigned i = 1; i <= 10; i++) {
		w.mono_ms += 25000;
		world_turn(&w);
		assert_int_equal(l.c.n_pings, i);
	}
	assert_int_equal(l.c.closed_with, 0);
	client_fini(&l.c);
	world_fini(&w);
}

static void pass_interval(struct world *w)
{
	w->mono_ms += 25000;
	world_turn(w);
}

static void it_is_moved_on_past_what_others_got_and_never_past_what_waits(void **state)
{
	struct listener l = {0};
	struct client other;
	struct world w;
	char first[HW_CURSOR_MAX + 1];

	(void)state;
	world_init(&w, POLICY);
	listen_to(&w, &l, "a:1", NULL);
	client_open(&w, &other, "u2@acme", NULL, false);
	memcpy(first, l.place, sizeof(first));
	pass_interval(&w);
	assert_int_equal(l.n_places, 1); /* nothing has passed */
	say(&other, EVENT("b:1"));
	world_turn(&w);
	pass_interval(&w);
	assert_int_equal(l.n_places, 2);
	assert_string_not_equal(l.place, first);
	say(&other, EVENT("a:1"));
	world_turn(&w);
	hw_session_alive(other.session);
	pass_interval(&w);
	assert_int_equal(l.n_places, 2); /* its own event said it */
	l.c.keeps = true;
	say(&other, EVENT("a:1"));
	say(&other, EVENT("b:1"));
	world_turn(&w);
	hw_session_alive(other.session);
	pass_interval(&w);
	assert_int_equal(l.n_places, 2); /* the event before it waits for the socket */
	l.c.keeps = false;
	l.c.queued = 0;
	pass_interval(&w);
	assert_int_equal(l.n_places, 3);
	client_fini(&other);
	client_fini(&l.c);
	world_fini(&w);
}

static void what_was_missed_comes_before_the_cursor(void **state)
{
	struct listener l = {0};
	struct client other;
	struct world w;
	char cursor[HW_CURSOR_MAX + 1], text[4096];

	(void)state;
	world_init(&w, POLICY);
	listen_to(&w, &l, "a:1", NULL);
	memcpy(cursor, l.place, sizeof(cursor));
	client_fini(&l.c);
	client_open(&w, &other, "u2@acme", NULL, false);
	for (int i = 0; i < 3; i++)
		say(&other, EVENT("a:1"));
	world_turn(&w);
	l = (struct listener){0};
	listen_to(&w, &l, "a:1", cursor);
	assert_int_equal(l.n_places, 1);
	heard(&l.c, text, sizeof(text));
	assert_non_null(strstr(text, "-1\"}"));
	assert_non_null(strstr(text, "-3\"}"));
	assert_string_equal(strchr(l.place, '-'), "-3");
	client_fini(&l.c);
	client_fini(&other);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_topics_or_none),
		cmocka_unit_test(a_stream_that_cannot_begin_leaves_nothing),
		cmocka_unit_test(silence_is_no_reason_to_close_it),
		cmocka_unit_test(it_is_moved_on_past_what_others_got_and_never_past_what_waits),
		cmocka_unit_test(what_was_missed_comes_before_the_cursor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
