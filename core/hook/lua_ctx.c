#include "hook/lua_internal.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/equal.h"
#include "crypto/hex.h"
#include "hook/lua_task.h"
#include "hook/lua_value.h"

/* ctx: what a policy may use of the broker. Its functions that write, lock or allocate outside of
 * the arena do so in a host section, with everything they need of Lua's taken out before. */

/* ---- log ---- */

#define MAX_LINE 1024

static struct hw_str running_tenant(const struct hw_lua_state *state)
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
		HW_F_STR("tenant", running_tenant(state)), HW_F_STR("text", text),
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

	if (!hw_log_on(state->env->log, level))
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

/* ---- crypto ---- */

#define MAX_DIGESTED (1u << 20) /* a millisecond or so, during which no jump can come */

static struct hw_str check_data(lua_State *lua, int arg)
{
	struct hw_str s;

	s.p = luaL_checklstring(lua, arg, &s.len);
	luaL_argcheck(lua, s.len <= MAX_DIGESTED, arg, "longer than 1 MiB");
	return s;
}

static int push_hex(lua_State *lua, const uint8_t digest[HW_SHA256_LEN])
{
	char hex[2 * HW_SHA256_LEN + 1];

	hw_hex(digest, HW_SHA256_LEN, hex);
	lua_pushlstring(lua, hex, 2 * HW_SHA256_LEN);
	return 1;
}

static int crypto_sha256(lua_State *lua)
{
	struct hw_str data = check_data(lua, 1);
	uint8_t digest[HW_SHA256_LEN];

	hw_lua_host_begin(lua);
	hw_sha256(data.p, data.len, digest);
	hw_lua_host_end(lua);
	return push_hex(lua, digest);
}

static int crypto_hmac_sha256(lua_State *lua)
{
	struct hw_str key = check_data(lua, 1), data = check_data(lua, 2);
	uint8_t digest[HW_SHA256_LEN];

	hw_lua_host_begin(lua);
	hw_hmac_sha256(key, data, digest);
	hw_lua_host_end(lua);
	return push_hex(lua, digest);
}

static int crypto_equal(lua_State *lua)
{
	struct hw_str a = check_data(lua, 1), b = check_data(lua, 2);

	lua_pushboolean(lua, hw_equal_str(a, b));
	return 1;
}

/* ---- jwt ---- */

/* The text on top, which the options keep alive as long as it is one of theirs. */
static struct hw_str check_option(lua_State *lua, const char *key)
{
	struct hw_str s;

	if (lua_type(lua, -1) != LUA_TSTRING)
		luaL_error(lua, "ctx.jwt.verify: '%s' must be a text, not a %s", key,
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
			expect->issuer = check_option(lua, key);
		} else if (strcmp(key, "audience") == 0) {
			expect->audience = check_option(lua, key);
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
	static const luaL_Reg crypto[] = {{"sha256", crypto_sha256},
		{"hmac_sha256", crypto_hmac_sha256}, {"equal", crypto_equal}, {NULL, NULL}};
	static const luaL_Reg jwt[] = {{"verify", jwt_verify}, {NULL, NULL}};

	lua_createtable(lua, 0, 8);
	hw_lua_push_json(lua, hw_str_of(chunk->entry->config));
	hw_lua_make_deep_readonly(lua);
	lua_setfield(lua, -2, "config");
	lua_newtable(lua);
	lua_setfield(lua, -2, "state");
	luaL_newlib(lua, logs);
	set_library(lua, "log");
	luaL_newlib(lua, crypto);
	set_library(lua, "crypto");
	if (chunk->entry->keys) {
		luaL_newlib(lua, jwt);
		set_library(lua, "jwt");
	}
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
