#include "wire/cloudevent.h"

#include <errno.h>
#include <string.h>

#include "wire/keys.h"
#include "wire/traceparent.h"

enum attribute {
	SPECVERSION,
	ID,
	SOURCE,
	TYPE,
	SUBJECT,
	TIME,
	DATA,
	DATA_BASE64,
	TRACEPARENT,
	ENTITYID,
	USERID,
	TENANTID,
	N_ATTRIBUTES,
};

static const char *const names[N_ATTRIBUTES] = {
	[SPECVERSION] = "specversion",
	[ID] = "id",
	[SOURCE] = "source",
	[TYPE] = "type",
	[SUBJECT] = "subject",
	[TIME] = "time",
	[DATA] = "data",
	[DATA_BASE64] = "data_base64",
	[TRACEPARENT] = "traceparent",
	[ENTITYID] = "entityid",
	[USERID] = "userid",
	[TENANTID] = "tenantid",
};

struct attributes {
	struct hw_json at[N_ATTRIBUTES];
	struct hw_json twice; /* a key that repeats */
};

int hw_cloudevents_open(struct hw_cloudevents *it, struct hw_str text, bool batch, size_t max_items,
	struct hw_err *err)
{
	struct hw_json_reader *r = &it->reader;
	size_t n;

	*it = (struct hw_cloudevents){.batch = batch};
	hw_json_init(r, text, 0);
	if (hw_json_peek(r) != (batch ? HW_JSON_ARRAY : HW_JSON_OBJECT))
		return hw_err_set(err, -EINVAL,
			batch ? "a JSON array of CloudEvents is expected"
			      : "a CloudEvent, a JSON object, is expected");
	return batch ? hw_json_open_items(r, text, 0, max_items, &n, err) : 0;
}

/* ---- reading ---- */

static int gather(struct attributes *a, struct hw_json_reader *r)
{
	struct hw_json key, value;
	struct hw_keys keys;
	int rc = hw_json_enter(r, HW_JSON_OBJECT);

	*a = (struct attributes){.twice.kind = HW_JSON_NONE};
	hw_keys_init(&keys);
	while (rc == 0 && (rc = hw_json_member(r, &key)) == 0) {
		int added = hw_keys_add(&keys, key);

		rc = added < 0 ? added : hw_json_value(r, &value);
		if (added == HW_KEYS_TWICE)
			a->twice = key;
		for (size_t i = 0; i < N_ATTRIBUTES; i++)
			if (hw_json_is(key, hw_str_of(names[i])))
				a->at[i] = value;
	}
	hw_keys_fini(&keys);
	return rc == HW_JSON_END ? 0 : rc;
}

static int refuse(struct hw_err *err, const char *text)
{
	return hw_err_set(err, HW_COMMAND_REFUSED, "%s", text);
}

/* null is how a JSON writer says that an attribute is not set. */
static bool is_set(struct hw_json value)
{
	return value.kind != HW_JSON_NONE && value.kind != HW_JSON_NULL;
}

static int check_required(const struct attributes *a, struct hw_err *err)
{
	static const enum attribute required[] = {SPECVERSION, ID, SOURCE, TYPE, SUBJECT};

	for (size_t i = 0; i < HW_COUNT(required); i++) {
		struct hw_json value = a->at[required[i]];

		if (!is_set(value))
			return hw_err_set(err, HW_COMMAND_REFUSED, "Missing required attribute: %s",
				names[required[i]]);
		if (value.kind != HW_JSON_STRING || hw_json_inside(value).len == 0 ||
			!hw_json_paired(value))
			return hw_err_set(err, HW_COMMAND_REFUSED,
				"%s must be a string that is not empty", names[required[i]]);
	}
	return 0;
}

static int check(const struct attributes *a, struct hw_err *err)
{
	int rc;

	if (a->twice.kind != HW_JSON_NONE) {
		struct hw_str name = hw_json_inside(a->twice);

		if (name.len > 64)
			name.len = 64;
		return hw_err_set(
			err, HW_COMMAND_REFUSED, "Duplicate member: %.*s", HW_STR_ARG(name));
	}
	rc = check_required(a, err);
	if (rc)
		return rc;
	if (!hw_json_is(a->at[SPECVERSION], HW_STR("1.0")))
		return refuse(err, "specversion is not 1.0");
	if (is_set(a->at[DATA_BASE64]))
		return refuse(err, "data_base64 is not taken: a payload is JSON");
	return 0;
}

/* ---- writing ---- */

static bool is_event_name(struct hw_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((s.p[i] < 'A' || s.p[i] > 'Z') && s.p[i] != '_')
			return false;
	return s.len > 0;
}

