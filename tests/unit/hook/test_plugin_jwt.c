#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "jwt_sign.h"
#include "loaded.h"

#define JWT HW_BINARY_DIR "/plugins/jwt.so"
#define SECRET "a secret of more than sixteen bytes"
#define KEYS "\"keys\":[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\"}]"

/* The plugin as a global entry, with an empty chain for the tenant. */
struct world {
	struct loaded l;
	struct hw_hook_bench *global, *tenant;
	struct hw_request request;
	struct hw_ask ask;
};

static struct hw_hook_bench *bench_of(struct world *w, const char *config, bool global)
{
	struct hw_hook_entry *entry;
	int rc = loaded_load(&w->l, JWT, config, global, &entry);

	if (rc < 0)
		print_error("%s: %s\n", w->l.problem.path, w->l.problem.text);
	assert_int_equal(rc, 0);
	return loaded_bench(&w->l, entry);
}

static void world_init(struct world *w, const char *config)
{
	struct hw_hook_chain *none = hw_hook_chain_create(NULL, 0);

	memset(w, 0, sizeof(*w));
	loaded_init(&w->l, NULL);
	w->global = bench_of(w, config, true);
	assert_int_equal(hw_hook_bench_create(w->l.env, none, HW_STR("acme"), 3, &w->tenant), 0);
	hw_hook_chain_unref(&none);
}

static void world_fini(struct world *w)
{
	hw_hook_bench_destroy(&w->global);
	hw_hook_bench_destroy(&w->tenant);
	loaded_fini(&w->l);
}

static struct hw_hook_bench *the_tenant(struct hw_ask *ask, struct hw_str tenant_id)
{
	assert_true(tenant_id.len > 0);
	return HW_CONTAINER_OF(ask, struct world, ask)->tenant;
}

static enum hw_verdict show(struct world *w, const char *token)
{
	hw_identity_unref(&w->ask.identity);
	w->request = (struct hw_request){.token = {token, strlen(token)}};
	w->ask = (struct hw_ask){.stage = HW_STAGE_AUTHENTICATE,
		.global = w->global,
		.request = &w->request,
		.find_tenant = the_tenant};
	return hw_hooks_ask(&w->ask);
}

static char *mint(const char *payload)
{
	return jwt_sign(jwt_sign_alg("HS256"), NULL, HW_STR(SECRET), "{\"alg\":\"HS256\"}",
		hw_str_of(payload));
}

static enum hw_verdict show_payload(struct world *w, const char *payload)
{
	char *token = mint(payload);
	enum hw_verdict verdict = show(w, token);

	free(token);
	return verdict;
}

static void assert_denied(
	struct world *w, const char *payload, const char *code, const char *message)
{
	assert_int_equal(show_payload(w, payload), HW_DENY);
	assert_string_equal(w->ask.code, code);
	if (!strstr(w->ask.message, message))
		print_error("\"%s\" for \"%s\"\n", w->ask.message, message);
	assert_non_null(strstr(w->ask.message, message));
	assert_null(w->ask.identity);
}

static void assert_name(struct hw_str name, const char *expected)
{
	assert_true(hw_str_eq(name, hw_str_of(expected)));
}

/* ---- who ---- */

static void user_tenant_claims_and_end_come_from_the_token(void **state HW_UNUSED)
{
	static const char payload[] = "{\"sub\":\"u1\",\"tenant_id\":\"acme\",\"exp\":1700000060,"
				      "\"role\":\"child\",\"n\":1.10}";
	struct world w;

	world_init(&w, "{" KEYS "}");
	assert_int_equal(show_payload(&w, payload), HW_ALLOW);
	assert_name(w.ask.identity->user_id, "u1");
	assert_name(w.ask.identity->tenant_id, "acme");
	assert_name(w.ask.identity->claims, payload);
	assert_int_equal(w.ask.identity->expires_at, 1700000060);
	assert_false(w.ask.identity->act_as);
	assert_int_equal(w.ask.identity->n_tenants, 0);
	assert_int_equal(show_payload(&w, "{\"sub\":\"u1\",\"tenant_id\":\"acme\"}"), HW_ALLOW);
	assert_int_equal(w.ask.identity->expires_at, 0);
	hw_identity_unref(&w.ask.identity);
	world_fini(&w);
}

