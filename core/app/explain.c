#include "app/control.h"
#include "app/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/broker.h"
#include "app/explain_tell.h"
#include "wire/code.h"
#include "wire/control.h"

enum {
	ANSWER_S = 10,
	SEARCH_MS = 500, /* for a trace: a reload waits as long */
};

static void round_free(struct hw_round *round)
{
	struct explain_round *r = HW_CONTAINER_OF(round, struct explain_round, round);

	for (unsigned i = 0; r->parts && i < r->n_parts; i++)
		if (atomic_load(&r->parts[i].done)) {
			hw_explain_fini(&r->parts[i].explain);
			free(r->parts[i].refusals);
		}
	free(r->parts);
	hw_found_fini(&r->found);
	free(r->trace);
	free(r->user);
	free(r->tenant);
	free(r);
}

static void part_done(struct explain_part *part)
{
	atomic_store(&part->done, true);
	hw_round_done(&part->round->round);
}

static void on_done(struct hw_explain *explain)
{
	part_done(HW_CONTAINER_OF(explain, struct explain_part, explain));
}

/* ---- one worker's part ---- */

static bool fits(const struct explain_round *r, const struct hw_refusal *refusal)
{
	for (size_t i = 0; i < r->n_matches; i++)
		if (hw_refusal_fits(refusal, &r->matches[i]))
			return true;
	return false;
}

static void find_refusals(struct explain_part *part, const struct hw_worker *w)
{
	const struct hw_refusal *refusal;

	part->n_forgotten = w->refusals.n_forgotten;
	part->refusals = calloc(EXPLAIN_REFUSALS, sizeof(*part->refusals));
	if (!part->refusals)
		part->explain.error = -ENOMEM;
	for (size_t i = 0; part->refusals && (refusal = hw_refusals_at(&w->refusals, i)); i++) {
		if (!fits(part->round, refusal))
			continue;
		if (part->n_refusals < EXPLAIN_REFUSALS)
			part->refusals[part->n_refusals++] = *refusal;
		part->n_fitting++;
	}
}

static void run(struct hw_round *round, struct hw_worker_thread *to)
{
	struct explain_round *r = HW_CONTAINER_OF(round, struct explain_round, round);
	struct explain_part *part = &r->parts[to->worker.index];

	part->round = r;
	find_refusals(part, &to->worker);
	if (part->explain.error || !r->user || r->found.outcome != HW_FIND_FOUND) {
		part_done(part);
		return;
	}
	part->explain.worker = &to->worker;
	part->explain.tenant = r->found.tenant->id;
	part->explain.user = hw_str_of(r->user);
	part->explain.event = &r->event;
	part->explain.done = on_done;
	hw_explain_start(&part->explain);
	/* nobody reads an answer that comes too late */
	if (atomic_load(&round->given_up))
		hw_explain_cancel(&part->explain);
}

/* ---- the event ---- */

static int read_event(struct explain_round *r)
{
	struct hw_found *found = &r->found;
	int rc;

	r->event = (struct hw_explain_event){.number = found->number,
		.seq = found->seq,
		.text = {found->text, found->text_len},
		.previous = found->previous ? (struct hw_str){found->previous, found->previous_len}
					    : HW_STR_NULL,
		.wall_ms = found->wall_ms};
	rc = hw_event_parse(r->event.text, HW_JSON_UTF8_DONE, &r->parsed, NULL, NULL);
	r->event.topic = r->parsed.topic;
	return rc > 0 ? -EINVAL : rc;
}

/* What was refused for the same trace, and what kept the user from receiving. */
static void choose_refusals(struct explain_round *r, const struct hw_tenant *named)
{
	struct hw_str trace = hw_str_of(r->trace);

	if (!trace.p && r->parsed.trace_id.kind == HW_JSON_STRING && !r->parsed.trace_id.escaped)
		trace = hw_json_inside(r->parsed.trace_id);
	if (trace.p)
		r->matches[r->n_matches++] = (struct hw_refusal_match){
			.tenant = r->trace ? named : r->found.tenant, .trace = trace};
	if (r->user && r->found.tenant)
		r->matches[r->n_matches++] = (struct hw_refusal_match){
			.tenant = r->found.tenant,
			.user = hw_str_of(r->user),
			.topic = r->event.topic,
			.receiving = true,
		};
}

static int find(struct hw_broker *b, struct explain_round *r, struct hw_cursor id)
{
	struct hw_str tenant = hw_str_of(r->tenant);
	const struct hw_tenant *named = NULL;
	int rc = r->trace ? hw_find_by_trace(&b->tenants, tenant, hw_str_of(r->trace),
				    &hw_clock_system, SEARCH_MS, &r->found)
			  : hw_find_by_id(&b->tenants, tenant, id, &r->found);

	if (!rc && r->found.outcome == HW_FIND_FOUND)
		rc = read_event(r);
	if (rc)
		return rc;
	if (tenant.p) {
		pthread_mutex_lock(&b->tenants.lock);
		named = hw_map_get(&b->tenants.by_id, tenant);
		pthread_mutex_unlock(&b->tenants.lock);
	}
	choose_refusals(r, named);
	return 0;
}

