#include "app/cli_follow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wire/code.h"
#include "wire/json.h"
#include "wire/topic.h"

/* The members of a message that matter to somebody; the others are passed over. */
struct message {
	struct hw_json type, id, topic, topics, cursor, code, message, reason, retry_after_ms,
		jitter_ms, ok;
};

static int read_object(struct hw_str text, struct message *out)
{
	const struct {
		struct hw_str name;
		struct hw_json *value;
	} members[] = {
		{HW_STR("type"), &out->type},
		{HW_STR("id"), &out->id},
		{HW_STR("topic"), &out->topic},
		{HW_STR("topics"), &out->topics},
		{HW_STR("cursor"), &out->cursor},
		{HW_STR("code"), &out->code},
		{HW_STR("message"), &out->message},
		{HW_STR("reason"), &out->reason},
		{HW_STR("retry_after_ms"), &out->retry_after_ms},
		{HW_STR("jitter_ms"), &out->jitter_ms},
		{HW_STR("ok"), &out->ok},
	};
	struct hw_json_reader r;
	struct hw_json key, value;
	int rc;

	memset(out, 0, sizeof(*out));
	hw_json_init(&r, text, 0);
	if (hw_json_enter(&r, HW_JSON_OBJECT) < 0)
		return -EINVAL;
	while ((rc = hw_json_member(&r, &key)) == 0) {
		if (hw_json_value(&r, &value) < 0)
			return -EINVAL;
		for (size_t i = 0; i < HW_COUNT(members); i++) {
			if (hw_json_is(key, members[i].name))
				*members[i].value = value;
		}
	}
	return rc < 0 ? rc : hw_json_finish(&r);
}

static bool says(struct hw_json value, struct hw_str plain)
{
	return value.kind == HW_JSON_STRING && hw_json_is(value, plain);
}

static uint64_t number(struct hw_json value)
{
	uint64_t n = 0;

	if (value.kind != HW_JSON_NUMBER || hw_str_to_u64(value.raw, &n) < 0)
		return 0;
	return n;
}

/* What a string says, for a person; others as they are written. */
static void add_text(struct hw_buf *out, struct hw_json value)
{
	if (value.kind != HW_JSON_STRING)
		hw_buf_str(out, value.raw);
	else if (hw_json_unescape(out, value) < 0)
		hw_buf_str(out, hw_json_inside(value)); /* a lone surrogate: as it came */
}

static enum hw_code code_of(struct hw_json value)
{
	char name[64];
	size_t len;

	if (value.kind != HW_JSON_STRING || hw_json_copy(value, name, sizeof(name), &len) < 0)
		return HW_CODE_NONE;
	return hw_code_find((struct hw_str){name, len});
}

/* An unknown code is final: to ask for ever would help nobody. */
static bool retryable(struct hw_json code)
{
	return hw_code_info(code_of(code))->retryable;
}

/* ---- topics ---- */

int hw_follow_init(
	struct hw_follow *f, const struct hw_str *names, size_t n_names, struct hw_str cursor)
{
	if (cursor.len > HW_FOLLOW_CURSOR_MAX)
		return -EINVAL;
	memset(f, 0, sizeof(*f));
	f->topics = calloc(n_names, sizeof(*f->topics));
	if (!f->topics)
		return -ENOMEM;
	f->n_topics = n_names;
	for (size_t i = 0; i < n_names; i++) {
		f->topics[i].name = names[i];
		if (cursor.len > 0)
			memcpy(f->topics[i].cursor, cursor.p, cursor.len);
	}
	return 0;
}

void hw_follow_fini(struct hw_follow *f)
{
	free(f->topics);
	memset(f, 0, sizeof(*f));
}

size_t hw_follow_count(const struct hw_follow *f, enum hw_follow_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_topics; i++)
		n += f->topics[i].state == state;
	return n;
}

void hw_follow_lost(struct hw_follow *f)
{
	for (size_t i = 0; i < f->n_topics; i++) {
		if (f->topics[i].state != HW_FOLLOW_REFUSED)
			f->topics[i].state = HW_FOLLOW_WANTED;
	}
}

