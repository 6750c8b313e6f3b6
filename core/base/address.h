/* Where a client is: an IP address, or a unix socket; and blocks of addresses (CIDR, RFC 4632 and
 * RFC 4291). An IPv4 address that is written as an IPv6 one (::ffff:192.0.2.1) is the IPv4 address,
 * so that no spelling slips past a list. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum hw_address_kind {
	HW_ADDRESS_NONE,
	HW_ADDRESS_V4,
	HW_ADDRESS_V6,
	HW_ADDRESS_UNIX,
};

struct hw_address {
	enum hw_address_kind kind;
	uint8_t bytes[16]; /* in network order; of V4 the first four; the rest is zero */
};

/* Bits 0 to prefix - 1 of base count, the others of it are zero. */
struct hw_address_block {
	struct hw_address base;
	unsigned prefix; /* 0 to 32, 0 to 128; of UNIX 0 */
};

#define HW_ADDRESS_TEXT 48 /* "[…]" with a zero */
#define HW_ADDRESS_BLOCK_TEXT (HW_ADDRESS_TEXT + 4)

/** "192.0.2.1", "2001:db8::1", "[2001:db8::1]" or "unix". 0, or -EINVAL with @out untouched. */
HW_MUST_CHECK int hw_address_parse(struct hw_str text, struct hw_address *out);
/** Of four or sixteen bytes in network order. */
struct hw_address hw_address_v4(const uint8_t bytes[4]);
struct hw_address hw_address_v6(const uint8_t bytes[16]);
/** As hooks and logs have it, zero-terminated: "192.0.2.1", "[2001:db8::1]", "unix". */
void hw_address_print(const struct hw_address *address, char out[HW_ADDRESS_TEXT]);

/** An address, or one with "/" and the number of bits that count. 0; -EINVAL: it is none; -ERANGE:
 * bits behind the prefix are set, @out is the block without them. */
HW_MUST_CHECK int hw_address_block_parse(struct hw_str text, struct hw_address_block *out);
/** "10.0.0.0/8", "2001:db8::/32", "192.0.2.1", "unix". */
void hw_address_block_print(const struct hw_address_block *block, char out[HW_ADDRESS_BLOCK_TEXT]);
/** Whether it is in one of @n blocks. */
bool hw_address_in(
	const struct hw_address *address, const struct hw_address_block *blocks, size_t n);
