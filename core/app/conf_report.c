#include "app/conf_report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

void hw_conf_report_init(struct hw_conf_report *r)
{
	*r = (struct hw_conf_report){0};
}

void hw_conf_report_fini(struct hw_conf_report *r)
{
	for (size_t i = 0; i < r->n_items; i++) {
		free(r->items[i].unit);
		free(r->items[i].text);
	}
	free(r->items);
	hw_conf_report_init(r);
}

/* Keys and file names may hold anything; a message is one line for a terminal and a log. */
static void flatten(struct hw_buf *text)
{
	for (size_t i = 0; i < text->len; i++) {
		unsigned char c = (unsigned char)text->data[i];

		if (c < 0x20 || c == 0x7f)
			text->data[i] = '?';
	}
}

static bool grow(struct hw_conf_report *r)
{
	size_t cap = r->cap_items > 0 ? 2 * r->cap_items : 16;
	struct hw_conf_problem *items;

	if (r->n_items < r->cap_items)
		return true;
	items = realloc(r->items, cap * sizeof(*items));
	if (!items)
		return false;
	r->items = items;
	r->cap_items = cap;
	return true;
}

void hw_conf_report_add(struct hw_conf_report *r, const char *unit, enum hw_conf_severity severity,
	struct hw_conf_pos pos, const char *format, ...)
{
	struct hw_conf_problem problem = {
		.severity = severity, .line = pos.line, .column = pos.column};
	struct hw_buf text;
	va_list args;

	if (severity == HW_CONF_ERROR)
		r->n_errors++;
	else
		r->n_warnings++;
	if (r->n_items >= HW_CONF_REPORT_MAX)
		return;
	hw_buf_init(&text);
	hw_buf_puts(&text, pos.file ? pos.file : unit);
	if (pos.line > 0)
		hw_buf_printf(&text, ":%u:%u", (unsigned)pos.line, (unsigned)pos.column);
	hw_buf_puts(&text, severity == HW_CONF_WARNING ? ": warning: " : ": ");
	va_start(args, format);
	hw_buf_vprintf(&text, format, args);
	va_end(args);
	flatten(&text);
	problem.unit = strdup(unit);
	problem.text = hw_buf_steal(&text);
	if (!problem.unit || !problem.text || !grow(r)) {
		free(problem.unit);
		free(problem.text);
		hw_buf_fini(&text);
		r->failed = true;
		return;
	}
	r->items[r->n_items++] = problem;
}

bool hw_conf_report_has_errors(const struct hw_conf_report *r, const char *unit)
{
	for (size_t i = 0; i < r->n_items; i++)
		if (r->items[i].severity == HW_CONF_ERROR && strcmp(r->items[i].unit, unit) == 0)
			return true;
	return false;
}

void hw_conf_report_sort(struct hw_conf_report *r, size_t from)
{
	/* insertion: short, nearly sorted, and must be stable */
	for (size_t i = from + 1; i < r->n_items; i++) {
		struct hw_conf_problem moving = r->items[i];
		size_t j = i;

		for (; j > from; j--) {
			const struct hw_conf_problem *before = &r->items[j - 1];

			if (before->line < moving.line ||
				(before->line == moving.line && before->column <= moving.column))
				break;
			r->items[j] = *before;
		}
		r->items[j] = moving;
	}
}
