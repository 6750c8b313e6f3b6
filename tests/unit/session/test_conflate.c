/* What a client that is behind is sent: the rules one by one, and many random sequences of which
 * what leaves is what a model says, and of which a client that is cut off anywhere and comes back
 * with the last id it saw knows as much as one that had every event. The seed is printed:
 * HW_TEST_SEED makes that run again. */
#include "../journal/journal_world.h"

#include "../base/random.h"
#include "session/conflate.h"
#include "wire/event.h"

#define LATEST "doc:1"
#define APPEND "log:1"
#define PLAIN "feed:1"
#define TENANT "acme"

enum { EVENTS = 120, ENTITIES = 4, RUNS = 80, MOST_TEXT = 65536 };

static enum hw_conflate how_of(struct hw_str topic)
{
	return hw_str_starts(topic, HW_STR("doc:")) ? HW_CONFLATE_LATEST
	       : hw_str_eq(topic, HW_STR(APPEND))   ? HW_CONFLATE_APPEND
						    : HW_CONFLATE_NONE;
}

/* ---- a journal, and what leaves a window of it ---- */

struct fixture {
	struct hw_journal *journal;
	struct hw_frames frames;
	struct hw_window *window;
	struct hw_buf out; /* what left, as text */
	size_t max_bytes;
};

static void begin(struct fixture *f)
{
	f->journal = world_plain((struct hw_retention)KEEP_ALL);
	hw_frames_init(&f->frames);
	f->window = hw_window_create(&world_key);
	assert_non_null(f->window);
	hw_buf_init(&f->out);
	f->max_bytes = MOST_TEXT;
}

static void end(struct fixture *f)
{
	hw_window_destroy(&f->window);
	hw_frames_fini(&f->frames);
	hw_journal_destroy(&f->journal);
	hw_buf_fini(&f->out);
}

/* @entity and @payload as JSON; payload "" for none. */
static void put(struct fixture *f, const char *topic, const char *name, const char *entity,
	const char *payload, const char *user)
{
	struct hw_append event = {.topic = hw_str_of(topic), .wall_ms = 1000};
	uint64_t number, wake = 0;
	struct hw_buf text;

	hw_buf_init(&text);
	hw_buf_printf(&text,
		"{\"topic\":\"%s\",\"event\":\"%s\",\"data\":{\"entity_id\":%s%s%s,\"user_id\":"
		"\"%s\",\"tenant_id\":\"" TENANT "\",\"timestamp\":\"2026-01-01T00:00:00Z\"},"
		"\"trace_id\":\"t\"",
		topic, name, entity, *payload ? ",\"payload\":" : "", payload, user);
	event.text = hw_buf_view(&text);
	assert_int_equal(hw_journal_append(f->journal, &event, &number, &wake), 0);
	hw_buf_fini(&text);
}

/* One letter an event: A, U, D, S (STATUS_CHANGED), of entity e1 and with a payload of its own; in
 * small letters of e2. */
static void put_letters(struct fixture *f, const char *topic, const char *letters)
{
	char payload[32];

	for (size_t i = 0; letters[i]; i++) {
		const char *name = strchr("Aa", letters[i])   ? "ADDED"
				   : strchr("Uu", letters[i]) ? "UPDATED"
				   : strchr("Dd", letters[i]) ? "DELETED"
							      : "STATUS_CHANGED";

		snprintf(payload, sizeof(payload), "\"p%zu\"", i + 1);
		put(f, topic, name, letters[i] >= 'a' ? "\"e2\"" : "\"e1\"", payload, "u");
	}
}

static struct hw_window_join join_of(struct fixture *f)
{
	return (struct hw_window_join){
		.frames = &f->frames, .tenant_id = HW_STR(TENANT), .max_bytes = f->max_bytes};
}

