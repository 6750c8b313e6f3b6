/* Hookwire's C plugin interface, ABI 1. A plugin includes this header and nothing else of
 * Hookwire's, links nothing of Hookwire's, and exports one function: HW_PLUGIN_EXPORT(&table).
 *
 * Rules
 *  - Every slice that the broker passes is borrowed and dead when the hook returns; every slice
 * that a plugin passes to a host function is copied before that function returns.
 *  - validate, load and unload run on the control thread, worker_init and worker_fini on the worker
 * they are about, hooks on any worker, several at the same time: keep what changes in the worker's
 * state, and no mutable statics (one mapping serves all generations, tenants and workers).
 *  - A hook must not block: it is measured, never interrupted.
 *  - worker_init is called once for each worker and each tenant whose chain names the entry (once a
 * worker for a global entry): allocate there what is small, and the rest on first use.
 *  - Tables grow at their end. The broker reads of a plugin's table only table.size bytes and takes
 * what is beyond as NULL; a plugin that needs a newer host function checks host->size first
 * (HW_HOST_HAS). A plugin loads if its major is the host's and its minor is not newer than the
 * host's. */
#ifndef HOOKWIRE_PLUGIN_H
#define HOOKWIRE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HW_PLUGIN_MAGIC 0x48574b31u /* "HWK1" */
#define HW_PLUGIN_MAJOR 1
#define HW_PLUGIN_MINOR 1

/** Borrowed bytes, not zero-terminated. p may be NULL when len is 0. */
struct hw_slice {
	const char *p;
	size_t len;
};
#define HW_SLICE(literal) ((struct hw_slice){(literal), sizeof(literal) - 1})

/** What a hook answers. 0 is "no opinion", so that a zeroed answer admits nobody. */
enum hw_verdict {
	HW_DEFER = 0, /* ask the next one */
	HW_ALLOW = 1,
	HW_DENY = 2,    /* deny() may say why; without, forbidden_topic (authorize) or unauthorized
			   (authenticate) */
	HW_PENDING = 3, /* later: the call was suspended, and finish will bring its answer; without
			   suspend it counts as HW_ERROR */
	HW_ERROR = 4,   /* cannot decide: the client hears `unavailable` and may retry; never falls
			   through */
};

enum hw_log_severity { HW_PLUGIN_DEBUG, HW_PLUGIN_INFO, HW_PLUGIN_WARN, HW_PLUGIN_ERROR };

/** Filled by validate and load when they refuse: shown as file:line:col: text.
 *  path is a JSON pointer (RFC 6901) into the settings, "" for all of them: "/keys/0/alg". */
struct hw_problem {
	char path[128];
	char text[384];
};

struct hw_host;
struct hw_jwt_keys; /* host's: a set of verification keys, parsed once */

/** One call of one hook, of a timer or of work that is done. The visible part; what is behind it is
 * the host's. */
struct hw_call {
	const struct hw_host *host;
	void *instance;         /* from load */
	void *worker;           /* from worker_init, or NULL */
	struct hw_slice tenant; /* the chain's tenant; empty for a global entry before the tenant is
				   known */
	int64_t now_ms;         /* wall clock, since 1970 */
};

/** authenticate: who is this? */
struct hw_request {
	uint32_t size;             /* of this struct, as the host knows it */
	struct hw_slice token;     /* as the client gave it; never empty */
	struct hw_slice address;   /* of the client, "192.0.2.1" or "[2001:db8::1]" or "unix" */
	struct hw_slice origin;    /* Origin header, or empty */
	struct hw_slice path;      /* "/ws", "/publish" … */
	struct hw_slice transport; /* "ws", "sse", "poll" or "http" */
	/* Minor 1. Who it is, once an entry before this one has said so; else empty. */
	struct hw_slice user_id;
	struct hw_slice tenant_id;
};

/** The session as later hooks see it. */
struct hw_who {
	uint32_t size;
	struct hw_slice user_id;
	struct hw_slice tenant_id;
	struct hw_slice session; /* opaque id, for logs */
	struct hw_slice address;
	struct hw_slice claims; /* a JSON object: every verified claim by its name */
	int64_t expires_at;     /* seconds since 1970, 0 = never */
};

enum hw_operation { HW_OP_SUBSCRIBE, HW_OP_WILDCARD, HW_OP_PUBLISH, HW_OP_PRESENCE, HW_OP_SESSION };

