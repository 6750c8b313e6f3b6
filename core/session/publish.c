#include "session/publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/notices.h"
#include "session/revoke.h"
#include "session/who.h"

static void answer(struct hw_publish *p, enum hw_code code, const char *message)
{
	p->code = code;
	snprintf(p->message, sizeof(p->message), "%s", message);
}

static void answer_ask(struct hw_publish *p)
{
	p->by_hook = true;
	answer(p, hw_ask_code(&p->ask, HW_CODE_FORBIDDEN_TOPIC), p->ask.message);
	p->retry_after_ms = hw_ask_retry_ms(&p->ask);
}

/* For who asks later why it is nowhere. */
static void note_refused(const struct hw_publish *p, enum hw_refusal_kind kind)
{
	struct hw_json trace = p->command->event.trace_id;
	struct hw_worker *w = p->hub->worker;
	bool by_hook = p->by_hook || kind == HW_REFUSED_DROPPED;
	char text[HW_REFUSAL_TRACE_MAX + 1];
	struct hw_refused refused = {
		.tenant = p->hub->tenant,
		.kind = kind,
		.code = p->code != HW_CODE_NONE ? hw_code_info(p->code)->name : NULL,
		.user = p->identity->user_id,
		.topic = p->command->event.topic,
		.trace = p->trace_id,
		.hook = by_hook ? p->ask.decided_by : NULL,
		.why = by_hook ? NULL : p->message, /* a hook's words are for its client alone */
	};

	if (!refused.trace.p && trace.kind == HW_JSON_STRING &&
		!hw_json_copy(trace, text, sizeof(text), &refused.trace.len))
		refused.trace.p = text;
	hw_refusals_note(&w->refusals, &refused, hw_worker_wall_ms(w));
}

/* The end of every way through: true = decided. */
static bool finish(struct hw_publish *p)
{
	const struct hw_counters *counters = p->hub->worker->counters;

	if (p->reservation) {
		hw_idempotency_release(&p->hub->tenant->idempotency, p->reservation);
		p->reservation = NULL;
	}
	if (p->code != HW_CODE_NONE) {
		hw_metric_add(counters->refused, 1);
		note_refused(p, HW_REFUSED_PUBLISH);
	}
	hw_buf_fini(&p->encoded);
	hw_buf_fini(&p->previous);
	return true;
}

/* ---- idempotency
 * -----------------------------------------------------------------------------------------------------
 */

/* What makes two publishes the same: the event as the client gave it, not the message around it. In
 * another broker too, so it is not keyed by what this one drew: who finds two with the same hash
 * deceives himself alone. */
static uint64_t event_hash(const struct hw_publish *p)
{
	static const struct hw_hash_key same = {0, 0};
	const struct hw_event *ev = &p->command->event;
	const struct hw_hash_key *key = &same;
	struct hw_str parts[] = {
		ev->topic, ev->event.raw, ev->data.raw, ev->trace_id.raw, ev->version.raw};
	uint64_t hashes[HW_COUNT(parts)];

	for (size_t i = 0; i < HW_COUNT(parts); i++)
		hashes[i] = hw_hash(key, parts[i].p, parts[i].len);
	return hw_hash(key, hashes, sizeof(hashes));
}

static void set_event_id(const struct hw_hub *hub, uint64_t number, char id[HW_CURSOR_MAX + 1])
{
	hw_cursor_format(
		(struct hw_cursor){.epoch = hw_journal_epoch(hub->tenant->journal), .seq = number},
		id);
}

