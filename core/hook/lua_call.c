#include "hook/lua_internal.h"

#include "hook/lua_event.h"
#include "hook/lua_task.h"
#include "hook/lua_value.h"

/* One question to one function of a policy: arguments in, verdict out. The verdict is brought
 * into a form that can be copied to the heap afterwards, outside of the budget, without calling
 * anything that could allocate or raise. */

static void set_slice(lua_State *lua, const char *name, struct hw_slice s)
{
	lua_pushlstring(lua, s.p, s.len);
	lua_setfield(lua, -2, name);
}

static void push_request(lua_State *lua, const struct hw_request *request)
{
	lua_createtable(lua, 0, 5);
	set_slice(lua, "token", request->token);
	set_slice(lua, "address", request->address);
	set_slice(lua, "origin", request->origin);
	set_slice(lua, "path", request->path);
	set_slice(lua, "transport", request->transport);
}

static void push_topic(
	lua_State *lua, struct hw_slice name, struct hw_slice resource, struct hw_slice id)
{
	lua_createtable(lua, 0, 3);
	set_slice(lua, "name", name);
	set_slice(lua, "resource", resource);
	set_slice(lua, "id", id);
}

static struct hw_str str_of(struct hw_slice s)
{
	return (struct hw_str){s.p, s.len};
}

/* What has happened, and nobody waits for. */
static bool is_told(enum hw_lua_function f)
{
	return f >= HW_LUA_CONNECT && f <= HW_LUA_PUBLISHED;
}

static int push_told(lua_State *lua, const struct hw_lua_question *q)
{
	const struct hw_ask *ask = q->ask;
	const struct hw_lifecycle *what = ask->lifecycle;

	switch (q->function) {
	case HW_LUA_OCCUPIED:
	case HW_LUA_VACATED:
		push_topic(lua, what->topic, what->resource, what->id);
		lua_rawgeti(lua, LUA_REGISTRYINDEX, q->chunk->ctx);
		lua_pushinteger(lua, (lua_Integer)what->number);
		return 3;
	case HW_LUA_PUBLISHED:
		hw_lua_push_event(lua, str_of(what->event));
		hw_lua_push_session(lua, ask->who);
		lua_rawgeti(lua, LUA_REGISTRYINDEX, q->chunk->ctx);
		return 3;
	default:
		hw_lua_push_session(lua, ask->who);
		lua_rawgeti(lua, LUA_REGISTRYINDEX, q->chunk->ctx);
		lua_pushinteger(lua, what->close_code);
		return 3;
	}
}

/* The functions that are about an event as a whole: it is at index 1 of the stack while they run.
 */
static bool has_event(enum hw_lua_function f)
{
	return f == HW_LUA_TRANSFORM || f == HW_LUA_FILTER || f == HW_LUA_REDACT;
}

/* Pushes the arguments; returns how many. */
static int push_arguments(lua_State *lua, const struct hw_lua_question *q)
{
	const struct hw_ask *ask = q->ask;

	switch (q->function) {
	case HW_LUA_AUTHENTICATE:
		push_request(lua, ask->request);
		lua_rawgeti(lua, LUA_REGISTRYINDEX, q->chunk->ctx);
		return 2;
	case HW_LUA_TRANSFORM:
		lua_pushvalue(lua, 1);
		lua_rawgeti(lua, LUA_REGISTRYINDEX, q->chunk->ctx);
		hw_lua_push_session(lua, ask->who);
		return 3;
	case HW_LUA_FILTER:
	case HW_LUA_REDACT:
		lua_pushvalue(lua, 1);
		hw_lua_push_audience(lua, ask->audience, hw_lua_function_names[q->function]);
		return 2;
	default:
		if (is_told(q->function))
			return push_told(lua, q);
		hw_lua_push_session(lua, ask->who);
		if (ask->question->operation == HW_OP_SESSION)
			lua_pushnil(lua);
		else
			push_topic(lua, ask->question->topic, ask->question->resource,
				ask->question->id);
		lua_rawgeti(lua, LUA_REGISTRYINDEX, q->chunk->ctx);
		if (ask->question->event.len == 0)
			return 3;
		hw_lua_push_event(lua, str_of(ask->question->event));
		return 4;
	}
}

static int bad_answer(
	lua_State *lua, const struct hw_lua_question *q, int result, const char *expected)
{
	return luaL_error(lua, "%s: %s must return %s, not a %s", q->chunk->entry->chunk_name + 1,
		hw_lua_function_names[q->function], expected, luaL_typename(lua, result));
}

