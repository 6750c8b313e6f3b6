/* Inside core/edge: connections, and the HTTP exchanges that they carry.
 * edge.c: all connections; http.c: one HTTP connection; client.c: whose it is; request.c: a head
 * becomes an exchange; routes.c: who answers it; answer.c: how; token.c: whose it is; ticket.c:
 * without a token; upgrade.c: HTTP becomes WebSocket; ws_conn.c: frames; ws.c, echo.c: what they
 * carry; sse.c: events over HTTP; sse_runs.c: their text; poll.c: a poll; poll_session.c: who
 * polls; history_api.c: a page of a topic. */
#pragma once

#include "base/timers.h"
#include "edge/edge.h"
#include "net/loop.h"
#include "net/stream.h"
#include "session/login.h"
#include "session/session.h"
#include "wire/code.h"
#include "wire/http1.h"
#include "wire/ws.h"

#define EDGE_LINGER_MS 2000
#define EDGE_NO_RETRY (-1)
#define EDGE_ADDRESS_MAX 64
#define EDGE_ACCEPT_CHARS 28 /* of Sec-WebSocket-Accept */

/* ---- connections
 * -----------------------------------------------------------------------------------------------------
 */

struct edge_conn;

struct edge_conn_ops {
	void (*destroy)(struct edge_conn *conn); /* at once, with its stream */
	void (*drain)(struct edge_conn *conn);
};

/* The beginning of every connection. The stream's callbacks come from the loop alone, never from
 * within a function of net/stream.h, so a connection may be freed wherever nobody further up the
 * stack uses it. */
struct edge_conn {
	struct hw_list link;
	struct hw_edge *edge;
	struct hw_stream *stream;
	const struct edge_conn_ops *ops;
};

/** Takes a place in the edge's list; the place and the stream go with edge_conn_fini. */
void edge_conn_init(struct edge_conn *conn, struct hw_edge *edge, const struct edge_conn_ops *ops);
void edge_conn_fini(struct edge_conn *conn);

/* ---- HTTP
 * ---------------------------------------------------------------------------------------------------------------
 */

struct http_conn;
struct exchange;
struct publish_job;
struct ws_conn;
struct sse_conn;
struct control_wait;
struct poll;
struct history;

/* What of a request outlives its head: a place in exchange.text. */
struct kept {
	uint32_t at, len;
	bool there;
};

enum route_login {
	ROUTE_OPEN,      /* anybody */
	ROUTE_TOKEN,     /* a token from anywhere */
	ROUTE_NO_COOKIE, /* a token, but not a cookie's: it changes things */
	ROUTE_SESSION,   /* a token from anywhere, or a ticket: it becomes a session */
	ROUTE_WS,        /* the WebSocket endpoint decides */
	ROUTE_ECHO,
	ROUTE_ADMIN, /* the admin token */
};

struct route {
	const char *path; /* one part may be "{topic}": exchange.topic */
	bool post;        /* else GET and HEAD */
	bool no_body;     /* of a POST: none is wanted */
	enum route_login login;
	const char *transport; /* of a session, as hooks are told; NULL: "http" */
	/** Answers, or sets exchange.waiting and answers later (then http_resume). */
	void (*handle)(struct exchange *ex);
};

enum cloud { CLOUD_NONE, CLOUD_ONE, CLOUD_BATCH };

/* One request and its answer.
 *   head ──(login)──> body ──> handled ──> answered      refused: the body is read and dropped,
 * then the refusal is sent */
