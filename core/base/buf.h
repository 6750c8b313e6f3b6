/* A growable byte buffer on the heap, and the few ways to append to it.
 * Allocation failure is remembered in @failed, later appends do nothing: check once, at the end. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* 0..len written | len..cap room */
struct hw_buf {
	char *data;
	size_t len;
	size_t cap;
	bool failed;
};

void hw_buf_init(struct hw_buf *b);
void hw_buf_fini(struct hw_buf *b);  /* frees; the buffer is as after init */
void hw_buf_clear(struct hw_buf *b); /* len = 0, failed = false; keeps the memory */
/** Room for @extra more bytes; returns where they go, or NULL (failed is then set). */
char *hw_buf_reserve(struct hw_buf *b, size_t extra);
void hw_buf_add(struct hw_buf *b, const void *p, size_t len);
void hw_buf_str(struct hw_buf *b, struct hw_str s);
void hw_buf_puts(struct hw_buf *b, const char *zero_terminated);
void hw_buf_putc(struct hw_buf *b, char c);
void hw_buf_printf(struct hw_buf *b, const char *format, ...) HW_PRINTF(2, 3);
void hw_buf_vprintf(struct hw_buf *b, const char *format, va_list args) HW_PRINTF(2, 0);
void hw_buf_u64(struct hw_buf *b, uint64_t n); /* decimal */
/** Appends @s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. Control
 *  characters (C1 too), line separators and bidirectional overrides are escaped, so that it is
 *  safe on a terminal. */
void hw_buf_json(struct hw_buf *b, struct hw_str s);
/** The same for one character, for those who have no heap: writes what stands for the first one of
 *  @s (not empty) to @out, its length to *@out_len, and returns how many bytes of @s that took. */
#define HW_JSON_CHAR_MAX 6
size_t hw_json_char(struct hw_str s, char out[HW_JSON_CHAR_MAX], size_t *out_len);
/** Removes the first @n bytes by moving the rest down. */
void hw_buf_consume(struct hw_buf *b, size_t n);
struct hw_str hw_buf_view(const struct hw_buf *b);
/** Hands the zero-terminated memory to the caller (to free) and resets; NULL if failed. */
char *hw_buf_steal(struct hw_buf *b);
