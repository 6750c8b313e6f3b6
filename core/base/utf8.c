#include "base/utf8.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/compiler.h"

/* Between characters the state is 0. Inside one it says what may come next:
 *   bits 0..7 lowest byte | 8..15 highest byte | 16..17 how many bytes are missing, this one
 * included RFC 3629 limits only the second byte (against overlong forms, surrogates, beyond
 * U+10FFFF), so that after it the range is always 80..BF. */
#define STATE(low, high, n_missing) \
	((uint32_t)(low) | (uint32_t)(high) << 8 | (uint32_t)(n_missing) << 16)
#define STATE_REFUSED UINT32_MAX

static uint32_t after_lead(unsigned char c)
{
	if (c < 0x80)
		return 0;
	if (c < 0xc2)
		return STATE_REFUSED;
	if (c < 0xe0)
		return STATE(0x80, 0xbf, 1);
	if (c < 0xf0)
		return STATE(c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf, 2);
	if (c < 0xf5)
		return STATE(c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf, 3);
	return STATE_REFUSED;
}

static uint32_t step(uint32_t state, unsigned char c)
{
	uint32_t n_missing = state >> 16;

	if (state == 0)
		return after_lead(c);
	if (c < (state & 0xff) || c > (state >> 8 & 0xff))
		return STATE_REFUSED;
	return n_missing == 1 ? 0 : STATE(0x80, 0xbf, n_missing - 1);
}

static const unsigned char *skip_ascii(const unsigned char *p, const unsigned char *end)
{
#ifdef __SSE2__
	while (end - p >= 64) {
		__m128i a = _mm_loadu_si128((const __m128i *)p);
		__m128i b = _mm_loadu_si128((const __m128i *)(p + 16));
		__m128i c = _mm_loadu_si128((const __m128i *)(p + 32));
		__m128i d = _mm_loadu_si128((const __m128i *)(p + 48));

		if (_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))))
			break;
		p += 64;
	}
	while (end - p >= 16) {
		int high_bits = _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)p));

		if (high_bits)
			return p + __builtin_ctz((unsigned)high_bits);
		p += 16;
	}
#else
	while (end - p >= 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		if (word & 0x8080808080808080u)
			break;
		p += 8;
	}
#endif
	while (p < end && *p < 0x80)
		p++;
	return p;
}

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Skips whole, valid characters that are not ASCII, without going through the state for each byte.
 * Stops at ASCII, at anything doubtful, and near the end: step() then decides. */
static const unsigned char *skip_wide(const unsigned char *p, const unsigned char *end)
{
	while (end - p >= 4) {
		if (p[0] >= 0xc2 && p[0] < 0xe0) {
			if (!is_tail(p[1]))
				break;
			p += 2;
		} else if (p[0] >= 0xe0 && p[0] < 0xf0) {
			uint32_t next = after_lead(p[0]);

			if (p[1] < (next & 0xff) || p[1] > (next >> 8 & 0xff) || !is_tail(p[2]))
				break;
			p += 3;
		} else if (p[0] >= 0xf0 && p[0] < 0xf5) {
			uint32_t next = after_lead(p[0]);

			if (p[1] < (next & 0xff) || p[1] > (next >> 8 & 0xff) || !is_tail(p[2]) ||
				!is_tail(p[3]))
				break;
			p += 4;
		} else {
			break;
		}
	}
	return p;
}

bool hw_utf8_feed(struct hw_utf8 *u, const void *p, size_t len)
{
	const unsigned char *at = p;
	const unsigned char *end = len > 0 ? at + len : at;
	uint32_t state = u->state;

	while (at < end && state != STATE_REFUSED) {
		if (state == 0) {
			at = *at < 0x80 ? skip_ascii(at, end) : skip_wide(at, end);
			if (at == end)
				break;
			if (*at < 0x80)
				continue;
		}
		state = step(state, *at++);
	}
	u->state = state;
	return state != STATE_REFUSED;
}

bool hw_utf8_valid(const void *p, size_t len)
{
	struct hw_utf8 u = {0};

	return hw_utf8_feed(&u, p, len) && hw_utf8_done(&u);
}

size_t hw_utf8_next(const void *p, size_t len, bool *valid)
{
	const unsigned char *at = p;
	uint32_t state = 0;

	for (size_t i = 0; i < len; i++) {
		state = step(state, at[i]);
		if (state == 0) {
			*valid = true;
			return i + 1;
		}
		/* the byte that does not fit may begin the next character, unless it is the first
		 */
		if (state == STATE_REFUSED) {
			*valid = false;
			return i > 0 ? i : 1;
		}
	}
	*valid = false;
	return len;
}
