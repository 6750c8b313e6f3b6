#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hook/audience.h"
#include "session/explain_internal.h"
#include "session/session_internal.h"
#include "wire/event.h"

const char *hw_explain_outcome_name(enum hw_explain_outcome outcome)
{
	static const char *const names[] = {[HW_EXPLAIN_SENT] = "sent",
		[HW_EXPLAIN_QUEUED] = "queued",
		[HW_EXPLAIN_CONFLATED] = "conflated",
		[HW_EXPLAIN_NOT_YET] = "not_yet",
		[HW_EXPLAIN_LAGGING] = "lagging",
		[HW_EXPLAIN_HELD] = "held",
		[HW_EXPLAIN_FILTERED] = "filtered",
		[HW_EXPLAIN_FAILED] = "hook_failed",
		[HW_EXPLAIN_SUBSCRIBED_LATER] = "subscribed_later",
		[HW_EXPLAIN_NOT_SUBSCRIBED] = "not_subscribed",
		[HW_EXPLAIN_NOT_CONNECTED] = "not_connected"};

	return names[outcome];
}

const char *explain_verdict_name(enum hw_verdict verdict)
{
	switch (verdict) {
	case HW_ALLOW:
		return "allow";
	case HW_DENY:
		return "deny";
	case HW_DEFER:
		return "defer";
	case HW_PENDING:
	case HW_ERROR:
		break;
	}
	return "error"; /* also any other number, which a plugin may return */
}

/* ---- who sees it ---- */

struct look {
	struct hw_view view;
	struct hw_buf *out;
	bool before; /* the event as it would have been before, of a view change */
};

static void put_value(struct hw_buf *out, struct hw_json value)
{
	if (value.kind == HW_JSON_NONE)
		hw_buf_puts(out, "null");
	else
		hw_buf_str(out, value.raw);
}

static void on_heard(struct hw_view *view, const struct hw_view_heard *heard)
{
	const struct look *look = HW_CONTAINER_OF(view, struct look, view);
	const struct hw_audience *audience = heard->audience;
	bool redact = heard->stage == HW_STAGE_REDACT;
	struct hw_buf *out = look->out;

	hw_buf_puts(out, out->len ? ",{\"stage\":" : "{\"stage\":");
	hw_buf_puts(out, redact ? "\"redact\"" : "\"filter\"");
	hw_buf_puts(out, ",\"hook\":");
	hw_buf_json(out, hw_str_of(heard->entry));
	hw_buf_printf(out, ",\"global\":%s,\"of\":\"%s\",\"reads\":{",
		heard->global ? "true" : "false", look->before ? "previous" : "event");
	for (size_t i = 0; i < audience->reads->n; i++) {
		hw_buf_puts(out, i ? "," : "");
		hw_buf_json(out, hw_str_of(audience->reads->reads[i].name));
		hw_buf_putc(out, ':');
		put_value(out, audience->values[i]);
	}
	hw_buf_printf(out, "},\"answer\":\"%s\"", explain_verdict_name(heard->verdict));
	if (redact)
		hw_buf_printf(out, ",\"changed\":%s", heard->changed ? "true" : "false");
	if (heard->verdict != HW_ALLOW && heard->detail[0]) {
		hw_buf_puts(out, ",\"why\":");
		hw_buf_json(out, hw_str_of(heard->detail));
	}
	hw_buf_putc(out, '}');
}

static enum hw_verdict see(struct hw_explain_slot *slot, const struct hw_json *values,
	struct hw_str text, bool before, bool *changed)
{
	struct hw_explain *x = slot->explain;
	struct look look = {
		.view = {.heard = on_heard,
			.global = x->global,
			.tenant = x->bench,
			.tenant_id = x->tenant,
			.values = values,
			.event = text,
			.topic = x->event->topic},
		.out = &slot->view.asked,
		.before = before,
	};
	enum hw_verdict verdict = hw_hooks_view(&look.view);

	*changed = look.view.new_event != NULL;
	if (verdict != HW_ALLOW)
		slot->view.hook = look.view.decided_by;
	free(look.view.new_event);
	return verdict;
}

/* The event as it would have been before: with what its payload was. */
static int write_before(const struct hw_explain_event *event, struct hw_str tenant,
	struct hw_buf *out, bool *deleted)
{
	struct hw_event_fill fill = {.tenant_id = tenant,
		.trace_id = HW_STR(""),
		.wall_ms = event->wall_ms,
		.keep_user_id = true,
		.payload = event->previous};
	struct hw_event ev;
	int r = hw_event_parse(event->text, HW_JSON_UTF8_DONE, &ev, NULL, NULL);

	if (r)
		return r < 0 ? r : -EINVAL;
	*deleted = hw_json_is(ev.event, HW_STR("DELETED"));
	hw_event_encode(out, &ev, &fill);
	hw_buf_putc(out, '}');
	return out->failed ? -ENOMEM : 0;
}

