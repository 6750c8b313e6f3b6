#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hook/dict.h"
#include "hook/lua_internal.h"

/* ctx.dict: values that all workers and all hooks of a tenant share, C plugins too. A state's
 * tenant is the name of its space: a script reaches no other, and global entries have one of their
 * own. */

#define NUMBER_SIZE 40 /* of any, as text */

static struct hw_str check_key(lua_State *lua)
{
	struct hw_str key;

	key.p = luaL_checklstring(lua, 1, &key.len);
	luaL_argcheck(
		lua, key.len > 0 && key.len <= HW_DICT_KEY_MAX, 1, "a key has 1 to 255 bytes");
	return key;
}

static int64_t check_ttl(lua_State *lua, int arg)
{
	lua_Integer ttl_ms = luaL_optinteger(lua, arg, 0);

	luaL_argcheck(lua, ttl_ms >= 0, arg, "a time to live is not negative");
	return ttl_ms;
}

/* @scratch holds the text of numbers. */
static struct hw_dict_value check_value(lua_State *lua, int arg, char scratch[NUMBER_SIZE])
{
	struct hw_dict_value v = {.kind = HW_DICT_BYTES};

	switch (lua_type(lua, arg)) {
	case LUA_TSTRING:
		v.text.p = lua_tolstring(lua, arg, &v.text.len);
		break;
	case LUA_TBOOLEAN:
		v.kind = HW_DICT_BOOLEAN;
		v.text = lua_toboolean(lua, arg) ? HW_STR("true") : HW_STR("false");
		break;
	case LUA_TNUMBER:
		v.kind = lua_isinteger(lua, arg) ? HW_DICT_INTEGER : HW_DICT_NUMBER;
		luaL_argcheck(lua, isfinite(lua_tonumber(lua, arg)), arg, "no number");
		v.text.p = scratch;
		break;
	default:
		luaL_argerror(lua, arg,
			"a text, a number or a boolean; ctx.json.encode makes a text of a table");
	}
	luaL_argcheck(lua, v.text.len <= HW_DICT_VALUE_MAX, arg, "longer than 64 KiB");
	return v;
}

/* In a host section: formatting may lock. */
static void write_number(lua_State *lua, int arg, struct hw_dict_value *v, char *scratch)
{
	if (v->kind == HW_DICT_INTEGER)
		v->text.len = (size_t)snprintf(
			scratch, NUMBER_SIZE, "%" PRId64, (int64_t)lua_tointeger(lua, arg));
	else if (v->kind == HW_DICT_NUMBER)
		v->text.len = (size_t)snprintf(
			scratch, NUMBER_SIZE, "%.17g", (double)lua_tonumber(lua, arg));
}

static struct hw_dict *dict_of(lua_State *lua)
{
	return hw_lua_of(lua)->env->dict;
}

static struct hw_str space_of(lua_State *lua)
{
	return hw_str_of(hw_lua_of(lua)->space);
}

static int64_t now_of(lua_State *lua)
{
	return hw_clock_mono_ms(hw_lua_of(lua)->env->clock);
}

/* true or false, or nil and why. */
static int push_outcome(lua_State *lua, int outcome)
{
	switch (outcome) {
	case HW_DICT_OK:
		lua_pushboolean(lua, 1);
		return 1;
	case HW_DICT_ABSENT:
	case HW_DICT_PRESENT:
	case HW_DICT_DIFFERENT:
		lua_pushboolean(lua, 0);
		return 1;
	case HW_DICT_FULL:
		lua_pushnil(lua);
		lua_pushliteral(lua, "full");
		return 2;
	default:
		return luaL_error(lua, "out of memory");
	}
}

static void push_value(lua_State *lua, enum hw_dict_kind kind, struct hw_str text)
{
	char z[NUMBER_SIZE] = "";

	if (kind == HW_DICT_INTEGER || kind == HW_DICT_NUMBER)
		memcpy(z, text.p, text.len < sizeof(z) ? text.len : sizeof(z) - 1);
	switch (kind) {
	case HW_DICT_INTEGER:
		lua_pushinteger(lua, strtoll(z, NULL, 10));
		break;
	case HW_DICT_NUMBER:
		lua_pushnumber(lua, strtod(z, NULL)); /* 3.0 stays no integer */
		break;
	case HW_DICT_BOOLEAN:
		lua_pushboolean(lua, text.len == strlen("true"));
		break;
	case HW_DICT_BYTES:
		lua_pushlstring(lua, text.len ? text.p : "", text.len);
		break;
	}
}

