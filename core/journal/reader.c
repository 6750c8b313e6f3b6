#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal/journal_internal.h"
#include "journal/topic_index.h"
#include "wire/topic.h"

/* Told when a place leaves a segment for the next: a scan takes note of it, a reader has nothing to
 * do. */
typedef void hop_fn(struct hw_segment *from, struct hw_segment *to);

/* The number of the entry at @place, going on to the next segment where one ends; 0 = nothing to
 * read yet. */
static uint64_t place_peek(struct hw_place *place, hop_fn *hop)
{
	for (;;) {
		struct hw_segment *s = place->segment, *next;

		if (place->index < atomic_load_explicit(&s->n, memory_order_acquire))
			return hw_segment_entry(s, place->index)->seq;
		next = atomic_load_explicit(&s->next, memory_order_acquire);
		if (!next)
			return 0;
		/* what was appended before the next segment came is visible now: look once more
		 * before leaving */
		if (place->index < atomic_load_explicit(&s->n, memory_order_acquire))
			continue;
		if (hop)
			hop(s, next);
		place->segment = next;
		place->index = 0;
	}
}

static const struct hw_journal_entry *place_entry(const struct hw_place *place)
{
	return hw_segment_entry(place->segment, place->index);
}

static struct hw_str topic_of(const struct hw_segment *s, const struct hw_journal_entry *e)
{
	return (struct hw_str){
		s->data + e->offset + e->header_len + sizeof("{\"topic\":\"") - 1, e->topic_len};
}

static struct hw_str previous_of(const char *data, const struct hw_journal_entry *e)
{
	return (struct hw_str){data + e->offset + e->len, e->previous_len};
}

/* The number of a cursor right before it. */
static uint64_t entry_after(const struct hw_journal_entry *e)
{
	return e->history ? e->number - 1 : e->number;
}

/* How far is read: readers by place in the order, scans by number. */
struct limit {
	uint64_t seq, number;
};

static bool within(const struct hw_journal_entry *e, const struct limit *limit)
{
	return e->seq <= limit->seq && e->number <= limit->number;
}

/* It may be written meanwhile: whoever sees the entry that it names sees it too. */
static uint32_t same_of(const struct hw_journal_entry *e)
{
	return __atomic_load_n(&e->same, __ATOMIC_RELAXED);
}

/* From the entry at @place on: what the same topic got in a row, before @next, which is another
 * class's, and up to @limit. */
static void collect(
	struct hw_place *place, uint64_t next, const struct limit *limit, struct hw_run *run)
{
	struct hw_segment *s = place->segment;
	size_t n = atomic_load_explicit(&s->n, memory_order_acquire);
	const struct hw_journal_entry *first = place_entry(place);

	*run = (struct hw_run){
		.frames = s->data + first->offset,
		.first_seq = first->seq,
		.after = entry_after(first),
		.topic = topic_of(s, first),
		.topic_hash = first->topic_hash,
		.wall_ms = first->wall_ms,
		.position = s->position,
		.pin = &s->pin,
		.entry = first,
	};
	do {
		const struct hw_journal_entry *e = hw_segment_entry(s, place->index);

		if (e->topic_hash != first->topic_hash || e->seq >= next || !within(e, limit))
			break;
		if (run->n && run->len + e->len > HW_JOURNAL_RUN_BYTES)
			break;
		run->len += e->len;
		run->last_seq = e->seq;
		run->upto = e->number;
		run->n++;
		if (e->previous_len) {
			run->previous = previous_of(s->data, e);
			place->index++;
			break; /* what follows is not adjacent */
		}
		/* adjacent, and yet not the next of its topic: that is in another class's segment
		 */
		if (place->topic && same_of(e) != place->index + 1) {
			place->index++;
			break;
		}
	} while (++place->index < n);
}

/* The places merged: the one whose next entry is the oldest, as far as no other comes between. Its
 * index, or SIZE_MAX. */
