/* Inside core/hook: what the chain sees of an entry, whatever its language.
 * chain.c walks; entry_lua.c and entry_plugin.c implement struct hw_entry_ops. */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "hook/audience.h"
#include "hook/hooks.h"
#include "hook/inbox.h"
#include "hook/io.h"

/* bits of hw_hook_entry.registers */
#define HW_REGISTERS_STAGE(stage) (1u << (stage))
#define HW_REGISTERS_OPERATION(operation) (1u << (8 + (operation)))
#define HW_REGISTERS_KIND(kind) (1u << (16 + (kind))) /* of lifecycle, beside its stage */

struct hw_entry_state; /* per bench × entry: a plugin's worker state, or a reference to the bench's
			  Lua state; opaque to the chain */

/* What one entry said; the chain combines these. Zeroed before each call; the chain frees what is
 * set. */
struct hw_entry_answer {
	enum hw_verdict verdict;
	const char *code;       /* static string, or NULL for the stage's default; ERROR is always
				   `unavailable` */
	char message[256];      /* for the client: only what the hook itself said to it (deny,
				   unavailable) */
	int64_t retry_after_ms; /* DENY: likewise; 0 = nothing */
	char detail[256]; /* ERROR, for the log only: the exception, "deadline", "out of memory" */
	bool goes_on;     /* LIFECYCLE: the hook runs on by itself, hw_bench_answered follows */
	bool said;        /* ERROR that the hook itself answered */
	bool uncounted; /* ERROR that tells the breaker nothing: a mistake in the script, which may
			   be one client's doing, or the end of another call */
	/* AUTHENTICATE, malloc'd, NULL = not set */
	char *user_id, *tenant_id;
	char *claims; /* JSON object text */
	int64_t expires_at;
	bool has_expires_at;
	char **tenants;
	size_t n_tenants;
	bool act_as;
	/* TRANSFORM, REDACT, malloc'd */
	char *event;
	size_t event_len;
};
void hw_entry_answer_fini(struct hw_entry_answer *answer);

struct hw_entry_ops {
	/** Worker thread. @states is the bench's array so that Lua entries of one tenant share one
	 * lua_State. */
	int (*attach)(struct hw_hook_entry *entry, struct hw_hook_bench *bench,
		struct hw_entry_state **out);
	void (*detach)(struct hw_hook_entry *entry, struct hw_entry_state *state);
	/** One call. Fills @answer. Returns its verdict. HW_PENDING: later, never from inside,
	 * calls hw_hooks_resume(ask, answer) on the same worker. ask->event is the event as the
	 * entry before left it. */
	enum hw_verdict (*call)(struct hw_hook_entry *entry, struct hw_entry_state *state,
		struct hw_ask *ask, struct hw_entry_answer *answer);
	/** Forget the pending call of this ask. */
	void (*cancel)(
		struct hw_hook_entry *entry, struct hw_entry_state *state, struct hw_ask *ask);
	/** Control thread, last reference gone. */
	void (*free)(struct hw_hook_entry *entry);
	/** Control thread. Digest of the other files that the source read when it was loaded (Lua:
	 * modules of require), as they were then or, @now, as they are on disk; zeroes when it read
	 * none. NULL: this kind reads none. An entry is reused only if both are equal, and its hash
	 * covers them: an edited module is a new entry. */
	void (*files_hash)(const struct hw_hook_entry *entry, bool now, uint8_t out[32]);
	/** Worker thread, may be NULL: takes over from the state of an entry of the same name and
	 * kind, whose bench ends. */
	void (*inherit)(struct hw_hook_entry *entry, struct hw_entry_state *state,
		struct hw_entry_state *from);
};

/* Embedded first in the Lua and plugin entries. */
struct hw_hook_entry {
	const struct hw_entry_ops *ops;
	atomic_uint n_refs;
	struct hw_hook_env *env;
	char *name;
	char *path;
	enum hw_hook_kind kind;
	bool global, revoke_now;
	bool shadow;         /* decides nothing: shadow.h */
	unsigned generation; /* that it was loaded for */
	struct hw_hook_budget budget;
	struct hw_breaker_rules breaker;
	struct hw_hook_entry *dead_next; /* on env->dead */
	uint32_t registers;
	struct hw_reads reads[2]; /* of filter and of redact */
	uint8_t spec_hash[32];    /* kind, name, source bytes, settings, budget, global: what reuse
				     looks for */
	uint8_t hash[32]; /* spec_hash and files_hash; both are set by entry.c after the load */
};

