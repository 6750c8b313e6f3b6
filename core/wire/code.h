/* The error codes of the protocol: one table says how each is spelt, answered over HTTP and closed
 * with. The strings are stable; clients switch on them (PROTOCOL "Broker to client"). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum hw_code {
	HW_CODE_NONE, /* no error */
	HW_CODE_BAD_REQUEST,
	HW_CODE_UNAUTHORIZED,
	HW_CODE_TOKEN_EXPIRED,
	HW_CODE_FORBIDDEN_TOPIC,
	HW_CODE_UNAVAILABLE,
	HW_CODE_TOPIC_LIMIT,
	HW_CODE_RATE_LIMITED,
	HW_CODE_TOO_LARGE,
	HW_CODE_SLOW_CONSUMER,
	HW_CODE_DRAINING,
	HW_CODE_INTERNAL,
	HW_CODE_COUNT,
};

struct hw_code_info {
	const char *name;
	struct hw_str quoted; /* "name" with its quotes, to be copied into JSON */
	const char *message;  /* for a person, when nobody has a better one */
	uint16_t http_status;
	uint16_t close_code; /* WebSocket */
	bool retryable;      /* the same request may succeed later */
};

/** Never NULL; HW_CODE_NONE has status 200 and close code 1000. */
const struct hw_code_info *hw_code_info(enum hw_code code);
/** The code of that name (as a hook gives it); HW_CODE_NONE if there is none. */
enum hw_code hw_code_find(struct hw_str name);
/** Appends {"code","message","retryable"[,"retry_after_ms"]}: an HTTP error body. An empty @message
 * takes the table's; @retry_after_ms < 0: none. */
void hw_code_body(
	struct hw_buf *out, enum hw_code code, struct hw_str message, int64_t retry_after_ms);
/** What a close frame tells of @code: "name: message", for an empty @message the table's. It is
 * whole, so that whoever writes the frame cuts it, between characters. */
#define HW_CODE_REASON_BYTES 288
struct hw_str hw_code_reason(
	enum hw_code code, const char *message, char out[HW_CODE_REASON_BYTES]);
/** The code that a close stands for: what hw_code_reason wrote says it, else the nearest that
 * closes so. Of what closes without anything being wrong (1000, 1001): try again. *@message is what
 * is left of @reason. */
enum hw_code hw_code_of_close(uint16_t close_code, struct hw_str reason, struct hw_str *message);
/** The members of that body without the braces, for those who wrap it. */
void hw_code_members(
	struct hw_buf *out, enum hw_code code, struct hw_str message, int64_t retry_after_ms);
