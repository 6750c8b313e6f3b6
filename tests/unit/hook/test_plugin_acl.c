#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buf.h"
#include "loaded.h"

#define ACL HW_BINARY_DIR "/plugins/acl.so"

/* The plugin as a tenant's entry, with an empty chain of guards. */
struct world {
	struct loaded l;
	struct hw_hook_bench *global, *tenant;
};

static void world_init(struct world *w, const char *config)
{
	struct hw_hook_chain *none = hw_hook_chain_create(NULL, 0);
	struct hw_hook_entry *entry;
	int rc;

	memset(w, 0, sizeof(*w));
	loaded_init(&w->l, NULL);
	rc = loaded_load(&w->l, ACL, config, false, &entry);
	if (rc < 0)
		print_error("%s: %s\n", w->l.problem.path, w->l.problem.text);
	assert_int_equal(rc, 0);
	w->tenant = loaded_bench(&w->l, entry);
	assert_int_equal(hw_hook_bench_create(w->l.env, none, HW_STR(""), 3, &w->global), 0);
	hw_hook_chain_unref(&none);
}

static void world_fini(struct world *w)
{
	hw_hook_bench_destroy(&w->global);
	hw_hook_bench_destroy(&w->tenant);
	loaded_fini(&w->l);
}

/* How it was decided: 'A' allowed, 'D' denied by the list, '-' left to others, 'E' an error. */
static char ask(struct world *w, enum hw_operation operation, const char *topic, const char *user,
	const char *claims)
{
	const char *colon = strchr(topic, ':');
	struct hw_who who = {.user_id = {user, strlen(user)},
		.tenant_id = HW_SLICE("acme"),
		.claims = {claims, strlen(claims)}};
	struct hw_question question = {.operation = operation,
		.topic = {topic, strlen(topic)},
		.resource = {topic, (size_t)(colon - topic)},
		.id = {colon + 1, strlen(colon + 1)}};
	struct hw_ask a = {.stage = HW_STAGE_AUTHORIZE,
		.global = w->global,
		.tenant = w->tenant,
		.who = &who,
		.question = &question};
	enum hw_verdict verdict = hw_hooks_ask(&a);

	if (verdict == HW_ALLOW)
		return 'A';
	if (verdict == HW_ERROR)
		return 'E';
	assert_int_equal(verdict, HW_DENY);
	assert_string_equal(a.code, "forbidden_topic");
	if (!a.decided_by[0])
		return '-';
	assert_string_equal(a.message, "the access list says no");
	return 'D';
}

struct question {
	char expected;
	enum hw_operation operation;
	const char *topic, *user, *claims;
};

static void check_all(const char *config, const struct question *questions, size_t n)
{
	struct world w;

	world_init(&w, config);
	for (size_t i = 0; i < n; i++) {
		const struct question *q = &questions[i];
		char got = ask(&w, q->operation, q->topic, q->user, q->claims);

		if (got != q->expected)
			fail_msg("question %zu, %s by %s %s: %c, not %c", i, q->topic, q->user,
				q->claims, got, q->expected);
	}
	world_fini(&w);
}

#define CHECK_ALL(config, questions) check_all(config, questions, HW_COUNT(questions))

