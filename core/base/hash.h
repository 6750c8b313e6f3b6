/* SipHash-1-3 with a secret key: keys that clients choose cannot be made to collide.
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hw_hash_key {
	uint64_t k0, k1;
};

/** From getrandom(2); never fails on Linux once booted (aborts otherwise). */
struct hw_hash_key hw_hash_key_random(void);
uint64_t hw_hash(const struct hw_hash_key *key, const void *p, size_t len);
