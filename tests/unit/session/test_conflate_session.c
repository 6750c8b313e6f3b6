/* Clients that stop and go on reading, whose sockets keep, drop and fail, of several classes, with
 * turns and reloads in any order: in the end each knows what a client knows that had every event
 * that it may see, has had each topic that is not conflated whole, and ids in order; who never
 * stopped has had everything. The seed is printed: HW_TEST_SEED makes that run again. */
#include "session_world.h"

#include "../base/random.h"
#include "wire/event.h"

#define POLICY \
	"return policy { api = 1, authorize = { subscribe = function() return allow() end," \
	" publish = function() return allow() end }," \
	" reads = { filter = { 'claims.mark' }, redact = { 'claims.mark' } }," \
	" filter = function(event, audience)" \
	" return tonumber(audience.claims.mark) >= event.data.level end," \
	" redact = function(event, audience) if audience.claims.mark == '2' and event.topic == " \
	"'log:1' then event.data.payload = '<' .. event.data.payload .. '>' end return event end " \
	"}"

#define OPEN \
	"return policy { api = 1, authorize = { subscribe = function() return allow() end," \
	" publish = function() return allow() end } }"

enum { CLIENTS = 6, ALWAYS_READ = 2, EVENTS = 600, LEVELS = 3, ENTITIES = 3, RUNS = 10 };
enum { DOC, LOG, FEED, TOPICS };
static const char *const topics[TOPICS] = {"doc:1", "log:1", "feed:1"};

/* What one knows: of an entity the last that it was, of a log all of it, of the feed every event.
 */
struct known {
	struct hw_buf doc[ENTITIES], log[ENTITIES], feed;
};

static void known_init(struct known *k)
{
	for (unsigned e = 0; e < ENTITIES; e++) {
		hw_buf_init(&k->doc[e]);
		hw_buf_init(&k->log[e]);
	}
	hw_buf_init(&k->feed);
}

static void known_fini(struct known *k)
{
	for (unsigned e = 0; e < ENTITIES; e++) {
		hw_buf_fini(&k->doc[e]);
		hw_buf_fini(&k->log[e]);
	}
	hw_buf_fini(&k->feed);
}

static void learn(struct known *k, unsigned topic, unsigned entity, char letter, struct hw_str text)
{
	if (topic == FEED) {
		hw_buf_str(&k->feed, text);
	} else if (topic == LOG) {
		hw_buf_str(&k->log[entity], text);
	} else {
		hw_buf_clear(&k->doc[entity]);
		if (letter != 'D')
			hw_buf_str(&k->doc[entity], text);
	}
}

static void expect_same(struct hw_buf *is, struct hw_buf *should, unsigned client, const char *what)
{
	if (!hw_str_eq(hw_buf_view(is), hw_buf_view(should)))
		fail_msg("client %u, %s: %.*s, not %.*s", client, what, HW_STR_ARG(hw_buf_view(is)),
			HW_STR_ARG(hw_buf_view(should)));
}

/* ---- a client whose socket keeps what it is given while it is full ---- */

struct reader {
	struct hw_session *session;
	struct random *random;
	struct {
		uint64_t mark;       /* as hw_stream_drop has it */
		struct hw_buf texts; /* each with a zero */
	} kept[EVENTS];
	size_t n_kept, bytes, n_heard, n_published;
	bool full, flaky;
	unsigned level;
	unsigned long long last; /* number */
	struct known is, should;
};

static void hear(struct reader *r, struct hw_str text)
{
	unsigned topic = 0, entity;
	struct hw_event ev;
	const char *id = memmem(text.p, text.len, ",\"id\":\"", 7);
	unsigned long long number;

	assert_int_equal(hw_event_parse(text, 0, &ev, NULL, NULL), 0);
	assert_non_null(id);
	number = strtoull(strchr(id + 7, '-') + 1, NULL, 10);
	assert_true(number > r->last); /* in order, and none twice */
	r->last = number;
	while (!hw_str_eq(ev.topic, hw_str_of(topics[topic])))
		topic++;
	entity = (unsigned)(hw_json_inside(ev.entity_id).p[0] - '0');
	learn(&r->is, topic, entity, hw_json_is(ev.event, HW_STR("DELETED")) ? 'D' : 'U',
		hw_json_inside(ev.payload));
	r->n_heard++;
}