static void topics_fit_patterns(void **state HW_UNUSED)
{
	static const struct question questions[] = {
		{'A', HW_OP_SUBSCRIBE, "gift-list:a", "u", "{}"},
		{'A', HW_OP_SUBSCRIBE, "gift-list:0-9", "u", "{}"},
		{'-', HW_OP_SUBSCRIBE, "gift-lists:a", "u", "{}"},
		{'-', HW_OP_SUBSCRIBE, "gift-lis:a", "u", "{}"},
		{'A', HW_OP_SUBSCRIBE, "one:x", "u", "{}"},
		{'-', HW_OP_SUBSCRIBE, "one:xy", "u", "{}"},
		{'-', HW_OP_SUBSCRIBE, "one:y", "u", "{}"},
		{'A', HW_OP_SUBSCRIBE, "begins:fam-1", "u", "{}"},
		{'A', HW_OP_SUBSCRIBE, "begins:fam-", "u", "{}"},
		{'-', HW_OP_SUBSCRIBE, "begins:fam", "u", "{}"},
		{'A', HW_OP_SUBSCRIBE, "user:u7", "u7", "{}"},
		{'-', HW_OP_SUBSCRIBE, "user:u7", "u70", "{}"},
		{'-', HW_OP_SUBSCRIBE, "user:u70", "u7", "{}"},
		{'A', HW_OP_SUBSCRIBE, "both:acme-u7-x", "u7", "{}"},
		{'-', HW_OP_SUBSCRIBE, "both:acme-u7", "u7", "{}"},
		{'A', HW_OP_SUBSCRIBE, "anything:public", "u", "{}"},
		{'-', HW_OP_SUBSCRIBE, "anything:private", "u", "{}"},
		{'A', HW_OP_SUBSCRIBE, "a:last", "u", "{}"},
		{'-', HW_OP_PUBLISH, "gift-list:a", "u", "{}"},
	};

	CHECK_ALL("{\"rules\":[{\"allow\":[\"subscribe\"],\"topics\":[\"gift-list:*\",\"one:x\","
		  "\"begins:fam-*\",\"user:{user_id}\",\"both:{tenant_id}-{user_id}-x\","
		  "\"*:public\",\"a:last\"]}]}",
		questions);
}

static void claims_fill_patterns(void **state HW_UNUSED)
{
	static const struct question questions[] = {
		{'A', HW_OP_SUBSCRIBE, "chat:r1", "u", "{\"room\":\"r1\"}"},
		{'-', HW_OP_SUBSCRIBE, "chat:r1", "u", "{\"room\":\"r2\"}"},
		{'-', HW_OP_SUBSCRIBE, "chat:r1", "u", "{}"},
		{'-', HW_OP_SUBSCRIBE, "chat:r1", "u", "{\"room\":\"\"}"},
		{'-', HW_OP_SUBSCRIBE, "chat:null", "u", "{\"room\":null}"},
		{'-', HW_OP_SUBSCRIBE, "chat:true", "u", "{\"room\":true}"},
		{'A', HW_OP_SUBSCRIBE, "chat:7", "u", "{\"room\":7}"},
		{'A', HW_OP_SUBSCRIBE, "chat:r3", "u", "{\"room\":[\"r1\",7,\"r3\",null]}"},
		{'A', HW_OP_SUBSCRIBE, "chat:7", "u", "{\"room\":[\"r1\",7,\"r3\",null]}"},
		{'-', HW_OP_SUBSCRIBE, "chat:null", "u", "{\"room\":[\"r1\",7,\"r3\",null]}"},
		{'-', HW_OP_SUBSCRIBE, "chat:r", "u", "{\"room\":[\"r1\",[\"r\"]]}"},
		{'A', HW_OP_SUBSCRIBE, "chat:r1", "u", "{\"room\":\"\\u00721\"}"},
		{'A', HW_OP_SUBSCRIBE, "chat:r1", "u", "{\"room\":[\"x\",\"\\u00721\"]}"},
		/* a shorter value that fits a part does not hide the longer one */
		{'A', HW_OP_SUBSCRIBE, "team:a-b-end", "u", "{\"t\":[\"a\",\"a-b\"]}"},
		{'-', HW_OP_SUBSCRIBE, "team:a-b-c-end", "u", "{\"t\":[\"a\",\"a-b\"]}"},
	};

	CHECK_ALL("{\"rules\":[{\"allow\":[\"subscribe\"],\"topics\":[\"chat:{claims.room}\","
		  "\"team:{claims.t}-end\"]}]}",
		questions);
}

static void a_wildcard_is_only_what_is_allowed_as_one(void **state HW_UNUSED)
{
	static const struct question questions[] = {
		{'A', HW_OP_WILDCARD, "open:*", "u", "{}"},
		{'-', HW_OP_WILDCARD, "list:*", "u", "{}"},
		{'-', HW_OP_WILDCARD, "user:*", "*", "{}"}, /* a user who is called so */
		{'-', HW_OP_WILDCARD, "chat:*", "u", "{\"room\":\"*\"}"},
		{'-', HW_OP_WILDCARD, "part:*", "u", "{}"},
		{'A', HW_OP_SUBSCRIBE, "part:a", "u", "{}"},
		{'A', HW_OP_SUBSCRIBE, "list:a", "u", "{}"},
		{'-', HW_OP_SUBSCRIBE, "open:a", "u", "{}"},
	};

	CHECK_ALL("{\"rules\":[{\"allow\":[\"wildcard\"],\"topics\":[\"open:*\"]},"
		  "{\"allow\":[\"subscribe\"],\"topics\":[\"list:*\"]},"
		  "{\"allow\":[\"subscribe\",\"wildcard\"],\"topics\":[\"user:{user_id}\","
		  "\"chat:{claims.room}\",\"part:a*\",\"other:*\"]}]}",
		questions);
}

