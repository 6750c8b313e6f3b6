#include "hook/lua_event.h"

#include <stdint.h>
#include <string.h>

#include <lauxlib.h>

#include "hook/lua_withheld.h"

/* A view is an ordinary table with two members that no script sees: the text it comes from and
 * where in that text it stands. Until somebody looks into it, it has no others and a metatable
 * that fills it at the first touch: one level, containers in it becoming views in turn. From then
 * on it is a plain table, and next, #, table.sort … just work.
 *
 * Nothing is recorded while a script writes. At the end the text is read once more beside the
 * table: what still says what the text says keeps its bytes, and only the rest is written anew. A
 * part nobody looked into is copied whole. */

static const char lazy_key = 0;   /* registry: the metatable of views that are not filled */
static const char span_key = 0;   /* hidden member: where */
static const char source_key = 0; /* hidden member: the text */

/* span: start << 33 | length << 3 | flags */
#define FILLED 1
#define ARRAY 2
#define DOUBLES 4 /* a name comes more than once in the text; the last one counts */

struct span {
	size_t start, len;
	unsigned flags;
};

static void set_span(lua_State *lua, int table, struct span s)
{
	lua_pushinteger(
		lua, (lua_Integer)((uint64_t)s.start << 33 | (uint64_t)s.len << 3 | s.flags));
	lua_rawsetp(lua, table, &span_key);
}

/* false: not a view */
static bool get_span(lua_State *lua, int table, struct span *out)
{
	bool is = lua_rawgetp(lua, table, &span_key) == LUA_TNUMBER;

	if (is) {
		uint64_t packed = (uint64_t)lua_tointeger(lua, -1);

		*out = (struct span){packed >> 33, (packed >> 3) & ((1u << 30) - 1), packed & 7};
	}
	lua_pop(lua, 1);
	return is;
}

/* Pushes a view of @value, which stands in the string at @source. */
static void push_view(lua_State *lua, int source, struct hw_json value)
{
	const char *text = lua_tostring(lua, source);
	struct span s = {(size_t)(value.raw.p - text), value.raw.len,
		value.kind == HW_JSON_ARRAY ? ARRAY : 0};

	/* Room for a guess at its members: growing a table costs more than scanning what goes
	 * into it. */
	lua_createtable(lua, 0, s.flags & ARRAY ? 2 : value.raw.len < 48 ? 4 : 8);
	set_span(lua, lua_gettop(lua), s);
	lua_pushvalue(lua, source);
	lua_rawsetp(lua, -2, &source_key);
	lua_rawgetp(lua, LUA_REGISTRYINDEX, &lazy_key);
	lua_setmetatable(lua, -2);
}

static int bad_text(lua_State *lua, const struct hw_json_reader *r)
{
	return luaL_error(lua, "the event is not JSON: byte %d: %s", (int)r->error_at, r->error);
}

void hw_lua_push_event(lua_State *lua, struct hw_str json)
{
	struct hw_json_reader r;
	struct hw_json whole;
	const char *text;
	int source;

	luaL_checkstack(lua, 8, NULL);
	lua_pushlstring(lua, json.p, json.len);
	source = lua_gettop(lua);
	text = lua_tostring(lua, source);
	hw_json_init(&r, (struct hw_str){text, json.len}, HW_JSON_UTF8_DONE);
	if (hw_json_peek(&r) != HW_JSON_OBJECT)
		luaL_error(lua, "the event is not a JSON object");
	whole = (struct hw_json){
		.raw = {r.p, (size_t)(text + json.len - r.p)}, .kind = HW_JSON_OBJECT};
	while (whole.raw.len > 0 && whole.raw.p[whole.raw.len - 1] != '}')
		whole.raw.len--;
	push_view(lua, source, whole);
	lua_remove(lua, source);
}

bool hw_lua_is_view(lua_State *lua, int index)
{
	struct span ignored;

	return lua_type(lua, index) == LUA_TTABLE &&
	       get_span(lua, lua_absindex(lua, index), &ignored);
}

