/* What hooks need of a process, for commands that load or ask them and are no broker. One thread.
 */
#pragma once

#include "app/plugin_cache.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "hook/hooks.h"
#include "hook/watchdog.h"

struct hw_hook_kit {
	struct hw_log *log;
	struct hw_metrics *metrics;
	struct hw_watchdog *watchdog;
	struct hw_hook_env *env;
	struct hw_plugin_cache plugin_cache;
};

/** Fills @kit, which needs no initialization. @clock and @script_lib (NULL: none) are borrowed. 0
 * or negative errno; close it in either case. */
HW_MUST_CHECK int hw_hook_kit_open(struct hw_hook_kit *kit, int log_fd, enum hw_log_level level,
	const struct hw_clock *clock, const char *script_lib);
void hw_hook_kit_close(struct hw_hook_kit *kit);
