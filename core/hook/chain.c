#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "hook/chain_internal.h"
#include "hook/decisions_internal.h"
#include "hook/draft.h"
#include "hook/shadow.h"

/* A walk's place in the list of a bench that must not die under it. */
struct place {
	struct hw_list link;
	struct walk *walk;
};

/* A question on its way. On the stack of hw_hooks_ask; on the heap while it waits, and from then
 * on.
 *
 *   global bench: entry 0, 1, … -> (authenticate: find_tenant) -> tenant bench: entry 0, 1, … ->
 * finish each entry: call -> answer -> go on, or decided; or PENDING -> parked -> resume with the
 * answer
 */
struct walk {
	struct hw_ask *ask;
	struct place in_global, in_tenant; /* linked while it waits */
	bool at_tenant;                    /* the second half has begun */
	bool waiting;
	bool act_as;               /* AUTHORIZE: by a guard that allowed */
	bool unasked;              /* AUTHORIZE(SESSION): nobody of the tenant's is asked */
	struct hw_shadow *shadows; /* that it came by */
	struct hw_draft draft;     /* AUTHENTICATE */
	int64_t began_ns;          /* for the decision log; 0: it does not want to know */
	struct hw_str event;       /* as it was at first */
};

static struct hw_hook_bench *bench_of(const struct walk *w)
{
	return w->at_tenant ? w->ask->tenant : w->ask->global;
}

static struct hw_hook_entry *entry_of(const struct walk *w)
{
	return hw_hook_chain_entry(bench_of(w)->chain, w->ask->position);
}

struct hw_str hw_ask_tenant(const struct hw_ask *ask, const struct hw_hook_entry *entry)
{
	const struct walk *w = ask->internal;

	if (!entry->global && ask->tenant)
		return hw_str_of(ask->tenant->tenant);
	if (ask->who)
		return (struct hw_str){ask->who->tenant_id.p, ask->who->tenant_id.len};
	if (ask->shadow)
		return hw_shadow_tenant(ask->shadow);
	return w ? hw_str_of(w->draft.tenant_id) : HW_STR_NULL;
}

struct hw_str hw_ask_user(const struct hw_ask *ask)
{
	const struct walk *w = ask->internal;

	return w && w->draft.fixed ? hw_str_of(w->draft.user_id) : HW_STR_NULL;
}

/* ---- the ends of a walk ---- */

static enum hw_verdict decide(struct hw_ask *ask, enum hw_verdict verdict, const char *code,
	const char *by, const char *message)
{
	ask->verdict = verdict;
	ask->code = code;
	ask->decided_by = by;
	snprintf(ask->message, sizeof(ask->message), "%s", message);
	if (verdict != HW_ALLOW) {
		free(ask->new_event);
		ask->new_event = NULL;
		ask->new_event_len = 0;
	}
	return verdict;
}

static void log_it(const struct walk *w)
{
	if (w->began_ns)
		hw_decisions_note(w->ask, w->event, w->began_ns);
}

static enum hw_verdict allow(struct hw_ask *ask, const char *by)
{
	return decide(ask, HW_ALLOW, NULL, by, "");
}

static enum hw_verdict unavailable(struct hw_ask *ask, const char *by)
{
	return decide(ask, HW_ERROR, "unavailable", by, "");
}

static void note_error(struct walk *w, const struct hw_entry_answer *answer)
{
	hw_bench_note_error(bench_of(w), w->ask->position, w->ask->stage,
		hw_ask_tenant(w->ask, entry_of(w)), answer);
}

static enum hw_verdict fail(struct walk *w, const struct hw_entry_answer *answer)
{
	note_error(w, answer);
	return decide(w->ask, HW_ERROR, "unavailable", entry_of(w)->name, answer->message);
}

static enum hw_verdict deny(struct walk *w, const struct hw_entry_answer *answer, const char *code)
{
	w->ask->retry_after_ms = answer->retry_after_ms;
	return decide(w->ask, HW_DENY, answer->code ? answer->code : code, entry_of(w)->name,
		answer->message);
}

