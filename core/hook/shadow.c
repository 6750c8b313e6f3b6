#include "hook/shadow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hook/env.h"
#include "hook/series.h"
#include "wire/json.h"

/* Of one bench: what is due, what waits, and what walks keep that wait themselves. */
#define SHADOWS_MAX 1024
#define SHADOW_BYTES_MAX (4u << 20)

/* Of one turn of a worker. A slice is followed by a rest that is IDLE_SHARE times as long, so that
 * shadows take a quarter of the worker at most, however much they have to do. */
#define SLICE_NS INT64_C(1000000)
#define IDLE_SHARE 3

#define LOG_EVERY_MS 1000

struct hw_shadow {
	struct hw_list of_bench; /* bench->shadows */
	struct hw_list due;      /* inbox->shadows; of those that are due */
	struct hw_shadow *next;  /* of the same walk */
	struct hw_hook_bench *bench;
	size_t i;     /* its entry there */
	size_t bytes; /* of all of this */
	bool waits;
	/* what was decided */
	enum hw_verdict verdict;
	bool act_as, unasked;
	struct hw_identity *identity;
	char by[64 + 1];
	/* what it is asked: copies */
	struct hw_ask ask;
	struct hw_str tenant, topic;
	struct hw_request request;
	struct hw_who who;
	struct hw_question question;
	struct hw_lifecycle lifecycle;
	struct hw_audience audience;
	struct hw_json values[HW_READS_MAX];
	char text[];
};

static struct hw_hook_entry *entry_of(const struct hw_shadow *s)
{
	return hw_hook_chain_entry(s->bench->chain, s->i);
}

struct hw_str hw_shadow_tenant(const struct hw_shadow *shadow)
{
	return shadow->tenant;
}

/* ---- copies ---- */

/* Measures first, when @at is NULL; then copies, and makes what it copied point there. */
struct packer {
	char *at;
	size_t bytes;
};

static void pack(struct packer *p, const char **text, size_t len)
{
	if (p->at && len > 0) {
		memcpy(p->at, *text, len);
		*text = p->at;
		p->at += len;
	}
	p->bytes += len;
}

static void pack_slice(struct packer *p, struct hw_slice *s)
{
	pack(p, &s->p, s->len);
}

static void pack_str(struct packer *p, struct hw_str *s)
{
	pack(p, &s->p, s->len);
}

static void pack_all(struct packer *p, struct hw_shadow *s)
{
	struct hw_slice *slices[] = {&s->request.token, &s->request.address, &s->request.origin,
		&s->request.path, &s->request.transport, &s->who.user_id, &s->who.tenant_id,
		&s->who.session, &s->who.address, &s->who.claims, &s->question.topic,
		&s->question.resource, &s->question.id, &s->question.event, &s->lifecycle.topic,
		&s->lifecycle.resource, &s->lifecycle.id, &s->lifecycle.event};

	for (size_t i = 0; i < HW_COUNT(slices); i++)
		pack_slice(p, slices[i]);
	pack_str(p, &s->ask.event);
	pack_str(p, &s->tenant);
	pack_str(p, &s->topic);
	for (size_t i = 0; s->ask.audience && i < s->audience.reads->n; i++)
		pack_str(p, &s->values[i].raw);
}

static void copy_ask(struct hw_shadow *s, const struct hw_ask *ask)
{
	s->ask = (struct hw_ask){.stage = ask->stage, .event = ask->event, .depth = ask->depth};
	if (ask->stage == HW_STAGE_AUTHENTICATE) {
		s->request = *ask->request;
		return;
	}
	if (ask->who)
		s->who = *ask->who;
	if (ask->stage == HW_STAGE_AUTHORIZE)
		s->question = *ask->question;
	if (ask->stage == HW_STAGE_LIFECYCLE)
		s->lifecycle = *ask->lifecycle;
	if (ask->stage != HW_STAGE_TRANSFORM && ask->stage != HW_STAGE_FILTER &&
		ask->stage != HW_STAGE_REDACT)
		s->ask.event = HW_STR_NULL;
	if (ask->audience) {
		s->audience = *ask->audience;
		for (size_t i = 0; i < s->audience.reads->n; i++)
			s->values[i] = ask->audience->values[i];
		s->ask.audience = ask->audience;
	}
}

