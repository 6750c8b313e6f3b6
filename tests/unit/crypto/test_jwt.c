#include <errno.h>
#include <pthread.h>
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
#include "crypto/jwt_signature.h"
#include "jwt_sign.h"

#define SECRET "a secret of more than sixteen bytes"
#define NOW_S INT64_C(1700000000)
#define NOW_MS (NOW_S * 1000)

static const struct hw_jwt_expect anything = {.skew_s = 0};

/* ---- making keys and tokens ---- */

static struct hw_jwt_keys *keys_of(const char *format, ...) HW_PRINTF(1, 2);
static struct hw_jwt_keys *keys_of(const char *format, ...)
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

static struct hw_jwt_keys *hs256_keys(void)
{
	return keys_of("[{\"alg\":\"HS256\",\"secret\":\"%s\"}]", SECRET);
}

static char *quoted(const char *text)
{
	struct hw_buf b;

	hw_buf_init(&b);
	hw_buf_json(&b, hw_str_of(text));
	return hw_buf_steal(&b);
}

static struct hw_jwt_keys *public_keys(const char *alg, EVP_PKEY *key)
{
	char *pem = jwt_sign_pem(key, false), *json = quoted(pem);
	struct hw_jwt_keys *keys = keys_of("[{\"alg\":\"%s\",\"public_key\":%s}]", alg, json);

	free(pem);
	free(json);
	return keys;
}

static char *hs256(const char *header, const char *payload)
{
	return jwt_sign(jwt_sign_alg("HS256"), NULL, HW_STR(SECRET), header, hw_str_of(payload));
}

static void assert_verifies(const struct hw_jwt_keys *keys, const char *token, const struct hw_jwt_expect *expect,
	const char *payload)
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

static void assert_refused(const struct hw_jwt_keys *keys, const char *token, const struct hw_jwt_expect *expect,
	const char *reason)
{
	struct hw_jwt_claims claims = {.text = (char *)"untouched"};
	struct hw_jwt_refusal refusal = {0};

	assert_int_equal(hw_jwt_verify(keys, hw_str_of(token), expect, NOW_MS, &claims, &refusal), HW_JWT_REFUSED);
	if (!strstr(refusal.reason, reason))
		print_error("\"%s\" for \"%s\"\n", refusal.reason, reason);
	assert_non_null(strstr(refusal.reason, reason));
	assert_string_equal(claims.text, "untouched");
	assert_int_equal(refusal.expired, strcmp(reason, "has expired") == 0);
	/* TLS of the same thread must not find our failures in its queue */
	assert_int_equal(ERR_peek_error(), 0);
}

static void assert_hs256_refused(const char *header, const char *payload, const char *reason)
{
	struct hw_jwt_keys *keys = hs256_keys();
	char *token = hs256(header, payload);

	assert_refused(keys, token, &anything, reason);
	free(token);
	hw_jwt_keys_destroy(&keys);
}

static void assert_hs256_verifies(const char *header, const char *payload)
{
	struct hw_jwt_keys *keys = hs256_keys();
	char *token = hs256(header, payload);

	assert_verifies(keys, token, &anything, payload);
	free(token);
	hw_jwt_keys_destroy(&keys);
}

/* ---- published examples ---- */

#define JOE "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define JOE_TEXT "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"

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

static const struct {
	const char *alg, *pem, *input, *signature, *payload; /* payload NULL: not a JSON object, so not a JWT */
} examples[] = {
	{"RS256", RSA_PEM, "eyJhbGciOiJSUzI1NiJ9." JOE, /* RFC 7515 A.2 */
		"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9"
		"uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_e"
		"SN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5A"
		"XLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw", JOE_TEXT},
	{"ES256", P256_PEM, "eyJhbGciOiJFUzI1NiJ9." JOE, /* A.3 */
		"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", JOE_TEXT},
	{"ES512", P521_PEM, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA", /* A.4 */
		"AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCA"
		"PZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn", NULL},
	{"EdDSA", ED25519_PEM, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", /* RFC 8037 A.4 */
		"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg", NULL},
};

static int check_signature(const struct hw_jwt_key *key, const char *input, const char *signature)
{
	struct hw_jwt_signed what = {.input = hw_str_of(input)};
	struct hw_buf token, bytes;
	int rc;

	hw_buf_init(&token);
	hw_buf_init(&bytes);
	hw_buf_printf(&token, "%s.%s", input, signature);
	assert_int_equal(hw_base64url_decode(&bytes, hw_str_of(signature)), 0);
	what.token = hw_buf_view(&token);
	what.signature = hw_buf_view(&bytes);
	rc = hw_jwt_signature_check(key, &what);
	hw_buf_fini(&token);
	hw_buf_fini(&bytes);
	return rc;
}

