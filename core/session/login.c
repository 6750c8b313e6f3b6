#include "session/login.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto/hex.h"
#include "crypto/random.h"
#include "session/revoke.h"
#include "session/who.h"

void hw_session_id_make(char out[HW_SESSION_ID_LEN + 1])
{
	uint8_t id[HW_SESSION_ID_LEN / 2];

	hw_random(id, sizeof(id));
	hw_hex(id, sizeof(id), out);
}

/* ---- who is it?
 * ------------------------------------------------------------------------------------------------------
 */

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

static enum hw_verdict refused(struct hw_login *login, enum hw_code denied)
{
	struct hw_ask *ask = &login->ask;

	hw_identity_unref(&login->identity);
	login->code = hw_ask_code(ask, denied);
	memcpy(login->message, ask->message, sizeof(login->message));
	login->retry_after_ms = hw_ask_retry_ms(ask);
	return ask->verdict;
}

/* The chain's answer as the session's words. */
static enum hw_verdict settle(struct hw_login *login)
{
	struct hw_ask *ask = &login->ask;
	int64_t now_s = hw_worker_wall_ms(login->worker) / 1000;

	login->identity = ask->identity;
	if (ask->verdict == HW_ALLOW && login->identity->expires_at &&
		login->identity->expires_at <= now_s) {
		ask->verdict = HW_DENY;
		ask->code = "token_expired";
		ask->message[0] = '\0';
	} else if (ask->verdict == HW_ALLOW && hw_token_revoked(login->worker, login->identity)) {
		hw_metric_add(login->worker->counters->revoked_tokens, 1);
		ask->verdict = HW_DENY;
		ask->code = "unauthorized";
		snprintf(ask->message, sizeof(ask->message), "%s", HW_REVOKED_WORDS);
	}
	return ask->verdict == HW_ALLOW ? HW_ALLOW : refused(login, HW_CODE_UNAUTHORIZED);
}

/* ---- may it be a session?
 * ------------------------------------------------------------------------------------------------------
 */

static enum hw_verdict not_admitted(struct hw_login *login)
{
	struct hw_refused refused_now = {.tenant = login->hub->tenant,
		.kind = HW_REFUSED_SESSION,
		.user = login->identity->user_id,
		.code = hw_code_info(hw_ask_code(&login->ask, HW_CODE_FORBIDDEN_TOPIC))->name,
		.hook = login->ask.decided_by};

	hw_refusals_note(&login->worker->refusals, &refused_now, hw_worker_wall_ms(login->worker));
	return refused(login, HW_CODE_FORBIDDEN_TOPIC);
}

static void on_admitted(struct hw_ask *ask)
{
	struct hw_login *login = HW_CONTAINER_OF(ask, struct hw_login, ask);

	if (ask->verdict != HW_ALLOW)
		(void)not_admitted(login);
	login->decided(login);
}

static enum hw_verdict admit(struct hw_login *login)
{
	enum hw_verdict verdict = HW_ERROR;

	login->policy = login->hub->policy;
	login->question =
		(struct hw_question){.size = sizeof(login->question), .operation = HW_OP_SESSION};
	hw_who_fill(&login->who, login->identity, hw_str_of(login->session),
		(struct hw_str){login->request.address.p, login->request.address.len});
	login->ask = (struct hw_ask){
		.stage = HW_STAGE_AUTHORIZE,
		.global = login->worker->global,
		.tenant = login->hub->bench,
		.who = &login->who,
		.question = &login->question,
		.decided = on_admitted,
		.verdict = HW_ERROR,
	};
	if (login->hub->bench)
		verdict = hw_hooks_ask(&login->ask);
	if (verdict == HW_ALLOW || verdict == HW_PENDING)
		return verdict;
	return not_admitted(login);
}

/* A ticket says who it is: the chain has said so when that was given out. What is left to find is
 * the tenant. */
static void take_known(struct hw_login *login)
{
	struct hw_ask *ask = &login->ask;

	if (find_tenant(ask, login->known->tenant_id)) {
		ask->verdict = HW_ALLOW;
		ask->identity = hw_identity_ref(login->known);
	} else {
		ask->verdict = hw_code_find(hw_str_of(ask->code)) == HW_CODE_FORBIDDEN_TOPIC
				       ? HW_DENY
				       : HW_ERROR;
	}
}

static enum hw_verdict go_on(struct hw_login *login)
{
	enum hw_verdict verdict = settle(login);

	return verdict == HW_ALLOW && login->session[0] ? admit(login) : verdict;
}

static void on_decided(struct hw_ask *ask)
{
	struct hw_login *login = HW_CONTAINER_OF(ask, struct hw_login, ask);

	if (go_on(login) != HW_PENDING)
		login->decided(login);
}

enum hw_verdict hw_login_start(struct hw_login *login)
{
	login->request.size = sizeof(login->request);
	login->identity = NULL;
	login->hub = NULL;
	login->code = HW_CODE_NONE;
	login->retry_after_ms = HW_CONTROL_NO_RETRY;
	login->ask = (struct hw_ask){
		.stage = HW_STAGE_AUTHENTICATE,
		.global = login->worker->global,
		.request = &login->request,
		.find_tenant = find_tenant,
		.decided = on_decided,
	};
	if (login->known)
		take_known(login);
	else if (hw_hooks_ask(&login->ask) == HW_PENDING)
		return HW_PENDING;
	return go_on(login);
}

void hw_login_cancel(struct hw_login *login)
{
	hw_hooks_cancel(&login->ask);
}