/* The ask points into the copy from now on. */
static void point(struct hw_shadow *s)
{
	enum hw_hook_stage stage = s->ask.stage;

	s->ask.shadow = s;
	if (entry_of(s)->global)
		s->ask.global = s->bench;
	else
		s->ask.tenant = s->bench;
	if (stage == HW_STAGE_AUTHENTICATE)
		s->ask.request = &s->request;
	else
		s->ask.who = &s->who;
	if (stage == HW_STAGE_AUTHORIZE)
		s->ask.question = &s->question;
	if (stage == HW_STAGE_LIFECYCLE)
		s->ask.lifecycle = &s->lifecycle;
	if (s->ask.audience) {
		s->audience.values = s->values;
		s->ask.audience = &s->audience;
	}
}

static void drop(struct hw_hook_bench *bench, size_t i)
{
	if (bench->stats[i].dropped)
		hw_metric_add(bench->stats[i].dropped, 1);
}

void hw_shadow_keep(struct hw_shadow **kept, struct hw_hook_bench *bench, size_t i,
	const struct hw_ask *ask, struct hw_str tenant, struct hw_str topic)
{
	struct hw_shadow draft = {.bench = bench, .i = i, .tenant = tenant, .topic = topic}, *s;
	struct packer p = {NULL, 0};

	if (bench->trial || bench->closing)
		return;
	copy_ask(&draft, ask);
	pack_all(&p, &draft);
	draft.bytes = sizeof(draft) + p.bytes;
	s = bench->n_shadows < SHADOWS_MAX && bench->shadow_bytes + draft.bytes <= SHADOW_BYTES_MAX
		    ? malloc(draft.bytes)
		    : NULL;
	if (!s) {
		drop(bench, i);
		return;
	}
	memcpy(s, &draft, sizeof(draft));
	p.at = s->text;
	pack_all(&p, s);
	point(s);
	hw_list_init(&s->due);
	hw_list_init(&s->of_bench);
	hw_list_push(&bench->shadows, &s->of_bench);
	bench->n_shadows++;
	bench->shadow_bytes += s->bytes;
	s->next = *kept;
	*kept = s;
}

static void forget(struct hw_shadow *s)
{
	hw_list_remove(&s->due);
	hw_list_remove(&s->of_bench);
	s->bench->n_shadows--;
	s->bench->shadow_bytes -= s->bytes;
	hw_identity_unref(&s->identity);
	explicit_bzero(s, s->bytes); /* a token is in it */
	free(s);
}

void hw_shadows_forget(struct hw_shadow **kept)
{
	struct hw_shadow *s;

	while ((s = *kept)) {
		*kept = s->next;
		forget(s);
	}
}

void hw_shadows_end(struct hw_hook_bench *bench)
{
	while (!hw_list_empty(&bench->shadows)) {
		struct hw_shadow *s =
			HW_CONTAINER_OF(bench->shadows.next, struct hw_shadow, of_bench);

		if (s->waits) {
			struct hw_hook_entry *entry = entry_of(s);

			entry->ops->cancel(entry, bench->states[s->i], &s->ask);
			hw_bench_forgotten(bench, s->i);
		}
		drop(bench, s->i);
		forget(s);
	}
}

/* ---- would it have been another decision? ---- */

/* Has the live identity every claim that the shadow gives, as it gives it? */
static bool has_claim(struct hw_str claims, struct hw_json name, struct hw_json value)
{
	struct hw_json key, other;
	struct hw_json_reader r;

	hw_json_init(&r, claims, 0);
	if (hw_json_enter(&r, HW_JSON_OBJECT) != 0)
		return false;
	while (hw_json_member(&r, &key) == 0 && hw_json_value(&r, &other) == 0)
		if (hw_json_same(key, name))
			return hw_str_eq(other.raw, value.raw);
	return false;
}

static bool has_claims(struct hw_str claims, const char *given)
{
	struct hw_json key, value;
	struct hw_json_reader r;

	if (!given)
		return true;
	hw_json_init(&r, hw_str_of(given), 0);
	if (hw_json_enter(&r, HW_JSON_OBJECT) != 0)
		return false;
	while (hw_json_member(&r, &key) == 0 && hw_json_value(&r, &value) == 0)
		if (!has_claim(claims, key, value))
			return false;
	return !r.error;
}

