#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "wire/ws.h"

size_t hw_ws_header(uint8_t out[HW_WS_HEADER_BYTES], bool fin, enum hw_ws_opcode opcode,
	uint64_t len, const uint8_t *mask)
{
	uint8_t mask_bit = mask ? 0x80 : 0;
	size_t n = 2, n_length = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;

	out[0] = (uint8_t)((fin ? 0x80 : 0) | opcode);
	out[1] = mask_bit | (uint8_t)(n_length == 0 ? len : n_length == 2 ? 126 : 127);
	for (size_t i = n_length; i > 0; i--)
		out[n++] = (uint8_t)(len >> (8 * (i - 1)));
	if (mask) {
		memcpy(out + n, mask, 4);
		n += 4;
	}
	return n;
}

void hw_ws_mask(uint8_t *p, size_t len, const uint8_t mask[4], size_t offset)
{
	uint8_t turned[16];
	uint64_t word;

	for (size_t i = 0; i < sizeof(turned); i++)
		turned[i] = mask[(offset + i) & 3];
#ifdef __SSE2__
	__m128i wide = _mm_loadu_si128((const __m128i *)turned);

	for (; len >= 64; p += 64, len -= 64) {
		__m128i *at = (__m128i *)p;

		for (size_t i = 0; i < 4; i++)
			_mm_storeu_si128(at + i, _mm_xor_si128(_mm_loadu_si128(at + i), wide));
	}
#endif
	memcpy(&word, turned, 8);
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t part;

		memcpy(&part, p, 8);
		part ^= word;
		memcpy(p, &part, 8);
	}
	for (size_t i = 0; i < len; i++)
		p[i] ^= turned[i];
}

size_t hw_ws_close(
	uint8_t out[HW_WS_CLOSE_BYTES], uint16_t code, struct hw_str reason, const uint8_t *mask)
{
	size_t max = HW_WS_CONTROL_BYTES - 2, n, len = 0;

	if (reason.len > max) {
		reason.len = max;
		/* p[len] is the first byte cut off: a tail byte means that its character began
		 * before */
		while (reason.len > 0 && ((uint8_t)reason.p[reason.len] & 0xc0) == 0x80)
			reason.len--;
	}
	if (code != HW_WS_CODE_NONE)
		len = 2 + reason.len;
	n = hw_ws_header(out, true, HW_WS_OP_CLOSE, len, mask);
	if (len > 0) {
		out[n] = (uint8_t)(code >> 8);
		out[n + 1] = (uint8_t)code;
		if (reason.len > 0)
			memcpy(out + n + 2, reason.p, reason.len);
		if (mask)
			hw_ws_mask(out + n, len, mask, 0);
	}
	return n + len;
}

bool hw_ws_code_sendable(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}
