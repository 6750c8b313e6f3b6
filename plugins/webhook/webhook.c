/* lifecycle: tells an HTTP service who connects and who leaves. See README.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "sender.h"

#define BODY_MAX 8192 /* ids are at most 255 bytes, each of which may become six */

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
	size_t len;
	char bytes[BODY_MAX];
};

static void add(struct text *t, const char *p, size_t len)
{
	if (len > sizeof(t->bytes) - t->len)
		len = sizeof(t->bytes) - t->len;
	memcpy(t->bytes + t->len, p, len);
	t->len += len;
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

static void lifecycle(
	struct hw_call *call, const struct hw_who *who, const struct hw_lifecycle *what)
{
	struct instance *i = call->instance;
	bool connects = what->kind == HW_ON_CONNECT;
	struct text t = {.len = 0};
	char code[32];

	if (!(i->settings.kinds & 1u << what->kind))
		return;
	add_string(&t, "{\"type\":",
		connects ? HW_SLICE("session.connected") : HW_SLICE("session.disconnected"));
	add_time(&t, call->now_ms);
	add_string(&t, ",\"data\":{\"tenant_id\":", who->tenant_id);
	add_string(&t, ",\"user_id\":", who->user_id);
	add_string(&t, ",\"session\":", who->session);
	add_string(&t, ",\"address\":", who->address);
	if (!connects)
		add(&t, code,
			(size_t)snprintf(
				code, sizeof(code), ",\"close_code\":%d", what->close_code));
	add(&t, "}}", 2);
	sender_push(i->sender, (struct hw_slice){t.bytes, t.len});
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
};

HW_PLUGIN_EXPORT(&plugin)
