/* Random numbers for tests that compare with a model: repeatable, since the seed is printed and can
 * be given again in the environment as HW_TEST_SEED. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct random {
	uint64_t state;
};

static inline struct random random_start(const char *what)
{
	const char *given = getenv("HW_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	printf("%s: HW_TEST_SEED=%llu\n", what, (unsigned long long)seed);
	return (struct random){seed};
}

/* A counter through a mixer of shifts and odd multipliers: good enough to look random. */
static inline uint64_t random_next(struct random *r)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

static inline uint64_t random_below(struct random *r, uint64_t n)
{
	return random_next(r) % n;
}
