/* Inside core/session: a session's state, and the jobs that its messages become.
 * session.c: life and timers; job.c: the order of messages; commands.c: what each means;
 * subscribe.c: subscriptions and what they recover; history.c: pages of the past;
 * presence.c: who is in a topic; delivery.c: live
 * events; catch_up.c: those of who is behind; conflate.c: what of them it need not have. */
#pragma once

#include "base/timers.h"
#include "hub/pins.h"
#include "session/login.h"
#include "session/publish.h"
#include "session/peek.h"
#include "session/reading.h"
#include "session/session.h"
#include "session/who.h"

#define SESSION_AUTH_BYTES 8192
#define SESSION_UNACKED_MAX 256 /* events of a session on their way to the store; then it waits */
#define SESSION_INBOX_BYTES \
	(256u << 10) /* of messages that wait for a pending one; then reading stops */

struct hw_preview;
struct hw_preview_slot;
struct hw_window;

struct hw_sessions {
	struct hw_preview *preview; /* the one that has not ended */
	struct hw_list all;         /* in the order they opened */
	struct hw_list walks;       /* that have not ended: struct hw_session_walk.link */
	struct hw_list explains;    /* likewise: struct hw_explain.link */
	size_t n;
	struct hw_buf out; /* the control message being written */
	struct {
		struct hw_window *window; /* NULL: nobody needed it lately */
		size_t left_bytes;        /* that may be read event by event in this turn */
		/* of the session whose turn it is: not all of the window could be sent, and it goes
		 * on behind @stuck_at */
		bool stuck;
		uint64_t stuck_at;
	} conflating;
	struct hw_sweep {
		struct hw_worker *worker;
		struct hw_list now;    /* sessions to be checked as soon as may be: nothing is
					  delivered to them until then */
		struct hw_list paced;  /* and those whose hw_session.recheck_at has come */
		struct hw_list parked; /* checks that go on in the next turn: struct job.parked */
		struct hw_timer timer;
		size_t n_open;    /* sessions that are not checked yet, whatever they wait for */
		size_t n_running; /* of these: being checked */
		size_t n_checked, n_revoked, n_closed; /* since nothing was open */
		int64_t slice_until_ms;
		/* The look for sessions whose policy is another, a slice in each turn: from the
		 * first to the last that was there when it began. */
		struct hw_list *next; /* in hw_sessions.all; NULL: nothing is looked for */
		size_t n_all, n_looked, n_unlooked;
		int64_t began_ms;
		bool found;          /* any, since nothing was open */
		unsigned slice_asks; /* left */
	} sweep;
	int64_t system_log_after_ms; /* monotonic: hooks that publish badly do not fill the log */
	uint64_t n_system_unlogged;
};

/* A session's verdicts are as old as its hub's policy, or it is on its way to the next check:
 *
 *   NONE ──policy changed──> DUE ──its turn──> RUNNING ──> NONE
 *                             └──a message is being worked on──> NEXT ──^  */
enum session_recheck { RECHECK_NONE, RECHECK_DUE, RECHECK_NEXT, RECHECK_RUNNING };

/* A message that waits for the one before it. */
struct inbox_item {
	struct hw_list link;
	size_t len;
	char text[];
};

/* A message of the client while it is worked on; kept until it is done, which may take turns when a
 * hook is pending. */
struct job {
	struct hw_session *session;
	char *text; /* its own copy: questions point into it */
	size_t len;
	struct hw_commands commands;
	struct hw_command command;
	struct hw_command_topics topics; /* of a subscribe or unsubscribe */
	struct hw_command_topic topic;
	struct hw_buf reply;
	struct hw_buf scratch;           /* the token or key, plain */
	struct subscribing *subscribing; /* subscribe.c's; NULL: it is no subscribe */
	struct hw_peek peek;             /* of history */
	/* of a check: see reauth.c */
	void (*rechecked)(struct job *job);
	void (*refreshed)(struct job *job);
	struct hw_list parked;
	uint32_t recheck; /* the next subscription */
	bool admitted;    /* the session itself is allowed */
	bool undecided;   /* a hook could not say: it ends here, and all is asked again later */
	unsigned asked_generation;
	struct hw_login login;
	struct hw_publish publish;
	struct hw_pins pins; /* from its first question on */
	struct hw_ask ask;
	struct hw_who who;
	struct hw_question question;
	struct hw_lifecycle lifecycle;
};