static void the_settings_say_which_claims_they_are(void **state HW_UNUSED)
{
	struct world w;

	world_init(
		&w, "{" KEYS ",\"claims\":{\"user_id\":\"uid\",\"tenant_id\":\"https://x/org\"}}");
	assert_int_equal(
		show_payload(&w, "{\"sub\":\"no\",\"uid\":-42,\"https://x/org\":7}"), HW_ALLOW);
	assert_name(w.ask.identity->user_id, "-42");
	assert_name(w.ask.identity->tenant_id, "7");
	assert_int_equal(
		show_payload(&w, "{\"uid\":\"Zo\\u00eb\",\"https:\\/\\/x\\/org\":\"ac\\u006de\"}"),
		HW_ALLOW);
	assert_name(w.ask.identity->user_id, "Zo\xc3\xab");
	assert_name(w.ask.identity->tenant_id, "acme");
	hw_identity_unref(&w.ask.identity);
	world_fini(&w);
}

static void a_token_that_names_nobody_is_refused(void **state HW_UNUSED)
{
	static const struct {
		const char *payload, *message;
	} cases[] = {
		{"{\"tenant_id\":\"acme\"}", "\"sub\" must say who the user is"},
		{"{\"sub\":null,\"tenant_id\":\"acme\"}", "\"sub\" must say who"},
		{"{\"sub\":1.5,\"tenant_id\":\"acme\"}", "\"sub\" must say who"},
		{"{\"sub\":1e3,\"tenant_id\":\"acme\"}", "\"sub\" must say who"},
		{"{\"sub\":true,\"tenant_id\":\"acme\"}", "\"sub\" must say who"},
		{"{\"sub\":[\"u1\"],\"tenant_id\":\"acme\"}", "\"sub\" must say who"},
		{"{\"sub\":\"\",\"tenant_id\":\"acme\"}", "\"sub\" is no user id"},
		{"{\"sub\":\"u1\"}", "\"tenant_id\" must say which tenant"},
		{"{\"sub\":\"u1\",\"tenant_id\":\"a/b\"}", "\"tenant_id\" is no tenant id"},
		{"{\"sub\":\"u1\",\"tenant_id\":\"\"}", "\"tenant_id\" is no tenant id"},
		{"{\"sub\":\"u1\",\"tenant_id\":\"*\"}", "\"tenant_id\" is no tenant id"},
	};
	struct world w;

	world_init(&w, "{" KEYS "}");
	for (size_t i = 0; i < HW_COUNT(cases); i++)
		assert_denied(&w, cases[i].payload, "unauthorized", cases[i].message);
	world_fini(&w);
}

static void a_user_id_of_more_than_255_bytes_is_refused(void **state HW_UNUSED)
{
	char payload[1024], user[700];
	struct world w;

	world_init(&w, "{" KEYS "}");
	for (size_t len = 255; len <= 600; len += 345) {
		memset(user, 'u', len);
		user[len] = '\0';
		snprintf(payload, sizeof(payload), "{\"sub\":\"%s\",\"tenant_id\":\"acme\"}", user);
		if (len == 255)
			assert_int_equal(show_payload(&w, payload), HW_ALLOW);
		else
			assert_denied(&w, payload, "unauthorized", "no user id");
	}
	world_fini(&w);
}

/* ---- refusals ---- */

static void refusals_have_a_code_and_a_reason_without_the_token(void **state HW_UNUSED)
{
	struct world w;
	char *token;

	world_init(&w, "{" KEYS ",\"issuer\":\"https://idp\",\"audience\":\"hookwire\"}");
	assert_int_equal(show(&w, "garbage"), HW_DENY);
	assert_string_equal(w.ask.code, "unauthorized");
	assert_null(strstr(w.ask.message, "garbage"));
	assert_denied(
		&w, "{\"iss\":\"other\",\"aud\":\"hookwire\"}", "unauthorized", "another issuer");
	assert_denied(
		&w, "{\"iss\":\"https://idp\",\"aud\":\"x\"}", "unauthorized", "another audience");
	assert_denied(&w, "{\"iss\":\"https://idp\",\"aud\":\"hookwire\",\"exp\":1700000000}",
		"token_expired", "has expired");
	assert_denied(&w, "{\"iss\":\"https://idp\",\"aud\":\"hookwire\",\"exp\":\"1800000000\"}",
		"unauthorized", "not a number");
	assert_denied(&w, "{\"iss\":\"https://idp\",\"aud\":\"hookwire\",\"nbf\":1700000060}",
		"unauthorized", "not valid yet");
	token = mint("{\"sub\":\"u1\"}");
	token[strlen(token) - 3] ^= 1;
	assert_int_equal(show(&w, token), HW_DENY);
	assert_non_null(strstr(w.ask.message, "signature is wrong"));
	free(token);
	world_fini(&w);
}

