/* Between sessions and hooks: a session as hooks see it, and what they said as the protocol's
 * codes. Header only; the views live as long as what they are made of. */
#pragma once

#include <hookwire/plugin.h>

#include "base/str.h"
#include "hook/hooks.h"
#include "wire/code.h"
#include "wire/control.h"

static inline void hw_who_fill(struct hw_who *who, const struct hw_identity *identity,
	struct hw_str session, struct hw_str address)
{
	*who = (struct hw_who){
		.size = sizeof(*who),
		.user_id = hw_slice_of(identity->user_id),
		.tenant_id = hw_slice_of(identity->tenant_id),
		.session = hw_slice_of(session),
		.address = hw_slice_of(address),
		.claims = hw_slice_of(identity->claims),
		.expires_at = identity->expires_at,
	};
}

/** When the client may try again, as answers have it: HW_CONTROL_NO_RETRY if no hook said so. */
static inline int64_t hw_ask_retry_ms(const struct hw_ask *ask)
{
	return ask->verdict == HW_DENY && ask->retry_after_ms ? ask->retry_after_ms
							      : HW_CONTROL_NO_RETRY;
}

/** The code of a decision that was not ALLOW: the hook's own, else @denied for DENY and unavailable
 * for ERROR. */
static inline enum hw_code hw_ask_code(const struct hw_ask *ask, enum hw_code denied)
{
	enum hw_code code = ask->code ? hw_code_find(hw_str_of(ask->code)) : HW_CODE_NONE;

	if (code != HW_CODE_NONE)
		return code;
	return ask->verdict == HW_DENY ? denied : HW_CODE_UNAVAILABLE;
}