/* What leaves, of all that is in the journal: "number payload" with a space after each. */
static void conflate_all(struct fixture *f)
{
	struct hw_window_join join = join_of(f);
	struct hw_scan scan;
	struct hw_run run;

	hw_window_begin(f->window, SIZE_MAX);
	assert_int_equal(hw_scan_begin(&scan, f->journal, 0, NULL, 0), 0);
	while (hw_scan_next(&scan, UINT64_MAX, &run))
		assert_int_equal(hw_window_add(f->window, &run, how_of(run.topic)), run.n);
	hw_scan_end(&scan);
	hw_buf_clear(&f->out);
	while (hw_window_next(f->window, &join, &run) == 0) {
		for (size_t i = 0; i < run.n; i++) {
			struct hw_event ev;

			assert_int_equal(
				hw_event_parse(hw_run_event(&run, i, NULL), 0, &ev, NULL, NULL), 0);
			hw_buf_printf(&f->out, "%llu%s%.*s ",
				(unsigned long long)hw_run_number(&run, i),
				ev.payload.raw.len ? "=" : "", HW_STR_ARG(ev.payload.raw));
		}
	}
	hw_buf_putc(&f->out, '\0');
}

static void expect(const char *topic, const char *letters, const char *numbers)
{
	struct fixture f;
	char *out, *p;

	begin(&f);
	put_letters(&f, topic, letters);
	conflate_all(&f);
	out = f.out.data;
	/* the numbers alone */
	for (char *q = p = out; *q; q++) {
		if (*q == '=')
			while (q[1] != ' ')
				q++;
		else
			*p++ = *q;
	}
	*p = '\0';
	if (strcmp(out, numbers) != 0)
		fail_msg("%s of %s: %s, not %s", letters, topic, out, numbers);
	assert_int_equal(hw_window_passed(f.window), strlen(letters));
	end(&f);
}

/* ---- the rules ---- */

static void of_an_entity_the_latest_is_sent(void **state)
{
	(void)state;
	expect(LATEST, "U", "1 ");
	expect(LATEST, "UUU", "3 ");
	expect(LATEST, "UuUu", "3 4 ");
	expect(LATEST, "AUUU", "1 4 ");
	expect(LATEST, "UUD", "3 ");
	expect(LATEST, "UD", "2 ");
	expect(LATEST, "DA", "1 2 ");
	expect(LATEST, "DAUU", "1 2 4 ");
	expect(LATEST, "UUDAUU", "3 4 6 ");
}

static void what_came_and_went_is_not_sent(void **state)
{
	(void)state;
	expect(LATEST, "AD", "");
	expect(LATEST, "AUUD", "");
	expect(LATEST, "AuUD", "2 ");
	expect(LATEST, "DAD", "1 ");
	expect(LATEST, "ADA", "3 ");
	expect(LATEST, "ADADAU", "5 6 ");
	/* it was there before: that it is gone is to be told */
	expect(LATEST, "UAD", "1 3 ");
	expect(LATEST, "AAD", "1 3 ");
}

static void other_events_are_sent_and_nothing_passes_over_them(void **state)
{
	(void)state;
	expect(LATEST, "SSS", "1 2 3 ");
	expect(LATEST, "UUSUU", "2 3 5 ");
	expect(LATEST, "ASD", "1 2 3 ");
	expect(LATEST, "AUUSUUD", "1 3 4 7 ");
	expect(LATEST, "UsU", "2 3 "); /* another entity's is in nobody's way */
}

static void without_a_rule_all_is_sent(void **state)
{
	(void)state;
	expect(PLAIN, "AUUD", "1 2 3 4 ");
	expect(APPEND, "ADSd", "1 2 3 4 ");
}

static void topics_have_entities_of_their_own(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	put(&f, LATEST, "UPDATED", "\"e\"", "1", "u");
	put(&f, "doc:2", "UPDATED", "\"e\"", "2", "u");
	put(&f, LATEST, "UPDATED", "\"\\u0065\"", "3", "u"); /* the same, written otherwise */
	put(&f, LATEST, "UPDATED", "7", "4", "u");
	put(&f, LATEST, "UPDATED", "\"7\"", "5", "u"); /* not the same */
	put(&f, LATEST, "\\u0055PDATED", "7", "6", "u");
	conflate_all(&f);
	assert_string_equal(f.out.data, "2=2 3=3 5=5 6=6 ");
	assert_int_equal(hw_window_left_out(f.window), 2);
	end(&f);
}

