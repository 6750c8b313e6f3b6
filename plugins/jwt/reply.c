#include "reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_MAX 255 /* bytes, as the broker has it */

static const char not_a_user[] = "is no user id: 1 to 255 bytes";
static const char not_a_tenant[] = "is no tenant id: 1 to 64 of A-Z a-z 0-9 . _ -";

void reply_deny(struct reply *r, const char *code, const char *why)
{
	snprintf(r->message, sizeof(r->message), "%s", why);
	r->answer.verdict = HW_DENY;
	r->answer.code = code;
	r->answer.message = (struct hw_slice){r->message, strlen(r->message)};
}

static int deny_claim(struct reply *r, const char *claim, const char *why)
{
	char text[sizeof(r->message)];

	snprintf(text, sizeof(text), "the token's claim \"%.64s\" %s", claim, why);
	reply_deny(r, "unauthorized", text);
	return -1;
}

/* A claim that names somebody: a text, or a whole number as some issuers have it. */
static int get_name(const struct hw_host *host, struct hw_slice claims, const char *claim,
	struct hw_slice *name, char *scratch, size_t size)
{
	size_t digits = 0;
	char kind;

	if (host->json_get(claims, claim, &kind, name, scratch, size) != 0)
		return -1;
	if (kind == 's')
		return 0;
	if (kind != 'n')
		return -1;
	digits = name->p[0] == '-' ? 1 : 0;
	while (digits < name->len && name->p[digits] >= '0' && name->p[digits] <= '9')
		digits++;
	return digits == name->len ? 0 : -1;
}

/* Whether the claim is the text, or an array that holds it. */
static int claim_says(
	const struct hw_host *host, struct hw_slice claims, const char *claim, const char *text)
{
	struct hw_slice value, item, none;
	char scratch[512], kind;
	size_t position = 0, len = strlen(text);

	if (host->json_get(claims, claim, &kind, &value, scratch, sizeof(scratch)) != 0)
		return 0;
	if (kind == 's')
		return value.len == len && memcmp(value.p, text, len) == 0;
	while (kind == 'a' && host->json_next(value, &position, &none, &kind, &item, scratch,
				      sizeof(scratch)) == 0) {
		if (kind == 's' && item.len == len && memcmp(item.p, text, len) == 0)
			return 1;
		kind = 'a';
	}
	return 0;
}

static int is_tenant_id(struct hw_slice s)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	for (size_t i = 0; i < s.len; i++) {
		if (!memchr(letters, s.p[i], sizeof(letters) - 1))
			return 0;
	}
	return s.len > 0 && s.len <= 64;
}

static int read_person(struct reply *r, const struct hw_host *host,
	const struct jwt_settings *settings, struct hw_slice claims)
{
	if (get_name(host, claims, settings->user_claim, &r->answer.user_id, r->user,
		    sizeof(r->user)) < 0)
		return deny_claim(r, settings->user_claim,
			"must say who the user is, as a text or a whole number");
	if (r->answer.user_id.len == 0 || r->answer.user_id.len > USER_MAX)
		return deny_claim(r, settings->user_claim, not_a_user);
	if (get_name(host, claims, settings->tenant_claim, &r->answer.tenant_id, r->tenant,
		    sizeof(r->tenant)) < 0)
		return deny_claim(r, settings->tenant_claim,
			"must say which tenant it is, as a text or a whole number");
	if (!is_tenant_id(r->answer.tenant_id))
		return deny_claim(r, settings->tenant_claim, not_a_tenant);
	return 0;
}

static int add_tenant(struct reply *r, struct hw_slice tenant, size_t *used)
{
	struct hw_slice *grown =
		realloc(r->tenants, (r->answer.n_tenants + 1) * sizeof(r->tenants[0]));

	if (!grown)
		return -1;
	r->tenants = grown;
	memcpy(r->tenants_text + *used, tenant.p, tenant.len);
	grown[r->answer.n_tenants++] = (struct hw_slice){r->tenants_text + *used, tenant.len};
	*used += tenant.len;
	r->answer.tenants = grown;
	return 0;
}

static void read_tenants(struct reply *r, const struct hw_host *host,
	const struct jwt_settings *settings, struct hw_slice claims)
{
	static const char wanted[] = "must be an array of tenant ids";
	struct hw_slice value, item, none;
	char scratch[512], kind;
	size_t position = 0, used = 0;
	int rc;

	rc = host->json_get(
		claims, settings->tenants_claim, &kind, &value, scratch, sizeof(scratch));
	if (rc > 0)
		return; /* a user's token has none */
	if (rc < 0 || kind != 'a') {
		deny_claim(r, settings->tenants_claim, wanted);
		return;
	}
	r->tenants_text = malloc(value.len);
	if (!r->tenants_text) {
		r->answer.verdict = HW_ERROR;
		return;
	}
	while ((rc = host->json_next(
			value, &position, &none, &kind, &item, scratch, sizeof(scratch))) == 0) {
		if (kind != 's' || !is_tenant_id(item)) {
			rc = -1;
			break;
		}
		if (add_tenant(r, item, &used) < 0) {
			r->answer.verdict = HW_ERROR;
			return;
		}
	}
	if (rc < 0)
		deny_claim(r, settings->tenants_claim, wanted);
}

void reply_from_claims(struct reply *r, const struct hw_host *host,
	const struct jwt_settings *settings, struct hw_slice claims, int64_t expires_at,
	int64_t now_ms)
{
	*r = (struct reply){.answer = {.size = sizeof(r->answer), .verdict = HW_ALLOW}};
	if (read_person(r, host, settings, claims) < 0)
		return;
	r->answer.claims = claims;
	/* A token inside of the skew is good until its end, which a session must not have behind it
	 * already. */
	if (expires_at)
		r->answer.expires_at =
			now_ms < expires_at * 1000 ? expires_at : expires_at + settings->skew_s;
	r->answer.act_as =
		settings->act_as_claim &&
		claim_says(host, claims, settings->act_as_claim, settings->act_as_equals);
	if (settings->tenants_claim)
		read_tenants(r, host, settings, claims);
}

enum hw_verdict reply_now(
	struct reply *r, struct hw_call *call, const struct jwt_settings *settings)
{
	const struct hw_host *host = call->host;
	const struct hw_answer *a = &r->answer;

	if (a->verdict == HW_ALLOW && host->set_user(call, a->user_id) < 0)
		deny_claim(r, settings->user_claim, not_a_user);
	if (a->verdict == HW_ALLOW && host->set_tenant(call, a->tenant_id) < 0)
		deny_claim(r, settings->tenant_claim, not_a_tenant);
	if (a->verdict == HW_ALLOW && host->set_claims(call, a->claims) < 0)
		reply_deny(r, "unauthorized", "the token has too many claims");
	if (a->verdict == HW_DENY)
		host->reason(call, a->code, a->message);
	if (a->verdict != HW_ALLOW)
		return a->verdict;
	if (a->expires_at)
		host->set_expires_at(call, a->expires_at);
	if (a->act_as)
		host->grant_act_as(call);
	for (size_t i = 0; i < a->n_tenants; i++) {
		if (host->grant_tenant(call, a->tenants[i]) < 0)
			return HW_ERROR; /* a tenant's own entry may not: the configuration is
					    wrong, not the token */
	}
	return HW_ALLOW;
}

void reply_fini(struct reply *r)
{
	free(r->tenants);
	free(r->tenants_text);
}
