/* The plugin with a host of this test's, without a broker: what was appended is read back as a
 * plain list of it has it, whatever retention, reloads and restarts come between. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/random.h>
#include <cmocka.h>

#include <hookwire/plugin.h>

#include "collect.h"
#include "map.h"
#include "rules.h"

/* ---- the parts ---- */

static void test_lowest_are_collected_in_order(void **state)
{
	uint64_t numbers[500];
	struct collect c;

	(void)state;
	for (size_t most = 1; most < 40; most++) {
		assert_int_equal(collect_init(&c, most, 5000), 0);
		for (size_t i = 0; i < 500; i++)
			numbers[i] =
				(i * 7919 % 500 + 1) * 20; /* each once, half of them above 5000 */
		for (size_t i = 0; i < 500; i++)
			collect_add(&c, numbers[i], (int64_t)i);
		collect_sort(&c);
		assert_int_equal(c.n, most);
		for (size_t i = 0; i < most; i++)
			assert_int_equal(c.heap[i].number, (i + 1) * 20);
		assert_int_equal(c.lowest, 20);
		collect_fini(&c);
	}
}

struct item {
	struct map_node node;
	uint64_t id;
};

static void drop_item(struct map_node *node)
{
	free(MAP_OF(node, struct item, node));
}

static void test_a_map_finds_what_is_in_it(void **state)
{
	struct map map = {.key = {1, 2}};

	(void)state;
	for (uint64_t i = 0; i < 5000; i++) {
		struct item *item = calloc(1, sizeof(*item));

		item->id = i;
		/* some have the same hash */
		assert_int_equal(
			map_add(&map, &item->node, map_hash(&map, i % 7, "topic", i % 6)), 0);
	}
	for (uint64_t i = 0; i < 5000; i++) {
		struct map_node *node = map_first(&map, map_hash(&map, i % 7, "topic", i % 6));

		while (node && MAP_OF(node, struct item, node)->id != i)
			node = map_next(node);
		assert_non_null(node);
	}
	assert_null(map_first(&map, map_hash(&map, 8, "topic", 5)));
	map_fini(&map, drop_item);
	assert_int_equal(map.n, 0);
}

static void test_the_closest_rule_is_found(void **state)
{
	static const struct hw_journal_class classes[] = {{HW_SLICE("a:*"), 2, 2, 0},
		{HW_SLICE(""), 1, 1, 0}, {HW_SLICE("a:1"), 3, 3, 0}, {HW_SLICE("ab:*"), 4, 4, 0}};
	static const struct {
		struct hw_slice topic;
		uint64_t count;
	} cases[] = {{HW_SLICE("a:1"), 3}, {HW_SLICE("a:2"), 2}, {HW_SLICE("a:12"), 2},
		{HW_SLICE("ab:1"), 4}, {HW_SLICE("b:1"), 1}, {HW_SLICE("abc:1"), 1},
		/* patterns that are not there any more */
		{HW_SLICE("c:*"), 1}, {HW_SLICE("a:*"), 2}, {HW_SLICE(""), 1}};
	struct rules *rules = rules_copy(classes, 4);

	(void)state;
	assert_non_null(rules);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(rules_find(rules, cases[i].topic)->count, cases[i].count);
	free(rules);
	assert_null(rules_find(NULL, HW_SLICE("a:1")));
	assert_true(pattern_covers(HW_SLICE("a:1"), HW_SLICE("a:*"), true));
	assert_false(pattern_covers(HW_SLICE("ab:1"), HW_SLICE("a:*"), true));
	assert_false(pattern_covers(HW_SLICE("a:2"), HW_SLICE("a:1"), false));
}

/* ---- a host ---- */

enum {
	ROUNDS = 800,
	NAMED = 24,
	MANY = 600, /* of one resource: more than are looked up one by one */
	TOPICS = NAMED + MANY,
	TENANTS = 2,
	EVENTS_MAX = 40, /* of an append */
	TEXT_MAX = 3000,
	RESTART_EVERY = 60,
	RELOAD_EVERY = 17,
	READS_A_ROUND = 3,
};

struct stored {
	unsigned topic;
	int64_t at_ms;
	char *event, *previous;
};

/* A tenant as it should be: numbers are places here, from 1 on. */
struct tenant_model {
	struct hw_slice name;
	struct stored *events;
	size_t n;
};

struct world {
	struct hw_host host; /* first */
	char path[64];
	const struct hw_plugin *plugin;
	void *instance;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool is_answered, failed;
	uint64_t first_number;
	/* a copy of rows */
	struct hw_journal_event *rows;
	size_t n_rows, n_topics;
	uint64_t gone[NAMED + 8];
	int more;
	struct tenant_model tenants[TENANTS];
	unsigned seed;
	unsigned n_many;
	char many[MANY][8];
};

