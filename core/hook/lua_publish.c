#include <errno.h>

#include "hook/lua_internal.h"
#include "hook/lua_task.h"
#include "hook/lua_value.h"
#include "hook/publish.h"

/* ctx.publish, ctx.reauthorize and ctx.metric: what a policy tells others. */

/* Is nothing to come of it for others? */
static bool no_effect(const struct hw_lua_state *state)
{
	return state->bench->trial || state->running->entry->base.shadow;
}

static enum hw_hook_publish_outcome queue(
	struct hw_lua_state *state, struct hw_str event, struct hw_err *err)
{
	unsigned depth = 0;

	if (!state->bench) /* it is being tried */
		return HW_HOOK_PUBLISH_NOWHERE;
	state->published.trial = no_effect(state);
	if (state->ask)
		depth = state->ask->depth;
	else if (state->task)
		depth = state->task->depth;
	return hw_hook_publish(hw_hook_inbox_of(state->env, state->bench->worker),
		&state->published, hw_lua_running_tenant(state), event,
		state->running->entry->base.name, depth, err);
}

/* publish(event) → true, or nil, why. The event is a table, or a text of JSON. */
int hw_lua_publish(lua_State *lua)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	enum hw_hook_publish_outcome outcome;
	struct hw_lua_text text;
	struct hw_err err = {""};
	struct hw_str event;

	lua_settop(lua, 1);
	if (lua_type(lua, 1) == LUA_TSTRING) {
		event.p = lua_tolstring(lua, 1, &event.len);
	} else {
		hw_lua_text_init(&text, lua, 256);
		hw_lua_encode(&text, 1);
		event = (struct hw_str){text.data, text.len};
	}
	hw_lua_host_begin(lua);
	outcome = queue(state, event, &err);
	hw_lua_host_end(lua);
	if (outcome == HW_HOOK_PUBLISH_OK) {
		lua_pushboolean(lua, 1);
		return 1;
	}
	lua_pushnil(lua);
	lua_pushstring(lua, outcome == HW_HOOK_PUBLISH_INVALID && err.text[0]
				    ? err.text
				    : hw_hook_publish_why(outcome));
	return 2;
}

static struct hw_str check_filter(lua_State *lua, const char *key)
{
	struct hw_str s = HW_STR("");

	lua_getfield(lua, 1, key);
	if (!lua_isnil(lua, -1)) {
		luaL_argcheck(
			lua, lua_type(lua, -1) == LUA_TSTRING, 1, "'user' and 'topic' are texts");
		s.p = lua_tolstring(lua, -1, &s.len);
	}
	return s;
}

/* reauthorize { user = …, topic = … } → true, or nil, why. Both are optional. */
int hw_lua_reauthorize(lua_State *lua)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	struct hw_str user_id, topic;
	int rc = -ENOSYS;

	luaL_checktype(lua, 1, LUA_TTABLE);
	lua_settop(lua, 1);
	user_id = check_filter(lua, "user");
	topic = check_filter(lua, "topic");
	hw_lua_host_begin(lua);
	if (state->bench) {
		state->reauths.trial = no_effect(state);
		rc = hw_hook_reauth(hw_hook_inbox_of(state->env, state->bench->worker),
			&state->reauths, hw_lua_running_tenant(state), user_id, topic);
	}
	hw_lua_host_end(lua);
	if (rc == 0) {
		lua_pushboolean(lua, 1);
		return 1;
	}
	lua_pushnil(lua);
	lua_pushstring(lua, rc == -EBUSY    ? "too often at once"
			    : rc == -ENOMEM ? "out of memory"
					    : "there are no sessions to authorize again");
	return 2;
}

/* metric(name[, by]): hookwire_policy_NAME_total{policy="hook"} */
int hw_lua_metric(lua_State *lua)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	const char *name = luaL_checkstring(lua, 1);
	lua_Integer by = luaL_optinteger(lua, 2, 1);
	struct hw_lua_entry *entry = state->running->entry;

	luaL_argcheck(lua, hw_hook_counter_name_valid(name), 1, "a name is 1 to 48 of a-z and _");
	luaL_argcheck(lua, by >= 0, 2, "a counter only grows");
	hw_lua_host_begin(lua);
	if (!state->bench || !state->bench->trial)
		hw_hook_count(&entry->counters, state->env->metrics, "policy", entry->base.name,
			name, by);
	hw_lua_host_end(lua);
	return 0;
}