/* true: go on; false: answered. */
static bool begin_idempotent(struct hw_publish *p)
{
	struct hw_idempotency_name name = {p->identity->tenant_id, p->identity->user_id, p->key};
	uint64_t seq = 0;

	switch (hw_idempotency_begin(&p->hub->tenant->idempotency, &name, event_hash(p),
		hw_worker_now_ms(p->hub->worker), &p->reservation, &seq)) {
	case HW_IDEMPOTENCY_NEW:
		return true;
	case HW_IDEMPOTENCY_DUPLICATE:
		p->duplicate = true;
		if (seq)
			set_event_id(p->hub, seq, p->event_id);
		return false;
	case HW_IDEMPOTENCY_CONFLICT:
		answer(p, HW_CODE_BAD_REQUEST, "this idempotency key was used for another event");
		p->http_status = 422;
		return false;
	case HW_IDEMPOTENCY_PENDING:
		answer(p, HW_CODE_UNAVAILABLE,
			"the first publish with this idempotency key is still being decided");
		return false;
	case HW_IDEMPOTENCY_NO_MEMORY:
		break;
	}
	answer(p, HW_CODE_UNAVAILABLE, "out of memory");
	return false;
}

/* ---- the event's text
 * --------------------------------------------------------------------------------------------------
 */

/* Unique, not secret: the process's random hash key over a counter, so that no event costs a system
 * call. */
static void make_trace_id(struct hw_worker *w, char out[33])
{
	uint64_t input[2] = {w->n_traces++, w->index}, words[2];

	words[0] = hw_hash(&w->tenants->hash_key, input, sizeof(input));
	input[1] |= UINT64_C(1) << 63;
	words[1] = hw_hash(&w->tenants->hash_key, input, sizeof(input));
	snprintf(out, 33, "%016llx%016llx", (unsigned long long)words[0],
		(unsigned long long)words[1]);
}

/* Writes the canonical text, without its end. @previous: as hooks see it, with what was before. */
static void encode(
	struct hw_publish *p, const struct hw_event *ev, bool keep_user_id, bool previous)
{
	char trace_id[33];
	struct hw_event_fill fill = {
		.user_id = p->identity->user_id,
		.tenant_id = p->hub->tenant->id,
		.trace_id = p->trace_id,
		.wall_ms = hw_worker_wall_ms(p->hub->worker),
		.keep_user_id = keep_user_id,
		.keep_previous = previous,
	};

	if (!fill.trace_id.p && hw_json_falsy(ev->trace_id)) {
		make_trace_id(p->hub->worker, trace_id);
		fill.trace_id = (struct hw_str){trace_id, 32};
	}
	hw_buf_clear(&p->encoded);
	hw_event_encode(&p->encoded, ev, &fill);
}

/* Sets apart what filters alone may look at: it is stored beside the event, and null says no more
 * than that there was nothing to say. */
static void keep_previous(struct hw_publish *p, const struct hw_event *ev)
{
	hw_buf_clear(&p->previous);
	if (ev->previous.kind != HW_JSON_NONE && ev->previous.kind != HW_JSON_NULL)
		hw_buf_str(&p->previous, ev->previous.raw);
}

/* From what the hooks saw, a complete text, to what is stored. */
static bool finish_text(struct hw_publish *p)
{
	struct hw_buf seen = p->encoded;
	struct hw_event ev;
	int r;

	if (p->command->event.previous.kind == HW_JSON_NONE) {
		p->encoded.len--; /* the brace that completed it */
		return true;
	}
	hw_buf_init(&p->encoded);
	r = hw_event_parse(hw_buf_view(&seen), HW_JSON_UTF8_DONE, &ev, NULL, NULL);
	if (r == 0) {
		encode(p, &ev, true, false);
		keep_previous(p, &ev);
	} else { /* it was encoded here: memory */
		answer(p, HW_CODE_UNAVAILABLE, "out of memory");
	}
	hw_buf_fini(&seen);
	return r == 0;
}

/* ---- transform and append
 * ------------------------------------------------------------------------------------------------
 */

