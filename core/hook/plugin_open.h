/* Inside core/hook: opening a shared object as a plugin, the one use of dlopen, and the check of
 * its table. What is opened is never closed: its code may still run on another thread, and a text
 * segment costs little. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include <hookwire/plugin.h>

/** Opens @path (absolute) and copies its table to @out, hooks that it is too short to have as NULL.
 * The memory that the table points to lives as long as the process. 0, or -EINVAL with @err. Runs
 * the file's constructors: a damaged file may end the process (SIGBUS), so try it in a child first.
 */
HW_MUST_CHECK int hw_plugin_open(const char *path, struct hw_plugin *out, struct hw_err *err);
