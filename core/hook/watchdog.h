/* One kill: a thread that watches the Lua call of each worker and ends one that overruns its CPU
 * burst. First by a hook that raises an error at the next VM instruction; 3 ms later by a
 * siglongjmp out of whatever C loop it is in, after which the state's arena is unmapped unlooked
 * at. Idle (no call running anywhere) it sleeps. */
#pragma once

#include "base/compiler.h"

struct hw_watchdog;

/** Starts the thread and installs the handler of its realtime signal (process wide; one watchdog a
 * process). 0 or negative errno. */
HW_MUST_CHECK int hw_watchdog_create(struct hw_watchdog **out);
void hw_watchdog_destroy(struct hw_watchdog **watchdog); /* no guarded thread may be left */
/** The calling thread will run Lua (each worker, the control thread). 0 or negative errno. */
HW_MUST_CHECK int hw_watchdog_enter_thread(struct hw_watchdog *watchdog);
void hw_watchdog_leave_thread(struct hw_watchdog *watchdog);
