#include "hub/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hub/hub_internal.h"
#include "wire/control.h"

enum {
	BATCH_MAX = 64,       /* changes in one message */
	TURN_MESSAGES = 4096, /* then the sockets get their turn */
};

struct hw_watch {
	struct hw_list followers;
	struct hw_list changes; /* that are to be told */
	struct hw_list dirty;   /* in the hub's list while there are any */
	bool lost;              /* instead of changes */
	bool busy;              /* being told: it stays */
	size_t len;
	char topic[];
};

/* ---- watches ---- */

static struct hw_str topic_of(const struct hw_watch *w)
{
	return (struct hw_str){w->topic, w->len};
}

static struct hw_presence *presence_of(struct hw_hub *hub)
{
	return &hub->tenant->presence;
}

static void forget_changes(struct hw_list *changes)
{
	struct hw_list *node;

	while ((node = hw_list_pop(changes)))
		free(HW_CONTAINER_OF(node, struct hw_presence_change, link));
}

static void watch_free(struct hw_watch *w)
{
	hw_list_remove(&w->dirty);
	forget_changes(&w->changes);
	free(w);
}

static void drop_if_unfollowed(struct hw_hub *hub, struct hw_watch *w)
{
	if (!hw_list_empty(&w->followers) || w->busy)
		return;
	hw_presence_unwatch(presence_of(hub), &hub->follows.reader, topic_of(w));
	hw_map_remove(&hub->follows.watches, topic_of(w));
	watch_free(w);
}

static struct hw_watch *watch_get(struct hw_hub *hub, struct hw_str topic)
{
	struct hw_watch *w = hw_map_get(&hub->follows.watches, topic);

	if (w)
		return w;
	w = calloc(1, sizeof(*w) + topic.len);
	if (!w)
		return NULL;
	hw_list_init(&w->followers);
	hw_list_init(&w->changes);
	hw_list_init(&w->dirty);
	w->len = topic.len;
	memcpy(w->topic, topic.p, topic.len);
	if (hw_map_put(&hub->follows.watches, topic_of(w), w, NULL)) {
		watch_free(w);
		return NULL;
	}
	if (hw_presence_watch(presence_of(hub), &hub->follows.reader, topic)) {
		drop_if_unfollowed(hub, w);
		return NULL;
	}
	return w;
}

int hw_follow(struct hw_hub *hub, struct hw_follower *f, struct hw_str topic)
{
	struct hw_watch *w = watch_get(hub, topic);

	if (!w)
		return -ENOMEM;
	f->watch = w;
	hw_list_init(&f->link);
	hw_list_push(&w->followers, &f->link);
	return 0;
}

void hw_unfollow(struct hw_hub *hub, struct hw_follower *f)
{
	struct hw_watch *w = f->watch;

	if (!w)
		return;
	f->watch = NULL;
	hw_list_remove(&f->link);
	drop_if_unfollowed(hub, w);
}

struct hw_str hw_followed(const struct hw_follower *f)
{
	return topic_of(f->watch);
}

/* ---- texts ---- */

static void add_user(void *arg, const struct hw_presence_user *user)
{
	hw_control_presence_add(arg, user->user_id, user->connections, user->info);
}

uint64_t hw_follow_list(struct hw_hub *hub, struct hw_str topic, struct hw_buf *out)
{
	return hw_presence_list(presence_of(hub), topic, add_user, out);
}

uint64_t hw_follow_list_again(struct hw_hub *hub, struct hw_str topic, struct hw_buf *out)
{
	uint64_t number;

	hw_control_presence_again_begin(out, topic);
	number = hw_follow_list(hub, topic, out);
	hw_control_presence_again_end(out, number);
	return number;
}

/* Changes of one topic that one message can say: none of a user that another is of. */
struct batch {
	struct hw_presence_change *changes[BATCH_MAX];
	size_t n;
};

static bool holds(const struct batch *b, const struct hw_presence_change *c)
{
	for (size_t i = 0; i < b->n; i++)
		if (hw_str_eq(b->changes[i]->user.user_id, c->user.user_id))
			return true;
	return false;
}

static void batch_take(struct batch *b, struct hw_list *changes)
{
	b->n = 0;
	while (b->n < BATCH_MAX && !hw_list_empty(changes)) {
		struct hw_presence_change *c =
			HW_CONTAINER_OF(changes->next, struct hw_presence_change, link);

		if (holds(b, c))
			break;
		hw_list_remove(&c->link);
		b->changes[b->n++] = c;
	}
}

static void batch_free(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->changes[i]);
}

static struct hw_str written(const struct hw_buf *out)
{
	return out->failed ? HW_STR_NULL : hw_buf_view(out);
}

/* Those of it that are behind @seen. */
static struct hw_str write_batch(
	struct hw_hub *hub, const struct hw_watch *w, const struct batch *b, uint64_t seen)
{
	struct hw_buf *out = &hub->follows.out;

	hw_buf_clear(out);
	hw_control_presence_changed_begin(out, topic_of(w), b->changes[b->n - 1]->number);
	for (unsigned kind = 0; kind < HW_PRESENCE_KINDS; kind++) {
		hw_control_presence_changed_list(out, kind);
		for (size_t i = 0; i < b->n; i++)
			if (b->changes[i]->kind == kind && b->changes[i]->number > seen)
				add_user(out, &b->changes[i]->user);
	}
	hw_control_presence_changed_end(out);
	return written(out);
}

/* ---- telling ---- */

