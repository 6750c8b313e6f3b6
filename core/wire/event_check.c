#include "wire/event_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* The rules of PROTOCOL "Events". The messages and their order are those of the reference
 * validator, whose verdicts people know; where it would crash or let nonsense by, there is a
 * message of our own. */

struct verdict {
	struct hw_event_report *report; /* or NULL: then the first error ends it */
	struct hw_err *err;
	struct hw_buf scratch; /* escaped strings, resolved */
	struct hw_buf text;    /* the message being made, without a report */
	size_t n_errors;
	bool failed; /* out of memory */
};

static bool stopped(const struct verdict *v)
{
	return v->failed || (v->n_errors > 0 && !v->report);
}

static void keep(struct verdict *v, bool warning, size_t at)
{
	struct hw_event_report *report = v->report;

	if (report->n_problems < HW_COUNT(report->problems)) {
		report->problems[report->n_problems++] = (struct hw_event_problem){
			.warning = warning, .at = at, .len = report->text.len - at};
	}
	report->n_errors += !warning;
}

/* The value as JavaScript prints it, for who wants the whole report; for a client, who can make any
 * number of arrays of numbers, each of which takes longer to print than a hundred to read, only the
 * beginning of an array as it stands. */
static void show(struct verdict *v, struct hw_buf *text, struct hw_json value)
{
	size_t most = sizeof(v->err->text);

	if (v->report || value.kind != HW_JSON_ARRAY)
		hw_json_js_text(text, value);
	else
		hw_buf_add(text, value.raw.p, value.raw.len < most ? value.raw.len : most);
}

/* A message of three parts, the middle one a value. */
static void say(struct verdict *v, bool warning, const char *before, const struct hw_json *value,
	const char *after)
{
	struct hw_buf *text = v->report ? &v->report->text : &v->text;
	size_t at = text->len;

	if (stopped(v) || (warning && !v->report))
		return;
	hw_buf_puts(text, before);
	if (value)
		show(v, text, *value);
	hw_buf_puts(text, after);
	if (text->failed) {
		v->failed = true;
		return;
	}
	if (!warning && v->n_errors++ == 0) {
		struct hw_str first = {text->data + at, text->len - at};

		hw_err_set(v->err, HW_EVENT_INVALID, "%.*s", HW_STR_ARG(first));
	}
	if (v->report)
		keep(v, warning, at);
}

static void wrong(struct verdict *v, const char *message)
{
	say(v, false, message, NULL, "");
}

/* false: said so */
static bool plain(struct verdict *v, struct hw_json string, struct hw_str *out, const char *lone)
{
	int rc = hw_json_text(string, &v->scratch, out);

	if (rc == -EILSEQ)
		wrong(v, lone);
	else if (rc != 0)
		v->failed = true;
	return rc == 0;
}

static void check_topic(struct verdict *v, struct hw_event *ev)
{
	struct hw_json raw = ev->topic_raw;
	struct hw_str text = HW_STR_NULL;
	int rc = 0;

	if (hw_json_falsy(raw)) {
		wrong(v, "Missing required field: topic");
		return;
	}
	if (raw.kind == HW_JSON_ARRAY || raw.kind == HW_JSON_OBJECT) {
		wrong(v, "topic must be a string");
		return;
	}
	if (raw.kind == HW_JSON_STRING)
		rc = hw_json_text(raw, &v->scratch, &text);
	if (rc == -ENOMEM) {
		v->failed = true;
	} else if (rc != 0 || !hw_topic_well_formed(text)) {
		say(v, false, "Invalid topic format \"", &raw,
			"\". Expected: \"{resource}:{id}\" (e.g., \"gift-list:123\")");
	} else if (text.len > HW_TOPIC_MAX) {
		wrong(v, "topic must not be longer than 255 bytes");
	} else {
		if (raw.escaped) {
			memcpy(ev->topic_store, text.p, text.len);
			text.p = ev->topic_store;
		}
		ev->topic = text;
		hw_topic_split(text, &ev->resource, &ev->topic_id);
	}
}

static bool is_standard_form(struct hw_str name)
{
	for (size_t i = 0; i < name.len; i++) {
		if ((name.p[i] < 'A' || name.p[i] > 'Z') && name.p[i] != '_')
			return false;
	}
	return true;
}