static void hear_kept(struct reader *r, size_t i)
{
	struct hw_str all = hw_buf_view(&r->kept[i].texts);

	for (size_t at = 0; at < all.len; at += strlen(all.p + at) + 1)
		hear(r, hw_str_of(all.p + at));
	hw_buf_fini(&r->kept[i].texts);
}

static int on_message(void *arg, struct hw_str text)
{
	(void)arg;
	assert_null(memmem(text.p, text.len, "\"gap\"", 5));
	return 0;
}

static int on_run(void *arg, const struct hw_run *run, unsigned how)
{
	struct reader *r = arg;
	struct hw_buf *texts;

	(void)how;
	if (r->flaky && random_below(r->random, 8) == 0)
		return -ENOMEM;
	if (r->flaky && random_below(r->random, 8) == 0)
		r->full = true; /* from this one on */
	if (!r->full) {
		for (size_t i = 0; i < run->n; i++)
			hear(r, hw_run_event(run, i, NULL));
		return 0;
	}
	assert_true(r->n_kept < EVENTS);
	r->kept[r->n_kept].mark = run->after + 1;
	texts = &r->kept[r->n_kept++].texts;
	hw_buf_init(texts);
	for (size_t i = 0; i < run->n; i++) {
		hw_buf_str(texts, hw_run_event(run, i, NULL));
		hw_buf_putc(texts, '\0');
	}
	r->bytes += run->len;
	return 0;
}

static size_t on_queued(void *arg)
{
	return ((struct reader *)arg)->bytes;
}

static bool on_blocked(void *arg)
{
	return ((struct reader *)arg)->full;
}

static uint64_t on_drop(void *arg)
{
	struct reader *r = arg;
	uint64_t first = r->n_kept ? r->kept[0].mark : 0;

	while (r->n_kept)
		hw_buf_fini(&r->kept[--r->n_kept].texts);
	r->bytes = 0;
	return first;
}

static void on_ping(void *arg)
{
	(void)arg;
}

static void on_pause(void *arg, bool on)
{
	(void)arg;
	(void)on;
}

static void on_close(void *arg, uint16_t code, struct hw_str reason)
{
	(void)arg;
	fail_msg("closed with %u %.*s", code, HW_STR_ARG(reason));
}

static const struct hw_outlet outlet = {.message = on_message,
	.run = on_run,
	.queued = on_queued,
	.blocked = on_blocked,
	.drop = on_drop,
	.ping = on_ping,
	.pause = on_pause,
	.close = on_close};

/* Some of what it keeps may have left before the rest is dropped. */
static void go_on_reading(struct reader *r)
{
	if (!r->full)
		return;
	r->full = false;
	for (size_t i = 0; i < r->n_kept; i++)
		hear_kept(r, i);
	r->n_kept = r->bytes = 0;
	hw_session_drained(r->session);
}

static void open_reader(
	struct world *w, struct random *random, struct reader *r, const char *tenant, unsigned i)
{
	char token[40];
	struct hw_session_open open = {.outlet = &outlet,
		.arg = r,
		.transport = "ws",
		.address = HW_STR("192.0.2.1"),
		.origin = HW_STR(""),
		.path = HW_STR("/ws"),
		.topics = HW_STR("doc:1,log:1,feed:1")};

	r->random = random;
	r->level = i % LEVELS;
	known_init(&r->is);
	known_init(&r->should);
	snprintf(token, sizeof(token), "u%u@%s%u", i, tenant, r->level);
	open.token = hw_str_of(token);
	r->session = hw_session_create(&w->worker, &open);
	assert_non_null(r->session);
}

