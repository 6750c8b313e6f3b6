/* A session as hooks see it: the identity's fields as the plugin interface has them.
 * Header only; the views live as long as what they are made of. */
#pragma once

#include <hookwire/plugin.h>

#include "base/str.h"
#include "hook/identity.h"

static inline struct hw_slice hw_slice_of(struct hw_str s)
{
	return (struct hw_slice){s.p, s.len};
}

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
