#include "edge/edge.h"

#include "edge/edge_internal.h"

void edge_conn_init(struct edge_conn *conn, struct hw_edge *edge, const struct edge_conn_ops *ops)
{
	conn->edge = edge;
	conn->ops = ops;
	hw_list_push(&edge->connections, &conn->link);
	edge->n_connections++;
	hw_metric_add(edge->worker->counters->connections, 1);
}

void edge_conn_fini(struct edge_conn *conn)
{
	hw_stream_destroy(&conn->stream);
	hw_list_remove(&conn->link);
	conn->edge->n_connections--;
	hw_metric_add(conn->edge->worker->counters->connections, -1);
}

int hw_edge_init(struct hw_edge *edge)
{
	hw_list_init(&edge->connections);
	hw_list_init(&edge->controls);
	hw_list_init(&edge->pollers);
	hw_map_init(&edge->pollers_by_key, &edge->worker->tenants->hash_key);
	hw_map_init(&edge->pollers_by_token, &edge->worker->tenants->hash_key);
	edge->n_connections = 0;
	hw_buf_init(&edge->out);
	hw_buf_init(&edge->body);
	hw_frames_init(&edge->sse);
	edge->date_s = -1;
	edge->told_ms = 0;
	hw_edge_settings_changed(edge);
	return 0;
}

void hw_edge_fini(struct hw_edge *edge)
{
	hw_edge_close_all(edge);
	controls_fini(edge);
	hw_map_fini(&edge->pollers_by_key);
	hw_map_fini(&edge->pollers_by_token);
	hw_buf_fini(&edge->out);
	hw_buf_fini(&edge->body);
	sse_runs_fini(edge);
}

void hw_edge_flushed(struct hw_edge *edge)
{
	sse_runs_flushed(edge);
}

void hw_edge_accept(
	struct hw_edge *edge, int fd, const char *address, enum hw_edge_kind kind, bool proxied)
{
	hw_metric_add(edge->worker->counters->connections_total, 1);
	http_open(edge, fd, address, kind, proxied);
}

void hw_edge_drain(struct hw_edge *edge)
{
	hw_list_each_safe (node, &edge->connections) {
		struct edge_conn *conn = HW_CONTAINER_OF(node, struct edge_conn, link);

		conn->ops->drain(conn);
	}
}

size_t hw_edge_count(const struct hw_edge *edge)
{
	return edge->n_connections;
}

void hw_edge_close_all(struct hw_edge *edge)
{
	while (!hw_list_empty(&edge->connections)) {
		struct edge_conn *conn =
			HW_CONTAINER_OF(edge->connections.next, struct edge_conn, link);

		conn->ops->destroy(conn);
	}
	polls_fini(edge);
}

void hw_edge_settings_changed(struct hw_edge *edge)
{
	edge->limits = (struct hw_http1_limits){
		.max_head_bytes = HW_HTTP1_HEAD_BYTES,
		.max_headers = HW_HTTP1_MAX_HEADERS,
		.max_body_bytes = edge->worker->generation->settings.body_bytes,
	};
}