static struct world *world_of(const struct hw_host *host)
{
	return (struct world *)(uintptr_t)host;
}

static void host_log(
	const struct hw_host *host, enum hw_log_severity severity, struct hw_slice text)
{
	(void)host;
	if (severity >= HW_PLUGIN_WARN)
		fail_msg("the plugin complains: %.*s", (int)text.len, text.p);
}

static void host_metric(const struct hw_host *host, const char *name, int64_t add)
{
	(void)host;
	(void)name;
	(void)add;
}

static void host_sha256(struct hw_slice data, uint8_t out[32])
{
	memset(out, 0, 32);
	for (size_t i = 0; i < data.len; i++)
		out[i % 32] = (uint8_t)(out[i % 32] * 31 + (uint8_t)data.p[i]);
}

static void host_random(void *out, size_t len)
{
	assert_int_equal(getrandom(out, len, 0), len);
}

static int host_path(const struct hw_host *host, struct hw_slice name, char *out, size_t size)
{
	(void)host;
	snprintf(out, size, "%.*s", (int)name.len, name.p);
	return 0;
}

/* The settings are one member and a small log: {"path": …, "checkpoint_bytes": 65536}. */
static int host_json_next(struct hw_slice container, size_t *position, struct hw_slice *key,
	char *kind, struct hw_slice *value, char *scratch, size_t scratch_size)
{
	(void)scratch;
	(void)scratch_size;
	switch ((*position)++) {
	case 0:
		*key = HW_SLICE("path");
		*kind = 's';
		*value = container;
		return 0;
	case 1:
		*key = HW_SLICE("checkpoint_bytes");
		*kind = 'n';
		*value = HW_SLICE("65536");
		return 0;
	default:
		return 1;
	}
}

static void tell(struct world *w, bool failed)
{
	w->is_answered = true;
	w->failed = failed;
	pthread_cond_signal(&w->answered);
	pthread_mutex_unlock(&w->lock);
}

static int host_committed(const struct hw_host *host, uint64_t ticket, uint64_t first_number)
{
	struct world *w = world_of(host);

	(void)ticket;
	pthread_mutex_lock(&w->lock);
	w->first_number = first_number;
	tell(w, false);
	return 0;
}

static int host_failed(const struct hw_host *host, uint64_t ticket)
{
	struct world *w = world_of(host);

	(void)ticket;
	pthread_mutex_lock(&w->lock);
	tell(w, true);
	return 0;
}

static struct hw_slice slice_copy(struct hw_slice s)
{
	char *p = malloc(s.len + 1);

	assert_non_null(p);
	if (s.len)
		memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return (struct hw_slice){p, s.len};
}

static int host_rows(
	const struct hw_host *host, uint64_t ticket, const struct hw_journal_rows *rows)
{
	struct world *w = world_of(host);

	(void)ticket;
	pthread_mutex_lock(&w->lock);
	w->rows = calloc(rows->n + 1, sizeof(*w->rows));
	for (size_t i = 0; i < rows->n; i++) {
		w->rows[i] = rows->events[i];
		w->rows[i].topic = slice_copy(rows->events[i].topic);
		w->rows[i].event = slice_copy(rows->events[i].event);
		w->rows[i].previous = slice_copy(rows->events[i].previous);
	}
	w->n_rows = rows->n;
	w->more = rows->more;
	memset(w->gone, 0, sizeof(w->gone));
	if (rows->gone)
		memcpy(w->gone, rows->gone, w->n_topics * sizeof(w->gone[0]));
	tell(w, false);
	return 0;
}

static void wait_answer(struct world *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->is_answered)
		pthread_cond_wait(&w->answered, &w->lock);
	w->is_answered = false;
	assert_false(w->failed);
	pthread_mutex_unlock(&w->lock);
}

/* ---- a random life ---- */

static unsigned chance(struct world *w, unsigned below)
{
	w->seed = w->seed * 1103515245 + 12345;
	return (w->seed >> 16) % below;
}

static const char *const named[NAMED] = {"a:1", "a:2", "a:3", "a:4", "a:5", "a:6", "a:7", "a:8",
	"ab:1", "ab:2", "ab:3", "ab:4", "b:1", "b:2", "b:3", "b:4", "b:5", "b:6", "b:7", "b:8",
	"c:1", "c:2", "c:3", "c:4"};

static const char *topic_name(const struct world *w, unsigned topic)
{
	return topic < NAMED ? named[topic] : w->many[topic - NAMED];
}

static struct hw_slice slice(const char *text)
{
	return (struct hw_slice){text, strlen(text)};
}

