#include "crypto/jwt.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/base64.h"
#include "base/buf.h"
#include "crypto/jwt_key_internal.h"
#include "crypto/jwt_signature.h"

#define DEPTH_MAX 32 /* of arrays and objects in a payload: later readers bound it too */
/* An issuer whose clock is a little ahead signs tokens of the future: refusing its newest ones, now
 * and then, helps nobody. */
#define LEEWAY_S 5
#define SECONDS_MAX \
	INT64_C(253402300799) /* the end of the year 9999; milliseconds are far beyond */

/* A token taken apart. */
struct parts {
	struct hw_jwt_signed what;
	struct hw_buf header, payload, signature;
	json_t *head, *body;
	enum hw_jwt_alg alg;
	struct hw_str kid, iss; /* p NULL = absent; live in head and body */
};

static int refuse(struct hw_jwt_refusal *refusal, const char *reason)
{
	refusal->expired = false;
	snprintf(refusal->reason, sizeof(refusal->reason), "%s", reason);
	return HW_JWT_REFUSED;
}

static struct hw_str string_of(const json_t *value)
{
	return (struct hw_str){json_string_value(value), json_string_length(value)};
}

static int split(struct hw_str token, struct parts *parts, struct hw_jwt_refusal *refusal)
{
	struct hw_str rest = token;
	struct hw_str header = hw_str_cut(&rest, '.');
	struct hw_str payload = hw_str_cut(&rest, '.');
	int rc;

	if (!rest.p || memchr(rest.p, '.', rest.len))
		return refuse(
			refusal, "not a signed token: it must have three parts with dots between");
	parts->what.token = token;
	parts->what.input = (struct hw_str){token.p, header.len + 1 + payload.len};
	rc = hw_base64url_decode(&parts->header, header);
	if (rc == 0)
		rc = hw_base64url_decode(&parts->payload, payload);
	if (rc == 0)
		rc = hw_base64url_decode(&parts->signature, rest);
	if (rc == -EINVAL)
		return refuse(refusal, "a part of the token is not base64url");
	parts->what.signature = hw_buf_view(&parts->signature);
	return rc;
}

/* Open brackets outside of strings; the text is JSON already. */
static bool too_deep(struct hw_str json)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < json.len; i++) {
		char c = json.p[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
			depth++;
		else if (!in_string && (c == '}' || c == ']'))
			depth--;
		if (depth > DEPTH_MAX)
			return true;
	}
	return false;
}

/* Two readers may disagree about a member that repeats, so a token that has one is nobody's. */
static int parse_object(
	const struct hw_buf *text, const char *reason, json_t **out, struct hw_jwt_refusal *refusal)
{
	json_error_t error;
	json_t *json =
		json_loadb(text->data ? text->data : "", text->len, JSON_REJECT_DUPLICATES, &error);

	if (!json && json_error_code(&error) == json_error_out_of_memory)
		return -ENOMEM;
	if (!json_is_object(json) || too_deep(hw_buf_view(text))) {
		json_decref(json);
		return refuse(refusal, reason);
	}
	*out = json;
	return 0;
}

/* "jku", "x5u", "jwk" and "x5c" are not looked at: a token does not bring its own key. */
static int read_header(struct parts *parts, struct hw_jwt_refusal *refusal)
{
	json_t *alg = json_object_get(parts->head, "alg");
	json_t *typ = json_object_get(parts->head, "typ");
	json_t *kid = json_object_get(parts->head, "kid");

	if (!json_is_string(alg) || hw_jwt_alg_parse(string_of(alg), &parts->alg) < 0)
		return refuse(
			refusal, "the token is not signed with an algorithm that is accepted here");
	if (json_object_get(parts->head, "crit"))
		return refuse(
			refusal, "the token has critical extensions (crit), and none is supported");
	if (typ) {
		parts->what.access_token =
			json_is_string(typ) && hw_str_eq_nocase(string_of(typ), HW_STR("at+jwt"));
		if (!parts->what.access_token &&
			!(json_is_string(typ) && hw_str_eq_nocase(string_of(typ), HW_STR("JWT"))))
			return refuse(refusal, "the token's typ is neither JWT nor at+jwt");
	}
	if (kid && !json_is_string(kid))
		return refuse(refusal, "the token's kid is not a string");
	if (kid)
		parts->kid = string_of(kid);
	return 0;
}

static int read_issuer(struct parts *parts, struct hw_jwt_refusal *refusal)
{
	json_t *iss = json_object_get(parts->body, "iss");

	if (iss && !json_is_string(iss))
		return refuse(refusal, "the token's iss is not a string");
	if (iss)
		parts->iss = string_of(iss);
	return 0;
}

static bool names_key(const char *configured, size_t len, struct hw_str said)
{
	return !configured || (said.p && hw_str_eq((struct hw_str){configured, len}, said));
}

/* The issuer is read before the signature is checked only to choose a key: a lie about it meets a
 * key that did not sign the token. */
static int check_signature(
	const struct hw_jwt_keys *keys, const struct parts *parts, struct hw_jwt_refusal *refusal)
{
	bool algorithm = false, tried = false;

	for (size_t i = 0; i < keys->n_keys; i++) {
		const struct hw_jwt_key *key = &keys->keys[i];
		int rc;

		if (key->alg != parts->alg)
			continue;
		algorithm = true;
		if (!names_key(key->kid, key->kid_len, parts->kid) ||
			!names_key(key->iss, key->iss_len, parts->iss))
			continue;
		tried = true;
		rc = hw_jwt_signature_check(key, &parts->what);
		if (rc <= 0)
			return rc;
	}
	if (!algorithm)
		return refuse(
			refusal, "the token is not signed with an algorithm that is accepted here");
	return refuse(refusal, tried ? "the token's signature is wrong"
				     : "no key is known for the token's issuer and kid");
}