/* As hub/classes.c delivers a view change. */
static enum explain_form change(
	enum hw_verdict saw, enum hw_verdict sees, bool changed, bool deleted)
{
	if (saw == HW_ALLOW && sees == HW_ALLOW)
		return changed ? FORM_REDACTED : FORM_STORED;
	if (saw == HW_ALLOW)
		return FORM_DELETED;
	if (saw != HW_DENY)
		return FORM_FAILED;
	return sees == HW_ALLOW && !deleted ? FORM_ADDED : FORM_NONE;
}

static int look_at(struct hw_explain_slot *slot, const struct hw_json *values)
{
	const struct hw_explain_event *event = slot->explain->event;
	bool changed, changed_before, deleted = false;
	enum hw_verdict sees = see(slot, values, event->text, false, &changed), saw;
	struct hw_buf before;
	int r;

	if (sees == HW_ERROR || !event->previous.p) {
		slot->view.form = sees == HW_ERROR   ? FORM_FAILED
				  : sees != HW_ALLOW ? FORM_NONE
				  : changed          ? FORM_REDACTED
						     : FORM_STORED;
		return 0;
	}
	hw_buf_init(&before);
	r = write_before(event, slot->explain->tenant, &before, &deleted);
	if (!r) {
		saw = see(slot, values, hw_buf_view(&before), true, &changed_before);
		slot->view.form = change(saw, sees, changed, deleted);
	}
	hw_buf_fini(&before);
	return r;
}

int explain_view(struct hw_explain_slot *slot)
{
	struct hw_explain *x = slot->explain;
	size_t n = hw_audience_count(x->global, x->bench);
	struct hw_json *values = calloc(n + 1, sizeof(*values));
	struct hw_buf key;
	int r = -ENOMEM;

	hw_buf_init(&key);
	hw_audience_key(x->global, x->bench, slot->identity, &key);
	slot->view.hook = "";
	if (values && !key.failed) {
		hw_audience_values(hw_buf_view(&key), values, n);
		r = look_at(slot, values);
	}
	hw_buf_fini(&key);
	free(values);
	return r;
}

/* ---- the row ---- */

static void put_cursor(struct hw_buf *out, const struct hw_explain_slot *slot, uint64_t number)
{
	hw_buf_putc(out, '"');
	hw_cursor_add(out, (struct hw_cursor){.epoch = slot->epoch, .seq = number});
	hw_buf_putc(out, '"');
}

static void put_today(struct hw_buf *out, const struct explain_question *q)
{
	hw_buf_printf(out,
		"{\"verdict\":\"%s\",\"cached\":false,\"code\":", explain_verdict_name(q->verdict));
	if (q->code)
		hw_buf_json(out, hw_str_of(q->code));
	else
		hw_buf_puts(out, "null");
	hw_buf_puts(out, ",\"hook\":");
	hw_buf_json(out, hw_str_of(q->hook));
	hw_buf_puts(out, ",\"asked\":[");
	hw_buf_str(out, hw_buf_view(&q->asked));
	hw_buf_puts(out, "]}");
}

static void put_subscriptions(struct hw_buf *out, const struct hw_explain_slot *slot)
{
	hw_buf_puts(out, ",\"subscriptions\":[");
	for (size_t i = 0; i < slot->n_questions && slot->questions[i].subscribed; i++) {
		const struct explain_question *q = &slot->questions[i];

		hw_buf_puts(out, i ? ",{\"topic\":" : "{\"topic\":");
		hw_buf_json(out, (struct hw_str){q->topic, q->topic_len});
		hw_buf_puts(out, ",\"since\":");
		put_cursor(out, slot, q->after);
		hw_buf_printf(out,
			",\"before_event\":%s,\"admitted\":{\"verdict\":\"allow\",\"cached\":true,"
			"\"policy\":\"%s\"},\"authorize\":",
			q->after < slot->explain->event->number ? "true" : "false",
			slot->policy_current ? "in force" : "a former one");
		put_today(out, q);
		hw_buf_putc(out, '}');
	}
	hw_buf_puts(out, "],\"if_subscribed\":");
	if (slot->questions[0].subscribed)
		hw_buf_puts(out, "null");
	else
		put_today(out, &slot->questions[0]);
}

/* What was answered when it was delivered counts more than what is answered now. */
static bool withheld(const struct hw_explain_slot *slot, bool *failed)
{
	if (slot->lately == HW_SEEN_UNKNOWN) {
		*failed = slot->view.form == FORM_FAILED;
		return *failed || slot->view.form == FORM_NONE;
	}
	*failed = slot->lately == HW_SEEN_FAILED;
	return *failed || slot->lately == HW_SEEN_NOT;
}

