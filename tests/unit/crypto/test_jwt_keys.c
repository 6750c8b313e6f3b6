#include <errno.h>

#include "jwt_fixture.h"

/* ---- settings of keys ---- */

static void assert_keys_refused(const char *json, const char *pointer, const char *why)
{
	char at[HW_JWT_POINTER_SIZE] = "unset";
	struct hw_jwt_keys *keys = NULL;
	struct hw_err err = {""};

	assert_int_equal(hw_jwt_keys_create(hw_str_of(json), &keys, at, &err), -EINVAL);
	assert_null(keys);
	assert_string_equal(at, pointer);
	if (!strstr(err.text, why))
		print_error("\"%s\" for \"%s\"\n", err.text, why);
	assert_non_null(strstr(err.text, why));
	assert_null(strstr(err.text, "hunter2"));
	assert_int_equal(ERR_peek_error(), 0);
}

static void settings_that_are_wrong_say_where_and_what_to_do(void **state HW_UNUSED)
{
	static const struct {
		const char *json, *pointer, *why;
	} cases[] = {
		{"", "", "not a JSON array"},
		{"{}", "", "an array of at least one"},
		{"[]", "", "an array of at least one"},
		{"[{\"alg\":\"HS256\",\"secret\":\"hunter2\",]", "", "not a JSON array"},
		{"[7]", "/0", "must be an object"},
		{"[{}]", "/0", "no \"alg\""},
		{"[{\"alg\":\"none\"}]", "/0/alg", "no such algorithm"},
		{"[{\"alg\":\"hs256\",\"secret\":\"" SECRET "\"}]", "/0/alg", "no such algorithm"},
		{"[{\"alg\":[\"HS256\",\"RS256\"],\"secret\":\"" SECRET "\"}]", "/0/alg",
			"must be a string"},
		{"[{\"alg\":\"HS256\",\"alg\":\"HS512\",\"secret\":\"" SECRET "\"}]", "", "twice"},
		{"[{\"alg\":\"HS256\"}]", "/0", "no \"secret\""},
		{"[{\"alg\":\"HS256\",\"secret\":\"hunter2\"}]", "/0/secret",
			"openssl rand -hex 32"},
		{"[{\"alg\":\"HS256\",\"secret\":\"\"}]", "/0/secret", "not empty"},
		{"[{\"alg\":\"HS256\",\"secret\":\"123456789012345\"}]", "/0/secret",
			"has 15 bytes"},
		{"[{\"alg\":\"HS256\",\"secret\":\"" P256_PEM "\"}]", "/0/secret", "key in PEM"},
		{"[{\"alg\":\"HS256\",\"public_key\":\"" P256_PEM "\"}]", "/0/public_key",
			"with a \"secret\""},
		{"[{\"alg\":\"RS256\",\"secret\":\"" SECRET "\"}]", "/0/secret",
			"with a \"public_key\""},
		{"[{\"alg\":\"RS256\"}]", "/0", "no \"public_key\""},
		{"[{\"alg\":\"RS256\",\"public_key\":\"hunter2\"}]", "/0/public_key",
			"not a public key in PEM"},
		{"[{\"alg\":\"RS256\",\"public_key\":\"" P256_PEM "\"}]", "/0/public_key",
			"of type EC is not for RS256"},
		{"[{\"alg\":\"PS256\",\"public_key\":\"" ED25519_PEM "\"}]", "/0/public_key",
			"of type ED25519 is not for PS256"},
		{"[{\"alg\":\"ES256\",\"public_key\":\"" RSA_PEM "\"}]", "/0/public_key",
			"of type RSA is not for ES256"},
		{"[{\"alg\":\"ES256\",\"public_key\":\"" P521_PEM "\"}]", "/0/public_key", "curve"},
		{"[{\"alg\":\"ES512\",\"public_key\":\"" P256_PEM "\"}]", "/0/public_key", "curve"},
		{"[{\"alg\":\"EdDSA\",\"public_key\":\"" P256_PEM "\"}]", "/0/public_key",
			"of type EC is not for EdDSA"},
		{"[{\"alg\":\"ES256\",\"public_key\":\"" P256_PEM P256_PEM "\"}]", "/0/public_key",
			"more than one key"},
		{"[{\"alg\":\"ES256\",\"public_key\":\"-----BEGIN CERTIFICATE-----\\n\"}]",
			"/0/public_key", "openssl x509"},
		{"[{\"alg\":\"ES256\",\"public_key\":\"-----BEGIN EC PRIVATE KEY-----\\n\"}]",
			"/0/public_key", "private key"},
		{"[{\"alg\":\"HS256\",\"secrt\":\"" SECRET "\"}]", "/0/secrt",
			"did you mean \"secret\""},
		{"[{\"alg\":\"HS256\",\"a/b~c\":\"x\"}]", "/0/a~1b~0c", "unknown setting"},
		{"[{\"alg\":\"RS256\",\"file\":\"key.pem\"}]", "/0/file", "@file:"},
		{"[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\",\"kid\":7}]", "/0/kid",
			"must be a string"},
		{"[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\",\"kid\":\"a\"},"
		 "{\"alg\":\"HS256\",\"secret\":\"" SECRET "!\",\"kid\":\"a\"}]",
			"/1/kid", "key 0 has the same"},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++)
		assert_keys_refused(cases[i].json, cases[i].pointer, cases[i].why);
}

