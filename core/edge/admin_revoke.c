/* Tokens that are good no longer, for operators: revoke, list, take back. */
#include <stdlib.h>
#include <string.h>

#include "edge/edge_internal.h"
#include "hub/revocations.h"

#define TIME_MAX (UINT64_C(1) << 53) /* what every JSON reader can tell exactly */

/* ---- POST /api/revoke ---- */

static const char *check_whom(const struct hw_control_request *request)
{
	if (request->session && (request->user || request->tenant || request->jti))
		return "a session has one token: name it alone";
	if (request->jti && request->user)
		return "a token is named by its jti, and its tenant at most";
	if (!request->session && !request->jti && !request->tenant)
		return request->user ? "a user is one of a tenant's: name that too"
				     : "say what: session, jti, user and tenant, or tenant";
	if (request->tenant && !hw_tenant_id_valid(hw_str_of(request->tenant)))
		return "the tenant is no tenant's id";
	if (request->user && !hw_user_id_valid(hw_str_of(request->user)))
		return "the user is no user's id";
	if (request->jti && strlen(request->jti) > HW_TOKEN_ID_MAX)
		return "the jti has more than 255 bytes";
	return NULL;
}

static const char *take_end(
	struct hw_control_request *request, uint64_t seconds, uint64_t until, int64_t now_s)
{
	if (seconds != UINT64_MAX && until != UINT64_MAX)
		return "the end is given by seconds or by until, not by both";
	if (seconds != UINT64_MAX) {
		if (seconds == 0 || seconds > TIME_MAX)
			return "the seconds are a whole number, 1 at least";
		until = (uint64_t)now_s + seconds;
	}
	if (until == UINT64_MAX)
		return NULL;
	if (until <= (uint64_t)now_s || until > 2 * TIME_MAX)
		return "until is a time to come, in seconds since 1970";
	request->until_s = (int64_t)until;
	return NULL;
}

static const char *read_revoke(
	struct hw_str body, struct hw_control_request *request, int64_t now_s)
{
	uint64_t seconds = UINT64_MAX, until = UINT64_MAX; /* not given */
	const struct admin_member members[] = {{"session", &request->session, NULL},
		{"jti", &request->jti, NULL}, {"user", &request->user, NULL},
		{"tenant", &request->tenant, NULL}, {"seconds", NULL, &seconds},
		{"until", NULL, &until}};
	const char *why = admin_read_members(body, members, HW_COUNT(members));

	if (!why)
		why = check_whom(request);
	return why ? why : take_end(request, seconds, until, now_s);
}

void admin_revoke(struct exchange *ex)
{
	struct control_wait *wait = control_new(ex, HW_CONTROL_REVOKE);
	const char *why;

	if (!wait)
		return;
	why = read_revoke(hw_buf_view(&ex->body), &wait->request,
		hw_worker_wall_ms(http_edge(ex)->worker) / 1000);
	if (why)
		admin_refuse(wait, why);
	else
		control_begin(wait);
}

/* ---- POST /api/unrevoke ---- */

static const char *take_number(const char *text, uint64_t *out)
{
	return hw_str_to_u64(hw_str_of(text), out) || *out == 0
		       ? "the id is that of POST /api/revoke or GET /api/revocations"
		       : NULL;
}

void admin_unrevoke(struct exchange *ex)
{
	struct control_wait *wait = control_new(ex, HW_CONTROL_UNREVOKE);
	char *id = NULL;
	const struct admin_member members[] = {{"id", &id, NULL}};
	const char *why;

	if (!wait)
		return;
	why = admin_read_members(hw_buf_view(&ex->body), members, HW_COUNT(members));
	if (!why)
		why = id ? take_number(id, &wait->request.number)
			 : "say which: id, as POST /api/revoke and GET /api/revocations give it";
	free(id);
	if (why)
		admin_refuse(wait, why);
	else
		control_begin(wait);
}

/* ---- GET /api/revocations ---- */

static const char *take_parameter(
	struct hw_control_request *request, struct hw_str name, struct hw_str value)
{
	if (hw_str_eq(name, HW_STR("limit")))
		return admin_take_limit(value, &request->limit);
	if (hw_str_eq(name, HW_STR("after")))
		return admin_take_value(value, &request->after);
	return "known parameters are after and limit";
}

void admin_revocations(struct exchange *ex)
{
	struct control_wait *wait = control_new(ex, HW_CONTROL_REVOCATIONS);
	const char *why;

	if (!wait)
		return;
	why = admin_read_query(exchange_str(ex, ex->query), &wait->request, take_parameter);
	if (!why && wait->request.after)
		why = take_number(wait->request.after, &wait->request.number);
	admin_begin_list(wait, why);
}
