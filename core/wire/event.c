#include "wire/event_internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"

enum data_part {
	DATA_ENTITY_ID,
	DATA_PAYLOAD,
	DATA_USER_ID,
	DATA_TENANT_ID,
	DATA_TIMESTAMP,
	DATA_PREVIOUS,
	DATA_OTHER,
};

struct hw_str hw_event_key(struct hw_json key, char store[16])
{
	size_t len;

	if (!key.escaped)
		return hw_json_inside(key);
	if (hw_json_copy(key, store, 16, &len) != 0)
		return HW_STR_NULL;
	return (struct hw_str){store, len};
}

/* for names of equal length */
static inline bool is(struct hw_str key, const char *name)
{
	return memcmp(key.p, name, key.len) == 0;
}

enum hw_event_part hw_event_part(struct hw_str key)
{
	switch (key.len) {
	case 4:
		return is(key, "data") ? HW_EVENT_DATA : HW_EVENT_OTHER;
	case 5:
		return is(key, "topic")   ? HW_EVENT_TOPIC
		       : is(key, "event") ? HW_EVENT_EVENT
					  : HW_EVENT_OTHER;
	case 7:
		return is(key, "version") ? HW_EVENT_VERSION : HW_EVENT_OTHER;
	case 8:
		return is(key, "trace_id") ? HW_EVENT_TRACE_ID : HW_EVENT_OTHER;
	default:
		return HW_EVENT_OTHER;
	}
}

static enum data_part data_part(struct hw_str key)
{
	switch (key.len) {
	case 7:
		return is(key, "payload")   ? DATA_PAYLOAD
		       : is(key, "user_id") ? DATA_USER_ID
					    : DATA_OTHER;
	case 8:
		return is(key, "previous") ? DATA_PREVIOUS : DATA_OTHER;
	case 9:
		return is(key, "entity_id")   ? DATA_ENTITY_ID
		       : is(key, "tenant_id") ? DATA_TENANT_ID
		       : is(key, "timestamp") ? DATA_TIMESTAMP
					      : DATA_OTHER;
	default:
		return DATA_OTHER;
	}
}

static struct hw_json *data_slot(struct hw_event *ev, enum data_part part)
{
	switch (part) {
	case DATA_ENTITY_ID:
		return &ev->entity_id;
	case DATA_PAYLOAD:
		return &ev->payload;
	case DATA_USER_ID:
		return &ev->user_id;
	case DATA_TENANT_ID:
		return &ev->tenant_id;
	case DATA_TIMESTAMP:
		return &ev->timestamp;
	case DATA_PREVIOUS:
		return &ev->previous;
	default:
		return NULL;
	}
}

void hw_event_scan_init(struct hw_event_scan *s, struct hw_event *ev)
{
	memset(ev, 0, offsetof(struct hw_event, members)); /* the arrays need no zeros */
	ev->topic_raw.kind = HW_JSON_NONE;
	ev->after_members = 0;
	s->ev = ev;
	s->n_twice = 0;
}

void hw_event_scan_twice(struct hw_event_scan *s, struct hw_json key, bool in_data)
{
	if (s->n_twice == HW_EVENT_TWICE_MAX)
		return;
	s->twice[s->n_twice] = key;
	s->twice_in_data[s->n_twice++] = in_data;
}

static int take_data_member(struct hw_event_scan *s, struct hw_keys *others,
	const struct hw_event_member *m, size_t end_at)
{
	struct hw_event *ev = s->ev;
	char store[16];
	struct hw_json *slot = data_slot(ev, data_part(hw_event_key(m->key, store)));
	int rc = 0;

	if (!slot)
		rc = hw_keys_add(others, m->key);
	else if (slot->kind != HW_JSON_NONE)
		rc = HW_KEYS_TWICE;
	if (rc < 0)
		return rc;
	if (rc == HW_KEYS_TWICE)
		hw_event_scan_twice(s, m->key, true);
	if (slot)
		*slot = m->value; /* of two the later counts, as JSON.parse has it */
	if (ev->n_members < HW_EVENT_MEMBERS) {
		ev->members[ev->n_members] = *m;
		ev->after_members = end_at;
	}
	ev->n_members++;
	return 0;
}

static int scan_data(struct hw_event_scan *s, struct hw_json_reader *r)
{
	struct hw_event *ev = s->ev;
	const char *begin = r->p; /* at the brace: the caller peeked */
	struct hw_event_member m;
	struct hw_keys others;
	int rc = hw_json_enter(r, HW_JSON_OBJECT);

	if (rc != 0)
		return rc;
	hw_keys_init(&others);
	while ((rc = hw_json_member(r, &m.key)) == 0) {
		rc = hw_json_value(r, &m.value);
		if (rc == 0)
			rc = take_data_member(s, &others, &m, (size_t)(r->p - begin));
		if (rc != 0)
			break;
	}
	hw_keys_fini(&others);
	if (rc != HW_JSON_END)
		return rc;
	ev->data = (struct hw_json){{begin, (size_t)(r->p - begin)}, HW_JSON_OBJECT, false};
	return 0;
}

