/* Inside core/hook: what entries and benches need of the environment beyond its fields.
 * Opening and closing it is in hooks.h. */
#pragma once

#include "hook/entry_internal.h"

/** From now on the control thread is in @what of the hook, until the same with NULL. @hook may be
 * NULL too. Control thread. */
void hw_hook_env_do(struct hw_hook_env *env, const char *what, const char *hook);
/** The last reference of @entry is gone: frees it at the next reap. Any thread. */
void hw_hook_env_bury(struct hw_hook_env *env, struct hw_hook_entry *entry);
