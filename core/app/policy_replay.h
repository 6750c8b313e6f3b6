/* One line of a decision log, asked again of another configuration. Each is asked of hooks that
 * have just begun, at the time that the line says, and nothing comes of it but the answer. */
#pragma once

#include "app/conf.h"
#include "app/policy_stage.h"
#include "hook/withheld.h"
#include "hub/generation.h"

#define HW_REPLAY_ANSWER_MAX 96
#define HW_REPLAY_WHY_MAX 256

/* What became of a line. */
enum hw_replay_outcome {
	HW_REPLAY_SAME,
	HW_REPLAY_CHANGED,
	/* not asked again, or the answer counts for nothing: */
	HW_REPLAY_UNREADABLE,   /* it is no line of a decision log */
	HW_REPLAY_AUTHENTICATE, /* its token is nowhere */
	HW_REPLAY_REDACTED,     /* a hook may have looked at what the log does not have */
	HW_REPLAY_UNDECLARED,   /* a hook reads of recipients what hooks then did not */
	HW_REPLAY_HTTP,         /* a hook asked a service for which nobody answers */
	HW_REPLAY_WAITS,        /* a hook waits for what never comes */
	HW_REPLAY_N_OUTCOMES
};

struct hw_replay {
	struct hw_policy_stage stage;
	struct hw_conf *conf;
	struct hw_generation *generation;
	const json_t *stubs; /* answers to ctx.http; NULL: none. Borrowed */
	char mark[64];
	struct hw_withheld withheld;
};

/* What is known of a line, as texts of JSON where no other form is named. */
struct hw_replayed {
	enum hw_replay_outcome outcome;
	struct hw_str time, stage, op, tenant, user_id, topic; /* of the line; null where absent */
	char before[HW_REPLAY_ANSWER_MAX], after[HW_REPLAY_ANSWER_MAX]; /* "deny forbidden_topic" */
	char by_before[80], by_after[80]; /* the entries that decided, "" when nobody did */
	char why[HW_REPLAY_WHY_MAX];      /* which hook, which value, which request */
};

/** Loads the configuration; problems are printed to standard error. 0 or negative errno; close it
 * in either case. */
HW_MUST_CHECK int hw_replay_open(struct hw_replay *replay, const char *config);
void hw_replay_close(struct hw_replay *replay);
/** Asks @line again. @out borrows from it. 0, or -ENOMEM. */
HW_MUST_CHECK int hw_replay_line(
	struct hw_replay *replay, struct hw_str line, struct hw_replayed *out);