/* get(key) → value or nil */
static int dict_get(lua_State *lua)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	struct hw_str key = check_key(lua);
	enum hw_dict_kind kind;
	struct hw_buf text;
	int outcome;

	hw_lua_host_begin(lua);
	hw_buf_init(&text);
	outcome = hw_dict_get(dict_of(lua), space_of(lua), key, now_of(lua), &kind, &text);
	state->held = text.data; /* freed with the call if that ends before we do */
	hw_lua_host_end(lua);
	if (outcome == HW_DICT_OK)
		push_value(lua, kind, hw_buf_view(&text));
	else
		lua_pushnil(lua); /* nothing at all would be no argument: tostring(get(key)) */
	hw_lua_host_begin(lua);
	state->held = NULL;
	hw_buf_fini(&text);
	hw_lua_host_end(lua);
	if (outcome == HW_DICT_NO_MEMORY)
		return luaL_error(lua, "out of memory");
	return 1;
}

/* delete(key) → whether there was one */
static int dict_delete(lua_State *lua)
{
	struct hw_str key = check_key(lua);
	int outcome;

	hw_lua_host_begin(lua);
	outcome = (hw_lua_is_trial(lua) ? hw_dict_would_delete : hw_dict_delete)(
		dict_of(lua), space_of(lua), key, now_of(lua));
	hw_lua_host_end(lua);
	return push_outcome(lua, outcome);
}

/* Both write a value: (key, value[, ttl_ms]) */
static int write_with(
	lua_State *lua, int (*write)(struct hw_dict *dict, struct hw_str space, struct hw_str key,
				const struct hw_dict_value *value, int64_t ttl_ms, int64_t now_ms))
{
	struct hw_str key = check_key(lua);
	char scratch[NUMBER_SIZE];
	struct hw_dict_value v = check_value(lua, 2, scratch);
	int64_t ttl_ms = check_ttl(lua, 3);
	int outcome;

	hw_lua_host_begin(lua);
	write_number(lua, 2, &v, scratch);
	outcome = write(dict_of(lua), space_of(lua), key, &v, ttl_ms, now_of(lua));
	hw_lua_host_end(lua);
	return push_outcome(lua, outcome);
}

/* set → true, or nil, "full" */
static int dict_set(lua_State *lua)
{
	return write_with(lua, hw_lua_is_trial(lua) ? hw_dict_would_set : hw_dict_set);
}

/* add → true; false: there is one; or nil, "full" */
static int dict_add(lua_State *lua)
{
	return write_with(lua, hw_lua_is_trial(lua) ? hw_dict_would_add : hw_dict_add);
}

/* incr(key[, by[, ttl_ms]]) → the sum, or nil, "full" */
static int dict_incr(lua_State *lua)
{
	struct hw_str key = check_key(lua);
	lua_Integer by = luaL_optinteger(lua, 2, 1);
	int64_t ttl_ms = check_ttl(lua, 3), sum = 0;
	int outcome;

	hw_lua_host_begin(lua);
	outcome = (hw_lua_is_trial(lua) ? hw_dict_would_incr : hw_dict_incr)(
		dict_of(lua), space_of(lua), key, by, ttl_ms, now_of(lua), &sum);
	hw_lua_host_end(lua);
	if (outcome == HW_DICT_DIFFERENT)
		return luaL_error(lua, "ctx.dict.incr: what is there is no integer, or the sum "
				       "would be none");
	if (outcome != HW_DICT_OK)
		return push_outcome(lua, outcome);
	lua_pushinteger(lua, sum);
	return 1;
}

/* cas(key, expected, value[, ttl_ms]) → true; false: it is another, or absent; or nil, "full".
 * expected nil: as add. */
static int dict_cas(lua_State *lua)
{
	struct hw_str key = check_key(lua);
	bool absent = lua_isnil(lua, 2);
	struct hw_dict_value v, is = {.kind = HW_DICT_BYTES};
	char scratch[NUMBER_SIZE], is_scratch[NUMBER_SIZE];
	int64_t ttl_ms, now_ms;
	int outcome;

	if (!absent)
		is = check_value(lua, 2, is_scratch);
	v = check_value(lua, 3, scratch);
	ttl_ms = check_ttl(lua, 4);
	hw_lua_host_begin(lua);
	now_ms = now_of(lua);
	write_number(lua, 3, &v, scratch);
	if (!absent)
		write_number(lua, 2, &is, is_scratch);
	if (absent)
		outcome = (hw_lua_is_trial(lua) ? hw_dict_would_add : hw_dict_add)(
			dict_of(lua), space_of(lua), key, &v, ttl_ms, now_ms);
	else
		outcome = (hw_lua_is_trial(lua) ? hw_dict_would_cas : hw_dict_cas)(
			dict_of(lua), space_of(lua), key, &is, false, &v, ttl_ms, now_ms);
	hw_lua_host_end(lua);
	return push_outcome(lua, outcome);
}

void hw_lua_push_dict(lua_State *lua)
{
	static const luaL_Reg functions[] = {{"get", dict_get}, {"set", dict_set},
		{"add", dict_add}, {"incr", dict_incr}, {"cas", dict_cas}, {"delete", dict_delete},
		{NULL, NULL}};

	luaL_newlib(lua, functions);
}