static struct hw_str behind_last(struct hw_str s, char c)
{
	const char *p = memrchr(s.p, c, s.len);

	return p ? (struct hw_str){p + 1, s.len - (size_t)(p + 1 - s.p)} : s;
}

/* "com.example.gift.UPDATED" is UPDATED; what ends in no name of ours stays as it is. */
static int put_event(struct hw_buf *out, struct hw_json type, struct hw_buf *scratch)
{
	struct hw_str text, last;
	int rc = hw_json_text(type, scratch, &text);

	if (rc)
		return rc;
	last = behind_last(text, '.');
	hw_buf_json(out, is_event_name(last) ? last : text);
	return 0;
}

static void put_member(struct hw_buf *out, const char *name, struct hw_json value)
{
	if (!is_set(value))
		return;
	hw_buf_printf(out, ",\"%s\":", name);
	hw_buf_str(out, value.raw);
}

static int put_entity_id(struct hw_buf *out, const struct attributes *a, struct hw_buf *scratch)
{
	struct hw_str subject;
	int rc;

	if (is_set(a->at[ENTITYID])) {
		hw_buf_str(out, a->at[ENTITYID].raw);
		return 0;
	}
	rc = hw_json_text(a->at[SUBJECT], scratch, &subject);
	if (!rc)
		hw_buf_json(out, behind_last(subject, ':'));
	return rc;
}

static int put_trace(struct hw_buf *out, struct hw_json traceparent, struct hw_buf *scratch)
{
	struct hw_str text, trace;
	int rc = traceparent.kind == HW_JSON_STRING ? hw_json_text(traceparent, scratch, &text)
						    : -EILSEQ;

	if (rc)
		return rc == -EILSEQ ? 0 : rc; /* no traceparent is none */
	trace = hw_traceparent_trace_id(text);
	if (trace.p) {
		hw_buf_puts(out, ",\"trace_id\":");
		hw_buf_json(out, trace);
	}
	return 0;
}

static int translate(const struct attributes *a, struct hw_buf *out, struct hw_buf *scratch)
{
	int rc;

	hw_buf_puts(out, "{\"topic\":");
	hw_buf_str(out, a->at[SUBJECT].raw);
	hw_buf_puts(out, ",\"event\":");
	rc = put_event(out, a->at[TYPE], scratch);
	if (rc)
		return rc;
	hw_buf_puts(out, ",\"data\":{\"entity_id\":");
	rc = put_entity_id(out, a, scratch);
	if (rc)
		return rc;
	if (a->at[DATA].kind != HW_JSON_NONE) {
		hw_buf_puts(out, ",\"payload\":");
		hw_buf_str(out, a->at[DATA].raw);
	}
	put_member(out, "user_id", a->at[USERID]);
	put_member(out, "tenant_id", a->at[TENANTID]);
	put_member(out, "timestamp", a->at[TIME]);
	hw_buf_putc(out, '}');
	rc = put_trace(out, a->at[TRACEPARENT], scratch);
	hw_buf_putc(out, '}');
	return rc;
}

/* To the next item. 0; HW_COMMAND_END; HW_COMMAND_REFUSED: it is no object and was stepped over. */
static int step(struct hw_cloudevents *it, struct hw_err *err)
{
	int rc = hw_json_next_object(&it->reader, it->batch, &it->done);

	if (rc == HW_JSON_END)
		return HW_COMMAND_END;
	return rc == HW_JSON_NO_OBJECT ? refuse(err, "an object is expected") : rc;
}

int hw_cloudevents_next(struct hw_cloudevents *it, struct hw_cloudevent *event, struct hw_buf *out,
	struct hw_err *err)
{
	struct attributes a;
	struct hw_buf scratch;
	int rc = step(it, err);

	if (rc == HW_COMMAND_END || rc == HW_COMMAND_REFUSED)
		return rc;
	if (rc == 0)
		rc = gather(&a, &it->reader);
	if (rc == 0 && !it->batch)
		rc = hw_json_finish(&it->reader);
	if (rc == -EINVAL)
		return hw_json_err(&it->reader, err);
	if (rc == 0)
		rc = check(&a, err);
	if (rc == 0) {
		event->source = a.at[SOURCE];
		event->id = a.at[ID];
		hw_buf_clear(out);
		hw_buf_init(&scratch);
		rc = translate(&a, out, &scratch);
		hw_buf_fini(&scratch);
		if (out->failed)
			rc = -ENOMEM;
	}
	return rc == -ENOMEM ? hw_err_set(err, rc, "out of memory") : rc;
}
