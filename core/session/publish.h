/* Publishing: one event from a client's command to the journal, through authorize, transform and
 * the tenant's limits. Used by WebSocket sessions and POST /publish alike. May be pending. One
 * worker's own. */
#pragma once

#include "base/buf.h"
#include "hook/hooks.h"
#include "hub/hub.h"
#include "hub/keep.h"
#include "hub/key_log.h"
#include "hub/pins.h"
#include "wire/code.h"
#include "wire/command.h"

struct hw_publish {
	/* set by the caller; all borrowed until decided, so @text must not move */
	struct hw_hub *hub;
	struct hw_identity *identity;
	const struct hw_command *command; /* HW_COMMAND_PUBLISH, read from @text */
	struct hw_str text;     /* the item as it came: what an idempotency key is held against */
	struct hw_str key;      /* idempotency key, plain; p NULL: none */
	struct hw_str trace_id; /* 32 hex digits from traceparent; p NULL: the event's, else new */
	struct hw_str session, address; /* for hooks and logs */
	struct hw_pins pins;            /* zeroed, or of the message it is a part of; taken over */
	bool http;                      /* POST /publish: act_as and tenants count */
	bool system;    /* a hook of the tenant publishes: it is not asked whether it may, and names
			   the user */
	unsigned depth; /* likewise: hook/publish.h; else 0 */
	void (*decided)(struct hw_publish *publish); /* only when start returned false */
	/** The event is on its way to the store, and all before it is decided: true when the caller
	 * has moved the wait to one of its own, to go on with the next meanwhile. Then this is
	 * decided, with no answer yet. NULL: never. */
	bool (*hand_over)(struct hw_publish *publish);
	void *arg;
	/* the answer */
	bool handed_over;
	enum hw_code code;    /* HW_CODE_NONE: published, or dropped by a hook (then no event_id) */
	unsigned http_status; /* where it is not the code's own: 422; else 0 */
	char message[256];
	int64_t retry_after_ms;           /* HW_CONTROL_NO_RETRY */
	char event_id[HW_CURSOR_MAX + 1]; /* "" = none */
	bool duplicate;
	/* its own */
	struct hw_ask ask;
	struct hw_who who;
	struct hw_question question;
	struct hw_buf encoded;
	struct hw_buf previous; /* data.previous, for the filters: never in @encoded once stored */
	struct hw_idempotency_entry *reservation;
	struct hw_keep_wait wait;      /* for the store */
	struct hw_keys_wait keys_wait; /* for the keys of before the broker */
	bool act_as;
	bool by_hook; /* the refusal is a hook's: ask.decided_by */
};

/** true: decided now. false: pending, decided() comes. Answers are in the struct; call
 * hw_publish_fini afterwards. */
HW_MUST_CHECK bool hw_publish_start(struct hw_publish *publish);
/** The answer of who was handed over, from what its wait is told; counts it. */
enum hw_code hw_publish_outcome(struct hw_hub *hub, int r, uint64_t number,
	char event_id[HW_CURSOR_MAX + 1], const char **message);
void hw_publish_cancel(struct hw_publish *publish);
void hw_publish_fini(struct hw_publish *publish);
