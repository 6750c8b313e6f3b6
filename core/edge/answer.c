#include <stdio.h>

#include "edge/edge_internal.h"
#include "wire/http1_response.h"

#define DRAINING_RETRY_MS 1000 /* advice, as RFC 9110 10.2.3 has it */
#define SCRATCH_KEPT 65536     /* what of the shared buffers stays after a large answer */

struct headers {
	size_t n;
	struct hw_http1_header list[12];
};

static void add(struct headers *h, struct hw_str name, struct hw_str value)
{
	if (h->n < HW_COUNT(h->list))
		h->list[h->n++] = (struct hw_http1_header){name, value};
}

/* Every answer of a server that has a clock says when it was made (RFC 9110 6.6.1). */
static void add_date(struct headers *h, struct hw_edge *edge)
{
	int64_t now_s = hw_worker_wall_ms(edge->worker) / 1000;

	if (now_s != edge->date_s) {
		edge->date_s = now_s;
		hw_clock_http_date(now_s * 1000, edge->date);
	}
	add(h, HW_STR("Date"), (struct hw_str){edge->date, HW_HTTP_DATE_LEN});
}

/* CORS: an origin is answered verbatim if it is listed; errors too, or the page could not read
 * them. */
static void add_cors(struct headers *h, struct exchange *ex)
{
	const struct hw_settings *settings = http_settings(ex);
	struct hw_str origin = exchange_str(ex, ex->origin);

	if (http_kind(ex) != HW_EDGE_PUBLIC)
		return;
	if (!settings->any_origin) {
		add(h, HW_STR("Vary"), HW_STR("Origin"));
		if (!origin.p || !token_origin_listed(settings, origin))
			return;
		add(h, HW_STR("Access-Control-Allow-Origin"), origin);
		if (settings->auth_cookie)
			add(h, HW_STR("Access-Control-Allow-Credentials"), HW_STR("true"));
	} else {
		add(h, HW_STR("Access-Control-Allow-Origin"), HW_STR("*"));
	}
	if (ex->preflight) {
		add(h, HW_STR("Access-Control-Allow-Methods"), HW_STR("GET, POST"));
		add(h, HW_STR("Access-Control-Allow-Headers"),
			HW_STR("authorization, content-type, idempotency-key, last-event-id, "
			       "traceparent"));
		add(h, HW_STR("Access-Control-Max-Age"), HW_STR("600"));
	} else {
		add(h, HW_STR("Access-Control-Expose-Headers"), HW_STR("retry-after"));
	}
}

static void add_status_headers(struct headers *h, struct exchange *ex, unsigned status)
{
	if (status == 405 || ex->preflight)
		add(h, HW_STR("Allow"), hw_str_of(ex->allow));
	if (status == 401)
		add(h, HW_STR("WWW-Authenticate"), HW_STR("Bearer"));
	if (status == 426) {
		add(h, HW_STR("Upgrade"), HW_STR("websocket"));
		add(h, HW_STR("Sec-WebSocket-Version"), HW_STR("13"));
	}
	if (ex->depends_on_token)
		add(h, HW_STR("Cache-Control"), HW_STR("no-store"));
}

/* Writes the answer, and sees to it that there are no two. */
void answer_send(struct exchange *ex, const struct answer *answer)
{
	struct hw_edge *edge = http_edge(ex);
	struct headers h = {0};
	char seconds[24];
	struct hw_http1_response response;

	ex->answered = true;
	ex->keep_alive = ex->keep_alive && !edge->worker->draining;
	add_date(&h, edge);
	if (answer->type)
		add(&h, HW_STR("Content-Type"), hw_str_of(answer->type));
	add_status_headers(&h, ex, answer->status);
	if (answer->retry_after_ms >= 0) {
		snprintf(seconds, sizeof(seconds), "%lld",
			(long long)(answer->retry_after_ms + 999) / 1000);
		add(&h, HW_STR("Retry-After"), hw_str_of(seconds));
	}
	add_cors(&h, ex);
	response = (struct hw_http1_response){
		.status = answer->status,
		.minor = ex->minor,
		.keep_alive = ex->keep_alive,
		.head_only = ex->head_only,
		.headers = h.list,
		.n_headers = h.n,
		.body = answer->body,
	};
	hw_buf_clear(&edge->out);
	if (answer->body.p == edge->body.data && edge->body.failed)
		ex->keep_alive = false;
	else if (hw_http1_response_write(&edge->out, &response) ||
		 hw_stream_copy(http_stream(ex), edge->out.data, edge->out.len))
		ex->keep_alive = false; /* nothing can be said any more */
	if (edge->out.cap > SCRATCH_KEPT)
		hw_buf_fini(&edge->out);
	if (edge->body.cap > SCRATCH_KEPT)
		hw_buf_fini(&edge->body);
}

