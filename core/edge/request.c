#include <stdlib.h>

#include "edge/edge_internal.h"
#include "session/revoke.h"

struct kept exchange_keep(struct exchange *ex, struct hw_str s)
{
	struct kept k = {.at = (uint32_t)ex->text.len, .len = (uint32_t)s.len, .there = true};

	hw_buf_str(&ex->text, s);
	if (ex->text.failed) {
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
		k.at = k.len = 0;
	}
	return k;
}

void exchange_refuse(struct exchange *ex, unsigned status, enum hw_code code, const char *why)
{
	if (exchange_refused(ex))
		return; /* the first reason counts */
	ex->status = status;
	ex->code = code;
	ex->why = why;
}

void exchange_free(struct exchange **exchange)
{
	struct exchange *ex = *exchange;

	if (!ex)
		return;
	*exchange = NULL;
	hw_login_cancel(&ex->login);
	sse_abandon(ex);
	control_abandon(ex);
	publish_job_free(&ex->publish);
	poll_free(&ex->poll);
	history_free(&ex->history);
	hw_identity_unref(&ex->known);
	hw_identity_unref(&ex->login.identity);
	hw_buf_fini(&ex->text);
	hw_buf_fini(&ex->body);
	free(ex);
}

struct hw_str request_type(const struct hw_http1_request *request)
{
	size_t n;
	struct hw_str rest = hw_http1_header(request, "Content-Type", &n);

	return n == 1 ? hw_str_trim(hw_str_cut(&rest, ';')) : HW_STR_NULL;
}

static void open_with_token(struct exchange *ex, const struct hw_http1_request *request)
{
	bool session = ex->route->login == ROUTE_SESSION;

	ex->depends_on_token = true;
	token_read_query(ex, request);
	if (!session || !ex->ticket.there)
		token_find(ex, request, ex->route->login != ROUTE_NO_COOKIE);
	if (!ex->token.there && !(session && ex->ticket.there))
		exchange_refuse(ex, 0, HW_CODE_UNAUTHORIZED, "a token is needed");
	if (ex->route->handle == sse_handle)
		sse_read_head(ex, request);
	if (http_edge(ex)->worker->draining)
		exchange_refuse(ex, 0, HW_CODE_DRAINING, NULL);
	if (session && ex->ticket.there)
		ticket_redeem(ex);
}

static void open_route(struct exchange *ex, const struct hw_http1_request *request)
{
	switch (ex->route->login) {
	case ROUTE_OPEN:
		break;
	case ROUTE_TOKEN:
	case ROUTE_NO_COOKIE:
	case ROUTE_SESSION:
		open_with_token(ex, request);
		break;
	case ROUTE_WS:
	case ROUTE_ECHO:
		ex->depends_on_token = ex->route->login == ROUTE_WS;
		ex->upgrade = true;
		upgrade_read_head(ex, request);
		break;
	case ROUTE_ADMIN:
		ex->depends_on_token = true;
		admin_read_head(ex, request);
		break;
	}
	if (ex->route->post && !ex->route->no_body && ex->route->handle != publish_handle &&
		!hw_str_eq_nocase(request_type(request), HW_STR("application/json")))
		exchange_refuse(ex, 415, HW_CODE_BAD_REQUEST, "the body must be application/json");
}

void exchange_open(struct exchange *ex, const struct hw_http1_request *request)
{
	struct hw_str origin = hw_http1_header(request, "Origin", NULL);

	client_find(ex, request);
	ex->minor = request->minor;
	ex->keep_alive = request->keep_alive;
	ex->head_only = hw_str_eq(request->method, HW_STR("HEAD"));
	ex->has_body = hw_http1_has_body(request);
	ex->wants_continue = request->expect_continue && ex->has_body;
	if (origin.p)
		ex->origin = exchange_keep(ex, origin);
	if (http_kind(ex) == HW_EDGE_ADMIN)
		admin_check(ex, request);
	ex->route = exchange_refused(ex) ? NULL : route_find(ex, request);
	if (ex->route) {
		open_route(ex, request);
		publish_read_head(ex, request);
	}
}

/* ---- who it is
 * ------------------------------------------------------------------------------------------------------------
 */

static void after_login(struct exchange *ex, enum hw_verdict verdict)
{
	if (verdict == HW_ALLOW)
		return;
	if (!exchange_refused(ex))
		ex->retry_after_ms = ex->login.retry_after_ms;
	exchange_refuse(ex, 0, ex->login.code, ex->login.message);
}

static void on_decided(struct hw_login *login)
{
	struct exchange *ex = login->arg;

	after_login(ex, login->code == HW_CODE_NONE ? HW_ALLOW : HW_DENY);
	http_resume(ex);
}

void exchange_login(struct exchange *ex)
{
	struct hw_str address = hw_str_of(http_address(ex));
	struct hw_str path = hw_str_of(ex->route ? ex->route->path : "");
	struct hw_str transport = hw_str_of(http_transport(ex));
	struct hw_str origin, token;
	enum hw_verdict verdict;

	/* a session that can be told why after the upgrade is asked there */
	if (exchange_refused(ex) || (!ex->token.there && !ex->known) || ex->v1 ||
		ex->route->login == ROUTE_ECHO)
		return;
	if (ex->route->handle == poll_handle && !ex->known && poll_find(ex))
		return;
	origin = exchange_str(ex, ex->origin);
	token = exchange_str(ex, ex->token);
	ex->login.worker = http_edge(ex)->worker;
	ex->login.decided = on_decided;
	ex->login.arg = ex;
	ex->login.request = (struct hw_request){
		.token = {token.p, token.len},
		.address = {address.p, address.len},
		.origin = {origin.p, origin.len},
		.path = {path.p, path.len},
		.transport = {transport.p, transport.len},
	};
	ex->login.known = ex->known;
	if (ex->upgrade || ex->route->login == ROUTE_SESSION)
		hw_session_id_make(ex->login.session);
	verdict = hw_login_start(&ex->login);
	if (verdict == HW_PENDING)
		ex->waiting = true;
	else
		after_login(ex, verdict);
}

void exchange_recheck(struct exchange *ex)
{
	const struct hw_worker *w = http_edge(ex)->worker;

	if (exchange_refused(ex) || !ex->login.identity || !hw_token_revoked(w, ex->login.identity))
		return;
	hw_metric_add(w->counters->revoked_tokens, 1);
	exchange_refuse(ex, 0, HW_CODE_UNAUTHORIZED, HW_REVOKED_WORDS);
}
