/* authenticate by JSON Web Tokens: see README.md for the settings and the rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hookwire/plugin.h>

#include "cache.h"
#include "settings.h"

/* What a worker keeps for one entry: made small, since there is one per tenant whose chain names
 * it. */
struct worker {
	struct jwt_cache *cache; /* NULL before the first good token, and when memory was short */
};

static int validate(const struct hw_host *host, struct hw_slice config, struct hw_problem *problem)
{
	struct jwt_settings settings;

	if (jwt_settings_read(host, config, &settings, problem) < 0)
		return -1;
	jwt_settings_fini(host, &settings);
	return 0;
}

static int load(const struct hw_host *host, struct hw_slice config, void **instance,
	struct hw_problem *problem)
{
	struct jwt_settings *settings = malloc(sizeof(*settings));

	if (!settings) {
		snprintf(problem->text, sizeof(problem->text), "out of memory");
		return -1;
	}
	if (jwt_settings_read(host, config, settings, problem) < 0) {
		free(settings);
		return -1;
	}
	*instance = settings;
	return 0;
}

static void unload(const struct hw_host *host, void *instance)
{
	jwt_settings_fini(host, instance);
	free(instance);
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

static enum hw_verdict deny(struct hw_call *call, const char *code, const char *why)
{
	call->host->reason(call, code, (struct hw_slice){why, strlen(why)});
	return HW_DENY;
}

static enum hw_verdict deny_claim(struct hw_call *call, const char *claim, const char *why)
{
	char text[200];

	snprintf(text, sizeof(text), "the token's claim \"%.64s\" %s", claim, why);
	return deny(call, "unauthorized", text);
}

/* The moment from which the verification would refuse the token for its age. */
static int64_t until_ms(const struct jwt_settings *settings, int64_t expires_at)
{
	return expires_at ? (expires_at + settings->skew_s) * 1000 : INT64_MAX;
}

/* @found lives until the next put into the cache or until @result is released. HW_ALLOW: go on. */
static enum hw_verdict verify(struct hw_call *call, struct hw_slice token, struct jwt_cached *found,
	struct hw_jwt_result *result)
{
	const struct jwt_settings *settings = call->instance;
	struct hw_jwt_rules rules = {
		.size = sizeof(rules),
		.issuer = {settings->issuer, strlen(settings->issuer)},
		.audience = {settings->audience, strlen(settings->audience)},
		.skew_s = settings->skew_s,
	};
	struct worker *worker = call->worker;
	uint8_t hash[32];
	int rc;

	call->host->sha256(token, hash);
	if (worker->cache && jwt_cache_get(worker->cache, hash, call->now_ms, found)) {
		call->host->metric(call->host, "jwt_cached", 1);
		return HW_ALLOW;
	}
	rc = call->host->jwt_verify(settings->keys, token, &rules, call->now_ms, result);
	if (rc < 0)
		return HW_ERROR;
	if (rc > 0)
		return deny(
			call, result->expired ? "token_expired" : "unauthorized", result->reason);
	call->host->metric(call->host, "jwt_verified", 1);
	found->claims = result->claims;
	found->expires_at = result->expires_at;
	if (!worker->cache)
		worker->cache = jwt_cache_create();
	if (worker->cache)
		jwt_cache_put(worker->cache, hash, until_ms(settings, found->expires_at), found);
	return HW_ALLOW;
}

/* A claim that names somebody: a text, or a whole number as some issuers have it. */
static int get_name(struct hw_call *call, struct hw_slice claims, const char *claim,
	struct hw_slice *name, char *scratch, size_t size)
{
	size_t digits = 0;
	char kind;

	if (call->host->json_get(claims, claim, &kind, name, scratch, size) != 0)
		return -1;
	if (kind == 's')
		return 0;
	if (kind != 'n')
		return -1;
	digits = name->p[0] == '-' ? 1 : 0;
	while (digits < name->len && name->p[digits] >= '0' && name->p[digits] <= '9')
		digits++;
	return digits == name->len ? 0 : -1;
}

static enum hw_verdict set_person(struct hw_call *call, struct hw_slice claims)
{
	const struct jwt_settings *settings = call->instance;
	char scratch[512];
	struct hw_slice name;

	if (get_name(call, claims, settings->user_claim, &name, scratch, sizeof(scratch)) < 0)
		return deny_claim(call, settings->user_claim,
			"must say who the user is, as a text or a whole number");
	if (call->host->set_user(call, name) < 0)
		return deny_claim(call, settings->user_claim, "is no user id: 1 to 255 bytes");
	if (get_name(call, claims, settings->tenant_claim, &name, scratch, sizeof(scratch)) < 0)
		return deny_claim(call, settings->tenant_claim,
			"must say which tenant it is, as a text or a whole number");
	if (call->host->set_tenant(call, name) < 0)
		return deny_claim(call, settings->tenant_claim,
			"is no tenant id: 1 to 64 of A-Z a-z 0-9 . _ -");
	return HW_ALLOW;
}

/* Whether the claim is the text, or an array that holds it. */
static int claim_says(
	struct hw_call *call, struct hw_slice claims, const char *claim, const char *text)
{
	struct hw_slice value, item, none;
	char scratch[512], kind;
	size_t position = 0, len = strlen(text);

	if (call->host->json_get(claims, claim, &kind, &value, scratch, sizeof(scratch)) != 0)
		return 0;
	if (kind == 's')
		return value.len == len && memcmp(value.p, text, len) == 0;
	while (kind == 'a' && call->host->json_next(value, &position, &none, &kind, &item, scratch,
				      sizeof(scratch)) == 0) {
		if (kind == 's' && item.len == len && memcmp(item.p, text, len) == 0)
			return 1;
		kind = 'a';
	}
	return 0;
}

static int is_tenant_id(struct hw_slice s)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	for (size_t i = 0; i < s.len; i++) {
		if (!memchr(letters, s.p[i], sizeof(letters) - 1))
			return 0;
	}
	return s.len > 0 && s.len <= 64;
}