/** authorize: may they? */
struct hw_question {
	uint32_t size;
	enum hw_operation operation;
	struct hw_slice
		topic; /* "gift-list:family-123"; for WILDCARD "gift-list:*"; empty for SESSION */
	struct hw_slice resource; /* "gift-list" */
	struct hw_slice id;       /* "family-123", "*" */
	struct hw_slice event;    /* PUBLISH: the event as JSON; else empty */
	/* Minor 1. Not 0: nobody does it now. What was granted is looked at again (a reload, a
	 * reauth, changed claims), or somebody wants to know what would be answered: who counts
	 * does not count this. */
	int again;
};

enum hw_lifecycle_kind {
	HW_ON_CONNECT,
	HW_ON_DISCONNECT,
	/* Minor 1: only for plugins with lifecycle_kinds. */
	HW_ON_OCCUPIED, /* a topic has its first subscription, in the whole broker */
	HW_ON_VACATED,  /* it has none any more, and had none for the grace period */
	HW_ON_PUBLISH,  /* an event was stored */
};

struct hw_lifecycle {
	uint32_t size;
	enum hw_lifecycle_kind kind;
	int close_code; /* DISCONNECT: the WebSocket close code, or 0 */
	/* Minor 1. */
	/* OCCUPIED, VACATED, PUBLISH: "gift-list:family-123", "gift-list", "family-123" */
	struct hw_slice topic;
	struct hw_slice resource;
	struct hw_slice id;
	struct hw_slice event; /* PUBLISH: the event as it was stored, with its id if it has one */
	/* OCCUPIED, VACATED: grows with every change of a topic of the tenant, as long as the
	 * broker runs: what has the higher number came later. hw_who has nothing but the tenant. */
	uint64_t number;
};

struct hw_jwt_rules {
	uint32_t size;
	struct hw_slice issuer;   /* empty = any */
	struct hw_slice audience; /* empty = any; else aud must be it or contain it */
	int64_t skew_s; /* allowed clock difference for exp, nbf and iat; the latter two have 5 s at
			   least */
};

/** What jwt_verify found; slices live in the memory of the result until jwt_release. */
struct hw_jwt_result {
	struct hw_slice claims; /* the payload, a JSON object */
	int64_t expires_at;     /* 0 = the token has none */
	int expired;            /* when refused: 1 if expiry alone is the reason */
	char reason[160]; /* when refused: why, for the log and the client; never any part of the
			     token */
	void *memory;
};

/** What finish answers a suspended call with, all of it borrowed. What is zero is not said; the
 * rest is held to the same rules as the setters. Begin it with
 * {.size = sizeof(struct hw_answer), .verdict = …}. */
struct hw_answer {
	uint32_t size; /* sizeof(struct hw_answer) where the plugin was compiled */
	enum hw_verdict verdict;
	const char *code;        /* as reason */
	struct hw_slice message; /* likewise */
	/* authenticate: */
	struct hw_slice user_id;
	struct hw_slice tenant_id;
	struct hw_slice claims;
	int64_t expires_at;
	const struct hw_slice *tenants; /* as grant_tenant, each */
	size_t n_tenants;
	int act_as; /* authenticate, authorize(PUBLISH): as grant_act_as */
	/* transform: */
	struct hw_slice event;
	int64_t retry_after_ms; /* as retry_after */
};

/* ---- a journal
 *
 * A plugin may keep the tenants' events for good: the configuration's "journal" names it, one for
 * the broker. The broker keeps the newest in memory as ever and delivers from there; the plugin
 * numbers, stores and gives back. An event is delivered, and acknowledged to its publisher, once
 * the plugin has said that it is committed. Elements of arrays do not grow: another minor version
 * brings another function. */

/** What a journal says of a tenant. */
struct hw_journal_head {
	uint32_t size; /* of this struct, as the host knows it */
	/** Part of every cursor: never 0, the same as long as the numbers mean the same events,
	 * another for each tenant, and stored before it is said. Below 2^36 makes short ids. */
	uint64_t epoch;
	uint64_t last; /* the last number that was committed, 0 = none */
};

struct hw_journal_event {
	uint64_t number; /* 0 in journal_append */
	int64_t at_ms;   /* wall clock, since 1970 */
	struct hw_slice topic;
	struct hw_slice event;    /* a JSON object, without an id */
	struct hw_slice previous; /* JSON, or empty: what was before; no part of the event, and to
				     be given back with it */
};

