/* One message sees one generation: it holds on to the benches that its first question was asked of.
 * Those that a swap has left live on for that, of at most three generations. One worker's own. */
#pragma once

#include "hub/hub.h"

struct hw_pins {
	struct hw_hook_bench *global, *tenant; /* tenant NULL: there is none */
	uint64_t policy;                       /* of the hub, when they were taken */
};

/** Takes the hub's benches of now, unless some are held already. Zeroed before. */
void hw_pins_take(struct hw_pins *pins, struct hw_hub *hub);
/** @pins, zeroed before, holds what @from holds. */
void hw_pins_copy(struct hw_pins *pins, const struct hw_pins *from);
/** Harmless on zeroes. */
void hw_pins_drop(struct hw_pins *pins);