static void signatures_of_the_rfcs_are_right(void **state HW_UNUSED)
{
	for (size_t i = 0; i < HW_COUNT(examples); i++) {
		struct hw_jwt_keys *keys =
			keys_of("[{\"alg\":\"%s\",\"public_key\":\"%s\"}]", examples[i].alg, examples[i].pem);
		char *other = strdup(examples[i].input);

		assert_int_equal(check_signature(&keys->keys[0], examples[i].input, examples[i].signature), 0);
		other[strlen(other) - 2] ^= 1;
		assert_int_equal(check_signature(&keys->keys[0], other, examples[i].signature), 1);
		free(other);
		hw_jwt_keys_destroy(&keys);
	}
}

static void tokens_of_the_rfcs_verify_while_they_were_young(void **state HW_UNUSED)
{
	for (size_t i = 0; i < HW_COUNT(examples); i++) {
		struct hw_jwt_keys *keys =
			keys_of("[{\"alg\":\"%s\",\"public_key\":\"%s\"}]", examples[i].alg, examples[i].pem);
		struct hw_jwt_claims claims = {0};
		struct hw_jwt_refusal refusal = {0};
		struct hw_buf token;

		hw_buf_init(&token);
		hw_buf_printf(&token, "%s.%s", examples[i].input, examples[i].signature);
		assert_int_equal(hw_jwt_verify(keys, hw_buf_view(&token), &anything, INT64_C(1300819379999), &claims,
					 &refusal),
			examples[i].payload ? 0 : HW_JWT_REFUSED);
		if (examples[i].payload) {
			assert_string_equal(claims.text, examples[i].payload);
			assert_int_equal(claims.expires_at, 1300819380);
			hw_jwt_claims_fini(&claims);
			assert_int_equal(hw_jwt_verify(keys, hw_buf_view(&token), &anything, INT64_C(1300819380000),
						 &claims, &refusal),
				HW_JWT_REFUSED);
			assert_true(refusal.expired);
		}
		hw_buf_fini(&token);
		hw_jwt_keys_destroy(&keys);
	}
}

