/* Revocations survive the broker where there is a store: each change of the list is an event of a
 * tenant that nobody can be of, read back before anybody may come. Without a store there is nothing
 * to do, and all of this says so.
 *
 *   start: read ──> read … ──> the list is what it was
 *   later: what is not stored ──> append … committed ──> it is
 *          too much that is over ──> the list, said again ──> what was before that may go
 *
 * One thing at a time is under way, so that the order in the store is that of what was asked.
 * Control thread, but for the store's answers. */
#pragma once

#include <semaphore.h>

#include "base/buf.h"
#include "base/clock.h"
#include "hook/store.h"
#include "hub/revocation_record.h"

/* No tenant's id has an "@": no token, policy or configuration can name it. */
#define HW_REVOCATIONS_TENANT "@broker"

enum hw_revocation_ask {
	HW_ASK_NOTHING,
	HW_ASK_READ,
	HW_ASK_SAVE,
	HW_ASK_UNREVOKE,
	HW_ASK_LIST,
};

struct hw_revocation_log {
	struct hw_revocations *list;
	struct hw_store *store; /* NULL: there is none */
	const struct hw_clock *clock;
	/* what the store has been asked, one at a time */
	enum hw_revocation_ask ask;
	struct hw_store_read read;
	struct hw_store_append append;
	struct hw_journal_event *events;
	struct hw_buf text; /* of the events */
	sem_t answered;
	atomic_bool has_answer;
	int answer;       /* 0 or negative errno */
	uint64_t version; /* SAVE: what is stored then; UNREVOKE: of what is taken back */
	uint64_t number;  /* UNREVOKE: of that */
	bool list_ends;   /* LIST: this is the last of it */
	/* reading */
	uint64_t last, read_upto;
	bool is_read;
	bool in_list; /* the list began, and did not end yet */
	bool whole;   /* a list ended: what was before it is not needed */
	bool more;
	uint64_t gone; /* the newest event that is not there any more */
	/* keeping */
	uint64_t kept;    /* events that the store has been told to keep */
	uint64_t n_newer; /* of these, from the beginning of the list on that is being said */
	bool list_now;    /* some of what is kept is over, and it is time to let that go */
	bool listing;     /* it is being said again, up to the number */
	uint64_t listed;
	uint64_t unrevoke; /* number that is to be taken back next; 0: none */
};

void hw_revocation_log_init(struct hw_revocation_log *log, struct hw_revocations *list,
	struct hw_store *store, const struct hw_clock *clock);
/** The store is closed, and so has answered: nothing is asked of it any more. How many of the list
 * are not stored; without a store none is meant to be. */
size_t hw_revocation_log_closed(struct hw_revocation_log *log);
/** When the store is closed. */
void hw_revocation_log_fini(struct hw_revocation_log *log);

enum { HW_LOG_UNDER_WAY = 1 };
/** Settles what was answered, then begins what is next: reading, what is not stored, what is to be
 * taken back, and what is over. 0: nothing is left to do; HW_LOG_UNDER_WAY; or negative errno, of
 * what was under way or could not begin; but for what was to be taken back, the next call begins it
 * again: -EAGAIN, -EIO, -ENOMEM. While reading also -EINVAL, something that this broker does
 * not understand, and -ENODATA, something was there and is gone. */
HW_MUST_CHECK int hw_revocation_log_step(struct hw_revocation_log *log);
/** true: what is under way is answered, or nothing is; waits for that, so long at most. */
bool hw_revocation_log_wait(struct hw_revocation_log *log, unsigned ms);
/** The list is what it was before the broker ended. */
bool hw_revocation_log_is_read(const struct hw_revocation_log *log);
/** All that is on the list is stored, and nothing is to be taken back. */
bool hw_revocation_log_is_done(const struct hw_revocation_log *log);
/** Has @number leave the list once that is stored, next; 0: what has not begun is not done. false:
 * there is none of it. */
bool hw_revocation_log_unrevoke(struct hw_revocation_log *log, uint64_t number);
/** The store has been asked to take back @number and has not said whether it did. */
bool hw_revocation_log_takes_back(const struct hw_revocation_log *log, uint64_t number);