static void open_world(struct world *w)
{
	struct hw_problem problem = {"", ""};

	if (w->plugin->load(&w->host, slice(w->path), &w->instance, &problem))
		fail_msg("load: %s", problem.text);
	for (size_t i = 0; i < TENANTS; i++) {
		struct hw_journal_head head = {.size = sizeof(head)};
		struct tenant_model *t = &w->tenants[i];

		assert_int_equal(w->plugin->journal_open(&w->host, w->instance, t->name, &head), 0);
		assert_int_equal(head.last, t->n);
		assert_in_range(head.epoch, 1, (UINT64_C(1) << 36) - 1);
	}
}

static void reload(struct world *w, struct tenant_model *t)
{
	static const char *const patterns[] = {"", "a:*", "a:1", "b:*", "c:3"};
	struct hw_journal_class classes[5];
	size_t n = 0;

	for (size_t i = 0; i < 5; i++)
		if (i == 0 || chance(w, 2))
			classes[n++] = (struct hw_journal_class){.pattern = slice(patterns[i]),
				.count = 1 + chance(w, 400),
				.bytes = 2000 + chance(w, 400000)};
	w->plugin->journal_retain(&w->host, w->instance, t->name, classes, n);
}

static void append(struct world *w, struct tenant_model *t)
{
	struct hw_journal_event events[EVENTS_MAX];
	size_t n = 1 + chance(w, EVENTS_MAX);

	t->events = realloc(t->events, (t->n + n) * sizeof(*t->events));
	assert_non_null(t->events);
	for (size_t i = 0; i < n; i++) {
		struct stored *s = &t->events[t->n + i];
		unsigned len = chance(w, 4) ? chance(w, 300) : chance(w, TEXT_MAX);

		*s = (struct stored){.topic = chance(w, 3)   ? chance(w, 4)
					      : chance(w, 2) ? chance(w, NAMED)
							     : NAMED + w->n_many++ % MANY,
			.at_ms = 1000000 + (int64_t)t->n};
		assert_true(asprintf(&s->event, "{\"n\":%zu,\"fill\":\"%0*d\"}", t->n + i + 1,
				    (int)len + 1, 0) > 0);
		assert_true(asprintf(&s->previous, "%s", chance(w, 5) ? "" : "{\"was\":1}") >= 0);
		events[i] = (struct hw_journal_event){.at_ms = s->at_ms,
			.topic = slice(topic_name(w, s->topic)),
			.event = slice(s->event),
			.previous = slice(s->previous)};
	}
	assert_int_equal(
		w->plugin->journal_append(&w->host, w->instance, 1, t->name, events, n), 0);
	wait_answer(w);
	assert_int_equal(w->first_number, t->n + 1);
	t->n += n;
}

static bool is_of(const struct world *w, struct hw_slice asked, unsigned topic)
{
	const char *name = topic_name(w, topic);

	if (asked.p[asked.len - 1] == '*')
		return strncmp(name, asked.p, asked.len - 1) == 0;
	return slice_is(asked, slice(name));
}

/* Is it one of the rows? They are in order: *at goes on. */
static bool is_there(const struct world *w, size_t *at, uint64_t number)
{
	while (*at < w->n_rows && w->rows[*at].number < number)
		(*at)++;
	return *at < w->n_rows && w->rows[*at].number == number;
}

/* Then an answer may be short, so that others get theirs. */
static bool asks_for_many(const struct hw_journal_query *q)
{
	for (size_t i = 0; i < q->n_topics; i++)
		if (slice_is(q->topics[i], HW_SLICE("d:*")))
			return true;
	return false;
}

static void check_rows(
	const struct world *w, const struct tenant_model *t, const struct hw_journal_query *q)
{
	uint64_t bytes = 0, seen_upto = q->upto;
	size_t at = 0;

	for (size_t i = 0; i < w->n_rows; i++) {
		const struct hw_journal_event *row = &w->rows[i];
		const struct stored *s = &t->events[row->number - 1];

		assert_in_range(row->number, (i ? w->rows[i - 1].number : q->after) + 1, q->upto);
		assert_string_equal(row->topic.p, topic_name(w, s->topic));
		assert_string_equal(row->event.p, s->event);
		assert_string_equal(row->previous.p, s->previous);
		assert_int_equal(row->at_ms, s->at_ms);
		assert_true(i == 0 || bytes < q->max_bytes);
		bytes += row->event.len + row->previous.len;
	}
	assert_true(w->n_rows <= q->limit);
	if (w->more) {
		assert_true(w->n_rows > 0);
		assert_true(w->n_rows == q->limit || bytes >= q->max_bytes || asks_for_many(q));
		seen_upto = w->rows[w->n_rows - 1].number;
	}
	/* whatever is above what has gone of its topic is there */
	for (uint64_t number = q->after + 1; number <= seen_upto && number <= t->n; number++) {
		bool asked = false, gone = false, there = is_there(w, &at, number);

		for (size_t i = 0; i < q->n_topics; i++) {
			if (!is_of(w, q->topics[i], t->events[number - 1].topic))
				continue;
			asked = true;
			gone = gone || number <= w->gone[i];
			/* the newest that has gone is one that was there and is not any more */
			if (q->topics[i].p[q->topics[i].len - 1] != '*')
				assert_false(there && number == w->gone[i]);
		}
		assert_true(!there || asked);
		if (asked && !gone)
			assert_true(there);
	}
	for (size_t i = 0; i < q->n_topics; i++)
		if (w->gone[i])
			assert_true(w->gone[i] <= t->n &&
				    is_of(w, q->topics[i], t->events[w->gone[i] - 1].topic));
}

