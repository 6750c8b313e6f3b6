#include "crypto/digest.h"
#include "crypto/equal.h"
#include "crypto/hex.h"
#include "crypto/random.h"
#include "hook/lua_internal.h"

/* ctx.crypto. Digests and random bytes are texts of hexadecimal digits. */

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

#define RANDOM_MAX 256

/* random(n) → n unpredictable bytes as 2n digits */
static int crypto_random(lua_State *lua)
{
	lua_Integer n = luaL_checkinteger(lua, 1);
	char hex[2 * RANDOM_MAX + 1];
	uint8_t bytes[RANDOM_MAX];

	luaL_argcheck(lua, n >= 1 && n <= RANDOM_MAX, 1, "1 to 256 bytes");
	hw_lua_host_begin(lua);
	hw_random(bytes, (size_t)n);
	hw_hex(bytes, (size_t)n, hex);
	hw_lua_host_end(lua);
	lua_pushlstring(lua, hex, 2 * (size_t)n);
	return 1;
}

void hw_lua_push_crypto(lua_State *lua)
{
	static const luaL_Reg functions[] = {{"sha256", crypto_sha256},
		{"hmac_sha256", crypto_hmac_sha256}, {"equal", crypto_equal},
		{"random", crypto_random}, {NULL, NULL}};

	luaL_newlib(lua, functions);
}
