#include "app/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf_files.h"

static void included_files_are_units_of_their_own(void **state)
{
	struct load *l = *state;

	conf_files_put(&l->files, "tenants.d/b.json", "{\"tenants\": {" TENANT("b", "2") "}}");
	conf_files_put(&l->files, "tenants.d/a.json",
		"{\"$schema\": \"x\", \"tenants\": {" TENANT("a", "1") "}}");
	conf_files_put(&l->files, "tenants.d/c.json.off", "no JSON");
	load_good(l, "{\"include\": [\"tenants.d/*.json\", \"tenants.d/b.json\"], \"tenants\": "
		     "{\"*\": {}}}");
	assert_int_equal(l->conf->n_units, 3);
	assert_string_equal(l->conf->units[0].name, l->files.conf);
	assert_non_null(strstr(l->conf->units[1].name, "/tenants.d/a.json"));
	assert_non_null(strstr(l->conf->units[2].name, "/tenants.d/b.json"));
	assert_int_equal(l->conf->n_tenants, 3);
	assert_int_equal(tenant(l, "a")->limits.connections, 1);
	assert_ptr_equal(tenant(l, "a")->unit, l->conf->units[1].name);
	assert_string_equal(tenant(l, "c")->id, "*");
	assert_non_null(strstr(l->conf->units[2].text.p, "\"connections\":2"));
	assert_int_equal(l->conf->global->n_include, 2);
}

static void an_included_file_may_hold_tenants_alone(void **state)
{
	struct load *l = *state;

	conf_files_put(&l->files, "tenants.d/a.json",
		"{\n\"drain_ms\": 1, \"tenant\": {},\n\"include\": []}");
	load(l, "{\"include\": [\"tenants.d/*.json\"]}");
	assert_int_equal(l->report.n_errors, 3);
	assert_problem(l, "tenants.d/a.json", "2:1",
		"\"drain_ms\" is not a key here; an included file holds only");
	assert_problem(l, "tenants.d/a.json", "2:16", "did you mean \"tenants\"?");
	assert_problem(l, "tenants.d/a.json", "3:1", "an included file holds only");
	assert_false(l->conf->units[0].broken);
	assert_true(l->conf->units[1].broken);
	assert_true(hw_conf_report_has_errors(&l->report, l->conf->units[1].name));
	assert_false(hw_conf_report_has_errors(&l->report, l->conf->units[0].name));
}

static void a_pattern_in_a_missing_directory_is_a_warning(void **state)
{
	struct load *l = *state;

	load_good(l, "{\"hooks\": [{\"plugin\": \"jwt\"}],\n\"include\": [\"tenant.d/*.json\", "
		     "\"tenants.d/*.json\"]}");
	assert_int_equal(l->report.n_warnings, 1);
	assert_problem(l, "hookwire.json", "2:13", "includes nothing: there is no such directory");
}

static void a_broken_file_leaves_the_others(void **state)
{
	struct load *l = *state;

	conf_files_put(&l->files, "tenants.d/a.json", "{\"tenants\": {" TENANT("a", "1") "}");
	conf_files_put(&l->files, "tenants.d/b.json", "{\"tenants\": {" TENANT("b", "2") "}}");
	load(l, "{\"include\": [\"tenants.d/*.json\"]}");
	assert_int_equal(l->rc, HW_CONF_PARTIAL);
	assert_false(l->conf->units[0].broken);
	assert_true(l->conf->units[1].broken);
	assert_int_equal(l->conf->units[1].text.len, 0);
	assert_null(l->conf->units[1].root);
	assert_false(l->conf->units[2].broken);
	assert_null(tenant(l, "a"));
	assert_int_equal(tenant(l, "b")->limits.connections, 2);
}

