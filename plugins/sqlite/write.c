#include "write.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	TRANSACTION_BYTES = 16 << 20,
	TELL_AGAIN_MS = 60000,
};

static const char *const texts[N_STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[TENANT_ADD] = "INSERT INTO tenant(name, last) VALUES(?1, 0)",
	[TENANT_SET] = "UPDATE tenant SET last = ?2 WHERE id = ?1",
	[CLASS_ADD] = "INSERT INTO class(tenant, pattern) VALUES(?1, ?2)",
	[CLASS_SET] = "UPDATE class SET events = ?2, bytes = ?3, floor = ?4 WHERE id = ?1",
	[TOPIC_FIND] = "SELECT id, empty FROM topic WHERE tenant = ?1 AND name = ?2",
	[TOPIC_ADD] = "INSERT INTO topic(tenant, name, gone) VALUES(?1, ?2, ?3)",
	[TOPIC_FILLED] = "UPDATE topic SET empty = 0 WHERE id = ?1",
	[EVENT_ADD] =
		"INSERT INTO event(id, topic, at_ms, event, previous) VALUES(?1, ?2, ?3, ?4, ?5)",
	[EVENT_OLDEST] = "SELECT at_ms FROM event WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1",
	[EVENT_FIRST] = "SELECT id, topic, at_ms, event, previous FROM event"
			" WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
	[EVENT_DROP] = "DELETE FROM event WHERE id > ?1 AND id <= ?2",
	[EVENT_STEP] = "SELECT max(id) FROM"
		       " (SELECT id FROM event WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
	[EVENT_REDATE] = "UPDATE event SET at_ms = ?3 WHERE id > ?1 AND id <= ?2 AND at_ms > ?3",
	[TOPIC_GONE] = "UPDATE topic SET gone = max(gone, ?2), class = ?3,"
		       " empty = NOT EXISTS (SELECT 1 FROM event WHERE event.topic = ?1)"
		       " WHERE id = ?1 RETURNING empty",
	[EMPTY_COUNT] = "SELECT count(*) FROM topic WHERE class = ?1 AND empty = 1",
	[EMPTY_NTH] = "SELECT gone FROM topic WHERE class = ?1 AND empty = 1"
		      " ORDER BY gone LIMIT 1 OFFSET ?2",
	[EMPTY_DROP] = "DELETE FROM topic WHERE class = ?1 AND empty = 1 AND gone <= ?2",
};