static void payloads_that_follow_each_other_are_joined(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	put(&f, APPEND, "UPDATED", "1", "\"ab\"", "u");
	put(&f, APPEND, "UPDATED", "1", "\"\"", "u");
	put(&f, APPEND, "UPDATED", "1", "\"\\ud83d\"", "u");
	put(&f, APPEND, "UPDATED", "1", "\"\\ude00\\n\"", "u"); /* 4: one character of two halves */
	put(&f, APPEND, "UPDATED", "1", "[ ]", "u");
	put(&f, APPEND, "UPDATED", "1", "[1,{\"a\":[]}]", "u");
	put(&f, APPEND, "UPDATED", "1", "[]", "u");
	put(&f, APPEND, "UPDATED", "1", "[\"x\"]", "u"); /* 8 */
	conflate_all(&f);
	assert_string_equal(f.out.data, "4=\"ab\\ud83d\\ude00\\n\" 8=[1,{\"a\":[]},\"x\"] ");
	assert_int_equal(hw_window_left_out(f.window), 6);
	end(&f);
}

static void what_cannot_be_joined_stays_as_it_is(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	put(&f, APPEND, "UPDATED", "1", "\"a\"", "u");
	put(&f, APPEND, "UPDATED", "1", "{}", "u");
	put(&f, APPEND, "UPDATED", "1", "\"b\"", "u");
	put(&f, APPEND, "UPDATED", "1", "7", "u");
	put(&f, APPEND, "UPDATED", "1", "", "u");
	put(&f, APPEND, "UPDATED", "1", "\"c\"", "u");
	put(&f, APPEND, "UPDATED", "1", "[1]", "u");
	put(&f, APPEND, "ADDED", "1", "[2]", "u");
	put(&f, APPEND, "UPDATED", "1", "[3]", "u");
	put(&f, APPEND, "UPDATED", "1", "[4]", "v"); /* somebody else says it */
	conflate_all(&f);
	assert_string_equal(
		f.out.data, "1=\"a\" 2={} 3=\"b\" 4=7 5 6=\"c\" 7=[1] 8=[2] 9=[3] 10=[4] ");
	assert_int_equal(hw_window_left_out(f.window), 0);
	end(&f);
}

static void nothing_is_joined_over_what_is_sent_between(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	put(&f, APPEND, "UPDATED", "1", "\"a\"", "u");
	put(&f, APPEND, "UPDATED", "2", "\"x\"", "u"); /* whoever has seen it has seen a */
	put(&f, APPEND, "UPDATED", "1", "\"b\"", "u");
	put(&f, LATEST, "UPDATED", "1", "\"y\"", "u"); /* left out: it is not between */
	put(&f, APPEND, "UPDATED", "1", "\"c\"", "u");
	put(&f, LATEST, "UPDATED", "1", "\"z\"", "u");
	conflate_all(&f);
	assert_string_equal(f.out.data, "1=\"a\" 2=\"x\" 5=\"bc\" 6=\"z\" ");
	end(&f);
}

static void what_is_joined_is_the_last_event_and_begins_where_the_first_did(void **state)
{
	struct hw_window_join join;
	struct fixture f;
	struct hw_scan scan;
	struct hw_run run, out;
	struct hw_str text, last;

	(void)state;
	begin(&f);
	join = join_of(&f);
	put(&f, PLAIN, "UPDATED", "1", "0", "u");
	for (unsigned i = 0; i < 3; i++)
		put(&f, APPEND, "UPDATED", "\"e\"", i == 2 ? "\"3\"" : "\"12\"", "u");
	hw_window_begin(f.window, SIZE_MAX);
	assert_int_equal(hw_scan_begin(&scan, f.journal, 1, NULL, 0), 0);
	assert_true(hw_scan_next(&scan, UINT64_MAX, &run));
	assert_int_equal(hw_window_add(f.window, &run, HW_CONFLATE_APPEND), 3);
	hw_scan_end(&scan);
	assert_int_equal(hw_window_after(f.window), 1);
	assert_int_equal(hw_window_upto(f.window), 4);
	assert_int_equal(hw_window_next(f.window, &join, &out), 0);
	assert_int_equal(out.n, 1);
	assert_int_equal(out.after, 1);
	assert_int_equal(out.upto, 4);
	assert_int_equal(out.last_seq, 4);
	assert_true(hw_run_has_id(&out, 0));
	text = hw_run_event(&out, 0, NULL);
	last = hw_run_event(&run, 2, NULL);
	/* but for its payload byte by byte what the last one is */
	assert_int_equal(text.len, last.len + 4);
	assert_memory_equal(text.p + text.len - 90, last.p + last.len - 90, 90);
	assert_non_null(memmem(text.p, text.len, "\"payload\":\"12123\"", 17));
	assert_int_equal(hw_window_next(f.window, &join, &out), HW_WINDOW_END);
	end(&f);
}

