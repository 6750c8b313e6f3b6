/* What outgoing TLS believes, as code sees it that must not know libssl. Whoever has a TLS library
 * implements it (core/net does). */
#pragma once

struct hw_trust {
	/** Lets the SSL_CTX @ssl_ctx believe these authorities and no others. Any thread. */
	void (*use)(struct hw_trust *trust, void *ssl_ctx);
};
