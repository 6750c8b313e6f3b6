#include "hook/lua_task.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hook/http_client.h"
#include "hook/lua_value.h"
#include "hook/lua_withheld.h"
#include "wire/json.h"

/* ctx.http: request(url[, options]), get, post. All that a request is made of is brought together
 * in the arena first, where an error costs nothing; then one host section hands copies to the
 * client. */

#define TIMEOUT_MS 1000
#define MAX_TIMEOUT_MS 600000
#define MAX_BYTES (256u << 10)
#define MAX_MAX_BYTES (16u << 20)
#define MAX_URL 8192
#define MAX_HEADERS 64
#define MAX_QUERY 64

static const char answer_key = 0; /* registry: the metatable of answers */

/* What options say; texts are kept by the stack. */
struct wish {
	const char *method;
	struct hw_lua_text url;
	struct hw_lua_text headers; /* "Name: value" and a zero, each */
	size_t n_headers;
	bool has_type;
	struct hw_str body;
	int64_t timeout_ms;
	size_t max_bytes;
};

/* ---- what a script says ---- */

static bool is_token(struct hw_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return s.len > 0;
}

static bool is_line(struct hw_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
			return false;
	return true;
}

/* The value at @index as text: a string, a number or a boolean. */
static struct hw_str text_at(lua_State *lua, int index, const char *where)
{
	struct hw_str s;
	int type = lua_type(lua, index);

	if (type == LUA_TBOOLEAN)
		return lua_toboolean(lua, index) ? HW_STR("true") : HW_STR("false");
	if (type != LUA_TSTRING && type != LUA_TNUMBER)
		luaL_error(
			lua, "ctx.http: a value in %s is a %s", where, luaL_typename(lua, index));
	s.p = lua_tolstring(lua, index, &s.len);
	return s;
}

/* Puts a list of the names in the table at @table on top, sorted, so that what is sent does not
 * depend on chance; returns how many. */
static int push_names(lua_State *lua, int table, const char *where, int max)
{
	int names, n = 0;

	luaL_checkstack(lua, 8, NULL);
	lua_newtable(lua);
	names = lua_gettop(lua);
	lua_pushnil(lua);
	while (lua_next(lua, table)) {
		int at = n;

		lua_pop(lua, 1);
		if (lua_type(lua, -1) != LUA_TSTRING)
			luaL_error(lua, "ctx.http: a name in %s is a %s", where,
				luaL_typename(lua, -1));
		if (++n > max)
			luaL_error(lua, "ctx.http: %s has more than %d members", where, max);
		for (; at > 0; at--) {
			lua_rawgeti(lua, names, at);
			if (!lua_compare(lua, -2, -1, LUA_OPLT))
				break;
			lua_rawseti(lua, names, at + 1);
		}
		lua_settop(lua, names + 1); /* the key */
		lua_pushvalue(lua, -1);
		lua_rawseti(lua, names, at + 1);
	}
	return n;
}

/* Makes the option on top a table whose members are read raw. */
static int see_table(lua_State *lua, const char *what)
{
	if (lua_type(lua, -1) != LUA_TTABLE)
		luaL_error(lua, "ctx.http: '%s' must be a table, not a %s", what,
			luaL_typename(lua, -1));
	if (hw_lua_push_behind(lua, -1)) {
		/* a table of the session's, perhaps: what is in it goes where nobody looks */
		if (hw_lua_withheld(lua))
			hw_lua_withheld(lua)->seen = true;
		lua_remove(lua, -2);
	}
	return lua_gettop(lua);
}

static void add_encoded(struct hw_lua_text *text, struct hw_str s)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c && strchr("-._~", c))) {
			hw_lua_text_char(text, (char)c);
		} else {
			hw_lua_text_char(text, '%');
			hw_lua_text_char(text, digits[c >> 4]);
			hw_lua_text_char(text, digits[c & 15]);
		}
	}
}

static void add_pair(struct wish *w, struct hw_str name, struct hw_str value)
{
	bool first = memchr(w->url.data, '?', w->url.len) == NULL;

	hw_lua_text_char(&w->url, first ? '?' : '&');
	add_encoded(&w->url, name);
	hw_lua_text_char(&w->url, '=');
	add_encoded(&w->url, value);
}

