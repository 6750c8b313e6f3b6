#include "session/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hook/audience.h"
#include "session/explain_internal.h"
#include "session/session_internal.h"
#include "wire/event.h"
#include "wire/topic.h"

static void slot_free(struct hw_explain_slot *slot)
{
	for (size_t i = 0; i < slot->n_questions; i++)
		hw_buf_fini(&slot->questions[i].asked);
	hw_buf_fini(&slot->view.asked);
	hw_identity_unref(&slot->identity);
	free(slot->address);
	free(slot);
}

static void end(struct hw_explain *x, int error)
{
	if (x->ended)
		return;
	x->ended = true;
	x->error = x->error ? x->error : error;
	hw_list_remove(&x->link);
	hw_timer_cancel(&x->timer);
	hw_session_walk_cancel(&x->walk);
	for (size_t i = 0; i < x->n_slots; i++) {
		struct hw_explain_slot *slot = x->slots[i];

		for (size_t k = 0; k < slot->n_questions; k++)
			hw_hooks_cancel(&slot->questions[k].ask);
		if (!x->error)
			x->error = explain_row(slot, &x->rows[x->n_rows++]);
		slot_free(slot);
	}
	hw_hook_bench_destroy(&x->bench);
	hw_hook_bench_destroy(&x->global);
	x->done(x);
}

static void wake(struct hw_explain *x)
{
	hw_timer_arm(x->worker->timers, &x->timer, hw_worker_now_ms(x->worker));
}

/* ---- what is there: the session may be gone before the hooks have answered ---- */

static void add_question(
	struct hw_explain_slot *slot, struct hw_str topic, bool subscribed, uint64_t after)
{
	struct explain_question *q = &slot->questions[slot->n_questions++];

	memcpy(q->topic, topic.p, topic.len);
	q->topic_len = topic.len;
	q->subscribed = subscribed;
	q->after = after;
	q->slot = slot;
	hw_buf_init(&q->asked);
}

/* By name, by pattern, or not at all: then what it would be told if it asked. */
static void find_subscriptions(struct hw_explain_slot *slot, const struct hw_session *s)
{
	struct hw_str topic = slot->explain->event->topic, wide, mine;

	hw_topic_split(topic, &wide, NULL);
	for (uint32_t i = 0; i < s->sub.n_subs; i++) {
		struct hw_str name = hw_hub_topic_name(s->sub.subs[i].topic);

		hw_topic_split(name, &mine, NULL);
		if (hw_str_eq(name, topic) || (hw_topic_is_wildcard(name) && hw_str_eq(mine, wide)))
			add_question(slot, name, true, s->sub.subs[i].after);
	}
	if (slot->n_questions == 0)
		add_question(slot, topic, false, 0);
}

/* Which events were left out is not kept, but where, and what can be. */
static bool may_be_left_out(const struct hw_explain *x, const struct hw_session *s)
{
	const struct hw_explain_event *event = x->event;
	enum hw_conflate how =
		hw_conflate_of(&s->worker->generation->settings.conflate, event->topic);
	struct hw_event ev;

	if (how == HW_CONFLATE_NONE || event->number <= s->conflated_after ||
		event->number > s->conflated_upto ||
		hw_event_parse(event->text, HW_JSON_UTF8_DONE, &ev, NULL, NULL))
		return false;
	return hw_json_is(ev.event, HW_STR("UPDATED")) ||
	       (how == HW_CONFLATE_LATEST && (hw_json_is(ev.event, HW_STR("ADDED")) ||
						     hw_json_is(ev.event, HW_STR("DELETED"))));
}

static int on_session(struct hw_session_walk *walk, struct hw_session *s)
{
	struct hw_explain *x = HW_CONTAINER_OF(walk, struct hw_explain, walk);
	struct hw_explain_slot *slot;

	x->n_found++;
	if (x->n_slots == HW_EXPLAIN_SESSIONS)
		return 0;
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	slot->explain = x;
	x->slots[x->n_slots++] = slot;
	hw_buf_init(&slot->view.asked);
	memcpy(slot->id, s->id, sizeof(slot->id));
	slot->identity = hw_identity_ref(s->identity);
	slot->address = hw_str_dup(hw_str_of(s->address));
	slot->transport = s->transport;
	slot->opened_ms =
		hw_worker_wall_ms(x->worker) - (hw_worker_now_ms(x->worker) - s->opened_ms);
	slot->epoch = hw_journal_epoch(s->hub->tenant->journal);
	slot->cursor = s->sub.behind ? s->reading.cursor : hw_hub_number(s->hub);
	slot->conflated = may_be_left_out(x, s);
	slot->behind = s->sub.behind;
	slot->held = s->held;
	slot->blocked = s->outlet->blocked(s->arg);
	slot->queued_bytes = s->outlet->queued(s->arg);
	slot->policy_current = s->policy == s->hub->policy;
	slot->lately = hw_hub_seen_lately(s->hub, &s->sub, x->event->seq);
	find_subscriptions(slot, s);
	return slot->address ? 0 : -ENOMEM;
}