static void inside_of_the_skew_a_session_ends_with_it(void **state HW_UNUSED)
{
	struct world w;

	world_init(&w, "{" KEYS ",\"skew_s\":30}");
	assert_int_equal(
		show_payload(&w, "{\"sub\":\"u1\",\"tenant_id\":\"acme\",\"exp\":1700000001}"),
		HW_ALLOW);
	assert_int_equal(w.ask.identity->expires_at, 1700000001);
	assert_int_equal(
		show_payload(&w, "{\"sub\":\"u1\",\"tenant_id\":\"acme\",\"exp\":1699999990}"),
		HW_ALLOW);
	assert_int_equal(w.ask.identity->expires_at, 1700000020);
	assert_denied(&w, "{\"sub\":\"u1\",\"tenant_id\":\"acme\",\"exp\":1699999970}",
		"token_expired", "has expired");
	world_fini(&w);
}

/* ---- publishing for others ---- */

static void nobody_acts_for_others_unless_the_settings_say_how(void **state HW_UNUSED)
{
	struct world w;

	world_init(&w, "{" KEYS "}");
	assert_int_equal(show_payload(&w, "{\"sub\":\"u1\",\"tenant_id\":\"acme\",\"role\":"
					  "\"service\",\"act_as\":true,\"tenants\":[\"beta\"]}"),
		HW_ALLOW);
	assert_false(w.ask.identity->act_as);
	assert_int_equal(w.ask.identity->n_tenants, 0);
	hw_identity_unref(&w.ask.identity);
	world_fini(&w);
}

static void act_as_is_for_who_has_the_claim(void **state HW_UNUSED)
{
	static const struct {
		const char *role;
		bool act_as;
	} cases[] = {
		{"\"service\"", true},
		{"[\"user\",\"service\"]", true},
		{"\"servic\\u0065\"", true},
		{"[[\"service\"]]", false},
		{"\"services\"", false},
		{"\"user\"", false},
		{"[\"user\"]", false},
		{"[]", false},
		{"true", false},
		{"null", false},
		{"{\"service\":1}", false},
	};
	char payload[128];
	struct world w;

	world_init(&w, "{" KEYS ",\"act_as\":{\"claim\":\"role\",\"equals\":\"service\"}}");
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		snprintf(payload, sizeof(payload),
			"{\"sub\":\"s\",\"tenant_id\":\"acme\",\"role\":%s}", cases[i].role);
		assert_int_equal(show_payload(&w, payload), HW_ALLOW);
		assert_int_equal(w.ask.identity->act_as, cases[i].act_as);
	}
	assert_int_equal(show_payload(&w, "{\"sub\":\"s\",\"tenant_id\":\"acme\"}"), HW_ALLOW);
	assert_false(w.ask.identity->act_as);
	hw_identity_unref(&w.ask.identity);
	world_fini(&w);
}

static void tenants_are_granted_by_a_list_of_ids(void **state HW_UNUSED)
{
	struct world w;

	world_init(&w, "{" KEYS ",\"tenants_claim\":\"tenants\"}");
	assert_int_equal(
		show_payload(&w,
			"{\"sub\":\"s\",\"tenant_id\":\"acme\",\"tenants\":[\"beta\",\"gamma\"]}"),
		HW_ALLOW);
	assert_int_equal(w.ask.identity->n_tenants, 2);
	assert_name(w.ask.identity->tenants[1], "gamma");
	assert_int_equal(show_payload(&w, "{\"sub\":\"s\",\"tenant_id\":\"acme\"}"), HW_ALLOW);
	assert_int_equal(w.ask.identity->n_tenants, 0);
	assert_denied(&w, "{\"sub\":\"s\",\"tenant_id\":\"acme\",\"tenants\":\"beta\"}",
		"unauthorized", "array of tenant ids");
	assert_denied(&w, "{\"sub\":\"s\",\"tenant_id\":\"acme\",\"tenants\":[7]}", "unauthorized",
		"array of tenant ids");
	assert_denied(&w, "{\"sub\":\"s\",\"tenant_id\":\"acme\",\"tenants\":[\"*\"]}",
		"unauthorized", "array of tenant ids");
	world_fini(&w);
}

