#include <string.h>

#include <arpa/inet.h>

#include "crypto/equal.h"
#include "edge/edge_internal.h"

static bool is_loopback_v4(struct hw_str name)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr address;

	if (name.len >= sizeof(text))
		return false;
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

/* Whether a checked Host means this machine. Any other name says that a name of somebody else's was
 * made to lead here. */
static bool host_is_ours(struct hw_str host)
{
	static const struct hw_str v6 = {"[::1]", 5};
	struct hw_str name;

	if (hw_str_starts(host, v6))
		return host.len == v6.len || host.p[v6.len] == ':';
	name = hw_str_cut(&host, ':');
	return hw_str_eq_nocase(name, HW_STR("localhost")) || is_loopback_v4(name);
}

static bool token_is_right(struct exchange *ex, const struct hw_http1_request *request)
{
	const char *wanted = http_settings(ex)->admin_token;
	struct hw_str given;

	return wanted && wanted[0] && token_bearer(request, &given) && given.p &&
	       hw_equal_str(given, hw_str_of(wanted));
}

static bool wants_token(struct hw_str path)
{
	return hw_str_eq(path, HW_STR("/api")) || hw_str_starts(path, HW_STR("/api/")) ||
	       hw_str_eq(path, HW_STR("/console")) || hw_str_starts(path, HW_STR("/console/"));
}

void admin_check(struct exchange *ex, const struct hw_http1_request *request)
{
	if (request->host.p && !host_is_ours(request->host)) {
		exchange_refuse(ex, 403, HW_CODE_BAD_REQUEST,
			"the admin listener answers to this machine's names only");
		return;
	}
	if (!wants_token(request->path))
		return;
	ex->depends_on_token = true;
	if (!token_is_right(ex, request))
		exchange_refuse(ex, 0, HW_CODE_UNAUTHORIZED, "the admin token is needed");
}

static void metrics(struct exchange *ex)
{
	struct hw_buf *body = answer_body(ex);

	hw_metrics_print(http_edge(ex)->worker->metrics, body);
	answer_send(ex, &(struct answer){.status = 200,
				.type = "text/plain; version=0.0.4",
				.body = hw_buf_view(body),
				.retry_after_ms = EDGE_NO_RETRY});
}

static void status(struct exchange *ex)
{
	struct hw_worker *w = http_edge(ex)->worker;
	struct hw_buf *body = answer_body(ex);

	hw_buf_puts(body, "{\"version\":");
	hw_buf_json(body, hw_str_of(http_edge(ex)->version));
	hw_buf_printf(body, ",\"generation\":%u,\"draining\":%s,\"sessions\":%lld}",
		w->generation->number, w->draining ? "true" : "false",
		(long long)atomic_load_explicit(
			&w->counters->sessions->value, memory_order_relaxed));
	answer_json(ex, 200, hw_buf_view(body));
}

static void hooks(struct exchange *ex)
{
	struct hw_worker *w = http_edge(ex)->worker;
	struct hw_buf *body = answer_body(ex);

	hw_buf_printf(body, "{\"generation\":%u,\"hooks\":", w->generation->number);
	hw_hooks_tell(w->env, body);
	hw_buf_putc(body, '}');
	if (body->failed) {
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
		answer_refusal(ex);
		return;
	}
	answer_json(ex, 200, hw_buf_view(body));
}

static const struct route routes[] = {
	{"/metrics", .handle = metrics},
	{"/api/status", .login = ROUTE_ADMIN, .handle = status},
	{"/api/reload", .post = true, .login = ROUTE_ADMIN, .handle = admin_reload},
	{"/api/hooks", .login = ROUTE_ADMIN, .handle = hooks},
	{"/api/sessions", .login = ROUTE_ADMIN, .handle = admin_sessions},
	{"/api/sessions/disconnect", .post = true, .login = ROUTE_ADMIN,
		.handle = admin_disconnect},
	{"/api/revoke", .post = true, .login = ROUTE_ADMIN, .handle = admin_revoke},
	{"/api/unrevoke", .post = true, .login = ROUTE_ADMIN, .handle = admin_unrevoke},
	{"/api/revocations", .login = ROUTE_ADMIN, .handle = admin_revocations},
	{"/api/explain", .login = ROUTE_ADMIN, .handle = admin_explain},
	{"/api/reauthorize", .post = true, .login = ROUTE_ADMIN, .handle = admin_reauthorize},
};

const struct route *admin_routes(size_t *n)
{
	*n = HW_COUNT(routes);
	return routes;
}
