#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/cmd_token.h"
#include "base/clock.h"
#include "crypto/jwt.h"
#include "jwt_sign.h"

#define SECRET "a secret of more than sixteen bytes"

/* What a run printed. */
struct output {
	int exit_code;
	char out[16384], err[4096];
};

static int redirect(int fd, FILE *to)
{
	int before = dup(fd);

	fflush(NULL);
	dup2(fileno(to), fd);
	return before;
}

static void restore(int fd, int before, FILE *from, char *text, size_t size)
{
	size_t n;

	fflush(NULL);
	dup2(before, fd);
	close(before);
	rewind(from);
	n = fread(text, 1, size - 1, from);
	text[n] = '\0';
	fclose(from);
}

/* @line: the arguments, with blanks between. */
static void run(struct output *o, const char *line)
{
	char words[8192], *argv[64] = {(char *)"token"}, *rest;
	FILE *out = tmpfile(), *err = tmpfile();
	int argc = 1, out_fd, err_fd;

	snprintf(words, sizeof(words), "%s", line);
	for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	out_fd = redirect(1, out);
	err_fd = redirect(2, err);
	o->exit_code = hw_cmd_token(argc, argv);
	restore(1, out_fd, out, o->out, sizeof(o->out));
	restore(2, err_fd, err, o->err, sizeof(o->err));
}

static struct hw_jwt_keys *keys_of(const char *json)
{
	char pointer[HW_JWT_POINTER_SIZE];
	struct hw_jwt_keys *keys = NULL;
	struct hw_err err;

	assert_int_equal(hw_jwt_keys_create(hw_str_of(json), &keys, pointer, &err), 0);
	return keys;
}

/* Verifies the one line that was printed, and leaves the claims in @claims. */
static int verify(struct output *o, const char *keys_json, char *claims, size_t size,
	struct hw_jwt_refusal *refusal)
{
	struct hw_jwt_expect expect = {.skew_s = 0};
	struct hw_jwt_keys *keys = keys_of(keys_json);
	struct hw_jwt_claims found;
	int rc;

	assert_int_equal(o->exit_code, 0);
	assert_string_equal(o->err, "");
	assert_ptr_equal(strchr(o->out, '\n'), o->out + strlen(o->out) - 1);
	rc = hw_jwt_verify(keys, (struct hw_str){o->out, strlen(o->out) - 1}, &expect,
		hw_clock_wall_ms(&hw_clock_system), &found, refusal);
	if (rc == 0) {
		snprintf(claims, size, "%s", found.text);
		hw_jwt_claims_fini(&found);
	}
	hw_jwt_keys_destroy(&keys);
	return rc;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		print_error("\"%s\" lacks \"%s\"\n", text, part);
	assert_non_null(strstr(text, part));
}

static void a_token_has_user_tenant_and_an_hour(void **state HW_UNUSED)
{
	struct hw_jwt_refusal refusal;
	struct output o;
	char claims[1024];
	long long exp, iat;

	setenv("HOOKWIRE_JWT_SECRET", SECRET, 1);
	run(&o, "--user alice --tenant acme");
	assert_int_equal(verify(&o, "[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\"}]", claims,
				 sizeof(claims), &refusal),
		0);
	assert_has(claims, "\"sub\":\"alice\"");
	assert_has(claims, "\"tenant_id\":\"acme\"");
	assert_null(strstr(claims, "\"iss\""));
	exp = atoll(strstr(claims, "\"exp\":") + 6);
	iat = atoll(strstr(claims, "\"iat\":") + 6);
	assert_int_equal(exp - iat, 3600);
	assert_in_range(iat, hw_clock_wall_ms(&hw_clock_system) / 1000 - 5,
		hw_clock_wall_ms(&hw_clock_system) / 1000);
}

static void claims_are_json_where_they_can_be(void **state HW_UNUSED)
{
	struct hw_jwt_refusal refusal;
	struct output o;
	char claims[1024];

	setenv("MY_SECRET", SECRET, 1);
	run(&o, "--secret-env MY_SECRET --user alice --tenant acme --ttl 0 --issuer https://idp "
		"--audience hookwire --kid k1 "
		"--alg HS512 --claim role=child --claim age=7 --claim ok=true --claim "
		"tenants=[\"beta\"] --claim eq=a=b "
		"--claim empty= --claim sub=bob");
	assert_int_equal(verify(&o,
				 "[{\"alg\":\"HS512\",\"secret\":\"" SECRET
				 "\",\"kid\":\"k1\",\"iss\":\"https://idp\"}]",
				 claims, sizeof(claims), &refusal),
		0);
	assert_has(claims, "\"role\":\"child\"");
	assert_has(claims, "\"age\":7");
	assert_has(claims, "\"ok\":true");
	assert_has(claims, "\"tenants\":[\"beta\"]");
	assert_has(claims, "\"eq\":\"a=b\"");
	assert_has(claims, "\"empty\":\"\"");
	assert_has(claims, "\"sub\":\"bob\"");
	assert_has(claims, "\"aud\":\"hookwire\"");
	assert_null(strstr(claims, "alice"));
	assert_null(strstr(claims, "\"exp\""));
}

static void a_negative_time_makes_an_expired_token(void **state HW_UNUSED)
{
	struct hw_jwt_refusal refusal;
	struct output o;
	char claims[1024];

	setenv("HOOKWIRE_JWT_SECRET", SECRET, 1);
	run(&o, "--user alice --tenant acme --ttl -60");
	assert_int_equal(verify(&o, "[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\"}]", claims,
				 sizeof(claims), &refusal),
		HW_JWT_REFUSED);
	assert_true(refusal.expired);
}

