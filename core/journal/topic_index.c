#include "journal/topic_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/topic.h"

void hw_topic_index_init(struct hw_topic_index *index, const struct hw_journal *journal,
	const struct hw_hash_key *key)
{
	*index = (struct hw_topic_index){.journal = journal, .empty_max = HW_TOPICS_EMPTY_MAX};
	hw_map_init(&index->topics, key);
	for (size_t c = 0; c < HW_JOURNAL_MAX_CLASSES; c++)
		hw_list_init(&index->empty[c]);
}

static size_t log_bytes(const struct hw_topic_log *t)
{
	return sizeof(*t) + t->name_len + t->cap_parts * sizeof(*t->parts);
}

static void log_free(struct hw_topic_log *t)
{
	hw_list_remove(&t->empty);
	free(t->parts);
	free(t);
}

void hw_topic_index_fini(struct hw_topic_index *index)
{
	for (hw_map_each (&index->topics, i))
		log_free(index->topics.slots[i].value);
	hw_map_fini(&index->topics);
}

static struct hw_str name_of(const struct hw_topic_log *t)
{
	return (struct hw_str){t->name, t->name_len};
}

/* ---- topics with nothing left
 * ---------------------------------------------------------------------------------------------------
 */

static size_t class_of(const struct hw_topic_index *index, struct hw_str name)
{
	return hw_journal_class_of(index->journal, name);
}

static void forgets(struct hw_topic_index *index, size_t class, uint64_t number)
{
	if (number > index->forgotten[class])
		index->forgotten[class] = number;
}

static void take_from_empty(struct hw_topic_index *index, struct hw_topic_log *t)
{
	if (hw_list_empty(&t->empty))
		return;
	hw_list_remove(&t->empty);
	hw_list_init(&t->empty);
	index->n_empty[t->class]--;
}

static void forget_oldest(struct hw_topic_index *index, size_t class)
{
	struct hw_topic_log *t =
		HW_CONTAINER_OF(index->empty[class].next, struct hw_topic_log, empty);

	/* by its name: that is how it is asked for */
	forgets(index, class_of(index, name_of(t)), t->gone);
	take_from_empty(index, t);
	hw_map_remove(&index->topics, name_of(t));
	index->bytes -= log_bytes(t);
	log_free(t);
}

/* What it costs, to its class; one with nothing left costs none. */
static void charge(struct hw_topic_index *index, struct hw_topic_log *t, size_t class, size_t bytes)
{
	index->class_bytes[t->class] -= t->charged;
	index->class_bytes[class] += bytes;
	t->class = class;
	t->charged = bytes;
}

/* The latest to become empty, or to be told of, is the last to be forgotten. */
static void note_empty(struct hw_topic_index *index, struct hw_topic_log *t)
{
	size_t class = class_of(index, name_of(t));

	take_from_empty(index, t);
	charge(index, t, class, 0);
	hw_list_push(&index->empty[class], &t->empty);
	if (++index->n_empty[class] > index->empty_max)
		forget_oldest(index, class);
}

static struct hw_topic_log *log_get(
	struct hw_topic_index *index, uint64_t hash, struct hw_str topic)
{
	struct hw_topic_log *t = hw_map_get_hashed(&index->topics, hash, topic);

	if (t)
		return t;
	t = calloc(1, sizeof(*t) + topic.len);
	if (!t)
		return NULL;
	hw_list_init(&t->empty);
	t->gone = index->forgotten[class_of(index, topic)];
	t->name_len = topic.len;
	memcpy(t->name, topic.p, topic.len);
	if (hw_map_put(&index->topics, name_of(t), t, NULL)) {
		free(t);
		return NULL;
	}
	index->bytes += log_bytes(t);
	return t;
}

static void lose(struct hw_topic_index *index, struct hw_str name, uint64_t number)
{
	struct hw_topic_log *t = log_get(index, hw_map_hash(&index->topics, name), name);

	if (!t) {
		hw_topic_index_lost_all(index, number);
		return;
	}
	if (number > t->gone)
		t->gone = number;
	if (t->n_parts == 0)
		note_empty(index, t);
}

/* A pattern has a log too, for what is gone of its topics. */
void hw_topic_index_lost(struct hw_topic_index *index, struct hw_str topic, uint64_t number)
{
	char pattern[HW_TOPIC_MAX + 2];

	lose(index, topic, number);
	lose(index, hw_topic_pattern(topic, pattern), number);
}

void hw_topic_index_lost_all(struct hw_topic_index *index, uint64_t number)
{
	for (size_t c = 0; c < HW_JOURNAL_MAX_CLASSES; c++)
		forgets(index, c, number);
	for (hw_map_each (&index->topics, i)) {
		struct hw_topic_log *t = index->topics.slots[i].value;

		if (number > t->gone)
			t->gone = number;
	}
}

void hw_topic_index_mingle(struct hw_topic_index *index)
{
	uint64_t most = 0;

	for (size_t c = 0; c < HW_JOURNAL_MAX_CLASSES; c++)
		most = index->forgotten[c] > most ? index->forgotten[c] : most;
	for (size_t c = 0; c < HW_JOURNAL_MAX_CLASSES; c++)
		forgets(index, c, most);
}

/* ---- events come
 * ----------------------------------------------------------------------------------------------------------------
 */

