#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/conf_schema.h"

/* Entries of "hooks": {"name", "lua" or "plugin", "config", "budget", "breaker", "on_error"}. */

#define NAME_MAX_BYTES 64

static bool name_valid(struct hw_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool letter = c >= 'a' && c <= 'z';

		if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '_')))
			return false;
	}
	return s.len > 0 && s.len <= NAME_MAX_BYTES;
}

HW_CONF_READ(hook_name)
{
	struct hw_conf_hook *hook = target;
	char shown[HW_CONF_SHOW_MAX];

	if (!hw_conf_expect(r, v, HW_CONF_STRING, "a name in quotes"))
		return;
	if (!name_valid(v->text))
		hw_conf_error(r, v,
			"%s cannot name a hook: the name is a label of metrics; use small letters, "
			"digits, "
			"- and _, a letter first, at most 64",
			hw_conf_show(v, shown));
	else
		hook->name = v->text.p;
}

/* ---- sources ------------------------------------------------------------- */

/* The directory made absolute and plain, the file's own name left as it is: a link that an operator
 * turns to another release is followed anew at each load. */
static const char *absolute(struct hw_conf_reader *r, const char *path)
{
	const char *slash = strrchr(path, '/'), *copy = NULL;
	char dir[PATH_MAX];
	struct hw_buf out;
	char *zero;

	if (!slash)
		zero = strdup(".");
	else if (slash == path)
		zero = strdup("/");
	else
		zero = strndup(path, (size_t)(slash - path));
	if (!zero) {
		r->part->arena.failed = true;
		return NULL;
	}
	hw_buf_init(&out);
	if (realpath(zero, dir))
		hw_buf_printf(
			&out, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, slash ? slash + 1 : path);
	else
		hw_buf_puts(
			&out, path); /* vanished since it was looked at: opening it will say so */
	if (out.failed)
		r->part->arena.failed = true;
	else
		copy = hw_conf_arena_dup(&r->part->arena, hw_buf_view(&out));
	hw_buf_fini(&out);
	free(zero);
	return copy;
}

/* 0, or why @path cannot be read as a file, as errno; EINVAL: it is none. */
static int file_problem(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	return access(path, R_OK) < 0 ? errno : 0;
}

static const char *say_problem(int problem)
{
	return problem == EINVAL ? "it is not a regular file" : strerror(problem);
}

static void set_source(struct hw_conf_reader *r, const struct hw_conf_value *v,
	enum hw_conf_source source, struct hw_conf_hook *hook)
{
	hook->source = source;
	hook->source_pos = hw_conf_pos_of(r, v);
	hook->given = hw_conf_arena_dup(&r->part->arena, v->written);
}

/* @v is the path of a file, relative to the one that names it. */
static void read_path(
	struct hw_conf_reader *r, const struct hw_conf_value *v, struct hw_conf_hook *hook)
{
	const char *path = hw_conf_path_of(r, v);
	char shown[HW_CONF_SHOW_MAX];
	int problem;

	if (!path)
		return;
	hook->path = path;
	if (!r->files)
		return;
	problem = file_problem(path);
	if (problem == 0)
		hook->path = absolute(r, path);
	else if (v->secret)
		hw_conf_error(r, v,
			"%s cannot be read: %s; the path is relative to this file's directory",
			hw_conf_show(v, shown), say_problem(problem));
	else
		hw_conf_error(r, v,
			"%s cannot be read: %s; the path is relative to this file's directory, "
			"which makes it %s",
			hw_conf_show(v, shown), say_problem(problem), path);
}

HW_CONF_READ(hook_lua)
{
	struct hw_conf_hook *hook = target;

	if (!hw_conf_expect(r, v, HW_CONF_STRING, "the path of a Lua file in quotes"))
		return;
	set_source(r, v, HW_CONF_LUA, hook);
	if (v->text.len == 0)
		hw_conf_error(r, v, "\"lua\" is empty; write the path of a Lua file");
	else
		read_path(r, v, hook);
}

/* Of the plugins in @dir the one whose name is nearest to @name, if it is near at all. */
static void nearest_plugin(
	const char *dir, struct hw_str name, size_t *best, char found[NAME_MAX + 1])
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)) != NULL) {
		struct hw_str stem = hw_str_of(e->d_name);
		size_t distance;

		if (stem.len <= 3 || strcmp(e->d_name + stem.len - 3, ".so") != 0)
			continue;
		stem.len -= 3;
		distance = hw_str_distance(stem, name);
		if (distance < *best) {
			*best = distance;
			memcpy(found, stem.p, stem.len);
			found[stem.len] = '\0';
		}
	}
	closedir(d);
}