struct hw_journal_query {
	uint32_t size; /* of this struct, as the host knows it */
	struct hw_slice tenant;
	const struct hw_slice *topics; /* names, or "resource:*" for all of a resource */
	size_t n_topics;
	uint64_t after;     /* events with a larger number … */
	uint64_t upto;      /* … and at most this */
	uint32_t limit;     /* so many events at most, 1 or more */
	uint64_t max_bytes; /* so many of event and previous, but one event in any case */
};

struct hw_journal_rows {
	uint32_t size; /* sizeof(struct hw_journal_rows) where the plugin was compiled */
	const struct hw_journal_event *events; /* by their number, the lowest first */
	size_t n;
	int more; /* there are others behind these */
	/** For each topic of the query the number of its newest event that is not kept any more, 0
	 * = none has gone; NULL = none of any has. What is too large tells of a loss that is none,
	 * what is too small keeps quiet about one. */
	const uint64_t *gone;
};

/** What of some topics is to be kept: an event may go once it is older than age_ms, or not among
 * the newest by count or by bytes of them. */
struct hw_journal_class {
	struct hw_slice pattern; /* "audit:1", which wins over "audit:*", which wins over "" = the
				    others */
	uint64_t count;
	uint64_t bytes;
	int64_t age_ms; /* 0 = for ever */
};

/** What the dict functions answer. */
enum hw_dict_outcome {
	HW_DICT_OK = 0,
	HW_DICT_ABSENT = 1,    /* get, cas, delete: there is none */
	HW_DICT_PRESENT = 2,   /* add: there is one */
	HW_DICT_DIFFERENT = 3, /* cas: it is another; incr: it is no integer, or would be none of
				  64 bits */
	HW_DICT_FULL = 4,      /* the tenant's space takes no more: nothing has changed */
	HW_DICT_TOO_LONG = 5,  /* the key (1 to 255 bytes), the value (65536); get: the buffer */
	HW_DICT_NO_MEMORY = 6,
};

/** Functions of the broker. They take the host (control thread) or the call (hooks, any worker). */
struct hw_host {
	uint32_t size;
	uint16_t major, minor;

	/* any thread; the line names the plugin */
	void (*log)(
		const struct hw_host *host, enum hw_log_severity severity, struct hw_slice message);
	/* any thread: counter hookwire_plugin_NAME_total{plugin="…"}; name [a-z_]+ */
	void (*metric)(const struct hw_host *host, const char *name, int64_t add);

	/* Answers; copied. Setters return 0, or -1 when out of memory or the value is not
	 * acceptable; the call then counts as HW_ERROR unless it answers HW_DENY. */
	/* authenticate: */
	int (*set_user)(struct hw_call *call,
		struct hw_slice user_id); /* not empty, UTF-8, at most 255 bytes */
	int (*set_tenant)(
		struct hw_call *call, struct hw_slice tenant_id); /* [A-Za-z0-9._-]{1,64} */
	int (*set_claims)(
		struct hw_call *call, struct hw_slice json_object); /* adds; later values replace */
	int (*set_expires_at)(
		struct hw_call *call, int64_t seconds); /* may only shorten what is there */
	int (*grant_tenant)(struct hw_call *call,
		struct hw_slice tenant_id); /* global entries only: may publish there too */
	/* authenticate, authorize(PUBLISH): may name another user in the event's data.user_id */
	int (*grant_act_as)(struct hw_call *call);
	/* with HW_DENY or HW_ERROR: code is one of PROTOCOL's error codes, message is for the
	 * client */
	int (*reason)(struct hw_call *call, const char *code, struct hw_slice message);
	/* transform, redact: the event that replaces the one given, a complete JSON object */
	int (*set_event)(struct hw_call *call, struct hw_slice json);