static void what_is_joined_is_no_larger_than_an_event_may_be(void **state)
{
	struct fixture f;
	char payload[128];

	(void)state;
	begin(&f);
	memset(payload, 'x', 100);
	payload[0] = payload[99] = '"';
	payload[100] = '\0';
	for (unsigned i = 0; i < 10; i++)
		put(&f, APPEND, "UPDATED", "\"e\"", payload, "u");
	f.max_bytes = 600; /* an event is of about 300 bytes here */
	conflate_all(&f);
	assert_in_range(hw_window_left_out(f.window), 6, 8);
	f.max_bytes = 200;
	conflate_all(&f);
	assert_int_equal(hw_window_left_out(f.window), 0);
	end(&f);
}

static void a_window_is_bounded(void **state)
{
	struct hw_window_join join;
	struct hw_scan scan;
	struct hw_run run, out;
	size_t n = 0, taken, n_out = 0;
	struct fixture f;

	(void)state;
	begin(&f);
	join = join_of(&f);
	for (unsigned i = 0; i < 2 * HW_WINDOW_EVENTS; i++)
		put(&f, LATEST, "UPDATED", "\"e\"", "0", "u");
	/* by the events in it */
	hw_window_begin(f.window, SIZE_MAX);
	assert_int_equal(hw_scan_begin(&scan, f.journal, 0, NULL, 0), 0);
	do {
		assert_true(hw_scan_next(&scan, UINT64_MAX, &run));
		taken = hw_window_add(f.window, &run, HW_CONFLATE_LATEST);
		n += taken;
	} while (taken == run.n);
	assert_true(hw_window_full(f.window));
	assert_in_range(n, HW_WINDOW_EVENTS / 2, HW_WINDOW_EVENTS);
	assert_in_range(hw_window_read_bytes(f.window), HW_WINDOW_BYTES / 2,
		HW_WINDOW_BYTES + HW_JOURNAL_RUN_BYTES);
	assert_int_equal(hw_window_add(f.window, &run, HW_CONFLATE_LATEST), 0);
	assert_int_equal(hw_window_upto(f.window), n);
	assert_int_equal(hw_window_next(f.window, &join, &out), 0);
	assert_int_equal(out.upto, n);
	assert_int_equal(hw_window_left_out(f.window), n - 1);
	/* by what is to be sent: all of another entity */
	hw_window_begin(f.window, 1000);
	for (n = 0; n < run.n && !hw_window_full(f.window); n++) {
		struct hw_run part = hw_run_part(&run, n, 1);

		assert_int_equal(hw_window_add(f.window, &part, HW_CONFLATE_APPEND), 1);
	}
	assert_in_range(n, 2, 10);
	while (hw_window_next(f.window, &join, &out) == 0)
		n_out += out.n;
	assert_int_equal(n_out, n);
	hw_scan_end(&scan);
	end(&f);
}

