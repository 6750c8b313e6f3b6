#include "hub/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hook/inbox.h"
#include "hook/store.h"
#include "hub/hub_internal.h"
#include "hub/notices.h"

enum {
	BATCH_EVENTS = 512,
	QUEUE_BYTES_MAX = 64u << 20, /* of one worker, handed over or not */
};

/* One event on its way. */
struct hw_keep {
	struct hw_list link; /* the worker's queue; no more once it is in a batch */
	struct hw_tenant *tenant;
	struct hw_keep_wait *wait; /* NULL: nobody waits; the worker's own */
	struct hw_idempotency_entry *key;
	struct hw_notice *notice;
	struct hw_append event; /* its slices point into @data */
	struct hw_str key_row;  /* likewise: what is stored beside it of its key; p NULL: nothing */
	size_t row;             /* its place in the append */
	size_t bytes;
	int result;
	uint64_t number;
	char data[];
};

/* What one worker hands over of one tenant's in one turn. */
struct batch {
	struct hw_mail mail;
	struct hw_worker *worker;
	struct hw_hook_env *env;
	unsigned worker_index;
	struct hw_tenant *tenant;
	struct hw_store_append append;
	size_t n;
	struct hw_keep *keeps[BATCH_EVENTS];
	struct hw_journal_event events[2 * BATCH_EVENTS]; /* with what is stored of keys */
};

/* ---- one event
 * -----------------------------------------------------------------------------------------------------------
 */

static struct hw_str put(char **p, struct hw_str s)
{
	struct hw_str copy = {*p, s.len};

	if (!s.p)
		return HW_STR_NULL;
	memcpy(*p, s.p, s.len);
	*p += s.len;
	return copy;
}

static struct hw_keep *keep_new(
	struct hw_hub *hub, const struct hw_append *event, struct hw_idempotency_entry *key)
{
	bool has_row = key && hub->tenant->keys.kept;
	size_t size = event->topic.len + event->text.len + 1 + event->previous.len +
		      (has_row ? HW_KEY_ROW_MAX : 0);
	struct hw_keep *k = malloc(sizeof(*k) + size);
	char *p;

	if (!k)
		return NULL;
	p = k->data;
	*k = (struct hw_keep){.tenant = hub->tenant, .event = *event, .bytes = sizeof(*k) + size};
	hw_list_init(&k->link);
	k->event.topic = put(&p, event->topic);
	k->event.text = put(&p, event->text);
	*p++ = '}'; /* for the store it is complete; the journal ends it with the id */
	k->event.previous = put(&p, event->previous);
	k->key = key;
	if (has_row)
		k->key_row = (struct hw_str){p, hw_key_row_write(key, p)};
	return k;
}

/* Any thread. */
static void settle_key(struct hw_keep *k)
{
	if (!k->key)
		return;
	if (k->result)
		hw_idempotency_release(&k->tenant->idempotency, k->key);
	else
		hw_idempotency_settle(&k->tenant->idempotency, k->key, k->number);
	k->key = NULL;
}

static void keep_end(struct hw_worker *w, struct hw_keep *k)
{
	struct hw_keep_wait *wait = k->wait;
	int result = k->result;
	uint64_t number = k->number;

	w->keep_bytes -= k->bytes;
	if (!result)
		hw_notice_tell(&k->notice, number);
	hw_notice_drop(&k->notice);
	free(k);
	if (!wait)
		return;
	wait->keep = NULL;
	wait->done(wait, result, number);
}

/* ---- batches
 * -------------------------------------------------------------------------------------------------------------
 */

static void on_mail(struct hw_mail *mail)
{
	struct batch *b = HW_CONTAINER_OF(mail, struct batch, mail);

	for (size_t i = 0; i < b->n; i++)
		keep_end(b->worker, b->keeps[i]);
	free(b);
}

/* The store's thread. The events are stored: they enter the journal in their order. */
static uint64_t enter_journal(struct batch *b, uint64_t first_number)
{
	uint64_t wake = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct hw_keep *k = b->keeps[i];

		k->event.number = first_number + k->row;
		k->result = hw_journal_append(b->tenant->journal, &k->event, &k->number, &wake);
		if (k->result == -ENOMEM) {
			/* it is stored, and whoever reads on finds it there */
			hw_journal_skip(b->tenant->journal, k->event.topic, k->event.number, &wake);
			k->number = k->event.number;
			k->result = 0;
		}
	}
	return wake;
}

