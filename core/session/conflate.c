#include "session/conflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/cursor.h"
#include "wire/event.h"
#include "wire/sse.h"

enum {
	SLOTS = 2 * HW_WINDOW_EVENTS, /* a power of two */
	TAIL_MAX = HW_CURSOR_MAX + 16,
};

#define NOBODY UINT16_MAX

_Static_assert((int)HW_WINDOW_EVENTS < NOBODY, "places are 16 bits");

/* An event, or a run of a topic of which everything is sent. */
struct item {
	uint32_t run;   /* of window.runs */
	uint32_t index; /* in that; @n from there on */
	uint32_t n;
	bool left_out;
	bool appends; /* what follows is set: it may be joined to another */
	struct hw_json entity, payload, user;
};

/* What is known of one of a topic's entities, as far as the window goes: the latest of its events
 * that a later one may take the place of. */
struct entity {
	uint64_t hash;
	struct hw_str topic;
	struct hw_json id;
	uint16_t added, updated; /* items; NOBODY: there is none */
	bool fresh;              /* before @added it was not there */
	bool present;
};

struct hw_window {
	const struct hw_hash_key *hash_key;
	size_t most;
	size_t n_items, n_runs, n_entities;
	size_t bytes;      /* of what is to be sent */
	size_t read_bytes; /* of what was looked into */
	size_t next;       /* item */
	size_t passed, left_out;
	struct hw_buf scratch, payload, text;
	struct item items[HW_WINDOW_EVENTS];
	struct hw_run runs[HW_WINDOW_EVENTS];
	struct entity entities[HW_WINDOW_EVENTS];
	uint16_t slots[SLOTS]; /* of entities; NOBODY: free */
};

/* ---- life
 * ---------------------------------------------------------------------------------------------------------------
 */

struct hw_window *hw_window_create(const struct hw_hash_key *hash_key)
{
	struct hw_window *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->hash_key = hash_key;
	hw_buf_init(&w->scratch);
	hw_buf_init(&w->payload);
	hw_buf_init(&w->text);
	memset(w->slots, 0xff, sizeof(w->slots));
	return w;
}

static void forget_entities(struct hw_window *w)
{
	if (w->n_entities)
		memset(w->slots, 0xff, sizeof(w->slots));
	w->n_entities = 0;
}

void hw_window_begin(struct hw_window *w, size_t most)
{
	for (size_t i = 0; i < w->n_runs; i++)
		hw_pin_release(w->runs[i].pin);
	forget_entities(w);
	w->most = most;
	w->n_items = w->n_runs = w->next = 0;
	w->bytes = w->read_bytes = 0;
	w->passed = w->left_out = 0;
}

void hw_window_destroy(struct hw_window **window)
{
	struct hw_window *w = *window;

	*window = NULL;
	if (!w)
		return;
	hw_window_begin(w, 0);
	hw_buf_fini(&w->scratch);
	hw_buf_fini(&w->payload);
	hw_buf_fini(&w->text);
	free(w);
}

bool hw_window_empty(const struct hw_window *w)
{
	return w->n_items == 0;
}

bool hw_window_full(const struct hw_window *w)
{
	return w->n_items == HW_WINDOW_EVENTS || w->read_bytes >= HW_WINDOW_BYTES ||
	       (w->n_items && w->bytes >= w->most);
}

uint64_t hw_window_after(const struct hw_window *w)
{
	return w->runs[0].after;
}

uint64_t hw_window_upto(const struct hw_window *w)
{
	const struct item *last = &w->items[w->n_items - 1];

	return hw_run_number(&w->runs[last->run], last->index + last->n - 1);
}

size_t hw_window_read_bytes(const struct hw_window *w)
{
	return w->read_bytes;
}

size_t hw_window_passed(const struct hw_window *w)
{
	return w->passed;
}

size_t hw_window_left_out(const struct hw_window *w)
{
	return w->left_out;
}

/* ---- the latest of an entity
 * ------------------------------------------------------------------------------------------------
 */

static size_t text_len(const struct hw_window *w, const struct item *item)
{
	return hw_run_event(&w->runs[item->run], item->index, NULL).len;
}

static void leave_out(struct hw_window *w, uint16_t at)
{
	if (at == NOBODY)
		return;
	w->items[at].left_out = true;
	w->bytes -= text_len(w, &w->items[at]);
}

/* Strings are the same however they are escaped; of the rest, what is written alike. */
static bool same_scalar(struct hw_json a, struct hw_json b)
{
	if (a.kind != b.kind)
		return false;
	return a.kind == HW_JSON_STRING ? hw_json_same(a, b) : hw_str_eq(a.raw, b.raw);
}

