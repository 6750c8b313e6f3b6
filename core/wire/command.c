#include "wire/command.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "wire/event_internal.h"

/* Members beside those of the envelope; their bits in "seen" follow the envelope's. */
enum part {
	PART_TYPE = HW_EVENT_OTHER,
	PART_ID,
	PART_TOKEN,
	PART_TOPICS,
	PART_CURSOR,
	PART_LIMIT,
	PART_FOLLOW,
	PART_KEY,
	PART_OTHER,
};

/* All members of one command as they came, before its type says which of them count. */
struct gather {
	struct hw_json parts[PART_OTHER]; /* from PART_TYPE on */
	struct hw_event_scan scan;
	struct hw_keys others;
	unsigned seen;
	bool twice; /* a member of the command itself repeats: */
	struct hw_json twice_key;
	struct hw_json value; /* of an unknown member, dropped */
};

static inline bool is(struct hw_str key, const char *name)
{
	return memcmp(key.p, name, key.len) == 0;
}

static unsigned part_of(struct hw_str key)
{
	enum hw_event_part part = hw_event_part(key);

	if (part != HW_EVENT_OTHER)
		return part;
	switch (key.len) {
	case 2:
		return is(key, "id") ? PART_ID : PART_OTHER;
	case 3:
		return is(key, "key") ? PART_KEY : PART_OTHER;
	case 4:
		return is(key, "type") ? PART_TYPE : PART_OTHER;
	case 5:
		return is(key, "token") ? PART_TOKEN : is(key, "limit") ? PART_LIMIT : PART_OTHER;
	case 6:
		return is(key, "topics")   ? PART_TOPICS
		       : is(key, "cursor") ? PART_CURSOR
		       : is(key, "follow") ? PART_FOLLOW
					   : PART_OTHER;
	default:
		return PART_OTHER;
	}
}

static int gather_member(struct gather *g, struct hw_json_reader *r, struct hw_json key)
{
	char store[16];
	unsigned part = part_of(hw_event_key(key, store));
	bool twice;
	int rc = 0;

	if (part == PART_OTHER) {
		rc = hw_keys_add(&g->others, key);
		if (rc < 0)
			return rc;
		twice = rc == HW_KEYS_TWICE;
		rc = hw_json_value(r, &g->value);
	} else {
		twice = g->seen >> part & 1;
		g->seen |= 1u << part;
		if (part < HW_EVENT_OTHER)
			rc = hw_event_scan_part(&g->scan, r, (enum hw_event_part)part);
		else
			rc = hw_json_value(r, &g->parts[part]);
	}
	if (twice && !g->twice) {
		g->twice = true;
		g->twice_key = key;
	}
	return rc;
}

static int gather(struct gather *g, struct hw_json_reader *r, struct hw_command *cmd)
{
	struct hw_json key;
	int rc;

	memset(g->parts, 0, sizeof(g->parts));
	g->seen = 0;
	g->twice = false;
	hw_event_scan_init(&g->scan, &cmd->event);
	hw_keys_init(&g->others);
	rc = hw_json_enter(r, HW_JSON_OBJECT);
	while (rc == 0 && (rc = hw_json_member(r, &key)) == 0)
		rc = gather_member(g, r, key);
	hw_keys_fini(&g->others);
	return rc == HW_JSON_END ? 0 : rc;
}

static int refuse(struct hw_err *err, const char *text)
{
	return hw_err_set(err, HW_COMMAND_REFUSED, "%s", text);
}

static int refuse_twice(struct hw_json key, struct hw_err *err)
{
	struct hw_str name = hw_json_inside(key); /* as it stands: it is for a person */

	if (name.len > 64)
		name.len = 64;
	return hw_err_set(err, HW_COMMAND_REFUSED, "Duplicate member: %.*s", HW_STR_ARG(name));
}

/* null says the same as not saying it */
static bool given(struct hw_json value)
{
	return value.kind != HW_JSON_NONE && value.kind != HW_JSON_NULL;
}

static int take_id(struct hw_command *cmd, struct hw_json id, struct hw_err *err)
{
	if (id.kind == HW_JSON_NONE)
		return 0;
	if (id.kind != HW_JSON_STRING && id.kind != HW_JSON_NUMBER)
		return refuse(err, "id must be a string or a number");
	if (id.raw.len > HW_COMMAND_ID_MAX)
		return refuse(err, "id must not be longer than 128 bytes");
	cmd->id = id.raw;
	return 0;
}

