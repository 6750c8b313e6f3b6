/* A strict reader of JSON texts (RFC 8259) without a tree: it pulls values out of a complete text
 * as slices of it. Pure, any thread; nothing allocates but what appends to a hw_buf. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define HW_JSON_DEPTH 64 /* arrays and objects that may be open at once */

enum hw_json_kind {
	HW_JSON_NONE, /* absent: what a zeroed struct hw_json says */
	HW_JSON_NULL,
	HW_JSON_FALSE,
	HW_JSON_TRUE,
	HW_JSON_NUMBER,
	HW_JSON_STRING,
	HW_JSON_ARRAY,
	HW_JSON_OBJECT,
};

/* One value: @raw is its text as it stands, with the quotes of a string. Dies with the text. */
struct hw_json {
	struct hw_str raw;
	enum hw_json_kind kind;
	bool escaped; /* a string that holds at least one backslash */
};

enum hw_json_flags {
	HW_JSON_UTF8_DONE = 1, /* the text is known to be UTF-8 (a WebSocket text message) */
};

/* start..p read | p..end unread */
struct hw_json_reader {
	const char *start;
	const char *p;
	const char *end;
	unsigned flags;
	unsigned depth;
	bool fresh;        /* just inside a container: no comma is due */
	const char *error; /* a fixed text, NULL while all is well */
	size_t error_at;   /* byte offset of it in the text */
};

void hw_json_init(struct hw_json_reader *r, struct hw_str text, unsigned flags);

/* The functions below return 0, or -EINVAL with r->error and r->error_at set; after that the reader
 * is of no use. */

/** What comes next, by its first byte (nothing is consumed but white space). HW_JSON_NONE at the
 * end of the text or at a byte that starts no value; hw_json_value then says what is wrong. */
enum hw_json_kind hw_json_peek(struct hw_json_reader *r);
/** Reads one value, whatever it is, and everything inside it. */
HW_MUST_CHECK int hw_json_value(struct hw_json_reader *r, struct hw_json *out);
/** Steps into an object or array: consumes its bracket. */
HW_MUST_CHECK int hw_json_enter(struct hw_json_reader *r, enum hw_json_kind kind);
/** Inside an object: reads the next key (a string) and the colon; the value is then to be read or
 * entered. HW_JSON_END (and the brace consumed) after the last one. */
HW_MUST_CHECK int hw_json_member(struct hw_json_reader *r, struct hw_json *key);
/** Inside an array: 0 when an element is to be read or entered, HW_JSON_END (bracket consumed)
 * after the last. */
HW_MUST_CHECK int hw_json_element(struct hw_json_reader *r);
/** To the next object of an array that was entered; or, with @many false, to the one object that
 * the text is. 0: it is to be read; HW_JSON_END, with *@done set from then on; HW_JSON_NO_OBJECT:
 * there was something else, and it is stepped over; -EINVAL. */
HW_MUST_CHECK int hw_json_next_object(struct hw_json_reader *r, bool many, bool *done);
/** Only white space may follow. */
HW_MUST_CHECK int hw_json_finish(struct hw_json_reader *r);
/** All of it at once: @text is one value with nothing but white space around. On -EINVAL @err says
 * "byte N: …". */
HW_MUST_CHECK int hw_json_whole(
	struct hw_str text, unsigned flags, struct hw_json *out, struct hw_err *err);
/** An array that is all of @text: looked through to its end, and then entered, by a fresh reader at
 * its beginning. *@n is how many items it has. 0; on -EINVAL, and on -E2BIG when there are more
 * than @max_items (0: any number), @err says why. */
HW_MUST_CHECK int hw_json_open_items(struct hw_json_reader *r, struct hw_str text, unsigned flags,
	size_t max_items, size_t *n, struct hw_err *err);
/** Writes "byte N: what" of a failed reader into @err and returns -EINVAL. */
int hw_json_err(const struct hw_json_reader *r, struct hw_err *err);

enum { HW_JSON_END = 1, HW_JSON_NO_OBJECT = 2 };

/** The text between the quotes, as it stands. */
static inline struct hw_str hw_json_inside(struct hw_json string)
{
	return (struct hw_str){string.raw.p + 1, string.raw.len - 2};
}

/** Appends what the string says, escapes resolved. -EILSEQ if a surrogate stands alone (@out is as
 *  before), -ENOMEM. */
HW_MUST_CHECK int hw_json_unescape(struct hw_buf *out, struct hw_json string);
/** The same into @size bytes at @out, without a zero. -ERANGE if they do not suffice. */
HW_MUST_CHECK int hw_json_copy(struct hw_json string, char *out, size_t size, size_t *len);
/** What the string says: a view of the text when nothing is escaped, else of @scratch, which is
 *  overwritten. -EILSEQ or -ENOMEM as above. */
HW_MUST_CHECK int hw_json_text(struct hw_json string, struct hw_buf *scratch, struct hw_str *out);
/** Whether the string, escapes resolved, says exactly @plain. Never fails: a lone surrogate equals
 * nothing. */
bool hw_json_is(struct hw_json string, struct hw_str plain);
/** Whether two strings say the same, as a JavaScript reader sees it: lone surrogates count too. */
bool hw_json_same(struct hw_json a, struct hw_json b);
/** Whether every surrogate of the string has its other half. */
bool hw_json_paired(struct hw_json string);
/** As hw_json_copy, but a lone surrogate is written as its three bytes (as in WTF-8), so that two
 * keys are the same bytes exactly when a JavaScript reader sees the same key. raw.len bytes
 * suffice. Returns the length. */
size_t hw_json_copy_any(struct hw_json string, char *out);

/** The nearest double, as JavaScript sees the number; infinite when it is too large. */
double hw_json_double(struct hw_json number);
/** Appends the number as JavaScript prints it (ECMA-262, Number::toString, radix 10). */
void hw_json_js_number(struct hw_buf *out, double n);
/** Appends any value as a JavaScript template literal prints it: strings bare, lone surrogates as
 * U+FFFD, arrays joined by commas, "[object Object]". */
void hw_json_js_text(struct hw_buf *out, struct hw_json value);
/** null, false, a number that is zero, the empty string, or absent. */
bool hw_json_falsy(struct hw_json value);