static void a_window_is_bounded_by_bytes_too(void **state)
{
	struct hw_scan scan;
	struct hw_run run;
	size_t n = 0, taken;
	char payload[4096];
	struct fixture f;

	(void)state;
	begin(&f);
	memset(payload, 'x', sizeof(payload));
	payload[0] = payload[sizeof(payload) - 2] = '"';
	payload[sizeof(payload) - 1] = '\0';
	for (unsigned i = 0; i < HW_WINDOW_EVENTS / 2; i++)
		put(&f, LATEST, "UPDATED", "\"e\"", payload, "u");
	hw_window_begin(f.window, SIZE_MAX);
	assert_int_equal(hw_scan_begin(&scan, f.journal, 0, NULL, 0), 0);
	do {
		assert_true(hw_scan_next(&scan, UINT64_MAX, &run));
		taken = hw_window_add(f.window, &run, HW_CONFLATE_LATEST);
		n += taken;
	} while (taken == run.n);
	hw_scan_end(&scan);
	assert_true(hw_window_full(f.window));
	assert_in_range(hw_window_read_bytes(f.window), HW_WINDOW_BYTES,
		HW_WINDOW_BYTES + 2 * sizeof(payload));
	assert_in_range(n, 100, HW_WINDOW_BYTES / sizeof(payload) + 1);
	end(&f);
}

/* What is not an event, whoever stored it, is sent as it is. */
static void what_is_no_event_is_sent(void **state)
{
	struct hw_append event = {.topic = HW_STR(LATEST),
		.wall_ms = 1,
		.text = HW_STR("{\"topic\":\"" LATEST "\",\"event\":7")};
	struct hw_window_join join;
	uint64_t number, wake = 0;
	struct hw_scan scan;
	struct hw_run run;
	size_t n = 0;
	struct fixture f;

	(void)state;
	begin(&f);
	join = join_of(&f);
	put_letters(&f, LATEST, "UU");
	assert_int_equal(hw_journal_append(f.journal, &event, &number, &wake), 0);
	put_letters(&f, LATEST, "UU");
	hw_window_begin(f.window, SIZE_MAX);
	assert_int_equal(hw_scan_begin(&scan, f.journal, 0, NULL, 0), 0);
	while (hw_scan_next(&scan, UINT64_MAX, &run))
		assert_int_equal(hw_window_add(f.window, &run, HW_CONFLATE_LATEST), run.n);
	hw_scan_end(&scan);
	while (hw_window_next(f.window, &join, &run) == 0)
		n += run.n;
	assert_int_equal(n, 3); /* and nothing passes over it: whose it is cannot be known */
	end(&f);
}

static void exact_patterns_win(void **state)
{
	static const struct hw_conflate_rules rules = {.n = 3,
		.rules = {{"doc:1", HW_CONFLATE_APPEND}, {"doc:*", HW_CONFLATE_LATEST},
			{"doc:2", HW_CONFLATE_NONE}}};

	(void)state;
	assert_int_equal(hw_conflate_of(&rules, HW_STR("doc:1")), HW_CONFLATE_APPEND);
	assert_int_equal(hw_conflate_of(&rules, HW_STR("doc:2")), HW_CONFLATE_NONE);
	assert_int_equal(hw_conflate_of(&rules, HW_STR("doc:3")), HW_CONFLATE_LATEST);
	assert_int_equal(hw_conflate_of(&rules, HW_STR("docs:3")), HW_CONFLATE_NONE);
}

/* ---- at random ---- */

struct sent {
	unsigned topic, entity; /* topic 0: LATEST */
	char letter;
	char payload[32]; /* JSON */
};

static const char *const topics[] = {LATEST, APPEND, PLAIN};

static const char *name_of(char letter)
{
	return letter == 'A'   ? "ADDED"
	       : letter == 'U' ? "UPDATED"
	       : letter == 'D' ? "DELETED"
			       : "STATUS_CHANGED";
}