enum hw_code hw_publish_outcome(struct hw_hub *hub, int r, uint64_t number,
	char event_id[HW_CURSOR_MAX + 1], const char **message)
{
	event_id[0] = '\0';
	if (r) {
		*message =
			r == -ENOMEM ? "out of memory" : "the journal cannot store the event now";
		return HW_CODE_UNAVAILABLE;
	}
	if (number)
		set_event_id(hub, number, event_id);
	hw_metric_add(hub->worker->counters->published, 1);
	*message = "";
	return HW_CODE_NONE;
}

static void take_outcome(struct hw_publish *p, int r, uint64_t number)
{
	const char *message;
	enum hw_code code = hw_publish_outcome(p->hub, r, number, p->event_id, &message);

	answer(p, code, message);
}

/* The store has it, or not. The key was settled with it. */
static void on_kept(struct hw_keep_wait *wait, int r, uint64_t number)
{
	struct hw_publish *p = HW_CONTAINER_OF(wait, struct hw_publish, wait);

	take_outcome(p, r, number);
	(void)finish(p);
	p->decided(p);
}

/* What hooks hear of it once it is stored, if one wants to. */
static struct hw_notice *notice_of(const struct hw_publish *p)
{
	const struct hw_published what = {
		.identity = p->identity,
		.session = p->session,
		.address = p->address,
		.topic = p->command->event.topic,
		.event = hw_buf_view(&p->encoded),
		.depth = p->depth,
	};

	return hw_notice_of(p->hub, &what);
}

static bool append(struct hw_publish *p)
{
	struct hw_append event = {
		.topic = p->command->event.topic,
		.text = hw_buf_view(&p->encoded),
		.previous = p->previous.len ? hw_buf_view(&p->previous) : HW_STR_NULL,
		.wall_ms = hw_worker_wall_ms(p->hub->worker),
		.mono_ms = hw_worker_now_ms(p->hub->worker),
	};
	uint64_t number = 0;
	int r = -ENOMEM;

	p->wait.done = on_kept;
	if (!p->encoded.failed && !p->previous.failed)
		r = hw_hub_append(p->hub, &event, p->reservation, notice_of(p), &p->wait, &number);
	if (r == HW_HUB_LATER) {
		p->reservation = NULL; /* settled with the event */
		p->handed_over = p->hand_over && p->hand_over(p);
		return p->handed_over ? finish(p) : false;
	}
	if (!r && p->reservation) {
		hw_idempotency_settle(&p->hub->tenant->idempotency, p->reservation, number);
		p->reservation = NULL;
	}
	take_outcome(p, r, number);
	return finish(p);
}

/* A hook's event is held to the same rules as a client's; where it goes is not a hook's to change.
 */
static bool take_transformed(struct hw_publish *p)
{
	struct hw_event ev;
	struct hw_err err;
	struct hw_str text = {p->ask.new_event, p->ask.new_event_len};
	int r = hw_event_parse(text, 0, &ev, NULL, &err);

	if (r) {
		answer(p, HW_CODE_UNAVAILABLE, "a transform hook made an invalid event");
		hw_log(p->hub->worker->log, HW_LOG_ERROR, "session",
			"a transform hook made an invalid event",
			HW_F_STR("tenant", p->hub->tenant->id), HW_F_Z("hook", p->ask.decided_by),
			HW_F_Z("error", err.text));
		return false;
	}
	if (!hw_str_eq(ev.topic, p->command->event.topic)) {
		answer(p, HW_CODE_UNAVAILABLE, "a transform hook changed the event's topic");
		hw_log(p->hub->worker->log, HW_LOG_ERROR, "session",
			"a transform hook changed the event's topic",
			HW_F_STR("tenant", p->hub->tenant->id), HW_F_Z("hook", p->ask.decided_by));
		return false;
	}
	encode(p, &ev, true, false);
	keep_previous(p, &ev);
	return true;
}

