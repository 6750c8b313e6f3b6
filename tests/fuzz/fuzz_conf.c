// links: app
/* The configuration reader on any bytes: it survives, says what it refuses in one line without a
 * secret, agrees with jansson on what JSON is, and what it accepts keeps the promises of conf.h. No
 * file and no environment is touched. */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/conf_internal.h"

#define SECRET "5ub5t1tut3d-v41u3"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "broken promise: %s\n", what);
		abort();
	}
}

static const char *env(void *arg, const char *name)
{
	(void)arg;
	return strlen(name) % 3 != 0 ? SECRET : NULL;
}

static void check_report(const struct hw_conf_report *report, struct hw_str text)
{
	bool said_by_input = text.len > 0 && memmem(text.p, text.len, "5ub5", 4);

	require(!report->failed, "memory");
	for (size_t i = 0; i < report->n_items; i++) {
		const char *line = report->items[i].text;

		require(strncmp(line, "dir/f.json:", 11) == 0, "a message starts with the file");
		require(said_by_input || !strstr(line, SECRET), "no message holds a secret");
		for (; *line; line++)
			require((unsigned char)*line >= ' ', "a message is one line");
	}
}

/* The same value for both readers. */
static bool same(const struct hw_conf_value *v, const json_t *j)
{
	const char *key;
	size_t i = 0;
	json_t *item;

	switch (v->type) {
	case HW_CONF_NULL:
		return json_is_null(j);
	case HW_CONF_BOOL:
		return json_is_boolean(j) && json_is_true(j) == v->boolean;
	case HW_CONF_NUMBER:
		if (v->is_integer)
			return json_is_integer(j) && json_integer_value(j) == v->integer;
		return json_is_real(j) && json_real_value(j) == v->number;
	case HW_CONF_STRING:
		return json_is_string(j) && json_string_length(j) == v->text.len &&
		       memcmp(json_string_value(j), v->text.p, v->text.len) == 0;
	case HW_CONF_ARRAY:
		if (!json_is_array(j) || json_array_size(j) != v->n_children)
			return false;
		for (const struct hw_conf_value *c = v->first; c; c = c->next)
			if (!same(c, json_array_get(j, i++)))
				return false;
		return true;
	case HW_CONF_OBJECT:
		if (!json_is_object(j) || json_object_size(j) != v->n_children)
			return false;
		json_object_foreach((json_t *)j, key, item)
		{
			const struct hw_conf_value *c = hw_conf_value_get(v, hw_str_of(key));

			if (!c || !same(c, item))
				return false;
		}
		return true;
	}
	return false;
}

static void check_printed(const struct hw_conf_value *root)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
	struct hw_buf out;
	json_t *j;

	hw_buf_init(&out);
	hw_conf_value_print(root, &out);
	require(!out.failed, "memory");
	j = json_loadb(out.data, out.len, flags, NULL);
	require(j != NULL, "what is printed is JSON");
	require(same(root, j), "what is printed is what was read");
	json_decref(j);
	hw_buf_fini(&out);
}

static void fuzz_tree(struct hw_str text)
{
	const struct hw_conf_tree_options options = {.file = "dir/f.json", .env = env};
	struct hw_conf_report report;
	struct hw_conf_tree *tree = NULL;
	json_t *j;
	int rc;

	hw_conf_report_init(&report);
	rc = hw_conf_tree_parse(text, &options, &tree, &report);
	require(rc == (report.n_errors > 0), "1 if and only if there are errors");
	require(rc == 1 || tree, "a good text has a root");
	check_report(&report, text);
	if (rc == 0)
		check_printed(hw_conf_tree_root(tree));

	/* plain JSON is read by both, and as the same, but for what only the configuration refuses;
	 * to jansson a NUL byte ends the text */
	j = memchr(text.p, '\0', text.len)
		    ? NULL
		    : json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	if (j && !memmem(text.p, text.len, "${", 2) && !memmem(text.p, text.len, "@file:", 6)) {
		bool deep = rc == 1 && strstr(report.items[0].text, "more than 64 arrays");

		require(deep || rc == 0, "JSON is accepted");
		require(deep || same(hw_conf_tree_root(tree), j), "JSON is read right");
	}
	json_decref(j);
	hw_conf_tree_destroy(&tree);
	hw_conf_report_fini(&report);
}

static void check_hooks(const struct hw_conf_hook *hooks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_t *j = json_loadb(hooks[i].config.p, hooks[i].config.len, 0, NULL);

		require(json_is_object(j), "a hook's settings are an object");
		require(hooks[i].name && hooks[i].path && hooks[i].given, "a hook is complete");
		require(hooks[i].budget.cpu_ms > 0 && hooks[i].budget.memory_bytes > 0,
			"a budget is positive");
		require(hw_conf_hook_locate(&hooks[i], HW_STR("/keys/0/alg~1")).line > 0,
			"a place is found");
		json_decref(j);
	}
}

static void check_part(const struct hw_conf_part *part)
{
	const struct hw_conf_global *g = part->global;

	for (size_t i = 0; i < part->n_tenants; i++) {
		require(part->tenants[i].id && part->tenants[i].id[0], "a tenant has a name");
		require(part->tenants[i].limits.connections > 0, "limits are positive");
		check_hooks(part->tenants[i].hooks, part->tenants[i].n_hooks);
	}
	if (!g)
		return;
	check_hooks(g->hooks, g->n_hooks);
	require(g->n_listen > 0, "somebody listens");
	for (size_t i = 0; i < g->n_listen; i++)
		require(g->listen[i].text && g->listen[i].addr_len > 0, "an address is complete");
	require(g->heartbeat.timeout_ms > g->heartbeat.interval_ms, "pinged before cut off");
	require(!g->auth.cookie || !g->auth.any_origin, "no cookie with any origin");
	require(!g->admin.token || strlen(g->admin.token) >= 16, "a token is long");
	require(g->journal.retention.count > 0 && g->journal.retention.bytes > 0 &&
			g->journal.retention.age_ms > 0,
		"retention is positive");
	for (size_t i = 0; i < g->n_topics; i++)
		require(g->topics[i].pattern && g->topics[i].retention.count > 0,
			"a topic class is complete");
}

static void fuzz_part(struct hw_str text, bool main)
{
	static const char *const plugin_path[] = {"plugins"};
	const struct hw_conf_part_options options = {
		.env = env, .plugin_path = plugin_path, .n_plugin_path = 1, .script_path = "lib"};
	struct hw_conf_part *part = hw_conf_part_create("dir/f.json");
	struct hw_conf_report report;

	require(part != NULL, "memory");
	hw_conf_report_init(&report);
	require(hw_conf_part_read(part, text, main, &options, &report) == 0, "a part is read");
	check_report(&report, text);
	if (report.n_errors == 0)
		check_part(part);
	hw_conf_report_fini(&report);
	hw_conf_part_unref(&part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hw_str text = {size > 0 ? (const char *)data : "", size};

	fuzz_tree(text);
	fuzz_part(text, true);
	fuzz_part(text, false);
	return 0;
}
