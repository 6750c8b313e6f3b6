#include "crypto/jwt_jwks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "base/base64.h"

enum { PASSED_OVER = 1 };

static struct hw_str text_of(const json_t *jwk, const char *name)
{
	const json_t *value = json_object_get(jwk, name);

	if (!json_is_string(value))
		return HW_STR_NULL;
	return (struct hw_str){json_string_value(value), json_string_length(value)};
}

static int pass_over(struct hw_err *why, const char *what)
{
	snprintf(why->text, sizeof(why->text), "%s", what);
	return PASSED_OVER;
}

static int decode(const json_t *jwk, const char *name, struct hw_buf *out, struct hw_err *why)
{
	struct hw_str text = text_of(jwk, name);
	int rc = text.len > 0 && text.len <= 4096 ? hw_base64url_decode(out, text) : -EINVAL;

	if (rc == -ENOMEM)
		return rc;
	if (rc < 0 || out->len == 0) {
		snprintf(why->text, sizeof(why->text), "its \"%s\" is not in base64url", name);
		return PASSED_OVER;
	}
	return 0;
}

/* Takes the parameters. */
static int make_key(const char *type, OSSL_PARAM_BLD *build, EVP_PKEY **out)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	int rc = -ENOMEM;

	if (params && ctx && EVP_PKEY_fromdata_init(ctx) == 1)
		rc = EVP_PKEY_fromdata(ctx, out, EVP_PKEY_PUBLIC_KEY, params) == 1 ? 0
										   : PASSED_OVER;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return rc;
}

/* An exponent of 1 would make every text its own signature. */
static bool exponent_is_sane(struct hw_buf *e)
{
	size_t zeroes = 0;

	while (zeroes < e->len && e->data[zeroes] == '\0')
		zeroes++;
	if (zeroes == e->len || !((unsigned char)e->data[e->len - 1] & 1))
		return false;
	return e->len - zeroes > 1 || (unsigned char)e->data[zeroes] >= 3;
}