bool hw_lua_view_hides(lua_State *lua, int key)
{
	const void *p;

	if (lua_type(lua, key) != LUA_TLIGHTUSERDATA)
		return false;
	p = lua_touserdata(lua, key);
	return p == &span_key || p == &source_key;
}

/* ---- reading ---- */

static void push_part(lua_State *lua, int source, struct hw_json value)
{
	switch (value.kind) {
	case HW_JSON_OBJECT:
	case HW_JSON_ARRAY:
		push_view(lua, source, value);
		break;
	case HW_JSON_STRING:
		hw_lua_push_json_string(lua, value);
		/* whoever looks at this level may look at it, and nobody sees which member it was
		 */
		hw_lua_see_withheld(lua);
		break;
	case HW_JSON_NUMBER:
		hw_lua_push_json_number(lua, value);
		break;
	case HW_JSON_TRUE:
	case HW_JSON_FALSE:
		lua_pushboolean(lua, value.kind == HW_JSON_TRUE);
		break;
	default:
		hw_lua_push_null(lua);
	}
}

/* true if a name came more than once */
static bool fill_object(lua_State *lua, int table, int source, struct hw_json_reader *r)
{
	struct hw_json key, value;
	bool doubles = false;
	int rc;

	while ((rc = hw_json_member(r, &key)) == 0 && (rc = hw_json_value(r, &value)) == 0) {
		hw_lua_push_json_string(lua, key);
		lua_pushvalue(lua, -1);
		doubles |= lua_rawget(lua, table) != LUA_TNIL;
		lua_pop(lua, 1);
		push_part(lua, source, value);
		lua_rawset(lua, table);
	}
	if (rc < 0)
		bad_text(lua, r);
	return doubles;
}

static void fill_array(lua_State *lua, int table, int source, struct hw_json_reader *r)
{
	struct hw_json value;
	lua_Integer n = 0;
	int rc;

	while ((rc = hw_json_element(r)) == 0 && (rc = hw_json_value(r, &value)) == 0) {
		push_part(lua, source, value);
		lua_rawseti(lua, table, ++n);
	}
	if (rc < 0)
		bad_text(lua, r);
}

/* Pushes the view's text and sets @r to the view's part of it, inside its bracket. */
static const char *open_part(
	lua_State *lua, int table, const struct span *s, struct hw_json_reader *r)
{
	const char *text;

	lua_rawgetp(lua, table, &source_key);
	text = lua_tostring(lua, -1);
	hw_json_init(r, (struct hw_str){text + s->start, s->len}, HW_JSON_UTF8_DONE);
	if (hw_json_enter(r, s->flags & ARRAY ? HW_JSON_ARRAY : HW_JSON_OBJECT) != 0)
		bad_text(lua, r);
	return text;
}

static void fill(lua_State *lua, int table)
{
	struct hw_json_reader r;
	struct span s;
	int source;

	luaL_checkstack(lua, 10, NULL);
	if (!get_span(lua, table, &s) || (s.flags & FILLED))
		return;
	open_part(lua, table, &s, &r);
	source = lua_gettop(lua);
	if (s.flags & ARRAY)
		fill_array(lua, table, source, &r);
	else if (fill_object(lua, table, source, &r))
		s.flags |= DOUBLES;
	s.flags |= FILLED;
	set_span(lua, table, s);
	if (s.flags & ARRAY) {
		hw_lua_mark_array(lua, table);
	} else {
		lua_pushnil(lua);
		lua_setmetatable(lua, table);
	}
	lua_settop(lua, source - 1);
}

void hw_lua_view_fill(lua_State *lua, int index)
{
	bool lazy;

	if (lua_type(lua, index) != LUA_TTABLE || !lua_getmetatable(lua, index))
		return;
	lua_rawgetp(lua, LUA_REGISTRYINDEX, &lazy_key);
	lazy = lua_rawequal(lua, -1, -2);
	lua_pop(lua, 2);
	if (lazy)
		fill(lua, lua_absindex(lua, index));
}

