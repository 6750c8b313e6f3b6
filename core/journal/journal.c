#include "journal/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/random.h>

#include "journal/journal_internal.h"
#include "journal/topic_index.h"
#include "wire/cursor.h"
#include "wire/event.h"
#include "wire/ws.h"

enum {
	SEGMENT_MIN = 16u << 10,
	SEGMENT_MAX = 1u << 20,
	SEGMENT_TRANSIENT_MAX = 128u << 10, /* of a class without history */
	FRAME_HEADER_MAX = 14,
	SEQ_DIGITS_MAX = 20,
};

/* ---- segments
 * ------------------------------------------------------------------------------------------------
 */

static void segment_hold(struct hw_pin *pin)
{
	struct hw_segment *s = HW_CONTAINER_OF(pin, struct hw_segment, pin);

	atomic_fetch_add_explicit(&s->n_pins, 1, memory_order_relaxed);
}

/* Who lets go last does not free: the next trim of the class finds the segment unpinned. */
static void segment_release(struct hw_pin *pin)
{
	struct hw_segment *s = HW_CONTAINER_OF(pin, struct hw_segment, pin);

	atomic_fetch_sub_explicit(&s->n_pins, 1, memory_order_release);
}

static const struct hw_pin_ops segment_pin_ops = {.hold = segment_hold, .release = segment_release};

static unsigned max_entries(const struct hw_topic_class *conf)
{
	uint64_t half = conf->retention.count / 2;

	if (!conf->history)
		return 1u << 16;
	return half < 1 ? 1 : half > 1u << 16 ? 1u << 16 : (unsigned)half;
}

static size_t next_capacity(const struct hw_class_log *log, size_t needed)
{
	size_t most = log->conf.history ? SEGMENT_MAX : SEGMENT_TRANSIENT_MAX;
	size_t cap = log->last->cap;

	/* one that was left for its count or its age was large enough */
	if (log->last->used >= cap / 2)
		cap *= 2;

	if (log->conf.history && log->conf.retention.bytes / 4 < most)
		most = log->conf.retention.bytes / 4;
	if (cap > most)
		cap = most;
	if (cap < SEGMENT_MIN)
		cap = SEGMENT_MIN;
	if (cap < needed)
		cap = needed;
	return (cap + 15) & ~(size_t)15;
}

/* Room for one more at the end of the index. */
static int index_reserve(struct hw_class_log *log)
{
	size_t cap = log->index_cap ? log->index_cap * 2 : 8;
	void *p;

	if (log->index_at + log->n_segments < log->index_cap)
		return 0;
	if (log->index_at > log->n_segments) {
		/* what was trimmed leaves more room than there is to move */
		memcpy(log->index, log->index + log->index_at,
			log->n_segments * sizeof(log->index[0]));
		log->index_at = 0;
		return 0;
	}
	p = reallocarray(log->index, cap, sizeof(log->index[0]));
	if (!p)
		return -ENOMEM;
	log->index = p;
	log->index_cap = cap;
	return 0;
}

static int segment_push(struct hw_journal *j, struct hw_class_log *log, size_t cap)
{
	struct hw_segment *s = log->spare;

	if (index_reserve(log))
		return -ENOMEM;
	if (s && s->cap == cap) {
		log->spare = NULL;
	} else {
		s = malloc(sizeof(*s) + cap);
		if (!s)
			return -ENOMEM;
		s->cap = cap;
	}
	s->pin.ops = &segment_pin_ops;
	s->journal = j;
	s->class = (size_t)(log - j->classes);
	s->number = ++log->next_number;
	s->after_seq = atomic_load_explicit(&j->head, memory_order_relaxed);
	s->after_number = j->number;
	s->position = j->position;
	j->position += cap;
	s->used = 0;
	atomic_init(&s->n_pins, 0);
	atomic_init(&s->n_scans, 0);
	s->held_next = NULL;
	atomic_init(&s->next, NULL);
	atomic_init(&s->n, 0);
	log->bytes += cap;
	log->index[log->index_at + log->n_segments++] = s;
	if (log->last)
		atomic_store_explicit(&log->last->next, s, memory_order_release);
	else
		log->first = s;
	log->last = s;
	return 0;
}