int hw_event_scan_part(struct hw_event_scan *s, struct hw_json_reader *r, enum hw_event_part part)
{
	struct hw_event *ev = s->ev;

	switch (part) {
	case HW_EVENT_TOPIC:
		return hw_json_value(r, &ev->topic_raw);
	case HW_EVENT_EVENT:
		return hw_json_value(r, &ev->event);
	case HW_EVENT_TRACE_ID:
		return hw_json_value(r, &ev->trace_id);
	case HW_EVENT_VERSION:
		return hw_json_value(r, &ev->version);
	case HW_EVENT_DATA:
		break;
	case HW_EVENT_OTHER:
		return -EINVAL; /* no caller does that */
	}
	for (int i = 0; i < DATA_OTHER; i++) /* what an earlier "data" said counts no more */
		*data_slot(ev, (enum data_part)i) = (struct hw_json){.kind = HW_JSON_NONE};
	ev->n_members = 0;
	if (hw_json_peek(r) == HW_JSON_OBJECT)
		return scan_data(s, r);
	return hw_json_value(r, &ev->data);
}

static int scan_envelope(struct hw_event_scan *s, struct hw_json_reader *r, struct hw_keys *others)
{
	struct hw_json key, value;
	unsigned seen = 0;
	char store[16];
	int rc = hw_json_enter(r, HW_JSON_OBJECT);

	while (rc == 0 && (rc = hw_json_member(r, &key)) == 0) {
		enum hw_event_part part = hw_event_part(hw_event_key(key, store));
		bool twice;

		if (part != HW_EVENT_OTHER) {
			twice = seen >> part & 1;
			seen |= 1u << part;
			rc = hw_event_scan_part(s, r, part);
		} else {
			rc = hw_keys_add(others, key);
			twice = rc == HW_KEYS_TWICE;
			if (rc >= 0)
				rc = hw_json_value(r, &value);
		}
		if (twice)
			hw_event_scan_twice(s, key, false);
	}
	return rc == HW_JSON_END ? 0 : rc;
}

int hw_event_parse(struct hw_str text, unsigned flags, struct hw_event *ev,
	struct hw_event_report *report, struct hw_err *err)
{
	struct hw_json_reader r;
	struct hw_event_scan s;
	struct hw_keys others;
	int rc;

	hw_event_scan_init(&s, ev);
	hw_json_init(&r, text, flags);
	if (hw_json_peek(&r) == HW_JSON_OBJECT) {
		hw_keys_init(&others);
		rc = scan_envelope(&s, &r, &others);
		hw_keys_fini(&others);
	} else { /* a value that has no members: everything is missing */
		struct hw_json value;

		rc = hw_json_value(&r, &value);
	}
	if (rc == 0)
		rc = hw_json_finish(&r);
	if (rc == -EINVAL)
		return hw_json_err(&r, err);
	if (rc != 0)
		return hw_err_set(err, rc, "out of memory");
	return hw_event_check(&s, report, err);
}

void hw_event_walk(struct hw_event_walk *w, const struct hw_event *ev)
{
	w->ev = ev;
	w->i = 0;
}

bool hw_event_next(struct hw_event_walk *w, struct hw_event_member *m)
{
	const struct hw_event *ev = w->ev;

	if (w->i < HW_EVENT_MEMBERS && w->i < ev->n_members) {
		*m = ev->members[w->i++];
		return true;
	}
	if (w->i == HW_EVENT_MEMBERS) {
		hw_json_init(&w->reader, ev->data.raw, HW_JSON_UTF8_DONE);
		w->reader.p += ev->after_members;
		w->reader.depth = 1;
	}
	if (w->i++ >= ev->n_members)
		return false;
	return hw_json_member(&w->reader, &m->key) == 0 &&
	       hw_json_value(&w->reader, &m->value) == 0;
}

static void put_now(struct hw_buf *out, int64_t wall_ms)
{
	char text[HW_ISO8601_LEN + 1];

	hw_clock_iso8601(wall_ms, text);
	hw_buf_putc(out, '"');
	hw_buf_add(out, text, HW_ISO8601_LEN);
	hw_buf_putc(out, '"');
}

/* Members of data as they are written, each behind a comma but the first. */
struct writer {
	struct hw_buf *out;
	const struct hw_event_fill *fill;
	bool any;
};

