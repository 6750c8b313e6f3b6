#include "app/conf_tree.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "app/conf_tree_internal.h"
#include "base/map.h"
#include "base/utf8.h"

/* Objects with more members than this are searched for repeated keys with a map. */
#define LINEAR_MAX 16

void hw_conf_parser_skip(struct hw_conf_parser *s, size_t n)
{
	for (const char *to = s->p + n; s->p < to; s->p++) {
		if (*s->p == '\n') {
			s->line++;
			s->column = 1;
		} else if (((unsigned char)*s->p & 0xc0) != 0x80) {
			s->column++;
		}
	}
}

void hw_conf_parser_error(
	struct hw_conf_parser *s, uint32_t line, uint32_t column, const char *format, ...)
{
	struct hw_conf_pos pos = {s->tree->file, line, column};
	struct hw_buf text;
	va_list args;

	hw_buf_init(&text);
	va_start(args, format);
	hw_buf_vprintf(&text, format, args);
	va_end(args);
	hw_conf_report_add(s->report, s->tree->unit, HW_CONF_ERROR, pos, "%.*s",
		HW_STR_ARG(hw_buf_view(&text)));
	if (text.failed)
		s->report->failed = true;
	hw_buf_fini(&text);
}

static void stop(struct hw_conf_parser *s, const char *why)
{
	hw_conf_parser_error(s, s->line, s->column, "%s", why);
	s->stopped = true;
}

static bool skip_comment(struct hw_conf_parser *s)
{
	size_t left = (size_t)(s->end - s->p);
	const char *end;

	if (left < 2 || s->p[0] != '/' || (s->p[1] != '/' && s->p[1] != '*'))
		return false;
	if (s->p[1] == '/') {
		end = memchr(s->p, '\n', left);
		hw_conf_parser_skip(s, end ? (size_t)(end - s->p) : left);
		return true;
	}
	end = memmem(s->p + 2, left - 2, "*/", 2);
	if (!end) {
		stop(s, "a comment that does not end; close it with */");
		return false;
	}
	hw_conf_parser_skip(s, (size_t)(end + 2 - s->p));
	return true;
}

