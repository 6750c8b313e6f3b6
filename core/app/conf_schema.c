#include "app/conf_schema.h"

#include "journal/journal.h"

/* The ranges keep out what cannot be meant (a heartbeat of microseconds, an arena of bytes), not
 * what is unwise: tests and small machines need small numbers. */

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

#define TABLE(array) \
	{ \
		array, HW_COUNT(array) \
	}
#define AT(key, which, type, member) \
	.name = key, .kind = HW_CONF_KEY_##which, .offset = offsetof(struct hw_conf_##type, member)
#define RANGE(low, high, value) .min = low, .max = high, .initial = value
#define GROUP(key, table) .name = key, .kind = HW_CONF_KEY_OBJECT, .members = &table
#define OTHER(key, reader, json_type) \
	.name = key, .kind = HW_CONF_KEY_OTHER, .read = hw_conf_read_##reader, .shape = json_type
#define LATER(key, why) .name = key, .kind = HW_CONF_KEY_LATER, .text = why
#define SCHEMA .name = "$schema", .kind = HW_CONF_KEY_IGNORED

static const struct hw_conf_key budget_keys[] = {
	{AT("cpu_ms", U32, budget, cpu_ms), RANGE(1, 1000, 2)},
	{AT("load_ms", U32, budget, load_ms), RANGE(1, MINUTE_MS, 1000)},
	{AT("memory_bytes", U64, budget, memory_bytes), RANGE(128 * KIB, 4 * GIB, 16 * MIB)},
	{AT("deadline_ms", U32, budget, deadline_ms), RANGE(1, 10 * MINUTE_MS, 2000)},
	{AT("in_flight", U32, budget, in_flight), RANGE(1, 10000, 64)},
	{AT("idle_ms", U32, budget, idle_ms), RANGE(0, 7 * DAY_MS, 10 * MINUTE_MS)},
};
static const struct hw_conf_keys budget = TABLE(budget_keys);

static const struct hw_conf_key breaker_keys[] = {
	{AT("failures", U32, breaker, failures), RANGE(0, 1000000, 3)},
	{AT("share", U32, breaker, share), RANGE(0, 100, 50)},
	{AT("min_calls", U32, breaker, min_calls), RANGE(1, 1000000, 20)},
	{AT("window_ms", U32, breaker, window_ms), RANGE(100, 60 * MINUTE_MS, 10000)},
	{AT("open_ms", U32, breaker, open_ms), RANGE(1, 10 * MINUTE_MS, 100)},
	{AT("open_max_ms", U32, breaker, open_max_ms), RANGE(1, 60 * MINUTE_MS, 2000)},
};
static const struct hw_conf_keys breaker = TABLE(breaker_keys);

/* in the order of enum hw_conf_revoke */
static const char *const revoke_words[] = {"sweep", "now", NULL};
static const struct hw_conf_key hook_keys[] = {
	{OTHER("name", hook_name, "string")},
	{OTHER("lua", hook_lua, "string")},
	{OTHER("plugin", hook_plugin, "string")},
	{OTHER("config", hook_config, "object"), .text = "{}"},
	{GROUP("budget", budget), .offset = offsetof(struct hw_conf_hook, budget)},
	{GROUP("breaker", breaker), .offset = offsetof(struct hw_conf_hook, breaker)},
	{OTHER("on_error", on_error, "string"), .text = "\"unavailable\""},
	{AT("revoke", WORD, hook, revoke), .words = revoke_words, .initial = HW_CONF_REVOKE_SWEEP},
	{AT("shadow", BOOL, hook, shadow), .initial = false},
};
const struct hw_conf_keys hw_conf_keys_hook = TABLE(hook_keys);

/* memory: of a few of the smallest segments, which leave as a whole */
#define RETENTION(n, bytes_, ms) \
	{ \
		{AT("count", U64, retention, count), RANGE(1, 1000000000, n)}, \
			{AT("bytes", U64, retention, bytes), RANGE(64 * KIB, 1024 * GIB, bytes_)}, \
			{AT("age_ms", U64, retention, age_ms), RANGE(1, 3650 * DAY_MS, ms)}, \
	}
static const struct hw_conf_key retention_keys[] = RETENTION(100000, 64 * MIB, HOUR_MS);
static const struct hw_conf_keys retention = TABLE(retention_keys);
static const struct hw_conf_key override_keys[] = RETENTION(0, 0, 0); /* 0: not overridden */
static const struct hw_conf_keys retention_override = TABLE(override_keys);