/* query = { name = value, other = { "several", "values" } }; on top. */
static void take_query(lua_State *lua, struct wish *w)
{
	int table = see_table(lua, "query"), n = push_names(lua, table, "query", MAX_QUERY);

	for (int i = 1; i <= n; i++) {
		struct hw_str name;

		lua_rawgeti(lua, table + 1, i);
		name.p = lua_tolstring(lua, -1, &name.len);
		lua_pushvalue(lua, -1);
		if (lua_rawget(lua, table) != LUA_TTABLE) {
			add_pair(w, name, text_at(lua, -1, "query"));
		} else {
			int list = see_table(lua, "query"), count = (int)lua_rawlen(lua, list);

			if (count > MAX_QUERY)
				luaL_error(
					lua, "ctx.http: more than %d values in query", MAX_QUERY);
			for (int j = 1; j <= count; j++) {
				lua_rawgeti(lua, list, j);
				add_pair(w, name, text_at(lua, -1, "query"));
				lua_pop(lua, 1);
			}
		}
		lua_settop(lua, table + 1);
	}
}

static bool is_named(struct hw_str name, const char *lower)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c + 'a' - 'A');
		if (c != lower[i])
			return false;
	}
	return lower[name.len] == '\0';
}

static void add_header(struct wish *w, struct hw_str name, struct hw_str value)
{
	hw_lua_text_add(&w->headers, name.p, name.len);
	/* curl takes "Name:" for one to leave out, and "Name;" for an empty one */
	if (value.len == 0) {
		hw_lua_text_char(&w->headers, ';');
	} else {
		hw_lua_text_add(&w->headers, ": ", 2);
		hw_lua_text_add(&w->headers, value.p, value.len);
	}
	hw_lua_text_char(&w->headers, '\0');
	w->n_headers++;
	w->has_type |= is_named(name, "content-type");
}

/* What would change where a message ends, or how it travels, is the client's own. */
static bool is_framing(struct hw_str name)
{
	static const char *const framing[] = {"content-length", "transfer-encoding", "connection",
		"upgrade", "te", "trailer", "expect", "keep-alive", "proxy-connection"};

	for (size_t i = 0; i < HW_COUNT(framing); i++)
		if (is_named(name, framing[i]))
			return true;
	return false;
}

static void take_headers(lua_State *lua, struct wish *w)
{
	int table = see_table(lua, "headers"), n = push_names(lua, table, "headers", MAX_HEADERS);

	for (int i = 1; i <= n; i++) {
		struct hw_str name, value;

		lua_rawgeti(lua, table + 1, i);
		name.p = lua_tolstring(lua, -1, &name.len);
		lua_pushvalue(lua, -1);
		lua_rawget(lua, table);
		value = text_at(lua, -1, "headers");
		if (!is_token(name) || !is_line(value))
			luaL_error(
				lua, "ctx.http: a header has a character that no header may have");
		if (is_framing(name))
			luaL_error(lua, "ctx.http: the header '%s' is set by the broker itself",
				name.p);
		add_header(w, name, value);
		lua_settop(lua, table + 1);
	}
}

static int64_t integer_at(lua_State *lua, const char *key, int64_t max)
{
	int is = 0;
	lua_Integer n = lua_tointegerx(lua, -1, &is);

	if (!is || lua_type(lua, -1) != LUA_TNUMBER || n < 1 || n > max)
		luaL_error(lua, "ctx.http: '%s' must be a whole number, 1 to %I", key,
			(LUAI_UACINT)max);
	return n;
}

