#include "hook/lua_task.h"

/* ctx.sleep */

#define MAX_SLEEP_MS 86400000 /* the deadline comes first */

static int slept(lua_State *lua, int status, lua_KContext context)
{
	(void)lua;
	(void)status;
	(void)context;
	return 0;
}

static void on_slept(struct hw_timer *timer)
{
	hw_lua_task_wake(HW_CONTAINER_OF(timer, struct hw_lua_task, sleep));
}

static void cancel(struct hw_lua_task *task)
{
	hw_timer_cancel(&task->sleep);
}

int hw_lua_sleep(lua_State *lua)
{
	lua_Number ms = luaL_checknumber(lua, 1);
	struct hw_lua_task *task = hw_lua_task_check(lua, "ctx.sleep");
	struct hw_poller *poller = task->state->io->poller;

	luaL_argcheck(lua, ms >= 0 && ms <= MAX_SLEEP_MS, 1, "milliseconds, up to a day");
	/* a timer is a list's node: no section of its own, a jump between drops the task whole */
	hw_timer_init(&task->sleep, on_slept);
	hw_lua_host_begin(lua);
	task->cancel = cancel;
	hw_timer_arm(poller->timers, &task->sleep, hw_clock_mono_ms(poller->clock) + (int64_t)ms);
	hw_lua_host_end(lua);
	return hw_lua_task_wait(lua, task, slept);
}
