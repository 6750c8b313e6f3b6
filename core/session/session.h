/* One client, whatever its transport: who it is, what it follows, what it may. It speaks through an
 * outlet that the transport gives it and knows nothing of sockets. One worker's own.
 *
 *   opened ──(token known)──> authenticating ──> live ──> closed
 *      └──(first message must be auth)──^   │(refused: outlet->close) */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "hub/hub.h"
#include "hub/seats.h"
#include "wire/code.h"
#include "wire/cursor.h"

struct hw_login;
struct hw_session;

enum hw_run_how {
	HW_RUN_HELD = 1, /* as hw_stream_queue's hold */
	HW_RUN_KEPT = 2, /* drop leaves it: it will not be read again */
};

/* How a session reaches its client. Called with the transport's @arg. None destroys the session
 * while the call lasts. */
struct hw_outlet {
	/** A control message: JSON text. 0 or negative errno (the session then closes with 1011).
	 */
	int (*message)(void *arg, struct hw_str text);
	/** Events. @how: bits of enum hw_run_how. 0 or negative errno. */
	int (*run)(void *arg, const struct hw_run *run, unsigned how);
	size_t (*queued)(void *arg); /* bytes not yet taken by the kernel */
	bool (*blocked)(void *arg);  /* the kernel takes no more: hw_session_drained comes */
	uint64_t (*drop)(void *arg); /* as hw_stream_drop */
	void (*keep)(void *arg);     /* as hw_stream_keep; NULL: its client sends no commands */
	void (*ping)(void *arg);     /* the transport's own ping */
	void (*pause)(void *arg, bool on); /* stop giving us messages, and go on */
	/** Closes: what is queued is still sent. The transport later calls hw_session_destroy.
	 * Called once. */
	void (*close)(void *arg, uint16_t close_code, struct hw_str reason);
	/* the following of a session of the query's topics alone (hw_session_open.only_query); else
	 * NULL */
	/** All its topics are decided. HW_CODE_NONE: it may have them, and its stream begins;
	 * false: it cannot, and the session closes. Else one of them is refused, and @message says
	 * which and why; the session closes in any case. */
	bool (*begin)(void *arg, enum hw_code code, struct hw_str message);
	/** What came so far ends here: the cursor to come back with. 0 or negative errno. */
	int (*place)(void *arg, struct hw_str cursor);
	/** NULL: it goes on with the others. One of its topics is taken away. */
	void (*revoked)(void *arg, enum hw_code code);
};

struct hw_session_open {
	const struct hw_outlet *outlet;
	void *arg;
	bool plain;      /* did not negotiate hookwire.v1 */
	bool only_query; /* the client says nothing more: it has all topics of the query or none,
			    and lives while its transport does */
	const char *transport;               /* "ws", "sse", "poll" */
	struct hw_str address, origin, path; /* copied */
	struct hw_login *login;    /* ALLOWed already, as a session; its identity is taken. NULL: */
	struct hw_identity *known; /* who it is, of a ticket: referenced. NULL: */
	struct hw_str token;       /* authenticates. p NULL: the first message must be auth */
	struct hw_str topics;      /* of the query, comma separated, decoded; p NULL: none */
	struct hw_str cursor;      /* of the query, decoded; p NULL: none */
	bool last;                 /* of the query: begin with the newest event of each */
	const struct hw_seat_name *seat; /* NULL: it is counted by itself */
};

/** Opens and, with a token, authenticates, unless it has been: the outlet may be called (also
 * close) before this returns. NULL: out of memory. */
struct hw_session *hw_session_create(struct hw_worker *w, const struct hw_session_open *open);
void hw_session_destroy(struct hw_session **session);

/** A whole text message of the client, valid UTF-8. */
void hw_session_received(struct hw_session *session, struct hw_str text);
/** Any bytes came: the client lives. */
void hw_session_alive(struct hw_session *session);
/** The outbox is empty again after it was full. */
void hw_session_drained(struct hw_session *session);
/** Ends it from the broker's side: draining, revoked. */
void hw_session_close(struct hw_session *session, uint16_t close_code, struct hw_str reason);
/** Tells a client that knows control messages to come again elsewhere or later; it closes, or is
 * closed. */
void hw_session_goaway(struct hw_session *session, int64_t retry_after_ms, int64_t jitter_ms,
	struct hw_str reason);
bool hw_session_closed(const struct hw_session *session);

/* ---- for a transport whose client reads the journal by a cursor of its own ---- */

struct hw_hub *hw_session_hub(const struct hw_session *session); /* it is live */
struct hw_identity *hw_session_identity(const struct hw_session *session);
/** Nothing may be read until it is authorized again. */
bool hw_session_held(const struct hw_session *session);
/** The number of the cursor up to which it has been given what it follows. */
uint64_t hw_session_number(const struct hw_session *session);
/** The same person, with the same claims, has shown a token that is good for longer. It may not be
 * the time for it: the next will do. */
void hw_session_extend(struct hw_session *session, struct hw_identity *identity);
/** Largest message that it takes now: 8 KiB until it is authenticated. */
size_t hw_session_message_bytes(const struct hw_session *session);
/** The code as PROTOCOL spells it when a message is larger. */
void hw_session_too_large(struct hw_session *session);

/** Calls @each for every session of the worker; @each may close it. */
void hw_sessions_each(
	struct hw_worker *w, void (*each)(void *arg, struct hw_session *session), void *arg);
/* Which sessions; p NULL: whichever. */
struct hw_session_match {
	struct hw_str user, tenant;
	struct hw_str topic; /* those that follow it, by name or by pattern; or a pattern, "a:*" */
};
/** What the policy says may have changed though the policy did not: those that match are authorized
 * again within reauth_ms. How many are due for it now. */
size_t hw_sessions_reauthorize(struct hw_worker *w, const struct hw_session_match *match);
size_t hw_sessions_count(const struct hw_worker *w);
/** Set as the worker's catch_up by who makes the worker, with the list of sessions. 0 or -ENOMEM.
 */
HW_MUST_CHECK int hw_sessions_init(struct hw_worker *w);
void hw_sessions_fini(struct hw_worker *w);