int64_t writer_mono_ms(void)
{
	struct timespec t = {0, 0};

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int writer_do(struct writer *w, enum statement which)
{
	sqlite3_stmt *s = w->statements[which];
	int rc = sqlite3_step(s);

	sqlite3_reset(s);
	return rc == SQLITE_DONE ? 0 : -1;
}

static int bind_text(sqlite3_stmt *s, int at, struct hw_slice text)
{
	/* bytes that stay until the statement is done */
	return sqlite3_bind_text(s, at, text.len ? text.p : "", (int)text.len, SQLITE_STATIC);
}

/* ---- transactions ---- */

static void tell_failure(struct writer *w, const char *why)
{
	int64_t now_ms = writer_mono_ms();

	journal_count(w->journal, "sqlite_failures", 1);
	if (w->failing && now_ms < w->told_ms + TELL_AGAIN_MS)
		return;
	w->failing = true;
	w->told_ms = now_ms;
	journal_log(w->journal, HW_PLUGIN_ERROR,
		"the journal cannot be written: %s; publishes are refused until it can", why);
}

static void tell_success(struct writer *w)
{
	if (!w->failing)
		return;
	w->failing = false;
	journal_log(w->journal, HW_PLUGIN_INFO, "the journal is written again");
}

int transaction_begin(struct writer *w)
{
	w->touched_tenants = NULL;
	w->touched_classes = NULL;
	if (w->unsafe && !w->trimming) {
		if (file_do(w->db, "PRAGMA synchronous = FULL"))
			return -1;
		w->unsafe = false;
	}
	return writer_do(w, BEGIN);
}

static void touch_tenant(struct writer *w, struct tenant *t)
{
	if (t->touched)
		return;
	t->touched = true;
	t->next_touched = w->touched_tenants;
	w->touched_tenants = t;
}

void transaction_touch(struct writer *w, struct class *c)
{
	if (c->touched)
		return;
	c->touched = true;
	c->next_touched = w->touched_classes;
	w->touched_classes = c;
}

static int write_counters(struct writer *w)
{
	sqlite3_stmt *s = w->statements[CLASS_SET];

	for (const struct class *c = w->touched_classes; c; c = c->next_touched) {
		sqlite3_bind_int64(s, 1, c->id);
		sqlite3_bind_int64(s, 2, (int64_t)c->events);
		sqlite3_bind_int64(s, 3, (int64_t)c->bytes);
		sqlite3_bind_int64(s, 4, (int64_t)c->floor);
		if (writer_do(w, CLASS_SET))
			return -1;
	}
	s = w->statements[TENANT_SET];
	for (const struct tenant *t = w->touched_tenants; t; t = t->next_touched) {
		sqlite3_bind_int64(s, 1, t->id);
		sqlite3_bind_int64(s, 2, (int64_t)t->number);
		if (writer_do(w, TENANT_SET))
			return -1;
	}
	return 0;
}

static void keep_counters(struct writer *w)
{
	struct journal *j = w->journal;

	pthread_mutex_lock(&j->lock);
	for (struct tenant *t = w->touched_tenants; t; t = t->next_touched) {
		t->last = t->number;
		t->touched = t->is_new = false;
	}
	pthread_mutex_unlock(&j->lock);
	for (struct class *c = w->touched_classes; c; c = c->next_touched) {
		c->committed.id = c->id;
		c->committed.events = c->events;
		c->committed.bytes = c->bytes;
		c->committed.floor = c->floor;
		c->touched = false;
	}
}

static void restore_counters(struct writer *w)
{
	struct journal *j = w->journal;

	pthread_mutex_lock(&j->lock);
	for (struct tenant *t = w->touched_tenants; t; t = t->next_touched) {
		t->number = t->last;
		if (t->is_new)
			t->id = 0;
		t->touched = t->is_new = false;
	}
	pthread_mutex_unlock(&j->lock);
	for (struct class *c = w->touched_classes; c; c = c->next_touched) {
		c->id = c->committed.id;
		c->events = c->committed.events;
		c->bytes = c->committed.bytes;
		c->floor = c->committed.floor;
		c->touched = false;
	}
	names_forget_topics(&j->names); /* some have no row any more */
}

int transaction_end(struct writer *w, bool good)
{
	char why[256];

	good = good && write_counters(w) == 0 && writer_do(w, COMMIT) == 0;
	if (good) {
		keep_counters(w);
		tell_success(w);
		return 0;
	}
	file_error(w->db, why, sizeof(why));
	if (!sqlite3_get_autocommit(w->db)) /* some errors have done it already */
		(void)writer_do(w, ROLLBACK);
	restore_counters(w);
	tell_failure(w, why);
	return -1;
}

/* ---- rows that an event needs ---- */

static int need_tenant(struct writer *w, struct tenant *t)
{
	touch_tenant(w, t);
	if (t->id)
		return 0;
	bind_text(w->statements[TENANT_ADD], 1, t->name);
	if (writer_do(w, TENANT_ADD))
		return -1;
	t->id = sqlite3_last_insert_rowid(w->db);
	t->is_new = true;
	return 0;
}

static struct class *need_class(struct writer *w, struct tenant *t, struct hw_slice topic)
{
	const struct rule *rule = rules_find(t->rules, topic);
	struct class *c =
		names_class(&w->journal->names, t, rule ? rule->pattern : (struct hw_slice){"", 0});

	if (!c)
		return NULL;
	transaction_touch(w, c);
	if (c->id)
		return c;
	sqlite3_bind_int64(w->statements[CLASS_ADD], 1, t->id);
	bind_text(w->statements[CLASS_ADD], 2, c->pattern);
	if (writer_do(w, CLASS_ADD))
		return NULL;
	c->id = sqlite3_last_insert_rowid(w->db);
	return c->id <= CLASS_MAX ? c : NULL;
}

/* What may have gone of a topic that has no row: as much as of any that had to go. */
static uint64_t floor_of(const struct tenant *t, struct hw_slice topic)
{
	uint64_t floor = 0;

	for (const struct class *c = t->classes; c; c = c->next)
		if (c->floor > floor && pattern_covers(c->pattern, topic, false))
			floor = c->floor;
	return floor;
}

/* Its row, which says that it has events. 0: no. */
static int64_t need_topic_row(struct writer *w, const struct tenant *t, struct hw_slice name)
{
	sqlite3_stmt *s = w->statements[TOPIC_FIND];
	int64_t id = 0;
	bool empty = false;
	int rc;

	sqlite3_bind_int64(s, 1, t->id);
	bind_text(s, 2, name);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		id = sqlite3_column_int64(s, 0);
		empty = sqlite3_column_int(s, 1);
	}
	sqlite3_reset(s);
	if (rc == SQLITE_ROW) {
		sqlite3_bind_int64(w->statements[TOPIC_FILLED], 1, id);
		return empty && writer_do(w, TOPIC_FILLED) ? 0 : id;
	}
	s = w->statements[TOPIC_ADD];
	sqlite3_bind_int64(s, 1, t->id);
	bind_text(s, 2, name);
	sqlite3_bind_int64(s, 3, (int64_t)floor_of(t, name));
	return rc != SQLITE_DONE || writer_do(w, TOPIC_ADD) ? 0 : sqlite3_last_insert_rowid(w->db);
}