static bool after_transform(struct hw_publish *p)
{
	bool go_on = p->ask.verdict == HW_ALLOW;

	if (p->ask.verdict == HW_DENY) {
		/* dropped by a hook: nothing to store, nothing to complain of */
		hw_metric_add(p->hub->worker->counters->dropped, 1);
		note_refused(p, HW_REFUSED_DROPPED);
		if (p->reservation) {
			hw_idempotency_settle(&p->hub->tenant->idempotency, p->reservation, 0);
			p->reservation = NULL;
		}
	} else if (!go_on) {
		answer_ask(p);
	} else if (p->ask.new_event) {
		go_on = take_transformed(p);
	} else {
		go_on = finish_text(p);
	}
	free(p->ask.new_event);
	p->ask.new_event = NULL;
	return go_on ? append(p) : finish(p);
}

static void on_transformed(struct hw_ask *ask)
{
	struct hw_publish *p = HW_CONTAINER_OF(ask, struct hw_publish, ask);

	if (after_transform(p))
		p->decided(p);
}

static bool ready_to_ask(struct hw_publish *p)
{
	hw_pins_take(&p->pins, p->hub);
	p->ask = (struct hw_ask){
		.global = p->pins.global,
		.tenant = p->pins.tenant,
		.who = &p->who,
		.depth = p->depth,
	};
	if (p->ask.tenant)
		return true;
	answer(p, HW_CODE_UNAVAILABLE, "the tenant is not served now");
	return false;
}

static bool transform(struct hw_publish *p)
{
	if (!ready_to_ask(p))
		return finish(p);
	if (!hw_hook_bench_has(p->ask.global, HW_STAGE_TRANSFORM) &&
		!hw_hook_bench_has(p->ask.tenant, HW_STAGE_TRANSFORM)) {
		return finish_text(p) ? append(p) : finish(p);
	}
	p->ask.stage = HW_STAGE_TRANSFORM;
	p->ask.event = hw_buf_view(&p->encoded);
	p->ask.decided = on_transformed;
	if (hw_hooks_ask(&p->ask) == HW_PENDING)
		return false;
	return after_transform(p);
}

/* ---- authorize
 * --------------------------------------------------------------------------------------------------------------
 */

static bool after_authorize(struct hw_publish *p)
{
	if (p->ask.verdict != HW_ALLOW) {
		answer_ask(p);
		return finish(p);
	}
	if (p->ask.act_as && p->http && !p->act_as) {
		p->act_as = true;
		encode(p, &p->command->event, true, true);
		hw_buf_putc(&p->encoded, '}');
		if (p->encoded.failed) {
			answer(p, HW_CODE_UNAVAILABLE, "out of memory");
			return finish(p);
		}
	}
	return transform(p);
}

static void on_authorized(struct hw_ask *ask)
{
	struct hw_publish *p = HW_CONTAINER_OF(ask, struct hw_publish, ask);

	if (after_authorize(p))
		p->decided(p);
}

static bool authorize(struct hw_publish *p)
{
	const struct hw_event *ev = &p->command->event;

	if (!ready_to_ask(p))
		return finish(p);
	p->question = (struct hw_question){
		.size = sizeof(p->question),
		.operation = HW_OP_PUBLISH,
		.topic = hw_slice_of(ev->topic),
		.resource = hw_slice_of(ev->resource),
		.id = hw_slice_of(ev->topic_id),
		.event = hw_slice_of(hw_buf_view(&p->encoded)),
	};
	p->ask.stage = HW_STAGE_AUTHORIZE;
	p->ask.question = &p->question;
	p->ask.decided = on_authorized;
	if (hw_hooks_ask(&p->ask) == HW_PENDING)
		return false;
	return after_authorize(p);
}

/* What of a message is kept of it. */
static size_t event_bytes(const struct hw_event *ev)
{
	return ev->topic.len + ev->event.raw.len + ev->data.raw.len + ev->trace_id.raw.len +
	       ev->version.raw.len;
}

/* Whoever sent it was known when its head came; that its body or the journal took its time extends
 * no token. */