static const char *form_name(const struct hw_explain_slot *slot)
{
	static const char *const forms[] = {[FORM_STORED] = "as stored",
		[FORM_REDACTED] = "redacted",
		[FORM_ADDED] = "ADDED",
		[FORM_DELETED] = "DELETED",
		[FORM_NONE] = "nothing",
		[FORM_FAILED] = "nothing"};
	enum explain_form form = slot->view.form;

	switch (slot->lately) {
	case HW_SEEN_UNKNOWN:
		break;
	case HW_SEEN_STORED:
		return forms[FORM_STORED];
	case HW_SEEN_MADE: /* which form is not kept */
		return form == FORM_ADDED || form == FORM_DELETED ? forms[form]
								  : forms[FORM_REDACTED];
	case HW_SEEN_NOT:
	case HW_SEEN_FAILED:
		return forms[FORM_NONE];
	}
	return forms[form];
}

static void put_seen(struct hw_buf *out, const struct hw_explain_slot *slot)
{
	bool failed;
	bool no = withheld(slot, &failed);

	if (!slot->questions[0].subscribed) {
		hw_buf_puts(out, ",\"seen\":null");
		return;
	}
	hw_buf_printf(out, ",\"seen\":{\"verdict\":\"%s\",\"cached\":%s,\"gets\":\"%s\",\"hook\":",
		failed ? "error"
		: no   ? "deny"
		       : "allow",
		slot->lately == HW_SEEN_UNKNOWN ? "false" : "true", form_name(slot));
	hw_buf_json(out, hw_str_of(no ? slot->view.hook : ""));
	hw_buf_puts(out, ",\"asked\":[");
	hw_buf_str(out, hw_buf_view(&slot->view.asked));
	hw_buf_puts(out, "]}");
}

static bool subscribed_before(const struct hw_explain_slot *slot)
{
	for (size_t i = 0; i < slot->n_questions; i++)
		if (slot->questions[i].after < slot->explain->event->number)
			return true;
	return false;
}

static enum hw_explain_outcome outcome_of(const struct hw_explain_slot *slot)
{
	uint64_t number = slot->explain->event->number;
	bool failed;

	if (!slot->questions[0].subscribed)
		return HW_EXPLAIN_NOT_SUBSCRIBED;
	if (!subscribed_before(slot))
		return HW_EXPLAIN_SUBSCRIBED_LATER;
	if (slot->cursor < number)
		return slot->held     ? HW_EXPLAIN_HELD
		       : slot->behind ? HW_EXPLAIN_LAGGING
				      : HW_EXPLAIN_NOT_YET;
	if (withheld(slot, &failed))
		return failed ? HW_EXPLAIN_FAILED : HW_EXPLAIN_FILTERED;
	if (slot->conflated)
		return HW_EXPLAIN_CONFLATED;
	return slot->queued_bytes ? HW_EXPLAIN_QUEUED : HW_EXPLAIN_SENT;
}

/* Whether it got past the hooks then is known only while what they answered is kept. */
static bool is_recorded(const struct hw_explain_slot *slot, enum hw_explain_outcome outcome)
{
	switch (outcome) {
	case HW_EXPLAIN_SENT:
	case HW_EXPLAIN_QUEUED:
	case HW_EXPLAIN_FILTERED:
	case HW_EXPLAIN_FAILED:
		return slot->lately != HW_SEEN_UNKNOWN;
	case HW_EXPLAIN_CONFLATED:
		return false; /* which events were left out is not kept */
	default:
		return true;
	}
}

int explain_row(struct hw_explain_slot *slot, struct hw_explain_row *row)
{
	char time[HW_ISO8601_LEN + 1];
	struct hw_buf out;

	memcpy(row->id, slot->id, sizeof(row->id));
	row->outcome = outcome_of(slot);
	hw_buf_init(&out);
	hw_clock_iso8601(slot->opened_ms, time);
	hw_buf_printf(&out,
		"{\"session\":\"%s\",\"outcome\":\"%s\",\"outcome_is\":\"%s\","
		"\"transport\":\"%s\",\"worker\":%u,\"connected_at\":\"%s\",\"cursor\":",
		slot->id, hw_explain_outcome_name(row->outcome),
		is_recorded(slot, row->outcome) ? "recorded" : "recomputed", slot->transport,
		slot->explain->worker->index, time);
	put_cursor(&out, slot, slot->cursor);
	hw_buf_printf(&out, ",\"lagging\":%s,\"held\":%s,\"socket_full\":%s,\"queued_bytes\":%zu",
		slot->behind ? "true" : "false", slot->held ? "true" : "false",
		slot->blocked ? "true" : "false", slot->queued_bytes);
	put_subscriptions(&out, slot);
	put_seen(&out, slot);
	hw_buf_putc(&out, '}');
	row->json = hw_buf_steal(&out);
	return row->json ? 0 : -ENOMEM;
}
