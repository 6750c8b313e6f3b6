/* Inside core/edge: polls, and the sessions that they are.
 * poll.c: one poll; poll_session.c: who polls, between polls too. */
#pragma once

#include "edge/edge_internal.h"
#include "session/page.h"

struct poller;

/* One GET /poll. What came since its cursor is a page of the journal; if there is nothing it stays
 * and gets what comes live, in the order in which it comes.
 *
 *   waits for its session ──> reads a page ──(nothing there)──> live ──(events, or the time is
 * over)──> answered
 *                                └──(events, a gap, or wait=0)──^ */
enum poll_state { POLL_OPENING, POLL_READING, POLL_LIVE, POLL_HELD, POLL_ANSWERED };

struct poll {
	struct hw_list link; /* of the poller's */
	struct exchange *ex;
	struct poller *poller; /* NULL: it has ended before the request was all there */
	enum poll_state state;
	bool has_cursor, last;
	bool handling; /* the request's own turn: who answers need not resume */
	bool missed;   /* something came live while the page was read */
	bool full, gap;
	uint32_t n; /* events in @out */
	struct hw_cursor given;
	uint64_t from, cursor; /* numbers: where it began, and behind what it has */
	uint64_t *afters;      /* of "last": where each topic begins */
	int64_t wait_ms, deadline_ms;
	int64_t expires_at; /* of the token that it came with */
	struct hw_buf out;
	struct hw_timer timer;
	struct hw_identity *identity; /* who the page is for: one reference */
	struct hw_page *page;         /* while it is read */
};

/* poll.c */
/** Its session is ready. true: it is answered. */
bool poll_begin(struct poll *p);
/** Its session has an end; answers and goes on with the connection. */
void poll_end(struct poll *p);
/** Live: takes what it can of a run. */
void poll_take(struct poll *p, const struct hw_run *run);
/** Nothing more until the session is authorized again: what it took it gives back. */
void poll_hold(struct poll *p);

/* How a poll session ended. */
struct poller_end {
	enum hw_code code; /* NONE: its polls are answered with what they have, which is nothing */
	char message[256];
};

/* A poll session: one identity, at one place, and its set of topics, on one worker. It lives as
 * long as somebody polls, and POLLER_LINGER_MS more. */
struct poller {
	struct hw_list link; /* of the edge's */
	struct hw_edge *edge;
	struct hw_session *session; /* NULL: it could not be made */
	struct hw_list polls;
	struct hw_timer timer; /* lingers; or it has ended, and is freed */
	bool open, ended;
	struct poller_end end;
	int64_t token_expires_at;
	uint8_t key[HW_SHA256_LEN];   /* of identity and topics */
	uint8_t token[HW_SHA256_LEN]; /* of the token that came last, and topics */
	bool has_token;
	size_t n_topics;
	struct hw_str *topics; /* sorted, each once; of: */
	char text[];           /* the topics, with commas between */
};

/* poll_session.c */
/** The topics of a query, sorted, each once: an array in one block with its text behind. NULL:
 * refused. */
struct poll_topics {
	size_t n;
	struct hw_str *topics;
};
bool poll_topics_read(struct exchange *ex, struct poll_topics *out);
void poll_topics_fini(struct poll_topics *topics);
/** Of the token, if it was accepted before. NULL: none. */
struct poller *poller_of_token(struct exchange *ex, const struct poll_topics *topics);
/** Of who is logged in; makes one. NULL: no memory. */
struct poller *poller_get(struct exchange *ex, const struct poll_topics *topics);
/** @p is one of its polls, or is not any more. */
void poller_join(struct poller *poller, struct poll *p);
void poller_leave(struct poll *p);
