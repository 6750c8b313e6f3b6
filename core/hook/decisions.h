/* The decision log: what hooks decided, for whom and from which inputs, a JSON line each, sampled,
 * so that it can be asked again of another policy. What must not be kept is taken out before a line
 * is anywhere else, and a line that cannot be cleaned is dropped and counted. The token of a
 * request never gets here. */
#pragma once

#include "hook/hooks.h"

struct hw_decisions;

enum hw_decisions_always { HW_DECISIONS_DENY = 1, HW_DECISIONS_ERROR = 2 };

/* What the configuration says. */
struct hw_decisions_settings {
	const char *path;
	double sample;             /* 0 to 1: the share of decisions that is written */
	unsigned stages;           /* bits 1 << enum hw_hook_stage; FILTER stands for redact too */
	unsigned always;           /* enum hw_decisions_always: written whatever the sample says */
	const char *const *redact; /* paths, as hw_decisions_check has found them good */
	size_t n_redact;
	size_t line_bytes;   /* longer ones are dropped */
	size_t buffer_bytes; /* of lines that wait for the disk */
};

/** Of what hooks of @env decide, which lives longer, as its log and metrics do. One for each. NULL:
 * out of memory. Writes nothing until it is configured. */
struct hw_decisions *hw_decisions_create(struct hw_hook_env *env);
/** No worker asks any more. Writes what waits; false: the disk holds that up, and the log and the
 * metrics are still in use. */
bool hw_decisions_destroy(struct hw_decisions **decisions);
/** Control thread; NULL: off. 0 or negative errno with all as before. */
HW_MUST_CHECK int hw_decisions_configure(
	struct hw_decisions *decisions, const struct hw_decisions_settings *settings);
/** Control thread: the file is opened anew by its name. */
void hw_decisions_reopen(struct hw_decisions *decisions);
/** Whether @path names something that a line may have: 0, or -EINVAL with @err. */
HW_MUST_CHECK int hw_decisions_check(struct hw_str path, struct hw_err *err);
