/* Small values that all workers share, a space of keys for each tenant and one for the global
 * entries (its name is ""). Bounded: a space that is full takes nothing more until something in it
 * ends or is deleted. Nothing that was stored is thrown out before its time: a limit that is kept
 * here cannot be got rid of by filling the space. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <hookwire/plugin.h>

#include "base/buf.h"
#include "base/str.h"

#define HW_DICT_KEY_MAX 255
#define HW_DICT_VALUE_MAX 65536
#define HW_DICT_SPACE_BYTES \
	(4u << 20) /* of one space: keys, values, and HW_DICT_ITEM_BYTES each \
		    */
#define HW_DICT_TOTAL_BYTES (256u << 20) /* of all */
#define HW_DICT_ITEM_BYTES 128

/* What a value is, for languages that tell them apart. The text of numbers is decimal. */
enum hw_dict_kind {
	HW_DICT_BYTES,
	HW_DICT_INTEGER,
	HW_DICT_NUMBER,
	HW_DICT_BOOLEAN, /* "true", "false" */
};

struct hw_dict_value {
	enum hw_dict_kind kind;
	struct hw_str text;
};

struct hw_dict;

struct hw_dict *hw_dict_create(void); /* NULL when out of memory */
void hw_dict_destroy(struct hw_dict **dict);

/* Times are monotonic milliseconds. ttl_ms: 0 = as long as the broker runs. All return enum
 * hw_dict_outcome. */

/** The text is appended to @out. */
HW_MUST_CHECK int hw_dict_get(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	int64_t now_ms, enum hw_dict_kind *kind, struct hw_buf *out);
HW_MUST_CHECK int hw_dict_set(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *value, int64_t ttl_ms, int64_t now_ms);
/** Only if there is none. */
HW_MUST_CHECK int hw_dict_add(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *value, int64_t ttl_ms, int64_t now_ms);
/** Adds to what is there, or to 0. ttl_ms counts only for one that begins here: a window of a rate
 * limit does not move with each hit. */
HW_MUST_CHECK int hw_dict_incr(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	int64_t add, int64_t ttl_ms, int64_t now_ms, int64_t *out);
/** Replaces it if it is @expected: its text, and its kind too unless @any_kind. */
HW_MUST_CHECK int hw_dict_cas(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *expected, bool any_kind, const struct hw_dict_value *value,
	int64_t ttl_ms, int64_t now_ms);
HW_MUST_CHECK int hw_dict_delete(
	struct hw_dict *dict, struct hw_str space, struct hw_str key, int64_t now_ms);
/* What these would answer, without doing it: for hooks that are only tried. The values stay as they
 * are. */
HW_MUST_CHECK int hw_dict_would_set(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *value, int64_t ttl_ms, int64_t now_ms);
HW_MUST_CHECK int hw_dict_would_add(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *value, int64_t ttl_ms, int64_t now_ms);
HW_MUST_CHECK int hw_dict_would_incr(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	int64_t add, int64_t ttl_ms, int64_t now_ms, int64_t *out);
HW_MUST_CHECK int hw_dict_would_cas(struct hw_dict *dict, struct hw_str space, struct hw_str key,
	const struct hw_dict_value *expected, bool any_kind, const struct hw_dict_value *value,
	int64_t ttl_ms, int64_t now_ms);
HW_MUST_CHECK int hw_dict_would_delete(
	struct hw_dict *dict, struct hw_str space, struct hw_str key, int64_t now_ms);
/** Now and then: frees what has ended in spaces that nobody uses. */
void hw_dict_trim(struct hw_dict *dict, int64_t now_ms);
/** What the space takes of its bound. */
size_t hw_dict_bytes(struct hw_dict *dict, struct hw_str space);