struct exchange {
	struct http_conn *conn;
	const struct route *route; /* NULL: refused */
	const char *allow;         /* of a 405 or OPTIONS */
	uint8_t minor;
	bool keep_alive, head_only, preflight, wants_continue, has_body;
	bool waiting; /* for a hook: nothing more is read */
	bool answered;
	bool depends_on_token; /* no cache may keep the answer */
	/* the refusal, if there is one */
	unsigned status; /* 0: the code's */
	enum hw_code code;
	const char *why; /* NULL: the code's message */
	int64_t retry_after_ms;
	char client[EDGE_ADDRESS_MAX]; /* that a proxy had it from; "": the connection's */
	/* kept of the head */
	struct hw_buf text;
	struct kept origin, token, topics, cursor, key, trace_id;
	struct kept topic;             /* of the path */
	struct kept ticket;            /* as it came */
	struct kept last, wait, limit; /* of the query */
	struct hw_identity *known;     /* of the ticket, which is used up; one reference */
	struct hw_buf body;
	/* of an upgrade */
	bool upgrade, v1, bad_handshake;
	char accept[EDGE_ACCEPT_CHARS + 1];
	struct ws_conn *ws;   /* made: the connection is its now */
	bool accepts_gzip;    /* of /sse, where it is offered */
	struct sse_conn *sse; /* waits for the session's answer */
	bool given;           /* the connection is that one's now */
	/* of who is logged in */
	struct hw_login login;
	struct publish_job *publish;
	struct poll *poll;
	struct history *history;
	enum cloud cloud;             /* the body of POST /publish is CloudEvents */
	bool dry_run;                 /* of POST /api/reload */
	struct kept query;            /* of GET /api/sessions and /api/explain, as it came */
	struct control_wait *control; /* what the control thread was asked for */
};

static inline struct hw_str exchange_str(const struct exchange *ex, struct kept k)
{
	return k.there ? (struct hw_str){ex->text.len ? ex->text.data + k.at : "", k.len}
		       : HW_STR_NULL;
}
/** Without memory it is kept empty, and the exchange is refused. */
struct kept exchange_keep(struct exchange *ex, struct hw_str s);
void exchange_refuse(struct exchange *ex, unsigned status, enum hw_code code, const char *why);
static inline bool exchange_refused(const struct exchange *ex)
{
	return ex->code != HW_CODE_NONE;
}
void exchange_free(struct exchange **ex);

/* http.c */
struct hw_edge *http_edge(const struct exchange *ex);
const struct hw_settings *http_settings(const struct exchange *ex);
/** Of the client, as far as it can be told. */
const char *http_address(const struct exchange *ex);
enum hw_edge_kind http_kind(const struct exchange *ex);
struct hw_stream *http_stream(const struct exchange *ex);
/** Of a session of this request, for hooks and operators. */
const char *http_transport(const struct exchange *ex);
/** The stream is another's from now on; HTTP's part of the connection ends when the caller has
 * returned. */
struct hw_stream *http_give_stream(struct exchange *ex);
/** @proxied: it begins with a PROXY header. */
void http_open(
	struct hw_edge *edge, int fd, const char *address, enum hw_edge_kind kind, bool proxied);
/** What the exchange waited for has come: it is answered, or goes on. The connection may be gone
 * afterwards. */
void http_resume(struct exchange *ex);

/* client.c */
/** Whether a connection from @peer may say whose it is. */
bool client_may_tell(const struct hw_edge *edge, const char *peer);
/** Finds out who sent the request, if it came by a proxy. */
void client_find(struct exchange *ex, const struct hw_http1_request *request);

/* request.c */
/** Reads all that is needed of the head; whatever is wrong becomes the exchange's refusal. */
void exchange_open(struct exchange *ex, const struct hw_http1_request *request);
/** Asks who it is, if the route wants to know; waits if a hook does. */
void exchange_login(struct exchange *ex);
/** The body has come, and the token may have been revoked meanwhile. */
void exchange_recheck(struct exchange *ex);
/** The media type of the body, without parameters; p NULL: none, or several. */
struct hw_str request_type(const struct hw_http1_request *request);

/* routes.c */
/** NULL: refused, the exchange says why. */
const struct route *route_find(struct exchange *ex, const struct hw_http1_request *request);

/* poll.c */
void poll_handle(struct exchange *ex);
/** Finds the session of a token that was accepted before. true: nobody needs to be asked who it is,
 * or it is refused. */
bool poll_find(struct exchange *ex);
void poll_free(struct poll **poll);
/** Those that opened sessions are ended. */
void polls_fini(struct hw_edge *edge);