/*   all events so far          level: cursor is the hub's               behind: the cursor is its
 * own ───────────────────────────────●────────                ─────●─────────────────── catches up
 * when drained  */
struct hw_session {
	struct hw_list all;
	struct hw_list catch_up; /* on its hub's list of who is behind and can read on */
	struct hw_worker *worker;
	const struct hw_outlet *outlet;
	void *arg;
	char *origin; /* address, origin and path in one block, each with a zero */
	const char *address, *path, *transport;
	struct hw_identity *identity; /* NULL until live */
	struct hw_hub *hub;
	struct hw_subscriber sub;
	struct hw_seat_name *seat_name; /* NULL: it is counted by itself */
	struct hw_seat *seat;           /* taken */
	struct hw_timer timer;
	int64_t opened_ms, alive_ms, lag_since_ms;
	struct hw_reading reading; /* while it is behind: from its cursor on */
	size_t caught_up_bytes;    /* in this turn */
	/* numbers: between them it was not sent every event, as far as topics are conflated */
	uint64_t conflated_after, conflated_upto;
	uint64_t held_position; /* in the journal's memory: from there on a full socket holds it */
	uint64_t told;          /* the number of the last cursor that the client was given */
	struct job *job;        /* NULL: nothing is being worked on */
	struct hw_list due;     /* in the sweep */
	struct hw_timer recheck_at; /* when its turn has come */
	/* then what cannot be decided is taken away; 0: all was decided */
	int64_t undecided_until_ms;
	uint64_t policy; /* the hub's, when its verdicts were made; 0: none count */
	enum session_recheck recheck;
	struct hw_list preview; /* in the preview, to be asked about */
	struct hw_preview_slot *preview_slot;
	char *query; /* the message that the query's topics become, once live; NULL: none */
	struct hw_list follows; /* of presence: presence.c */
	size_t n_follows;
	struct hw_list unacked; /* publishes that the store has not answered */
	size_t n_unacked;
	struct hw_list inbox;
	size_t inbox_bytes;
	bool plain, knows_cursors, live, closed, pinged, paused, connected, running;
	bool only_query;
	bool recovering; /* a subscribe reads what is newer than its cursors */
	bool held;       /* gets nothing until it is checked; sub.behind too */
	bool slow;       /* it is behind because its client does not read */
	char id[HW_SESSION_ID_LEN + 1];
};

/* session.c */
/** Writes the worker's out buffer to the client and clears it. */
void session_send(struct hw_session *s);
static inline struct hw_buf *session_out(struct hw_session *s)
{
	hw_buf_clear(&s->worker->sessions->out);
	return &s->worker->sessions->out;
}
void session_error(struct hw_session *s, struct hw_str id, enum hw_code code, const char *message,
	int64_t retry_after_ms);
void session_close_code(struct hw_session *s, enum hw_code code, const char *message);
/** The same by a hook's decision. */
void session_close_by(
	struct hw_session *s, enum hw_code code, const char *message, const char *hook);
void session_arm(struct hw_session *s);
/** It is about to be behind, or to recover: the time that it has for both together begins, unless
 * it has. */
void session_lag_begins(struct hw_session *s);
/** For who asks later why it got nothing; @hook "" or NULL: the broker itself refused. */
void session_note_refused(struct hw_session *s, enum hw_refusal_kind kind, struct hw_str topic,
	enum hw_code code, const char *hook);
struct hw_str session_cursor(const struct hw_session *s, char text[HW_CURSOR_MAX + 1]);
/** Tells the client how far it has come, if it cannot know: events that it did not get have passed.
 */
void session_move_on(struct hw_session *s);

