/* Inside core/crypto: whether a key made a token's signature, and nothing else of the token.
 * Everything about keys is decided before: a key's type and curve suit its algorithm. */
#pragma once

#include <stdbool.h>

#include "base/compiler.h"
#include "base/str.h"
#include "crypto/jwt_key_internal.h"

struct hw_jwt_signed {
	struct hw_str token;     /* all of it */
	struct hw_str input;     /* header "." payload: what is signed (RFC 7515 section 5.1) */
	struct hw_str signature; /* decoded */
	bool access_token;       /* its typ is at+jwt (RFC 9068) */
};

/** 0: it did. 1: it did not. -ENOMEM. Any thread. */
HW_MUST_CHECK int hw_jwt_signature_check(
	const struct hw_jwt_key *key, const struct hw_jwt_signed *what);
