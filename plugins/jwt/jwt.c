/* authenticate by JSON Web Tokens: see README.md for the settings and the rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "cache.h"
#include "keyring.h"
#include "reply.h"

/* What a worker keeps for one entry: made small, since there is one per tenant whose chain names
 * it. */
struct worker {
	struct jwt_cache *cache; /* NULL before the first good token, and when memory was short */
	uint64_t generation;     /* of the keys that have verified what is in it */
};

struct instance {
	const struct hw_host *host;
	struct jwt_settings settings;
	struct keyring *ring; /* NULL: all keys are in the settings */
};

static int validate(const struct hw_host *host, struct hw_slice config, struct hw_problem *problem)
{
	struct jwt_settings settings;

	if (jwt_settings_read(host, config, &settings, problem) < 0)
		return -1;
	jwt_settings_fini(host, &settings);
	return 0;
}

static int no_memory(struct hw_problem *problem)
{
	snprintf(problem->text, sizeof(problem->text), "out of memory");
	return -1;
}

static keyring_retry retry;

static void unload(const struct hw_host *host, void *instance)
{
	struct instance *i = instance;

	if (i->ring) {
		keyring_destroy(&i->ring);
		curl_global_cleanup();
	}
	jwt_settings_fini(host, &i->settings);
	free(i);
}

static int load(const struct hw_host *host, struct hw_slice config, void **instance,
	struct hw_problem *problem)
{
	struct instance *i = calloc(1, sizeof(*i));

	if (!i)
		return no_memory(problem);
	i->host = host;
	if (jwt_settings_read(host, config, &i->settings, problem) < 0) {
		free(i);
		return -1;
	}
	if (i->settings.n_sources > 0 && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
		i->ring = keyring_create(host, &i->settings, retry, i);
		if (!i->ring)
			curl_global_cleanup();
	}
	if (i->settings.n_sources > 0 && !i->ring) {
		unload(host, i);
		return no_memory(problem);
	}
	*instance = i;
	return 0;
}

static int worker_init(const struct hw_host *host, void *instance, unsigned worker, void **state)
{
	(void)host;
	(void)instance;
	(void)worker;
	*state = calloc(1, sizeof(struct worker));
	return *state ? 0 : -1;
}

static void worker_fini(const struct hw_host *host, void *instance, void *state)
{
	struct worker *worker = state;

	(void)host;
	(void)instance;
	jwt_cache_destroy(&worker->cache);
	free(worker);
}

/* The moment from which the verification would refuse the token for its age. */
static int64_t until_ms(const struct jwt_settings *settings, int64_t expires_at)
{
	return expires_at ? (expires_at + settings->skew_s) * 1000 : INT64_MAX;
}

/* ---- verifying ---- */

/* As the host's jwt_verify. */
static int verify(const struct instance *i, const struct hw_host *host, struct hw_slice token,
	int64_t now_ms, struct hw_jwt_result *result)
{
	const struct jwt_settings *settings = &i->settings;
	struct hw_jwt_rules rules = {
		.size = sizeof(rules),
		.issuer = {settings->issuer, strlen(settings->issuer)},
		.audience = {settings->audience, strlen(settings->audience)},
		.skew_s = settings->skew_s,
	};

	if (i->ring)
		return keyring_verify(i->ring, token, &rules, now_ms, result);
	return host->jwt_verify(settings->keys, token, &rules, now_ms, result);
}

static void refuse_token(struct reply *r, const struct hw_jwt_result *result)
{
	*r = (struct reply){.answer = {.size = sizeof(r->answer)}};
	reply_deny(r, result->expired ? "token_expired" : "unauthorized", result->reason);
}

/* What older keys have verified is verified again. */
static void forget_old(struct worker *worker, const struct instance *i)
{
	uint64_t generation = i->ring ? keyring_generation(i->ring) : 0;

	if (generation != worker->generation)
		jwt_cache_destroy(&worker->cache);
	worker->generation = generation;
}

