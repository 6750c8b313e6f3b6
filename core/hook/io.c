#include "hook/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/trust.h"
#include "hook/entry_internal.h"
#include "hook/http_client.h"

/* Read once, by the first worker. Without authorities the rest works; https does not. */
static struct hw_trust *trust_of(struct hw_hook_env *env)
{
	const char *file = hw_http_ca_file();
	int rc = 0;

	if (env->trust || !file)
		return env->trust;
	rc = hw_trust_create(file, &env->trust);
	if (rc < 0)
		hw_log(env->log, HW_LOG_WARN, "hook",
			"no certificate authorities: policies can ask no https service",
			HW_F_Z("file", file), HW_F_Z("error", strerror(-rc)));
	return env->trust;
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
	io->http = hw_http_client_create(poller, trust_of(env));
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
