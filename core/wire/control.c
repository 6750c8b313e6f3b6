#include "wire/control.h"

/* Every message begins with its type, then what a plain client needs, then the id it answers to. */
static void begin(struct hw_buf *out, bool plain, const char *type)
{
	hw_buf_puts(out, "{\"type\":\"");
	hw_buf_puts(out, type);
	hw_buf_puts(out, plain ? "\",\"topic\":\"\"" : "\"");
}

static void name(struct hw_buf *out, const char *member)
{
	hw_buf_puts(out, ",\"");
	hw_buf_puts(out, member);
	hw_buf_puts(out, "\":");
}

static void text(struct hw_buf *out, const char *member, struct hw_str value)
{
	name(out, member);
	hw_buf_json(out, value);
}

static void number(struct hw_buf *out, const char *member, int64_t value)
{
	name(out, member);
	hw_buf_u64(out, value > 0 ? (uint64_t)value : 0);
}

static void id_of(struct hw_buf *out, struct hw_str id)
{
	if (!id.p)
		return;
	name(out, "id");
	hw_buf_str(out, id);
}

static void reply(struct hw_buf *out, bool plain, struct hw_str id)
{
	begin(out, plain, "reply");
	id_of(out, id);
	hw_buf_puts(out, ",\"ok\":true");
}

static void expiry(struct hw_buf *out, int64_t expires_at)
{
	if (expires_at != HW_CONTROL_NO_EXPIRY) {
		number(out, "expires_at", expires_at);
		return;
	}
	name(out, "expires_at");
	hw_buf_puts(out, "null");
}

static void texts(
	struct hw_buf *out, const char *member, const struct hw_str *values, size_t n_values)
{
	name(out, member);
	hw_buf_putc(out, '[');
	for (size_t i = 0; i < n_values; i++) {
		if (i > 0)
			hw_buf_putc(out, ',');
		hw_buf_json(out, values[i]);
	}
	hw_buf_putc(out, ']');
}

/* Lists are written one entry a call: a comma is due unless the bracket that opened the list stands
 * there. */
static void separate(struct hw_buf *out, char opening)
{
	if (out->len > 0 && out->data[out->len - 1] != opening)
		hw_buf_putc(out, ',');
}

void hw_control_welcome(struct hw_buf *out, bool plain, const struct hw_welcome *w)
{
	begin(out, plain, "welcome");
	text(out, "session", w->session);
	text(out, "user_id", w->user_id);
	text(out, "tenant_id", w->tenant_id);
	text(out, "cursor", w->cursor);
	number(out, "ping_ms", w->ping_ms);
	expiry(out, w->expires_at);
	hw_buf_puts(out, ",\"limits\":{\"message_bytes\":");
	hw_buf_u64(out, w->message_bytes);
	name(out, "topics_per_session");
	hw_buf_u64(out, w->topics_per_session);
	name(out, "publish_per_s");
	hw_buf_u64(out, w->publish_per_s);
	hw_buf_puts(out, "}}");
}

void hw_control_topics_begin(struct hw_buf *out, bool plain, struct hw_str id)
{
	reply(out, plain, id);
	hw_buf_puts(out, ",\"topics\":{");
}

void hw_control_topics_add(struct hw_buf *out, const struct hw_topic_result *result)
{
	separate(out, '{');
	if (result->topic.p)
		hw_buf_json(out, result->topic);
	else
		hw_buf_str(out, result->raw);
	if (result->code != HW_CODE_NONE) {
		hw_buf_puts(out, ":{\"ok\":false,\"code\":");
		hw_buf_str(out, hw_code_info(result->code)->quoted);
		hw_buf_putc(out, '}');
		return;
	}
	hw_buf_puts(out, ":{\"ok\":true");
	if (result->has_recovered)
		hw_buf_puts(
			out, result->recovered ? ",\"recovered\":true" : ",\"recovered\":false");
	if (result->cursor.p)
		text(out, "cursor", result->cursor);
	hw_buf_putc(out, '}');
}

void hw_control_topics_end(struct hw_buf *out)
{
	hw_buf_puts(out, "}}");
}

void hw_control_events_begin(struct hw_buf *out, bool plain, struct hw_str id)
{
	reply(out, plain, id);
	hw_buf_puts(out, ",\"events\":[");
}

void hw_control_events_add(struct hw_buf *out, struct hw_str event)
{
	separate(out, '[');
	hw_buf_str(out, event);
}

void hw_control_events_end(struct hw_buf *out, struct hw_str cursor)
{
	hw_buf_putc(out, ']');
	text(out, "cursor", cursor);
	hw_buf_putc(out, '}');
}

static void users_begin(struct hw_buf *out, struct hw_str topic)
{
	hw_buf_puts(out, "\"topics\":{");
	hw_buf_json(out, topic);
	hw_buf_puts(out, ":{\"users\":[");
}

void hw_control_presence_begin(
	struct hw_buf *out, bool plain, struct hw_str id, struct hw_str topic)
{
	reply(out, plain, id);
	hw_buf_putc(out, ',');
	users_begin(out, topic);
}

void hw_control_presence_body(struct hw_buf *out, struct hw_str topic)
{
	hw_buf_putc(out, '{');
	users_begin(out, topic);
}

