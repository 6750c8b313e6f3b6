#include "hook/lua_internal.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "hook/lua_event.h"
#include "hook/lua_value.h"
#include "wire/code.h"

/* allow, deny, defer, unavailable. A verdict is a userdata that only these make, so that no table
 * of a script's own is ever taken for one. Those without arguments exist once: saying allow()
 * allocates nothing. */

static const char verdict_key = 0; /* registry: the metatable of verdicts */

#define MAX_USER_ID 255
#define MAX_TENANT_ID 64
#define MAX_SECONDS 253402300799 /* the year 9999 */

/* What was meant, or NULL. */
static const char *nearest_of(const char *key, const char *const *known, size_t n_known)
{
	const char *nearest = NULL;
	size_t best = 3; /* a difference of three letters is no slip of the finger */

	for (size_t i = 0; i < n_known; i++) {
		size_t distance = hw_str_distance(hw_str_of(key), hw_str_of(known[i]));

		if (distance < best && distance < strlen(known[i])) {
			best = distance;
			nearest = known[i];
		}
	}
	return nearest;
}

int hw_lua_unknown_key(lua_State *lua, const char *key, const char *where, const char *const *known,
	size_t n_known)
{
	const char *nearest = nearest_of(key, known, n_known);

	if (nearest)
		return luaL_error(
			lua, "unknown key '%s' in %s (did you mean '%s'?)", key, where, nearest);
	return luaL_error(lua, "unknown key '%s' in %s", key, where);
}

static struct hw_lua_verdict *new_verdict(lua_State *lua, enum hw_verdict verdict)
{
	struct hw_lua_verdict *v = lua_newuserdatauv(lua, sizeof(*v), 1);

	memset(v, 0, sizeof(*v));
	v->verdict = verdict;
	lua_rawgetp(lua, LUA_REGISTRYINDEX, &verdict_key);
	lua_setmetatable(lua, -2);
	return v;
}

const struct hw_lua_verdict *hw_lua_to_verdict(lua_State *lua, int index)
{
	bool is;

	if (lua_type(lua, index) != LUA_TUSERDATA || !lua_getmetatable(lua, index))
		return NULL;
	lua_rawgetp(lua, LUA_REGISTRYINDEX, &verdict_key);
	is = lua_rawequal(lua, -1, -2);
	lua_pop(lua, 2);
	return is ? lua_touserdata(lua, index) : NULL;
}

/* ---- allow ---- */

static struct hw_str check_text(lua_State *lua, const char *key, size_t max)
{
	struct hw_str s;

	if (lua_type(lua, -1) != LUA_TSTRING)
		luaL_error(
			lua, "allow: '%s' must be a text, not a %s", key, luaL_typename(lua, -1));
	s.p = lua_tolstring(lua, -1, &s.len);
	if (s.len == 0 || s.len > max)
		luaL_error(lua, "allow: '%s' must have 1 to %d bytes", key, (int)max);
	return s;
}

static struct hw_str check_tenant(lua_State *lua, const char *key)
{
	struct hw_str s = check_text(lua, key, MAX_TENANT_ID);

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c && strchr("._-", c))))
			luaL_error(lua,
				"allow: '%s' may hold only letters, digits, '.', '_' and '-'", key);
	}
	return s;
}

static int64_t check_seconds(lua_State *lua)
{
	lua_Number n;

	if (lua_type(lua, -1) != LUA_TNUMBER)
		luaL_error(lua, "allow: 'expires_at' must be seconds since 1970, not a %s",
			luaL_typename(lua, -1));
	n = lua_tonumber(lua, -1);
	if (!(n >= 1 && n <= MAX_SECONDS))
		luaL_error(lua, "allow: 'expires_at' must be seconds since 1970, not milliseconds "
				"and not in the past of "
				"all clocks");
	return (int64_t)floor(n);
}

static bool check_boolean(lua_State *lua, const char *key)
{
	if (lua_type(lua, -1) != LUA_TBOOLEAN)
		luaL_error(lua, "allow: '%s' must be true or false", key);
	return lua_toboolean(lua, -1);
}

/* Puts a list of its own in place of the one on top, which the script may go on changing. */
static void take_tenants(lua_State *lua)
{
	lua_Integer n;
	int list = lua_gettop(lua);

	if (lua_type(lua, list) != LUA_TTABLE)
		luaL_error(lua, "allow: 'tenants' must be a list");
	n = luaL_len(lua, list);
	lua_createtable(lua, (int)(n < 256 ? n : 256), 0);
	for (lua_Integer i = 1; i <= n; i++) {
		lua_geti(lua, list, i);
		check_tenant(lua, "tenants");
		lua_rawseti(lua, -2, i);
	}
	lua_replace(lua, list);
}

