#include "hook/lua_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "hook/lua_value.h"

/* string.format of our own. Liblua's calls printf and the scripts' __tostring from one function:
 * the first may hold heap memory when a call is jumped out of, the second may run for ever. Here
 * each conversion is a host section of its own, and nothing of Lua's is inside. */

#define MAX_ITEM 512 /* "%99.99f" of the largest double takes 410 */

struct item {
	char format[16]; /* "%-08.3" and room for "ll", the letter and a zero */
	size_t len;
	size_t width;
	size_t precision;
	bool has_precision;
	bool left;
	char letter;
};

static const char *read_number(const char *p, size_t *out)
{
	*out = 0;
	for (int i = 0; i < 2 && isdigit((unsigned char)*p); i++)
		*out = *out * 10 + (size_t)(*p++ - '0');
	return p;
}

/* @p is behind the percent sign; the string is zero-terminated. Returns what is behind the
 * conversion. */
static const char *read_item(lua_State *lua, const char *p, struct item *item)
{
	const char *begin = p;

	*item = (struct item){.format = "%", .len = 1};
	while (*p && strchr("-+ #0", *p) && p - begin < 5)
		item->left |= *p++ == '-';
	p = read_number(p, &item->width);
	if (*p == '.') {
		item->has_precision = true;
		p = read_number(p + 1, &item->precision);
	}
	if (!*p || isdigit((unsigned char)*p) || strchr("-+ #0.", *p))
		luaL_error(lua, "invalid format '%%%s'", begin);
	memcpy(item->format + 1, begin, (size_t)(p - begin));
	item->len += (size_t)(p - begin);
	item->letter = *p;
	return p + 1;
}

static void pad(struct hw_lua_text *text, size_t n)
{
	while (n-- > 0)
		hw_lua_text_char(text, ' ');
}

static void put_padded(struct hw_lua_text *text, const struct item *item, const char *p, size_t len)
{
	size_t space = item->width > len ? item->width - len : 0;

	if (!item->left)
		pad(text, space);
	hw_lua_text_add(text, p, len);
	if (item->left)
		pad(text, space);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* read_item has let nothing else into it */
static void put_integer(struct hw_lua_text *text, struct item *item, long long n)
{
	char out[MAX_ITEM];
	int len;

	item->format[item->len++] = 'l';
	item->format[item->len++] = 'l';
	item->format[item->len] = item->letter;
	hw_lua_host_begin(text->lua);
	len = snprintf(out, sizeof(out), item->format, n);
	hw_lua_host_end(text->lua);
	hw_lua_text_add(text, out, (size_t)len);
}

static void put_double(struct hw_lua_text *text, struct item *item, double n)
{
	char out[MAX_ITEM];
	int len;

	item->format[item->len] = item->letter;
	hw_lua_host_begin(text->lua);
	len = snprintf(out, sizeof(out), item->format, n);
	hw_lua_host_end(text->lua);
	hw_lua_text_add(text, out, (size_t)len);
}
#pragma GCC diagnostic pop

static void put_string(struct hw_lua_text *text, const struct item *item, int arg)
{
	size_t len;
	const char *p = luaL_tolstring(text->lua, arg, &len); /* may call __tostring */

	if (item->has_precision && len > item->precision)
		len = item->precision;
	put_padded(text, item, p, len);
	lua_pop(text->lua, 1);
}

static void quote_string(struct hw_lua_text *text, const char *p, size_t len)
{
	char escape[8];

	hw_lua_text_char(text, '"');
	for (const char *end = p + len; p < end; p++) {
		if (*p == '"' || *p == '\\' || *p == '\n') {
			hw_lua_text_char(text, '\\');
			hw_lua_text_char(text, *p);
		} else if (iscntrl((unsigned char)*p)) {
			bool digit_follows = p + 1 < end && isdigit((unsigned char)p[1]);

			snprintf(escape, sizeof(escape), digit_follows ? "\\%03d" : "\\%d",
				(unsigned char)*p);
			hw_lua_text_add(text, escape, strlen(escape));
		} else {
			hw_lua_text_char(text, *p);
		}
	}
	hw_lua_text_char(text, '"');
}

static void quote_number(struct hw_lua_text *text, int arg)
{
	struct item item = {.format = "%", .len = 1, .letter = 'd'};
	double n;

	if (lua_isinteger(text->lua, arg)) {
		lua_Integer i = lua_tointeger(text->lua, arg);

		if (i == LUA_MININTEGER) /* has no decimal form that reads back as an integer */
			item = (struct item){.format = "%#", .len = 2, .letter = 'x'};
		put_integer(text, &item, i);
		return;
	}
	n = lua_tonumber(text->lua, arg);
	if (isnan(n)) {
		hw_lua_text_add(text, "(0/0)", 5);
	} else if (isinf(n)) {
		hw_lua_text_add(text, n < 0 ? "-1e9999" : "1e9999", n < 0 ? 7 : 6);
	} else {
		item.letter = 'a';
		put_double(text, &item, n);
	}
}

static void put_quoted(struct hw_lua_text *text, const struct item *item, int arg)
{
	lua_State *lua = text->lua;
	const char *p;
	size_t len;

	if (item->len > 1)
		luaL_error(lua, "%%q takes no modifiers");
	switch (lua_type(lua, arg)) {
	case LUA_TSTRING:
		p = lua_tolstring(lua, arg, &len);
		quote_string(text, p, len);
		break;
	case LUA_TNUMBER:
		quote_number(text, arg);
		break;
	case LUA_TNIL:
	case LUA_TBOOLEAN:
		p = luaL_tolstring(lua, arg, &len);
		hw_lua_text_add(text, p, len);
		lua_pop(lua, 1);
		break;
	default:
		luaL_argerror(lua, arg, "has no literal form");
	}
}

static void put_item(struct hw_lua_text *text, struct item *item, int arg)
{
	char c;

	switch (item->letter) {
	case 'c':
		c = (char)luaL_checkinteger(text->lua, arg);
		put_padded(text, item, &c, 1);
		break;
	case 'd':
	case 'i':
	case 'o':
	case 'x':
	case 'X':
		put_integer(text, item, luaL_checkinteger(text->lua, arg));
		break;
	case 'a':
	case 'A':
	case 'e':
	case 'E':
	case 'f':
	case 'F':
	case 'g':
	case 'G':
		put_double(text, item, luaL_checknumber(text->lua, arg));
		break;
	case 's':
		put_string(text, item, arg);
		break;
	case 'q':
		put_quoted(text, item, arg);
		break;
	default:
		luaL_error(text->lua, "invalid conversion '%%%c' to 'format'", item->letter);
	}
}

int hw_lua_string_format(lua_State *lua)
{
	int n_args = lua_gettop(lua), arg = 1;
	struct hw_lua_text text;
	struct item item;
	size_t len;
	const char *p = luaL_checklstring(lua, 1, &len), *end = p + len;

	luaL_checkstack(lua, 8, NULL);
	hw_lua_text_init(&text, lua, len + 32);
	while (p < end) {
		const char *percent = memchr(p, '%', (size_t)(end - p));
		const char *stop = percent ? percent : end;

		hw_lua_text_add(&text, p, (size_t)(stop - p));
		p = stop;
		if (p == end)
			break;
		if (*++p == '%') {
			hw_lua_text_char(&text, *p++);
			continue;
		}
		p = read_item(lua, p, &item);
		if (++arg > n_args)
			luaL_argerror(lua, arg, "no value");
		put_item(&text, &item, arg);
	}
	hw_lua_text_push(&text);
	return 1;
}