/* ---- a run ---- */

enum {
	MANY = 4000, /* events, of which one is sent: more than a window's worth */
	TURNS = 4,   /* then everybody has had one: two in a turn, and one of them two */
};

struct play {
	struct random random;
	struct world w;
	bool filtering;
	bool there[ENTITIES];
	struct reader readers[CLIENTS];
};

/* All see that an entity comes and goes, not all how it changes. */
static void publish(struct play *p, unsigned n)
{
	unsigned topic = (unsigned)random_below(&p->random, 8);
	unsigned entity = (unsigned)random_below(&p->random, ENTITIES), level = 0;
	char message[512], payload[32];
	char letter = 'U';

	topic = topic < 5 ? DOC : topic < 7 ? LOG : FEED;
	if (topic == DOC && !p->there[entity])
		letter = 'A';
	else if (topic == DOC && random_below(&p->random, 4) == 0)
		letter = 'D';
	if (topic == DOC)
		p->there[entity] = letter != 'D';
	if (letter == 'U')
		level = (unsigned)random_below(&p->random, LEVELS);
	snprintf(payload, sizeof(payload), "%u.", n);
	snprintf(message, sizeof(message),
		"{\"type\":\"publish\",\"topic\":\"%s\",\"event\":\"%s\",\"data\":{\"entity_id\":"
		"\"%u\",\"level\":%u,\"payload\":\"%s\"}}",
		topics[topic],
		letter == 'A'   ? "ADDED"
		: letter == 'D' ? "DELETED"
				: "UPDATED",
		entity, level, payload);
	hw_session_received(p->readers[0].session, hw_str_of(message));
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct reader *r = &p->readers[i];
		char redacted[40];

		if (p->filtering && r->level < level)
			continue;
		snprintf(redacted, sizeof(redacted),
			p->filtering && r->level == 2 && topic == LOG ? "<%s>" : "%s", payload);
		learn(&r->should, topic, entity, letter, hw_str_of(redacted));
		r->n_published++;
	}
}

static struct hw_generation *generation(struct play *p, unsigned number)
{
	struct hw_generation *g = world_generation(&p->w, number, p->filtering ? POLICY : OPEN);

	g->rules[0].classes.classes[0].retention =
		(struct hw_retention){.count = 2 * MANY, .bytes = 1 << 24};
	g->settings.conflate = (struct hw_conflate_rules){
		.n = 2, .rules = {{"doc:*", HW_CONFLATE_LATEST}, {"log:*", HW_CONFLATE_APPEND}}};
	return g;
}

static void reload(struct play *p, unsigned number)
{
	struct hw_generation *next = generation(p, number);
	const char *refused;

	assert_int_equal(hw_worker_swap(&p->w.worker, next, &refused), 0);
	hw_generation_unref(&next);
}

static void one_step(struct play *p, unsigned *n)
{
	struct reader *r =
		&p->readers[ALWAYS_READ + random_below(&p->random, CLIENTS - ALWAYS_READ)];
	uint64_t what = random_below(&p->random, 1000);

	if (what < 850) {
		publish(p, (*n)++);
	} else if (what < 930) {
		hw_worker_turn(&p->w.worker);
		hw_worker_flushed(&p->w.worker);
	} else if (what < 995 && r->full) {
		/* rather not: then more waits */
		if (random_below(&p->random, 3) == 0)
			go_on_reading(r);
	} else if (what < 995) {
		r->full = true;
		r->flaky = random_below(&p->random, 2);
	} else {
		reload(p, *n + 3);
	}
}