static void check_event(struct verdict *v, struct hw_json event)
{
	struct hw_str name;

	if (hw_json_falsy(event)) {
		wrong(v, "Missing required field: event");
		return;
	}
	if (event.kind != HW_JSON_STRING) {
		wrong(v, "event must be a string");
		return;
	}
	if (plain(v, event, &name, "event must not hold half of a surrogate pair") &&
		!is_standard_form(name))
		say(v, true, "Non-standard event type \"", &event,
			"\". Standard: ADDED, UPDATED, DELETED, STATUS_CHANGED");
}

static void check_timestamp(struct verdict *v, struct hw_json timestamp)
{
	struct hw_str text;
	int rc = -EILSEQ;

	if (hw_json_falsy(timestamp)) {
		say(v, true, "Missing data.timestamp (recommended for ordering)", NULL, "");
		return;
	}
	if (timestamp.kind == HW_JSON_STRING)
		rc = hw_json_text(timestamp, &v->scratch, &text);
	if (rc == -ENOMEM)
		v->failed = true;
	else if (rc != 0 || !hw_event_time_valid(text))
		say(v, false, "Invalid timestamp \"", &timestamp, "\". Use ISO 8601 format.");
}

static void check_data(struct verdict *v, const struct hw_event *ev)
{
	if (hw_json_falsy(ev->data)) {
		wrong(v, "Missing required field: data");
		return;
	}
	/* what is no object has no members: its entity_id is missing */
	if (hw_json_falsy(ev->entity_id))
		wrong(v, "Missing required field: data.entity_id");
	else if (ev->entity_id.kind == HW_JSON_ARRAY || ev->entity_id.kind == HW_JSON_OBJECT)
		wrong(v, "data.entity_id must be a string, not an array or object");
	if (ev->payload.kind == HW_JSON_NONE)
		say(v, true, "Missing data.payload (optional but recommended)", NULL, "");
	check_timestamp(v, ev->timestamp);
}

static void check_trace_id(struct verdict *v, struct hw_json trace_id)
{
	if (hw_json_falsy(trace_id))
		return;
	if (trace_id.kind != HW_JSON_STRING)
		wrong(v, "trace_id must be a string");
	else if (!hw_json_paired(trace_id))
		wrong(v, "trace_id must not hold half of a surrogate pair");
}

/* Number.isInteger: the nearest double is whole, so that 1.0, 1e0 and 0.9999999999999999999 are. */
static bool is_positive_integer(struct hw_json version)
{
	double n;

	if (version.kind != HW_JSON_NUMBER)
		return false;
	if (version.raw.len == 1) /* what nearly all of them are */
		return version.raw.p[0] != '0';
	n = hw_json_double(version);
	return isfinite(n) && n >= 1 && floor(n) == n;
}

static void check_twice(struct verdict *v, const struct hw_event_scan *s)
{
	for (size_t i = 0; i < s->n_twice; i++)
		say(v, false,
			s->twice_in_data[i] ? "Duplicate member: data." : "Duplicate member: ",
			&s->twice[i], "");
}

static int end(struct verdict *v)
{
	hw_buf_fini(&v->scratch);
	hw_buf_fini(&v->text);
	if (v->failed)
		return hw_err_set(v->err, -ENOMEM, "out of memory");
	return v->n_errors > 0 ? HW_EVENT_INVALID : 0;
}

int hw_event_check(struct hw_event_scan *s, struct hw_event_report *report, struct hw_err *err)
{
	struct verdict v = {.report = report, .err = err};
	struct hw_event *ev = s->ev;

	if (report)
		hw_event_report_clear(report);
	check_twice(&v, s);
	check_topic(&v, ev);
	check_event(&v, ev->event);
	check_data(&v, ev);
	check_trace_id(&v, ev->trace_id);
	if (ev->version.kind != HW_JSON_NONE && !is_positive_integer(ev->version))
		wrong(&v, "version must be a positive integer");
	return end(&v);
}

int hw_event_check_topic(struct hw_event *ev, struct hw_err *err)
{
	struct verdict v = {.err = err};

	check_topic(&v, ev);
	return end(&v);
}

void hw_event_report_init(struct hw_event_report *report)
{
	*report = (struct hw_event_report){.n_problems = 0};
	hw_buf_init(&report->text);
}

void hw_event_report_fini(struct hw_event_report *report)
{
	hw_buf_fini(&report->text);
}

void hw_event_report_clear(struct hw_event_report *report)
{
	hw_buf_clear(&report->text);
	report->n_problems = report->n_errors = 0;
}

struct hw_str hw_event_report_text(const struct hw_event_report *report, size_t i)
{
	return (struct hw_str){report->text.data + report->problems[i].at, report->problems[i].len};
}
