#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/policy_case.h"
#include "hook/cases.h"

#define FILE_MAX_BYTES (1u << 20)
#define READ_BYTES 65536

int hw_policy_read_file(const char *path, struct hw_buf *out)
{
	FILE *f = fopen(path, "re");
	size_t n;
	int rc;

	if (!f)
		return -errno;
	do {
		char *room = hw_buf_reserve(out, READ_BYTES);

		n = room ? fread(room, 1, READ_BYTES, f) : 0;
		out->len += n;
	} while (n > 0 && out->len <= FILE_MAX_BYTES);
	rc = out->failed ? -ENOMEM : ferror(f) ? -EIO : out->len > FILE_MAX_BYTES ? -EFBIG : 0;
	fclose(f);
	return rc;
}

/* @given, from the directory that the file @from is in. */
static char *beside(const char *from, const char *given)
{
	const char *slash = strrchr(from, '/');
	char *out;

	if (given[0] == '/' || !slash)
		return strdup(given);
	return asprintf(&out, "%.*s/%s", (int)(slash - from), from, given) < 0 ? NULL : out;
}

/* A plugin named without "/" is one of those that are installed. */
static char *find_plugin(const struct hw_policy_stage *stage, const char *from, const char *given)
{
	const char *dir = stage->plugin_path.data, *end = dir + stage->plugin_path.len;
	char *out;

	if (strchr(given, '/'))
		return beside(from, given);
	for (; dir < end; dir += strlen(dir) + 1) {
		if (asprintf(&out, "%s/%s.so", dir, given) < 0)
			return NULL;
		if (access(out, R_OK) == 0)
			return out;
		free(out);
	}
	return strdup(given); /* opening it will say so */
}

/* family.test.lua → family.lua */
static char *policy_of(const char *path)
{
	size_t len = strlen(path) - strlen(".test.lua");
	char *out;

	return asprintf(&out, "%.*s.lua", (int)len, path) < 0 ? NULL : out;
}

/* The entry's name, which is a label of metrics: the file's, as far as it can be one. */
static void set_name(struct hw_policy_cases *cases)
{
	const char *slash = strrchr(cases->policy, '/');
	const char *base = slash ? slash + 1 : cases->policy;
	size_t n = strcspn(base, ".");

	snprintf(cases->name, sizeof(cases->name), "%.*s", (int)n, base);
}

static int take_file(
	struct hw_policy_stage *stage, struct hw_policy_cases *cases, struct hw_err *err)
{
	const char *lua = json_string_value(json_object_get(cases->file, "policy"));
	const char *plugin = json_string_value(json_object_get(cases->file, "plugin"));
	char *found;

	if (lua && plugin)
		return hw_err_set(err, -EINVAL, "%s: 'policy' or 'plugin', not both", cases->path);
	cases->kind = plugin ? HW_HOOK_PLUGIN : HW_HOOK_LUA;
	found = plugin ? find_plugin(stage, cases->path, plugin)
		: lua  ? beside(cases->path, lua)
		       : policy_of(cases->path);
	if (!found)
		return hw_err_set(err, -ENOMEM, "out of memory");
	cases->policy = realpath(found, NULL);
	if (!cases->policy) {
		int rc = errno == ENOMEM ? -ENOMEM : -ENOENT;

		hw_err_set(err, rc, "%s: its %s cannot be read: %s: %s", cases->path,
			plugin ? "plugin" : "policy", found, strerror(errno));
		free(found);
		return rc;
	}
	free(found);
	set_name(cases);
	json_object_del(cases->file, "policy");
	json_object_del(cases->file, "plugin");
	return 0;
}

static int parse(struct hw_str text, struct hw_policy_cases *cases, struct hw_err *err)
{
	json_t *whole = json_loadb(text.p, text.len, 0, NULL);

	if (!whole)
		return hw_err_set(err, -EINVAL, "%s: it cannot be said in JSON", cases->path);
	cases->file = json_incref(json_object_get(whole, "file"));
	cases->cases = json_incref(json_object_get(whole, "cases"));
	json_decref(whole);
	if (json_array_size(cases->cases) == 0)
		return hw_err_set(
			err, -EINVAL, "%s: it has no cases: return { case { … }, … }", cases->path);
	return 0;
}

int hw_policy_cases_load(struct hw_policy_stage *stage, const char *path,
	struct hw_policy_cases *out, struct hw_err *err)
{
	struct hw_buf source, text;
	int rc;

	*out = (struct hw_policy_cases){.path = strdup(path)};
	hw_buf_init(&source);
	hw_buf_init(&text);
	rc = out->path ? hw_policy_read_file(path, &source) : -ENOMEM;
	if (rc < 0)
		hw_err_set(err, rc, "%s: %s", path, strerror(-rc));
	if (rc == 0)
		rc = hw_hook_cases_read(stage->kit.env, path, hw_buf_view(&source), &text, err);
	if (rc == 0)
		rc = parse(hw_buf_view(&text), out, err);
	if (rc == 0)
		rc = take_file(stage, out, err);
	hw_buf_fini(&source);
	hw_buf_fini(&text);
	if (rc < 0)
		hw_policy_cases_fini(out);
	return rc;
}

void hw_policy_cases_fini(struct hw_policy_cases *cases)
{
	if (cases->last)
		hw_hook_chain_unref(&cases->last);
	json_decref(cases->file);
	json_decref(cases->cases);
	free(cases->path);
	free(cases->policy);
	*cases = (struct hw_policy_cases){0};
}