/* A segment leaves as a whole: it spans at most half of what is to be kept, by count and by age. */
static bool segment_takes(const struct hw_class_log *log, size_t frame_max, int64_t mono_ms)
{
	const struct hw_segment *s = log->last;
	const struct hw_topic_class *conf = &log->conf;
	unsigned n = atomic_load_explicit(&s->n, memory_order_relaxed);

	if (n && conf->history && conf->retention.age_ms > 0 &&
		s->first_mono_ms < mono_ms - conf->retention.age_ms / 2)
		return false;
	return n < max_entries(conf) &&
	       s->used + frame_max + (n + 1) * sizeof(struct hw_journal_entry) <= s->cap;
}

/* ---- retention
 * ------------------------------------------------------------------------------------------------
 */

/* The workers whose readers have not passed it. */
static uint64_t readers_in(const struct hw_journal *j, size_t class, const struct hw_segment *s)
{
	uint64_t set = 0;

	for (uint64_t left = j->active; left; left &= left - 1) {
		const struct hw_reader *r = j->readers[__builtin_ctzll(left)];

		/* acquire: what that worker did with the segment before it moved on, happened
		 * before */
		if (atomic_load_explicit(&r->needs[class], memory_order_acquire) <= s->number)
			set |= left & -left;
	}
	return set;
}

static bool is_scanned(const struct hw_segment *s)
{
	return atomic_load_explicit(&s->n_scans, memory_order_acquire) > 0;
}

static bool is_pinned(const struct hw_segment *s)
{
	return atomic_load_explicit(&s->n_pins, memory_order_acquire) > 0;
}

static void segment_free(struct hw_class_log *log, struct hw_segment *s)
{
	free(log->spare);
	log->spare = s;
}

/* What is trimmed while a blocked socket has yet to send from it is set aside, so that it does not
 * keep all that came after it; it goes with one of the trims after the socket let go. */
static void segment_hold_back(struct hw_class_log *log, struct hw_segment *s)
{
	s->held_next = log->held;
	log->held = s;
	log->held_bytes += s->cap;
}

static void free_held(struct hw_class_log *log)
{
	struct hw_segment **link = &log->held;

	while (*link) {
		struct hw_segment *s = *link;

		if (is_pinned(s)) {
			link = &s->held_next;
			continue;
		}
		*link = s->held_next;
		log->held_bytes -= s->cap;
		segment_free(log, s);
	}
}

/* What finds its topics costs memory too, and counts where it is much: many topics with an event
 * each. */
static uint64_t index_share(const struct hw_journal *j, size_t class)
{
	uint64_t bytes = j->topics.class_bytes[class];

	return bytes > SEGMENT_MIN ? bytes : 0;
}

static bool retention_drops(
	const struct hw_journal *j, size_t class, const struct hw_segment *s, int64_t mono_ms)
{
	const struct hw_class_log *log = &j->classes[class];
	const struct hw_retention *keep = &log->conf.retention;
	unsigned n = atomic_load_explicit(&s->n, memory_order_relaxed);

	if (!log->conf.history || log->retired || n == 0)
		return true;
	if (log->n_events - n >= keep->count || log->bytes + index_share(j, class) > keep->bytes)
		return true;
	return keep->age_ms > 0 && n > 0 && s->last_mono_ms < mono_ms - keep->age_ms;
}

/* Returns the workers whose readers keep what would go. */
static uint64_t class_trim(struct hw_journal *j, size_t class, int64_t mono_ms)
{
	struct hw_class_log *log = &j->classes[class];

	free_held(log);
	while (log->first && log->first != log->last) {
		struct hw_segment *s = log->first;
		unsigned n = atomic_load_explicit(&s->n, memory_order_relaxed);

		uint64_t readers;

		if (!retention_drops(j, class, s, mono_ms))
			break;
		readers = readers_in(j, class, s);
		if (readers || is_scanned(s))
			return readers;
		log->first = atomic_load_explicit(&s->next, memory_order_relaxed);
		log->index_at++;
		log->n_segments--;
		log->n_events -= n;
		log->bytes -= s->cap;
		if (n && log->conf.history && s->number >= log->history_from) {
			log->trimmed = hw_segment_entry(s, n - 1)->number;
			hw_topic_index_drop(&j->topics, s);
		}
		/* nobody can pin it any more: who did, did it before the reader or the scan moved
		 * on */
		if (is_pinned(s))
			segment_hold_back(log, s);
		else
			segment_free(log, s);
	}
	return 0;
}

