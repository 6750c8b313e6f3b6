#include <pthread.h>

#include "jwt_fixture.h"

/* ---- every algorithm ---- */

static void every_algorithm_verifies_what_its_key_signed_and_nothing_else(void **state HW_UNUSED)
{
	static const char payload[] = "{\"sub\":\"u1\",\"exp\":1700000060}";

	for (size_t i = 0; i < HW_COUNT(jwt_sign_algs); i++) {
		const struct jwt_sign_alg *alg = &jwt_sign_algs[i];
		EVP_PKEY *key = jwt_sign_key(alg, 2048), *other = jwt_sign_key(alg, 2048);
		struct hw_jwt_keys *keys, *others;
		char header[64], *token;

		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg->name);
		token = jwt_sign(alg, key, HW_STR(SECRET), header, hw_str_of(payload));
		if (key) {
			keys = public_keys(alg->name, key);
			others = public_keys(alg->name, other);
		} else {
			keys = keys_of("[{\"alg\":\"%s\",\"secret\":\"%s\"}]", alg->name, SECRET);
			others =
				keys_of("[{\"alg\":\"%s\",\"secret\":\"%s!\"}]", alg->name, SECRET);
		}
		assert_verifies(keys, token, &anything, payload);
		assert_refused(others, token, &anything, "signature is wrong");
		hw_jwt_keys_destroy(&keys);
		hw_jwt_keys_destroy(&others);
		EVP_PKEY_free(key);
		EVP_PKEY_free(other);
		free(token);
	}
}

/* Flips each bit of each character in turn. Base64url has one spelling of a text, so no change may
 * pass. */
static void assert_no_change_passes(const struct hw_jwt_keys *keys, char *token, int bits)
{
	for (size_t i = 0; token[i]; i++) {
		for (int bit = 0; bit < bits; bit++) {
			struct hw_jwt_claims claims;
			struct hw_jwt_refusal refusal;
			char was = token[i];

			token[i] = (char)(was ^ (1 << bit));
			if (token[i])
				assert_int_equal(hw_jwt_verify(keys, hw_str_of(token), &anything,
							 NOW_MS, &claims, &refusal),
					HW_JWT_REFUSED);
			token[i] = was;
		}
	}
}

static void a_token_changed_in_any_byte_is_refused(void **state HW_UNUSED)
{
	static const char *const names[] = {"HS256", "RS256", "PS256", "ES256", "EdDSA"};

	for (size_t i = 0; i < HW_COUNT(names); i++) {
		const struct jwt_sign_alg *alg = jwt_sign_alg(names[i]);
		EVP_PKEY *key = jwt_sign_key(alg, 2048);
		struct hw_jwt_keys *keys = key ? public_keys(names[i], key) : hs256_keys();
		char header[64], *token;

		snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", names[i]);
		token = jwt_sign(alg, key, HW_STR(SECRET), header, HW_STR("{\"sub\":\"u1\"}"));
		assert_verifies(keys, token, &anything, "{\"sub\":\"u1\"}");
		assert_no_change_passes(keys, token, 8);
		hw_jwt_keys_destroy(&keys);
		EVP_PKEY_free(key);
		free(token);
	}
}

static void a_token_cut_anywhere_is_refused(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys = hs256_keys();
	char *token = hs256("{\"alg\":\"HS256\"}", "{\"sub\":\"u1\"}");
	struct hw_jwt_claims claims;
	struct hw_jwt_refusal refusal;

	for (size_t len = 0; len < strlen(token); len++) {
		char *cut = malloc(len + 1); /* exact, so that a sanitizer sees a read beyond */

		memcpy(cut, token, len);
		assert_int_equal(hw_jwt_verify(keys, (struct hw_str){cut, len}, &anything, NOW_MS,
					 &claims, &refusal),
			HW_JWT_REFUSED);
		free(cut);
	}
	free(token);
	hw_jwt_keys_destroy(&keys);
}

/* ---- tricks with the header ---- */

static void the_public_key_is_no_hmac_secret(void **state HW_UNUSED)
{
	const struct jwt_sign_alg *rs256 = jwt_sign_alg("RS256");
	EVP_PKEY *key = jwt_sign_key(rs256, 2048);
	struct hw_jwt_keys *keys = public_keys("RS256", key);
	char *pem = jwt_sign_pem(key, false);
	char *token = jwt_sign(jwt_sign_alg("HS256"), NULL, hw_str_of(pem), "{\"alg\":\"HS256\"}",
		HW_STR("{\"sub\":\"x\"}"));

	assert_refused(keys, token, &anything, "not signed with an algorithm that is accepted");
	free(token);
	free(pem);
	hw_jwt_keys_destroy(&keys);
	EVP_PKEY_free(key);
}

