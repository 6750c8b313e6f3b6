/* Reading one topic gives what reading all and choosing gives, and what is told of its losses is
 * its own: against a model, with random topics, classes that come and go, and retention. */
#include "journal_world.h"

#include "../base/random.h"

enum { TOPICS = 12, EVENTS = 6000 };

static const char *const names[TOPICS] = {"a:1", "a:2", "a:3", "b:1", "b:2", "b:3", "flood:1",
	"flood:2", "flood:3", "none:1", "c:1", "c:2"};

struct model {
	struct hw_journal *j;
	struct random random;
	struct hw_topic_classes classes;
	uint64_t newest_gone[TOPICS];
	bool had_history[EVENTS + 1]; /* by number: it has an id */
	uint8_t topic[EVENTS + 1];
	uint64_t n;
};

static size_t index_of(struct hw_str topic)
{
	for (size_t i = 0; i < TOPICS; i++)
		if (hw_str_eq(topic, hw_str_of(names[i])))
			return i;
	fail();
	return 0;
}

/* The numbers that a scan of @topics gives, which are of @wanted (all: NULL). */
static size_t scan(struct model *m, uint64_t after, const struct hw_str *topics, size_t n,
	const bool wanted[TOPICS], uint64_t *out)
{
	struct hw_scan s;
	struct hw_run run;
	size_t found = 0;

	(void)!hw_scan_begin(&s, m->j, after, topics, n);
	while (hw_scan_next(&s, hw_journal_head(m->j), &run)) {
		for (size_t i = 0; i < run.n; i++) {
			if (wanted && !wanted[index_of(run.topic)])
				continue;
			out[found++] = hw_run_number(&run, i);
		}
	}
	hw_scan_end(&s);
	return found;
}

static void check_topics(struct model *m)
{
	static uint64_t all[EVENTS], some[EVENTS];
	struct hw_str topics[TOPICS];
	bool wanted[TOPICS] = {false};
	uint64_t after = random_below(&m->random, m->n + 1);
	size_t n = 0, n_all, n_some;

	for (size_t i = 0; i < TOPICS; i++) {
		if (random_below(&m->random, 3))
			continue;
		wanted[i] = true;
		topics[n++] = hw_str_of(names[i]);
	}
	if (n == 0)
		return;
	n_all = scan(m, after, NULL, 0, wanted, all);
	n_some = scan(m, after, topics, n, NULL, some);
	assert_int_equal(n_some, n_all);
	assert_memory_equal(some, all, n_all * sizeof(*all));
}

/* What of the past no scan of all gives is gone. */
static void check_gone(struct model *m)
{
	static uint64_t there[EVENTS];
	static bool is_there[EVENTS + 1];
	size_t n = scan(m, 0, NULL, 0, NULL, there);
	uint64_t gone[TOPICS] = {0}, resource = 0;

	memset(is_there, 0, sizeof(is_there));
	for (size_t i = 0; i < n; i++)
		is_there[there[i]] = true;
	for (uint64_t number = 1; number <= m->n; number++) {
		if (m->had_history[number] && !is_there[number])
			gone[m->topic[number]] = number;
	}
	for (size_t i = 0; i < TOPICS; i++) {
		assert_int_equal(hw_journal_gone(m->j, hw_str_of(names[i])), gone[i]);
		if (!strncmp(names[i], "flood:", 6) && gone[i] > resource)
			resource = gone[i];
	}
	assert_int_equal(hw_journal_gone(m->j, HW_STR("flood:*")), resource);
	assert_int_equal(hw_journal_gone(m->j, HW_STR("never:1")), 0);
}

static void set_classes(struct model *m)
{
	static const char *const patterns[] = {"flood:*", "a:1", "b:*"};
	struct hw_topic_classes *c = &m->classes;

	memset(c, 0, sizeof(*c));
	c->n = 1;
	c->classes[0] = (struct hw_topic_class){.history = true,
		.retention = KEEP(50 + random_below(&m->random, 300), 1u << 20, 0)};
	c->classes[c->n] = (struct hw_topic_class){.pattern = "none:*"};
	c->n++;
	for (size_t i = 0; i < HW_COUNT(patterns); i++) {
		if (random_below(&m->random, 2))
			continue;
		snprintf(c->classes[c->n].pattern, sizeof(c->classes[c->n].pattern), "%s",
			patterns[i]);
		c->classes[c->n].history = true;
		c->classes[c->n].retention =
			(struct hw_retention)KEEP(10 + random_below(&m->random, 100), 1u << 18, 0);
		c->n++;
	}
}