static uint64_t hash_of(struct hw_window *w, const struct hw_run *run, struct hw_json id)
{
	struct hw_str text = id.raw;
	char *plain;

	if (id.kind == HW_JSON_STRING)
		text = hw_json_inside(id);
	if (id.kind == HW_JSON_STRING && id.escaped) {
		hw_buf_clear(&w->scratch);
		plain = hw_buf_reserve(&w->scratch, id.raw.len);
		if (plain) /* else the same id, written otherwise, counts as another: no harm */
			text = (struct hw_str){plain, hw_json_copy_any(id, plain)};
	}
	return run->topic_hash * 31 + hw_hash(w->hash_key, text.p, text.len);
}

/* There is room for as many as there are items. */
static struct entity *entity_of(struct hw_window *w, const struct hw_run *run, struct hw_json id)
{
	uint64_t hash = hash_of(w, run, id);
	size_t at = hash & (SLOTS - 1);

	for (; w->slots[at] != NOBODY; at = (at + 1) & (SLOTS - 1)) {
		struct entity *e = &w->entities[w->slots[at]];

		if (e->hash == hash && hw_str_eq(e->topic, run->topic) && same_scalar(e->id, id))
			return e;
	}
	w->slots[at] = (uint16_t)w->n_entities;
	w->entities[w->n_entities] = (struct entity){
		.hash = hash, .topic = run->topic, .id = id, .added = NOBODY, .updated = NOBODY};
	return &w->entities[w->n_entities++];
}

static void take_latest(
	struct hw_window *w, uint16_t at, const struct hw_run *run, const struct hw_event *ev)
{
	struct entity *e = entity_of(w, run, ev->entity_id);

	if (hw_json_is(ev->event, HW_STR("UPDATED"))) {
		leave_out(w, e->updated);
		e->updated = at;
		e->present = true;
	} else if (hw_json_is(ev->event, HW_STR("ADDED"))) {
		e->fresh = !e->present;
		e->present = true;
		e->added = at;
		e->updated = NOBODY;
	} else if (hw_json_is(ev->event, HW_STR("DELETED"))) {
		leave_out(w, e->updated);
		leave_out(w, e->added);
		if (e->added != NOBODY && e->fresh)
			leave_out(w, at); /* who never had it need not hear that it is gone */
		e->present = false;
		e->added = e->updated = NOBODY;
	} else {
		/* what it means together with what was before it is not ours to know */
		e->added = e->updated = NOBODY;
	}
}

/* ---- what is in it
 * --------------------------------------------------------------------------------------------------------
 */

static void take_append(struct item *item, const struct hw_event *ev)
{
	enum hw_json_kind kind = ev->payload.kind;

	if ((kind != HW_JSON_STRING && kind != HW_JSON_ARRAY) ||
		!hw_json_is(ev->event, HW_STR("UPDATED")))
		return;
	item->appends = true;
	item->entity = ev->entity_id;
	item->payload = ev->payload;
	item->user = ev->user_id;
}

static void take(struct hw_window *w, const struct hw_run *run, size_t i, enum hw_conflate how)
{
	struct item *item = &w->items[w->n_items];
	struct hw_str text = hw_run_event(run, i, NULL);
	struct hw_event ev;

	*item = (struct item){.run = (uint32_t)w->n_runs - 1, .index = (uint32_t)i, .n = 1};
	w->bytes += text.len;
	w->read_bytes += text.len;
	if (hw_event_parse(text, HW_JSON_UTF8_DONE, &ev, NULL, NULL))
		forget_entities(w); /* it may be of any of them */
	else if (how == HW_CONFLATE_LATEST)
		take_latest(w, (uint16_t)w->n_items, run, &ev);
	else
		take_append(item, &ev);
	w->n_items++;
}

size_t hw_window_add(struct hw_window *w, const struct hw_run *run, enum hw_conflate how)
{
	size_t n = 0;

	if (hw_window_full(w))
		return 0;
	hw_pin_hold(run->pin);
	w->runs[w->n_runs++] = *run;
	if (how == HW_CONFLATE_NONE) {
		w->items[w->n_items++] =
			(struct item){.run = (uint32_t)w->n_runs - 1, .n = (uint32_t)run->n};
		w->bytes += run->len;
		return run->n;
	}
	do
		take(w, run, n++, how);
	while (n < run->n && !hw_window_full(w));
	return n;
}

/* ---- joining
 * --------------------------------------------------------------------------------------------------------------
 */

static bool joins(const struct hw_window *w, const struct item *a, const struct item *b)
{
	return a->appends && b->appends && a->payload.kind == b->payload.kind &&
	       hw_str_eq(w->runs[a->run].topic, w->runs[b->run].topic) &&
	       same_scalar(a->entity, b->entity) && same_scalar(a->user, b->user);
}

static bool is_blank(struct hw_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!strchr(" \t\r\n", s.p[i]))
			return false;
	return true;
}

