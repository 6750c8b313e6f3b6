#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hook/redact.h"

static const char *const roots[] = {"claims", "event", NULL};

static void rules(struct hw_redact *redact, const char *const *paths, size_t n)
{
	memset(redact, 0, sizeof(*redact));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(hw_redact_add(redact, hw_str_of(paths[i]), roots, NULL), 0);
}

struct sample {
	const char *path; /* of the rule; NULL: none */
	const char *json;
	const char *kept; /* NULL: it must fail */
	const char *paths;
};

static void check(const struct sample *s)
{
	struct hw_redact redact;
	struct hw_buf out, paths;
	int rc;

	rules(&redact, &s->path, s->path ? 1 : 0);
	hw_buf_init(&out);
	hw_buf_init(&paths);
	rc = hw_redact_json(&redact, "claims", hw_str_of(s->json), &out, &paths);
	hw_buf_putc(&out, '\0');
	hw_buf_putc(&paths, '\0');
	if (rc != (s->kept ? 0 : -EINVAL))
		fail_msg("%s of %s: %d", s->path ? s->path : "nothing", s->json, rc);
	if (s->kept) {
		assert_string_equal(out.data, s->kept);
		assert_string_equal(paths.data, s->paths);
	}
	hw_buf_fini(&out);
	hw_buf_fini(&paths);
}

static void what_a_rule_names_is_taken_out(void **state)
{
	static const struct sample samples[] = {
		{"claims.a", "{\"a\":1,\"b\":[1.50,\"x\"]}", "{\"a\":null,\"b\":[1.50,\"x\"]}",
			"\"/claims/a\""},
		{"claims.a", " { \"b\" : 1 } ", "{\"b\":1}", ""},
		{"claims", "{\"a\":1}", "null", "\"/claims\""},
		{"claims.a.b", "{\"a\":{\"b\":{\"c\":1},\"d\":2}}", "{\"a\":{\"b\":null,\"d\":2}}",
			"\"/claims/a/b\""},
		{"claims.a.*.b", "{\"a\":[{\"b\":1},{\"c\":2},{\"b\":3}]}",
			"{\"a\":[{\"b\":null},{\"c\":2},{\"b\":null}]}",
			"\"/claims/a/0/b\",\"/claims/a/2/b\""},
		{"claims.a.*", "{\"a\":{\"x\":1,\"y\":[2]}}", "{\"a\":{\"x\":null,\"y\":null}}",
			"\"/claims/a/x\",\"/claims/a/y\""},
		/* the same name, written otherwise, and twice */
		{"claims.a", "{\"\\u0061\":1,\"a\":2}", "{\"\\u0061\":null,\"a\":null}",
			"\"/claims/a\",\"/claims/a\""},
		{"claims.a/b", "{\"a/b\":1,\"c~d\":2}", "{\"a/b\":null,\"c~d\":2}",
			"\"/claims/a~1b\""},
		{"event.a", "{\"a\":1}", "{\"a\":1}", ""},
		{"claims.a.b", "{\"a\":null}", "{\"a\":null}", ""},
	};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(samples); i++)
		check(&samples[i]);
}

static void what_is_not_built_as_the_rule_says_fails(void **state)
{
	static const struct sample samples[] = {
		{"claims.a.b", "{\"a\":\"b is 1\"}", NULL, NULL},
		{"claims.a.b", "{\"a\":[{\"b\":1}]}", NULL, NULL},
		{"claims.a.*", "{\"a\":7}", NULL, NULL},
		{"claims.a", "\"all of it\"", NULL, NULL},
		{NULL, "{\"a\":1", NULL, NULL},
		{NULL, "{\"a\":1} x", NULL, NULL},
		{NULL, "", NULL, NULL},
	};
	struct hw_buf out, paths, deep;
	struct hw_redact none = {0};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(samples); i++)
		check(&samples[i]);
	hw_buf_init(&out);
	hw_buf_init(&paths);
	hw_buf_init(&deep);
	for (int i = 0; i < 100; i++)
		hw_buf_putc(&deep, '[');
	assert_int_equal(
		hw_redact_json(&none, "claims", hw_buf_view(&deep), &out, &paths), -EINVAL);
	hw_buf_fini(&out);
	hw_buf_fini(&paths);
	hw_buf_fini(&deep);
}

#define JWT "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"

