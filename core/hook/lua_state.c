#include "hook/lua_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hook/lua_arena.h"
#include "hook/lua_internal.h"
#include "hook/lua_task.h"

#define LOG_LINES_PER_S 100

lua_State *hw_lua_raw(struct hw_lua_state *state)
{
	return state->lua;
}

size_t hw_lua_state_used(const struct hw_lua_state *state)
{
	return hw_lua_arena_used(state->arena);
}

struct run {
	lua_State *lua;
	lua_CFunction fn;
	void *arg;
	int n_results;
	int status;
};

/* The base of the stack has room for these without allocating, so nothing here can raise. */
static void run_protected(void *arg)
{
	struct run *run = arg;

	lua_pushcfunction(run->lua, run->fn);
	lua_pushlightuserdata(run->lua, run->arg);
	run->status = lua_pcall(run->lua, 1, run->n_results, 0);
}

/* Reads the error on top of the stack without allocating. */
static void say_error(lua_State *lua, struct hw_err *err)
{
	size_t len;
	const char *text;

	if (lua_type(lua, -1) != LUA_TSTRING) {
		hw_err_set(err, -EINVAL, "raised an error that is no text but a %s",
			luaL_typename(lua, -1));
		return;
	}
	text = lua_tolstring(lua, -1, &len);
	hw_err_set(err, -EINVAL, "%.*s", len > 400 ? 400 : (int)len, text);
}

enum hw_lua_outcome hw_lua_judge(struct hw_lua_state *state, enum hw_guard_end end, lua_State *lua,
	int status, uint32_t budget_us, struct hw_err *err)
{
	unsigned budget_ms = budget_us / 1000;

	if (end == HW_GUARD_JUMPED) {
		hw_err_set(err, -ETIME,
			"used more than its %u ms of CPU time and had to be torn down", budget_ms);
		return HW_LUA_SPENT;
	}
	if (end == HW_GUARD_STRUCK) {
		hw_err_set(err, -ETIME, "used more than its %u ms of CPU time", budget_ms);
		if (status == LUA_ERRRUN)
			say_error(lua, err); /* says the same, with the line */
		return HW_LUA_SPENT;
	}
	if (status == LUA_OK)
		return HW_LUA_OK;
	if (status == LUA_YIELD)
		return HW_LUA_WAITS;
	if (status == LUA_ERRMEM || state->full) {
		hw_err_set(err, -ENOMEM, "used more than its %zu KiB of memory",
			state->memory_bytes / 1024);
		return HW_LUA_FULL;
	}
	say_error(lua, err);
	return HW_LUA_FAILED;
}

enum hw_lua_outcome hw_lua_run(struct hw_lua_state *state, struct hw_guard *guard,
	uint32_t budget_us, lua_CFunction fn, void *arg, int n_results, struct hw_err *err)
{
	struct run run = {.lua = state->lua,
		.fn = fn,
		.arg = arg,
		.n_results = n_results,
		.status = LUA_ERRRUN};
	enum hw_lua_outcome outcome;
	enum hw_guard_end end;

	state->guard = guard;
	state->full = false;
	state->task = NULL;
	state->may_wait = false;
	end = hw_guard_run(guard, state->lua, budget_us, run_protected, &run);
	free(state->held);
	state->held = NULL;
	outcome = hw_lua_judge(state, end, state->lua, run.status, budget_us, err);
	if (outcome == HW_LUA_FAILED)
		lua_settop(state->lua, 0);
	return outcome;
}

/* Only what a call uses up makes it worth anything to look at the clock, and a state's first
 * moments are cheap: the collector waits until the chunks are loaded. */
static struct hw_lua_state *new_state(
	struct hw_hook_env *env, const char *tenant, size_t memory_bytes)
{
	struct hw_lua_state *state = calloc(1, sizeof(*state));

	if (!state)
		return NULL;
	state->env = env;
	state->tenant = state->space = tenant;
	state->memory_bytes = memory_bytes;
	hw_list_init(&state->tasks);
	hw_list_init(&state->idle_tasks);
	hw_quota_init(&state->http_memory, memory_bytes);
	hw_rate_init(&state->log_rate, LOG_LINES_PER_S);
	state->arena = hw_lua_arena_create(memory_bytes);
	if (state->arena)
		state->lua = lua_newstate(hw_lua_arena_alloc, state->arena);
	if (!state->lua) {
		hw_lua_state_destroy(&state);
		return NULL;
	}
	*(struct hw_lua_state **)lua_getextraspace(state->lua) = state;
	lua_atpanic(state->lua, hw_guard_panic);
	if (env->coverage)
		hw_lua_cover(state->lua);
	return state;
}

enum hw_lua_outcome hw_lua_state_create(struct hw_guard *guard, struct hw_hook_env *env,
	const char *tenant, size_t memory_bytes, uint32_t budget_us, struct hw_lua_state **out,
	struct hw_err *err)
{
	struct hw_lua_state *state = new_state(env, tenant, memory_bytes);
	enum hw_lua_outcome outcome;

	if (!state) {
		hw_err_set(err, -ENOMEM, "no memory for a Lua state");
		return HW_LUA_FULL;
	}
	outcome = hw_lua_run(state, guard, budget_us, hw_lua_sandbox_open, NULL, 0, err);
	if (outcome != HW_LUA_OK) {
		hw_lua_state_destroy(&state);
		return outcome;
	}
	*out = state;
	return HW_LUA_OK;
}

void hw_lua_state_destroy(struct hw_lua_state **state)
{
	struct hw_lua_state *s = *state;

	if (!s)
		return;
	*state = NULL; /* who is told that its task ended finds none */
	hw_lua_idle_stop(s);
	hw_lua_tasks_end(s);
	while (s->chunks) {
		struct hw_lua_chunk *chunk = s->chunks;

		s->chunks = chunk->next;
		free(chunk);
	}
	free(s->held);
	hw_lua_arena_destroy(&s->arena);
	free(s);
}
