#include "hook/lua_internal.h"

#include <string.h>

#include <lualib.h>

#include "hook/lua_event.h"
#include "hook/lua_task.h"
#include "hook/lua_value.h"
#include "hook/lua_withheld.h"

/* What a script finds in its environment. Liblua's libraries are opened into the state's true
 * globals, picked from, and the true globals thrown away: what is not named here does not exist.
 * Chunks share the functions and the library tables, which nobody can change, and nothing else. */

static const char behind_key = 0; /* in the metatable of a read-only table: the table behind it */

/* ---- read-only tables ---- */

bool hw_lua_push_behind(lua_State *lua, int index)
{
	if (lua_type(lua, index) != LUA_TTABLE || !lua_getmetatable(lua, index))
		return false;
	if (lua_rawgetp(lua, -1, &behind_key) == LUA_TTABLE) {
		lua_remove(lua, -2);
		return true;
	}
	lua_pop(lua, 2);
	return false;
}

static int readonly_newindex(lua_State *lua)
{
	if (lua_type(lua, 2) == LUA_TSTRING)
		return luaL_error(
			lua, "cannot set '%s': this table is read-only", lua_tostring(lua, 2));
	return luaL_error(lua, "this table is read-only");
}

static int readonly_len(lua_State *lua)
{
	if (!hw_lua_push_behind(lua, 1))
		return 0;
	lua_pushinteger(lua, (lua_Integer)lua_rawlen(lua, -1));
	return 1;
}

void hw_lua_make_readonly(lua_State *lua)
{
	int table = lua_gettop(lua);

	luaL_checkstack(lua, 6, NULL);
	lua_createtable(lua, 0, 0);
	lua_createtable(lua, 0, 8);
	if (hw_lua_withheld(lua))
		lua_pushcfunction(lua, hw_lua_withheld_index);
	else
		lua_pushvalue(lua, table);
	lua_setfield(lua, -2, "__index");
	lua_pushcfunction(lua, readonly_newindex);
	lua_setfield(lua, -2, "__newindex");
	lua_pushcfunction(lua, readonly_len);
	lua_setfield(lua, -2, "__len");
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_pushvalue(lua, table);
	lua_rawsetp(lua, -2, &behind_key);
	lua_setmetatable(lua, -2);
	lua_replace(lua, table);
}

void hw_lua_make_deep_readonly(lua_State *lua)
{
	int table = lua_gettop(lua);

	luaL_checkstack(lua, 8, NULL);
	lua_pushnil(lua);
	while (lua_next(lua, table)) {
		if (lua_type(lua, -1) == LUA_TTABLE) {
			hw_lua_make_deep_readonly(lua);
			lua_pushvalue(lua, -2);
			lua_insert(lua, -2);
			lua_rawset(lua, table); /* a key that exists: allowed while walking */
		} else {
			lua_pop(lua, 1);
		}
	}
	hw_lua_make_readonly(lua);
}

/* ---- basic functions that look through views and read-only tables ---- */

/* Replaces the table at @index by the one whose raw members count. */
static void see_through(lua_State *lua, int index)
{
	luaL_checktype(lua, index, LUA_TTABLE);
	hw_lua_view_fill(lua, index);
	if (hw_lua_push_behind(lua, index))
		lua_replace(lua, index);
}

static int base_next(lua_State *lua)
{
	lua_settop(lua, 2);
	see_through(lua, 1);
	while (lua_next(lua, 1)) {
		if (!hw_lua_view_hides(lua, 2)) {
			hw_lua_see_withheld(lua);
			return 2;
		}
		lua_pop(lua, 1);
	}
	lua_pushnil(lua);
	return 1;
}

static int base_pairs(lua_State *lua)
{
	luaL_checkany(lua, 1);
	if (luaL_getmetafield(lua, 1, "__pairs") == LUA_TNIL) {
		luaL_checktype(lua, 1, LUA_TTABLE);
		lua_pushcfunction(lua, base_next);
		lua_pushvalue(lua, 1);
		lua_pushnil(lua);
	} else {
		lua_pushvalue(lua, 1);
		lua_call(lua, 1, 3);
	}
	return 3;
}

static int base_rawget(lua_State *lua)
{
	luaL_checkany(lua, 2);
	lua_settop(lua, 2);
	see_through(lua, 1);
	lua_rawget(lua, 1);
	hw_lua_see_withheld(lua);
	return 1;
}

static int base_rawlen(lua_State *lua)
{
	if (lua_type(lua, 1) != LUA_TSTRING)
		see_through(lua, 1);
	lua_pushinteger(lua, (lua_Integer)lua_rawlen(lua, 1));
	return 1;
}

static int base_rawset(lua_State *lua)
{
	luaL_checkany(lua, 3);
	lua_settop(lua, 3);
	luaL_checktype(lua, 1, LUA_TTABLE);
	if (hw_lua_push_behind(lua, 1))
		return luaL_error(lua, "this table is read-only");
	hw_lua_view_fill(lua, 1);
	lua_rawset(lua, 1);
	return 1;
}

static int base_setmetatable(lua_State *lua)
{
	luaL_checktype(lua, 1, LUA_TTABLE);
	luaL_argexpected(lua, lua_isnil(lua, 2) || lua_istable(lua, 2), 2, "nil or table");
	lua_settop(lua, 2);
	hw_lua_view_fill(lua, 1);
	if (luaL_getmetafield(lua, 1, "__metatable") != LUA_TNIL)
		return luaL_error(lua, "cannot change a protected metatable");
	if (lua_istable(lua, 2)) {
		/* A finalizer runs where no hook stops it. An object is marked for one only here:
		 * later is too late. */
		lua_pushliteral(lua, "__gc");
		if (lua_rawget(lua, 2) != LUA_TNIL)
			return luaL_error(lua, "__gc is not available to a policy");
		lua_pop(lua, 1);
	}
	lua_settop(lua, 2);
	lua_setmetatable(lua, 1);
	return 1;
}

