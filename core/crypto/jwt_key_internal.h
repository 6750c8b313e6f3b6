/* Inside core/crypto: what an algorithm needs and what a key holds, for verifying and for minting.
 * The table is the one place that says which digest, key type and curve belong to an algorithm's
 * name. */
#pragma once

#include <openssl/evp.h>

#include "crypto/jwt_key.h"

enum hw_jwt_family {
	HW_JWT_FAMILY_HMAC,
	HW_JWT_FAMILY_RSA, /* PKCS #1 v1.5 */
	HW_JWT_FAMILY_RSA_PSS,
	HW_JWT_FAMILY_ECDSA,
	HW_JWT_FAMILY_EDDSA,
};

struct hw_jwt_alg_info {
	const char *name;
	enum hw_jwt_family family;
	const char *digest; /* libcrypto's name; NULL for EdDSA, which brings its own */
	const char *curve;  /* ECDSA: libcrypto's name of the group */
	size_t coordinate;  /* ECDSA: bytes of r and of s in a signature */
	const char *how_to; /* a command that makes a fitting private key */
};
const struct hw_jwt_alg_info *hw_jwt_alg_info(enum hw_jwt_alg alg);
bool hw_jwt_alg_is_rsa(enum hw_jwt_alg alg);

struct hw_jwt_key {
	enum hw_jwt_alg alg;
	char *kid, *iss; /* NULL = not configured */
	size_t kid_len, iss_len;
	unsigned char *secret; /* HMAC */
	size_t secret_len;
	EVP_PKEY *public_key; /* all others */
	size_t item;          /* of the settings' array: where messages point */
	bool in_set;          /* it came from a "jwks" */
};
void hw_jwt_key_fini(struct hw_jwt_key *key);

struct hw_jwt_keys {
	size_t n_keys;
	struct hw_jwt_key keys[];
};

/** Does a public or private key suit the algorithm: type, curve, size. 0, or -EINVAL with @err. */
HW_MUST_CHECK int hw_jwt_key_suits(enum hw_jwt_alg alg, EVP_PKEY *key, struct hw_err *err);
/** The same for a secret: its length, and that it is no PEM text. */
HW_MUST_CHECK int hw_jwt_secret_suits(
	enum hw_jwt_alg alg, struct hw_str secret, struct hw_err *err);
/** For PEM readers: never asks for a passphrase on the terminal. */
int hw_jwt_no_passphrase(char *out, int size, int writing, void *arg);
/** Whether @text holds @needle somewhere. */
bool hw_jwt_text_has(struct hw_str text, const char *needle);