/* What allow { … } may say depends on who says it. */
static void check_grants(lua_State *lua, const struct hw_lua_question *q)
{
	const struct hw_lua_verdict *v = &q->verdict;
	const char *too_much = NULL;

	if (q->function == HW_LUA_AUTHENTICATE)
		return;
	if (v->user_id.p)
		too_much = "user_id";
	else if (v->tenant_id.p)
		too_much = "tenant_id";
	else if (v->has_claims)
		too_much = "claims";
	else if (v->has_expires_at)
		too_much = "expires_at";
	else if (v->has_tenants)
		too_much = "tenants";
	else if (v->act_as && q->function != HW_LUA_PUBLISH)
		too_much = "act_as";
	if (too_much)
		luaL_error(lua, "%s: allow of %s takes no '%s'", q->chunk->entry->chunk_name + 1,
			hw_lua_function_names[q->function], too_much);
}

/* The verdict is on top of the stack. */
static int finish_verdict(lua_State *lua, struct hw_lua_question *q)
{
	const struct hw_lua_verdict *v = hw_lua_to_verdict(lua, -1);
	int verdict = lua_gettop(lua);
	struct hw_lua_text text;

	if (lua_isnil(lua, verdict))
		return 0; /* DEFER */
	if (!v)
		return bad_answer(lua, q, verdict, "allow(), deny(), defer() or unavailable()");
	q->verdict = *v;
	check_grants(lua, q);
	lua_getiuservalue(lua, verdict, 1);
	if (v->has_tenants) {
		lua_getfield(lua, -1, "tenants");
		q->n_tenants = lua_rawlen(lua, -1);
	} else {
		lua_pushnil(lua);
	}
	lua_pushvalue(lua, verdict);
	lua_pushnil(lua);
	if (v->has_claims) {
		hw_lua_text_init(&text, lua, 256);
		lua_getfield(lua, verdict + 1, "claims");
		hw_lua_encode(&text, -1);
		if (text.data[0] != '{')
			luaL_error(lua, "%s: 'claims' of allow must be named, not a list",
				q->chunk->entry->chunk_name + 1);
		q->claims = (struct hw_str){text.data, text.len};
		lua_settop(lua, text.index);
		lua_remove(lua, text.index - 1);
	}
	return HW_LUA_N_RESULTS;
}

/* What transform or redact returned is on top of the stack, the event given to it at index 1. */
static int finish_transform(lua_State *lua, struct hw_lua_question *q)
{
	int result = lua_gettop(lua);
	struct hw_lua_text text;
	bool changed;

	q->verdict.verdict = HW_DENY;
	if (lua_isnil(lua, result))
		return 0;
	if (!lua_istable(lua, result))
		return bad_answer(lua, q, result, "the event or nil");
	q->verdict.verdict = HW_ALLOW;
	hw_lua_text_init(&text, lua, q->ask->event.len + 256);
	if (lua_rawequal(lua, 1, result)) {
		changed = hw_lua_view_encode(&text, result, 0);
	} else {
		hw_lua_encode(&text, result);
		changed = true;
		if (text.data[0] != '{')
			return bad_answer(lua, q, result, "the event or nil");
	}
	if (!changed)
		return 0;
	q->event = (struct hw_str){text.data, text.len};
	lua_pushnil(lua);
	lua_pushnil(lua);
	lua_pushvalue(lua, text.index);
	return HW_LUA_N_RESULTS;
}

/* The function has returned, maybe after it waited: what it answered is on top. */
static int answered(lua_State *lua, int status, lua_KContext context)
{
	struct hw_lua_task *task = (void *)context;
	struct hw_lua_question *q = &task->q;

	(void)status;
	if (is_told(q->function)) {
		q->verdict.verdict = HW_ALLOW;
		return 0;
	}
	switch (q->function) {
	case HW_LUA_TRANSFORM:
	case HW_LUA_REDACT:
		return finish_transform(lua, q);
	case HW_LUA_FILTER:
		return hw_lua_finish_filter(lua, q);
	default:
		return finish_verdict(lua, q);
	}
}

int hw_lua_call(lua_State *lua)
{
	struct hw_lua_task *task = lua_touserdata(lua, 1);
	struct hw_lua_question *q = &task->q;
	int n, n_results;

	lua_settop(lua, 0);
	if (has_event(q->function))
		hw_lua_push_event(lua, q->ask->event);
	lua_rawgeti(lua, LUA_REGISTRYINDEX, q->chunk->functions[q->function]);
	n = push_arguments(lua, q);
	n_results = is_told(q->function) ? 0 : 1;
	lua_callk(lua, n, n_results, (lua_KContext)task, answered);
	return answered(lua, LUA_OK, (lua_KContext)task);
}