/* key at -2, value at -1 */
static void take_key(lua_State *lua, struct hw_lua_verdict *v, const char *key)
{
	static const char *const known[] = {
		"user_id", "tenant_id", "claims", "expires_at", "act_as", "tenants"};

	if (strcmp(key, "user_id") == 0) {
		v->user_id = check_text(lua, key, MAX_USER_ID);
		if (!hw_utf8_valid(v->user_id.p, v->user_id.len))
			luaL_error(lua, "allow: 'user_id' must be UTF-8");
	} else if (strcmp(key, "tenant_id") == 0) {
		v->tenant_id = check_tenant(lua, key);
	} else if (strcmp(key, "claims") == 0) {
		if (lua_type(lua, -1) != LUA_TTABLE)
			luaL_error(lua, "allow: 'claims' must be a table");
		v->has_claims = true;
	} else if (strcmp(key, "expires_at") == 0) {
		v->expires_at = check_seconds(lua);
		v->has_expires_at = true;
	} else if (strcmp(key, "act_as") == 0) {
		v->act_as = check_boolean(lua, key);
	} else if (strcmp(key, "tenants") == 0) {
		take_tenants(lua);
		v->has_tenants = true;
	} else {
		hw_lua_unknown_key(lua, key, "allow", known, HW_COUNT(known));
	}
}

static int api_allow(lua_State *lua)
{
	struct hw_lua_verdict *v;

	if (lua_isnoneornil(lua, 1)) {
		lua_pushvalue(lua, lua_upvalueindex(1));
		return 1;
	}
	luaL_checktype(lua, 1, LUA_TTABLE);
	lua_settop(lua, 1);
	if (hw_lua_push_behind(lua, 1))
		lua_replace(lua, 1);
	v = new_verdict(lua, HW_ALLOW);
	lua_createtable(lua, 0, 6);
	lua_pushnil(lua);
	while (lua_next(lua, 1)) {
		if (lua_type(lua, -2) != LUA_TSTRING)
			return luaL_error(lua, "allow: a key is a %s", luaL_typename(lua, -2));
		take_key(lua, v, lua_tostring(lua, -2));
		lua_pushvalue(lua, -2);
		lua_insert(lua, -2);
		lua_rawset(lua, 3);
	}
	lua_setiuservalue(lua, 2, 1);
	return 1;
}

/* ---- the others ---- */

/* Keeps the message at stack index @arg, if there is one, with the verdict on top. */
static void take_message(lua_State *lua, struct hw_lua_verdict *v, int arg)
{
	if (lua_isnoneornil(lua, arg))
		return;
	v->message.p = luaL_checklstring(lua, arg, &v->message.len);
	lua_createtable(lua, 0, 1);
	lua_pushvalue(lua, arg);
	lua_setfield(lua, -2, "message");
	lua_setiuservalue(lua, -2, 1);
}

static const char *check_code(lua_State *lua, int arg)
{
	size_t len;
	const char *name = luaL_checklstring(lua, arg, &len);
	enum hw_code code = hw_code_find((struct hw_str){name, len});
	const char *known[HW_CODE_COUNT], *nearest;

	if (code != HW_CODE_NONE)
		return hw_code_info(code)->name;
	for (int i = HW_CODE_NONE + 1; i < HW_CODE_COUNT; i++)
		known[i - 1] = hw_code_info((enum hw_code)i)->name;
	nearest = nearest_of(name, known, HW_CODE_COUNT - 1);
	luaL_error(lua, "deny takes an error code first, as in deny('%s', 'why'): '%s' is none",
		nearest ? nearest : hw_code_info(HW_CODE_FORBIDDEN_TOPIC)->name, name);
	return NULL;
}

static int api_deny(lua_State *lua)
{
	struct hw_lua_verdict *v;
	const char *code = NULL;

	if (lua_isnoneornil(lua, 1) && lua_isnoneornil(lua, 2)) {
		lua_pushvalue(lua, lua_upvalueindex(1));
		return 1;
	}
	lua_settop(lua, 2);
	if (!lua_isnil(lua, 1))
		code = check_code(lua, 1);
	v = new_verdict(lua, HW_DENY);
	v->code = code;
	take_message(lua, v, 2);
	return 1;
}

static int api_unavailable(lua_State *lua)
{
	struct hw_lua_verdict *v;

	lua_settop(lua, 1);
	if (lua_isnil(lua, 1)) {
		lua_pushvalue(lua, lua_upvalueindex(1));
		return 1;
	}
	v = new_verdict(lua, HW_ERROR);
	take_message(lua, v, 1);
	return 1;
}

static int api_defer(lua_State *lua)
{
	lua_pushvalue(lua, lua_upvalueindex(1));
	return 1;
}

static void add_constructor(
	lua_State *lua, const char *name, lua_CFunction fn, enum hw_verdict verdict)
{
	new_verdict(lua, verdict);
	lua_pushcclosure(lua, fn, 1);
	lua_setfield(lua, -2, name);
}

void hw_lua_api_open(lua_State *lua)
{
	lua_createtable(lua, 0, 2);
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_pushliteral(lua, "verdict");
	lua_setfield(lua, -2, "__name");
	lua_rawsetp(lua, LUA_REGISTRYINDEX, &verdict_key);
	add_constructor(lua, "allow", api_allow, HW_ALLOW);
	add_constructor(lua, "deny", api_deny, HW_DENY);
	add_constructor(lua, "defer", api_defer, HW_DEFER);
	add_constructor(lua, "unavailable", api_unavailable, HW_ERROR);
}
