/* What other threads have for a worker's hooks: answers to calls that wait, work that is done. And
 * what its hooks need of the worker: its timers, and to be woken. core/hook knows no loop: who has
 * one opens the inbox and empties it in each turn. Without one hooks decide as ever, but no call
 * waits. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/timers.h"
#include "hook/hooks.h"

#define HW_HOOK_INBOXES_MAX 64 /* workers */

/* Something to do on the worker, outside of any call. Embedded in what it is about. */
struct hw_mail {
	struct hw_list link;
	void (*run)(struct hw_mail *mail); /* may free it */
};

/** Publishes what a hook wants published, on its worker and outside of any call. @event: valid by
 * hw_event_parse; @by: the hook's name; @depth: 1 for what a client's question led to, one more for
 * what the hooks on its way lead to. All borrowed. */
typedef void hw_hook_publish_fn(
	void *arg, struct hw_str tenant, struct hw_str event, const char *by, unsigned depth);

/** Authorizes the worker's sessions of @tenant again: of a user (empty: of all), that follow a
 * topic (empty: any). */
typedef void hw_hook_reauth_fn(
	void *arg, struct hw_str tenant, struct hw_str user_id, struct hw_str topic);

struct hw_hook_inbox {
	struct hw_hook_env *env;
	unsigned worker;
	/* publish.c's, the worker's own */
	struct hw_list publishes;
	uint64_t turn;
	hw_hook_publish_fn *publish; /* NULL: nothing can be published */
	void *publish_arg;
	hw_hook_reauth_fn *reauth; /* the worker's own too; NULL: nobody does it */
	void *reauth_arg;
	/* the worker's own */
	struct hw_timers *timers;
	struct hw_list shadows; /* questions that are due: shadow.c's */
	struct hw_timer shadow_turn;
	/* under the lock */
	pthread_mutex_t lock;
	struct hw_list mails;
	void (*wake)(void *arg); /* NULL: closed */
	void *wake_arg;
	atomic_bool any; /* written under the lock, read without */
};

/** Before the worker's first bench is made. @wake is called by any thread, and not again once the
 * inbox is closed. @timers: the worker's. 0, -ENOMEM, or -ERANGE: too many workers. */
HW_MUST_CHECK int hw_hook_inbox_open(struct hw_hook_env *env, unsigned worker,
	struct hw_timers *timers, void (*wake)(void *arg), void *arg);
/** How events of hooks are published; without, hooks are told that they cannot. */
void hw_hook_inbox_on_publish(
	struct hw_hook_env *env, unsigned worker, hw_hook_publish_fn *publish, void *arg);
/** Who does what hw_hook_reauth asks for, on this worker. */
void hw_hook_inbox_on_reauth(
	struct hw_hook_env *env, unsigned worker, hw_hook_reauth_fn *reauth, void *arg);
/** After its last bench is gone. Harmless when it is not open. */
void hw_hook_inbox_close(struct hw_hook_env *env, unsigned worker);
/** On the worker: false once it is being closed, when what is left only frees itself. */
bool hw_hook_inbox_is_open(const struct hw_hook_env *env, unsigned worker);
/** The worker's, in its turn: does what is there now, not what comes by that. */
void hw_hook_inbox_run(struct hw_hook_env *env, unsigned worker);
/** Is there anything? Pairs with wake as struct hw_loop_ops.has_work wants it. */
bool hw_hook_inbox_has(const struct hw_hook_env *env, unsigned worker);

/** Any thread: has @mail run on the worker in its next turn. false: the inbox is closed, and it was
 * not taken. */
HW_MUST_CHECK bool hw_hook_inbox_offer(
	struct hw_hook_env *env, unsigned worker, struct hw_mail *mail);

/* ---- inside core/hook ---- */

/** The worker's, NULL when it is not open. Lives as the environment. */
struct hw_hook_inbox *hw_hook_inbox_of(const struct hw_hook_env *env, unsigned worker);
/** Any thread. */
void hw_inbox_post(struct hw_hook_inbox *inbox, struct hw_mail *mail);
/** Likewise, but false when it is closed: then it was not taken. */
HW_MUST_CHECK bool hw_inbox_offer(struct hw_hook_inbox *inbox, struct hw_mail *mail);
/** The worker's: what was posted is not to be done. Harmless when it is not in. */
void hw_inbox_take_back(struct hw_hook_inbox *inbox, struct hw_mail *mail);
void hw_inboxes_free(struct hw_hook_env *env);