static size_t merge_next(struct hw_place *places, size_t n_places, hop_fn *hop,
	const struct limit *limit, struct hw_run *run)
{
	uint64_t first = UINT64_MAX, second = UINT64_MAX;
	size_t best = SIZE_MAX;

	for (size_t c = 0; c < n_places; c++) {
		uint64_t seq = places[c].segment ? place_peek(&places[c], hop) : 0;

		if (seq == 0)
			continue;
		if (seq < first) {
			second = first;
			first = seq;
			best = c;
		} else if (seq < second) {
			second = seq;
		}
	}
	if (best == SIZE_MAX || !within(place_entry(&places[best]), limit))
		return SIZE_MAX;
	collect(&places[best], second, limit, run);
	return best;
}

struct hw_str hw_run_event(const struct hw_run *run, size_t i, uint64_t *seq)
{
	const struct hw_journal_entry *e = run->entry - i; /* the index grows down */

	if (!run->entry) {
		if (seq)
			*seq = run->first_seq;
		return (struct hw_str){run->frames + run->header_len, run->len - run->header_len};
	}
	if (seq)
		*seq = e->seq;
	return (struct hw_str){run->frames + (e->offset - run->entry->offset) + e->header_len,
		e->len - e->header_len};
}

uint64_t hw_run_number(const struct hw_run *run, size_t i)
{
	return run->entry ? (run->entry - i)->number : run->upto;
}

bool hw_run_has_id(const struct hw_run *run, size_t i)
{
	return run->entry ? (run->entry - i)->history : run->upto != run->after;
}

struct hw_run hw_run_part(const struct hw_run *run, size_t i, size_t n)
{
	const struct hw_journal_entry *first = run->entry - i, *last = first - (n - 1);
	struct hw_run part = *run;

	part.frames += first->offset - run->entry->offset;
	part.len = last->offset + last->len - first->offset;
	part.n = n;
	part.first_seq = first->seq;
	part.last_seq = last->seq;
	part.after = entry_after(first);
	part.upto = last->number;
	part.wall_ms = first->wall_ms;
	part.entry = first;
	if (i + n < run->n)
		part.previous = HW_STR_NULL;
	return part;
}

void hw_run_extend(struct hw_run *part, const struct hw_run *run, size_t n)
{
	*part = hw_run_part(run, (size_t)(run->entry - part->entry), part->n + n);
}

/* ---- readers
 * -----------------------------------------------------------------------------------------------------
 */

struct hw_reader *hw_reader_create(struct hw_journal *journal, unsigned worker)
{
	struct hw_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->journal = journal;
	r->worker = worker;
	pthread_mutex_lock(&journal->lock);
	journal->readers[worker] = r;
	pthread_mutex_unlock(&journal->lock);
	return r;
}

void hw_reader_destroy(struct hw_reader **reader)
{
	struct hw_reader *r = *reader;

	if (!r)
		return;
	hw_reader_deactivate(r);
	pthread_mutex_lock(&r->journal->lock);
	r->journal->readers[r->worker] = NULL;
	pthread_mutex_unlock(&r->journal->lock);
	free(r);
	*reader = NULL;
}

/* Called with the lock held: stands where class @c ends. */
static void stand_at_end(struct hw_reader *r, size_t c)
{
	struct hw_segment *last = r->journal->classes[c].last;

	r->places[c] = (struct hw_place){
		.segment = last,
		.index = atomic_load_explicit(&last->n, memory_order_relaxed),
	};
	atomic_store_explicit(&r->needs[c], last->number, memory_order_relaxed);
}

void hw_reader_activate(struct hw_reader *r)
{
	struct hw_journal *j = r->journal;

	if (r->active)
		return;
	pthread_mutex_lock(&j->lock);
	r->n_classes = atomic_load_explicit(&j->n_classes, memory_order_relaxed);
	for (size_t c = 0; c < HW_JOURNAL_MAX_CLASSES; c++) {
		atomic_store_explicit(&r->needs[c], 0, memory_order_relaxed);
		if (c < r->n_classes)
			stand_at_end(r, c);
	}
	r->seq = atomic_load_explicit(&j->head, memory_order_relaxed);
	r->active = true;
	j->active |= UINT64_C(1) << r->worker;
	pthread_mutex_unlock(&j->lock);
}

