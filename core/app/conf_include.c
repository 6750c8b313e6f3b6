#include <errno.h>
#include <glob.h>
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

/* A directory that is not there holds no files; one that cannot be read might. */
static int glob_error(const char *path, int error)
{
	(void)path;
	return error != ENOENT && error != ENOTDIR;
}

static bool has_wildcard(const char *pattern)
{
	for (; *pattern; pattern++) {
		if (*pattern == '\\' && pattern[1])
			pattern++;
		else if (strchr("*?[", *pattern))
			return true;
	}
	return false;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Whether the directory in front of the first wildcard exists. */
static bool has_directory(const char *pattern)
{
	struct hw_buf dir;
	struct stat st;
	size_t slash = 0;
	bool there;

	hw_buf_init(&dir);
	for (; *pattern && !strchr("*?[", *pattern); pattern++) {
		if (*pattern == '\\' && pattern[1])
			pattern++;
		hw_buf_putc(&dir, *pattern);
		if (*pattern == '/')
			slash = dir.len;
	}
	if (slash == 0) {
		hw_buf_clear(&dir);
		hw_buf_putc(&dir, '.');
	} else {
		dir.len = slash;
	}
	hw_buf_putc(&dir, '\0');
	there = dir.failed || (stat(dir.data, &st) == 0 && S_ISDIR(st.st_mode));
	hw_buf_fini(&dir);
	return there;
}

/* What came of a pattern: why it names nothing though it should (problem), or though it might
 * (doubt). */
struct outcome {
	const char *problem;
	const char *doubt;
};

static int expand(
	const char *pattern, const char *self, struct hw_conf_names *out, struct outcome *outcome)
{
	glob_t found = {0};
	int rc = glob(pattern, GLOB_NOSORT, glob_error, &found), result = 0;

	*outcome = (struct outcome){0};
	if (rc == GLOB_NOSPACE)
		result = -ENOMEM;
	else if (rc == GLOB_ABORTED)
		outcome->problem = "its directory cannot be read";
	else if (rc != 0 && !has_wildcard(pattern))
		outcome->problem = "there is no such file";
	else if (rc != 0 && !has_directory(pattern))
		outcome->doubt = "there is no such directory";
	for (size_t i = 0; rc == 0 && result == 0 && i < found.gl_pathc; i++) {
		if (same_file(found.gl_pathv[i], self))
			outcome->problem = "it names this file itself";
		else
			result = add(out, found.gl_pathv[i]);
	}
	globfree(&found);
	return result;
}

int hw_conf_include_expand(
	const struct hw_conf_part *main, struct hw_conf_report *report, struct hw_conf_names *out)
{
	const struct hw_conf_global *g = main->global;
	const struct hw_conf_value *list, *v;
	struct outcome outcome;
	size_t i = 0;

	*out = (struct hw_conf_names){0};
	list = main->tree ? hw_conf_value_get(hw_conf_tree_root(main->tree), HW_STR("include"))
			  : NULL;
	for (v = list ? list->first : NULL; v && i < g->n_include; v = v->next) {
		struct hw_conf_pos pos = {main->name, v->line, v->column};

		/* those that were refused have no pattern */
		if (v->type != HW_CONF_STRING || v->broken || v->secret || v->text.len == 0)
			continue;
		if (expand(g->include[i++], main->name, out, &outcome) != 0) {
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
