/* What is spoken on accepted connections: HTTP, and WebSocket after an upgrade. One struct a
 * worker; everything here belongs to the worker's thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "hub/worker.h"
#include "wire/http1.h"

enum hw_edge_kind {
	HW_EDGE_PUBLIC, /* clients: /ws, /publish, /cursor, health */
	HW_EDGE_ADMIN,  /* operators: /metrics, /api, health */
};

struct hw_edge {
	/* set by the caller before init; borrowed until fini */
	struct hw_worker *worker;
	const char *version; /* "0.1.0" */
	void (*reload)(
		void *arg); /* POST /api/reload; called on the worker's thread; NULL: answers 503 */
	void *reload_arg;
	/* its own */
	struct hw_http1_limits limits;
	struct hw_http1_request request; /* scratch of all the worker's readers */
	struct hw_list connections;
	size_t n_connections;
	struct hw_buf out;               /* the answer being written */
	struct hw_buf body;              /* the body of that answer */
	char date[HW_HTTP_DATE_LEN + 1]; /* of date_s, a second of the wall clock */
	int64_t date_s;
};

/** 0 or negative errno. */
HW_MUST_CHECK int hw_edge_init(struct hw_edge *edge);
/** Closes what is still open, at once. */
void hw_edge_fini(struct hw_edge *edge);
/** Takes @fd (non-blocking) and serves it; on failure it is closed. @address is printable, and
 * copied. */
void hw_edge_accept(struct hw_edge *edge, int fd, const char *address, enum hw_edge_kind kind);
/** After worker->draining became true: closes HTTP connections between two requests, the others
 * after their answer. New upgrades are refused from then on. Sessions are closed by whoever drains
 * them. */
void hw_edge_drain(struct hw_edge *edge);
/** Connections, of either kind, that are still open. */
size_t hw_edge_count(const struct hw_edge *edge);
/** Closes every connection at once. */
void hw_edge_close_all(struct hw_edge *edge);
/** After hw_worker_swap: the new generation's limits hold for what comes from now on. */
void hw_edge_settings_changed(struct hw_edge *edge);
