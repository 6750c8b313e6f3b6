/* A thread that runs Lua under the watchdog's eye, and the one call it may be in. See watchdog.h
 * for what happens to a call that overruns; here is how a call begins, ends, and how host
 * functions keep the kill out while they work.
 *
 *   running --budget spent--> struck --3 ms more--> jumped out of
 *
 * Struck: a hook is armed that raises an error at the VM's next instruction.
 *
 * What may be jumped out of: the VM, liblua's C functions, memcpy and its kin. What may not,
 * since it could hold a lock or own heap memory: everything between hw_guard_host_begin and _end,
 * and the dynamic linker (lazy binding), which the handler knows by the interrupted address. The
 * jump is then taken at the host function's end, or tried again 1 ms later. */
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <lua.h>

#include "base/compiler.h"
#include "base/list.h"
#include "hook/watchdog.h"

#define HW_GUARD_JUMP_AFTER_US 3000

struct hw_guard {
	/* The guarded thread's; the handler reads it there. A call has a number of its own: odd
	 * while it runs, then even until the next. */
	atomic_uint_fast64_t call;
	atomic_uint_fast32_t budget_us;
	lua_State *lua;
	volatile sig_atomic_t in_host;  /* a jump must wait */
	volatile sig_atomic_t jump_due; /* and one does */
	volatile sig_atomic_t struck;   /* the hook is armed */
	sigjmp_buf landing;
	/* which call a signal of the watchdog is meant for; a late one finds another number */
	atomic_uint_fast64_t hook_call;
	atomic_uint_fast64_t jump_call;
	/* constant once entered */
	struct hw_watchdog *watchdog;
	pthread_t thread;
	clockid_t cpu_clock;
	/* the watchdog's, under its lock */
	struct hw_list link;
	uint64_t seen_call;
	int64_t seen_us;   /* the thread's CPU time when that call was first seen */
	int64_t struck_us; /* and when it was last signalled */
};

enum hw_guard_end {
	/* returned within its budget */
	HW_GUARD_DONE,
	/* returned, but was told to end before: the state is whole, the result is void */
	HW_GUARD_STRUCK,
	/* was left wherever it was: of the state nothing may be touched, only its arena unmapped */
	HW_GUARD_JUMPED,
};

/** The calling thread's guard, NULL if hw_watchdog_enter_thread was not called. */
struct hw_guard *hw_guard_current(void);

/** Runs @fn(@arg), which calls into @lua, and ends it once it has used @budget_us of CPU time.
 *  Never nested. What @fn allocates with malloc outside of a host section leaks when the call is
 *  jumped out of. */
HW_MUST_CHECK enum hw_guard_end hw_guard_run(struct hw_guard *guard, lua_State *lua,
	uint32_t budget_us, void (*fn)(void *arg), void *arg);

/** lua_atpanic: an error outside of any protected call ends the guarded call as if killed. */
int hw_guard_panic(lua_State *lua);
/** Whether the call was told to end. Lua's pcall must not catch that. */
static inline bool hw_guard_is_struck(const struct hw_guard *guard)
{
	return guard->struck;
}

void hw_guard_jump(struct hw_guard *guard) __attribute__((noreturn));

/* Between these two no function of Lua is called: it could raise an error, and the section would
 * never end. */
static inline void hw_guard_host_begin(struct hw_guard *guard)
{
	guard->in_host = 1;
	atomic_signal_fence(memory_order_seq_cst);
}
static inline void hw_guard_host_end(struct hw_guard *guard)
{
	atomic_signal_fence(memory_order_seq_cst);
	guard->in_host = 0;
	if (HW_UNLIKELY(guard->jump_due))
		hw_guard_jump(guard);
}

/* between guard.c and watchdog.c */
void hw_watchdog_wake(struct hw_watchdog *watchdog);
/** Is the watchdog parked? Asked after `call` was stored; both are sequentially consistent, so
 *  that one side sees the other. */
bool hw_watchdog_parked(struct hw_watchdog *watchdog);
/** The one handler of the process. */
HW_MUST_CHECK int hw_guard_install_handler(int signal_number);
void hw_guard_restore_handler(int signal_number);
/** Whether the address belongs to the dynamic linker's code. Async-signal-safe. */
bool hw_watchdog_in_loader(const struct hw_watchdog *watchdog, uintptr_t address);
void hw_guard_set_current(struct hw_guard *guard);
