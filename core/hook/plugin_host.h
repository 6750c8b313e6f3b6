/* Inside core/hook: the broker's side of the table that plugins call, and what hides behind a host
 * and a call. One host per entry, so that a log line or a metric names the one that spoke. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/map.h"
#include "hook/counters.h"
#include "hook/entry_internal.h"
#include "hook/publish.h"
#include "hook/reauth.h"

struct hw_plugin_wait; /* a suspended call: plugin_wait.c */
struct hw_store;

struct hw_plugin_host {
	struct hw_host host; /* what the plugin sees; first */
	struct hw_hook_env *env;
	struct hw_hook_entry *entry;   /* its own; NULL while it loads */
	const struct hw_plugin *table; /* the entry's */
	void *instance;                /* the plugin's, once loaded */
	const char *hook_name;         /* the entry's */
	const char *config_file;       /* while it loads: the file that names it, or NULL */
	const char *plugin_name;       /* the table's */
	struct hw_hook_counters counters;
	pthread_mutex_t lock;   /* of what follows, and of struct hw_plugin_job's seats */
	struct hw_map waits;    /* ticket -> struct hw_plugin_wait that nobody has finished yet */
	struct hw_store *store; /* NULL: it provides no journal */
};

/** The name and the table are borrowed for the host's life. 0 or negative errno. */
HW_MUST_CHECK int hw_plugin_host_init(struct hw_plugin_host *host, struct hw_hook_env *env,
	const char *hook_name, const struct hw_plugin *table);
void hw_plugin_host_fini(struct hw_plugin_host *host);

/** plugin_audience.c: the host's function "audience". */
int hw_plugin_audience(struct hw_call *call, const char *name, char *kind, struct hw_slice *value,
	char *scratch, size_t scratch_size);
/* A plugin on one bench: what the chain keeps of it. The worker's own. */
struct hw_plugin_seat {
	struct hw_plugin_host *host;
	struct hw_hook_inbox *inbox; /* NULL: the worker has none: no call waits, no timer fires */
	const char *tenant;          /* the bench's, borrowed */
	const char *space;           /* likewise: of the values that it shares with others */
	void *state;                 /* the plugin's, from worker_init */
	struct hw_list waits;        /* struct hw_plugin_wait.link */
	struct hw_list timers;       /* struct hw_plugin_timer.link */
	struct hw_list jobs;         /* struct hw_plugin_job.link: not done yet */
	bool trial;                  /* the bench's */
	unsigned n_waits, n_timers;
	uint64_t last_timer; /* the number that was given last */
	struct hw_publish_quota published;
	struct hw_reauth_quota reauths;
};

/* One call, and where its answer goes. */
struct hw_plugin_call {
	struct hw_call call; /* what the plugin sees; first */
	struct hw_plugin_seat *seat;
	struct hw_ask *ask; /* NULL: nothing is asked, so that nothing is answered */
	struct hw_entry_answer *answer;
	enum hw_hook_stage stage;
	const struct hw_audience *audience; /* FILTER, REDACT */
	bool publish;                       /* AUTHORIZE(PUBLISH) */
	bool global;
	unsigned depth;  /* of what led to it: hook/publish.h */
	bool undeclared; /* it read what it does not declare; answer->detail says what */
	bool failed;     /* a setter could not do what was asked: the answer is not whole */
	struct hw_plugin_wait *wait; /* it was suspended */
	struct hw_buf *kept;         /* inside of save: where it goes */
};

static inline struct hw_str hw_plugin_str(struct hw_slice s)
{
	return (struct hw_str){s.p, s.len};
}
static inline struct hw_plugin_host *hw_plugin_host_of(const struct hw_host *host)
{
	return (struct hw_plugin_host *)(uintptr_t)host;
}
static inline struct hw_plugin_call *hw_plugin_call_of(struct hw_call *call)
{
	return (struct hw_plugin_call *)call;
}

/* ---- plugin_host.c ---- */
/** Makes an answer of what a plugin says in one piece, as the setters would; @c->failed tells that
 * they refused. */
void hw_plugin_take_answer(struct hw_plugin_call *c, const struct hw_answer *said);
/** What the plugin's verdict counts as. */
enum hw_verdict hw_plugin_verdict(struct hw_plugin_call *c, enum hw_verdict verdict);

/* ---- plugin_wait.c ---- */
uint64_t hw_plugin_suspend(struct hw_call *call, uint32_t timeout_ms);
int hw_plugin_finish(const struct hw_host *host, uint64_t ticket, const struct hw_answer *answer);
/** The hook has answered HW_PENDING: from now on the deadline counts. */
void hw_plugin_wait_begin(struct hw_plugin_wait *wait);
/** Its ticket is void. */
void hw_plugin_wait_discard(struct hw_plugin_wait *wait);
/** The one that @ask waits for; NULL: none. */
struct hw_plugin_wait *hw_plugin_wait_find(struct hw_plugin_seat *seat, const struct hw_ask *ask);

