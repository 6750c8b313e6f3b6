#include "hook/plugin_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "crypto/jwt.h"
#include "crypto/random.h"
#include "hook/claims.h"
#include "hook/plugin_json.h"
#include "wire/code.h"
#include "wire/json.h"

#define RETRY_MAX_MS INT64_C(86400000)
#define SECONDS_MAX INT64_C(253402300799) /* the end of the year 9999 */

/* ---- log and metrics ---- */

static void host_log(
	const struct hw_host *host, enum hw_log_severity severity, struct hw_slice message)
{
	struct hw_plugin_host *h = hw_plugin_host_of(host);
	enum hw_log_level level = severity <= HW_PLUGIN_DEBUG  ? HW_LOG_DEBUG
				  : severity == HW_PLUGIN_INFO ? HW_LOG_INFO
				  : severity == HW_PLUGIN_WARN ? HW_LOG_WARN
							       : HW_LOG_ERROR;

	hw_log(h->env->log, level, "plugin", "plugin says", HW_F_Z("plugin", h->plugin_name),
		HW_F_Z("hook", h->hook_name), HW_F_STR("text", hw_plugin_str(message)));
}

static void host_metric(const struct hw_host *host, const char *name, int64_t add)
{
	struct hw_plugin_host *h = hw_plugin_host_of(host);

	hw_hook_count(&h->counters, h->env->metrics, "plugin", h->plugin_name, name, add);
}

/* ---- answers ---- */

static int failed(struct hw_plugin_call *c)
{
	c->failed = true;
	return -1;
}

/* Replaces *@to by a copy. */
static int set_string(struct hw_plugin_call *c, char **to, struct hw_slice value)
{
	char *copy = hw_str_dup(hw_plugin_str(value));

	if (!copy)
		return failed(c);
	free(*to);
	*to = copy;
	return 0;
}

static int host_set_user(struct hw_call *call, struct hw_slice user_id)
{
	struct hw_plugin_call *c = hw_plugin_call_of(call);

	if (c->stage != HW_STAGE_AUTHENTICATE || !hw_user_id_valid(hw_plugin_str(user_id)))
		return failed(c);
	return set_string(c, &c->answer->user_id, user_id);
}

static int host_set_tenant(struct hw_call *call, struct hw_slice tenant_id)
{
	struct hw_plugin_call *c = hw_plugin_call_of(call);

	if (c->stage != HW_STAGE_AUTHENTICATE || !hw_tenant_id_valid(hw_plugin_str(tenant_id)))
		return failed(c);
	return set_string(c, &c->answer->tenant_id, tenant_id);
}

static int host_set_claims(struct hw_call *call, struct hw_slice json_object)
{
	struct hw_plugin_call *c = hw_plugin_call_of(call);
	struct hw_buf merged;
	char *claims;
	int rc;

	if (c->stage != HW_STAGE_AUTHENTICATE)
		return failed(c);
	hw_buf_init(&merged);
	rc = hw_claims_merge(&merged,
		c->answer->claims ? hw_str_of(c->answer->claims) : HW_STR("{}"),
		hw_plugin_str(json_object));
	claims = rc == 0 ? hw_buf_steal(&merged) : NULL;
	hw_buf_fini(&merged);
	if (!claims)
		return failed(c);
	free(c->answer->claims);
	c->answer->claims = claims;
	return 0;
}

static int host_set_expires_at(struct hw_call *call, int64_t seconds)
{
	struct hw_plugin_call *c = hw_plugin_call_of(call);

	if (c->stage != HW_STAGE_AUTHENTICATE || seconds <= 0 || seconds > SECONDS_MAX)
		return failed(c);
	if (!c->answer->has_expires_at || seconds < c->answer->expires_at)
		c->answer->expires_at = seconds;
	c->answer->has_expires_at = true;
	return 0;
}

static int host_grant_tenant(struct hw_call *call, struct hw_slice tenant_id)
{
	struct hw_plugin_call *c = hw_plugin_call_of(call);
	char **larger;

	if (c->stage != HW_STAGE_AUTHENTICATE || !c->global ||
		!hw_tenant_id_valid(hw_plugin_str(tenant_id)))
		return failed(c);
	larger = realloc(c->answer->tenants, (c->answer->n_tenants + 1) * sizeof(*larger));
	if (!larger)
		return failed(c);
	c->answer->tenants = larger;
	larger[c->answer->n_tenants] = NULL;
	if (set_string(c, &larger[c->answer->n_tenants], tenant_id) < 0)
		return -1;
	c->answer->n_tenants++;
	return 0;
}

static int host_grant_act_as(struct hw_call *call)
{
	struct hw_plugin_call *c = hw_plugin_call_of(call);

	if (c->stage != HW_STAGE_AUTHENTICATE && !c->publish)
		return failed(c);
	c->answer->act_as = true;
	return 0;
}

/* A refusal stays one, whatever is wrong with its reason: the call does not fail for it. */
static int host_reason(struct hw_call *call, const char *code, struct hw_slice message)
{
	struct hw_entry_answer *answer = hw_plugin_call_of(call)->answer;
	enum hw_code found = code ? hw_code_find(hw_str_of(code)) : HW_CODE_NONE;
	size_t len =
		message.len < sizeof(answer->message) ? message.len : sizeof(answer->message) - 1;

	if (found == HW_CODE_NONE || (message.len > 0 && !hw_utf8_valid(message.p, message.len)))
		return -1;
	/* not in the middle of a character */
	while (len < message.len && len > 0 && ((unsigned char)message.p[len] & 0xc0) == 0x80)
		len--;
	answer->code = hw_code_info(found)->name;
	if (len > 0)
		memcpy(answer->message, message.p, len);
	answer->message[len] = '\0';
	return 0;
}