static const struct hw_conf_key tenant_limits_keys[] = {
	{AT("connections", U64, limits, connections), RANGE(1, 100000000, 10000)},
	{AT("subscriptions", U64, limits, subscriptions), RANGE(1, 1000000000, 1000)},
	{AT("publish_per_s", U64, limits, publish_per_s), RANGE(1, 100000000, 1000)},
};
static const struct hw_conf_keys tenant_limits = TABLE(tenant_limits_keys);

static const struct hw_conf_key tenant_journal_keys[] = {
	{GROUP("retention", retention_override)},
};
static const struct hw_conf_keys tenant_journal = TABLE(tenant_journal_keys);

static const struct hw_conf_key tenant_keys[] = {
	{OTHER("hooks", tenant_hooks, "array"), .members = &hw_conf_keys_hook, .text = "[]"},
	{GROUP("limits", tenant_limits), .offset = offsetof(struct hw_conf_tenant, limits)},
	{GROUP("journal", tenant_journal), .offset = offsetof(struct hw_conf_tenant, retention)},
};
const struct hw_conf_keys hw_conf_keys_tenant = TABLE(tenant_keys);

/* in the order of enum hw_conflate */
static const char *const conflate_words[] = {"none", "latest", "append", NULL};
static const struct hw_conf_key topic_keys[] = {
	{OTHER("history", history, "string")},
	{AT("conflate", WORD, topic_class, conflate), .words = conflate_words,
		.initial = HW_CONFLATE_NONE},
	{GROUP("retention", retention_override),
		.offset = offsetof(struct hw_conf_topic_class, retention)},
};
const struct hw_conf_keys hw_conf_keys_topic = TABLE(topic_keys);

/* "address" is read first: it sets all but what the others say */
static const struct hw_conf_key listen_keys[] = {
	{OTHER("address", listen_address, "string")},
	{AT("proxy_protocol", BOOL, listen, proxy_protocol), .initial = false},
	{LATER("cert", "TLS is not spoken yet; put a proxy that speaks it in front")},
	{LATER("key", "TLS is not spoken yet; put a proxy that speaks it in front")},
};
const struct hw_conf_keys hw_conf_keys_listen = TABLE(listen_keys);

static const struct hw_conf_key admin_keys[] = {
	{OTHER("listen", admin_listen, "string"), .text = "\"127.0.0.1:8081\""},
	{OTHER("token", admin_token, "string"), .nullable = true},
};
static const struct hw_conf_keys admin = TABLE(admin_keys);

/* in the order of enum hw_log_level and enum hw_log_format */
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const struct hw_conf_key log_keys[] = {
	{AT("level", WORD, global, log.level), .words = log_levels, .initial = HW_LOG_INFO},
	{AT("format", WORD, global, log.format), .words = log_formats, .initial = HW_LOG_TEXT},
};
static const struct hw_conf_keys logging = TABLE(log_keys);

static const struct hw_conf_key auth_keys[] = {
	{AT("query", BOOL, global, auth.query), .initial = true},
	{OTHER("cookie", cookie, "string"), .nullable = true},
	{AT("first_message", BOOL, global, auth.first_message), .initial = true},
	{AT("timeout_ms", U32, global, auth.timeout_ms), RANGE(10, 10 * MINUTE_MS, 5000)},
	{OTHER("origins", origins, "array"), .text = "[\"*\"]"},
};
static const struct hw_conf_keys auth = TABLE(auth_keys);

static const struct hw_conf_key journal_keys[] = {
	{GROUP("retention", retention), .offset = offsetof(struct hw_conf_journal, retention)},
	{GROUP("memory", retention), .offset = offsetof(struct hw_conf_journal, memory)},
	{OTHER("plugin", journal_plugin, "string"), .nullable = true},
	{OTHER("config", journal_config, "object"), .text = "{}"},
};
static const struct hw_conf_keys journal = TABLE(journal_keys);

static const struct hw_conf_key slow_keys[] = {
	{AT("outbox_bytes", U64, global, slow.outbox_bytes), RANGE(KIB, GIB, MIB)},
	{AT("deadline_ms", U32, global, slow.deadline_ms), RANGE(10, DAY_MS, MINUTE_MS)},
};
static const struct hw_conf_keys slow = TABLE(slow_keys);

static const struct hw_conf_key occupancy_keys[] = {
	{AT("grace_ms", U32, global, occupancy.grace_ms), RANGE(0, MINUTE_MS, 3000)},
};
static const struct hw_conf_keys occupancy = TABLE(occupancy_keys);

static const struct hw_conf_key presence_keys[] = {
	{OTHER("topics", presence_topics, "array"), .text = "[]"},
	{OTHER("claims", presence_claims, "array"), .text = "[]"},
	{AT("grace_ms", U32, global, presence.grace_ms), RANGE(0, MINUTE_MS, 5000)},
};
static const struct hw_conf_keys presence = TABLE(presence_keys);

