#include "hub/classes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hub/hub.h"
#include "wire/cursor.h"
#include "wire/event.h"

enum {
	VERDICTS = 256,            /* a power of two */
	CLASSIFY_MS_A_TURN = 20,   /* after a reload that reads other things, for many sessions */
	EVENTS_ASKED_A_SLICE = 64, /* a quarter of a turn's: events × classes */
	ID_TAIL_MAX = HW_CURSOR_MAX + 16,
};

enum outcome { AS_IT_IS, MADE, FILTERED, FAILED };

/* What a class sees of one event. */
struct hw_class_verdict {
	uint64_t class_id; /* 0 = empty */
	uint64_t seq;
	enum outcome outcome;
	struct hw_frame frame; /* MADE */
};

struct hw_class {
	struct hw_str key; /* in the same block, behind @values */
	uint64_t id;       /* never another's */
	size_t n_members;
	/* the last run that was looked at, and in which turn */
	const char *frames;
	uint64_t first_seq, last_seq, turn;
	struct hw_seen seen;
	struct hw_run *pieces;
	size_t cap_pieces;
	struct hw_json values[];
};

/* ---- life ---- */

void hw_classes_init(struct hw_hub *hub)
{
	struct hw_classes *c = &hub->classes;

	hw_map_init(&c->by_key, &hub->worker->tenants->hash_key);
	hw_frames_init(&c->frames);
	hw_buf_init(&c->text);
	hw_buf_init(&c->out);
	hw_buf_init(&c->key);
	hw_buf_init(&c->reads);
}

static void class_free(struct hw_class *class)
{
	free(class->pieces);
	free(class);
}

static void forget_all(struct hw_classes *c)
{
	for (hw_map_each (&c->by_key, i))
		class_free(c->by_key.slots[i].value);
	hw_map_fini(&c->by_key);
}

void hw_classes_fini(struct hw_hub *hub)
{
	struct hw_classes *c = &hub->classes;

	forget_all(c);
	hw_frames_fini(&c->frames);
	free(c->verdicts);
	hw_buf_fini(&c->text);
	hw_buf_fini(&c->out);
	hw_buf_fini(&c->key);
	hw_buf_fini(&c->reads);
}

static bool asks(const struct hw_hook_bench *bench)
{
	return hw_hook_bench_has(bench, HW_STAGE_FILTER) ||
	       hw_hook_bench_has(bench, HW_STAGE_REDACT);
}

/* Are other things read of recipients than before? */
static bool reads_change(struct hw_hub *hub)
{
	struct hw_classes *c = &hub->classes;
	bool same;

	hw_buf_clear(&c->key);
	hw_audience_reads(hub->worker->global, hub->bench, &c->key);
	same = c->epoch > 0 && !c->key.failed && !c->reads.failed &&
	       hw_str_eq(hw_buf_view(&c->key), hw_buf_view(&c->reads));
	hw_buf_clear(&c->reads);
	hw_buf_str(&c->reads, hw_buf_view(&c->key));
	c->reads.failed |= c->key.failed;
	return !same;
}

void hw_classes_renew(struct hw_hub *hub)
{
	struct hw_classes *c = &hub->classes;

	free(c->verdicts);
	c->verdicts = NULL;
	for (hw_map_each (&c->by_key, i))
		((struct hw_class *)c->by_key.slots[i].value)->frames = NULL;
	if (reads_change(hub)) {
		forget_all(c);
		hw_map_init(&c->by_key, &hub->worker->tenants->hash_key);
		c->epoch++;
	}
	/* Without a bench nobody can say what may be seen: what was filtered is withheld. */
	if (hub->bench)
		c->filtering = asks(hub->worker->global) || asks(hub->bench);
	c->n_values = hw_audience_count(hub->worker->global, hub->bench);
}

void hw_classes_flushed(struct hw_hub *hub)
{
	hw_frames_trim(&hub->classes.frames);
}

/* ---- who is alike ---- */

