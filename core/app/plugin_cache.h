/* Where the private copies of plugins lie: a directory of this process's own, locked as long as it
 * lives, so that the next one can tell what a killed process has left from what is in use. Control
 * thread. */
#pragma once

#include <stdbool.h>

#include "base/compiler.h"

struct hw_plugin_cache {
	char path[256]; /* empty: none */
	int lock;       /* -1: the file system has no locks; then nobody removes it but we */
};

/** Makes the directory in @parent, or, when that is NULL, where files may be executed: /run,
 * $XDG_RUNTIME_DIR, /tmp or /var/tmp; and removes those that killed processes have left there. 0 or
 * negative errno. */
HW_MUST_CHECK int hw_plugin_cache_open(const char *parent, struct hw_plugin_cache *out);
/** Removes it. Harmless on one that is zeroed. */
void hw_plugin_cache_close(struct hw_plugin_cache *cache);