static int rsa_from(struct hw_buf *n, struct hw_buf *e, EVP_PKEY **out)
{
	BIGNUM *modulus = BN_bin2bn((unsigned char *)n->data, (int)n->len, NULL);
	BIGNUM *exponent = BN_bin2bn((unsigned char *)e->data, (int)e->len, NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	int rc = -ENOMEM;

	if (modulus && exponent && build &&
		OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
		OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
		rc = make_key("RSA", build, out);
	OSSL_PARAM_BLD_free(build);
	BN_free(modulus);
	BN_free(exponent);
	return rc;
}

/* RFC 7518 section 6.3.1 */
static int read_rsa(const json_t *jwk, struct hw_jwt_key *key, struct hw_err *why)
{
	struct hw_buf n, e;
	int rc;

	hw_buf_init(&n);
	hw_buf_init(&e);
	rc = decode(jwk, "n", &n, why);
	if (rc == 0)
		rc = decode(jwk, "e", &e, why);
	if (rc == 0 && !exponent_is_sane(&e))
		rc = pass_over(why, "its \"e\" is no exponent of a public key");
	if (rc == 0)
		rc = rsa_from(&n, &e, &key->public_key);
	if (rc == PASSED_OVER && !why->text[0])
		pass_over(why, "its numbers are no RSA key");
	hw_buf_fini(&n);
	hw_buf_fini(&e);
	return rc;
}

static int ec_from(const char *group, struct hw_buf *point, EVP_PKEY **out)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	int rc = -ENOMEM;

	if (build &&
		OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(
			build, OSSL_PKEY_PARAM_PUB_KEY, point->data, point->len) == 1)
		rc = make_key("EC", build, out);
	OSSL_PARAM_BLD_free(build);
	return rc;
}

/* RFC 7518 section 6.2.1: both coordinates are as long as the curve's field. The point is theirs
 * behind a 4, uncompressed. */
static int read_ec(const json_t *jwk, struct hw_jwt_key *key, struct hw_err *why)
{
	const struct hw_jwt_alg_info *info = hw_jwt_alg_info(key->alg);
	struct hw_buf x, y, point;
	int rc;

	hw_buf_init(&x);
	hw_buf_init(&y);
	hw_buf_init(&point);
	rc = decode(jwk, "x", &x, why);
	if (rc == 0)
		rc = decode(jwk, "y", &y, why);
	if (rc == 0 && (x.len != info->coordinate || y.len != info->coordinate))
		rc = pass_over(why, "its coordinates are not as long as its curve's");
	if (rc == 0) {
		hw_buf_putc(&point, 4);
		hw_buf_str(&point, hw_buf_view(&x));
		hw_buf_str(&point, hw_buf_view(&y));
		rc = point.failed ? -ENOMEM : ec_from(info->curve, &point, &key->public_key);
		if (rc == PASSED_OVER)
			pass_over(why, "its point is not on its curve");
	}
	hw_buf_fini(&x);
	hw_buf_fini(&y);
	hw_buf_fini(&point);
	return rc;
}

/* RFC 8037 section 2 */
static int read_okp(const json_t *jwk, struct hw_jwt_key *key, struct hw_err *why)
{
	struct hw_buf x;
	int rc;

	hw_buf_init(&x);
	rc = decode(jwk, "x", &x, why);
	if (rc == 0)
		key->public_key = EVP_PKEY_new_raw_public_key(
			EVP_PKEY_ED25519, NULL, (unsigned char *)x.data, x.len);
	ERR_clear_error();
	hw_buf_fini(&x);
	if (rc == 0 && !key->public_key)
		return pass_over(why, "its \"x\" is no Ed25519 key");
	return rc;
}

/* The algorithm that goes with a type and a curve; -EINVAL: none here. */
static int alg_of_type(const json_t *jwk, enum hw_jwt_alg rsa_alg, enum hw_jwt_alg *out)
{
	static const struct {
		const char *kty, *crv;
		enum hw_jwt_alg alg;
	} types[] = {{"EC", "P-256", HW_JWT_ES256}, {"EC", "P-384", HW_JWT_ES384},
		{"EC", "P-521", HW_JWT_ES512}, {"OKP", "Ed25519", HW_JWT_EDDSA}};
	struct hw_str kty = text_of(jwk, "kty"), crv = text_of(jwk, "crv");

	if (hw_str_eq(kty, HW_STR("RSA"))) {
		*out = rsa_alg;
		return 0;
	}
	for (size_t i = 0; i < HW_COUNT(types); i++) {
		if (hw_str_eq(kty, hw_str_of(types[i].kty)) &&
			hw_str_eq(crv, hw_str_of(types[i].crv))) {
			*out = types[i].alg;
			return 0;
		}
	}
	return -EINVAL;
}

static bool is_for_verifying(const json_t *jwk)
{
	const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops"),
		     *op;
	bool verifies = !ops;
	size_t i;

	json_array_foreach(ops, i, op) verifies =
		verifies || (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0);
	return verifies && (!use || hw_str_eq(text_of(jwk, "use"), HW_STR("sig")));
}

static int choose_alg(const json_t *jwk, const struct hw_jwks_options *options,
	struct hw_jwt_key *key, struct hw_err *why)
{
	enum hw_jwt_alg of_type;

	if (!is_for_verifying(jwk))
		return pass_over(why, "it is not for signatures");
	if (alg_of_type(jwk, options->rsa_alg, &of_type) < 0)
		return pass_over(why, "its type or curve is not known here");
	key->alg = of_type;
	if (json_object_get(jwk, "alg") && hw_jwt_alg_parse(text_of(jwk, "alg"), &key->alg) < 0)
		return pass_over(why, "its algorithm is not known here");
	return key->alg == of_type || (hw_jwt_alg_is_rsa(of_type) && hw_jwt_alg_is_rsa(key->alg))
		       ? 0
		       : pass_over(why, "its algorithm is not for its type");
}

static int read_jwk(const json_t *jwk, const struct hw_jwks_options *options,
	struct hw_jwt_key *key, struct hw_err *why)
{
	struct hw_str kid = text_of(jwk, "kid");
	int rc;

	if (!json_is_object(jwk))
		return pass_over(why, "it is no object");
	rc = choose_alg(jwk, options, key, why);
	if (rc != 0)
		return rc;
	switch (hw_jwt_alg_info(key->alg)->family) {
	case HW_JWT_FAMILY_ECDSA:
		rc = read_ec(jwk, key, why);
		break;
	case HW_JWT_FAMILY_EDDSA:
		rc = read_okp(jwk, key, why);
		break;
	default:
		rc = read_rsa(jwk, key, why);
		break;
	}
	if (rc != 0)
		return rc;
	if (hw_jwt_key_suits(key->alg, key->public_key, why) < 0)
		return PASSED_OVER;
	if (json_object_get(jwk, "kid") && kid.len == 0)
		return pass_over(why, "its \"kid\" is no text");
	if (kid.len > 0) {
		key->kid = hw_str_dup(kid);
		key->kid_len = kid.len;
		if (!key->kid)
			return -ENOMEM;
	}
	return 0;
}

int hw_jwks_read(const json_t *set, const struct hw_jwks_options *options, struct hw_jwt_key *keys,
	size_t *n, struct hw_err *err)
{
	const json_t *list = json_object_get(set, "keys"), *jwk;
	struct hw_err why = {""};
	size_t i, last = 0;

	*n = 0;
	if (!json_is_array(list))
		return hw_err_set(err, -EINVAL,
			"not a JSON Web Key Set, which is {\"keys\": [{\"kty\": …}]}");
	json_array_foreach(list, i, jwk)
	{
		struct hw_jwt_key key = {0};
		int rc;

		why.text[0] = '\0';
		rc = read_jwk(jwk, options, &key, &why);
		if (rc == 0 && *n >= options->room)
			rc = hw_err_set(
				err, -EINVAL, "more than %d keys altogether", HW_JWT_KEYS_MAX);
		if (rc == 0) {
			keys[(*n)++] = key;
			continue;
		}
		last = i;
		hw_jwt_key_fini(&key);
		if (rc < 0)
			return rc;
	}
	if (*n > 0)
		return 0;
	if (json_array_size(list) == 0)
		return hw_err_set(err, -EINVAL, "the key set is empty");
	return hw_err_set(err, -EINVAL,
		"no key of the set can verify a token; of its key %zu: %.200s", last, why.text);
}