/* White space and comments; then p is at something or at the end. */
static void skip_blank(struct hw_conf_parser *s)
{
	while (s->p < s->end && !s->stopped) {
		if (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')
			hw_conf_parser_skip(s, 1);
		else if (!skip_comment(s))
			return;
	}
}

static bool at(const struct hw_conf_parser *s, char c)
{
	return s->p < s->end && *s->p == c;
}

static struct hw_conf_value *value_new(struct hw_conf_parser *s)
{
	struct hw_conf_value *v = hw_conf_arena_alloc(&s->tree->arena, sizeof(*v));

	if (v) {
		v->line = s->line;
		v->column = s->column;
	} else {
		s->stopped = true;
	}
	return v;
}

static void append(struct hw_conf_value *parent, struct hw_conf_value *child)
{
	child->parent = parent;
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->n_children++;
}

static bool digits(const char **p, const char *end)
{
	const char *start = *p;

	while (*p < end && **p >= '0' && **p <= '9')
		(*p)++;
	return *p > start;
}

/* RFC 8259, section 6. @integer: neither fraction nor exponent. */
static bool number_is_json(struct hw_str text, bool *integer)
{
	const char *p = text.p, *end = text.p + text.len;

	if (p < end && *p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else if (!digits(&p, end))
		return false;
	*integer = p == end;
	if (p < end && *p == '.') {
		p++;
		if (!digits(&p, end))
			return false;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		if (!digits(&p, end))
			return false;
	}
	return p == end;
}

static void number_value(struct hw_conf_parser *s, struct hw_conf_value *v)
{
	char *end;

	errno = 0;
	if (v->is_integer) {
		v->integer = strtoll(v->text.p, &end, 10);
		v->number = (double)v->integer;
		if (errno != ERANGE)
			return;
	} else {
		v->number = strtod(v->text.p, &end);
		if (isfinite(v->number))
			return;
	}
	v->is_integer = false;
	v->broken = true;
	hw_conf_parser_error(s, v->line, v->column,
		"a number out of range: whole numbers have 64 bits, others are doubles; write a "
		"smaller one");
}

static bool word_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '+' || c == '-' || c == '.' || c == '_';
}

static const char *word_hint(struct hw_str word)
{
	static const struct {
		const char *word, *hint;
	} hints[] = {
		{"true", "write true in small letters"},
		{"false", "write false in small letters"},
		{"null", "write null in small letters"},
		{"none", "write null"},
		{"nil", "write null"},
		{"undefined", "write null"},
		{"yes", "write true"},
		{"on", "write true"},
		{"no", "write false"},
		{"off", "write false"},
	};

	for (size_t i = 0; i < HW_COUNT(hints); i++)
		if (hw_str_eq_nocase(word, hw_str_of(hints[i].word)))
			return hints[i].hint;
	return "write a string in double quotes";
}

/* A number, true, false, null, or something that JSON does not have. */
static void read_word(struct hw_conf_parser *s, struct hw_conf_value *v)
{
	struct hw_str word = {s->p, 0};

	while (s->p + word.len < s->end && word_char(s->p[word.len]))
		word.len++;
	if (hw_str_eq(word, HW_STR("true")) || hw_str_eq(word, HW_STR("false"))) {
		v->type = HW_CONF_BOOL;
		v->boolean = word.p[0] == 't';
	} else if (hw_str_eq(word, HW_STR("null"))) {
		v->type = HW_CONF_NULL;
	} else if (number_is_json(word, &v->is_integer)) {
		v->type = HW_CONF_NUMBER;
		v->text = (struct hw_str){hw_conf_arena_dup(&s->tree->arena, word), word.len};
		if (v->text.p)
			number_value(s, v);
	} else {
		bool number = (*word.p >= '0' && *word.p <= '9') || strchr("+-.", *word.p);

		v->broken = true;
		hw_conf_parser_error(s, v->line, v->column, "%.*s is not a value of JSON; %s",
			(int)(word.len < 40 ? word.len : 40), word.p,
			number ? "write a number like 12, -3 or 0.5, without + or leading zeros"
			       : word_hint(word));
	}
	hw_conf_parser_skip(s, word.len);
}

static const char *unexpected(char c)
{
	switch (c) {
	case '\'':
		return "a single quote: JSON has none; write strings in double quotes";
	case '#':
		return "# starts no comment; write //";
	case ',':
		return "a comma with no value before it; remove it, or write the value";
	case ']':
	case '}':
		return "a closing bracket where a value is wanted; write the value";
	case '/':
		return "a slash that starts neither // nor /*; write a string in double quotes";
	default:
		return "something that starts no value; write a string, number, object, array, "
		       "true, "
		       "false or null";
	}
}

/* After an item: 1 another follows, 0 the closing bracket was read, -1 stopped. */
static int read_separator(struct hw_conf_parser *s, char close)
{
	uint32_t line, column;

	skip_blank(s);
	if (s->stopped)
		return -1;
	if (at(s, close)) {
		hw_conf_parser_skip(s, 1);
		return 0;
	}
	if (s->p >= s->end)
		return 1; /* the caller tells where the bracket was opened */
	if (*s->p != ',') {
		if (*s->p == ':' || *s->p == '}' || *s->p == ']') {
			stop(s, close == '}' ? "a comma or } is wanted here"
					     : "a comma or ] is wanted here");
			return -1;
		}
		if (*s->p != '"' && *s->p != '{' && *s->p != '[' && !word_char(*s->p)) {
			stop(s, unexpected(*s->p));
			return -1;
		}
		hw_conf_parser_error(s, s->line, s->column,
			"a comma is missing before this; write one after the value before it");
		return 1;
	}
	line = s->line;
	column = s->column;
	hw_conf_parser_skip(s, 1);
	skip_blank(s);
	if (s->stopped)
		return -1;
	if (!at(s, close))
		return 1;
	hw_conf_parser_error(s, line, column,
		"a comma before the closing %c: JSON allows none; remove it", close);
	hw_conf_parser_skip(s, 1);
	return 0;
}

static struct hw_conf_value *read_value(struct hw_conf_parser *s);

static void read_array(struct hw_conf_parser *s, struct hw_conf_value *array)
{
	int more = 1;

	hw_conf_parser_skip(s, 1);
	skip_blank(s);
	if (at(s, ']')) {
		hw_conf_parser_skip(s, 1);
		return;
	}
	while (more == 1 && !s->stopped) {
		struct hw_conf_value *item;

		if (s->p >= s->end) {
			hw_conf_parser_error(s, array->line, array->column,
				"an array that does not end; close it with ]");
			s->stopped = true;
			return;
		}
		item = read_value(s);
		if (item)
			append(array, item);
		if (!s->stopped)
			more = read_separator(s, ']');
	}
}

/* The keys that an object has so far. */
struct seen {
	struct hw_map map; /* in use from LINEAR_MAX members on */
	bool mapped;
};

static struct hw_conf_value *seen_find(struct hw_conf_parser *s, struct seen *seen,
	const struct hw_conf_value *object, struct hw_str key)
{
	if (!seen->mapped && object->n_children >= LINEAR_MAX) {
		struct hw_hash_key random = hw_hash_key_random();

		hw_map_init(&seen->map, &random);
		seen->mapped = true;
		for (struct hw_conf_value *v = object->first; v; v = v->next)
			if (hw_map_put(&seen->map, v->key, v, NULL) != 0)
				s->tree->arena.failed = true;
	}
	if (seen->mapped)
		return hw_map_get(&seen->map, key);
	for (struct hw_conf_value *v = object->first; v; v = v->next)
		if (hw_str_eq(v->key, key))
			return v;
	return NULL;
}

static void add_member(struct hw_conf_parser *s, struct seen *seen, struct hw_conf_value *object,
	struct hw_conf_value *member)
{
	const struct hw_conf_value *first = seen_find(s, seen, object, member->key);

	if (first) {
		hw_conf_parser_error(s, member->key_line, member->key_column,
			"\"%.*s\" is here a second time, first at %s:%u:%u; remove one of them",
			(int)(member->key.len < 80 ? member->key.len : 80), member->key.p,
			s->tree->file, (unsigned)first->key_line, (unsigned)first->key_column);
		return;
	}
	append(object, member);
	if (seen->mapped && hw_map_put(&seen->map, member->key, member, NULL) != 0)
		s->tree->arena.failed = true;
}

/* "key": value; p is at whatever should be the key's quote. */
static struct hw_conf_value *read_member(struct hw_conf_parser *s)
{
	struct hw_conf_value key = {.key_line = s->line, .key_column = s->column}, *v;

	if (*s->p != '"') {
		stop(s, *s->p == '#'   ? unexpected('#')
			: *s->p == ',' ? "a comma too many; remove it"
				       : "a key in double quotes is wanted here");
		return NULL;
	}
	hw_conf_parser_string(s, &key, true);
	if (s->stopped || s->tree->arena.failed)
		return NULL;
	skip_blank(s);
	if (s->stopped)
		return NULL;
	if (!at(s, ':')) {
		stop(s, "a colon and a value are wanted after the key");
		return NULL;
	}
	hw_conf_parser_skip(s, 1);
	skip_blank(s);
	if (s->stopped)
		return NULL;
	v = read_value(s);
	if (v) {
		v->key = key.key;
		v->key_line = key.key_line;
		v->key_column = key.key_column;
	}
	return v;
}

static void read_object(struct hw_conf_parser *s, struct hw_conf_value *object)
{
	struct seen seen = {.mapped = false};
	int more = 1;

	hw_conf_parser_skip(s, 1);
	skip_blank(s);
	if (at(s, '}')) {
		hw_conf_parser_skip(s, 1);
		return;
	}
	while (more == 1 && !s->stopped) {
		struct hw_conf_value *member;

		if (s->p >= s->end) {
			hw_conf_parser_error(s, object->line, object->column,
				"an object that does not end; close it with }");
			s->stopped = true;
			break;
		}
		member = read_member(s);
		if (member)
			add_member(s, &seen, object, member);
		if (!s->stopped)
			more = read_separator(s, '}');
	}
	if (seen.mapped)
		hw_map_fini(&seen.map);
}

/* NULL only when stopped. */
static struct hw_conf_value *read_value(struct hw_conf_parser *s)
{
	struct hw_conf_value *v = value_new(s);

	if (!v)
		return NULL;
	if (s->p >= s->end) {
		stop(s, "the file ends where a value is wanted");
		return NULL;
	}
	switch (*s->p) {
	case '{':
	case '[':
		if (s->depth >= HW_CONF_DEPTH_MAX) {
			stop(s, "more than 64 arrays and objects inside each other; make it "
				"flatter");
			return NULL;
		}
		s->depth++;
		v->type = *s->p == '{' ? HW_CONF_OBJECT : HW_CONF_ARRAY;
		if (v->type == HW_CONF_OBJECT)
			read_object(s, v);
		else
			read_array(s, v);
		s->depth--;
		return v;
	case '"':
		v->type = HW_CONF_STRING;
		hw_conf_parser_string(s, v, false);
		return v;
	default:
		if (!word_char(*s->p)) {
			stop(s, unexpected(*s->p));
			return NULL;
		}
		read_word(s, v);
		return v;
	}
}

/* Before anything is read, so that no message has to care for broken bytes. */
static bool check_encoding(struct hw_conf_parser *s)
{
	struct hw_utf8 utf8 = {0};

	if (s->end - s->p >= 3 && memcmp(s->p, "\xef\xbb\xbf", 3) == 0) {
		hw_conf_parser_error(s, 1, 1,
			"the file starts with a byte order mark; save it as UTF-8 without one");
		s->p += 3;
	}
	if (hw_utf8_valid(s->p, (size_t)(s->end - s->p)))
		return true;
	for (const char *p = s->p; p < s->end && hw_utf8_feed(&utf8, p, 1); p++)
		if (hw_utf8_done(&utf8)) /* place it where its character starts */
			hw_conf_parser_skip(s, (size_t)(p + 1 - s->p));
	stop(s, "a byte that is not UTF-8; save the file as UTF-8");
	return false;
}

static void read_document(struct hw_conf_parser *s)
{
	if (!check_encoding(s))
		return;
	skip_blank(s);
	if (s->stopped)
		return;
	if (s->p >= s->end) {
		hw_conf_parser_error(s, 1, 1, "the file is empty; write {} at least");
		return;
	}
	s->tree->root = read_value(s);
	if (s->stopped)
		return;
	skip_blank(s);
	if (s->p < s->end && !s->stopped)
		hw_conf_parser_error(s, s->line, s->column,
			"something after the end of the document; remove it");
}

int hw_conf_tree_parse(struct hw_str text, const struct hw_conf_tree_options *options,
	struct hw_conf_tree **out, struct hw_conf_report *report)
{
	struct hw_conf_parser s = {.p = text.p,
		.end = text.p + text.len,
		.line = 1,
		.column = 1,
		.report = report,
		.options = options};
	size_t n_errors = report->n_errors;
	struct hw_conf_tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return -ENOMEM;
	hw_conf_arena_init(&tree->arena);
	hw_buf_init(&s.scratch);
	s.tree = tree;
	tree->file = hw_conf_arena_dup(&tree->arena, hw_str_of(options->file));
	tree->unit = options->unit ? hw_conf_arena_dup(&tree->arena, hw_str_of(options->unit))
				   : tree->file;
	if (tree->file && tree->unit)
		read_document(&s);
	hw_buf_fini(&s.scratch);
	if (tree->arena.failed) {
		hw_conf_tree_destroy(&tree);
		return -ENOMEM;
	}
	if (!tree->root)
		hw_conf_tree_destroy(&tree);
	*out = tree;
	return report->n_errors > n_errors ? 1 : 0;
}

void hw_conf_tree_destroy(struct hw_conf_tree **tree)
{
	if (!*tree)
		return;
	hw_conf_arena_fini(&(*tree)->arena);
	free(*tree);
	*tree = NULL;
}

const struct hw_conf_value *hw_conf_tree_root(const struct hw_conf_tree *tree)
{
	return tree->root;
}

const char *hw_conf_tree_file(const struct hw_conf_tree *tree)
{
	return tree->file;
}
