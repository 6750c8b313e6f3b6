/* A plugin to copy: it denies all that is about the topics of one resource, and has no opinion on
 * anything else. README.md says how to build it outside of Hookwire's tree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hookwire/plugin.h>

/* What one entry of the configuration says. Made by load, never changed: all workers read it at the
 * same time. */
struct instance {
	size_t len;
	char deny_resource[64];
};

static int refuse(struct hw_problem *problem, const char *path, const char *text)
{
	snprintf(problem->path, sizeof(problem->path), "%s", path);
	snprintf(problem->text, sizeof(problem->text), "%s", text);
	return -1;
}

/* Settings are a JSON object: {"deny_resource": "secret-list"}. A setting that nobody knows is a
 * mistake: say so. */
static int read_settings(const struct hw_host *host, struct hw_slice config, struct instance *out,
	struct hw_problem *problem)
{
	char scratch[256], kind;
	struct hw_slice key, value;
	size_t position = 0;
	int rc;

	out->len = 0;
	while ((rc = host->json_next(
			config, &position, &key, &kind, &value, scratch, sizeof(scratch))) == 0) {
		if (key.len != strlen("deny_resource") ||
			memcmp(key.p, "deny_resource", key.len) != 0)
			return refuse(problem, "", "the only setting is \"deny_resource\"");
		if (kind != 's' || value.len == 0 || value.len > sizeof(out->deny_resource))
			return refuse(problem, "/deny_resource",
				"must be a resource, like \"secret-list\"");
		memcpy(out->deny_resource, value.p, value.len);
		out->len = value.len;
	}
	if (rc < 0)
		return refuse(problem, "", "a name or a text is too long");
	return out->len > 0 ? 0
			    : refuse(problem, "",
				      "\"deny_resource\" is missing: whose topics are "
				      "closed?");
}

/* Serves `hookwire check` too: it looks and changes nothing. */
static int validate(const struct hw_host *host, struct hw_slice config, struct hw_problem *problem)
{
	struct instance unused;

	return read_settings(host, config, &unused, problem);
}

static int load(const struct hw_host *host, struct hw_slice config, void **instance,
	struct hw_problem *problem)
{
	struct instance *i = malloc(sizeof(*i));

	if (!i)
		return refuse(problem, "", "out of memory");
	if (read_settings(host, config, i, problem) < 0) {
		free(i);
		return -1;
	}
	*instance = i;
	return 0;
}

static void unload(const struct hw_host *host, void *instance)
{
	(void)host;
	free(instance);
}

static enum hw_verdict authorize(
	struct hw_call *call, const struct hw_who *who, const struct hw_question *question)
{
	const struct instance *i = call->instance;

	(void)who;
	if (question->resource.len != i->len ||
		memcmp(question->resource.p, i->deny_resource, i->len) != 0)
		return HW_DEFER;
	call->host->metric(call->host, "template_denied", 1);
	call->host->reason(call, "forbidden_topic", HW_SLICE("this is not for anybody"));
	return HW_DENY;
}

static const struct hw_plugin plugin = {
	.magic = HW_PLUGIN_MAGIC,
	.size = sizeof(struct hw_plugin),
	.major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR,
	.name = "template",
	.version = "1.0",
	.validate = validate,
	.load = load,
	.unload = unload,
	.authorize = authorize,
};

HW_PLUGIN_EXPORT(&plugin)