static int lazy_index(lua_State *lua)
{
	lua_settop(lua, 2);
	fill(lua, 1);
	lua_rawget(lua, 1);
	return 1;
}

static int lazy_newindex(lua_State *lua)
{
	lua_settop(lua, 3);
	fill(lua, 1);
	lua_rawset(lua, 1);
	return 0;
}

static int lazy_len(lua_State *lua)
{
	lua_settop(lua, 1);
	fill(lua, 1);
	lua_pushinteger(lua, (lua_Integer)lua_rawlen(lua, 1));
	return 1;
}

void hw_lua_event_open(lua_State *lua)
{
	static const luaL_Reg methods[] = {{"__index", lazy_index}, {"__newindex", lazy_newindex},
		{"__len", lazy_len}, {NULL, NULL}};

	luaL_newlib(lua, methods);
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_rawsetp(lua, LUA_REGISTRYINDEX, &lazy_key);
}

/* ---- writing ---- */

/* One view on its way out. The text of an object or array is a run of segments, each from behind
 * the comma (or bracket) before it up to the next; a segment that goes takes one comma with it. */
struct splice {
	struct hw_lua_text *text;
	lua_State *lua;
	int table, source; /* stack */
	struct hw_json_reader r;
	const char *base;    /* the source's bytes */
	const char *segment; /* where the current one starts */
	const char *end;     /* the closing bracket */
	size_t n_out;        /* segments written */
	size_t n_live;       /* members of the text that the table still has */
	unsigned depth;
	bool changed;
};

/* Does the value on top of the stack say what @value says? */
static bool same_scalar(lua_State *lua, struct hw_json value)
{
	size_t len;
	const char *p;
	bool same;

	switch (value.kind) {
	case HW_JSON_NULL:
		return hw_lua_is_null(lua, -1);
	case HW_JSON_TRUE:
	case HW_JSON_FALSE:
		return lua_type(lua, -1) == LUA_TBOOLEAN &&
		       lua_toboolean(lua, -1) == (value.kind == HW_JSON_TRUE);
	case HW_JSON_NUMBER:
		if (lua_type(lua, -1) != LUA_TNUMBER)
			return false;
		hw_lua_push_json_number(lua, value);
		break;
	default:
		if (lua_type(lua, -1) != LUA_TSTRING)
			return false;
		if (!value.escaped) {
			p = lua_tolstring(lua, -1, &len);
			return len == value.raw.len - 2 && memcmp(p, value.raw.p + 1, len) == 0;
		}
		hw_lua_push_json_string(lua, value);
	}
	same = lua_rawequal(lua, -1, -2);
	lua_pop(lua, 1);
	return same;
}

/* Is the table on top of the stack the view of @value itself? */
static bool same_view(struct splice *s, struct hw_json value)
{
	lua_State *lua = s->lua;
	struct span span;
	bool same;

	if (lua_type(lua, -1) != LUA_TTABLE || !get_span(lua, lua_gettop(lua), &span) ||
		span.start != (size_t)(value.raw.p - s->base))
		return false;
	lua_rawgetp(lua, -1, &source_key);
	/* One pointer, one text: liblua shares only short strings that are equal. */
	same = lua_tostring(lua, -1) == s->base;
	lua_pop(lua, 1);
	return same;
}

static bool same_value(struct splice *s, struct hw_json value)
{
	if (value.kind == HW_JSON_OBJECT || value.kind == HW_JSON_ARRAY)
		return same_view(s, value);
	return same_scalar(s->lua, value);
}

static void add_range(struct splice *s, const char *from, const char *to)
{
	hw_lua_text_add(s->text, from, (size_t)(to - from));
}

static const char *skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
		p++;
	return p;
}