static int take_type(struct hw_command *cmd, struct hw_json type, struct hw_err *err)
{
	static const struct {
		struct hw_str name;
		enum hw_command_type type;
	} types[] = {
		{{"publish", 7}, HW_COMMAND_PUBLISH},
		{{"ping", 4}, HW_COMMAND_PING},
		{{"subscribe", 9}, HW_COMMAND_SUBSCRIBE},
		{{"unsubscribe", 11}, HW_COMMAND_UNSUBSCRIBE},
		{{"auth", 4}, HW_COMMAND_AUTH},
		{{"presence", 8}, HW_COMMAND_PRESENCE},
		{{"history", 7}, HW_COMMAND_HISTORY},
	};

	if (type.kind == HW_JSON_NONE)
		return refuse(err, "type is missing");
	if (type.kind != HW_JSON_STRING)
		return refuse(err, "type must be a string");
	cmd->type_raw = type;
	for (size_t i = 0; i < HW_COUNT(types); i++) {
		if (hw_json_is(type, types[i].name)) {
			cmd->type = types[i].type;
			break;
		}
	}
	return 0;
}

static int take_token(struct hw_command *cmd, struct hw_json token, struct hw_err *err)
{
	if (!given(token))
		return refuse(err, "token is missing");
	if (token.kind != HW_JSON_STRING || token.raw.len == 2 || !hw_json_paired(token))
		return refuse(err, "token must be a string that is not empty");
	cmd->token = token;
	return 0;
}

static int take_key(struct hw_command *cmd, struct hw_json key, struct hw_err *err)
{
	char text[HW_COMMAND_KEY_MAX];
	size_t len;

	if (!given(key))
		return 0;
	if (key.kind != HW_JSON_STRING || hw_json_copy(key, text, sizeof(text), &len) != 0 ||
		len == 0)
		return refuse(err, "key must be a string of 1 to 256 bytes");
	cmd->key = key;
	return 0;
}

static bool read_cursor(struct hw_json cursor, struct hw_cursor *out)
{
	char text[HW_CURSOR_MAX];
	size_t len;

	return cursor.kind == HW_JSON_STRING &&
	       hw_json_copy(cursor, text, sizeof(text), &len) == 0 &&
	       hw_cursor_parse((struct hw_str){text, len}, out) == 0;
}

static int take_history(
	struct hw_command *cmd, struct hw_json cursor, struct hw_json limit, struct hw_err *err)
{
	if (given(cursor)) {
		if (!read_cursor(cursor, &cmd->cursor))
			return refuse(err, "cursor is no cursor");
		cmd->has_cursor = true;
	}
	if (given(limit)) {
		double n = limit.kind == HW_JSON_NUMBER ? hw_json_double(limit) : 0;

		if (!(n >= 1) || floor(n) != n)
			return refuse(err, "limit must be a positive integer");
		cmd->limit = n < HW_HISTORY_MAX ? (unsigned)n : HW_HISTORY_MAX;
	}
	return 0;
}

static int take_follow(struct hw_command *cmd, struct hw_json follow, struct hw_err *err)
{
	if (!given(follow))
		return 0;
	if (follow.kind != HW_JSON_TRUE && follow.kind != HW_JSON_FALSE)
		return refuse(err, "follow must be true or false");
	cmd->follow = follow.kind == HW_JSON_TRUE ? HW_FOLLOW_YES : HW_FOLLOW_NO;
	return 0;
}

/* One entry of "topics": "name", or {"topic":"name","cursor":"…","last":1}. */
struct entry {
	struct hw_json topic, cursor, last;
	const char *message; /* what is wrong with its shape */
};

/* How many of the newest events: none, or one. -1: something else. */
static int last_of(struct hw_json last)
{
	double n = last.kind == HW_JSON_NUMBER ? hw_json_double(last) : -1;

	return !given(last) || n == 0 ? 0 : n == 1 ? 1 : -1;
}

static void check_entry(struct entry *e)
{
	if (e->topic.kind != HW_JSON_STRING)
		e->message = "topics must hold strings or objects with a topic";
	else if (given(e->cursor) && e->cursor.kind != HW_JSON_STRING)
		e->message = "cursor must be a string";
	else if (last_of(e->last) < 0)
		e->message = "last must be 1, or 0";
}

