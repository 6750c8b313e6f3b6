#include "hook/draft.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "hook/claims.h"

#define SECONDS_MAX INT64_C(253402300799) /* the end of the year 9999 */

static int object_to(struct hw_entry_answer *answer, const char *detail)
{
	snprintf(answer->detail, sizeof(answer->detail), "%s", detail);
	return -EINVAL;
}

static char *move(char **from)
{
	char *p = *from;

	*from = NULL;
	return p;
}

static int fix(
	struct hw_draft *draft, const struct hw_hook_entry *entry, struct hw_entry_answer *answer)
{
	if (!answer->user_id || !answer->tenant_id)
		return object_to(answer, "authenticate allowed without a user_id and a tenant_id");
	if (!hw_user_id_valid(hw_str_of(answer->user_id)))
		return object_to(answer, "user_id must be 1 to 255 bytes of UTF-8");
	if (!hw_tenant_id_valid(hw_str_of(answer->tenant_id)))
		return object_to(answer, "tenant_id must be 1 to 64 of A-Z a-z 0-9 . _ -");
	draft->user_id = move(&answer->user_id);
	draft->tenant_id = move(&answer->tenant_id);
	draft->fixed_by = entry->name;
	draft->fixed = true;
	return 0;
}

static int check_same_person(const struct hw_draft *draft, struct hw_entry_answer *answer)
{
	if (answer->user_id && !hw_str_eq(hw_str_of(answer->user_id), hw_str_of(draft->user_id)))
		return object_to(answer, "an entry before has fixed another user_id");
	if (answer->tenant_id &&
		!hw_str_eq(hw_str_of(answer->tenant_id), hw_str_of(draft->tenant_id)))
		return object_to(answer, "an entry before has fixed another tenant_id");
	return 0;
}

static int add_claims(struct hw_draft *draft, struct hw_entry_answer *answer)
{
	struct hw_buf merged;
	char *claims;
	int rc;

	if (!answer->claims)
		return 0;
	hw_buf_init(&merged);
	rc = hw_claims_merge(&merged, draft->claims ? hw_str_of(draft->claims) : HW_STR("{}"),
		hw_str_of(answer->claims));
	claims = rc == 0 ? hw_buf_steal(&merged) : NULL;
	hw_buf_fini(&merged);
	if (rc == -EINVAL)
		return object_to(answer, "claims must be a JSON object of at most 256 members, "
					 "each once, and 16 KiB");
	if (!claims)
		return -ENOMEM;
	free(draft->claims);
	draft->claims = claims;
	return 0;
}

static int shorten(struct hw_draft *draft, struct hw_entry_answer *answer)
{
	if (!answer->has_expires_at)
		return 0;
	if (answer->expires_at <= 0 || answer->expires_at > SECONDS_MAX)
		return object_to(answer, "expires_at must be seconds since 1970");
	if (draft->expires_at == 0 || answer->expires_at < draft->expires_at)
		draft->expires_at = answer->expires_at;
	return 0;
}

static bool granted_already(const struct hw_draft *draft, const char *tenant)
{
	for (size_t i = 0; i < draft->n_tenants; i++) {
		if (hw_str_eq(hw_str_of(draft->tenants[i]), hw_str_of(tenant)))
			return true;
	}
	return false;
}

static int add_tenants(
	struct hw_draft *draft, const struct hw_hook_entry *entry, struct hw_entry_answer *answer)
{
	char **larger;

	if (answer->n_tenants == 0)
		return 0;
	if (!entry->global)
		return object_to(answer, "only a global entry may grant tenants");
	if (answer->n_tenants > HW_GRANTED_TENANTS_MAX - draft->n_tenants)
		return object_to(answer, "more than 256 tenants are granted");
	larger = realloc(draft->tenants, (draft->n_tenants + answer->n_tenants) * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	draft->tenants = larger;
	for (size_t i = 0; i < answer->n_tenants; i++) {
		if (!answer->tenants[i] || !hw_tenant_id_valid(hw_str_of(answer->tenants[i])))
			return object_to(
				answer, "a granted tenant must be 1 to 64 of A-Z a-z 0-9 . _ -");
		if (!granted_already(draft, answer->tenants[i]))
			draft->tenants[draft->n_tenants++] = move(&answer->tenants[i]);
	}
	return 0;
}

int hw_draft_take(
	struct hw_draft *draft, const struct hw_hook_entry *entry, struct hw_entry_answer *answer)
{
	int rc = draft->fixed ? check_same_person(draft, answer) : fix(draft, entry, answer);

	if (rc == 0)
		rc = add_claims(draft, answer);
	if (rc == 0)
		rc = shorten(draft, answer);
	if (rc == 0)
		rc = add_tenants(draft, entry, answer);
	if (rc == 0 && answer->act_as)
		draft->act_as = true;
	return rc;
}

struct hw_identity *hw_draft_identity(const struct hw_draft *draft)
{
	struct hw_str *tenants = calloc(draft->n_tenants + 1, sizeof(*tenants));
	struct hw_identity *identity = NULL;

	if (!tenants)
		return NULL;
	for (size_t i = 0; i < draft->n_tenants; i++)
		tenants[i] = hw_str_of(draft->tenants[i]);
	identity = hw_identity_create(&(struct hw_identity){
		.user_id = hw_str_of(draft->user_id),
		.tenant_id = hw_str_of(draft->tenant_id),
		.claims = draft->claims ? hw_str_of(draft->claims) : HW_STR("{}"),
		.expires_at = draft->expires_at,
		.act_as = draft->act_as,
		.n_tenants = draft->n_tenants,
		.tenants = tenants,
	});
	free(tenants);
	return identity;
}

void hw_draft_fini(struct hw_draft *draft)
{
	free(draft->user_id);
	free(draft->tenant_id);
	free(draft->claims);
	for (size_t i = 0; i < draft->n_tenants; i++)
		free(draft->tenants[i]);
	free(draft->tenants);
	*draft = (struct hw_draft){0};
}
