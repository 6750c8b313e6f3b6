#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/equal.h"
#include "crypto/jwt.h"
#include "hook/plugin_host.h"

#define SKEW_MAX_S 86400

void hw_plugin_sha256(struct hw_slice data, uint8_t out[32])
{
	hw_sha256(data.p, data.len, out);
}

int hw_plugin_jwt_keys_create(const struct hw_host *host, struct hw_slice keys_json,
	struct hw_jwt_keys **out, struct hw_problem *problem)
{
	struct hw_err err = {""};
	int rc;

	(void)host;
	rc = hw_jwt_keys_create(hw_plugin_str(keys_json), out, problem->path, &err);
	if (rc == 0)
		return 0;
	snprintf(problem->text, sizeof(problem->text), "%.380s",
		err.text[0] ? err.text : "out of memory");
	return -1;
}

int hw_plugin_jwt_verify(const struct hw_jwt_keys *keys, struct hw_slice token,
	const struct hw_jwt_rules *rules, int64_t now_ms, struct hw_jwt_result *result)
{
	struct hw_jwt_expect expect = {
		hw_plugin_str(rules->issuer), hw_plugin_str(rules->audience), rules->skew_s};
	struct hw_jwt_refusal refusal = {0};
	struct hw_jwt_claims claims;
	int rc;

	expect.skew_s = expect.skew_s < 0            ? 0
			: expect.skew_s > SKEW_MAX_S ? SKEW_MAX_S
						     : expect.skew_s;
	rc = hw_jwt_verify(keys, hw_plugin_str(token), &expect, now_ms, &claims, &refusal);
	if (rc < 0)
		return -1;
	if (rc == HW_JWT_REFUSED) {
		result->expired = refusal.expired;
		memcpy(result->reason, refusal.reason, sizeof(result->reason));
		return 1;
	}
	result->claims = (struct hw_slice){claims.text, claims.len};
	result->expires_at = claims.expires_at;
	result->memory = claims.text;
	return 0;
}

void hw_plugin_jwt_release(struct hw_jwt_result *result)
{
	free(result->memory);
	result->memory = NULL;
	result->claims = (struct hw_slice){NULL, 0};
}

_Static_assert(
	sizeof(((struct hw_jwt_result *)0)->reason) == sizeof(((struct hw_jwt_refusal *)0)->reason),
	"reasons are copied whole");
_Static_assert(sizeof(((struct hw_problem *)0)->path) == HW_JWT_POINTER_SIZE,
	"pointers are written in place");

void hw_plugin_hmac_sha256(struct hw_slice key, struct hw_slice data, uint8_t out[32])
{
	hw_hmac_sha256(hw_plugin_str(key), hw_plugin_str(data), out);
}

int hw_plugin_equal(struct hw_slice a, struct hw_slice b)
{
	return hw_equal_str(hw_plugin_str(a), hw_plugin_str(b));
}

static int refuse(struct hw_problem *problem, const char *why)
{
	problem->path[0] = '\0';
	snprintf(problem->text, sizeof(problem->text), "%.380s", why[0] ? why : "out of memory");
	return -1;
}

int hw_plugin_jwt_sign(const char *alg_name, struct hw_slice key, struct hw_slice kid,
	struct hw_slice claims, char *token, size_t size, size_t *len, struct hw_problem *problem)
{
	struct hw_err err = {""};
	enum hw_jwt_alg alg;
	char *made;
	size_t n;

	if (!alg_name || hw_jwt_alg_parse(hw_str_of(alg_name), &alg) < 0)
		return refuse(problem, "no algorithm of this name");
	if (hw_jwt_mint(alg, hw_plugin_str(key), hw_plugin_str(kid), hw_plugin_str(claims), &made,
		    &err) < 0)
		return refuse(problem, err.text);
	n = strlen(made);
	if (n <= size) {
		memcpy(token, made, n);
		*len = n;
	}
	free(made);
	return n <= size ? 0 : refuse(problem, "the token is longer than the buffer");
}