static void remember(struct worker *worker, const struct jwt_settings *settings,
	const uint8_t hash[32], const struct jwt_cached *found)
{
	if (!worker->cache)
		worker->cache = jwt_cache_create();
	if (worker->cache)
		jwt_cache_put(worker->cache, hash, until_ms(settings, found->expires_at), found);
}

static enum hw_verdict admit(struct hw_call *call, const struct jwt_cached *found)
{
	const struct instance *i = call->instance;
	enum hw_verdict verdict;
	struct reply r;

	reply_from_claims(
		&r, call->host, &i->settings, found->claims, found->expires_at, call->now_ms);
	verdict = reply_now(&r, call, &i->settings);
	reply_fini(&r);
	return verdict;
}

/* The keys that would verify it may be at its issuer's already. */
static enum hw_verdict refuse(
	struct hw_call *call, struct hw_slice token, const struct hw_jwt_result *result)
{
	const struct instance *i = call->instance;
	struct reply r;

	if (i->ring && !result->expired) {
		enum keyring_answer answer = keyring_ask(i->ring, call, token);

		if (answer == KEYRING_WAITS)
			return HW_PENDING;
		if (answer == KEYRING_UNAVAILABLE)
			return HW_ERROR;
	}
	refuse_token(&r, result);
	return reply_now(&r, call, &i->settings);
}

static enum hw_verdict authenticate(struct hw_call *call, const struct hw_request *request)
{
	const struct instance *i = call->instance;
	struct hw_jwt_result result = {.memory = NULL};
	struct worker *worker = call->worker;
	enum hw_verdict verdict;
	struct jwt_cached found;
	uint8_t hash[32];
	int rc;

	if (i->ring)
		keyring_refresh(i->ring, call);
	forget_old(worker, i);
	call->host->sha256(request->token, hash);
	if (worker->cache && jwt_cache_get(worker->cache, hash, call->now_ms, &found)) {
		call->host->metric(call->host, "jwt_cached", 1);
		return admit(call, &found);
	}
	rc = verify(i, call->host, request->token, call->now_ms, &result);
	if (rc < 0)
		return HW_ERROR;
	if (rc > 0)
		return refuse(call, request->token, &result);
	call->host->metric(call->host, "jwt_verified", 1);
	found = (struct jwt_cached){result.claims, result.expires_at};
	remember(worker, &i->settings, hash, &found);
	verdict = admit(call, &found);
	call->host->jwt_release(&result);
	return verdict;
}

/* A fetch has ended: the same once more, on whatever thread this is. */
static void retry(void *arg, uint64_t ticket, struct hw_slice token, bool fetched)
{
	const struct instance *i = arg;
	struct hw_jwt_result result = {.memory = NULL};
	struct timespec t;
	int64_t now_ms;
	struct reply r;
	int rc;

	clock_gettime(CLOCK_REALTIME, &t);
	now_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	rc = verify(i, i->host, token, now_ms, &result);
	if (rc == 0) {
		i->host->metric(i->host, "jwt_verified", 1);
		reply_from_claims(
			&r, i->host, &i->settings, result.claims, result.expires_at, now_ms);
	} else {
		refuse_token(&r, &result);
		if (rc < 0 || !fetched)
			r.answer =
				(struct hw_answer){.size = sizeof(r.answer), .verdict = HW_ERROR};
	}
	i->host->finish(i->host, ticket, &r.answer);
	reply_fini(&r);
	if (rc == 0)
		i->host->jwt_release(&result);
}

static int worker_start(struct hw_call *call)
{
	const struct instance *i = call->instance;

	if (i->ring)
		keyring_refresh(i->ring, call);
	return 0;
}

static const struct hw_plugin plugin = {
	.magic = HW_PLUGIN_MAGIC,
	.size = sizeof(struct hw_plugin),
	.major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR,
	.name = "jwt",
	.version = "1.0",
	.validate = validate,
	.load = load,
	.unload = unload,
	.worker_init = worker_init,
	.worker_fini = worker_fini,
	.authenticate = authenticate,
	.worker_start = worker_start,
};

HW_PLUGIN_EXPORT(&plugin)
