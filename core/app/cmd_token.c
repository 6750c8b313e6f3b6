#include "app/cmd_token.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"
#include "crypto/jwt.h"
#include "hook/identity.h"

#define DEFAULT_SECRET_ENV "HOOKWIRE_JWT_SECRET"
#define DEFAULT_TTL_S 3600
#define TTL_MAX_S INT64_C(3153600000) /* a hundred years */
#define KEY_MAX_BYTES 65536

static const char usage[] =
	"usage: hookwire token --user USER --tenant TENANT [options]\n"
	"\n"
	"Prints a JSON Web Token that a broker with the same key accepts, with the claims\n"
	"sub (USER), tenant_id (TENANT), iat (now) and exp.\n"
	"\n"
	"  --user USER           who it is for\n"
	"  --tenant TENANT       of which tenant: 1 to 64 of A-Z a-z 0-9 . _ -\n"
	"  --ttl SECONDS         good for so long; default 3600, 0 for ever, negative: expired "
	"already\n"
	"  --claim NAME=VALUE    one more claim, any number of times. VALUE is JSON if it can be\n"
	"                        (7, true, [\"a\"], {\"b\":1}), else a text; it replaces the "
	"claims above\n"
	"  --issuer ISSUER       the claim iss\n"
	"  --audience AUDIENCE   the claim aud\n"
	"\n"
	"  --secret-env NAME     the environment variable with the secret; default "
	"HOOKWIRE_JWT_SECRET\n"
	"  --secret-file PATH    a file with the secret; a newline at its end does not count\n"
	"  --alg ALG             HS256 (default), HS384, HS512, RS256, RS384, RS512, ES256, ES384 "
	"or ES512\n"
	"  --key-file PATH       for RS and ES: the private key in PEM\n"
	"  --kid KID             name of the key, for the header of the token\n"
	"  -h, --help            this text\n"
	"\n"
	"Examples:\n"
	"    export HOOKWIRE_JWT_SECRET=$(openssl rand -hex 32)\n"
	"    hookwire token --user alice --tenant acme\n"
	"    hookwire token --user shop --tenant acme --ttl 86400 --claim role=service\n"
	"    hookwire token --user alice --tenant acme --alg ES256 --key-file private.pem --kid "
	"2026-01\n"
	"\n"
	"Exit status: 0 the token is printed, 1 it cannot be made, 2 the command line is wrong.\n";

enum option_id {
	USER = 256,
	TENANT,
	TTL,
	CLAIM,
	ISSUER,
	AUDIENCE,
	SECRET_ENV,
	SECRET_FILE,
	ALG,
	KEY_FILE,
	KID
};

struct options {
	const char *user, *tenant, *issuer, *audience, *secret_env, *secret_file, *key_file, *kid;
	enum hw_jwt_alg alg;
	int64_t ttl_s;
	json_t *claims; /* of --claim */
};

static int complain(int exit_code, const char *format, ...) HW_PRINTF(2, 3);
static int complain(int exit_code, const char *format, ...)
{
	va_list args;

	fputs("hookwire token: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return exit_code;
}

/* ---- the command line ---- */

static int read_ttl(const char *text, int64_t *out)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || *end || errno || n > TTL_MAX_S || n < -TTL_MAX_S)
		return complain(2, "--ttl %s: must be a whole number of seconds", text);
	*out = n;
	return 0;
}

static int read_claim(const char *text, json_t *claims)
{
	const char *equals = strchr(text, '=');
	json_t *value;

	if (!equals || equals == text)
		return complain(2, "--claim %s: must be NAME=VALUE", text);
	value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	if (!value)
		value = json_string(equals + 1);
	if (json_object_setn_new(claims, text, (size_t)(equals - text), value) < 0)
		return complain(2, "--claim: the name and the value must be UTF-8");
	return 0;
}

static int read_option(int id, const char *value, struct options *o)
{
	switch (id) {
	case USER:
		o->user = value;
		break;
	case TENANT:
		o->tenant = value;
		break;
	case TTL:
		return read_ttl(value, &o->ttl_s);
	case CLAIM:
		return read_claim(value, o->claims);
	case ISSUER:
		o->issuer = value;
		break;
	case AUDIENCE:
		o->audience = value;
		break;
	case SECRET_ENV:
		o->secret_env = value;
		break;
	case SECRET_FILE:
		o->secret_file = value;
		break;
	case ALG:
		if (hw_jwt_alg_parse(hw_str_of(value), &o->alg) < 0)
			return complain(2,
				"--alg %s: there are HS256, HS384, HS512, RS256, RS384, RS512, "
				"ES256, ES384 and ES512",
				value);
		break;
	case KEY_FILE:
		o->key_file = value;
		break;
	case KID:
		o->kid = value;
		break;
	default:
		fputs("try: hookwire token --help\n", stderr);
		return 2;
	}
	return 0;
}

/* -1: help was asked for */
static int read_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{"user", required_argument, NULL, USER},
		{"tenant", required_argument, NULL, TENANT},
		{"ttl", required_argument, NULL, TTL},
		{"claim", required_argument, NULL, CLAIM},
		{"issuer", required_argument, NULL, ISSUER},
		{"audience", required_argument, NULL, AUDIENCE},
		{"secret-env", required_argument, NULL, SECRET_ENV},
		{"secret-file", required_argument, NULL, SECRET_FILE},
		{"alg", required_argument, NULL, ALG},
		{"key-file", required_argument, NULL, KEY_FILE},
		{"kid", required_argument, NULL, KID},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int id, rc;

	optind = 1;
	while ((id = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (id == 'h')
			return -1;
		rc = read_option(id, optarg, o);
		if (rc != 0)
			return rc;
	}
	if (optind < argc)
		return complain(2, "%s: what is this? see hookwire token --help", argv[optind]);
	return 0;
}

