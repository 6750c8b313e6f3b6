#include "crypto/jwt_key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "crypto/jwt_jwks.h"
#include "crypto/jwt_key_internal.h"

/* Where a refusal points: written once, by whoever refuses. */
struct place {
	char *pointer;
	struct hw_err *err;
};

/* RFC 6901: "~" and "/" inside a name are written "~0" and "~1". A name that is cut points to
 * nothing, which is harmless. */
static void point(struct place *place, size_t index, const char *member)
{
	size_t n = (size_t)snprintf(
		place->pointer, HW_JWT_POINTER_SIZE, "/%zu%s", index, member[0] ? "/" : "");

	for (; *member && n + 3 < HW_JWT_POINTER_SIZE; member++) {
		if (*member == '~' || *member == '/')
			place->pointer[n++] = '~';
		place->pointer[n++] = *member == '~' ? '0' : *member == '/' ? '1' : *member;
	}
	place->pointer[n] = '\0';
}

static struct hw_str string_of(const json_t *value)
{
	return (struct hw_str){json_string_value(value), json_string_length(value)};
}

static const char *const members[] = {"alg", "secret", "public_key", "kid", "iss", "jwks"};

static const char *did_you_mean(const char *name)
{
	const char *best = NULL;
	size_t least = 3; /* further away it is no misspelling */

	for (size_t i = 0; i < HW_COUNT(members); i++) {
		size_t distance = hw_str_distance(hw_str_of(name), hw_str_of(members[i]));

		if (distance < least) {
			least = distance;
			best = members[i];
		}
	}
	return best;
}

static int refuse_unknown(const char *name, struct hw_err *err)
{
	const char *near = did_you_mean(name);

	if (strcmp(name, "file") == 0)
		return hw_err_set(err, -EINVAL,
			"\"file\" is no setting of a key: write \"public_key\": \"@file:PATH\" (or "
			"\"secret\"), so that a "
			"reload sees when the file changes");
	if (near)
		return hw_err_set(err, -EINVAL, "unknown setting \"%.40s\": did you mean \"%s\"?",
			name, near);
	return hw_err_set(err, -EINVAL,
		"unknown setting \"%.40s\": a key has \"alg\", \"secret\" or \"public_key\", "
		"\"kid\" and \"iss\"; a set of keys has \"jwks\"",
		name);
}

static int check_members(size_t index, json_t *item, struct place *place)
{
	const char *name;
	json_t *value;

	if (!json_is_object(item)) {
		point(place, index, "");
		return hw_err_set(place->err, -EINVAL,
			"a key must be an object like {\"alg\": \"HS256\", \"secret\": "
			"\"${NAME}\"}");
	}
	json_object_foreach(item, name, value)
	{
		bool known = false;

		for (size_t i = 0; i < HW_COUNT(members); i++)
			known = known || strcmp(name, members[i]) == 0;
		if (!known) {
			point(place, index, name);
			return refuse_unknown(name, place->err);
		}
		if (strcmp(name, "jwks") == 0 && json_is_object(value))
			continue;
		if (!json_is_string(value) || json_string_length(value) == 0) {
			point(place, index, name);
			return hw_err_set(place->err, -EINVAL,
				"\"%s\" must be a string that is not empty", name);
		}
	}
	return 0;
}

static int read_alg(struct hw_jwt_key *key, size_t index, json_t *item, struct place *place)
{
	json_t *alg = json_object_get(item, "alg");

	point(place, index, alg ? "alg" : "");
	if (!alg)
		return hw_err_set(place->err, -EINVAL,
			"the key has no \"alg\": name the one algorithm that it is for");
	if (hw_jwt_alg_parse(string_of(alg), &key->alg) < 0)
		return hw_err_set(place->err, -EINVAL,
			"no such algorithm: use HS256, HS384, HS512, RS256, RS384, RS512, PS256, "
			"PS384, PS512, ES256, "
			"ES384, ES512 or EdDSA");
	return 0;
}

