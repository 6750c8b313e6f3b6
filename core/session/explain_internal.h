/* Inside core/session: a session whose event is being explained. explain.c finds out;
 * explain_tell.c asks who sees the event, and says all of it. */
#pragma once

#include "hub/classes.h"
#include "session/explain.h"
#include "session/who.h"
#include "wire/topic.h"

/* May it subscribe to this? Asked of what it is subscribed to, or, where it is not, of the event's
 * topic. */
struct explain_question {
	struct hw_explain_slot *slot;
	char topic[HW_TOPIC_MAX + 2];
	size_t topic_len;
	bool subscribed;
	uint64_t after; /* the number that its first event is behind */
	enum hw_verdict verdict;
	const char *code, *hook; /* code NULL: ALLOW */
	struct hw_buf asked;     /* what each entry said, objects with commas between */
	struct hw_ask ask;
	struct hw_who who;
	struct hw_question question;
};

/* What filter and redact make of the event for it. */
enum explain_form { FORM_STORED, FORM_REDACTED, FORM_ADDED, FORM_DELETED, FORM_NONE, FORM_FAILED };

struct hw_explain_slot {
	struct hw_explain *explain;
	char id[HW_SESSION_ID_LEN + 1];
	const char *transport;
	char *address;
	struct hw_identity *identity;
	int64_t opened_ms;      /* wall */
	uint64_t epoch, cursor; /* a number */
	bool conflated;         /* it was behind there, and need not have had it */
	bool behind, held, blocked, policy_current;
	size_t queued_bytes;
	enum hw_seen_as lately;
	struct explain_view {
		struct hw_buf asked; /* as above */
		enum explain_form form;
		const char *hook; /* that withheld it, or failed; "" */
	} view;
	struct explain_question questions[2]; /* its name, and its pattern */
	size_t n_questions;
};

const char *explain_verdict_name(enum hw_verdict verdict);
/** Asks filter and redact on the explanation's benches. 0 or -ENOMEM. */
HW_MUST_CHECK int explain_view(struct hw_explain_slot *slot);
/** What is found out, as JSON. 0 or -ENOMEM. */
HW_MUST_CHECK int explain_row(struct hw_explain_slot *slot, struct hw_explain_row *row);