static int check_options(const struct options *o)
{
	bool hmac = hw_jwt_alg_is_hmac(o->alg);

	if (!o->user || !hw_user_id_valid(hw_str_of(o->user)))
		return complain(2, "--user: for whom is it? 1 to 255 bytes of UTF-8");
	if (!o->tenant || !hw_tenant_id_valid(hw_str_of(o->tenant)))
		return complain(2, "--tenant: of which tenant? 1 to 64 of A-Z a-z 0-9 . _ -");
	if (hmac && o->key_file)
		return complain(2,
			"--key-file: %s is signed with a secret; say --alg RS256 or ES256, for "
			"which this key is",
			hw_jwt_alg_name(o->alg));
	if (!hmac && (o->secret_env || o->secret_file))
		return complain(2,
			"%s is signed with a private key, not with a secret: give --key-file PATH",
			hw_jwt_alg_name(o->alg));
	if (!hmac && !o->key_file)
		return complain(2, "--alg %s needs --key-file PATH, the private key in PEM",
			hw_jwt_alg_name(o->alg));
	if (o->secret_env && o->secret_file)
		return complain(2, "--secret-env or --secret-file, not both");
	return 0;
}

/* ---- the key ---- */

static int read_file(const char *path, struct hw_buf *out)
{
	FILE *file = fopen(path, "rbe");
	size_t n;
	int rc = 0;

	if (!file)
		return complain(1, "%s: %s", path, strerror(errno));
	while (out->len <= KEY_MAX_BYTES && hw_buf_reserve(out, 4096)) {
		n = fread(out->data + out->len, 1, 4096, file);
		out->len += n;
		if (n == 0)
			break;
	}
	if (ferror(file))
		rc = complain(1, "%s: cannot be read", path);
	else if (out->failed)
		rc = complain(1, "out of memory");
	else if (out->len > KEY_MAX_BYTES)
		rc = complain(1, "%s: too long for a key", path);
	fclose(file);
	return rc;
}

static int read_secret_env(const char *name, bool by_default, struct hw_buf *out)
{
	const char *value = getenv(name);

	if (!value || !value[0])
		return complain(1,
			"the environment variable %s is not set%s: it must hold the secret that "
			"the broker's "
			"configuration has",
			name,
			by_default
				? " (name another with --secret-env, or a file with --secret-file)"
				: "");
	hw_buf_puts(out, value);
	return out->failed ? complain(1, "out of memory") : 0;
}

static int read_key(const struct options *o, struct hw_buf *out)
{
	const char *path = o->key_file ? o->key_file : o->secret_file;
	int rc;

	if (!path)
		return read_secret_env(
			o->secret_env ? o->secret_env : DEFAULT_SECRET_ENV, !o->secret_env, out);
	rc = read_file(path, out);
	if (rc == 0 && o->secret_file && out->len > 0 && out->data[out->len - 1] == '\n')
		out->len--;
	return rc;
}

/* ---- the claims ---- */

/* false when out of memory, or not UTF-8 */
static bool set_string(json_t *claims, const char *name, const char *value)
{
	return !value || json_object_set_new(claims, name, json_string(value)) == 0;
}

static char *make_claims(const struct options *o, int64_t now_s)
{
	json_t *claims = json_object();
	char *text = NULL;

	if (set_string(claims, "sub", o->user) && set_string(claims, "tenant_id", o->tenant) &&
		set_string(claims, "iss", o->issuer) && set_string(claims, "aud", o->audience) &&
		json_object_set_new(claims, "iat", json_integer(now_s)) == 0 &&
		(o->ttl_s == 0 ||
			json_object_set_new(claims, "exp", json_integer(now_s + o->ttl_s)) == 0) &&
		json_object_update(claims, o->claims) == 0)
		text = json_dumps(claims, JSON_COMPACT);
	json_decref(claims);
	return text;
}

static int mint(const struct options *o)
{
	int64_t now_s = hw_clock_wall_ms(&hw_clock_system) / 1000;
	char *claims = NULL, *token = NULL;
	struct hw_err err = {""};
	struct hw_buf key;
	int rc;

	hw_buf_init(&key);
	rc = read_key(o, &key);
	if (rc == 0) {
		claims = make_claims(o, now_s);
		if (!claims)
			rc = complain(1, "the claims are not UTF-8, or memory is short");
	}
	if (rc == 0 && hw_jwt_mint(o->alg, hw_buf_view(&key), hw_str_of(o->kid), hw_str_of(claims),
			       &token, &err) < 0)
		rc = complain(1, "%s", err.text[0] ? err.text : "out of memory");
	if (rc == 0 && strlen(token) > HW_JWT_MAX_BYTES)
		rc = complain(1,
			"the token is longer than the %d bytes that a broker reads: fewer claims",
			HW_JWT_MAX_BYTES);
	if (rc == 0 && (puts(token) < 0 || fflush(stdout) != 0))
		rc = complain(1, "standard output: %s", strerror(errno));
	free(token);
	free(claims);
	if (key.data)
		explicit_bzero(key.data, key.cap);
	hw_buf_fini(&key);
	return rc;
}

int hw_cmd_token(int argc, char **argv)
{
	struct options o = {.alg = HW_JWT_HS256, .ttl_s = DEFAULT_TTL_S, .claims = json_object()};
	int rc = read_options(argc, argv, &o);

	if (rc < 0) {
		fputs(usage, stdout);
		rc = 0;
	} else if (rc == 0) {
		rc = check_options(&o);
		if (rc == 0)
			rc = mint(&o);
	}
	json_decref(o.claims);
	return rc;
}
