#include "wire/proxy2.h"

#include <string.h>

enum {
	SIGNATURE_BYTES = 12,
	AT_COMMAND = 12,
	AT_FAMILY = 13,
	AT_LENGTH = 14,

	VERSION_2_LOCAL = 0x20,
	VERSION_2_PROXY = 0x21,

	FAMILY_UNSPEC = 0x00,
	FAMILY_TCP4 = 0x11,
	FAMILY_TCP6 = 0x21,
	FAMILY_UNIX = 0x31,

	/* source and destination, and their ports */
	TCP4_BYTES = 12,
	TCP6_BYTES = 36,
	UNIX_BYTES = 216,
};

static const uint8_t signature[SIGNATURE_BYTES] = {
	0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static int refuse(struct hw_proxy2 *r, const char *reason)
{
	r->reason = reason;
	return HW_PROXY2_ERROR;
}

static uint16_t length_of(const struct hw_proxy2 *r)
{
	return (uint16_t)(r->kept[AT_LENGTH] << 8 | r->kept[AT_LENGTH + 1]);
}

/* How many bytes of addresses the command and the family promise; -1: no such family. */
static int promised(const struct hw_proxy2 *r)
{
	if (r->kept[AT_COMMAND] == VERSION_2_LOCAL)
		return 0; /* whatever is there is to be ignored */
	switch (r->kept[AT_FAMILY]) {
	case FAMILY_UNSPEC:
		return 0;
	case FAMILY_TCP4:
		return TCP4_BYTES;
	case FAMILY_TCP6:
		return TCP6_BYTES;
	case FAMILY_UNIX:
		return UNIX_BYTES;
	default:
		return -1;
	}
}

/* The fixed part is there. 0 or ERROR. */
static int plan(struct hw_proxy2 *r)
{
	uint8_t command = r->kept[AT_COMMAND];
	uint16_t length = length_of(r);
	int addresses;

	if (command != VERSION_2_LOCAL && command != VERSION_2_PROXY)
		return refuse(r, command >> 4 == 2 ? "its command is neither LOCAL nor PROXY"
						   : "its version is not 2");
	addresses = promised(r);
	if (addresses < 0)
		return refuse(r, "its family is none of TCP over IPv4, TCP over IPv6, UNIX stream "
				 "and UNSPEC");
	if (length < addresses)
		return refuse(r, "it is too short for its addresses");
	if (length > HW_PROXY2_MAX_BYTES - HW_PROXY2_FIXED)
		return refuse(r, "it is longer than 4096 bytes");
	/* the names of unix sockets say nothing, and are skipped with the TLVs */
	if (addresses > TCP6_BYTES)
		addresses = 0;
	r->wanted = (uint16_t)(HW_PROXY2_FIXED + addresses);
	r->left = (uint16_t)(length - addresses);
	return 0;
}

static int finish(struct hw_proxy2 *r)
{
	const uint8_t *addresses = r->kept + HW_PROXY2_FIXED;

	if (r->kept[AT_COMMAND] == VERSION_2_PROXY) {
		if (r->kept[AT_FAMILY] == FAMILY_TCP4)
			r->source = hw_address_v4(addresses);
		else if (r->kept[AT_FAMILY] == FAMILY_TCP6)
			r->source = hw_address_v6(addresses);
		else if (r->kept[AT_FAMILY] == FAMILY_UNIX)
			r->source = (struct hw_address){.kind = HW_ADDRESS_UNIX};
	}
	return HW_PROXY2_DONE;
}

/* Takes bytes until there are @wanted of them. */
static void keep(struct hw_proxy2 *r, uint16_t wanted, const uint8_t *p, size_t len, size_t *used)
{
	size_t missing = (size_t)(wanted - r->n_kept), n = len - *used;

	if (n > missing)
		n = missing;
	if (n > 0)
		memcpy(r->kept + r->n_kept, p + *used, n);
	r->n_kept = (uint16_t)(r->n_kept + n);
	*used += n;
}

int hw_proxy2_read(struct hw_proxy2 *r, const uint8_t *p, size_t len, size_t *used)
{
	size_t skipped;

	*used = 0;
	if (r->wanted == 0) {
		keep(r, HW_PROXY2_FIXED, p, len, used);
		/* what is no header is refused at its first wrong byte: an HTTP client would wait
		 * for an answer */
		if (memcmp(r->kept, signature,
			    r->n_kept < SIGNATURE_BYTES ? r->n_kept : SIGNATURE_BYTES) != 0)
			return refuse(r, "it does not begin with the signature");
		if (r->n_kept < HW_PROXY2_FIXED)
			return HW_PROXY2_MORE;
		if (plan(r))
			return HW_PROXY2_ERROR;
	}
	keep(r, r->wanted, p, len, used);
	if (r->n_kept < r->wanted)
		return HW_PROXY2_MORE;
	skipped = len - *used < r->left ? len - *used : r->left;
	*used += skipped;
	r->left = (uint16_t)(r->left - skipped);
	return r->left ? HW_PROXY2_MORE : finish(r);
}
