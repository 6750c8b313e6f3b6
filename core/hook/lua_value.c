#include "hook/lua_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "base/utf8.h"
#include "hook/lua_event.h"
#include "hook/lua_internal.h"
#include "hook/lua_withheld.h"

/* luaL_Buffer wants to be on top of the stack whenever it grows, which a walk through tables
 * cannot give it. And it is not one growing malloc'd buffer either: the call may be jumped out
 * of. */

static const char array_key = 0; /* its address names the arrays' metatable in the registry */

void hw_lua_text_init(struct hw_lua_text *text, lua_State *lua, size_t cap)
{
	text->lua = lua;
	text->cap = cap < 64 ? 64 : cap;
	text->len = 0;
	text->data = lua_newuserdatauv(lua, text->cap, 0);
	text->index = lua_gettop(lua);
}

void hw_lua_text_add(struct hw_lua_text *text, const char *p, size_t len)
{
	if (text->cap - text->len < len) {
		size_t cap = text->cap * 2 > text->len + len ? text->cap * 2 : text->len + len;
		char *data = lua_newuserdatauv(text->lua, cap, 0);

		memcpy(data, text->data, text->len);
		lua_replace(text->lua, text->index);
		text->data = data;
		text->cap = cap;
	}
	memcpy(text->data + text->len, p, len);
	text->len += len;
}

void hw_lua_text_char(struct hw_lua_text *text, char c)
{
	if (HW_LIKELY(text->len < text->cap))
		text->data[text->len++] = c;
	else
		hw_lua_text_add(text, &c, 1);
}

void hw_lua_text_push(struct hw_lua_text *text)
{
	lua_pushlstring(text->lua, text->data, text->len);
}

void hw_lua_value_open(lua_State *lua)
{
	lua_createtable(lua, 0, 1);
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_rawsetp(lua, LUA_REGISTRYINDEX, &array_key);
	hw_lua_event_open(lua);
}

void hw_lua_push_null(lua_State *lua)
{
	lua_pushlightuserdata(lua, NULL);
}

bool hw_lua_is_null(lua_State *lua, int index)
{
	return lua_type(lua, index) == LUA_TLIGHTUSERDATA && !lua_touserdata(lua, index);
}

void hw_lua_mark_array(lua_State *lua, int table)
{
	table = lua_absindex(lua, table);
	lua_rawgetp(lua, LUA_REGISTRYINDEX, &array_key);
	lua_setmetatable(lua, table);
}

bool hw_lua_is_array(lua_State *lua, int table)
{
	bool is = false;

	if (lua_getmetatable(lua, table)) {
		lua_rawgetp(lua, LUA_REGISTRYINDEX, &array_key);
		is = lua_rawequal(lua, -1, -2);
		lua_pop(lua, 2);
	}
	return is;
}

/* ---- reading ---- */

void hw_lua_push_json_string(lua_State *lua, struct hw_json string)
{
	struct hw_str inside = hw_json_inside(string);
	luaL_Buffer buffer;
	char *out;

	if (hw_lua_push_withheld(lua, inside))
		return;
	if (!string.escaped) {
		lua_pushlstring(lua, inside.p, inside.len);
		return;
	}
	out = luaL_buffinitsize(lua, &buffer, string.raw.len);
	luaL_pushresultsize(&buffer, hw_json_copy_any(string, out));
}

