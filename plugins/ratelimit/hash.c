#include "hash.h"

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void rounds(struct hash *h, int n)
{
	while (n-- > 0) {
		h->v0 += h->v1;
		h->v2 += h->v3;
		h->v1 = rotate(h->v1, 13) ^ h->v0;
		h->v3 = rotate(h->v3, 16) ^ h->v2;
		h->v0 = rotate(h->v0, 32);
		h->v2 += h->v1;
		h->v0 += h->v3;
		h->v1 = rotate(h->v1, 17) ^ h->v2;
		h->v3 = rotate(h->v3, 21) ^ h->v0;
		h->v2 = rotate(h->v2, 32);
	}
}

static void word(struct hash *h, uint64_t m)
{
	h->v3 ^= m;
	rounds(h, 2);
	h->v0 ^= m;
}

void hash_begin(struct hash *h, const struct hash_key *key)
{
	*h = (struct hash){
		.v0 = key->k0 ^ UINT64_C(0x736f6d6570736575),
		.v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d),
		.v2 = key->k0 ^ UINT64_C(0x6c7967656e657261),
		.v3 = key->k1 ^ UINT64_C(0x7465646279746573),
	};
}

void hash_add(struct hash *h, const void *p, size_t len)
{
	const uint8_t *byte = p;

	for (size_t i = 0; i < len; i++) {
		h->tail |= (uint64_t)byte[i] << (8 * (h->len & 7));
		if ((++h->len & 7) == 0) {
			word(h, h->tail);
			h->tail = 0;
		}
	}
}

uint64_t hash_end(struct hash *h)
{
	word(h, h->tail | (uint64_t)(h->len & 0xff) << 56);
	h->v2 ^= 0xff;
	rounds(h, 4);
	return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}
