/* Claims: the JSON object of what is known about a user, added to by every hook that authenticates.
 * Values keep their text: a number that one hook wrote reaches the next as it was written. */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#define HW_CLAIMS_MAX_BYTES 16384
#define HW_CLAIMS_MAX_MEMBERS 256

/** Appends to @out an object with the members of @old that @added does not name, then those of
 * @added. Both must be JSON objects whose members differ after unescaping, within the limits above;
 * @old and @added may not lie in @out. 0; -EINVAL (one is not such an object, or the sum is too
 * large) with @out as before; -ENOMEM. */
HW_MUST_CHECK int hw_claims_merge(struct hw_buf *out, struct hw_str old, struct hw_str added);
