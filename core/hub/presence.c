#include "hub/presence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Connections that are one and the same. */
struct same {
	struct hw_list link;
	const void *same;
	unsigned n;
};

struct present_topic {
	struct hw_map users;
	uint64_t watching; /* workers: bit = index */
	size_t len;
	char name[];
};

struct present_user {
	struct present_topic *topic;
	unsigned n_connections;
	unsigned n_told;      /* as everybody was told; at least n_connections */
	struct hw_list grace; /* in the tenant's list while there are fewer than that */
	int64_t since_ms;     /* it is there */
	struct hw_list sames;
	char *info; /* as everybody was told; NULL: none */
	size_t info_len;
	size_t len;
	char id[];
};

static struct hw_str topic_name(const struct present_topic *t)
{
	return (struct hw_str){t->name, t->len};
}

static struct hw_str user_id_of(const struct present_user *u)
{
	return (struct hw_str){u->id, u->len};
}

static struct hw_str info_of(const struct present_user *u)
{
	return (struct hw_str){u->info, u->info_len};
}

static void user_free(struct present_user *u)
{
	struct hw_list *node;

	while ((node = hw_list_pop(&u->sames)))
		free(HW_CONTAINER_OF(node, struct same, link));
	free(u->info);
	free(u);
}

static void topic_free(struct present_topic *t)
{
	for (hw_map_each (&t->users, i))
		user_free(t->users.slots[i].value);
	hw_map_fini(&t->users);
	free(t);
}

void hw_presence_init(struct hw_presence *p, const struct hw_hash_key *hash_key)
{
	*p = (struct hw_presence){.lock = PTHREAD_MUTEX_INITIALIZER};
	hw_map_init(&p->topics, hash_key);
	hw_list_init(&p->graces);
}

void hw_presence_fini(struct hw_presence *p)
{
	for (hw_map_each (&p->topics, i))
		topic_free(p->topics.slots[i].value);
	hw_map_fini(&p->topics);
	pthread_mutex_destroy(&p->lock);
}

/* ---- changes; all of these under the lock ---- */

static struct hw_str put(char **at, struct hw_str s)
{
	struct hw_str copy = {s.p ? *at : NULL, s.len};

	if (s.len)
		memcpy(*at, s.p, s.len);
	*at += s.len;
	return copy;
}

static struct hw_presence_change *change_new(
	uint64_t number, enum hw_presence_kind kind, const struct present_user *u)
{
	struct hw_str info = kind == HW_PRESENCE_LEFT ? HW_STR_NULL : info_of(u);
	struct hw_presence_change *c = malloc(sizeof(*c) + u->topic->len + u->len + info.len);
	char *at;

	if (!c)
		return NULL;
	at = c->bytes;
	hw_list_init(&c->link);
	c->number = number;
	c->kind = kind;
	c->topic = put(&at, topic_name(u->topic));
	c->user.user_id = put(&at, user_id_of(u));
	c->user.info = put(&at, info);
	c->user.connections = u->n_told;
	return c;
}

static void forget_unread(struct hw_presence_reader *reader)
{
	struct hw_list *node;

	while ((node = hw_list_pop(&reader->unread)))
		free(HW_CONTAINER_OF(node, struct hw_presence_change, link));
	reader->n_unread = 0;
}

static void give(struct hw_presence_reader *reader, uint64_t number, enum hw_presence_kind kind,
	const struct present_user *u)
{
	struct hw_presence_change *c = NULL;

	if (reader->lost)
		return; /* it will list all of it, and this too */
	if (reader->n_unread < HW_PRESENCE_UNREAD_MAX)
		c = change_new(number, kind, u);
	if (c) {
		hw_list_push(&reader->unread, &c->link);
		reader->n_unread++;
	} else {
		forget_unread(reader);
		reader->lost = true;
	}
	if (reader->n_unread <= 1)
		reader->tell(reader);
}

static void change(struct hw_presence *p, enum hw_presence_kind kind, const struct present_user *u)
{
	uint64_t number = ++p->last_number;

	for (uint64_t left = u->topic->watching; left; left &= left - 1)
		give(p->readers[__builtin_ctzll(left)], number, kind, u);
}

/* ---- topics and users; under the lock ---- */

static struct present_topic *topic_get(struct hw_presence *p, struct hw_str name)
{
	struct present_topic *t = hw_map_get(&p->topics, name);

	if (t)
		return t;
	t = calloc(1, sizeof(*t) + name.len);
	if (!t)
		return NULL;
	hw_map_init(&t->users, &p->topics.key);
	t->len = name.len;
	memcpy(t->name, name.p, name.len);
	if (hw_map_put(&p->topics, topic_name(t), t, NULL)) {
		topic_free(t);
		return NULL;
	}
	return t;
}

static void topic_drop_if_done(struct hw_presence *p, struct present_topic *t)
{
	if (hw_map_count(&t->users) || t->watching)
		return;
	hw_map_remove(&p->topics, topic_name(t));
	topic_free(t);
}