	/* Digests and tokens, any thread. */
	void (*sha256)(struct hw_slice data, uint8_t out[32]);
	/* keys_json: the array of the jwt plugin's settings. 0, or -1 with problem filled. */
	int (*jwt_keys_create)(const struct hw_host *host, struct hw_slice keys_json,
		struct hw_jwt_keys **out, struct hw_problem *problem);
	void (*jwt_keys_destroy)(struct hw_jwt_keys **keys);
	/* 0: verified, result filled, release it; 1: refused, result->reason filled, nothing to
	 * release; -1: out of memory */
	int (*jwt_verify)(const struct hw_jwt_keys *keys, struct hw_slice token,
		const struct hw_jwt_rules *rules, int64_t now_ms, struct hw_jwt_result *result);
	void (*jwt_release)(struct hw_jwt_result *result);
	/* Finds a member of a JSON object by its name, the first of them: kind is one of the
	 * letters s n t f z o a (string, number, true, false, null, object, array). value is its
	 * text in object; that of a string without the quotes and unescaped, in object where
	 * nothing is escaped, else in scratch. 0 found, 1 absent, -1 not JSON as far as it was
	 * read, or scratch too small. */
	int (*json_get)(struct hw_slice object, const char *name, char *kind,
		struct hw_slice *value, char *scratch, size_t scratch_size);
	/* Walks an object or an array: *position is 0 before the first call. key (members of
	 * objects; else empty) and strings come unescaped as above, both from one scratch. 0 one
	 * more, 1 the end, -1 as above. */
	int (*json_next)(struct hw_slice container, size_t *position, struct hw_slice *key,
		char *kind, struct hw_slice *value, char *scratch, size_t scratch_size);

	/* Minor 1. */
	/* filter, redact: what is common to those who are to receive the event, by a name that the
	 * plugin declares in filter_reads or redact_reads. 0 found (kind, value and scratch as for
	 * json_get), 1 they have none, -1 not declared, or scratch too small: the call then counts
	 * as HW_ERROR. */
	int (*audience)(struct hw_call *call, const char *name, char *kind, struct hw_slice *value,
		char *scratch, size_t scratch_size);

	/* Calls that wait: authenticate, authorize and transform. suspend gives the present call a
	 * ticket, and the hook then returns HW_PENDING; if it returns anything else, that counts
	 * and the ticket is void. All that the call has passed to the hook is dead after the
	 * return, and what setters were given is forgotten. After timeout_ms (0, or more than the
	 * broker allows: as long as it allows, 2 s) the call ends `unavailable`. 0: it cannot wait,
	 * since too many do, or memory is short. */
	uint64_t (*suspend)(struct hw_call *call, uint32_t timeout_ms);
	/* Any thread, until unload has returned: answers a suspended call. 0: taken. -1: there is
	 * nobody to answer, and nothing has happened: it has been finished, timed out, was
	 * cancelled (the session went, or the generation), or the ticket is none of this host's. */
	int (*finish)(const struct hw_host *host, uint64_t ticket, const struct hw_answer *answer);

	/* Work that blocks, on one of a few threads of the broker's: work runs there, and then done
	 * runs once. Either on the call's worker, with a call of its own; or with NULL for the
	 * call, on any thread, when the worker's state has gone meanwhile: then it only frees arg,
	 * and work may not have run. The instance stays loaded until then. 0, or -1: too much is
	 * queued (or memory is short), and neither is called. */
	int (*offload)(struct hw_call *call,
		void (*work)(const struct hw_host *host, void *instance, void *arg),
		void (*done)(struct hw_call *call, void *arg), void *arg);
	/* Calls fire once on this worker, in after_ms or a little later, with a call of its own.
	 * Forgotten, not fired, when the worker's state goes: what arg points to is worker_fini's.
	 * Its number for timer_cancel, or 0: too many wait, or memory is short. */
	uint64_t (*timer)(struct hw_call *call, int64_t after_ms,
		void (*fire)(struct hw_call *call, void *arg), void *arg);
	/* 0: it will not fire. -1: it has, or the number is none of this worker's state's. */
	int (*timer_cancel)(struct hw_call *call, uint64_t timer);
	/* Inside of save, once: what restore is to get. Copied; at most 1 MiB. 0, or -1. */
	int (*keep)(struct hw_call *call, struct hw_slice state);

	/* Publishes an event (a complete JSON object, as POST /publish takes it) to the call's
	 * tenant, after the call: no hook runs inside of another. It goes the way of all events,
	 * but nobody is asked whether it may: transforms, limits, journal. data.user_id is what it
	 * says, or "system". 0: it is queued. -1: it is no event, no tenant is known (a global
	 * entry before the identity), too many at once (256), or this call is about an event that
	 * hooks have published, four times removed from a client's. */
	int (*publish)(struct hw_call *call, struct hw_slice event_json);

	/* Something outside has changed: the sessions of the call's tenant, of a user (empty: of
	 * all), that follow a topic (empty: any), are authorized again, on all workers, soon. 0, or
	 * -1: no tenant is known, or too often (16 in a turn). */
	int (*reauth)(struct hw_call *call, struct hw_slice user_id, struct hw_slice topic);