static void a_tenant_defined_twice_names_both_places(void **state)
{
	struct load *l = *state;

	conf_files_put(&l->files, "tenants.d/a.json", "{\"tenants\": {\n" TENANT("x", "1") "}}");
	conf_files_put(&l->files, "tenants.d/b.json", "{\"tenants\": {\n\n" TENANT("x", "2") "}}");
	load(l, "{\"include\": [\"tenants.d/*.json\"]}");
	assert_problem(l, "tenants.d/a.json", "2:1", "b.json:3:1; remove one");
	assert_problem(l, "tenants.d/b.json", "3:1", "a.json:2:1; remove one");
	assert_true(l->conf->units[1].broken);
	assert_true(l->conf->units[2].broken);
	assert_false(l->conf->units[0].broken);

	/* an included file never stops the main one */
	conf_files_remove(&l->files, "tenants.d/b.json");
	load(l, "{\"include\": [\"tenants.d/*.json\"], \"tenants\": {\"x\": {}}}");
	assert_int_equal(l->report.n_errors, 1);
	assert_problem(l, "tenants.d/a.json", "2:1", "hookwire.json:1:47; remove one");
	assert_false(l->conf->units[0].broken);
	assert_true(l->conf->units[1].broken);
	assert_string_equal(tenant(l, "x")->unit, l->files.conf);
}

#define MAIN "{\"include\": [\"tenants.d/*.json\"], \"drain_ms\": %s, \"tenants\": {\"*\": {}}}"

struct reload {
	struct load now;
	struct hw_conf *old;
};

/* Loads a good configuration with tenants a (1) and b (2) and keeps it as the old one. */
static void start(struct reload *r, struct load *l)
{
	char text[256];

	conf_files_put(&l->files, "tenants.d/a.json", "{\"tenants\": {" TENANT("a", "1") "}}");
	conf_files_put(&l->files, "tenants.d/b.json", "{\"tenants\": {" TENANT("b", "2") "}}");
	snprintf(text, sizeof(text), MAIN, "11");
	load_good(l, text);
	r->old = l->conf;
	l->conf = NULL;
}

/* Reloads and inherits; the old one is dropped, so that a sanitizer sees whether all that is needed
 * was kept. */
static void again(struct reload *r, struct load *l)
{
	reload(l, r->old);
	assert_int_equal(hw_conf_inherit(l->conf, r->old), 0);
	hw_conf_destroy(&r->old);
}

static void a_broken_unit_keeps_what_it_had(void **state)
{
	struct load *l = *state;
	struct reload r;
	char text[256];

	start(&r, l);
	conf_files_put(&l->files, "tenants.d/a.json", "{\"tenants\": {" TENANT("a", "0") "}}");
	conf_files_put(&l->files, "tenants.d/b.json", "{\"tenants\": {" TENANT("b", "22") "}}");
	snprintf(text, sizeof(text), MAIN, "12");
	conf_files_put(&l->files, "hookwire.json", text);
	again(&r, l);
	assert_int_equal(l->conf->global->drain_ms, 12);
	assert_true(l->conf->units[1].inherited);
	assert_false(l->conf->units[1].broken);
	assert_int_equal(tenant(l, "a")->limits.connections, 1);
	assert_int_equal(tenant(l, "b")->limits.connections, 22);
	assert_string_equal(tenant(l, "a")->hooks[0].name, "open");
	assert_non_null(strstr(l->conf->units[1].text.p, "\"connections\":1"));
}

static void a_broken_main_file_keeps_what_it_had_while_tenants_go_on(void **state)
{
	static const char *const broken[] = {
		"{\"include\": [\"tenants.d/*.json\"], \"drain_ms\": true}", "{", "",
		"{\"include\": [\"none.json\"]}", "{\"include\": 3}"};

	for (size_t i = 0; i < HW_COUNT(broken); i++) {
		struct load *l = *state;
		struct reload r;

		start(&r, l);
		conf_files_put(
			&l->files, "tenants.d/b.json", "{\"tenants\": {" TENANT("b", "22") "}}");
		conf_files_put(&l->files, "hookwire.json", broken[i]);
		again(&r, l);
		assert_true(l->conf->units[0].inherited);
		assert_int_equal(l->conf->global->drain_ms, 11);
		assert_int_equal(tenant(l, "a")->limits.connections, 1);
		assert_int_equal(tenant(l, "b")->limits.connections, 22);
		assert_string_equal(tenant(l, "c")->id, "*");
		assert_int_equal(l->conf->n_units, 3);
	}
}