static void a_tenants_own_entry_grants_no_tenants(void **state HW_UNUSED)
{
	struct world w;

	world_init(&w, "{" KEYS "}");
	hw_hook_bench_destroy(&w.tenant);
	w.tenant = bench_of(&w, "{" KEYS ",\"tenants_claim\":\"tenants\"}", false);
	assert_int_equal(show_payload(&w, "{\"sub\":\"s\",\"tenant_id\":\"acme\"}"), HW_ALLOW);
	assert_int_equal(
		show_payload(&w, "{\"sub\":\"s\",\"tenant_id\":\"acme\",\"tenants\":[\"beta\"]}"),
		HW_ERROR);
	assert_string_equal(w.ask.code, "unavailable");
	hw_identity_unref(&w.ask.identity);
	world_fini(&w);
}

/* ---- the cache ---- */

static void assert_counts(struct world *w, int64_t n_verified, int64_t n_cached)
{
	assert_int_equal(
		loaded_metric(&w->l, "hookwire_plugin_jwt_verified_total", "jwt"), n_verified);
	assert_int_equal(loaded_metric(&w->l, "hookwire_plugin_jwt_cached_total", "jwt"), n_cached);
}

static void a_token_is_verified_once_and_expires_in_the_cache_too(void **state HW_UNUSED)
{
	static const char payload[] = "{\"sub\":\"u1\",\"tenant_id\":\"acme\",\"exp\":1700000060}";
	char *token = mint(payload), other[512];
	struct world w;

	world_init(&w, "{" KEYS ",\"skew_s\":10}");
	for (int i = 0; i < 5; i++) {
		assert_int_equal(show(&w, token), HW_ALLOW);
		assert_name(w.ask.identity->claims, payload);
		assert_int_equal(w.ask.identity->expires_at, 1700000060);
	}
	assert_counts(&w, 1, 4);
	/* one character more is another token */
	snprintf(other, sizeof(other), "%sA", token);
	assert_int_equal(show(&w, other), HW_DENY);
	assert_counts(&w, 1, 4);
	w.l.now_ms = INT64_C(1700000069999);
	assert_int_equal(show(&w, token), HW_ALLOW);
	assert_int_equal(w.ask.identity->expires_at, 1700000070);
	assert_counts(&w, 1, 5);
	w.l.now_ms = INT64_C(1700000070000);
	assert_int_equal(show(&w, token), HW_DENY);
	assert_string_equal(w.ask.code, "token_expired");
	assert_counts(&w, 1, 5);
	free(token);
	world_fini(&w);
}

static void a_refusal_is_not_remembered(void **state HW_UNUSED)
{
	char *token = mint("{\"sub\":\"u1\",\"tenant_id\":\"acme\",\"nbf\":1700000060}");
	struct world w;

	world_init(&w, "{" KEYS "}");
	assert_int_equal(show(&w, token), HW_DENY);
	w.l.now_ms += 60000;
	assert_int_equal(show(&w, token), HW_ALLOW);
	hw_identity_unref(&w.ask.identity);
	free(token);
	world_fini(&w);
}

static void ten_thousand_tokens_are_told_apart_in_bounded_memory(void **state HW_UNUSED)
{
	char payload[512], filler[301];
	struct world w;

	world_init(&w, "{" KEYS "}");
	memset(filler, 'x', 300);
	filler[300] = '\0';
	for (int i = 0; i < 10000; i++) {
		int user = i % 2 ? i : i / 100; /* new ones, and ones that were seen before, of
						   several lengths */
		char name[16];

		snprintf(name, sizeof(name), "u%d", user);
		snprintf(payload, sizeof(payload),
			"{\"sub\":\"%s\",\"tenant_id\":\"acme\",\"f\":\"%s\"}", name,
			filler + user % 300);
		assert_int_equal(show_payload(&w, payload), HW_ALLOW);
		assert_name(w.ask.identity->user_id, name);
		assert_name(w.ask.identity->claims, payload);
	}
	/* five thousand were seen for the first time; of the others, most came again while they
	 * were remembered */
	assert_in_range(loaded_metric(&w.l, "hookwire_plugin_jwt_cached_total", "jwt"), 4000, 5000);
	hw_identity_unref(&w.ask.identity);
	world_fini(&w);
}

