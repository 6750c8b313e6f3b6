#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct hw_hash_key hw_hash_key_random(void)
{
	struct hw_hash_key key;
	ssize_t n;

	/* up to 256 bytes come whole; a signal can only interrupt the wait for the first seed */
	do {
		n = getrandom(&key, sizeof(key), 0);
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(key))
		abort();
	return key;
}

static inline uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

/* The words are little endian by definition. */
static inline uint64_t load_word(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

uint64_t hw_hash(const struct hw_hash_key *key, const void *p, size_t len)
{
	/* the constants spell "somepseudorandomlygeneratedbytes" */
	struct sip s = {
		key->k0 ^ 0x736f6d6570736575u,
		key->k1 ^ 0x646f72616e646f6du,
		key->k0 ^ 0x6c7967656e657261u,
		key->k1 ^ 0x7465646279746573u,
	};
	const unsigned char *at = p;
	uint64_t last = (uint64_t)len << 56;
	size_t rest = len;

	for (; rest >= 8; at += 8, rest -= 8)
		sip_word(&s, load_word(at));
	for (size_t i = 0; i < rest; i++)
		last |= (uint64_t)at[i] << (8 * i);
	sip_word(&s, last);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
