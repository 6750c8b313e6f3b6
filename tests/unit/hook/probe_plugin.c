/* A plugin that does what its input says: a script of "word=value;" in the token, or in the
 * session's name. Compiled with one of the PROBE_ macros it is wrong in that way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hookwire/plugin.h>

#ifndef PROBE_VERSION
#define PROBE_VERSION "1.0"
#endif
#ifndef PROBE_MAGIC
#define PROBE_MAGIC HW_PLUGIN_MAGIC
#endif
#ifndef PROBE_MAJOR
#define PROBE_MAJOR HW_PLUGIN_MAJOR
#endif
#ifndef PROBE_MINOR
#define PROBE_MINOR HW_PLUGIN_MINOR
#endif
#ifndef PROBE_SIZE
#define PROBE_SIZE sizeof(struct hw_plugin)
#endif
#ifndef PROBE_NAME
#define PROBE_NAME "probe"
#endif

#ifdef PROBE_UNDEFINED
int nobody_has_this(void);
#endif

#if defined(PROBE_CRASH)
#define PROBE_BEGIN abort()
#elif defined(PROBE_HANG)
#define PROBE_BEGIN sleep(1000)
#elif defined(PROBE_EXIT)
#define PROBE_BEGIN _exit(0)
#elif defined( \
	PROBE_FORK) /* and leaves a process that holds its stderr; PROBE_FORK_PID says which */
#define PROBE_BEGIN \
	do { \
		const char *path = getenv("PROBE_FORK_PID"); \
		pid_t pid = path ? fork() : 1; \
		FILE *file; \
		if (pid == 0) \
			for (;;) \
				pause(); \
		file = path ? fopen(path, "w") : NULL; \
		if (file) { \
			fprintf(file, "%d", (int)pid); \
			fclose(file); \
		} \
	} while (0)
#endif
#ifdef PROBE_BEGIN
__attribute__((constructor)) static void begin(void)
{
	PROBE_BEGIN;
}
#endif

static int is(struct hw_slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

static struct hw_slice cut(struct hw_slice *rest, char at)
{
	struct hw_slice part = *rest;
	const char *end = rest->len ? memchr(rest->p, at, rest->len) : NULL;

	if (end) {
		part.len = (size_t)(end - rest->p);
		*rest = (struct hw_slice){end + 1, rest->len - part.len - 1};
	} else {
		*rest = (struct hw_slice){NULL, 0};
	}
	return part;
}

static int64_t number(struct hw_slice s)
{
	char text[32] = "";

	memcpy(text, s.p, s.len < 31 ? s.len : 31);
	return atoll(text);
}

/* The value of json_get as "kind:text", to be seen by the test as the reason. */
static void show_json(struct hw_call *call, struct hw_slice object, struct hw_slice name)
{
	char key[64] = "", scratch[16], kind = '?', text[200];
	struct hw_slice value = {"", 0};
	int rc;

	memcpy(key, name.p, name.len);
	rc = call->host->json_get(object, key, &kind, &value, scratch, sizeof(scratch));
	snprintf(text, sizeof(text), "%d%c:%.*s", rc, rc == 0 ? kind : '-',
		rc == 0 ? (int)value.len : 0, value.p);
	call->host->reason(call, "forbidden_topic", (struct hw_slice){text, strlen(text)});
}

static void walk_json(struct hw_call *call, struct hw_slice container)
{
	char scratch[16], kind, text[256] = "";
	struct hw_slice key, value;
	size_t position = 0, n = 0;
	int rc;

	while ((rc = call->host->json_next(
			container, &position, &key, &kind, &value, scratch, sizeof(scratch))) == 0)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s=%c%.*s,", (int)key.len,
			key.p ? key.p : "", kind, (int)value.len, value.p);
	snprintf(text + n, sizeof(text) - n, "%d", rc);
	call->host->reason(call, "forbidden_topic", (struct hw_slice){text, strlen(text)});
}

#if HW_PLUGIN_MINOR >= 1
/* Where the script says, the test finds what it needs to finish the call. */
static void suspend(struct hw_call *call, struct hw_slice address)
{
	struct {
		const struct hw_host *host;
		uint64_t ticket;
	} *out = (void *)(uintptr_t)number(address);

	out->host = call->host;
	out->ticket = call->host->suspend(call, 0);
}

