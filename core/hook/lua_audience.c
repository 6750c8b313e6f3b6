#include "hook/lua_internal.h"

#include <errno.h>
#include <string.h>

#include "hook/audience.h"
#include "hook/lua_value.h"
#include "hook/lua_withheld.h"

/* reads, filter and redact: what a policy declares that it reads of who receives, and the table in
 * which it finds that and nothing else. */

/* ---- reads = { filter = { … }, redact = { … } } ---- */

static const char *const stage_names[2] = {"filter", "redact"};

/* A list of names is on top. Only the first run of the file, on the control thread, is kept. */
static void take_list(lua_State *lua, struct hw_lua_entry *entry, int stage)
{
	lua_Integer n = luaL_len(lua, -1);

	if (!hw_lua_is_sequence(lua, lua_gettop(lua)))
		luaL_error(lua, "reads.%s is a list of names", stage_names[stage]);
	for (lua_Integer i = 1; i <= n; i++) {
		struct hw_err err = {{0}};
		struct hw_str name;
		int rc;

		if (lua_geti(lua, -1, i) != LUA_TSTRING)
			luaL_error(lua, "reads.%s is a list of names, and one is a %s",
				stage_names[stage], luaL_typename(lua, -1));
		name.p = lua_tolstring(lua, -1, &name.len);
		hw_lua_host_begin(lua);
		rc = entry->loaded ? 0 : hw_reads_add(&entry->base.reads[stage], name, &err);
		hw_lua_host_end(lua);
		if (rc < 0)
			luaL_error(lua, "reads.%s: %s", stage_names[stage], err.text);
		lua_pop(lua, 1);
	}
}

void hw_lua_take_reads(lua_State *lua, struct hw_lua_chunk *chunk)
{
	if (lua_type(lua, -1) != LUA_TTABLE)
		luaL_error(lua, "'reads' must be a table, not a %s", luaL_typename(lua, -1));
	lua_pushnil(lua);
	while (lua_next(lua, -2)) {
		const char *key = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "?";
		int stage = strcmp(key, "redact") == 0;

		if (strcmp(key, stage_names[stage]) != 0)
			hw_lua_unknown_key(lua, key, "reads", stage_names, HW_COUNT(stage_names));
		if (lua_type(lua, -1) != LUA_TTABLE)
			luaL_error(lua, "reads.%s must be a list of names, not a %s", key,
				luaL_typename(lua, -1));
		take_list(lua, chunk->entry, stage);
		lua_pop(lua, 1);
	}
	lua_pop(lua, 1);
}

void hw_lua_check_reads(lua_State *lua, const struct hw_lua_chunk *chunk)
{
	const int functions[2] = {chunk->functions[HW_LUA_FILTER], chunk->functions[HW_LUA_REDACT]};

	for (int stage = 0; stage < 2; stage++) {
		if (functions[stage] == LUA_NOREF && chunk->entry->base.reads[stage].n > 0)
			luaL_error(lua, "reads.%s is declared, and there is no function %s",
				stage_names[stage], stage_names[stage]);
	}
}

/* ---- audience ---- */

/* Upvalues: the table of values; the stage's name; what stands before a key in a declaration. What
 * is declared and absent is there as this key of the table. */
static const char absent_key = 0;

static int audience_index(lua_State *lua)
{
	const char *stage, *prefix;

	lua_settop(lua, 2);
	lua_pushvalue(lua, 2);
	if (lua_rawget(lua, lua_upvalueindex(1)) != LUA_TNIL) {
		if (lua_touserdata(lua, -1) == &absent_key)
			lua_pushnil(lua);
		hw_lua_see_withheld(lua);
		return 1;
	}
	stage = lua_tostring(lua, lua_upvalueindex(2));
	prefix = lua_tostring(lua, lua_upvalueindex(3));
	if (lua_type(lua, 2) != LUA_TSTRING)
		return luaL_error(lua, "audience%s has no key that is a %s",
			*prefix ? ".claims" : "", luaL_typename(lua, 2));
	return luaL_error(lua, "audience.%s%s is read and not declared: add \"%s%s\" to reads.%s",
		prefix, lua_tostring(lua, 2), prefix, lua_tostring(lua, 2), stage);
}

static int audience_newindex(lua_State *lua)
{
	return luaL_error(lua, "audience cannot be changed");
}

static int audience_pairs(lua_State *lua)
{
	return luaL_error(lua, "audience is read by name, not walked over");
}

static void push_value(lua_State *lua, struct hw_json value)
{
	if (value.kind == HW_JSON_NONE) {
		lua_pushlightuserdata(lua, (void *)(uintptr_t)&absent_key);
		return;
	}
	hw_lua_push_json(lua, value.raw);
	if (lua_type(lua, -1) == LUA_TTABLE)
		hw_lua_make_deep_readonly(lua);
}

/* Replaces the table on top by one that reads the same, and raises for what it does not have. */
static void guard(lua_State *lua, const char *stage, const char *prefix)
{
	lua_newtable(lua);
	lua_createtable(lua, 0, 3);
	lua_rotate(lua, -3, -1);
	lua_pushstring(lua, stage);
	lua_pushstring(lua, prefix);
	lua_pushcclosure(lua, audience_index, 3);
	lua_setfield(lua, -2, "__index");
	lua_pushcfunction(lua, audience_newindex);
	lua_setfield(lua, -2, "__newindex");
	lua_pushcfunction(lua, audience_pairs);
	lua_setfield(lua, -2, "__pairs");
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_setmetatable(lua, -2);
}

/* Sets in the table at @table by both names that it goes by. */
static void set_both(lua_State *lua, int table, const char *name, const char *longer)
{
	lua_pushvalue(lua, -1);
	lua_setfield(lua, table, name);
	lua_setfield(lua, table, longer);
}

void hw_lua_push_audience(lua_State *lua, const struct hw_audience *audience, const char *stage)
{
	int table, claims;

	luaL_checkstack(lua, 10, NULL);
	lua_newtable(lua);
	table = lua_gettop(lua);
	lua_newtable(lua);
	claims = lua_gettop(lua);
	for (size_t i = 0; i < audience->reads->n; i++) {
		const struct hw_read *read = &audience->reads->reads[i];

		if (read->what == HW_READ_CLAIM)
			lua_pushlstring(lua, read->claim.p, read->claim.len);
		push_value(lua, audience->values[i]);
		if (read->what == HW_READ_USER)
			set_both(lua, table, "user", "user_id");
		else if (read->what == HW_READ_TENANT)
			set_both(lua, table, "tenant", "tenant_id");
		else
			lua_rawset(lua, claims);
	}
	guard(lua, stage, "claims.");
	lua_setfield(lua, table, "claims");
	guard(lua, stage, "");
}

/* ---- filter ---- */

int hw_lua_finish_filter(lua_State *lua, struct hw_lua_question *q)
{
	if (!lua_isboolean(lua, -1) && !lua_isnil(lua, -1))
		return luaL_error(lua, "%s: filter must return true or false, not a %s",
			q->chunk->entry->chunk_name + 1, luaL_typename(lua, -1));
	q->verdict.verdict = lua_toboolean(lua, -1) ? HW_ALLOW : HW_DENY;
	return 0;
}
