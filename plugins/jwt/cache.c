#include "cache.h"

#include <stdlib.h>
#include <string.h>

struct record {
	uint8_t hash[32];
	int64_t until_ms;
	int64_t expires_at;
	size_t len;
	char claims[];
};

/* A position counts all bytes that were ever written; its place is position % JWT_CACHE_BYTES.
 * Records never wrap.
 *
 *   end - JWT_CACHE_BYTES .. end   still there | before: overwritten
 *
 * A slot holds the position of the newest record whose hash leads to it; 0 is none, as positions
 * begin at one round. */
struct jwt_cache {
	uint64_t end;
	uint64_t slots[JWT_CACHE_SLOTS];
	_Alignas(struct record) char ring[JWT_CACHE_BYTES];
};

struct jwt_cache *jwt_cache_create(void)
{
	struct jwt_cache *cache =
		malloc(sizeof(*cache)); /* the ring's pages come as they are written */

	if (!cache)
		return NULL;
	cache->end = JWT_CACHE_BYTES;
	memset(cache->slots, 0, sizeof(cache->slots));
	return cache;
}

void jwt_cache_destroy(struct jwt_cache **cache)
{
	free(*cache);
	*cache = NULL;
}

/* A SHA-256 is as good as random: any bits of it will do. */
static uint64_t *slot_of(struct jwt_cache *cache, const uint8_t hash[32])
{
	uint32_t bits;

	memcpy(&bits, hash, sizeof(bits));
	return &cache->slots[bits % JWT_CACHE_SLOTS];
}

static struct record *at(struct jwt_cache *cache, uint64_t position)
{
	return (struct record *)(void *)(cache->ring + position % JWT_CACHE_BYTES);
}

int jwt_cache_get(
	struct jwt_cache *cache, const uint8_t hash[32], int64_t now_ms, struct jwt_cached *out)
{
	uint64_t position = *slot_of(cache, hash);
	struct record *record;

	if (position == 0 || cache->end - position > JWT_CACHE_BYTES)
		return 0;
	record = at(cache, position);
	if (memcmp(record->hash, hash, sizeof(record->hash)) != 0 || now_ms >= record->until_ms)
		return 0;
	out->claims = (struct hw_slice){record->claims, record->len};
	out->expires_at = record->expires_at;
	return 1;
}

void jwt_cache_put(struct jwt_cache *cache, const uint8_t hash[32], int64_t until_ms,
	const struct jwt_cached *what)
{
	const size_t align = _Alignof(struct record);
	size_t size = (sizeof(struct record) + what->claims.len + align - 1) / align * align;
	size_t room = JWT_CACHE_BYTES - cache->end % JWT_CACHE_BYTES;
	struct record *record;

	if (size > JWT_CACHE_BYTES)
		return;
	if (size > room)
		cache->end += room;
	record = at(cache, cache->end);
	memcpy(record->hash, hash, sizeof(record->hash));
	record->until_ms = until_ms;
	record->expires_at = what->expires_at;
	record->len = what->claims.len;
	memcpy(record->claims, what->claims.p, what->claims.len);
	*slot_of(cache, hash) = cache->end;
	cache->end += size;
}