static void finish_now(struct hw_call *call)
{
	struct hw_answer answer = {.size = sizeof(answer), .verdict = HW_ALLOW};

	if (call->host->finish(call->host, call->host->suspend(call, 0), &answer) != 0)
		call->host->metric(call->host, "probe_finish_failed", 1);
}
#endif

static int set(struct hw_call *call, struct hw_slice word, struct hw_slice value)
{
	const struct hw_host *host = call->host;
	struct hw_slice code;
	char name[64] = "";

	if (is(word, "user"))
		return host->set_user(call, value);
	if (is(word, "tenant"))
		return host->set_tenant(call, value);
	if (is(word, "claims"))
		return host->set_claims(call, value);
	if (is(word, "expires"))
		return host->set_expires_at(call, number(value));
	if (is(word, "grant"))
		return host->grant_tenant(call, value);
	if (is(word, "act_as"))
		return host->grant_act_as(call);
	if (is(word, "event"))
		return host->set_event(call, value);
	if (is(word, "reason")) {
		code = cut(&value, ':');
		memcpy(name, code.p, code.len < 63 ? code.len : 63);
		return host->reason(call, name, value);
	}
	if (is(word, "metric")) {
		memcpy(name, value.p, value.len < 63 ? value.len : 63);
		host->metric(host, name, 2);
	}
	if (is(word, "log"))
		host->log(host, HW_PLUGIN_WARN, value);
#if HW_PLUGIN_MINOR >= 1
	if (is(word, "suspend"))
		suspend(call, value);
	if (is(word, "finish_now"))
		finish_now(call);
#endif
	return 0;
}

#if HW_PLUGIN_MINOR >= 1
/* What audience gives for a name, as the event's entity: "kind:value". */
static int show_audience(struct hw_call *call, struct hw_slice name)
{
	char key[64] = "", scratch[16], kind = '-', text[256];
	struct hw_slice value = {"", 0};
	int rc;

	memcpy(key, name.p, name.len);
	rc = call->host->audience(call, key, &kind, &value, scratch, sizeof(scratch));
	if (rc < 0)
		return -1;
	snprintf(text, sizeof(text),
		"{\"topic\":\"a:1\",\"event\":\"E\",\"data\":{\"entity_id\":\"%c:%.*s\"}}", kind,
		(int)value.len, value.p);
	return call->host->set_event(call, (struct hw_slice){text, strlen(text)});
}
#endif

static enum hw_verdict run(struct hw_call *call, struct hw_slice script, struct hw_slice subject)
{
	enum hw_verdict verdict = HW_DEFER;

	while (script.p) {
		struct hw_slice value = cut(&script, ';'), word = cut(&value, '=');

		if (is(word, "return"))
			verdict = (enum hw_verdict)number(value);
		else if (is(word, "get"))
			show_json(call, subject, value);
		else if (is(word, "walk"))
			walk_json(call, subject);
		else if (is(word, "version"))
			call->host->reason(call, "forbidden_topic", HW_SLICE(PROBE_VERSION));
		else if (is(word, "tenant_of_call"))
			call->host->reason(call, "forbidden_topic", call->tenant);
#if HW_PLUGIN_MINOR >= 1
		else if (is(word, "audience"))
			(void)show_audience(call, value);
#endif
		else if (set(call, word, value) < 0)
			call->host->metric(call->host, "probe_setter_failed", 1);
	}
	return verdict;
}

static int wants(const struct hw_host *host, struct hw_slice config, const char *what)
{
	char scratch[64], kind;
	struct hw_slice value;

	return host->json_get(config, "fail", &kind, &value, scratch, sizeof(scratch)) == 0 &&
	       kind == 's' && is(value, what);
}

static int validate(const struct hw_host *host, struct hw_slice config, struct hw_problem *problem)
{
	if (!wants(host, config, "validate"))
		return wants(host, config, "silently") ? -1 : 0;
	strcpy(problem->path, "/fail");
	strcpy(problem->text, "told to fail in validate");
	return -1;
}

static int load(const struct hw_host *host, struct hw_slice config, void **instance,
	struct hw_problem *problem)
{
	if (wants(host, config, "load")) {
		strcpy(problem->text, "told to fail in load");
		return -1;
	}
	*instance = malloc(1);
	*(char *)*instance = wants(host, config, "worker_init") ? 1 : 0;
	host->metric(host, "probe_loaded", 1);
	return 0;
}