/* ---- settings ---- */

static void settings_that_are_wrong_say_where(void **state HW_UNUSED)
{
	static const struct {
		const char *config, *path, *text;
	} cases[] = {
		{"{}", "", "no \"keys\""},
		{"{\"keys\":[]}", "/keys", "at least one"},
		{"{\"keys\":\"x\"}", "/keys", "array of keys"},
		{"{\"keys\":{}}", "/keys", "array of keys"},
		{"{\"keys\":[{\"alg\":\"HS256\",\"secret\":\"short\"}]}", "/keys/0/secret",
			"openssl rand"},
		{"{\"keys\":[{\"alg\":\"HS999\"}]}", "/keys/0/alg", "no such algorithm"},
		{"{" KEYS ",\"isuer\":\"x\"}", "/isuer", "unknown setting \"isuer\""},
		{"{" KEYS ",\"a/b~c\":\"x\"}", "/a~1b~0c", "unknown setting"},
		{"{" KEYS ",\"issuer\":7}", "/issuer", "must be a text"},
		{"{" KEYS ",\"audience\":\"\"}", "/audience", "must be a text"},
		{"{" KEYS ",\"skew_s\":\"5\"}", "/skew_s", "whole number of seconds"},
		{"{" KEYS ",\"skew_s\":-1}", "/skew_s", "whole number of seconds"},
		{"{" KEYS ",\"skew_s\":1.5}", "/skew_s", "whole number of seconds"},
		{"{" KEYS ",\"skew_s\":3601}", "/skew_s", "whole number of seconds"},
		{"{" KEYS ",\"claims\":[]}", "/claims", "must be an object"},
		{"{" KEYS ",\"claims\":{\"role\":\"x\"}}", "/claims/role",
			"all other claims keep their names"},
		{"{" KEYS ",\"claims\":{\"user_id\":7}}", "/claims/user_id", "must be a text"},
		{"{" KEYS ",\"act_as\":true}", "/act_as", "must be an object"},
		{"{" KEYS ",\"act_as\":{\"claim\":\"role\"}}", "/act_as", "needs both"},
		{"{" KEYS ",\"act_as\":{\"claim\":\"role\",\"equals\":true}}", "/act_as/equals",
			"must be a text"},
		{"{" KEYS ",\"tenants_claim\":[]}", "/tenants_claim", "must be a text"},
		{"{" KEYS ",\"issuer\":\"a\",\"issuer\":\"b\"}", "/issuer", "twice"},
		{"{" KEYS "," KEYS "}", "/keys", "twice"},
	};
	struct loaded l;

	loaded_init(&l, NULL);
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_hook_entry *entry;

		assert_true(loaded_load(&l, JWT, cases[i].config, true, &entry) < 0);
		assert_string_equal(l.problem.path, cases[i].path);
		if (!strstr(l.problem.text, cases[i].text))
			print_error("\"%s\" for \"%s\"\n", l.problem.text, cases[i].text);
		assert_non_null(strstr(l.problem.text, cases[i].text));
		assert_null(strstr(l.problem.text, SECRET));
	}
	loaded_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(user_tenant_claims_and_end_come_from_the_token),
		cmocka_unit_test(the_settings_say_which_claims_they_are),
		cmocka_unit_test(a_token_that_names_nobody_is_refused),
		cmocka_unit_test(a_user_id_of_more_than_255_bytes_is_refused),
		cmocka_unit_test(refusals_have_a_code_and_a_reason_without_the_token),
		cmocka_unit_test(inside_of_the_skew_a_session_ends_with_it),
		cmocka_unit_test(nobody_acts_for_others_unless_the_settings_say_how),
		cmocka_unit_test(act_as_is_for_who_has_the_claim),
		cmocka_unit_test(tenants_are_granted_by_a_list_of_ids),
		cmocka_unit_test(a_tenants_own_entry_grants_no_tenants),
		cmocka_unit_test(a_token_is_verified_once_and_expires_in_the_cache_too),
		cmocka_unit_test(a_refusal_is_not_remembered),
		cmocka_unit_test(ten_thousand_tokens_are_told_apart_in_bounded_memory),
		cmocka_unit_test(settings_that_are_wrong_say_where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