static void none_is_refused_in_every_spelling(void **state HW_UNUSED)
{
	static const char *const names[] = {"none", "None", "NONE", "nOnE", "", "hs256", "HS256 "};
	struct hw_jwt_keys *keys = hs256_keys();

	for (size_t i = 0; i < HW_COUNT(names); i++) {
		char header[64], *token, *dot;

		snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", names[i]);
		token = hs256(header, "{\"sub\":\"x\"}");
		assert_refused(keys, token, &anything, "not signed with an algorithm");
		dot = strrchr(token, '.');
		dot[1] = '\0';
		assert_refused(keys, token, &anything, "not signed with an algorithm");
		*dot = '\0';
		assert_refused(keys, token, &anything, "three parts");
		free(token);
	}
	hw_jwt_keys_destroy(&keys);
}

static void a_signature_of_no_bytes_is_refused(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys = hs256_keys();
	char *token = hs256("{\"alg\":\"HS256\"}", "{\"sub\":\"x\"}");

	strrchr(token, '.')[1] = '\0';
	assert_refused(keys, token, &anything, "signature is wrong");
	free(token);
	hw_jwt_keys_destroy(&keys);
}

static void another_size_of_hash_under_the_same_secret_is_refused(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys = hs256_keys();
	char *token = jwt_sign(jwt_sign_alg("HS512"), NULL, HW_STR(SECRET), "{\"alg\":\"HS512\"}",
		HW_STR("{\"sub\":\"x\"}"));

	assert_refused(keys, token, &anything, "not signed with an algorithm");
	free(token);
	hw_jwt_keys_destroy(&keys);
}