/* ---- what each stage makes of an answer: true when that decides ---- */

static bool take_authenticate(struct walk *w, struct hw_entry_answer *answer)
{
	int rc;

	if (answer->verdict == HW_DENY) {
		deny(w, answer, "unauthorized");
		return true;
	}
	if (answer->verdict != HW_ALLOW)
		return false;
	rc = hw_draft_take(&w->draft, entry_of(w), answer);
	if (rc < 0) {
		/* What the hook wanted to say went with an answer that is not given. */
		answer->message[0] = '\0';
		if (!answer->detail[0])
			snprintf(answer->detail, sizeof(answer->detail), "%s", strerror(-rc));
		fail(w, answer);
		return true;
	}
	return false;
}

static bool take_authorize(struct walk *w, struct hw_entry_answer *answer)
{
	if (answer->verdict == HW_DENY) {
		deny(w, answer, "forbidden_topic");
		return true;
	}
	if (answer->verdict != HW_ALLOW)
		return false;
	if (w->ask->question->operation == HW_OP_PUBLISH && answer->act_as)
		w->act_as = true;
	if (!w->at_tenant)
		return false; /* a guard can only refuse */
	w->ask->act_as = w->act_as;
	allow(w->ask, entry_of(w)->name);
	return true;
}

static bool take_transform(struct walk *w, struct hw_entry_answer *answer)
{
	struct hw_ask *ask = w->ask;

	if (answer->verdict == HW_DENY) {
		deny(w, answer, "forbidden_topic");
		return true;
	}
	if (answer->event) {
		free(ask->new_event);
		ask->new_event = answer->event;
		ask->new_event_len = answer->event_len;
		ask->event = (struct hw_str){ask->new_event, ask->new_event_len};
		answer->event = NULL;
	}
	return false;
}

static void tell(const struct walk *w, const struct hw_entry_answer *answer)
{
	const struct hw_hook_entry *entry = entry_of(w);
	struct hw_heard heard = {.entry = entry->name,
		.global = entry->global,
		.verdict = answer->verdict,
		.said = answer->said,
		.code = answer->code,
		.message = answer->message,
		.detail = answer->detail,
		.event = {answer->event, answer->event_len}};

	w->ask->heard(w->ask, &heard);
}

static bool take(struct walk *w, struct hw_entry_answer *answer)
{
	bool decided = false;

	if (w->ask->heard)
		tell(w, answer);

	/* HW_ERROR, or any other number, which a plugin may return */
	if (answer->verdict != HW_DEFER && answer->verdict != HW_ALLOW &&
		answer->verdict != HW_DENY) {
		decided = w->ask->stage != HW_STAGE_LIFECYCLE;
		if (decided)
			fail(w, answer);
		else
			note_error(w, answer);
		return decided;
	}
	switch (w->ask->stage) {
	case HW_STAGE_AUTHENTICATE:
		decided = take_authenticate(w, answer);
		break;
	case HW_STAGE_AUTHORIZE:
		decided = take_authorize(w, answer);
		break;
	case HW_STAGE_TRANSFORM:
		decided = take_transform(w, answer);
		break;
	case HW_STAGE_FILTER: /* chain_filter.c's */
	case HW_STAGE_REDACT:
	case HW_STAGE_LIFECYCLE:
	case HW_STAGE_EVERY:
		break;
	}
	return decided;
}

/* ---- the way ---- */

static bool closing(const struct hw_ask *ask)
{
	return ask->global->closing || (ask->tenant && ask->tenant->closing);
}

/* The tenant is known from here on. */
static bool enter_tenant_of_draft(struct walk *w)
{
	struct hw_ask *ask = w->ask;

	if (!w->draft.fixed) {
		decide(ask, HW_DENY, "unauthorized", "", "");
		return true;
	}
	if (ask->tenant || !ask->find_tenant)
		return false;
	ask->tenant = ask->find_tenant(ask, hw_str_of(w->draft.tenant_id));
	if (!ask->tenant) {
		bool refused = ask->code && strcmp(ask->code, "unavailable") != 0;

		ask->verdict = refused ? HW_DENY : HW_ERROR;
		ask->code = refused ? ask->code : "unavailable";
		return true;
	}
	if (closing(ask)) {
		unavailable(ask, "");
		return true;
	}
	return false;
}

