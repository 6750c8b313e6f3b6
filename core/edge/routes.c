#include <errno.h>
#include <string.h>

#include "edge/api_docs.h"
#include "edge/edge_internal.h"
#include "wire/cursor.h"
#include "wire/query.h"

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

/* What clients may ask here, for people and for tools: the same for all, built in. */
static void openapi(struct exchange *ex)
{
	answer_json(ex, 200, (struct hw_str){(const char *)api_openapi, api_openapi_len});
}

static void asyncapi(struct exchange *ex)
{
	answer_json(ex, 200, (struct hw_str){(const char *)api_asyncapi, api_asyncapi_len});
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
	{"/sse", .login = ROUTE_SESSION, .transport = "sse", .handle = sse_handle},
	{"/cursor", .login = ROUTE_TOKEN, .handle = cursor},
	{"/poll", .login = ROUTE_SESSION, .transport = "poll", .handle = poll_handle},
	{"/topics/{topic}/history", .login = ROUTE_TOKEN, .handle = history_handle},
	{"/topics/{topic}/presence", .login = ROUTE_TOKEN, .handle = presence_handle},
	{"/ticket", .post = true, .no_body = true, .login = ROUTE_NO_COOKIE,
		.handle = ticket_handle},
	{"/healthz", .handle = alive},
	{"/readyz", .handle = ready},
	{"/openapi.json", .handle = openapi},
	{"/asyncapi.json", .handle = asyncapi},
};
static const struct route health_routes[] = {
	{"/healthz", .handle = alive},
	{"/readyz", .handle = ready},
};
static const struct route echo_route = {"/echo", .login = ROUTE_ECHO, .handle = echo_handle};
static const struct route options_route = {"*", .handle = options};

#define TOPIC_PART "{topic}"

/* The same but for one part, which is not empty: it is @topic then, as it came. */
static bool is_path(struct hw_str path, struct hw_str pattern, struct hw_str *topic)
{
	const char *at = memmem(pattern.p, pattern.len, TOPIC_PART, sizeof(TOPIC_PART) - 1);
	size_t before, behind;

	if (!at)
		return hw_str_eq(path, pattern);
	before = (size_t)(at - pattern.p);
	behind = pattern.len - before - (sizeof(TOPIC_PART) - 1);
	if (path.len <= before + behind || memcmp(path.p, pattern.p, before) != 0 ||
		memcmp(path.p + path.len - behind, pattern.p + pattern.len - behind, behind) != 0)
		return false;
	*topic = (struct hw_str){path.p + before, path.len - before - behind};
	return !memchr(topic->p, '/', topic->len);
}

static const struct route *find_path(
	const struct route *routes, size_t n, struct hw_str path, struct hw_str *topic)
{
	for (size_t i = 0; i < n; i++) {
		if (is_path(path, hw_str_of(routes[i].path), topic))
			return &routes[i];
	}
	return NULL;
}

/* The topic of the path, decoded; it need not be one. */
static void keep_topic(struct exchange *ex, struct hw_str raw)
{
	struct hw_buf text;
	int r;

	if (!raw.p)
		return;
	hw_buf_init(&text);
	r = hw_percent_decode(&text, raw);
	if (r)
		exchange_refuse(ex, 0, r == -ENOMEM ? HW_CODE_UNAVAILABLE : HW_CODE_BAD_REQUEST,
			r == -ENOMEM ? "out of memory" : "the path is malformed");
	else
		ex->topic = exchange_keep(ex, hw_buf_view(&text));
	hw_buf_fini(&text);
}

static const struct route *find_admin(struct hw_str path, struct hw_str *topic)
{
	const struct route *found;
	size_t n;
	const struct route *routes = admin_routes(&n);

	found = find_path(routes, n, path, topic);
	return found ? found : find_path(health_routes, HW_COUNT(health_routes), path, topic);
}

static const struct route *find_public(
	const struct hw_settings *settings, struct hw_str path, struct hw_str *topic)
{
	if (settings->echo_path && hw_str_eq(path, hw_str_of(settings->echo_path)))
		return &echo_route;
	return find_path(public_routes, HW_COUNT(public_routes), path, topic);
}

const struct route *route_find(struct exchange *ex, const struct hw_http1_request *request)
{
	struct hw_str topic = HW_STR_NULL;
	bool asks_options = hw_str_eq(request->method, HW_STR("OPTIONS"));
	const struct route *found = http_kind(ex) == HW_EDGE_ADMIN
					    ? find_admin(request->path, &topic)
					    : find_public(http_settings(ex), request->path, &topic);

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
				  (ex->head_only || hw_str_eq(request->method, HW_STR("GET")))) {
		keep_topic(ex, topic);
		return found;
	}
	exchange_refuse(ex, 405, HW_CODE_BAD_REQUEST, "this method is not offered here");
	return NULL;
}