/* job.c */
void job_start(struct hw_session *s, struct hw_str text);
void job_start_login(struct hw_session *s, struct hw_str token);
void job_start_known(struct hw_session *s, struct hw_identity *identity);
void job_start_admitted(struct hw_session *s, struct hw_login *login);
void job_start_recheck(struct hw_session *s);
void job_free(struct job **job);
void job_resume(struct job *job); /* the command that was pending is done: go on with the next */
void inbox_clear(struct hw_session *s);
HW_MUST_CHECK bool inbox_push(struct hw_session *s, struct hw_str text, bool first);

/* commands.c: each returns true when done, false when a hook is pending (job_resume comes later) */
bool command_run(struct job *job);
bool command_login(struct job *job, struct hw_str token);
bool command_known(struct job *job, struct hw_identity *identity);
void command_admitted(struct job *job, struct hw_login *login);
void command_cancel(struct job *job);

/* subscribe.c */
bool command_subscribe(struct job *job);
bool command_unsubscribe(struct job *job);
/** It waits for nothing any more. */
void subscribe_cancel(struct job *job);
void subscribe_free(struct job *job);
/** What a recovery waits for may be there: room in the outlet, or the session level with its hub.
 */
void subscribe_go_on(struct hw_session *s);

/* history.c */
bool command_history(struct job *job);
/** The session is closed: what the store says of its events interests nobody. */
void session_forget_unacked(struct hw_session *s);
/** Asks whether the session may; ALLOW, DENY or ERROR are in job->ask, PENDING continues in
 * @decided. */
enum hw_verdict session_ask(struct job *job, enum hw_operation operation, struct hw_str topic,
	bool again, void (*decided)(struct hw_ask *ask));

/* presence.c */
bool command_presence(struct job *job);
/** The client reads again, or may be told again: what it missed. */
void presence_catch_up(struct hw_session *s);
/** It follows nothing any more. */
void presence_end(struct hw_session *s);
/* To ask again what it follows: the first, which is then kept (it is the last now) or revoked, and
 * the client is told. */
struct hw_str presence_first(const struct hw_session *s);
void presence_keep(struct hw_session *s);
void presence_revoke(struct hw_session *s, enum hw_code code);

/* reauth.c */
void reauth_init(struct hw_worker *w);
void reauth_fini(struct hw_worker *w);
/** Asks again what the session subscribes to. true: done. false: @rechecked is called later, with
 * the job still there. */
HW_MUST_CHECK bool reauth_subscriptions(struct job *job, void (*rechecked)(struct job *job));
/** The check that the sweep asked for. As commands. */
HW_MUST_CHECK bool reauth_swept(struct job *job);
/** A message of the session ended whose questions were asked of @policy. */
void reauth_note(struct hw_session *s, uint64_t policy);
/** The session is live: it is due if the policy that let it in is not in force any more. */
void reauth_join(struct hw_session *s);
/** The session is closed. */
void reauth_leave(struct hw_session *s);
/** It is new. */
void reauth_enter(struct hw_session *s);
/** It is about to leave the list of all. */
void reauth_forget(struct hw_session *s);

/* preview.c */
void preview_leave(struct hw_session *s);

/* walk.c */
/** The session is about to leave the list. */
void walks_leave(struct hw_session *s);
void walks_fini(struct hw_worker *w);

/* explain.c */
void explains_fini(struct hw_worker *w);

/* delivery.c */
extern const struct hw_subscriber_ops session_subscriber_ops;

/* catch_up.c */
bool sessions_catch_up(struct hw_worker *w);
/** It reads on from its own cursor in a later turn. */
void session_read_later(struct hw_session *s);
extern const struct hw_reading_ops session_reading_ops;
/** Queues what the session may see of @run, moves r->cursor as far, and adds to @bytes. @how: as of
 * hw_outlet.run, but that it is held. false: not all of it now. */
bool session_give(struct hw_session *s, struct hw_reading *r, const struct hw_run *run,
	unsigned how, size_t *bytes);
void session_gap(struct hw_session *s, const struct hw_str *topics, size_t n, const char *reason);

/* hook_wishes.c */
void hook_wishes_init(struct hw_worker *w);
