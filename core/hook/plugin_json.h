/* Inside core/hook: how plugins read JSON without a parser of their own: members by name, and one
 * after the other. The contracts are those of json_get and json_next in hookwire/plugin.h; any
 * thread. */
#pragma once

#include <hookwire/plugin.h>

#include "wire/json.h"

/** One value as json_get gives it. 0, or -1: it says nothing that UTF-8 can, or @scratch is too
 * small. */
int hw_plugin_json_value(
	struct hw_json value, char *kind, struct hw_slice *out, char *scratch, size_t scratch_size);
int hw_plugin_json_get(struct hw_slice object, const char *name, char *kind, struct hw_slice *value,
	char *scratch, size_t scratch_size);
int hw_plugin_json_next(struct hw_slice container, size_t *position, struct hw_slice *key,
	char *kind, struct hw_slice *value, char *scratch, size_t scratch_size);
