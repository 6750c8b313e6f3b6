/* Why somebody got an event, or did not, for operators. */
#include "edge/edge_internal.h"

static const char *take_parameter(
	struct hw_control_request *request, struct hw_str name, struct hw_str value)
{
	if (hw_str_eq(name, HW_STR("event")))
		return admin_take_value(value, &request->event);
	if (hw_str_eq(name, HW_STR("trace")))
		return admin_take_value(value, &request->trace);
	if (hw_str_eq(name, HW_STR("user")))
		return admin_take_value(value, &request->user);
	if (hw_str_eq(name, HW_STR("tenant")))
		return admin_take_value(value, &request->tenant);
	return "known parameters are event, trace, user and tenant";
}

static const char *check(const struct hw_control_request *request)
{
	if (!request->event && !request->trace)
		return "say which event: event=ID, or trace=ID";
	if (request->event && request->trace)
		return "an event is named by its id or its trace, not by both";
	if (request->event && !request->user)
		return "say for whom: user=U";
	return NULL;
}

void admin_explain(struct exchange *ex)
{
	struct control_wait *wait = control_new(ex, HW_CONTROL_EXPLAIN);
	const char *why;

	if (!wait)
		return;
	why = admin_read_query(exchange_str(ex, ex->query), &wait->request, take_parameter);
	if (!why)
		why = check(&wait->request);
	if (why)
		admin_refuse(wait, why);
	else
		control_begin(wait);
}