uint64_t hw_journal_trim(struct hw_journal *j, int64_t mono_ms)
{
	unsigned n_classes = atomic_load_explicit(&j->n_classes, memory_order_relaxed);
	uint64_t readers = 0;

	pthread_mutex_lock(&j->lock);
	for (size_t c = 0; c < n_classes; c++) {
		struct hw_class_log *log = &j->classes[c];
		struct hw_segment *last = log->last;
		unsigned n = atomic_load_explicit(&last->n, memory_order_relaxed);

		/* a quiet tenant's last segment ages too: start another, so that it can go (no
		 * memory: next time) */
		if (n && log->n_events && retention_drops(j, c, last, mono_ms) &&
			log->n_events == n)
			(void)!segment_push(j, log, 0);
		readers |= class_trim(j, c, mono_ms);
		free(log->spare);
		log->spare = NULL;
	}
	pthread_mutex_unlock(&j->lock);
	return readers;
}

/* ---- append
 * ----------------------------------------------------------------------------------------------------
 */

/* The exact name wins over "resource:*", whatever their order. */
size_t hw_journal_class_of(const struct hw_journal *j, struct hw_str topic)
{
	unsigned n = atomic_load_explicit(&j->n_classes, memory_order_relaxed);
	size_t best = 0;

	for (size_t c = 1; c < n; c++) {
		const struct hw_class_log *log = &j->classes[c];
		size_t len = strlen(log->conf.pattern);

		if (log->retired)
			continue;
		if (topic.len == len && !memcmp(topic.p, log->conf.pattern, len))
			return c;
		if (log->conf.pattern[len - 1] == '*' && topic.len >= len - 1 &&
			!memcmp(topic.p, log->conf.pattern, len - 1))
			best = c;
	}
	return best;
}

void hw_journal_class_pattern(struct hw_journal *j, struct hw_str topic, char out[256])
{
	pthread_mutex_lock(&j->lock);
	memcpy(out, j->classes[hw_journal_class_of(j, topic)].conf.pattern, 256);
	pthread_mutex_unlock(&j->lock);
}

static size_t digits(char out[SEQ_DIGITS_MAX], uint64_t n)
{
	char *end = out + SEQ_DIGITS_MAX, *p = end;

	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	memmove(out, p, (size_t)(end - p));
	return (size_t)(end - p);
}

/* Writes the finished frame: header, text, the id where the class has one, the brace. Behind it,
 * for the filters alone, what was before: a run ends there, so that no delivery ever spans it. */
static void store(const struct hw_journal *j, struct hw_segment *s, const struct hw_append *event,
	uint64_t hash, uint64_t seq, uint64_t id)
{
	unsigned n = atomic_load_explicit(&s->n, memory_order_relaxed);
	struct hw_journal_entry *entry = hw_segment_entry(s, n);
	char number[SEQ_DIGITS_MAX];
	size_t n_digits = id ? digits(number, id) : 0;
	size_t id_len = id ? j->id_prefix_len + n_digits + 1 : 0;
	char *p = s->data + s->used, *frame_end;
	size_t header_len =
		hw_ws_header((uint8_t *)p, true, HW_WS_OP_TEXT, event->text.len + id_len + 1, NULL);

	p += header_len;
	memcpy(p, event->text.p, event->text.len);
	p += event->text.len;
	if (id) {
		memcpy(p, j->id_prefix, j->id_prefix_len);
		p += j->id_prefix_len;
		memcpy(p, number, n_digits);
		p += n_digits;
		*p++ = '"';
	}
	*p++ = '}';
	frame_end = p;
	if (event->previous.p) {
		memcpy(p, event->previous.p, event->previous.len);
		p += event->previous.len;
	}
	*entry = (struct hw_journal_entry){
		.seq = seq,
		.number = id ? id : j->number,
		.history = id != 0,
		.topic_hash = hash,
		.wall_ms = event->wall_ms,
		.offset = (uint32_t)s->used,
		.len = (uint32_t)(frame_end - (s->data + s->used)),
		.previous_len = (uint32_t)(p - frame_end),
		.header_len = (uint8_t)header_len,
		.topic_len = (uint8_t)event->topic.len,
	};
	if (n == 0)
		s->first_mono_ms = s->last_mono_ms = event->mono_ms;
	else if (event->mono_ms > s->last_mono_ms) /* workers read the clock each for itself */
		s->last_mono_ms = event->mono_ms;
	s->used = (size_t)(p - s->data);
	atomic_store_explicit(&s->n, n + 1, memory_order_release);
}