static void secrets_go_without_a_rule(void **state)
{
	static const struct sample samples[] = {
		{NULL, "{\"Password\":\"x\",\"pass\":\"x\"}", "{\"Password\":null,\"pass\":\"x\"}",
			"\"/claims/Password\""},
		{NULL, "{\"x\":{\"api_key\":{\"a\":1},\"TOKEN\":[1]}}",
			"{\"x\":{\"api_key\":null,\"TOKEN\":null}}",
			"\"/claims/x/api_key\",\"/claims/x/TOKEN\""},
		{NULL, "{\"accessToken\":1,\"Private-Key\":2,\"tokens\":3}",
			"{\"accessToken\":null,\"Private-Key\":null,\"tokens\":3}",
			"\"/claims/accessToken\",\"/claims/Private-Key\""},
		{NULL, "{\"secret\":null}", "{\"secret\":null}", ""},
		{NULL, "{\"x\":[\"Bearer " JWT "\"]}", "{\"x\":[null]}", "\"/claims/x/0\""},
		{NULL, "{\"x\":\"\\u0065yJh.b.c\"}", "{\"x\":null}", "\"/claims/x\""},
		{NULL, "{\"x\":\"eyJh.b\",\"y\":\"eyes.are.blue\"}",
			"{\"x\":\"eyJh.b\",\"y\":\"eyes.are.blue\"}", ""},
		/* a name cannot be taken out: it fails */
		{NULL, "{\"x\":{\"" JWT "\":1}}", NULL, NULL},
		{NULL, "{\"\\u0065yJh.b.c\":1}", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(samples); i++)
		check(&samples[i]);
	assert_true(hw_redact_is_token(HW_STR(JWT)));
	assert_true(hw_redact_is_token(HW_STR("eyJ eyJa..")));
	assert_false(hw_redact_is_token(HW_STR("")));
	assert_false(hw_redact_is_token(HW_STR("eyJ")));
}

static void a_rule_that_can_name_nothing_is_refused(void **state)
{
	static const char *const bad[] = {
		"", ".", "claims.", ".claims", "claims..a", "other.a", "claims.1.2.3.4.5.6.7.8"};
	struct hw_redact redact = {0};
	struct hw_err err;
	char name[16];

	(void)state;
	for (size_t i = 0; i < HW_COUNT(bad); i++)
		if (hw_redact_add(&redact, hw_str_of(bad[i]), roots, &err) != -EINVAL)
			fail_msg("%s is taken", bad[i]);
	for (size_t i = 0; i < HW_REDACT_RULES_MAX; i++) {
		snprintf(name, sizeof(name), "claims.%zu", i);
		assert_int_equal(hw_redact_add(&redact, hw_str_of(name), roots, &err), 0);
	}
	assert_int_equal(hw_redact_add(&redact, HW_STR("claims.x"), roots, &err), -EINVAL);
	assert_int_equal(redact.n_rules, HW_REDACT_RULES_MAX);
}

static void marks_stand_where_the_pointers_say(void **state)
{
	static const struct {
		const char *json, *paths, *marked;
	} samples[] = {
		{"{\"a\":null,\"b\":[null,1.50]}", "[\"/claims/a\",\"/claims/b/0\",\"/event/b\"]",
			"{\"a\":\"M\",\"b\":[\"M\",1.50]}"},
		{"{\"a/b\":{\"~\":null}}", "[\"/claims/a~1b/~0\"]", "{\"a/b\":{\"~\":\"M\"}}"},
		{"null", "[\"/claims\"]", "\"M\""},
		{"{\"a\":1}", "[]", "{\"a\":1}"},
		{"{\"a\":1}", "{}", NULL},
		{"{\"a\":1", "[]", NULL},
		{"{\"a\":1}", "[1]", NULL},
	};
	struct hw_buf out;

	(void)state;
	hw_buf_init(&out);
	for (size_t i = 0; i < HW_COUNT(samples); i++) {
		hw_buf_clear(&out);
		assert_int_equal(hw_redact_mark(hw_str_of(samples[i].json), "claims",
					 hw_str_of(samples[i].paths), HW_STR("\"M\""), &out),
			samples[i].marked ? 0 : -EINVAL);
		hw_buf_putc(&out, '\0');
		if (samples[i].marked)
			assert_string_equal(out.data, samples[i].marked);
	}
	hw_buf_fini(&out);
}

/* ---- memory: realloc(3) of this program goes through here ---- */

static long reallocs_left = -1; /* negative: all */

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_realloc(void *p, size_t size)
{
	if (reallocs_left == 0)
		return NULL;
	if (reallocs_left > 0)
		reallocs_left--;
	return __real_realloc(p, size);
}

static void without_memory_it_fails_wherever_that_ends(void **state)
{
	static const char *const path = "claims.a.*";
	struct hw_buf out, paths;
	struct hw_redact redact;
	long n = -1;
	int rc;

	(void)state;
	rules(&redact, &path, 1);
	do {
		hw_buf_init(&out);
		hw_buf_init(&paths);
		reallocs_left = ++n;
		rc = hw_redact_json(&redact, "claims",
			HW_STR("{\"a\":{"
			       "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\":"
			       "\"\\u0041\",\"y\":2},\"z\":\"\\u0065yJ\"}"),
			&out, &paths);
		reallocs_left = -1;
		hw_buf_fini(&out);
		hw_buf_fini(&paths);
		assert_true(rc == 0 || rc == -ENOMEM);
	} while (rc != 0);
	assert_true(n >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_rule_names_is_taken_out),
		cmocka_unit_test(what_is_not_built_as_the_rule_says_fails),
		cmocka_unit_test(secrets_go_without_a_rule),
		cmocka_unit_test(a_rule_that_can_name_nothing_is_refused),
		cmocka_unit_test(without_memory_it_fails_wherever_that_ends),
		cmocka_unit_test(marks_stand_where_the_pointers_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
