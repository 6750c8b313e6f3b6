#include "hook/lua_internal.h"

#include <string.h>

#include "hook/lua_value.h"
#include "hook/lua_withheld.h"

/* A session's table costs more to make than the question costs to answer, and a session asks for
 * every topic it names. So the last ones are kept, and used again only for a session that is the
 * same in every byte; scripts cannot change them. */

#define N_FIELDS 5

static void fields_of(const struct hw_who *who, struct hw_slice out[N_FIELDS])
{
	out[0] = who->user_id;
	out[1] = who->tenant_id;
	out[2] = who->session;
	out[3] = who->address;
	out[4] = who->claims;
}

/* Which slot: a collision costs time, nothing else. */
static size_t slot_of(const struct hw_slice *session)
{
	size_t n = session->len < 32 ? session->len : 32;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)session->p[i]) * 16777619u;
	return (h ^ h >> 16) % HW_LUA_SESSIONS;
}

static bool matches(const struct hw_lua_session *kept, const struct hw_slice fields[N_FIELDS],
	int64_t expires_at)
{
	const char *p = kept->key;

	if (!kept->table || kept->expires_at != expires_at)
		return false;
	for (int i = 0; i < N_FIELDS; i++) {
		if (kept->lengths[i] != fields[i].len)
			return false;
	}
	for (int i = 0; i < N_FIELDS; i++) {
		if (fields[i].len > 0 && memcmp(p, fields[i].p, fields[i].len) != 0)
			return false;
		p += fields[i].len;
	}
	return true;
}

static void set_slice(lua_State *lua, const char *name, struct hw_slice s)
{
	if (!hw_lua_push_withheld(lua, (struct hw_str){s.p, s.len}))
		lua_pushlstring(lua, s.p, s.len);
	lua_setfield(lua, -2, name);
}

static void push_table(lua_State *lua, const struct hw_who *who)
{
	lua_createtable(lua, 0, 8);
	set_slice(lua, "user_id", who->user_id);
	set_slice(lua, "tenant_id", who->tenant_id);
	set_slice(lua, "session", who->session);
	set_slice(lua, "address", who->address);
	if (who->expires_at > 0) {
		lua_pushinteger(lua, who->expires_at);
		lua_setfield(lua, -2, "expires_at");
	}
	if (who->claims.len > 0)
		hw_lua_push_json(lua, (struct hw_str){who->claims.p, who->claims.len});
	else
		lua_newtable(lua);
	hw_lua_make_deep_readonly(lua);
	lua_setfield(lua, -2, "claims");
	hw_lua_make_readonly(lua);
}

/* Pushes every field, one behind the other. */
static void push_key(lua_State *lua, const struct hw_slice fields[N_FIELDS])
{
	luaL_Buffer buffer;

	luaL_buffinit(lua, &buffer);
	for (int i = 0; i < N_FIELDS; i++)
		luaL_addlstring(&buffer, fields[i].p ? fields[i].p : "", fields[i].len);
	luaL_pushresult(&buffer);
}

/* Keeps the table on top. The slot is empty while its references change hands: an error may come
 * in between. */
static void keep(lua_State *lua, struct hw_lua_session *slot,
	const struct hw_slice fields[N_FIELDS], int64_t expires_at)
{
	if (slot->table) {
		int table = slot->table, key = slot->key_ref;

		slot->table = 0;
		luaL_unref(lua, LUA_REGISTRYINDEX, table);
		luaL_unref(lua, LUA_REGISTRYINDEX, key);
	}
	push_key(lua, fields);
	slot->key = lua_tostring(lua, -1);
	slot->key_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
	for (int i = 0; i < N_FIELDS; i++)
		slot->lengths[i] = (uint32_t)fields[i].len;
	slot->expires_at = expires_at;
	lua_pushvalue(lua, -1);
	slot->table = luaL_ref(lua, LUA_REGISTRYINDEX);
}

void hw_lua_push_session(lua_State *lua, const struct hw_who *who)
{
	struct hw_slice fields[N_FIELDS];
	struct hw_lua_session *slot = &hw_lua_of(lua)->sessions[slot_of(&who->session)];

	fields_of(who, fields);
	if (matches(slot, fields, who->expires_at)) {
		lua_rawgeti(lua, LUA_REGISTRYINDEX, slot->table);
		return;
	}
	push_table(lua, who);
	keep(lua, slot, fields, who->expires_at);
}