/* history_api.c */
void history_handle(struct exchange *ex);
void presence_handle(struct exchange *ex);
void history_free(struct history **history);

/* ticket.c */
void ticket_handle(struct exchange *ex);
/** Uses up the ticket of the query: fills exchange.known, or refuses. */
void ticket_redeem(struct exchange *ex);

/* admin.c */
const struct route *admin_routes(size_t *n);
void admin_check(struct exchange *ex, const struct hw_http1_request *request);

/* What the control thread does while the exchange waits. The edge's until it is answered, also when
 * the exchange is gone by then. */
struct control_wait {
	struct hw_control_request request;
	struct hw_list link; /* in the edge's */
	struct exchange *ex; /* NULL: nobody waits any more */
};

/* admin_reload.c: the control thread does it, the exchange waits */
/** NULL: the exchange is refused, and answered. */
struct control_wait *control_new(struct exchange *ex, enum hw_control_kind kind);
/** Asks; the exchange is answered later. */
void control_begin(struct control_wait *wait);
void control_free(struct control_wait *wait); /* that was not begun */
void admin_reload(struct exchange *ex);
void admin_read_head(struct exchange *ex, const struct hw_http1_request *request);
void admin_reauthorize(struct exchange *ex);
void control_abandon(struct exchange *ex); /* what it waits for is done all the same */
void controls_fini(struct hw_edge *edge);

/* admin_sessions.c */
/* A member that the body of a POST may have: a name in quotes, or a whole number. */
struct admin_member {
	const char *name;
	char **text;      /* heap */
	uint64_t *number; /* of a number; text is NULL then */
};
/** Reads an object that has no others. NULL, or what is wrong, static. */
const char *admin_read_members(
	struct hw_str body, const struct admin_member *members, size_t n_members);
/** One parameter of a query: a name, which is not empty and comes once. NULL, or what is wrong. */
const char *admin_take_value(struct hw_str value, char **out);
/** The limit of a list, which comes once. Likewise. */
const char *admin_take_limit(struct hw_str value, size_t *out);
/** Gives each parameter to @take. NULL, or what is wrong, static. */
const char *admin_read_query(struct hw_str text, struct hw_control_request *request,
	const char *(*take)(
		struct hw_control_request *request, struct hw_str name, struct hw_str value));
/** What was not begun is refused. */
void admin_refuse(struct control_wait *wait, const char *why);
/** Begins a list that has been read, or refuses it for what is wrong (@why, NULL: nothing). */
void admin_begin_list(struct control_wait *wait, const char *why);
void admin_sessions(struct exchange *ex);
void admin_disconnect(struct exchange *ex);

/* admin_revoke.c */
void admin_revoke(struct exchange *ex);
void admin_unrevoke(struct exchange *ex);
void admin_revocations(struct exchange *ex);

/* admin_explain.c */
void admin_explain(struct exchange *ex);

/* publish_api.c */
void publish_handle(struct exchange *ex);
void publish_job_free(struct publish_job **job);
void publish_read_head(struct exchange *ex, const struct hw_http1_request *request);

/* token.c */
/** Fills token, topics and cursor from the query; refuses. */
void token_read_query(struct exchange *ex, const struct hw_http1_request *request);
/** Then looks further for a token. */
void token_find(struct exchange *ex, const struct hw_http1_request *request, bool cookie);
/** The bearer token of the request; p NULL: none, or another scheme's credentials (RFC 6750 3:
 * these are as good as none). false: it is malformed, or there are several. */
bool token_bearer(const struct hw_http1_request *request, struct hw_str *token);
/** "last" of the query. false: refused. */
bool token_query_last(struct exchange *ex, bool *last);
bool token_origin_listed(const struct hw_settings *settings, struct hw_str origin);

/* answer.c */
struct answer {
	unsigned status;
	const char *type; /* NULL: no body */
	struct hw_str body;
	int64_t retry_after_ms; /* EDGE_NO_RETRY */
};
void answer_send(struct exchange *ex, const struct answer *answer);
/** A page of events: @events with commas between. */
void answer_events(struct exchange *ex, struct hw_str events, struct hw_cursor upto, bool gap);
void answer_json(struct exchange *ex, unsigned status, struct hw_str body);
/** The head of an answer that ends with the connection, and what it begins with. 0 or negative
 * errno: nothing is queued. */