/* As liblua's, but being ended for its CPU time or memory is nothing that a script can catch. */
static int pcall_done(lua_State *lua, int status, lua_KContext context)
{
	struct hw_lua_state *state = hw_lua_of(lua);

	(void)context;
	if (status == LUA_OK || status == LUA_YIELD) {
		lua_pushboolean(lua, 1);
		lua_insert(lua, 1);
		return lua_gettop(lua);
	}
	if (status == LUA_ERRMEM)
		state->full = true;
	if (status == LUA_ERRMEM || hw_guard_is_struck(state->guard))
		return lua_error(lua);
	lua_pushboolean(lua, 0);
	lua_insert(lua, -2);
	return 2;
}

static int base_pcall(lua_State *lua)
{
	luaL_checkany(lua, 1);
	return pcall_done(
		lua, lua_pcallk(lua, lua_gettop(lua) - 1, LUA_MULTRET, 0, 0, pcall_done), 0);
}

/* ---- the environment ---- */

static const char *const base_names[] = {"assert", "error", "getmetatable", "ipairs", "rawequal",
	"select", "tonumber", "tostring", "type", "_VERSION"};

static const luaL_Reg base_own[] = {
	{"next", base_next},
	{"pairs", base_pairs},
	{"pcall", base_pcall},
	{"print", hw_lua_print},
	{"rawget", base_rawget},
	{"rawlen", base_rawlen},
	{"rawset", base_rawset},
	{"require", hw_lua_require},
	{"setmetatable", base_setmetatable},
	{"policy", hw_lua_policy},
	{NULL, NULL},
};

static const char *const string_names[] = {"byte", "char", "find", "gmatch", "gsub", "len", "lower",
	"match", "pack", "packsize", "rep", "reverse", "sub", "unpack", "upper"};
static const char *const table_names[] = {
	"concat", "insert", "move", "pack", "remove", "sort", "unpack"};

/* Copies the named members of the table on top into a new one, which takes its place. */
static void pick(lua_State *lua, const char *const *names, size_t n)
{
	lua_createtable(lua, 0, (int)n + 1);
	for (size_t i = 0; i < n; i++) {
		lua_getfield(lua, -2, names[i]);
		lua_setfield(lua, -2, names[i]);
	}
	lua_remove(lua, -2);
}

/* Strings find their methods through a metatable that belongs to the whole state. */
static void open_string(lua_State *lua)
{
	luaL_requiref(lua, LUA_STRLIBNAME, luaopen_string, 0);
	pick(lua, string_names, HW_COUNT(string_names));
	lua_pushcfunction(lua, hw_lua_string_format);
	lua_setfield(lua, -2, "format");
	lua_pushliteral(lua, "");
	lua_getmetatable(lua, -1);
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_pushvalue(lua, -3);
	lua_setfield(lua, -2, "__index");
	lua_pop(lua, 2);
}

/* Adds what is on top to the table below it, read-only. */
static void add_library(lua_State *lua, const char *name)
{
	hw_lua_make_readonly(lua);
	lua_setfield(lua, -2, name);
}

static void open_libraries(lua_State *lua)
{
	open_string(lua);
	add_library(lua, "string");
	luaL_requiref(lua, LUA_TABLIBNAME, luaopen_table, 0);
	pick(lua, table_names, HW_COUNT(table_names));
	add_library(lua, "table");
	luaL_requiref(lua, LUA_MATHLIBNAME, luaopen_math, 0); /* all of math and utf8 is harmless */
	add_library(lua, "math");
	luaL_requiref(lua, LUA_UTF8LIBNAME, luaopen_utf8, 0);
	add_library(lua, "utf8");
	hw_lua_push_os(lua);
	add_library(lua, "os");
	hw_lua_push_json_library(lua);
	add_library(lua, "json");
}

int hw_lua_sandbox_open(lua_State *lua)
{
	struct hw_lua_state *state = hw_lua_of(lua);

	lua_gc(lua, LUA_GCSTOP);
	hw_lua_value_open(lua);
	luaL_requiref(lua, LUA_GNAME, luaopen_base, 0);
	pick(lua, base_names, HW_COUNT(base_names));
	luaL_setfuncs(lua, base_own, 0);
	open_libraries(lua);
	hw_lua_api_open(lua);
	hw_lua_http_open(lua);
	state->globals = luaL_ref(lua, LUA_REGISTRYINDEX);
	/* liblua's own globals and its table of loaded libraries go */
	lua_newtable(lua);
	lua_rawseti(lua, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	lua_pushnil(lua);
	lua_setfield(lua, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_gc(lua, LUA_GCRESTART);
	return 0;
}

void hw_lua_push_env(lua_State *lua)
{
	int from, to;

	luaL_checkstack(lua, 6, NULL);
	lua_rawgeti(lua, LUA_REGISTRYINDEX, hw_lua_of(lua)->globals);
	from = lua_gettop(lua);
	lua_createtable(lua, 0, 40);
	to = from + 1;
	lua_pushnil(lua);
	while (lua_next(lua, from)) {
		lua_pushvalue(lua, -2);
		lua_insert(lua, -2);
		lua_rawset(lua, to);
	}
	lua_pushvalue(lua, to);
	lua_setfield(lua, to, "_G");
	lua_remove(lua, from);
}