/* As applications publish: what is not there is added, what is there changes or goes. */
static void make(struct random *r, struct sent *all, size_t n)
{
	bool there[HW_COUNT(topics)][ENTITIES];
	bool flurry = false;

	for (size_t i = 0; i < HW_COUNT(topics) * ENTITIES; i++)
		there[i / ENTITIES][i % ENTITIES] = random_below(r, 2);
	for (size_t i = 0; i < n; i++) {
		struct sent *s = &all[i];
		uint64_t dice = random_below(r, 10);
		bool *is;

		if (i && flurry) { /* of the same */
			s->topic = s[-1].topic;
			s->entity = s[-1].entity;
		} else {
			s->topic = (unsigned)random_below(r, HW_COUNT(topics));
			s->entity = (unsigned)random_below(r, ENTITIES);
		}
		flurry = random_below(r, 3) != 0;
		is = &there[s->topic][s->entity];
		s->letter = dice == 0 ? 'S' : !*is ? 'A' : dice < 3 ? 'D' : 'U';
		if (s->letter != 'S')
			*is = s->letter != 'D';
		if (random_below(r, 4))
			snprintf(s->payload, sizeof(s->payload), "\"%zu.\"", i);
		else if (random_below(r, 3))
			snprintf(s->payload, sizeof(s->payload), "[%zu]", i);
		else
			snprintf(s->payload, sizeof(s->payload), "%zu", i);
	}
}

/* The model: which of all[from..to) leave. Of each entity, pieces that begin with an ADDED and end
 * with a DELETED, or another kind of event, are looked at one by one. */
static void model_latest(const struct sent *all, size_t from, size_t to, unsigned entity, bool *out)
{
	size_t added = SIZE_MAX, updated = SIZE_MAX;
	bool there = false, was_there = false;

	for (size_t i = from; i < to; i++) {
		if (all[i].topic != 0 || all[i].entity != entity)
			continue;
		out[i] = true;
		switch (all[i].letter) {
		case 'S':
			added = updated = SIZE_MAX;
			continue;
		case 'A':
			was_there = there;
			added = i;
			updated = SIZE_MAX;
			break;
		case 'U':
			if (updated != SIZE_MAX)
				out[updated] = false;
			updated = i;
			break;
		case 'D':
			for (size_t k = added != SIZE_MAX ? added : updated; k < i; k++)
				if (all[k].topic == 0 && all[k].entity == entity)
					out[k] = false;
			out[i] = added == SIZE_MAX || was_there;
			added = updated = SIZE_MAX;
			break;
		}
		there = all[i].letter != 'D';
	}
}

/* What a client knows: of an entity that is there, all that it was told. */
struct known {
	bool there[HW_COUNT(topics)][ENTITIES];
	struct hw_buf text[HW_COUNT(topics)][ENTITIES];
};

static void known_init(struct known *k)
{
	memset(k->there, 0, sizeof(k->there));
	for (size_t i = 0; i < HW_COUNT(topics) * ENTITIES; i++)
		hw_buf_init(&k->text[i / ENTITIES][i % ENTITIES]);
}

static void known_fini(struct known *k)
{
	for (size_t i = 0; i < HW_COUNT(topics) * ENTITIES; i++)
		hw_buf_fini(&k->text[i / ENTITIES][i % ENTITIES]);
}

/* Strings by what is in them, arrays by their elements: how they were cut is not to be seen. */
static void note_payload(struct hw_buf *out, struct hw_json payload)
{
	if (payload.kind == HW_JSON_STRING) {
		hw_buf_str(out, hw_json_inside(payload));
	} else if (payload.kind == HW_JSON_ARRAY) {
		hw_buf_putc(out, ',');
		hw_buf_str(out, hw_json_inside(payload));
	} else {
		hw_buf_printf(out, "<%.*s>", HW_STR_ARG(payload.raw));
	}
}

static void learn(struct known *k, struct hw_str text)
{
	struct hw_event ev;
	unsigned topic = 0, entity;
	struct hw_buf *out;

	assert_int_equal(hw_event_parse(text, 0, &ev, NULL, NULL), 0);
	while (!hw_str_eq(ev.topic, hw_str_of(topics[topic])))
		topic++;
	entity = (unsigned)(hw_json_inside(ev.entity_id).p[0] - '0');
	out = &k->text[topic][entity];
	if (hw_json_is(ev.event, HW_STR("DELETED"))) {
		k->there[topic][entity] = false;
		hw_buf_clear(out);
		return;
	}
	if (hw_json_is(ev.event, HW_STR("STATUS_CHANGED")))
		return;
	k->there[topic][entity] = true;
	if (topic == 0 || hw_json_is(ev.event, HW_STR("ADDED")))
		hw_buf_clear(out);
	note_payload(out, ev.payload);
}

