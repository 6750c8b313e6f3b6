/* What is spoken on accepted connections: HTTP, and WebSocket after an upgrade. One struct a
 * worker; everything here belongs to the worker's thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "hub/frames.h"
#include "hub/worker.h"
#include "net/loop.h"
#include "wire/http1.h"

enum hw_edge_kind {
	HW_EDGE_PUBLIC, /* clients: /ws, /publish, /cursor, health */
	HW_EDGE_ADMIN,  /* operators: /metrics, /api, health */
};

/* What an operator asked of the broker as a whole: made on a worker, done on the control thread,
 * answered on the worker. */
enum hw_control_kind {
	HW_CONTROL_RELOAD,
	HW_CONTROL_DRY_RUN,
	HW_CONTROL_REAUTHORIZE,
	HW_CONTROL_SESSIONS,   /* lists them */
	HW_CONTROL_DISCONNECT, /* ends them */
	HW_CONTROL_REVOKE,     /* tokens, and ends their sessions */
	HW_CONTROL_UNREVOKE,
	HW_CONTROL_REVOCATIONS, /* lists them */
	HW_CONTROL_EXPLAIN,     /* why a user got an event, or did not */
};

struct hw_control_request {
	enum hw_control_kind kind;
	/* whose sessions: heap, NULL: any; whoever does it may take them */
	char *user, *tenant;
	char *topic;         /* REAUTHORIZE */
	char *event, *trace; /* EXPLAIN: one of them */
	char *session;       /* SESSIONS, DISCONNECT, REVOKE: that one */
	char *jti;           /* REVOKE: that token */
	int64_t until_s;     /* REVOKE: seconds since 1970; 0: it does not end by itself */
	uint64_t number;     /* UNREVOKE: that one; REVOCATIONS: those with larger ones */
	char *after;         /* SESSIONS: those with larger ids */
	size_t limit;        /* SESSIONS, REVOCATIONS: so many */
	uint16_t close_code; /* DISCONNECT */
	char *reason;        /* DISCONNECT, NULL: none */
	struct hw_list link; /* of whoever has it */
	/* the answer: JSON. When it is there @answered is posted to @loop. */
	unsigned status;
	struct hw_buf body;
	struct hw_loop *loop;
	struct hw_task answered;
};
#define HW_CONTROL_RETRY_MS 1000

struct hw_sse_run;

struct hw_edge {
	/* set by the caller before init; borrowed until fini */
	struct hw_worker *worker;
	const char *version; /* "0.1.0" */
	/** Takes @request until it is answered; called on the worker's thread. NULL: answers 503 */
	void (*control)(void *arg, struct hw_control_request *request);
	void *control_arg;
	/* its own */
	struct hw_http1_limits limits;
	struct hw_http1_request request; /* scratch of all the worker's readers */
	struct hw_list connections;
	size_t n_connections;
	struct hw_list controls; /* requests that are not answered yet */
	struct hw_list pollers;  /* sessions of those who poll: poll_session.c */
	struct hw_map pollers_by_key, pollers_by_token;
	struct hw_buf out;               /* the answer being written */
	struct hw_buf body;              /* the body of that answer */
	char date[HW_HTTP_DATE_LEN + 1]; /* of date_s, a second of the wall clock */
	int64_t date_s;
	int64_t told_ms; /* when a refused PROXY header was logged; 0: never */
	/* what is sent as Server-Sent Events in this turn: written once, for all who get it */
	struct hw_frames sse;
	struct hw_sse_run *sse_runs; /* NULL until the first */
	size_t sse_bytes;            /* written in this turn */
};

/** 0 or negative errno. */
HW_MUST_CHECK int hw_edge_init(struct hw_edge *edge);
/** Closes what is still open, at once. */
void hw_edge_fini(struct hw_edge *edge);
/** Takes @fd (non-blocking) and serves it; on failure it is closed. @address is printable, and
 * copied. @proxied: the connection begins with a PROXY protocol v2 header, and is refused unless
 * @address is that of a trusted proxy. */
void hw_edge_accept(
	struct hw_edge *edge, int fd, const char *address, enum hw_edge_kind kind, bool proxied);
/** The turn's output has been written. */
void hw_edge_flushed(struct hw_edge *edge);
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