/* The text between its quotes or brackets, behind that of the ones before it. */
static void append(struct hw_buf *out, struct hw_json payload)
{
	struct hw_str inside = hw_json_inside(payload);

	if (payload.kind == HW_JSON_ARRAY && is_blank(inside))
		return;
	if (payload.kind == HW_JSON_ARRAY && out->len > 1)
		hw_buf_putc(out, ',');
	hw_buf_str(out, inside);
}

/* The event that item @last is, with the payloads of all from @first on. */
static int join_items(struct hw_window *w, const struct hw_window_join *join, size_t first,
	size_t last, struct hw_run *out)
{
	const struct item *item = &w->items[last];
	const struct item *begin = &w->items[first];
	const struct hw_run *run = &w->runs[item->run], *from = &w->runs[begin->run];
	struct hw_str text = hw_run_event(run, item->index, NULL), id = hw_sse_id_of(text);
	struct hw_event_fill fill = {.tenant_id = join->tenant_id,
		.trace_id = HW_STR(""),
		.wall_ms = run->wall_ms,
		.keep_user_id = true};
	struct hw_frame frame;
	struct hw_event ev;
	size_t tail_len = id.p ? sizeof(",\"id\":\"\"}") - 1 + id.len : 1;

	if (hw_event_parse(text, HW_JSON_UTF8_DONE, &ev, NULL, NULL))
		return -ENOMEM; /* it was an event a moment ago */
	hw_buf_clear(&w->payload);
	hw_buf_add(&w->payload, item->payload.raw.p, 1);
	for (size_t i = first; i <= last; i++)
		if (!w->items[i].left_out)
			append(&w->payload, w->items[i].payload);
	hw_buf_putc(&w->payload, item->payload.kind == HW_JSON_ARRAY ? ']' : '"');
	fill.payload = hw_buf_view(&w->payload);
	hw_buf_clear(&w->text);
	hw_event_encode(&w->text, &ev, &fill);
	if (w->payload.failed || w->text.failed ||
		hw_frames_add(join->frames, hw_buf_view(&w->text),
			(struct hw_str){text.p + text.len - tail_len, tail_len}, &frame))
		return -ENOMEM;
	*out = run->entry ? hw_run_part(run, item->index, 1) : *run;
	out->after = from->entry ? hw_run_part(from, begin->index, 1).after : from->after;
	out->frames = frame.p;
	out->len = frame.len;
	out->header_len = frame.header_len;
	out->pin = frame.pin;
	out->entry = NULL;
	out->previous = HW_STR_NULL;
	return 0;
}

/* ---- what leaves
 * ----------------------------------------------------------------------------------------------------------
 */

/* The next item behind @i that is not left out, n_items when there is none. */
static size_t following(const struct hw_window *w, size_t i)
{
	do
		i++;
	while (i < w->n_items && w->items[i].left_out);
	return i;
}

/* The last of those that @first can be joined to. */
static size_t last_joined(const struct hw_window *w, size_t first, size_t max_bytes, size_t *n)
{
	size_t last = first, payloads = 0, next;

	for (*n = 1; (next = following(w, last)) < w->n_items; last = next, (*n)++) {
		payloads += w->items[last].payload.raw.len;
		if (!joins(w, &w->items[last], &w->items[next]) ||
			payloads + text_len(w, &w->items[next]) > max_bytes)
			break;
	}
	return last;
}

/* What lies side by side in the run leaves as one. */
static struct hw_run as_it_is(const struct hw_window *w, size_t *at)
{
	const struct item *item = &w->items[*at];
	const struct hw_run *run = &w->runs[item->run];
	size_t n = item->n;

	if (!run->entry)
		return *run;
	while (*at + 1 < w->n_items) {
		const struct item *next = &w->items[*at + 1];

		if (next->left_out || next->appends || next->run != item->run)
			break;
		n += next->n;
		(*at)++;
	}
	return hw_run_part(run, item->index, n);
}

int hw_window_next(struct hw_window *w, const struct hw_window_join *join, struct hw_run *run)
{
	size_t before = w->next, first = before, last, n_joined = 1, n_left_out;

	if (first < w->n_items && w->items[first].left_out)
		first = following(w, first);
	last = first;
	if (first < w->n_items && w->items[first].appends)
		last = last_joined(w, first, join->max_bytes, &n_joined);
	if (n_joined > 1) {
		if (join_items(w, join, first, last, run))
			return -ENOMEM;
	} else if (first < w->n_items) {
		*run = as_it_is(w, &last);
	}
	/* what was passed */
	n_left_out = n_joined - 1;
	for (size_t i = before; i <= last && i < w->n_items; i++) {
		n_left_out += w->items[i].left_out;
		w->passed += w->items[i].n;
	}
	w->left_out += n_left_out;
	w->next = last < w->n_items ? last + 1 : last;
	return first < w->n_items ? 0 : HW_WINDOW_END;
}