static void the_first_rule_that_fits_decides(void **state HW_UNUSED)
{
	static const struct question questions[] = {
		{'D', HW_OP_SUBSCRIBE, "a:secret", "u", "{}"},
		{'A', HW_OP_SUBSCRIBE, "a:x", "u", "{}"},
		{'A', HW_OP_PUBLISH, "a:secret", "u", "{}"},
		{'A', HW_OP_SUBSCRIBE, "b:x", "root", "{}"},
		{'D', HW_OP_SUBSCRIBE, "b:x", "u", "{}"},
		{'D', HW_OP_PUBLISH, "c:x", "u", "{}"}, /* a rule of any resource before its own */
		{'A', HW_OP_SUBSCRIBE, "c:x", "u", "{}"},
		{'D', HW_OP_PRESENCE, "c:x", "u", "{}"},
	};

	CHECK_ALL("{\"otherwise\":\"deny\",\"rules\":["
		  "{\"deny\":[\"subscribe\"],\"topics\":[\"*:secret\"]},"
		  "{\"allow\":[\"subscribe\",\"publish\"],\"topics\":[\"a:*\"]},"
		  "{\"allow\":[\"subscribe\"],\"topics\":[\"b:*\"],\"users\":[\"zoe\",\"root\","
		  "\"amy\"]},"
		  "{\"deny\":[\"publish\"],\"topics\":[\"*:*\"]},"
		  "{\"allow\":[\"publish\",\"subscribe\"],\"topics\":[\"c:*\"]}]}",
		questions);
}

static void rules_are_about_users_and_claims(void **state HW_UNUSED)
{
	static const struct question questions[] = {
		{'A', HW_OP_SUBSCRIBE, "by-user:x", "amy", "{}"},
		{'A', HW_OP_SUBSCRIBE, "by-user:x", "bob", "{}"},
		{'A', HW_OP_SUBSCRIBE, "by-user:x", "zoe", "{}"},
		{'-', HW_OP_SUBSCRIBE, "by-user:x", "am", "{}"},
		{'-', HW_OP_SUBSCRIBE, "by-user:x", "zoey", "{}"},
		{'A', HW_OP_SUBSCRIBE, "by-claim:x", "u", "{\"role\":\"admin\",\"level\":3}"},
		{'A', HW_OP_SUBSCRIBE, "by-claim:x", "u",
			"{\"role\":[\"x\",\"owner\"],\"level\":[1,3]}"},
		{'-', HW_OP_SUBSCRIBE, "by-claim:x", "u", "{\"role\":\"admin\"}"},
		{'-', HW_OP_SUBSCRIBE, "by-claim:x", "u", "{\"role\":\"admin\",\"level\":\"3\"}"},
		{'-', HW_OP_SUBSCRIBE, "by-claim:x", "u", "{\"role\":\"adm\",\"level\":3}"},
		{'-', HW_OP_SUBSCRIBE, "by-claim:x", "u", "{\"role\":\"admins\",\"level\":3}"},
		{'-', HW_OP_SUBSCRIBE, "by-claim:x", "u",
			"{\"role\":{\"admin\":true},\"level\":3}"},
		{'A', HW_OP_SUBSCRIBE, "by-flag:x", "u", "{\"ok\":true}"},
		{'-', HW_OP_SUBSCRIBE, "by-flag:x", "u", "{\"ok\":\"true\"}"},
		{'-', HW_OP_SUBSCRIBE, "by-flag:x", "u", "{\"ok\":false}"},
		{'-', HW_OP_SUBSCRIBE, "by-both:x", "bob", "{\"role\":\"admin\"}"},
		{'-', HW_OP_SUBSCRIBE, "by-both:x", "amy", "{}"},
		{'A', HW_OP_SUBSCRIBE, "by-both:x", "amy", "{\"role\":\"admin\"}"},
	};

	CHECK_ALL("{\"rules\":[{\"allow\":[\"subscribe\"],\"topics\":[\"by-user:x\"],"
		  "\"users\":[\"zoe\",\"amy\",\"bob\"]},"
		  "{\"allow\":[\"subscribe\"],\"topics\":[\"by-claim:x\"],"
		  "\"claims\":{\"role\":[\"admin\",\"owner\"],\"level\":3}},"
		  "{\"allow\":[\"subscribe\"],\"topics\":[\"by-flag:x\"],\"claims\":{\"ok\":true}},"
		  "{\"allow\":[\"subscribe\"],\"topics\":[\"by-both:x\"],\"users\":[\"amy\"],"
		  "\"claims\":{\"role\":\"admin\"}}]}",
		questions);
}

