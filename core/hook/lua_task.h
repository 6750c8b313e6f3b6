/* A run of a policy's code that may wait: a coroutine of the state, pooled. Scripts have no
 * coroutines of their own, so the broker's functions alone suspend one.
 *
 *   idle --start--> running --returns, raises, is ended--> idle
 *                    |  ^
 *    ctx.sleep, http |  | the wait is over (hw_lua_task_wake): another burst
 *                    v  |
 *                  waiting --deadline, cancelled--> idle
 *                     |
 *                     +--its state is dropped--> doomed --next turn--> done
 *
 * Each burst runs under the guard with a CPU budget of its own; all bursts after the first may use
 * HW_LUA_TASK_BURSTS times that. The deadline counts from the first wait. */
#pragma once

#include "base/list.h"
#include "base/timers.h"
#include "hook/lua_internal.h"

#define HW_LUA_TASK_BURSTS 10

struct hw_lua_task {
	struct hw_list link;  /* in the state's tasks or idle_tasks */
	struct hw_list asked; /* in a list of the owner's, if it wants one */
	struct hw_lua_state *state;
	lua_State *lua;
	int ref; /* registry: keeps @lua */
	/* set by who starts it */
	struct hw_lua_question q; /* its chunk always; the rest is for hw_lua_call */
	uint32_t burst_us;
	unsigned deadline_ms, in_flight;
	/** Only after HW_LUA_WAITS: it has ended. HW_LUA_OK: results are on @lua, and the callee
	 * releases the task; FAILED, LATE, GONE: it is released already; SPENT, FULL: likewise, and
	 * the callee has to drop the state. Never from inside of another call. */
	void (*done)(struct hw_lua_task *task, enum hw_lua_outcome outcome, struct hw_err *err);
	void *owner;      /* the callee's */
	int64_t began_ns; /* of an unasked one: the call */
	unsigned depth;   /* likewise: of the ask */
	bool never_waits;
	int run_ref;                        /* lua_every.c's: the function */
	bool unasked;                       /* nobody waits for it: ends with its state at once */
	char tenant[HW_LUA_TENANT_MAX + 1]; /* of an unasked one of a global entry */
	/* while it waits */
	struct hw_timer timer; /* the deadline, or the end of a doomed one */
	struct hw_timer sleep;
	void (*cancel)(struct hw_lua_task *task); /* lets go of what it waits for, or waited for
						     last; NULL: nothing */
	void *waits_for;
	bool waiting, doomed;
	bool late;       /* has waited once: @timer's time is its deadline */
	int64_t left_us; /* of CPU time for the bursts to come */
};

/** An idle task of the state, zeroed but for what is its own. HW_LUA_OK, or an outcome with @err
 * filled. */
HW_MUST_CHECK enum hw_lua_outcome hw_lua_task_new(struct hw_lua_state *state,
	struct hw_guard *guard, struct hw_lua_task **out, struct hw_err *err);
/** Runs @fn(@task as light userdata) up to its end or first wait. HW_LUA_OK: results on task->lua,
 * release it. HW_LUA_WAITS: see done. Else it is released, @err says why. */
HW_MUST_CHECK enum hw_lua_outcome hw_lua_task_start(
	struct hw_lua_task *task, struct hw_guard *guard, lua_CFunction fn, struct hw_err *err);
/** Back to the pool; results are gone. Not a waiting one. */
void hw_lua_task_release(struct hw_lua_task *task);
/** Forgets a waiting or doomed one; done is not called. HW_LUA_OK, or SPENT or FULL: closing its
 * variables used that up, and the state has to be dropped. */
HW_MUST_CHECK enum hw_lua_outcome hw_lua_task_cancel(
	struct hw_lua_task *task, struct hw_guard *guard);
/** The state goes; see hw_lua_state_destroy. */
void hw_lua_tasks_end(struct hw_lua_state *state);

/* ---- for functions that wait, inside of the running task ---- */

/** The task, if its code may wait here; else raises an error that names @what. */
struct hw_lua_task *hw_lua_task_check(lua_State *lua, const char *what);
/** Return what this returns: the function goes on in @go_on (with task as its context) once
 * hw_lua_task_wake is called. task->cancel is set by then. */
int hw_lua_task_wait(lua_State *lua, struct hw_lua_task *task, lua_KFunction go_on);
/** What it waited for is there. From the loop, never from inside of a call. */
void hw_lua_task_wake(struct hw_lua_task *task);

/* ---- lua_wait.c ---- */
int hw_lua_sleep(lua_State *lua); /* ctx.sleep */

/* ---- lua_http.c ---- */
void hw_lua_http_open(lua_State *lua); /* once per state */
void hw_lua_push_http(lua_State *lua); /* ctx.http */
