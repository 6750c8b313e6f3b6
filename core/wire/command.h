/* What clients say (PROTOCOL "Client to broker"): one JSON object or an array of them, as WebSocket
 * text or as the body of POST /publish. Views of the text; what is usual allocates nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "wire/code.h"
#include "wire/control.h"
#include "wire/cursor.h"
#include "wire/event.h"
#include "wire/json.h"

#define HW_COMMAND_MAX 100     /* commands of one WebSocket message */
#define HW_COMMAND_ID_MAX 128  /* bytes of an id's token, quotes included */
#define HW_COMMAND_KEY_MAX 256 /* bytes of an idempotency key, escapes resolved */
#define HW_HISTORY_DEFAULT 100
#define HW_HISTORY_MAX 1000

enum hw_command_type {
	HW_COMMAND_UNKNOWN, /* a type that this version does not know; see type_raw */
	HW_COMMAND_AUTH,
	HW_COMMAND_SUBSCRIBE,
	HW_COMMAND_UNSUBSCRIBE,
	HW_COMMAND_PUBLISH,
	HW_COMMAND_PRESENCE,
	HW_COMMAND_HISTORY,
	HW_COMMAND_PING,
};

/* Which members are there depends on the type; those of another type are dropped. */
struct hw_command {
	enum hw_command_type type;
	struct hw_json type_raw;
	struct hw_str id;      /* the raw token, to be echoed; p NULL when there is none */
	struct hw_json token;  /* auth: a string (hw_json_text resolves escapes) */
	struct hw_json topics; /* subscribe, unsubscribe: an array; walk it with hw_command_topic */
	size_t n_topics;
	struct hw_json key; /* publish: a string of 1 to HW_COMMAND_KEY_MAX bytes, or absent */
	bool has_cursor;    /* history */
	struct hw_cursor cursor;
	unsigned limit; /* history: 1 to HW_HISTORY_MAX */
	enum hw_follow_wish { HW_FOLLOW_AS_IS, HW_FOLLOW_YES, HW_FOLLOW_NO } follow; /* presence */
	struct hw_event event; /* publish: valid; presence, history: only event.topic */
};

enum hw_command_flags {
	HW_COMMAND_UTF8_DONE = HW_JSON_UTF8_DONE,
	HW_COMMAND_BODY = 2, /* POST /publish: every item is a publish, "type" means nothing */
};

enum { HW_COMMAND_END = 1, HW_COMMAND_REFUSED = 2 };

struct hw_commands {
	struct hw_json_reader reader;
	struct hw_str text;
	bool array;
	bool done;
	size_t n_items; /* 1 for a single object */
	unsigned flags;
};

/** Opens @text. An array is read through once here, so that what is no JSON is refused before its
 * first item is acted upon; @max_items bounds it (0: no bound). 0; -EINVAL with @err: no JSON, or
 * neither object nor array; -E2BIG: too many items. An empty array is -EINVAL. */
HW_MUST_CHECK int hw_commands_open(struct hw_commands *it, struct hw_str text, unsigned flags,
	size_t max_items, struct hw_err *err);
/** Reads the next one. 0: @cmd is filled. HW_COMMAND_END. HW_COMMAND_REFUSED: this one is
 * bad_request, @err says why, cmd->id is set if it could be read; go on with the next. -EINVAL: no
 * JSON (a single object only); -ENOMEM. */
HW_MUST_CHECK int hw_command_next(
	struct hw_commands *it, struct hw_command *cmd, struct hw_err *err);

/* One entry of "topics". */
struct hw_command_topic {
	enum hw_code code;   /* HW_CODE_NONE, or HW_CODE_BAD_REQUEST: no topic, or no cursor */
	const char *message; /* which of them */
	struct hw_str topic; /* plain text, maybe "resource:*"; p NULL if it is none */
	struct hw_str raw;   /* the JSON string as given, with quotes: what a reply names it by */
	bool has_cursor;
	struct hw_cursor cursor;
	bool last; /* begin with the newest event that there is; of a name, not of a pattern */
	char store[HW_TOPIC_MAX]; /* @topic may point here */
};
struct hw_command_topics {
	struct hw_json_reader reader;
};
void hw_command_topics(struct hw_command_topics *it, const struct hw_command *cmd);
/** false after the last. */
bool hw_command_topic(struct hw_command_topics *it, struct hw_command_topic *out);

/** The "limit" of history as a query gives it (decimal); empty: the default; above the maximum: the
 * maximum. 0 or -EINVAL. */
HW_MUST_CHECK int hw_history_limit(struct hw_str text, unsigned *out);