/* A denial must not be lost because of what a token holds. Nor is it the hook that has failed: with
 * three such questions one token would have its breaker shut it for everybody. */
static void a_claim_that_cannot_be_read_is_denied(void **state HW_UNUSED)
{
	struct hw_buf claims;
	struct world w;

	world_init(&w, "{\"rules\":[{\"deny\":[\"subscribe\"],\"topics\":[\"a:*\"],\"claims\":{"
		       "\"bad\":\"yes\"}},{\"allow\":[\"subscribe\"],\"topics\":[\"*:*\"]}]}");
	for (int escaped = 0; escaped < 2; escaped++) {
		hw_buf_init(&claims);
		hw_buf_puts(&claims, escaped ? "{\"bad\":\"\\n" : "{\"bad\":\"");
		for (int i = 0; i < 5000; i++)
			hw_buf_putc(&claims, 'x');
		hw_buf_puts(&claims, "\"}");
		hw_buf_putc(&claims, '\0');
		assert_int_equal(
			ask(&w, HW_OP_SUBSCRIBE, "a:x", "u", claims.data), escaped ? 'D' : 'A');
		assert_int_equal(ask(&w, HW_OP_SUBSCRIBE, "b:x", "u", claims.data), 'A');
		hw_buf_fini(&claims);
	}
	world_fini(&w);
}

static void many_rules_are_found_by_their_resource(void **state HW_UNUSED)
{
	struct hw_buf config;
	struct world w;
	char topic[32];

	hw_buf_init(&config);
	hw_buf_puts(&config, "{\"rules\":[");
	for (int i = 0; i < 500; i++)
		hw_buf_printf(&config,
			"%s{\"%s\":[\"subscribe\"],\"topics\":[\"r%d:x\",\"r%d:y\"]}", i ? "," : "",
			i % 3 ? "allow" : "deny", i, (i + 1) % 500);
	hw_buf_puts(&config, "]}");
	hw_buf_putc(&config, '\0');
	world_init(&w, config.data);
	for (int i = 0; i < 500; i++) {
		snprintf(topic, sizeof(topic), "r%d:x", i);
		assert_int_equal(ask(&w, HW_OP_SUBSCRIBE, topic, "u", "{}"), i % 3 ? 'A' : 'D');
		snprintf(topic, sizeof(topic), "r%d:y", (i + 1) % 500);
		assert_int_equal(ask(&w, HW_OP_SUBSCRIBE, topic, "u", "{}"), i % 3 ? 'A' : 'D');
		snprintf(topic, sizeof(topic), "r%d:z", i);
		assert_int_equal(ask(&w, HW_OP_SUBSCRIBE, topic, "u", "{}"), '-');
	}
	hw_buf_fini(&config);
	world_fini(&w);
}

static void a_file_is_a_text_with_comments(void **state HW_UNUSED)
{
	static const struct question questions[] = {
		{'A', HW_OP_SUBSCRIBE, "a:x", "u//no", "{}"},
		{'A', HW_OP_SUBSCRIBE, "a:x", "é\"\\", "{}"},
		{'-', HW_OP_SUBSCRIBE, "a:x", "u", "{}"},
		{'-', HW_OP_SUBSCRIBE, "b:x", "u//no", "{}"},
	};

	CHECK_ALL("{\"rules\":\" // first\\n[ /* {\\\"allow\\\" **/ "
		  "{\\\"allow\\\":[\\\"subscribe\\\"],"
		  " // more\\n\\\"topics\\\":[\\\"a:*\\\"/**/], \\\"users\\\": [\\\"u//no\\\","
		  "\\\"\\\\u00e9\\\\\\\"\\\\\\\\\\\"]}] // end\"}",
		questions);
}