static void play(struct play *p, bool filtering)
{
	unsigned n = 0;

	p->filtering = filtering;
	memset(p->there, 0, sizeof(p->there));
	memset(p->readers, 0, sizeof(p->readers));
	world_init(&p->w, filtering ? POLICY : OPEN);
	reload(p, 2);
	for (unsigned i = 0; i < CLIENTS; i++)
		open_reader(&p->w, &p->random, &p->readers[i], "acme", i);
	while (n < EVENTS)
		one_step(p, &n);
	for (unsigned i = 0; i < CLIENTS; i++) {
		p->readers[i].flaky = false;
		go_on_reading(&p->readers[i]);
	}
	world_turn(&p->w);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct reader *r = &p->readers[i];

		for (unsigned e = 0; e < ENTITIES; e++) {
			expect_same(&r->is.doc[e], &r->should.doc[e], i, "an entity");
			expect_same(&r->is.log[e], &r->should.log[e], i, "a log");
		}
		expect_same(&r->is.feed, &r->should.feed, i, "the feed");
		if (i < ALWAYS_READ)
			assert_int_equal(r->n_heard, r->n_published);
		hw_session_destroy(&r->session);
		known_fini(&r->is);
		known_fini(&r->should);
	}
	assert_true(atomic_load(&p->w.counters.conflated->value) > EVENTS / 20);
	world_fini(&p->w);
}

/* ---- who is served when ---- */

static void fall_behind(struct play *p, const char *tenant, size_t from, size_t to)
{
	char message[256];

	for (size_t i = from; i < to; i++) {
		open_reader(&p->w, &p->random, &p->readers[i], tenant, 0);
		p->readers[i].full = true;
	}
	for (unsigned n = 0; n < MANY; n++) {
		snprintf(message, sizeof(message),
			"{\"type\":\"publish\",\"topic\":\"doc:1\",\"event\":\"UPDATED\",\"data\":{"
			"\"entity_id\":\"0\",\"payload\":\"%u\"}}",
			n);
		hw_session_received(p->readers[from].session, hw_str_of(message));
		hw_worker_turn(&p->w.worker);
		hw_worker_flushed(&p->w.worker);
	}
}

static unsigned n_served(const struct play *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CLIENTS; i++)
		n += p->readers[i].n_heard > 0;
	return n;
}

/* What is read for conflating in a turn is bounded, whoever has had none of it is the first in the
 * next turn, and no tenant is always behind another. */
static void a_turn_is_bounded_and_everybody_has_one(void **state)
{
	struct play *p = calloc(1, sizeof(*p));
	struct hw_buf last;
	unsigned served = 0;

	(void)state;
	assert_non_null(p);
	hw_buf_init(&last);
	hw_buf_printf(&last, "%u", MANY - 1);
	world_init(&p->w, OPEN);
	reload(p, 2);
	fall_behind(p, "acme", 0, CLIENTS - 1);
	fall_behind(p, "beta", CLIENTS - 1, CLIENTS);
	for (unsigned i = 0; i < CLIENTS; i++) {
		on_drop(&p->readers[i]);
		p->readers[i].full = false;
		hw_session_drained(p->readers[i].session);
	}
	for (unsigned turn = 0; turn < TURNS; turn++) {
		assert_in_range(n_served(p), served, served + 2);
		served = n_served(p);
		hw_worker_turn(&p->w.worker);
		hw_worker_flushed(&p->w.worker);
		if (turn == 1) /* the other tenant's is not the last */
			assert_true(p->readers[CLIENTS - 1].n_heard > 0);
	}
	assert_int_equal(n_served(p), CLIENTS);
	world_turn(&p->w);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct reader *r = &p->readers[i];

		expect_same(&r->is.doc[0], &last, i, "the entity");
		assert_true(r->n_heard < 20);
		hw_session_destroy(&r->session);
		known_fini(&r->is);
		known_fini(&r->should);
	}
	hw_buf_fini(&last);
	world_fini(&p->w);
	free(p);
}

static void everybody_knows_everything_in_the_end(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	(void)state;
	assert_non_null(p);
	p->random = random_start("conflate");
	for (unsigned i = 0; i < RUNS; i++)
		play(p, i % 2);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_knows_everything_in_the_end),
		cmocka_unit_test(a_turn_is_bounded_and_everybody_has_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
