/* lifecycle: tells an HTTP service who connects and leaves, which topics are occupied and vacated,
 * and what is published. See README.md. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "sender.h"

#define BODY_BYTES 1024 /* what a body begins with; it grows */

struct instance {
	struct webhook_settings settings;
	struct sender *sender;
};

static int refuse(struct hw_problem *problem, const char *text)
{
	snprintf(problem->path, sizeof(problem->path), "%s", "");
	snprintf(problem->text, sizeof(problem->text), "%s", text);
	return -1;
}

static int validate(const struct hw_host *host, struct hw_slice config, struct hw_problem *problem)
{
	struct webhook_settings settings;

	if (webhook_settings_read(host, config, &settings, problem) < 0)
		return -1;
	webhook_settings_fini(&settings);
	return 0;
}

static int load(const struct hw_host *host, struct hw_slice config, void **instance,
	struct hw_problem *problem)
{
	struct instance *i = calloc(1, sizeof(*i));

	if (!i)
		return refuse(problem, "out of memory");
	if (webhook_settings_read(host, config, &i->settings, problem) < 0) {
		free(i);
		return -1;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
		i->sender = sender_create(host, &i->settings);
		if (!i->sender)
			curl_global_cleanup();
	}
	if (!i->sender) {
		webhook_settings_fini(&i->settings);
		free(i);
		return refuse(problem, "out of memory");
	}
	*instance = i;
	return 0;
}

static void unload(const struct hw_host *host, void *instance)
{
	struct instance *i = instance;

	(void)host;
	sender_destroy(&i->sender);
	curl_global_cleanup();
	webhook_settings_fini(&i->settings);
	free(i);
}

/* ---- the body ---- */

struct text {
	char *bytes;
	size_t len, cap;
	bool failed;
};

static void add(struct text *t, const char *p, size_t len)
{
	if (t->len + len > t->cap) {
		size_t cap = 2 * t->cap + len + BODY_BYTES;
		char *bytes = t->failed ? NULL : realloc(t->bytes, cap);

		t->failed = !bytes;
		if (t->failed)
			return;
		t->bytes = bytes;
		t->cap = cap;
	}
	memcpy(t->bytes + t->len, p, len);
	t->len += len;
}

static void add_slice(struct text *t, struct hw_slice s)
{
	if (s.len)
		add(t, s.p, s.len);
}

static void add_string(struct text *t, const char *name, struct hw_slice value)
{
	char escaped[8];

	add(t, name, strlen(name));
	add(t, "\"", 1);
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c >= 0x20 && c != '"' && c != '\\') {
			add(t, &value.p[i], 1);
			continue;
		}
		snprintf(escaped, sizeof(escaped), "\\u%04x", c);
		add(t, escaped, 6);
	}
	add(t, "\"", 1);
}

__attribute__((format(printf, 2, 3))) static void add_number(
	struct text *t, const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add(t, text, strlen(text));
}

static void add_time(struct text *t, int64_t ms)
{
	char text[40];
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(ms % 1000));
	add_string(t, ",\"timestamp\":", (struct hw_slice){text, strlen(text)});
}

/* Who it was: never the claims, which may hold what is nobody else's business. */
static void add_session(struct text *t, const struct hw_who *who)
{
	add_string(t, ",\"user_id\":", who->user_id);
	add_string(t, ",\"session\":", who->session);
	add_string(t, ",\"address\":", who->address);
}

static void add_topic(struct text *t, const struct hw_lifecycle *what)
{
	add_string(t, ",\"topic\":", what->topic);
	add_number(t, ",\"number\":%" PRIu64, what->number);
}

static void lifecycle(
	struct hw_call *call, const struct hw_who *who, const struct hw_lifecycle *what)
{
	static const char *const types[] = {[HW_ON_CONNECT] = "session.connected",
		[HW_ON_DISCONNECT] = "session.disconnected",
		[HW_ON_OCCUPIED] = "topic.occupied",
		[HW_ON_VACATED] = "topic.vacated",
		[HW_ON_PUBLISH] = "event.published"};
	struct instance *i = call->instance;
	const char *type = types[what->kind];
	struct text t = {NULL, 0, 0, false};

	if (!(i->settings.kinds & 1u << what->kind))
		return;
	if (what->kind >= HW_ON_OCCUPIED &&
		!webhook_settings_match(&i->settings, what->topic, what->resource))
		return;
	add_string(&t, "{\"type\":", (struct hw_slice){type, strlen(type)});
	add_time(&t, call->now_ms);
	add_string(&t, ",\"data\":{\"tenant_id\":", who->tenant_id);
	if (what->kind == HW_ON_OCCUPIED || what->kind == HW_ON_VACATED)
		add_topic(&t, what);
	else
		add_session(&t, who);
	if (what->kind == HW_ON_DISCONNECT)
		add_number(&t, ",\"close_code\":%d", what->close_code);
	if (what->kind == HW_ON_PUBLISH) {
		add(&t, ",\"event\":", 9);
		add_slice(&t, what->event);
	}
	add(&t, "}}", 2);
	/* without memory as without a place in the queue */
	sender_push(i->sender,
		t.failed ? (struct hw_slice){NULL, 0} : (struct hw_slice){t.bytes, t.len});
	free(t.bytes);
}

/* Of what no entry wants the broker keeps no account. */
static uint32_t lifecycle_kinds(const struct hw_host *host, const void *instance)
{
	const struct instance *i = instance;

	(void)host;
	return i->settings.kinds;
}

static const struct hw_plugin plugin = {
	.magic = HW_PLUGIN_MAGIC,
	.size = sizeof(struct hw_plugin),
	.major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR,
	.name = "webhook",
	.version = "1.0",
	.validate = validate,
	.load = load,
	.unload = unload,
	.lifecycle = lifecycle,
	.lifecycle_kinds = lifecycle_kinds,
};

HW_PLUGIN_EXPORT(&plugin)