/* Writes the segment that holds @value with what is on top of the stack in its place. */
static void put_segment(struct splice *s, struct hw_json value)
{
	const char *value_end = value.raw.p + value.raw.len;
	int now = lua_gettop(s->lua);

	if (s->n_out > 0)
		hw_lua_text_char(s->text, ',');
	add_range(s, s->segment, value.raw.p);
	if (!same_value(s, value)) {
		hw_lua_encode_value(s->text, now, s->depth + 1);
		s->changed = true;
	} else if (value.kind == HW_JSON_OBJECT || value.kind == HW_JSON_ARRAY) {
		s->changed |= hw_lua_view_encode(s->text, now, s->depth + 1);
	} else {
		hw_lua_text_add(s->text, value.raw.p, value.raw.len);
	}
	add_range(s, value_end, skip_space(value_end));
	s->n_out++;
}

static void next_segment(struct splice *s, struct hw_json value)
{
	const char *stop = skip_space(value.raw.p + value.raw.len);

	s->segment = *stop == ',' ? stop + 1 : stop;
}

/* What is known of the last value of a name: where it stands, and, once asked, whether it was
 * changed. */
enum last { LAST_UNKNOWN, LAST_SAME, LAST_CHANGED };

static void push_last(lua_State *lua, size_t place, enum last what)
{
	lua_pushinteger(lua, (lua_Integer)((uint64_t)place << 2 | (uint64_t)what));
}

/* Pushes a table: each name of the text → its last value. */
static void push_last_places(struct splice *s)
{
	struct hw_json_reader r = s->r;
	struct hw_json key, value;

	lua_newtable(s->lua);
	while (hw_json_member(&r, &key) == 0 && hw_json_value(&r, &value) == 0) {
		hw_lua_push_json_string(s->lua, key);
		push_last(s->lua, (size_t)(value.raw.p - s->base), LAST_UNKNOWN);
		lua_rawset(s->lua, -3);
	}
}

/* Does the table still say what the text's last value of the name says? The name is on top. */
static bool last_is_same(struct splice *s, size_t place)
{
	struct hw_json_reader r;
	struct hw_json last;
	bool same;

	hw_json_init(&r, (struct hw_str){s->base + place, (size_t)(s->end - s->base) - place},
		HW_JSON_UTF8_DONE);
	if (hw_json_value(&r, &last) != 0)
		bad_text(s->lua, &r);
	lua_pushvalue(s->lua, -1);
	lua_rawget(s->lua, s->table);
	same = same_value(s, last);
	lua_pop(s->lua, 1);
	return same;
}

/* A name that comes again later in the text: is this one overruled? If what overrules it still
 * stands, both stay as they are; if that was changed, the earlier one goes, so that no reader can
 * take it for the value. Found out once a name: a text may have it often. The name is on top of the
 * stack. */
static bool overruled(struct splice *s, int last_places, struct hw_json value)
{
	uint64_t known;
	size_t place;

	lua_pushvalue(s->lua, -1);
	lua_rawget(s->lua, last_places);
	known = (uint64_t)lua_tointeger(s->lua, -1);
	lua_pop(s->lua, 1);
	place = (size_t)(known >> 2);
	if (place == (size_t)(value.raw.p - s->base))
		return false;
	if ((known & 3) == LAST_UNKNOWN) {
		known = last_is_same(s, place) ? LAST_SAME : LAST_CHANGED;
		lua_pushvalue(s->lua, -1);
		push_last(s->lua, place, (enum last)known);
		lua_rawset(s->lua, last_places);
	}
	if ((known & 3) == LAST_SAME) {
		if (s->n_out > 0)
			hw_lua_text_char(s->text, ',');
		add_range(s, s->segment, skip_space(value.raw.p + value.raw.len));
		s->n_out++;
	} else {
		s->changed = true;
	}
	return true;
}