/* The reader says -EINVAL only for what is no JSON, and that was read before. */
static int read_entry(struct hw_json_reader *r, struct entry *e)
{
	struct hw_json key, value;
	int rc;

	e->topic = e->cursor = e->last = (struct hw_json){.kind = HW_JSON_NONE};
	e->message = NULL;
	if (hw_json_peek(r) != HW_JSON_OBJECT) {
		rc = hw_json_value(r, &e->topic);
	} else {
		rc = hw_json_enter(r, HW_JSON_OBJECT);
		while (rc == 0 && (rc = hw_json_member(r, &key)) == 0) {
			struct hw_json *slot = hw_json_is(key, HW_STR("topic"))    ? &e->topic
					       : hw_json_is(key, HW_STR("cursor")) ? &e->cursor
					       : hw_json_is(key, HW_STR("last"))   ? &e->last
										   : &value;

			if (slot != &value && slot->kind != HW_JSON_NONE)
				e->message = "topics holds an entry with a duplicate member";
			rc = hw_json_value(r, slot);
		}
		rc = rc == HW_JSON_END ? 0 : rc;
	}
	if (rc == 0 && !e->message)
		check_entry(e);
	return rc;
}

static int take_topics(struct hw_command *cmd, struct hw_json topics, struct hw_err *err)
{
	struct hw_json_reader r;
	struct entry e;
	int rc;

	if (topics.kind == HW_JSON_NONE)
		return refuse(err, "topics is missing");
	if (topics.kind != HW_JSON_ARRAY)
		return refuse(err, "topics must be an array");
	hw_json_init(&r, topics.raw, HW_JSON_UTF8_DONE);
	rc = hw_json_enter(&r, HW_JSON_ARRAY);
	while (rc == 0 && (rc = hw_json_element(&r)) == 0) {
		rc = read_entry(&r, &e);
		if (rc == 0 && e.message)
			return refuse(err, e.message);
		cmd->n_topics++;
	}
	cmd->topics = topics;
	return rc == HW_JSON_END ? 0 : rc;
}

static int take_topic(struct hw_command *cmd, struct hw_err *err)
{
	int rc;

	if (!cmd->id.p) /* there would be no way to answer */
		return refuse(err, "id is missing");
	rc = hw_event_check_topic(&cmd->event, err);
	return rc == HW_EVENT_INVALID ? HW_COMMAND_REFUSED : rc;
}

static int take_event(struct gather *g, struct hw_command *cmd, struct hw_err *err)
{
	int rc = hw_event_check(&g->scan, NULL, err);

	if (rc != 0)
		return rc == HW_EVENT_INVALID ? HW_COMMAND_REFUSED : rc;
	return take_key(cmd, g->parts[PART_KEY], err);
}

static int take_rest(struct gather *g, struct hw_command *cmd, struct hw_err *err)
{
	int rc;

	switch (cmd->type) {
	case HW_COMMAND_AUTH:
		return take_token(cmd, g->parts[PART_TOKEN], err);
	case HW_COMMAND_SUBSCRIBE:
	case HW_COMMAND_UNSUBSCRIBE:
		return take_topics(cmd, g->parts[PART_TOPICS], err);
	case HW_COMMAND_PUBLISH:
		return take_event(g, cmd, err);
	case HW_COMMAND_PRESENCE:
		rc = take_topic(cmd, err);
		return rc != 0 ? rc : take_follow(cmd, g->parts[PART_FOLLOW], err);
	case HW_COMMAND_HISTORY:
		rc = take_topic(cmd, err);
		if (rc != 0)
			return rc;
		return take_history(cmd, g->parts[PART_CURSOR], g->parts[PART_LIMIT], err);
	case HW_COMMAND_PING:
	case HW_COMMAND_UNKNOWN:
		break;
	}
	return 0;
}

static int make(struct gather *g, unsigned flags, struct hw_command *cmd, struct hw_err *err)
{
	int rc;

	if (!g->twice || !hw_json_is(g->twice_key, HW_STR("id"))) {
		rc = take_id(
			cmd, g->parts[PART_ID], err); /* first: whatever else is wrong names it */
		if (rc != 0)
			return rc;
	}
	if (g->twice)
		return refuse_twice(g->twice_key, err);
	if (flags & HW_COMMAND_BODY) {
		cmd->type = HW_COMMAND_PUBLISH;
	} else {
		rc = take_type(cmd, g->parts[PART_TYPE], err);
		if (rc != 0)
			return rc;
	}
	return take_rest(g, cmd, err);
}

static void command_clear(struct hw_command *cmd)
{
	const struct hw_json none = {.kind = HW_JSON_NONE};

	cmd->type = HW_COMMAND_UNKNOWN;
	cmd->type_raw = cmd->token = cmd->topics = cmd->key = none;
	cmd->id = HW_STR_NULL;
	cmd->n_topics = 0;
	cmd->has_cursor = false;
	cmd->limit = HW_HISTORY_DEFAULT;
	cmd->follow = HW_FOLLOW_AS_IS;
}

