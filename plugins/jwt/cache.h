/* Tokens that one worker has verified, by their SHA-256: a browser that reconnects shows the same
 * token again. A fixed piece of memory however many tokens come; the oldest make room. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <hookwire/plugin.h>

#define JWT_CACHE_BYTES (1u << 19) /* a good thousand tokens of usual size */
#define JWT_CACHE_SLOTS 4096u

/* The claims of one token; they stay where they are until the next put. */
struct jwt_cached {
	struct hw_slice claims;
	int64_t expires_at; /* as the token says, 0 = never */
};

struct jwt_cache;

struct jwt_cache *jwt_cache_create(void); /* NULL when out of memory */
void jwt_cache_destroy(struct jwt_cache **cache);
/** 1 and @out filled if the token with this hash was put and has not passed its time; else 0. */
int jwt_cache_get(
	struct jwt_cache *cache, const uint8_t hash[32], int64_t now_ms, struct jwt_cached *out);
/** Copies the claims. Good until @until_ms (INT64_MAX = always). What does not fit is not kept. */
void jwt_cache_put(struct jwt_cache *cache, const uint8_t hash[32], int64_t until_ms,
	const struct jwt_cached *what);
