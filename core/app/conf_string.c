#include <errno.h>
#include <string.h>

#include "app/conf_tree_internal.h"
#include "base/utf8.h"

/* A string of a configuration has a written form and a value:
 *   "Bearer ${TOKEN}"  each ${NAME} is the variable's content; $${ is ${ itself
 *   "@file:jwt.key"    the whole is the file's content without its last newline
 * Only what is written plainly counts: an escaped dollar or at sign means itself, and what a
 * variable holds is never looked through again. */

#define ENV_MAX HW_CONF_SECRET_MAX
#define FILE_PREFIX "@file:"

static bool name_char(char c, bool first)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
	       (!first && c >= '0' && c <= '9');
}

static int hex4(const char *p, const char *end, uint32_t *out)
{
	uint32_t n = 0;

	if (end - p < 4)
		return -EINVAL;
	for (int i = 0; i < 4; i++) {
		char c = p[i];

		if (c >= '0' && c <= '9')
			n = n << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			n = n << 4 | (uint32_t)(c - 'A' + 10);
		else
			return -EINVAL;
	}
	*out = n;
	return 0;
}

static void put_utf8(struct hw_buf *b, uint32_t c)
{
	char bytes[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	if (n == 1) {
		bytes[0] = (char)c;
	} else {
		for (size_t i = n - 1; i > 0; i--, c >>= 6)
			bytes[i] = (char)(0x80 | (c & 0x3f));
		bytes[0] = (char)((0xf00u >> n & 0xf0) | c);
	}
	hw_buf_add(b, bytes, n);
}

/* \uXXXX, or two of them for a character beyond 16 bits; p is at the backslash. */
static bool unicode_escape(struct hw_conf_parser *s)
{
	uint32_t line = s->line, column = s->column, c, low;
	const char *p = s->p + 2;
	size_t len = 6;

	if (hex4(p, s->end, &c) != 0) {
		hw_conf_parser_error(s, line, column,
			"\\u needs four hexadecimal digits; write for example \\u00e9, or the "
			"character "
			"itself");
		hw_conf_parser_skip(s, 2);
		return false;
	}
	if (c >= 0xd800 && c < 0xdc00 && s->end - p >= 10 && p[4] == '\\' && p[5] == 'u' &&
		hex4(p + 6, s->end, &low) == 0 && low >= 0xdc00 && low < 0xe000) {
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		len = 12;
	}
	hw_conf_parser_skip(s, len);
	if (c >= 0xd800 && c < 0xe000) {
		hw_conf_parser_error(s, line, column,
			"half of a surrogate pair: it is no character alone; write both halves, or "
			"the "
			"character itself");
		return false;
	}
	if (c == 0) {
		hw_conf_parser_error(s, line, column,
			"\\u0000: a string of this configuration cannot hold NUL; remove it");
		return false;
	}
	put_utf8(&s->scratch, c);
	return true;
}

static bool escape(struct hw_conf_parser *s)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	char c;

	if (s->end - s->p < 2) {
		hw_conf_parser_skip(s, 1); /* the end of the text is reported by the caller */
		return true;
	}
	c = s->p[1];
	if (c == 'u')
		return unicode_escape(s);
	at = c ? strchr(from, c) : NULL;
	if (!at) {
		hw_conf_parser_error(s, s->line, s->column,
			"a backslash before something JSON has no escape for; write \\\\ for a "
			"backslash "
			"itself");
		hw_conf_parser_skip(s, 1);
		return false;
	}
	hw_buf_putc(&s->scratch, to[at - from]);
	hw_conf_parser_skip(s, 2);
	return true;
}

/* ${NAME}; p is at the dollar. */
static bool variable(struct hw_conf_parser *s)
{
	const char *name = s->p + 2, *p = name, *content;
	char zero[256];
	size_t len;

	while (p < s->end && name_char(*p, p == name))
		p++;
	len = (size_t)(p - name);
	if (p >= s->end || *p != '}' || len == 0 || len >= sizeof(zero)) {
		hw_conf_parser_error(s, s->line, s->column,
			"${ without a variable's name and }: only ${NAME} is replaced, with "
			"letters, "
			"digits and _; write $${ for ${ itself");
		hw_conf_parser_skip(s, 2);
		return false;
	}
	memcpy(zero, name, len);
	zero[len] = '\0';
	content = s->options->env ? s->options->env(s->options->env_arg, zero) : NULL;
	if (!content)
		hw_conf_parser_error(s, s->line, s->column,
			"the environment variable %s is not set; set it, or write $${ for ${ "
			"itself",
			zero);
	else if (strnlen(content, ENV_MAX + 1) > ENV_MAX)
		hw_conf_parser_error(s, s->line, s->column,
			"the environment variable %s holds more than %u bytes; set it to less",
			zero, ENV_MAX);
	else if (!hw_utf8_valid(content, strlen(content)))
		hw_conf_parser_error(s, s->line, s->column,
			"the environment variable %s is not UTF-8; set it to text", zero);
	else
		hw_buf_puts(&s->scratch, content);
	hw_conf_parser_skip(s, (size_t)(p + 1 - s->p));
	return content != NULL;
}

