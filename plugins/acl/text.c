#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define DEPTH_MAX 64 /* of what is looked into for a mistake */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *skip_blank(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

static size_t end_of_string(const char *text, size_t len, size_t i)
{
	for (i++; i < len && text[i] != '"'; i++) {
		if (text[i] == '\\')
			i++;
	}
	return i;
}

int acl_text_blank_comments(char *text, size_t len, size_t *at)
{
	for (size_t i = 0; i < len; i++) {
		size_t begin = i;

		if (text[i] == '"') {
			i = end_of_string(text, len, i);
			continue;
		}
		if (text[i] != '/' || i + 1 >= len)
			continue;
		if (text[i + 1] == '/') {
			for (; i < len && text[i] != '\n'; i++)
				text[i] = ' ';
		} else if (text[i + 1] == '*') {
			const char *end = NULL;

			for (size_t j = i + 2; j + 1 < len && !end; j++) {
				if (text[j] == '*' && text[j + 1] == '/')
					end = text + j + 2;
			}
			if (!end) {
				*at = begin;
				return -1;
			}
			for (; text + i < end; i++) {
				if (text[i] != '\n')
					text[i] = ' ';
			}
			i--;
		}
	}
	return 0;
}

const char *acl_text_item(struct hw_slice container, size_t position)
{
	const char *end = container.p + container.len;
	const char *p = skip_blank(container.p + position, end);

	if (p < end && (position == 0 || *p == ',')) /* the bracket, or what is between two */
		p = skip_blank(p + 1, end);
	return p;
}

/* All items of the container that begins at @p. 0, or -1; *item is where it stopped: the bracket
 * that ends it, or the item that cannot be read. */
static int read_items(const struct hw_host *host, const char *p, const char *end, char *scratch,
	size_t scratch_size, const char **item)
{
	struct hw_slice container = {p, (size_t)(end - p)}, key, value;
	size_t position = 0;
	char kind;
	int rc;

	while ((rc = host->json_next(
			container, &position, &key, &kind, &value, scratch, scratch_size)) == 0)
		;
	*item = acl_text_item(container, position);
	return rc > 0 ? 0 : -1;
}

/* Goes from the item that cannot be read into it, for as long as it is an array or an object: the
 * innermost one is where the mistake is. */
int acl_text_check(const struct hw_host *host, struct hw_slice text, char *scratch,
	size_t scratch_size, size_t *at)
{
	const char *end = text.p + text.len, *p = skip_blank(text.p, end), *item;

	*at = (size_t)(p - text.p);
	if (p == end || *p != '[')
		return -1;
	if (read_items(host, p, end, scratch, scratch_size, &item) == 0) {
		p = skip_blank(item + 1, end);
		*at = (size_t)(p - text.p);
		return p == end ? 0 : -1;
	}
	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		*at = (size_t)(item - text.p);
		if (item < end && *item == '"') { /* a member: its value */
			p = item + end_of_string(item, (size_t)(end - item), 0) + 1;
			p = p < end ? skip_blank(p, end) : end;
			if (p < end && *p == ':')
				item = skip_blank(p + 1, end);
		}
		if (item >= end || (*item != '[' && *item != '{') ||
			read_items(host, item, end, scratch, scratch_size, &item) == 0)
			break;
	}
	return -1;
}

void acl_text_place(struct hw_slice text, size_t at, unsigned *line, unsigned *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < at && i < text.len; i++) {
		if (text.p[i] == '\n') {
			(*line)++;
			*column = 1;
		} else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
			(*column)++;
		}
	}
}