static void unload(const struct hw_host *host, void *instance)
{
	free(instance);
	host->metric(host, "probe_unloaded", 1);
}

static int worker_init(const struct hw_host *host, void *instance, unsigned worker, void **state)
{
	unsigned *mine;

	(void)host;
	if (*(char *)instance)
		return -1;
	mine = malloc(sizeof(*mine));
	*mine = worker;
	*state = mine;
	return 0;
}

static void worker_fini(const struct hw_host *host, void *instance, void *state)
{
	(void)host;
	(void)instance;
	free(state);
}

static enum hw_verdict authenticate(struct hw_call *call, const struct hw_request *request)
{
	if (request->size < sizeof(*request) || *(unsigned *)call->worker != 3)
		return HW_ERROR;
	return run(call, request->token, request->token);
}

static enum hw_verdict authorize(
	struct hw_call *call, const struct hw_who *who, const struct hw_question *question)
{
	if (question->size < sizeof(*question) || who->size < sizeof(*who))
		return HW_ERROR;
	return run(call, who->session, who->claims);
}

static enum hw_verdict transform(
	struct hw_call *call, const struct hw_who *who, struct hw_slice event_json)
{
	return run(call, who->session, event_json);
}

static void lifecycle(
	struct hw_call *call, const struct hw_who *who, const struct hw_lifecycle *what)
{
	if (what->size >= sizeof(*what) && what->kind == HW_ON_DISCONNECT &&
		what->close_code == 1000)
		run(call, who->session, who->claims);
#if HW_PLUGIN_MINOR >= 1
	if (what->kind == HW_ON_OCCUPIED && what->number == 7)
		run(call, who->session, what->topic);
	if (what->kind == HW_ON_PUBLISH || what->kind == HW_ON_VACATED)
		run(call, who->session, what->event);
#endif
}

#if HW_PLUGIN_MINOR >= 1
static uint32_t lifecycle_kinds(const struct hw_host *host, const void *instance)
{
	(void)host;
	return instance ? 1u << HW_ON_DISCONNECT | 1u << HW_ON_OCCUPIED | 1u << HW_ON_PUBLISH |
				  1u << 31 /* of a later host */
			: 0;
}

/* The script is what the audience's claim of that name says. */
static enum hw_verdict by_claim(struct hw_call *call, const char *name, struct hw_slice event_json)
{
	static const size_t size = 64;
	char scratch[64], kind;
	struct hw_slice script;

	if (call->host->audience(call, name, &kind, &script, scratch, size) != 0)
		return HW_ALLOW;
	return run(call, script, event_json);
}

static enum hw_verdict filter(struct hw_call *call, struct hw_slice event_json)
{
	return by_claim(call, "claims.filter", event_json);
}

static enum hw_verdict redact(struct hw_call *call, struct hw_slice event_json)
{
	return by_claim(call, "claims.redact", event_json);
}

static const char *const filter_reads[] = {"claims.filter", NULL};
static const char *const redact_reads[] = {
#ifdef PROBE_READS
	PROBE_READS,
#endif
	"user", "claims.redact", "claims.v", NULL};
#endif

static const struct hw_plugin plugin = {
	.magic = PROBE_MAGIC,
	.size = PROBE_SIZE,
	.major = PROBE_MAJOR,
	.minor = PROBE_MINOR,
	.name = PROBE_NAME,
	.version = PROBE_VERSION,
	.validate = validate,
	.load = load,
	.unload = unload,
	.worker_init = worker_init,
	.worker_fini = worker_fini,
	.authenticate = authenticate,
	.authorize = authorize,
	.transform = transform,
	.lifecycle = lifecycle,
#if HW_PLUGIN_MINOR >= 1
	.filter_reads = filter_reads,
	.redact_reads = redact_reads,
	.filter = filter,
	.redact = redact,
	.lifecycle_kinds = lifecycle_kinds,
#endif
};

#if defined(PROBE_NO_EXPORT)
const struct hw_plugin *hookwire_plug(void);
const struct hw_plugin *hookwire_plug(void)
{
	return &plugin;
}
#elif defined(PROBE_NO_TABLE)
HW_PLUGIN_EXPORT(plugin.magic ? NULL : &plugin)
#elif defined(PROBE_UNDEFINED)
HW_PLUGIN_EXPORT(nobody_has_this() ? &plugin : NULL)
#else
HW_PLUGIN_EXPORT(&plugin)
#endif
