/* A plugin that a test holds up, or makes refuse, at a moment of its choice: by files in the
 * directory of its settings {"dir": "/tmp/x", "mark": "one"}.
 *
 *   DIR/load, DIR/worker-N, DIR/ask-N   that step (of worker N) waits as long as the file is there;
 *                                       for the time it waits there is DIR/STEP.waiting too
 *   DIR/refuse-N                        worker_init of worker N refuses
 *
 * authorize.publish denies with "worker N MARK" as its reason: the mark says which settings decide.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hookwire/plugin.h>

#define LOOK_EVERY_US 2000

struct instance {
	char dir[256];
	char mark[64];
};

static int there(const struct instance *i, const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", i->dir, name);
	return access(path, F_OK) == 0;
}

static void wait_while(const struct instance *i, const char *name)
{
	char path[400];
	FILE *sign;

	if (!there(i, name))
		return;
	snprintf(path, sizeof(path), "%s/%s.waiting", i->dir, name);
	sign = fopen(path, "we");
	if (sign)
		fclose(sign);
	while (there(i, name))
		usleep(LOOK_EVERY_US);
	unlink(path);
}

static int get(const struct hw_host *host, struct hw_slice config, const char *name, char *out,
	size_t size)
{
	char scratch[512], kind;
	struct hw_slice value;

	if (host->json_get(config, name, &kind, &value, scratch, sizeof(scratch)) != 0 ||
		value.len >= size)
		return -1;
	memcpy(out, value.p, value.len);
	out[value.len] = '\0';
	return 0;
}

static int load(
	const struct hw_host *host, struct hw_slice config, void **out, struct hw_problem *problem)
{
	struct instance *i = calloc(1, sizeof(*i));

	if (!i || get(host, config, "dir", i->dir, sizeof(i->dir)) < 0 ||
		get(host, config, "mark", i->mark, sizeof(i->mark)) < 0) {
		strcpy(problem->text, "\"dir\" and \"mark\" are needed");
		free(i);
		return -1;
	}
	wait_while(i, "load");
	*out = i;
	return 0;
}

static void unload(const struct hw_host *host, void *instance)
{
	(void)host;
	free(instance);
}

static int worker_init(const struct hw_host *host, void *instance, unsigned worker, void **state)
{
	char name[32];

	(void)host;
	snprintf(name, sizeof(name), "worker-%u", worker);
	wait_while(instance, name);
	snprintf(name, sizeof(name), "refuse-%u", worker);
	if (there(instance, name))
		return -1;
	*state = malloc(sizeof(worker));
	if (!*state)
		return -1;
	memcpy(*state, &worker, sizeof(worker));
	return 0;
}

static void worker_fini(const struct hw_host *host, void *instance, void *state)
{
	(void)host;
	(void)instance;
	free(state);
}

static enum hw_verdict authorize(
	struct hw_call *call, const struct hw_who *who, const struct hw_question *question)
{
	const struct instance *i = call->instance;
	unsigned worker = *(unsigned *)call->worker;
	char name[32], reason[128];

	(void)who;
	(void)question;
	snprintf(name, sizeof(name), "ask-%u", worker);
	wait_while(i, name);
	snprintf(reason, sizeof(reason), "worker %u %s", worker, i->mark);
	call->host->reason(call, "forbidden_topic", (struct hw_slice){reason, strlen(reason)});
	return HW_DENY;
}

static const struct hw_plugin plugin = {
	.magic = HW_PLUGIN_MAGIC,
	.size = sizeof(struct hw_plugin),
	.major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR,
	.operations = 1u << HW_OP_PUBLISH,
	.name = "gate",
	.version = "1.0",
	.load = load,
	.unload = unload,
	.worker_init = worker_init,
	.worker_fini = worker_fini,
	.authorize = authorize,
};

HW_PLUGIN_EXPORT(&plugin)
