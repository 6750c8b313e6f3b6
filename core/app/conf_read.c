#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/conf_schema.h"

_Static_assert(sizeof(enum hw_log_level) == sizeof(unsigned), "WORD writes an unsigned");

struct hw_conf_pos hw_conf_pos_of(const struct hw_conf_reader *r, const struct hw_conf_value *v)
{
	return (struct hw_conf_pos){hw_conf_tree_file(r->part->tree), v->line, v->column};
}

struct hw_conf_pos hw_conf_pos_of_key(const struct hw_conf_reader *r, const struct hw_conf_value *v)
{
	if (!v->key.p)
		return hw_conf_pos_of(r, v);
	return (struct hw_conf_pos){hw_conf_tree_file(r->part->tree), v->key_line, v->key_column};
}

static void report(struct hw_conf_reader *r, enum hw_conf_severity severity, struct hw_conf_pos pos,
	const char *format, va_list args)
{
	struct hw_buf text;

	hw_buf_init(&text);
	hw_buf_vprintf(&text, format, args);
	if (text.failed)
		r->report->failed = true;
	else
		hw_conf_report_add(r->report, r->part->name, severity, pos, "%.*s",
			HW_STR_ARG(hw_buf_view(&text)));
	hw_buf_fini(&text);
}

void hw_conf_error(
	struct hw_conf_reader *r, const struct hw_conf_value *at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(r, HW_CONF_ERROR, hw_conf_pos_of(r, at), format, args);
	va_end(args);
}

void hw_conf_error_key(
	struct hw_conf_reader *r, const struct hw_conf_value *at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(r, HW_CONF_ERROR, hw_conf_pos_of_key(r, at), format, args);
	va_end(args);
}

void hw_conf_warn(struct hw_conf_reader *r, const struct hw_conf_value *at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(r, HW_CONF_WARNING, hw_conf_pos_of_key(r, at), format, args);
	va_end(args);
}

