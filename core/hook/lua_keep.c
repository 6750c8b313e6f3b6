#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hook/chain_internal.h"
#include "hook/lua_task.h"
#include "hook/lua_value.h"

/* What a policy keeps beyond its state: save = function(ctx) return table end, restore =
 * function(saved, ctx) end. Asked before a reload takes the policy's place and before an idle state
 * is given back; what save says goes as JSON to the next state of that name, when it is made. A
 * state that had to be ended is not asked: what it kept may be half of something. */

#define SAVED_MAX (256u << 10)

struct keep {
	struct hw_lua_chunk *chunk;
	const char *saved;
	struct hw_str text; /* of save; p NULL: nothing */
};

/* Results: what text points into. */
static int call_save(lua_State *lua)
{
	struct keep *keep = lua_touserdata(lua, 1);
	struct hw_lua_state *state = hw_lua_of(lua);
	struct hw_lua_text text;

	state->running = keep->chunk;
	state->ask = NULL;
	lua_rawgeti(lua, LUA_REGISTRYINDEX, keep->chunk->functions[HW_LUA_SAVE]);
	lua_rawgeti(lua, LUA_REGISTRYINDEX, keep->chunk->ctx);
	lua_call(lua, 1, 1);
	if (lua_isnil(lua, -1))
		return 0;
	hw_lua_text_init(&text, lua, 256);
	hw_lua_encode(&text, -2);
	if (text.len > SAVED_MAX)
		return luaL_error(lua, "save gave more than %d KiB", (int)(SAVED_MAX >> 10));
	hw_lua_text_char(&text, '\0');
	keep->text = (struct hw_str){text.data, text.len - 1};
	lua_pushvalue(lua, text.index);
	return 1;
}

static int call_restore(lua_State *lua)
{
	struct keep *keep = lua_touserdata(lua, 1);
	struct hw_lua_state *state = hw_lua_of(lua);

	state->running = keep->chunk;
	state->ask = NULL;
	lua_rawgeti(lua, LUA_REGISTRYINDEX, keep->chunk->functions[HW_LUA_RESTORE]);
	hw_lua_push_json(lua, hw_str_of(keep->saved));
	lua_rawgeti(lua, LUA_REGISTRYINDEX, keep->chunk->ctx);
	lua_call(lua, 2, 0);
	return 0;
}

static void say(const struct hw_entry_state *es, const char *what, const struct hw_err *err)
{
	hw_log(es->bench->env->log, HW_LOG_WARN, "hook", what, HW_F_Z("hook", es->entry->base.name),
		HW_F_Z("tenant", es->bench->tenant), HW_F_Z("why", err->text));
}

static uint32_t budget_us(const struct hw_entry_state *es)
{
	return es->entry->base.budget.cpu_ms * 1000;
}

void hw_lua_save(struct hw_entry_state *es)
{
	struct hw_lua_state **slot = hw_lua_slot(es);
	struct hw_lua_chunk *chunk = *slot ? hw_lua_find_chunk(*slot, es->entry) : NULL;
	struct hw_guard *guard = hw_guard_current();
	struct keep keep = {.chunk = chunk};
	struct hw_entry_answer answer = {0};
	struct hw_err err = {{0}};
	enum hw_lua_outcome outcome;

	if (!guard || !chunk || chunk->functions[HW_LUA_SAVE] == LUA_NOREF)
		return;
	outcome = hw_lua_run(*slot, guard, budget_us(es), call_save, &keep, 1, &err);
	if (outcome != HW_LUA_OK) {
		say(es, "a policy does not save", &err);
		(void)hw_lua_fail(es, outcome, &err, &answer);
		return;
	}
	free(es->saved);
	es->saved = keep.text.p ? hw_str_dup(keep.text) : NULL;
	lua_settop((*slot)->lua, 0);
}

enum hw_lua_outcome hw_lua_restore(struct hw_entry_state *es, struct hw_guard *guard,
	struct hw_lua_chunk *chunk, struct hw_err *err)
{
	struct keep keep = {.chunk = chunk, .saved = es->saved};
	enum hw_lua_outcome outcome = HW_LUA_OK;

	if (es->saved && chunk->functions[HW_LUA_RESTORE] != LUA_NOREF) {
		outcome = hw_lua_run(
			*hw_lua_slot(es), guard, budget_us(es), call_restore, &keep, 0, err);
		if (outcome != HW_LUA_OK)
			say(es, "a policy does not take back what it saved", err);
	}
	/* once: a text that a policy cannot take is not given to it again and again */
	free(es->saved);
	es->saved = NULL;
	/* without what it saved it goes on as one that is new */
	return outcome == HW_LUA_FAILED ? HW_LUA_OK : outcome;
}

/* ---- idle states ---- */

/* They come again before long, and count on what they have left in ctx.state. */
static bool has_timers(const struct hw_lua_state *state)
{
	for (const struct hw_lua_chunk *chunk = state->chunks; chunk; chunk = chunk->next)
		if (chunk->n_every > 0)
			return true;
	return false;
}

static void save_all(struct hw_lua_state *state)
{
	struct hw_hook_bench *bench = state->bench;
	struct hw_lua_state **slot = state->slot;

	for (size_t i = 0; *slot && i < bench->n_entries; i++) {
		struct hw_hook_entry *entry = hw_hook_chain_entry(bench->chain, i);

		if (entry->kind == HW_HOOK_LUA && hw_lua_slot(bench->states[i]) == slot)
			hw_lua_save(bench->states[i]);
	}
}

static void arm(struct hw_lua_state *state)
{
	struct hw_poller *poller = state->io->poller;

	hw_timer_arm(
		poller->timers, &state->idle, hw_clock_mono_ms(poller->clock) + state->idle_ms);
}

/* A look now and then, instead of a timer that every call sets anew: a state goes after one to two
 * times its idle_ms. */
static void on_idle(struct hw_timer *timer)
{
	struct hw_lua_state *state = HW_CONTAINER_OF(timer, struct hw_lua_state, idle);
	struct hw_lua_state **slot = state->slot;

	if (state->n_uses != state->n_uses_seen || !hw_list_empty(&state->tasks) ||
		has_timers(state)) {
		state->n_uses_seen = state->n_uses;
		arm(state);
		return;
	}
	save_all(state);
	hw_lua_state_destroy(slot);
}

void hw_lua_idle_start(struct hw_entry_state *es)
{
	struct hw_lua_state *state = *hw_lua_slot(es);

	state->bench = es->bench;
	state->slot = hw_lua_slot(es);
	state->idle_ms = es->entry->base.budget.idle_ms;
	hw_timer_init(&state->idle, on_idle);
	if (state->io && state->idle_ms > 0)
		arm(state);
}

void hw_lua_idle_stop(struct hw_lua_state *state)
{
	if (state->slot)
		hw_timer_cancel(&state->idle);
}
