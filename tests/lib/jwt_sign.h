/* Signs tokens for tests with libcrypto alone, so that what is tested is not its own judge: any
 * algorithm, any header and any payload, right or wrong. Failing to sign is a fault of the test and
 * ends it. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/base64.h"
#include "base/buf.h"

/* One algorithm: how its keys are made and what it signs with. */
struct jwt_sign_alg {
	const char *name;
	const char *digest; /* NULL: EdDSA */
	const char *type;   /* of the key; NULL: HMAC */
	const char *curve;
	size_t coordinate; /* ECDSA: bytes of r and of s */
	bool pss;
	int salt_len; /* PSS: 0 = as long as the digest, which is right */
};

static const struct jwt_sign_alg jwt_sign_algs[] = {
	{"HS256", "SHA256", NULL, NULL, 0, false, 0},
	{"HS384", "SHA384", NULL, NULL, 0, false, 0},
	{"HS512", "SHA512", NULL, NULL, 0, false, 0},
	{"RS256", "SHA256", "RSA", NULL, 0, false, 0},
	{"RS384", "SHA384", "RSA", NULL, 0, false, 0},
	{"RS512", "SHA512", "RSA", NULL, 0, false, 0},
	{"PS256", "SHA256", "RSA", NULL, 0, true, 0},
	{"PS384", "SHA384", "RSA", NULL, 0, true, 0},
	{"PS512", "SHA512", "RSA", NULL, 0, true, 0},
	{"ES256", "SHA256", "EC", "P-256", 32, false, 0},
	{"ES384", "SHA384", "EC", "P-384", 48, false, 0},
	{"ES512", "SHA512", "EC", "P-521", 66, false, 0},
	{"EdDSA", NULL, "ED25519", NULL, 0, false, 0},
};

static inline void jwt_sign_must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "jwt_sign: %s\n", what);
	abort();
}

static inline const struct jwt_sign_alg *jwt_sign_alg(const char *name)
{
	for (size_t i = 0; i < HW_COUNT(jwt_sign_algs); i++) {
		if (strcmp(jwt_sign_algs[i].name, name) == 0)
			return &jwt_sign_algs[i];
	}
	jwt_sign_must(false, "no such algorithm");
	return NULL;
}

/* NULL for HMAC. @bits: of RSA. */
static inline EVP_PKEY *jwt_sign_key(const struct jwt_sign_alg *alg, unsigned bits)
{
	EVP_PKEY *key;

	if (!alg->type)
		return NULL;
	if (strcmp(alg->type, "RSA") == 0)
		key = EVP_RSA_gen(bits);
	else if (alg->curve)
		key = EVP_EC_gen(alg->curve);
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, alg->type);
	jwt_sign_must(key != NULL, "no key");
	return key;
}

static inline char *jwt_sign_pem(EVP_PKEY *key, bool private_half)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *pem;
	long len;

	jwt_sign_must(
		bio && (private_half ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
				     : PEM_write_bio_PUBKEY(bio, key)),
		"no PEM");
	len = BIO_get_mem_data(bio, &data);
	pem = hw_str_dup((struct hw_str){data, (size_t)len});
	BIO_free(bio);
	return pem;
}

/* DER to r||s */
static inline size_t jwt_sign_raw(unsigned char *signature, size_t len, size_t coordinate)
{
	const unsigned char *p = signature;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)len);

	jwt_sign_must(sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, (int)coordinate) > 0 &&
			      BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + coordinate,
				      (int)coordinate) > 0,
		"no r and s");
	ECDSA_SIG_free(sig);
	return 2 * coordinate;
}

static inline size_t jwt_sign_bytes(const struct jwt_sign_alg *alg, EVP_PKEY *key,
	struct hw_str secret, struct hw_str input, unsigned char *out, size_t size)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey_ctx;
	unsigned n = 0;
	size_t len = size;

	if (!alg->type) {
		jwt_sign_must(HMAC(EVP_get_digestbyname(alg->digest), secret.p, (int)secret.len,
				      (const unsigned char *)input.p, input.len, out, &n) != NULL,
			"no HMAC");
		EVP_MD_CTX_free(ctx);
		return n;
	}
	jwt_sign_must(ctx && EVP_DigestSignInit_ex(
				     ctx, &pkey_ctx, alg->digest, NULL, NULL, key, NULL) == 1,
		"no init");
	if (alg->pss) {
		int salt_len = alg->salt_len ? alg->salt_len : RSA_PSS_SALTLEN_DIGEST;

		jwt_sign_must(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
				      EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, salt_len) == 1,
			"no PSS");
	}
	jwt_sign_must(
		EVP_DigestSign(ctx, out, &len, (const unsigned char *)input.p, input.len) == 1,
		"no signature");
	EVP_MD_CTX_free(ctx);
	return alg->coordinate ? jwt_sign_raw(out, len, alg->coordinate) : len;
}

/* A token of exactly this header and payload; malloc'd. */
static inline char *jwt_sign(const struct jwt_sign_alg *alg, EVP_PKEY *key, struct hw_str secret,
	const char *header, struct hw_str payload)
{
	unsigned char signature[1024];
	struct hw_buf token;
	size_t len;
	char *text;

	hw_buf_init(&token);
	hw_base64url_encode(&token, header, strlen(header));
	hw_buf_putc(&token, '.');
	hw_base64url_encode(&token, payload.p, payload.len);
	len = jwt_sign_bytes(alg, key, secret, hw_buf_view(&token), signature, sizeof(signature));
	hw_buf_putc(&token, '.');
	hw_base64url_encode(&token, signature, len);
	text = hw_buf_steal(&token);
	jwt_sign_must(text != NULL, "no memory");
	return text;
}
