/* Reading one topic gives what reading all and choosing gives, and what is told of its losses is
 * its own: against a model, with random topics, classes that come and go, and retention. */
#include "journal_world.h"

#include <sys/mman.h>
#include <unistd.h>

#include "../base/random.h"
#include "journal/journal_internal.h"
#include "journal/topic_index.h"

enum { TOPICS = 12, EVENTS = 6000 };

static const char *const names[TOPICS] = {"a:1", "a:2", "a:3", "b:1", "b:2", "b:3", "flood:1",
	"flood:2", "flood:3", "none:1", "c:1", "c:2"};

struct model {
	struct hw_journal *j;
	struct random random;
	struct hw_topic_classes classes;
	uint64_t newest_gone[TOPICS];
	bool forgets; /* so few are remembered that more may be told than is gone, never less */
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

static void check_one_gone(const struct model *m, const char *name, uint64_t gone)
{
	uint64_t told = hw_journal_gone(m->j, hw_str_of(name));

	if (m->forgets)
		assert_in_range(told, gone, m->n);
	else
		assert_int_equal(told, gone);
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
		check_one_gone(m, names[i], gone[i]);
		if (!strncmp(names[i], "flood:", 6) && gone[i] > resource)
			resource = gone[i];
	}
	check_one_gone(m, "flood:*", resource);
	check_one_gone(m, "never:1", 0);
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

static void read_at_random(size_t empty_max)
{
	struct model m = {
		.random = random_start("topic_index"), .forgets = empty_max < HW_TOPICS_EMPTY_MAX};

	set_classes(&m);
	m.j = hw_journal_create(&m.classes, &world_key);
	assert_non_null(m.j);
	m.j->topics.empty_max = empty_max;
	while (m.n < EVENTS) {
		/* most lie still for a while, and lose all, and have more later */
		size_t topic = m.forgets ? (m.n / 150 + random_below(&m.random, 3)) % TOPICS
					 : random_below(&m.random, TOPICS);
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

static void a_topic_is_read_as_if_all_were(void **state)
{
	(void)state;
	read_at_random(HW_TOPICS_EMPTY_MAX);
}

static void nothing_is_kept_quiet_about_however_few_are_remembered(void **state)
{
	(void)state;
	for (size_t empty_max = 0; empty_max < 4; empty_max++)
		read_at_random(empty_max);
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
	/* the table of names has a power of two of slots */
	assert_in_range(world_stats(j).bytes + world_stats(j).index_bytes, 1, 2 * bytes);
	assert_true(hw_journal_gone(j, HW_STR("t:59000")) == 59000);
	assert_true(hw_journal_gone(j, HW_STR("t:3")) >= 3);
	assert_true(hw_journal_gone(j, HW_STR("t:3")) < 59000);
	assert_true(hw_journal_gone(j, HW_STR("t:60000")) < 59000);
	hw_journal_destroy(&j);
}

static size_t n_of_topic(struct hw_journal *j, struct hw_str topic, uint64_t after)
{
	struct hw_scan s;
	struct hw_run run;
	size_t n = 0;

	(void)!hw_scan_begin(&s, j, after, &topic, 1);
	while (hw_scan_next(&s, hw_journal_head(j), &run)) {
		assert_true(hw_str_eq(run.topic, topic));
		n += run.n;
	}
	hw_scan_end(&s);
	return n;
}

/* It lost all, got more, and then so many others lost all that not all are remembered. */
static void a_topic_that_has_events_again_is_not_forgotten(void **state)
{
	enum { COUNT = 1000, OTHERS = 200, REMEMBERED = 100 };
	struct hw_journal *j = world_plain((struct hw_retention)KEEP(COUNT, 1u << 26, 0));
	char name[32] = "";
	uint64_t last;
	unsigned n = 1;

	(void)state;
	j->topics.empty_max = REMEMBERED;
	(void)world_append(j, "a:1", n++);
	while (hw_journal_gone(j, HW_STR("a:1")) == 0)
		(void)world_append(j, "z:1", n++);
	for (unsigned end = n + OTHERS; n < end; n++) {
		snprintf(name, sizeof(name), "t:%u", n);
		(void)world_append(j, name, n);
	}
	for (unsigned end = n + COUNT - 1; n < end; n++)
		(void)world_append(j, "z:1", n);
	assert_int_equal(n_of_topic(j, hw_str_of(name), 0), 1);
	last = world_append(j, "a:1", n++);
	for (unsigned end = n + COUNT - 1; n < end; n++)
		(void)world_append(j, "z:1", n);
	assert_int_equal(n_of_topic(j, hw_str_of(name), 0), 0);
	assert_int_equal(n_of_topic(j, HW_STR("a:1"), last - 1), 1);
	assert_true(hw_journal_gone(j, HW_STR("a:1")) < last);
	hw_journal_destroy(&j);
}

/* Neither the memory of what finds them nor what is not known of them any more. */
static void many_topics_of_one_class_cost_another_nothing(void **state)
{
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(2,
		(struct hw_topic_class[]){
			{.history = true, .retention = KEEP(1000000, 1u << 19, 0)},
			{.pattern = "flood:*",
				.history = true,
				.retention = KEEP(20000, 1u << 26, 0)}},
		&classes);
	uint64_t before = 0, oldest;
	char name[32];

	(void)state;
	for (unsigned n = 1; n <= 1000; n++)
		before = world_append(j, "list:1", n);
	oldest = hw_journal_gone(j, HW_STR("list:1"));
	assert_true(oldest < before);
	for (unsigned n = 1001; n <= 80000; n++) {
		snprintf(name, sizeof(name), "flood:%u", n);
		(void)world_append(j, name, n);
		if (n % 10000 == 0)
			(void)hw_journal_trim(j, 1000);
	}
	/* nor a reload that changes how much is kept */
	classes.classes[1].retention.count--;
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	assert_int_equal(hw_journal_gone(j, HW_STR("list:1")), oldest);
	assert_int_equal(n_of_topic(j, HW_STR("list:1"), 0), before - oldest);
	assert_true(hw_journal_gone(j, HW_STR("list:2")) <= oldest);
	assert_true(hw_journal_gone(j, HW_STR("list:*")) <= oldest);
	assert_true(hw_journal_gone(j, HW_STR("flood:1001")) >= 1001);
	/* a reload may make a name another class's: it is not kept quiet about */
	classes.n = 1;
	assert_int_equal(hw_journal_configure(j, &classes), 0);
	assert_true(hw_journal_gone(j, HW_STR("flood:1001")) >= 1001);
	hw_journal_destroy(&j);
}

/* What finds topics that a reload has given to another class is a matter of the class that still
 * has their events, once the other one has none of them. */
static void what_is_left_of_a_topic_is_charged_to_who_has_it(void **state)
{
	enum { TOPICS_MOVED = 4000, LATER = 10 };
	struct hw_topic_classes classes;
	struct hw_journal *j = world_journal(
		1, &(struct hw_topic_class){.history = true, .retention = KEEP_ALL}, &classes);
	uint64_t n = 0, moved;
	char name[32];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < TOPICS_MOVED; i++) {
			snprintf(name, sizeof(name), "doc:%u", i);
			(void)world_append(j, name, ++n);
		}
		if (round)
			break;
		classes.n = 2;
		classes.classes[1] = (struct hw_topic_class){.pattern = "doc:*",
			.history = true,
			.retention = KEEP(1u << 20, 1u << 18, 0)};
		assert_int_equal(hw_journal_configure(j, &classes), 0);
	}
	/* the many are too much for it and go, once */
	for (int i = 0; i < LATER; i++)
		(void)hw_journal_trim(j, 1000);
	moved = n;
	assert_int_equal(n_of_topic(j, HW_STR("doc:7"), 0), 1);
	for (int i = 0; i < LATER; i++) {
		(void)world_append(j, "doc:1", ++n);
		(void)hw_journal_trim(j, 1000);
	}
	assert_int_equal(n_of_topic(j, HW_STR("doc:1"), moved), LATER);
	hw_journal_destroy(&j);
}

static bool overlap(uintptr_t page, size_t page_len, const void *p, size_t len)
{
	return (uintptr_t)p < page + page_len && (uintptr_t)p + len > page;
}

static bool holds(const struct hw_segment *s, uint64_t hash, uintptr_t page, size_t page_len)
{
	for (size_t i = 0; i < atomic_load(&s->n); i++) {
		const struct hw_journal_entry *e = hw_segment_entry(s, i);

		if (e->topic_hash == hash &&
			(overlap(page, page_len, s->data + e->offset, e->len) ||
				overlap(page, page_len, e, sizeof(*e))))
			return true;
	}
	return false;
}

/* Only the topic's own events are looked at, however busy the others are: the memory where none of
 * them lies cannot be touched meanwhile. */
static void a_quiet_topic_costs_what_it_holds(void **state)
{
	enum { PAGES_MAX = 4096, QUIET = 5 };
	static uintptr_t guarded[PAGES_MAX];
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct hw_journal *j = world_plain((struct hw_retention)KEEP_ALL);
	struct hw_str topic = HW_STR("quiet:1");
	uint64_t hash = hw_hash(&world_key, topic.p, topic.len);
	size_t n_guarded = 0, n_found;

	(void)state;
	for (uint64_t n = 1; n <= 20000; n++)
		(void)world_append(j, n % 4000 == 7 ? "quiet:1" : "busy:1", n);
	for (struct hw_segment *s = j->classes[0].first; s; s = atomic_load(&s->next)) {
		uintptr_t end = (uintptr_t)s->data + s->cap;

		for (uintptr_t at = ((uintptr_t)s->data + page - 1) / page * page; at + page <= end;
			at += page) {
			if (holds(s, hash, at, page))
				continue;
			assert_in_range(n_guarded, 0, PAGES_MAX - 1);
			guarded[n_guarded++] = at;
		}
	}
	assert_true(n_guarded > 100 * QUIET);
	for (size_t i = 0; i < n_guarded; i++)
		assert_int_equal(mprotect((void *)guarded[i], page, PROT_NONE), 0);
	n_found = n_of_topic(j, topic, 0);
	for (size_t i = 0; i < n_guarded; i++)
		assert_int_equal(mprotect((void *)guarded[i], page, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(n_found, QUIET);
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
		cmocka_unit_test(nothing_is_kept_quiet_about_however_few_are_remembered),
		cmocka_unit_test(topics_that_are_long_gone_are_forgotten),
		cmocka_unit_test(a_topic_that_has_events_again_is_not_forgotten),
		cmocka_unit_test(many_topics_of_one_class_cost_another_nothing),
		cmocka_unit_test(what_is_left_of_a_topic_is_charged_to_who_has_it),
		cmocka_unit_test(a_quiet_topic_costs_what_it_holds),
		cmocka_unit_test(a_topic_that_is_named_twice_is_read_once),
		cmocka_unit_test(a_topic_may_be_forgotten_while_it_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
