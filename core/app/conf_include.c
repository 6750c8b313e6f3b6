#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/conf_internal.h"

void hw_conf_names_fini(struct hw_conf_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->names[i]);
	free(names->names);
	*names = (struct hw_conf_names){0};
}

static int add(struct hw_conf_names *names, const char *name)
{
	char **grown;

	if (names->n == names->cap) {
		size_t cap = names->cap > 0 ? 2 * names->cap : 16;

		grown = realloc(names->names, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		names->names = grown;
		names->cap = cap;
	}
	names->names[names->n] = strdup(name);
	return names->names[names->n++] ? 0 : -ENOMEM;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* By byte, whatever the locale, so that a unit's place does not depend on who started the broker.
 */
static void sort(struct hw_conf_names *names)
{
	size_t n = 0;

	if (names->n == 0)
		return;
	qsort(names->names, names->n, sizeof(*names->names), compare);
	for (size_t i = 1; i < names->n; i++) {
		if (strcmp(names->names[n], names->names[i]) == 0)
			free(names->names[i]);
		else
			names->names[++n] = names->names[i];
	}
	names->n = n + 1;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* What came of a pattern: why it names nothing though it should (problem), or though it might
 * (doubt). */
struct outcome {
	const char *problem;
	const char *doubt;
};

static int take(
	const char *path, const char *self, struct hw_conf_names *out, struct outcome *outcome)
{
	if (!same_file(path, self))
		return add(out, path);
	outcome->problem = "it names this file itself";
	return 0;
}

/* Adds the files of @dir ("" or ending in a slash) whose names match. */
static int scan(struct hw_str dir, const char *pattern, const char *self, struct hw_conf_names *out,
	struct outcome *outcome)
{
	struct dirent *entry;
	struct hw_buf path;
	int rc = 0;
	DIR *d;

	hw_buf_init(&path);
	hw_buf_printf(&path, "%.*s", HW_STR_ARG(dir.len > 0 ? dir : HW_STR(".")));
	hw_buf_putc(&path, '\0');
	d = path.failed ? NULL : opendir(path.data);
	if (!d) {
		if (path.failed || errno == ENOMEM)
			rc = -ENOMEM;
		else if (errno == ENOENT)
			outcome->doubt = "there is no such directory";
		else
			outcome->problem = strerror(errno); /* it might hold something */
		hw_buf_fini(&path);
		return rc;
	}
	while (rc == 0 && (errno = 0, entry = readdir(d)) != NULL) {
		if (fnmatch(pattern, entry->d_name, FNM_PERIOD) != 0)
			continue;
		hw_buf_clear(&path);
		hw_buf_printf(&path, "%.*s%s", HW_STR_ARG(dir), entry->d_name);
		hw_buf_putc(&path, '\0');
		rc = path.failed ? -ENOMEM : take(path.data, self, out, outcome);
	}
	if (rc == 0 && !entry && errno != 0)
		outcome->problem = strerror(errno);
	closedir(d);
	hw_buf_fini(&path);
	return rc;
}

/* glob(3) is not used: that of glibc 2.36 frees twice when it is out of memory. */
static int expand(
	const char *pattern, const char *self, struct hw_conf_names *out, struct outcome *outcome)
{
	const char *slash = strrchr(pattern, '/'), *name = slash ? slash + 1 : pattern;
	struct stat st;

	*outcome = (struct outcome){0};
	if (strpbrk(name, "*?["))
		return scan((struct hw_str){pattern, (size_t)(name - pattern)}, name, self, out,
			outcome);
	if (stat(pattern, &st) == 0)
		return take(pattern, self, out, outcome);
	outcome->problem = strerror(errno);
	return 0;
}

int hw_conf_include_expand(
	const struct hw_conf_part *main, struct hw_conf_report *report, struct hw_conf_names *out)
{
	const struct hw_conf_global *g = main->global;

	*out = (struct hw_conf_names){0};
	for (size_t i = 0; i < g->n_include; i++) {
		const struct hw_conf_value *v = main->include[i];
		struct hw_conf_pos pos = {main->name, v->line, v->column};
		struct outcome outcome;

		if (expand(g->include[i], main->name, out, &outcome) != 0) {
			hw_conf_names_fini(out);
			return -ENOMEM;
		}
		if (outcome.problem)
			hw_conf_report_add(report, main->name, HW_CONF_ERROR, pos,
				"\"%.*s\" cannot be included: %s; the path is relative to this "
				"file's directory",
				HW_STR_ARG(v->written), outcome.problem);
		else if (outcome.doubt)
			hw_conf_report_add(report, main->name, HW_CONF_WARNING, pos,
				"\"%.*s\" includes nothing: %s; the path is relative to this "
				"file's directory",
				HW_STR_ARG(v->written), outcome.doubt);
	}
	sort(out);
	return 0;
}

int hw_conf_include_expand_old(const struct hw_conf_global *old, struct hw_conf_names *out)
{
	struct outcome outcome;

	*out = (struct hw_conf_names){0};
	for (size_t i = 0; i < old->n_include; i++) {
		if (expand(old->include[i], "", out, &outcome) != 0) {
			hw_conf_names_fini(out);
			return -ENOMEM;
		}
	}
	sort(out);
	return 0;
}