void hw_reader_deactivate(struct hw_reader *r)
{
	if (!r->active)
		return;
	pthread_mutex_lock(&r->journal->lock);
	r->active = false;
	r->journal->active &= ~(UINT64_C(1) << r->worker);
	pthread_mutex_unlock(&r->journal->lock);
}

bool hw_reader_active(const struct hw_reader *r)
{
	return r->active;
}

uint64_t hw_reader_seq(const struct hw_reader *r)
{
	return r->seq;
}

/* A reload added classes: stand at their beginning. needs[] was 0 for them, so nothing of theirs
 * was freed. */
static void learn_classes(struct hw_reader *r)
{
	struct hw_journal *j = r->journal;

	pthread_mutex_lock(&j->lock);
	for (unsigned n = atomic_load_explicit(&j->n_classes, memory_order_relaxed);
		r->n_classes < n; r->n_classes++) {
		struct hw_segment *first = j->classes[r->n_classes].first;

		r->places[r->n_classes] = (struct hw_place){.segment = first};
		atomic_store_explicit(&r->needs[r->n_classes], first->number, memory_order_relaxed);
	}
	pthread_mutex_unlock(&j->lock);
}

bool hw_reader_next(struct hw_reader *r, uint64_t head, struct hw_run *run)
{
	const struct limit limit = {.seq = head, .number = UINT64_MAX};

	if (atomic_load_explicit(&r->journal->n_classes, memory_order_acquire) != r->n_classes)
		learn_classes(r);
	if (merge_next(r->places, r->n_classes, NULL, &limit, run) == SIZE_MAX) {
		r->seq = head > r->seq ? head : r->seq;
		return false;
	}
	r->seq = run->last_seq;
	return true;
}

void hw_reader_advance(struct hw_reader *r)
{
	for (size_t c = 0; c < r->n_classes; c++) {
		uint64_t number = r->places[c].segment->number;

		if (atomic_load_explicit(&r->needs[c], memory_order_relaxed) != number)
			atomic_store_explicit(&r->needs[c], number, memory_order_release);
	}
}

/* ---- scans
 * --------------------------------------------------------------------------------------------------------
 */

/* Trimming goes from the oldest on and stops at a segment that a scan stands in: so the next one is
 * there, and is stood in before the former is left. */
static void scan_enter(struct hw_segment *s)
{
	atomic_fetch_add_explicit(&s->n_scans, 1, memory_order_relaxed);
}

static void scan_leave(struct hw_segment *s)
{
	atomic_fetch_sub_explicit(&s->n_scans, 1, memory_order_release);
}

static void scan_hop(struct hw_segment *from, struct hw_segment *to)
{
	scan_enter(to);
	scan_leave(from);
}