static void headers_that_ask_for_more_are_refused(void **state HW_UNUSED)
{
	static const struct {
		const char *header, *reason;
	} cases[] = {
		{"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", "critical"},
		{"{\"alg\":\"HS256\",\"crit\":[]}", "critical"},
		{"{\"alg\":\"HS256\",\"crit\":null}", "critical"},
		{"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", "critical"},
		{"{\"alg\":\"HS256\",\"typ\":\"JWE\"}", "typ"},
		{"{\"alg\":\"HS256\",\"typ\":\"\"}", "typ"},
		{"{\"alg\":\"HS256\",\"typ\":7}", "typ"},
		{"{\"alg\":\"HS256\",\"typ\":null}", "typ"},
		{"{\"alg\":\"HS256\",\"kid\":7}", "kid"},
		{"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "each member once"},
		{"{\"alg\":\"none\",\"alg\":\"HS256\"}", "each member once"},
		{"{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", "each member once"},
		{"{\"alg\":[\"HS256\"]}", "not signed with an algorithm"},
		{"{}", "not signed with an algorithm"},
		{"[\"HS256\"]", "header"},
		{"\"HS256\"", "header"},
		{"", "header"},
		{"{\"alg\":\"HS256\"} x", "header"},
		{"{\"alg\":\"HS256\",}", "header"},
		{"{\"alg\":\"HS256\",\"x\":\"\xff\"}", "header"},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++)
		assert_hs256_refused(cases[i].header, "{\"sub\":\"x\"}", cases[i].reason);
}

static void headers_of_the_two_types_and_untrusted_extras_pass(void **state HW_UNUSED)
{
	assert_hs256_verifies("{\"alg\":\"HS256\"}", "{\"sub\":\"x\"}");
	assert_hs256_verifies("{\"alg\":\"HS256\",\"typ\":\"jwt\"}", "{\"sub\":\"x\"}");
	assert_hs256_verifies("{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", "{\"sub\":\"x\"}");
	assert_hs256_verifies("{\"alg\":\"HS256\",\"typ\":\"AT+JWT\"}", "{\"sub\":\"x\"}");
	assert_hs256_verifies("{\"alg\":\"HS256\",\"jku\":\"https://evil.example/"
			      "keys\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},"
			      "\"x5u\":\"https://evil.example/cert\"}",
		"{\"sub\":\"x\"}");
}

static void an_access_token_with_a_wrong_signature_is_refused(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys =
		keys_of("[{\"alg\":\"HS256\",\"secret\":\"another secret, long enough\"}]");
	char *token = hs256("{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", "{\"sub\":\"x\"}");

	assert_refused(keys, token, &anything, "signature is wrong");
	free(token);
	hw_jwt_keys_destroy(&keys);
}

/* ---- which key ---- */

static void a_key_is_found_by_kid_and_issuer(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys = keys_of(
		"[{\"alg\":\"HS256\",\"secret\":\"%s\",\"kid\":\"k1\",\"iss\":\"https://a\"},"
		"{\"alg\":\"HS256\",\"secret\":\"another secret, long "
		"enough\",\"kid\":\"k1\",\"iss\":\"https://b\"}]",
		SECRET);
	static const struct {
		const char *header, *payload, *reason; /* reason NULL: verifies */
	} cases[] = {
		{"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{\"iss\":\"https://a\"}", NULL},
		{"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{\"iss\":\"https://b\"}",
			"signature is wrong"},
		{"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{\"iss\":\"https://c\"}",
			"no key is known"},
		{"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{}", "no key is known"},
		{"{\"alg\":\"HS256\",\"kid\":\"k2\"}", "{\"iss\":\"https://a\"}",
			"no key is known"},
		{"{\"alg\":\"HS256\",\"kid\":\"k\"}", "{\"iss\":\"https://a\"}", "no key is known"},
		{"{\"alg\":\"HS256\"}", "{\"iss\":\"https://a\"}", "no key is known"},
		{"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{\"iss\":[\"https://a\"]}",
			"iss is not a string"},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char *token = hs256(cases[i].header, cases[i].payload);

		if (cases[i].reason)
			assert_refused(keys, token, &anything, cases[i].reason);
		else
			assert_verifies(keys, token, &anything, cases[i].payload);
		free(token);
	}
	hw_jwt_keys_destroy(&keys);
}

static void two_keys_without_kid_are_both_tried(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys =
		keys_of("[{\"alg\":\"HS256\",\"secret\":\"another secret, long enough\"},"
			"{\"alg\":\"HS256\",\"secret\":\"%s\"}]",
			SECRET);
	char *token = hs256("{\"alg\":\"HS256\",\"kid\":\"whatever\"}", "{}");

	assert_int_equal(hw_jwt_keys_count(keys), 2);
	assert_verifies(keys, token, &anything, "{}");
	free(token);
	hw_jwt_keys_destroy(&keys);
}

/* ---- claims ---- */

static void times_must_be_numbers_that_can_be_seconds(void **state HW_UNUSED)
{
	static const char *const names[] = {"exp", "nbf", "iat"};
	static const char *const values[] = {
		"\"1700000060\"", "null", "true", "[1700000060]", "{}", "\"never\""};
	static const char *const numbers[] = {
		"1700000060000", "-1700000060000", "1e300", "9223372036854775807"};
	char payload[96];

	for (size_t i = 0; i < HW_COUNT(names); i++) {
		for (size_t j = 0; j < HW_COUNT(values); j++) {
			snprintf(payload, sizeof(payload), "{\"%s\":%s}", names[i], values[j]);
			assert_hs256_refused("{\"alg\":\"HS256\"}", payload, "is not a number");
		}
		for (size_t j = 0; j < HW_COUNT(numbers); j++) {
			snprintf(payload, sizeof(payload), "{\"%s\":%s}", names[i], numbers[j]);
			assert_hs256_refused("{\"alg\":\"HS256\"}", payload, "no time in seconds");
		}
		snprintf(payload, sizeof(payload), "{\"%s\":1e999}", names[i]);
		assert_hs256_refused("{\"alg\":\"HS256\"}", payload, "payload");
	}
}

static void times_bind_to_the_millisecond_and_by_the_skew(void **state HW_UNUSED)
{
	static const struct {
		const char *payload;
		int64_t skew_s, now_ms;
		const char *reason;
	} cases[] = {
		{"{\"exp\":1700000000}", 0, NOW_MS - 1, NULL},
		{"{\"exp\":1700000000}", 0, NOW_MS, "has expired"},
		{"{\"exp\":1700000000}", 30, NOW_MS + 29999, NULL},
		{"{\"exp\":1700000000}", 30, NOW_MS + 30000, "has expired"},
		{"{\"exp\":1.7e9}", 0, NOW_MS - 1, NULL},
		{"{\"exp\":1.7e9}", 0, NOW_MS, "has expired"},
		{"{\"exp\":1700000000.9}", 0, NOW_MS, "has expired"},
		{"{\"exp\":0}", 0, NOW_MS, "has expired"},
		{"{\"exp\":-1}", 0, 0, "has expired"},
		{"{\"exp\":0}", 30, 0, "has expired"},
		{"{\"nbf\":1700000000}", 0, NOW_MS - 5001, "not valid yet"},
		{"{\"nbf\":1700000000}", 0, NOW_MS - 5000, NULL},
		{"{\"nbf\":1700000000}", 4, NOW_MS - 5000, NULL},
		{"{\"nbf\":1700000030}", 30, NOW_MS - 1, "not valid yet"},
		{"{\"nbf\":1700000030}", 30, NOW_MS, NULL},
		{"{\"iat\":1700000000}", 0, NOW_MS - 5001, "issued in the future"},
		{"{\"iat\":1700000000}", 0, NOW_MS - 5000, NULL},
		{"{\"iat\":1700000030}", 30, NOW_MS - 1, "issued in the future"},
		{"{\"iat\":1700000030}", 30, NOW_MS, NULL},
		/* something else is wrong, so a new token would not help */
		{"{\"exp\":1,\"nbf\":1800000000}", 0, NOW_MS, "not valid yet"},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_jwt_expect expect = {.skew_s = cases[i].skew_s};
		struct hw_jwt_keys *keys = hs256_keys();
		struct hw_jwt_refusal refusal = {0};
		struct hw_jwt_claims claims = {0};
		char *token = hs256("{\"alg\":\"HS256\"}", cases[i].payload);
		int rc = hw_jwt_verify(
			keys, hw_str_of(token), &expect, cases[i].now_ms, &claims, &refusal);

		assert_int_equal(rc, cases[i].reason ? HW_JWT_REFUSED : 0);
		if (cases[i].reason)
			assert_non_null(strstr(refusal.reason, cases[i].reason));
		assert_int_equal(refusal.expired,
			cases[i].reason && strcmp(cases[i].reason, "has expired") == 0);
		hw_jwt_claims_fini(&claims);
		free(token);
		hw_jwt_keys_destroy(&keys);
	}
}

static void expiry_is_reported_as_the_token_says(void **state HW_UNUSED)
{
	struct hw_jwt_expect expect = {.skew_s = 30};
	struct hw_jwt_keys *keys = hs256_keys();
	char *with = hs256("{\"alg\":\"HS256\"}", "{\"exp\":1700000060.5}"),
	     *without = hs256("{\"alg\":\"HS256\"}", "{}");
	struct hw_jwt_claims claims;
	struct hw_jwt_refusal refusal;

	assert_int_equal(
		hw_jwt_verify(keys, hw_str_of(with), &expect, NOW_MS, &claims, &refusal), 0);
	assert_int_equal(claims.expires_at, 1700000060);
	hw_jwt_claims_fini(&claims);
	assert_int_equal(
		hw_jwt_verify(keys, hw_str_of(without), &expect, NOW_MS, &claims, &refusal), 0);
	assert_int_equal(claims.expires_at, 0);
	hw_jwt_claims_fini(&claims);
	free(with);
	free(without);
	hw_jwt_keys_destroy(&keys);
}

static void issuer_and_audience_must_be_the_expected_ones(void **state HW_UNUSED)
{
	static const struct {
		const char *payload, *issuer, *audience, *reason;
	} cases[] = {
		{"{\"iss\":\"a\"}", "a", "", NULL},
		{"{\"iss\":\"b\"}", "a", "", "another issuer"},
		{"{}", "a", "", "another issuer"},
		{"{\"iss\":7}", "", "", "iss is not a string"},
		{"{\"aud\":\"hookwire\"}", "", "hookwire", NULL},
		{"{\"aud\":[\"x\",\"hookwire\"]}", "", "hookwire", NULL},
		{"{\"aud\":[\"x\"]}", "", "hookwire", "another audience"},
		{"{\"aud\":[]}", "", "hookwire", "another audience"},
		{"{\"aud\":\"hookwire2\"}", "", "hookwire", "another audience"},
		{"{}", "", "hookwire", "another audience"},
		{"{\"aud\":[\"hookwire\",7]}", "", "hookwire", "something else than strings"},
		{"{\"aud\":7}", "", "hookwire", "neither a string nor an array"},
		{"{\"aud\":7}", "", "", "neither a string nor an array"},
		{"{\"aud\":\"any\"}", "", "", NULL},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_jwt_expect expect = {
			hw_str_of(cases[i].issuer), hw_str_of(cases[i].audience), 0};
		struct hw_jwt_keys *keys = hs256_keys();
		char *token = hs256("{\"alg\":\"HS256\"}", cases[i].payload);

		if (cases[i].reason)
			assert_refused(keys, token, &expect, cases[i].reason);
		else
			assert_verifies(keys, token, &expect, cases[i].payload);
		free(token);
		hw_jwt_keys_destroy(&keys);
	}
}

static void payloads_that_two_readers_might_read_differently_are_refused(void **state HW_UNUSED)
{
	static const char *const payloads[] = {
		"{\"sub\":\"a\",\"sub\":\"b\"}",
		"{\"sub\":\"a\",\"\\u0073ub\":\"b\"}",
		"{\"a\":{\"b\":1,\"b\":2}}",
		"[]",
		"\"text\"",
		"",
		"{\"sub\":\"a\"}{}",
		"{\"sub\":\"\\u0000\"}",
		"{\"sub\":\"\\ud800\"}",
		"{\"sub\":\"\xc3\x28\"}",
		"{\"sub\":NaN}",
		"{sub:\"a\"}",
		"{\"n\":123456789012345678901234567890}",
	};

	for (size_t i = 0; i < HW_COUNT(payloads); i++)
		assert_hs256_refused("{\"alg\":\"HS256\"}", payloads[i], "payload");
}

static void a_payload_is_as_deep_as_later_readers_go(void **state HW_UNUSED)
{
	char payload[512], *p;

	for (int depth = 31; depth <= 200; depth += 169) {
		p = payload + sprintf(payload, "{\"[[[[\\\"[\":");
		memset(p, '[', (size_t)depth);
		memset(p + depth, ']', (size_t)depth);
		strcpy(p + 2 * depth, "}");
		if (depth == 31)
			assert_hs256_verifies("{\"alg\":\"HS256\"}", payload);
		else
			assert_hs256_refused("{\"alg\":\"HS256\"}", payload, "payload");
	}
}

static void a_token_longer_than_8_kib_is_refused_before_anything(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys = hs256_keys();
	struct hw_buf payload;
	char *token;

	hw_buf_init(&payload);
	hw_buf_puts(&payload, "{\"sub\":\"");
	while (payload.len < 6070)
		hw_buf_putc(&payload, 'a');
	hw_buf_puts(&payload, "\"}");
	hw_buf_putc(&payload, '\0');
	token = hs256("{\"alg\":\"HS256\"}", payload.data);
	assert_in_range(strlen(token), 8100, HW_JWT_MAX_BYTES);
	assert_verifies(keys, token, &anything, payload.data);
	free(token);
	payload.len -= 3;
	for (int i = 0; i < 100; i++)
		hw_buf_putc(&payload, 'a');
	hw_buf_puts(&payload, "\"}");
	hw_buf_putc(&payload, '\0');
	token = hs256("{\"alg\":\"HS256\"}", payload.data);
	assert_true(strlen(token) > HW_JWT_MAX_BYTES);
	assert_refused(keys, token, &anything, "longer than");
	free(token);
	hw_buf_fini(&payload);
	hw_jwt_keys_destroy(&keys);
}

static void other_spellings_of_base64_and_other_parts_are_refused(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys = hs256_keys();
	char *token = hs256("{\"alg\":\"HS256\"}", "{\"sub\":\"u1?>\"}"), changed[512];

	assert_verifies(keys, token, &anything, "{\"sub\":\"u1?>\"}");
	snprintf(changed, sizeof(changed), "%s=", token);
	assert_refused(keys, changed, &anything, "base64url");
	snprintf(changed, sizeof(changed), "%s\n", token);
	assert_refused(keys, changed, &anything, "base64url");
	snprintf(changed, sizeof(changed), " %s", token);
	assert_refused(keys, changed, &anything, "base64url");
	snprintf(changed, sizeof(changed), "%s.", token);
	assert_refused(keys, changed, &anything, "three parts");
	snprintf(changed, sizeof(changed), "%s.x.y", token); /* five parts: an encrypted token */
	assert_refused(keys, changed, &anything, "three parts");
	assert_refused(keys, "", &anything, "three parts");
	assert_refused(keys, "..", &anything, "header");
	assert_refused(keys, "abc", &anything, "three parts");
	free(token);
	hw_jwt_keys_destroy(&keys);
}

/* The token with @extra bytes of zero more in its signature, or -@extra fewer. */
static char *with_signature_of_another_length(const char *token, int extra)
{
	struct hw_buf bytes, changed;

	hw_buf_init(&bytes);
	hw_buf_init(&changed);
	assert_int_equal(hw_base64url_decode(&bytes, hw_str_of(strrchr(token, '.') + 1)), 0);
	for (int i = 0; i < extra; i++)
		hw_buf_putc(&bytes, '\0');
	if (extra < 0)
		bytes.len -= (size_t)-extra;
	hw_buf_add(&changed, token, (size_t)(strrchr(token, '.') + 1 - token));
	hw_base64url_encode(&changed, bytes.data, bytes.len);
	hw_buf_fini(&bytes);
	return hw_buf_steal(&changed);
}

static void a_signature_of_another_length_is_refused(void **state HW_UNUSED)
{
	for (size_t i = 0; i < HW_COUNT(jwt_sign_algs); i++) {
		const struct jwt_sign_alg *alg = &jwt_sign_algs[i];
		EVP_PKEY *key = jwt_sign_key(alg, 2048);
		struct hw_jwt_keys *keys =
			key ? public_keys(alg->name, key)
			    : keys_of("[{\"alg\":\"%s\",\"secret\":\"%s\"}]", alg->name, SECRET);
		char header[64], *token;

		snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", alg->name);
		token = jwt_sign(alg, key, HW_STR(SECRET), header, HW_STR("{}"));
		for (int extra = -3; extra <= 3; extra++) {
			char *changed = with_signature_of_another_length(token, extra);

			if (extra == 0)
				assert_verifies(keys, changed, &anything, "{}");
			else
				assert_refused(keys, changed, &anything, "signature is wrong");
			free(changed);
		}
		free(token);
		hw_jwt_keys_destroy(&keys);
		EVP_PKEY_free(key);
	}
}

static void an_ecdsa_signature_of_another_form_is_refused(void **state HW_UNUSED)
{
	const struct jwt_sign_alg *es256 = jwt_sign_alg("ES256"),
				  der = {"ES256", "SHA256", "EC", "P-256", 0, false, 0};
	EVP_PKEY *key = jwt_sign_key(es256, 0);
	struct hw_jwt_keys *keys = public_keys("ES256", key);
	char *token = jwt_sign(
		&der, key, HW_STR_NULL, "{\"alg\":\"ES256\"}", HW_STR("{}")); /* DER, not r||s */
	char zeroes[64] = {0};
	struct hw_buf zero;

	assert_refused(keys, token, &anything, "signature is wrong");
	hw_buf_init(&zero);
	hw_buf_add(&zero, token, (size_t)(strrchr(token, '.') + 1 - token));
	hw_base64url_encode(&zero, zeroes, sizeof(zeroes));
	hw_buf_putc(&zero, '\0');
	assert_refused(keys, zero.data, &anything, "signature is wrong"); /* r = s = 0 */
	hw_buf_fini(&zero);
	free(token);
	hw_jwt_keys_destroy(&keys);
	EVP_PKEY_free(key);
}

static void a_pss_signature_with_another_salt_or_padding_is_refused(void **state HW_UNUSED)
{
	static const struct jwt_sign_alg plain = {"PS256", "SHA256", "RSA", NULL, 0, false, 0};
	static const struct jwt_sign_alg salted = {"PS256", "SHA256", "RSA", NULL, 0, true, 20};
	EVP_PKEY *key = jwt_sign_key(&plain, 2048);
	struct hw_jwt_keys *ps = public_keys("PS256", key), *rs = public_keys("RS256", key);
	char *v1_5 = jwt_sign(&plain, key, HW_STR_NULL, "{\"alg\":\"PS256\"}", HW_STR("{}"));
	char *salt_20 = jwt_sign(&salted, key, HW_STR_NULL, "{\"alg\":\"PS256\"}", HW_STR("{}"));
	char *pss = jwt_sign(
		jwt_sign_alg("PS256"), key, HW_STR_NULL, "{\"alg\":\"RS256\"}", HW_STR("{}"));

	assert_refused(ps, v1_5, &anything, "signature is wrong");
	assert_refused(ps, salt_20, &anything, "signature is wrong");
	assert_refused(rs, pss, &anything, "signature is wrong");
	free(v1_5);
	free(salt_20);
	free(pss);
	hw_jwt_keys_destroy(&ps);
	hw_jwt_keys_destroy(&rs);
	EVP_PKEY_free(key);
}

/* ---- many at once ---- */

struct verifier {
	pthread_t thread;
	const struct hw_jwt_keys *keys;
	const char *token;
	unsigned n_wrong;
};

static void *verify_many(void *arg)
{
	struct verifier *v = arg;

	for (int i = 0; i < 200; i++) {
		struct hw_jwt_claims claims = {0};
		struct hw_jwt_refusal refusal;

		v->n_wrong += hw_jwt_verify(v->keys, hw_str_of(v->token), &anything, NOW_MS,
				      &claims, &refusal) != 0;
		hw_jwt_claims_fini(&claims);
	}
	return NULL;
}

static void workers_share_a_set_of_keys(void **state HW_UNUSED)
{
	static const char *const names[] = {"HS256", "RS256", "PS256", "ES256", "EdDSA"};

	for (size_t i = 0; i < HW_COUNT(names); i++) {
		const struct jwt_sign_alg *alg = jwt_sign_alg(names[i]);
		EVP_PKEY *key = jwt_sign_key(alg, 2048);
		struct hw_jwt_keys *keys = key ? public_keys(names[i], key) : hs256_keys();
		struct verifier verifiers[4];
		char header[64], *token;

		snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", names[i]);
		token = jwt_sign(alg, key, HW_STR(SECRET), header, HW_STR("{\"sub\":\"u1\"}"));
		for (size_t j = 0; j < HW_COUNT(verifiers); j++) {
			verifiers[j] = (struct verifier){.keys = keys, .token = token};
			assert_int_equal(pthread_create(&verifiers[j].thread, NULL, verify_many,
						 &verifiers[j]),
				0);
		}
		for (size_t j = 0; j < HW_COUNT(verifiers); j++) {
			pthread_join(verifiers[j].thread, NULL);
			assert_int_equal(verifiers[j].n_wrong, 0);
		}
		hw_jwt_keys_destroy(&keys);
		EVP_PKEY_free(key);
		free(token);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_algorithm_verifies_what_its_key_signed_and_nothing_else),
		cmocka_unit_test(a_token_changed_in_any_byte_is_refused),
		cmocka_unit_test(a_token_cut_anywhere_is_refused),
		cmocka_unit_test(the_public_key_is_no_hmac_secret),
		cmocka_unit_test(none_is_refused_in_every_spelling),
		cmocka_unit_test(a_signature_of_no_bytes_is_refused),
		cmocka_unit_test(another_size_of_hash_under_the_same_secret_is_refused),
		cmocka_unit_test(headers_that_ask_for_more_are_refused),
		cmocka_unit_test(headers_of_the_two_types_and_untrusted_extras_pass),
		cmocka_unit_test(an_access_token_with_a_wrong_signature_is_refused),
		cmocka_unit_test(a_key_is_found_by_kid_and_issuer),
		cmocka_unit_test(two_keys_without_kid_are_both_tried),
		cmocka_unit_test(times_must_be_numbers_that_can_be_seconds),
		cmocka_unit_test(times_bind_to_the_millisecond_and_by_the_skew),
		cmocka_unit_test(expiry_is_reported_as_the_token_says),
		cmocka_unit_test(issuer_and_audience_must_be_the_expected_ones),
		cmocka_unit_test(payloads_that_two_readers_might_read_differently_are_refused),
		cmocka_unit_test(a_payload_is_as_deep_as_later_readers_go),
		cmocka_unit_test(a_token_longer_than_8_kib_is_refused_before_anything),
		cmocka_unit_test(other_spellings_of_base64_and_other_parts_are_refused),
		cmocka_unit_test(a_signature_of_another_length_is_refused),
		cmocka_unit_test(an_ecdsa_signature_of_another_form_is_refused),
		cmocka_unit_test(a_pss_signature_with_another_salt_or_padding_is_refused),
		cmocka_unit_test(workers_share_a_set_of_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
