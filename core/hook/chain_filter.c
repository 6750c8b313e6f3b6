#include "hook/audience.h"
#include "hook/chain_internal.h"
#include "hook/decisions_internal.h"
#include "hook/series.h"
#include "hook/shadow.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/event.h"

/* The last part of the one chain: what of an event a class of recipients gets. Asked once an event
 * and class, so it never waits; everything that is not a clear yes withholds the event. */

struct step {
	struct hw_ask ask;
	struct hw_view *view;
	const struct hw_json *values; /* of the entries still to be asked */
	struct hw_shadow *shadows;    /* that were on the way */
	enum hw_verdict verdict;
};

/* A hook's event is held to the same rules as a client's; where it goes is not a hook's to change.
 */
static bool event_valid(struct hw_str topic, struct hw_entry_answer *answer)
{
	struct hw_event ev;
	struct hw_err err = {""};

	if (hw_event_parse((struct hw_str){answer->event, answer->event_len}, 0, &ev, NULL, &err))
		snprintf(answer->detail, sizeof(answer->detail), "made an invalid event: %.200s",
			err.text);
	else if (!hw_str_eq(ev.topic, topic))
		snprintf(answer->detail, sizeof(answer->detail), "changed the event's topic");
	else
		return true;
	return false;
}

static void take_event(struct step *step, struct hw_entry_answer *answer)
{
	struct hw_view *view = step->view;

	if (!answer->event)
		return;
	free(view->new_event);
	view->new_event = answer->event;
	view->new_event_len = answer->event_len;
	step->ask.event = (struct hw_str){view->new_event, view->new_event_len};
	answer->event = NULL;
}

/* One entry's answer, with all that makes it a failure taken into account: its breaker counts that.
 */
void hw_view_call(struct hw_hook_bench *bench, size_t i, struct hw_ask *ask, struct hw_str topic,
	struct hw_entry_answer *answer)
{
	struct hw_hook_entry *entry = hw_hook_chain_entry(bench->chain, i);

	answer->verdict = HW_ERROR;
	if (!hw_bench_admit(bench, i, ask->stage)) {
		snprintf(answer->detail, sizeof(answer->detail),
			"not asked: its last calls failed, and its breaker is open");
		return;
	}
	ask->began_ns = hw_hook_now_ns();
	answer->verdict = entry->ops->call(entry, bench->states[i], ask, answer);
	if (answer->verdict == HW_PENDING) {
		entry->ops->cancel(entry, bench->states[i], ask);
		snprintf(answer->detail, sizeof(answer->detail), "%s cannot wait",
			hw_stage_name(ask->stage));
		answer->verdict = HW_ERROR;
	} else if (answer->verdict == HW_ALLOW && answer->event && !event_valid(topic, answer)) {
		answer->verdict = HW_ERROR;
	}
	hw_bench_timed(bench, i, ask->stage, answer->verdict, ask->began_ns);
	hw_bench_note(bench, i, answer);
}

static void tell(const struct step *step, const struct hw_hook_entry *entry,
	const struct hw_entry_answer *answer)
{
	struct hw_view_heard heard = {.entry = entry->name,
		.global = entry->global,
		.stage = step->ask.stage,
		.audience = step->ask.audience,
		.verdict = answer->verdict,
		.changed = answer->event != NULL,
		.detail = answer->detail[0] ? answer->detail : answer->message};

	step->view->heard(step->view, &heard);
}

static void ask_entry(struct step *step, struct hw_hook_bench *bench, size_t i)
{
	struct hw_hook_entry *entry = hw_hook_chain_entry(bench->chain, i);
	enum hw_hook_stage stage = step->ask.stage;
	const struct hw_reads *reads = &entry->reads[stage == HW_STAGE_REDACT];
	struct hw_audience audience = {.reads = reads, .values = step->values};
	struct hw_entry_answer answer = {0};

	step->values += reads->n;
	step->ask.audience = &audience;
	if (entry->shadow) {
		hw_shadow_keep(&step->shadows, bench, i, &step->ask,
			hw_ask_tenant(&step->ask, entry), step->view->topic);
		return;
	}
	step->view->decided_by = entry->name;
	hw_view_call(bench, i, &step->ask, step->view->topic, &answer);
	if (step->view->heard)
		tell(step, entry, &answer);
	switch (answer.verdict) {
	case HW_ALLOW:
		take_event(step, &answer);
		break;
	case HW_DEFER:
	case HW_DENY:
		step->verdict = HW_DENY;
		break;
	default: /* HW_ERROR, or any other number, which a plugin may return */
		step->verdict = HW_ERROR;
		hw_bench_note_error(bench, i, stage, step->view->tenant_id, &answer);
	}
	hw_entry_answer_fini(&answer);
}

static void ask_stage(struct step *step, enum hw_hook_stage stage)
{
	struct hw_hook_bench *benches[] = {step->view->global, step->view->tenant};

	step->ask.stage = stage;
	for (size_t b = 0; b < HW_COUNT(benches); b++) {
		for (size_t i = 0; i < benches[b]->n_entries && step->verdict == HW_ALLOW; i++) {
			if (hw_entry_asked(hw_hook_chain_entry(benches[b]->chain, i), stage,
				    HW_OP_SUBSCRIBE))
				ask_entry(step, benches[b], i);
		}
	}
}

enum hw_verdict hw_hooks_view(struct hw_view *view)
{
	struct hw_who who = {
		.size = sizeof(who), .tenant_id = {view->tenant_id.p, view->tenant_id.len}};
	struct step step = {
		.ask = {.global = view->global,
			.tenant = view->tenant,
			.who = &who,
			.event = view->event},
		.view = view,
		.values = view->values,
		.verdict = HW_ALLOW,
	};
	int64_t began_ns = hw_decisions_begin(view->global->env, HW_STAGE_FILTER);

	view->new_event = NULL;
	view->new_event_len = 0;
	view->decided_by = "";
	if (!view->tenant || view->tenant->closing || view->global->closing)
		return HW_ERROR;
	ask_stage(&step, HW_STAGE_FILTER);
	ask_stage(&step, HW_STAGE_REDACT);
	hw_shadows_decided(&step.shadows,
		&(struct hw_shadow_live){.verdict = step.verdict, .by = view->decided_by});
	if (step.verdict != HW_ALLOW) {
		free(view->new_event);
		view->new_event = NULL;
		view->new_event_len = 0;
	}
	if (began_ns)
		hw_decisions_note_view(view, step.verdict, began_ns);
	return step.verdict;
}