static struct topic *need_topic(struct writer *w, struct tenant *t, struct hw_slice name)
{
	struct names *names = &w->journal->names;
	uint64_t hash = map_hash(&names->topics, (uintptr_t)t, name.p, name.len);
	struct topic *topic = names_topic(names, hash, t, name);
	int64_t id;

	if (!topic) {
		id = need_topic_row(w, t, name);
		topic = id ? names_topic_add(names, hash, t, name, id) : NULL;
	}
	if (topic && (!topic->class || topic->rules_serial != t->rules_serial)) {
		topic->class = need_class(w, t, name);
		topic->rules_serial = t->rules_serial;
	}
	return topic && topic->class ? topic : NULL;
}

/* ---- what came ---- */

static int write_event(
	struct writer *w, struct tenant *t, const struct hw_journal_event *e, uint64_t number)
{
	sqlite3_stmt *s = w->statements[EVENT_ADD];
	struct topic *topic = need_topic(w, t, e->topic);

	if (!topic)
		return -1;
	transaction_touch(w, topic->class);
	topic->class->events++;
	topic->class->bytes += e->event.len + e->previous.len;
	sqlite3_bind_int64(s, 1, (int64_t)((uint64_t)topic->class->id << NUMBER_BITS | number));
	sqlite3_bind_int64(s, 2, topic->id);
	sqlite3_bind_int64(s, 3, e->at_ms);
	bind_text(s, 4, e->event);
	if (e->previous.len)
		bind_text(s, 5, e->previous);
	else
		sqlite3_bind_null(s, 5);
	return writer_do(w, EVENT_ADD);
}

static int write_append(struct writer *w, struct append *a)
{
	struct tenant *t = a->tenant;

	if (a->n > NUMBER_MAX - t->number)
		return 0; /* it alone fails, and no other tenant's */
	if (need_tenant(w, t))
		return -1;
	a->first_number = t->number + 1;
	for (size_t i = 0; i < a->n; i++)
		if (write_event(w, t, &a->events[i], ++t->number))
			return -1;
	return 0;
}

static bool write_all(struct writer *w, struct append *appends)
{
	if (transaction_begin(w))
		return false;
	for (struct append *a = appends; a; a = a->next)
		if (write_append(w, a))
			return false;
	return true;
}

static void answer(struct writer *w, struct append *appends, bool stored)
{
	struct journal *j = w->journal;
	struct append *a = appends, *next;
	size_t bytes = 0;

	for (; a; a = a->next)
		bytes += a->bytes;
	pthread_mutex_lock(&j->lock);
	j->queued_bytes -= bytes;
	pthread_mutex_unlock(&j->lock);
	for (a = appends; a; a = next) {
		next = a->next;
		if (stored && a->first_number)
			j->host->journal_committed(j->host, a->ticket, a->first_number);
		else
			j->host->journal_failed(j->host, a->ticket);
		free(a);
	}
}

static void commit(struct writer *w, struct append *appends)
{
	struct class *touched;
	bool stored;

	w->n_events = 0;
	for (struct append *a = appends; a; a = a->next)
		w->n_events += a->n;
	stored = write_all(w, appends);
	touched = w->touched_classes;
	stored = transaction_end(w, stored) == 0;
	if (stored) {
		journal_count(w->journal, "sqlite_commits", 1);
		journal_count(w->journal, "sqlite_events", w->n_events);
		for (struct class *c = touched; c; c = c->next_touched)
			trim_consider(w, c);
	}
	answer(w, appends, stored);
}

