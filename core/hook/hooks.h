/* The one chain: every decision is a walk along hook entries, Lua or C, with the same verdicts.
 *
 *   spec --load--> entry --+-- chain (tenant's entries) --+
 *                          +-- chain (global guards)  ----+--> bench (a worker's own: Lua states,
 * plugin worker states)
 *
 * Specs come from the config. Entries and chains are made on the control thread, immutable,
 * reference counted and shared by workers and generations: a chain whose hash did not change is the
 * same object in the next generation, and with it each worker's states live on. A bench belongs to
 * one worker and is used by it alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <hookwire/plugin.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "hook/breaker.h"
#include "hook/identity.h"

struct hw_hook_env;   /* what entries need of the process: see hw_hook_env_create */
struct hw_hook_entry; /* one loaded source with its settings */
struct hw_hook_chain; /* an ordered list of entries, and its hash */
struct hw_hook_bench; /* a chain as one worker runs it for one tenant */
struct hw_audience;   /* what filter and redact may know of recipients: hook/audience.h */
struct hw_json;
struct hw_watchdog; /* ends Lua calls that overrun: hook/watchdog.h */

static inline struct hw_slice hw_slice_of(struct hw_str s)
{
	return (struct hw_slice){s.p, s.len};
}

/* ---- configuration
 * --------------------------------------------------------------------------------------- */

enum hw_hook_kind { HW_HOOK_LUA, HW_HOOK_PLUGIN };

struct hw_hook_budget {
	unsigned cpu_ms;      /* a burst of CPU time, up to where the call waits or ends: 2 */
	unsigned load_ms;     /* loading the chunk: 1000 */
	size_t memory_bytes;  /* arena of the state: 16 MiB */
	unsigned deadline_ms; /* a call that waits, from its first wait on: 2000 */
	unsigned in_flight;   /* calls of one state that wait at the same time: 64 */
	unsigned idle_ms; /* a state that nobody asks for so long is given back: 600000; 0: never */
};
#define HW_HOOK_BUDGET_DEFAULT \
	((struct hw_hook_budget){.cpu_ms = 2, \
		.load_ms = 1000, \
		.memory_bytes = 16u << 20, \
		.deadline_ms = 2000, \
		.in_flight = 64, \
		.idle_ms = 600000})

struct hw_hook_spec {
	const char *name;
	enum hw_hook_kind kind;
	const char *path;        /* the file, absolute: a .lua or a .so */
	const char *config_file; /* that names it; NULL: none. Relative paths of @config are below
				    its directory */
	bool only_check;         /* of a plugin: validate, and do not load */
	struct hw_str config; /* JSON object, "{}" when absent; secrets are substituted already */
	struct hw_hook_budget budget;
	struct hw_breaker_rules breaker; /* all 0: none */
	bool global;                     /* a guard of all tenants, or a tenant's own */
	unsigned generation;             /* that it is loaded for, to be told; decides nothing */
	bool revoke_now; /* when the chain changes, sessions get nothing until they are re-checked
			  */
	bool shadow;     /* asked and counted, but it decides nothing: shadow.h */
};

/** @script_lib: folder of Lua's require, may be NULL. @plugin_cache: folder (exists, exec-mounted,
 * private to the process) for the private copies of .so files. @self_exe: the binary that tries a
 * changed .so in a child (`check --plugin`), NULL = do not try (unit tests). All borrowed for the
 * life of the env. NULL when out of memory. */
struct hw_hook_env *hw_hook_env_create(struct hw_log *log, struct hw_metrics *metrics,
	const struct hw_clock *clock, struct hw_watchdog *watchdog, const char *script_lib,
	const char *plugin_cache, const char *self_exe);
void hw_hook_env_destroy(struct hw_hook_env **env);
/** The part of that which may wait for plugins: ends offloaded work, what runs of it first, and
 * unloads. No worker is there any more. */
void hw_hook_env_end_work(struct hw_hook_env *env);
/** The value of the label `tenant` of metrics: its own for the first hundred, then "other"; "" for
 * "". Lives as the environment. Any thread. */
const char *hw_hook_env_tenant_label(struct hw_hook_env *env, const char *tenant);
/** For tests, while no bench is alive: the values that hooks share (dict.h) are gone. -ENOMEM. */
HW_MUST_CHECK int hw_hook_env_forget_values(struct hw_hook_env *env);

