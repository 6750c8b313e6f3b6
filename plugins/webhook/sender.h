/* A queue of messages and the thread that delivers them. Whoever pushes never waits for the
 * network.
 *
 *   pushed --thread looks--> waiting --due, a place is free--> active --2xx--> delivered
 *      |                        ^                                 |
 *      +-- full: dropped        +------- other, attempts left ----+--> given up
 */
#pragma once

#include "settings.h"

struct sender; /* opaque */

/** @settings is borrowed until destroy. NULL: out of memory. */
struct sender *sender_create(const struct hw_host *host, const struct webhook_settings *settings);
/** Delivers for at most close_ms what has not been tried yet, then drops what is left. Returns when
 * the thread has ended. */
void sender_destroy(struct sender **sender);
/** Any thread. @body is copied; without a pointer there was no memory for it. What does not fit is
 * dropped, counted and logged. */
void sender_push(struct sender *sender, struct hw_slice body);
