/* The configuration: hookwire.json and the files it includes, read, checked, typed; every key has a
 * value. Loaded and dropped on the control thread; once published it is immutable and any thread
 * may read it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "app/conf_report.h"
#include "base/address.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "hub/conflate_rules.h"

struct hw_conf_value; /* app/conf_tree.h */

/* Strings of all structs here are zero-terminated, valid UTF-8, without NUL, and live as long as
 * their hw_conf. Paths are ready to open: what was relative is joined to the directory of the file
 * that names it. */

enum hw_conf_listen_kind { HW_CONF_LISTEN_TCP, HW_CONF_LISTEN_UNIX };

#define HW_CONF_LISTEN_MAX 15  /* addresses of "listen" */
#define HW_CONF_PROXIES_MAX 64 /* entries of "trusted_proxies" */

struct hw_conf_listen {
	enum hw_conf_listen_kind kind;
	/* canonical, for messages and comparison: "127.0.0.1:8080", "[::]:8080", "unix:/run/x" */
	const char *text;
	const char *host;             /* TCP: numeric address without brackets; unix: NULL */
	uint16_t port;                /* TCP: 0 = the kernel chooses */
	const char *path;             /* unix: of the socket, fits sockaddr_un; TCP: NULL */
	struct sockaddr_storage addr; /* ready for bind(2) */
	socklen_t addr_len;
	bool proxy_protocol; /* every connection begins with a PROXY protocol v2 header */
	struct hw_conf_pos pos;
};

enum hw_conf_revoke { HW_CONF_REVOKE_SWEEP, HW_CONF_REVOKE_NOW };

enum hw_conf_source { HW_CONF_LUA, HW_CONF_PLUGIN };

/* Of a Lua entry; a plugin entry has the defaults, since C code is never interrupted. */
struct hw_conf_budget {
	uint32_t cpu_ms;       /* one burst: up to where the call waits or ends; default 2 */
	uint32_t load_ms;      /* running the chunk when it is loaded; default 1000 */
	uint64_t memory_bytes; /* of the state's arena; default 16777216 */
	uint32_t deadline_ms;  /* of a call that waits; default 2000 */
	uint32_t in_flight;    /* calls of a state that wait at the same time; default 64 */
	uint32_t idle_ms; /* a state that nobody asks for so long goes; 0: never; default 600000 */
};

struct hw_conf_breaker {
	uint32_t failures;  /* in a row; 0: does not count; default 3 */
	uint32_t share;     /* percent of the calls in a window; 0: does not count; default 50 */
	uint32_t min_calls; /* default 20 */
	uint32_t window_ms; /* default 10000 */
	uint32_t open_ms, open_max_ms; /* default 100, doubling to 2000 */
};

struct hw_conf_hook {
	/* as given, else the file's name without suffix; [a-z][a-z0-9_-]*, unique in its chain */
	const char *name;
	enum hw_conf_source source;
	const char *given; /* as written in the file, ${…} not replaced: for messages */
	/* absolute: the chunk or .so; it existed and was a file when the configuration was read */
	const char *path;
	/* a JSON object, compact, after substitution, zero-terminated, "{}" when absent; SECRET */
	struct hw_str config;
	bool config_secret; /* something in it was substituted: show it to nobody */
	struct hw_conf_budget budget;
	struct hw_conf_breaker breaker;
	bool breaker_given;            /* a global entry has none unless it is */
	int revoke;                    /* enum hw_conf_revoke */
	bool shadow;                   /* asked and counted, decides nothing; default false */
	struct hw_str text;            /* the whole entry like config, to hash; SECRET */
	struct hw_conf_pos pos;        /* of the entry */
	struct hw_conf_pos source_pos; /* of the value of "lua" or "plugin" */
	struct hw_conf_pos config_pos; /* of the value of "config", of the entry when absent */
	const struct hw_conf_value *config_value; /* NULL when absent; see hw_conf_hook_locate */
};

struct hw_conf_retention {
	uint64_t count; /* events: at least so many are kept, at most twice as many */
	uint64_t bytes;
	uint64_t age_ms;
};

struct hw_conf_journal {
	struct hw_conf_retention retention; /* 100000, 67108864, 3600000 */
	/* with a plugin: of that, what is kept in memory too; the same defaults */
	struct hw_conf_retention memory;
	struct hw_conf_hook plugin; /* path NULL: all is in memory alone */
};

struct hw_conf_limits {
	uint64_t connections;   /* per tenant */
	uint64_t subscriptions; /* per tenant, over all its sessions */
	uint64_t publish_per_s; /* per tenant */
};

