/* The text of Server-Sent Events (WHATWG HTML, 9.2 "Server-sent events"), which is only written
 * here: blocks of fields, each ended by an empty line.
 *
 *   id: k3f9a-7 LF  data: {"topic":… LF  LF */
#pragma once

#include <stddef.h>

#include "base/str.h"

#define HW_SSE_TYPE "text/event-stream"
#define HW_SSE_COMMENT ":\n\n" /* says nothing: a heartbeat */

/* A field whose p is NULL is left out. */
struct hw_sse_block {
	struct hw_str event; /* its name; without one it is a message. No line break */
	struct hw_str id;    /* what the client comes back with. No line break */
	struct hw_str data;  /* in as many lines as it has; CR, LF and CR LF all arrive as LF */
};

/** How long it is. */
size_t hw_sse_size(const struct hw_sse_block *block);
/** Writes so many bytes; returns the end of them. */
char *hw_sse_write(char *out, const struct hw_sse_block *block);

/** The id that a stored event's text ends with; p NULL: it ends otherwise. */
struct hw_str hw_sse_id_of(struct hw_str event);
