#include "hook/guard_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <lauxlib.h>

/* The handler has no argument to find its thread's guard by. initial-exec: reading it never calls
 * into the linker. */
static _Thread_local struct hw_guard *current __attribute__((tls_model("initial-exec")));

struct hw_guard *hw_guard_current(void)
{
	return current;
}

void hw_guard_set_current(struct hw_guard *guard)
{
	current = guard;
}

/* The hook that a struck call runs into, at every instruction until the error has reached the
 * broker. */
static void raise_overrun(lua_State *lua, lua_Debug *at)
{
	struct hw_guard *guard = current;

	(void)at;
	luaL_where(lua, 0);
	lua_pushfstring(lua, "used more than its %d ms of CPU time",
		(int)(atomic_load_explicit(&guard->budget_us, memory_order_relaxed) / 1000));
	lua_concat(lua, 2);
	lua_error(lua);
}

static uintptr_t interrupted_at(const void *context)
{
	const ucontext_t *u = context;

#if defined(__x86_64__)
	return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (uintptr_t)u->uc_mcontext.pc;
#elif defined(__i386__)
	return (uintptr_t)u->uc_mcontext.gregs[REG_EIP];
#else
#error "say here where the program counter is: the kill must not jump out of the dynamic linker"
#endif
}

/* From here on the call counts as over: a second signal does nothing. */
void hw_guard_jump(struct hw_guard *guard)
{
	atomic_fetch_add_explicit(&guard->call, 1, memory_order_release);
	siglongjmp(guard->landing, 1);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	struct hw_guard *guard = current;
	int keep = errno;
	uint64_t call;

	(void)number;
	(void)info;
	if (!guard)
		return;
	call = atomic_load_explicit(&guard->call, memory_order_relaxed);
	if (!(call & 1))
		return;
	if (atomic_load_explicit(&guard->jump_call, memory_order_acquire) == call) {
		guard->struck = 1;
		if (guard->in_host)
			guard->jump_due = 1;
		else if (!hw_watchdog_in_loader(guard->watchdog, interrupted_at(context)))
			hw_guard_jump(guard);
	} else if (atomic_load_explicit(&guard->hook_call, memory_order_acquire) == call &&
		   !guard->struck) {
		guard->struck = 1;
		/* may be called from a handler: liblua's source says so */
		lua_sethook(guard->lua, raise_overrun, LUA_MASKCOUNT, 1);
	}
	errno = keep;
}

int hw_guard_install_handler(int signal_number)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_signal;
	sigemptyset(&action.sa_mask);
	/* NODEFER: the jump leaves the handler for good without a system call that restores a
	 * mask. */
	action.sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER;
	return sigaction(signal_number, &action, NULL) == 0 ? 0 : -errno;
}

void hw_guard_restore_handler(int signal_number)
{
	/* Not SIG_DFL: a signal that is still under way would end the process. */
	signal(signal_number, SIG_IGN);
}

int hw_guard_panic(lua_State *lua)
{
	struct hw_guard *guard = current;

	(void)lua;
	if (guard && (atomic_load_explicit(&guard->call, memory_order_relaxed) & 1))
		hw_guard_jump(guard);
	return 0; /* Lua aborts: nobody is there to take the error */
}

static void begin(struct hw_guard *guard, lua_State *lua, uint32_t budget_us)
{
	uint64_t call = atomic_load_explicit(&guard->call, memory_order_relaxed);

	assert(!(call & 1));
	guard->lua = lua;
	guard->in_host = 0;
	guard->jump_due = 0;
	guard->struck = 0;
	atomic_store_explicit(&guard->budget_us, budget_us, memory_order_relaxed);
	atomic_store_explicit(&guard->call, call + 1, memory_order_seq_cst);
	if (HW_UNLIKELY(hw_watchdog_parked(guard->watchdog)))
		hw_watchdog_wake(guard->watchdog);
}

static void end(struct hw_guard *guard)
{
	atomic_store_explicit(&guard->call,
		atomic_load_explicit(&guard->call, memory_order_relaxed) + 1, memory_order_release);
}

enum hw_guard_end hw_guard_run(struct hw_guard *guard, lua_State *lua, uint32_t budget_us,
	void (*fn)(void *arg), void *arg)
{
	if (sigsetjmp(guard->landing, 0) != 0)
		return HW_GUARD_JUMPED;
	begin(guard, lua, budget_us);
	fn(arg);
	end(guard);
	return guard->struck ? HW_GUARD_STRUCK : HW_GUARD_DONE;
}