static void read_some(struct world *w, const struct tenant_model *t)
{
	static const char *const patterns[] = {
		"a:*", "ab:*", "b:*", "c:*", "d:*", "nothing:*", "a:99"};
	struct hw_slice topics[NAMED + 8];
	struct hw_journal_query q = {.size = sizeof(q),
		.tenant = t->name,
		.topics = topics,
		.max_bytes = 1 + chance(w, 60000)};

	for (unsigned i = 0; i < NAMED; i++)
		if (chance(w, 6) == 0)
			topics[q.n_topics++] = slice(named[i]);
	for (unsigned i = 0; i < 7; i++)
		if (q.n_topics == 0 || chance(w, 8) == 0)
			topics[q.n_topics++] = slice(patterns[i]);
	q.after = chance(w, 4) ? chance(w, (unsigned)t->n + 1) : 0;
	q.upto = chance(w, 2) ? t->n : q.after + chance(w, (unsigned)(t->n - q.after) + 1);
	q.limit = chance(w, 2) ? 1000 : 1 + chance(w, 30);
	w->n_topics = q.n_topics;
	assert_int_equal(w->plugin->journal_read(&w->host, w->instance, 1, &q), 0);
	wait_answer(w);
	check_rows(w, t, &q);
	for (size_t i = 0; i < w->n_rows; i++) {
		free((char *)(uintptr_t)w->rows[i].topic.p);
		free((char *)(uintptr_t)w->rows[i].event.p);
		free((char *)(uintptr_t)w->rows[i].previous.p);
	}
	free(w->rows);
	w->rows = NULL;
}

static void remove_files(const struct world *w)
{
	static const char *const ends[] = {"", "-lock", "-wal", "-shm"};
	char path[96];

	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", w->path, ends[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s", w->path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

hw_plugin_entry_fn hookwire_plugin;

static void test_a_random_life_is_as_a_list_has_it(void **state)
{
	struct world w = {
		.host = {.size = sizeof(w.host),
			.major = HW_PLUGIN_MAJOR,
			.minor = HW_PLUGIN_MINOR,
			.log = host_log,
			.metric = host_metric,
			.sha256 = host_sha256,
			.random = host_random,
			.path = host_path,
			.json_next = host_json_next,
			.journal_committed = host_committed,
			.journal_failed = host_failed,
			.journal_rows = host_rows},
		.plugin = hookwire_plugin(),
		.tenants = {{.name = HW_SLICE("acme")}, {.name = HW_SLICE("beta")}},
		.seed = 1,
	};

	(void)state;
	snprintf(w.path, sizeof(w.path), "/tmp/hookwire-test-XXXXXX");
	assert_non_null(mkdtemp(w.path));
	strcat(w.path, "/journal.db");
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.answered, NULL);
	for (unsigned i = 0; i < MANY; i++)
		snprintf(w.many[i], sizeof(w.many[i]), "d:%u", i);
	open_world(&w);
	for (unsigned round = 1; round <= ROUNDS; round++) {
		struct tenant_model *t = &w.tenants[chance(&w, TENANTS)];

		append(&w, t);
		for (unsigned i = 0; i < READS_A_ROUND; i++)
			read_some(&w, &w.tenants[chance(&w, TENANTS)]);
		if (round % RELOAD_EVERY == 0)
			reload(&w, t);
		if (round % RESTART_EVERY == 0) {
			w.plugin->unload(&w.host, w.instance);
			open_world(&w);
		}
	}
	w.plugin->unload(&w.host, w.instance);
	for (size_t i = 0; i < TENANTS; i++) {
		for (size_t k = 0; k < w.tenants[i].n; k++) {
			free(w.tenants[i].events[k].event);
			free(w.tenants[i].events[k].previous);
		}
		free(w.tenants[i].events);
	}
	pthread_cond_destroy(&w.answered);
	pthread_mutex_destroy(&w.lock);
	remove_files(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lowest_are_collected_in_order),
		cmocka_unit_test(test_a_map_finds_what_is_in_it),
		cmocka_unit_test(test_the_closest_rule_is_found),
		cmocka_unit_test(test_a_random_life_is_as_a_list_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
