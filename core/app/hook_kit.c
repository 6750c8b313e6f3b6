#include "app/hook_kit.h"

#include <errno.h>

#include "app/broker.h"

int hw_hook_kit_open(struct hw_hook_kit *kit, int log_fd, enum hw_log_level level,
	const struct hw_clock *clock, const char *script_lib)
{
	int rc;

	*kit = (struct hw_hook_kit){0};
	kit->log = hw_log_create(log_fd, level, HW_LOG_TEXT);
	kit->metrics = hw_metrics_create();
	rc = kit->log && kit->metrics ? 0 : -ENOMEM;
	if (rc == 0)
		rc = hw_watchdog_create(&kit->watchdog);
	if (rc == 0)
		rc = hw_plugin_cache_open(NULL, &kit->plugin_cache);
	if (rc == 0) {
		kit->env = hw_hook_env_create(kit->log, kit->metrics, clock, kit->watchdog,
			script_lib, kit->plugin_cache.path, HW_SELF_EXE);
		rc = kit->env ? 0 : -ENOMEM;
	}
	return rc;
}

void hw_hook_kit_close(struct hw_hook_kit *kit)
{
	hw_hook_env_destroy(&kit->env);
	hw_plugin_cache_close(&kit->plugin_cache);
	hw_watchdog_destroy(&kit->watchdog);
	hw_metrics_destroy(&kit->metrics);
	hw_log_destroy(&kit->log);
}