/* From the guards to the tenant's own entries. true when it ends here. */
static bool enter_tenant(struct walk *w)
{
	struct hw_ask *ask = w->ask;

	if (ask->stage == HW_STAGE_AUTHENTICATE && enter_tenant_of_draft(w))
		return true;
	if (ask->stage == HW_STAGE_AUTHORIZE && ask->question->operation == HW_OP_SESSION &&
		ask->tenant && !hw_hook_bench_has_operation(ask->tenant, HW_OP_SESSION))
		w->unasked = true; /* but shadows may be on the way to the end */
	w->at_tenant = true;
	ask->position = 0;
	return false;
}

/* Nobody ended it. */
static enum hw_verdict finish(struct walk *w)
{
	struct hw_ask *ask = w->ask;

	switch (ask->stage) {
	case HW_STAGE_AUTHENTICATE:
		ask->identity = hw_draft_identity(&w->draft);
		return ask->identity ? allow(ask, w->draft.fixed_by) : unavailable(ask, "");
	case HW_STAGE_AUTHORIZE:
		if (w->unasked)
			break;
		return decide(ask, HW_DENY, "forbidden_topic", "", "");
	case HW_STAGE_TRANSFORM:
	case HW_STAGE_FILTER:
	case HW_STAGE_REDACT:
	case HW_STAGE_LIFECYCLE:
	case HW_STAGE_EVERY:
		break;
	}
	return allow(ask, "");
}

/* It is not waited for, nor heard: the walk goes on as if it were not there. */
static void keep_shadow(struct walk *w)
{
	const struct hw_question *question = w->ask->question;
	bool authorize = w->ask->stage == HW_STAGE_AUTHORIZE;

	hw_shadow_keep(&w->shadows, bench_of(w), w->ask->position, w->ask,
		hw_ask_tenant(w->ask, entry_of(w)),
		authorize ? (struct hw_str){question->topic.p, question->topic.len} : HW_STR_NULL);
}

static void tell_shadows(struct walk *w)
{
	const struct hw_ask *ask = w->ask;

	if (!w->shadows)
		return;
	hw_shadows_decided(&w->shadows, &(struct hw_shadow_live){.verdict = ask->verdict,
						.by = ask->decided_by,
						.identity = ask->identity,
						.act_as = ask->act_as,
						.unasked = w->unasked});
}

/* The next entry that is asked, from where the walk stands. 0 there is one; 1 decided; -1 none is
 * left. */
static int seek(struct walk *w)
{
	struct hw_ask *ask = w->ask;
	int about = 0;

	if (ask->stage == HW_STAGE_AUTHORIZE)
		about = ask->question->operation;
	else if (ask->stage == HW_STAGE_LIFECYCLE)
		about = ask->lifecycle->kind;

	for (;;) {
		struct hw_hook_bench *bench = bench_of(w);

		if (bench && ask->position < bench->n_entries) {
			if (hw_entry_asked(entry_of(w), ask->stage, about)) {
				if (!entry_of(w)->shadow)
					return 0;
				keep_shadow(w);
			}
			ask->position++;
			continue;
		}
		if (w->at_tenant)
			return -1;
		if (enter_tenant(w))
			return 1;
	}
}

static enum hw_verdict go(struct walk *w)
{
	struct hw_ask *ask = w->ask;

	for (;;) {
		struct hw_entry_answer answer = {0};
		struct hw_hook_bench *bench;
		int found = seek(w);
		bool decided;

		if (found != 0)
			return found < 0 ? finish(w) : ask->verdict;
		bench = bench_of(w);
		answer.verdict = hw_bench_call(bench, ask->position, ask, &answer);
		if (answer.verdict == HW_PENDING) {
			hw_entry_answer_fini(&answer);
			return HW_PENDING;
		}
		decided = take(w, &answer);
		hw_entry_answer_fini(&answer);
		if (decided)
			return ask->verdict;
		ask->position++;
	}
}

