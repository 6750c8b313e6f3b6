#include "forward.h"

#include <stdlib.h>
#include <string.h>

static int load(const struct hw_host *host, struct hw_slice config, void **instance,
	struct hw_problem *problem)
{
	char scratch[32], kind, text[32] = "";
	struct hw_slice value;

	(void)problem;
	if (host->json_get(config, "to", &kind, &value, scratch, sizeof(scratch)) != 0 ||
		value.len >= sizeof(text))
		return -1;
	memcpy(text, value.p, value.len);
	*instance = (void *)(uintptr_t)strtoull(text, NULL, 10);
	return 0;
}

static void unload(const struct hw_host *host, void *instance)
{
	const struct forward *to = instance;

	if (to->unload)
		to->unload(host);
}

static int worker_init(const struct hw_host *host, void *instance, unsigned worker, void **state)
{
	(void)host;
	(void)instance;
	(void)worker;
	*state = calloc(1, sizeof(int));
	return *state ? 0 : -1;
}

static void worker_fini(const struct hw_host *host, void *instance, void *state)
{
	const struct forward *to = instance;

	if (to->worker_fini)
		to->worker_fini(host, state);
	free(state);
}

static int worker_start(struct hw_call *call)
{
	const struct forward *to = call->instance;

	return to->worker_start ? to->worker_start(call) : 0;
}

static int save(struct hw_call *call)
{
	const struct forward *to = call->instance;

	return to->save ? to->save(call) : -1;
}

static int restore(struct hw_call *call, struct hw_slice state)
{
	const struct forward *to = call->instance;

	return to->restore ? to->restore(call, state) : 0;
}

static enum hw_verdict authorize(
	struct hw_call *call, const struct hw_who *who, const struct hw_question *question)
{
	const struct forward *to = call->instance;

	(void)who;
	(void)question;
	return to->authorize(call);
}

static const struct hw_plugin plugin = {
	.magic = HW_PLUGIN_MAGIC,
	.size = sizeof(struct hw_plugin),
	.major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR,
	.name = "forward",
	.version = "1.0",
	.load = load,
	.unload = unload,
	.worker_init = worker_init,
	.worker_fini = worker_fini,
	.authorize = authorize,
	.worker_start = worker_start,
	.save = save,
	.restore = restore,
};

HW_PLUGIN_EXPORT(&plugin)
