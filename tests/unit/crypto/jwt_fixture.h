/* What the tests of tokens share: keys from settings, tokens signed with libcrypto alone, and what
 * it means that one verifies or is refused. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "base/buf.h"
#include "crypto/jwt.h"
#include "jwt_sign.h"

#define SECRET "a secret of more than sixteen bytes"
#define NOW_S INT64_C(1700000000)
#define NOW_MS (NOW_S * 1000)

static const struct hw_jwt_expect anything = {.skew_s = 0};

/* ---- the public keys of RFC 7515 A.2, A.3, A.4 and RFC 8037 A.2, as a JSON string has them ----
 */

#define RSA_PEM \
	"-----BEGIN PUBLIC KEY-----\\n" \
	"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj\\n" \
	"NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz\\n" \
	"P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo\\n" \
	"9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB\\n" \
	"EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX\\n" \
	"FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp\\n" \
	"oQIDAQAB\\n" \
	"-----END PUBLIC KEY-----\\n"
#define P256_PEM \
	"-----BEGIN PUBLIC KEY-----\\n" \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\\n" \
	"6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\\n" \
	"-----END PUBLIC KEY-----\\n"
#define P521_PEM \
	"-----BEGIN PUBLIC KEY-----\\n" \
	"MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQB6SkFDxJPxrxVx9U5M2Xfne9KsMIs\\n" \
	"sleY+TTrBOPGuuNwGlenkQ6dgb82MVno68sVXWNJ9L22zPipTFxZx6rBAaQANKZE\\n" \
	"DjdnUNI3H9G9wsjztx0vTuXqNDLIFcyjFWD+XZOH7HdLVYOGMOXLv1qMvgqR3QBk\\n" \
	"xpmaH25uZ/rd7eTIyPY=\\n" \
	"-----END PUBLIC KEY-----\\n"
#define ED25519_PEM \
	"-----BEGIN PUBLIC KEY-----\\n" \
	"MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\\n" \
	"-----END PUBLIC KEY-----\\n"

/* ---- making keys and tokens ---- */

static inline struct hw_jwt_keys *keys_of(const char *format, ...) HW_PRINTF(1, 2);
static inline struct hw_jwt_keys *keys_of(const char *format, ...)
{
	char pointer[HW_JWT_POINTER_SIZE];
	struct hw_jwt_keys *keys = NULL;
	struct hw_err err = {""};
	struct hw_buf json;
	va_list args;
	int rc;

	hw_buf_init(&json);
	va_start(args, format);
	hw_buf_vprintf(&json, format, args);
	va_end(args);
	rc = hw_jwt_keys_create(hw_buf_view(&json), &keys, pointer, &err);
	if (rc != 0)
		print_error("%s: %s\n", pointer, err.text);
	assert_int_equal(rc, 0);
	hw_buf_fini(&json);
	return keys;
}

static inline struct hw_jwt_keys *hs256_keys(void)
{
	return keys_of("[{\"alg\":\"HS256\",\"secret\":\"%s\"}]", SECRET);
}

static inline char *quoted(const char *text)
{
	struct hw_buf b;

	hw_buf_init(&b);
	hw_buf_json(&b, hw_str_of(text));
	return hw_buf_steal(&b);
}

static inline struct hw_jwt_keys *public_keys(const char *alg, EVP_PKEY *key)
{
	char *pem = jwt_sign_pem(key, false), *json = quoted(pem);
	struct hw_jwt_keys *keys = keys_of("[{\"alg\":\"%s\",\"public_key\":%s}]", alg, json);

	free(pem);
	free(json);
	return keys;
}

static inline char *hs256(const char *header, const char *payload)
{
	return jwt_sign(jwt_sign_alg("HS256"), NULL, HW_STR(SECRET), header, hw_str_of(payload));
}

static inline void assert_verifies(const struct hw_jwt_keys *keys, const char *token,
	const struct hw_jwt_expect *expect, const char *payload)
{
	struct hw_jwt_claims claims = {0};
	struct hw_jwt_refusal refusal = {0};
	int rc = hw_jwt_verify(keys, hw_str_of(token), expect, NOW_MS, &claims, &refusal);

	if (rc != 0)
		print_error("%s\n", refusal.reason);
	assert_int_equal(rc, 0);
	assert_string_equal(claims.text, payload);
	assert_int_equal(claims.len, strlen(payload));
	hw_jwt_claims_fini(&claims);
	assert_null(claims.text);
	assert_int_equal(ERR_peek_error(), 0);
}

static inline void assert_refused(const struct hw_jwt_keys *keys, const char *token,
	const struct hw_jwt_expect *expect, const char *reason)
{
	struct hw_jwt_claims claims = {.text = (char *)"untouched"};
	struct hw_jwt_refusal refusal = {0};

	assert_int_equal(hw_jwt_verify(keys, hw_str_of(token), expect, NOW_MS, &claims, &refusal),
		HW_JWT_REFUSED);
	if (!strstr(refusal.reason, reason))
		print_error("\"%s\" for \"%s\"\n", refusal.reason, reason);
	assert_non_null(strstr(refusal.reason, reason));
	assert_string_equal(claims.text, "untouched");
	assert_int_equal(refusal.expired, strcmp(reason, "has expired") == 0);
	/* TLS of the same thread must not find our failures in its queue */
	assert_int_equal(ERR_peek_error(), 0);
}

static inline void assert_hs256_refused(const char *header, const char *payload, const char *reason)
{
	struct hw_jwt_keys *keys = hs256_keys();
	char *token = hs256(header, payload);

	assert_refused(keys, token, &anything, reason);
	free(token);
	hw_jwt_keys_destroy(&keys);
}

static inline void assert_hs256_verifies(const char *header, const char *payload)
{
	struct hw_jwt_keys *keys = hs256_keys();
	char *token = hs256(header, payload);

	assert_verifies(keys, token, &anything, payload);
	free(token);
	hw_jwt_keys_destroy(&keys);
}
