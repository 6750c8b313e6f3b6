#include <stdlib.h>
#include <string.h>

#include "collect.h"
#include "journal.h"

/* A query is answered from one snapshot of the file, so that what is said to have gone and what is
 * given fit together. Few topics are looked up one by one, and cost what they hold; for very many
 * (patterns) the tenant's events are looked through. */

enum {
	PROBES_MAX = 512, /* topics that are looked up one by one */
	ROWS_MAX = 4096,  /* of one answer, whatever is asked for */
};

/* Events that one query looks at once it has found something. The test has a smaller one. */
#ifndef LOOKED_AT_MAX
#define LOOKED_AT_MAX 50000
#endif

enum statement { BEGIN, COMMIT, TENANT, CLASSES, TOPIC, TOPICS, PROBE, SCAN, EVENT, N_STATEMENTS };

static const char *const texts[N_STATEMENTS] = {
	[BEGIN] = "BEGIN",
	[COMMIT] = "COMMIT",
	[TENANT] = "SELECT id FROM tenant WHERE name = ?1",
	[CLASSES] = "SELECT id, pattern, floor FROM class WHERE tenant = ?1",
	[TOPIC] = "SELECT id, gone FROM topic WHERE tenant = ?1 AND name = ?2",
	[TOPICS] = "SELECT id, gone FROM topic WHERE tenant = ?1 AND name >= ?2 AND name < ?3",
	[PROBE] = "SELECT id FROM event WHERE topic = ?1 AND id > ?2 AND id <= ?3"
		  " ORDER BY id LIMIT ?4",
	[SCAN] = "SELECT id, topic FROM event WHERE id > ?1 AND id <= ?2 ORDER BY id",
	[EVENT] = "SELECT e.at_ms, t.name, e.event, e.previous"
		  " FROM event e JOIN topic t ON t.id = e.topic WHERE e.id = ?1",
};

/* A class of the tenant that is asked about. */
struct place {
	int64_t id;
	uint64_t floor;
	size_t pattern, len; /* in reader->text */
	bool wanted;         /* some topic of the query may be in it */
};

/* A topic of the query that there is. */
struct target {
	int64_t id;
	uint32_t asked; /* its place in the query */
};

/* A growing array; keeps its memory from query to query. */
struct array {
	char *p;
	size_t n, cap; /* bytes */
};

struct reader {
	struct journal *journal;
	sqlite3 *db;
	sqlite3_stmt *statements[N_STATEMENTS];
	const struct hw_journal_query *query;
	int64_t tenant;
	struct array places, targets, text, rows, gone;
	struct collect found;
	bool more;
};

/* ---- small steps ---- */

static void *add(struct array *a, size_t size)
{
	if (a->n + size > a->cap) {
		size_t cap = a->cap ? a->cap : 4096;
		char *p;

		while (cap < a->n + size)
			cap *= 2;
		p = realloc(a->p, cap);
		if (!p)
			return NULL;
		a->p = p;
		a->cap = cap;
	}
	a->n += size;
	return a->p + a->n - size;
}

static int keep(struct array *text, const void *p, size_t len, size_t *at)
{
	char *to = add(text, len ? len : 1);

	if (!to)
		return -1;
	if (len)
		memcpy(to, p, len);
	*at = (size_t)(to - text->p);
	return 0;
}

static struct place *places(const struct reader *r, size_t *n)
{
	*n = r->places.n / sizeof(struct place);
	return (struct place *)(void *)r->places.p;
}

static struct target *targets(const struct reader *r, size_t *n)
{
	*n = r->targets.n / sizeof(struct target);
	return (struct target *)(void *)r->targets.p;
}

static struct hw_slice pattern_of(const struct reader *r, const struct place *place)
{
	return (struct hw_slice){r->text.p + place->pattern, place->len};
}

static bool is_wild(struct hw_slice topic)
{
	return topic.len > 0 && topic.p[topic.len - 1] == '*';
}

static int bind_text(sqlite3_stmt *s, int at, const char *p, size_t len)
{
	return sqlite3_bind_text(s, at, p, (int)len, SQLITE_STATIC);
}

