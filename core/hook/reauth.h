/* Hooks that know that something outside has changed: who is connected is to be authorized again.
 * What that means is core/session's, by a function that it gives to each worker's inbox. */
#pragma once

#include "hook/inbox.h"

#define HW_HOOK_REAUTH_TURN_MAX 16 /* of one bench in one turn */

/* Of who asks: zeroed at first. */
struct hw_reauth_quota {
	uint64_t turn;
	unsigned n;
	bool trial; /* as in struct hw_publish_quota */
};

/** The sessions of @tenant, of a user (empty: of all), that follow a topic (empty: any), on all
 * workers, soon. On a worker. 0; -EINVAL: no tenant; -EBUSY: too often in this turn; -ENOSYS:
 * nobody does it; -ENOMEM: not everywhere. */
HW_MUST_CHECK int hw_hook_reauth(struct hw_hook_inbox *inbox, struct hw_reauth_quota *quota,
	struct hw_str tenant, struct hw_str user_id, struct hw_str topic);
