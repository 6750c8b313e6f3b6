/* The event envelope (PROTOCOL "Events"): the one place that says what an event is. Reading is one
 * pass over the text and gives views of it; writing gives the canonical text that is stored and
 * delivered. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "wire/json.h"
#include "wire/topic.h"

/* members of data that are remembered; more are found again by reading on */
#define HW_EVENT_MEMBERS 24

struct hw_event_member {
	struct hw_json key;
	struct hw_json value;
};

/* Views of the text that was read: they die with it. Not to be copied (topic may point into the
 * struct). A member that is absent has kind HW_JSON_NONE. After a result of 0 the rules of PROTOCOL
 * hold for what is here. */
struct hw_event {
	struct hw_str topic;    /* escapes resolved */
	struct hw_str resource; /* its two halves */
	struct hw_str topic_id;
	struct hw_json event;    /* a string that is not empty */
	struct hw_json data;     /* an object */
	struct hw_json trace_id; /* a string, or falsy and to be filled */
	struct hw_json version;  /* a number that is a positive integer, or absent */

	/* members of data, as they came */
	struct hw_json entity_id; /* a scalar that is not falsy */
	struct hw_json payload;   /* anything, or absent */
	struct hw_json user_id;   /* anything: what a client says here is not to be trusted */
	struct hw_json tenant_id; /* likewise */
	struct hw_json timestamp; /* an ISO 8601 date as a string, or falsy and to be filled */
	struct hw_json previous;  /* anything, or absent; never delivered */
	size_t n_members;         /* of data */
	struct hw_event_member members[HW_EVENT_MEMBERS]; /* the first of them, in their order */

	struct hw_json topic_raw; /* as it came */
	size_t after_members;     /* offset in data.raw behind the last remembered member */
	char topic_store[HW_TOPIC_MAX];
};

/* Everything that is wrong with an event, or might be: what a person wants to see. */
struct hw_event_report {
	struct hw_buf text; /* the messages, one behind the other */
	struct hw_event_problem {
		bool warning;
		size_t at, len; /* in @text */
	} problems[32];
	size_t n_problems;
	size_t n_errors; /* also those that did not fit */
};

void hw_event_report_init(struct hw_event_report *report);
void hw_event_report_fini(struct hw_event_report *report);
void hw_event_report_clear(struct hw_event_report *report);
struct hw_str hw_event_report_text(const struct hw_event_report *report, size_t i);

enum { HW_EVENT_INVALID = 1 };

/** Reads one event that is all of @text. @flags: hw_json_flags.
 *  0: it is valid.
 *  HW_EVENT_INVALID: JSON, but no event; @err (may be NULL) has the first error. With @report (may
 * be NULL) all errors and warnings are in it, in the reference validator's order. -EINVAL: no JSON,
 * @err says at which byte. -ENOMEM.
 *  @ev is always written; its views are usable as far as they are there. */
HW_MUST_CHECK int hw_event_parse(struct hw_str text, unsigned flags, struct hw_event *ev,
	struct hw_event_report *report, struct hw_err *err);

/* The members of data in their order: hw_event_walk(&w, ev); while (hw_event_next(&w, &m)) … */
struct hw_event_walk {
	const struct hw_event *ev;
	size_t i;
	struct hw_json_reader reader; /* once the remembered ones are through */
};
void hw_event_walk(struct hw_event_walk *w, const struct hw_event *ev);
bool hw_event_next(struct hw_event_walk *w, struct hw_event_member *m);

/* What the broker knows better than the event. Strings are plain UTF-8 and are escaped when
 * written. */
struct hw_event_fill {
	struct hw_str user_id;   /* of the session; p NULL: data.user_id is left out */
	struct hw_str tenant_id; /* of the session; p NULL: left out */
	struct hw_str trace_id;  /* for an event without one */
	int64_t wall_ms;         /* now: for an event without a timestamp */
	bool keep_user_id;       /* the hooks let this session name the user it acts for */
	bool keep_previous;      /* write data.previous too: for hooks */
	struct hw_str name;      /* instead of the event's own, as JSON; p NULL: its own */
	struct hw_str payload;   /* instead of data.payload, as JSON; p NULL: the event's own */
	bool bare;               /* of data only entity_id, user_id, tenant_id and timestamp */
};

/** Appends the canonical text without its end:
 *      {"topic":"…","event":"…","data":{…},"trace_id":"…"[,"version":n]
 *  The caller closes it with ,"id":"…"} or }. The members of data keep their order and the bytes of
 *  their values. @ev must have been read with result 0. Memory failure is left in @out. */
void hw_event_encode(
	struct hw_buf *out, const struct hw_event *ev, const struct hw_event_fill *fill);

/** Whether @text is a date, or date and time, of ISO 8601 as ECMA-262 profiles it (see
 * event_time.c). */
bool hw_event_time_valid(struct hw_str text);
/** The name of the event in plain text: a view, or @scratch if it holds escapes. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_event_name(
	const struct hw_event *ev, struct hw_buf *scratch, struct hw_str *out);