/* RFC 7515 A.1; its key is no text, so it cannot come from settings. */
static void hs256_of_the_rfc_is_right_in_both_ways_of_checking(void **state HW_UNUSED)
{
	unsigned char secret[] = {0x03, 0x23, 0x35, 0x4b, 0x2b, 0x0f, 0xa5, 0xbc, 0x83, 0x7e, 0x06, 0x65, 0x77, 0x7b,
		0xa6, 0x8f, 0x5a, 0xb3, 0x28, 0xe6, 0xf0, 0x54, 0xc9, 0x28, 0xa9, 0x0f, 0x84, 0xb2, 0xd2, 0x50, 0x2e, 0xbf,
		0xd3, 0xfb, 0x5a, 0x92, 0xd2, 0x06, 0x47, 0xef, 0x96, 0x8a, 0xb4, 0xc3, 0x77, 0x62, 0x3d, 0x22, 0x3d, 0x2e,
		0x21, 0x72, 0x05, 0x2e, 0x4f, 0x08, 0xc0, 0xcd, 0x9a, 0xf5, 0x67, 0xd0, 0x80, 0xa3};
	struct hw_jwt_key key = {.alg = HW_JWT_HS256, .secret = secret, .secret_len = sizeof(secret)};
	static const char signature[] = "\x74\x18\xdf\xb4\x97\x99\xe0\x25\x4f\xfa\x60\x7d\xd8\xad\xbb\xba"
		"\x16\xd4\x25\x4d\x69\xd6\xbf\xf0\x5b\x58\x05\x58\x53\x84\x8d\x79";
	struct hw_jwt_signed what = {
		.token = HW_STR("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." JOE
			".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
		.input = HW_STR("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." JOE),
		.signature = {signature, 32},
	};

	for (int way = 0; way < 2; way++) {
		what.access_token = way;
		assert_int_equal(hw_jwt_signature_check(&key, &what), 0);
		secret[5] ^= 1;
		assert_int_equal(hw_jwt_signature_check(&key, &what), 1);
		secret[5] ^= 1;
	}
}

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
			others = keys_of("[{\"alg\":\"%s\",\"secret\":\"%s!\"}]", alg->name, SECRET);
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

/* Flips each bit of each character in turn. Base64url has one spelling of a text, so no change may pass. */
static void assert_no_change_passes(const struct hw_jwt_keys *keys, char *token, int bits)
{
	for (size_t i = 0; token[i]; i++) {
		for (int bit = 0; bit < bits; bit++) {
			struct hw_jwt_claims claims;
			struct hw_jwt_refusal refusal;
			char was = token[i];

			token[i] = (char)(was ^ (1 << bit));
			if (token[i])
				assert_int_equal(hw_jwt_verify(keys, hw_str_of(token), &anything, NOW_MS, &claims, &refusal),
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
		assert_int_equal(hw_jwt_verify(keys, (struct hw_str){cut, len}, &anything, NOW_MS, &claims, &refusal),
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
	char *token = jwt_sign(jwt_sign_alg("HS256"), NULL, hw_str_of(pem), "{\"alg\":\"HS256\"}", HW_STR("{\"sub\":\"x\"}"));

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
	char *token = jwt_sign(jwt_sign_alg("HS512"), NULL, HW_STR(SECRET), "{\"alg\":\"HS512\"}", HW_STR("{\"sub\":\"x\"}"));

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
	assert_hs256_verifies("{\"alg\":\"HS256\",\"jku\":\"https://evil.example/keys\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},"
		"\"x5u\":\"https://evil.example/cert\"}", "{\"sub\":\"x\"}");
}

static void an_access_token_with_a_wrong_signature_is_refused(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys = keys_of("[{\"alg\":\"HS256\",\"secret\":\"another secret, long enough\"}]");
	char *token = hs256("{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", "{\"sub\":\"x\"}");

	assert_refused(keys, token, &anything, "signature is wrong");
	free(token);
	hw_jwt_keys_destroy(&keys);
}

/* ---- which key ---- */

static void a_key_is_found_by_kid_and_issuer(void **state HW_UNUSED)
{
	struct hw_jwt_keys *keys = keys_of("[{\"alg\":\"HS256\",\"secret\":\"%s\",\"kid\":\"k1\",\"iss\":\"https://a\"},"
		"{\"alg\":\"HS256\",\"secret\":\"another secret, long enough\",\"kid\":\"k1\",\"iss\":\"https://b\"}]", SECRET);
	static const struct {
		const char *header, *payload, *reason; /* reason NULL: verifies */
	} cases[] = {
		{"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{\"iss\":\"https://a\"}", NULL},
		{"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{\"iss\":\"https://b\"}", "signature is wrong"},
		{"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{\"iss\":\"https://c\"}", "no key is known"},
		{"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{}", "no key is known"},
		{"{\"alg\":\"HS256\",\"kid\":\"k2\"}", "{\"iss\":\"https://a\"}", "no key is known"},
		{"{\"alg\":\"HS256\",\"kid\":\"k\"}", "{\"iss\":\"https://a\"}", "no key is known"},
		{"{\"alg\":\"HS256\"}", "{\"iss\":\"https://a\"}", "no key is known"},
		{"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{\"iss\":[\"https://a\"]}", "iss is not a string"},
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
	struct hw_jwt_keys *keys = keys_of("[{\"alg\":\"HS256\",\"secret\":\"another secret, long enough\"},"
		"{\"alg\":\"HS256\",\"secret\":\"%s\"}]", SECRET);
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
	static const char *const values[] = {"\"1700000060\"", "null", "true", "[1700000060]", "{}", "\"never\""};
	static const char *const numbers[] = {"1700000060000", "-1700000060000", "1e300", "9223372036854775807"};
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
		int rc = hw_jwt_verify(keys, hw_str_of(token), &expect, cases[i].now_ms, &claims, &refusal);

		assert_int_equal(rc, cases[i].reason ? HW_JWT_REFUSED : 0);
		if (cases[i].reason)
			assert_non_null(strstr(refusal.reason, cases[i].reason));
		assert_int_equal(refusal.expired, cases[i].reason && strcmp(cases[i].reason, "has expired") == 0);
		hw_jwt_claims_fini(&claims);
		free(token);
		hw_jwt_keys_destroy(&keys);
	}
}

static void expiry_is_reported_as_the_token_says(void **state HW_UNUSED)
{
	struct hw_jwt_expect expect = {.skew_s = 30};
	struct hw_jwt_keys *keys = hs256_keys();
	char *with = hs256("{\"alg\":\"HS256\"}", "{\"exp\":1700000060.5}"), *without = hs256("{\"alg\":\"HS256\"}", "{}");
	struct hw_jwt_claims claims;
	struct hw_jwt_refusal refusal;

	assert_int_equal(hw_jwt_verify(keys, hw_str_of(with), &expect, NOW_MS, &claims, &refusal), 0);
	assert_int_equal(claims.expires_at, 1700000060);
	hw_jwt_claims_fini(&claims);
	assert_int_equal(hw_jwt_verify(keys, hw_str_of(without), &expect, NOW_MS, &claims, &refusal), 0);
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
		struct hw_jwt_expect expect = {hw_str_of(cases[i].issuer), hw_str_of(cases[i].audience), 0};
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

static void an_ecdsa_signature_of_another_form_is_refused(void **state HW_UNUSED)
{
	const struct jwt_sign_alg *es256 = jwt_sign_alg("ES256"), der = {"ES256", "SHA256", "EC", "P-256", 0, false};
	EVP_PKEY *key = jwt_sign_key(es256, 0);
	struct hw_jwt_keys *keys = public_keys("ES256", key);
	char *token = jwt_sign(&der, key, HW_STR_NULL, "{\"alg\":\"ES256\"}", HW_STR("{}")); /* DER, not r||s */
	char zeroes[64] = {0};
	struct hw_buf zero;

	assert_refused(keys, token, &anything, "signature is wrong");
	hw_buf_init(&zero);
	hw_buf_add(&zero, token, (size_t)(strrchr(token, '.') + 1 - token));
	hw_base64url_encode(&zero, zeroes, sizeof(zeroes));
	hw_buf_putc(&zero, '\0');
	assert_refused(keys, zero.data, &anything, "signature is wrong"); /* r = s = 0, CVE-2022-21449 */
	hw_buf_fini(&zero);
	free(token);
	hw_jwt_keys_destroy(&keys);
	EVP_PKEY_free(key);
}

static void a_pss_signature_with_another_salt_or_padding_is_refused(void **state HW_UNUSED)
{
	const struct jwt_sign_alg plain = {"PS256", "SHA256", "RSA", NULL, 0, false};
	EVP_PKEY *key = jwt_sign_key(&plain, 2048);
	struct hw_jwt_keys *ps = public_keys("PS256", key), *rs = public_keys("RS256", key);
	char *v1_5 = jwt_sign(&plain, key, HW_STR_NULL, "{\"alg\":\"PS256\"}", HW_STR("{}"));
	char *pss = jwt_sign(jwt_sign_alg("PS256"), key, HW_STR_NULL, "{\"alg\":\"RS256\"}", HW_STR("{}"));

	assert_refused(ps, v1_5, &anything, "signature is wrong");
	assert_refused(rs, pss, &anything, "signature is wrong");
	free(v1_5);
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

		v->n_wrong += hw_jwt_verify(v->keys, hw_str_of(v->token), &anything, NOW_MS, &claims, &refusal) != 0;
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
			assert_int_equal(pthread_create(&verifiers[j].thread, NULL, verify_many, &verifiers[j]), 0);
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
		{"[{\"alg\":[\"HS256\",\"RS256\"],\"secret\":\"" SECRET "\"}]", "/0/alg", "must be a string"},
		{"[{\"alg\":\"HS256\",\"alg\":\"HS512\",\"secret\":\"" SECRET "\"}]", "", "twice"},
		{"[{\"alg\":\"HS256\"}]", "/0", "no \"secret\""},
		{"[{\"alg\":\"HS256\",\"secret\":\"hunter2\"}]", "/0/secret", "openssl rand -hex 32"},
		{"[{\"alg\":\"HS256\",\"secret\":\"\"}]", "/0/secret", "not empty"},
		{"[{\"alg\":\"HS256\",\"secret\":\"123456789012345\"}]", "/0/secret", "has 15 bytes"},
		{"[{\"alg\":\"HS256\",\"secret\":\"" P256_PEM "\"}]", "/0/secret", "key in PEM"},
		{"[{\"alg\":\"HS256\",\"public_key\":\"" P256_PEM "\"}]", "/0/public_key", "with a \"secret\""},
		{"[{\"alg\":\"RS256\",\"secret\":\"" SECRET "\"}]", "/0/secret", "with a \"public_key\""},
		{"[{\"alg\":\"RS256\"}]", "/0", "no \"public_key\""},
		{"[{\"alg\":\"RS256\",\"public_key\":\"hunter2\"}]", "/0/public_key", "not a public key in PEM"},
		{"[{\"alg\":\"RS256\",\"public_key\":\"" P256_PEM "\"}]", "/0/public_key", "of type EC is not for RS256"},
		{"[{\"alg\":\"PS256\",\"public_key\":\"" ED25519_PEM "\"}]", "/0/public_key", "of type ED25519 is not for PS256"},
		{"[{\"alg\":\"ES256\",\"public_key\":\"" RSA_PEM "\"}]", "/0/public_key", "of type RSA is not for ES256"},
		{"[{\"alg\":\"ES256\",\"public_key\":\"" P521_PEM "\"}]", "/0/public_key", "curve"},
		{"[{\"alg\":\"ES512\",\"public_key\":\"" P256_PEM "\"}]", "/0/public_key", "curve"},
		{"[{\"alg\":\"EdDSA\",\"public_key\":\"" P256_PEM "\"}]", "/0/public_key", "of type EC is not for EdDSA"},
		{"[{\"alg\":\"ES256\",\"public_key\":\"" P256_PEM P256_PEM "\"}]", "/0/public_key", "more than one key"},
		{"[{\"alg\":\"ES256\",\"public_key\":\"-----BEGIN CERTIFICATE-----\\n\"}]", "/0/public_key", "openssl x509"},
		{"[{\"alg\":\"ES256\",\"public_key\":\"-----BEGIN EC PRIVATE KEY-----\\n\"}]", "/0/public_key", "private key"},
		{"[{\"alg\":\"HS256\",\"secrt\":\"" SECRET "\"}]", "/0/secrt", "did you mean \"secret\""},
		{"[{\"alg\":\"HS256\",\"a/b~c\":\"x\"}]", "/0/a~1b~0c", "unknown setting"},
		{"[{\"alg\":\"RS256\",\"file\":\"key.pem\"}]", "/0/file", "@file:"},
		{"[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\",\"kid\":7}]", "/0/kid", "must be a string"},
		{"[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\",\"kid\":\"a\"},"
		 "{\"alg\":\"HS256\",\"secret\":\"" SECRET "!\",\"kid\":\"a\"}]", "/1/kid", "key 0 has the same"},
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

		/* all ones: a modulus of known factors would take long to make, and nobody multiplies with it */
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
			hw_buf_printf(&json, "%s{\"alg\":\"HS256\",\"secret\":\"%s%d\"", i == 0 ? "[" : ",", SECRET, i);
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
		rc = hw_jwt_mint(alg, hw_str_of(pem), HW_STR("k7"), hw_str_of(claims), &token, &err);
		if (sign->pss || !sign->digest) {
			assert_int_equal(rc, -EINVAL);
			assert_non_null(strstr(err.text, "not made here"));
		} else {
			assert_int_equal(rc, 0);
			keys = key ? public_keys(sign->name, key) :
				keys_of("[{\"alg\":\"%s\",\"secret\":\"%s\",\"kid\":\"k7\"}]", sign->name, SECRET);
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
		{HW_JWT_RS256, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "{}",
			"is encrypted"},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_err err = {""};

		assert_int_equal(hw_jwt_mint(cases[i].alg, hw_str_of(cases[i].key), HW_STR_NULL, hw_str_of(cases[i].claims),
					 &token, &err), -EINVAL);
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
		cmocka_unit_test(signatures_of_the_rfcs_are_right),
		cmocka_unit_test(tokens_of_the_rfcs_verify_while_they_were_young),
		cmocka_unit_test(hs256_of_the_rfc_is_right_in_both_ways_of_checking),
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
		cmocka_unit_test(an_ecdsa_signature_of_another_form_is_refused),
		cmocka_unit_test(a_pss_signature_with_another_salt_or_padding_is_refused),
		cmocka_unit_test(workers_share_a_set_of_keys),
		cmocka_unit_test(settings_that_are_wrong_say_where_and_what_to_do),
		cmocka_unit_test(rsa_keys_must_be_of_a_size_that_is_safe_and_not_slow),
		cmocka_unit_test(keys_that_one_token_may_fit_are_few),
		cmocka_unit_test(what_is_minted_verifies),
		cmocka_unit_test(minting_refuses_what_verifying_would_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
