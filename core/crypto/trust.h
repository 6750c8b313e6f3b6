/* The certificate authorities that outgoing TLS believes: read once, shared by all threads. Reading
 * them takes tens of milliseconds, which no loop has for each connection. */
#pragma once

#include "base/compiler.h"

struct hw_trust;

/** Reads the PEM file. 0; -ENOENT when there is nothing in it that can be read; -ENOMEM. */
HW_MUST_CHECK int hw_trust_create(const char *ca_file, struct hw_trust **out);
void hw_trust_destroy(struct hw_trust **trust);
/** Lets the SSL_CTX @ssl_ctx believe these and no others. */
void hw_trust_use(struct hw_trust *trust, void *ssl_ctx);
