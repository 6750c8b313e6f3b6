/* The jwt plugin's settings, read once when an entry is loaded, and its verification keys.
 * Immutable afterwards, so that all workers share them. */
#pragma once

#include <stdbool.h>

#include <hookwire/plugin.h>

/* An issuer whose keys are at an address. */
struct jwt_source {
	char *url, *iss;
	char *alg; /* of RSA keys that do not say; NULL: the host's default */
};

struct jwt_settings {
	struct hw_jwt_keys *keys;   /* without sources: all there are; else NULL */
	struct jwt_source *sources; /* of the items with "jwks_url" */
	size_t n_sources;
	char *items; /* with sources: the other items as JSON, with commas between, "" = none */
	int64_t refetch_s, max_age_s;
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