/* ---- the log ---- */

static int on_log(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct writer *w = arg;

	(void)db;
	(void)name;
	if ((uint64_t)pages < w->log_pages) /* it begins anew */
		w->checkpoint_at = w->checkpoint_pages;
	w->log_pages = (uint64_t)pages;
	return SQLITE_OK;
}

/* Copies the log into the file. The next transaction then begins it anew, if nobody reads in it. */
static void checkpoint(struct writer *w)
{
	char why[256];
	int rc;

	if (w->log_pages < w->checkpoint_at)
		return;
	rc = sqlite3_wal_checkpoint_v2(w->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	w->checkpoint_at = w->log_pages + w->checkpoint_pages;
	if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY)
		return;
	file_error(w->db, why, sizeof(why));
	tell_failure(w, why);
}

/* ---- the thread ---- */

/* Under the lock. Those whose rules are new, in a list of the writer's own. */
static struct tenant *adopt_rules(struct journal *j)
{
	struct tenant *adopted = NULL;

	for (struct tenant *t = j->changed; t; t = t->next_changed) {
		free(t->rules);
		t->rules = t->new_rules;
		t->new_rules = NULL;
		t->changed = false;
		t->rules_serial++;
		t->next_adopted = adopted;
		adopted = t;
	}
	j->changed = NULL;
	return adopted;
}

/* As many as one transaction takes. */
static struct append *cut_appends(struct journal *j)
{
	struct append *first = j->appends, *a = first;
	size_t bytes;

	if (!first)
		return NULL;
	bytes = a->bytes;
	while (a->next && bytes + a->next->bytes <= TRANSACTION_BYTES) {
		a = a->next;
		bytes += a->bytes;
	}
	j->appends = a->next;
	if (!j->appends)
		j->last_append = &j->appends;
	a->next = NULL;
	return first;
}

/* Waits for something to do. false: there is nothing, and will not be. */
static bool take(struct writer *w, struct append **appends)
{
	struct journal *j = w->journal;
	int64_t next_ms = trim_next_ms(w);
	struct timespec until = {.tv_sec = next_ms / 1000, .tv_nsec = next_ms % 1000 * 1000000};
	struct tenant *adopted;
	bool go_on;

	pthread_mutex_lock(&j->lock);
	while (!j->appends && !j->ending && !j->changed &&
		pthread_cond_timedwait(&j->for_writer, &j->lock, &until) == 0)
		;
	adopted = adopt_rules(j);
	*appends = cut_appends(j);
	go_on = *appends || !j->ending;
	pthread_mutex_unlock(&j->lock);
	for (; adopted; adopted = adopted->next_adopted)
		for (struct class *c = adopted->classes; c; c = c->next)
			trim_consider(w, c);
	return go_on;
}

void *writer_run(void *journal)
{
	struct writer *w = ((struct journal *)journal)->writer;
	struct append *appends;

	while (take(w, &appends)) {
		if (appends)
			commit(w, appends);
		trim_step(w);
		checkpoint(w);
	}
	return NULL;
}

struct writer *writer_create(struct journal *journal)
{
	struct writer *w = calloc(1, sizeof(*w));
	sqlite3_stmt *s = NULL;
	int64_t page_bytes = 0;

	if (!w)
		return NULL;
	w->journal = journal;
	w->db = journal->file.writing;
	w->last_due = &w->due;
	for (size_t i = 0; i < N_STATEMENTS; i++) {
		w->statements[i] = file_prepare(w->db, texts[i]);
		if (!w->statements[i])
			goto fail;
	}
	if (sqlite3_prepare_v2(w->db, "PRAGMA page_size", -1, &s, NULL) == SQLITE_OK &&
		sqlite3_step(s) == SQLITE_ROW)
		page_bytes = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	if (page_bytes <= 0)
		goto fail;
	w->checkpoint_pages = journal->settings.checkpoint_bytes / (uint64_t)page_bytes;
	w->checkpoint_at = w->checkpoint_pages;
	sqlite3_wal_hook(w->db, on_log, w);
	return w;
fail:
	writer_destroy(&w);
	return NULL;
}

void writer_destroy(struct writer **writer)
{
	struct writer *w = *writer;

	*writer = NULL;
	if (!w)
		return;
	for (size_t i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(w->statements[i]);
	free(w->gone);
	free(w);
}