/* ---- waiting ---- */

static void wait_for_answer(struct walk *w)
{
	w->waiting = true;
	hw_list_push(&w->ask->global->pending, &w->in_global.link);
	if (w->ask->tenant)
		hw_list_push(&w->ask->tenant->pending, &w->in_tenant.link);
}

static void stop_waiting(struct walk *w)
{
	w->waiting = false;
	hw_list_remove(&w->in_global.link);
	hw_list_remove(&w->in_tenant.link);
}

static void cancel_call(struct walk *w)
{
	struct hw_hook_entry *entry = entry_of(w);

	entry->ops->cancel(entry, bench_of(w)->states[w->ask->position], w->ask);
	hw_bench_forgotten(bench_of(w), w->ask->position);
}

static void forget(struct walk *w)
{
	w->ask->internal = NULL;
	hw_shadows_forget(&w->shadows);
	hw_draft_fini(&w->draft);
	free(w);
}

static struct walk *to_heap(const struct walk *from)
{
	struct walk *w = malloc(sizeof(*w));

	if (!w)
		return NULL;
	*w = *from;
	hw_list_init(&w->in_global.link);
	hw_list_init(&w->in_tenant.link);
	w->in_global.walk = w->in_tenant.walk = w;
	w->ask->internal = w;
	return w;
}

enum hw_verdict hw_hooks_ask(struct hw_ask *ask)
{
	struct walk w = {.ask = ask}, *parked;
	enum hw_verdict verdict;

	ask->decided_by = "";
	ask->position = 0;
	w.began_ns = hw_decisions_begin(ask->global->env, ask->stage);
	w.event = ask->event;
	if (closing(ask)) {
		unavailable(ask, "");
		log_it(&w);
		return ask->verdict;
	}
	ask->internal = &w;
	verdict = go(&w);
	if (verdict == HW_PENDING) {
		parked = to_heap(&w);
		if (parked) {
			wait_for_answer(parked);
			return HW_PENDING;
		}
		cancel_call(&w);
		verdict = unavailable(ask, entry_of(&w)->name);
	}
	ask->internal = NULL;
	tell_shadows(&w);
	hw_draft_fini(&w.draft);
	log_it(&w);
	return verdict;
}

void hw_hooks_resume(struct hw_ask *ask, struct hw_entry_answer *answer)
{
	struct walk *w = ask->internal;
	enum hw_verdict verdict;
	bool decided;

	if (ask->shadow) {
		hw_shadow_resume(ask->shadow, answer);
		return;
	}
	if (!w || !w->waiting) {
		hw_entry_answer_fini(answer);
		return;
	}
	stop_waiting(w);
	hw_bench_timed(bench_of(w), ask->position, ask->stage, answer->verdict, ask->began_ns);
	hw_bench_answered(bench_of(w), ask->position, answer);
	decided = take(w, answer);
	hw_entry_answer_fini(answer);
	if (decided) {
		verdict = ask->verdict;
	} else {
		ask->position++;
		verdict = go(w);
	}
	if (verdict == HW_PENDING) {
		wait_for_answer(w);
		return;
	}
	log_it(w);
	tell_shadows(w);
	forget(w);
	ask->decided(ask);
}

void hw_hooks_cancel(struct hw_ask *ask)
{
	struct walk *w = ask->internal;

	if (!w || !w->waiting)
		return;
	stop_waiting(w);
	cancel_call(w);
	unavailable(ask, "");
	forget(w);
}

void hw_walks_end(struct hw_hook_bench *bench)
{
	while (!hw_list_empty(&bench->pending)) {
		struct walk *w = HW_CONTAINER_OF(bench->pending.next, struct place, link)->walk;
		struct hw_ask *ask = w->ask;

		stop_waiting(w);
		cancel_call(w);
		unavailable(ask, entry_of(w)->name);
		log_it(w);
		forget(w);
		ask->decided(ask);
	}
}
