#include "hook/dict.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

#define N_SHARDS 16
#define NEVER INT64_MAX
#define NO_PLACE SIZE_MAX
#define INTEGER_MAX 20    /* "-9223372036854775808" */
#define EXPIRE_AT_ONCE 64 /* that ended, freed by a visit: the rest waits for the next ones */

struct item {
	int64_t ends_ms;
	size_t place; /* in the space's heap; NO_PLACE: it does not end */
	enum hw_dict_kind kind;
	uint32_t key_len, len, room;
	char bytes[]; /* the key, then the value's text */
};

/* A tenant's. Gone when it is empty. */
struct space {
	struct hw_map items;
	/* those that end, the first to end on top: item i ends no later than 2i + 1 and 2i + 2 */
	struct item **heap;
	size_t n_heap, cap_heap;
	size_t bytes;
	uint32_t name_len;
	char name[];
};

struct shard {
	pthread_mutex_t lock;
	struct hw_map spaces;
};

struct hw_dict {
	struct hw_hash_key key;
	atomic_size_t bytes;
	struct shard shards[N_SHARDS];
};

struct hw_dict *hw_dict_create(void)
{
	struct hw_dict *dict = calloc(1, sizeof(*dict));

	if (!dict)
		return NULL;
	dict->key = hw_hash_key_random();
	atomic_init(&dict->bytes, 0);
	for (size_t i = 0; i < N_SHARDS; i++) {
		hw_map_init(&dict->shards[i].spaces, &dict->key);
		pthread_mutex_init(&dict->shards[i].lock, NULL);
	}
	return dict;
}

static struct hw_str key_of(const struct item *item)
{
	return (struct hw_str){item->bytes, item->key_len};
}

static struct hw_str text_of(const struct item *item)
{
	return (struct hw_str){item->bytes + item->key_len, item->len};
}

static size_t bytes_of(size_t key_len, size_t room)
{
	return HW_DICT_ITEM_BYTES + key_len + room;
}

/* ---- the heap ---- */

static void heap_put(struct space *s, size_t at, struct item *item)
{
	s->heap[at] = item;
	item->place = at;
}

static void heap_sift(struct space *s, size_t at)
{
	struct item *item = s->heap[at];

	while (at > 0 && s->heap[(at - 1) / 2]->ends_ms > item->ends_ms) {
		heap_put(s, at, s->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < s->n_heap && s->heap[child + 1]->ends_ms < s->heap[child]->ends_ms)
			child++;
		if (child >= s->n_heap || s->heap[child]->ends_ms >= item->ends_ms)
			break;
		heap_put(s, at, s->heap[child]);
		at = child;
	}
	heap_put(s, at, item);
}

static void heap_remove(struct space *s, struct item *item)
{
	size_t at = item->place;
	struct item *last;

	if (at == NO_PLACE)
		return;
	item->place = NO_PLACE;
	last = s->heap[--s->n_heap];
	if (last == item)
		return;
	heap_put(s, at, last);
	heap_sift(s, at);
}