struct hw_conf_tenant {
	const char *id;                   /* "*" for those without an entry of their own */
	const struct hw_conf_hook *hooks; /* the tenant chain, in order */
	size_t n_hooks;
	struct hw_conf_limits limits;
	/* a member that is 0 is not overridden; use hw_conf_retention_of */
	struct hw_conf_retention retention;
	const char *unit;       /* name of the unit that defines it */
	struct hw_str text;     /* the entry as compact JSON after substitution, to hash; SECRET */
	struct hw_conf_pos pos; /* of its key in "tenants" */
	struct hw_conf_part *part; /* internal: owns all this */
};

struct hw_conf_topic_class {
	const char *pattern; /* "cursor:*" or a whole topic; unique */
	bool kept_apart;     /* it says how it is kept, and is a class of the journal */
	bool history_none;
	enum hw_conflate conflate; /* HW_CONFLATE_NONE */
	/* complete: what is not given here is journal.retention's; unused with history_none */
	struct hw_conf_retention retention;
	struct hw_conf_pos pos; /* of its key */
};

/* The global unit. Comments give the default. */
struct hw_conf_global {
	const struct hw_conf_listen *listen; /* 127.0.0.1:8080; at least one */
	size_t n_listen;                     /* at most HW_CONF_LISTEN_MAX */
	struct {
		bool enabled;                 /* the key "admin" is there */
		struct hw_conf_listen listen; /* 127.0.0.1:8081; loopback or unix in this version */
		const char *token; /* NULL: none. SECRET. At least 16 visible ASCII characters */
	} admin;
	unsigned workers; /* 0 = one a core */
	struct {
		enum hw_log_level level;   /* info */
		enum hw_log_format format; /* text */
	} log;
	struct {
		bool query;                 /* true */
		const char *cookie;         /* NULL: none; a cookie-name */
		bool first_message;         /* true */
		uint32_t timeout_ms;        /* 5000 */
		const char *const *origins; /* ["*"]; "*" or serialized origins, verbatim */
		size_t n_origins;
		bool any_origin; /* "*" is among them (then cookie is NULL) */
	} auth;
	const struct hw_conf_hook *hooks; /* global guards, in order */
	size_t n_hooks;
	struct hw_conf_journal journal;
	const struct hw_conf_topic_class *topics; /* in the order of the file */
	size_t n_topics;
	struct {
		uint64_t outbox_bytes; /* 1048576 */
		uint32_t deadline_ms;  /* 60000 */
	} slow;
	struct {
		uint64_t message_bytes;      /* 65536 */
		uint64_t body_bytes;         /* 1048576 */
		uint32_t topics_per_session; /* 100 */
	} limits;
	struct {
		uint32_t interval_ms; /* 25000 */
		uint32_t timeout_ms;  /* 60000; more than interval_ms */
	} heartbeat;
	struct {
		bool gzip; /* false */
	} sse;
	struct {
		bool enabled;              /* the key "decisions" is there */
		const char *path;          /* never NULL then */
		double sample;             /* 0.01; 0 to 1 */
		unsigned stages;           /* as in hook/decisions.h; authenticate, authorize */
		unsigned always;           /* likewise; none */
		const char *const *redact; /* paths as hw_decisions_check likes them; none */
		size_t n_redact;
		uint64_t line_bytes;   /* 65536 */
		uint64_t buffer_bytes; /* 1048576 */
	} decisions;
	/* whose PROXY headers and X-Forwarded-For are believed; none */
	const struct hw_address_block *trusted_proxies;
	size_t n_trusted_proxies;
	uint32_t drain_ms;  /* 10000; 0 = at once */
	uint32_t reauth_ms; /* 5000; 0 = as fast as may be */
	struct {
		uint32_t grace_ms; /* 3000 */
	} occupancy;
	struct {
		const char *const *topics; /* names and patterns of which it is kept; none */
		size_t n_topics;
		const char *const *claims; /* that are shown; none */
		size_t n_claims;
		uint32_t grace_ms; /* 5000 */
	} presence;
	double max_revoke; /* 0 to 1; 1: no bound */
	const char *echo;  /* NULL: off */
	/* directories that may not exist; default: see hw_conf_default_plugin_path */
	const char *const *plugin_path;
	size_t n_plugin_path;
	/* directory of what scripts require; default: hw_conf_default_script_path; NULL: none */
	const char *script_path;
	/* directory for private copies of plugins, mounted exec; NULL: not given */
	const char *plugin_cache;
	const char *const *include; /* the patterns, joined to the file's directory */
	size_t n_include;
};

/* A unit of reload: units[0] is the global part, the others are included files, in the order of
 * their names. */
