/* The set of member names of one object, to find the one that repeats. Names are compared after
 * unescaping. The first few live inside the struct; many cost memory, never quadratic time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "wire/json.h"

#define HW_KEYS_FEW 16

struct hw_keys_decoded; /* an escaped name, resolved */

struct hw_keys {
	size_t n;
	struct hw_json few[HW_KEYS_FEW]; /* all of them, until these are full */
	struct hw_map map;               /* then all are here */
	struct hw_keys_decoded *decoded; /* what keys of the map point to */
};

enum { HW_KEYS_TWICE = 1 };

void hw_keys_init(struct hw_keys *keys);
void hw_keys_fini(struct hw_keys *keys);
/** 0: new; HW_KEYS_TWICE: it was there; -ENOMEM. The text of @key must outlive @keys. */
HW_MUST_CHECK int hw_keys_add(struct hw_keys *keys, struct hw_json key);