static int open_array(struct hw_commands *it, size_t max_items, struct hw_err *err)
{
	int rc = hw_json_open_items(
		&it->reader, it->text, it->flags & HW_JSON_UTF8_DONE, max_items, &it->n_items, err);

	it->array = rc == 0;
	if (rc == 0 && it->n_items == 0)
		return hw_err_set(err, -EINVAL, "the array is empty");
	return rc;
}

int hw_commands_open(struct hw_commands *it, struct hw_str text, unsigned flags, size_t max_items,
	struct hw_err *err)
{
	*it = (struct hw_commands){.text = text, .n_items = 1, .flags = flags};
	hw_json_init(&it->reader, text, flags & HW_JSON_UTF8_DONE);
	switch (hw_json_peek(&it->reader)) {
	case HW_JSON_OBJECT:
		return 0; /* read, and refused as a whole, by hw_command_next */
	case HW_JSON_ARRAY:
		return open_array(it, max_items, err);
	default:
		return hw_err_set(err, -EINVAL,
			"byte %zu: a JSON object or an array of them is expected",
			(size_t)(it->reader.p - it->reader.start));
	}
}

/* To the next item. 0; HW_COMMAND_END; HW_COMMAND_REFUSED: it is no object and was stepped over. */
static int step(struct hw_commands *it, struct hw_err *err)
{
	int rc = hw_json_next_object(&it->reader, it->array, &it->done);

	if (rc == HW_JSON_END)
		return HW_COMMAND_END;
	return rc == HW_JSON_NO_OBJECT ? refuse(err, "an object is expected") : rc;
}

int hw_command_next(struct hw_commands *it, struct hw_command *cmd, struct hw_err *err)
{
	struct gather g;
	int rc;

	command_clear(cmd);
	rc = step(it, err);
	if (rc == HW_COMMAND_END || rc == HW_COMMAND_REFUSED)
		return rc;
	if (rc == 0)
		rc = gather(&g, &it->reader, cmd);
	if (rc == 0 && !it->array)
		rc = hw_json_finish(&it->reader);
	if (rc == -EINVAL)
		return hw_json_err(&it->reader, err);
	if (rc == 0)
		rc = make(&g, it->flags, cmd, err);
	return rc == -ENOMEM ? hw_err_set(err, rc, "out of memory") : rc;
}

void hw_command_topics(struct hw_command_topics *it, const struct hw_command *cmd)
{
	hw_json_init(&it->reader, cmd->topics.raw, HW_JSON_UTF8_DONE);
	if (hw_json_peek(&it->reader) == HW_JSON_ARRAY) {
		it->reader.p++;
		it->reader.depth = 1;
		it->reader.fresh = true;
	}
}

/* Resolves the name into @out's store when it must; no name if it is too long to be one. */
static struct hw_str entry_name(struct hw_json topic, struct hw_command_topic *out)
{
	size_t len;

	if (!topic.escaped)
		return hw_json_inside(topic);
	if (hw_json_copy(topic, out->store, sizeof(out->store), &len) != 0)
		return HW_STR_NULL;
	return (struct hw_str){out->store, len};
}

bool hw_command_topic(struct hw_command_topics *it, struct hw_command_topic *out)
{
	struct entry e;

	if (it->reader.depth != 1 || hw_json_element(&it->reader) != 0 ||
		read_entry(&it->reader, &e) != 0)
		return false;
	out->code = HW_CODE_NONE;
	out->message = NULL;
	out->raw = e.topic.raw;
	out->topic = entry_name(e.topic, out);
	out->has_cursor = given(e.cursor);
	out->last = last_of(e.last) == 1;
	if (!hw_topic_pattern_valid(out->topic)) {
		out->topic = HW_STR_NULL;
		out->code = HW_CODE_BAD_REQUEST;
		out->message = "this is no topic: {resource}:{id} is expected";
	} else if (out->has_cursor && !read_cursor(e.cursor, &out->cursor)) {
		out->code = HW_CODE_BAD_REQUEST;
		out->message = "cursor is no cursor";
	} else if (out->last && hw_topic_is_wildcard(out->topic)) {
		out->code = HW_CODE_BAD_REQUEST;
		out->message = "last is of one topic, not of a pattern";
	}
	return true;
}

int hw_history_limit(struct hw_str text, unsigned *out)
{
	uint64_t n = HW_HISTORY_DEFAULT;

	if (text.len > 0 && (hw_str_to_u64(text, &n) != 0 || n < 1))
		return -EINVAL;
	*out = n < HW_HISTORY_MAX ? (unsigned)n : HW_HISTORY_MAX;
	return 0;
}
