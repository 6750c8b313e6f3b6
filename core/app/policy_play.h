/* Inside the playing of cases: one as it is played (policy_case.c), and how it is judged
 * (policy_judge.c). */
#pragma once

#include "app/policy_case.h"

/* What a case may ask. */
struct hw_play_question {
	const char *name;
	enum hw_hook_stage stage;
	enum hw_operation operation;
	enum hw_lifecycle_kind kind;
	bool topic, event;
};

/* A case as it is played. */
struct hw_play {
	struct hw_policy_stage *stage;
	struct hw_policy_cases *cases;
	json_t *file, *one, *step; /* copies: stubs count in them */
	size_t n_step;             /* 0: the case has none */
	struct hw_buf *why;
	bool failed;
	struct hw_hook_chain *chain, *none;
	struct hw_hook_bench *global, *tenant;
	bool is_global;
	/* the step's question, and what came of it */
	const struct hw_play_question *question;
	struct hw_ask ask;
	bool decided;
	bool heard;
	struct hw_heard said; /* its texts are the next two */
	char message[256], detail[256];
};

/** Says what is wrong: the case has failed. */
void hw_play_complain(struct hw_play *p, const char *format, ...) HW_PRINTF(2, 3);
/** What the step says, or the case, or the file; NULL: nothing. */
json_t *hw_play_look(const struct hw_play *p, const char *key);
const char *hw_play_text(struct hw_play *p, const char *key, const char *otherwise);

/* ---- policy_judge.c ---- */
bool hw_play_expects(struct hw_play *p, const char *verdict);
/** Whether @got contains what the case says by @key, if it does. */
void hw_play_expect_contained(struct hw_play *p, const char *key, const char *got);
/** The answer to a question. */
void hw_play_judge(struct hw_play *p);
/** What else came of a step: requests, events, log. */
void hw_play_judge_effects(struct hw_play *p);