static void rsa_keys_must_be_of_a_size_that_is_safe_and_not_slow(void **state HW_UNUSED)
{
	static const struct {
		unsigned bits;
		const char *why;
	} cases[] = {{1024, "fewer than 2048"}, {8200, "more than 8192"}};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char json[4096], *pem, *text;
		EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
		unsigned char modulus[1100], exponent[] = {1, 0, 1};
		EVP_PKEY *key = NULL;
		OSSL_PARAM params[3];

		/* all ones: a modulus of known factors would take long to make, and nobody
		 * multiplies with it */
		memset(modulus, 0xff, cases[i].bits / 8);
		params[0] = OSSL_PARAM_construct_BN("n", modulus, cases[i].bits / 8);
		params[1] = OSSL_PARAM_construct_BN("e", exponent, sizeof(exponent));
		params[2] = OSSL_PARAM_construct_end();
		assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
		assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
		pem = jwt_sign_pem(key, false);
		text = quoted(pem);
		snprintf(json, sizeof(json), "[{\"alg\":\"RS256\",\"public_key\":%s}]", text);
		assert_keys_refused(json, "/0/public_key", cases[i].why);
		free(pem);
		free(text);
		EVP_PKEY_free(key);
		EVP_PKEY_CTX_free(ctx);
	}
}

static void keys_that_one_token_may_fit_are_few(void **state HW_UNUSED)
{
	struct hw_buf json;
	struct hw_jwt_keys *keys;

	for (int with_kid = 0; with_kid < 2; with_kid++) {
		hw_buf_init(&json);
		for (int i = 0; i < HW_JWT_CANDIDATES_MAX + 1; i++) {
			hw_buf_printf(&json, "%s{\"alg\":\"HS256\",\"secret\":\"%s%d\"",
				i == 0 ? "[" : ",", SECRET, i);
			if (with_kid)
				hw_buf_printf(&json, ",\"kid\":\"%d\"", i);
			hw_buf_putc(&json, '}');
		}
		hw_buf_puts(&json, "]");
		hw_buf_putc(&json, '\0');
		if (with_kid) {
			keys = keys_of("%s", json.data);
			hw_jwt_keys_destroy(&keys);
		} else {
			assert_keys_refused(json.data, "/0", "give each its \"kid\"");
		}
		hw_buf_fini(&json);
	}
}

/* ---- minting ---- */

