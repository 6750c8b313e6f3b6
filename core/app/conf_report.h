/* What is wrong with a configuration: a list of messages, each naming its place, all of them
 * collected. A message never holds a substituted value (${ENV}, @file:). Belongs to one thread at a
 * time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum hw_conf_severity { HW_CONF_WARNING, HW_CONF_ERROR };

/* A place in a file. Lines and columns start at 1, columns count characters; line 0 is the file as
 * a whole. */
struct hw_conf_pos {
	const char *file; /* borrowed: as given on the command line, or joined from the file that
			     includes it */
	uint32_t line;
	uint32_t column;
};

struct hw_conf_problem {
	char *unit; /* the unit of reload it belongs to: the name of a struct hw_conf_unit */
	enum hw_conf_severity severity;
	uint32_t line, column; /* of its place */
	char *text; /* "file:line:col: what, why, what to do", one line, no newline at the end */
};

struct hw_conf_report {
	struct hw_conf_problem *items; /* in the order found */
	size_t n_items;
	size_t n_errors;   /* of severity HW_CONF_ERROR, also those that were not kept */
	size_t n_warnings; /* likewise */
	size_t cap_items;
	bool failed; /* out of memory: there are problems that no item tells */
};

/* A file that is wrong everywhere stops being listed here; the counts go on. */
#define HW_CONF_REPORT_MAX 1000

void hw_conf_report_init(struct hw_conf_report *r);
void hw_conf_report_fini(struct hw_conf_report *r); /* frees; the report is as after init */

/** Adds one problem of @unit at @pos; the place is put in front of the text. Strings are copied. A
 * message is written as "what: why; what to do" and never holds a secret: that is the caller's
 * promise. Used by the reader, and by whoever checks a part of it later (plugin and Lua
 * validation). */
void hw_conf_report_add(struct hw_conf_report *r, const char *unit, enum hw_conf_severity severity,
	struct hw_conf_pos pos, const char *format, ...) HW_PRINTF(5, 6);

/** true if an error (not a warning) of @unit is in the list. */
bool hw_conf_report_has_errors(const struct hw_conf_report *r, const char *unit);
/** Puts the items from index @from on in the order of their places (stable): what one file's
 * checks, made in whatever order, found wrong in that file. */
void hw_conf_report_sort(struct hw_conf_report *r, size_t from);