static enum hw_verdict grant_tenants(struct hw_call *call, struct hw_slice claims)
{
	const struct jwt_settings *settings = call->instance;
	struct hw_slice value, item, none;
	char scratch[512], kind;
	size_t position = 0;
	int rc;

	rc = call->host->json_get(
		claims, settings->tenants_claim, &kind, &value, scratch, sizeof(scratch));
	if (rc > 0)
		return HW_ALLOW; /* a user's token has none */
	if (rc < 0 || kind != 'a')
		return deny_claim(call, settings->tenants_claim, "must be an array of tenant ids");
	while ((rc = call->host->json_next(
			value, &position, &none, &kind, &item, scratch, sizeof(scratch))) == 0) {
		if (kind != 's' || !is_tenant_id(item))
			return deny_claim(
				call, settings->tenants_claim, "must be an array of tenant ids");
		if (call->host->grant_tenant(call, item) < 0)
			return HW_ERROR; /* a tenant's own entry may not: the configuration is
					    wrong, not the token */
	}
	return rc < 0 ? deny_claim(call, settings->tenants_claim, "must be an array of tenant ids")
		      : HW_ALLOW;
}

static enum hw_verdict answer(struct hw_call *call, const struct jwt_cached *found)
{
	const struct jwt_settings *settings = call->instance;
	enum hw_verdict verdict = set_person(call, found->claims);

	if (verdict != HW_ALLOW)
		return verdict;
	if (call->host->set_claims(call, found->claims) < 0)
		return deny(call, "unauthorized", "the token has too many claims");
	/* A token inside of the skew is good until its end, which a session must not have behind it
	 * already. */
	if (found->expires_at)
		call->host->set_expires_at(call, call->now_ms < found->expires_at * 1000
							 ? found->expires_at
							 : found->expires_at + settings->skew_s);
	if (settings->act_as_claim &&
		claim_says(call, found->claims, settings->act_as_claim, settings->act_as_equals))
		call->host->grant_act_as(call);
	return settings->tenants_claim ? grant_tenants(call, found->claims) : HW_ALLOW;
}

static enum hw_verdict authenticate(struct hw_call *call, const struct hw_request *request)
{
	struct hw_jwt_result result = {.memory = NULL};
	struct jwt_cached found;
	enum hw_verdict verdict = verify(call, request->token, &found, &result);

	if (verdict == HW_ALLOW)
		verdict = answer(call, &found);
	call->host->jwt_release(&result);
	return verdict;
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
};

HW_PLUGIN_EXPORT(&plugin)
