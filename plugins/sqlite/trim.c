#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "write.h"

/* Retention: the oldest events of a class go, some in a transaction, so that no commit waits long.
 * It needs no sync of its own: what a power cut brings back goes again. */

enum {
	STEP_EVENTS = 2000,
	STEP_EVENTS_MAX = 20000,
	LOOK_MS = 1000,   /* for events that are too old */
	LATER_MS = 60000, /* what is dated so much later than now is so by a clock that was set */
	SLACK = 8,        /* a class may be this part larger than it should before it is cut */
	/* topics without events, of a class: what is known of the others is a floor */
	EMPTY_MAX = 10000,
	EMPTY_KEPT = 7500,
	/* pages that are given back to the file system, when many are free and nothing else is to
	 * be done */
	VACUUM_PAGES = 1000,
	VACUUM_SHARE = 4,
};

static int64_t wall_ms(void)
{
	struct timespec t = {0, 0};

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t first_id(const struct class *c)
{
	return (int64_t)((uint64_t)c->id << NUMBER_BITS); /* no event's */
}

static int64_t last_id(const struct class *c)
{
	return (int64_t)((uint64_t)c->id << NUMBER_BITS | NUMBER_MAX);
}

/* ---- what is due ---- */

static int64_t oldest_ms(struct writer *w, struct class *c)
{
	sqlite3_stmt *s = w->statements[EVENT_OLDEST];

	if (c->oldest_ms == INT64_MIN) {
		sqlite3_bind_int64(s, 1, first_id(c));
		sqlite3_bind_int64(s, 2, last_id(c));
		if (sqlite3_step(s) == SQLITE_ROW)
			c->oldest_ms = sqlite3_column_int64(s, 0);
		sqlite3_reset(s);
	}
	return c->oldest_ms == INT64_MIN ? INT64_MAX : c->oldest_ms;
}

static bool is_over(uint64_t n, uint64_t most)
{
	return n > most && n - most > most / SLACK;
}

void trim_consider(struct writer *w, struct class *c)
{
	const struct rule *rule = rules_find(c->tenant->rules, c->pattern);

	if (c->is_due || !rule || c->events == 0)
		return;
	if (rule->age_ms && oldest_ms(w, c) != INT64_MAX &&
		oldest_ms(w, c) > wall_ms() + LATER_MS && !c->redate_after)
		c->redate_after = first_id(c);
	if (!c->redate_after && !is_over(c->events, rule->count) &&
		!is_over(c->bytes, rule->bytes) &&
		!(rule->age_ms && oldest_ms(w, c) < wall_ms() - rule->age_ms))
		return;
	c->is_due = true;
	c->next_due = NULL;
	*w->last_due = c;
	w->last_due = &c->next_due;
}

static struct class *take_due(struct writer *w)
{
	struct class *c = w->due;

	if (!c)
		return NULL;
	w->due = c->next_due;
	if (!w->due)
		w->last_due = &w->due;
	c->is_due = false;
	return c;
}

int64_t trim_next_ms(const struct writer *w)
{
	return w->due && !w->trim_failed ? 0 : w->look_at_ms;
}

/* ---- one step ---- */

/* What goes now, oldest first. */
struct cut {
	int64_t upto; /* id of the last one */
	uint64_t events, bytes;
	bool all; /* the class has no others */
};

static uint64_t without(uint64_t n, uint64_t part)
{
	return part < n ? n - part : 0;
}

static int room_for(struct writer *w, size_t n)
{
	struct gone *p;

	if (n <= w->cap_gone)
		return 0;
	p = realloc(w->gone, n * sizeof(*p));
	if (!p)
		return -1;
	w->gone = p;
	w->cap_gone = n;
	return 0;
}

/* Looks at the oldest until retention keeps the rest. */
static int find_cut(
	struct writer *w, const struct class *c, const struct rule *rule, struct cut *cut)
{
	sqlite3_stmt *s = w->statements[EVENT_FIRST];
	int64_t before_ms = rule->age_ms ? wall_ms() - rule->age_ms : INT64_MIN;
	size_t most = 2 * w->n_events;
	int rc;

	most = most < STEP_EVENTS ? STEP_EVENTS : most < STEP_EVENTS_MAX ? most : STEP_EVENTS_MAX;
	*cut = (struct cut){0};
	if (room_for(w, most))
		return -1;
	sqlite3_bind_int64(s, 1, first_id(c));
	sqlite3_bind_int64(s, 2, last_id(c));
	sqlite3_bind_int64(s, 3, (int64_t)most);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		if (without(c->events, cut->events) <= rule->count &&
			without(c->bytes, cut->bytes) <= rule->bytes &&
			sqlite3_column_int64(s, 2) >= before_ms)
			break;
		cut->upto = sqlite3_column_int64(s, 0);
		w->gone[cut->events++] =
			(struct gone){sqlite3_column_int64(s, 1), (uint64_t)cut->upto & NUMBER_MAX};
		cut->bytes +=
			(uint64_t)sqlite3_column_bytes(s, 3) + (uint64_t)sqlite3_column_bytes(s, 4);
	}
	cut->all = rc == SQLITE_DONE && cut->events < most;
	sqlite3_reset(s);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

static int by_topic(const void *a, const void *b)
{
	const struct gone *x = a, *y = b;

	if (x->topic != y->topic)
		return x->topic < y->topic ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

/* Each topic's newest event that goes. *n_empty: how many have none left. */
static int tell_topics(struct writer *w, const struct class *c, size_t n, uint64_t *n_empty)
{
	sqlite3_stmt *s = w->statements[TOPIC_GONE];

	qsort(w->gone, n, sizeof(*w->gone), by_topic);
	for (size_t i = 0; i < n; i++) {
		int rc;

		if (i + 1 < n && w->gone[i + 1].topic == w->gone[i].topic)
			continue;
		sqlite3_bind_int64(s, 1, w->gone[i].topic);
		sqlite3_bind_int64(s, 2, (int64_t)w->gone[i].number);
		sqlite3_bind_int64(s, 3, c->id);
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW)
			*n_empty += sqlite3_column_int(s, 0) != 0;
		if (rc == SQLITE_ROW)
			rc = sqlite3_step(s);
		sqlite3_reset(s);
		if (rc != SQLITE_DONE)
			return -1;
	}
	return 0;
}

static int drop_events(struct writer *w, const struct class *c, int64_t upto)
{
	sqlite3_stmt *s = w->statements[EVENT_DROP];

	sqlite3_bind_int64(s, 1, first_id(c));
	sqlite3_bind_int64(s, 2, upto);
	return writer_do(w, EVENT_DROP);
}

/* ---- topics without events ---- */

static int ask_number(struct writer *w, enum statement which, uint64_t *out)
{
	sqlite3_stmt *s = w->statements[which];
	int rc = sqlite3_step(s);

	if (rc == SQLITE_ROW)
		*out = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

/* Those that have been empty for longest lose their rows, and the newest event that any of them has
 * lost is taken as lost by all. */
static int fold_empty(struct writer *w, struct class *c, uint64_t n_more)
{
	sqlite3_stmt *nth = w->statements[EMPTY_NTH], *drop = w->statements[EMPTY_DROP];
	uint64_t floor = c->floor;

	if (c->n_empty_known && c->n_empty + n_more <= EMPTY_MAX) {
		c->n_empty += n_more;
		return 0;
	}
	sqlite3_bind_int64(w->statements[EMPTY_COUNT], 1, c->id);
	if (ask_number(w, EMPTY_COUNT, &c->n_empty))
		return -1;
	c->n_empty_known = true;
	if (c->n_empty <= EMPTY_MAX)
		return 0;
	sqlite3_bind_int64(nth, 1, c->id);
	sqlite3_bind_int64(nth, 2, (int64_t)(c->n_empty - EMPTY_KEPT - 1));
	if (ask_number(w, EMPTY_NTH, &floor))
		return -1;
	sqlite3_bind_int64(drop, 1, c->id);
	sqlite3_bind_int64(drop, 2, (int64_t)floor);
	if (writer_do(w, EMPTY_DROP))
		return -1;
	c->n_empty = EMPTY_KEPT;
	if (floor > c->floor)
		c->floor = floor;
	return 0;
}

/* ---- a clock that was set back ---- */

/* What was stored while the clock was ahead would stay until the clock comes there, and all that
 * came behind it too: the oldest go first. It is given the present, and ages from now on: it stays
 * for as long again at the most, and nothing goes because of the clock. Some at a time. */
static bool redate(struct writer *w, struct class *c)
{
	sqlite3_stmt *step = w->statements[EVENT_STEP], *set = w->statements[EVENT_REDATE];
	uint64_t upto = 0;

	sqlite3_bind_int64(step, 1, c->redate_after);
	sqlite3_bind_int64(step, 2, last_id(c));
	sqlite3_bind_int64(step, 3, STEP_EVENTS);
	if (transaction_begin(w) || ask_number(w, EVENT_STEP, &upto))
		return false;
	if (upto == 0) {
		c->redate_after = 0;
		return true;
	}
	sqlite3_bind_int64(set, 1, c->redate_after);
	sqlite3_bind_int64(set, 2, (int64_t)upto);
	sqlite3_bind_int64(set, 3, wall_ms());
	if (writer_do(w, EVENT_REDATE))
		return false;
	c->redate_after = (int64_t)upto;
	journal_count(w->journal, "sqlite_redated", (uint64_t)sqlite3_changes64(w->db));
	return true;
}

static bool cut_class(struct writer *w, struct class *c, const struct rule *rule, struct cut *cut)
{
	uint64_t n_empty = 0;

	if (c->redate_after)
		return redate(w, c);
	if (transaction_begin(w) || find_cut(w, c, rule, cut))
		return false;
	transaction_touch(w, c);
	/* After a repair by hand its row may say more than there is, or less: what is left counts
	 * as one at least, or nobody would look for it again. */
	c->events = cut->all ? 0 : without(c->events, cut->events);
	c->bytes = cut->all ? 0 : without(c->bytes, cut->bytes);
	if (!cut->all && c->events == 0)
		c->events = 1;
	if (cut->events == 0)
		return true;
	if (drop_events(w, c, cut->upto) || tell_topics(w, c, cut->events, &n_empty))
		return false;
	if (n_empty == 0)
		return true;
	names_forget_topics(&w->journal->names); /* it knows those with events */
	return fold_empty(w, c, n_empty) == 0;
}

static void trim(struct writer *w, struct class *c)
{
	const struct rule *rule = rules_find(c->tenant->rules, c->pattern);
	bool full = !w->journal->settings.synchronous_normal;
	struct cut cut = {0};

	if (!rule)
		return;
	if (full && file_do(w->db, "PRAGMA synchronous = NORMAL") == 0)
		w->unsafe = true; /* the next commit begins with its end */
	w->trimming = true;
	w->trim_failed = transaction_end(w, cut_class(w, c, rule, &cut)) != 0;
	w->trimming = false;
	c->oldest_ms = INT64_MIN;
	if (w->trim_failed)
		c->n_empty_known = false;
	else
		journal_count(w->journal, "sqlite_trimmed", cut.events);
	trim_consider(w, c);
}

/* ---- room ---- */

static int64_t pragma(struct writer *w, const char *text)
{
	sqlite3_stmt *s = NULL;
	int64_t value = 0;

	if (sqlite3_prepare_v2(w->db, text, -1, &s, NULL) == SQLITE_OK &&
		sqlite3_step(s) == SQLITE_ROW)
		value = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return value;
}

/* What is free is used again; what is far more than that goes back. */
static void give_back(struct writer *w)
{
	char text[64];
	int64_t n_free = pragma(w, "PRAGMA freelist_count");

	if (n_free <= VACUUM_PAGES || n_free <= pragma(w, "PRAGMA page_count") / VACUUM_SHARE)
		return;
	sqlite3_snprintf(sizeof(text), text, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
	(void)file_do(w->db, text); /* another time, then */
}

static void look(struct writer *w)
{
	w->look_at_ms = writer_mono_ms() + LOOK_MS;
	w->trim_failed = false;
	for (struct class *c = w->journal->names.classes; c; c = c->next_of_all)
		trim_consider(w, c);
	if (!w->due)
		give_back(w);
}

void trim_step(struct writer *w)
{
	struct class *c;

	if (writer_mono_ms() >= w->look_at_ms)
		look(w);
	if (w->trim_failed)
		return;
	c = take_due(w);
	if (c)
		trim(w, c);
}