static const struct hw_conf_key limits_keys[] = {
	{AT("message_bytes", U64, global, limits.message_bytes), RANGE(128, 64 * MIB, 64 * KIB)},
	{AT("body_bytes", U64, global, limits.body_bytes), RANGE(128, GIB, MIB)},
	{AT("topics_per_session", U32, global, limits.topics_per_session), RANGE(1, 100000, 100)},
};
static const struct hw_conf_keys limits = TABLE(limits_keys);

static const struct hw_conf_key heartbeat_keys[] = {
	{AT("interval_ms", U32, global, heartbeat.interval_ms), RANGE(10, HOUR_MS, 25000)},
	{AT("timeout_ms", U32, global, heartbeat.timeout_ms), RANGE(20, DAY_MS, MINUTE_MS)},
};
static const struct hw_conf_keys heartbeat = TABLE(heartbeat_keys);

static const struct hw_conf_key sse_keys[] = {
	{AT("gzip", BOOL, global, sse.gzip), .initial = false},
};
static const struct hw_conf_keys sse = TABLE(sse_keys);

static const struct hw_conf_key decisions_keys[] = {
	{OTHER("path", decisions_path, "string")},
	{OTHER("sample", decisions_sample, "number"), .text = "0.01"},
	{OTHER("stages", decisions_stages, "array"), .text = "[\"authenticate\",\"authorize\"]"},
	{OTHER("always", decisions_always, "array"), .text = "[]"},
	{OTHER("redact", decisions_redact, "array"), .text = "[]"},
	{AT("line_bytes", U64, global, decisions.line_bytes), RANGE(KIB, 16 * MIB, 64 * KIB)},
	{AT("buffer_bytes", U64, global, decisions.buffer_bytes), RANGE(64 * KIB, GIB, MIB)},
};
static const struct hw_conf_keys decisions = TABLE(decisions_keys);

/* The order matters to the reader: plugins are found in plugin_path, and a topic class completes
 * its retention from the journal's. */
static const struct hw_conf_key global_keys[] = {
	{SCHEMA},
	{OTHER("listen", listen, "array"), .members = &hw_conf_keys_listen,
		.text = "[\"127.0.0.1:8080\"]"},
	{GROUP("admin", admin), .nullable = true, .read = hw_conf_read_admin},
	{AT("workers", U32, global, workers), RANGE(0, HW_JOURNAL_MAX_WORKERS, 0)},
	{OTHER("trusted_proxies", trusted_proxies, "array"), .text = "[]"},
	{GROUP("log", logging)},
	{GROUP("auth", auth)},
	{OTHER("plugin_path", plugin_path, "array"), .nullable = true},
	{AT("script_path", PATH, global, script_path), .nullable = true},
	{AT("plugin_cache", PATH, global, plugin_cache), .nullable = true},
	{GROUP("journal", journal), .offset = offsetof(struct hw_conf_global, journal)},
	{OTHER("hooks", global_hooks, "array"), .members = &hw_conf_keys_hook, .text = "[]"},
	{OTHER("tenants", tenants, "map"), .members = &hw_conf_keys_tenant, .text = "{}"},
	{OTHER("topics", topics, "map"), .members = &hw_conf_keys_topic, .text = "{}"},
	{GROUP("slow", slow)},
	{GROUP("limits", limits)},
	{GROUP("heartbeat", heartbeat)},
	{GROUP("sse", sse)},
	{GROUP("occupancy", occupancy)},
	{GROUP("presence", presence)},
	{GROUP("decisions", decisions), .nullable = true, .read = hw_conf_read_decisions},
	{AT("drain_ms", U32, global, drain_ms), RANGE(0, HOUR_MS, 10000)},
	{AT("reauth_ms", U32, global, reauth_ms), RANGE(0, HOUR_MS, 5000)},
	{OTHER("max_revoke", max_revoke, "number"), .nullable = true},
	{OTHER("echo", echo, "string"), .nullable = true},
	{OTHER("include", include, "array"), .text = "[]"},
	{LATER("seal_cursors", "cursors show their sequence")},
};
const struct hw_conf_keys hw_conf_keys_global = TABLE(global_keys);

static const struct hw_conf_key included_keys[] = {
	{SCHEMA},
	{OTHER("tenants", tenants, "map"), .members = &hw_conf_keys_tenant, .text = "{}"},
};
const struct hw_conf_keys hw_conf_keys_included = TABLE(included_keys);
