// links: crypto
/* What a token costs: verifications per CPU second for each algorithm, without the cache of the jwt
 * plugin. Prints figures and judges nothing. Usage: bench_jwt [milliseconds per figure] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../lib/jwt_sign.h"
#include "crypto/digest.h"
#include "crypto/jwt.h"

#define SECRET "a secret of more than sixteen bytes"

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct hw_jwt_keys *keys_of(const struct jwt_sign_alg *alg, EVP_PKEY *key)
{
	char *pem = key ? jwt_sign_pem(key, false) : strdup(SECRET), pointer[HW_JWT_POINTER_SIZE];
	struct hw_jwt_keys *keys;
	struct hw_err err;
	struct hw_buf json;

	hw_buf_init(&json);
	hw_buf_printf(&json, "[{\"alg\":\"%s\",\"%s\":", alg->name, key ? "public_key" : "secret");
	hw_buf_json(&json, hw_str_of(pem));
	hw_buf_puts(&json, "}]");
	jwt_sign_must(hw_jwt_keys_create(hw_buf_view(&json), &keys, pointer, &err) == 0, "no keys");
	hw_buf_fini(&json);
	free(pem);
	return keys;
}

static void measure(const struct jwt_sign_alg *alg, double seconds)
{
	static const char payload[] = "{\"sub\":\"u-4711\",\"tenant_id\":\"acme\",\"iss\":\"https:/"
				      "/idp.example\",\"aud\":\"hookwire\","
				      "\"iat\":1700000000,\"exp\":1700003600,\"role\":\"parent\"}";
	EVP_PKEY *key = jwt_sign_key(alg, 2048);
	struct hw_jwt_keys *keys = keys_of(alg, key);
	struct hw_jwt_expect expect = {
		.issuer = HW_STR("https://idp.example"), .audience = HW_STR("hookwire")};
	struct hw_jwt_refusal refusal;
	struct hw_jwt_claims claims;
	double begin, spent;
	char header[64], *token;
	long n = 0;

	snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg->name);
	token = jwt_sign(alg, key, HW_STR(SECRET), header, hw_str_of(payload));
	begin = cpu_s();
	do {
		for (int i = 0; i < 50; i++, n++) {
			jwt_sign_must(hw_jwt_verify(keys, hw_str_of(token), &expect,
					      INT64_C(1700000000000), &claims, &refusal) == 0,
				"refused");
			hw_jwt_claims_fini(&claims);
		}
		spent = cpu_s() - begin;
	} while (spent < seconds);
	printf("%-6s %9.0f verifications/s  %7.2f us\n", alg->name, (double)n / spent,
		spent / (double)n * 1e6);
	free(token);
	hw_jwt_keys_destroy(&keys);
	EVP_PKEY_free(key);
}

int main(int argc, char **argv)
{
	double seconds = (argc > 1 ? atof(argv[1]) : 200) / 1000;

	for (size_t i = 0; i < HW_COUNT(jwt_sign_algs); i++)
		measure(&jwt_sign_algs[i], seconds);
	return 0;
}
