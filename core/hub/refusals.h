/* What was refused lately on one worker, for who asks why later: written where something is refused
 * and nowhere else, in memory of its own that never grows. Names and codes, never a payload, never
 * a token, never the words of a hook, which may hold either. One worker's own.
 *
 *   [older … newest][older … ]     HW_REFUSALS places, the next one over the oldest */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "hook/identity.h"
#include "wire/topic.h"

struct hw_tenant;

#define HW_REFUSALS 256
#define HW_REFUSAL_HOOK_MAX 63
#define HW_REFUSAL_TRACE_MAX 63
#define HW_REFUSAL_WHY_MAX 95

enum hw_refusal_kind {
	HW_REFUSED_PUBLISH,   /* an event */
	HW_REFUSED_DROPPED,   /* an event, by transform; its publisher was told nothing */
	HW_REFUSED_SUBSCRIBE, /* to a topic or pattern */
	HW_REFUSED_REVOKED,   /* a subscription, after it was there */
	HW_REFUSED_SESSION,   /* not admitted, or ended with that code; no topic */
};

/* Texts end with a zero; "" = there is none. */
struct hw_refusal {
	const struct hw_tenant *tenant; /* lives as long as the broker */
	int64_t wall_ms;                /* the last time */
	uint64_t n_times;               /* in a row, nothing else in between */
	enum hw_refusal_kind kind;
	const char *code; /* static, NULL: dropped */
	char user[HW_USER_ID_MAX + 1];
	char topic[HW_TOPIC_MAX + 1];
	char hook[HW_REFUSAL_HOOK_MAX + 1];   /* who decided it; "": the broker itself */
	char trace[HW_REFUSAL_TRACE_MAX + 1]; /* a longer one is not kept */
	char why[HW_REFUSAL_WHY_MAX + 1];     /* the broker's own words, where it was the broker */
};

struct hw_refusals {
	struct hw_refusal *items; /* NULL until something is refused */
	size_t n, next;
	uint64_t n_forgotten; /* that were written over, or that there was no memory for */
};

/* What is refused; strings are copied, and cut where they are too long. */
struct hw_refused {
	const struct hw_tenant *tenant;
	enum hw_refusal_kind kind;
	const char *code;
	struct hw_str user, topic, trace;
	const char *hook, *why; /* NULL or "": none */
};

void hw_refusals_fini(struct hw_refusals *refusals);
void hw_refusals_note(
	struct hw_refusals *refusals, const struct hw_refused *refused, int64_t wall_ms);
/** The @i-th, the newest first; NULL: there are no more. */
const struct hw_refusal *hw_refusals_at(const struct hw_refusals *refusals, size_t i);
const char *hw_refusal_kind_name(enum hw_refusal_kind kind);

/* Which ones are asked for; all that is set must fit. */
struct hw_refusal_match {
	const struct hw_tenant *tenant; /* NULL: any */
	struct hw_str trace;            /* p NULL: any */
	struct hw_str user;             /* p NULL: any */
	struct hw_str
		topic;  /* that topic, or the pattern that stands for it, or none; p NULL: any */
	bool receiving; /* what keeps somebody from receiving, not publishing */
};
bool hw_refusal_fits(const struct hw_refusal *refusal, const struct hw_refusal_match *match);
