#include "base/address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

enum { V4_BITS = 32, V6_BITS = 128, MAPPED_BYTES = 12 };

static const uint8_t mapped[MAPPED_BYTES] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:0:0/96 */

struct hw_address hw_address_v4(const uint8_t bytes[4])
{
	struct hw_address a = {.kind = HW_ADDRESS_V4};

	memcpy(a.bytes, bytes, 4);
	return a;
}

struct hw_address hw_address_v6(const uint8_t bytes[16])
{
	struct hw_address a = {.kind = HW_ADDRESS_V6};

	if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
		return hw_address_v4(bytes + sizeof(mapped));
	memcpy(a.bytes, bytes, sizeof(a.bytes));
	return a;
}

/* Without brackets. */
static bool parse_ip(struct hw_str text, struct hw_address *out)
{
	char zero[INET6_ADDRSTRLEN];
	uint8_t bytes[16];

	/* inet_pton would stop at a zero byte as if the text ended there */
	if (text.len == 0 || text.len >= sizeof(zero) || memchr(text.p, '\0', text.len))
		return false;
	memcpy(zero, text.p, text.len);
	zero[text.len] = '\0';
	if (inet_pton(AF_INET, zero, bytes) == 1)
		*out = hw_address_v4(bytes);
	else if (inet_pton(AF_INET6, zero, bytes) == 1)
		*out = hw_address_v6(bytes);
	else
		return false;
	return true;
}

int hw_address_parse(struct hw_str text, struct hw_address *out)
{
	if (hw_str_eq(text, HW_STR("unix"))) {
		*out = (struct hw_address){.kind = HW_ADDRESS_UNIX};
		return 0;
	}
	if (text.len >= 2 && text.p[0] == '[' && text.p[text.len - 1] == ']') {
		text = (struct hw_str){text.p + 1, text.len - 2};
		if (!memchr(text.p, ':', text.len))
			return -EINVAL; /* brackets are IPv6's */
	}
	return parse_ip(text, out) ? 0 : -EINVAL;
}

static void print_ip(
	const struct hw_address *a, const char *before, const char *after, char *out, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "";

	inet_ntop(a->kind == HW_ADDRESS_V4 ? AF_INET : AF_INET6, a->bytes, host, sizeof(host));
	snprintf(out, size, "%s%s%s", before, host, after);
}

void hw_address_print(const struct hw_address *a, char out[HW_ADDRESS_TEXT])
{
	if (a->kind == HW_ADDRESS_V4)
		print_ip(a, "", "", out, HW_ADDRESS_TEXT);
	else if (a->kind == HW_ADDRESS_V6)
		print_ip(a, "[", "]", out, HW_ADDRESS_TEXT);
	else
		strcpy(out, a->kind == HW_ADDRESS_UNIX ? "unix" : "");
}

/* ---- blocks ---- */

static unsigned bits_of(enum hw_address_kind kind)
{
	return kind == HW_ADDRESS_V4 ? V4_BITS : kind == HW_ADDRESS_V6 ? V6_BITS : 0;
}

/* Clears what is behind the prefix; true: something was set there. */
static bool mask(struct hw_address *a, unsigned prefix)
{
	bool changed = false;

	for (unsigned i = 0; i < sizeof(a->bytes); i++) {
		unsigned kept = prefix > i * 8 ? prefix - i * 8 : 0;
		uint8_t bits = kept >= 8 ? 0xff : (uint8_t)(0xff00u >> kept);

		changed = changed || (a->bytes[i] & ~bits);
		a->bytes[i] &= bits;
	}
	return changed;
}

int hw_address_block_parse(struct hw_str text, struct hw_address_block *out)
{
	struct hw_str address = hw_str_cut(&text, '/');
	struct hw_address_block block;
	uint64_t prefix;

	if (hw_address_parse(address, &block.base))
		return -EINVAL;
	block.prefix = bits_of(block.base.kind);
	if (text.p) {
		/* "::ffff:10.0.0.0/104" would be 10.0.0.0/8: whoever means that writes it */
		if (block.base.kind == HW_ADDRESS_UNIX || text.len > 3 ||
			hw_str_to_u64(text, &prefix) || prefix > block.prefix ||
			(block.base.kind == HW_ADDRESS_V4 && memchr(address.p, ':', address.len)))
			return -EINVAL;
		block.prefix = (unsigned)prefix;
	}
	*out = block;
	return mask(&out->base, block.prefix) ? -ERANGE : 0;
}

void hw_address_block_print(const struct hw_address_block *block, char out[HW_ADDRESS_BLOCK_TEXT])
{
	char prefix[8] = "";

	if (block->base.kind == HW_ADDRESS_UNIX) {
		strcpy(out, "unix");
		return;
	}
	if (block->prefix < bits_of(block->base.kind))
		snprintf(prefix, sizeof(prefix), "/%u", block->prefix);
	print_ip(&block->base, "", prefix, out, HW_ADDRESS_BLOCK_TEXT);
}

static bool in_block(const struct hw_address *a, const struct hw_address_block *block)
{
	struct hw_address masked = *a;

	if (a->kind != block->base.kind)
		return false;
	mask(&masked, block->prefix);
	return memcmp(masked.bytes, block->base.bytes, sizeof(masked.bytes)) == 0;
}

bool hw_address_in(
	const struct hw_address *address, const struct hw_address_block *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (in_block(address, &blocks[i]))
			return true;
	return false;
}
