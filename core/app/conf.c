#include "app/conf.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/conf_internal.h"

/* ---- loading ------------------------------------------------------------- */

struct loader {
	struct hw_conf *conf;
	struct hw_conf_report *report;
	size_t first_item; /* of the report, that is of this load */
	struct hw_conf_part_options part;
	struct hw_buf plugin_path; /* the defaults, NUL after each */
	struct hw_buf script_path;
	const char **plugin_dirs;
};

static const char *env_of_process(void *arg, const char *name)
{
	(void)arg;
	return getenv(name);
}

static void put_exe_dir(struct hw_buf *out)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path));

	while (n > 1 && path[n - 1] != '/')
		n--;
	if (n > 1)
		hw_buf_add(out, path, (size_t)n - 1);
	else
		hw_buf_puts(out, ".");
}

static int find_defaults(struct loader *l, const struct hw_conf_options *options)
{
	struct hw_buf exe_dir;
	const char *p;
	size_t n = 0;

	hw_buf_init(&exe_dir);
	if (options->exe_dir)
		hw_buf_puts(&exe_dir, options->exe_dir);
	else
		put_exe_dir(&exe_dir);
	hw_buf_putc(&exe_dir, '\0');
	if (!exe_dir.failed) {
		hw_conf_default_plugin_path(exe_dir.data, &l->plugin_path);
		hw_conf_default_script_path(exe_dir.data, &l->script_path);
	}
	l->plugin_dirs = calloc(l->plugin_path.len + 1, sizeof(*l->plugin_dirs));
	if (exe_dir.failed || l->plugin_path.failed || l->script_path.failed || !l->plugin_dirs) {
		hw_buf_fini(&exe_dir);
		return -ENOMEM;
	}
	hw_buf_fini(&exe_dir);
	for (p = l->plugin_path.data; n < l->plugin_path.len && *p; p += strlen(p) + 1) {
		l->plugin_dirs[n++] = p;
		if (p + strlen(p) + 1 >= l->plugin_path.data + l->plugin_path.len)
			break;
	}
	l->part.plugin_path = l->plugin_dirs;
	l->part.n_plugin_path = n;
	l->part.script_path = l->script_path.len > 0 ? l->script_path.data : NULL;
	return 0;
}

static const char *reading_problem(int rc)
{
	if (rc == -EFBIG)
		return "it has more than 16 MiB";
	if (rc == -EINVAL)
		return "it is not a regular file";
	return strerror(-rc);
}

static int load_unit(struct loader *l, const char *name, bool main)
{
	struct hw_conf_unit *unit = &l->conf->units[l->conf->n_units];
	size_t n_errors = l->report->n_errors;
	struct hw_str view = HW_STR_NULL;
	struct hw_buf text;
	int rc;

	unit->part = hw_conf_part_create(name);
	if (!unit->part)
		return -ENOMEM;
	l->conf->n_units++;
	unit->name = unit->part->name;
	hw_buf_init(&text);
	rc = hw_conf_read_file(name, HW_CONF_FILE_MAX, &text);
	if (rc == 0)
		view = text.len > 0 ? hw_buf_view(&text) : HW_STR("");
	else if (rc != -ENOMEM)
		hw_conf_report_add(l->report, name, HW_CONF_ERROR, (struct hw_conf_pos){name, 0, 0},
			"this file cannot be read: %s; give the path of a readable file",
			reading_problem(rc));
	if (rc != -ENOMEM)
		rc = hw_conf_part_read(unit->part, view, main, &l->part, l->report);
	hw_buf_fini(&text);
	unit->broken = l->report->n_errors > n_errors;
	return rc;
}

static int make_room(struct hw_conf *conf, size_t n_more)
{
	struct hw_conf_unit *units =
		realloc(conf->units, (conf->n_units + n_more) * sizeof(*units));

	if (!units)
		return -ENOMEM;
	memset(units + conf->n_units, 0, n_more * sizeof(*units));
	conf->units = units;
	return 0;
}

