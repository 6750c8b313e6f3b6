/* A keyed hash (SipHash-2-4, Aumasson and Bernstein, 2012): whoever chooses the input can aim at
 * nothing in a table that is ordered by it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hash_key {
	uint64_t k0, k1;
};

/* Takes its input piece by piece. */
struct hash {
	uint64_t v0, v1, v2, v3;
	uint64_t tail; /* bytes that are no whole word yet */
	size_t len;
};

void hash_begin(struct hash *h, const struct hash_key *key);
void hash_add(struct hash *h, const void *p, size_t len);
uint64_t hash_end(struct hash *h);
