#include "hook/lua_internal.h"

#include "hook/lua_task.h"
#include "hook/lua_value.h"

/* ctx: what a policy may use of the broker. Its functions that write, lock or allocate outside of
 * the arena do so in a host section, with everything they need of Lua's taken out before. */

/* ---- log ---- */

#define MAX_LINE 1024

struct hw_str hw_lua_running_tenant(const struct hw_lua_state *state)
{
	if (state->ask)
		return hw_ask_tenant(state->ask, &state->running->entry->base);
	return hw_str_of(state->task ? state->task->tenant : state->tenant);
}

static void write_line(struct hw_lua_state *state, enum hw_log_level level, struct hw_str text)
{
	struct hw_hook_env *env = state->env;

	if (hw_rate_take(&state->log_rate, 1, hw_clock_mono_ms(env->clock) * 1000) != 0) {
		state->n_log_lost++;
		return;
	}
	hw_log(env->log, level, "hook", "policy", HW_F_Z("hook", state->running->entry->base.name),
		HW_F_STR("tenant", hw_lua_running_tenant(state)), HW_F_STR("text", text),
		HW_F_SOME("unlogged", state->n_log_lost));
	state->n_log_lost = 0;
}

/* Joins all arguments with spaces, as print would say them. */
static int log_at(lua_State *lua, enum hw_log_level level)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	int n = lua_gettop(lua);
	struct hw_lua_text text;
	const char *p;
	size_t len;

	if (hw_lua_is_trial(lua) || !hw_log_on(state->env->log, level))
		return 0;
	luaL_checkstack(lua, 4, NULL);
	hw_lua_text_init(&text, lua, 128);
	for (int i = 1; i <= n && text.len < MAX_LINE; i++) {
		p = luaL_tolstring(lua, i, &len);
		if (i > 1)
			hw_lua_text_char(&text, ' ');
		hw_lua_text_add(&text, p, len < MAX_LINE ? len : MAX_LINE);
		lua_pop(lua, 1);
	}
	hw_lua_host_begin(lua);
	write_line(state, level, (struct hw_str){text.data, text.len});
	hw_lua_host_end(lua);
	return 0;
}

static int log_debug(lua_State *lua)
{
	return log_at(lua, HW_LOG_DEBUG);
}

static int log_info(lua_State *lua)
{
	return log_at(lua, HW_LOG_INFO);
}

static int log_warn(lua_State *lua)
{
	return log_at(lua, HW_LOG_WARN);
}

static int log_error(lua_State *lua)
{
	return log_at(lua, HW_LOG_ERROR);
}

int hw_lua_print(lua_State *lua)
{
	return log_at(lua, HW_LOG_INFO);
}

/* ---- ctx ---- */

static void set_library(lua_State *lua, const char *name)
{
	hw_lua_make_readonly(lua);
	lua_setfield(lua, -2, name);
}

void hw_lua_push_ctx(lua_State *lua, struct hw_lua_chunk *chunk)
{
	static const luaL_Reg logs[] = {{"debug", log_debug}, {"info", log_info},
		{"warn", log_warn}, {"error", log_error}, {NULL, NULL}};

	lua_createtable(lua, 0, 14);
	hw_lua_push_json(lua, hw_str_of(chunk->entry->config));
	hw_lua_make_deep_readonly(lua);
	lua_setfield(lua, -2, "config");
	lua_pushboolean(lua, chunk->entry->base.shadow);
	lua_setfield(lua, -2, "shadow");
	lua_newtable(lua);
	lua_setfield(lua, -2, "state");
	luaL_newlib(lua, logs);
	set_library(lua, "log");
	hw_lua_push_crypto(lua);
	set_library(lua, "crypto");
	hw_lua_push_jwt(lua, chunk->entry->keys != NULL);
	set_library(lua, "jwt");
	hw_lua_push_dict(lua);
	set_library(lua, "dict");
	lua_pushcfunction(lua, hw_lua_publish);
	lua_setfield(lua, -2, "publish");
	lua_pushcfunction(lua, hw_lua_reauthorize);
	lua_setfield(lua, -2, "reauthorize");
	lua_pushcfunction(lua, hw_lua_metric);
	lua_setfield(lua, -2, "metric");
	hw_lua_push_time(lua);
	set_library(lua, "time");
	hw_lua_push_http(lua);
	set_library(lua, "http");
	lua_pushcfunction(lua, hw_lua_sleep);
	lua_setfield(lua, -2, "sleep");
	lua_rawgeti(lua, LUA_REGISTRYINDEX, hw_lua_of(lua)->globals);
	lua_getfield(lua, -1, "json");
	lua_setfield(lua, -3, "json");
	lua_pop(lua, 1);
	hw_lua_make_readonly(lua);
}