	/* Values that all workers and all hooks of a tenant share, Lua's ctx.dict too; those of
	 * global entries are their own. Inside of calls. In memory only: 4 MiB a tenant, and what
	 * is full takes no more until something ends. ttl_ms: 0 = as long as the broker runs. They
	 * answer enum hw_dict_outcome. */
	/* The text of the value to value, its length to *len; too long: *len alone. */
	int (*dict_get)(
		struct hw_call *call, struct hw_slice key, char *value, size_t size, size_t *len);
	int (*dict_set)(
		struct hw_call *call, struct hw_slice key, struct hw_slice value, int64_t ttl_ms);
	/* if there is none */
	int (*dict_add)(
		struct hw_call *call, struct hw_slice key, struct hw_slice value, int64_t ttl_ms);
	/* adds to a decimal integer, or to 0; ttl_ms counts from the first one on */
	int (*dict_incr)(struct hw_call *call, struct hw_slice key, int64_t add, int64_t ttl_ms,
		int64_t *value);
	/* replaces it if it is expected */
	int (*dict_cas)(struct hw_call *call, struct hw_slice key, struct hw_slice expected,
		struct hw_slice value, int64_t ttl_ms);
	int (*dict_delete)(struct hw_call *call, struct hw_slice key);

	/* Any thread. */
	void (*hmac_sha256)(struct hw_slice key, struct hw_slice data, uint8_t out[32]);
	void (*random)(void *out, size_t len); /* unpredictable bytes */
	/* 1: the same. The time it takes tells nothing of where they differ. */
	int (*equal)(struct hw_slice a, struct hw_slice b);
	/* Makes a token: alg is HS*, RS* or ES*; key is the secret, or a private key in PEM; kid
	 * may be empty; claims is a JSON object. RS and ES take milliseconds: from offload's work.
	 * token: at most size bytes, *len of them. 0, or -1 with problem filled. */
	int (*jwt_sign)(const char *alg, struct hw_slice key, struct hw_slice kid,
		struct hw_slice claims, char *token, size_t size, size_t *len,
		struct hw_problem *problem);

	/* Any thread, for a journal's tickets; each ticket is answered once. */
	/* All events of the append are stored for good, numbered from first_number on, which is
	 * above all numbers that the tenant had. Say it in that order. 0, or -1: no such ticket. */
	int (*journal_committed)(
		const struct hw_host *host, uint64_t ticket, uint64_t first_number);
	/* An append of which nothing is stored, or a read that cannot be: whoever asked hears
	 * `unavailable`. 0 or -1 likewise. */
	int (*journal_failed)(const struct hw_host *host, uint64_t ticket);
	/* What was asked for by journal_read; copied. 0 or -1 likewise. */
	int (*journal_rows)(
		const struct hw_host *host, uint64_t ticket, const struct hw_journal_rows *rows);

	/* With HW_DENY: when it is worth trying again, 1 ms to a day. The client hears it where the
	 * answer has a place for it. 0, or -1: out of range, and nothing is said. */
	int (*retry_after)(struct hw_call *call, int64_t ms);

	/* Inside of validate and load: the name of a file in the settings, as all paths of the
	 * configuration: one that does not begin with "/" is below the directory of the file that
	 * names the entry. Zero-terminated. 0, or -1: more than size bytes. */
	int (*path)(const struct hw_host *host, struct hw_slice name, char *out, size_t size);
};

#define HW_HOST_HAS(host, member) \
	((host)->size >= offsetof(struct hw_host, member) + sizeof((host)->member) && \
		(host)->member)

/** A plugin. Hooks that are NULL are not registered. */
struct hw_plugin {
	uint32_t magic;
	uint32_t size; /* sizeof(struct hw_plugin) where the plugin was compiled */
	uint16_t major, minor;
	/** Bits 1u << HW_OP_…: what authorize is asked about; 0 = everything but HW_OP_SESSION. A
	 * tenant's plugin that registers an operation and answers HW_DEFER leaves it to the entries
	 * after it, and if nobody answers it is denied. */
	uint32_t operations;
	const char *name; /* as in the config's "plugin" */
	const char *version;

	/** Checks settings (a JSON object, "{}" when absent), changes nothing. 0, or -1 with
	 * problem filled. */
	int (*validate)(
		const struct hw_host *host, struct hw_slice config, struct hw_problem *problem);
	/** Makes an instance for one config entry. 0, or -1 with problem filled. */
	int (*load)(const struct hw_host *host, struct hw_slice config, void **instance,
		struct hw_problem *problem);
	void (*unload)(const struct hw_host *host, void *instance);
	int (*worker_init)(
		const struct hw_host *host, void *instance, unsigned worker, void **state);
	void (*worker_fini)(const struct hw_host *host, void *instance, void *state);

