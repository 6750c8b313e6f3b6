/* For the tests of the configuration: a directory of files, what was read from it, and what it
 * says. Header only; its functions fail the test that calls them. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/conf.h"
#include "base/compiler.h"

struct conf_files {
	char dir[64];
	char conf[96]; /* hookwire.json in it */
};

static inline void conf_files_put(const struct conf_files *f, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

static inline void conf_files_remove(const struct conf_files *f, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	assert_int_equal(unlink(path), 0);
}

/* With a plugin "jwt" and a script "open.lua", which the reader only looks for. */
static inline void conf_files_init(struct conf_files *f)
{
	static const char *const dirs[] = {"plugins", "tenants.d", "scripts", "scripts/lib"};
	char path[256];

	strcpy(f->dir, "/tmp/hw-conf-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->conf, sizeof(f->conf), "%s/hookwire.json", f->dir);
	for (size_t i = 0; i < HW_COUNT(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, dirs[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	conf_files_put(f, "plugins/jwt.so", "");
	conf_files_put(f, "open.lua", "return policy { api = 1 }\n");
}

static inline void conf_files_fini(struct conf_files *f)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
	assert_int_equal(system(command), 0);
}

#define SECRET "s3cr3t-s3cr3t-s3cr3t"

static inline const char *env(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "SECRET") == 0 ? SECRET : NULL;
}

struct load {
	struct conf_files files;
	struct hw_conf *conf;
	struct hw_conf_report report;
	int rc;
};

static inline int setup(void **state)
{
	struct load *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	conf_files_init(&l->files);
	*state = l;
	return 0;
}

static inline int teardown(void **state)
{
	struct load *l = *state;

	hw_conf_destroy(&l->conf);
	hw_conf_report_fini(&l->report);
	conf_files_fini(&l->files);
	free(l);
	return 0;
}

/* Reads the files again; what was read before is dropped. */
static inline void reload(struct load *l, const struct hw_conf *old)
{
	const struct hw_conf_options options = {.env = env, .exe_dir = l->files.dir, .old = old};

	hw_conf_destroy(&l->conf);
	hw_conf_report_fini(&l->report);
	hw_conf_report_init(&l->report);
	l->rc = hw_conf_load_with(l->files.conf, &options, &l->conf, &l->report);
	assert_true(l->rc >= 0);
	assert_non_null(l->conf);
	assert_int_equal(l->rc, l->report.n_errors > 0 ? HW_CONF_PARTIAL : 0);
	for (size_t i = 0; i < l->report.n_items; i++)
		assert_null(strstr(l->report.items[i].text, SECRET));
}

static inline void load(struct load *l, const char *text)
{
	conf_files_put(&l->files, "hookwire.json", text);
	reload(l, NULL);
}

static inline void show(const struct load *l)
{
	for (size_t i = 0; i < l->report.n_items; i++)
		print_error("%s\n", l->report.items[i].text);
}

static inline const struct hw_conf_global *load_good(struct load *l, const char *text)
{
	load(l, text);
	if (l->rc != 0) {
		show(l);
		fail_msg("refused: %s", text);
	}
	return l->conf->global;
}

/* The file FILE in the directory has a problem at PLACE whose message holds WORDS. */
static inline void assert_problem(
	const struct load *l, const char *file, const char *place, const char *words)
{
	char prefix[256];

	snprintf(prefix, sizeof(prefix), "%s/%s:%s%s", l->files.dir, file, place,
		*place ? ": " : " ");
	for (size_t i = 0; i < l->report.n_items; i++)
		if (strncmp(l->report.items[i].text, prefix, strlen(prefix)) == 0 &&
			strstr(l->report.items[i].text, words))
			return;
	show(l);
	fail_msg("no problem %s…%s", prefix, words);
}

static inline void expect(struct load *l, const char *text, const char *place, const char *words)
{
	load(l, text);
	if (l->report.n_errors != 1) {
		show(l);
		fail_msg("%zu errors in %s", l->report.n_errors, text);
	}
	assert_problem(l, "hookwire.json", place, words);
	assert_true(l->conf->units[0].broken);
}

static inline const struct hw_conf_tenant *tenant(const struct load *l, const char *id)
{
	return hw_conf_tenant_find(l->conf, hw_str_of(id));
}

#define TENANT(name, connections) \
	"\"" name \
	"\": {\"hooks\": [{\"lua\": \"../open.lua\"}], \"limits\": {\"connections\": " connections \
	"}}"

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