static struct present_user *user_find(
	struct hw_presence *p, struct hw_str topic, struct hw_str user_id)
{
	struct present_topic *t = hw_map_get(&p->topics, topic);

	return t ? hw_map_get(&t->users, user_id) : NULL;
}

static struct present_user *user_get(struct present_topic *t, struct hw_str id)
{
	struct present_user *u = hw_map_get(&t->users, id);

	if (u)
		return u;
	u = calloc(1, sizeof(*u) + id.len);
	if (!u)
		return NULL;
	hw_list_init(&u->grace);
	hw_list_init(&u->sames);
	u->topic = t;
	u->len = id.len;
	memcpy(u->id, id.p, id.len);
	if (hw_map_put(&t->users, user_id_of(u), u, NULL)) {
		user_free(u);
		return NULL;
	}
	return u;
}

static bool in_grace(const struct present_user *u)
{
	return !hw_list_empty(&u->grace);
}

static void end_grace(struct hw_presence *p, struct present_user *u)
{
	if (!in_grace(u))
		return;
	hw_list_remove(&u->grace);
	p->n_graces--;
}

static void begin_grace(struct hw_presence *p, struct present_user *u, int64_t now_ms)
{
	u->since_ms = now_ms;
	hw_list_push(&p->graces, &u->grace);
	p->n_graces++;
}

static void user_drop(struct hw_presence *p, struct present_user *u)
{
	struct present_topic *t = u->topic;

	end_grace(p, u);
	hw_map_remove(&t->users, user_id_of(u));
	user_free(u);
	topic_drop_if_done(p, t);
}

/* What is so is told. */
static void settle(struct hw_presence *p, struct present_user *u)
{
	end_grace(p, u);
	u->n_told = u->n_connections;
	if (u->n_connections) {
		change(p, HW_PRESENCE_UPDATED, u);
		return;
	}
	change(p, HW_PRESENCE_LEFT, u);
	user_drop(p, u);
}

/* 1: it is another now. 0: the same. -ENOMEM: it stays what it was. */
static int set_info(struct present_user *u, struct hw_str info)
{
	char *copy = NULL;

	if (info.len == u->info_len && (!info.len || !memcmp(info.p, u->info, info.len)))
		return 0;
	if (info.len) {
		copy = malloc(info.len);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, info.p, info.len);
	}
	free(u->info);
	u->info = copy;
	u->info_len = info.len;
	return 1;
}

static struct same *same_find(struct present_user *u, const void *same)
{
	hw_list_each (node, &u->sames) {
		struct same *s = HW_CONTAINER_OF(node, struct same, link);

		if (s->same == same)
			return s;
	}
	return NULL;
}

/* How many connections more it is now: 0 or 1; or -ENOMEM. */
static int count_in(struct present_user *u, const void *same)
{
	struct same *s = same ? same_find(u, same) : NULL;

	if (s) {
		s->n++;
		return 0;
	}
	if (same) {
		s = malloc(sizeof(*s));
		if (!s)
			return -ENOMEM;
		*s = (struct same){.same = same, .n = 1};
		hw_list_push(&u->sames, &s->link);
	}
	u->n_connections++;
	return 1;
}

/* false: it is as many as before. */
static bool count_out(struct present_user *u, const void *same)
{
	struct same *s = same ? same_find(u, same) : NULL;

	if (s && --s->n > 0)
		return false;
	if (s) {
		hw_list_remove(&s->link);
		free(s);
	}
	u->n_connections--;
	return true;
}

/* ---- from outside ---- */

static int join(struct hw_presence *p, struct present_user *u, const void *same, struct hw_str info)
{
	int r = count_in(u, same), other;

	if (r < 0)
		return r;
	other = set_info(u, info);
	if (other < 0) {
		(void)count_out(u, same);
		return other;
	}
	if (u->n_connections >= u->n_told)
		end_grace(p, u);
	if (u->n_told == 0) {
		u->n_told = u->n_connections;
		change(p, HW_PRESENCE_JOINED, u);
	} else if (u->n_connections > u->n_told || other) {
		if (u->n_connections > u->n_told)
			u->n_told = u->n_connections;
		change(p, HW_PRESENCE_UPDATED, u);
	}
	return 0;
}

int hw_presence_join(struct hw_presence *p, struct hw_str topic, struct hw_str user_id,
	const void *same, struct hw_str info)
{
	struct present_topic *t;
	struct present_user *u;
	int r = -ENOMEM;

	pthread_mutex_lock(&p->lock);
	t = topic_get(p, topic);
	u = t ? user_get(t, user_id) : NULL;
	if (u) {
		r = join(p, u, same, info);
		if (r && u->n_told == 0)
			user_drop(p, u);
	} else if (t) {
		topic_drop_if_done(p, t);
	}
	pthread_mutex_unlock(&p->lock);
	return r;
}

static struct present_user *longest_in_grace(struct hw_presence *p)
{
	return hw_list_empty(&p->graces)
		       ? NULL
		       : HW_CONTAINER_OF(p->graces.next, struct present_user, grace);
}

