#include "crypto/digest.h"

#include <string.h>

/* libcrypto's EVP digests allocate, and so can fail, at every use. The old functions keep their
 * state where the caller wants it and cannot fail; they are deprecated for not being replaceable by
 * a provider, which we do not want. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/compiler.h"

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct hw_sha256), "room for libcrypto's state");

static SHA256_CTX *context(struct hw_sha256 *s)
{
	return (SHA256_CTX *)(void *)s->opaque;
}

void hw_sha1(const void *p, size_t len, uint8_t out[HW_SHA1_LEN])
{
	SHA_CTX c;

	SHA1_Init(&c);
	SHA1_Update(&c, p, len);
	SHA1_Final(out, &c);
}

void hw_sha256(const void *p, size_t len, uint8_t out[HW_SHA256_LEN])
{
	struct hw_sha256 s;

	hw_sha256_init(&s);
	hw_sha256_add(&s, p, len);
	hw_sha256_finish(&s, out);
}

void hw_sha256_init(struct hw_sha256 *s)
{
	SHA256_Init(context(s));
}

void hw_sha256_add(struct hw_sha256 *s, const void *p, size_t len)
{
	SHA256_Update(context(s), p, len);
}

void hw_sha256_add_field(struct hw_sha256 *s, const void *p, size_t len)
{
	uint8_t size[8];

	for (size_t i = 0; i < sizeof(size); i++)
		size[i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
	hw_sha256_add(s, size, sizeof(size));
	hw_sha256_add(s, p, len);
}

void hw_sha256_finish(struct hw_sha256 *s, uint8_t out[HW_SHA256_LEN])
{
	SHA256_Final(out, context(s));
}

void hw_hmac_sha256(struct hw_str key, struct hw_str data, uint8_t out[HW_SHA256_LEN])
{
	uint8_t block[SHA256_CBLOCK] = {0};
	struct hw_sha256 s;

	if (key.len > sizeof(block))
		hw_sha256(key.p, key.len, block);
	else if (key.len > 0)
		memcpy(block, key.p, key.len);

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36;
	hw_sha256_init(&s);
	hw_sha256_add(&s, block, sizeof(block));
	hw_sha256_add(&s, data.p, data.len);
	hw_sha256_finish(&s, out);

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	hw_sha256_init(&s);
	hw_sha256_add(&s, block, sizeof(block));
	hw_sha256_add(&s, out, HW_SHA256_LEN);
	hw_sha256_finish(&s, out);

	OPENSSL_cleanse(block, sizeof(block));
	OPENSSL_cleanse(&s, sizeof(s));
}