/* 0: no more rows, or none that was wanted; -1 */
static int done(sqlite3_stmt *s, int rc)
{
	sqlite3_reset(s);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -1;
}

/* ---- what is asked about ---- */

static int find_tenant(struct reader *r)
{
	sqlite3_stmt *s = r->statements[TENANT];
	int rc;

	bind_text(s, 1, r->query->tenant.p, r->query->tenant.len);
	rc = sqlite3_step(s);
	r->tenant = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
	return done(s, rc);
}

static int find_places(struct reader *r)
{
	sqlite3_stmt *s = r->statements[CLASSES];
	int rc;

	sqlite3_bind_int64(s, 1, r->tenant);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct place *place = add(&r->places, sizeof(*place));

		if (!place)
			break;
		*place = (struct place){.id = sqlite3_column_int64(s, 0),
			.floor = (uint64_t)sqlite3_column_int64(s, 2),
			.len = (size_t)sqlite3_column_bytes(s, 1)};
		if (keep(&r->text, sqlite3_column_text(s, 1), place->len, &place->pattern))
			break;
	}
	return done(s, rc) || rc != SQLITE_DONE ? -1 : 0;
}

/* Marks the places of the topic. What may have gone of it if it has no row. */
static uint64_t floor_of(struct reader *r, struct hw_slice topic)
{
	size_t n;
	struct place *p = places(r, &n);
	uint64_t floor = 0;

	for (size_t i = 0; i < n; i++) {
		if (!pattern_covers(pattern_of(r, &p[i]), topic, is_wild(topic)))
			continue;
		p[i].wanted = true;
		if (p[i].floor > floor)
			floor = p[i].floor;
	}
	return floor;
}

/* Binds the topics of the query's item: one, or all between "a:" and "a;". */
static sqlite3_stmt *bind_topics(struct reader *r, struct hw_slice topic, char *end)
{
	sqlite3_stmt *s = r->statements[is_wild(topic) ? TOPICS : TOPIC];

	sqlite3_bind_int64(s, 1, r->tenant);
	if (!is_wild(topic)) {
		bind_text(s, 2, topic.p, topic.len);
		return s;
	}
	memcpy(end, topic.p, topic.len - 1);
	end[topic.len - 2]++;
	bind_text(s, 2, topic.p, topic.len - 1);
	bind_text(s, 3, end, topic.len - 1);
	return s;
}

static int find_topics(struct reader *r, uint32_t asked)
{
	struct hw_slice topic = r->query->topics[asked];
	uint64_t *gone = add(&r->gone, sizeof(*gone)), floor, most = 0;
	size_t n = 0;
	char *end = malloc(topic.len + 1);
	sqlite3_stmt *s;
	int rc = SQLITE_ERROR;

	if (!gone || !end || topic.len < 2) {
		free(end);
		return -1;
	}
	floor = floor_of(r, topic);
	s = bind_topics(r, topic, end);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct target *target = add(&r->targets, sizeof(*target));

		if (!target)
			break;
		*target = (struct target){sqlite3_column_int64(s, 0), asked};
		if ((uint64_t)sqlite3_column_int64(s, 1) > most)
			most = (uint64_t)sqlite3_column_int64(s, 1);
		n++;
	}
	/* a topic that has a row knows better than the floor */
	*gone = n && !is_wild(topic) ? most : floor > most ? floor : most;
	free(end);
	return done(s, rc) || rc != SQLITE_DONE ? -1 : 0;
}

static int by_id(const void *a, const void *b)
{
	const struct target *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* Each topic once, by its id. */
static void sort_targets(struct reader *r)
{
	size_t n, kept = 0;
	struct target *t = targets(r, &n);

	if (n)
		qsort(t, n, sizeof(*t), by_id);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || t[i].id != t[kept - 1].id)
			t[kept++] = t[i];
	r->targets.n = kept * sizeof(*t);
}

/* ---- which events ---- */

static int64_t id_of(const struct place *place, uint64_t number)
{
	if (number > NUMBER_MAX)
		number = NUMBER_MAX;
	return (int64_t)((uint64_t)place->id << NUMBER_BITS | number);
}

static uint64_t number_of(int64_t id)
{
	return (uint64_t)id & NUMBER_MAX;
}

