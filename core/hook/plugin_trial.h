/* Inside core/hook: tries a shared object in a child process, since opening a damaged one can end
 * the process. Control thread; waits for the child, at most five seconds. */
#pragma once

#include "base/err.h"

/** Runs `@self_exe check --plugin @path`. 0 when it says what the plugin is and exits with 0;
 * -EINVAL with @err saying what it said, or how it ended; another negative errno when it could not
 * be run. What the plugin has started is killed with it. */
HW_MUST_CHECK int hw_plugin_trial(const char *self_exe, const char *path, struct hw_err *err);
