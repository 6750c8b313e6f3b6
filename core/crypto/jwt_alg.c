#include "crypto/jwt_key_internal.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>

#define RSA_HOW_TO "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048"
#define EC_HOW_TO(curve) "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:" curve

static const struct hw_jwt_alg_info infos[HW_JWT_N_ALGS] = {
	[HW_JWT_HS256] = {"HS256", HW_JWT_FAMILY_HMAC, "SHA256", NULL, 0, NULL},
	[HW_JWT_HS384] = {"HS384", HW_JWT_FAMILY_HMAC, "SHA384", NULL, 0, NULL},
	[HW_JWT_HS512] = {"HS512", HW_JWT_FAMILY_HMAC, "SHA512", NULL, 0, NULL},
	[HW_JWT_RS256] = {"RS256", HW_JWT_FAMILY_RSA, "SHA256", NULL, 0, RSA_HOW_TO},
	[HW_JWT_RS384] = {"RS384", HW_JWT_FAMILY_RSA, "SHA384", NULL, 0, RSA_HOW_TO},
	[HW_JWT_RS512] = {"RS512", HW_JWT_FAMILY_RSA, "SHA512", NULL, 0, RSA_HOW_TO},
	[HW_JWT_PS256] = {"PS256", HW_JWT_FAMILY_RSA_PSS, "SHA256", NULL, 0, RSA_HOW_TO},
	[HW_JWT_PS384] = {"PS384", HW_JWT_FAMILY_RSA_PSS, "SHA384", NULL, 0, RSA_HOW_TO},
	[HW_JWT_PS512] = {"PS512", HW_JWT_FAMILY_RSA_PSS, "SHA512", NULL, 0, RSA_HOW_TO},
	[HW_JWT_ES256] = {"ES256", HW_JWT_FAMILY_ECDSA, "SHA256", "prime256v1", 32,
		EC_HOW_TO("P-256")},
	[HW_JWT_ES384] = {"ES384", HW_JWT_FAMILY_ECDSA, "SHA384", "secp384r1", 48,
		EC_HOW_TO("P-384")},
	[HW_JWT_ES512] = {"ES512", HW_JWT_FAMILY_ECDSA, "SHA512", "secp521r1", 66,
		EC_HOW_TO("P-521")},
	[HW_JWT_EDDSA] = {"EdDSA", HW_JWT_FAMILY_EDDSA, NULL, NULL, 0,
		"openssl genpkey -algorithm ED25519"},
};

const struct hw_jwt_alg_info *hw_jwt_alg_info(enum hw_jwt_alg alg)
{
	return &infos[alg];
}

const char *hw_jwt_alg_name(enum hw_jwt_alg alg)
{
	return infos[alg].name;
}

int hw_jwt_alg_parse(struct hw_str name, enum hw_jwt_alg *out)
{
	for (int i = 0; i < HW_JWT_N_ALGS; i++) {
		if (hw_str_eq(name, hw_str_of(infos[i].name))) {
			*out = (enum hw_jwt_alg)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool hw_jwt_alg_is_hmac(enum hw_jwt_alg alg)
{
	return infos[alg].family == HW_JWT_FAMILY_HMAC;
}

bool hw_jwt_alg_is_rsa(enum hw_jwt_alg alg)
{
	return infos[alg].family == HW_JWT_FAMILY_RSA || infos[alg].family == HW_JWT_FAMILY_RSA_PSS;
}

bool hw_jwt_text_has(struct hw_str text, const char *needle)
{
	return text.len > 0 && memmem(text.p, text.len, needle, strlen(needle)) != NULL;
}

int hw_jwt_no_passphrase(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

int hw_jwt_secret_suits(enum hw_jwt_alg alg, struct hw_str secret, struct hw_err *err)
{
	const char *name = infos[alg].name;

	/* Whoever pastes a public key here would let anybody who knows that public key sign tokens.
	 */
	if (hw_jwt_text_has(secret, "-----BEGIN "))
		return hw_err_set(err, -EINVAL,
			"%s wants a shared secret, and this is a key in PEM: use the RS, PS, ES or "
			"EdDSA "
			"algorithm that its owner signs with, and \"public_key\"",
			name);
	if (secret.len < HW_JWT_SECRET_MIN_BYTES)
		return hw_err_set(err, -EINVAL,
			"the secret for %s has %zu bytes, fewer than %d: make one with \"openssl "
			"rand -hex 32\"",
			name, secret.len, HW_JWT_SECRET_MIN_BYTES);
	return 0;
}

static int rsa_suits(const char *name, EVP_PKEY *key, struct hw_err *err)
{
	int bits = EVP_PKEY_get_bits(key);

	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
		return -EPROTOTYPE;
	if (bits < HW_JWT_RSA_MIN_BITS)
		return hw_err_set(err, -EINVAL,
			"the RSA key for %s has %d bits, fewer than %d: sign with a longer one",
			name, bits, HW_JWT_RSA_MIN_BITS);
	if (bits > HW_JWT_RSA_MAX_BITS)
		return hw_err_set(err, -EINVAL,
			"the RSA key for %s has %d bits, more than %d: each token would cost "
			"too much time; sign with a shorter one",
			name, bits, HW_JWT_RSA_MAX_BITS);
	return 0;
}

static int ec_suits(const struct hw_jwt_alg_info *info, EVP_PKEY *key, struct hw_err *err)
{
	char group[64];
	size_t len;

	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
		return -EPROTOTYPE;
	/* A key with explicit curve parameters has no group name and is refused with them. */
	if (!EVP_PKEY_get_group_name(key, group, sizeof(group), &len) ||
		strcmp(group, info->curve) != 0) {
		ERR_clear_error();
		return hw_err_set(err, -EINVAL,
			"%s wants a key on the curve %s, and this one is on another: "
			"the signer's key is made with \"%s\"",
			info->name, info->curve, info->how_to);
	}
	return 0;
}

int hw_jwt_key_suits(enum hw_jwt_alg alg, EVP_PKEY *key, struct hw_err *err)
{
	const struct hw_jwt_alg_info *info = &infos[alg];
	int rc = -EPROTOTYPE;

	switch (info->family) {
	case HW_JWT_FAMILY_HMAC:
		break;
	case HW_JWT_FAMILY_RSA:
	case HW_JWT_FAMILY_RSA_PSS:
		rc = rsa_suits(info->name, key, err);
		break;
	case HW_JWT_FAMILY_ECDSA:
		rc = ec_suits(info, key, err);
		break;
	case HW_JWT_FAMILY_EDDSA:
		rc = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? 0 : -EPROTOTYPE;
		break;
	}
	if (rc == -EPROTOTYPE)
		return hw_err_set(err, -EINVAL,
			"a key of type %s is not for %s: name the algorithm that the key is for, "
			"or give a key for %s "
			"(the signer's is made with \"%s\")",
			EVP_PKEY_get0_type_name(key) ? EVP_PKEY_get0_type_name(key) : "unknown",
			info->name, info->name,
			info->how_to ? info->how_to : "openssl rand -hex 32");
	return rc;
}
