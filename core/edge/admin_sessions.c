/* Live sessions, for operators: who is there, and away with them. */
#include <stdlib.h>
#include <string.h>

#include "edge/edge_internal.h"
#include "wire/json.h"
#include "wire/query.h"

enum {
	LIST_DEFAULT = 100,
	LIST_MOST = 1000,
	REASON_BYTES = 123,  /* what a close frame has room for: RFC 6455 5.5 */
	CODE_DEFAULT = 4403, /* "stop": a client that may come again is told another */
};

void admin_refuse(struct control_wait *wait, const char *why)
{
	struct exchange *ex = wait->ex;

	control_free(wait);
	exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, why);
	answer_refusal(ex);
}

/* ---- bodies ---- */

static const char *take_text(struct hw_json value, char **out)
{
	struct hw_buf text;

	hw_buf_init(&text);
	if (value.kind != HW_JSON_STRING || hw_json_unescape(&text, value) || text.len == 0 ||
		memchr(text.data, '\0', text.len)) {
		hw_buf_fini(&text);
		return "members are names in quotes, which are not empty";
	}
	*out = hw_buf_steal(&text);
	return *out ? NULL : "out of memory";
}

static const char *take_number(struct hw_json value, uint64_t *out)
{
	if (value.kind != HW_JSON_NUMBER || hw_str_to_u64(value.raw, out))
		return "the code is a whole number";
	return NULL;
}

static const char *take_member(
	const struct admin_member *member, struct hw_json value, uint32_t *seen, size_t i)
{
	if (*seen & (1u << i))
		return "a member comes twice";
	*seen |= 1u << i;
	return member->text ? take_text(value, member->text) : take_number(value, member->number);
}

const char *admin_read_members(
	struct hw_str body, const struct admin_member *members, size_t n_members)
{
	struct hw_json_reader reader;
	struct hw_json key, value;
	const char *why = NULL;
	uint32_t seen = 0;
	int r;

	hw_json_init(&reader, body, 0);
	if (hw_json_enter(&reader, HW_JSON_OBJECT))
		return "the body is no JSON object";
	while (!why && !(r = hw_json_member(&reader, &key))) {
		size_t i = 0;

		if (hw_json_value(&reader, &value))
			return "the body is no JSON object";
		while (i < n_members && !hw_json_is(key, hw_str_of(members[i].name)))
			i++;
		why = i < n_members ? take_member(&members[i], value, &seen, i)
				    : "the body has a member that is not known here";
	}
	if (why)
		return why;
	return r != HW_JSON_END || hw_json_finish(&reader) ? "the body is no JSON object" : NULL;
}

/* ---- GET /api/sessions ---- */

/* Names go into C strings: what has a zero in it is nobody's. */
const char *admin_take_value(struct hw_str value, char **out)
{
	if (*out)
		return "a parameter comes twice";
	if (value.len == 0 || memchr(value.p, '\0', value.len))
		return "a parameter is empty";
	*out = hw_str_dup(value);
	return *out ? NULL : "out of memory";
}

const char *admin_take_limit(struct hw_str value, size_t *out)
{
	uint64_t n;

	if (*out)
		return "a parameter comes twice";
	if (hw_str_to_u64(value, &n) || n < 1 || n > LIST_MOST)
		return "the limit is a number, 1 to 1000";
	*out = (size_t)n;
	return NULL;
}

static const char *take_parameter(
	struct hw_control_request *request, struct hw_str name, struct hw_str value)
{
	if (hw_str_eq(name, HW_STR("tenant")))
		return admin_take_value(value, &request->tenant);
	if (hw_str_eq(name, HW_STR("user")))
		return admin_take_value(value, &request->user);
	if (hw_str_eq(name, HW_STR("session")))
		return admin_take_value(value, &request->session);
	if (hw_str_eq(name, HW_STR("after")))
		return admin_take_value(value, &request->after);
	if (hw_str_eq(name, HW_STR("limit")))
		return admin_take_limit(value, &request->limit);
	return "known parameters are tenant, user, session, limit and after";
}

const char *admin_read_query(struct hw_str text, struct hw_control_request *request,
	const char *(*take)(
		struct hw_control_request *request, struct hw_str name, struct hw_str value))
{
	struct hw_str name, value;
	struct hw_buf scratch;
	struct hw_query query;
	const char *why = NULL;
	int r = HW_QUERY_END;

	hw_buf_init(&scratch);
	hw_query_init(&query, text);
	while (!why && !(r = hw_query_next(&query, &scratch, &name, &value)))
		why = take(request, name, value);
	hw_buf_fini(&scratch);
	return why ? why : r == HW_QUERY_END ? NULL : "the query is malformed";
}

void admin_begin_list(struct control_wait *wait, const char *why)
{
	if (why) {
		admin_refuse(wait, why);
		return;
	}
	if (!wait->request.limit)
		wait->request.limit = LIST_DEFAULT;
	control_begin(wait);
}

void admin_sessions(struct exchange *ex)
{
	struct control_wait *wait = control_new(ex, HW_CONTROL_SESSIONS);
	const char *why;

	if (!wait)
		return;
	why = admin_read_query(exchange_str(ex, ex->query), &wait->request, take_parameter);
	admin_begin_list(wait, why);
}

/* ---- POST /api/sessions/disconnect ---- */

/* Those that a server may send and that say something to a client (PROTOCOL "Close codes"), and an
 * application's own. */
static bool may_close_with(uint64_t code)
{
	return code == 1000 || code == 1001 || code == 1008 || (code >= 4000 && code <= 4999);
}

static const char *read_whom(struct hw_str body, struct hw_control_request *request)
{
	uint64_t code = CODE_DEFAULT;
	const struct admin_member members[] = {{"session", &request->session, NULL},
		{"user", &request->user, NULL}, {"tenant", &request->tenant, NULL},
		{"reason", &request->reason, NULL}, {"code", NULL, &code}};
	const char *why = admin_read_members(body, members, HW_COUNT(members));

	if (why)
		return why;
	if (request->session && (request->user || request->tenant))
		return "a session has one user and tenant: name it alone";
	if (!request->session && !request->tenant)
		return request->user ? "a user is one of a tenant's: name that too"
				     : "say whose sessions: session, user and tenant, or tenant";
	if (request->reason && strlen(request->reason) > REASON_BYTES)
		return "the reason has more than 123 bytes";
	if (!may_close_with(code))
		return "the code is 1000, 1001, 1008 or 4000 to 4999";
	request->close_code = (uint16_t)code;
	return NULL;
}

void admin_disconnect(struct exchange *ex)
{
	struct control_wait *wait = control_new(ex, HW_CONTROL_DISCONNECT);
	const char *why;

	if (!wait)
		return;
	why = read_whom(hw_buf_view(&ex->body), &wait->request);
	if (why)
		admin_refuse(wait, why);
	else
		control_begin(wait);
}
