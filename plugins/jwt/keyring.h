/* The keys of an entry that has key sets at addresses: those of the settings and those that were
 * fetched, as one set that all workers verify with and that is replaced whole.
 *
 *   never fetched --first token, or start--> fetching --good--> fetched
 *                                               |  ^               |
 *                      backing off <--bad-------+  +--unknown kid, or too old
 */
#pragma once

#include "settings.h"

struct keyring; /* opaque */

enum keyring_answer {
	KEYRING_KNOWN,       /* no fetch would help this token */
	KEYRING_WAITS,       /* the call is suspended: retry will be called */
	KEYRING_UNAVAILABLE, /* its keys cannot be had now */
};

/** Verifies again, now that a fetch has ended, and finishes the call of @ticket. @fetched: it
 * brought keys. Any thread. */
typedef void keyring_retry(void *arg, uint64_t ticket, struct hw_slice token, bool fetched);

/** @settings is borrowed until destroy. NULL: out of memory. */
struct keyring *keyring_create(const struct hw_host *host, const struct jwt_settings *settings,
	keyring_retry *retry, void *arg);
void keyring_destroy(struct keyring **ring);

/** As the host's jwt_verify, with the keys of now. Any thread. */
int keyring_verify(struct keyring *ring, struct hw_slice token, const struct hw_jwt_rules *rules,
	int64_t now_ms, struct hw_jwt_result *result);
/** Changes with the keys: what an older one has verified may not be so any more. Any thread. */
uint64_t keyring_generation(struct keyring *ring);
/** For a token that was refused: are its issuer's keys worth fetching first? */
enum keyring_answer keyring_ask(struct keyring *ring, struct hw_call *call, struct hw_slice token);
/** Fetches what has never been fetched or has become old, and does not wait for it. */
void keyring_refresh(struct keyring *ring, struct hw_call *call);
