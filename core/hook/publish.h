/* Events that hooks publish: Lua's ctx.publish and a plugin's publish. They wait for the end of the
 * call, so that no hook runs inside of another, and then go the way of all events, by a function
 * that core/session gives to the inbox. */
#pragma once

#include "hook/inbox.h"

#define HW_HOOK_PUBLISH_TURN_MAX 256 /* events of one bench in one turn */
#define HW_HOOK_PUBLISH_DEPTH_MAX 4  /* an event of an event of an event of an event */

/* Of who publishes: zeroed at first. */
struct hw_publish_quota {
	uint64_t turn;
	unsigned n;
	bool trial; /* set by whoever publishes: it is asked what it would do, nothing comes of it
		     */
};

enum hw_hook_publish_outcome {
	HW_HOOK_PUBLISH_OK = 0,
	HW_HOOK_PUBLISH_INVALID, /* @err says why */
	HW_HOOK_PUBLISH_MANY,    /* in this turn */
	HW_HOOK_PUBLISH_DEEP,    /* the event that this call is about comes from hooks itself */
	HW_HOOK_PUBLISH_NOWHERE, /* no tenant is known, or nobody publishes here */
	HW_HOOK_PUBLISH_NO_MEMORY,
};

/** Queues it. @inbox may be NULL. @depth: of the call. On the worker. */
HW_MUST_CHECK enum hw_hook_publish_outcome hw_hook_publish(struct hw_hook_inbox *inbox,
	struct hw_publish_quota *quota, struct hw_str tenant, struct hw_str event, const char *by,
	unsigned depth, struct hw_err *err);
/** For a person: why not. */
const char *hw_hook_publish_why(enum hw_hook_publish_outcome outcome);

/* ---- for inbox.c ---- */
void hw_publishes_run(struct hw_hook_inbox *inbox);
void hw_publishes_forget(struct hw_hook_inbox *inbox);