static bool same_text(const char *given, struct hw_str is)
{
	return !given || hw_str_eq(hw_str_of(given), is);
}

static bool same_identity(const struct hw_identity *is, const struct hw_entry_answer *answer)
{
	if (!same_text(answer->user_id, is->user_id) ||
		!same_text(answer->tenant_id, is->tenant_id) ||
		!has_claims(is->claims, answer->claims) || (answer->act_as && !is->act_as))
		return false;
	if (answer->has_expires_at && (is->expires_at == 0 || answer->expires_at < is->expires_at))
		return false;
	for (size_t i = 0; i < answer->n_tenants; i++)
		if (!hw_identity_may_publish_to(is, hw_str_of(answer->tenants[i])))
			return false;
	return true;
}

/* DENY and ERROR end every walk; what else @verdict makes of one is for the stages to say. */
static bool ends_the_same(const struct hw_shadow *s, enum hw_verdict verdict)
{
	return s->verdict == verdict;
}

static bool authenticate_agrees(
	const struct hw_shadow *s, enum hw_verdict verdict, const struct hw_entry_answer *answer)
{
	if (verdict == HW_DENY || verdict == HW_ERROR)
		return ends_the_same(s, verdict);
	if (verdict == HW_DEFER)
		return true;
	if (s->verdict == HW_ALLOW)
		return same_identity(s->identity, answer);
	/* only where nobody else allowed would its allow have counted */
	return s->by[0] != '\0' || !entry_of(s)->global;
}

static bool authorize_agrees(
	const struct hw_shadow *s, enum hw_verdict verdict, const struct hw_entry_answer *answer)
{
	bool grants = s->question.operation == HW_OP_PUBLISH && answer->act_as && !s->act_as;

	if (verdict == HW_DENY || verdict == HW_ERROR)
		return ends_the_same(s, verdict);
	if (verdict == HW_ALLOW && s->verdict == HW_ALLOW)
		return !grants;
	if (entry_of(s)->global)
		return true; /* a guard can only refuse */
	return verdict == HW_DEFER ? !s->unasked : s->verdict == HW_ALLOW;
}

static bool changes_event(const struct hw_shadow *s, const struct hw_entry_answer *answer)
{
	return answer->event &&
	       !hw_str_eq((struct hw_str){answer->event, answer->event_len}, s->ask.event);
}

static bool agrees(
	const struct hw_shadow *s, enum hw_verdict verdict, const struct hw_entry_answer *answer)
{
	switch (s->ask.stage) {
	case HW_STAGE_AUTHENTICATE:
		return authenticate_agrees(s, verdict, answer);
	case HW_STAGE_AUTHORIZE:
		return authorize_agrees(s, verdict, answer);
	case HW_STAGE_TRANSFORM:
		if (verdict == HW_DENY || verdict == HW_ERROR)
			return ends_the_same(s, verdict);
		return s->verdict != HW_ALLOW || !changes_event(s, answer);
	case HW_STAGE_FILTER:
	case HW_STAGE_REDACT:
		/* withheld is withheld, whatever for */
		return s->verdict != HW_ALLOW || (verdict == HW_ALLOW && !changes_event(s, answer));
	case HW_STAGE_LIFECYCLE:
	case HW_STAGE_EVERY:
		break;
	}
	return true;
}

static const char *name_of(enum hw_verdict verdict)
{
	return verdict == HW_ALLOW   ? "allow"
	       : verdict == HW_DENY  ? "deny"
	       : verdict == HW_DEFER ? "defer"
				     : "error";
}

/* The first, and one a second from then on. Neither tokens nor payloads are in it. */
static void tell(const struct hw_shadow *s, enum hw_verdict verdict)
{
	struct hw_bench_stats *stats = &s->bench->stats[s->i];
	struct hw_str session = {s->who.session.p, s->who.session.len};
	int64_t now_ms = hw_clock_mono_ms(s->bench->env->clock);

	if (now_ms < stats->shadow_log_after_ms) {
		stats->n_shadow_unlogged++;
		return;
	}
	hw_log(s->bench->env->log, HW_LOG_INFO, "hook", "a shadow would have decided otherwise",
		HW_F_Z("hook", entry_of(s)->name), HW_F_STR("tenant", s->tenant),
		HW_F_Z("stage", hw_stage_name(s->ask.stage)), HW_F_Z("shadow", name_of(verdict)),
		HW_F_Z("decided", name_of(s->verdict)), HW_F_Z("by", s->by),
		HW_F_STR(s->topic.len ? "topic" : NULL, s->topic),
		HW_F_STR(session.len ? "session" : NULL, session),
		HW_F_SOME("unlogged", stats->n_shadow_unlogged));
	stats->shadow_log_after_ms = now_ms + LOG_EVERY_MS;
	stats->n_shadow_unlogged = 0;
}