static void take_method(lua_State *lua, struct wish *w)
{
	static const char *const methods[] = {
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
	const char *name = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "";

	for (size_t i = 0; i < HW_COUNT(methods); i++) {
		if (strcmp(name, methods[i]) == 0) {
			w->method = methods[i];
			return;
		}
	}
	luaL_error(
		lua, "ctx.http: 'method' must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS");
}

/* The option @key is on top; what must live longer is left under it. */
static void take_option(lua_State *lua, struct wish *w, const char *key)
{
	static const char *const known[] = {
		"method", "query", "headers", "body", "json", "timeout_ms", "max_bytes"};

	if (strcmp(key, "method") == 0)
		take_method(lua, w);
	else if (strcmp(key, "query") == 0)
		take_query(lua, w);
	else if (strcmp(key, "headers") == 0)
		take_headers(lua, w);
	else if (strcmp(key, "timeout_ms") == 0)
		w->timeout_ms = integer_at(lua, key, MAX_TIMEOUT_MS);
	else if (strcmp(key, "max_bytes") == 0)
		w->max_bytes = (size_t)integer_at(lua, key, MAX_MAX_BYTES);
	else if (strcmp(key, "body") != 0 && strcmp(key, "json") != 0)
		hw_lua_unknown_key(lua, key, "the options of ctx.http", known, HW_COUNT(known));
}

/* Leaves on the stack what w->body points to. */
static void take_body(lua_State *lua, int options, struct wish *w)
{
	struct hw_lua_text text;
	int type = lua_getfield(lua, options, "body");

	if (lua_getfield(lua, options, "json") != LUA_TNIL) {
		if (type != LUA_TNIL)
			luaL_error(lua, "ctx.http: 'body' or 'json', not both");
		hw_lua_text_init(&text, lua, 256);
		hw_lua_encode(&text, -2);
		hw_lua_see_withheld_text(lua, (struct hw_str){text.data, text.len});
		w->body = (struct hw_str){text.data, text.len};
		if (!w->has_type)
			add_header(w, HW_STR("Content-Type"), HW_STR("application/json"));
	} else if (type != LUA_TNIL) {
		if (type != LUA_TSTRING)
			luaL_error(lua, "ctx.http: 'body' must be a text, not a %s",
				lua_typename(lua, type));
		w->body.p = lua_tolstring(lua, -2, &w->body.len);
	}
}

/* The URL at index 1, options at 2 or nil. */
static void read_wish(lua_State *lua, struct wish *w)
{
	struct hw_str url;
	int options;

	url.p = luaL_checklstring(lua, 1, &url.len);
	for (size_t i = 0; i < url.len; i++)
		if ((unsigned char)url.p[i] <= ' ' || url.p[i] == 127 || url.p[i] == '#')
			luaL_argerror(lua, 1, "a URL has no spaces, control characters or '#'");
	luaL_argcheck(lua, url.len <= MAX_URL, 1, "longer than 8 KiB");
	if (!lua_isnoneornil(lua, 2))
		luaL_checktype(lua, 2, LUA_TTABLE);
	lua_settop(lua, 2);
	hw_lua_text_init(&w->url, lua, url.len + 256);
	hw_lua_text_add(&w->url, url.p, url.len);
	hw_lua_text_init(&w->headers, lua, 256);
	if (!lua_isnil(lua, 2)) {
		lua_pushvalue(lua, 2);
		options = see_table(lua, "options");
		lua_pushnil(lua);
		while (lua_next(lua, options)) {
			if (lua_type(lua, -2) != LUA_TSTRING)
				luaL_error(lua, "ctx.http: the options have a key that is a %s",
					luaL_typename(lua, -2));
			take_option(lua, w, lua_tostring(lua, -2));
			lua_settop(lua, options + 1);
		}
		take_body(lua, options, w);
	}
	hw_lua_text_char(&w->url, '\0');
	if (w->url.len > MAX_URL)
		luaL_error(lua, "ctx.http: with its query the URL is longer than 8 KiB");
}

/* ---- what it gets ---- */

static void cancel(struct hw_lua_task *task)
{
	struct hw_http_request *request = task->waits_for;

	task->waits_for = NULL;
	hw_http_request_destroy(&request);
}

static void on_done(struct hw_http_request *request, void *arg)
{
	(void)request;
	hw_lua_task_wake(arg);
}

/* Adds a header to the table on top: names in small letters, a repeated one's values joined. */
static void take_answer_header(lua_State *lua, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	const char *value, *end = line + len;
	char name[128];
	size_t n = colon ? (size_t)(colon - line) : 0;

	if (n == 0 || n >= sizeof(name))
		return;
	for (size_t i = 0; i < n; i++)
		name[i] = (char)(line[i] >= 'A' && line[i] <= 'Z' ? line[i] + 'a' - 'A' : line[i]);
	for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
		;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	lua_pushlstring(lua, name, n);
	lua_pushvalue(lua, -1);
	if (lua_rawget(lua, -3) == LUA_TSTRING) {
		lua_pushliteral(lua, ", ");
		lua_pushlstring(lua, value, (size_t)(end - value));
		lua_concat(lua, 3);
	} else {
		lua_pop(lua, 1);
		lua_pushlstring(lua, value, (size_t)(end - value));
	}
	lua_rawset(lua, -3);
}

static void push_headers(lua_State *lua, struct hw_str head)
{
	lua_newtable(lua);
	while (head.len > 0) {
		const char *newline = memchr(head.p, '\n', head.len);
		size_t len = newline ? (size_t)(newline - head.p) + 1 : head.len;

		take_answer_header(lua, head.p, newline ? len - 1 : len);
		head.p += len;
		head.len -= len;
	}
}

/* answer.json, when first asked for: most answers are small, but one that is not would cost its
 * reader more than it wants to know. */
static int answer_index(lua_State *lua)
{
	struct hw_json whole;
	struct hw_str body;

	if (lua_type(lua, 2) != LUA_TSTRING || strcmp(lua_tostring(lua, 2), "json") != 0)
		return 0;
	lua_settop(lua, 1);
	lua_pushliteral(lua, "body");
	if (lua_rawget(lua, 1) != LUA_TSTRING)
		return 0;
	body.p = lua_tolstring(lua, 2, &body.len);
	if (hw_json_whole(body, 0, &whole, NULL) != 0)
		return 0;
	hw_lua_push_json(lua, body);
	lua_pushliteral(lua, "json");
	lua_pushvalue(lua, -2);
	lua_rawset(lua, 1);
	return 1;
}

void hw_lua_http_open(lua_State *lua)
{
	lua_createtable(lua, 0, 2);
	lua_pushcfunction(lua, answer_index);
	lua_setfield(lua, -2, "__index");
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_rawsetp(lua, LUA_REGISTRYINDEX, &answer_key);
}

static void push_failure(lua_State *lua, const char *error, unsigned status)
{
	lua_createtable(lua, 0, 4);
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "ok");
	if (status > 0) {
		lua_pushinteger(lua, status);
		lua_setfield(lua, -2, "status");
	}
	lua_pushstring(lua, error);
	lua_setfield(lua, -2, "error");
}

