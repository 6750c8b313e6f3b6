/* Comparing secrets: the time taken tells nothing of where two values differ.
 * Lengths are compared openly: they are no secret here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

bool hw_equal(const void *a, const void *b, size_t len);
bool hw_equal_str(struct hw_str a, struct hw_str b); /* false at once when the lengths differ */