static void what_is_minted_verifies(void **state HW_UNUSED)
{
	static const char claims[] = "{\"exp\":1700000060,\"sub\":\"u1\"}";

	for (size_t i = 0; i < HW_COUNT(jwt_sign_algs); i++) {
		const struct jwt_sign_alg *sign = &jwt_sign_algs[i];
		EVP_PKEY *key = jwt_sign_key(sign, 2048);
		char *pem = key ? jwt_sign_pem(key, true) : strdup(SECRET), *token = NULL;
		struct hw_err err = {""};
		struct hw_jwt_keys *keys;
		enum hw_jwt_alg alg;
		int rc;

		assert_int_equal(hw_jwt_alg_parse(hw_str_of(sign->name), &alg), 0);
		assert_string_equal(hw_jwt_alg_name(alg), sign->name);
		rc = hw_jwt_mint(
			alg, hw_str_of(pem), HW_STR("k7"), hw_str_of(claims), &token, &err);
		if (sign->pss || !sign->digest) {
			assert_int_equal(rc, -EINVAL);
			assert_non_null(strstr(err.text, "not made here"));
		} else {
			assert_int_equal(rc, 0);
			keys = key ? public_keys(sign->name, key)
				   : keys_of("[{\"alg\":\"%s\",\"secret\":\"%s\",\"kid\":\"k7\"}]",
					     sign->name, SECRET);
			assert_verifies(keys, token, &anything, claims);
			hw_jwt_keys_destroy(&keys);
		}
		free(token);
		free(pem);
		EVP_PKEY_free(key);
	}
}

static void minting_refuses_what_verifying_would_refuse(void **state HW_UNUSED)
{
	const struct jwt_sign_alg *es256 = jwt_sign_alg("ES256");
	EVP_PKEY *ec = jwt_sign_key(es256, 0), *weak = jwt_sign_key(jwt_sign_alg("RS256"), 1024);
	char *ec_pem = jwt_sign_pem(ec, true), *weak_pem = jwt_sign_pem(weak, true), *token = NULL;
	const struct {
		enum hw_jwt_alg alg;
		const char *key, *claims, *why;
	} cases[] = {
		{HW_JWT_HS256, "short", "{}", "fewer than 16"},
		{HW_JWT_HS256, ec_pem, "{}", "key in PEM"},
		{HW_JWT_HS256, SECRET, "[]", "not a JSON object"},
		{HW_JWT_HS256, SECRET, "{\"a\":1,\"a\":2}", "not a JSON object"},
		{HW_JWT_RS256, "", "{}", "not a private key"},
		{HW_JWT_RS256, SECRET, "{}", "not a private key"},
		{HW_JWT_RS256, ec_pem, "{}", "of type EC is not for RS256"},
		{HW_JWT_RS256, weak_pem, "{}", "fewer than 2048"},
		{HW_JWT_ES384, ec_pem, "{}", "curve"},
		{HW_JWT_RS256,
			"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE "
			"KEY-----\n",
			"{}", "is encrypted"},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_err err = {""};

		assert_int_equal(hw_jwt_mint(cases[i].alg, hw_str_of(cases[i].key), HW_STR_NULL,
					 hw_str_of(cases[i].claims), &token, &err),
			-EINVAL);
		if (!strstr(err.text, cases[i].why))
			print_error("\"%s\" for \"%s\"\n", err.text, cases[i].why);
		assert_non_null(strstr(err.text, cases[i].why));
		assert_null(token);
		assert_int_equal(ERR_peek_error(), 0);
	}
	free(ec_pem);
	free(weak_pem);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(weak);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_that_are_wrong_say_where_and_what_to_do),
		cmocka_unit_test(rsa_keys_must_be_of_a_size_that_is_safe_and_not_slow),
		cmocka_unit_test(keys_that_one_token_may_fit_are_few),
		cmocka_unit_test(what_is_minted_verifies),
		cmocka_unit_test(minting_refuses_what_verifying_would_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
