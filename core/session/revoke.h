/* Whether what was revoked is what somebody came with. One worker's own, as its sessions. */
#pragma once

#include "hub/revocations.h"
#include "hub/worker.h"
#include "session/walk.h"

#define HW_REVOKED_WORDS "the token is revoked"

struct hw_token_read {
	struct hw_token_facts facts; /* borrowed of the identity, and of: */
	char jti[HW_TOKEN_ID_MAX];
};

/** What of an identity's token can be revoked: "jti" and "iat" of its claims. */
void hw_token_read(struct hw_token_read *out, const struct hw_identity *identity);
/** The token that made @identity is on the worker's list. */
bool hw_token_revoked(const struct hw_worker *w, const struct hw_identity *identity);

/* A walk that ends one session, and before that puts its token on the list, until that expires. */
struct hw_session_revoke {
	struct hw_session_walk walk; /* with worker and session set */
	int64_t until_s;             /* 0: as long as the token itself */
	uint64_t number;             /* of what is on the list now; 0: the token has no jti */
};
/** Makes the walk one; then it is started. */
void hw_session_revoke_init(struct hw_session_revoke *revoke);
