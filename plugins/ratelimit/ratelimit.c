/* How often one may: see README.md. */
#include "ratelimit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "keep.h"

#define NS_PER_MS INT64_C(1000000)
#define RANDOM_BYTES 16 /* of AT_RANDOM: getauxval(3) */

/* ---- whose ---- */

/* Who something is done by. What is not known has no bytes. */
struct actor {
	struct hw_slice tenant, user, address;
};

/* An address's bytes, of IPv6 its prefix alone: whoever has one address there has all of them. */
static size_t address_bytes(const struct ratelimit *r, struct hw_slice text, uint8_t out[16])
{
	char zero[INET6_ADDRSTRLEN];

	if (text.len < 2 || text.p[0] != '[' || text.len - 2 >= sizeof(zero))
		return 0;
	memcpy(zero, text.p + 1, text.len - 2);
	zero[text.len - 2] = '\0';
	if (inet_pton(AF_INET6, zero, out) != 1)
		return 0;
	for (int i = 0; i < 16; i++) {
		int64_t bits = r->settings.ipv6_prefix - 8 * i;

		out[i] &= bits >= 8 ? 0xff : bits <= 0 ? 0 : (uint8_t)(0xff00 >> bits);
	}
	return 16;
}

/* A bucket belongs to a tenant as far as one is known: no tenant's clients empty another's. */
static uint64_t key_of(const struct ratelimit *r, enum limit_per per, const struct actor *actor)
{
	uint8_t address[16];
	struct hash h;
	size_t n;

	hash_begin(&h, &r->key);
	hash_add(&h, actor->tenant.p, actor->tenant.len);
	hash_add(&h, "", 1); /* no tenant's id has a zero in it */
	if (per == PER_USER) {
		hash_add(&h, actor->user.p, actor->user.len);
	} else if (per == PER_ADDRESS) {
		n = address_bytes(r, actor->address, address);
		if (n > 0)
			hash_add(&h, address, n);
		else
			hash_add(&h, actor->address.p, actor->address.len);
	}
	return hash_end(&h);
}

/* ---- whether ---- */

static void tell_misplaced(struct hw_call *call, struct ratelimit *r)
{
	if (!atomic_exchange(&r->told, true))
		call->host->log(call->host, HW_PLUGIN_ERROR,
			HW_SLICE("a limit per user or tenant of \"connect\" or \"request\" stands "
				 "before the entry that says who it is: put this entry behind it; "
				 "until then nobody gets in"));
}

static enum hw_verdict limited(
	struct hw_call *call, enum limit_of of, enum limit_per per, int64_t wait_ns)
{
	static const char *const does[N_LIMITS] = {"connects", "asks", "subscribes", "publishes"};
	char text[96];

	snprintf(text, sizeof(text), "this %s %s more often than its limit allows", per_names[per],
		does[of]);
	call->host->reason(call, "rate_limited", (struct hw_slice){text, strlen(text)});
	if (HW_HOST_HAS(call->host, retry_after))
		(void)call->host->retry_after(call, (wait_ns + NS_PER_MS - 1) / NS_PER_MS);
	call->host->metric(call->host, "ratelimit_limited", 1);
	return HW_DENY;
}

/* Takes a token of each limit, or of none. */
static enum hw_verdict take(struct hw_call *call, enum limit_of of, const struct actor *actor)
{
	struct ratelimit *r = call->instance;
	int64_t now_ns = call->now_ms * NS_PER_MS;
	uint64_t keys[N_PERS];

	for (unsigned per = 0; per < N_PERS; per++) {
		bool crowded;
		int64_t wait_ns;

		if (!r->tables[of][per])
			continue;
		if (per != PER_ADDRESS && actor->user.len == 0) {
			tell_misplaced(call, r);
			return HW_ERROR;
		}
		keys[per] = key_of(r, (enum limit_per)per, actor);
		wait_ns = buckets_take(r->tables[of][per], keys[per], now_ns, &crowded);
		if (crowded)
			call->host->metric(call->host, "ratelimit_crowded", 1);
		if (wait_ns == 0)
			continue;
		for (unsigned back = 0; back < per; back++)
			if (r->tables[of][back])
				buckets_give_back(r->tables[of][back], keys[back], now_ns);
		return limited(call, of, (enum limit_per)per, wait_ns);
	}
	return HW_DEFER;
}

/* A host that is older than the members says nothing of them. */
#define KNOWS(thing, type, member) \
	((thing)->size >= offsetof(struct type, member) + sizeof((thing)->member))

static enum hw_verdict authenticate(struct hw_call *call, const struct hw_request *request)
{
	struct actor actor = {.tenant = call->tenant, .address = request->address};
	bool ws = request->transport.len == 2 && memcmp(request->transport.p, "ws", 2) == 0;

