#include "hub/occupancy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHANGES_MAX = 2 };

struct change {
	struct hw_list link; /* in the tenant's changes */
	struct hw_occupied *topic;
	bool occupied;
	uint64_t number;
};

/* Lives while it is occupied, and until its last change is told. */
struct hw_occupied {
	unsigned n_workers;   /* that have subscriptions */
	struct hw_list grace; /* in the tenant's list while it is in grace */
	int64_t since_ms;     /* it is */
	/* those that wait are changes[first], changes[first + 1]: the ring of two */
	struct change changes[CHANGES_MAX];
	unsigned first, n_changes;
	size_t len;
	char name[];
};

static struct hw_str name_of(const struct hw_occupied *t)
{
	return (struct hw_str){t->name, t->len};
}

void hw_occupancy_init(struct hw_occupancy *o, const struct hw_hash_key *hash_key)
{
	*o = (struct hw_occupancy){.lock = PTHREAD_MUTEX_INITIALIZER};
	hw_map_init(&o->topics, hash_key);
	hw_list_init(&o->graces);
	hw_list_init(&o->changes);
}

void hw_occupancy_fini(struct hw_occupancy *o)
{
	for (hw_map_each (&o->topics, i))
		free(o->topics.slots[i].value);
	hw_map_fini(&o->topics);
	pthread_mutex_destroy(&o->lock);
}

/* ---- under the lock ---- */

static bool in_grace(const struct hw_occupied *t)
{
	return !hw_list_empty(&t->grace);
}

static struct hw_occupied *topic_get(struct hw_occupancy *o, struct hw_str name)
{
	struct hw_occupied *t = hw_map_get(&o->topics, name);

	if (t)
		return t;
	t = calloc(1, sizeof(*t) + name.len);
	if (!t)
		return NULL;
	hw_list_init(&t->grace);
	for (size_t i = 0; i < CHANGES_MAX; i++) {
		hw_list_init(&t->changes[i].link);
		t->changes[i].topic = t;
	}
	t->len = name.len;
	memcpy(t->name, name.p, name.len);
	if (hw_map_put(&o->topics, name_of(t), t, NULL)) {
		free(t);
		return NULL;
	}
	return t;
}

static void drop_if_done(struct hw_occupancy *o, struct hw_occupied *t)
{
	if (t->n_workers || in_grace(t) || t->n_changes)
		return;
	hw_map_remove(&o->topics, name_of(t));
	free(t);
}

/* Changes of a topic alternate, so that of three in a row the last two undo each other. */
static void change(struct hw_occupancy *o, struct hw_occupied *t, bool occupied)
{
	struct change *c = &t->changes[(t->first + t->n_changes) % CHANGES_MAX];

	if (t->n_changes == CHANGES_MAX) {
		c = &t->changes[(t->first + 1) % CHANGES_MAX];
		hw_list_remove(&c->link);
		t->n_changes--;
		o->n_undone += 2;
		return;
	}
	c->occupied = occupied;
	c->number = ++o->last_number;
	hw_list_push(&o->changes, &c->link);
	t->n_changes++;
}

static void vacate(struct hw_occupancy *o, struct hw_occupied *t)
{
	hw_list_remove(&t->grace);
	o->n_graces--;
	change(o, t, false);
	drop_if_done(o, t);
}

static struct hw_occupied *longest_in_grace(struct hw_occupancy *o)
{
	return hw_list_empty(&o->graces)
		       ? NULL
		       : HW_CONTAINER_OF(o->graces.next, struct hw_occupied, grace);
}

static void unlock(struct hw_occupancy *o, bool *tell)
{
	if (!o->telling && !hw_list_empty(&o->changes))
		*tell = o->telling = true;
	pthread_mutex_unlock(&o->lock);
}

/* ---- from outside ---- */

int hw_occupancy_join(
	struct hw_occupancy *o, struct hw_str topic, struct hw_occupied **out, bool *tell)
{
	struct hw_occupied *t;

	pthread_mutex_lock(&o->lock);
	t = topic_get(o, topic);
	if (t && t->n_workers++ == 0) {
		if (in_grace(t)) {
			hw_list_remove(&t->grace);
			o->n_graces--;
		} else {
			change(o, t, true);
		}
	}
	unlock(o, tell);
	if (!t)
		return -ENOMEM;
	*out = t;
	return 0;
}

bool hw_occupancy_leave(struct hw_occupancy *o, struct hw_occupied **topic, int64_t now_ms,
	int64_t grace_ms, bool *tell)
{
	struct hw_occupied *t = *topic;
	bool waits = false;

	*topic = NULL;
	pthread_mutex_lock(&o->lock);
	if (--t->n_workers == 0) {
		t->since_ms = now_ms;
		hw_list_push(&o->graces, &t->grace);
		o->n_graces++;
		waits = grace_ms > 0 && !o->ending;
		if (!waits)
			vacate(o, t);
		else if (o->n_graces > HW_OCCUPANCY_GRACES_MAX)
			vacate(o, longest_in_grace(o));
	}
	unlock(o, tell);
	return waits;
}

int64_t hw_occupancy_expire(struct hw_occupancy *o, int64_t now_ms, int64_t grace_ms, bool *tell)
{
	int64_t next_ms = INT64_MAX;
	struct hw_occupied *t;

	pthread_mutex_lock(&o->lock);
	while ((t = longest_in_grace(o)) && t->since_ms + grace_ms <= now_ms)
		vacate(o, t);
	if (t)
		next_ms = t->since_ms + grace_ms;
	unlock(o, tell);
	return next_ms;
}

void hw_occupancy_end(struct hw_occupancy *o, bool *tell)
{
	struct hw_occupied *t;

	pthread_mutex_lock(&o->lock);
	o->ending = true;
	while ((t = longest_in_grace(o)))
		vacate(o, t);
	unlock(o, tell);
}

bool hw_occupancy_next(struct hw_occupancy *o, struct hw_occupancy_change *out)
{
	struct hw_list *node;

	pthread_mutex_lock(&o->lock);
	node = hw_list_pop(&o->changes);
	if (node) {
		struct change *c = HW_CONTAINER_OF(node, struct change, link);
		struct hw_occupied *t = c->topic;

		out->occupied = c->occupied;
		out->number = c->number;
		out->topic_len = t->len;
		memcpy(out->topic, t->name, t->len);
		out->n_undone = o->n_undone;
		o->n_undone = 0;
		t->first = (t->first + 1) % CHANGES_MAX;
		t->n_changes--;
		drop_if_done(o, t);
	}
	o->telling = node != NULL;
	pthread_mutex_unlock(&o->lock);
	return node != NULL;
}
