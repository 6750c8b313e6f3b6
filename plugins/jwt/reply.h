/* What a token's claims say about its holder, in the form in which a call is answered: at once by
 * the setters, or later by finish. */
#pragma once

#include "settings.h"

struct reply {
	struct hw_answer answer;
	char message[200];
	char user[1024], tenant[512]; /* scratch: what the answer's slices may point into */
	struct hw_slice *tenants;
	char *tenants_text;
};

/** From the claims of a token that was verified; they must outlive it. */
void reply_from_claims(struct reply *r, const struct hw_host *host,
	const struct jwt_settings *settings, struct hw_slice claims, int64_t expires_at,
	int64_t now_ms);
void reply_deny(struct reply *r, const char *code, const char *why);
/** The verdict that the hook returns. */
enum hw_verdict reply_now(
	struct reply *r, struct hw_call *call, const struct jwt_settings *settings);
void reply_fini(struct reply *r);