static int probe(struct reader *r, const struct place *place, const struct target *target)
{
	sqlite3_stmt *s = r->statements[PROBE];
	int rc;

	sqlite3_bind_int64(s, 1, target->id);
	sqlite3_bind_int64(s, 2, id_of(place, r->query->after));
	sqlite3_bind_int64(s, 3, id_of(place, r->found.upto));
	sqlite3_bind_int64(s, 4, (int64_t)r->found.most);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(s, 0);

		if (number_of(id) > r->found.upto)
			break;
		collect_add(&r->found, number_of(id), id);
	}
	return done(s, rc);
}

static int probe_all(struct reader *r)
{
	size_t n_places, n_targets;
	const struct place *p = places(r, &n_places);
	const struct target *t = targets(r, &n_targets);

	for (size_t i = 0; i < n_targets; i++) {
		struct hw_slice asked = r->query->topics[t[i].asked];

		for (size_t k = 0; k < n_places; k++)
			if (pattern_covers(pattern_of(r, &p[k]), asked, is_wild(asked)) &&
				probe(r, &p[k], &t[i]))
				return -1;
	}
	return 0;
}

static int scan(struct reader *r, const struct place *place)
{
	sqlite3_stmt *s = r->statements[SCAN];
	size_t n_targets, looked_at = 0;
	const struct target *t = targets(r, &n_targets);
	int rc;

	sqlite3_bind_int64(s, 1, id_of(place, r->query->after));
	sqlite3_bind_int64(s, 2, id_of(place, r->found.upto));
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(s, 0);
		struct target key = {sqlite3_column_int64(s, 1), 0};

		if (number_of(id) > r->found.upto)
			break;
		if (bsearch(&key, t, n_targets, sizeof(*t), by_id))
			collect_add(&r->found, number_of(id), id);
		/* enough for one turn: others wait, and what is behind this comes next time */
		if (++looked_at >= LOOKED_AT_MAX && r->found.lowest <= number_of(id) &&
			number_of(id) < r->found.upto) {
			r->found.upto = number_of(id);
			r->more = true;
			break;
		}
	}
	return done(s, rc);
}

static int scan_all(struct reader *r)
{
	size_t n;
	const struct place *p = places(r, &n);

	for (size_t i = 0; i < n; i++)
		if (p[i].wanted && scan(r, &p[i]))
			return -1;
	return 0;
}

/* ---- the events themselves ---- */

/* The texts are where they are said to be only when all are there: until then, their places. */
static int take_row(struct reader *r, sqlite3_stmt *s, uint64_t number, uint64_t *bytes)
{
	struct hw_journal_event *row = add(&r->rows, sizeof(*row));
	struct hw_slice *parts[3];
	size_t at;

	if (!row)
		return -1;
	*row = (struct hw_journal_event){.number = number, .at_ms = sqlite3_column_int64(s, 0)};
	parts[0] = &row->topic;
	parts[1] = &row->event;
	parts[2] = &row->previous;
	for (int i = 0; i < 3; i++) {
		parts[i]->len = (size_t)sqlite3_column_bytes(s, i + 1);
		if (keep(&r->text, sqlite3_column_text(s, i + 1), parts[i]->len, &at))
			return -1;
		parts[i]->p = (const char *)(uintptr_t)at;
	}
	*bytes += row->event.len + row->previous.len;
	return 0;
}

static void place_texts(struct reader *r)
{
	struct hw_journal_event *rows = (struct hw_journal_event *)(void *)r->rows.p;

	for (size_t i = 0; i < r->rows.n / sizeof(*rows); i++) {
		rows[i].topic.p = r->text.p + (uintptr_t)rows[i].topic.p;
		rows[i].event.p = r->text.p + (uintptr_t)rows[i].event.p;
		rows[i].previous.p = r->text.p + (uintptr_t)rows[i].previous.p;
	}
}

