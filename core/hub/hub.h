/* One tenant as one worker sees it: who subscribes to what here, and how far the journal has been
 * read. Fan-out: runs of the journal go to dense arrays of subscribers, a pointer each. One
 * worker's own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "hub/classes.h"
#include "hub/presence.h"
#include "hub/worker.h"

struct hw_hub;
struct hw_topic; /* a topic, or pattern, with subscribers here */

struct hw_subscriber;

struct hw_subscriber_ops {
	/** A run of events that the subscriber wants, once however many subscriptions match.
	 * Queues, never destroys a subscriber. One that is @behind ignores it. */
	void (*deliver)(struct hw_subscriber *s, const struct hw_run *run);
	/** It cannot be served any more in this turn: it reads on by itself behind @number in a
	 * later one, and is @behind until it is level. */
	void (*defer)(struct hw_subscriber *s, uint64_t number);
	/** Who it is. */
	const struct hw_identity *(*identity)(const struct hw_subscriber *s);
};

/* Embedded in who subscribes. */
struct hw_subscriber {
	const struct hw_subscriber_ops *ops;
	uint64_t delivered_seq; /* last of the last run: the second of two matching subscriptions
				   sees that it was there */
	struct hw_class *class; /* with class_epoch: classes.c */
	uint32_t class_epoch;
	bool uncharged; /* a seat has been charged for its subscriptions */
	bool behind;    /* set by who subscribes: it reads the journal itself */
	/* subscribers for which it is the same, and not NULL, are one client: presence counts it
	 * once */
	const void *same;
	uint32_t n_subs, cap_subs;
	struct hw_sub_link {
		struct hw_topic *topic;
		uint32_t index; /* in the topic's array */
		/* numbers of the journal: */
		uint64_t after; /* where it joined: its first event is behind that */
		uint64_t since; /* at most that: what is between them was recovered */
		uint64_t told;  /* the subscriber's: what is lost up to here was told */
	} * subs;
};

struct hw_hub {
	struct hw_worker *worker;
	struct hw_tenant *tenant;
	struct hw_hook_bench *bench; /* NULL: this generation refuses the tenant */
	struct hw_hook_bench *other; /* inside hw_worker_swap: the next one, then the one before */
	struct hw_list left_link;
	uint64_t policy; /* of the chains that decide here, by their hashes; never 0. A verdict is
			    as good as new while it is what it was. */
	bool policy_changed; /* since worker->policy_changed was called; who is called clears it */
	bool revoke_now;     /* the last swap took or gave an entry that says "revoke": "now" */
	struct hw_reader *reader;
	struct hw_map topics; /* by name, patterns by "resource:*" */
	struct hw_classes classes;
	struct hw_run
		rest; /* n > 0: what was read and is still to be fanned out, in a later turn */
	/* the journal's torn: as it was last seen, at which head, and as far as the place is behind
	 * that */
	uint64_t hole, hole_seq, torn;
	struct hw_list behind; /* of core/session: who reads the journal in the next turn */
	struct hw_list behind_link;
	size_t n_patterns;
	uint64_t n_subscriptions;
	struct hw_list read_link, unread_link;
	struct hw_list telling_link;    /* of hw_notices.telling */
	struct hw_timer grace_timer;    /* of topics that this worker was the last to leave */
	struct hw_timer presence_timer; /* likewise of users */
	struct {
		struct hw_presence_reader reader;
		atomic_bool told;      /* there are changes to take */
		struct hw_map watches; /* by topic */
		struct hw_list dirty;  /* those with something to tell */
		struct hw_buf out, info;
	} follows; /* follow.c */
	struct hw_hub *told_next;
	atomic_bool told;
};

/** Finds or makes the worker's hub of a tenant. 0; -ENOENT: the generation refuses the tenant;
 * -ENOMEM, -EIO (its hooks would not start on this worker). */
HW_MUST_CHECK int hw_hub_get(struct hw_worker *w, struct hw_str tenant_id, struct hw_hub **out);

enum { HW_HUB_ALREADY = 1 };
/** The subscription begins behind hw_hub_seq: call hw_hub_pump before, once for all that join
 * together, to begin now. 0, HW_HUB_ALREADY, -EDQUOT (tenant's limit), -ENOMEM. */
HW_MUST_CHECK int hw_hub_subscribe(
	struct hw_hub *hub, struct hw_subscriber *s, struct hw_str topic);
/** false: was not subscribed. */
bool hw_hub_unsubscribe(struct hw_hub *hub, struct hw_subscriber *s, struct hw_str topic);
void hw_hub_unsubscribe_all(struct hw_hub *hub, struct hw_subscriber *s);
/** Who @s is has changed: its claims, not the person. */
void hw_hub_reidentify(struct hw_hub *hub, struct hw_subscriber *s);
bool hw_hub_subscribed(
	const struct hw_hub *hub, const struct hw_subscriber *s, struct hw_str topic);
/** Of a subscription's link; lives as long as the subscription. */
struct hw_str hw_hub_topic_name(const struct hw_topic *topic);
/** Of @s, which has just subscribed to @topic: it was given what is behind the number @since. */
void hw_hub_recovered(
	const struct hw_hub *hub, struct hw_subscriber *s, struct hw_str topic, uint64_t since);
/** Of @s, which has just subscribed to @topic and reads the journal himself: its first event is
 * behind the number @after. */
void hw_hub_begins(
	const struct hw_hub *hub, struct hw_subscriber *s, struct hw_str topic, uint64_t after);
/** For who reads the journal himself: does @s get the run, by name or by pattern? A run may not go
 * over a point where a subscription of @s joined: read up to the next of these. */
bool hw_hub_matches(
	const struct hw_hub *hub, const struct hw_subscriber *s, const struct hw_run *run);
/** Does it, or did it when one of its subscriptions recovered? A run may not go over a point where
 * one of them began. */
bool hw_hub_has(const struct hw_hub *hub, const struct hw_subscriber *s, const struct hw_run *run);
/** The first point behind @number where a subscription of @s began, at most @last. */
uint64_t hw_subscriber_next_begin(const struct hw_subscriber *s, uint64_t number, uint64_t last);

/** The place up to which this hub has read and fanned out: what a subscriber here has seen, unless
 * it is behind. */
uint64_t hw_hub_seq(const struct hw_hub *hub);
/** Keeps that place until the end of the turn, or for as long as somebody subscribes: without
 * subscriptions it is the journal's head, which others move. For who reads up to it and joins
 * there.
 */
void hw_hub_stand(struct hw_hub *hub);
/** The number of the cursor that stands for it. */
uint64_t hw_hub_number(const struct hw_hub *hub);
/** Reads up to the journal's head now, delivering. Without subscriptions there is nothing to do:
 * the first begins at the head. */
void hw_hub_pump(struct hw_hub *hub);
/** Counts what a subscriber was given and not given of a run. */
void hw_hub_count(struct hw_hub *hub, size_t n_delivered, size_t n_filtered, size_t n_failed);