	enum hw_verdict (*authenticate)(struct hw_call *call, const struct hw_request *request);
	enum hw_verdict (*authorize)(
		struct hw_call *call, const struct hw_who *who, const struct hw_question *question);
	/** ALLOW or DEFER: goes on (with set_event's text, if called); DENY: the event is dropped.
	 */
	enum hw_verdict (*transform)(
		struct hw_call *call, const struct hw_who *who, struct hw_slice event_json);
	void (*lifecycle)(
		struct hw_call *call, const struct hw_who *who, const struct hw_lifecycle *what);

	/* Minor 1. */
	/** What filter, and what redact, asks the host's audience for: "user", "tenant" or
	 * "claims.NAME", up to 16 names and a NULL behind them; NULL = nothing. Recipients that are
	 * alike in all that the chain declares are one class. */
	const char *const *filter_reads;
	const char *const *redact_reads;
	/** Called once for each event, class of recipients and worker; must not wait. HW_ALLOW:
	 * they get the event; HW_DENY or HW_DEFER: they do not, and hear nothing of it; HW_ERROR:
	 * the same, and it is counted as an error. */
	enum hw_verdict (*filter)(struct hw_call *call, struct hw_slice event_json);
	/** After all filters. HW_ALLOW: they get the event, with set_event's text if that was
	 * called; the others as for filter. */
	enum hw_verdict (*redact)(struct hw_call *call, struct hw_slice event_json);

	/** After worker_init, with a call that has no question: the place to set the first timer.
	 * 0, or -1: as if worker_init had failed. */
	int (*worker_start)(struct hw_call *call);
	/** When a reload has replaced this entry by another of the same name and plugin: the state
	 * of this worker and tenant to the host's keep. It is not asked any more. 0, or -1: there
	 * is nothing to take over. */
	int (*save)(struct hw_call *call);
	/** The new entry, before it is asked anything: what the old one's save kept, maybe of
	 * another version of the plugin. 0, or -1 (logged): it goes on with what it has. */
	int (*restore)(struct hw_call *call, struct hw_slice state);

	/* A journal: the first three, or none of them. Called on any worker and the control thread,
	 * several at a time; they must not block. Tenants and topics that begin with "@" are the
	 * broker's own, and are treated as the others. unload answers what is under way, and
	 * afterwards nothing is. */
	/** Of a tenant that is named for the first time. 0, or -1: not known yet; the tenant is
	 * `unavailable`, and this is called again. */
	int (*journal_open)(const struct hw_host *host, void *instance, struct hw_slice tenant,
		struct hw_journal_head *head);
	/** Batches of one tenant are committed in the order in which they come. All of events stays
	 * where it is until the ticket is answered. 0, or -1: it cannot now, and takes nothing. */
	int (*journal_append)(const struct hw_host *host, void *instance, uint64_t ticket,
		struct hw_slice tenant, const struct hw_journal_event *events, size_t n);
	/** The query and what it points to stay until the ticket is answered. 0 or -1 likewise. */
	int (*journal_read)(const struct hw_host *host, void *instance, uint64_t ticket,
		const struct hw_journal_query *query);
	/** From now on, when a tenant is opened and when a reload has changed it; may be NULL: all
	 * is kept. What is dropped, and when, is the plugin's matter, but not before that. */
	void (*journal_retain)(const struct hw_host *host, void *instance, struct hw_slice tenant,
		const struct hw_journal_class *classes, size_t n);

	/** After load: bits 1u << HW_ON_…, what lifecycle is told of. NULL: connect and disconnect.
	 * Nothing is spent on what no entry wants, so leave PUBLISH out where the settings allow.
	 */
	uint32_t (*lifecycle_kinds)(const struct hw_host *host, const void *instance);
};

/** The one exported symbol. */
typedef const struct hw_plugin *hw_plugin_entry_fn(void);
#define HW_PLUGIN_SYMBOL "hookwire_plugin"
#define HW_PLUGIN_EXPORT(table) \
	__attribute__((visibility("default"))) const struct hw_plugin *hookwire_plugin(void); \
	const struct hw_plugin *hookwire_plugin(void) \
	{ \
		return (table); \
	}

#ifdef __cplusplus
}
#endif
#endif
