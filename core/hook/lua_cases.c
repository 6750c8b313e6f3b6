#include "hook/cases.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hook/lua_internal.h"
#include "hook/lua_value.h"

#define LOAD_US 1000000
#define MEMORY_BYTES (64u << 20)
#define NAME_MAX_BYTES 60 /* what liblua shows of a file's name */

struct reading {
	const char *chunk_name;
	struct hw_str source;
};

/* case { … }: remembers in its upvalue where it was called, and gives the table back. */
static int note_case(lua_State *lua)
{
	lua_Debug at = {0};

	luaL_checktype(lua, 1, LUA_TTABLE);
	lua_settop(lua, 1);
	if (lua_getstack(lua, 1, &at))
		lua_getinfo(lua, "l", &at);
	lua_pushvalue(lua, 1);
	lua_pushinteger(lua, at.currentline > 0 ? at.currentline : 0);
	lua_rawset(lua, lua_upvalueindex(1));
	return 1;
}

/* A policy's environment without what is only for policies; the table of lines is at @lines. */
static void push_cases_env(lua_State *lua, int lines)
{
	static const char *const not_here[] = {
		"policy", "print", "require", "allow", "deny", "defer", "unavailable"};

	hw_lua_push_env(lua);
	for (size_t i = 0; i < HW_COUNT(not_here); i++) {
		lua_pushnil(lua);
		lua_setfield(lua, -2, not_here[i]);
	}
	lua_pushvalue(lua, lines);
	lua_pushcclosure(lua, note_case, 1);
	lua_setfield(lua, -2, "case");
}

/* The table at @list: its cases into the one at @cases, what has a name into the one at @file. */
static void sort_out(lua_State *lua, int list, int lines, int cases, int file)
{
	lua_Integer n = (lua_Integer)lua_rawlen(lua, list);

	for (lua_Integer i = 1; i <= n; i++) {
		lua_createtable(lua, 0, 2);
		lua_rawgeti(lua, list, i);
		lua_pushvalue(lua, -1);
		if (lua_rawget(lua, lines) == LUA_TNIL)
			luaL_error(lua, "element %d of the list is not made by case { … }", (int)i);
		lua_setfield(lua, -3, "line");
		lua_setfield(lua, -2, "case");
		lua_rawseti(lua, cases, i);
	}
	lua_pushnil(lua);
	while (lua_next(lua, list)) {
		if (lua_type(lua, -2) == LUA_TSTRING) {
			lua_pushvalue(lua, -2);
			lua_insert(lua, -2);
			lua_rawset(lua, file);
		} else {
			lua_pop(lua, 1);
		}
	}
}

static int read_cases(lua_State *lua)
{
	const struct reading *r = lua_touserdata(lua, 1);
	struct hw_lua_text text;
	enum { LINES = 1, CHUNK, OUT, CASES, FILE_MEMBERS };

	lua_settop(lua, 0);
	lua_newtable(lua);
	if (luaL_loadbufferx(lua, r->source.p, r->source.len, r->chunk_name, "t") != LUA_OK)
		return lua_error(lua);
	push_cases_env(lua, LINES);
	lua_setupvalue(lua, CHUNK, 1);
	lua_call(lua, 0, 1); /* the list takes the chunk's place */
	if (lua_type(lua, CHUNK) != LUA_TTABLE)
		return luaL_error(lua, "%s: the file must end with: return { case { … }, … }",
			r->chunk_name + 1);
	lua_newtable(lua);
	lua_newtable(lua);
	hw_lua_mark_array(lua, CASES);
	lua_newtable(lua);
	sort_out(lua, CHUNK, LINES, CASES, FILE_MEMBERS);
	lua_setfield(lua, OUT, "file");
	lua_setfield(lua, OUT, "cases");
	hw_lua_text_init(&text, lua, 4096);
	hw_lua_encode(&text, OUT);
	hw_lua_text_push(&text);
	return 1;
}

static int read_guarded(struct hw_hook_env *env, struct hw_guard *guard, struct reading *reading,
	struct hw_buf *out, struct hw_err *err)
{
	struct hw_lua_state *state = NULL;
	enum hw_lua_outcome outcome =
		hw_lua_state_create(guard, env, "", MEMORY_BYTES, LOAD_US, &state, err);
	struct hw_str text;

	if (outcome == HW_LUA_OK)
		outcome = hw_lua_run(state, guard, LOAD_US, read_cases, reading, 1, err);
	if (outcome == HW_LUA_OK) {
		text.p = lua_tolstring(hw_lua_raw(state), -1, &text.len);
		hw_buf_str(out, text);
	}
	hw_lua_state_destroy(&state);
	if (outcome == HW_LUA_OK && out->failed)
		return hw_err_set(err, -ENOMEM, "out of memory");
	return outcome == HW_LUA_OK ? 0 : -EINVAL;
}

int hw_hook_cases_read(struct hw_hook_env *env, const char *name, struct hw_str source,
	struct hw_buf *out, struct hw_err *err)
{
	struct hw_guard *guard = hw_guard_current();
	size_t len = strlen(name);
	char chunk_name[NAME_MAX_BYTES];
	struct reading reading = {.chunk_name = chunk_name, .source = source};
	int rc;

	if (!guard)
		return hw_err_set(err, -EINVAL, "this thread has not entered the watchdog");
	snprintf(chunk_name, sizeof(chunk_name), "@%s",
		len + 2 > sizeof(chunk_name) ? name + len + 2 - sizeof(chunk_name) : name);
	rc = read_guarded(env, guard, &reading, out, err);
	if (rc == -EINVAL && strncmp(err->text, chunk_name + 1, strlen(chunk_name + 1)) != 0)
		hw_err_prefix(err, "%s", chunk_name + 1);
	return rc;
}