static void plugin_missing(struct hw_conf_reader *r, const struct hw_conf_value *v)
{
	char shown[HW_CONF_SHOW_MAX], found[NAME_MAX + 1] = "";
	size_t best = v->text.len < 4 ? 2 : 3;
	struct hw_buf text;

	hw_buf_init(&text);
	for (size_t i = 0; i < r->n_plugin_path; i++) {
		if (!v->secret)
			nearest_plugin(r->plugin_path[i], v->text, &best, found);
		hw_buf_printf(&text, "%s%s", i == 0 ? "" : ", ", r->plugin_path[i]);
	}
	if (r->plugin_path_secret) {
		hw_buf_clear(&text);
		hw_buf_puts(&text, "the directories of \"plugin_path\"");
	} else if (text.len == 0) {
		hw_buf_puts(&text, "\"plugin_path\", which has no directory");
	}
	if (found[0])
		hw_buf_printf(&text, "; did you mean \"%s\"?", found);
	else
		hw_buf_puts(&text, "; write a name that is there, or a path with a /");
	if (text.failed)
		r->report->failed = true;
	else
		hw_conf_error(r, v, "there is no plugin %s in %.*s", hw_conf_show(v, shown),
			HW_STR_ARG(hw_buf_view(&text)));
	hw_buf_fini(&text);
}

/* @v is the name of a plugin: NAME.so in the first directory of plugin_path that has it. */
static void find_plugin(
	struct hw_conf_reader *r, const struct hw_conf_value *v, struct hw_conf_hook *hook)
{
	struct hw_buf path;

	hook->path = v->text.p;
	if (!r->files)
		return;
	hw_buf_init(&path);
	for (size_t i = 0; i < r->n_plugin_path; i++) {
		int problem;

		hw_buf_clear(&path);
		hw_buf_printf(&path, "%s/%.*s.so", r->plugin_path[i], HW_STR_ARG(v->text));
		hw_buf_putc(&path, '\0');
		if (path.failed)
			break;
		problem = file_problem(path.data);
		if (problem == ENOENT || problem == ENOTDIR)
			continue;
		if (problem != 0)
			hw_conf_error(r, v,
				"the plugin %s cannot be read in plugin_path: %s; make it a "
				"readable file",
				v->written.p, say_problem(problem));
		hook->path = absolute(r, path.data);
		hw_buf_fini(&path);
		return;
	}
	if (path.failed)
		r->report->failed = true;
	else
		plugin_missing(r, v);
	hw_buf_fini(&path);
}

HW_CONF_READ(hook_plugin)
{
	struct hw_conf_hook *hook = target;
	char shown[HW_CONF_SHOW_MAX];

	if (!hw_conf_expect(r, v, HW_CONF_STRING, "the name of a plugin in quotes"))
		return;
	set_source(r, v, HW_CONF_PLUGIN, hook);
	if (memchr(v->text.p, '/', v->text.len))
		read_path(r, v, hook);
	else if (v->text.len == 0)
		hw_conf_error(r, v, "\"plugin\" is empty; write its name, like \"jwt\"");
	else if (v->text.len > 3 && memcmp(v->text.p + v->text.len - 3, ".so", 3) == 0)
		hw_conf_error(r, v,
			"%s: a name is written without .so, and a path with a /; write one or the "
			"other",
			hw_conf_show(v, shown));
	else
		find_plugin(r, v, hook);
}

/* The journal's plugin is named as a hook's. */
HW_CONF_READ(journal_plugin)
{
	struct hw_conf_journal *journal = target;

	journal->plugin.name = "journal";
	journal->plugin.config = journal->plugin.config.p ? journal->plugin.config : HW_STR("{}");
	hw_conf_read_hook_plugin(r, v, &journal->plugin);
}

HW_CONF_READ(journal_config)
{
	struct hw_conf_journal *journal = target;

	hw_conf_read_hook_config(r, v, &journal->plugin);
}

/* ---- the rest of an entry ------------------------------------------------ */

HW_CONF_READ(hook_config)
{
	struct hw_conf_hook *hook = target;

	if (!hw_conf_expect(r, v, HW_CONF_OBJECT, "an object: {…}"))
		return;
	hook->config = hw_conf_text_of(r, v);
	hook->config_secret = hw_conf_value_secret(v);
	hook->config_value = v;
	hook->config_pos = hw_conf_pos_of(r, v);
}

HW_CONF_READ(on_error)
{
	char shown[HW_CONF_SHOW_MAX];

	(void)target;
	if (!hw_conf_expect(r, v, HW_CONF_STRING, "\"unavailable\""))
		return;
	if (hw_str_eq(v->text, HW_STR("unavailable")))
		return;
	if (hw_str_eq(v->text, HW_STR("allow")))
		hw_conf_error(r, v,
			"\"on_error\" cannot be \"allow\": a hook that fails never lets anything "
			"by; write "
			"\"unavailable\", or leave it out");
	else
		hw_conf_error(r, v,
			"\"on_error\" %s is not in this version: an error always answers "
			"\"unavailable\"; "
			"leave it out",
			hw_conf_show(v, shown));
}

