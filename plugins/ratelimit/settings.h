/* The plugin's settings: which limits there are, and of whom. README.md says what they mean. */
#pragma once

#include <hookwire/plugin.h>

#include <stdint.h>

enum limit_of { LIMIT_CONNECT, LIMIT_REQUEST, LIMIT_SUBSCRIBE, LIMIT_PUBLISH, N_LIMITS };
enum limit_per { PER_ADDRESS, PER_USER, PER_TENANT, N_PERS };

struct limit {
	int64_t interval_ns; /* of a token; 0: there is no such limit */
	int64_t burst;
};

struct settings {
	struct limit limits[N_LIMITS][N_PERS];
	int64_t buckets; /* of each limit */
	int64_t ipv6_prefix;
};

extern const char *const limit_names[N_LIMITS]; /* "connect" … */
extern const char *const per_names[N_PERS];     /* "address" … */

/** 0, or -1 with @problem filled. */
int settings_read(const struct hw_host *host, struct hw_slice config, struct settings *out,
	struct hw_problem *problem);