struct hw_hook_env {
	struct hw_log *log;
	struct hw_metrics *metrics;
	const struct hw_clock *clock;
	struct hw_watchdog *watchdog;
	const char *script_lib;
	const char *plugin_cache;
	const char *self_exe;
	_Atomic(struct hw_hook_entry *)
		dead; /* stack of entries whose last reference is gone, linked by dead_next */
	struct hw_hook_labels *labels; /* of the metrics: env.c */
	struct hw_trust *trust;        /* of outgoing TLS, borrowed; NULL: nobody is believed */
	struct hw_hook_all_series *series;
	struct hw_hook_io *io[HW_HOOK_MAX_WORKERS]; /* by worker, each touched by that one alone */
	struct hw_hook_inbox *inboxes[HW_HOOK_INBOXES_MAX]; /* by worker; NULL: never opened */
	struct hw_dict *dict;                               /* values that workers share: dict.h */
	struct hw_crew *crew;           /* threads for work that blocks: crew.h */
	struct hw_coverage *coverage;   /* NULL but where policies are tested: coverage.h */
	struct hw_decisions *decisions; /* that are written: decisions.h; NULL: none */
	struct hw_withheld *withheld;   /* NULL but where decisions are asked again: withheld.h */
	atomic_uint_least64_t decisions_gate; /* which: decisions_internal.h */
	struct hw_plugin_library
		*libraries; /* what dlopen gave, by hash; control thread: plugin_library.c */
	/* what the control thread is waiting for a plugin to do: hw_hook_env_doing */
	pthread_mutex_t doing_lock;
	uint64_t doing_number;
	char doing[160];
};

struct hw_hook_bench {
	struct hw_hook_env *env;
	struct hw_hook_chain *chain;
	char *tenant;
	unsigned worker;
	struct hw_lua_state *lua; /* shared by the chain's Lua entries of a tenant; NULL until first
				     use or after a kill */
	size_t lua_bytes; /* its arena: the largest memory budget among these entries; their attach
			     raises it */
	size_t n_entries;
	struct hw_entry_state **states;
	struct hw_bench_stats *stats; /* per entry: bench.c */
	struct hw_list pending; /* walks that wait, chain.c's; a walk is in the lists of both its
				   benches */
	struct hw_list shadows; /* questions to shadows, shadow.c's */
	size_t n_shadows, shadow_bytes;
	char *shadow_space; /* of the values that shadows share: a tenant's own is not theirs */
	unsigned n_refs;
	bool retired; /* another bench has its place */
	bool trial;   /* asked what it would decide: no effect may come of it */
	bool closing; /* asks end as ERROR at once */
};

/** For an entry that answered HW_PENDING: goes on with the walk, ends in ask->decided unless
 * pending again. */
void hw_hooks_resume(struct hw_ask *ask, struct hw_entry_answer *answer);

/** The tenant that the present call is about: the bench's; for a global entry the session's, or the
 * one that authenticate has fixed already, empty while there is none. Borrowed until the call ends.
 */
struct hw_str hw_ask_tenant(const struct hw_ask *ask, const struct hw_hook_entry *entry);

/** Who the present call is about, if authenticate has fixed it already; else p is NULL. Borrowed
 * likewise. */
struct hw_str hw_ask_user(const struct hw_ask *ask);

/** A loader's first step: fills the base (one reference, names copied; registers and hash stay 0).
 * -ENOMEM. */
HW_MUST_CHECK int hw_entry_init(struct hw_hook_entry *entry, const struct hw_entry_ops *ops,
	struct hw_hook_env *env, const struct hw_hook_spec *spec);
/** The last step of ops->free. */
void hw_entry_fini(struct hw_hook_entry *entry);

/* Loaders set `registers`; hw_hook_entry_load sets the hash afterwards. */
int hw_entry_lua_load(struct hw_hook_env *env, const struct hw_hook_spec *spec,
	struct hw_str source, struct hw_hook_entry **out, struct hw_hook_problem *problem);
int hw_entry_plugin_load(struct hw_hook_env *env, const struct hw_hook_spec *spec,
	struct hw_str image, const uint8_t hash[32], struct hw_hook_entry **out,
	struct hw_hook_problem *problem);