/* RFC 7519 section 2, NumericDate. */
static int numeric_date(const struct parts *parts, const char *name, bool *present,
	int64_t *seconds, struct hw_jwt_refusal *refusal)
{
	json_t *value = json_object_get(parts->body, name);
	double number = json_number_value(value);

	*present = value != NULL;
	if (!value)
		return 0;
	if (!json_is_number(value)) {
		snprintf(refusal->reason, sizeof(refusal->reason), "the token's %s is not a number",
			name);
		return HW_JWT_REFUSED;
	}
	if (!(number >= -(double)SECONDS_MAX && number <= (double)SECONDS_MAX)) {
		snprintf(refusal->reason, sizeof(refusal->reason),
			"the token's %s is no time in seconds since 1970", name);
		return HW_JWT_REFUSED;
	}
	*seconds = (int64_t)floor(number);
	return 0;
}

static int check_times(const struct parts *parts, int64_t skew_s, int64_t now_ms,
	int64_t *expires_at, struct hw_jwt_refusal *refusal)
{
	bool has_exp, has_nbf, has_iat;
	int64_t exp = 0, nbf = 0, iat = 0, early_s = skew_s > LEEWAY_S ? skew_s : LEEWAY_S;
	int rc = numeric_date(parts, "exp", &has_exp, &exp, refusal);

	if (rc == 0)
		rc = numeric_date(parts, "nbf", &has_nbf, &nbf, refusal);
	if (rc == 0)
		rc = numeric_date(parts, "iat", &has_iat, &iat, refusal);
	if (rc != 0)
		return rc;
	if (has_nbf && now_ms < (nbf - early_s) * 1000)
		return refuse(refusal, "the token is not valid yet (nbf)");
	if (has_iat && now_ms < (iat - early_s) * 1000)
		return refuse(refusal, "the token was issued in the future (iat)");
	if (has_exp && (exp <= 0 || now_ms >= (exp + skew_s) * 1000)) {
		refuse(refusal, "the token has expired");
		refusal->expired = true;
		return HW_JWT_REFUSED;
	}
	*expires_at = has_exp ? exp : 0;
	return 0;
}

static int check_audience(
	const struct parts *parts, struct hw_str audience, struct hw_jwt_refusal *refusal)
{
	json_t *aud = json_object_get(parts->body, "aud");
	bool ours =
		audience.len == 0 || (json_is_string(aud) && hw_str_eq(string_of(aud), audience));
	json_t *item;
	size_t i;

	if (aud && !json_is_string(aud) && !json_is_array(aud))
		return refuse(refusal, "the token's aud is neither a string nor an array");
	json_array_foreach(aud, i, item)
	{
		if (!json_is_string(item))
			return refuse(refusal, "the token's aud holds something else than strings");
		ours = ours || hw_str_eq(string_of(item), audience);
	}
	return ours ? 0 : refuse(refusal, "the token is for another audience");
}

/* What expiry alone would refuse comes last, so that "expired" means nothing else is wrong. */
static int check_claims(const struct parts *parts, const struct hw_jwt_expect *expect,
	int64_t now_ms, int64_t *expires_at, struct hw_jwt_refusal *refusal)
{
	int rc;

	if (expect->issuer.len > 0 && !(parts->iss.p && hw_str_eq(parts->iss, expect->issuer)))
		return refuse(refusal, "the token is from another issuer");
	rc = check_audience(parts, expect->audience, refusal);
	if (rc != 0)
		return rc;
	return check_times(parts, expect->skew_s, now_ms, expires_at, refusal);
}

static void parts_fini(struct parts *parts)
{
	hw_buf_fini(&parts->header);
	hw_buf_fini(&parts->payload);
	hw_buf_fini(&parts->signature);
	json_decref(parts->head);
	json_decref(parts->body);
}

int hw_jwt_verify(const struct hw_jwt_keys *keys, struct hw_str token,
	const struct hw_jwt_expect *expect, int64_t now_ms, struct hw_jwt_claims *claims,
	struct hw_jwt_refusal *refusal)
{
	struct parts parts = {0};
	int64_t expires_at = 0;
	int rc;

	refusal->expired = false;
	if (token.len > HW_JWT_MAX_BYTES)
		return refuse(refusal, "the token is longer than 8192 bytes");
	rc = split(token, &parts, refusal);
	if (rc == 0)
		rc = parse_object(&parts.header,
			"the token's header is not a JSON object, each member once", &parts.head,
			refusal);
	if (rc == 0)
		rc = read_header(&parts, refusal);
	if (rc == 0)
		rc = parse_object(&parts.payload,
			"the token's payload is not a JSON object, each member once", &parts.body,
			refusal);
	if (rc == 0)
		rc = read_issuer(&parts, refusal);
	if (rc == 0)
		rc = check_signature(keys, &parts, refusal);
	if (rc == 0)
		rc = check_claims(&parts, expect, now_ms, &expires_at, refusal);
	if (rc == 0) {
		claims->len = parts.payload.len;
		claims->text = hw_buf_steal(&parts.payload);
		claims->expires_at = expires_at;
		rc = claims->text ? 0 : -ENOMEM;
	}
	parts_fini(&parts);
	return rc;
}

void hw_jwt_claims_fini(struct hw_jwt_claims *claims)
{
	free(claims->text);
	*claims = (struct hw_jwt_claims){0};
}
