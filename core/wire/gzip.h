/* The gzip coding (RFC 1952, 1951) of a stream that is flushed as it goes: what was written so far
 * can be read without what follows. It keeps HW_GZIP_BYTES of memory until it is destroyed,
 * whatever is written: a window of 4 KiB, which is enough for events, that resemble each other. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

#define HW_GZIP_BYTES (40u << 10)

struct hw_gzip;

/** NULL: out of memory. */
struct hw_gzip *hw_gzip_create(void);
void hw_gzip_destroy(struct hw_gzip **gzip);
/** Appends what @text becomes, all of it; @last: nothing follows. 0, or -ENOMEM: nothing was taken.
 */
HW_MUST_CHECK int hw_gzip_write(
	struct hw_gzip *gzip, struct hw_str text, bool last, struct hw_buf *out);

/** Does a value of Accept-Encoding (RFC 9110 12.5.3) take gzip? One that leaves it to us ("*") is
 * not asked. */
bool hw_gzip_accepted(struct hw_str accept_encoding);
