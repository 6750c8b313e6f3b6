#include "wire/code.h"

#include <stdio.h>

#define CODE(id, name_, http, close, retry, message_) \
	[HW_CODE_##id] = {.name = name_, \
		.quoted = {"\"" name_ "\"", sizeof(name_) + 1}, \
		.message = message_, \
		.http_status = http, \
		.close_code = close, \
		.retryable = retry}

/* Close codes: PROTOCOL "Close codes". One that has none of its own there is closed as its nearest
 * kin: a topic limit as something forbidden, "unavailable" as the server that is to be tried again,
 * "internal" as RFC 6455 has it. */
static const struct hw_code_info table[HW_CODE_COUNT] = {
	CODE(NONE, "", 200, 1000, false, ""),
	CODE(BAD_REQUEST, "bad_request", 400, 4400, false, "the request is malformed"),
	CODE(UNAUTHORIZED, "unauthorized", 401, 4401, false, "the token was not accepted"),
	CODE(TOKEN_EXPIRED, "token_expired", 401, 4401, false, "the token has expired"),
	CODE(FORBIDDEN_TOPIC, "forbidden_topic", 403, 4403, false, "this topic is not for you"),
	CODE(UNAVAILABLE, "unavailable", 503, 4503, true, "this cannot be decided right now"),
	CODE(TOPIC_LIMIT, "topic_limit", 403, 4403, false, "too many topics"),
	CODE(RATE_LIMITED, "rate_limited", 429, 4429, true, "too many requests"),
	CODE(TOO_LARGE, "too_large", 413, 4413, false, "the message is too large"),
	CODE(SLOW_CONSUMER, "slow_consumer", 503, 4508, true, "the client reads too slowly"),
	CODE(DRAINING, "draining", 503, 4503, true, "the server is shutting down"),
	CODE(INTERNAL, "internal", 500, 1011, true, "something went wrong in the server"),
};

const struct hw_code_info *hw_code_info(enum hw_code code)
{
	return (unsigned)code < HW_CODE_COUNT ? &table[code] : &table[HW_CODE_INTERNAL];
}

enum hw_code hw_code_find(struct hw_str name)
{
	for (int code = HW_CODE_NONE + 1; code < HW_CODE_COUNT; code++) {
		if (hw_str_eq(name, hw_str_of(table[code].name)))
			return (enum hw_code)code;
	}
	return HW_CODE_NONE;
}

void hw_code_members(
	struct hw_buf *out, enum hw_code code, struct hw_str message, int64_t retry_after_ms)
{
	const struct hw_code_info *info = hw_code_info(code);

	hw_buf_puts(out, "\"code\":");
	hw_buf_str(out, info->quoted);
	hw_buf_puts(out, ",\"message\":");
	hw_buf_json(out, message.len > 0 ? message : hw_str_of(info->message));
	hw_buf_puts(out, info->retryable ? ",\"retryable\":true" : ",\"retryable\":false");
	if (retry_after_ms >= 0) {
		hw_buf_puts(out, ",\"retry_after_ms\":");
		hw_buf_u64(out, (uint64_t)retry_after_ms);
	}
}

void hw_code_body(
	struct hw_buf *out, enum hw_code code, struct hw_str message, int64_t retry_after_ms)
{
	hw_buf_putc(out, '{');
	hw_code_members(out, code, message, retry_after_ms);
	hw_buf_putc(out, '}');
}

enum hw_code hw_code_of_close(uint16_t close_code, struct hw_str reason, struct hw_str *message)
{
	struct hw_str rest = reason;
	enum hw_code code = hw_code_find(hw_str_cut(&rest, ':'));

	*message = reason;
	if (code != HW_CODE_NONE) {
		*message = rest.p ? hw_str_trim(rest) : HW_STR("");
		return code;
	}
	for (int i = HW_CODE_NONE + 1; i < HW_CODE_COUNT; i++) {
		if (table[i].close_code == close_code)
			return (enum hw_code)i;
	}
	return HW_CODE_UNAVAILABLE;
}

struct hw_str hw_code_reason(enum hw_code code, const char *message, char out[HW_CODE_REASON_BYTES])
{
	const struct hw_code_info *info = hw_code_info(code);

	snprintf(out, HW_CODE_REASON_BYTES, "%s: %s", info->name,
		message && message[0] ? message : info->message);
	return hw_str_of(out);
}