/* The period of who has gone begins with the last of its connections. */
static bool leave(struct hw_presence *p, struct present_user *u, int64_t now_ms, int64_t grace_ms)
{
	if (grace_ms <= 0) {
		settle(p, u);
		return false;
	}
	if (u->n_connections == 0)
		end_grace(p, u);
	if (!in_grace(u))
		begin_grace(p, u, now_ms);
	if (p->n_graces > HW_PRESENCE_GRACES_MAX)
		settle(p, longest_in_grace(p));
	return true;
}

bool hw_presence_leave(struct hw_presence *p, struct hw_str topic, struct hw_str user_id,
	const void *same, int64_t now_ms, int64_t grace_ms)
{
	struct present_user *u;
	bool waits = false;

	pthread_mutex_lock(&p->lock);
	u = user_find(p, topic, user_id);
	if (u && u->n_connections && count_out(u, same))
		waits = leave(p, u, now_ms, grace_ms);
	pthread_mutex_unlock(&p->lock);
	return waits;
}

void hw_presence_inform(
	struct hw_presence *p, struct hw_str topic, struct hw_str user_id, struct hw_str info)
{
	struct present_user *u;

	pthread_mutex_lock(&p->lock);
	u = user_find(p, topic, user_id);
	if (u && set_info(u, info) > 0)
		change(p, HW_PRESENCE_UPDATED, u);
	pthread_mutex_unlock(&p->lock);
}

int64_t hw_presence_expire(struct hw_presence *p, int64_t now_ms, int64_t grace_ms)
{
	int64_t next_ms = INT64_MAX;
	struct present_user *u;
	unsigned n = 0;

	pthread_mutex_lock(&p->lock);
	while ((u = longest_in_grace(p)) && u->since_ms + grace_ms <= now_ms &&
		n++ < HW_PRESENCE_EXPIRE_MAX)
		settle(p, u);
	if (u)
		next_ms = u->since_ms + grace_ms > now_ms ? u->since_ms + grace_ms : now_ms;
	pthread_mutex_unlock(&p->lock);
	return next_ms;
}

/* ---- who reads ---- */

void hw_presence_attach(struct hw_presence *p, struct hw_presence_reader *reader)
{
	hw_list_init(&reader->unread);
	reader->n_unread = 0;
	reader->lost = false;
	pthread_mutex_lock(&p->lock);
	p->readers[reader->index] = reader;
	pthread_mutex_unlock(&p->lock);
}

void hw_presence_detach(struct hw_presence *p, struct hw_presence_reader *reader)
{
	pthread_mutex_lock(&p->lock);
	for (hw_map_each (&p->topics, i)) {
		struct present_topic *t = p->topics.slots[i].value;

		t->watching &= ~(UINT64_C(1) << reader->index);
		topic_drop_if_done(p, t);
	}
	p->readers[reader->index] = NULL;
	forget_unread(reader);
	pthread_mutex_unlock(&p->lock);
}

int hw_presence_watch(struct hw_presence *p, struct hw_presence_reader *reader, struct hw_str topic)
{
	struct present_topic *t;

	pthread_mutex_lock(&p->lock);
	t = topic_get(p, topic);
	if (t)
		t->watching |= UINT64_C(1) << reader->index;
	pthread_mutex_unlock(&p->lock);
	return t ? 0 : -ENOMEM;
}

void hw_presence_unwatch(
	struct hw_presence *p, struct hw_presence_reader *reader, struct hw_str topic)
{
	struct present_topic *t;

	pthread_mutex_lock(&p->lock);
	t = hw_map_get(&p->topics, topic);
	if (t) {
		t->watching &= ~(UINT64_C(1) << reader->index);
		topic_drop_if_done(p, t);
	}
	pthread_mutex_unlock(&p->lock);
}

bool hw_presence_take(struct hw_presence *p, struct hw_presence_reader *reader, struct hw_list *out)
{
	bool lost;

	pthread_mutex_lock(&p->lock);
	lost = reader->lost;
	reader->lost = false;
	hw_list_splice(out, &reader->unread);
	reader->n_unread = 0;
	pthread_mutex_unlock(&p->lock);
	return lost;
}

static void list(const struct present_topic *t,
	void (*each)(void *arg, const struct hw_presence_user *user), void *arg)
{
	for (hw_map_each (&t->users, i)) {
		const struct present_user *u = t->users.slots[i].value;

		each(arg, &(struct hw_presence_user){.user_id = user_id_of(u),
				  .connections = u->n_told,
				  .info = info_of(u)});
	}
}

uint64_t hw_presence_list(struct hw_presence *p, struct hw_str topic,
	void (*each)(void *arg, const struct hw_presence_user *user), void *arg)
{
	const struct present_topic *t;
	uint64_t number;

	pthread_mutex_lock(&p->lock);
	t = hw_map_get(&p->topics, topic);
	if (t)
		list(t, each, arg);
	number = p->last_number;
	pthread_mutex_unlock(&p->lock);
	return number;
}