static int load_included(struct loader *l, const struct hw_conf_options *options)
{
	struct hw_conf_unit *main = &l->conf->units[0];
	size_t n_errors = l->report->n_errors;
	struct hw_conf_names names;
	int rc = hw_conf_include_expand(main->part, l->report, &names);

	if (rc != 0)
		return rc;
	hw_conf_report_sort(l->report, l->first_item);
	main->broken = main->broken || l->report->n_errors > n_errors;
	if (main->broken && options->old) {
		hw_conf_names_fini(&names);
		rc = hw_conf_include_expand_old(options->old->global, &names);
		if (rc != 0)
			return rc;
	}
	/* what the main file says of plugins holds in those it includes */
	l->part.plugin_path = main->part->global->plugin_path;
	l->part.n_plugin_path = main->part->global->n_plugin_path;
	l->part.plugin_path_secret = main->part->plugin_path_secret;
	rc = make_room(l->conf, names.n);
	for (size_t i = 0; rc == 0 && i < names.n; i++)
		rc = load_unit(l, names.names[i], false);
	hw_conf_names_fini(&names);
	return rc;
}

/* What a unit shows follows from its part and its flags. */
static void refresh_unit(struct hw_conf_unit *unit)
{
	const struct hw_conf_part *part = unit->part;

	unit->name = part->name;
	unit->text = unit->broken ? HW_STR_NULL : part->text;
	unit->root = unit->broken || !part->tree ? NULL : hw_conf_tree_root(part->tree);
}

static int load_all(struct loader *l, const char *path, const struct hw_conf_options *options)
{
	struct hw_conf *conf = l->conf;
	int rc = find_defaults(l, options);

	if (rc == 0)
		rc = make_room(conf, 1);
	if (rc == 0)
		rc = load_unit(l, path, true);
	if (rc == 0)
		rc = load_included(l, options);
	if (rc == 0)
		rc = hw_conf_find_twins(conf, l->report);
	if (rc == 0)
		rc = hw_conf_join(conf, NULL);
	if (rc != 0 || l->report->failed)
		return -ENOMEM;
	conf->global = conf->units[0].part->global;
	for (size_t i = 0; i < conf->n_units; i++) {
		refresh_unit(&conf->units[i]);
		if (conf->units[i].broken)
			rc = HW_CONF_PARTIAL;
	}
	return rc;
}

int hw_conf_load_with(const char *path, const struct hw_conf_options *options, struct hw_conf **out,
	struct hw_conf_report *report)
{
	struct loader l = {
		.report = report, .first_item = report->n_items, .part = {.files = true}};
	int rc;

	l.conf = calloc(1, sizeof(*l.conf));
	if (!l.conf)
		return -ENOMEM;
	l.part.env = options->env ? options->env : env_of_process;
	l.part.env_arg = options->env_arg;
	hw_buf_init(&l.plugin_path);
	hw_buf_init(&l.script_path);
	rc = load_all(&l, path, options);
	hw_buf_fini(&l.plugin_path);
	hw_buf_fini(&l.script_path);
	free(l.plugin_dirs);
	if (rc < 0)
		hw_conf_destroy(&l.conf);
	else
		*out = l.conf;
	return rc;
}

int hw_conf_load(const char *path, struct hw_conf **out, struct hw_conf_report *report)
{
	const struct hw_conf_options options = {0};

	return hw_conf_load_with(path, &options, out, report);
}

void hw_conf_destroy(struct hw_conf **conf)
{
	struct hw_conf *c = *conf;

	*conf = NULL;
	if (!c)
		return;
	for (size_t i = 0; i < c->n_units; i++)
		hw_conf_part_unref(&c->units[i].part);
	for (size_t i = 0; i < c->n_pinned; i++)
		hw_conf_part_unref(&c->pinned[i]);
	free(c->units);
	free((void *)c->tenants);
	free(c->pinned);
	free(c);
}

