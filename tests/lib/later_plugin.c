/* A plugin that answers later: by the resource of the topic that somebody wants to subscribe to.
 * Settings: {"dir": "/tmp/x"}, and "tick": true for an event tick:1 from each worker every 20 ms.
 *
 *   offload:…  work on a thread of the broker's waits as long as DIR/hold is there, then allows
 *   thread:…   likewise, on a thread of the plugin's own, which ends in unload
 *   never:…    nobody finishes it
 *   count:N    allows whoever is the Nth to ask so, on all workers, and denies all others
 *   say:…      publishes said:1 and allows
 *
 * All else is allowed at once. Counters: later_waits when a call was suspended; later_works when
 * its work has begun; later_taken and
 * later_refused for what finish answered to the plugin's thread. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hookwire/plugin.h>

#define LOOK_EVERY_US 2000
#define TICK_MS 20
#define TICKETS_MAX 64

struct instance {
	const struct hw_host *host;
	char dir[256];
	int tick;
	pthread_t thread;
	pthread_mutex_t lock;
	int ending;
	uint64_t tickets[TICKETS_MAX];
	size_t n_tickets;
};

static int held(const struct instance *i)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/hold", i->dir);
	return access(path, F_OK) == 0;
}

static void finish(struct instance *i, uint64_t ticket)
{
	struct hw_answer answer = {.size = sizeof(answer), .verdict = HW_ALLOW};
	int taken = i->host->finish(i->host, ticket, &answer) == 0;

	i->host->metric(i->host, taken ? "later_taken" : "later_refused", 1);
}

/* Finishes what waits, once nothing is held. */
static void *serve(void *arg)
{
	struct instance *i = arg;
	int ending;

	do {
		pthread_mutex_lock(&i->lock);
		while (i->n_tickets > 0 && !held(i))
			finish(i, i->tickets[--i->n_tickets]);
		ending = i->ending;
		pthread_mutex_unlock(&i->lock);
		usleep(LOOK_EVERY_US);
	} while (!ending);
	return NULL;
}

static int load(
	const struct hw_host *host, struct hw_slice config, void **out, struct hw_problem *problem)
{
	struct instance *i = calloc(1, sizeof(*i));
	struct hw_slice value;
	char kind;

	if (!i || host->json_get(config, "dir", &kind, &value, i->dir, sizeof(i->dir)) != 0 ||
		value.len >= sizeof(i->dir)) {
		strcpy(problem->text, "\"dir\" is needed");
		free(i);
		return -1;
	}
	memmove(i->dir, value.p, value.len);
	i->dir[value.len] = '\0';
	i->host = host;
	i->tick = host->json_get(config, "tick", &kind, &value, NULL, 0) == 0 && kind == 't';
	pthread_mutex_init(&i->lock, NULL);
	if (pthread_create(&i->thread, NULL, serve, i) != 0) {
		free(i);
		return -1;
	}
	*out = i;
	return 0;
}

static void unload(const struct hw_host *host, void *instance)
{
	struct instance *i = instance;

	pthread_mutex_lock(&i->lock);
	i->ending = 1;
	pthread_mutex_unlock(&i->lock);
	pthread_join(i->thread, NULL);
	pthread_mutex_destroy(&i->lock);
	free(i);
	host->metric(host, "later_unloaded", 1);
}

static void tick(struct hw_call *call, void *arg)
{
	call->host->publish(call, HW_SLICE("{\"topic\":\"tick:1\",\"event\":\"UPDATED\","
					   "\"data\":{\"entity_id\":\"t\",\"payload\":{}}}"));
	call->host->timer(call, TICK_MS, tick, arg);
}

static int worker_start(struct hw_call *call)
{
	const struct instance *i = call->instance;

	return !i->tick || call->host->timer(call, TICK_MS, tick, NULL) ? 0 : -1;
}

struct job {
	uint64_t ticket;
};

static void work(const struct hw_host *host, void *instance, void *arg)
{
	(void)arg;
	host->metric(host, "later_works", 1);
	while (held(instance))
		usleep(LOOK_EVERY_US);
}

static void done(struct hw_call *call, void *arg)
{
	struct job *job = arg;

	if (call)
		finish(call->instance, job->ticket);
	free(job);
}

static enum hw_verdict offload(struct hw_call *call, uint64_t ticket)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return HW_ERROR;
	job->ticket = ticket;
	if (call->host->offload(call, work, done, job) == 0)
		return HW_PENDING;
	free(job);
	return HW_ERROR;
}

static enum hw_verdict hand_to_thread(struct instance *i, uint64_t ticket)
{
	enum hw_verdict verdict = HW_ERROR;

	pthread_mutex_lock(&i->lock);
	if (i->n_tickets < TICKETS_MAX) {
		i->tickets[i->n_tickets++] = ticket;
		verdict = HW_PENDING;
	}
	pthread_mutex_unlock(&i->lock);
	return verdict;
}

static enum hw_verdict count(struct hw_call *call, struct hw_slice id)
{
	char text[32] = "";
	int64_t n;

	if (call->host->dict_incr(call, HW_SLICE("count"), 1, 0, &n) != HW_DICT_OK)
		return HW_ERROR;
	memcpy(text, id.p, id.len < sizeof(text) ? id.len : sizeof(text) - 1);
	return n == atoll(text) ? HW_ALLOW : HW_DENY;
}

static int is(struct hw_slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

static enum hw_verdict authorize(
	struct hw_call *call, const struct hw_who *who, const struct hw_question *question)
{
	enum hw_verdict verdict = HW_PENDING;
	uint64_t ticket;

	(void)who;
	if (is(question->resource, "count"))
		return count(call, question->id);
	if (is(question->resource, "say"))
		call->host->publish(call, HW_SLICE("{\"topic\":\"said:1\",\"event\":\"UPDATED\","
						   "\"data\":{\"entity_id\":\"s\"}}"));
	if (!is(question->resource, "offload") && !is(question->resource, "thread") &&
		!is(question->resource, "never"))
		return HW_ALLOW;
	ticket = call->host->suspend(call, 0);
	if (!ticket)
		return HW_ERROR;
	if (is(question->resource, "offload"))
		verdict = offload(call, ticket);
	else if (is(question->resource, "thread"))
		verdict = hand_to_thread(call->instance, ticket);
	if (verdict == HW_PENDING)
		call->host->metric(call->host, "later_waits", 1);
	return verdict;
}

static const struct hw_plugin plugin = {
	.magic = HW_PLUGIN_MAGIC,
	.size = sizeof(struct hw_plugin),
	.major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR,
	.operations = 1u << HW_OP_SUBSCRIBE,
	.name = "later",
	.version = "1.0",
	.load = load,
	.unload = unload,
	.worker_start = worker_start,
	.authorize = authorize,
};

HW_PLUGIN_EXPORT(&plugin)
