/* An event as a script sees it: a table that is filled from the JSON text level by level when it
 * is first touched, and written back by splicing what changed into that text. What no script
 * changed keeps every byte. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <lua.h>

#include "base/str.h"
#include "hook/lua_value.h"

void hw_lua_event_open(lua_State *lua); /* from hw_lua_value_open */

/** Pushes a view of @json (an object), which is copied into the state: a script may keep it. */
void hw_lua_push_event(lua_State *lua, struct hw_str json);

/** Whether the table at @index is a view (or was filled from one). */
bool hw_lua_is_view(lua_State *lua, int index);
/** If the table at @index is a view nobody has looked into yet, fills it. Anything else is left
 *  alone. */
void hw_lua_view_fill(lua_State *lua, int index);
/** Whether @key (at an absolute index) is one of the two hidden members of a view, which no
 *  script may see. */
bool hw_lua_view_hides(lua_State *lua, int key);
/** Appends the view's text. true if it differs from what the view was made of. */
bool hw_lua_view_encode(struct hw_lua_text *text, int index, unsigned depth);
