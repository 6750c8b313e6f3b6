/* Bytes as lower-case hexadecimal digits: ids, names of files by their hash.
 * Writes only; nothing of ours reads hexadecimal. */
#pragma once

#include <stddef.h>

/** Writes 2 × @len digits and a zero to @out. */
void hw_hex(const void *p, size_t len, char *out);
