/* Many events with what was before them, clients of several classes that stop and go on reading,
 * turns and reloads in any order: what each has heard in the end is what a model says, no more, no
 * less and in order. The seed is printed: HW_TEST_SEED makes that run again. */
#include "session_world.h"

#include "../base/random.h"

#define POLICY \
	"return policy { api = 1, authorize = { subscribe = function() return allow() end," \
	" wildcard = function() return allow() end, publish = function() return allow() end }," \
	" reads = { filter = { 'claims.mark' }, redact = { 'claims.mark' } }," \
	" filter = function(event, audience)" \
	" return tonumber(audience.claims.mark) >= event.data.payload.level end," \
	" redact = function(event, audience) if audience.claims.mark == '3' then" \
	" event.data.payload.secret = nil end return event end }"

enum { CLIENTS = 9, EVENTS = 500, LEVELS = 6, RUNS = 12 };

/* A client whose socket keeps what it is given while it is full, and drops as a stream does. */
struct reader {
	struct hw_session *session;
	struct hw_buf heard;
	struct {
		uint64_t seq;
		char *text;
	} kept[EVENTS];
	size_t n_kept, bytes;
	bool full;
	unsigned mark;
	struct hw_buf expected;
};

static int on_message(void *arg, struct hw_str text)
{
	(void)arg;
	assert_null(memmem(text.p, text.len, "\"gap\"", 5));
	return 0;
}

/* "UPDATED e17 secret\n" */
static void note(struct hw_buf *out, const char *event)
{
	const char *name = strstr(event, "\"event\":\"") + 9,
		   *id = strstr(event, "\"entity_id\":\"") + 13;

	assert_null(strstr(event, "previous"));
	hw_buf_printf(out, "%.*s %.*s%s\n", (int)strcspn(name, "\""), name, (int)strcspn(id, "\""),
		id, strstr(event, "secret") ? " secret" : "");
}

static int on_run(void *arg, const struct hw_run *run, unsigned how)
{
	struct reader *r = arg;

	(void)how;
	for (size_t i = 0; i < run->n; i++) {
		uint64_t seq;
		char *event = hw_str_dup(hw_run_event(run, i, &seq));

		if (!r->full) {
			note(&r->heard, event);
			free(event);
			continue;
		}
		r->bytes += strlen(event);
		r->kept[r->n_kept].seq = seq;
		r->kept[r->n_kept++].text = event;
	}
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
	uint64_t first = r->n_kept ? r->kept[0].seq : 0;

	while (r->n_kept)
		free(r->kept[--r->n_kept].text);
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
	(void)code;
	(void)reason;
	fail();
}

static const struct hw_outlet outlet = {.message = on_message,
	.run = on_run,
	.queued = on_queued,
	.blocked = on_blocked,
	.drop = on_drop,
	.ping = on_ping,
	.pause = on_pause,
	.close = on_close};

static void go_on_reading(struct reader *r)
{
	if (!r->full)
		return;
	r->full = false;
	for (size_t i = 0; i < r->n_kept; i++) {
		note(&r->heard, r->kept[i].text);
		free(r->kept[i].text);
	}
	r->n_kept = r->bytes = 0;
	hw_session_drained(r->session);
}

static void open_reader(struct world *w, struct reader *r, unsigned i)
{
	char token[32];
	struct hw_session_open open = {.outlet = &outlet,
		.arg = r,
		.transport = "ws",
		.address = HW_STR("192.0.2.1"),
		.origin = HW_STR(""),
		.path = HW_STR("/ws"),
		.topics = hw_str_of(i % 3 ? "a:1" : "a:*,a:1")};

	r->mark = i % LEVELS;
	hw_buf_init(&r->heard);
	hw_buf_init(&r->expected);
	snprintf(token, sizeof(token), "u%u@acme%u", i, r->mark);
	open.token = hw_str_of(token);
	r->session = hw_session_create(&w->worker, &open);
	assert_non_null(r->session);
}