static int take_rows(struct reader *r, size_t limit)
{
	sqlite3_stmt *s = r->statements[EVENT];
	uint64_t bytes = 0;

	collect_sort(&r->found);
	for (size_t i = 0; i < r->found.n && r->found.heap[i].number <= r->query->upto; i++) {
		int rc;

		if (i == limit || (i && bytes >= r->query->max_bytes)) {
			r->more = true;
			break;
		}
		/* what a scan that ended early has not seen all before of, comes next time */
		if (r->more && r->found.heap[i].number > r->found.upto)
			break;
		sqlite3_bind_int64(s, 1, r->found.heap[i].id);
		rc = sqlite3_step(s);
		if (rc != SQLITE_ROW || take_row(r, s, r->found.heap[i].number, &bytes)) {
			sqlite3_reset(s);
			return -1;
		}
		sqlite3_reset(s);
	}
	place_texts(r);
	return 0;
}

/* ---- a query ---- */

static int find_rows(struct reader *r)
{
	size_t n_targets, limit = r->query->limit < ROWS_MAX ? r->query->limit : ROWS_MAX;

	if (find_tenant(r))
		return -1;
	if (!r->tenant)
		return 0;
	if (find_places(r))
		return -1;
	for (uint32_t i = 0; i < r->query->n_topics; i++)
		if (find_topics(r, i))
			return -1;
	sort_targets(r);
	targets(r, &n_targets);
	/* one more than is given, to know that there are more */
	if (collect_init(&r->found, limit + 1, r->query->upto))
		return -1;
	if (n_targets > PROBES_MAX ? scan_all(r) : probe_all(r))
		return -1;
	return take_rows(r, limit);
}

static int step(struct reader *r, enum statement which)
{
	sqlite3_stmt *s = r->statements[which];

	return done(s, sqlite3_step(s));
}

static void answer(struct reader *r, uint64_t ticket, bool good)
{
	const struct hw_host *host = r->journal->host;
	struct hw_journal_rows rows = {
		.size = sizeof(rows),
		.events = (const struct hw_journal_event *)(const void *)r->rows.p,
		.n = r->rows.n / sizeof(struct hw_journal_event),
		.more = r->more,
		.gone = r->tenant ? (const uint64_t *)(const void *)r->gone.p : NULL,
	};

	if (good)
		host->journal_rows(host, ticket, &rows);
	else
		host->journal_failed(host, ticket);
}

static void run(struct reader *r, const struct read *read)
{
	char why[256];
	bool good;

	r->query = read->query;
	r->tenant = 0;
	r->more = false;
	r->places.n = r->targets.n = r->text.n = r->rows.n = r->gone.n = 0;
	good = step(r, BEGIN) == 0 && find_rows(r) == 0;
	if (!good) {
		file_error(r->db, why, sizeof(why));
		journal_log(r->journal, HW_PLUGIN_ERROR, "the journal cannot be read: %s", why);
	}
	if (!sqlite3_get_autocommit(r->db))
		(void)step(r, COMMIT);
	collect_fini(&r->found);
	journal_count(r->journal, "sqlite_reads", 1);
	answer(r, read->ticket, good);
}

/* ---- the thread ---- */

static struct read *take(struct journal *j)
{
	struct read *r;

	pthread_mutex_lock(&j->lock);
	while (!j->reads && !j->ending)
		pthread_cond_wait(&j->for_reader, &j->lock);
	r = j->reads;
	if (r) {
		j->n_reads--;
		j->reads = r->next;
		if (!j->reads)
			j->last_read = &j->reads;
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

void *reader_run(void *journal)
{
	struct journal *j = journal;
	struct read *r;

	while ((r = take(j))) {
		run(j->reader, r);
		free(r);
	}
	return NULL;
}

struct reader *reader_create(struct journal *journal)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->journal = journal;
	r->db = journal->file.reading;
	for (size_t i = 0; i < N_STATEMENTS; i++) {
		r->statements[i] = file_prepare(r->db, texts[i]);
		if (!r->statements[i]) {
			reader_destroy(&r);
			return NULL;
		}
	}
	return r;
}

void reader_destroy(struct reader **reader)
{
	struct reader *r = *reader;

	*reader = NULL;
	if (!r)
		return;
	for (size_t i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(r->statements[i]);
	free(r->places.p);
	free(r->targets.p);
	free(r->text.p);
	free(r->rows.p);
	free(r->gone.p);
	free(r);
}