static int parts_reserve(struct hw_topic_index *index, struct hw_topic_log *t)
{
	uint32_t cap = t->cap_parts ? t->cap_parts * 2 : 1;
	void *p;

	if (t->part_at + t->n_parts < t->cap_parts)
		return 0;
	if (t->part_at > t->n_parts) {
		memcpy(t->parts, t->parts + t->part_at, t->n_parts * sizeof(*t->parts));
		t->part_at = 0;
		return 0;
	}
	p = reallocarray(t->parts, cap, sizeof(*t->parts));
	if (!p)
		return -ENOMEM;
	index->bytes += (cap - t->cap_parts) * sizeof(*t->parts);
	t->parts = p;
	t->cap_parts = cap;
	return 0;
}

static struct hw_topic_part *last_part(const struct hw_topic_log *t)
{
	return t->n_parts ? &t->parts[t->part_at + t->n_parts - 1] : NULL;
}

struct hw_topic_log *hw_topic_index_reserve(struct hw_topic_index *index, uint64_t hash,
	struct hw_str topic, size_t class, const struct hw_segment *segment)
{
	struct hw_topic_log *t = log_get(index, hash, topic);
	const struct hw_topic_part *last = t ? last_part(t) : NULL;

	if (!t || (last && last->segment == segment))
		return t;
	if (parts_reserve(index, t)) {
		if (t->n_parts == 0)
			note_empty(index, t);
		return NULL;
	}
	take_from_empty(index, t);
	charge(index, t, class, log_bytes(t));
	return t;
}

void hw_topic_index_add(struct hw_topic_log *t, struct hw_segment *segment, uint32_t i)
{
	struct hw_topic_part *last = last_part(t);

	if (last && last->segment == segment) {
		struct hw_journal_entry *before = hw_segment_entry(segment, last->last);

		/* readers look at it without the lock, once they see the entry that it names */
		__atomic_store_n(&before->same, i, __ATOMIC_RELAXED);
		last->last = i;
		return;
	}
	t->parts[t->part_at + t->n_parts++] =
		(struct hw_topic_part){.segment = segment, .first = i, .last = i};
}

/* ---- events go
 * -----------------------------------------------------------------------------------------------------------------
 */

static struct hw_str topic_of(const struct hw_segment *s, const struct hw_journal_entry *e)
{
	return (struct hw_str){
		s->data + e->offset + e->header_len + sizeof("{\"topic\":\"") - 1, e->topic_len};
}

/* The number of the last event of a part in @s, which is removed; 0: there is none. Mostly it is
 * the first; a topic that has been moved to another class and back has them mixed. */
static uint64_t part_remove(struct hw_topic_log *t, const struct hw_segment *s)
{
	struct hw_topic_part *parts = t->parts + t->part_at;
	uint64_t number;
	uint32_t i = 0;

	while (i < t->n_parts && parts[i].segment != s)
		i++;
	if (i == t->n_parts)
		return 0;
	number = hw_segment_entry(s, parts[i].last)->number;
	memmove(parts + 1, parts, i * sizeof(*parts));
	t->part_at++;
	t->n_parts--;
	return number;
}

void hw_topic_index_drop(struct hw_topic_index *index, const struct hw_segment *s)
{
	size_t n = atomic_load_explicit(&s->n, memory_order_relaxed);

	for (size_t i = 0; i < n; i++) {
		const struct hw_journal_entry *e = hw_segment_entry(s, i);
		struct hw_str name = topic_of(s, e);
		struct hw_topic_log *t =
			e->history ? hw_map_get_hashed(&index->topics, e->topic_hash, name) : NULL;

		/* none: not the first of its topic here */
		while (t) {
			uint64_t number = part_remove(t, s);

			if (t->n_parts) /* where it has been moved to or from may keep the rest */
				charge(index, t, last_part(t)->segment->class, log_bytes(t));
			if (t->n_parts == 0 || number == 0)
				t = NULL; /* it may be forgotten now */
			if (number)
				hw_topic_index_lost(index, name, number);
		}
	}
}

/* ---- looking
 * -------------------------------------------------------------------------------------------------------------------
 */

struct hw_topic_log *hw_topic_index_find(const struct hw_topic_index *index, struct hw_str topic)
{
	return hw_map_get(&index->topics, topic);
}

uint64_t hw_topic_index_gone(const struct hw_topic_index *index, struct hw_str topic)
{
	const struct hw_topic_log *t = hw_topic_index_find(index, topic);

	return t ? t->gone : index->forgotten[class_of(index, topic)];
}

static struct hw_place nowhere(void)
{
	return (struct hw_place){0};
}

static uint64_t number_at(const struct hw_segment *s, uint32_t i)
{
	return hw_segment_entry(s, i)->number;
}

uint64_t hw_topic_log_newest(const struct hw_topic_log *t)
{
	uint64_t newest = 0;

	/* the last part, but for a topic that went to another class and back */
	for (uint32_t i = 0; i < t->n_parts; i++) {
		const struct hw_topic_part *part = &t->parts[t->part_at + i];
		uint64_t number = number_at(part->segment, part->last);

		newest = number > newest ? number : newest;
	}
	return newest;
}

/* The first of the parts whose last event is above @number. */
struct hw_place hw_topic_log_find(const struct hw_topic_log *t, uint64_t number)
{
	const struct hw_topic_part *parts = t->parts + t->part_at;
	uint32_t low = 0, high = t->n_parts, i;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (number_at(parts[middle].segment, parts[middle].last) <= number)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == t->n_parts)
		return nowhere();
	i = parts[low].first;
	while (number_at(parts[low].segment, i) <= number)
		i = hw_segment_entry(parts[low].segment, i)->same;
	return (struct hw_place){
		.segment = parts[low].segment, .index = i, .topic = (struct hw_topic_log *)t};
}
