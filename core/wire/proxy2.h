/* The header of the PROXY protocol, version 2 (HAProxy, doc/proxy-protocol.txt section 2.2), which
 * a trusted proxy sends before anything else of a connection: whose connection it is. Read in any
 * split; only the binary header, since one that may be absent could be forged by any client.
 *
 *   signature (12) | version, command | family, protocol | length (2) | addresses | TLVs
 *                                                                        ^ length bytes: skipped
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

#define HW_PROXY2_FIXED 16       /* before the addresses */
#define HW_PROXY2_MAX_BYTES 4096 /* of a whole header, TLVs included */

enum hw_proxy2_outcome {
	HW_PROXY2_MORE = 1, /* all bytes are used; come again with more */
	HW_PROXY2_DONE,     /* the header is complete; what follows is the connection's */
	HW_PROXY2_ERROR,    /* reason; close */
};

/* One per connection that begins with a header. Zeroed to begin with. */
struct hw_proxy2 {
	/** With DONE: the client's. NONE: the connection is the proxy's own (LOCAL), or the proxy
	 * does not know: its peer is whose it is. */
	struct hw_address source;
	const char *reason; /* with ERROR: a constant, without a dot */
	/* ---- private */
	uint8_t kept[HW_PROXY2_FIXED + 36]; /* up to TCP6's addresses */
	uint16_t n_kept;
	uint16_t wanted; /* of kept, once the fixed part is there */
	uint16_t left;   /* to skip behind kept */
};

/** Reads on in @p and writes to *@used how much it took. Behind DONE or ERROR it is not called. */
HW_MUST_CHECK int hw_proxy2_read(struct hw_proxy2 *r, const uint8_t *p, size_t len, size_t *used);
