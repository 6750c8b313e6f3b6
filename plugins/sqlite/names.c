#include "names.h"

#include <stdlib.h>
#include <string.h>

enum { TOPICS_MAX = 16384 };

void names_init(struct names *names, const struct hw_host *host)
{
	*names = (struct names){0};
	host->random(names->tenants.key, sizeof(names->tenants.key));
	host->random(names->topics.key, sizeof(names->topics.key));
}

static void drop_tenant(struct map_node *node)
{
	struct tenant *t = MAP_OF(node, struct tenant, node);
	struct class *c;

	while ((c = t->classes)) {
		t->classes = c->next;
		free(c);
	}
	free(t->rules);
	free(t->new_rules);
	free(t);
}

static void drop_topic(struct map_node *node)
{
	free(MAP_OF(node, struct topic, node));
}

void names_fini(struct names *names)
{
	map_fini(&names->topics, drop_topic);
	map_fini(&names->tenants, drop_tenant);
}

/* ---- tenants and classes ---- */

struct tenant *names_tenant(struct names *names, struct hw_slice name)
{
	uint64_t hash = map_hash(&names->tenants, 0, name.p, name.len);
	struct map_node *node = map_first(&names->tenants, hash);
	struct tenant *t;

	for (; node; node = map_next(node)) {
		t = MAP_OF(node, struct tenant, node);
		if (slice_is(t->name, name))
			return t;
	}
	t = calloc(1, sizeof(*t) + name.len);
	if (!t)
		return NULL;
	memcpy(t + 1, name.p, name.len);
	t->name = (struct hw_slice){(char *)(t + 1), name.len};
	if (map_add(&names->tenants, &t->node, hash)) {
		free(t);
		return NULL;
	}
	return t;
}

struct class *names_class(struct names *names, struct tenant *tenant, struct hw_slice pattern)
{
	struct class *c = tenant->classes;

	while (c && !slice_is(c->pattern, pattern))
		c = c->next;
	if (c)
		return c;
	c = calloc(1, sizeof(*c) + pattern.len);
	if (!c)
		return NULL;
	if (pattern.len)
		memcpy(c + 1, pattern.p, pattern.len);
	c->pattern = (struct hw_slice){(char *)(c + 1), pattern.len};
	c->tenant = tenant;
	c->oldest_ms = INT64_MIN;
	c->next = tenant->classes;
	tenant->classes = c;
	c->next_of_all = names->classes;
	names->classes = c;
	return c;
}

/* ---- what the file knows ---- */

static struct hw_slice text_of(sqlite3_stmt *s, int column)
{
	const char *p = (const char *)sqlite3_column_text(s, column);

	return (struct hw_slice){p, (size_t)sqlite3_column_bytes(s, column)};
}

static int load_row(struct names *names, sqlite3_stmt *s)
{
	struct tenant *t = names_tenant(names, text_of(s, 0));
	struct class *c;

	if (!t)
		return -1;
	t->id = sqlite3_column_int64(s, 1);
	t->last = t->number = (uint64_t)sqlite3_column_int64(s, 2);
	if (sqlite3_column_type(s, 3) == SQLITE_NULL)
		return 0;
	c = names_class(names, t, text_of(s, 4));
	if (!c)
		return -1;
	c->id = c->committed.id = sqlite3_column_int64(s, 3);
	c->events = c->committed.events = (uint64_t)sqlite3_column_int64(s, 5);
	c->bytes = c->committed.bytes = (uint64_t)sqlite3_column_int64(s, 6);
	c->floor = c->committed.floor = (uint64_t)sqlite3_column_int64(s, 7);
	return 0;
}

int names_load(struct names *names, sqlite3 *db)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db,
		"SELECT t.name, t.id, t.last, c.id, c.pattern, c.events, c.bytes, c.floor"
		" FROM tenant t LEFT JOIN class c ON c.tenant = t.id",
		-1, &s, NULL);

	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
		rc = load_row(names, s) ? SQLITE_NOMEM : SQLITE_OK;
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? 0 : -1;
}

/* ---- topics ---- */

struct topic *names_topic(
	const struct names *names, uint64_t hash, const struct tenant *tenant, struct hw_slice name)
{
	struct map_node *node = map_first(&names->topics, hash);

	for (; node; node = map_next(node)) {
		struct topic *t = MAP_OF(node, struct topic, node);

		if (t->tenant == tenant && slice_is((struct hw_slice){t->name, t->len}, name))
			return t;
	}
	return NULL;
}

struct topic *names_topic_add(
	struct names *names, uint64_t hash, struct tenant *tenant, struct hw_slice name, int64_t id)
{
	struct topic *t;

	if (names->topics.n >= TOPICS_MAX)
		names_forget_topics(names);
	t = malloc(sizeof(*t) + name.len);
	if (!t)
		return NULL;
	*t = (struct topic){.tenant = tenant, .id = id, .len = name.len};
	memcpy(t->name, name.p, name.len);
	if (map_add(&names->topics, &t->node, hash)) {
		free(t);
		return NULL;
	}
	return t;
}

void names_forget_topics(struct names *names)
{
	map_clear(&names->topics, drop_topic);
}