static void secrets_and_keys_are_read_from_files(void **state HW_UNUSED)
{
	EVP_PKEY *key = jwt_sign_key(jwt_sign_alg("ES256"), 0);
	char path[] = "/tmp/hw-token-XXXXXX", line[256], json[2048], claims[1024],
	     *pem = jwt_sign_pem(key, true);
	struct hw_jwt_refusal refusal;
	struct hw_buf quoted;
	struct output o;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, SECRET "\n", strlen(SECRET) + 1), strlen(SECRET) + 1);
	snprintf(line, sizeof(line), "--user a --tenant t --secret-file %s", path);
	run(&o, line);
	assert_int_equal(verify(&o, "[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\"}]", claims,
				 sizeof(claims), &refusal),
		0);

	assert_int_equal(pwrite(fd, pem, strlen(pem), 0), strlen(pem));
	snprintf(line, sizeof(line), "--user a --tenant t --alg ES256 --key-file %s", path);
	run(&o, line);
	free(pem);
	pem = jwt_sign_pem(key, false);
	hw_buf_init(&quoted);
	hw_buf_json(&quoted, hw_str_of(pem));
	snprintf(json, sizeof(json), "[{\"alg\":\"ES256\",\"public_key\":%.*s}]", (int)quoted.len,
		quoted.data);
	assert_int_equal(verify(&o, json, claims, sizeof(claims), &refusal), 0);
	hw_buf_fini(&quoted);
	free(pem);
	EVP_PKEY_free(key);
	close(fd);
	unlink(path);
}

static void mistakes_are_told_and_never_tell_the_secret(void **state HW_UNUSED)
{
	static const struct {
		const char *line, *why;
		int exit_code;
	} cases[] = {
		{"", "--user", 2},
		{"--user alice", "--tenant", 2},
		{"--user alice --tenant a/b", "--tenant", 2},
		{"--user alice --tenant acme more", "more: what is this?", 2},
		{"--user alice --tenant acme --ttl soon", "whole number", 2},
		{"--user alice --tenant acme --ttl 99999999999999999999", "whole number", 2},
		{"--user alice --tenant acme --claim role", "NAME=VALUE", 2},
		{"--user alice --tenant acme --claim =x", "NAME=VALUE", 2},
		{"--user alice --tenant acme --claim a=\xff", "UTF-8", 2},
		{"--user alice --tenant acme --alg none", "--alg none", 2},
		{"--user alice --tenant acme --alg RS256", "needs --key-file", 2},
		{"--user alice --tenant acme --alg RS256 --secret-env SHORT", "private key", 2},
		{"--user alice --tenant acme --key-file /dev/null", "is signed with a secret", 2},
		{"--user alice --tenant acme --secret-env A --secret-file B", "not both", 2},
		{"--user alice --tenant acme --nonsense", "--help", 2},
		{"--user alice --tenant acme --secret-env NOBODY_SET_THIS",
			"NOBODY_SET_THIS is not set", 1},
		{"--user alice --tenant acme --secret-env SHORT", "openssl rand -hex 32", 1},
		{"--user alice --tenant acme --secret-file /nowhere/secret",
			"/nowhere/secret: No such file", 1},
		{"--user alice --tenant acme --secret-file /dev/zero", "too long for a key", 1},
		{"--user alice --tenant acme --secret-file /tmp", "/tmp", 1},
		{"--user alice --tenant acme --alg RS256 --key-file /dev/null", "not a private key",
			1},
		{"--user alice --tenant acme --alg EdDSA --key-file /dev/null", "not made here", 1},
		{"--user alice --tenant acme --issuer \xff", "UTF-8", 1},
	};

	setenv("SHORT", "hunter2", 1);
	setenv("HOOKWIRE_JWT_SECRET", SECRET, 1);
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct output o;

		run(&o, cases[i].line);
		assert_int_equal(o.exit_code, cases[i].exit_code);
		assert_has(o.err, cases[i].why);
		assert_string_equal(o.out, "");
		assert_null(strstr(o.err, "hunter2"));
		assert_null(strstr(o.err, SECRET));
	}
}

static void without_its_variable_it_says_what_to_name(void **state HW_UNUSED)
{
	struct output o;

	unsetenv("HOOKWIRE_JWT_SECRET");
	run(&o, "--user alice --tenant acme");
	assert_int_equal(o.exit_code, 1);
	assert_has(o.err, "HOOKWIRE_JWT_SECRET is not set");
	assert_has(o.err, "--secret-file");
}

static void a_token_that_no_broker_would_read_is_not_printed(void **state HW_UNUSED)
{
	char line[8192], *end = line + sprintf(line, "--user a --tenant t --claim x=");
	struct output o;

	setenv("HOOKWIRE_JWT_SECRET", SECRET, 1);
	memset(end, 'x', 6500);
	end[6500] = '\0';
	run(&o, line);
	assert_int_equal(o.exit_code, 1);
	assert_has(o.err, "longer than the 8192 bytes");
	assert_string_equal(o.out, "");
}

static void help_teaches(void **state HW_UNUSED)
{
	struct output o;

	run(&o, "--help");
	assert_int_equal(o.exit_code, 0);
	assert_has(o.out, "usage: hookwire token");
	assert_has(o.out, "--secret-env");
	assert_has(o.out, "Examples:");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_has_user_tenant_and_an_hour),
		cmocka_unit_test(claims_are_json_where_they_can_be),
		cmocka_unit_test(a_negative_time_makes_an_expired_token),
		cmocka_unit_test(secrets_and_keys_are_read_from_files),
		cmocka_unit_test(mistakes_are_told_and_never_tell_the_secret),
		cmocka_unit_test(without_its_variable_it_says_what_to_name),
		cmocka_unit_test(a_token_that_no_broker_would_read_is_not_printed),
		cmocka_unit_test(help_teaches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