static int read_secret(struct hw_jwt_key *key, size_t index, json_t *item, struct place *place)
{
	json_t *secret = json_object_get(item, "secret");
	int rc;

	if (json_object_get(item, "public_key")) {
		point(place, index, "public_key");
		return hw_err_set(place->err, -EINVAL,
			"%s is verified with a \"secret\", not with a public key",
			hw_jwt_alg_name(key->alg));
	}
	point(place, index, secret ? "secret" : "");
	if (!secret)
		return hw_err_set(place->err, -EINVAL, "the key has no \"secret\", which %s needs",
			hw_jwt_alg_name(key->alg));
	rc = hw_jwt_secret_suits(key->alg, string_of(secret), place->err);
	if (rc < 0)
		return rc;

	key->secret_len = json_string_length(secret);
	key->secret = malloc(key->secret_len);
	if (!key->secret)
		return -ENOMEM;
	memcpy(key->secret, json_string_value(secret), key->secret_len);
	return 0;
}

/* One public key in PEM and nothing that was meant otherwise. */
static int parse_pem(struct hw_str pem, EVP_PKEY **out, struct hw_err *err)
{
	static const char begin[] = "-----BEGIN ";
	const char *first;
	BIO *bio;

	if (hw_jwt_text_has(pem, "PRIVATE KEY-----"))
		return hw_err_set(err, -EINVAL,
			"this is a private key, which only the signer should have: give its public "
			"half, made with "
			"\"openssl pkey -in PRIVATE.pem -pubout\"");
	if (hw_jwt_text_has(pem, "-----BEGIN CERTIFICATE"))
		return hw_err_set(err, -EINVAL,
			"this is a certificate: give its public key, made with "
			"\"openssl x509 -in CERT.pem -noout -pubkey\"");
	first = memmem(pem.p, pem.len, begin, sizeof(begin) - 1);
	if (first &&
		memmem(first + 1, pem.len - (size_t)(first + 1 - pem.p), begin, sizeof(begin) - 1))
		return hw_err_set(err, -EINVAL,
			"more than one key in one text: make each of them a key of its own");

	bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	if (!bio)
		return -ENOMEM;
	*out = PEM_read_bio_PUBKEY(bio, NULL, hw_jwt_no_passphrase, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (!*out)
		return hw_err_set(
			err, -EINVAL, "not a public key in PEM (-----BEGIN PUBLIC KEY-----)");
	return 0;
}

static int read_public_key(struct hw_jwt_key *key, size_t index, json_t *item, struct place *place)
{
	const struct hw_jwt_alg_info *info = hw_jwt_alg_info(key->alg);
	json_t *pem = json_object_get(item, "public_key");
	int rc;

	if (json_object_get(item, "secret")) {
		point(place, index, "secret");
		return hw_err_set(place->err, -EINVAL,
			"%s is verified with a \"public_key\", not with a secret", info->name);
	}
	point(place, index, pem ? "public_key" : "");
	if (!pem)
		return hw_err_set(place->err, -EINVAL,
			"the key has no \"public_key\" (PEM), which %s needs", info->name);
	if (json_string_length(pem) > 65536)
		return hw_err_set(place->err, -EINVAL, "the text is too long for a public key");
	rc = parse_pem(string_of(pem), &key->public_key, place->err);
	if (rc < 0)
		return rc;
	return hw_jwt_key_suits(key->alg, key->public_key, place->err);
}

static int read_name(json_t *item, const char *member, char **out, size_t *len)
{
	json_t *value = json_object_get(item, member);

	if (!value)
		return 0;
	*out = hw_str_dup(string_of(value));
	*len = json_string_length(value);
	return *out ? 0 : -ENOMEM;
}

static int read_key(struct hw_jwt_key *key, size_t index, json_t *item, struct place *place)
{
	int rc = read_alg(key, index, item, place);

	if (rc == 0)
		rc = hw_jwt_alg_is_hmac(key->alg) ? read_secret(key, index, item, place)
						  : read_public_key(key, index, item, place);
	if (rc == 0)
		rc = read_name(item, "kid", &key->kid, &key->kid_len);
	if (rc == 0)
		rc = read_name(item, "iss", &key->iss, &key->iss_len);
	return rc;
}

/* ---- sets of keys ---- */

/* The set itself, or its text as "@file:" gives it; a new reference. */
static int load_set(json_t *item, json_t **out, struct hw_err *err)
{
	json_t *jwks = json_object_get(item, "jwks");
	json_error_t error;

	if (json_is_object(jwks)) {
		*out = json_incref(jwks);
		return 0;
	}
	*out = json_loadb(
		json_string_value(jwks), json_string_length(jwks), JSON_REJECT_DUPLICATES, &error);
	if (*out)
		return 0;
	if (json_error_code(&error) == json_error_out_of_memory)
		return -ENOMEM;
	/* no more of the text than where: it may be the wrong file */
	return hw_err_set(err, -EINVAL, "not JSON: line %d, column %d", error.line, error.column);
}

/* What a set cannot have beside it. */
static int check_set_members(size_t index, json_t *item, struct place *place)
{
	static const char *const of_one[] = {"secret", "public_key", "kid"};

	for (size_t i = 0; i < HW_COUNT(of_one); i++) {
		if (!json_object_get(item, of_one[i]))
			continue;
		point(place, index, of_one[i]);
		return hw_err_set(place->err, -EINVAL,
			"\"%s\" is of one key, and \"jwks\" is a set of them: make them two "
			"entries of the array",
			of_one[i]);
	}
	return 0;
}

static int read_set(struct hw_jwt_keys *keys, size_t index, json_t *item, struct place *place)
{
	struct hw_jwks_options options = {HW_JWT_RS256, HW_JWT_KEYS_MAX - keys->n_keys};
	struct hw_jwt_key *added = keys->keys + keys->n_keys, by_default = {0};
	json_t *set = NULL;
	size_t n = 0;
	int rc = check_set_members(index, item, place);

	if (rc == 0 && json_object_get(item, "alg")) {
		rc = read_alg(&by_default, index, item, place);
		if (rc == 0 && !hw_jwt_alg_is_rsa(by_default.alg))
			rc = hw_err_set(place->err, -EINVAL,
				"beside \"jwks\" this is for RSA keys that do not say which "
				"algorithm they are for: RS256, RS384, RS512, PS256, PS384 or "
				"PS512");
		options.rsa_alg = by_default.alg;
	}
	if (rc < 0)
		return rc;
	point(place, index, "jwks");
	rc = load_set(item, &set, place->err);
	if (rc == 0)
		rc = hw_jwks_read(set, &options, added, &n, place->err);
	json_decref(set);
	keys->n_keys += n;
	for (size_t i = 0; i < n && rc == 0; i++) {
		added[i].item = index;
		added[i].in_set = true;
		rc = read_name(item, "iss", &added[i].iss, &added[i].iss_len);
	}
	return rc;
}

static int read_item(struct hw_jwt_keys *keys, size_t index, json_t *item, struct place *place)
{
	int rc = check_members(index, item, place);

	if (rc < 0)
		return rc;
	if (json_object_get(item, "jwks"))
		return read_set(keys, index, item, place);
	if (keys->n_keys == HW_JWT_KEYS_MAX) {
		point(place, index, "");
		return hw_err_set(
			place->err, -EINVAL, "more than %d keys altogether", HW_JWT_KEYS_MAX);
	}
	keys->keys[keys->n_keys].item = index;
	return read_key(&keys->keys[keys->n_keys++], index, item, place);
}

static bool same_or_either_absent(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return !a || !b || hw_str_eq((struct hw_str){a, a_len}, (struct hw_str){b, b_len});
}

static bool one_token_fits_both(const struct hw_jwt_key *a, const struct hw_jwt_key *b)
{
	return a->alg == b->alg && same_or_either_absent(a->kid, a->kid_len, b->kid, b->kid_len) &&
	       same_or_either_absent(a->iss, a->iss_len, b->iss, b->iss_len);
}

/* Each key that a token may fit costs a verification, which a stranger can ask for: few must. */
static int check_candidates(const struct hw_jwt_keys *keys, struct place *place)
{
	for (size_t i = 0; i < keys->n_keys; i++) {
		const struct hw_jwt_key *key = &keys->keys[i];
		size_t n = 0;

		for (size_t j = 0; j < keys->n_keys; j++) {
			const struct hw_jwt_key *other = &keys->keys[j];

			if (!one_token_fits_both(key, other))
				continue;
			n++;
			if (j < i && key->kid && other->kid && !key->iss == !other->iss) {
				point(place, key->item, key->in_set ? "jwks" : "kid");
				return hw_err_set(place->err, -EINVAL,
					"key %zu has the same \"kid\", \"alg\" and \"iss\": a "
					"token could mean either",
					other->item);
			}
		}
		if (n > HW_JWT_CANDIDATES_MAX) {
			point(place, key->item, "");
			return hw_err_set(place->err, -EINVAL,
				"a token could fit %zu keys of %s, more than %d: give each its "
				"\"kid\", or its \"iss\"",
				n, hw_jwt_alg_name(key->alg), HW_JWT_CANDIDATES_MAX);
		}
	}
	return 0;
}

static int read_keys(json_t *array, struct hw_jwt_keys **out, struct place *place)
{
	size_t n = json_array_size(array);
	struct hw_jwt_keys *keys;
	int rc = 0;

	if (!json_is_array(array) || n == 0)
		return hw_err_set(place->err, -EINVAL,
			"must be an array of at least one key like {\"alg\": \"HS256\", "
			"\"secret\": \"${NAME}\"}");
	if (n > HW_JWT_KEYS_MAX)
		return hw_err_set(
			place->err, -EINVAL, "%zu keys, more than %d", n, HW_JWT_KEYS_MAX);
	/* a set of keys may fill it all */
	keys = calloc(1, sizeof(*keys) + HW_JWT_KEYS_MAX * sizeof(keys->keys[0]));
	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = read_item(keys, i, json_array_get(array, i), place);
	if (rc == 0)
		rc = check_candidates(keys, place);
	if (rc < 0) {
		hw_jwt_keys_destroy(&keys);
		return rc;
	}
	*out = keys;
	return 0;
}

int hw_jwt_keys_create(struct hw_str json, struct hw_jwt_keys **out,
	char pointer[HW_JWT_POINTER_SIZE], struct hw_err *err)
{
	struct place place = {pointer, err};
	json_error_t error;
	json_t *array;
	int rc;

	pointer[0] = '\0';
	array = json_loadb(json.len > 0 ? json.p : "", json.len, JSON_REJECT_DUPLICATES, &error);
	/* jansson's own text would quote what stands near the mistake, which may be a secret. */
	if (!array && json_error_code(&error) == json_error_out_of_memory)
		return -ENOMEM;
	if (!array)
		return hw_err_set(err, -EINVAL,
			json_error_code(&error) == json_error_duplicate_key
				? "a key has a setting twice"
				: "the keys are not a JSON array");
	rc = read_keys(array, out, &place);
	json_decref(array);
	return rc;
}

void hw_jwt_key_fini(struct hw_jwt_key *key)
{
	if (key->secret)
		OPENSSL_cleanse(key->secret, key->secret_len);
	free(key->secret);
	free(key->kid);
	free(key->iss);
	EVP_PKEY_free(key->public_key);
	*key = (struct hw_jwt_key){0};
}

void hw_jwt_keys_destroy(struct hw_jwt_keys **keys)
{
	struct hw_jwt_keys *k = *keys;

	if (!k)
		return;
	for (size_t i = 0; i < k->n_keys; i++)
		hw_jwt_key_fini(&k->keys[i]);
	free(k);
	*keys = NULL;
}

size_t hw_jwt_keys_count(const struct hw_jwt_keys *keys)
{
	return keys->n_keys;
}
