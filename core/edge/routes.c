#include "edge/edge_internal.h"
#include "wire/cursor.h"

static void alive(struct exchange *ex)
{
	answer_json(ex, 200, HW_STR("{\"ok\":true}"));
}

static void ready(struct exchange *ex)
{
	if (!http_edge(ex)->worker->draining) {
		answer_json(ex, 200, HW_STR("{\"ok\":true}"));
		return;
	}
	exchange_refuse(ex, 0, HW_CODE_DRAINING, NULL);
	answer_refusal(ex);
}

static void cursor(struct exchange *ex)
{
	struct hw_journal *journal = ex->login.hub->tenant->journal;
	struct hw_buf *body = answer_body(ex);

	hw_buf_puts(body, "{\"cursor\":\"");
	hw_cursor_add(body, (struct hw_cursor){.epoch = hw_journal_epoch(journal),
				    .seq = hw_journal_number(journal, hw_journal_head(journal))});
	hw_buf_puts(body, "\"}");
	answer_json(ex, 200, hw_buf_view(body));
}

/* The preflight of a browser, and whoever asks what is allowed. */
static void options(struct exchange *ex)
{
	ex->preflight = true;
	answer_send(ex, &(struct answer){.status = 204, .retry_after_ms = EDGE_NO_RETRY});
}

static const struct route public_routes[] = {
	{"/ws", .login = ROUTE_WS, .handle = ws_handle},
	{"/publish", .post = true, .login = ROUTE_NO_COOKIE, .handle = publish_handle},
	{"/sse", .login = ROUTE_SSE, .handle = sse_handle},
	{"/cursor", .login = ROUTE_TOKEN, .handle = cursor},
	{"/healthz", .handle = alive},
	{"/readyz", .handle = ready},
};
static const struct route health_routes[] = {
	{"/healthz", .handle = alive},
	{"/readyz", .handle = ready},
};
static const struct route echo_route = {"/echo", .login = ROUTE_ECHO, .handle = echo_handle};
static const struct route options_route = {"*", .handle = options};

static const struct route *find_path(const struct route *routes, size_t n, struct hw_str path)
{
	for (size_t i = 0; i < n; i++) {
		if (hw_str_eq(path, hw_str_of(routes[i].path)))
			return &routes[i];
	}
	return NULL;
}

static const struct route *find_admin(struct hw_str path)
{
	const struct route *found;
	size_t n;
	const struct route *routes = admin_routes(&n);

	found = find_path(routes, n, path);
	return found ? found : find_path(health_routes, HW_COUNT(health_routes), path);
}

static const struct route *find_public(const struct hw_settings *settings, struct hw_str path)
{
	if (settings->echo_path && hw_str_eq(path, hw_str_of(settings->echo_path)))
		return &echo_route;
	return find_path(public_routes, HW_COUNT(public_routes), path);
}

const struct route *route_find(struct exchange *ex, const struct hw_http1_request *request)
{
	bool asks_options = hw_str_eq(request->method, HW_STR("OPTIONS"));
	const struct route *found = http_kind(ex) == HW_EDGE_ADMIN
					    ? find_admin(request->path)
					    : find_public(http_settings(ex), request->path);

	if (asks_options && hw_str_eq(request->path, HW_STR("*"))) {
		ex->allow = "GET, HEAD, POST, OPTIONS";
		return &options_route;
	}
	if (!found) {
		exchange_refuse(ex, 404, HW_CODE_BAD_REQUEST, "there is nothing at this path");
		return NULL;
	}
	ex->allow = found->post ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
	if (asks_options)
		return &options_route;
	if (hw_str_eq(request->method, HW_STR("POST"))
			? found->post
			: !found->post &&
				  (ex->head_only || hw_str_eq(request->method, HW_STR("GET"))))
		return found;
	exchange_refuse(ex, 405, HW_CODE_BAD_REQUEST, "this method is not offered here");
	return NULL;
}
