/* One question to the hooks of a configuration, outside of a broker: `hookwire policy eval`.
 * policy_eval.c asks, policy_eval_tell.c prints what came of it. One thread, a loop of its own. */
#pragma once

#include "app/conf.h"
#include "app/hook_kit.h"
#include "hook/hooks.h"
#include "hub/generation.h"
#include "net/loop.h"
#include "net/trust.h"

/* A word that `policy eval` knows. */
struct hw_eval_operation {
	const char *name;
	enum hw_hook_stage stage;
	enum hw_operation operation;
	bool topic, event; /* it needs one */
};

/* What is asked, from the command line. */
struct hw_eval_options {
	const char *config, *tenant, *user, *claims, *address, *audience;
	char *audience_user, *audience_claims; /* out of @audience */
	bool explain;
	const char *what, *topic, *event, *token;
};

/* What one hook answered. */
struct hw_eval_said {
	const char *name; /* the configuration's */
	const char *source;
	bool global;
	bool heard;
	bool shadow;
	enum hw_verdict verdict;
	const char *code;
	char message[256], detail[256];
	bool changed;
	int64_t took_us;
};

/* What one hook said of who sees an event, and from what. */
struct hw_eval_seen {
	char name[80];
	bool global;
	enum hw_hook_stage stage;
	enum hw_verdict verdict;
	bool changed;
	char detail[256];
	struct hw_buf inputs; /* "claims.role = \"guest\"" */
	int64_t took_us;
};

struct hw_evaluation {
	const struct hw_eval_options *options;
	struct hw_conf *conf;
	struct hw_hook_kit kit;
	struct hw_generation *generation;
	struct hw_loop *loop;
	struct hw_trust *trust; /* of https; NULL: there are no authorities */
	bool entered, joined;
	struct hw_hook_bench *global, *tenant;
	struct hw_ask ask;
	bool decided;
	struct hw_eval_said *said; /* the global entries, then the tenant's */
	size_t n_said;
	size_t last; /* that was heard, plus 1 */
	int64_t since_us;
	struct hw_view view;
	struct hw_eval_seen *seen; /* in the order in which they were asked */
	size_t n_seen;
};

/** Asks, and prints the answer. The exit code: 0 it is allowed, 1 it is not, 2 it could not be
 * asked, and why is said. */
int hw_policy_evaluate(
	const struct hw_eval_options *options, const struct hw_eval_operation *operation);

/* policy_eval_tell.c */
/** The answer in a line or two. */
void hw_eval_tell(const struct hw_evaluation *e);
/** What each hook of the chain said, and which one decided. */
void hw_eval_explain(const struct hw_evaluation *e);