/* As hw_segment_first_after, by number. */
static size_t first_above(const struct hw_segment *s, uint64_t number)
{
	size_t low = 0, high = atomic_load_explicit(&s->n, memory_order_acquire);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (hw_segment_entry(s, middle)->number <= number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Where what is newer than @after begins: in the last segment that was made by then, or, if that is
 * gone or without history, in the first that is not. */
static struct hw_place find_place(const struct hw_class_log *log, uint64_t after)
{
	struct hw_segment *const *segments = log->index + log->index_at;
	uint64_t first = segments[0]->number;
	size_t low = log->history_from > first ? log->history_from - first : 0;
	size_t high = log->n_segments - 1;

	while (low < high) {
		size_t middle = high - (high - low) / 2;

		if (segments[middle]->after_number <= after)
			low = middle;
		else
			high = middle - 1;
	}
	return (struct hw_place){
		.segment = segments[low], .index = first_above(segments[low], after)};
}

static void stand_in_classes(struct hw_scan *scan, uint64_t after)
{
	struct hw_journal *j = scan->journal;

	scan->n_places = atomic_load_explicit(&j->n_classes, memory_order_relaxed);
	for (size_t c = 0; c < scan->n_places; c++)
		if (j->classes[c].conf.history)
			scan->places[c] = find_place(&j->classes[c], after);
}

/* One that is named twice is read once: of two places in it neither would be the next. */
static bool stands_in(const struct hw_scan *scan, const struct hw_topic_log *t)
{
	for (size_t i = 0; i < scan->n_places; i++)
		if (scan->places[i].topic == t)
			return true;
	return false;
}

static void stand_in_topics(
	struct hw_scan *scan, uint64_t after, const struct hw_str *topics, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct hw_topic_log *t =
			hw_topic_index_find(&scan->journal->topics, topics[i]);
		struct hw_place place = {0};

		if (t && !stands_in(scan, t))
			place = hw_topic_log_find(t, after);
		if (place.segment)
			scan->places[scan->n_places++] = place;
	}
}

static bool by_name(const struct hw_str *topics, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (hw_topic_is_wildcard(topics[i]))
			return false;
	return n > 0 && n <= HW_SCAN_TOPICS;
}

int hw_scan_begin(struct hw_scan *scan, struct hw_journal *j, uint64_t after,
	const struct hw_str *topics, size_t n)
{
	int r = 0;

	scan->journal = j;
	scan->n_places = 0;
	memset(scan->places, 0, HW_JOURNAL_MAX_CLASSES * sizeof(scan->places[0]));
	pthread_mutex_lock(&j->lock);
	for (size_t c = 0; c < atomic_load_explicit(&j->n_classes, memory_order_relaxed); c++)
		if (j->classes[c].conf.history && j->classes[c].trimmed > after)
			r = HW_JOURNAL_GONE;
	if (by_name(topics, n))
		stand_in_topics(scan, after, topics, n);
	else
		stand_in_classes(scan, after);
	for (size_t i = 0; i < scan->n_places; i++)
		if (scan->places[i].segment)
			scan_enter(scan->places[i].segment);
	pthread_mutex_unlock(&j->lock);
	return r;
}

uint64_t hw_journal_gone(struct hw_journal *j, struct hw_str topic)
{
	uint64_t gone;

	pthread_mutex_lock(&j->lock);
	gone = hw_topic_index_gone(&j->topics, topic);
	pthread_mutex_unlock(&j->lock);
	return gone;
}

uint64_t hw_journal_newest(struct hw_journal *j, struct hw_str topic)
{
	const struct hw_topic_log *t;
	uint64_t newest;

	pthread_mutex_lock(&j->lock);
	t = hw_topic_index_find(&j->topics, topic);
	newest = t ? hw_topic_log_newest(t) : 0;
	pthread_mutex_unlock(&j->lock);
	return newest;
}

/* From the last entry that was read of a topic to its next one. Its log is looked up anew: it may
 * be forgotten meanwhile, when a reload takes its class's history. */
static void topic_go_on(struct hw_journal *j, struct hw_place *place)
{
	struct hw_segment *s = place->segment;
	const struct hw_journal_entry *last = hw_segment_entry(s, place->index - 1);
	const struct hw_topic_log *t;
	uint32_t same = same_of(last);

	if (same) {
		place->index = same;
		return;
	}
	pthread_mutex_lock(&j->lock);
	t = hw_topic_index_find(&j->topics, topic_of(s, last));
	*place = t ? hw_topic_log_find(t, last->number) : (struct hw_place){0};
	if (place->segment)
		scan_enter(place->segment);
	pthread_mutex_unlock(&j->lock);
	scan_leave(s);
}

bool hw_scan_next(struct hw_scan *scan, uint64_t upto, struct hw_run *run)
{
	const struct limit limit = {.seq = UINT64_MAX, .number = upto};
	size_t at = merge_next(scan->places, scan->n_places, scan_hop, &limit, run);

	if (at == SIZE_MAX)
		return false;
	if (scan->places[at].topic)
		topic_go_on(scan->journal, &scan->places[at]);
	return true;
}

void hw_scan_end(struct hw_scan *scan)
{
	for (size_t i = 0; i < scan->n_places; i++)
		if (scan->places[i].segment)
			scan_leave(scan->places[i].segment);
	scan->n_places = 0;
}
