/* Who gets what of an event where a policy filters or redacts: subscribers that are alike in all
 * that the chain reads of them are one class, which is asked about once an event and whose frames
 * are shared. Live delivery and reading on from the journal look at a run of events through the
 * same function. One worker's own; part of a hub.
 *
 *   run of the journal     [1][2][3][4][5]
 *   what a class sees of it [1][2]    [4']     1 and 2 as they are in the journal, 4 redacted */
#pragma once

#include "base/buf.h"
#include "base/map.h"
#include "hub/frames.h"
#include "journal/journal.h"

struct hw_class;
struct hw_hub;
struct hw_subscriber;

/* Hooks are asked so often, and for so long of CPU time, in one turn and hub; who has not been
 * served then is in the next ones. */
#define HW_ASKS_A_TURN 256
#define HW_ASK_US_A_TURN 1000

struct hw_classes {
	bool filtering; /* a chain in force filters or redacts; else nothing here is used */
	uint32_t epoch; /* of the chains: a subscriber's class of another one is void */
	struct hw_map by_key;
	size_t n_values;     /* of a class */
	struct hw_buf reads; /* their names */
	uint64_t last_id;
	struct hw_frames frames;
	struct hw_class_verdict *verdicts; /* what was answered lately; NULL until something was */
	struct hw_buf text, out, key;      /* scratch */
	uint64_t turn;                     /* in which the following was spent */
	unsigned n_asks;
	int64_t ask_ns, classify_ns;
};

/* What a class sees of a run. Pieces and their pins are valid until the end of the turn, those of
 * the run's memory as long as the run. */
struct hw_seen {
	const struct hw_run *pieces; /* in order */
	size_t n_pieces;
	size_t n_events;   /* in them */
	size_t n_filtered; /* events that a hook withheld */
	size_t n_failed;   /* withheld because a hook failed */
	uint64_t upto;     /* number of a cursor behind the last event that was looked at */
	bool whole;        /* that is the run's last: else the rest is for another turn */
};

void hw_classes_init(struct hw_hub *hub);
void hw_classes_fini(struct hw_hub *hub);
/** The hub's bench, or the worker's, is another: what was answered is void, and who is alike too if
 * other things of them are read. */
void hw_classes_renew(struct hw_hub *hub);
/** The end of a turn: what was seen in it may go. */
void hw_classes_flushed(struct hw_hub *hub);
/** Finds the class of who begins to subscribe; it is found later if there is no memory now. */
void hw_classes_join(struct hw_hub *hub, struct hw_subscriber *s);
/** The subscriber goes, or is somebody else from now on. */
void hw_classes_leave(struct hw_hub *hub, struct hw_subscriber *s);
/* What is known of who sees an event. */
enum hw_seen_as { HW_SEEN_UNKNOWN, HW_SEEN_STORED, HW_SEEN_MADE, HW_SEEN_NOT, HW_SEEN_FAILED };
/** What was answered lately of the event @seq for those who are like @s, by the policy in force;
 * UNKNOWN: it is kept no more, or was never asked. Asks nobody and changes nothing. */
enum hw_seen_as hw_hub_seen_lately(
	const struct hw_hub *hub, const struct hw_subscriber *s, uint64_t seq);
/** May more be asked in this turn? */
bool hw_classes_may_ask(struct hw_hub *hub);
/** How many events of a run to look at for all subscribers before the next, so that the turn's asks
 * suffice where they can. */
size_t hw_classes_slice(const struct hw_hub *hub);
/** For frames that are made for who is served in this turn; they are kept until it is flushed. */
struct hw_frames *hw_hub_frames(struct hw_hub *hub);
/** What @s sees of @run, with hub->classes.filtering. NULL: nothing could be looked at in this turn
 * (too much was, or there is no memory). */
const struct hw_seen *hw_hub_see(
	struct hw_hub *hub, struct hw_subscriber *s, const struct hw_run *run);