/* Of the topics that are conflated to the latest only what is there, and as it is; a client begins
 * without what is there already. */
static void expect_known(const struct known *is, const struct known *should, const char *when)
{
	for (unsigned t = 0; t < HW_COUNT(topics); t++) {
		for (unsigned e = 0; e < ENTITIES; e++) {
			struct hw_str a = hw_buf_view(&is->text[t][e]);
			struct hw_str b = hw_buf_view(&should->text[t][e]);

			if (is->there[t][e] != should->there[t][e] || !hw_str_eq(a, b))
				fail_msg("%s: %s entity %u: %d \"%.*s\", not %d \"%.*s\"", when,
					topics[t], e, is->there[t][e], HW_STR_ARG(a),
					should->there[t][e], HW_STR_ARG(b));
		}
	}
}

struct left {
	uint64_t after, number;
	char *text;
};

struct play {
	struct fixture f;
	struct random random;
	struct sent all[EVENTS];
	bool stays[EVENTS]; /* by the model: not left out for a later one */
	struct left left[EVENTS];
	size_t n_left;
	char *raw[EVENTS];
};

static void play_window(struct play *p, size_t from, size_t to)
{
	struct hw_window_join join = join_of(&p->f);
	size_t n_left = p->n_left, n_gone = to - from;
	struct hw_run run;
	int r;

	for (size_t i = from; i < to; i++)
		p->stays[i] = true;
	for (unsigned e = 0; e < ENTITIES; e++)
		model_latest(p->all, from, to, e, p->stays);
	while ((r = hw_window_next(p->f.window, &join, &run)) == 0) {
		for (size_t i = 0; i < run.n; i++) {
			uint64_t before = i ? hw_run_number(&run, i - 1) : run.after;

			p->left[p->n_left++] = (struct left){before, hw_run_number(&run, i),
				hw_str_dup(hw_run_event(&run, i, NULL))};
		}
	}
	assert_int_equal(r, HW_WINDOW_END);
	n_gone -= p->n_left - n_left;
	assert_int_equal(hw_window_passed(p->f.window), to - from);
	assert_int_equal(hw_window_left_out(p->f.window), n_gone);
	/* it is the model's: what does not stay has not left, and what stays has, or is joined to
	 * the next that has */
	for (size_t i = from, l = n_left; i < to; i++) {
		if (!p->stays[i])
			continue;
		assert_true(l < p->n_left);
		if (p->left[l].number == i + 1) {
			l++;
			continue;
		}
		assert_true(p->left[l].number > i + 1 && p->left[l].after <= i);
		assert_int_equal(p->all[i].topic, 1);
		assert_int_equal(p->all[i].letter, 'U');
		assert_int_equal(p->all[p->left[l].number - 1].entity, p->all[i].entity);
	}
	/* and nothing that could be joined was not */
	for (size_t l = n_left + 1; l < p->n_left; l++) {
		const struct sent *a = &p->all[p->left[l - 1].number - 1];
		const struct sent *b = &p->all[p->left[l].number - 1];

		assert_false(a->topic == 1 && b->topic == 1 && a->entity == b->entity &&
			     a->letter == 'U' && b->letter == 'U' &&
			     a->payload[0] == b->payload[0] &&
			     (a->payload[0] == '"' || a->payload[0] == '['));
	}
}

/* All that is in the journal, in windows of any size. */
static void play_all(struct play *p)
{
	struct hw_scan scan;
	struct hw_run run;
	size_t from = 0, n = 0;

	hw_window_begin(p->f.window, 1 + random_below(&p->random, 40000));
	assert_int_equal(hw_scan_begin(&scan, p->f.journal, 0, NULL, 0), 0);
	while (hw_scan_next(&scan, UINT64_MAX, &run)) {
		while (run.n) {
			size_t taken = hw_window_add(p->f.window, &run, how_of(run.topic));

			for (size_t i = 0; i < taken; i++)
				p->raw[n++] = hw_str_dup(hw_run_event(&run, i, NULL));
			if (taken < run.n) {
				play_window(p, from, n);
				from = n;
				hw_window_begin(p->f.window, 1 + random_below(&p->random, 40000));
				run = hw_run_part(&run, taken, run.n - taken);
			} else {
				run.n = 0;
			}
		}
	}
	hw_scan_end(&scan);
	play_window(p, from, n);
	assert_int_equal(n, EVENTS);
}