struct hw_conf_unit {
	const char *name; /* the file as it is called in messages */
	bool broken;      /* has an error, contributes nothing */
	bool inherited;   /* hw_conf_inherit put an earlier load's content here */
	struct hw_str
		text; /* compact JSON after substitution, to hash; empty when broken; SECRET */
	const struct hw_conf_value *root; /* NULL when broken */
	struct hw_conf_part *part;        /* internal: owns what the unit's strings point to */
};

struct hw_conf {
	const struct hw_conf_global
		*global; /* units[0] broken: only for hw_conf_inherit to replace */
	struct hw_conf_unit *units;
	size_t n_units; /* at least 1 */
	/* of all units, sorted by id; use hw_conf_tenant_find */
	const struct hw_conf_tenant *const *tenants;
	size_t n_tenants;
	struct hw_conf_part **pinned; /* internal: parts of former loads that a kept tenant needs */
	size_t n_pinned;
};

/* A named outcome of hw_conf_load: *out is given, but at least one unit of it is broken. */
#define HW_CONF_PARTIAL 1

/** Reads, checks and types @path and what it includes, and adds every problem found to @report
 * (initialized by the caller). Start-up takes 0 only. A reload goes on after HW_CONF_PARTIAL with
 * hw_conf_inherit. Warnings alone give 0. Negative: -ENOMEM, *out untouched. Reads files and the
 * environment; may block on disk. Destroy with hw_conf_destroy. */
HW_MUST_CHECK int hw_conf_load(
	const char *path, struct hw_conf **out, struct hw_conf_report *report);

/* What else a load may be told; zero everywhere is what hw_conf_load does. */
struct hw_conf_options {
	/** NULL when @name is unset; what it returns is copied. NULL function: getenv(3). */
	const char *(*env)(void *arg, const char *name);
	void *env_arg;
	const char *exe_dir; /* instead of the directory of /proc/self/exe */
	/* Of a reload: when the new global part is too broken to say what it includes, its patterns
	 * are used. */
	const struct hw_conf *old;
};
HW_MUST_CHECK int hw_conf_load_with(const char *path, const struct hw_conf_options *options,
	struct hw_conf **out, struct hw_conf_report *report);
void hw_conf_destroy(struct hw_conf **conf);

/** Marks unit @i broken after the fact: its plugin or script did not load, its tests failed. */
void hw_conf_unit_break(struct hw_conf *conf, size_t i);

/** Gives every broken unit of @conf the content that the unit of that name had in @old, so that it
 * goes on deciding as before, and joins the tenants anew. A tenant that a kept unit had stays with
 * it even if a good unit defines it now. While the global part is broken, or a broken unit is not
 * in @old (a new file), a tenant that @old had and @conf lacks is kept too, since it may have moved
 * there: it must not fall to "*" because of a typing error. Before @conf is published; may be
 * called again after more hw_conf_unit_break. @old may be destroyed afterwards. 0, or -ENOMEM with
 * @conf unchanged. */
HW_MUST_CHECK int hw_conf_inherit(struct hw_conf *conf, const struct hw_conf *old);

/** The tenant's own entry, else "*", else NULL: refused. */
const struct hw_conf_tenant *hw_conf_tenant_find(const struct hw_conf *conf, struct hw_str id);
/** What holds for @tenant: its override, member by member, over journal.retention. */
struct hw_conf_retention hw_conf_retention_of(
	const struct hw_conf *conf, const struct hw_conf_tenant *tenant);

/** Where the value at @path is, a JSON Pointer (RFC 6901) into the hook's config: "/keys/0/secret".
 * When the path leads nowhere: where it is lost. "" is the config as a whole. Never fails. */
struct hw_conf_pos hw_conf_hook_locate(const struct hw_conf_hook *hook, struct hw_str path);
/** The same into a unit's document: hw_conf_locate(&conf->units[0], HW_STR("/workers")). */
struct hw_conf_pos hw_conf_locate(const struct hw_conf_unit *unit, struct hw_str path);

/** Appends those that exist of the default plugin_path for an executable in @exe_dir, a NUL after
 * each: @exe_dir/plugins (build tree), @exe_dir/../LIBDIR/hookwire/plugins (installed). */
void hw_conf_default_plugin_path(const char *exe_dir, struct hw_buf *out);
/** Likewise for script_path, where the first counts: @exe_dir/scripts/lib, @exe_dir/../scripts/lib,
 * @exe_dir/../share/hookwire/lib. */
void hw_conf_default_script_path(const char *exe_dir, struct hw_buf *out);

/** Every key that the reader knows, one JSON object a line: path, type, default, range, and whether
 * it is in this version. For the test that compares the reader with conf/hookwire.schema.json. */
void hw_conf_dump_keys(struct hw_buf *out);