/* ---- entries and chains: control thread
 * ------------------------------------------------------------------- */

/* Where in the settings a refusal points, for file:line:col of the config; path is "" when it is
 * the source itself. */
struct hw_hook_problem {
	char path[128]; /* JSON pointer into the settings */
	char text[512]; /* for Lua "file.lua:3: …" as Lua says it */
};

/** Reads, checks and loads the source: Lua is compiled and run once in a scratch state within its
 * load budget to learn what it registers; a plugin is tried in a child, copied, opened, its ABI
 * checked, validated and loaded.
 *  @reuse: entries of the generation before, looked through for one with the same hash (then
 * returned with a new reference, nothing loaded). 0, or negative errno with @problem filled. */
HW_MUST_CHECK int hw_hook_entry_load(struct hw_hook_env *env, const struct hw_hook_spec *spec,
	struct hw_hook_chain *const *reuse, size_t n_reuse, struct hw_hook_entry **out,
	struct hw_hook_problem *problem);
struct hw_hook_entry *hw_hook_entry_ref(struct hw_hook_entry *entry);
void hw_hook_entry_unref(struct hw_hook_entry **entry);

/** Takes no references of the caller's: refs each entry itself. Never fails but for memory (NULL).
 */
struct hw_hook_chain *hw_hook_chain_create(struct hw_hook_entry *const *entries, size_t n_entries);
struct hw_hook_chain *hw_hook_chain_ref(struct hw_hook_chain *chain);
void hw_hook_chain_unref(
	struct hw_hook_chain **chain); /* any thread; plugins are unloaded by hw_hook_env_reap */
/** SHA-256 over the kinds, sources, settings and budgets of the entries that decide, in order:
 * shadows are not in it. */
const uint8_t *hw_hook_chain_hash(const struct hw_hook_chain *chain);
/** Are they the same entries, shadows included? */
bool hw_hook_chain_same(const struct hw_hook_chain *a, const struct hw_hook_chain *b);
/** Does any of its entries that decide say "revoke": "now"? */
bool hw_hook_chain_revokes_now(const struct hw_hook_chain *chain);
/** Is @decided_by, of an ask, one of its entries? */
bool hw_hook_chain_names(const struct hw_hook_chain *chain, const char *decided_by);
/** Control thread, now and then: unloads plugin instances whose last reference is gone. */
void hw_hook_env_reap(struct hw_hook_env *env);
/** What a plugin keeps the control thread with now, for a person; "" when none does. Returns a
 * number that changes whenever that does. Any thread. */
uint64_t hw_hook_env_doing(struct hw_hook_env *env, char *out, size_t size);
/** Control thread, once a second: reaps, and frees what has ended in the shared values. */
void hw_hook_env_tick(struct hw_hook_env *env);

/* ---- benches: one worker
 * ----------------------------------------------------------------------------------- */

/** @tenant is copied; "" for the bench of the global guards. Lua states are made on first use.
 * plugin worker_init runs here. 0 or negative errno (-ENOMEM, -EIO when a worker_init refused). */
HW_MUST_CHECK int hw_hook_bench_create(struct hw_hook_env *env, struct hw_hook_chain *chain,
	struct hw_str tenant, unsigned worker, struct hw_hook_bench **out);
/** The same for asking what would be decided: calls are not counted, errors not logged. */
HW_MUST_CHECK int hw_hook_bench_create_trial(struct hw_hook_env *env, struct hw_hook_chain *chain,
	struct hw_str tenant, unsigned worker, struct hw_hook_bench **out);
/** Pending asks end as HW_ERROR `unavailable` first, and whoever still asks hears that at once. The
 * memory goes with the last reference. */
void hw_hook_bench_destroy(struct hw_hook_bench **bench);
struct hw_hook_bench *hw_hook_bench_ref(struct hw_hook_bench *bench);
void hw_hook_bench_unref(struct hw_hook_bench **bench); /* accepts NULL in it */
/** It decides no more but for what asks already: its timers stop. */
void hw_hook_bench_retire(struct hw_hook_bench *bench);
/** Nobody but its owner holds it, and no ask is pending. */
bool hw_hook_bench_idle(const struct hw_hook_bench *bench);
struct hw_hook_chain *hw_hook_bench_chain(struct hw_hook_bench *bench);