/* The whole value is @file:PATH, decoded in scratch: replaces it with the file's content. */
static bool file_content(struct hw_conf_parser *s, const struct hw_conf_value *v)
{
	struct hw_str path = hw_buf_view(&s->scratch);
	struct hw_buf joined, content;
	const char *wrong = NULL;
	int rc;

	path.p += sizeof(FILE_PREFIX) - 1;
	path.len -= sizeof(FILE_PREFIX) - 1;
	hw_buf_init(&joined);
	hw_buf_init(&content);
	hw_conf_path_join(&joined, s->tree->file, path);
	hw_buf_putc(&joined, '\0');
	if (joined.failed)
		rc = -ENOMEM;
	else if (!s->options->files)
		rc = -EPERM;
	else if (path.len == 0)
		rc = -ENOENT;
	else
		rc = hw_conf_read_file(joined.data, HW_CONF_SECRET_MAX, &content);
	if (rc == -ENOMEM)
		s->tree->arena.failed = true;
	else if (rc == -EFBIG)
		wrong = "it has more than 65536 bytes";
	else if (rc == -EINVAL)
		wrong = "it is not a regular file";
	else if (rc < 0)
		wrong = strerror(-rc);
	else if (content.len > 0 && memchr(content.data, '\0', content.len))
		wrong = "it holds a NUL byte";
	else if (!hw_utf8_valid(content.data, content.len))
		wrong = "it is not UTF-8 text";
	if (wrong)
		hw_conf_parser_error(s, v->line, v->column,
			"\"%.*s\" cannot be read: %s; the path is relative to this file's "
			"directory",
			HW_STR_ARG(v->written), wrong);
	if (content.len > 0 && content.data[content.len - 1] == '\n')
		content.len--;
	if (content.len > 0 && content.data[content.len - 1] == '\r')
		content.len--;
	hw_buf_clear(&s->scratch);
	hw_buf_str(&s->scratch, hw_buf_view(&content));
	hw_buf_fini(&joined);
	hw_buf_fini(&content);
	return !wrong;
}

/* One piece of a string: a run of plain characters, an escape, a variable, or a mistake. */
static bool piece(struct hw_conf_parser *s, struct hw_conf_value *v, bool key)
{
	size_t left = (size_t)(s->end - s->p);
	unsigned char c = (unsigned char)*s->p;

	if (c == '\\')
		return escape(s);
	if (c == '$' && left >= 3 && s->p[1] == '$' && s->p[2] == '{') {
		hw_buf_puts(&s->scratch, "${");
		hw_conf_parser_skip(s, 3);
		return true;
	}
	if (c == '$' && left >= 2 && s->p[1] == '{') {
		if (key) {
			hw_conf_parser_error(s, s->line, s->column,
				"${ in a key: only values are replaced; write $${ for ${ itself");
			hw_conf_parser_skip(s, 2);
			return false;
		}
		v->secret = true;
		return variable(s);
	}
	if (c < 0x20) {
		hw_conf_parser_error(s, s->line, s->column,
			"a control character (0x%02x) inside a string; write it as \\u%04x%s", c, c,
			c == '\t' ? " or \\t" : "");
		hw_conf_parser_skip(s, 1);
		return false;
	}
	hw_buf_putc(&s->scratch, (char)c);
	hw_conf_parser_skip(s, 1);
	return true;
}

static void keep(struct hw_conf_parser *s, struct hw_conf_value *v, struct hw_str raw, bool key)
{
	struct hw_str text = hw_buf_view(&s->scratch);
	char *copy = hw_conf_arena_dup(&s->tree->arena, text);

	if (s->scratch.failed)
		s->tree->arena.failed = true;
	if (!copy)
		return;
	text.p = copy;
	if (key) {
		v->key = text;
		return;
	}
	v->text = text;
	if (hw_str_eq(text, raw))
		v->written = text;
}

void hw_conf_parser_string(struct hw_conf_parser *s, struct hw_conf_value *v, bool key)
{
	uint32_t line = s->line, column = s->column;
	struct hw_str raw = {s->p + 1, 0};
	bool good = true;

	hw_buf_clear(&s->scratch);
	hw_conf_parser_skip(s, 1);
	while (s->p < s->end && *s->p != '"' && *s->p != '\n')
		good = piece(s, v, key) && good;
	if (s->p >= s->end || *s->p == '\n') {
		hw_conf_parser_error(s, line, column,
			"a string that does not end in its line; close it with \", write \\n for a "
			"line "
			"break");
		s->stopped = true;
		v->broken = true;
		return;
	}
	raw.len = (size_t)(s->p - raw.p);
	hw_conf_parser_skip(s, 1);
	if (!key) {
		v->written = (struct hw_str){hw_conf_arena_dup(&s->tree->arena, raw), raw.len};
		if (!v->written.p)
			return;
		if (hw_str_starts(raw, HW_STR(FILE_PREFIX))) {
			v->secret = true;
			good = good && file_content(s, v);
		}
		v->broken = !good;
	}
	keep(s, v, raw, key);
}
