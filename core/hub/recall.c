#include "hub/recall.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hook/inbox.h"
#include "hook/store.h"
#include "wire/cursor.h"
#include "wire/ws.h"

#define ROW_SEQ (UINT64_C(1) << 63) /* no event in memory has such a place in the order */

enum { HEADER_MAX = 14 };

/*   started ──> at the store ──> answered: frames made, on the store's thread ──> inbox ──> done
 * It lives until its owner has freed it, the store has answered, and nobody holds a run. */
struct hw_recall {
	struct hw_mail mail;
	struct hw_pin pin;
	struct hw_store_read read;
	struct hw_tenants *tenants;
	struct hw_journal *journal;
	struct hw_hook_env *env;
	unsigned worker;
	atomic_uint n_holds;
	void (*done)(void *arg); /* NULL: nobody waits */
	void *arg;
	struct hw_slice *topics;
	uint64_t *gone; /* as many */
	int result;
	uint64_t upto;
	size_t n;
	struct hw_run *runs;
	char *frames;
};

/* ---- life
 * ---------------------------------------------------------------------------------------------------------------
 */

static void let_go(struct hw_recall *r)
{
	if (atomic_fetch_sub_explicit(&r->n_holds, 1, memory_order_acq_rel) != 1)
		return;
	free(r->frames);
	free(r->runs);
	free(r->topics);
	free(r->gone);
	free(r);
}

static void pin_hold(struct hw_pin *pin)
{
	atomic_fetch_add_explicit(
		&HW_CONTAINER_OF(pin, struct hw_recall, pin)->n_holds, 1, memory_order_relaxed);
}

static void pin_release(struct hw_pin *pin)
{
	let_go(HW_CONTAINER_OF(pin, struct hw_recall, pin));
}

static const struct hw_pin_ops pin_ops = {.hold = pin_hold, .release = pin_release};

void hw_recall_free(struct hw_recall **recall)
{
	struct hw_recall *r = *recall;

	*recall = NULL;
	if (!r)
		return;
	r->done = NULL;
	let_go(r);
}

/* ---- rows become frames
 * ----------------------------------------------------------------------------------------------------
 */

/* What was stored begins with its topic, and is an object: the journal wrote it. */
static bool row_is_whole(const struct hw_journal_event *row)
{
	static const struct hw_str begin = {"{\"topic\":\"", sizeof("{\"topic\":\"") - 1};
	struct hw_str text = {row->event.p, row->event.len};

	return row->number && text.len > begin.len + row->topic.len + 1 &&
	       !memcmp(text.p, begin.p, begin.len) &&
	       !memcmp(text.p + begin.len, row->topic.p, row->topic.len) &&
	       text.p[begin.len + row->topic.len] == '"' && text.p[text.len - 1] == '}';
}

static size_t row_room(const struct hw_journal_event *row)
{
	return HEADER_MAX + row->event.len + sizeof(",\"id\":\"\"") + HW_CURSOR_MAX +
	       row->previous.len;
}

static void make_run(
	const struct hw_recall *r, const struct hw_journal_event *row, char **p, struct hw_run *run)
{
	char tail[HW_CURSOR_MAX + sizeof(",\"id\":\"\"}")], id[HW_CURSOR_MAX + 1];
	size_t text_len = row->event.len - 1, tail_len, header_len;
	char *frame = *p;

	hw_cursor_format(
		(struct hw_cursor){.epoch = hw_journal_epoch(r->journal), .seq = row->number}, id);
	tail_len = (size_t)snprintf(tail, sizeof(tail), ",\"id\":\"%s\"}", id);
	header_len = hw_ws_header((uint8_t *)frame, true, HW_WS_OP_TEXT, text_len + tail_len, NULL);
	memcpy(frame + header_len, row->event.p, text_len);
	memcpy(frame + header_len + text_len, tail, tail_len);
	*p = frame + header_len + text_len + tail_len;
	*run = (struct hw_run){
		.frames = frame,
		.len = (size_t)(*p - frame),
		.header_len = (uint8_t)header_len,
		.n = 1,
		.first_seq = ROW_SEQ | row->number,
		.last_seq = ROW_SEQ | row->number,
		.after = row->number - 1,
		.upto = row->number,
		.topic = {frame + header_len + sizeof("{\"topic\":\"") - 1, row->topic.len},
		.wall_ms = row->at_ms,
		.pin = (struct hw_pin *)(uintptr_t)&r->pin,
	};
	run->topic_hash = hw_hash(&r->tenants->hash_key, run->topic.p, run->topic.len);
	if (row->previous.len) {
		memcpy(*p, row->previous.p, row->previous.len);
		run->previous = (struct hw_str){*p, row->previous.len};
		*p += row->previous.len;
	}
}