static void settings_that_are_wrong_are_refused(void **state HW_UNUSED)
{
#define RULE(text) "{\"rules\":[" text "]}"
#define TOPIC(text) RULE("{\"allow\":[\"subscribe\"],\"topics\":[\"a:b\",\"" text "\"]}")
	static const struct {
		const char *config, *path, *text;
	} cases[] = {
		{"{}", "", "there are no \"rules\""},
		{"{\"rulez\":[]}", "/rulez", "unknown setting"},
		{"{\"rules\":7}", "/rules", "array of rules"},
		{"{\"rules\":[],\"otherwise\":\"allow\"}", "/otherwise", "\"defer\""},
		{"{\"rules\":[],\"rules\":[]}", "/rules", "twice"},
		{RULE("7"), "/rules/0", "must be a rule"},
		{RULE("{}"), "/rules/0", "\"allow\" or \"deny\""},
		{RULE("{\"allow\":[\"publish\"],\"deny\":[\"publish\"],\"topics\":[\"a:b\"]}"),
			"/rules/0", "one of them"},
		{RULE("{\"allow\":[\"publish\"],\"allow\":[\"publish\"]}"), "/rules/0/allow",
			"twice"},
		{RULE("{\"allow\":[]}"), "/rules/0/allow", "not empty"},
		{RULE("{\"allow\":\"publish\"}"), "/rules/0/allow", "array"},
		{RULE("{\"allow\":[\"publish\",\"read\"]}"), "/rules/0/allow/1", "presence"},
		{RULE("{\"allow\":[\"publish\"]}"), "/rules/0", "no \"topics\""},
		{RULE("{\"allow\":[\"publish\"],\"topics\":[\"a:b\"],\"user\":[\"x\"]}"),
			"/rules/0/user", "unknown"},
		{RULE("{\"allow\":[\"publish\"],\"topics\":[\"a:b\"],\"a~/b\":1}"),
			"/rules/0/a~0~1b", "unknown"},
		{RULE("{\"allow\":[\"publish\"],\"topics\":[\"a:b\"],\"users\":[]}"),
			"/rules/0/users", "not empty"},
		{RULE("{\"allow\":[\"publish\"],\"topics\":[\"a:b\"],\"users\":[\"a\",7]}"),
			"/rules/0/users/1", "user id"},
		{RULE("{\"allow\":[\"publish\"],\"topics\":[\"a:b\"],\"claims\":{}}"),
			"/rules/0/claims", "not empty"},
		{RULE("{\"allow\":[\"publish\"],\"topics\":[\"a:b\"],\"claims\":{\"r\":null}}"),
			"/rules/0/claims/r", "a text"},
		{RULE("{\"allow\":[\"publish\"],\"topics\":[\"a:b\"],\"claims\":{\"r\":[\"x\",[]]}"
		      "}"),
			"/rules/0/claims/r/1", "a text"},
		{RULE("{\"allow\":[\"wildcard\"],\"topics\":[\"a:b*\"]}"), "/rules/0",
			"a wildcard can be"},
		{RULE("{\"allow\":[\"publish\"],\"topics\":[\"a:b\"]},{\"allow\":[\"publish\"],"
		      "\"topics\":[7]}"),
			"/rules/1/topics/0", "a text"},
		{TOPIC("gift"), "/rules/0/topics/1", "no colon"},
		{TOPIC(":x"), "/rules/0/topics/1", "before the colon"},
		{TOPIC("a:"), "/rules/0/topics/1", "after the colon"},
		{TOPIC("A:x"), "/rules/0/topics/1", "resource"},
		{TOPIC("0a:x"), "/rules/0/topics/1", "resource"},
		{TOPIC("a*:x"), "/rules/0/topics/1", "resource"},
		{TOPIC("a:X"), "/rules/0/topics/1", "no topic has such an id"},
		{TOPIC("a:b:c"), "/rules/0/topics/1", "no topic has such an id"},
		{TOPIC("a:*-x"), "/rules/0/topics/1", "not its end"},
		{TOPIC("a:{user_id"), "/rules/0/topics/1", "without }"},
		{TOPIC("a:{}"), "/rules/0/topics/1", "nobody knows {}"},
		{TOPIC("a:{user}"), "/rules/0/topics/1", "nobody knows {user}"},
		{TOPIC("a:{claims.}"), "/rules/0/topics/1", "nobody knows {claims.}"},
		{TOPIC("a:{claims.x}-{claims.y}"), "/rules/0/topics/1", "two claims"},
		{TOPIC("a:{user_id}{user_id}{user_id}{user_id}{user_id}{user_id}{user_id}{user_id}"
		       "*"),
			"/rules/0/topics/1", "more than 8 parts"},
		{"{\"rules\":\"\"}", "/rules", "line 1, column 1: not JSON here"},
		{"{\"rules\":\"{}\"}", "/rules", "line 1, column 1: not JSON here"},
		{"{\"rules\":\"\\n[] x\"}", "/rules", "line 2, column 4: not JSON here"},
		{"{\"rules\":\"[\\n {} \\n /* \"}", "/rules", "line 3, column 2: a comment"},
		{"{\"rules\":\"[\\n {\\\"allow\\\":\\n [\\\"é\\\", x]}]\"}", "/rules",
			"line 3, column 8: not JSON here"},
		{"{\"rules\":\"[\\n {\\\"allow\\\":\\n [\\\"subscribe\\\"],}]\"}", "/rules",
			"line 3, column 16: not JSON here"},
		{"{\"rules\":\"[{}\"}", "/rules", "not JSON here"},
		{"{\"rules\":\"[\\n // é\\n {\\\"allow\\\":[\\\"subscribe\\\"], "
		 "\\\"topics\\\":[\\\"é\\\"]}]\"}",
			"/rules", "line 3, column 36 (/0/topics/0): has no colon"},
	};
	struct hw_hook_entry *entry;
	struct loaded l;

	loaded_init(&l, NULL);
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		assert_true(loaded_load(&l, ACL, cases[i].config, false, &entry) < 0);
		if (strcmp(l.problem.path, cases[i].path) != 0 ||
			!strstr(l.problem.text, cases[i].text))
			fail_msg("%s\n%s: %s\nnot %s: %s", cases[i].config, l.problem.path,
				l.problem.text, cases[i].path, cases[i].text);
	}
	loaded_fini(&l);
}

