/* Frames that one worker made for many recipients, instead of the journal's: what redact and view
 * changes leave of an event, or an event in another transport's form. Written once, shared by all
 * of the class: a block keeps its bytes until the end of the turn unasked, and longer while its pin
 * is held, as a journal's segment does. One worker's own, pins too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "base/pin.h"
#include "base/str.h"

#define HW_FRAMES_KEPT_BYTES (256u << 10) /* over the end of a turn, for who reads later */

struct hw_frames {
	struct hw_list blocks; /* oldest first; the last is written to */
	size_t bytes;
	uint64_t last_serial, oldest_serial; /* numbers of these blocks */
};

struct hw_frame {
	const char *p;
	size_t len;
	uint8_t header_len;
	struct hw_pin *pin;
	uint64_t serial; /* of its block: see hw_frames_has */
};

void hw_frames_init(struct hw_frames *frames);
/** What is pinned lives until its last pin is released. */
void hw_frames_fini(struct hw_frames *frames);
/** Adds the WebSocket text frame that says @text and then @tail. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_frames_add(
	struct hw_frames *frames, struct hw_str text, struct hw_str tail, struct hw_frame *out);
/** Room for @size bytes that the caller writes at once, in place of a frame. NULL: out of memory.
 */
char *hw_frames_room(struct hw_frames *frames, size_t size, struct hw_pin **pin);
/** Is a frame that was added in an earlier turn still there? */
static inline bool hw_frames_has(const struct hw_frames *frames, uint64_t serial)
{
	return serial >= frames->oldest_serial;
}
/** The turn is over: only the newest stay. */
void hw_frames_trim(struct hw_frames *frames);