/* The answer is there, and with it the end. */
static void take(struct hw_shadow *s, struct hw_entry_answer *answer)
{
	enum hw_verdict verdict = answer->verdict;
	const struct hw_hook_stage_series *series = s->bench->stats[s->i].stages[s->ask.stage];

	if (verdict != HW_ALLOW && verdict != HW_DENY && verdict != HW_DEFER) {
		verdict = HW_ERROR;
		hw_bench_note_error(s->bench, s->i, s->ask.stage, s->tenant, answer);
	}
	if (s->ask.stage != HW_STAGE_LIFECYCLE) {
		bool same = agrees(s, verdict, answer);

		if (series && series->agrees[same])
			hw_metric_add(series->agrees[same], 1);
		if (!same)
			tell(s, verdict);
	}
	hw_entry_answer_fini(answer);
	forget(s);
}

/* ---- asking ---- */

static void ask(struct hw_shadow *s)
{
	struct hw_entry_answer answer = {0};

	if (s->ask.audience) {
		hw_view_call(s->bench, s->i, &s->ask, s->topic, &answer);
	} else {
		answer.verdict = hw_bench_call(s->bench, s->i, &s->ask, &answer);
		if (answer.verdict == HW_PENDING) {
			hw_entry_answer_fini(&answer);
			s->waits = true;
			return;
		}
	}
	take(s, &answer);
}

void hw_shadow_resume(struct hw_shadow *s, struct hw_entry_answer *answer)
{
	if (!s->waits) {
		hw_entry_answer_fini(answer);
		return;
	}
	s->waits = false;
	hw_bench_timed(s->bench, s->i, s->ask.stage, answer->verdict, s->ask.began_ns);
	hw_bench_answered(s->bench, s->i, answer);
	take(s, answer);
}

static void on_turn(struct hw_timer *timer)
{
	struct hw_hook_inbox *inbox = HW_CONTAINER_OF(timer, struct hw_hook_inbox, shadow_turn);
	int64_t began_ns = hw_hook_now_ns(), spent_ns = 0;
	struct hw_list *node;

	while (spent_ns < SLICE_NS && (node = hw_list_pop(&inbox->shadows))) {
		ask(HW_CONTAINER_OF(node, struct hw_shadow, due));
		spent_ns = hw_hook_now_ns() - began_ns;
	}
	if (!hw_list_empty(&inbox->shadows))
		hw_timer_arm(inbox->timers, timer,
			hw_clock_mono_ms(inbox->env->clock) +
				IDLE_SHARE * (spent_ns + SLICE_NS - 1) / SLICE_NS);
}

void hw_shadows_init(struct hw_hook_inbox *inbox)
{
	hw_list_init(&inbox->shadows);
	hw_timer_init(&inbox->shadow_turn, on_turn);
}

static void note_live(struct hw_shadow *s, const struct hw_shadow_live *live)
{
	s->verdict = live->verdict;
	s->act_as = live->act_as;
	s->unasked = live->unasked;
	snprintf(s->by, sizeof(s->by), "%s", live->by ? live->by : "");
	if (live->identity)
		s->identity = hw_identity_ref((struct hw_identity *)(uintptr_t)live->identity);
}

void hw_shadows_decided(struct hw_shadow **kept, const struct hw_shadow_live *live)
{
	struct hw_shadow *s;

	while ((s = *kept)) {
		struct hw_hook_inbox *inbox = hw_hook_inbox_of(s->bench->env, s->bench->worker);

		*kept = s->next;
		note_live(s, live);
		if (!inbox) {
			ask(s);
			continue;
		}
		hw_list_push(&inbox->shadows, &s->due);
		if (!hw_timer_armed(&inbox->shadow_turn))
			hw_timer_arm(inbox->timers, &inbox->shadow_turn,
				hw_clock_mono_ms(inbox->env->clock));
	}
}
