#include "hook/io.h"

#include <errno.h>
#include <stdlib.h>

#include "hook/entry_internal.h"
#include "hook/http_client.h"

void hw_hook_env_believe(struct hw_hook_env *env, struct hw_trust *trust)
{
	env->trust = trust;
}

int hw_hook_env_join(struct hw_hook_env *env, unsigned worker, struct hw_poller *poller)
{
	struct hw_hook_io *io;

	if (worker >= HW_HOOK_MAX_WORKERS)
		return -ERANGE;
	io = calloc(1, sizeof(*io));
	if (!io)
		return -ENOMEM;
	io->poller = poller;
	io->http = hw_http_client_create(poller, env->trust);
	if (!io->http) {
		free(io);
		return -ENOMEM;
	}
	env->io[worker] = io;
	return 0;
}

void hw_hook_env_part(struct hw_hook_env *env, unsigned worker)
{
	struct hw_hook_io *io = hw_hook_env_io(env, worker);

	if (!io)
		return;
	env->io[worker] = NULL;
	hw_http_client_destroy(&io->http);
	free(io);
}

struct hw_hook_io *hw_hook_env_io(const struct hw_hook_env *env, unsigned worker)
{
	return worker < HW_HOOK_MAX_WORKERS ? env->io[worker] : NULL;
}
