/* Inside core/crypto: the keys of a JSON Web Key Set (RFC 7517), as identity providers publish it.
 */
#pragma once

#include <jansson.h>

#include "crypto/jwt_key_internal.h"

struct hw_jwks_options {
	enum hw_jwt_alg rsa_alg; /* of RSA keys that do not name theirs */
	size_t room;             /* of keys */
};

/** Fills keys[0..*n] with what in @set can verify; what cannot (another use, an algorithm or a
 * curve that is not known here, a member missing or out of range) is passed over, as section 5
 * says. Their iss stays unset; free them with hw_jwt_key_fini. 0; -EINVAL with @err when none is
 * left, or more than there is room for, or @set is no such set; -ENOMEM. Keys that were filled
 * count in *n then too. */
HW_MUST_CHECK int hw_jwks_read(const json_t *set, const struct hw_jwks_options *options,
	struct hw_jwt_key *keys, size_t *n, struct hw_err *err);
