/* Cases of a policy's test as its author writes them in Lua, read into JSON: what they mean is
 * core/app's (policy_case.h). */
#pragma once

#include "base/buf.h"
#include "hook/hooks.h"

/** Runs the chunk @source in a sandbox of its own, which has `case` besides what policies have, and
 * appends what it returns, a list of `case { … }` and named members beside it, as
 *     {"cases":[{"case":{…},"line":12},…],"file":{…}}
 * @name is what errors call the file. The thread has entered the watchdog. 0, or negative errno
 * with
 * @err filled: "name:12: …" when the file is at fault. */
HW_MUST_CHECK int hw_hook_cases_read(struct hw_hook_env *env, const char *name,
	struct hw_str source, struct hw_buf *out, struct hw_err *err);