/* ---- what the policy says of it ---- */

static void on_heard(struct hw_ask *ask, const struct hw_heard *heard)
{
	struct explain_question *q = HW_CONTAINER_OF(ask, struct explain_question, ask);
	struct hw_buf *out = &q->asked;

	hw_buf_puts(out, out->len ? ",{\"hook\":" : "{\"hook\":");
	hw_buf_json(out, hw_str_of(heard->entry));
	hw_buf_printf(out, ",\"global\":%s,\"answer\":\"%s\"}", heard->global ? "true" : "false",
		explain_verdict_name(heard->verdict));
}

static void answered(struct explain_question *q, enum hw_verdict verdict)
{
	q->verdict = verdict;
	q->code = verdict == HW_ALLOW
			  ? NULL
			  : hw_code_info(hw_ask_code(&q->ask, HW_CODE_FORBIDDEN_TOPIC))->name;
	/* the name lives as long as the bench's chain */
	q->hook = q->ask.decided_by ? q->ask.decided_by : "";
}

static void on_decided(struct hw_ask *ask)
{
	struct explain_question *q = HW_CONTAINER_OF(ask, struct explain_question, ask);
	struct hw_explain *x = q->slot->explain;

	if (x->ended)
		return;
	answered(q, ask->verdict);
	x->n_open--;
	wake(x);
}

static void ask(struct explain_question *q)
{
	struct hw_explain_slot *slot = q->slot;
	struct hw_explain *x = slot->explain;
	struct hw_str name = {q->topic, q->topic_len}, resource, id;
	enum hw_verdict verdict;

	hw_topic_split(name, &resource, &id);
	q->question = (struct hw_question){
		.size = sizeof(q->question),
		.operation = hw_topic_is_wildcard(name) ? HW_OP_WILDCARD : HW_OP_SUBSCRIBE,
		.topic = hw_slice_of(name),
		.resource = hw_slice_of(resource),
		.id = hw_slice_of(id),
	};
	hw_who_fill(&q->who, slot->identity, (struct hw_str){slot->id, HW_SESSION_ID_LEN},
		hw_str_of(slot->address));
	q->ask = (struct hw_ask){.heard = on_heard,
		.stage = HW_STAGE_AUTHORIZE,
		.global = x->global,
		.tenant = x->bench,
		.who = &q->who,
		.question = &q->question,
		.decided = on_decided,
		.verdict = HW_ERROR};
	verdict = hw_hooks_ask(&q->ask);
	if (verdict == HW_PENDING)
		x->n_open++;
	else
		answered(q, verdict);
}

static int begin_benches(struct hw_explain *x)
{
	struct hw_worker *w = x->worker;
	struct hw_hub *hub = hw_map_get(&w->hubs, x->tenant);
	int r;

	if (!hub || !hub->bench)
		return -EIO; /* its sessions are there, and its policy does not start */
	r = hw_hook_bench_create_trial(
		w->env, hw_hook_bench_chain(w->global), HW_STR(""), w->index, &x->global);
	if (!r)
		r = hw_hook_bench_create_trial(
			w->env, hw_hook_bench_chain(hub->bench), x->tenant, w->index, &x->bench);
	return r;
}

/* One session a turn: the others' events come in between. */
static void on_timer(struct hw_timer *timer)
{
	struct hw_explain *x = HW_CONTAINER_OF(timer, struct hw_explain, timer);
	struct hw_explain_slot *slot;
	int r = 0;

	if (x->next == x->n_slots) {
		if (x->n_open == 0)
			end(x, 0);
		return;
	}
	slot = x->slots[x->next++];
	if (!x->global)
		r = begin_benches(x);
	if (!r && slot->questions[0].subscribed)
		r = explain_view(slot);
	for (size_t i = 0; !r && i < slot->n_questions; i++)
		ask(&slot->questions[i]);
	if (r)
		end(x, r);
	else
		wake(x);
}

static void on_walked(struct hw_session_walk *walk)
{
	struct hw_explain *x = HW_CONTAINER_OF(walk, struct hw_explain, walk);

	if (walk->error)
		end(x, walk->error);
	else
		wake(x);
}

void hw_explain_start(struct hw_explain *x)
{
	x->walk = (struct hw_session_walk){
		.worker = x->worker,
		.match = {.user = x->user, .tenant = x->tenant},
		.visit = on_session,
		.done = on_walked,
	};
	hw_timer_init(&x->timer, on_timer);
	hw_list_push(&x->worker->sessions->explains, &x->link);
	hw_session_walk_start(&x->walk);
}

void hw_explain_cancel(struct hw_explain *x)
{
	end(x, -ECANCELED);
}

void hw_explain_fini(struct hw_explain *x)
{
	for (size_t i = 0; i < x->n_rows; i++)
		free(x->rows[i].json);
	x->n_rows = 0;
}

void explains_fini(struct hw_worker *w)
{
	while (!hw_list_empty(&w->sessions->explains))
		end(HW_CONTAINER_OF(w->sessions->explains.next, struct hw_explain, link),
			-ECANCELED);
}