void hw_follow_subscribe(struct hw_follow *f, struct hw_buf *out)
{
	bool first = true;

	if (hw_follow_count(f, HW_FOLLOW_WANTED) == 0)
		return;
	hw_buf_printf(
		out, "{\"type\":\"subscribe\",\"id\":\"s%" PRIu64 "\",\"topics\":[", ++f->request);
	for (size_t i = 0; i < f->n_topics; i++) {
		struct hw_follow_topic *topic = &f->topics[i];

		if (topic->state != HW_FOLLOW_WANTED)
			continue;
		topic->state = HW_FOLLOW_ASKED;
		if (!first)
			hw_buf_putc(out, ',');
		first = false;
		if (!topic->cursor[0]) {
			hw_buf_json(out, topic->name);
			continue;
		}
		hw_buf_puts(out, "{\"topic\":");
		hw_buf_json(out, topic->name);
		hw_buf_puts(out, ",\"cursor\":");
		hw_buf_json(out, hw_str_of(topic->cursor));
		hw_buf_putc(out, '}');
	}
	hw_buf_puts(out, "]}");
}

static void set_cursor(struct hw_follow_topic *topic, struct hw_json cursor)
{
	char text[HW_FOLLOW_CURSOR_MAX];
	size_t len;

	/* one that does not fit is passed over: going on from an older one loses nothing */
	if (cursor.kind != HW_JSON_STRING || hw_json_copy(cursor, text, sizeof(text), &len) < 0 ||
		len == 0 || memchr(text, 0, len))
		return;
	memcpy(topic->cursor, text, len);
	topic->cursor[len] = '\0';
}

static bool matches(const struct hw_follow_topic *topic, struct hw_json name)
{
	char text[HW_TOPIC_MAX];
	size_t len;

	if (name.kind != HW_JSON_STRING || hw_json_copy(name, text, sizeof(text), &len) < 0)
		return false;
	if (hw_topic_is_wildcard(topic->name))
		return hw_str_starts((struct hw_str){text, len},
			(struct hw_str){topic->name.p, topic->name.len - 1});
	return hw_str_eq((struct hw_str){text, len}, topic->name);
}

/* While a subscribe is under way an event moves only its own topic; else, since the session has one
 * order, all of them. */
static void read_event(struct hw_follow *f, const struct message *m)
{
	bool recovering = hw_follow_count(f, HW_FOLLOW_ASKED) > 0;

	for (size_t i = 0; i < f->n_topics; i++) {
		struct hw_follow_topic *topic = &f->topics[i];

		if (recovering ? matches(topic, m->topic) : topic->state == HW_FOLLOW_LIVE)
			set_cursor(topic, m->id);
	}
}

/* ---- control messages ---- */

static void refuse(
	struct hw_follow_topic *topic, struct hw_json code, const char *what, struct hw_buf *say)
{
	topic->state = retryable(code) ? HW_FOLLOW_WANTED : HW_FOLLOW_REFUSED;
	hw_buf_printf(say, "%.*s: %s", HW_STR_ARG(topic->name), what);
	if (code.kind != HW_JSON_NONE) {
		hw_buf_puts(say, ": ");
		add_text(say, code);
	}
	hw_buf_puts(say, topic->state == HW_FOLLOW_WANTED ? " (trying again)\n" : "\n");
}

static void read_result(
	struct hw_follow *f, struct hw_json name, struct hw_json result, struct hw_buf *say)
{
	struct message m;

	if (result.kind != HW_JSON_OBJECT || read_object(result.raw, &m) < 0)
		return;
	for (size_t i = 0; i < f->n_topics; i++) {
		struct hw_follow_topic *topic = &f->topics[i];

		if (topic->state != HW_FOLLOW_ASKED || !hw_json_is(name, topic->name))
			continue;
		if (m.ok.kind != HW_JSON_TRUE) {
			refuse(topic, m.code, "refused", say);
			continue;
		}
		topic->state = HW_FOLLOW_LIVE;
		set_cursor(topic, m.cursor);
	}
}