static void splice_object(struct splice *s, bool doubles)
{
	lua_State *lua = s->lua;
	int places = 0;
	struct hw_json key, value;
	int rc;

	if (doubles) {
		push_last_places(s);
		places = lua_gettop(lua);
	}
	while ((rc = hw_json_member(&s->r, &key)) == 0 &&
		(rc = hw_json_value(&s->r, &value)) == 0) {
		hw_lua_push_json_string(lua, key);
		if (places && overruled(s, places, value)) {
			lua_pop(lua, 1);
		} else {
			if (lua_rawget(lua, s->table) == LUA_TNIL) {
				s->changed = true;
			} else {
				put_segment(s, value);
				s->n_live++;
			}
			lua_pop(lua, 1);
		}
		next_segment(s, value);
	}
	if (rc < 0)
		bad_text(lua, &s->r);
}

/* Members that the text does not have. */
static void add_members(struct splice *s, const struct span *span)
{
	lua_State *lua = s->lua;
	size_t n = 0;

	lua_pushnil(lua);
	while (lua_next(lua, s->table)) {
		n += !hw_lua_view_hides(lua, lua_absindex(lua, -2));
		lua_pop(lua, 1);
	}
	if (n == s->n_live)
		return;
	hw_json_init(&s->r, (struct hw_str){s->base + span->start, span->len}, HW_JSON_UTF8_DONE);
	if (hw_json_enter(&s->r, HW_JSON_OBJECT) != 0)
		bad_text(lua, &s->r);
	push_last_places(s);
	(void)hw_lua_encode_members(s->text, s->table, lua_gettop(lua), s->n_out > 0, s->depth);
	s->changed = true;
}

static void splice_array(struct splice *s)
{
	lua_State *lua = s->lua;
	lua_Integer n = (lua_Integer)lua_rawlen(lua, s->table), i = 0;
	struct hw_json value;
	int rc;

	if (!hw_lua_is_sequence(lua, s->table))
		luaL_error(
			lua, "an array of %d elements has holes or other keys beside them", (int)n);
	while ((rc = hw_json_element(&s->r)) == 0 && (rc = hw_json_value(&s->r, &value)) == 0) {
		if (++i <= n) {
			lua_rawgeti(lua, s->table, i);
			put_segment(s, value);
			lua_pop(lua, 1);
		} else {
			s->changed = true;
		}
		next_segment(s, value);
	}
	if (rc < 0)
		bad_text(lua, &s->r);
	while (i < n) {
		if (i > 0)
			hw_lua_text_char(s->text, ',');
		lua_rawgeti(lua, s->table, ++i);
		hw_lua_encode_value(s->text, lua_gettop(lua), s->depth + 1);
		lua_pop(lua, 1);
		s->changed = true;
	}
}

bool hw_lua_view_encode(struct hw_lua_text *text, int index, unsigned depth)
{
	lua_State *lua = text->lua;
	struct splice s = {
		.text = text, .lua = lua, .table = lua_absindex(lua, index), .depth = depth};
	int top = lua_gettop(lua);
	const char *inside;
	struct span span;

	if (depth >= HW_JSON_DEPTH)
		luaL_error(lua, "nested too deeply for JSON, or in a circle");
	luaL_checkstack(lua, 16, NULL);
	if (!get_span(lua, s.table, &span))
		luaL_error(lua, "not a view");
	if (!(span.flags & FILLED)) {
		lua_rawgetp(lua, s.table, &source_key);
		hw_lua_text_add(text, lua_tostring(lua, -1) + span.start, span.len);
		lua_settop(lua, top);
		return false;
	}
	s.base = open_part(lua, s.table, &span, &s.r);
	s.source = lua_gettop(lua);
	s.end = s.base + span.start + span.len - 1;
	inside = s.segment = s.base + span.start + 1;
	hw_lua_text_char(text, s.base[span.start]);
	if (span.flags & ARRAY) {
		splice_array(&s);
	} else {
		splice_object(&s, span.flags & DOUBLES);
		add_members(&s, &span);
	}
	if (!s.changed && s.n_out == 0)
		add_range(&s, inside, s.end); /* white space in an empty pair of brackets */
	hw_lua_text_char(text, *s.end);
	lua_settop(lua, top);
	return s.changed;
}
