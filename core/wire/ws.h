/* WebSocket frames (RFC 6455): an incremental reader that unmasks in place and validates text as it
 * streams, and what is needed to write frames. No sockets; memory only for a control frame that is
 * split. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/utf8.h"

#define HW_WS_HEADER_BYTES 14                       /* the longest frame header */
#define HW_WS_CONTROL_BYTES 125                     /* the longest control payload (5.5) */
#define HW_WS_CLOSE_BYTES (6 + HW_WS_CONTROL_BYTES) /* the longest close frame, masked */

enum hw_ws_opcode {
	HW_WS_OP_CONTINUATION = 0x0,
	HW_WS_OP_TEXT = 0x1,
	HW_WS_OP_BINARY = 0x2,
	HW_WS_OP_CLOSE = 0x8,
	HW_WS_OP_PING = 0x9,
	HW_WS_OP_PONG = 0xa,
};

/* RFC 6455 7.4.1; ours (44xx, 45xx) are in PROTOCOL. */
enum hw_ws_code {
	HW_WS_CODE_NORMAL = 1000,
	HW_WS_CODE_GOING_AWAY = 1001,
	HW_WS_CODE_PROTOCOL = 1002,
	HW_WS_CODE_UNSUPPORTED = 1003,
	HW_WS_CODE_NONE = 1005, /* never on the wire: the close frame was empty */
	HW_WS_CODE_BAD_DATA = 1007,
	HW_WS_CODE_POLICY = 1008,
	HW_WS_CODE_TOO_BIG = 1009,
	HW_WS_CODE_INTERNAL = 1011,
};

enum hw_ws_role {
	HW_WS_SERVER, /* reads from clients: every frame must be masked */
	HW_WS_CLIENT, /* reads from a server: no frame may be */
};

enum hw_ws_outcome {
	HW_WS_MORE = 1, /* all bytes are used; come again with more */
	HW_WS_DATA,     /* opcode, data, first, last */
	HW_WS_PING,     /* data: answer with a pong of the same */
	HW_WS_PONG,     /* data */
	HW_WS_CLOSE,    /* code, data = the reason (UTF-8); answer with a close frame */
	HW_WS_ERROR,    /* code to close with, reason */
};

/* What hw_ws_read found; only the members that its outcome names are set. */
struct hw_ws_event {
	struct hw_str data;
	const char *reason; /* a constant for logs and the close frame; fits into one */
	uint16_t code;
	uint8_t opcode; /* of the message: text or binary, also in its continuations */
	bool first;     /* the message begins with this piece */
	bool last;      /* the message is complete, and valid UTF-8 if it is text */
};

/* One per connection, 64 bytes.
 *
 *   header ──> payload of a data frame ──> header …          control frames between fragments leave
 *     └──────> payload of a control frame ──> header …       opcode, utf8 and message_bytes alone
 */
struct hw_ws_reader {
	uint64_t max_message_bytes;
	uint64_t message_bytes; /* announced by the frames of this message so far */
	uint64_t left;          /* of the frame's payload */
	uint8_t *control;       /* heap: the payload of a control frame that is split */
	struct hw_utf8 utf8;
	uint8_t mask[4]; /* turned so that [0] is for the next byte */
	uint8_t header[HW_WS_HEADER_BYTES];
	uint8_t n_header;
	uint8_t n_control;
	uint8_t message_opcode; /* 0: outside a message */
	uint8_t role : 1;
	uint8_t state : 3;
	uint8_t fin : 1;            /* of the frame */
	uint8_t started : 1;        /* the message has had a piece */
	uint8_t control_opcode : 2; /* of the control frame, without 0x8 */
	bool text_only; /* set by the owner after init: binary messages are refused, with 1003 */
};

/** @max_message_bytes bounds a message over all its fragments: 1009. */
void hw_ws_reader_init(struct hw_ws_reader *r, enum hw_ws_role role, uint64_t max_message_bytes);
void hw_ws_reader_fini(struct hw_ws_reader *r);

/** Reads on in @p, which it changes (unmasked in place), writes to *@used how much it took, and
 * returns an enum hw_ws_outcome, or -ENOMEM. Call it with what is left until it says MORE; @len may
 * be 0. ev->data lives as long as @p and until the next call. A message is one DATA or more, the
 * first with first, the last with last (it may be empty); several pieces come when it is fragmented
 * or split over reads. After CLOSE and ERROR further bytes are dropped (7.1.1), with MORE.
 *
 * 1002 (5.2, 5.4, 5.5, 7.4): reserved bits or opcodes, wrong masking, lengths that are not
 * minimal, control frames that are fragmented or over 125 bytes, continuations of nothing, a
 * message inside another, close payloads of one byte or with codes that may not be sent. 1003: a
 * binary message where text_only is set, at the first two bytes of its first frame. 1007
 * (8.1): text or close reasons that are not UTF-8, at the first bad byte. 1009: at the frame header
 * that goes over the limit. */
HW_MUST_CHECK int hw_ws_read(
	struct hw_ws_reader *r, uint8_t *p, size_t len, size_t *used, struct hw_ws_event *ev);

/** True inside a message (between fragments, or in a frame that has only partly come). */
bool hw_ws_reader_busy(const struct hw_ws_reader *r);

/** Writes a frame header and returns its length, 2 to 14. @mask is four random bytes from a client
 * (5.3), NULL from a server. */
size_t hw_ws_header(uint8_t out[HW_WS_HEADER_BYTES], bool fin, enum hw_ws_opcode opcode,
	uint64_t len, const uint8_t *mask);

/** Masks or unmasks in place; @offset is how many bytes of the payload came before @p. */
void hw_ws_mask(uint8_t *p, size_t len, const uint8_t mask[4], size_t offset);

/** Writes a whole close frame and returns its length. @code HW_WS_CODE_NONE gives an empty one.
 * @reason must be UTF-8 and is cut between characters at 123 bytes. @mask as with hw_ws_header. */
size_t hw_ws_close(
	uint8_t out[HW_WS_CLOSE_BYTES], uint16_t code, struct hw_str reason, const uint8_t *mask);

/** Whether @code may stand in a close frame (7.4 and the IANA registry): 1000 to 1003, 1007 to
 * 1014, 3000 to 4999. */
bool hw_ws_code_sendable(unsigned code);
