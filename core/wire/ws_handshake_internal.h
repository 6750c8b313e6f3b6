/* What both sides of the WebSocket handshake share: the checks of its two base64 values.
 * Included inside wire only. */
#pragma once

#include "wire/ws_handshake.h"

bool hw_ws_key_valid(struct hw_str key); /* 16 bytes in canonical base64 */
bool hw_ws_accept_valid(
	struct hw_str accept); /* as long as base64 of SHA-1 is, and breaks no line */
