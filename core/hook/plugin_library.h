/* Inside core/hook: the shared objects that are open, each once, found by the SHA-256 of its bytes.
 * What is opened is a private copy named by that hash: opening a path again after a rename gives
 * the old code. */
#pragma once

#include "base/err.h"
#include "crypto/digest.h"
#include "hook/entry_internal.h"

struct hw_plugin_library {
	struct hw_plugin_library *next;
	uint8_t hash[HW_SHA256_LEN];
	struct hw_plugin table; /* later hooks than it knows are NULL */
};

/** Control thread. Finds the library with @hash, or makes the private copy of @image, tries it in a
 * child (unless the environment has no self_exe) and opens it. 0; -EINVAL or another negative errno
 * with @err. */
HW_MUST_CHECK int hw_plugin_library_get(struct hw_hook_env *env, struct hw_str image,
	const uint8_t hash[HW_SHA256_LEN], const struct hw_plugin_library **out,
	struct hw_err *err);
/** Frees the list. The libraries stay open until the process ends. */
void hw_plugin_libraries_forget(struct hw_hook_env *env);
