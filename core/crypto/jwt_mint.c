#include "crypto/jwt.h"

#include <errno.h>
#include <stdlib.h>

#include <jansson.h>
#include <jwt.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "crypto/jwt_key_internal.h"

/* libjwt would ask the terminal for a passphrase, and sign RS256 with any length of key: look
 * first. */
static int check_private_key(enum hw_jwt_alg alg, struct hw_str pem, struct hw_err *err)
{
	BIO *bio = pem.len <= 65536 ? BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.len) : NULL;
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, hw_jwt_no_passphrase, NULL) : NULL;
	int rc;

	BIO_free(bio);
	ERR_clear_error();
	if (!key)
		return hw_err_set(err, -EINVAL,
			hw_jwt_text_has(pem, "ENCRYPTED")
				? "the private key is encrypted: take its passphrase off with "
				  "\"openssl pkey -in KEY -out PLAIN\""
				: "not a private key in PEM (-----BEGIN PRIVATE KEY-----)");
	rc = hw_jwt_key_suits(alg, key, err);
	EVP_PKEY_free(key);
	return rc;
}

static int check_claims(const char *claims, struct hw_err *err)
{
	json_error_t error;
	json_t *json = json_loads(claims, JSON_REJECT_DUPLICATES, &error);
	bool object = json_is_object(json);

	json_decref(json);
	return object ? 0
		      : hw_err_set(
				err, -EINVAL, "the claims are not a JSON object, each member once");
}

static int sign(jwt_alg_t alg, struct hw_str key, const char *kid, const char *claims, char **out)
{
	jwt_t *jwt = NULL;
	char *token = NULL;
	int rc = jwt_new(&jwt);

	if (rc == 0)
		rc = jwt_set_alg(jwt, alg, (const unsigned char *)key.p, (int)key.len);
	if (rc == 0 && kid[0])
		rc = jwt_add_header(jwt, "kid", kid);
	if (rc == 0)
		rc = jwt_add_grants_json(jwt, claims);
	if (rc == 0) {
		token = jwt_encode_str(jwt);
		rc = token ? 0 : errno;
	}
	jwt_free(jwt);
	ERR_clear_error();
	if (!token)
		return rc == ENOMEM ? -ENOMEM : -EINVAL;
	*out = token;
	return 0;
}

int hw_jwt_mint(enum hw_jwt_alg alg, struct hw_str key, struct hw_str kid, struct hw_str claims,
	char **out, struct hw_err *err)
{
	const char *name = hw_jwt_alg_name(alg);
	jwt_alg_t its = jwt_str_alg(name);
	char *claims_z, *kid_z, *key_z;
	int rc;

	if (its == JWT_ALG_INVAL)
		return hw_err_set(err, -EINVAL,
			"tokens of %s are verified but not made here: use HS*, RS* or ES*", name);
	rc = hw_jwt_alg_is_hmac(alg) ? hw_jwt_secret_suits(alg, key, err)
				     : check_private_key(alg, key, err);
	if (rc < 0)
		return rc;

	claims_z = hw_str_dup(claims);
	kid_z = hw_str_dup(kid);
	key_z = hw_str_dup(key);
	rc = claims_z && kid_z && key_z ? check_claims(claims_z, err) : -ENOMEM;
	if (rc == 0) {
		rc = sign(its, (struct hw_str){key_z, key.len}, kid_z, claims_z, out);
		if (rc == -EINVAL)
			hw_err_set(
				err, rc, "the key or the claims cannot be used to sign %s", name);
	}
	if (key_z)
		OPENSSL_cleanse(key_z, key.len);
	free(key_z);
	free(kid_z);
	free(claims_z);
	return rc;
}