static void come_back(const struct play *p, struct known *k, uint64_t after)
{
	for (size_t i = after; i < EVENTS; i++)
		learn(k, hw_str_of(p->raw[i]));
}

/* What was there before the first event, which the client has. */
static void know_before(const struct play *p, struct known *k)
{
	bool met[HW_COUNT(topics)][ENTITIES] = {{false}};

	known_init(k);
	for (size_t i = 0; i < EVENTS; i++) {
		const struct sent *s = &p->all[i];

		if (met[s->topic][s->entity] || s->letter == 'S')
			continue;
		met[s->topic][s->entity] = true;
		k->there[s->topic][s->entity] = s->letter != 'A';
	}
}

static void cut_anywhere(const struct play *p)
{
	struct known should;

	know_before(p, &should);
	come_back(p, &should, 0);
	for (size_t cut = 0; cut <= p->n_left; cut++) {
		struct known is;

		know_before(p, &is);
		for (size_t l = 0; l < cut; l++)
			learn(&is, hw_str_of(p->left[l].text));
		come_back(p, &is, cut ? p->left[cut - 1].number : 0);
		expect_known(&is, &should, "cut off and back");
		known_fini(&is);
	}
	/* what was queued and is dropped again is read again from before it */
	for (size_t l = 0; l < p->n_left; l++)
		assert_true(p->left[l].after >= (l ? p->left[l - 1].number : 0));
	known_fini(&should);
}

static void whatever_comes_and_wherever_it_is_cut(void **state)
{
	struct play *p = calloc(1, sizeof(*p));
	size_t n_left_out = 0;

	(void)state;
	assert_non_null(p);
	p->random = random_start("conflate");
	for (unsigned run = 0; run < RUNS; run++) {
		begin(&p->f);
		make(&p->random, p->all, EVENTS);
		for (size_t i = 0; i < EVENTS; i++) {
			char entity[8];

			snprintf(entity, sizeof(entity), "\"%u\"", p->all[i].entity);
			put(&p->f, topics[p->all[i].topic], name_of(p->all[i].letter), entity,
				p->all[i].payload, "u");
		}
		play_all(p);
		cut_anywhere(p);
		n_left_out += EVENTS - p->n_left;
		for (size_t l = 0; l < p->n_left; l++)
			free(p->left[l].text);
		for (size_t i = 0; i < EVENTS; i++)
			free(p->raw[i]);
		p->n_left = 0;
		end(&p->f);
	}
	assert_true(n_left_out > RUNS * EVENTS / 10);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_an_entity_the_latest_is_sent),
		cmocka_unit_test(what_came_and_went_is_not_sent),
		cmocka_unit_test(other_events_are_sent_and_nothing_passes_over_them),
		cmocka_unit_test(without_a_rule_all_is_sent),
		cmocka_unit_test(topics_have_entities_of_their_own),
		cmocka_unit_test(payloads_that_follow_each_other_are_joined),
		cmocka_unit_test(what_cannot_be_joined_stays_as_it_is),
		cmocka_unit_test(nothing_is_joined_over_what_is_sent_between),
		cmocka_unit_test(what_is_joined_is_the_last_event_and_begins_where_the_first_did),
		cmocka_unit_test(what_is_joined_is_no_larger_than_an_event_may_be),
		cmocka_unit_test(a_window_is_bounded),
		cmocka_unit_test(a_window_is_bounded_by_bytes_too),
		cmocka_unit_test(what_is_no_event_is_sent),
		cmocka_unit_test(exact_patterns_win),
		cmocka_unit_test(whatever_comes_and_wherever_it_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
