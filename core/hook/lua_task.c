#include "hook/lua_task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDLE_MAX 8 /* coroutines a state keeps for the next calls */

static struct hw_hook_io *io_of(const struct hw_lua_state *state)
{
	return state->io;
}

static int64_t now_ms(const struct hw_lua_task *task)
{
	return hw_clock_mono_ms(io_of(task->state)->poller->clock);
}

static int64_t thread_cpu_us(void)
{
	struct timespec t = {0, 0};

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- the pool ---- */

static int push_thread(lua_State *lua)
{
	struct hw_lua_task *task = lua_touserdata(lua, 1);

	task->lua = lua_newthread(lua);
	task->ref = luaL_ref(lua, LUA_REGISTRYINDEX);
	return 0;
}

static void on_timer(struct hw_timer *timer);

static void forget(struct hw_lua_task *task)
{
	hw_timer_cancel(&task->timer);
	hw_timer_cancel(&task->sleep);
	hw_list_remove(&task->link);
	hw_list_remove(&task->asked);
	free(task);
}

/* What the call before left goes; what is the task's own stays. */
static void clean(struct hw_lua_task *task)
{
	struct hw_lua_state *state = task->state;
	lua_State *lua = task->lua;
	int ref = task->ref;

	hw_timer_cancel(&task->timer);
	hw_timer_cancel(&task->sleep);
	hw_list_remove(&task->link);
	hw_list_remove(&task->asked);
	memset(task, 0, sizeof(*task));
	hw_list_init(&task->link);
	hw_list_init(&task->asked);
	hw_timer_init(&task->timer, on_timer);
	hw_timer_init(&task->sleep, NULL);
	task->state = state;
	task->lua = lua;
	task->ref = ref;
}

enum hw_lua_outcome hw_lua_task_new(struct hw_lua_state *state, struct hw_guard *guard,
	struct hw_lua_task **out, struct hw_err *err)
{
	struct hw_list *node = hw_list_pop(&state->idle_tasks);
	struct hw_lua_task *task;
	enum hw_lua_outcome outcome;

	if (node) {
		state->n_idle_tasks--;
		*out = HW_CONTAINER_OF(node, struct hw_lua_task, link);
		hw_list_push(&state->tasks, node);
		return HW_LUA_OK;
	}
	task = calloc(1, sizeof(*task));
	if (!task) {
		hw_err_set(err, -ENOMEM, "out of memory");
		return HW_LUA_FAILED;
	}
	hw_list_init(&task->link);
	hw_list_init(&task->asked);
	hw_timer_init(&task->timer, on_timer);
	hw_timer_init(&task->sleep, NULL);
	task->state = state;
	/* a few hundred bytes of the arena: any budget will do */
	outcome = hw_lua_run(state, guard, UINT32_MAX / 2, push_thread, task, 0, err);
	if (outcome != HW_LUA_OK) {
		free(task);
		return outcome;
	}
	hw_list_push(&state->tasks, &task->link);
	*out = task;
	return HW_LUA_OK;
}

void hw_lua_task_release(struct hw_lua_task *task)
{
	struct hw_lua_state *state = task->state;

	lua_settop(task->lua, 0);
	clean(task);
	if (state->n_idle_tasks < IDLE_MAX) {
		state->n_idle_tasks++;
		hw_list_push(&state->idle_tasks, &task->link);
		return;
	}
	luaL_unref(state->lua, LUA_REGISTRYINDEX, task->ref);
	forget(task);
}

/* ---- a burst ---- */

struct burst {
	lua_State *lua, *from;
	int n_arguments;
	int status;
};

static void resume(void *arg)
{
	struct burst *b = arg;
	int n_results;

	b->status = lua_resume(b->lua, b->from, b->n_arguments, &n_results);
}

/* Closes the variables that wait for it; what they raise is nobody's business any more. */
static void reset(void *arg)
{
	struct burst *b = arg;

	b->status = lua_resetthread(b->lua) == LUA_ERRMEM ? LUA_ERRMEM : LUA_OK;
}

static void set_running(struct hw_lua_task *task, struct hw_guard *guard, bool may_wait)
{
	struct hw_lua_state *state = task->state;

	state->guard = guard;
	state->full = false;
	state->running = task->q.chunk;
	state->ask = task->unasked ? NULL : task->q.ask;
	state->task = task;
	state->may_wait = may_wait;
}

static enum hw_lua_outcome burst(struct hw_lua_task *task, struct hw_guard *guard,
	uint32_t budget_us, void (*fn)(void *arg), struct burst *b, struct hw_err *err)
{
	struct hw_lua_state *state = task->state;
	enum hw_guard_end end;

	set_running(task, guard, fn == resume && !task->never_waits);
	end = hw_guard_run(guard, task->lua, budget_us, fn, b);
	state->task = NULL;
	free(state->held);
	state->held = NULL;
	return hw_lua_judge(state, end, task->lua, b->status, budget_us, err);
}

static void give_up_wait(struct hw_lua_task *task)
{
	if (task->waiting)
		task->state->n_waiting--;
	task->waiting = false;
	if (task->cancel)
		task->cancel(task);
	task->cancel = NULL;
}

/* After an error, or in the middle of a wait. The task is released if the state is still good. */
static enum hw_lua_outcome close_task(struct hw_lua_task *task, struct hw_guard *guard)
{
	struct burst b = {.lua = task->lua, .status = LUA_ERRRUN};
	enum hw_lua_outcome outcome;

	give_up_wait(task);
	if (!guard) { /* the worker has ended, and the state ends next */
		luaL_unref(task->state->lua, LUA_REGISTRYINDEX, task->ref);
		forget(task);
		return HW_LUA_OK;
	}
	outcome = burst(task, guard, task->burst_us, reset, &b, NULL);
	if (outcome == HW_LUA_OK)
		hw_lua_task_release(task);
	else
		forget(task);
	return outcome;
}

/* Up to the next wait or the end. */
static enum hw_lua_outcome run(struct hw_lua_task *task, struct hw_guard *guard, uint32_t budget_us,
	int n_arguments, struct hw_err *err)
{
	struct burst b = {.lua = task->lua,
		.from = task->state->lua,
		.n_arguments = n_arguments,
		.status = LUA_ERRRUN};
	enum hw_lua_outcome outcome = burst(task, guard, budget_us, resume, &b, err), closed;

	if (outcome == HW_LUA_WAITS) {
		task->waiting = true;
		task->state->n_waiting++;
		return outcome;
	}
	give_up_wait(task); /* an error on its way into the wait */
	if (outcome == HW_LUA_FAILED) {
		closed = close_task(task, guard);
		return closed == HW_LUA_OK ? outcome : closed;
	}
	if (outcome != HW_LUA_OK)
		forget(task);
	return outcome;
}

static void begin_to_wait(struct hw_lua_task *task)
{
	if (task->late)
		return;
	task->late = true;
	task->left_us = (int64_t)HW_LUA_TASK_BURSTS * task->burst_us;
	hw_timer_arm(
		io_of(task->state)->poller->timers, &task->timer, now_ms(task) + task->deadline_ms);
}

enum hw_lua_outcome hw_lua_task_start(
	struct hw_lua_task *task, struct hw_guard *guard, lua_CFunction fn, struct hw_err *err)
{
	enum hw_lua_outcome outcome;

	/* the base of the stack has room for these: nothing is allocated */
	lua_pushcfunction(task->lua, fn);
	lua_pushlightuserdata(task->lua, task);
	outcome = run(task, guard, task->burst_us, 1, err);
	if (outcome == HW_LUA_WAITS)
		begin_to_wait(task);
	return outcome;
}

/* ---- ends ---- */

/* Whoever is told that a task has failed is shown a copy: the task itself serves others by then. */

void hw_lua_task_wake(struct hw_lua_task *task)
{
	struct hw_guard *guard = hw_guard_current();
	struct hw_lua_task ended;
	struct hw_err err = {{0}};
	enum hw_lua_outcome outcome;
	uint32_t budget_us = task->burst_us;
	int64_t started_us = thread_cpu_us();

	task->state->n_waiting--;
	task->waiting = false;
	ended = *task;
	if (task->left_us < (int64_t)budget_us)
		budget_us = task->left_us > 0 ? (uint32_t)task->left_us : 0;
	if (budget_us == 0) {
		hw_err_set(&err, -ETIME, "used more than its %u ms of CPU time in all",
			(unsigned)(HW_LUA_TASK_BURSTS * task->burst_us / 1000));
		outcome = close_task(task, guard);
		if (outcome == HW_LUA_OK)
			outcome = HW_LUA_LATE;
	} else {
		outcome = run(task, guard, budget_us, 0, &err);
	}
	if (outcome == HW_LUA_WAITS) {
		task->left_us -= thread_cpu_us() - started_us;
		return;
	}
	ended.done(outcome == HW_LUA_OK ? task : &ended, outcome, &err);
}

/* The deadline, or a doomed one's turn. */
static void on_timer(struct hw_timer *timer)
{
	struct hw_lua_task *task = HW_CONTAINER_OF(timer, struct hw_lua_task, timer);
	struct hw_lua_task ended = *task;
	struct hw_err err = {{0}};
	enum hw_lua_outcome outcome;

	if (task->doomed) {
		outcome = HW_LUA_GONE;
		forget(task);
		hw_err_set(&err, -EAGAIN, "its state was ended while it waited");
	} else {
		hw_err_set(&err, -ETIME, "did not end within its deadline of %u ms",
			task->deadline_ms);
		outcome = close_task(task, hw_guard_current());
		if (outcome == HW_LUA_OK)
			outcome = HW_LUA_LATE;
	}
	ended.done(&ended, outcome, &err);
}

enum hw_lua_outcome hw_lua_task_cancel(struct hw_lua_task *task, struct hw_guard *guard)
{
	if (!task->doomed)
		return close_task(task, guard);
	forget(task);
	return HW_LUA_OK;
}

/* Who asked hears of it from the loop: this may be the middle of another's question. */
static void doom(struct hw_lua_task *task)
{
	struct hw_lua_task ended = *task;
	struct hw_err err = {{0}};

	if (task->waiting && !task->unasked) {
		int64_t now = now_ms(task);
		struct hw_timers *timers = io_of(task->state)->poller->timers;

		give_up_wait(task);
		hw_timer_cancel(&task->sleep);
		hw_list_remove(&task->link);
		task->doomed = true;
		task->state = NULL;
		task->lua = NULL;
		hw_timer_arm(timers, &task->timer, now);
		return;
	}
	if (task->waiting) {
		give_up_wait(task);
		forget(task);
		hw_err_set(&err, -EAGAIN, "its state was ended while it waited");
		ended.done(&ended, HW_LUA_GONE, &err);
		return;
	}
	give_up_wait(task);
	forget(task);
}

void hw_lua_tasks_end(struct hw_lua_state *state)
{
	while (!hw_list_empty(&state->tasks))
		doom(HW_CONTAINER_OF(state->tasks.next, struct hw_lua_task, link));
	while (!hw_list_empty(&state->idle_tasks))
		forget(HW_CONTAINER_OF(state->idle_tasks.next, struct hw_lua_task, link));
}

/* ---- inside of a task ---- */

struct hw_lua_task *hw_lua_task_check(lua_State *lua, const char *what)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	struct hw_lua_task *task = state->task;

	if (state->loading)
		luaL_error(lua, "%s waits, and nothing may wait while the file is loaded", what);
	if (!task || !state->may_wait)
		luaL_error(lua,
			"%s waits, and nothing may wait here: only authenticate, authorize, "
			"transform, on and every may",
			what);
	if (!lua_isyieldable(lua))
		luaL_error(lua,
			"%s waits, and nothing may wait inside of string.gsub, table.sort, "
			"tostring and their like",
			what);
	if (!io_of(state))
		luaL_error(lua, "%s waits, and this thread has no loop that could wake it", what);
	if (state->n_waiting >= task->in_flight)
		luaL_error(lua, "%s: %d calls of this policy wait already (its budget's in_flight)",
			what, (int)state->n_waiting);
	return task;
}

int hw_lua_task_wait(lua_State *lua, struct hw_lua_task *task, lua_KFunction go_on)
{
	return lua_yieldk(lua, 0, (lua_KContext)task, go_on);
}
