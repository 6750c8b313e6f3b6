/* SHA-1, SHA-256 and HMAC-SHA-256 (FIPS 180-4, RFC 2104). SHA-1 only for the WebSocket handshake.
 * None of these allocates, so none can fail; any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define HW_SHA1_LEN 20
#define HW_SHA256_LEN 32

void hw_sha1(const void *p, size_t len, uint8_t out[HW_SHA1_LEN]);
void hw_sha256(const void *p, size_t len, uint8_t out[HW_SHA256_LEN]);
void hw_hmac_sha256(struct hw_str key, struct hw_str data, uint8_t out[HW_SHA256_LEN]);

/* In pieces: init, add any number of times, finish once. Copying the struct forks the state. */
struct hw_sha256 {
	uint64_t opaque[16];
};
void hw_sha256_init(struct hw_sha256 *s);
void hw_sha256_add(struct hw_sha256 *s, const void *p, size_t len);
/** Adds the length (8 bytes, big endian) and then the bytes: a list of such fields reads one way
 * only. */
void hw_sha256_add_field(struct hw_sha256 *s, const void *p, size_t len);
void hw_sha256_finish(struct hw_sha256 *s, uint8_t out[HW_SHA256_LEN]);
