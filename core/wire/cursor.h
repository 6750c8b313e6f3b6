/* The cursor as text: EPOCH-SEQ, where EPOCH is 64 bits in lower-case base 36 and SEQ is decimal.
 * What it means is the journal's business; to clients it is opaque (PROTOCOL "Cursors"). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define HW_CURSOR_MAX 34 /* bytes: 13 digits of base 36, '-', 20 of base 10 */

struct hw_cursor {
	uint64_t epoch;
	uint64_t seq;
};

/** Writes the text and a zero; returns its length. */
size_t hw_cursor_format(struct hw_cursor c, char out[HW_CURSOR_MAX + 1]);
void hw_cursor_add(struct hw_buf *out, struct hw_cursor c);
/** Takes exactly what format writes: no leading zeros, no overflow, nothing around it. 0 or
 * -EINVAL. */
HW_MUST_CHECK int hw_cursor_parse(struct hw_str text, struct hw_cursor *out);
