/* One case of a policy's test: made from what hook/cases.h read, played, and judged. */
#pragma once

#include <jansson.h>

#include "app/policy_stage.h"

/* A file of cases, and what they are about. */
struct hw_policy_cases {
	char *path;    /* as it is shown */
	char *policy;  /* the .lua or .so */
	char name[65]; /* of the entry */
	enum hw_hook_kind kind;
	json_t *file;               /* named members beside the cases: what holds for all of them */
	json_t *cases;              /* [{"case":{…},"line":12}] */
	struct hw_hook_chain *last; /* whose entry the next case may use again; NULL: none */
};

/** Reads @path. 0, or negative errno with @err filled. */
HW_MUST_CHECK int hw_policy_cases_load(struct hw_policy_stage *stage, const char *path,
	struct hw_policy_cases *out, struct hw_err *err);
void hw_policy_cases_fini(struct hw_policy_cases *cases);
/** Plays one: true when all was as the case says, else @why has lines that say what was not. */
bool hw_policy_case_play(struct hw_policy_stage *stage, struct hw_policy_cases *cases, json_t *one,
	struct hw_buf *why);
/** Reads a file of at most 1 MiB. 0 or negative errno. */
HW_MUST_CHECK int hw_policy_read_file(const char *path, struct hw_buf *out);