/* Under the lock. 0, or why there is none for it: as hw_journal_append. */
static int give_number(struct hw_journal *j, bool history, const struct hw_append *event,
	uint64_t seq, uint64_t *id)
{
	*id = 0;
	if (event->number && event->number <= j->number)
		return -ESTALE;
	if (!history) {
		/* its class lost its history while the store had it: it is told, and not kept */
		if (event->number)
			j->number = event->number;
		return 0;
	}
	if (j->stored && !event->number)
		return HW_JOURNAL_TO_STORE;
	*id = j->stored ? event->number : seq;
	return 0;
}

int hw_journal_append(
	struct hw_journal *j, const struct hw_append *event, uint64_t *number, uint64_t *wake)
{
	uint64_t hash = hw_hash(&j->hash_key, event->topic.p, event->topic.len);
	size_t frame_max = FRAME_HEADER_MAX + event->text.len + sizeof(j->id_prefix) +
			   SEQ_DIGITS_MAX + 2 + event->previous.len;
	size_t needed = frame_max + sizeof(struct hw_journal_entry);
	struct hw_topic_log *topic = NULL;
	struct hw_class_log *log;
	uint64_t seq, id;
	size_t class;
	bool rotate;
	int r;

	pthread_mutex_lock(&j->lock);
	class = hw_journal_class_of(j, event->topic);
	log = &j->classes[class];
	seq = atomic_load_explicit(&j->head, memory_order_relaxed) + 1;
	r = give_number(j, log->conf.history, event, seq, &id);
	if (r)
		goto out;
	rotate = !segment_takes(log, frame_max, event->mono_ms);
	if (rotate) {
		r = segment_push(j, log, next_capacity(log, needed));
		if (r)
			goto out;
	}
	if (id) {
		topic = hw_topic_index_reserve(&j->topics, hash, event->topic, class, log->last);
		if (!topic) {
			r = -ENOMEM;
			goto out;
		}
		j->number = id;
		hw_topic_index_add(topic, log->last,
			atomic_load_explicit(&log->last->n, memory_order_relaxed));
	}
	store(j, log->last, event, hash, seq, id);
	log->n_events++;
	atomic_store_explicit(&j->head, seq, memory_order_release);
	if (rotate) /* with the new event counted: a class of count 1 keeps that one */
		(void)class_trim(j, class, event->mono_ms);
	*number = id;
	*wake = j->active;
out:
	pthread_mutex_unlock(&j->lock);
	return r;
}

void hw_journal_skip(struct hw_journal *j, struct hw_str topic, uint64_t number, uint64_t *wake)
{
	pthread_mutex_lock(&j->lock);
	j->number = number;
	j->classes[hw_journal_class_of(j, topic)].trimmed = number;
	hw_topic_index_lost(&j->topics, topic, number);
	atomic_store_explicit(&j->torn, number, memory_order_release);
	*wake = j->active;
	pthread_mutex_unlock(&j->lock);
}

uint64_t hw_journal_torn(const struct hw_journal *j)
{
	return atomic_load_explicit(&j->torn, memory_order_acquire);
}

/* ---- life
 * --------------------------------------------------------------------------------------------------------
 */

static uint64_t random_epoch(void)
{
	uint64_t epoch;

	/* 36 bits: seven base-36 digits; zero is kept for "none" */
	do {
		if (getrandom(&epoch, sizeof(epoch), 0) != (ssize_t)sizeof(epoch))
			abort(); /* a kernel without randomness: nothing here could be trusted */
		epoch &= (UINT64_C(1) << 36) - 1;
	} while (epoch == 0);
	return epoch;
}