static int heap_reserve(struct space *s)
{
	struct item **larger;
	size_t cap = s->cap_heap ? 2 * s->cap_heap : 16;

	if (s->n_heap < s->cap_heap)
		return 0;
	larger = realloc(s->heap, cap * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	s->heap = larger;
	s->cap_heap = cap;
	return 0;
}

/* There is room for it. */
static void set_end(struct space *s, struct item *item, int64_t ends_ms)
{
	heap_remove(s, item);
	item->ends_ms = ends_ms;
	if (ends_ms == NEVER)
		return;
	heap_put(s, s->n_heap++, item);
	heap_sift(s, item->place);
}

/* ---- spaces ---- */

/* One that is not in the map any more. */
static void item_free(struct hw_dict *dict, struct space *s, struct item *item)
{
	size_t bytes = bytes_of(item->key_len, item->room);

	heap_remove(s, item);
	s->bytes -= bytes;
	atomic_fetch_sub_explicit(&dict->bytes, bytes, memory_order_relaxed);
	free(item);
}

static void item_remove(struct hw_dict *dict, struct space *s, struct item *item)
{
	hw_map_remove(&s->items, key_of(item));
	item_free(dict, s, item);
}

/* false: nothing in it has ended. */
static bool expire_one(struct hw_dict *dict, struct space *s, int64_t now_ms)
{
	bool ended = s->n_heap > 0 && s->heap[0]->ends_ms <= now_ms;

	if (ended)
		item_remove(dict, s, s->heap[0]);
	return ended;
}

static void space_free(struct hw_dict *dict, struct space *s)
{
	for (hw_map_each (&s->items, i)) {
		struct item *item = s->items.slots[i].value;

		atomic_fetch_sub_explicit(
			&dict->bytes, bytes_of(item->key_len, item->room), memory_order_relaxed);
		free(item);
	}
	hw_map_fini(&s->items);
	free(s->heap);
	free(s);
}

static struct space *space_make(struct hw_dict *dict, struct shard *shard, struct hw_str name)
{
	struct space *s = calloc(1, sizeof(*s) + name.len + 1);

	if (!s)
		return NULL;
	hw_map_init(&s->items, &dict->key);
	s->name_len = (uint32_t)name.len;
	if (name.len > 0)
		memcpy(s->name, name.p, name.len);
	if (hw_map_put(&shard->spaces, (struct hw_str){s->name, name.len}, s, NULL) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

void hw_dict_destroy(struct hw_dict **dict_in)
{
	struct hw_dict *dict = *dict_in;

	if (!dict)
		return;
	for (size_t i = 0; i < N_SHARDS; i++) {
		struct shard *shard = &dict->shards[i];

		for (hw_map_each (&shard->spaces, j))
			space_free(dict, shard->spaces.slots[j].value);
		hw_map_fini(&shard->spaces);
		pthread_mutex_destroy(&shard->lock);
	}
	free(dict);
	*dict_in = NULL;
}

static void leave(struct hw_dict *dict, struct shard *shard, struct space *s)
{
	if (s && hw_map_count(&s->items) == 0) {
		hw_map_remove(&shard->spaces, (struct hw_str){s->name, s->name_len});
		space_free(dict, s);
	}
	pthread_mutex_unlock(&shard->lock);
}

/* An operation on a key, with the shard's lock held. */
struct visit {
	struct hw_dict *dict;
	struct shard *shard;
	struct space *space;
	struct hw_str space_name, key;
	struct item *item;
	int64_t now_ms;
};

static void visit_begin(struct visit *v, struct hw_dict *dict, struct hw_str space,
	struct hw_str key, int64_t now_ms)
{
	*v = (struct visit){.dict = dict, .space_name = space, .key = key, .now_ms = now_ms};
	v->shard = &dict->shards[hw_hash(&dict->key, space.p ? space.p : "", space.len) % N_SHARDS];
	pthread_mutex_lock(&v->shard->lock);
	v->space = hw_map_get(&v->shard->spaces, space);
	if (!v->space)
		return;
	for (int n = 0; n < EXPIRE_AT_ONCE && expire_one(dict, v->space, now_ms); n++)
		;
	v->item = hw_map_get(&v->space->items, key);
	if (v->item && v->item->ends_ms <= now_ms) {
		item_remove(dict, v->space, v->item);
		v->item = NULL;
	}
}

static int visit_end(struct visit *v, int outcome)
{
	leave(v->dict, v->shard, v->space);
	return outcome;
}

static bool key_valid(struct hw_str key)
{
	return key.len > 0 && key.len <= HW_DICT_KEY_MAX;
}

static int64_t end_of(int64_t ttl_ms, int64_t now_ms)
{
	return ttl_ms <= 0 || ttl_ms > NEVER - 1 - now_ms ? NEVER : now_ms + ttl_ms;
}

/* ---- storing ---- */

/* Makes room by what has ended. */
static bool has_room(const struct visit *v, size_t before, size_t after)
{
	struct space *s = v->space;
	size_t more = after > before ? after - before : 0;

	do {
		size_t total = atomic_load_explicit(&v->dict->bytes, memory_order_relaxed);

		if (more == 0 || (s->bytes + more <= HW_DICT_SPACE_BYTES &&
					 total + more <= HW_DICT_TOTAL_BYTES))
			return true;
	} while (expire_one(v->dict, s, v->now_ms));
	return false;
}

static void fill(struct item *item, const struct hw_dict_value *value)
{
	item->kind = value->kind;
	item->len = (uint32_t)value->text.len;
	if (value->text.len > 0)
		memcpy(item->bytes + item->key_len, value->text.p, value->text.len);
}

static struct item *item_make(const struct visit *v, size_t room)
{
	struct item *item = malloc(sizeof(*item) + v->key.len + room);

	if (!item)
		return NULL;
	*item = (struct item){.place = NO_PLACE,
		.ends_ms = NEVER,
		.key_len = (uint32_t)v->key.len,
		.room = (uint32_t)room};
	memcpy(item->bytes, v->key.p, v->key.len);
	return item;
}

/* Room for every number, so that a counter is not made anew as it grows. */
static size_t room_for(const struct hw_dict_value *value)
{
	size_t len = value->text.len;

	return value->kind == HW_DICT_INTEGER && len < INTEGER_MAX ? INTEGER_MAX : len;
}

static int replace(struct visit *v, struct item *item)
{
	void *former;

	if (hw_map_put(&v->space->items, key_of(item), item, &former) < 0) {
		free(item);
		return -ENOMEM;
	}
	v->space->bytes += bytes_of(item->key_len, item->room);
	atomic_fetch_add_explicit(
		&v->dict->bytes, bytes_of(item->key_len, item->room), memory_order_relaxed);
	if (former)
		item_free(v->dict, v->space, former);
	v->item = item;
	return HW_DICT_OK;
}

/* Puts the value in place of what is there, if anything is. */
static int store(struct visit *v, const struct hw_dict_value *value, int64_t ends_ms)
{
	size_t room = room_for(value), before;
	struct item *item;

	if (!v->space)
		v->space = space_make(v->dict, v->shard, v->space_name);
	if (!v->space || heap_reserve(v->space) < 0)
		return HW_DICT_NO_MEMORY;
	/* a much smaller one gives memory back */
	if (!v->item || room > v->item->room || room < v->item->room / 2) {
		before = v->item ? bytes_of(v->key.len, v->item->room) : 0;
		if (!has_room(v, before, bytes_of(v->key.len, room)))
			return HW_DICT_FULL;
		item = item_make(v, room);
		if (!item || replace(v, item) < 0)
			return HW_DICT_NO_MEMORY;
	}
	fill(v->item, value);
	set_end(v->space, v->item, ends_ms);
	return HW_DICT_OK;
}

/* ---- operations ---- */

int hw_dict_get(struct hw_dict *dict, struct hw_str space, struct hw_str key, int64_t now_ms,
	enum hw_dict_kind *kind, struct hw_buf *out)
{
	struct visit v;

	visit_begin(&v, dict, space, key, now_ms);
	if (!v.item)
		return visit_end(&v, HW_DICT_ABSENT);
	*kind = v.item->kind;
	hw_buf_str(out, text_of(v.item));
	return visit_end(&v, out->failed ? HW_DICT_NO_MEMORY : HW_DICT_OK);
}

int hw_dict_set(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *value, int64_t ttl_ms, int64_t now_ms)
{
	struct visit v;

	if (!key_valid(key) || value->text.len > HW_DICT_VALUE_MAX)
		return HW_DICT_TOO_LONG;
	visit_begin(&v, dict, space, key, now_ms);
	return visit_end(&v, store(&v, value, end_of(ttl_ms, now_ms)));
}

int hw_dict_add(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *value, int64_t ttl_ms, int64_t now_ms)
{
	struct visit v;

	if (!key_valid(key) || value->text.len > HW_DICT_VALUE_MAX)
		return HW_DICT_TOO_LONG;
	visit_begin(&v, dict, space, key, now_ms);
	return visit_end(&v, v.item ? HW_DICT_PRESENT : store(&v, value, end_of(ttl_ms, now_ms)));
}

/* What the item holds, as an integer. */
static bool to_integer(const struct item *item, int64_t *out)
{
	char text[INTEGER_MAX + 1], *end;

	if (item->len == 0 || item->len > INTEGER_MAX || item->kind == HW_DICT_BOOLEAN)
		return false;
	memcpy(text, item->bytes + item->key_len, item->len);
	text[item->len] = '\0';
	if (strspn(text, "-0123456789") != item->len)
		return false;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0';
}

/* Of what is there, or of 0. */
static int sum_of(const struct visit *v, int64_t add, int64_t *out)
{
	int64_t n = 0;

	if ((v->item && !to_integer(v->item, &n)) || __builtin_add_overflow(n, add, &n))
		return HW_DICT_DIFFERENT;
	*out = n;
	return HW_DICT_OK;
}

static int compare(const struct visit *v, const struct hw_dict_value *expected, bool any_kind)
{
	if (!v->item)
		return HW_DICT_ABSENT;
	return hw_str_eq(text_of(v->item), expected->text) &&
			       (any_kind || v->item->kind == expected->kind)
		       ? HW_DICT_OK
		       : HW_DICT_DIFFERENT;
}

int hw_dict_incr(struct hw_dict *dict, struct hw_str space, struct hw_str key, int64_t add,
	int64_t ttl_ms, int64_t now_ms, int64_t *out)
{
	char text[INTEGER_MAX + 1];
	struct hw_dict_value value = {.kind = HW_DICT_INTEGER, .text = {text, 0}};
	int64_t n = 0;
	struct visit v;
	int rc;

	if (!key_valid(key))
		return HW_DICT_TOO_LONG;
	visit_begin(&v, dict, space, key, now_ms);
	rc = sum_of(&v, add, &n);
	if (rc != HW_DICT_OK)
		return visit_end(&v, rc);
	value.text.len = (size_t)snprintf(text, sizeof(text), "%" PRId64, n);
	rc = store(&v, &value, v.item ? v.item->ends_ms : end_of(ttl_ms, now_ms));
	if (rc == HW_DICT_OK)
		*out = n;
	return visit_end(&v, rc);
}

int hw_dict_cas(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *expected, bool any_kind, const struct hw_dict_value *value,
	int64_t ttl_ms, int64_t now_ms)
{
	struct visit v;
	int rc;

	if (!key_valid(key) || value->text.len > HW_DICT_VALUE_MAX)
		return HW_DICT_TOO_LONG;
	visit_begin(&v, dict, space, key, now_ms);
	rc = compare(&v, expected, any_kind);
	return visit_end(&v, rc == HW_DICT_OK ? store(&v, value, end_of(ttl_ms, now_ms)) : rc);
}

int hw_dict_delete(struct hw_dict *dict, struct hw_str space, struct hw_str key, int64_t now_ms)
{
	struct visit v;

	visit_begin(&v, dict, space, key, now_ms);
	if (!v.item)
		return visit_end(&v, HW_DICT_ABSENT);
	item_remove(dict, v.space, v.item);
	return visit_end(&v, HW_DICT_OK);
}

/* ---- what they would answer ---- */

int hw_dict_would_set(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *value, int64_t ttl_ms, int64_t now_ms)
{
	(void)dict;
	(void)space;
	(void)ttl_ms;
	(void)now_ms;
	return key_valid(key) && value->text.len <= HW_DICT_VALUE_MAX ? HW_DICT_OK
								      : HW_DICT_TOO_LONG;
}

int hw_dict_would_add(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *value, int64_t ttl_ms, int64_t now_ms)
{
	int rc = hw_dict_would_set(dict, space, key, value, ttl_ms, now_ms);
	struct visit v;

	if (rc != HW_DICT_OK)
		return rc;
	visit_begin(&v, dict, space, key, now_ms);
	return visit_end(&v, v.item ? HW_DICT_PRESENT : HW_DICT_OK);
}

int hw_dict_would_incr(struct hw_dict *dict, struct hw_str space, struct hw_str key, int64_t add,
	int64_t ttl_ms, int64_t now_ms, int64_t *out)
{
	struct visit v;

	(void)ttl_ms;
	if (!key_valid(key))
		return HW_DICT_TOO_LONG;
	visit_begin(&v, dict, space, key, now_ms);
	return visit_end(&v, sum_of(&v, add, out));
}

int hw_dict_would_cas(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *expected, bool any_kind, const struct hw_dict_value *value,
	int64_t ttl_ms, int64_t now_ms)
{
	int rc = hw_dict_would_set(dict, space, key, value, ttl_ms, now_ms);
	struct visit v;

	if (rc != HW_DICT_OK)
		return rc;
	visit_begin(&v, dict, space, key, now_ms);
	return visit_end(&v, compare(&v, expected, any_kind));
}

int hw_dict_would_delete(
	struct hw_dict *dict, struct hw_str space, struct hw_str key, int64_t now_ms)
{
	struct visit v;

	visit_begin(&v, dict, space, key, now_ms);
	return visit_end(&v, v.item ? HW_DICT_OK : HW_DICT_ABSENT);
}

void hw_dict_trim(struct hw_dict *dict, int64_t now_ms)
{
	for (size_t i = 0; i < N_SHARDS; i++) {
		struct shard *shard = &dict->shards[i];

		pthread_mutex_lock(&shard->lock);
		for (hw_map_each (&shard->spaces, j)) {
			struct space *s = shard->spaces.slots[j].value;

			while (expire_one(dict, s, now_ms))
				;
			if (hw_map_count(&s->items) == 0) {
				hw_map_remove(
					&shard->spaces, (struct hw_str){s->name, s->name_len});
				space_free(dict, s);
			}
		}
		pthread_mutex_unlock(&shard->lock);
	}
}

size_t hw_dict_bytes(struct hw_dict *dict, struct hw_str space)
{
	struct shard *shard =
		&dict->shards[hw_hash(&dict->key, space.p ? space.p : "", space.len) % N_SHARDS];
	struct space *s;
	size_t bytes;

	pthread_mutex_lock(&shard->lock);
	s = hw_map_get(&shard->spaces, space);
	bytes = s ? s->bytes : 0;
	pthread_mutex_unlock(&shard->lock);
	return bytes;
}