/* How many bytes of @s to print: at most @max, whole characters. */
static int shown_len(struct hw_str s, size_t max)
{
	size_t n = s.len < max ? s.len : max;

	while (n < s.len && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return (int)n;
}

const char *hw_conf_show(const struct hw_conf_value *v, char out[HW_CONF_SHOW_MAX])
{
	const size_t max = HW_CONF_SHOW_MAX - 8;
	struct hw_str s = v->type == HW_CONF_STRING ? v->written : v->text;
	const char *quote = v->type == HW_CONF_STRING ? "\"" : "";

	if (v->type == HW_CONF_BOOL)
		s = v->boolean ? HW_STR("true") : HW_STR("false");
	else if (v->type != HW_CONF_STRING && v->type != HW_CONF_NUMBER)
		s = hw_str_of(hw_conf_type_name(v->type));
	snprintf(out, HW_CONF_SHOW_MAX, "%s%.*s%s%s", quote, shown_len(s, max), s.p,
		s.len > max ? "…" : "", quote);
	return out;
}

/* What messages call @v: its key, or which item of what array it is. */
static void put_name(struct hw_buf *out, const struct hw_conf_value *v)
{
	const struct hw_conf_value *p = v->parent;
	size_t i = 1;

	if (v->key.p) {
		hw_buf_printf(out, "\"%.*s\"", shown_len(v->key, 64), v->key.p);
	} else if (!p) {
		hw_buf_puts(out, "the configuration");
	} else {
		for (const struct hw_conf_value *w = p->first; w != v; w = w->next)
			i++;
		hw_buf_printf(out, "item %zu of ", i);
		put_name(out, p);
	}
}

static void mismatch(struct hw_conf_reader *r, const struct hw_conf_value *v, const char *wanted)
{
	char shown[HW_CONF_SHOW_MAX];
	struct hw_buf name;

	if (v->broken)
		return;
	hw_buf_init(&name);
	put_name(&name, v);
	hw_conf_error(r, v, "%.*s is %s; write %s", HW_STR_ARG(hw_buf_view(&name)),
		v->type == HW_CONF_STRING ? "a string" : hw_conf_show(v, shown), wanted);
	hw_buf_fini(&name);
}

bool hw_conf_expect(struct hw_conf_reader *r, const struct hw_conf_value *v, enum hw_conf_type type,
	const char *wanted)
{
	if (v->type == type && !v->broken)
		return true;
	mismatch(r, v, wanted);
	return false;
}

const char *hw_conf_path_of(struct hw_conf_reader *r, const struct hw_conf_value *v)
{
	struct hw_buf path;
	const char *copy = NULL;

	hw_buf_init(&path);
	hw_conf_path_join(&path, hw_conf_tree_file(r->part->tree), v->text);
	if (path.failed)
		r->part->arena.failed = true;
	else
		copy = hw_conf_arena_dup(&r->part->arena, hw_buf_view(&path));
	hw_buf_fini(&path);
	return copy;
}

struct hw_str hw_conf_text_of(struct hw_conf_reader *r, const struct hw_conf_value *v)
{
	struct hw_str text = HW_STR_NULL;
	struct hw_buf out;

	hw_buf_init(&out);
	hw_conf_value_print(v, &out);
	if (out.failed)
		r->part->arena.failed = true;
	else
		text = (struct hw_str){
			hw_conf_arena_dup(&r->part->arena, hw_buf_view(&out)), out.len};
	hw_buf_fini(&out);
	return text.p ? text : HW_STR_NULL;
}

/* ---- keys nobody knows --------------------------------------------------- */

/* How far apart two words may be to be taken for each other. */
static size_t tolerance(struct hw_str s)
{
	return s.len < 4 ? 1 : s.len < 9 ? 2 : 3;
}

/* The distance of a word from the key it may stand for; a forgotten or added ending ("timeout",
 * "workers_n") is as good as two letters. */
static size_t distance(struct hw_str key, struct hw_str name)
{
	size_t d = hw_str_distance(key, name);

	if (d > 2 && name.len > 3 && (hw_str_starts(key, name) || hw_str_starts(name, key)))
		d = 2;
	return d;
}

static const struct hw_conf_key *nearest(const struct hw_conf_keys *keys, struct hw_str name)
{
	size_t best = tolerance(name) + 1;
	const struct hw_conf_key *found = NULL;

	for (size_t i = 0; i < keys->n_keys; i++) {
		size_t d = distance(hw_str_of(keys->keys[i].name), name);

		if (d < best) {
			best = d;
			found = &keys->keys[i];
		}
	}
	return found;
}

/* Where in the whole contract keys of that very name are: "auth" or "tenants.*.limits". */
static void put_elsewhere(struct hw_buf *out, const struct hw_conf_keys *keys, struct hw_str name,
	struct hw_buf *path)
{
	for (size_t i = 0; i < keys->n_keys; i++) {
		const struct hw_conf_key *k = &keys->keys[i];
		size_t len = path->len;

		if (path->len > 0 && hw_str_eq(hw_str_of(k->name), name))
			hw_buf_printf(out, "%s\"%.*s\"", out->len == 0 ? "it belongs in " : " or ",
				HW_STR_ARG(hw_buf_view(path)));
		if (!k->members)
			continue;
		hw_buf_printf(path, "%s%s%s", len > 0 ? "." : "", k->name, k->shape ? ".*" : "");
		put_elsewhere(out, k->members, name, path);
		path->len = len;
	}
}

static void put_known(struct hw_buf *out, const struct hw_conf_keys *keys)
{
	const char *before = "known here: ";

	for (size_t i = 0; i < keys->n_keys; i++) {
		if (keys->keys[i].kind == HW_CONF_KEY_LATER ||
			keys->keys[i].kind == HW_CONF_KEY_IGNORED)
			continue;
		hw_buf_printf(out, "%s%s", before, keys->keys[i].name);
		before = ", ";
	}
}

static void unknown_key(
	struct hw_conf_reader *r, const struct hw_conf_keys *keys, const struct hw_conf_value *v)
{
	const struct hw_conf_key *near = nearest(keys, v->key);
	struct hw_buf hint, path;

	hw_buf_init(&hint);
	hw_buf_init(&path);
	if (near)
		hw_buf_printf(&hint, "did you mean \"%s\"?", near->name);
	else if (keys == &hw_conf_keys_included && nearest(&hw_conf_keys_global, v->key))
		hw_buf_puts(
			&hint, "an included file holds only \"tenants\"; move it to the main file");
	else
		put_elsewhere(&hint, &hw_conf_keys_global, v->key, &path);
	if (hint.len == 0)
		put_known(&hint, keys);
	if (hint.failed || path.failed)
		r->report->failed = true;
	else
		hw_conf_error_key(r, v, "\"%.*s\" is not a key here; %.*s", shown_len(v->key, 64),
			v->key.p, HW_STR_ARG(hw_buf_view(&hint)));
	hw_buf_fini(&hint);
	hw_buf_fini(&path);
}

/* ---- keys of the tables -------------------------------------------------- */

void hw_conf_defaults(const struct hw_conf_keys *keys, void *target)
{
	for (size_t i = 0; i < keys->n_keys; i++) {
		const struct hw_conf_key *k = &keys->keys[i];
		void *at = (char *)target + k->offset;

		if (k->kind == HW_CONF_KEY_BOOL)
			*(bool *)at = k->initial != 0;
		else if (k->kind == HW_CONF_KEY_U32)
			*(uint32_t *)at = (uint32_t)k->initial;
		else if (k->kind == HW_CONF_KEY_U64)
			*(uint64_t *)at = k->initial;
		else if (k->kind == HW_CONF_KEY_WORD)
			*(unsigned *)at = (unsigned)k->initial;
		else if (k->kind == HW_CONF_KEY_OBJECT)
			hw_conf_defaults(k->members, at);
	}
}

static void read_number(struct hw_conf_reader *r, const struct hw_conf_key *k,
	const struct hw_conf_value *v, void *at)
{
	char shown[HW_CONF_SHOW_MAX], wanted[96];

	snprintf(wanted, sizeof(wanted), "a whole number from %llu to %llu",
		(unsigned long long)k->min, (unsigned long long)k->max);
	if (v->type != HW_CONF_NUMBER || !v->is_integer) {
		mismatch(r, v, wanted);
		return;
	}
	if (v->integer < 0 || (uint64_t)v->integer < k->min || (uint64_t)v->integer > k->max) {
		hw_conf_error(r, v, "\"%s\" is %s, which is out of range; write %s", k->name,
			hw_conf_show(v, shown), wanted);
		return;
	}
	if (k->kind == HW_CONF_KEY_U32)
		*(uint32_t *)at = (uint32_t)v->integer;
	else
		*(uint64_t *)at = (uint64_t)v->integer;
}

static void read_word_of(struct hw_conf_reader *r, const struct hw_conf_key *k,
	const struct hw_conf_value *v, void *at)
{
	char shown[HW_CONF_SHOW_MAX];
	const char *near = NULL;
	struct hw_buf wanted;
	size_t best;

	hw_buf_init(&wanted);
	for (size_t i = 0; k->words[i]; i++)
		hw_buf_printf(&wanted, "%s\"%s\"",
			i == 0            ? ""
			: k->words[i + 1] ? ", "
					  : " or ",
			k->words[i]);
	hw_buf_putc(&wanted, '\0');
	if (wanted.failed) {
		r->report->failed = true;
	} else if (hw_conf_expect(r, v, HW_CONF_STRING, wanted.data)) {
		best = tolerance(v->text) + 1;
		for (unsigned i = 0; k->words[i]; i++) {
			size_t d = hw_str_distance(hw_str_of(k->words[i]), v->text);

			if (d == 0) {
				*(unsigned *)at = i;
				hw_buf_fini(&wanted);
				return;
			}
			if (d < best && !v->secret) {
				best = d;
				near = k->words[i];
			}
		}
		hw_conf_error(r, v, "\"%s\" cannot be %s; write %s%s%s%s", k->name,
			hw_conf_show(v, shown), wanted.data, near ? " (did you mean \"" : "",
			near ? near : "", near ? "\"?)" : "");
	}
	hw_buf_fini(&wanted);
}

static void read_key(struct hw_conf_reader *r, const struct hw_conf_key *k,
	const struct hw_conf_value *v, void *target)
{
	void *at = (char *)target + k->offset;

	if (k->nullable && v->type == HW_CONF_NULL && !v->broken)
		return;
	switch (k->kind) {
	case HW_CONF_KEY_BOOL:
		if (hw_conf_expect(r, v, HW_CONF_BOOL, "true or false"))
			*(bool *)at = v->boolean;
		break;
	case HW_CONF_KEY_U32:
	case HW_CONF_KEY_U64:
		read_number(r, k, v, at);
		break;
	case HW_CONF_KEY_WORD:
		read_word_of(r, k, v, at);
		break;
	case HW_CONF_KEY_PATH:
		if (!hw_conf_expect(r, v, HW_CONF_STRING, "a path in quotes"))
			break;
		if (v->text.len == 0)
			hw_conf_error(
				r, v, "\"%s\" is empty; write a path, or leave it out", k->name);
		else
			*(const char **)at = hw_conf_path_of(r, v);
		break;
	case HW_CONF_KEY_OBJECT:
		if (!hw_conf_expect(r, v, HW_CONF_OBJECT, "an object: {…}"))
			break;
		if (k->read)
			k->read(r, v, target);
		hw_conf_read_members(r, k->members, v, at);
		break;
	case HW_CONF_KEY_OTHER:
		if (!v->broken)
			k->read(r, v, target);
		break;
	case HW_CONF_KEY_LATER:
		hw_conf_error_key(
			r, v, "\"%s\" is not in this version: %s; remove it", k->name, k->text);
		break;
	case HW_CONF_KEY_IGNORED:
		break;
	}
}

void hw_conf_read_members(struct hw_conf_reader *r, const struct hw_conf_keys *keys,
	const struct hw_conf_value *object, void *target)
{
	for (size_t i = 0; i < keys->n_keys; i++) {
		const struct hw_conf_value *v =
			hw_conf_value_get(object, hw_str_of(keys->keys[i].name));

		if (v)
			read_key(r, &keys->keys[i], v, target);
	}
	for (const struct hw_conf_value *v = object->first; v; v = v->next) {
		size_t i = 0;

		while (i < keys->n_keys && !hw_str_eq(hw_str_of(keys->keys[i].name), v->key))
			i++;
		if (i == keys->n_keys)
			unknown_key(r, keys, v);
	}
}