static void expect(struct reader *r, bool deleted, unsigned now, int before, unsigned n)
{
	bool sees = r->mark >= now, saw = before < 0 ? sees : (int)r->mark >= before;
	const char *secret = sees && r->mark != 3 ? " secret" : "";

	if (saw && sees)
		hw_buf_printf(
			&r->expected, "%s e%u%s\n", deleted ? "DELETED" : "UPDATED", n, secret);
	else if (saw)
		hw_buf_printf(&r->expected, "DELETED e%u\n", n);
	else if (sees && !deleted)
		hw_buf_printf(&r->expected, "ADDED e%u%s\n", n, secret);
}

static void publish(struct random *rnd, struct reader readers[CLIENTS], unsigned n)
{
	unsigned now = (unsigned)random_below(rnd, LEVELS), pad = (unsigned)random_below(rnd, 300);
	int before = random_below(rnd, 2) ? (int)random_below(rnd, LEVELS) : -1;
	bool deleted = random_below(rnd, 5) == 0;
	char message[1024], previous[64] = "";

	if (before >= 0)
		snprintf(previous, sizeof(previous), ",\"previous\":{\"level\":%d,\"secret\":1}",
			before);
	snprintf(message, sizeof(message),
		"{\"type\":\"publish\",\"topic\":\"a:1\",\"event\":\"%s\",\"data\":{\"entity_id\":"
		"\"e%u\","
		"\"pad\":\"%0*d\",\"payload\":{\"level\":%u,\"secret\":1}%s}}",
		deleted ? "DELETED" : "UPDATED", n, (int)pad + 1, 0, now, previous);
	hw_session_received(readers[0].session, hw_str_of(message));
	for (int i = 0; i < CLIENTS; i++)
		expect(&readers[i], deleted, now, before, n);
}

static void reload(struct world *w, unsigned number)
{
	struct hw_generation *next = world_generation(w, number, POLICY);
	const char *refused;

	assert_int_equal(hw_worker_swap(&w->worker, next, &refused), 0);
	hw_generation_unref(&next);
}

static void one_turn(struct world *w)
{
	hw_worker_turn(&w->worker);
	hw_worker_flushed(&w->worker);
}

static void run(struct random *rnd)
{
	static struct reader readers[CLIENTS];
	struct world w;
	unsigned n = 0;

	memset(readers, 0, sizeof(readers));
	world_init(&w, POLICY);
	for (unsigned i = 0; i < CLIENTS; i++)
		open_reader(&w, &readers[i], i);
	while (n < EVENTS) {
		struct reader *r = &readers[random_below(rnd, CLIENTS)];
		uint64_t what = random_below(rnd, 100);

		if (what < 75)
			publish(rnd, readers, n++);
		else if (what < 90)
			one_turn(&w);
		else if (what < 99 && r->full)
			go_on_reading(r);
		else if (what < 99)
			r->full = true;
		else
			reload(&w, n + 2);
	}
	for (int i = 0; i < CLIENTS; i++)
		go_on_reading(&readers[i]);
	world_turn(&w);
	for (int i = 0; i < CLIENTS; i++) {
		struct reader *r = &readers[i];

		hw_buf_putc(&r->heard, '\0');
		hw_buf_putc(&r->expected, '\0');
		if (strcmp(r->heard.data, r->expected.data) != 0) {
			print_error("client %d of mark %u\n", i, r->mark);
			assert_string_equal(r->heard.data, r->expected.data);
		}
		hw_session_destroy(&r->session);
		hw_buf_fini(&r->heard);
		hw_buf_fini(&r->expected);
	}
	world_fini(&w);
}

static void everybody_hears_what_the_model_says(void **state)
{
	struct random rnd = random_start("filter");

	(void)state;
	for (unsigned i = 0; i < RUNS; i++)
		run(&rnd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_hears_what_the_model_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