/* The number without point and exponent as an integer; false if it does not fit. */
static bool read_integer(struct hw_str text, lua_Integer *out)
{
	bool negative = text.p[0] == '-';
	lua_Unsigned n = 0, limit = (lua_Unsigned)LUA_MAXINTEGER + negative;

	for (size_t i = negative; i < text.len; i++) {
		lua_Unsigned digit = (lua_Unsigned)text.p[i] - '0';

		if (digit > 9 || n > (limit - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (negative && n == 0)
		return false; /* -0 is a double */
	*out = negative ? (lua_Integer)(0 - n) : (lua_Integer)n;
	return true;
}

void hw_lua_push_json_number(lua_State *lua, struct hw_json number)
{
	lua_Integer n;

	if (read_integer(number.raw, &n))
		lua_pushinteger(lua, n);
	else
		lua_pushnumber(lua, hw_json_double(number));
}

static int bad_json(lua_State *lua, const struct hw_json_reader *r)
{
	return luaL_error(lua, "not JSON: byte %d: %s", (int)r->error_at, r->error);
}

static void push_value(lua_State *lua, struct hw_json_reader *r);

static void push_object(lua_State *lua, struct hw_json_reader *r)
{
	struct hw_json key;
	int rc;

	lua_newtable(lua);
	while ((rc = hw_json_member(r, &key)) == 0) {
		hw_lua_push_json_string(lua, key);
		push_value(lua, r);
		lua_rawset(lua, -3);
	}
	if (rc < 0)
		bad_json(lua, r);
}

static void push_array(lua_State *lua, struct hw_json_reader *r)
{
	lua_Integer n = 0;
	int rc;

	lua_newtable(lua);
	while ((rc = hw_json_element(r)) == 0) {
		push_value(lua, r);
		lua_rawseti(lua, -2, ++n);
	}
	if (rc < 0)
		bad_json(lua, r);
	hw_lua_mark_array(lua, -1);
}

static void push_value(lua_State *lua, struct hw_json_reader *r)
{
	enum hw_json_kind kind = hw_json_peek(r);
	struct hw_json value;

	luaL_checkstack(lua, 8, "nested too deeply");
	if (kind == HW_JSON_OBJECT || kind == HW_JSON_ARRAY) {
		if (hw_json_enter(r, kind) != 0)
			bad_json(lua, r);
		if (kind == HW_JSON_OBJECT)
			push_object(lua, r);
		else
			push_array(lua, r);
		return;
	}
	if (hw_json_value(r, &value) != 0)
		bad_json(lua, r);
	if (kind == HW_JSON_STRING)
		hw_lua_push_json_string(lua, value);
	else if (kind == HW_JSON_NUMBER)
		hw_lua_push_json_number(lua, value);
	else if (kind == HW_JSON_NULL)
		hw_lua_push_null(lua);
	else
		lua_pushboolean(lua, kind == HW_JSON_TRUE);
}

void hw_lua_push_json(lua_State *lua, struct hw_str json)
{
	struct hw_json_reader r;

	hw_json_init(&r, json, 0);
	push_value(lua, &r);
	if (hw_json_finish(&r) != 0)
		bad_json(lua, &r);
}

/* ---- writing ---- */

static void encode_string(struct hw_lua_text *text, const char *p, size_t len)
{
	static const char letters[] = "\b\f\n\r\t", names[] = "bfnrt";
	const char *end = p + len;
	char escape[8];

	if (!hw_utf8_valid(p, len))
		luaL_error(text->lua, "text that is not UTF-8 cannot be written as JSON");
	hw_lua_text_char(text, '"');
	while (p < end) {
		const char *run = p, *letter;

		while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
			p++;
		hw_lua_text_add(text, run, (size_t)(p - run));
		if (p == end)
			break;
		letter = *p ? strchr(letters, *p) : NULL;
		if (*p == '"' || *p == '\\' || letter) {
			hw_lua_text_char(text, '\\');
			hw_lua_text_char(text, letter ? names[letter - letters] : *p);
		} else {
			snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)(unsigned char)*p);
			hw_lua_text_add(text, escape, 6);
		}
		p++;
	}
	hw_lua_text_char(text, '"');
}

static void encode_number(struct hw_lua_text *text, int index)
{
	char digits[64];
	double n;
	int len;

	if (lua_isinteger(text->lua, index)) {
		len = snprintf(
			digits, sizeof(digits), LUA_INTEGER_FMT, lua_tointeger(text->lua, index));
		hw_lua_text_add(text, digits, (size_t)len);
		return;
	}
	n = lua_tonumber(text->lua, index);
	if (!isfinite(n))
		luaL_error(text->lua, "%f is not a number that JSON has", n);
	if (n == floor(n) && fabs(n) < 9007199254740992.0) {
		len = snprintf(digits, sizeof(digits), "%.0f", n);
	} else {
		len = snprintf(digits, sizeof(digits), "%.15g", n);
		for (int precision = 16; precision <= 17 && strtod(digits, NULL) != n; precision++)
			len = snprintf(digits, sizeof(digits), "%.*g", precision, n);
	}
	hw_lua_text_add(text, digits, (size_t)len);
}

/* How many members a script sees: without those that a view hides. */
static size_t count_members(lua_State *lua, int table)
{
	size_t n = 0;

	lua_pushnil(lua);
	while (lua_next(lua, table)) {
		n += !hw_lua_view_hides(lua, lua_absindex(lua, -2));
		lua_pop(lua, 1);
	}
	return n;
}

bool hw_lua_is_sequence(lua_State *lua, int table)
{
	lua_Integer n = (lua_Integer)lua_rawlen(lua, table), n_keys = 0;

	lua_pushnil(lua);
	while (lua_next(lua, table)) {
		lua_pop(lua, 1);
		if (hw_lua_view_hides(lua, lua_gettop(lua)))
			continue;
		n_keys++;
		if (!lua_isinteger(lua, -1) || lua_tointeger(lua, -1) < 1 ||
			lua_tointeger(lua, -1) > n) {
			lua_pop(lua, 1);
			return false;
		}
	}
	return n_keys == n;
}

static void encode_list(struct hw_lua_text *text, int table, unsigned depth)
{
	lua_State *lua = text->lua;
	lua_Integer n = (lua_Integer)lua_rawlen(lua, table);

	hw_lua_text_char(text, '[');
	for (lua_Integer i = 1; i <= n; i++) {
		if (i > 1)
			hw_lua_text_char(text, ',');
		lua_rawgeti(lua, table, i);
		hw_lua_encode_value(text, lua_gettop(lua), depth + 1);
		lua_pop(lua, 1);
	}
	hw_lua_text_char(text, ']');
}

struct name {
	const char *p;
	size_t len;
};

static bool name_before(const struct name *a, const struct name *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int order = memcmp(a->p, b->p, n);

	return order != 0 ? order < 0 : a->len < b->len;
}

static void sift_down(struct name *names, size_t from, size_t n)
{
	struct name moved = names[from];

	for (size_t child; (child = 2 * from + 1) < n; from = child) {
		if (child + 1 < n && name_before(&names[child], &names[child + 1]))
			child++;
		if (!name_before(&moved, &names[child]))
			break;
		names[from] = names[child];
	}
	names[from] = moved;
}

/* Heapsort: qsort may call malloc. */
static void sort_names(struct name *names, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift_down(names, i, n);
	for (size_t i = n; i-- > 1;) {
		struct name last = names[i];

		names[i] = names[0];
		names[0] = last;
		sift_down(names, 0, i);
	}
}

/* Pushes a userdata with the names of the table's members, sorted. The strings are the table's. */
static struct name *push_names(lua_State *lua, int table, int skip, size_t *n_out)
{
	size_t cap = count_members(lua, table), n = 0;
	struct name *names = lua_newuserdatauv(lua, cap * sizeof(*names) + 1, 0);

	lua_pushnil(lua);
	while (lua_next(lua, table)) {
		bool skipped = hw_lua_view_hides(lua, lua_absindex(lua, -2));

		lua_pop(lua, 1);
		if (skipped)
			continue;
		if (lua_type(lua, -1) != LUA_TSTRING)
			luaL_error(lua, "a JSON object has only names for keys, not a %s",
				luaL_typename(lua, -1));
		if (skip) {
			lua_pushvalue(lua, -1);
			skipped = lua_rawget(lua, skip) != LUA_TNIL;
			lua_pop(lua, 1);
		}
		if (!skipped) {
			names[n].p = lua_tolstring(lua, -1, &names[n].len);
			n++;
		}
	}
	sort_names(names, n);
	*n_out = n;
	return names;
}

size_t hw_lua_encode_members(
	struct hw_lua_text *text, int table, int skip, bool comma, unsigned depth)
{
	lua_State *lua = text->lua;
	size_t n;
	struct name *names = push_names(lua, table, skip, &n);

	for (size_t i = 0; i < n; i++) {
		if (comma || i > 0)
			hw_lua_text_char(text, ',');
		encode_string(text, names[i].p, names[i].len);
		hw_lua_text_char(text, ':');
		lua_pushlstring(lua, names[i].p, names[i].len);
		lua_rawget(lua, table);
		hw_lua_encode_value(text, lua_gettop(lua), depth + 1);
		lua_pop(lua, 1);
	}
	lua_pop(lua, 1);
	return n;
}

static void encode_table(struct hw_lua_text *text, int table, unsigned depth)
{
	lua_State *lua = text->lua;
	size_t length;

	if (depth >= HW_JSON_DEPTH)
		luaL_error(lua, "nested too deeply for JSON, or in a circle");
	luaL_checkstack(lua, 12, "nested too deeply for JSON");
	if (hw_lua_push_behind(lua, table)) {
		encode_table(text, lua_gettop(lua), depth);
		lua_pop(lua, 1);
		return;
	}
	if (hw_lua_is_view(lua, table)) {
		(void)hw_lua_view_encode(text, table, depth);
		return;
	}
	length = lua_rawlen(lua, table);
	if (length > 0 || hw_lua_is_array(lua, table)) {
		if (!hw_lua_is_sequence(lua, table))
			luaL_error(lua,
				"a table with %d elements and holes or other keys beside them is "
				"neither a JSON "
				"array nor an object",
				(int)length);
		encode_list(text, table, depth);
		return;
	}
	hw_lua_text_char(text, '{');
	(void)hw_lua_encode_members(text, table, 0, false, depth);
	hw_lua_text_char(text, '}');
}

void hw_lua_encode_value(struct hw_lua_text *text, int index, unsigned depth)
{
	lua_State *lua = text->lua;
	const char *p;
	size_t len;

	switch (lua_type(lua, index)) {
	case LUA_TNIL:
		hw_lua_text_add(text, "null", 4);
		return;
	case LUA_TBOOLEAN:
		if (lua_toboolean(lua, index))
			hw_lua_text_add(text, "true", 4);
		else
			hw_lua_text_add(text, "false", 5);
		return;
	case LUA_TNUMBER:
		encode_number(text, index);
		return;
	case LUA_TSTRING:
		p = lua_tolstring(lua, index, &len);
		encode_string(text, p, len);
		return;
	case LUA_TTABLE:
		encode_table(text, index, depth);
		return;
	default:
		lua_pushvalue(lua, index);
		hw_lua_see_withheld(lua);
		lua_pop(lua, 1);
		if (!hw_lua_is_null(lua, index))
			luaL_error(
				lua, "a %s cannot be written as JSON", luaL_typename(lua, index));
		hw_lua_text_add(text, "null", 4);
	}
}

void hw_lua_encode(struct hw_lua_text *text, int index)
{
	hw_lua_encode_value(text, lua_absindex(text->lua, index), 0);
}

/* ---- the library ---- */

static int json_encode(lua_State *lua)
{
	struct hw_lua_text text;

	luaL_checkany(lua, 1);
	hw_lua_text_init(&text, lua, 256);
	hw_lua_encode(&text, 1);
	hw_lua_see_withheld_text(lua, (struct hw_str){text.data, text.len});
	hw_lua_text_push(&text);
	return 1;
}

/* The value, or nil and why not: text from outside is not the script's mistake. */
static int json_decode(lua_State *lua)
{
	struct hw_json_reader r;
	struct hw_json value;
	size_t len;
	const char *p = luaL_checklstring(lua, 1, &len);

	lua_settop(lua, 1);
	hw_json_init(&r, (struct hw_str){p, len}, 0);
	if (hw_json_value(&r, &value) != 0 || hw_json_finish(&r) != 0) {
		lua_pushnil(lua);
		lua_pushfstring(lua, "not JSON: byte %d: %s", (int)r.error_at, r.error);
		return 2;
	}
	hw_lua_push_json(lua, (struct hw_str){p, len});
	return 1;
}

static int json_array(lua_State *lua)
{
	if (lua_isnoneornil(lua, 1)) {
		lua_settop(lua, 0);
		lua_newtable(lua);
	} else {
		luaL_checktype(lua, 1, LUA_TTABLE);
		lua_settop(lua, 1);
		hw_lua_view_fill(lua, 1);
		if (lua_getmetatable(lua, 1)) {
			lua_pop(lua, 1);
			luaL_argcheck(
				lua, hw_lua_is_array(lua, 1), 1, "it has a metatable of its own");
		}
	}
	hw_lua_mark_array(lua, 1);
	return 1;
}

void hw_lua_push_json_library(lua_State *lua)
{
	static const luaL_Reg functions[] = {{"encode", json_encode}, {"decode", json_decode},
		{"array", json_array}, {NULL, NULL}};

	luaL_newlib(lua, functions);
	hw_lua_push_null(lua);
	lua_setfield(lua, -2, "null");
}