HW_MUST_CHECK int answer_stream(struct exchange *ex, struct hw_str type, struct hw_str begin);
/** The refusal that the exchange has. */
void answer_refusal(struct exchange *ex);
/** The edge's scratch for a body, empty. */
struct hw_buf *answer_body(struct exchange *ex);

/* ---- Server-Sent Events
 * ---------------------------------------------------------------------------------------------------
 */

/* sse.c */
/** Reads what is /sse's own of the head; refuses. */
void sse_read_head(struct exchange *ex, const struct hw_http1_request *request);
void sse_handle(struct exchange *ex);
void sse_abandon(struct exchange *ex); /* the exchange ends: what has not begun does not begin */

/* sse_runs.c */
/* A run as text/event-stream, valid until the end of the turn, longer while its pin is held. */
struct sse_text {
	const char *p;
	size_t len;
	struct hw_pin *pin;
};
/** @live: it is part of the fan-out; whoever else has asked for it in this turn, it is written
 * once. Else it is for one who reads on by himself, and who may have to wait for the next turn. 0;
 * -ENOMEM: not now. */
HW_MUST_CHECK int sse_run_text(
	struct hw_edge *edge, const struct hw_run *run, bool live, struct sse_text *out);
void sse_runs_flushed(struct hw_edge *edge);
void sse_runs_fini(struct hw_edge *edge);

/* ---- WebSocket
 * ------------------------------------------------------------------------------------------------------------
 */

struct ws_ops {
	bool text_only; /* a binary message closes with 1003 as soon as it begins */
	/** The largest message that is taken now. */
	uint64_t (*max_bytes)(struct ws_conn *conn);
	/** What may wait for a slow peer, as hw_stream_cost has it; above, nothing more is read of
	 * it. */
	size_t (*max_queued)(struct ws_conn *conn);
	void (*alive)(struct ws_conn *conn);
	void (*message)(struct ws_conn *conn, enum hw_ws_opcode opcode, struct hw_str text);
	/** The peer's message is over the limit: close as the endpoint spells it, or leave it to
	 * ended. */
	void (*too_large)(struct ws_conn *conn);
	/** The peer closed, or broke the protocol: the close frame is sent already. */
	void (*ended)(struct ws_conn *conn, uint16_t code, struct hw_str reason);
	void (*drained)(struct ws_conn *conn);
	void (*gone)(struct ws_conn *conn); /* the end: free what is the endpoint's */
	void (*drain)(struct ws_conn *conn);
};

struct held_input;
struct echo;

struct ws_conn {
	struct edge_conn base;
	struct hw_ws_reader reader;
	const struct ws_ops *ops;
	union {
		struct hw_session *session; /* of /ws */
		struct echo *echo;          /* of the echo endpoint */
	};
	struct hw_buf message;   /* a message that comes in pieces */
	struct held_input *held; /* bytes that came while paused */
	bool feeding, paused, choked, closing;
};

/** Takes the exchange's stream and answers the upgrade. NULL: out of memory, nothing changed. */
struct ws_conn *ws_conn_create(struct exchange *ex, const struct ws_ops *ops);
/** Reads @p, which it changes. */
void ws_conn_feed(struct ws_conn *conn, uint8_t *p, size_t len);
HW_MUST_CHECK int ws_conn_send(
	struct ws_conn *conn, enum hw_ws_opcode opcode, struct hw_str payload);
/** Sends a close frame once; what is queued goes before it. */
void ws_conn_close(struct ws_conn *conn, uint16_t code, struct hw_str reason);
void ws_conn_pause(struct ws_conn *conn, bool on);

/* upgrade.c */
/** Checks the handshake and what goes with it; refuses. */
void upgrade_read_head(struct exchange *ex, const struct hw_http1_request *request);

/* ws.c, echo.c */
void ws_handle(struct exchange *ex);
void echo_handle(struct exchange *ex);
