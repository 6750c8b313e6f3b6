/* JSON and Lua values, both ways. null is json.null (true in a condition, equal only to itself),
 * an array is a table that carries a mark, so that an empty one stays an array; integers are
 * exact, other numbers doubles. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <lua.h>

#include "base/str.h"
#include "wire/json.h"

/* Text that grows in a userdata at @index of the stack: memory of the state's arena, so that
 * nothing leaks when the call is ended in the middle. */
struct hw_lua_text {
	lua_State *lua;
	int index;
	char *data;
	size_t len, cap;
};
/** Pushes the userdata. */
void hw_lua_text_init(struct hw_lua_text *text, lua_State *lua, size_t cap);
void hw_lua_text_add(struct hw_lua_text *text, const char *p, size_t len);
void hw_lua_text_char(struct hw_lua_text *text, char c);
/** Pushes it as a string. */
void hw_lua_text_push(struct hw_lua_text *text);

/** Once per state, before all else: metatables of arrays and events. */
void hw_lua_value_open(lua_State *lua);

void hw_lua_push_null(lua_State *lua);
bool hw_lua_is_null(lua_State *lua, int index);
/** Pushes a string's meaning; a surrogate alone becomes its three bytes, which never leave unless
 *  untouched. */
void hw_lua_push_json_string(lua_State *lua, struct hw_json string);
void hw_lua_push_json_number(lua_State *lua, struct hw_json number);
/** Pushes a whole value. Raises a Lua error if the text is no JSON. */
void hw_lua_push_json(lua_State *lua, struct hw_str json);
void hw_lua_mark_array(lua_State *lua, int table);
bool hw_lua_is_array(lua_State *lua, int table); /* marked */
/** Whether what a script sees of the table at @table (absolute) has exactly the keys 1 to its
 *  length. */
bool hw_lua_is_sequence(lua_State *lua, int table);

/** Appends the value at @index (absolute) as JSON, compact, members sorted by name, views
 *  spliced. Raises a Lua error for what JSON cannot say: functions, NaN, text that is not UTF-8,
 *  tables that are both list and object, cycles. */
void hw_lua_encode(struct hw_lua_text *text, int index);
/** The parts of that which lua_event.c needs. */
void hw_lua_encode_value(struct hw_lua_text *text, int index, unsigned depth);
/** Appends the named members of the table at @table that @skip (a table of names at a stack
 *  index, 0 = none) does not have, sorted, each as "name":value, commas between and, if @comma,
 *  before the first. Returns how many. */
size_t hw_lua_encode_members(
	struct hw_lua_text *text, int table, int skip, bool comma, unsigned depth);
