/* Inside the Lua runtime: the state, the chunks loaded into it, and what its files know of each
 * other. All of it runs inside hw_lua_run unless it says otherwise; Lua errors are the way to
 * fail. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/quota.h"
#include "crypto/jwt.h"
#include "hook/counters.h"
#include "hook/entry_internal.h"
#include "hook/guard_internal.h"
#include "hook/lua_state.h"
#include "hook/publish.h"
#include "hook/reauth.h"

/* The functions a policy may register, in the order of struct hw_lua_chunk.functions. */
enum hw_lua_function {
	HW_LUA_AUTHENTICATE,
	HW_LUA_SUBSCRIBE, /* from here to SESSION as enum hw_operation */
	HW_LUA_WILDCARD,
	HW_LUA_PUBLISH,
	HW_LUA_PRESENCE,
	HW_LUA_SESSION,
	HW_LUA_TRANSFORM,
	HW_LUA_FILTER,
	HW_LUA_REDACT,
	HW_LUA_CONNECT, /* from here to PUBLISHED as enum hw_lifecycle_kind */
	HW_LUA_DISCONNECT,
	HW_LUA_OCCUPIED,
	HW_LUA_VACATED,
	HW_LUA_PUBLISHED,
	HW_LUA_SAVE, /* these two are for the broker's own use: lua_keep.c */
	HW_LUA_RESTORE,
	HW_LUA_N_FUNCTIONS
};

#define HW_LUA_EVERY_MAX 16 /* timers of a policy */

/* A file of scripts/lib as it was when the entry was loaded. */
struct hw_lua_module {
	struct hw_lua_module *next;
	char *name;
	char *source;
	size_t len;
};

struct hw_lua_entry {
	struct hw_hook_entry base;
	char *source;
	size_t source_len;
	char *chunk_name; /* "@policies/family.lua": the tail of the path, as errors name it */
	char *config;     /* JSON */
	struct hw_lua_module *modules; /* grows only while the entry is loaded */
	bool loaded;                   /* from then on nothing here changes */
	uint32_t load_us;              /* CPU time that loading took */
	struct hw_jwt_keys *keys;      /* of a global entry's "keys" */
	unsigned n_every;
	int64_t every_ms[HW_LUA_EVERY_MAX];
	struct hw_hook_counters counters; /* the script's own */
};

/* An entry's file as run in one state. */
struct hw_lua_chunk {
	struct hw_lua_chunk *next;
	struct hw_lua_entry *entry;
	int functions[HW_LUA_N_FUNCTIONS]; /* registry references, LUA_NOREF = not registered */
	int ctx;
	int modules; /* name → value, while it loads */
	int made;    /* what policy { … } returned, while it loads */
	unsigned n_every;
	int64_t every_ms[HW_LUA_EVERY_MAX];
	int every[HW_LUA_EVERY_MAX]; /* registry references of their functions */
};

/* A session's table, kept because a session asks more than once. */
struct hw_lua_session {
	int table;       /* registry reference, 0 = empty slot */
	int key_ref;     /* keeps @key alive */
	const char *key; /* every field of struct hw_who, one behind the other */
	uint32_t lengths[5];
	int64_t expires_at;
};
#define HW_LUA_SESSIONS 64

#define HW_LUA_TENANT_MAX 64 /* bytes of a tenant's id */

struct hw_lua_task;

struct hw_lua_state {
	lua_State *lua;
	struct hw_lua_arena *arena;
	struct hw_guard *guard; /* of the running call */
	struct hw_hook_env *env;
	const char *tenant;
	const char *space; /* of the values that it shares with others */
	size_t memory_bytes;
	int globals;                  /* registry reference: what an environment starts as */
	struct hw_lua_chunk *chunks;  /* malloc'd */
	struct hw_lua_chunk *running; /* whose code runs */
	const struct hw_ask *ask;     /* what it was asked; NULL while it loads */
	bool loading;
	bool full;  /* an allocation failed where pcall saw it */
	void *held; /* malloc'd by a host function that is not done with it */
	/* tasks: lua_task.h */
	struct hw_hook_io *io; /* NULL: nothing may wait */
	struct hw_list tasks, idle_tasks;
	unsigned n_idle_tasks, n_waiting;
	struct hw_lua_task *task;    /* that runs; NULL: what runs is none */
	bool may_wait;               /* and is where it may */
	struct hw_quota http_memory; /* of requests under way: as much again as the arena */
	/* idle states: lua_keep.c */
	struct hw_timer idle;
	int64_t idle_ms;
	struct hw_hook_bench *bench;
	struct hw_lua_state **slot; /* which points here */
	uint64_t n_uses, n_uses_seen;
	struct hw_rate log_rate;
	uint64_t n_log_lost;
	struct hw_publish_quota published;
	struct hw_reauth_quota reauths;
	struct hw_lua_session sessions[HW_LUA_SESSIONS];
};

