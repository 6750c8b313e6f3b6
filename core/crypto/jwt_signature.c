#include "crypto/jwt_signature.h"

#include <errno.h>
#include <stdlib.h>

#include <jwt.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "crypto/equal.h"

static jwt_alg_t libjwt_alg(enum hw_jwt_alg alg)
{
	return jwt_str_alg(hw_jwt_alg_name(alg));
}

static int check_with_libjwt(const struct hw_jwt_key *key, struct hw_str token)
{
	jwt_t *jwt = NULL;
	char *copy = hw_str_dup(token);
	int rc;

	if (!copy)
		return -ENOMEM;
	rc = jwt_decode(&jwt, copy, key->secret, (int)key->secret_len);
	free(copy);
	if (rc == ENOMEM)
		return -ENOMEM;
	/* Our own reading of the header has refused another algorithm already; a second look costs
	 * nothing. */
	if (rc == 0 && jwt_get_alg(jwt) != libjwt_alg(key->alg))
		rc = EINVAL;
	if (rc == 0)
		jwt_free(jwt);
	return rc == 0 ? 0 : 1;
}

static int check_hmac(const struct hw_jwt_key *key, const struct hw_jwt_signed *what)
{
	const EVP_MD *digest = EVP_get_digestbyname(hw_jwt_alg_info(key->alg)->digest);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!digest || !HMAC(digest, key->secret, (int)key->secret_len,
			       (const unsigned char *)what->input.p, what->input.len, mac, &len))
		return -ENOMEM;
	return hw_equal_str((struct hw_str){(const char *)mac, len}, what->signature) ? 0 : 1;
}

/* A JWS carries r and s side by side at full width (RFC 7518 section 3.4); libcrypto reads them as
 * DER.
 * *@der is for OPENSSL_free. */
static int ecdsa_to_der(struct hw_str raw, size_t coordinate, unsigned char **der, size_t *der_len)
{
	const unsigned char *bytes = (const unsigned char *)raw.p;
	ECDSA_SIG *sig;
	BIGNUM *r, *s;
	int len;

	if (raw.len != 2 * coordinate)
		return 1;
	sig = ECDSA_SIG_new();
	r = BN_bin2bn(bytes, (int)coordinate, NULL);
	s = BN_bin2bn(bytes + coordinate, (int)coordinate, NULL);
	if (!sig || !r || !s || !ECDSA_SIG_set0(sig, r, s)) {
		ECDSA_SIG_free(sig);
		BN_free(r);
		BN_free(s);
		return -ENOMEM;
	}
	len = i2d_ECDSA_SIG(sig, der);
	ECDSA_SIG_free(sig);
	if (len <= 0)
		return -ENOMEM;
	*der_len = (size_t)len;
	return 0;
}

static int prepare(EVP_MD_CTX *ctx, const struct hw_jwt_key *key)
{
	const struct hw_jwt_alg_info *info = hw_jwt_alg_info(key->alg);
	EVP_PKEY_CTX *pkey_ctx; /* the digest context's */

	if (EVP_DigestVerifyInit_ex(
		    ctx, &pkey_ctx, info->digest, NULL, NULL, key->public_key, NULL) != 1)
		return -ENOMEM;
	/* RFC 7518 section 3.5: the salt is as long as the digest, no other is accepted. */
	if (info->family == HW_JWT_FAMILY_RSA_PSS &&
		(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
			EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST) != 1))
		return -ENOMEM;
	return 0;
}

static int check_public(const struct hw_jwt_key *key, const struct hw_jwt_signed *what)
{
	const struct hw_jwt_alg_info *info = hw_jwt_alg_info(key->alg);
	const unsigned char *signature = (const unsigned char *)what->signature.p;
	size_t signature_len = what->signature.len;
	unsigned char *der = NULL;
	EVP_MD_CTX *ctx;
	int rc = 0;

	if (info->family == HW_JWT_FAMILY_ECDSA) {
		rc = ecdsa_to_der(what->signature, info->coordinate, &der, &signature_len);
		if (rc != 0)
			return rc;
		signature = der;
	}
	ctx = EVP_MD_CTX_new();
	rc = ctx ? prepare(ctx, key) : -ENOMEM;
	if (rc == 0)
		rc = EVP_DigestVerify(ctx, signature, signature_len,
			     (const unsigned char *)what->input.p, what->input.len) == 1
			     ? 0
			     : 1;
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	return rc;
}

int hw_jwt_signature_check(const struct hw_jwt_key *key, const struct hw_jwt_signed *what)
{
	int rc;

	if (what->signature.len == 0)
		return 1;
	if (!hw_jwt_alg_is_hmac(key->alg))
		rc = check_public(key, what);
	else if (what->access_token) /* libjwt knows no other typ than JWT */
		rc = check_hmac(key, what);
	else
		rc = check_with_libjwt(key, what->token);
	/* The thread's error queue is shared with TLS, which would take our refusals for its own
	 * failures. */
	ERR_clear_error();
	return rc;
}
