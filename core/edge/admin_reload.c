#include <stdlib.h>

#include "edge/edge_internal.h"
#include "wire/query.h"
#include "wire/topic.h"

void control_free(struct control_wait *wait)
{
	hw_list_remove(&wait->link);
	free(wait->request.user);
	free(wait->request.tenant);
	free(wait->request.topic);
	free(wait->request.event);
	free(wait->request.trace);
	free(wait->request.session);
	free(wait->request.jti);
	free(wait->request.after);
	free(wait->request.reason);
	hw_buf_fini(&wait->request.body);
	free(wait);
}

static void on_answered(struct hw_task *task)
{
	struct control_wait *wait = HW_CONTAINER_OF(task, struct control_wait, request.answered);
	struct exchange *ex = wait->ex;

	if (ex) {
		ex->control = NULL;
		if (wait->request.body.failed) {
			exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
			answer_refusal(ex);
		} else {
			answer_json(ex, wait->request.status, hw_buf_view(&wait->request.body));
		}
	}
	control_free(wait);
	if (ex)
		http_resume(ex);
}

struct control_wait *control_new(struct exchange *ex, enum hw_control_kind kind)
{
	struct hw_edge *edge = http_edge(ex);
	struct control_wait *wait = edge->control ? calloc(1, sizeof(*wait)) : NULL;

	if (!wait) {
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE,
			edge->control ? "out of memory" : "this broker takes no such requests");
		answer_refusal(ex);
		return NULL;
	}
	wait->request.kind = kind;
	wait->request.loop = edge->worker->loop;
	wait->request.answered.run = on_answered;
	hw_buf_init(&wait->request.body);
	hw_list_push(&edge->controls, &wait->link);
	wait->ex = ex;
	return wait;
}

void control_begin(struct control_wait *wait)
{
	struct exchange *ex = wait->ex;
	struct hw_edge *edge = http_edge(ex);

	ex->control = wait;
	ex->waiting = true;
	edge->control(edge->control_arg, &wait->request);
}

void control_abandon(struct exchange *ex)
{
	if (ex->control)
		ex->control->ex = NULL;
	ex->control = NULL;
}

void controls_fini(struct hw_edge *edge)
{
	while (!hw_list_empty(&edge->controls))
		control_free(HW_CONTAINER_OF(edge->controls.next, struct control_wait, link));
}

/* ?dry_run=1 is the one parameter; what may be a misspelled one must not reload. */
void admin_read_head(struct exchange *ex, const struct hw_http1_request *request)
{
	struct hw_str name, value;
	struct hw_buf scratch;
	struct hw_query query;
	int r;

	if ((ex->route->handle == admin_sessions || ex->route->handle == admin_explain ||
		    ex->route->handle == admin_revocations) &&
		request->query.p)
		ex->query = exchange_keep(ex, request->query);
	if (ex->route->handle != admin_reload)
		return;
	hw_buf_init(&scratch);
	hw_query_init(&query, request->query);
	while (!(r = hw_query_next(&query, &scratch, &name, &value))) {
		if (!hw_str_eq(name, HW_STR("dry_run")) ||
			(!hw_str_eq(value, HW_STR("1")) && !hw_str_eq(value, HW_STR("0"))))
			exchange_refuse(
				ex, 0, HW_CODE_BAD_REQUEST, "the query is dry_run=1, or none");
		ex->dry_run = hw_str_eq(value, HW_STR("1"));
	}
	if (r != HW_QUERY_END)
		exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, "the query is malformed");
	hw_buf_fini(&scratch);
}

void admin_reload(struct exchange *ex)
{
	struct control_wait *wait =
		control_new(ex, ex->dry_run ? HW_CONTROL_DRY_RUN : HW_CONTROL_RELOAD);

	if (wait)
		control_begin(wait);
}

/* ---- reauthorize ---- */

/* NULL, or what is wrong with the body. */
static const char *read_match(struct hw_str body, struct hw_control_request *request)
{
	const struct admin_member members[] = {{"user", &request->user, NULL},
		{"tenant", &request->tenant, NULL}, {"topic", &request->topic, NULL}};
	const char *why = admin_read_members(body, members, HW_COUNT(members));

	if (why)
		return why;
	if (!request->user && !request->tenant && !request->topic)
		return "say whose sessions: user, tenant or topic";
	if (request->topic && !hw_topic_pattern_valid(hw_str_of(request->topic)))
		return "the topic is neither resource:id nor resource:*";
	return NULL;
}

void admin_reauthorize(struct exchange *ex)
{
	struct control_wait *wait = control_new(ex, HW_CONTROL_REAUTHORIZE);
	const char *why;

	if (!wait)
		return;
	why = read_match(hw_buf_view(&ex->body), &wait->request);
	if (!why) {
		control_begin(wait);
		return;
	}
	control_free(wait);
	exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, why);
	answer_refusal(ex);
}
