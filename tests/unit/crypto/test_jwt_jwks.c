#include <errno.h>

#include <openssl/core_names.h>

#include "base/base64.h"
#include "crypto/jwt_key_internal.h"
#include "jwt_fixture.h"

/* The keys of RFC 7517 A.1 (its RSA key is that of RFC 7515 A.2, with its kid) and RFC 8037 A.2. */
#define RFC_EC \
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\",\"kid\":\"ec\"}"
#define RFC_RSA_N \
	"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-" \
	"4qPCJrcS2mJPMEzP1Pt0Bm4" \
	"d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-" \
	"bSf63kpaSHSXndS5z5re" \
	"xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_" \
	"I5IhlJH7aGhyxX" \
	"FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define RFC_RSA "{\"kty\":\"RSA\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAB\"}"
#define RFC_OKP \
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_" \
	"7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define SET(keys) "[{\"jwks\":{\"keys\":[" keys "]}}]"

static EVP_PKEY *public_of(const char *pem)
{
	char text[2048];
	EVP_PKEY *key;
	size_t len = 0;
	BIO *bio;

	for (; *pem; pem++) {
		bool newline = pem[0] == '\\' && pem[1] == 'n';

		text[len++] = newline ? '\n' : *pem;
		pem += newline;
	}
	bio = BIO_new_mem_buf(text, (int)len);
	key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(key);
	return key;
}

static void keys_of_the_rfcs_are_the_same_in_both_forms(void **state HW_UNUSED)
{
	static const char *const pems[] = {P256_PEM, RSA_PEM, ED25519_PEM};
	static const char *const algs[] = {"ES256", "RS256", "EdDSA"};
	struct hw_jwt_keys *keys = keys_of("%s", SET(RFC_EC "," RFC_RSA "," RFC_OKP));

	assert_int_equal(hw_jwt_keys_count(keys), 3);
	for (size_t i = 0; i < 3; i++) {
		EVP_PKEY *expected = public_of(pems[i]);

		assert_string_equal(hw_jwt_alg_name(keys->keys[i].alg), algs[i]);
		assert_int_equal(EVP_PKEY_eq(keys->keys[i].public_key, expected), 1);
		EVP_PKEY_free(expected);
	}
	assert_string_equal(keys->keys[0].kid, "ec");
	assert_null(keys->keys[1].kid);
	hw_jwt_keys_destroy(&keys);
}

/* ---- sets that are made here ---- */

static void add_number(
	struct hw_buf *out, const char *name, EVP_PKEY *key, const char *param, int len)
{
	unsigned char bytes[1100];
	BIGNUM *n = NULL;

	assert_int_equal(EVP_PKEY_get_bn_param(key, param, &n), 1);
	len = BN_bn2binpad(n, bytes, len ? len : BN_num_bytes(n));
	hw_buf_printf(out, ",\"%s\":\"", name);
	hw_base64url_encode(out, bytes, (size_t)len);
	hw_buf_puts(out, "\"");
	BN_free(n);
}

static void add_jwk(struct hw_buf *out, const struct jwt_sign_alg *alg, EVP_PKEY *key,
	const char *kid, bool says_alg)
{
	unsigned char raw[32];
	size_t len = sizeof(raw);

	hw_buf_printf(out, "{\"kid\":\"%s\",\"use\":\"sig\"", kid);
	if (says_alg)
		hw_buf_printf(out, ",\"alg\":\"%s\"", alg->name);
	if (strcmp(alg->type, "RSA") == 0) {
		hw_buf_puts(out, ",\"kty\":\"RSA\"");
		add_number(out, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
		add_number(out, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
	} else if (alg->curve) {
		hw_buf_printf(out, ",\"kty\":\"EC\",\"crv\":\"%s\"", alg->curve);
		add_number(out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, (int)alg->coordinate);
		add_number(out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, (int)alg->coordinate);
	} else {
		assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
		hw_buf_puts(out, ",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
		hw_base64url_encode(out, raw, len);
		hw_buf_puts(out, "\"");
	}
	hw_buf_puts(out, "}");
}

static char *signed_by(
	const struct jwt_sign_alg *alg, EVP_PKEY *key, const char *kid, const char *payload)
{
	char header[128];

	snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"}", alg->name, kid);
	return jwt_sign(alg, key, HW_STR_NULL, header, hw_str_of(payload));
}

static void tokens_of_every_algorithm_verify_by_a_set(void **state HW_UNUSED)
{
	static const char payload[] = "{\"iss\":\"https://idp.example\",\"sub\":\"u1\"}";

	for (size_t i = 0; i < HW_COUNT(jwt_sign_algs); i++) {
		const struct jwt_sign_alg *alg = &jwt_sign_algs[i];
		EVP_PKEY *key = jwt_sign_key(alg, 2048), *other = jwt_sign_key(alg, 2048);
		struct hw_jwt_keys *keys;
		struct hw_buf set, text;
		char *token;

		if (!alg->type)
			continue; /* HMAC: no public key */
		hw_buf_init(&set);
		hw_buf_init(&text);
		hw_buf_puts(&set, "{\"keys\":[");
		add_jwk(&set, alg, other, "old", true);
		hw_buf_puts(&set, ",");
		add_jwk(&set, alg, key, "new", true);
		hw_buf_puts(&set, "]}");
		hw_buf_json(&text, hw_buf_view(&set)); /* as "@file:" gives it */
		hw_buf_putc(&text, '\0');
		keys = keys_of("[{\"jwks\":%s,\"iss\":\"https://idp.example\"}]", text.data);
		token = signed_by(alg, key, "new", payload);
		assert_verifies(keys, token, &anything, payload);
		free(token);
		token = signed_by(alg, key, "old", payload);
		assert_refused(keys, token, &anything, "signature is wrong");
		free(token);
		token = signed_by(alg, key, "none", payload);
		assert_refused(keys, token, &anything, "no key is known");
		free(token);
		token = signed_by(alg, key, "new", "{\"iss\":\"https://other.example\"}");
		assert_refused(keys, token, &anything, "no key is known");
		free(token);
		hw_jwt_keys_destroy(&keys);
		hw_buf_fini(&set);
		hw_buf_fini(&text);
		EVP_PKEY_free(key);
		EVP_PKEY_free(other);
	}
}

/* Two issuers may well use the same key id. */
static void issuers_have_keys_of_their_own(void **state HW_UNUSED)
{
	static const char *const issuers[] = {"https://a.example", "https://b.example"};
	const struct jwt_sign_alg *alg = jwt_sign_alg("ES256");
	EVP_PKEY *signers[] = {jwt_sign_key(alg, 0), jwt_sign_key(alg, 0)};
	struct hw_jwt_keys *keys;
	struct hw_buf json;

	hw_buf_init(&json);
	for (size_t i = 0; i < 2; i++) {
		hw_buf_printf(
			&json, "%s{\"iss\":\"%s\",\"jwks\":{\"keys\":[", i ? "," : "[", issuers[i]);
		add_jwk(&json, alg, signers[i], "1", i == 0);
		hw_buf_puts(&json, "]}}");
	}
	hw_buf_puts(&json, "]");
	hw_buf_putc(&json, '\0');
	keys = keys_of("%s", json.data);
	for (size_t i = 0; i < 4; i++) {
		char payload[64], *token;

		snprintf(payload, sizeof(payload), "{\"iss\":\"%s\"}", issuers[i / 2]);
		token = signed_by(alg, signers[i % 2], "1", payload);
		if (i / 2 == i % 2)
			assert_verifies(keys, token, &anything, payload);
		else
			assert_refused(keys, token, &anything, "signature is wrong");
		free(token);
	}
	hw_jwt_keys_destroy(&keys);
	hw_buf_fini(&json);
	EVP_PKEY_free(signers[0]);
	EVP_PKEY_free(signers[1]);
}

static void what_cannot_verify_is_passed_over(void **state HW_UNUSED)
{
	static const struct {
		const char *jwk, *why;
	} cases[] = {
		{"7", "no object"},
		{"{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAB\"}",
			"not for signatures"},
		{"{\"kty\":\"RSA\",\"use\":7,\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAB\"}",
			"not for signatures"},
		{"{\"kty\":\"RSA\",\"key_ops\":[\"encrypt\"],\"n\":\"" RFC_RSA_N
		 "\",\"e\":\"AQAB\"}",
			"not for signatures"},
		{"{\"kty\":\"RSA\",\"alg\":\"RSA-OAEP\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAB\"}",
			"algorithm is not known"},
		{"{\"kty\":\"RSA\",\"alg\":\"none\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAB\"}",
			"algorithm is not known"},
		{"{\"kty\":\"RSA\",\"alg\":\"HS256\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAB\"}",
			"not for its type"},
		{"{\"kty\":\"RSA\",\"alg\":\"ES256\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAB\"}",
			"not for its type"},
		{"{\"kty\":\"RSA\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AQ\"}", "no exponent"},
		{"{\"kty\":\"RSA\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AAAB\"}", "no exponent"},
		{"{\"kty\":\"RSA\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAA\"}", "no exponent"},
		{"{\"kty\":\"RSA\",\"n\":\"" RFC_RSA_N "\"}", "\"e\" is not in base64url"},
		{"{\"kty\":\"RSA\",\"n\":\"a+b/\",\"e\":\"AQAB\"}", "\"n\" is not in base64url"},
		{"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", "fewer than 2048"},
		{"{\"kty\":\"RSA\",\"kid\":7,\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAB\"}",
			"\"kid\" is no text"},
		{"{\"kty\":\"oct\",\"k\":\"aHVudGVyMmh1bnRlcjJodW50ZXIy\"}", "type or curve"},
		{"{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AQ\",\"y\":\"AQ\"}",
			"type or curve"},
		{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"AQ\"}", "as long as"},
		{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		 "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		 "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
			"not on its curve"},
		{"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AQ\"}", "type or curve"},
		{"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQ\"}", "no Ed25519 key"},
		{"{\"kty\":[],\"crv\":{}}", "type or curve"},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char at[HW_JWT_POINTER_SIZE], json[2048];
		struct hw_jwt_keys *keys = NULL;
		struct hw_err err = {""};

		snprintf(json, sizeof(json), "[{\"jwks\":{\"keys\":[%s]}}]", cases[i].jwk);
		assert_int_equal(hw_jwt_keys_create(hw_str_of(json), &keys, at, &err), -EINVAL);
		assert_string_equal(at, "/0/jwks");
		if (!strstr(err.text, cases[i].why))
			fail_msg("%s: \"%s\" for \"%s\"", json, err.text, cases[i].why);
		assert_int_equal(ERR_peek_error(), 0);
		/* and does not keep the others from being known */
		snprintf(json, sizeof(json), "[{\"jwks\":{\"keys\":[%s," RFC_EC "]}}]",
			cases[i].jwk);
		keys = keys_of("%s", json);
		assert_int_equal(hw_jwt_keys_count(keys), 1);
		hw_jwt_keys_destroy(&keys);
	}
}

static void the_settings_may_say_what_rsa_keys_are_for(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys =
		keys_of("[{\"alg\":\"PS384\",\"jwks\":{\"keys\":[" RFC_RSA "," RFC_EC
			",{\"alg\":\"RS512\",\"kid\":\"a\","
			"\"kty\":\"RSA\",\"n\":\"" RFC_RSA_N "\",\"e\":\"AQAB\"}]}}]");

	assert_int_equal(keys->keys[0].alg, HW_JWT_PS384);
	assert_int_equal(keys->keys[1].alg, HW_JWT_ES256);
	assert_int_equal(keys->keys[2].alg, HW_JWT_RS512);
	hw_jwt_keys_destroy(&keys);
}

static void sets_that_are_wrong_say_where(void **state HW_UNUSED)
{
	static const struct {
		const char *json, *pointer, *why;
	} cases[] = {
		{"[{\"jwks\":7}]", "/0/jwks", "must be a string"},
		{"[{\"jwks\":\"\"}]", "/0/jwks", "not empty"},
		{"[{\"jwks\":\"hunter2\"}]", "/0/jwks", "not JSON: line 1"},
		{"[{\"jwks\":\"{\\\"keys\\\":[],\\n\\\"keys\\\":[]}\"}]", "/0/jwks",
			"not JSON: line 2"},
		{"[{\"jwks\":\"[]\"}]", "/0/jwks", "not a JSON Web Key Set"},
		{"[{\"jwks\":{}}]", "/0/jwks", "not a JSON Web Key Set"},
		{SET(""), "/0/jwks", "is empty"},
		{"[{\"jwks\":{\"keys\":[" RFC_EC "]},\"kid\":\"a\"}]", "/0/kid", "of one key"},
		{"[{\"jwks\":{\"keys\":[" RFC_EC "]},\"secret\":\"a\"}]", "/0/secret",
			"of one key"},
		{"[{\"jwks\":{\"keys\":[" RFC_EC "]},\"alg\":\"ES256\"}]", "/0/alg",
			"for RSA keys"},
		{"[{\"jwks\":{\"keys\":[" RFC_EC "]},\"alg\":\"none\"}]", "/0/alg",
			"no such algorithm"},
		{"[{\"jwks\":{\"keys\":[" RFC_EC "]}},{\"jwks\":{\"keys\":[" RFC_OKP "," RFC_EC
		 "]}}]",
			"/1/jwks", "key 0 has the same"},
		{"[{\"jwkss\":{}}]", "/0/jwkss", "did you mean \"jwks\""},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char at[HW_JWT_POINTER_SIZE] = "unset";
		struct hw_jwt_keys *keys = NULL;
		struct hw_err err = {""};

		assert_int_equal(
			hw_jwt_keys_create(hw_str_of(cases[i].json), &keys, at, &err), -EINVAL);
		if (strcmp(at, cases[i].pointer) != 0 || !strstr(err.text, cases[i].why))
			fail_msg("%s\n%s: %s\nnot %s: %s", cases[i].json, at, err.text,
				cases[i].pointer, cases[i].why);
		assert_null(strstr(err.text, "hunter2"));
	}
}

static void sets_together_have_a_limit(void **state HW_UNUSED)
{
	for (int n = HW_JWT_KEYS_MAX; n <= HW_JWT_KEYS_MAX + 1; n++) {
		char at[HW_JWT_POINTER_SIZE];
		struct hw_jwt_keys *keys = NULL;
		struct hw_err err = {""};
		struct hw_buf json;

		hw_buf_init(&json);
		for (int i = 0; i < n; i++)
			hw_buf_printf(&json,
				"%s{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%d\",\"x\":"
				"\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
				i == 0    ? "[{\"jwks\":{\"keys\":["
				: i == 40 ? "]}},{\"jwks\":{\"keys\":["
					  : ",",
				i);
		hw_buf_puts(&json, "]}}]");
		if (n == HW_JWT_KEYS_MAX) {
			assert_int_equal(
				hw_jwt_keys_create(hw_buf_view(&json), &keys, at, &err), 0);
			assert_int_equal(hw_jwt_keys_count(keys), n);
			hw_jwt_keys_destroy(&keys);
		} else {
			assert_int_equal(
				hw_jwt_keys_create(hw_buf_view(&json), &keys, at, &err), -EINVAL);
			assert_string_equal(at, "/1/jwks");
			assert_non_null(strstr(err.text, "more than 64"));
		}
		hw_buf_fini(&json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_of_the_rfcs_are_the_same_in_both_forms),
		cmocka_unit_test(tokens_of_every_algorithm_verify_by_a_set),
		cmocka_unit_test(issuers_have_keys_of_their_own),
		cmocka_unit_test(what_cannot_verify_is_passed_over),
		cmocka_unit_test(the_settings_may_say_what_rsa_keys_are_for),
		cmocka_unit_test(sets_that_are_wrong_say_where),
		cmocka_unit_test(sets_together_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