static void too_many_claims_are_refused(void **state HW_UNUSED)
{
	struct hw_hook_entry *entry;
	struct hw_buf config;
	struct loaded l;

	loaded_init(&l, NULL);
	for (int n = 32; n <= 33; n++) {
		hw_buf_init(&config);
		hw_buf_puts(&config,
			"{\"rules\":[{\"allow\":[\"publish\"],\"topics\":[\"a:b\"],\"claims\":{");
		for (int i = 0; i < n; i++)
			hw_buf_printf(&config, "%s\"c%d\":1", i ? "," : "", i);
		hw_buf_puts(&config, "}}]}");
		hw_buf_putc(&config, '\0');
		if (n == 32) {
			assert_int_equal(loaded_load(&l, ACL, config.data, false, &entry), 0);
			hw_hook_entry_unref(&entry);
		} else {
			assert_true(loaded_load(&l, ACL, config.data, false, &entry) < 0);
			assert_string_equal(l.problem.path, "/rules/0/claims/c32");
		}
		hw_buf_fini(&config);
	}
	loaded_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topics_fit_patterns),
		cmocka_unit_test(claims_fill_patterns),
		cmocka_unit_test(a_wildcard_is_only_what_is_allowed_as_one),
		cmocka_unit_test(the_first_rule_that_fits_decides),
		cmocka_unit_test(rules_are_about_users_and_claims),
		cmocka_unit_test(a_claim_that_cannot_be_read_is_denied),
		cmocka_unit_test(many_rules_are_found_by_their_resource),
		cmocka_unit_test(a_file_is_a_text_with_comments),
		cmocka_unit_test(settings_that_are_wrong_are_refused),
		cmocka_unit_test(too_many_claims_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
