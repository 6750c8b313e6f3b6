#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hook/chain_internal.h"
#include "hook/lua_task.h"
#include "hook/series.h"

/* every = { { seconds = 30, run = function(ctx) … end } }: functions that call themselves, of each
 * tenant on each worker. A timer begins and ends with its bench, and makes the state it needs when
 * it is due. A run that takes longer than its interval leaves the next out. */

#define MIN_SECONDS 0.1
#define MAX_SECONDS 604800

struct hw_lua_every {
	struct hw_timer timer;
	struct hw_entry_state *es;
	unsigned index;
	int64_t began_ns;
	bool runs; /* and waits for something */
};

/* ---- policy { every = … } ---- */

static void take_one(lua_State *lua, struct hw_lua_chunk *chunk)
{
	static const char *const known[] = {"seconds", "run"};
	lua_Number seconds = 0;
	int one = lua_gettop(lua);
	unsigned n = chunk->n_every;

	if (lua_type(lua, one) != LUA_TTABLE)
		luaL_error(lua,
			"'every' must be a list of { seconds = N, run = function }, not of %ss",
			luaL_typename(lua, one));
	if (n == HW_LUA_EVERY_MAX)
		luaL_error(lua, "'every' has more than %d members", HW_LUA_EVERY_MAX);
	lua_pushnil(lua);
	while (lua_next(lua, one)) {
		const char *key = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "?";

		if (strcmp(key, "seconds") != 0 && strcmp(key, "run") != 0)
			hw_lua_unknown_key(lua, key, "every", known, HW_COUNT(known));
		lua_pop(lua, 1);
	}
	lua_pushliteral(lua, "seconds");
	if (lua_rawget(lua, one) == LUA_TNUMBER)
		seconds = lua_tonumber(lua, -1);
	if (!(seconds >= MIN_SECONDS && seconds <= MAX_SECONDS))
		luaL_error(lua, "'seconds' of every must be a number, 0.1 to 604800");
	lua_pushliteral(lua, "run");
	if (lua_rawget(lua, one) != LUA_TFUNCTION)
		luaL_error(
			lua, "'run' of every must be a function, not a %s", luaL_typename(lua, -1));
	chunk->every[n] = luaL_ref(lua, LUA_REGISTRYINDEX);
	chunk->every_ms[n] = (int64_t)floor(seconds * 1000);
	chunk->n_every++;
}

void hw_lua_take_every(lua_State *lua, struct hw_lua_chunk *chunk)
{
	int list = lua_gettop(lua);
	lua_Integer n;

	if (lua_type(lua, list) != LUA_TTABLE)
		luaL_error(lua, "'every' must be a list, not a %s", luaL_typename(lua, list));
	n = (lua_Integer)lua_rawlen(lua, list);
	if (n == 0)
		luaL_error(lua,
			"'every' must be a list: { { seconds = 30, run = function(ctx) … end } }");
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(lua, list, i);
		take_one(lua, chunk);
		lua_settop(lua, list);
	}
	lua_pop(lua, 1);
}

/* ---- a run ---- */

static int run_returned(lua_State *lua, int status, lua_KContext context)
{
	(void)lua;
	(void)status;
	(void)context;
	return 0;
}

static int run(lua_State *lua)
{
	struct hw_lua_task *task = lua_touserdata(lua, 1);

	lua_settop(lua, 0);
	lua_rawgeti(lua, LUA_REGISTRYINDEX, task->run_ref);
	lua_rawgeti(lua, LUA_REGISTRYINDEX, task->q.chunk->ctx);
	lua_callk(lua, 1, 0, 0, run_returned);
	return 0;
}

static void note(
	struct hw_lua_every *every, enum hw_lua_outcome outcome, struct hw_err *err, bool waited)
{
	struct hw_entry_state *es = every->es;
	struct hw_entry_answer answer = {.verdict = HW_ALLOW};

	if (outcome != HW_LUA_OK)
		hw_lua_fail(es, outcome, err, &answer);
	if (es->bench->closing) {
		if (waited)
			hw_bench_forgotten(es->bench, es->index);
		return;
	}
	hw_bench_timed(es->bench, es->index, HW_STAGE_EVERY, answer.verdict, every->began_ns);
	if (waited)
		hw_bench_answered(es->bench, es->index, &answer);
	else
		hw_bench_note(es->bench, es->index, &answer);
	if (answer.verdict == HW_ERROR)
		hw_bench_note_error(es->bench, es->index, HW_STAGE_EVERY,
			hw_str_of(es->bench->tenant), &answer);
}