/* Under the lock, or before anybody else has the journal. */
static void set_epoch(struct hw_journal *j, uint64_t epoch)
{
	char cursor[HW_CURSOR_MAX + 1];

	j->epoch = epoch;
	hw_cursor_format((struct hw_cursor){.epoch = epoch}, cursor);
	*strchr(cursor, '-') = '\0';
	j->id_prefix_len =
		(size_t)snprintf(j->id_prefix, sizeof(j->id_prefix), ",\"id\":\"%s-", cursor);
}

struct hw_journal *hw_journal_create(
	const struct hw_topic_classes *classes, const struct hw_hash_key *hash_key)
{
	struct hw_journal *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	pthread_mutex_init(&j->lock, NULL);
	set_epoch(j, random_epoch());
	j->hash_key = *hash_key;
	hw_topic_index_init(&j->topics, j, hash_key);
	if (hw_journal_configure(j, classes))
		hw_journal_destroy(&j);
	return j;
}

/* What the store has is, as seen from here, gone. */
void hw_journal_back(struct hw_journal *j, uint64_t epoch, uint64_t last)
{
	unsigned n = atomic_load_explicit(&j->n_classes, memory_order_relaxed);

	set_epoch(j, epoch);
	j->stored = true;
	j->number = last;
	hw_topic_index_lost_all(&j->topics, last);
	for (size_t c = 0; c < n; c++) {
		j->classes[c].trimmed = last;
		j->classes[c].last->after_number = last;
	}
}

void hw_journal_destroy(struct hw_journal **journal)
{
	struct hw_journal *j = *journal;

	if (!j)
		return;
	for (size_t c = 0; c < HW_JOURNAL_MAX_CLASSES; c++) {
		struct hw_class_log *log = &j->classes[c];

		for (struct hw_segment *s = log->first, *next; s; s = next) {
			next = atomic_load_explicit(&s->next, memory_order_relaxed);
			free(s);
		}
		for (struct hw_segment *s = log->held, *next; s; s = next) {
			next = s->held_next;
			free(s);
		}
		free(log->spare);
		free(log->index);
	}
	hw_topic_index_fini(&j->topics);
	pthread_mutex_destroy(&j->lock);
	free(j);
	*journal = NULL;
}

static size_t find_class(const struct hw_journal *j, size_t n, const char *pattern)
{
	for (size_t c = 0; c < n; c++)
		if (!strcmp(j->classes[c].conf.pattern, pattern))
			return c;
	return SIZE_MAX;
}

/* Says for each of @classes which of ours it becomes: the one of its pattern, a retired one that
 * has nothing left, or one that was never used. @n grows past these; readers never see a class
 * without a segment to stand in. */
static int choose_classes(struct hw_journal *j, const struct hw_topic_classes *classes, unsigned *n,
	size_t chosen[HW_JOURNAL_MAX_CLASSES])
{
	bool taken[HW_JOURNAL_MAX_CLASSES] = {false};
	unsigned n_old = *n;

	for (size_t i = 0; i < classes->n; i++) {
		chosen[i] = find_class(j, n_old, classes->classes[i].pattern);
		if (chosen[i] != SIZE_MAX)
			taken[chosen[i]] = true;
	}
	for (size_t i = 0; i < classes->n; i++) {
		size_t c = 0;

		if (chosen[i] != SIZE_MAX)
			continue;
		while (c < n_old && (taken[c] || !j->classes[c].retired || j->classes[c].n_events))
			c++;
		if (c == n_old)
			c = *n;
		if (c == HW_JOURNAL_MAX_CLASSES)
			return -ENOSPC;
		if (!j->classes[c].last && segment_push(j, &j->classes[c], 0))
			return -ENOMEM;
		if (c == *n)
			++*n;
		else
			taken[c] = true;
		chosen[i] = c;
	}
	return 0;
}

static void forget_history(struct hw_journal *j, struct hw_class_log *log)
{
	log->trimmed = j->number;
	for (struct hw_segment *s = log->first; s;
		s = atomic_load_explicit(&s->next, memory_order_relaxed))
		hw_topic_index_drop(&j->topics, s);
}

/* Scans show what was stored with an id and only that: where history begins they find a segment of
 * its own, and what was there when it ended is lost to them. */
static int change_history(struct hw_journal *j, struct hw_class_log *log, bool history)
{
	const struct hw_segment *last = log->last;
	unsigned n = atomic_load_explicit(&last->n, memory_order_relaxed);

	if (log->conf.history == history)
		return 0;
	if (history && n && segment_push(j, log, 0))
		return -ENOMEM;
	if (history)
		log->history_from = log->last->number;
	else if (log->n_events)
		forget_history(j, log);
	return 0;
}