/* ---- the answer ---- */

static struct explain_round *round_new(struct hw_broker *b, struct hw_control_request *request)
{
	struct explain_round *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->parts = calloc(b->n_workers, sizeof(*r->parts));
	if (!r->parts) {
		free(r);
		return NULL;
	}
	r->round.run = run;
	r->round.free = round_free;
	r->n_parts = b->n_workers;
	r->trace = hw_control_take(&request->trace);
	r->user = hw_control_take(&request->user);
	r->tenant = hw_control_take(&request->tenant);
	return r;
}

static unsigned refuse(
	struct hw_buf *body, unsigned status, enum hw_code code, const char *why, int64_t retry_ms)
{
	hw_code_body(body, code, hw_str_of(why), retry_ms);
	return status ? status : hw_code_info(code)->http_status;
}

static unsigned not_found(struct hw_buf *body, const char *why)
{
	return refuse(body, 404, HW_CODE_BAD_REQUEST, why, HW_CONTROL_NO_RETRY);
}

/* What there is nothing to tell of. NULL: there is. */
static const char *nothing(const struct explain_round *r)
{
	switch (r->found.outcome) {
	case HW_FIND_FOUND:
	case HW_FIND_GONE:
		return NULL;
	case HW_FIND_NO_EVENT:
		return "no event has this id: its number was never given, or to an event of a "
		       "topic without history, which has no id; ask with the id that the publisher "
		       "was answered";
	case HW_FIND_NO_TENANT:
		return r->trace ? "this broker has seen no such tenant; look at the name"
				: "no journal here has given this id: it is another broker's, of "
				  "before the last start, or of another tenant than is named; ask "
				  "without tenant, or by trace";
	case HW_FIND_NOWHERE:
	case HW_FIND_GAVE_UP:
		break;
	}
	for (unsigned i = 0; i < r->n_parts; i++)
		if (r->parts[i].n_refusals)
			return NULL;
	return r->found.outcome == HW_FIND_GAVE_UP
		       ? "no event with this trace was found in the newest of the journals, and "
			 "nothing was refused lately with it; the search ended for want of time: "
			 "name the tenant, or ask with the event's id"
		       : "no event in the journals has this trace, and nothing was refused lately "
			 "with it: look at what the publisher was answered";
}

static int ask_workers(struct hw_broker *b, struct explain_round *r, struct hw_buf *body)
{
	int rc = hw_round_go(&r->round, b, ANSWER_S, true);

	for (unsigned i = 0; !rc && i < r->n_parts; i++)
		rc = r->parts[i].explain.error;
	if (!rc && !nothing(r))
		rc = explain_tell(b, r, body);
	return rc;
}

static const char *why_not(int rc)
{
	switch (rc) {
	case -ENOMEM:
		return "out of memory";
	case -EIO:
		return "the tenant's hooks do not start; look at the log, mend the policy and "
		       "reload";
	case -ECANCELED:
		return "a worker is ending";
	default:
		return "a worker does not answer; look at hookwire_hook_pending, and ask again";
	}
}

static unsigned failed(struct hw_buf *body, int rc)
{
	return refuse(body, 0, HW_CODE_UNAVAILABLE, why_not(rc), HW_CONTROL_RETRY_MS);
}

static unsigned ask_all(struct hw_broker *b, struct explain_round *r, struct hw_buf *body)
{
	int rc = ask_workers(b, r, body);
	unsigned status = rc ? failed(body, rc) : nothing(r) ? not_found(body, nothing(r)) : 200;

	hw_round_unref(&r->round);
	return status;
}

unsigned hw_broker_explain(struct hw_broker *b, struct hw_control_request *request)
{
	struct hw_cursor id = {0};
	struct explain_round *r;
	unsigned status;
	int rc;

	if (request->event && hw_cursor_parse(hw_str_of(request->event), &id))
		return refuse(&request->body, 0, HW_CODE_BAD_REQUEST,
			"this is no event's id; one is EPOCH-SEQ, as \"k3f9a-10412\"",
			HW_CONTROL_NO_RETRY);
	r = round_new(b, request);
	if (!r)
		return failed(&request->body, -ENOMEM);
	rc = find(b, r, id);
	if (!rc && r->found.outcome != HW_FIND_NO_TENANT && r->found.outcome != HW_FIND_NO_EVENT)
		return ask_all(b, r, &request->body);
	status = rc ? failed(&request->body, rc) : not_found(&request->body, nothing(r));
	round_free(&r->round);
	return status;
}