static int take_rows(struct hw_recall *r, const struct hw_journal_rows *rows)
{
	uint64_t before = r->read.query.after;
	size_t bytes = 0;
	char *p;

	for (size_t i = 0; i < rows->n; i++) {
		const struct hw_journal_event *row = &rows->events[i];

		if (!row_is_whole(row) || row->number <= before || row->number > r->read.query.upto)
			return -EIO;
		before = row->number;
		bytes += row_room(row);
	}
	r->runs = calloc(rows->n ? rows->n : 1, sizeof(*r->runs));
	r->frames = malloc(bytes ? bytes : 1);
	if (!r->runs || !r->frames)
		return -ENOMEM;
	p = r->frames;
	for (; r->n < rows->n; r->n++)
		make_run(r, &rows->events[r->n], &p, &r->runs[r->n]);
	if (rows->gone)
		memcpy(r->gone, rows->gone, r->read.query.n_topics * sizeof(*r->gone));
	r->upto = rows->more && rows->n ? before : r->read.query.upto;
	return 0;
}

static void on_mail(struct hw_mail *mail)
{
	struct hw_recall *r = HW_CONTAINER_OF(mail, struct hw_recall, mail);

	if (r->done)
		r->done(r->arg);
	let_go(r);
}

/* The store's thread. */
static void on_answered(struct hw_store_read *read, int result, const struct hw_journal_rows *rows)
{
	struct hw_recall *r = HW_CONTAINER_OF(read, struct hw_recall, read);

	r->result = result ? result : take_rows(r, rows);
	if (!hw_hook_inbox_offer(r->env, r->worker, &r->mail))
		let_go(r);
}

/* ---- asking
 * ----------------------------------------------------------------------------------------------------------------
 */

/* The names, in one block behind the slices. */
static int copy_topics(struct hw_recall *r, const struct hw_recall_query *query)
{
	size_t bytes = query->n_topics * sizeof(*r->topics);
	char *p;

	for (size_t i = 0; i < query->n_topics; i++)
		bytes += query->topics[i].len;
	r->topics = malloc(bytes ? bytes : 1);
	r->gone = calloc(query->n_topics ? query->n_topics : 1, sizeof(*r->gone));
	if (!r->topics || !r->gone)
		return -ENOMEM;
	p = (char *)(r->topics + query->n_topics);
	for (size_t i = 0; i < query->n_topics; i++) {
		r->topics[i] = (struct hw_slice){p, query->topics[i].len};
		memcpy(p, query->topics[i].p, query->topics[i].len);
		p += query->topics[i].len;
	}
	return 0;
}

struct hw_recall *hw_recall_start(
	struct hw_hub *hub, const struct hw_recall_query *query, void (*done)(void *arg), void *arg)
{
	struct hw_recall *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->mail.run = on_mail;
	hw_list_init(&r->mail.link);
	r->pin.ops = &pin_ops;
	r->tenants = hub->worker->tenants;
	r->journal = hub->tenant->journal;
	r->env = hub->worker->env;
	r->worker = hub->worker->index;
	r->done = done;
	r->arg = arg;
	atomic_init(&r->n_holds, 1);
	if (copy_topics(r, query)) {
		let_go(r);
		return NULL;
	}
	r->read = (struct hw_store_read){
		.query = {.tenant = hw_slice_of(hub->tenant->id),
			.topics = r->topics,
			.n_topics = query->n_topics,
			.after = query->after,
			.upto = query->upto,
			.limit = query->limit,
			.max_bytes = query->max_bytes},
		.answered = on_answered,
	};
	atomic_fetch_add_explicit(&r->n_holds, 1, memory_order_relaxed); /* the store's */
	hw_store_read(hub->tenant->store, &r->read);
	return r;
}

/* ---- what came
 * ---------------------------------------------------------------------------------------------------------
 */

int hw_recall_result(const struct hw_recall *r)
{
	return r->result;
}

const struct hw_run *hw_recall_run(const struct hw_recall *r, size_t i)
{
	return i < r->n ? &r->runs[i] : NULL;
}

uint64_t hw_recall_gone(const struct hw_recall *r, struct hw_str topic)
{
	for (size_t i = 0; i < r->read.query.n_topics; i++)
		if (hw_str_eq((struct hw_str){r->topics[i].p, r->topics[i].len}, topic))
			return r->gone[i];
	return 0;
}

uint64_t hw_recall_upto(const struct hw_recall *r)
{
	return r->upto;
}