/* Calls @tell for each follower, whatever becomes of the others meanwhile. */
static size_t for_each(struct hw_hub *hub, struct hw_watch *w,
	void (*tell)(struct hw_hub *hub, struct hw_watch *w, struct hw_follower *f, void *arg),
	void *arg)
{
	struct hw_list todo, *node;
	size_t n = 0;

	hw_list_init(&todo);
	hw_list_splice(&todo, &w->followers);
	w->busy = true;
	for (; (node = hw_list_pop(&todo)); n++) {
		hw_list_push(&w->followers, node);
		tell(hub, w, HW_CONTAINER_OF(node, struct hw_follower, link), arg);
	}
	w->busy = false;
	return n;
}

struct message {
	const struct batch *batch;
	struct hw_str text; /* for those who have seen nothing of it; p NULL: not written yet */
};

static void tell_changed(struct hw_hub *hub, struct hw_watch *w, struct hw_follower *f, void *arg)
{
	struct message *m = arg;
	const struct batch *b = m->batch;
	uint64_t seen = f->seen, last = b->changes[b->n - 1]->number;

	if (seen >= last)
		return; /* it has listed since */
	f->seen = last;
	if (seen >= b->changes[0]->number) {
		f->ops->changed(f, write_batch(hub, w, b, seen));
		m->text = HW_STR_NULL;
		return;
	}
	if (!m->text.p)
		m->text = write_batch(hub, w, b, 0);
	f->ops->changed(f, m->text);
}

static void tell_list(struct hw_hub *hub, struct hw_watch *w, struct hw_follower *f, void *arg)
{
	(void)w;
	f->seen = *(const uint64_t *)arg;
	f->ops->changed(f, written(&hub->follows.out));
}

/* One message of it, or the list. How many were sent. */
static size_t tell_some(struct hw_hub *hub, struct hw_watch *w)
{
	struct batch batch;
	struct message m = {.batch = &batch};
	uint64_t number;
	size_t n;

	if (w->lost) {
		w->lost = false;
		hw_buf_clear(&hub->follows.out);
		number = hw_follow_list_again(hub, topic_of(w), &hub->follows.out);
		return for_each(hub, w, tell_list, &number);
	}
	batch_take(&batch, &w->changes);
	n = for_each(hub, w, tell_changed, &m);
	batch_free(&batch);
	return n;
}

static void make_dirty(struct hw_hub *hub, struct hw_watch *w)
{
	if (hw_list_empty(&w->dirty))
		hw_list_push(&hub->follows.dirty, &w->dirty);
}

static void take(struct hw_hub *hub)
{
	struct hw_list taken, *node;

	hw_list_init(&taken);
	if (hw_presence_take(presence_of(hub), &hub->follows.reader, &taken)) {
		for (hw_map_each (&hub->follows.watches, i)) {
			struct hw_watch *w = hub->follows.watches.slots[i].value;

			forget_changes(&w->changes);
			w->lost = true;
			make_dirty(hub, w);
		}
	}
	while ((node = hw_list_pop(&taken))) {
		struct hw_presence_change *c =
			HW_CONTAINER_OF(node, struct hw_presence_change, link);
		struct hw_watch *w = hw_map_get(&hub->follows.watches, c->topic);

		if (!w) {
			free(c); /* nobody follows it here any more */
			continue;
		}
		hw_list_push(&w->changes, &c->link);
		make_dirty(hub, w);
	}
}

bool hw_follows_run(struct hw_hub *hub)
{
	size_t n = 0;

	if (atomic_load_explicit(&hub->follows.told, memory_order_relaxed) &&
		atomic_exchange(&hub->follows.told, false))
		take(hub);
	while (!hw_list_empty(&hub->follows.dirty)) {
		struct hw_watch *w =
			HW_CONTAINER_OF(hub->follows.dirty.next, struct hw_watch, dirty);

		if (n >= TURN_MESSAGES)
			return true;
		if (w->lost || !hw_list_empty(&w->changes))
			n += tell_some(hub, w) + 1;
		if (!w->lost && hw_list_empty(&w->changes))
			hw_list_remove(&w->dirty);
		drop_if_unfollowed(hub, w);
	}
	return false;
}

/* ---- life ---- */

static void tell(struct hw_presence_reader *reader)
{
	struct hw_hub *hub = HW_CONTAINER_OF(reader, struct hw_hub, follows.reader);

	atomic_store(&hub->follows.told, true);
	hw_hub_tell(hub);
}

void hw_follows_init(struct hw_hub *hub)
{
	hw_map_init(&hub->follows.watches, &hub->worker->tenants->hash_key);
	hw_list_init(&hub->follows.dirty);
	hw_buf_init(&hub->follows.out);
	hw_buf_init(&hub->follows.info);
}

void hw_follows_start(struct hw_hub *hub)
{
	hub->follows.reader =
		(struct hw_presence_reader){.index = hub->worker->index, .tell = tell};
	hw_presence_attach(presence_of(hub), &hub->follows.reader);
}

void hw_follows_fini(struct hw_hub *hub)
{
	if (hub->follows.reader.tell)
		hw_presence_detach(presence_of(hub), &hub->follows.reader);
	for (hw_map_each (&hub->follows.watches, i))
		watch_free(hub->follows.watches.slots[i].value);
	hw_map_fini(&hub->follows.watches);
	hw_buf_fini(&hub->follows.out);
	hw_buf_fini(&hub->follows.info);
}