static bool is_request(const struct hw_follow *f, struct hw_json id)
{
	char text[32];
	size_t len;
	uint64_t n;

	if (id.kind != HW_JSON_STRING || hw_json_copy(id, text, sizeof(text), &len) < 0 ||
		len < 2 || text[0] != 's')
		return false;
	return hw_str_to_u64((struct hw_str){text + 1, len - 1}, &n) == 0 && n == f->request;
}

static void read_reply(struct hw_follow *f, const struct message *m, struct hw_buf *say)
{
	struct hw_json_reader r;
	struct hw_json key, value;

	if (!is_request(f, m->id) || m->topics.kind != HW_JSON_OBJECT)
		return;
	hw_json_init(&r, m->topics.raw, 0);
	if (hw_json_enter(&r, HW_JSON_OBJECT) < 0)
		return;
	while (hw_json_member(&r, &key) == 0 && hw_json_value(&r, &value) == 0)
		read_result(f, key, value, say);
}

static void read_error(struct hw_follow *f, const struct message *m, struct hw_buf *say)
{
	add_text(say, m->code);
	if (m->message.kind != HW_JSON_NONE) {
		hw_buf_puts(say, ": ");
		add_text(say, m->message);
	}
	hw_buf_putc(say, '\n');
	if (!is_request(f, m->id))
		return;
	for (size_t i = 0; i < f->n_topics; i++) {
		if (f->topics[i].state == HW_FOLLOW_ASKED)
			refuse(&f->topics[i], m->code, "refused", say);
	}
}

/* unsubscribed and gap: a list of topics of which something is to be said */
static void read_list(struct hw_follow *f, const struct message *m, bool gone, struct hw_buf *say)
{
	struct hw_json_reader r;
	struct hw_json name;

	hw_json_init(&r, m->topics.raw, 0);
	if (m->topics.kind != HW_JSON_ARRAY || hw_json_enter(&r, HW_JSON_ARRAY) < 0)
		return;
	while (hw_json_element(&r) == 0 && hw_json_value(&r, &name) == 0) {
		if (!gone) {
			add_text(say, name);
			hw_buf_puts(say, ": a gap: events were lost for good");
			if (m->reason.kind != HW_JSON_NONE) {
				hw_buf_puts(say, ": ");
				add_text(say, m->reason);
			}
			hw_buf_putc(say, '\n');
			continue;
		}
		for (size_t i = 0; i < f->n_topics; i++) {
			if (name.kind == HW_JSON_STRING && hw_json_is(name, f->topics[i].name))
				refuse(&f->topics[i], m->code, "the access was revoked", say);
		}
	}
}

static void read_control(struct hw_follow *f, const struct message *m, struct hw_buf *say)
{
	if (says(m->type, HW_STR("reply"))) {
		read_reply(f, m, say);
	} else if (says(m->type, HW_STR("error"))) {
		read_error(f, m, say);
	} else if (says(m->type, HW_STR("gap"))) {
		read_list(f, m, false, say);
	} else if (says(m->type, HW_STR("unsubscribed"))) {
		read_list(f, m, true, say);
	} else if (says(m->type, HW_STR("goaway"))) {
		f->retry_after_ms = number(m->retry_after_ms);
		f->retry_jitter_ms = number(m->jitter_ms);
	} else if (says(m->type, HW_STR("cursor"))) {
		for (size_t i = 0; i < f->n_topics; i++) {
			if (f->topics[i].state == HW_FOLLOW_LIVE)
				set_cursor(&f->topics[i], m->cursor);
		}
	}
}

int hw_follow_read(struct hw_follow *f, struct hw_str text, struct hw_buf *say)
{
	struct message m;

	if (read_object(text, &m) < 0)
		return HW_FOLLOW_ODD;
	if (m.type.kind == HW_JSON_NONE) {
		read_event(f, &m);
		return HW_FOLLOW_EVENT;
	}
	read_control(f, &m, say);
	return say->failed ? -ENOMEM : HW_FOLLOW_CONTROL;
}

void hw_follow_line(struct hw_buf *out, struct hw_str json)
{
	size_t start = out->len;

	hw_buf_str(out, json);
	for (size_t i = start; i < out->len; i++) {
		if (out->data[i] == '\n' || out->data[i] == '\r')
			out->data[i] = ' ';
	}
}
