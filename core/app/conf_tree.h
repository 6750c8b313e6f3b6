/* A strict JSON reader for files that people write: comments are allowed, every value knows its
 * place, ${ENV} and @file: are replaced inside strings. One thread; reads files only when told to.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/conf_report.h"
#include "base/buf.h"
#include "base/str.h"

#define HW_CONF_DEPTH_MAX 64           /* arrays and objects inside each other */
#define HW_CONF_FILE_MAX (16u << 20)   /* bytes of a configuration file */
#define HW_CONF_SECRET_MAX (64u << 10) /* bytes of an @file: */

enum hw_conf_type {
	HW_CONF_NULL,
	HW_CONF_BOOL,
	HW_CONF_NUMBER,
	HW_CONF_STRING,
	HW_CONF_ARRAY,
	HW_CONF_OBJECT,
};

/* Values live in the tree's arena. Members and items are a list in the order of the file. */
struct hw_conf_value {
	enum hw_conf_type type;
	bool boolean;
	bool is_integer; /* a number written without fraction and exponent that fits int64_t */
	bool broken;     /* an error about it is in the report already: look no further */
	bool secret;     /* a string in which something was replaced: print written, never text */
	int64_t integer;
	double number;
	struct hw_str text;    /* string: its characters, zero-terminated; number: as written */
	struct hw_str written; /* string: as it stands between the quotes in the file */
	struct hw_str key;     /* of a member of an object, zero-terminated; else HW_STR_NULL */
	uint32_t line, column; /* of the value's first character */
	uint32_t key_line, key_column; /* of the key's opening quote, 0 without */
	struct hw_conf_value *parent;  /* NULL: the root */
	struct hw_conf_value *first;   /* array, object */
	struct hw_conf_value *last;
	struct hw_conf_value *next; /* sibling */
	size_t n_children;
};

struct hw_conf_tree; /* opaque */

struct hw_conf_tree_options {
	const char *file; /* its name in messages; copied; @file: is relative to its directory */
	const char *unit; /* what its problems are filed under; copied; NULL: as @file */
	/** NULL when @name is unset; what it returns is copied. NULL function: nothing is set. */
	const char *(*env)(void *arg, const char *name);
	void *env_arg;
	bool files; /* @file: may read; else it is an error */
};

/** Reads @text (of any bytes; need not outlive the call). Everything found wrong goes to @report;
 * reading goes on where the rest can still be understood. 0: *out has a root and no error was
 * added. 1: errors were added; *out is given all the same when there is a root, else NULL. -ENOMEM:
 * *out untouched. */
HW_MUST_CHECK int hw_conf_tree_parse(struct hw_str text, const struct hw_conf_tree_options *options,
	struct hw_conf_tree **out, struct hw_conf_report *report);
void hw_conf_tree_destroy(struct hw_conf_tree **tree);
const struct hw_conf_value *hw_conf_tree_root(const struct hw_conf_tree *tree);
const char *hw_conf_tree_file(const struct hw_conf_tree *tree);

/** Reads a regular file of at most @max_bytes into @out (appended). 0 or negative errno; -EFBIG:
 * larger, -EINVAL: not a regular file. Never blocks on a FIFO. */
HW_MUST_CHECK int hw_conf_read_file(const char *path, size_t max_bytes, struct hw_buf *out);
/** @path itself when absolute, else joined to the directory of @file. Appended, without a zero. */
void hw_conf_path_join(struct hw_buf *out, const char *file, struct hw_str path);

const char *hw_conf_type_name(enum hw_conf_type type); /* "an object", "null" */
const struct hw_conf_value *hw_conf_value_get(
	const struct hw_conf_value *object, struct hw_str key);
const struct hw_conf_value *hw_conf_value_at(const struct hw_conf_value *array, size_t i);
/** What a JSON Pointer (RFC 6901) names, or the last value on the way to it. Never NULL for a
 * @root. */
const struct hw_conf_value *hw_conf_value_locate(
	const struct hw_conf_value *root, struct hw_str path);
/** true if @value or anything inside it was substituted. */
bool hw_conf_value_secret(const struct hw_conf_value *value);
/** Appends @value as compact JSON, substituted, members in the order of the file. */
void hw_conf_value_print(const struct hw_conf_value *value, struct hw_buf *out);
