#include "crypto/equal.h"

#include <openssl/crypto.h>

bool hw_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

bool hw_equal_str(struct hw_str a, struct hw_str b)
{
	return a.len == b.len && hw_equal(a.p, b.p, a.len);
}