static bool expired(const struct hw_publish *p)
{
	int64_t ends = p->identity->expires_at;

	return ends && ends <= hw_worker_wall_ms(p->hub->worker) / 1000;
}

static bool begin(struct hw_publish *p)
{
	if (p->key.p && !begin_idempotent(p))
		return finish(p);
	encode(p, &p->command->event, p->act_as, true);
	hw_buf_putc(&p->encoded, '}');
	if (p->encoded.failed) {
		answer(p, HW_CODE_UNAVAILABLE, "out of memory");
		return finish(p);
	}
	return p->system ? transform(p) : authorize(p);
}

/* A key that may have been used is not taken for a new one. */
static bool after_keys(struct hw_publish *p, int r)
{
	if (!r)
		return begin(p);
	answer(p, HW_CODE_UNAVAILABLE,
		"the journal cannot say now whether this idempotency key was used");
	return finish(p);
}

/* A session would have ended with its token; a request has none. */
static bool may_still(struct hw_publish *p)
{
	if (expired(p)) {
		answer(p, HW_CODE_TOKEN_EXPIRED, "");
	} else if (!p->system && hw_token_revoked(p->hub->worker, p->identity)) {
		hw_metric_add(p->hub->worker->counters->revoked_tokens, 1);
		answer(p, HW_CODE_UNAUTHORIZED, HW_REVOKED_WORDS);
	}
	return p->code == HW_CODE_NONE;
}

static void on_keys_known(struct hw_keys_wait *wait, int r)
{
	struct hw_publish *p = HW_CONTAINER_OF(wait, struct hw_publish, keys_wait);

	if (may_still(p) ? after_keys(p, r) : finish(p))
		p->decided(p);
}

bool hw_publish_start(struct hw_publish *p)
{
	int64_t wait_ms = hw_rate_take(
		&p->hub->tenant->publishes, 1, hw_worker_now_ms(p->hub->worker) * 1000);
	int known;

	p->code = HW_CODE_NONE;
	p->http_status = 0;
	p->retry_after_ms = HW_CONTROL_NO_RETRY;
	p->event_id[0] = '\0';
	p->duplicate = p->handed_over = false;
	p->reservation = NULL;
	hw_buf_init(&p->encoded);
	hw_buf_init(&p->previous);
	hw_who_fill(&p->who, p->identity, p->session, p->address);
	p->who.tenant_id =
		hw_slice_of(p->hub->tenant->id); /* a back end's other tenant sees one of its own */
	p->act_as = p->system || (p->http && p->identity->act_as);
	if (expired(p)) {
		answer(p, HW_CODE_TOKEN_EXPIRED, "");
		return finish(p);
	}
	if (wait_ms) {
		answer(p, HW_CODE_RATE_LIMITED, "the tenant publishes more than its limit allows");
		p->retry_after_ms = wait_ms;
		return finish(p);
	}
	if (event_bytes(&p->command->event) > p->hub->worker->generation->settings.message_bytes) {
		/* one bound for an event, whichever way it comes: a subscriber must be able to take
		 * it */
		answer(p, HW_CODE_TOO_LARGE, "");
		return finish(p);
	}
	if (!p->key.p)
		return begin(p);
	p->keys_wait.done = on_keys_known;
	known = hw_keys_know(p->hub, &p->keys_wait);
	return known == HW_KEYS_LATER ? false : after_keys(p, known);
}

void hw_publish_cancel(struct hw_publish *p)
{
	hw_hooks_cancel(&p->ask);
	hw_keep_forget(&p->wait);
	hw_keys_forget(&p->keys_wait);
	hw_publish_fini(p);
}

void hw_publish_fini(struct hw_publish *p)
{
	if (p->reservation) {
		hw_idempotency_release(&p->hub->tenant->idempotency, p->reservation);
		p->reservation = NULL;
	}
	hw_pins_drop(&p->pins);
	hw_buf_fini(&p->encoded);
	hw_buf_fini(&p->previous);
}
