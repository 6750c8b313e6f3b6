/* scripts/policies/family.lua as it is shipped: who may follow and publish what, and what becomes
 * of secrets. */
#include "lua_world.h"

static char *read_policy(void)
{
	FILE *f = fopen(HW_SOURCE_DIR "/scripts/policies/family.lua", "r");
	char *text = calloc(1, 65536);

	assert_non_null(f);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

static void load_family(struct world *w, const char *config)
{
	char *source = read_policy();

	if (world_load(w, false, source, config) != 0)
		fail_msg("%s", w->problem.text);
	free(source);
}

struct row {
	const char *config;
	const char *claims;
	enum hw_operation operation;
	const char *topic;
	bool allowed;
	bool act_as;
};

#define SUB HW_OP_SUBSCRIBE
#define ALL HW_OP_WILDCARD
#define PUB HW_OP_PUBLISH
#define PRE HW_OP_PRESENCE

/* clang-format off: one case a line */
static const struct row rows[] = {
	/* a member; families as a list, a text, a text with commas */
	{NULL, "{\"families\":[\"family-1\",\"family-2\"]}", SUB, "gift-list:family-1", true,
		false},
	{NULL, "{\"families\":[\"family-1\",\"family-2\"]}", SUB, "shopping-list:family-2", true,
		false},
	{NULL, "{\"families\":[\"family-1\",\"family-2\"]}", SUB, "gift-list:family-3", false,
		false},
	{NULL, "{\"families\":[\"family-1\",\"family-2\"]}", PRE, "gift-list:family-1", true,
		false},
	{NULL, "{\"families\":[\"family-1\",\"family-2\"]}", PRE, "gift-list:family-3", false,
		false},
	{NULL, "{\"families\":[\"family-1\"]}", PUB, "gift-list:family-1", true, false},
	{NULL, "{\"families\":[\"family-1\"]}", PUB, "gift-list:family-2", false, false},
	{NULL, "{\"families\":[\"family-1\"]}", ALL, "gift-list:*", false, false},
	{NULL, "{\"families\":\"family-1\"}", SUB, "gift-list:family-1", true, false},
	{NULL, "{\"families\":\"family-0, family-1\"}", SUB, "gift-list:family-1", true, false},
	{NULL, "{\"families\":\"family-12\"}", SUB, "gift-list:family-1", false, false},
	{NULL, "{\"families\":5}", SUB, "gift-list:5", false, false},
	{NULL, "{\"families\":null}", SUB, "gift-list:family-1", false, false},
	{NULL, "{\"families\":{\"family-1\":true}}", SUB, "gift-list:family-1", false, false},
	{NULL, "{\"families\":[\"*\"]}", ALL, "gift-list:*", false, false},
	/* nobody */
	{NULL, "{}", SUB, "gift-list:family-1", false, false},
	{NULL, "{}", PUB, "gift-list:family-1", false, false},
	{NULL, "{}", ALL, "gift-list:*", false, false},
	/* one's own topic */
	{NULL, "{}", SUB, "user:u1", true, false},
	{NULL, "{}", PUB, "user:u1", true, false},
	{NULL, "{}", SUB, "user:u2", false, false},
	{NULL, "{\"families\":[\"u2\"]}", SUB, "user:u2", false, false},
	{NULL, "{\"families\":[\"x\"]}", SUB, "unknown:x", false, false},
	/* roles, one or several */
	{NULL, "{\"role\":\"admin\"}", SUB, "gift-list:family-1", true, false},
	{NULL, "{\"role\":\"admin\"}", ALL, "gift-list:*", true, false},
	{NULL, "{\"role\":\"admin\"}", PUB, "unknown:x", true, false},
	{NULL, "{\"roles\":[\"member\",\"admin\"]}", ALL, "gift-list:*", true, false},
	{NULL, "{\"role\":\"administrator\"}", ALL, "gift-list:*", false, false},
	{NULL, "{\"role\":\"service\"}", PUB, "gift-list:family-1", true, true},
	{NULL, "{\"roles\":[\"service\"]}", PUB, "anything:x", true, true},
	{NULL, "{\"role\":\"service\"}", ALL, "gift-list:*", true, false},
	/* settings */
	{"{\"open_resources\":[\"gift-list\"]}", "{}", SUB, "gift-list:family-123", true, false},
	{"{\"open_resources\":[\"gift-list\"]}", "{}", PUB, "gift-list:family-123", true, false},
	{"{\"open_resources\":[\"gift-list\"]}", "{}", SUB, "shopping-list:family-123", false,
		false},
	{"{\"open_resources\":[\"gift-list\"]}", "{}", ALL, "gift-list:*", false, false},
	{"{\"members_publish\":false}", "{\"families\":[\"f\"]}", SUB, "gift-list:f", true, false},
	{"{\"members_publish\":false}", "{\"families\":[\"f\"]}", PUB, "gift-list:f", false, false},
	{"{\"members_publish\":false}", "{\"role\":\"service\"}", PUB, "gift-list:f", true, true},
	{"{\"family_resources\":[\"wishes\"]}", "{\"families\":[\"f\"]}", SUB, "wishes:f", true,
		false},
	{"{\"family_resources\":[\"wishes\"]}", "{\"families\":[\"f\"]}", SUB, "gift-list:f", false,
		false},
	{"{\"admin_roles\":[\"boss\"],\"service_roles\":[]}", "{\"role\":\"boss\"}", ALL,
		"gift-list:*", true, false},
	{"{\"admin_roles\":[\"boss\"],\"service_roles\":[]}", "{\"roles\":[\"admin\",\"service\"]}",
		ALL, "gift-list:*", false, false},
	{"{\"personal_resources\":[\"inbox\"]}", "{}", SUB, "inbox:u1", true, false},
	{"{\"personal_resources\":[\"inbox\"]}", "{}", SUB, "user:u1", false, false},
};
/* clang-format on */

static void members_admins_and_services_may_what_the_file_says(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(rows); i++) {
		const struct row *r = &rows[i];
		enum hw_verdict v;

		load_family(&w, r->config);
		w.claims = r->claims;
		v = world_authorize(
			&w, r->operation, r->topic, r->operation == PUB ? "{\"data\":{}}" : NULL);
		if (v != (r->allowed ? HW_ALLOW : HW_DENY) || w.answer.act_as != r->act_as)
			fail_msg("%s on %s with %s: verdict %d %s", r->topic,
				r->config ? r->config : "the defaults", r->claims, v,
				w.answer.detail);
		if (!r->allowed)
			assert_string_equal(w.answer.code, "forbidden_topic");
	}
	print_message("%zu rows\n", HW_COUNT(rows));
	world_fini(&w);
}