/* ---- keeping what is good ------------------------------------------------ */

void hw_conf_unit_break(struct hw_conf *conf, size_t i)
{
	conf->units[i].broken = true;
	conf->units[i].inherited = false;
	refresh_unit(&conf->units[i]);
}

static const struct hw_conf_unit *former(
	const struct hw_conf *old, const struct hw_conf_unit *unit, bool main)
{
	if (main)
		return old->units[0].broken ? NULL : &old->units[0];
	for (size_t i = 1; i < old->n_units; i++)
		if (!old->units[i].broken && strcmp(old->units[i].name, unit->name) == 0)
			return &old->units[i];
	return NULL;
}

int hw_conf_inherit(struct hw_conf *conf, const struct hw_conf *old)
{
	struct hw_conf_unit *before = calloc(conf->n_units, sizeof(*before));
	int rc;

	if (!before)
		return -ENOMEM;
	memcpy(before, conf->units, conf->n_units * sizeof(*before));
	for (size_t i = 0; i < conf->n_units; i++) {
		struct hw_conf_unit *unit = &conf->units[i];
		const struct hw_conf_unit *kept = unit->broken ? former(old, unit, i == 0) : NULL;

		if (!kept)
			continue;
		unit->part = kept->part;
		unit->broken = false;
		unit->inherited = true;
	}
	rc = hw_conf_join(conf, old);
	if (rc != 0) {
		memcpy(conf->units, before, conf->n_units * sizeof(*before));
		free(before);
		return rc;
	}
	for (size_t i = 0; i < conf->n_units; i++) {
		if (conf->units[i].part != before[i].part) {
			hw_conf_part_ref(conf->units[i].part);
			hw_conf_part_unref(&before[i].part);
		}
		refresh_unit(&conf->units[i]);
	}
	conf->global = conf->units[0].part->global;
	free(before);
	return 0;
}

/* ---- looking things up --------------------------------------------------- */

static int compare(struct hw_str id, const char *with)
{
	size_t len = strlen(with), n = id.len < len ? id.len : len;
	int c = n > 0 ? memcmp(id.p, with, n) : 0;

	return c != 0 ? c : id.len < len ? -1 : id.len > len;
}

static const struct hw_conf_tenant *search(const struct hw_conf *conf, struct hw_str id)
{
	size_t low = 0, high = conf->n_tenants;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = compare(id, conf->tenants[middle]->id);

		if (c == 0)
			return conf->tenants[middle];
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct hw_conf_tenant *hw_conf_tenant_find(const struct hw_conf *conf, struct hw_str id)
{
	const struct hw_conf_tenant *tenant = search(conf, id);

	return tenant ? tenant : search(conf, HW_STR("*"));
}

struct hw_conf_retention hw_conf_retention_of(
	const struct hw_conf *conf, const struct hw_conf_tenant *tenant)
{
	struct hw_conf_retention r = conf->global->journal.retention;

	if (tenant->retention.count > 0)
		r.count = tenant->retention.count;
	if (tenant->retention.bytes > 0)
		r.bytes = tenant->retention.bytes;
	if (tenant->retention.age_ms > 0)
		r.age_ms = tenant->retention.age_ms;
	return r;
}

struct hw_conf_pos hw_conf_hook_locate(const struct hw_conf_hook *hook, struct hw_str path)
{
	const struct hw_conf_value *v;

	if (!hook->config_value)
		return hook->config_pos;
	v = hw_conf_value_locate(hook->config_value, path);
	return (struct hw_conf_pos){hook->config_pos.file, v->line, v->column};
}

struct hw_conf_pos hw_conf_locate(const struct hw_conf_unit *unit, struct hw_str path)
{
	const struct hw_conf_value *v;

	if (!unit->root)
		return (struct hw_conf_pos){unit->name, 0, 0};
	v = hw_conf_value_locate(unit->root, path);
	return (struct hw_conf_pos){unit->name, v->line, v->column};
}