/* jwt.so and policies/auth.lua are called jwt and auth. */
static const char *derive_name(struct hw_conf_reader *r, const struct hw_conf_hook *hook)
{
	const char *slash = strrchr(hook->path, '/');
	struct hw_str stem = hw_str_of(slash ? slash + 1 : hook->path);
	struct hw_str suffix = hook->source == HW_CONF_LUA ? HW_STR(".lua") : HW_STR(".so");

	if (stem.len > suffix.len &&
		memcmp(stem.p + stem.len - suffix.len, suffix.p, suffix.len) == 0)
		stem.len -= suffix.len;
	return name_valid(stem) ? hw_conf_arena_dup(&r->part->arena, stem) : NULL;
}

static void check_name(struct hw_conf_reader *r, const struct hw_conf_value *v,
	const struct hw_conf_hook *hooks, size_t n, const struct hw_conf_hook *hook)
{
	const struct hw_conf_value *given = hw_conf_value_get(v, HW_STR("name"));

	if (!hook->name && !given) {
		hw_conf_error(r, v,
			"this entry has no \"name\", and its file's name cannot be one; give it a "
			"name of small "
			"letters, digits, - and _");
		return;
	}
	for (size_t i = 0; hook->name && i < n; i++) {
		if (!hooks[i].name || strcmp(hooks[i].name, hook->name) != 0)
			continue;
		if (given && given->secret)
			hw_conf_error(r, given,
				"the name is taken by the entry at %s:%u:%u; choose another",
				hooks[i].pos.file, (unsigned)hooks[i].pos.line,
				(unsigned)hooks[i].pos.column);
		else
			hw_conf_error(r, given ? given : v,
				"the name \"%s\" is taken by the entry at %s:%u:%u; %s", hook->name,
				hooks[i].pos.file, (unsigned)hooks[i].pos.line,
				(unsigned)hooks[i].pos.column,
				given ? "choose another" : "give this one a \"name\" of its own");
		return;
	}
}

static void read_hook(struct hw_conf_reader *r, const struct hw_conf_value *v,
	const struct hw_conf_hook *before, size_t n, struct hw_conf_hook *hook)
{
	const struct hw_conf_value *lua = hw_conf_value_get(v, HW_STR("lua"));
	const struct hw_conf_value *plugin = hw_conf_value_get(v, HW_STR("plugin"));
	const struct hw_conf_value *budget = hw_conf_value_get(v, HW_STR("budget"));

	hw_conf_defaults(&hw_conf_keys_hook, hook);
	hook->pos = hook->source_pos = hook->config_pos = hw_conf_pos_of(r, v);
	hook->config = HW_STR("{}");
	hw_conf_read_members(r, &hw_conf_keys_hook, v, hook);
	if (lua && plugin)
		hw_conf_error_key(r, plugin,
			"an entry has one source, and this one has \"lua\" and \"plugin\"; make "
			"two entries");
	if (!lua && !plugin)
		hw_conf_error(r, v,
			"this entry has no source; add \"lua\": \"policies/auth.lua\" or "
			"\"plugin\": \"jwt\"");
	if (plugin && budget)
		hw_conf_error_key(r, budget,
			"a budget bounds Lua, while a plugin's code is measured and never "
			"interrupted; "
			"remove it");
	hook->breaker_given = hw_conf_value_get(v, HW_STR("breaker")) != NULL;
	hook->text = hw_conf_text_of(r, v);
	if (!hook->path)
		return; /* said already */
	if (!hook->name && !hw_conf_value_get(v, HW_STR("name")))
		hook->name = derive_name(r, hook);
	check_name(r, v, before, n, hook);
}

static void read_hooks(struct hw_conf_reader *r, const struct hw_conf_value *v,
	const struct hw_conf_hook **out, size_t *n_out)
{
	struct hw_conf_hook *hooks;
	size_t n = 0;

	if (!hw_conf_expect(r, v, HW_CONF_ARRAY, "an array of entries: [{\"plugin\": \"jwt\"}]"))
		return;
	hooks = hw_conf_arena_array(&r->part->arena, v->n_children, sizeof(*hooks));
	if (!hooks)
		return;
	for (const struct hw_conf_value *item = v->first; item; item = item->next) {
		if (!hw_conf_expect(r, item, HW_CONF_OBJECT, "an entry: {\"plugin\": \"jwt\"}"))
			continue;
		read_hook(r, item, hooks, n, &hooks[n]);
		n++;
	}
	*out = hooks;
	*n_out = n;
}

HW_CONF_READ(global_hooks)
{
	struct hw_conf_global *g = target;

	read_hooks(r, v, &g->hooks, &g->n_hooks);
}

HW_CONF_READ(tenant_hooks)
{
	struct hw_conf_tenant *tenant = target;

	read_hooks(r, v, &tenant->hooks, &tenant->n_hooks);
}