/* ---- plugin_seat.c ---- */
/** worker_init, worker_start. 0, -ENOMEM, -EIO: the plugin refuses. */
HW_MUST_CHECK int hw_plugin_seat_create(
	struct hw_plugin_host *host, struct hw_hook_bench *bench, struct hw_plugin_seat **out);
/** Takes over what the state of a former entry keeps, if both want that. */
void hw_plugin_seat_inherit(struct hw_plugin_seat *seat, struct hw_plugin_seat *former);
/** No call of it waits any more. */
void hw_plugin_seat_destroy(struct hw_plugin_seat **seat);
/** A call that answers nothing: of a timer, of work that is done, which a call of @depth led to.
 * @answer: where what it sets
 * nevertheless is refused; the caller's, to fini. */
void hw_plugin_call_init(struct hw_plugin_call *c, struct hw_plugin_seat *seat,
	struct hw_entry_answer *answer, unsigned depth);
int hw_plugin_publish(struct hw_call *call, struct hw_slice event_json);
int hw_plugin_reauth(struct hw_call *call, struct hw_slice user_id, struct hw_slice topic);
int hw_plugin_keep(struct hw_call *call, struct hw_slice state);

/* ---- plugin_timer.c ---- */
uint64_t hw_plugin_timer(struct hw_call *call, int64_t after_ms,
	void (*fire)(struct hw_call *call, void *arg), void *arg);
int hw_plugin_timer_cancel(struct hw_call *call, uint64_t timer);
void hw_plugin_timers_end(struct hw_plugin_seat *seat);

/* ---- plugin_offload.c ---- */
int hw_plugin_offload(struct hw_call *call,
	void (*work)(const struct hw_host *host, void *instance, void *arg),
	void (*done)(struct hw_call *call, void *arg), void *arg);
void hw_plugin_jobs_end(struct hw_plugin_seat *seat);

/* ---- entry_plugin.c ---- */
/** The host of a plugin's entry; NULL: it is none. */
struct hw_plugin_host *hw_entry_plugin_host(struct hw_hook_entry *entry);
/** Unloads the instance while the entry is still there; it is in no chain. */
void hw_entry_plugin_unload(struct hw_hook_entry *entry);

/* ---- store.c: as the host's table says ---- */
int hw_plugin_journal_committed(const struct hw_host *host, uint64_t ticket, uint64_t first_number);
int hw_plugin_journal_failed(const struct hw_host *host, uint64_t ticket);
int hw_plugin_journal_rows(
	const struct hw_host *host, uint64_t ticket, const struct hw_journal_rows *rows);

/* ---- plugin_dict.c, plugin_crypto.c: as the host's table says ---- */
int hw_plugin_dict_get(
	struct hw_call *call, struct hw_slice key, char *value, size_t size, size_t *len);
int hw_plugin_dict_set(
	struct hw_call *call, struct hw_slice key, struct hw_slice value, int64_t ttl_ms);
int hw_plugin_dict_add(
	struct hw_call *call, struct hw_slice key, struct hw_slice value, int64_t ttl_ms);
int hw_plugin_dict_incr(
	struct hw_call *call, struct hw_slice key, int64_t add, int64_t ttl_ms, int64_t *value);
int hw_plugin_dict_cas(struct hw_call *call, struct hw_slice key, struct hw_slice expected,
	struct hw_slice value, int64_t ttl_ms);
int hw_plugin_dict_delete(struct hw_call *call, struct hw_slice key);
void hw_plugin_sha256(struct hw_slice data, uint8_t out[32]);
void hw_plugin_hmac_sha256(struct hw_slice key, struct hw_slice data, uint8_t out[32]);
int hw_plugin_equal(struct hw_slice a, struct hw_slice b);
int hw_plugin_jwt_keys_create(const struct hw_host *host, struct hw_slice keys_json,
	struct hw_jwt_keys **out, struct hw_problem *problem);
int hw_plugin_jwt_verify(const struct hw_jwt_keys *keys, struct hw_slice token,
	const struct hw_jwt_rules *rules, int64_t now_ms, struct hw_jwt_result *result);
void hw_plugin_jwt_release(struct hw_jwt_result *result);
int hw_plugin_jwt_sign(const char *alg, struct hw_slice key, struct hw_slice kid,
	struct hw_slice claims, char *token, size_t size, size_t *len, struct hw_problem *problem);