/* Does every topic stay in its class? */
static bool same_patterns(const struct hw_journal *j, const struct hw_topic_classes *classes,
	const size_t chosen[HW_JOURNAL_MAX_CLASSES])
{
	size_t n_live = 0;

	for (size_t c = 0; c < atomic_load_explicit(&j->n_classes, memory_order_relaxed); c++)
		n_live += !j->classes[c].retired;
	for (size_t i = 0; i < classes->n; i++) {
		const struct hw_class_log *log = &j->classes[chosen[i]];

		if (log->retired || strcmp(log->conf.pattern, classes->classes[i].pattern) != 0)
			return false;
	}
	return n_live == classes->n;
}

int hw_journal_configure(struct hw_journal *j, const struct hw_topic_classes *classes)
{
	size_t chosen[HW_JOURNAL_MAX_CLASSES];
	unsigned n;
	bool same;
	int r;

	pthread_mutex_lock(&j->lock);
	n = atomic_load_explicit(&j->n_classes, memory_order_relaxed);
	r = choose_classes(j, classes, &n, chosen);
	for (size_t i = 0; !r && i < classes->n; i++)
		r = change_history(j, &j->classes[chosen[i]], classes->classes[i].history);
	if (r)
		goto out;
	same = same_patterns(j, classes, chosen);
	for (size_t c = 1; c < n; c++)
		j->classes[c].retired = true;
	for (size_t i = 0; i < classes->n; i++) {
		j->classes[chosen[i]].conf = classes->classes[i];
		j->classes[chosen[i]].retired = false;
	}
	atomic_store_explicit(&j->n_classes, n, memory_order_release);
	if (!same)
		hw_topic_index_mingle(&j->topics);
out:
	pthread_mutex_unlock(&j->lock);
	return r;
}

uint64_t hw_journal_epoch(const struct hw_journal *j)
{
	return j->epoch;
}

uint64_t hw_journal_head(const struct hw_journal *j)
{
	return atomic_load_explicit(&j->head, memory_order_acquire);
}

uint64_t hw_journal_last(struct hw_journal *j)
{
	uint64_t last;

	if (!j->stored)
		return hw_journal_head(j);
	pthread_mutex_lock(&j->lock);
	last = j->number;
	pthread_mutex_unlock(&j->lock);
	return last;
}

/* The last number at or before @seq of one class. */
static uint64_t class_number(const struct hw_class_log *log, uint64_t seq)
{
	struct hw_segment *const *segments = log->index + log->index_at;
	size_t low = 0, high = log->n_segments - 1;
	const struct hw_segment *s;
	size_t n;

	while (low < high) {
		size_t middle = high - (high - low) / 2;

		if (segments[middle]->after_seq <= seq)
			low = middle;
		else
			high = middle - 1;
	}
	s = segments[low];
	n = hw_segment_first_after(s, seq);
	return n ? hw_segment_entry(s, n - 1)->number : s->after_number;
}

uint64_t hw_journal_number(struct hw_journal *j, uint64_t seq)
{
	uint64_t number = 0;

	if (!j->stored)
		return seq;
	pthread_mutex_lock(&j->lock);
	for (size_t c = 0; c < atomic_load_explicit(&j->n_classes, memory_order_relaxed); c++) {
		uint64_t n = class_number(&j->classes[c], seq);

		number = n > number ? n : number;
	}
	pthread_mutex_unlock(&j->lock);
	return number;
}

void hw_journal_stats(struct hw_journal *j, struct hw_journal_stats *out)
{
	*out = (struct hw_journal_stats){0};
	pthread_mutex_lock(&j->lock);
	out->index_bytes = j->topics.bytes + j->topics.topics.n_slots * sizeof(struct hw_map_slot);
	for (size_t c = 0; c < HW_JOURNAL_MAX_CLASSES; c++) {
		const struct hw_class_log *log = &j->classes[c];

		out->events += log->n_events;
		out->bytes += log->bytes + log->held_bytes;
		out->segments += log->n_segments;
	}
	pthread_mutex_unlock(&j->lock);
}
