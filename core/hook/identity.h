/* Who a session is, as the hooks established it. Immutable once made and shared by reference count,
 * so that a session, its pending questions and an explanation can hold the same one. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct hw_identity {
	atomic_uint n_refs;
	struct hw_str user_id;   /* never empty */
	struct hw_str tenant_id; /* never empty */
	struct hw_str claims;    /* a JSON object, "{}" at least */
	int64_t expires_at;      /* seconds since 1970, 0 = never */
	bool act_as;             /* may name another user when it publishes over HTTP */
	size_t n_tenants;        /* other tenants it may publish to over HTTP */
	struct hw_str *tenants;
};

#define HW_USER_ID_MAX 255
#define HW_TENANT_ID_MAX 64

bool hw_user_id_valid(struct hw_str user_id);     /* UTF-8 without NUL, 1 to 255 bytes */
bool hw_tenant_id_valid(struct hw_str tenant_id); /* [A-Za-z0-9._-]{1,64} */

/** Copies everything into one block. NULL when out of memory. */
struct hw_identity *hw_identity_create(const struct hw_identity *from);
struct hw_identity *hw_identity_ref(struct hw_identity *identity);
void hw_identity_unref(struct hw_identity **identity);
bool hw_identity_same_person(
	const struct hw_identity *a, const struct hw_identity *b); /* user and tenant */
bool hw_identity_same_claims(
	const struct hw_identity *a, const struct hw_identity *b); /* byte for byte, and grants */
bool hw_identity_may_publish_to(const struct hw_identity *identity, struct hw_str tenant_id);
