/* A message for a person: what, where, what to do. Passed by the caller, filled by whoever fails.
 * The two-class convention: int results are 0 for success, negative errno for what must be
 * forwarded, positive for a named outcome that the caller handles. The text never holds a
 * secret or a token. */
#pragma once

#include "base/compiler.h"

struct hw_err {
	char text[512];
};

/** Formats the message (cut at the size of the buffer) and returns @code, so that one can write
 *  return hw_err_set(err, -EINVAL, "…"). @err may be NULL. */
int hw_err_set(struct hw_err *err, int code, const char *format, ...) HW_PRINTF(3, 4);
/** Puts "prefix: " in front of the message that is there. */
void hw_err_prefix(struct hw_err *err, const char *format, ...) HW_PRINTF(2, 3);
