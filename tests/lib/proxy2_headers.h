/* Headers of the PROXY protocol, version 2, for tests. */
#pragma once

#include <stdint.h>
#include <string.h>

#define PROXY2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define PROXY2_LOCAL 0x20
#define PROXY2_PROXY 0x21
#define PROXY2_UNSPEC 0x00
#define PROXY2_TCP4 0x11
#define PROXY2_TCP6 0x21
#define PROXY2_UNIX 0x31

/* 203.0.113.9:4711 to 127.0.0.1:8080 */
#define PROXY2_V4 "\xcb\x00\x71\x09\x7f\x00\x00\x01\x12\x67\x1f\x90"
/* [2001:db8::9]:4711 to [::1]:8080 */
#define PROXY2_V6 \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09" \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x67\x1f\x90"

/* Writes a header whose addresses are @n bytes of @addresses, with @more zero bytes behind them, as
 * TLVs would be. Returns its length. */
static inline size_t proxy2_header(
	uint8_t *out, uint8_t command, uint8_t family, const void *addresses, size_t n, size_t more)
{
	memcpy(out, PROXY2_SIGNATURE, 12);
	out[12] = command;
	out[13] = family;
	out[14] = (uint8_t)((n + more) >> 8);
	out[15] = (uint8_t)(n + more);
	if (n > 0)
		memcpy(out + 16, addresses, n);
	memset(out + 16 + n, 0, more);
	return 16 + n + more;
}