static inline struct hw_lua_state *hw_lua_of(lua_State *lua)
{
	return *(struct hw_lua_state **)lua_getextraspace(lua);
}
/* Is what runs only asked what it would decide? Then it does nothing to others. */
static inline bool hw_lua_is_trial(lua_State *lua)
{
	const struct hw_lua_state *state = hw_lua_of(lua);

	return state->bench && state->bench->trial;
}
static inline void hw_lua_host_begin(lua_State *lua)
{
	hw_guard_host_begin(hw_lua_of(lua)->guard);
}
static inline void hw_lua_host_end(lua_State *lua)
{
	hw_guard_host_end(hw_lua_of(lua)->guard);
}

/* ---- lua_state.c ---- */
/** What came of a guarded run in @lua that left @status; fills @err unless it is OK or WAITS. */
enum hw_lua_outcome hw_lua_judge(struct hw_lua_state *state, enum hw_guard_end end, lua_State *lua,
	int status, uint32_t budget_us, struct hw_err *err);

/* ---- lua_coverage.c ---- */
void hw_lua_cover(lua_State *lua); /* notes the lines that run in env->coverage */

/* ---- lua_sandbox.c ---- */
int hw_lua_sandbox_open(lua_State *lua); /* lua_CFunction: builds state->globals */
void hw_lua_push_env(lua_State *lua);    /* a fresh environment for one chunk or module */
/** Replaces the table on top by one that reads the same and cannot be changed. */
void hw_lua_make_readonly(lua_State *lua);
/** The same for the table and all tables in it (as hw_lua_push_json makes them). */
void hw_lua_make_deep_readonly(lua_State *lua);
/** If the table at @index is such a one, pushes what is behind it and returns true. */
bool hw_lua_push_behind(lua_State *lua, int index);

/* ---- lua_format.c, lua_time.c ---- */
int hw_lua_string_format(lua_State *lua);
void hw_lua_push_os(lua_State *lua);           /* time, date, clock */
void hw_lua_push_time(lua_State *lua);         /* ctx.time */
void hw_lua_push_json_library(lua_State *lua); /* json: encode, decode, null, array */

/* ---- lua_api.c: what a policy answers ---- */
struct hw_lua_verdict {
	enum hw_verdict verdict;
	const char *code;
	/* strings and tables live as long as the verdict's user value 1, a table that has them by
	 * these names */
	struct hw_str message;
	struct hw_str user_id, tenant_id;
	int64_t expires_at;
	bool has_expires_at, act_as, has_claims, has_tenants;
};
void hw_lua_api_open(lua_State *lua); /* adds the constructors to the table on top */
/** The verdict at @index if a constructor made it, else NULL. */
const struct hw_lua_verdict *hw_lua_to_verdict(lua_State *lua, int index);
/** Raises "unknown key 'x' in WHERE (did you mean 'y'?)". */
int hw_lua_unknown_key(lua_State *lua, const char *key, const char *where, const char *const *known,
	size_t n_known);

/* ---- entry_lua.c: an entry as a bench runs it ---- */
struct hw_lua_every;
struct hw_entry_state {
	struct hw_hook_bench *bench;
	size_t index; /* in the bench */
	struct hw_lua_entry *entry;
	struct hw_lua_state *own;   /* a global entry's, a shadow's */
	struct hw_list asked;       /* tasks of questions that wait, hw_lua_task.asked */
	struct hw_lua_every *every; /* its timers, entry->n_every: lua_every.c */
	char *saved;                /* what save gave, for the next state: JSON; NULL: nothing */
};
struct hw_lua_state **hw_lua_slot(struct hw_entry_state *es);
/** The entry's chunk in its state, both made if need be. */
HW_MUST_CHECK enum hw_lua_outcome hw_lua_ready(struct hw_entry_state *es, struct hw_guard *guard,
	struct hw_lua_chunk **out, struct hw_err *err);
/** The chunk, if it is there. */
struct hw_lua_chunk *hw_lua_find_chunk(
	struct hw_lua_state *state, const struct hw_lua_entry *entry);
/** A task of @chunk with the entry's budget. */
HW_MUST_CHECK enum hw_lua_outcome hw_lua_entry_task(struct hw_entry_state *es,
	struct hw_guard *guard, struct hw_lua_chunk *chunk, struct hw_lua_task **out,
	struct hw_err *err);
