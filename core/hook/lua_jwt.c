#include <stdlib.h>
#include <string.h>

#include "hook/lua_internal.h"
#include "hook/lua_value.h"
#include "hook/lua_withheld.h"

/* ctx.jwt */

/* The text on top, which the options keep alive as long as it is one of theirs. */
static struct hw_str check_option(lua_State *lua, const char *where, const char *key)
{
	struct hw_str s;

	if (lua_type(lua, -1) != LUA_TSTRING)
		luaL_error(lua, "%s: '%s' must be a text, not a %s", where, key,
			luaL_typename(lua, -1));
	s.p = lua_tolstring(lua, -1, &s.len);
	return s;
}

/* Options at index 2: issuer, audience, skew_s. */
static void read_expectations(lua_State *lua, struct hw_jwt_expect *expect)
{
	static const char *const known[] = {"issuer", "audience", "skew_s"};

	if (lua_isnil(lua, 2))
		return;
	luaL_checktype(lua, 2, LUA_TTABLE);
	lua_pushnil(lua);
	while (lua_next(lua, 2)) {
		const char *key = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "?";

		if (strcmp(key, "skew_s") == 0) {
			expect->skew_s = luaL_checkinteger(lua, -1);
			luaL_argcheck(lua, expect->skew_s >= 0 && expect->skew_s <= 86400, 2,
				"skew_s is 0 to 86400");
		} else if (strcmp(key, "issuer") == 0) {
			expect->issuer = check_option(lua, "ctx.jwt.verify", key);
		} else if (strcmp(key, "audience") == 0) {
			expect->audience = check_option(lua, "ctx.jwt.verify", key);
		} else {
			hw_lua_unknown_key(lua, key, "ctx.jwt.verify", known, HW_COUNT(known));
		}
		lua_pop(lua, 1);
	}
}

/* verify(token[, options]) → claims, or nil, why, code */
static int jwt_verify(lua_State *lua)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	struct hw_jwt_expect expect = {0};
	struct hw_jwt_claims claims = {0};
	struct hw_jwt_refusal refusal;
	struct hw_str token;
	int64_t now_ms;
	int rc;

	token.p = luaL_checklstring(lua, 1, &token.len);
	lua_settop(lua, 2);
	read_expectations(lua, &expect);
	hw_lua_host_begin(lua);
	now_ms = hw_clock_wall_ms(state->env->clock);
	rc = hw_jwt_verify(state->running->entry->keys, token, &expect, now_ms, &claims, &refusal);
	if (rc == 0)
		state->held = claims.text; /* freed with the call if that ends before we do */
	hw_lua_host_end(lua);
	if (rc == 0) {
		hw_lua_push_json(lua, (struct hw_str){claims.text, claims.len});
		hw_lua_host_begin(lua);
		state->held = NULL;
		hw_jwt_claims_fini(&claims);
		hw_lua_host_end(lua);
		return 1;
	}
	if (rc < 0)
		return luaL_error(lua, "out of memory");
	lua_pushnil(lua);
	lua_pushstring(lua, refusal.reason);
	lua_pushstring(lua, refusal.expired ? "token_expired" : "unauthorized");
	return 3;
}

struct signing {
	enum hw_jwt_alg alg;
	struct hw_str key, kid;
};

/* Options at index 2: key, alg, kid. Only with a secret: a private key takes its time. */
static void read_signing(lua_State *lua, struct signing *signing)
{
	static const char *const known[] = {"key", "alg", "kid"};
	static const char where[] = "ctx.jwt.sign";

	luaL_checktype(lua, 2, LUA_TTABLE);
	lua_pushnil(lua);
	while (lua_next(lua, 2)) {
		const char *key = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "?";

		if (strcmp(key, "key") == 0)
			signing->key = check_option(lua, where, key);
		else if (strcmp(key, "kid") == 0)
			signing->kid = check_option(lua, where, key);
		else if (strcmp(key, "alg") != 0)
			hw_lua_unknown_key(lua, key, where, known, HW_COUNT(known));
		else if (hw_jwt_alg_parse(check_option(lua, where, key), &signing->alg) < 0 ||
			 !hw_jwt_alg_is_hmac(signing->alg))
			luaL_error(lua, "ctx.jwt.sign: 'alg' is HS256, HS384 or HS512");
		lua_pop(lua, 1);
	}
	if (!signing->key.p)
		luaL_error(lua, "ctx.jwt.sign: 'key' is missing: the secret to sign with");
}

/* sign(claims, options) → a token */
static int jwt_sign(lua_State *lua)
{
	struct signing signing = {.alg = HW_JWT_HS256};
	struct hw_lua_state *state = hw_lua_of(lua);
	struct hw_err err = {""};
	struct hw_lua_text text;
	char *token = NULL;
	int rc;

	luaL_checktype(lua, 1, LUA_TTABLE);
	lua_settop(lua, 2);
	read_signing(lua, &signing);
	hw_lua_text_init(&text, lua, 256);
	hw_lua_encode(&text, 1);
	hw_lua_see_withheld_text(lua, (struct hw_str){text.data, text.len});
	hw_lua_host_begin(lua);
	rc = hw_jwt_mint(signing.alg, signing.key, signing.kid,
		(struct hw_str){text.data, text.len}, &token, &err);
	state->held = token;
	hw_lua_host_end(lua);
	if (rc < 0)
		return luaL_error(
			lua, "ctx.jwt.sign: %s", err.text[0] ? err.text : "out of memory");
	lua_pushstring(lua, token);
	hw_lua_host_begin(lua);
	state->held = NULL;
	free(token);
	hw_lua_host_end(lua);
	return 1;
}

void hw_lua_push_jwt(lua_State *lua, bool has_keys)
{
	lua_createtable(lua, 0, 2);
	lua_pushcfunction(lua, jwt_sign);
	lua_setfield(lua, -2, "sign");
	if (!has_keys)
		return;
	lua_pushcfunction(lua, jwt_verify);
	lua_setfield(lua, -2, "verify");
}