static void a_topic_is_read_as_if_all_were(void **state)
{
	struct model m = {.random = random_start("topic_index")};

	(void)state;
	set_classes(&m);
	m.j = hw_journal_create(&m.classes, &world_key);
	assert_non_null(m.j);
	while (m.n < EVENTS) {
		size_t topic = random_below(&m.random, TOPICS);
		size_t pad = random_below(&m.random, 20) ? 40 : 3000;
		bool history = strcmp(names[topic], "none:1") != 0;

		m.n = world_append_at(m.j, names[topic], m.n + 1, pad, 1000);
		m.had_history[m.n] = history;
		m.topic[m.n] = (uint8_t)topic;
		if (random_below(&m.random, 40) == 0)
			check_topics(&m);
		if (random_below(&m.random, 300) == 0) {
			hw_journal_trim(m.j, 1000);
			check_gone(&m);
		}
		if (random_below(&m.random, 500) == 0) {
			set_classes(&m);
			assert_int_equal(hw_journal_configure(m.j, &m.classes), 0);
		}
	}
	hw_journal_destroy(&m.j);
}

/* So many that all are not remembered: a loss may be told that is none, and none is kept quiet
 * about. Memory stays bounded. */
static void topics_that_are_long_gone_are_forgotten(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(100, 1u << 20, 0));
	char name[32];
	size_t bytes = 0;

	(void)state;
	for (unsigned n = 1; n <= 60000; n++) {
		snprintf(name, sizeof(name), "t:%u", n);
		(void)world_append(j, name, n);
		if (n == 30000)
			bytes = world_stats(j).bytes + world_stats(j).index_bytes;
	}
	assert_in_range(world_stats(j).bytes + world_stats(j).index_bytes, 1, bytes + bytes / 4);
	assert_true(hw_journal_gone(j, HW_STR("t:59000")) == 59000);
	assert_true(hw_journal_gone(j, HW_STR("t:3")) >= 3);
	assert_true(hw_journal_gone(j, HW_STR("t:3")) < 59000);
	assert_true(hw_journal_gone(j, HW_STR("t:60000")) < 59000);
	hw_journal_destroy(&j);
}

/* Only the topic's own events are looked at, however busy the others are. */
static void a_quiet_topic_costs_what_it_holds(void **state)
{
	struct hw_journal *j = world_plain((struct hw_retention)KEEP_ALL);
	struct hw_str topic = HW_STR("quiet:1");
	struct hw_scan s;
	struct hw_run run;
	size_t n_runs = 0;

	(void)state;
	for (uint64_t n = 1; n <= 20000; n++)
		(void)world_append(j, n % 5000 == 7 ? "quiet:1" : "busy:1", n);
	assert_int_equal(hw_scan_begin(&s, j, 0, &topic, 1), 0);
	while (hw_scan_next(&s, hw_journal_head(j), &run)) {
		assert_true(hw_str_eq(run.topic, topic));
		n_runs++;
	}
	hw_scan_end(&s);
	assert_int_equal(n_runs, 4);
	hw_journal_destroy(&j);
}

/* Who asks for a topic twice has each of its events once. */
static void a_topic_that_is_named_twice_is_read_once(void **state)
{
	static const struct hw_str topics[] = {
		{"a:1", 3}, {"b:1", 3}, {"a:1", 3}, {"none:1", 6}, {"none:1", 6}};
	struct hw_journal *j = world_plain((struct hw_retention)KEEP_ALL);
	uint64_t last = 0, n_events = 0;
	struct hw_scan s;
	struct hw_run run;

	(void)state;
	for (uint64_t n = 1; n <= 30; n++)
		(void)world_append(j, n % 3 == 1 ? "c:1" : n % 3 == 2 ? "a:1" : "b:1", n);
	assert_int_equal(hw_scan_begin(&s, j, 0, topics, sizeof(topics) / sizeof(*topics)), 0);
	while (hw_scan_next(&s, hw_journal_head(j), &run)) {
		assert_true(run.n > 0 && run.first_seq > last);
		last = run.last_seq;
		n_events += run.n;
	}
	hw_scan_end(&s);
	assert_int_equal(n_events, 20);
	hw_journal_destroy(&j);
}

/* A reload takes the history of so many topics that the one which is being read is forgotten. */
static void a_topic_may_be_forgotten_while_it_is_read(void **state)
{
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(
		1, &(struct hw_topic_class){.history = true, .retention = KEEP_ALL}, &classes);
	struct hw_str topic = HW_STR("a:1");
	char name[32];
	struct hw_scan s;
	struct hw_run run;

	(void)state;
	(void)world_append(j, "a:1", 1);
	for (unsigned n = 2; n <= 40000; n++) {
		snprintf(name, sizeof(name), "t:%u", n);
		(void)world_append(j, name, n);
	}
	assert_int_equal(hw_scan_begin(&s, j, 0, &topic, 1), 0);
	classes.classes[0].history = false;
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	assert_true(hw_scan_next(&s, hw_journal_head(j), &run));
	assert_true(hw_str_eq(run.topic, topic) && run.first_seq == 1);
	assert_false(hw_scan_next(&s, hw_journal_head(j), &run));
	hw_scan_end(&s);
	hw_journal_destroy(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_topic_is_read_as_if_all_were),
		cmocka_unit_test(topics_that_are_long_gone_are_forgotten),
		cmocka_unit_test(a_quiet_topic_costs_what_it_holds),
		cmocka_unit_test(a_topic_that_is_named_twice_is_read_once),
		cmocka_unit_test(a_topic_may_be_forgotten_while_it_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