/** What a failure (not OK) does to the state and says to the chain. */
enum hw_verdict hw_lua_fail(struct hw_entry_state *es, enum hw_lua_outcome outcome,
	const struct hw_err *err, struct hw_entry_answer *answer);

/* ---- lua_every.c ---- */
/** Takes the list on top, a policy's "every", and pops it. */
void hw_lua_take_every(lua_State *lua, struct hw_lua_chunk *chunk);
HW_MUST_CHECK int hw_lua_every_attach(struct hw_entry_state *es);
void hw_lua_every_detach(struct hw_entry_state *es);
void hw_lua_every_inherit(struct hw_entry_state *es, const struct hw_entry_state *from);

/* ---- lua_keep.c: what outlives a state, and the end of idle ones ---- */
/** Asks save, if the policy has it and is loaded, and keeps the answer in es->saved. */
void hw_lua_save(struct hw_entry_state *es);
/** A chunk was loaded: gives it what is kept, once. */
enum hw_lua_outcome hw_lua_restore(struct hw_entry_state *es, struct hw_guard *guard,
	struct hw_lua_chunk *chunk, struct hw_err *err);
/** A state was made in es's slot. */
void hw_lua_idle_start(struct hw_entry_state *es);
void hw_lua_idle_stop(struct hw_lua_state *state);

/* ---- lua_policy.c ---- */
int hw_lua_policy(lua_State *lua);
/** Compiles and runs the file of the chunk given as light userdata in an environment of its own. */
int hw_lua_load_chunk(lua_State *lua);
int hw_lua_require(lua_State *lua);
/** Reads @folder/@name.lua. 0 or negative errno. Not in the sandbox: allocates with malloc. */
HW_MUST_CHECK int hw_lua_module_read(
	const char *folder, const char *name, struct hw_lua_module **out);
void hw_lua_modules_free(struct hw_lua_module **modules);
/* "authenticate", "authorize.subscribe", … */
extern const char *const hw_lua_function_names[HW_LUA_N_FUNCTIONS];

/* ---- lua_ctx.c ---- */
void hw_lua_push_ctx(lua_State *lua, struct hw_lua_chunk *chunk);
/** The tenant that the running code works for; empty if none is known. */
struct hw_str hw_lua_running_tenant(const struct hw_lua_state *state);
int hw_lua_print(lua_State *lua);

/* ---- lua_crypto.c, lua_jwt.c, lua_dict.c: each pushes its table; lua_publish.c ---- */
void hw_lua_push_crypto(lua_State *lua);
void hw_lua_push_jwt(lua_State *lua, bool has_keys);
void hw_lua_push_dict(lua_State *lua);
int hw_lua_publish(lua_State *lua);
int hw_lua_reauthorize(lua_State *lua);
int hw_lua_metric(lua_State *lua);

/* ---- lua_session.c ---- */
void hw_lua_push_session(lua_State *lua, const struct hw_who *who);

/* ---- lua_audience.c ---- */
struct hw_lua_question;
/** Takes the table on top, a policy's "reads", and pops it. */
void hw_lua_take_reads(lua_State *lua, struct hw_lua_chunk *chunk);
/** Raises if something is read by a function that the policy does not have. */
void hw_lua_check_reads(lua_State *lua, const struct hw_lua_chunk *chunk);
/** Pushes the table in which @stage finds what it declares, and which raises for all else. */
void hw_lua_push_audience(lua_State *lua, const struct hw_audience *audience, const char *stage);
/** What filter returned is on top. */
int hw_lua_finish_filter(lua_State *lua, struct hw_lua_question *q);

/* ---- lua_call.c ---- */
/* One question to one function, run by hw_lua_call (a lua_CFunction whose argument is the task that
 * has this). It may wait in between: @ask has to live until it has ended.
 * What it leaves on the stack are the strings and tables that the pointers below point into. */
struct hw_lua_question {
	struct hw_lua_chunk *chunk;
	enum hw_lua_function function;
	const struct hw_ask *ask;
	/* out */
	struct hw_lua_verdict verdict;
	struct hw_str claims; /* JSON, p NULL: none */
	struct hw_str event;  /* p NULL: unchanged */
	size_t n_tenants;     /* of the list of strings at stack index HW_LUA_TENANTS */
};
/* hw_lua_call's results: the list of tenants or nil, then what else the pointers point into */
#define HW_LUA_N_RESULTS 3
#define HW_LUA_TENANTS 1
int hw_lua_call(lua_State *lua);
