#include "hook/lua_internal.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "hook/lua_value.h"

/* os.time, os.date and os.clock of our own: libc's functions for local time take a lock, and may
 * read the zone's file under it. So they are called between host_begin and host_end, where no
 * jump comes, and nothing else is. */

static int field(lua_State *lua, const char *name, int fallback, int offset)
{
	lua_Integer n = fallback;
	int is_integer = 1;

	if (lua_getfield(lua, 1, name) != LUA_TNIL)
		n = lua_tointegerx(lua, -1, &is_integer);
	else if (fallback < 0)
		luaL_error(lua, "field '%s' is missing in the date", name);
	lua_pop(lua, 1);
	if (!is_integer || n < INT_MIN / 2 || n > INT_MAX / 2)
		luaL_error(lua, "field '%s' of the date is not an integer in range", name);
	return (int)n - offset;
}

static int os_time(lua_State *lua)
{
	struct tm tm;
	time_t t;

	if (lua_isnoneornil(lua, 1)) {
		lua_pushinteger(lua, hw_clock_wall_ms(hw_lua_of(lua)->env->clock) / 1000);
		return 1;
	}
	luaL_checktype(lua, 1, LUA_TTABLE);
	lua_settop(lua, 1);
	memset(&tm, 0, sizeof(tm));
	tm.tm_year = field(lua, "year", -1, 1900);
	tm.tm_mon = field(lua, "month", -1, 1);
	tm.tm_mday = field(lua, "day", -1, 0);
	tm.tm_hour = field(lua, "hour", 12, 0);
	tm.tm_min = field(lua, "min", 0, 0);
	tm.tm_sec = field(lua, "sec", 0, 0);
	tm.tm_isdst = lua_getfield(lua, 1, "isdst") == LUA_TNIL ? -1 : lua_toboolean(lua, -1);
	hw_lua_host_begin(lua);
	t = mktime(&tm);
	hw_lua_host_end(lua);
	if (t == (time_t)-1)
		return luaL_error(lua, "the date cannot be a time");
	lua_pushinteger(lua, (lua_Integer)t);
	return 1;
}

static void set_field(lua_State *lua, const char *name, int n)
{
	lua_pushinteger(lua, n);
	lua_setfield(lua, -2, name);
}

static int push_date_table(lua_State *lua, const struct tm *tm)
{
	lua_createtable(lua, 0, 9);
	set_field(lua, "year", tm->tm_year + 1900);
	set_field(lua, "month", tm->tm_mon + 1);
	set_field(lua, "day", tm->tm_mday);
	set_field(lua, "hour", tm->tm_hour);
	set_field(lua, "min", tm->tm_min);
	set_field(lua, "sec", tm->tm_sec);
	set_field(lua, "yday", tm->tm_yday + 1);
	set_field(lua, "wday", tm->tm_wday + 1);
	if (tm->tm_isdst >= 0) {
		lua_pushboolean(lua, tm->tm_isdst);
		lua_setfield(lua, -2, "isdst");
	}
	return 1;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* one conversion, checked by the caller */
static void put_date_part(struct hw_lua_text *text, char letter, const struct tm *tm)
{
	const char format[] = {'%', letter, '\0'};
	char out[128];
	size_t len;

	hw_lua_host_begin(text->lua);
	len = strftime(out, sizeof(out), format, tm);
	hw_lua_host_end(text->lua);
	hw_lua_text_add(text, out, len);
}
#pragma GCC diagnostic pop

static int os_date(lua_State *lua)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	const char *p = luaL_optstring(lua, 1, "%c");
	time_t t = (time_t)luaL_optinteger(lua, 2, hw_clock_wall_ms(state->env->clock) / 1000);
	struct hw_lua_text text;
	const struct tm *found;
	bool utc = *p == '!';
	struct tm tm;

	lua_settop(lua, 2);
	hw_lua_host_begin(lua);
	found = utc ? gmtime_r(&t, &tm) : localtime_r(&t, &tm);
	hw_lua_host_end(lua);
	if (!found)
		return luaL_error(lua, "the time has no date");
	p += utc;
	if (strncmp(p, "*t", 2) == 0)
		return push_date_table(lua, &tm);
	hw_lua_text_init(&text, lua, 64);
	for (; *p; p++) {
		if (*p != '%') {
			hw_lua_text_char(&text, *p);
			continue;
		}
		p++;
		if (!*p || !strchr("aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%", *p))
			return luaL_error(
				lua, "invalid conversion '%%%c' to 'date'", *p ? *p : ' ');
		put_date_part(&text, *p, &tm);
	}
	hw_lua_text_push(&text);
	return 1;
}

static int os_clock(lua_State *lua)
{
	struct timespec t = {0, 0};

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	lua_pushnumber(lua, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
	return 1;
}

void hw_lua_push_os(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"time", os_time}, {"date", os_date}, {"clock", os_clock}, {NULL, NULL}};

	luaL_newlib(lua, functions);
}

static int time_now_ms(lua_State *lua)
{
	lua_pushinteger(lua, hw_clock_wall_ms(hw_lua_of(lua)->env->clock));
	return 1;
}

static int time_iso(lua_State *lua)
{
	lua_Integer ms = luaL_optinteger(lua, 1, hw_clock_wall_ms(hw_lua_of(lua)->env->clock));
	char out[HW_ISO8601_LEN + 1];

	/* years 0 to 9999 */
	luaL_argcheck(lua, ms >= -62167219200000 && ms <= 253402300799999, 1,
		"outside of the years 0 to 9999");
	hw_clock_iso8601(ms, out);
	lua_pushlstring(lua, out, HW_ISO8601_LEN);
	return 1;
}

void hw_lua_push_time(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"now_ms", time_now_ms}, {"iso", time_iso}, {NULL, NULL}};

	luaL_newlib(lua, functions);
}
