/* The jwt plugin's settings, read once when an entry is loaded, and its verification keys.
 * Immutable afterwards, so that all workers share them. */
#pragma once

#include <hookwire/plugin.h>

struct jwt_settings {
	struct hw_jwt_keys *keys;
	char *issuer, *audience; /* "" = any */
	char *user_claim, *tenant_claim;
	char *act_as_claim, *act_as_equals; /* NULL = nobody may */
	char *tenants_claim;                /* NULL = no other tenants */
	int64_t skew_s;
};

/** 0, or -1 with @problem filled. */
int jwt_settings_read(const struct hw_host *host, struct hw_slice config, struct jwt_settings *out,
	struct hw_problem *problem);
void jwt_settings_fini(const struct hw_host *host, struct jwt_settings *settings);