/* As a reason: what is wrong with it changes no verdict. */
static int host_retry_after(struct hw_call *call, int64_t ms)
{
	if (ms < 1 || ms > RETRY_MAX_MS)
		return -1;
	hw_plugin_call_of(call)->answer->retry_after_ms = ms;
	return 0;
}

static int host_path(const struct hw_host *host, struct hw_slice name, char *out, size_t size)
{
	const char *file = hw_plugin_host_of(host)->config_file;
	const char *slash = file ? strrchr(file, '/') : NULL;
	int dir_len = slash && (name.len == 0 || name.p[0] != '/') ? (int)(slash + 1 - file) : 0;
	int n;

	if (name.len >= size)
		return -1;
	n = snprintf(out, size, "%.*s%.*s", dir_len, dir_len ? file : "", (int)name.len,
		name.len ? name.p : "");
	return n >= 0 && (size_t)n < size ? 0 : -1;
}

static int host_set_event(struct hw_call *call, struct hw_slice json)
{
	struct hw_plugin_call *c = hw_plugin_call_of(call);
	struct hw_json value;
	struct hw_err err;

	if ((c->stage != HW_STAGE_TRANSFORM && c->stage != HW_STAGE_REDACT) ||
		hw_json_whole(hw_plugin_str(json), 0, &value, &err) < 0 ||
		value.kind != HW_JSON_OBJECT)
		return failed(c);
	if (set_string(c, &c->answer->event, json) < 0)
		return -1;
	c->answer->event_len = json.len;
	return 0;
}

/* Also a refusal's reason, and what is no part of the stage, as if the setters were called. */
void hw_plugin_take_answer(struct hw_plugin_call *c, const struct hw_answer *said)
{
	struct hw_call *call = &c->call;

	if (said->code || said->message.len > 0)
		(void)host_reason(call, said->code, said->message);
	if (said->user_id.p)
		(void)host_set_user(call, said->user_id);
	if (said->tenant_id.p)
		(void)host_set_tenant(call, said->tenant_id);
	if (said->claims.p)
		(void)host_set_claims(call, said->claims);
	if (said->expires_at)
		(void)host_set_expires_at(call, said->expires_at);
	for (size_t i = 0; i < said->n_tenants; i++)
		(void)host_grant_tenant(call, said->tenants[i]);
	if (said->act_as)
		(void)host_grant_act_as(call);
	if (said->event.p)
		(void)host_set_event(call, said->event);
	if (said->retry_after_ms)
		(void)host_retry_after(call, said->retry_after_ms);
	c->answer->verdict = hw_plugin_verdict(c, said->verdict);
}

enum hw_verdict hw_plugin_verdict(struct hw_plugin_call *c, enum hw_verdict verdict)
{
	if (c->failed && verdict != HW_DENY && verdict != HW_ERROR) {
		snprintf(c->answer->detail, sizeof(c->answer->detail),
			"a value that the plugin set was refused, or memory is short");
		return HW_ERROR;
	}
	return verdict;
}

static const struct hw_host functions = {
	.size = sizeof(struct hw_host),
	.major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR,
	.log = host_log,
	.metric = host_metric,
	.set_user = host_set_user,
	.set_tenant = host_set_tenant,
	.set_claims = host_set_claims,
	.set_expires_at = host_set_expires_at,
	.grant_tenant = host_grant_tenant,
	.grant_act_as = host_grant_act_as,
	.reason = host_reason,
	.set_event = host_set_event,
	.sha256 = hw_plugin_sha256,
	.jwt_keys_create = hw_plugin_jwt_keys_create,
	.jwt_keys_destroy = hw_jwt_keys_destroy,
	.jwt_verify = hw_plugin_jwt_verify,
	.jwt_release = hw_plugin_jwt_release,
	.json_get = hw_plugin_json_get,
	.json_next = hw_plugin_json_next,
	.audience = hw_plugin_audience,
	.suspend = hw_plugin_suspend,
	.finish = hw_plugin_finish,
	.offload = hw_plugin_offload,
	.timer = hw_plugin_timer,
	.timer_cancel = hw_plugin_timer_cancel,
	.keep = hw_plugin_keep,
	.publish = hw_plugin_publish,
	.reauth = hw_plugin_reauth,
	.dict_get = hw_plugin_dict_get,
	.dict_set = hw_plugin_dict_set,
	.dict_add = hw_plugin_dict_add,
	.dict_incr = hw_plugin_dict_incr,
	.dict_cas = hw_plugin_dict_cas,
	.dict_delete = hw_plugin_dict_delete,
	.hmac_sha256 = hw_plugin_hmac_sha256,
	.random = hw_random,
	.equal = hw_plugin_equal,
	.jwt_sign = hw_plugin_jwt_sign,
	.journal_committed = hw_plugin_journal_committed,
	.journal_failed = hw_plugin_journal_failed,
	.journal_rows = hw_plugin_journal_rows,
	.retry_after = host_retry_after,
	.path = host_path,
};

int hw_plugin_host_init(struct hw_plugin_host *host, struct hw_hook_env *env, const char *hook_name,
	const struct hw_plugin *table)
{
	struct hw_hash_key key = hw_hash_key_random();

	*host = (struct hw_plugin_host){
		.host = functions,
		.env = env,
		.table = table,
		.hook_name = hook_name,
		.plugin_name = table->name,
	};
	hw_hook_counters_init(&host->counters);
	hw_map_init(&host->waits, &key);
	return -pthread_mutex_init(&host->lock, NULL);
}

void hw_plugin_host_fini(struct hw_plugin_host *host)
{
	hw_map_fini(&host->waits);
	pthread_mutex_destroy(&host->lock);
	hw_hook_counters_fini(&host->counters);
}
