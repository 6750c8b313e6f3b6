/* Verifying JSON Web Tokens (RFC 7519, compact JWS of RFC 7515) as RFC 8725 advises, and minting
 * them. A token chooses nothing: neither its algorithm, nor a key by an address, nor critical
 * extensions. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "crypto/jwt_key.h"

#define HW_JWT_MAX_BYTES 8192

struct hw_jwt_expect {
	struct hw_str issuer;   /* empty = any; a key's own "iss" counts beside it */
	struct hw_str audience; /* empty = any; else aud must be it, or an array that contains it */
	int64_t skew_s; /* allowed difference of clocks for exp, nbf and iat; >= 0. nbf and iat have
			   5 s at least */
};

struct hw_jwt_claims {
	char *text; /* the payload as it was signed: a JSON object, zero-terminated; malloc'd */
	size_t len;
	int64_t expires_at; /* seconds since 1970 as the token says, 0 = no exp */
};

struct hw_jwt_refusal {
	bool expired;     /* the signature and all else are right, only exp has passed */
	char reason[160]; /* for the log and the client; never any part of the token */
};

#define HW_JWT_REFUSED 1

/** 0: @claims filled, the caller's to fini. HW_JWT_REFUSED: @refusal filled. -ENOMEM. Any thread.
 */
HW_MUST_CHECK int hw_jwt_verify(const struct hw_jwt_keys *keys, struct hw_str token,
	const struct hw_jwt_expect *expect, int64_t now_ms, struct hw_jwt_claims *claims,
	struct hw_jwt_refusal *refusal);
void hw_jwt_claims_fini(struct hw_jwt_claims *claims);

/** Mints a token: HS*, RS* and ES* (libjwt signs nothing else). @key: the HMAC secret, or a private
 * key in PEM.
 *  @kid may be empty. @claims: a JSON object. *@out is malloc'd, the caller's. The same minimums as
 * for verification keys hold. 0, -EINVAL with @err, -ENOMEM. Never for a worker: it may be slow. */
HW_MUST_CHECK int hw_jwt_mint(enum hw_jwt_alg alg, struct hw_str key, struct hw_str kid,
	struct hw_str claims, char **out, struct hw_err *err);
