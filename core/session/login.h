/* Authentication by itself: a token and where it came from become an identity and the hub of its
 * tenant; for a session, may it be one? Used by sessions and by every HTTP request that carries a
 * token. May be pending: the struct lives until then. One worker's own. */
#pragma once

#include "hook/hooks.h"
#include "hub/hub.h"
#include "wire/code.h"

#define HW_SESSION_ID_LEN 16
/** A new session's id: hexadecimal, with a zero. */
void hw_session_id_make(char out[HW_SESSION_ID_LEN + 1]);

struct hw_login {
	/* set by the caller; borrowed until decided */
	struct hw_worker *worker;
	struct hw_request request; /* size is set by hw_login_start */
	struct hw_identity *known; /* who it is, of a ticket: nobody is asked; referenced. NULL */
	void (*decided)(struct hw_login *login); /* only when start returned HW_PENDING */
	void *arg;
	char session[HW_SESSION_ID_LEN + 1]; /* a session is admitted, too; "" = none is wanted */
	/* the answer */
	struct hw_identity *identity; /* ALLOW: one reference, the caller's */
	struct hw_hub *hub;           /* ALLOW: of the identity's tenant */
	uint64_t policy;              /* the hub's, when the session was admitted */
	enum hw_code code;            /* not ALLOW */
	char message[256];
	int64_t retry_after_ms; /* not ALLOW; HW_CONTROL_NO_RETRY */
	/* its own */
	struct hw_ask ask;
	struct hw_who who;
	struct hw_question question;
};

/** ALLOW, DENY, ERROR, or PENDING: authenticate, then, for a session, authorize.session. An
 * identity that has expired already is DENY token_expired, one whose token is revoked unauthorized.
 */
HW_MUST_CHECK enum hw_verdict hw_login_start(struct hw_login *login);
void hw_login_cancel(struct hw_login *login);