void hw_control_presence_add(
	struct hw_buf *out, struct hw_str user_id, uint64_t connections, struct hw_str info)
{
	separate(out, '[');
	hw_buf_puts(out, "{\"user_id\":");
	hw_buf_json(out, user_id);
	name(out, "connections");
	hw_buf_u64(out, connections);
	if (info.p) {
		name(out, "info");
		hw_buf_str(out, info);
	}
	hw_buf_putc(out, '}');
}

static void users_end(struct hw_buf *out, uint64_t at)
{
	hw_buf_putc(out, ']');
	name(out, "number");
	hw_buf_u64(out, at);
	hw_buf_puts(out, "}}");
}

void hw_control_presence_end(struct hw_buf *out, uint64_t at)
{
	users_end(out, at);
	hw_buf_putc(out, '}');
}

static void presence_of(struct hw_buf *out, struct hw_str topic)
{
	begin(out, false, "presence");
	hw_buf_puts(out, ",\"topics\":{");
	hw_buf_json(out, topic);
	hw_buf_putc(out, ':');
}

void hw_control_presence_changed_begin(struct hw_buf *out, struct hw_str topic, uint64_t at)
{
	presence_of(out, topic);
	hw_buf_puts(out, "{\"number\":");
	hw_buf_u64(out, at);
	hw_buf_puts(out, "}}");
}

void hw_control_presence_changed_list(struct hw_buf *out, unsigned kind)
{
	static const char *const starts[] = {",\"joined\":[", "],\"left\":[", "],\"updated\":["};

	hw_buf_puts(out, starts[kind]);
}

void hw_control_presence_changed_end(struct hw_buf *out)
{
	hw_buf_puts(out, "]}");
}

static void nothing_changed(struct hw_buf *out)
{
	hw_buf_puts(out, ",\"joined\":[],\"left\":[],\"updated\":[]}");
}

void hw_control_presence_again_begin(struct hw_buf *out, struct hw_str topic)
{
	presence_of(out, topic);
	hw_buf_puts(out, "{\"users\":[");
}

void hw_control_presence_again_end(struct hw_buf *out, uint64_t at)
{
	users_end(out, at);
	nothing_changed(out);
}

void hw_control_presence_over(struct hw_buf *out, struct hw_str topic, enum hw_code code)
{
	presence_of(out, topic);
	hw_buf_puts(out, "{\"ok\":false,\"code\":");
	hw_buf_str(out, hw_code_info(code)->quoted);
	hw_buf_puts(out, "}}");
	nothing_changed(out);
}

void hw_control_auth(struct hw_buf *out, bool plain, struct hw_str id, int64_t expires_at)
{
	reply(out, plain, id);
	expiry(out, expires_at);
	hw_buf_putc(out, '}');
}

void hw_control_ok(struct hw_buf *out, bool plain, struct hw_str id)
{
	reply(out, plain, id);
	hw_buf_putc(out, '}');
}

void hw_control_ack(
	struct hw_buf *out, bool plain, struct hw_str id, struct hw_str event_id, bool duplicate)
{
	begin(out, plain, "ack");
	id_of(out, id);
	if (event_id.p)
		text(out, "event_id", event_id);
	if (duplicate)
		hw_buf_puts(out, ",\"duplicate\":true");
	hw_buf_putc(out, '}');
}

void hw_control_error(struct hw_buf *out, bool plain, struct hw_str id, enum hw_code code,
	struct hw_str message, int64_t retry_after_ms)
{
	begin(out, plain, "error");
	id_of(out, id);
	hw_buf_putc(out, ',');
	hw_code_members(out, code, message, retry_after_ms);
	hw_buf_putc(out, '}');
}

void hw_control_gap(struct hw_buf *out, bool plain, const struct hw_str *topics, size_t n_topics,
	struct hw_str reason)
{
	begin(out, plain, "gap");
	texts(out, "topics", topics, n_topics);
	text(out, "reason", reason);
	hw_buf_putc(out, '}');
}

void hw_control_unsubscribed(struct hw_buf *out, bool plain, const struct hw_str *topics,
	size_t n_topics, enum hw_code code)
{
	begin(out, plain, "unsubscribed");
	texts(out, "topics", topics, n_topics);
	name(out, "code");
	hw_buf_str(out, hw_code_info(code)->quoted);
	hw_buf_putc(out, '}');
}

void hw_control_cursor(struct hw_buf *out, bool plain, struct hw_str cursor)
{
	begin(out, plain, "cursor");
	text(out, "cursor", cursor);
	hw_buf_putc(out, '}');
}

void hw_control_goaway(struct hw_buf *out, bool plain, int64_t retry_after_ms, int64_t jitter_ms,
	struct hw_str reason)
{
	begin(out, plain, "goaway");
	number(out, "retry_after_ms", retry_after_ms);
	number(out, "jitter_ms", jitter_ms);
	text(out, "reason", reason);
	hw_buf_putc(out, '}');
}

void hw_control_pong(struct hw_buf *out, bool plain, struct hw_str id)
{
	begin(out, plain, "pong");
	id_of(out, id);
	hw_buf_putc(out, '}');
}