void hw_classes_leave(struct hw_hub *hub, struct hw_subscriber *s)
{
	struct hw_class *class = s->class;

	if (s->class_epoch == hub->classes.epoch && --class->n_members == 0) {
		hw_map_remove(&hub->classes.by_key, class->key);
		class_free(class);
	}
	s->class = NULL;
	s->class_epoch = 0;
}

static struct hw_class *class_new(struct hw_classes *c, struct hw_str key)
{
	size_t values = c->n_values * sizeof(struct hw_json);
	struct hw_class *class = calloc(1, sizeof(*class) + values + key.len + 1);
	char *p;

	if (!class)
		return NULL;
	p = (char *)class->values + values;
	if (key.len)
		memcpy(p, key.p, key.len);
	class->key = (struct hw_str){p, key.len};
	class->id = ++c->last_id;
	hw_audience_values(class->key, class->values, c->n_values);
	if (hw_map_put(&c->by_key, class->key, class, NULL)) {
		free(class);
		return NULL;
	}
	return class;
}

/* Starts what is counted in a turn. */
static void enter_turn(struct hw_hub *hub)
{
	struct hw_classes *c = &hub->classes;

	if (c->turn == hub->worker->turn)
		return;
	c->turn = hub->worker->turn;
	c->n_asks = 0;
	c->ask_ns = c->classify_ns = 0;
}

