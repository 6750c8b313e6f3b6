/* Writers of the control messages that the broker sends (PROTOCOL "Broker to client"), one function
 * each. They append to a hw_buf; memory failure is left there. @plain: the client did not negotiate
 * hookwire.v1, and the message carries "topic":"" too. @id is the raw token of the client's
 * message, p NULL when it gave none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "wire/code.h"

/* expires_at of a session without an end: written as null */
#define HW_CONTROL_NO_EXPIRY INT64_MAX
#define HW_CONTROL_NO_RETRY (-1)

struct hw_welcome {
	struct hw_str session;
	struct hw_str user_id;
	struct hw_str tenant_id;
	struct hw_str cursor;
	int64_t ping_ms;
	int64_t expires_at; /* seconds since 1970, as a JWT has them, or HW_CONTROL_NO_EXPIRY */
	uint64_t message_bytes;
	uint64_t topics_per_session;
	uint64_t publish_per_s;
};
void hw_control_welcome(struct hw_buf *out, bool plain, const struct hw_welcome *w);

/* Result of subscribing to, or unsubscribing from, one topic. */
struct hw_topic_result {
	struct hw_str topic; /* plain text; if p is NULL, @raw is written */
	struct hw_str raw;   /* the JSON string as the client gave it, with quotes */
	enum hw_code code;   /* HW_CODE_NONE: ok */
	bool has_recovered;  /* write "recovered" */
	bool recovered;
	struct hw_str cursor; /* p NULL: none */
};
/* {"type":"reply","id":…,"ok":true,"topics":{…}} : begin, one call per topic, end */
void hw_control_topics_begin(struct hw_buf *out, bool plain, struct hw_str id);
void hw_control_topics_add(struct hw_buf *out, const struct hw_topic_result *result);
void hw_control_topics_end(struct hw_buf *out);

/* {"type":"reply","id":…,"ok":true,"events":[…],"cursor":"…"} : begin, each event's text, end */
void hw_control_events_begin(struct hw_buf *out, bool plain, struct hw_str id);
void hw_control_events_add(struct hw_buf *out, struct hw_str event);
void hw_control_events_end(struct hw_buf *out, struct hw_str cursor);

/* {"type":"reply","id":…,"ok":true,"topics":{"a:1":{"users":[{"user_id","connections","info"?}],
 * "number"}}}, and the same object for HTTP, {"topics":…}: only the beginnings differ */
void hw_control_presence_begin(
	struct hw_buf *out, bool plain, struct hw_str id, struct hw_str topic);
void hw_control_presence_body(struct hw_buf *out, struct hw_str topic);
/** @info is raw JSON, p NULL: none. */
void hw_control_presence_add(
	struct hw_buf *out, struct hw_str user_id, uint64_t connections, struct hw_str info);
void hw_control_presence_end(struct hw_buf *out, uint64_t number);

/* {"type":"presence","topics":{"a:1":{"number":7}},"joined":[…],"left":[…],"updated":[…]}, to who
 * follows: begin, then for each list its name and its users, end */
void hw_control_presence_changed_begin(struct hw_buf *out, struct hw_str topic, uint64_t number);
/** @kind: 0 joined, 1 left, 2 updated, in this order. */
void hw_control_presence_changed_list(struct hw_buf *out, unsigned kind);
void hw_control_presence_changed_end(struct hw_buf *out);
/* The same with "users" beside "number", and nothing in the lists: begin, users, end */
void hw_control_presence_again_begin(struct hw_buf *out, struct hw_str topic);
void hw_control_presence_again_end(struct hw_buf *out, uint64_t number);
/** {"type":"presence","topics":{"a:1":{"ok":false,"code"}},"joined":[],"left":[],"updated":[]} */
void hw_control_presence_over(struct hw_buf *out, struct hw_str topic, enum hw_code code);

/** The reply to auth. */
void hw_control_auth(struct hw_buf *out, bool plain, struct hw_str id, int64_t expires_at);
/** {"type":"reply","id":…,"ok":true} and nothing more. */
void hw_control_ok(struct hw_buf *out, bool plain, struct hw_str id);
/** @event_id p NULL: the event has none (history "none", or dropped by a hook). */
void hw_control_ack(
	struct hw_buf *out, bool plain, struct hw_str id, struct hw_str event_id, bool duplicate);
/** @message empty: the table's. @retry_after_ms: or HW_CONTROL_NO_RETRY. */
void hw_control_error(struct hw_buf *out, bool plain, struct hw_str id, enum hw_code code,
	struct hw_str message, int64_t retry_after_ms);
void hw_control_gap(struct hw_buf *out, bool plain, const struct hw_str *topics, size_t n_topics,
	struct hw_str reason);
void hw_control_unsubscribed(struct hw_buf *out, bool plain, const struct hw_str *topics,
	size_t n_topics, enum hw_code code);
void hw_control_cursor(struct hw_buf *out, bool plain, struct hw_str cursor);
void hw_control_goaway(struct hw_buf *out, bool plain, int64_t retry_after_ms, int64_t jitter_ms,
	struct hw_str reason);
void hw_control_pong(struct hw_buf *out, bool plain, struct hw_str id);