static void on_done(struct hw_lua_task *task, enum hw_lua_outcome outcome, struct hw_err *err)
{
	struct hw_lua_every *every = task->owner;

	every->runs = false;
	if (outcome == HW_LUA_OK)
		hw_lua_task_release(task);
	note(every, outcome, err, true);
}

static void start_run(struct hw_lua_every *every)
{
	struct hw_entry_state *es = every->es;
	struct hw_guard *guard = hw_guard_current();
	struct hw_lua_task *task = NULL;
	struct hw_lua_chunk *chunk;
	struct hw_err err = {{0}};
	enum hw_lua_outcome outcome;

	every->began_ns = hw_hook_now_ns();
	outcome = hw_lua_ready(es, guard, &chunk, &err);
	if (outcome == HW_LUA_OK && every->index >= chunk->n_every) {
		/* this run of the file has fewer */
		hw_bench_unasked(es->bench, es->index);
		return;
	}
	if (outcome == HW_LUA_OK)
		outcome = hw_lua_entry_task(es, guard, chunk, &task, &err);
	if (outcome == HW_LUA_OK) {
		task->q.function = HW_LUA_N_FUNCTIONS;
		task->run_ref = chunk->every[every->index];
		task->owner = every;
		task->done = on_done;
		task->unasked = true;
		snprintf(task->tenant, sizeof(task->tenant), "%s", es->bench->tenant);
		outcome = hw_lua_task_start(task, guard, run, &err);
		if (outcome == HW_LUA_OK)
			hw_lua_task_release(task);
	}
	if (outcome == HW_LUA_WAITS) {
		every->runs = true;
		hw_bench_goes_on(es->bench, es->index);
		return;
	}
	note(every, outcome, &err, false);
}

static struct hw_poller *poller_of(const struct hw_entry_state *es)
{
	struct hw_hook_io *io = hw_hook_env_io(es->bench->env, es->bench->worker);

	return io ? io->poller : NULL;
}

static void arm(struct hw_lua_every *every, int64_t wait_ms)
{
	struct hw_poller *poller = poller_of(every->es);

	if (poller)
		hw_timer_arm(
			poller->timers, &every->timer, hw_clock_mono_ms(poller->clock) + wait_ms);
}

static void on_due(struct hw_timer *timer)
{
	struct hw_lua_every *every = HW_CONTAINER_OF(timer, struct hw_lua_every, timer);
	struct hw_entry_state *es = every->es;

	if (es->bench->retired)
		return; /* another runs them now */
	arm(every, es->entry->every_ms[every->index]);
	if (every->runs || !hw_guard_current())
		return;
	if (hw_bench_admit(es->bench, es->index, HW_STAGE_EVERY))
		start_run(every);
}

/* ---- the timers of a bench ---- */

int hw_lua_every_attach(struct hw_entry_state *es)
{
	unsigned n = es->entry->n_every;

	if (n == 0 || es->bench->trial)
		return 0;
	es->every = calloc(n, sizeof(*es->every));
	if (!es->every)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		es->every[i].es = es;
		es->every[i].index = i;
		hw_timer_init(&es->every[i].timer, on_due);
		arm(&es->every[i], es->entry->every_ms[i]);
	}
	return 0;
}

void hw_lua_every_detach(struct hw_entry_state *es)
{
	for (unsigned i = 0; es->every && i < es->entry->n_every; i++)
		hw_timer_cancel(&es->every[i].timer);
	free(es->every);
	es->every = NULL;
}

/* So that a reload every few minutes does not put off what is due every hour. */
void hw_lua_every_inherit(struct hw_entry_state *es, const struct hw_entry_state *from)
{
	struct hw_poller *poller = poller_of(es);

	for (unsigned i = 0; poller && i < es->entry->n_every && i < from->entry->n_every; i++)
		if (from->every[i].timer.due_ms < es->every[i].timer.due_ms)
			hw_timer_arm(
				poller->timers, &es->every[i].timer, from->every[i].timer.due_ms);
}