/* CPU time of the thread: what other processes take of it is no hook's doing. */
static int64_t now_ns(void)
{
	struct timespec t = {0, 0};

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct hw_class *find_class(struct hw_hub *hub, struct hw_subscriber *s)
{
	struct hw_classes *c = &hub->classes;
	struct hw_class *class;

	hw_buf_clear(&c->key);
	hw_audience_key(hub->worker->global, hub->bench, s->ops->identity(s), &c->key);
	if (c->key.failed)
		return NULL;
	class = hw_map_get(&c->by_key, hw_buf_view(&c->key));
	if (!class)
		class = class_new(c, hw_buf_view(&c->key));
	if (!class)
		return NULL;
	class->n_members++;
	s->class = class;
	s->class_epoch = c->epoch;
	return class;
}

void hw_classes_join(struct hw_hub *hub, struct hw_subscriber *s)
{
	if (hub->classes.filtering && s->class_epoch != hub->classes.epoch)
		(void)find_class(hub, s);
}

/* Its class; NULL: not in this turn. */
static struct hw_class *class_of(struct hw_hub *hub, struct hw_subscriber *s)
{
	struct hw_classes *c = &hub->classes;
	struct hw_class *class;
	int64_t began_ns;

	if (s->class_epoch == c->epoch)
		return s->class;
	enter_turn(hub);
	if (c->classify_ns > CLASSIFY_MS_A_TURN * INT64_C(1000000))
		return NULL;
	began_ns = now_ns();
	class = find_class(hub, s);
	c->classify_ns += now_ns() - began_ns;
	return class;
}

/* ---- what a turn has room for ---- */

bool hw_classes_may_ask(struct hw_hub *hub)
{
	const struct hw_classes *c = &hub->classes;

	if (!c->filtering || c->turn != hub->worker->turn)
		return true;
	return c->n_asks < HW_ASKS_A_TURN && c->ask_ns < HW_ASK_US_A_TURN * INT64_C(1000);
}

size_t hw_classes_slice(const struct hw_hub *hub)
{
	size_t n_classes = hw_map_count(&hub->classes.by_key);

	return n_classes < EVENTS_ASKED_A_SLICE ? EVENTS_ASKED_A_SLICE / (n_classes + 1) + 1 : 1;
}

/* ---- what a class sees of an event ---- */

/* An event on its way to one class. */
struct look {
	struct hw_hub *hub;
	const struct hw_class *class;
	const struct hw_run *run;
	struct hw_str text, previous;
	uint64_t seq, number;
	char tail[ID_TAIL_MAX]; /* what follows the canonical text: the id, where it has one */
	size_t tail_len;
};

static void find_tail(struct look *l)
{
	struct hw_cursor cursor = {
		.epoch = hw_journal_epoch(l->hub->tenant->journal), .seq = l->number};
	char id[HW_CURSOR_MAX + 1];

	(void)hw_cursor_format(cursor, id);
	l->tail_len = (size_t)snprintf(l->tail, sizeof(l->tail), ",\"id\":\"%s\"}", id);
	if (l->text.len > l->tail_len &&
		!memcmp(l->text.p + l->text.len - l->tail_len, l->tail, l->tail_len))
		return;
	l->tail[0] = '}'; /* of a class without history */
	l->tail_len = 1;
}

static enum hw_verdict ask(const struct look *l, struct hw_str text, struct hw_view *view)
{
	*view = (struct hw_view){
		.global = l->hub->worker->global,
		.tenant = l->hub->bench,
		.tenant_id = l->hub->tenant->id,
		.topic = l->run->topic,
		.values = l->class->values,
		.event = text,
	};
	return hw_hooks_view(view);
}

static struct hw_event_fill fill_of(const struct look *l)
{
	return (struct hw_event_fill){
		.tenant_id = l->hub->tenant->id,
		.trace_id = HW_STR(""),
		.wall_ms = l->run->wall_ms,
		.keep_user_id = true,
	};
}

/* All that is read here was looked at before: when it was stored, when it came out of a hook.
 * Should it be no event all the same, nobody gets it. -ENOMEM: another time. */
static int read_event(struct hw_str text, struct hw_event *ev, struct hw_class_verdict *v)
{
	int r = hw_event_parse(text, HW_JSON_UTF8_DONE, ev, NULL, NULL);

	if (r && r != -ENOMEM) {
		v->outcome = FAILED;
		return 0;
	}
	return r;
}

/* Writes the frame of what hooks left, or of an event under another name. */
static int make(struct look *l, struct hw_str text, const struct hw_event_fill *fill,
	struct hw_class_verdict *v)
{
	struct hw_classes *c = &l->hub->classes;
	struct hw_event ev;
	int r = read_event(text, &ev, v);

	if (r || v->outcome == FAILED)
		return r;
	hw_buf_clear(&c->out);
	hw_event_encode(&c->out, &ev, fill);
	if (c->out.failed)
		return -ENOMEM;
	v->outcome = MADE;
	return hw_frames_add(
		&c->frames, hw_buf_view(&c->out), (struct hw_str){l->tail, l->tail_len}, &v->frame);
}

/* What the view's entries left of @text. */
static struct hw_str left_of(const struct hw_view *view, struct hw_str text)
{
	return view->new_event ? (struct hw_str){view->new_event, view->new_event_len} : text;
}

static int give(struct look *l, const struct hw_view *now, struct hw_class_verdict *v)
{
	struct hw_event_fill fill = fill_of(l);

	v->outcome = AS_IT_IS;
	return now->new_event ? make(l, left_of(now, l->text), &fill, v) : 0;
}

/* The event as it would have been before: with what its payload was. */
static int write_before(struct look *l, const struct hw_event *ev)
{
	struct hw_buf *out = &l->hub->classes.text;
	struct hw_event_fill fill = fill_of(l);

	fill.payload = l->previous;
	hw_buf_clear(out);
	hw_event_encode(out, ev, &fill);
	hw_buf_add(out, l->tail, l->tail_len);
	return out->failed ? -ENOMEM : 0;
}

/* Who saw the entity before and does not now, hears that it is gone, of what they saw then no more
 * than which one it was; who sees it now and did not before, that it has come. */
static int change(
	struct look *l, enum hw_verdict sees, const struct hw_view *now, struct hw_class_verdict *v)
{
	struct hw_event_fill fill = fill_of(l);
	struct hw_view before;
	enum hw_verdict saw;
	struct hw_event ev;
	bool deleted;
	int r = read_event(l->text, &ev, v);

	if (r || v->outcome == FAILED)
		return r;
	r = write_before(l, &ev);
	if (r)
		return r;
	deleted = hw_json_is(ev.event, HW_STR("DELETED"));
	saw = ask(l, hw_buf_view(&l->hub->classes.text), &before);
	v->outcome = saw == HW_ERROR ? FAILED : FILTERED;
	if (saw == HW_ALLOW && sees == HW_ALLOW) {
		r = give(l, now, v);
	} else if (saw == HW_ALLOW) {
		fill.name = HW_STR("\"DELETED\"");
		fill.bare = true;
		r = make(l, left_of(&before, hw_buf_view(&l->hub->classes.text)), &fill, v);
	} else if (saw == HW_DENY && sees == HW_ALLOW && !deleted) {
		fill.name = HW_STR("\"ADDED\"");
		r = make(l, left_of(now, l->text), &fill, v);
	}
	free(before.new_event);
	return r;
}

static int look_at(struct look *l, struct hw_class_verdict *v)
{
	struct hw_view now;
	enum hw_verdict sees = ask(l, l->text, &now);
	int r = 0;

	if (sees != HW_ERROR && (l->previous.p || now.new_event))
		find_tail(l);
	if (sees == HW_ERROR)
		v->outcome = FAILED;
	else if (l->previous.p)
		r = change(l, sees, &now, v);
	else if (sees == HW_ALLOW)
		r = give(l, &now, v);
	else
		v->outcome = FILTERED;
	free(now.new_event);
	return r;
}

static bool still_good(const struct hw_classes *c, const struct hw_class_verdict *v,
	const struct hw_class *class, uint64_t seq)
{
	return v->class_id == class->id && v->seq == seq &&
	       (v->outcome != MADE || hw_frames_has(&c->frames, v->frame.serial));
}

static size_t slot_of(const struct hw_class *class, uint64_t seq)
{
	return (class->id * 31 + seq) & (VERDICTS - 1);
}

enum hw_seen_as hw_hub_seen_lately(
	const struct hw_hub *hub, const struct hw_subscriber *s, uint64_t seq)
{
	static const enum hw_seen_as as[] = {[AS_IT_IS] = HW_SEEN_STORED,
		[MADE] = HW_SEEN_MADE,
		[FILTERED] = HW_SEEN_NOT,
		[FAILED] = HW_SEEN_FAILED};
	const struct hw_classes *c = &hub->classes;
	const struct hw_class_verdict *v;

	if (!c->filtering || !c->verdicts || !s->class || s->class_epoch != c->epoch)
		return HW_SEEN_UNKNOWN;
	v = &c->verdicts[slot_of(s->class, seq)];
	return v->class_id == s->class->id && v->seq == seq ? as[v->outcome] : HW_SEEN_UNKNOWN;
}

/* The answer for one event, asked for only if it is not known. NULL: not in this turn. */
static const struct hw_class_verdict *verdict_of(
	struct hw_hub *hub, const struct hw_class *class, const struct hw_run *run, size_t i)
{
	struct hw_classes *c = &hub->classes;
	struct hw_class_verdict *slot, v = {.class_id = class->id};
	struct look l = {.hub = hub, .class = class, .run = run};
	int64_t began_ns;
	int r;

	if (!c->verdicts)
		c->verdicts = calloc(VERDICTS, sizeof(*c->verdicts));
	if (!c->verdicts)
		return NULL;
	l.text = hw_run_event(run, i, &l.seq);
	l.number = hw_run_number(run, i);
	slot = &c->verdicts[slot_of(class, l.seq)];
	if (still_good(c, slot, class, l.seq))
		return slot;
	enter_turn(hub);
	if (!hw_classes_may_ask(hub))
		return NULL;
	if (i == run->n - 1)
		l.previous = run->previous;
	v.seq = l.seq;
	began_ns = now_ns();
	r = look_at(&l, &v);
	c->n_asks++;
	c->ask_ns += now_ns() - began_ns;
	if (r)
		return NULL;
	*slot = v;
	return slot;
}

/* ---- what a class sees of a run ---- */

static struct hw_run *piece_push(struct hw_class *class)
{
	if (class->seen.n_pieces == class->cap_pieces) {
		size_t cap = class->cap_pieces ? class->cap_pieces * 2 : 2;
		struct hw_run *p = reallocarray(class->pieces, cap, sizeof(*p));

		if (!p)
			return NULL;
		class->pieces = p;
		class->cap_pieces = cap;
		class->seen.pieces = p;
	}
	return &class->pieces[class->seen.n_pieces++];
}

static int add_as_it_is(struct hw_class *class, const struct hw_run *run, size_t i)
{
	size_t n = class->seen.n_pieces;
	struct hw_run *piece = n ? &class->pieces[n - 1] : NULL;
	uint64_t before = 0;

	if (i > 0)
		(void)hw_run_event(run, i - 1, &before);
	if (piece && piece->entry && piece->last_seq == before) {
		hw_run_extend(piece, run, 1);
	} else {
		piece = piece_push(class);
		if (!piece)
			return -ENOMEM;
		*piece = run->entry ? hw_run_part(run, i, 1) : *run;
	}
	piece->previous = HW_STR_NULL; /* nobody's */
	return 0;
}

static int add_made(struct hw_class *class, const struct hw_run *run, size_t i,
	const struct hw_class_verdict *v)
{
	struct hw_run *piece = piece_push(class);
	uint64_t after = run->entry ? hw_run_part(run, i, 1).after : run->after;

	if (!piece)
		return -ENOMEM;
	*piece = (struct hw_run){
		.frames = v->frame.p,
		.len = v->frame.len,
		.header_len = v->frame.header_len,
		.pin = v->frame.pin,
		.n = 1,
		.first_seq = v->seq,
		.last_seq = v->seq,
		.after = after,
		.upto = hw_run_number(run, i),
		.topic = run->topic,
		.topic_hash = run->topic_hash,
		.wall_ms = run->wall_ms,
		.position = run->position,
	};
	return 0;
}

static int add(struct hw_class *class, const struct hw_run *run, size_t i,
	const struct hw_class_verdict *v)
{
	int r = 0;

	switch (v->outcome) {
	case AS_IT_IS:
		r = add_as_it_is(class, run, i);
		break;
	case MADE:
		r = add_made(class, run, i, v);
		break;
	case FILTERED:
		class->seen.n_filtered++;
		return 0;
	case FAILED:
		class->seen.n_failed++;
		return 0;
	}
	if (!r)
		class->seen.n_events++;
	return r;
}

static bool seen_already(
	const struct hw_hub *hub, const struct hw_class *class, const struct hw_run *run)
{
	return class->frames == run->frames && class->first_seq == run->first_seq &&
	       class->last_seq == run->last_seq && class->turn == hub->worker->turn;
}

static void see(struct hw_hub *hub, struct hw_class *class, const struct hw_run *run)
{
	class->frames = run->frames;
	class->first_seq = run->first_seq;
	class->last_seq = run->last_seq;
	class->turn = hub->worker->turn;
	class->seen = (struct hw_seen){.pieces = class->pieces, .upto = run->after};
	for (size_t i = 0; i < run->n; i++) {
		const struct hw_class_verdict *v = verdict_of(hub, class, run, i);

		if (!v || add(class, run, i, v))
			return;
		class->seen.upto = hw_run_number(run, i);
	}
	class->seen.whole = true;
}

struct hw_frames *hw_hub_frames(struct hw_hub *hub)
{
	if (hw_list_empty(&hub->read_link))
		hw_list_push(&hub->worker->read_hubs, &hub->read_link);
	return &hub->classes.frames;
}

const struct hw_seen *hw_hub_see(
	struct hw_hub *hub, struct hw_subscriber *s, const struct hw_run *run)
{
	struct hw_class *class = class_of(hub, s);

	if (!class)
		return NULL;
	if (!seen_already(hub, class, run)) {
		(void)hw_hub_frames(hub); /* what is made is kept until this turn is flushed */
		see(hub, class, run);
	}
	return &class->seen;
}