/** Once @to stands in the place of @from, before that is destroyed: what the policies of @from keep
 * by `save` is for those of the same names in @to, and timers that ran go on. */
void hw_hook_bench_inherit(struct hw_hook_bench *to, struct hw_hook_bench *from);

/** Appends a JSON array of the hooks in use with what was counted of each for each tenant. Any
 * thread. */
void hw_hooks_tell(struct hw_hook_env *env, struct hw_buf *out);

enum hw_hook_stage {
	HW_STAGE_AUTHENTICATE,
	HW_STAGE_AUTHORIZE,
	HW_STAGE_TRANSFORM,
	HW_STAGE_FILTER, /* these two by hw_hooks_view, not hw_hooks_ask */
	HW_STAGE_REDACT,
	HW_STAGE_LIFECYCLE,
	HW_STAGE_EVERY /* timers: nobody asks */
};
/** Does any entry of the bench's chain register this? Lets the caller skip work nobody asks for. */
bool hw_hook_bench_has(const struct hw_hook_bench *bench, enum hw_hook_stage stage);
/** The same of those that decide. */
bool hw_hook_bench_has_operation(const struct hw_hook_bench *bench, enum hw_operation operation);
bool hw_hook_bench_has_kind(const struct hw_hook_bench *bench, enum hw_lifecycle_kind kind);
/** The name of the next entry, from the *@i-th on, that registers @stage; NULL: there is none. *@i
 * is then where to go on from: 0 at first. */
const char *hw_hook_chain_registers(
	const struct hw_hook_chain *chain, enum hw_hook_stage stage, size_t *i);

/* What one entry said on the way; dead when the function that is told returns. */
struct hw_heard {
	const char *entry;
	bool global;
	enum hw_verdict verdict;
	bool said;           /* HW_ERROR: by the hook itself, not for what went wrong in it */
	const char *code;    /* NULL: the stage's default */
	const char *message; /* for the client */
	const char *detail;  /* HW_ERROR: for the operator alone */
	struct hw_str event; /* TRANSFORM: what it made of it; p NULL: nothing */
};

/* A question on its way along the chain. Embedded by its asker, zeroed before use; everything in it
 * is borrowed until it is decided. One message asks with one pair of benches, so it sees one
 * generation. */
struct hw_ask {
	/* set by the asker */
	/** For who explains: told what each entry that was asked said, before it counts. NULL:
	 * nobody is. */
	void (*heard)(struct hw_ask *ask, const struct hw_heard *heard);
	enum hw_hook_stage stage;
	struct hw_hook_bench *global;       /* never NULL */
	struct hw_hook_bench *tenant;       /* NULL only for AUTHENTICATE, see find_tenant, and for
					       LIFECYCLE: then the guards alone are told */
	const struct hw_request *request;   /* AUTHENTICATE */
	const struct hw_who *who;           /* all others */
	const struct hw_question *question; /* AUTHORIZE */
	struct hw_str event;                /* TRANSFORM, FILTER, REDACT: complete JSON text */
	const struct hw_audience *audience; /* FILTER, REDACT: what the entry may know */
	const struct hw_lifecycle *lifecycle; /* LIFECYCLE */
	/** AUTHENTICATE: called once the global entries have fixed the identity; returns the
	 * tenant's bench, or NULL with ask->code and ask->message set (403 unlisted tenant,
	 * unavailable). */
	struct hw_hook_bench *(*find_tenant)(struct hw_ask *ask, struct hw_str tenant_id);
	unsigned depth; /* of the event that it is about: 0 for a client's, see hook/publish.h */
	void (*decided)(struct hw_ask *ask); /* only after hw_hooks_ask returned HW_PENDING; the ask
						may be freed inside */

	/* the answer */
	enum hw_verdict verdict; /* ALLOW, DENY or ERROR */
	const char *code;        /* PROTOCOL's error code when not ALLOW: static string */
	char message[256];       /* for the client; "" if the hook gave none */
	int64_t retry_after_ms;  /* DENY: likewise; 0 = none */
	const char *decided_by;  /* name of the entry that decided, "" when nobody had an opinion;
				    lives as the chain */
	struct hw_identity *identity; /* AUTHENTICATE and ALLOW: one reference, the asker's */
	bool act_as;                  /* AUTHORIZE(PUBLISH): granted by a hook here */
	char *new_event; /* TRANSFORM and ALLOW: malloc'd text, the asker's; NULL = unchanged */
	size_t new_event_len;

