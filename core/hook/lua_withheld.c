#include "hook/lua_withheld.h"

#include <string.h>

static const char withheld_key = 0; /* its address is the value */

void hw_hook_env_withhold(struct hw_hook_env *env, struct hw_withheld *withheld)
{
	env->withheld = withheld;
}

bool hw_lua_push_withheld(lua_State *lua, struct hw_str text)
{
	const struct hw_withheld *w = hw_lua_withheld(lua);

	if (!w || !hw_str_eq(text, w->mark))
		return false;
	lua_pushlightuserdata(lua, (void *)(uintptr_t)&withheld_key);
	return true;
}

void hw_lua_see_withheld(lua_State *lua)
{
	struct hw_withheld *w = hw_lua_withheld(lua);

	if (!w || lua_touserdata(lua, -1) != &withheld_key)
		return;
	w->seen = true;
	lua_pop(lua, 1);
	lua_pushnil(lua);
}

void hw_lua_see_withheld_text(lua_State *lua, struct hw_str text)
{
	struct hw_withheld *w = hw_lua_withheld(lua);

	if (w && memmem(text.p, text.len, w->mark.p, w->mark.len))
		w->seen = true;
}

int hw_lua_withheld_index(lua_State *lua)
{
	lua_settop(lua, 2);
	if (!hw_lua_push_behind(lua, 1))
		return 0;
	lua_pushvalue(lua, 2);
	lua_rawget(lua, -2);
	hw_lua_see_withheld(lua);
	return 1;
}
