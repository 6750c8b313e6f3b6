#include "session/login.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "session/who.h"

static struct hw_hook_bench *find_tenant(struct hw_ask *ask, struct hw_str tenant_id)
{
	struct hw_login *login = HW_CONTAINER_OF(ask, struct hw_login, ask);
	int r = hw_hub_get(login->worker, tenant_id, &login->hub);

	if (!r)
		return login->hub->bench;
	login->hub = NULL;
	ask->code = r == -ENOENT ? "forbidden_topic" : "unavailable";
	snprintf(ask->message, sizeof(ask->message), "%s",
		r == -ENOENT ? "this tenant is not served here"
			     : "the tenant's policy cannot run now");
	return NULL;
}

/* The chain's answer as the session's words. */
static enum hw_verdict settle(struct hw_login *login)
{
	struct hw_ask *ask = &login->ask;
	int64_t now_s = hw_worker_wall_ms(login->worker) / 1000;

	login->identity = ask->identity;
	if (ask->verdict == HW_ALLOW && login->identity->expires_at &&
		login->identity->expires_at <= now_s) {
		hw_identity_unref(&login->identity);
		ask->verdict = HW_DENY;
		ask->code = "token_expired";
		ask->message[0] = '\0';
	}
	if (ask->verdict != HW_ALLOW) {
		login->code = hw_ask_code(ask, HW_CODE_UNAUTHORIZED);
		memcpy(login->message, ask->message, sizeof(login->message));
	}
	return ask->verdict;
}

static void on_decided(struct hw_ask *ask)
{
	struct hw_login *login = HW_CONTAINER_OF(ask, struct hw_login, ask);

	(void)settle(login);
	login->decided(login);
}

enum hw_verdict hw_login_start(struct hw_login *login)
{
	login->request.size = sizeof(login->request);
	login->identity = NULL;
	login->hub = NULL;
	login->code = HW_CODE_NONE;
	login->ask = (struct hw_ask){
		.stage = HW_STAGE_AUTHENTICATE,
		.global = login->worker->global,
		.request = &login->request,
		.find_tenant = find_tenant,
		.decided = on_decided,
	};
	if (hw_hooks_ask(&login->ask) == HW_PENDING)
		return HW_PENDING;
	return settle(login);
}

void hw_login_cancel(struct hw_login *login)
{
	hw_hooks_cancel(&login->ask);
}
