/* UTF-8 validation (RFC 3629), streaming: a text may be split at every byte and is refused at the
 * first byte that cannot be part of one, so that a WebSocket fails fast inside a fragment. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hw_utf8 {
	uint32_t state; /* 0 = between characters */
};

/** Feeds @len bytes. false as soon as they cannot be UTF-8 (stays false). ASCII runs are skipped
 *  eight bytes at a time or better. */
bool hw_utf8_feed(struct hw_utf8 *u, const void *p, size_t len);
/** true if what was fed ends between characters. */
static inline bool hw_utf8_done(const struct hw_utf8 *u)
{
	return u->state == 0;
}
bool hw_utf8_valid(const void *p, size_t len); /* a whole text */
/** The character at the start of @p: returns its length and sets *@valid, or clears it and returns
 *  how many bytes one U+FFFD should stand for (Unicode, "maximal subpart"). 0 only for @len 0. */
size_t hw_utf8_next(const void *p, size_t len, bool *valid);