static void expect_event(struct world *w, const char *in, const char *out)
{
	if (world_transform(w, in) != HW_ALLOW)
		fail_msg("%s: %s", in, w->answer.detail);
	if (out && !w->answer.event)
		fail_msg("%s: nothing was taken out", in);
	if (!out)
		assert_null(w->answer.event);
	else
		assert_string_equal(w->answer.event, out);
}

static void secrets_are_taken_out_and_nothing_else_is_touched(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	load_family(&w, NULL);
	expect_event(&w,
		"{\"data\":{\"payload\":{\"name\":\"Bike\",\"secret\":\"red\",\"price\":1.10}}}",
		"{\"data\":{\"payload\":{\"name\":\"Bike\",\"price\":1.10}}}");
	expect_event(&w, "{\"data\":{\"payload\":{\"name\":\"Bike\"}}}", NULL);
	expect_event(&w, "{\"data\":{\"payload\":[{\"secret\":1,\"a\":2.0},{\"a\":3.0}]}}",
		"{\"data\":{\"payload\":[{\"a\":2.0},{\"a\":3.0}]}}");
	expect_event(&w, "{\"data\":{\"payload\":\"text\"}}", NULL);
	expect_event(&w, "{\"data\":{\"payload\":null}}", NULL);
	expect_event(&w, "{\"data\":{\"payload\":[]}}", NULL);
	expect_event(&w, "{\"data\":{\"secret\":1}}", NULL); /* only the payload is meant */
	load_family(&w, "{\"secret_fields\":[\"giver.phone\",\"items.cost\"]}");
	expect_event(&w,
		"{\"data\":{\"payload\":{\"giver\":{\"name\":\"x\",\"phone\":1},\"items\":[{"
		"\"cost\":1},{\"n\":1,\"cost\":2}],\"secret\":1}}}",
		"{\"data\":{\"payload\":{\"giver\":{\"name\":\"x\"},\"items\":[{},{\"n\":1}],"
		"\"secret\":1}}}");
	expect_event(&w, "{\"data\":{\"payload\":{\"giver\":\"x\",\"items\":5}}}", NULL);
	load_family(&w, "{\"secret_fields\":[]}");
	expect_event(&w, "{\"data\":{\"payload\":{\"secret\":1}}}", NULL);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_admins_and_services_may_what_the_file_says),
		cmocka_unit_test(secrets_are_taken_out_and_nothing_else_is_touched),
	};

	return cmocka_run_group_tests_name("hook.family_policy", tests, NULL, NULL);
}