	if (KNOWS(request, hw_request, user_id))
		actor.user = request->user_id;
	return take(call, ws ? LIMIT_CONNECT : LIMIT_REQUEST, &actor);
}

static enum hw_verdict authorize(
	struct hw_call *call, const struct hw_who *who, const struct hw_question *question)
{
	const struct actor actor = {
		.tenant = who->tenant_id, .user = who->user_id, .address = who->address};

	if (KNOWS(question, hw_question, again) && question->again)
		return HW_DEFER;
	return take(call, question->operation == HW_OP_PUBLISH ? LIMIT_PUBLISH : LIMIT_SUBSCRIBE,
		&actor);
}

/* ---- life ---- */

static int validate(const struct hw_host *host, struct hw_slice config, struct hw_problem *problem)
{
	struct settings settings;

	return settings_read(host, config, &settings, problem);
}

static void unload(const struct hw_host *host, void *instance)
{
	struct ratelimit *r = instance;

	(void)host;
	for (unsigned i = 0; i < N_LIMITS * N_PERS; i++)
		buckets_destroy(&r->tables[i / N_PERS][i % N_PERS]);
	free(r);
}

/* The same for all instances of a process, so that one generation's keys are the next one's; and
 * nobody outside can know it. */
static struct hash_key make_key(const struct hw_host *host)
{
	static const char purpose[] = "hookwire ratelimit";
	const void *random = (const void *)getauxval(AT_RANDOM);
	uint8_t input[RANDOM_BYTES + sizeof(purpose)] = {0}, digest[32];
	struct hash_key key;

	if (random)
		memcpy(input, random, RANDOM_BYTES);
	memcpy(input + RANDOM_BYTES, purpose, sizeof(purpose));
	host->sha256((struct hw_slice){(const char *)input, sizeof(input)}, digest);
	memcpy(&key, digest, sizeof(key));
	return key;
}

static int load(const struct hw_host *host, struct hw_slice config, void **instance,
	struct hw_problem *problem)
{
	struct ratelimit *r = calloc(1, sizeof(*r));
	bool made = r != NULL;

	if (made && settings_read(host, config, &r->settings, problem) < 0) {
		free(r);
		return -1;
	}
	for (unsigned i = 0; made && i < N_LIMITS * N_PERS; i++) {
		const struct limit *limit = &r->settings.limits[i / N_PERS][i % N_PERS];
		struct buckets **table = &r->tables[i / N_PERS][i % N_PERS];

		if (limit->interval_ns == 0)
			continue;
		*table = buckets_create(
			(size_t)r->settings.buckets, limit->interval_ns, limit->burst);
		made = *table != NULL;
	}
	if (!made) {
		if (r)
			unload(host, r);
		snprintf(problem->text, sizeof(problem->text), "out of memory");
		return -1;
	}
	r->key = make_key(host);
	*instance = r;
	return 0;
}

/* A worker's state is its number. */
static int worker_init(const struct hw_host *host, void *instance, unsigned worker, void **state)
{
	(void)host;
	(void)instance;
	*state = (void *)(uintptr_t)worker;
	return 0;
}

/* The tables are everybody's: each worker hands them on once, for whichever tenant comes first, so
 * that none asks the new ones before they know what the old ones knew. */
static int save(struct hw_call *call)
{
	struct ratelimit *r = call->instance;
	uint64_t bit = UINT64_C(1) << ((uintptr_t)call->worker % WORKERS_MAX);
	char *text;
	size_t len;
	int rc = -1;

	if (atomic_fetch_or(&r->saved, bit) & bit)
		return -1;
	text = keep_write(r, call->now_ms * NS_PER_MS, &len);
	if (text)
		rc = call->host->keep(call, (struct hw_slice){text, len});
	free(text);
	return rc;
}

static int restore(struct hw_call *call, struct hw_slice state)
{
	return keep_read(call->instance, call->now_ms * NS_PER_MS, state);
}

static const struct hw_plugin plugin = {
	.magic = HW_PLUGIN_MAGIC,
	.size = sizeof(struct hw_plugin),
	.major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR,
	.operations = 1u << HW_OP_SUBSCRIBE | 1u << HW_OP_WILDCARD | 1u << HW_OP_PUBLISH,
	.name = "ratelimit",
	.version = "1.0",
	.validate = validate,
	.load = load,
	.unload = unload,
	.worker_init = worker_init,
	.authenticate = authenticate,
	.authorize = authorize,
	.save = save,
	.restore = restore,
};

HW_PLUGIN_EXPORT(&plugin)
