#include "crypto/jwt_signature.h"
#include "jwt_fixture.h"

/* ---- published examples ---- */

#define JOE \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0" \
	"cnVlfQ"
#define JOE_TEXT \
	"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"

static const struct {
	const char *alg, *pem, *input, *signature,
		*payload; /* payload NULL: not a JSON object, so not a JWT */
} examples[] = {
	{"RS256", RSA_PEM, "eyJhbGciOiJSUzI1NiJ9." JOE, /* RFC 7515 A.2 */
		"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_"
		"lF5YKt_O8W2Fp5jujGbds9"
		"uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
		"nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_e"
		"SN9383LcOLn6_dO--xi12jzDwusC-"
		"eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5A"
		"XLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
		JOE_TEXT},
	{"ES256", P256_PEM, "eyJhbGciOiJFUzI1NiJ9." JOE, /* A.3 */
		"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
		"Kg6NU1Q",
		JOE_TEXT},
	{"ES512", P521_PEM, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA", /* A.4 */
		"AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-"
		"KGDKB34XO0aw_7XdtAG8GaSwFKdCA"
		"PZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
		NULL},
	{"EdDSA", ED25519_PEM,
		"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", /* RFC 8037 A.4 */
		"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_"
		"MuM0KAg",
		NULL},
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
		struct hw_jwt_keys *keys = keys_of("[{\"alg\":\"%s\",\"public_key\":\"%s\"}]",
			examples[i].alg, examples[i].pem);
		char *other = strdup(examples[i].input);

		assert_int_equal(
			check_signature(&keys->keys[0], examples[i].input, examples[i].signature),
			0);
		other[strlen(other) - 2] ^= 1;
		assert_int_equal(check_signature(&keys->keys[0], other, examples[i].signature), 1);
		free(other);
		hw_jwt_keys_destroy(&keys);
	}
}

static void tokens_of_the_rfcs_verify_while_they_were_young(void **state HW_UNUSED)
{
	for (size_t i = 0; i < HW_COUNT(examples); i++) {
		struct hw_jwt_keys *keys = keys_of("[{\"alg\":\"%s\",\"public_key\":\"%s\"}]",
			examples[i].alg, examples[i].pem);
		struct hw_jwt_claims claims = {0};
		struct hw_jwt_refusal refusal = {0};
		struct hw_buf token;

		hw_buf_init(&token);
		hw_buf_printf(&token, "%s.%s", examples[i].input, examples[i].signature);
		assert_int_equal(hw_jwt_verify(keys, hw_buf_view(&token), &anything,
					 INT64_C(1300819379999), &claims, &refusal),
			examples[i].payload ? 0 : HW_JWT_REFUSED);
		if (examples[i].payload) {
			assert_string_equal(claims.text, examples[i].payload);
			assert_int_equal(claims.expires_at, 1300819380);
			hw_jwt_claims_fini(&claims);
			assert_int_equal(hw_jwt_verify(keys, hw_buf_view(&token), &anything,
						 INT64_C(1300819380000), &claims, &refusal),
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
	unsigned char secret[] = {0x03, 0x23, 0x35, 0x4b, 0x2b, 0x0f, 0xa5, 0xbc, 0x83, 0x7e, 0x06,
		0x65, 0x77, 0x7b, 0xa6, 0x8f, 0x5a, 0xb3, 0x28, 0xe6, 0xf0, 0x54, 0xc9, 0x28, 0xa9,
		0x0f, 0x84, 0xb2, 0xd2, 0x50, 0x2e, 0xbf, 0xd3, 0xfb, 0x5a, 0x92, 0xd2, 0x06, 0x47,
		0xef, 0x96, 0x8a, 0xb4, 0xc3, 0x77, 0x62, 0x3d, 0x22, 0x3d, 0x2e, 0x21, 0x72, 0x05,
		0x2e, 0x4f, 0x08, 0xc0, 0xcd, 0x9a, 0xf5, 0x67, 0xd0, 0x80, 0xa3};
	struct hw_jwt_key key = {
		.alg = HW_JWT_HS256, .secret = secret, .secret_len = sizeof(secret)};
	static const char signature[] =
		"\x74\x18\xdf\xb4\x97\x99\xe0\x25\x4f\xfa\x60\x7d\xd8\xad\xbb\xba"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_of_the_rfcs_are_right),
		cmocka_unit_test(tokens_of_the_rfcs_verify_while_they_were_young),
		cmocka_unit_test(hs256_of_the_rfc_is_right_in_both_ways_of_checking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