	/* the chain's own */
	size_t position;
	int64_t began_ns;         /* the call of the entry there */
	struct hw_shadow *shadow; /* it is a copy, put to a shadow */
	void *internal;
};

/** Asks. Returns the verdict (also in ask->verdict), or HW_PENDING: then decided() is called later
 * on this worker, or the asker gives up with hw_hooks_cancel. TRANSFORM: DENY = dropped by a hook.
 * LIFECYCLE: always ALLOW; errors are logged. AUTHORIZE: guards of `global` first (DENY or ERROR
 * ends it), then `tenant`: first ALLOW or DENY wins, all DEFER = DENY (code forbidden_topic);
 * OP_SESSION that nobody of the tenant's registers = ALLOW. act_as counts from whoever allowed.
 *  AUTHENTICATE: the first global ALLOW fixes user and tenant; none: DENY unauthorized. Later
 * entries, then the tenant's, may DENY, or with ALLOW add claims and act_as and shorten expires_at;
 * a global one may grant tenants. Naming another user or tenant, or a tenant's entry that grants
 * tenants, is ERROR. ERROR is always `unavailable` and ends the walk. Never asserts on what a hook
 * did. While PENDING the ask is bound to both benches: the end of either decides it. TRANSFORM
 * leaves ask->event at the last text. */
HW_MUST_CHECK enum hw_verdict hw_hooks_ask(struct hw_ask *ask);
/* ---- who sees what: filter and redact ---- */

/* What one entry said of who sees an event, and from which values; dead when the function that is
 * told returns. */
struct hw_view_heard {
	const char *entry;
	bool global;
	enum hw_hook_stage stage; /* FILTER, REDACT */
	const struct hw_audience *audience;
	enum hw_verdict verdict; /* DEFER is as DENY */
	bool changed;            /* REDACT: it made another event of it */
	const char *detail;      /* HW_ERROR: for the operator alone; "" */
};

/* What one class of recipients gets of an event. */
struct hw_view {
	/* set by the caller */
	/** For who explains: told what each entry that was asked said. NULL: nobody is. */
	void (*heard)(struct hw_view *view, const struct hw_view_heard *heard);
	struct hw_hook_bench *global, *tenant; /* tenant NULL: HW_ERROR */
	struct hw_str tenant_id;
	const struct hw_json *values; /* of the class: from hw_audience_values */
	struct hw_str event;          /* complete JSON text, that of a valid event */
	struct hw_str topic;          /* its topic */
	/* the answer */
	char *new_event; /* ALLOW: malloc'd text of a valid event of that topic, the caller's;
			    NULL = unchanged */
	size_t new_event_len;
	const char *decided_by; /* the last entry that was asked; lives as the chain */
};

/** Every filter must pass, then every redact has its turn, each on the former's result; entries of
 * @global first. ALLOW; DENY: they do not see it; ERROR: a hook failed (it is logged and counted),
 * and they do not see it either. Never waits. */
HW_MUST_CHECK enum hw_verdict hw_hooks_view(struct hw_view *view);
/** How many values make a class for these two benches. */
size_t hw_audience_count(struct hw_hook_bench *global, struct hw_hook_bench *tenant);
/** Appends their names, in their order: as long as these are the same, so are the classes. */
void hw_audience_reads(
	struct hw_hook_bench *global, struct hw_hook_bench *tenant, struct hw_buf *out);
/** Appends those of @who: equal bytes are an equal class. Memory failure is left in @out. */
void hw_audience_key(struct hw_hook_bench *global, struct hw_hook_bench *tenant,
	const struct hw_identity *who, struct hw_buf *out);
/** Finds the @n values in the text of a key, which they point into. */
void hw_audience_values(struct hw_str key, struct hw_json *values, size_t n);

/** A pending ask is forgotten; decided is not called. Harmless on one that is decided. */
void hw_hooks_cancel(struct hw_ask *ask);