static void on_answered(struct hw_store_append *append, int r, uint64_t first_number)
{
	struct batch *b = HW_CONTAINER_OF(append, struct batch, append);

	if (!r)
		hw_hubs_tell(b->tenant, enter_journal(b, first_number));
	for (size_t i = 0; i < b->n; i++) {
		if (r)
			b->keeps[i]->result = r;
		settle_key(b->keeps[i]);
	}
	if (hw_hook_inbox_offer(b->env, b->worker_index, &b->mail))
		return;
	/* the worker has ended, and with it who waited */
	for (size_t i = 0; i < b->n; i++) {
		hw_notice_abandon(&b->keeps[i]->notice);
		free(b->keeps[i]);
	}
	free(b);
}

static struct batch *batch_new(struct hw_worker *w, struct hw_tenant *tenant)
{
	struct batch *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	b->mail = (struct hw_mail){.run = on_mail};
	hw_list_init(&b->mail.link);
	b->worker = w;
	b->env = w->env;
	b->worker_index = w->index;
	b->tenant = tenant;
	b->n = 0;
	b->append = (struct hw_store_append){
		.tenant = tenant->id, .events = b->events, .answered = on_answered};
	return b;
}

static void batch_add(struct batch *b, struct hw_keep *k)
{
	if (k->key_row.p)
		b->events[b->append.n++] = hw_key_row(k->key_row, k->event.wall_ms);
	k->row = b->append.n;
	b->events[b->append.n++] = (struct hw_journal_event){
		.at_ms = k->event.wall_ms,
		.topic = hw_slice_of(k->event.topic),
		.event = {k->event.text.p, k->event.text.len + 1},
		.previous = hw_slice_of(k->event.previous),
	};
	b->keeps[b->n++] = k;
}

static void batch_submit(struct batch *b)
{
	hw_store_append(b->tenant->store, &b->append);
}

/* Of the queue's first tenant, as much as a batch takes. */
static bool submit_some(struct hw_worker *w)
{
	struct hw_keep *first = HW_CONTAINER_OF(w->keeps.next, struct hw_keep, link);
	struct batch *b = batch_new(w, first->tenant);
	struct hw_list *node, *next;

	if (!b)
		return false; /* in the next turn */
	for (node = w->keeps.next; node != &w->keeps && b->n < BATCH_EVENTS; node = next) {
		struct hw_keep *k = HW_CONTAINER_OF(node, struct hw_keep, link);

		next = node->next;
		if (k->tenant != b->tenant)
			continue;
		hw_list_remove(node);
		batch_add(b, k);
	}
	batch_submit(b);
	return true;
}

void hw_keeps_submit(struct hw_worker *w)
{
	while (!hw_list_empty(&w->keeps) && submit_some(w))
		;
}

void hw_keeps_fini(struct hw_worker *w)
{
	struct hw_list *node;

	while ((node = hw_list_pop(&w->keeps))) {
		struct hw_keep *k = HW_CONTAINER_OF(node, struct hw_keep, link);

		k->result = -ECANCELED;
		settle_key(k);
		keep_end(w, k);
	}
}

/* ---- who appends
 * -----------------------------------------------------------------------------------------------------------
 */

int hw_hub_append(struct hw_hub *hub, const struct hw_append *event,
	struct hw_idempotency_entry *key, struct hw_notice *notice, struct hw_keep_wait *wait,
	uint64_t *number)
{
	struct hw_worker *w = hub->worker;
	struct hw_keep *k;
	uint64_t wake = 0;
	int r = hw_journal_append(hub->tenant->journal, event, number, &wake);

	if (r != HW_JOURNAL_TO_STORE) {
		if (!r) {
			hw_hubs_tell(hub->tenant, wake);
			hw_notice_tell(&notice, *number);
		}
		hw_notice_drop(&notice);
		return r;
	}
	k = w->keep_bytes < QUEUE_BYTES_MAX ? keep_new(hub, event, key) : NULL;
	if (!k) {
		hw_notice_drop(&notice);
		return -EAGAIN;
	}
	k->notice = notice;
	k->wait = wait;
	wait->keep = k;
	w->keep_bytes += k->bytes;
	hw_list_push(&w->keeps, &k->link);
	return HW_HUB_LATER;
}

void hw_keep_forget(struct hw_keep_wait *wait)
{
	if (wait->keep)
		wait->keep->wait = NULL;
	wait->keep = NULL;
}

void hw_keep_move(struct hw_keep_wait *from, struct hw_keep_wait *to)
{
	to->keep = from->keep;
	from->keep = NULL;
	if (to->keep)
		to->keep->wait = to;
}
