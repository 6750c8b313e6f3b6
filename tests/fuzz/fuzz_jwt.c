// links: crypto
/* Tokens, and the settings of keys. The first byte chooses: 0 the rest is a token as a client sends
 * it; 1 the rest is header and payload with a newline between, which are signed here so that
 * everything behind the signature is reached; 2 keys. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "crypto/digest.h"
#include "crypto/jwt.h"

#define NOW_MS INT64_C(1700000000000)
#define SECRET "a secret of more than sixteen bytes"

static void must(int ok)
{
	if (!ok)
		abort();
}

static struct hw_jwt_keys *make_keys(void)
{
	static const char json[] =
		"[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\"},"
		"{\"alg\":\"ES256\",\"kid\":\"e\",\"public_key\":\"-----BEGIN PUBLIC KEY-----\\n"
		"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\\n"
		"6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\\n-----END PUBLIC "
		"KEY-----\\n\"},"
		"{\"alg\":\"EdDSA\",\"iss\":\"joe\",\"public_key\":\"-----BEGIN PUBLIC KEY-----\\n"
		"MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\\n-----END PUBLIC "
		"KEY-----\\n\"}]";
	char pointer[HW_JWT_POINTER_SIZE];
	struct hw_jwt_keys *keys = NULL;
	struct hw_err err;

	must(hw_jwt_keys_create(hw_str_of(json), &keys, pointer, &err) == 0);
	return keys;
}

/* Whatever comes, a refusal has words and no more, and what is accepted is the payload. */
static int verify(const struct hw_jwt_keys *keys, struct hw_str token, struct hw_str *payload)
{
	struct hw_jwt_expect expect = {.skew_s = 30};
	struct hw_jwt_claims claims = {0};
	struct hw_jwt_refusal refusal = {0};
	int rc = hw_jwt_verify(keys, token, &expect, NOW_MS, &claims, &refusal);

	must(rc == 0 || rc == HW_JWT_REFUSED);
	if (rc == 0) {
		must(claims.text && strlen(claims.text) == claims.len);
		must(claims.expires_at == 0 || claims.expires_at * 1000 + 30000 > NOW_MS);
		must(!payload || hw_str_eq((struct hw_str){claims.text, claims.len}, *payload));
	} else {
		must(refusal.reason[0] && memchr(refusal.reason, '\0', sizeof(refusal.reason)) &&
			!claims.text);
	}
	hw_jwt_claims_fini(&claims);
	return rc;
}

static void sign_and_verify(const struct hw_jwt_keys *keys, struct hw_str text)
{
	struct hw_str payload = text, header = hw_str_cut(&payload, '\n');
	uint8_t mac[HW_SHA256_LEN];
	struct hw_buf token;

	hw_buf_init(&token);
	hw_base64url_encode(&token, header.p, header.len);
	hw_buf_putc(&token, '.');
	hw_base64url_encode(&token, payload.p, payload.len);
	hw_hmac_sha256(HW_STR(SECRET), hw_buf_view(&token), mac);
	hw_buf_putc(&token, '.');
	hw_base64url_encode(&token, mac, sizeof(mac));
	if (verify(keys, hw_buf_view(&token), &payload) == 0) {
		/* the letter before the last: all of its bits belong to the signature */
		token.data[token.len - 2] = token.data[token.len - 2] == 'A' ? 'B' : 'A';
		must(verify(keys, hw_buf_view(&token), NULL) == HW_JWT_REFUSED);
	}
	hw_buf_fini(&token);
}

static void read_settings(struct hw_str json)
{
	char pointer[HW_JWT_POINTER_SIZE];
	struct hw_jwt_keys *keys = NULL;
	struct hw_err err = {""};
	int rc = hw_jwt_keys_create(json, &keys, pointer, &err);

	must(rc == 0 ? keys && hw_jwt_keys_count(keys) > 0 : !keys && err.text[0]);
	must(rc == 0 || memchr(pointer, '\0', sizeof(pointer)));
	hw_jwt_keys_destroy(&keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hw_jwt_keys *keys; /* made once: it costs more than a token */
	struct hw_str rest;

	if (size == 0)
		return 0;
	rest = (struct hw_str){(const char *)data + 1, size - 1};
	if (data[0] % 3 == 2) {
		read_settings(rest);
		return 0;
	}
	if (!keys)
		keys = make_keys();
	if (data[0] % 3 == 0)
		verify(keys, rest, NULL);
	else
		sign_and_verify(keys, rest);
	return 0;
}