static void push_answer(lua_State *lua, const struct hw_http_request *r)
{
	bool ok = r->status >= 200 && r->status <= 299;
	struct hw_str body = hw_buf_view(&r->body);

	lua_createtable(lua, 0, 6);
	lua_pushboolean(lua, ok);
	lua_setfield(lua, -2, "ok");
	lua_pushinteger(lua, r->status);
	lua_setfield(lua, -2, "status");
	if (!ok) {
		lua_pushfstring(lua, "status %d", (int)r->status);
		lua_setfield(lua, -2, "error");
	}
	push_headers(lua, hw_buf_view(&r->head));
	lua_setfield(lua, -2, "headers");
	lua_pushlstring(lua, body.len > 0 ? body.p : "", body.len);
	lua_setfield(lua, -2, "body");
	lua_rawgetp(lua, LUA_REGISTRYINDEX, &answer_key);
	lua_setmetatable(lua, -2);
}

static int answered(lua_State *lua, int status, lua_KContext context)
{
	struct hw_lua_task *task = (void *)context;
	const struct hw_http_request *request = task->waits_for;

	(void)status;
	lua_settop(lua, 0);
	if (request->error)
		push_failure(lua, request->error, request->status);
	else
		push_answer(lua, request);
	hw_lua_host_begin(lua);
	cancel(task);
	task->cancel = NULL;
	hw_lua_host_end(lua);
	return 1;
}

/* ---- request, get, post ---- */

static int start(lua_State *lua, struct hw_lua_task *task, const struct wish *w)
{
	const char *lines[MAX_HEADERS + 1], *line = w->headers.data;
	struct hw_http_spec spec = {.method = w->method,
		.url = w->url.data,
		.headers = lines,
		.n_headers = w->n_headers,
		.body = w->body,
		.timeout_ms = w->timeout_ms,
		.max_bytes = w->max_bytes,
		.memory = &task->state->http_memory,
		.owner = task->state->tenant,
		.done = on_done,
		.arg = task};
	struct hw_http_request *request = NULL;
	int rc;

	for (size_t i = 0; i < w->n_headers; i++) {
		lines[i] = line;
		line += strlen(line) + 1;
	}
	hw_lua_host_begin(lua);
	rc = hw_http_start(task->state->io->http, &spec, &request);
	if (rc == 0) {
		task->waits_for = request;
		task->cancel = cancel;
	}
	hw_lua_host_end(lua);
	return rc;
}

static int do_request(lua_State *lua, const char *what, const char *method)
{
	struct wish w = {.method = method, .timeout_ms = TIMEOUT_MS, .max_bytes = MAX_BYTES};
	struct hw_lua_task *task;
	int rc;

	read_wish(lua, &w);
	task = hw_lua_task_check(lua, what);
	rc = start(lua, task, &w);
	if (rc == 0)
		return hw_lua_task_wait(lua, task, answered);
	if (rc == -ENOMEM)
		return luaL_error(lua, "%s: out of memory", what);
	push_failure(lua,
		rc == -EBUSY    ? "this worker has too many requests under way"
		: rc == -EDQUOT ? "the requests of this policy have no room in its memory"
				: "the URL is none that can be asked: http://… or https://…",
		0);
	return 1;
}

static int http_request(lua_State *lua)
{
	return do_request(lua, "ctx.http.request", "GET");
}

static int http_get(lua_State *lua)
{
	return do_request(lua, "ctx.http.get", "GET");
}

static int http_post(lua_State *lua)
{
	return do_request(lua, "ctx.http.post", "POST");
}

void hw_lua_push_http(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"request", http_request}, {"get", http_get}, {"post", http_post}, {NULL, NULL}};

	luaL_newlib(lua, functions);
}
