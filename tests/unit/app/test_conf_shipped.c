#include "app/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/cmd_check.h"
#include "app/conf_tree.h"

#include "conf_files.h"

static const char *env_of_shipped(void *arg, const char *name)
{
	(void)arg;
	if (strcmp(name, "HOOKWIRE_ADMIN_TOKEN") == 0 || strcmp(name, "HOOKWIRE_JWT_SECRET") == 0)
		return "0123456789abcdef0123456789abcdef";
	return NULL;
}

static struct hw_conf *load_shipped(struct load *l, const char *name)
{
	const struct hw_conf_options options = {.env = env_of_shipped, .exe_dir = l->files.dir};
	char path[512];

	snprintf(path, sizeof(path), HW_SOURCE_DIR "/conf/%s", name);
	hw_conf_destroy(&l->conf);
	hw_conf_report_fini(&l->report);
	assert_true(hw_conf_load_with(path, &options, &l->conf, &l->report) >= 0);
	show(l);
	assert_int_equal(l->report.n_items, 0);
	return l->conf;
}

static void the_shipped_files_are_good(void **state)
{
	load_shipped(*state, "minimal.json");
	load_shipped(*state, "dev.json");
	load_good(*state, "{\"hooks\": [{\"plugin\": \"jwt\"}], \"include\": [\"" HW_SOURCE_DIR
			  "/conf/tenants.d/example.json.off\"]}");
	assert_int_equal(((struct load *)*state)->report.n_items, 0);
}

/* Every number, switch and word of the two is the same. */
static void the_shipped_file_of_all_keys_has_the_defaults(void **state)
{
	struct load *l = *state;
	struct hw_conf_global all = *load_shipped(l, "hookwire.json")->global;
	const struct hw_conf_tenant *any = tenant(l, "x");
	struct hw_conf_tenant star = *any;
	struct hw_conf_budget budget = any->hooks[0].budget;
	struct hw_conf_breaker breaker = any->hooks[0].breaker;
	struct hw_conf_global defaults;

	assert_string_equal(all.listen[0].text, "127.0.0.1:8080");
	assert_string_equal(all.admin.listen.text, "127.0.0.1:8081");
	assert_null(all.auth.cookie);
	assert_true(all.auth.any_origin);
	assert_null(all.echo);
	assert_null(all.plugin_cache);
	load_good(l, "{\"tenants\": {\"*\": {\"hooks\": [{\"lua\": \"open.lua\"}]}}}");
	defaults = *l->conf->global;
	assert_int_equal(all.workers, defaults.workers);
	assert_int_equal(all.log.level, defaults.log.level);
	assert_int_equal(all.log.format, defaults.log.format);
	assert_int_equal(all.auth.query, defaults.auth.query);
	assert_int_equal(all.auth.first_message, defaults.auth.first_message);
	assert_int_equal(all.auth.timeout_ms, defaults.auth.timeout_ms);
	assert_memory_equal(
		&all.journal.retention, &defaults.journal.retention, sizeof(all.journal.retention));
	assert_memory_equal(
		&all.slow.outbox_bytes, &defaults.slow.outbox_bytes, sizeof(all.slow.outbox_bytes));
	assert_int_equal(all.slow.deadline_ms, defaults.slow.deadline_ms);
	assert_int_equal(all.limits.message_bytes, defaults.limits.message_bytes);
	assert_int_equal(all.limits.body_bytes, defaults.limits.body_bytes);
	assert_int_equal(all.limits.topics_per_session, defaults.limits.topics_per_session);
	assert_int_equal(all.heartbeat.interval_ms, defaults.heartbeat.interval_ms);
	assert_int_equal(all.heartbeat.timeout_ms, defaults.heartbeat.timeout_ms);
	assert_int_equal(all.drain_ms, defaults.drain_ms);
	any = tenant(l, "x");
	assert_memory_equal(&star.limits, &any->limits, sizeof(star.limits));
	assert_memory_equal(&star.retention, &any->retention, sizeof(star.retention));
	assert_int_equal(budget.cpu_ms, any->hooks[0].budget.cpu_ms);
	assert_int_equal(budget.load_ms, any->hooks[0].budget.load_ms);
	assert_int_equal(budget.memory_bytes, any->hooks[0].budget.memory_bytes);
	assert_int_equal(budget.deadline_ms, any->hooks[0].budget.deadline_ms);
	assert_int_equal(budget.in_flight, any->hooks[0].budget.in_flight);
	assert_int_equal(budget.idle_ms, any->hooks[0].budget.idle_ms);
	assert_memory_equal(&breaker, &any->hooks[0].breaker, sizeof(breaker));
}

/* Every key that the reader knows and takes stands in the file, and those of later versions in its
 * comments. */
static void the_shipped_file_of_all_keys_has_all_keys(void **state)
{
	struct hw_conf_tree_options options = {.file = "keys", .files = false};
	struct hw_buf text, keys;
	struct hw_str rest, line;
	size_t n = 0;

	(void)state;
	hw_buf_init(&text);
	hw_buf_init(&keys);
	assert_int_equal(
		hw_conf_read_file(HW_SOURCE_DIR "/conf/hookwire.json", HW_CONF_FILE_MAX, &text), 0);
	hw_buf_putc(&text, '\0');
	hw_conf_dump_keys(&keys);
	rest = hw_buf_view(&keys);
	while ((line = hw_str_cut(&rest, '\n')).len > 0) {
		struct hw_conf_report report;
		struct hw_conf_tree *tree;
		const char *slash;
		char quoted[64];

		hw_conf_report_init(&report);
		assert_int_equal(hw_conf_tree_parse(line, &options, &tree, &report), 0);
		slash = strrchr(
			hw_conf_value_get(hw_conf_tree_root(tree), HW_STR("path"))->text.p, '/');
		snprintf(quoted, sizeof(quoted), "\"%s\"", slash + 1);
		if (!strstr(text.data, quoted))
			fail_msg("conf/hookwire.json says nothing of %s", quoted);
		n++;
		hw_conf_tree_destroy(&tree);
		hw_conf_report_fini(&report);
	}
	assert_true(n > 80);
	hw_buf_fini(&keys);
	hw_buf_fini(&text);
}

static int dump_keys(void)
{
	struct hw_buf out;

	hw_buf_init(&out);
	hw_conf_dump_keys(&out);
	fwrite(out.data, 1, out.len, stdout);
	hw_buf_fini(&out);
	return 0;
}

/* Without arguments the tests; for the test of the schema: --keys prints the keys, check -c FILE is
 * the command. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_shipped_files_are_good),
		TEST(the_shipped_file_of_all_keys_has_the_defaults),
		TEST(the_shipped_file_of_all_keys_has_all_keys),
	};

	if (argc == 2 && strcmp(argv[1], "--keys") == 0)
		return dump_keys();
	if (argc > 1 && strcmp(argv[1], "check") == 0)
		return hw_cmd_check(argc - 1, argv + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
