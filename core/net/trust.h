/* The certificate authorities that outgoing TLS believes: read once, shared by all threads. Reading
 * them takes tens of milliseconds, which no loop has for each connection. */
#pragma once

#include "base/compiler.h"
#include "base/trust.h"

/** Reads the PEM file. 0; -ENOENT when there is nothing in it that can be read; -ENOMEM. */
HW_MUST_CHECK int hw_trust_create(const char *ca_file, struct hw_trust **out);
void hw_trust_destroy(struct hw_trust **trust);
