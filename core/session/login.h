/* Authentication by itself: a token and where it came from become an identity and the hub of its
 * tenant. Used by sessions and by every HTTP request that carries a token. May be pending: the
 * struct lives until then. One worker's own. */
#pragma once

#include "hook/hooks.h"
#include "hub/hub.h"
#include "wire/code.h"

struct hw_login {
	/* set by the caller; borrowed until decided */
	struct hw_worker *worker;
	struct hw_request request;               /* size is set by hw_login_start */
	void (*decided)(struct hw_login *login); /* only when start returned HW_PENDING */
	void *arg;
	/* the answer */
	struct hw_identity *identity; /* ALLOW: one reference, the caller's */
	struct hw_hub *hub;           /* ALLOW: of the identity's tenant */
	enum hw_code code;            /* not ALLOW */
	char message[256];
	/* its own */
	struct hw_ask ask;
};

/** ALLOW, DENY, ERROR, or PENDING. An identity that has expired already is DENY token_expired. */
HW_MUST_CHECK enum hw_verdict hw_login_start(struct hw_login *login);
void hw_login_cancel(struct hw_login *login);
