/* Verification keys for JSON Web Tokens, parsed once from settings and then shared read only.
 * A key admits exactly its algorithm; its type, curve and size are checked here, not at a token. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

/* RFC 7518 section 3.1, RFC 8037 (EdDSA: Ed25519 only). "none" does not exist here. */
enum hw_jwt_alg {
	HW_JWT_HS256,
	HW_JWT_HS384,
	HW_JWT_HS512,
	HW_JWT_RS256,
	HW_JWT_RS384,
	HW_JWT_RS512,
	HW_JWT_PS256,
	HW_JWT_PS384,
	HW_JWT_PS512,
	HW_JWT_ES256,
	HW_JWT_ES384,
	HW_JWT_ES512,
	HW_JWT_EDDSA,
	HW_JWT_N_ALGS
};

const char *hw_jwt_alg_name(enum hw_jwt_alg alg);
/** Exact, case-sensitive (RFC 7515 section 4.1.1). 0, or -EINVAL. */
HW_MUST_CHECK int hw_jwt_alg_parse(struct hw_str name, enum hw_jwt_alg *out);
bool hw_jwt_alg_is_hmac(enum hw_jwt_alg alg);

#define HW_JWT_KEYS_MAX 64 /* keys in one set */
#define HW_JWT_CANDIDATES_MAX \
	8 /* of these, how many one token may fit: each costs a verification */
#define HW_JWT_SECRET_MIN_BYTES 16
#define HW_JWT_RSA_MIN_BITS 2048
#define HW_JWT_RSA_MAX_BITS 8192
#define HW_JWT_POINTER_SIZE 128

struct hw_jwt_keys; /* opaque; immutable, so that any number of threads may verify with it */

/** @json: an array of {"alg", "secret" (HS*) or "public_key" (PEM, the others), "kid"?, "iss"?},
 * and of
 * {"jwks" (a JSON Web Key Set, or its text), "iss"?, "alg"? (of RSA keys that do not say, else
 * RS256)}. 0; -EINVAL with @pointer (a JSON pointer into @json, "" = all of it) and @err saying
 * what to do; -ENOMEM. The texts never hold a secret. @pointer and @err may not be NULL. Any
 * thread. */
HW_MUST_CHECK int hw_jwt_keys_create(struct hw_str json, struct hw_jwt_keys **out,
	char pointer[HW_JWT_POINTER_SIZE], struct hw_err *err);
void hw_jwt_keys_destroy(struct hw_jwt_keys **keys);
size_t hw_jwt_keys_count(const struct hw_jwt_keys *keys);