static void a_tenant_that_moved_into_a_broken_file_is_kept(void **state)
{
	struct load *l = *state;
	struct reload r;

	start(&r, l);
	conf_files_remove(&l->files, "tenants.d/a.json");
	conf_files_put(&l->files, "tenants.d/z.json", "{\"tenants\": {" TENANT("a", "1") "}");
	again(&r, l);
	assert_int_equal(l->conf->n_units, 3);
	assert_true(l->conf->units[2].broken);
	assert_false(l->conf->units[2].inherited);
	assert_int_equal(tenant(l, "a")->limits.connections, 1);
	assert_int_equal(l->conf->n_pinned, 1);

	/* and over a further reload that is no better */
	r.old = l->conf;
	l->conf = NULL;
	again(&r, l);
	assert_int_equal(tenant(l, "a")->limits.connections, 1);

	/* once it is mended nothing of the past remains */
	r.old = l->conf;
	l->conf = NULL;
	conf_files_put(&l->files, "tenants.d/z.json", "{\"tenants\": {" TENANT("a", "3") "}}");
	again(&r, l);
	assert_int_equal(tenant(l, "a")->limits.connections, 3);
	assert_int_equal(l->conf->n_pinned, 0);
}

static void a_tenant_whose_file_is_gone_is_gone(void **state)
{
	struct load *l = *state;
	struct reload r;

	start(&r, l);
	conf_files_remove(&l->files, "tenants.d/a.json");
	again(&r, l);
	assert_string_equal(tenant(l, "a")->id, "*");
	assert_int_equal(l->conf->n_tenants, 2);

	/* but not while the main file is broken: that it is gone may be half of a change */
	r.old = l->conf;
	l->conf = NULL;
	conf_files_remove(&l->files, "tenants.d/b.json");
	conf_files_put(&l->files, "hookwire.json", "{");
	again(&r, l);
	assert_int_equal(tenant(l, "b")->limits.connections, 2);
}

static void another_file_cannot_take_a_tenant_from_a_broken_one(void **state)
{
	struct load *l = *state;
	struct reload r;

	start(&r, l);
	conf_files_put(&l->files, "tenants.d/b.json", "{");
	conf_files_put(&l->files, "tenants.d/a.json",
		"{\"tenants\": {" TENANT("a", "1") "," TENANT("b", "99") "}}");
	again(&r, l);
	assert_int_equal(tenant(l, "b")->limits.connections, 2);
}

static void a_unit_may_be_broken_afterwards(void **state)
{
	struct load *l = *state;
	struct reload r;

	start(&r, l);
	conf_files_put(&l->files, "tenants.d/a.json", "{\"tenants\": {" TENANT("a", "5") "}}");
	reload(l, r.old);
	assert_int_equal(l->rc, 0);
	assert_int_equal(tenant(l, "a")->limits.connections, 5);
	hw_conf_unit_break(l->conf, 1); /* its script did not load */
	assert_int_equal(hw_conf_inherit(l->conf, r.old), 0);
	assert_int_equal(tenant(l, "a")->limits.connections, 1);
	hw_conf_unit_break(l->conf, 0);
	assert_int_equal(hw_conf_inherit(l->conf, r.old), 0);
	assert_ptr_equal(l->conf->global, r.old->global);
	assert_int_equal(tenant(l, "b")->limits.connections, 2);
	hw_conf_destroy(&r.old);
	assert_int_equal(l->conf->global->drain_ms, 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(included_files_are_units_of_their_own),
		TEST(an_included_file_may_hold_tenants_alone),
		TEST(a_pattern_in_a_missing_directory_is_a_warning),
		TEST(a_broken_file_leaves_the_others),
		TEST(a_tenant_defined_twice_names_both_places),
		TEST(a_broken_unit_keeps_what_it_had),
		TEST(a_broken_main_file_keeps_what_it_had_while_tenants_go_on),
		TEST(a_tenant_that_moved_into_a_broken_file_is_kept),
		TEST(a_tenant_whose_file_is_gone_is_gone),
		TEST(another_file_cannot_take_a_tenant_from_a_broken_one),
		TEST(a_unit_may_be_broken_afterwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
