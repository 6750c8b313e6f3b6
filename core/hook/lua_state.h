/* One sandboxed lua_State in an arena of its own: made, run under a guard with a budget, dropped
 * whole. entry_lua.c decides who has which state; what a script sees is in lua_sandbox.c,
 * lua_api.c and lua_ctx.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "base/err.h"
#include "base/str.h"
#include "hook/guard_internal.h"

struct hw_hook_env;
struct hw_lua_state;

enum hw_lua_outcome {
	HW_LUA_OK,
	HW_LUA_FAILED, /* an error of the script; the state goes on */
	HW_LUA_SPENT,  /* its CPU time; destroy the state */
	HW_LUA_FULL,   /* its memory, or there was none for the state; destroy the state */
	HW_LUA_LATE,   /* of a task: its deadline has passed */
	HW_LUA_GONE,   /* of a task: its state was ended by another call */
	HW_LUA_WAITS,  /* only of a task (lua_task.h): it goes on later */
};

/** Makes a state of @memory_bytes for @tenant (borrowed for its life, "" = none) with the sandbox
 *  in place, within @budget_us. HW_LUA_OK and *@out, or an outcome with @err filled and nothing
 *  to destroy. */
HW_MUST_CHECK enum hw_lua_outcome hw_lua_state_create(struct hw_guard *guard,
	struct hw_hook_env *env, const char *tenant, size_t memory_bytes, uint32_t budget_us,
	struct hw_lua_state **out, struct hw_err *err);
/** Unmaps the arena; nothing of the script runs any more. Tasks that wait are ended: at once those
 * that nobody asked, by a timer those that somebody did (lua_task.h). */
void hw_lua_state_destroy(struct hw_lua_state **state);

/** Runs @fn in the state's protected mode under the guard, with @arg as light userdata at index 1
 *  and an otherwise empty stack. HW_LUA_OK: its @n_results results (or LUA_MULTRET) are on the
 *  stack, to be popped by the caller; else the stack is empty and @err says why, as Lua says it
 *  ("policies/family.lua:12: …"). */
HW_MUST_CHECK enum hw_lua_outcome hw_lua_run(struct hw_lua_state *state, struct hw_guard *guard,
	uint32_t budget_us, lua_CFunction fn, void *arg, int n_results, struct hw_err *err);

lua_State *hw_lua_raw(struct hw_lua_state *state);          /* for reading results */
size_t hw_lua_state_used(const struct hw_lua_state *state); /* bytes of its arena */
