/* Base64 (RFC 4648): the standard alphabet with padding, and the URL alphabet without, as in
 * tokens and tickets. */
#pragma once

#include <stddef.h>

#include "base/buf.h"

void hw_base64_encode(struct hw_buf *out, const void *p, size_t len);
void hw_base64url_encode(struct hw_buf *out, const void *p, size_t len);
/** Strict: no white space, canonical padding bits, padding exactly as the alphabet wants it.
 *  0, -EINVAL, or -ENOMEM; on failure @out is as before. */
HW_MUST_CHECK int hw_base64_decode(struct hw_buf *out, struct hw_str text);
HW_MUST_CHECK int hw_base64url_decode(struct hw_buf *out, struct hw_str text);
