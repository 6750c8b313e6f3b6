/* authorize by a list of rules: see README.md for what they are. */
#include <stdio.h>
#include <stdlib.h>

#include "read.h"

static int validate(const struct hw_host *host, struct hw_slice config, struct hw_problem *problem)
{
	struct acl acl;

	if (acl_read(host, config, &acl, problem) < 0)
		return -1;
	acl_fini(&acl);
	return 0;
}

static int load(const struct hw_host *host, struct hw_slice config, void **instance,
	struct hw_problem *problem)
{
	struct acl *acl = malloc(sizeof(*acl));

	if (!acl) {
		snprintf(problem->text, sizeof(problem->text), "out of memory");
		return -1;
	}
	if (acl_read(host, config, acl, problem) < 0) {
		free(acl);
		return -1;
	}
	*instance = acl;
	return 0;
}

static void unload(const struct hw_host *host, void *instance)
{
	(void)host;
	acl_fini(instance);
	free(instance);
}

static enum hw_verdict authorize(
	struct hw_call *call, const struct hw_who *who, const struct hw_question *question)
{
	const struct acl *acl = call->instance;
	enum hw_verdict verdict = acl_decide(acl, call->host, who, question);

	if (verdict == HW_DEFER && acl->otherwise_deny)
		verdict = HW_DENY;
	if (verdict == HW_DENY)
		call->host->reason(call, "forbidden_topic", HW_SLICE("the access list says no"));
	return verdict;
}

static const struct hw_plugin plugin = {
	.magic = HW_PLUGIN_MAGIC,
	.size = sizeof(struct hw_plugin),
	.major = HW_PLUGIN_MAJOR,
	.minor = 0,
	.operations = 1u << HW_OP_SUBSCRIBE | 1u << HW_OP_WILDCARD | 1u << HW_OP_PUBLISH |
		      1u << HW_OP_PRESENCE,
	.name = "acl",
	.version = "1.0",
	.validate = validate,
	.load = load,
	.unload = unload,
	.authorize = authorize,
};

HW_PLUGIN_EXPORT(&plugin)
