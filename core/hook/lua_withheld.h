/* Inside the Lua runtime: a withheld value is a light userdata that no script can make. Whoever is
 * about to hand a value to a script asks here first. */
#pragma once

#include "hook/lua_internal.h"
#include "hook/withheld.h"

/** Pushes it, if @text is the mark. */
bool hw_lua_push_withheld(lua_State *lua, struct hw_str text);
/** If the value on top is one, it is noted as seen, and nil stands there instead. */
void hw_lua_see_withheld(lua_State *lua);
/** The same of whatever holds the mark. */
void hw_lua_see_withheld_text(lua_State *lua, struct hw_str text);
/** __index of a read-only table, for states whose values may be withheld. */
int hw_lua_withheld_index(lua_State *lua);

static inline struct hw_withheld *hw_lua_withheld(lua_State *lua)
{
	return hw_lua_of(lua)->env->withheld;
}
