#include <stdlib.h>
#include <string.h>

#include "edge/edge_internal.h"
#include "wire/json.h"
#include "wire/query.h"
#include "wire/topic.h"

/* What the control thread does while the exchange waits. The edge's until it is answered, also when
 * the exchange is gone by then. */
struct control_wait {
	struct hw_control_request request;
	struct hw_list link; /* in the edge's */
	struct exchange *ex; /* NULL: nobody waits any more */
};

static void wait_free(struct control_wait *wait)
{
	hw_list_remove(&wait->link);
	free(wait->request.user);
	free(wait->request.tenant);
	free(wait->request.topic);
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
	wait_free(wait);
	if (ex)
		http_resume(ex);
}

static struct control_wait *wait_new(struct exchange *ex, enum hw_control_kind kind)
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

static void wait_begin(struct control_wait *wait)
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
		wait_free(HW_CONTAINER_OF(edge->controls.next, struct control_wait, link));
}

/* ?dry_run=1 is the one parameter; what may be a misspelled one must not reload. */
void admin_read_head(struct exchange *ex, const struct hw_http1_request *request)
{
	struct hw_str name, value;
	struct hw_buf scratch;
	struct hw_query query;
	int r;

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
		wait_new(ex, ex->dry_run ? HW_CONTROL_DRY_RUN : HW_CONTROL_RELOAD);

	if (wait)
		wait_begin(wait);
}

/* ---- reauthorize ---- */

/* @why is static. */
static char *take_name(struct hw_json value, const char **why)
{
	struct hw_buf text;

	hw_buf_init(&text);
	if (value.kind != HW_JSON_STRING || hw_json_unescape(&text, value) || text.len == 0 ||
		memchr(text.data, '\0', text.len)) {
		*why = "user, tenant and topic are names in quotes";
		hw_buf_fini(&text);
		return NULL;
	}
	return hw_buf_steal(&text);
}

static char **place_of(struct hw_control_request *request, struct hw_json key)
{
	return hw_json_is(key, HW_STR("user"))     ? &request->user
	       : hw_json_is(key, HW_STR("tenant")) ? &request->tenant
	       : hw_json_is(key, HW_STR("topic"))  ? &request->topic
						   : NULL;
}

/* NULL, or what is wrong with the body. */
static const char *read_match(struct hw_str body, struct hw_control_request *request)
{
	struct hw_json_reader reader;
	struct hw_json key, value;
	const char *why = NULL;
	int r;

	hw_json_init(&reader, body, 0);
	if (hw_json_enter(&reader, HW_JSON_OBJECT))
		return "the body is no JSON object";
	while (!why && !(r = hw_json_member(&reader, &key))) {
		char **place = place_of(request, key);

		if (hw_json_value(&reader, &value))
			return "the body is no JSON object";
		if (!place)
			why = "known members are user, tenant and topic";
		else if (*place)
			why = "a member comes twice";
		else
			*place = take_name(value, &why);
	}
	if (why)
		return why;
	if (r != HW_JSON_END || hw_json_finish(&reader))
		return "the body is no JSON object";
	if (!request->user && !request->tenant && !request->topic)
		return "say whose sessions: user, tenant or topic";
	if (request->topic && !hw_topic_pattern_valid(hw_str_of(request->topic)))
		return "the topic is neither resource:id nor resource:*";
	return NULL;
}

void admin_reauthorize(struct exchange *ex)
{
	struct control_wait *wait = wait_new(ex, HW_CONTROL_REAUTHORIZE);
	const char *why;

	if (!wait)
		return;
	why = read_match(hw_buf_view(&ex->body), &wait->request);
	if (!why) {
		wait_begin(wait);
		return;
	}
	wait_free(wait);
	exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, why);
	answer_refusal(ex);
}