int answer_stream(struct exchange *ex, struct hw_str type, struct hw_str begin)
{
	struct hw_edge *edge = http_edge(ex);
	struct headers h = {0};
	struct hw_http1_response response;
	int r;

	ex->answered = true;
	ex->keep_alive = false;
	add_date(&h, edge);
	add(&h, HW_STR("Content-Type"), type);
	add_status_headers(&h, ex, 200);
	add(&h, HW_STR("X-Accel-Buffering"), HW_STR("no")); /* nginx passes it on as it comes */
	if (http_settings(ex)->sse_gzip)
		add(&h, HW_STR("Vary"), HW_STR("Accept-Encoding"));
	if (ex->accepts_gzip)
		add(&h, HW_STR("Content-Encoding"), HW_STR("gzip"));
	add_cors(&h, ex);
	response = (struct hw_http1_response){
		.status = 200,
		.framing = HW_HTTP1_UNTIL_CLOSE,
		.minor = ex->minor,
		.head_only = ex->head_only,
		.headers = h.list,
		.n_headers = h.n,
		.body = begin,
	};
	hw_buf_clear(&edge->out);
	r = hw_http1_response_write(&edge->out, &response);
	return r ? r : hw_stream_copy(http_stream(ex), edge->out.data, edge->out.len);
}

void answer_json(struct exchange *ex, unsigned status, struct hw_str body)
{
	answer_send(ex, &(struct answer){.status = status,
				.type = "application/json",
				.body = body,
				.retry_after_ms = EDGE_NO_RETRY});
}

void answer_events(struct exchange *ex, struct hw_str events, struct hw_cursor upto, bool gap)
{
	struct hw_buf *body = answer_body(ex);

	hw_metric_add(http_edge(ex)->worker->counters->gaps, gap);
	hw_buf_puts(body, "{\"events\":[");
	hw_buf_str(body, events);
	hw_buf_puts(body, "],\"cursor\":\"");
	hw_cursor_add(body, upto);
	hw_buf_puts(body, gap ? "\",\"gap\":true}" : "\",\"gap\":false}");
	answer_send(
		ex, &(struct answer){.status = 200,
			    .type = "application/json",
			    .body = hw_buf_view(body),
			    .retry_after_ms = http_edge(ex)->worker->draining ? DRAINING_RETRY_MS
									      : EDGE_NO_RETRY});
}

struct hw_buf *answer_body(struct exchange *ex)
{
	struct hw_buf *body = &http_edge(ex)->body;

	hw_buf_clear(body);
	return body;
}

void answer_refusal(struct exchange *ex)
{
	const struct hw_code_info *info = hw_code_info(ex->code);
	struct hw_buf *body = answer_body(ex);
	unsigned status = ex->status ? ex->status : info->http_status;
	int64_t retry_after_ms = ex->retry_after_ms;

	if (retry_after_ms < 0 && status == 503)
		retry_after_ms = DRAINING_RETRY_MS;
	hw_code_body(body, ex->code, hw_str_of(ex->why), retry_after_ms);
	answer_send(ex, &(struct answer){.status = status,
				.type = "application/json",
				.body = hw_buf_view(body),
				.retry_after_ms = retry_after_ms});
}