static void put_key(struct writer *w, struct hw_str quoted)
{
	if (w->any)
		hw_buf_putc(w->out, ',');
	w->any = true;
	hw_buf_str(w->out, quoted);
	hw_buf_putc(w->out, ':');
}

static void put_plain(struct writer *w, struct hw_str quoted_key, struct hw_str value)
{
	if (!value.p)
		return;
	put_key(w, quoted_key);
	hw_buf_json(w->out, value);
}

static void put_raw(struct writer *w, struct hw_str quoted_key, struct hw_json value)
{
	put_key(w, quoted_key);
	hw_buf_str(w->out, value.raw);
}

/* Whoever may name the user names it by a string or a number. */
static bool names_user(struct hw_json user)
{
	return (user.kind == HW_JSON_STRING || user.kind == HW_JSON_NUMBER) && !hw_json_falsy(user);
}

static void put_member(struct writer *w, const struct hw_event_member *m)
{
	char store[16];

	switch (data_part(hw_event_key(m->key, store))) {
	case DATA_USER_ID:
		if (w->fill->keep_user_id && names_user(m->value))
			put_raw(w, m->key.raw, m->value);
		else
			put_plain(w, m->key.raw, w->fill->user_id);
		break;
	case DATA_TENANT_ID:
		put_plain(w, m->key.raw, w->fill->tenant_id);
		break;
	case DATA_TIMESTAMP:
		if (!hw_json_falsy(m->value)) {
			put_raw(w, m->key.raw, m->value);
			break;
		}
		put_key(w, m->key.raw);
		put_now(w->out, w->fill->wall_ms);
		break;
	case DATA_PREVIOUS:
		if (w->fill->keep_previous)
			put_raw(w, m->key.raw, m->value);
		break;
	case DATA_ENTITY_ID:
		put_raw(w, m->key.raw, m->value);
		break;
	case DATA_PAYLOAD:
		if (w->fill->payload.p) {
			put_key(w, m->key.raw);
			hw_buf_str(w->out, w->fill->payload);
			break;
		}
		/* fallthrough */
	default:
		if (!w->fill->bare)
			put_raw(w, m->key.raw, m->value);
	}
}

static void put_data(
	struct hw_buf *out, const struct hw_event *ev, const struct hw_event_fill *fill)
{
	struct writer w = {.out = out, .fill = fill};
	struct hw_event_member m;
	struct hw_event_walk walk;

	hw_buf_putc(out, '{');
	hw_event_walk(&walk, ev);
	while (hw_event_next(&walk, &m))
		put_member(&w, &m);
	if (fill->payload.p && ev->payload.kind == HW_JSON_NONE) {
		put_key(&w, HW_STR("\"payload\""));
		hw_buf_str(out, fill->payload);
	}
	if (ev->user_id.kind == HW_JSON_NONE)
		put_plain(&w, HW_STR("\"user_id\""), fill->user_id);
	if (ev->tenant_id.kind == HW_JSON_NONE)
		put_plain(&w, HW_STR("\"tenant_id\""), fill->tenant_id);
	if (ev->timestamp.kind == HW_JSON_NONE) {
		put_key(&w, HW_STR("\"timestamp\""));
		put_now(out, fill->wall_ms);
	}
	hw_buf_putc(out, '}');
}

void hw_event_encode(
	struct hw_buf *out, const struct hw_event *ev, const struct hw_event_fill *fill)
{
	/* Roughly all of it, so that the buffer grows once. */
	if (!hw_buf_reserve(out, ev->data.raw.len + ev->topic.len + ev->event.raw.len +
					 ev->trace_id.raw.len + fill->user_id.len +
					 fill->tenant_id.len + 256))
		return;
	hw_buf_str(out, HW_STR("{\"topic\":\""));
	hw_buf_str(out, ev->topic); /* its alphabet needs no escapes */
	hw_buf_str(out, HW_STR("\",\"event\":"));
	hw_buf_str(out, fill->name.p ? fill->name : ev->event.raw);
	hw_buf_str(out, HW_STR(",\"data\":"));
	put_data(out, ev, fill);
	hw_buf_str(out, HW_STR(",\"trace_id\":"));
	if (hw_json_falsy(ev->trace_id))
		hw_buf_json(out, fill->trace_id);
	else
		hw_buf_str(out, ev->trace_id.raw);
	if (ev->version.kind != HW_JSON_NONE) {
		hw_buf_str(out, HW_STR(",\"version\":"));
		hw_buf_str(out, ev->version.raw);
	}
}

int hw_event_name(const struct hw_event *ev, struct hw_buf *scratch, struct hw_str *out)
{
	return hw_json_text(ev->event, scratch, out);
}
