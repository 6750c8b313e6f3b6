/* Inside core/hook: an identity in the making, as the entries of authenticate add to it one after
 * the other. The first global entry that allows fixes user and tenant; later ones add claims and
 * grants, or shorten. */
#pragma once

#include <stdbool.h>

#include "hook/entry_internal.h"

#define HW_GRANTED_TENANTS_MAX 256

/* Zeroed: nobody has allowed yet. */
struct hw_draft {
	bool fixed;
	const char *fixed_by; /* name of that entry */
	char *user_id, *tenant_id, *claims;
	int64_t expires_at; /* 0 = never */
	bool act_as;
	char **tenants;
	size_t n_tenants;
};

/** Takes in an ALLOW. 0; -EINVAL when the entry said what it may not, with the reason in
 * answer->detail; -ENOMEM. What it takes over of the answer is NULL there afterwards. */
HW_MUST_CHECK int hw_draft_take(
	struct hw_draft *draft, const struct hw_hook_entry *entry, struct hw_entry_answer *answer);
/** The identity of a draft that is fixed; NULL when out of memory. */
struct hw_identity *hw_draft_identity(const struct hw_draft *draft);
void hw_draft_fini(struct hw_draft *draft);
