/* What hooks that wait need of the worker they run on: its clock and timers, its loop's watch over
 * descriptors. core/hook knows no loop; who has one lends it (hw_hook_env_join). Without it hooks
 * decide as ever, but a function that waits is an error. One worker's own. */
#pragma once

#include "base/poller.h"
#include "hook/hooks.h"

#define HW_HOOK_MAX_WORKERS 64

struct hw_http_client;

struct hw_hook_io {
	struct hw_poller *poller;
	struct hw_http_client
		*http; /* made beforehand: setting libcurl up would use up a call's budget */
};

struct hw_trust;

/** Before any worker joins: whom policies' https believes; borrowed, NULL: nobody. */
void hw_hook_env_believe(struct hw_hook_env *env, struct hw_trust *trust);
/** Before the worker's first bench is made. @poller is borrowed until hw_hook_env_part. 0, -ENOMEM,
 * or -ERANGE when @worker is beyond HW_HOOK_MAX_WORKERS. */
HW_MUST_CHECK int hw_hook_env_join(
	struct hw_hook_env *env, unsigned worker, struct hw_poller *poller);
/** After its last bench is gone. Harmless when it never joined. */
void hw_hook_env_part(struct hw_hook_env *env, unsigned worker);
/** The worker's, NULL when it has not joined. */
struct hw_hook_io *hw_hook_env_io(const struct hw_hook_env *env, unsigned worker);
