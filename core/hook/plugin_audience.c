#include "hook/plugin_host.h"

#include <stdio.h>

#include "hook/audience.h"
#include "hook/chain_internal.h"
#include "hook/plugin_json.h"

/* What a plugin's filter and redact find out of who receives. */

static int undeclared(struct hw_plugin_call *call, const char *name)
{
	if (!call->undeclared)
		snprintf(call->answer->detail, sizeof(call->answer->detail),
			call->audience ? "reads \"%.100s\", which is not declared: add it to the "
					 "table's %s_reads"
				       : "reads \"%.100s\" of the audience in %s, which has none",
			name, hw_stage_name(call->stage));
	call->undeclared = true;
	return -1;
}

int hw_plugin_audience(struct hw_call *visible, const char *name, char *kind,
	struct hw_slice *value, char *scratch, size_t scratch_size)
{
	struct hw_plugin_call *call = (struct hw_plugin_call *)visible;
	const struct hw_json *found =
		call->audience ? hw_audience_find(call->audience, hw_str_of(name)) : NULL;

	if (!found)
		return undeclared(call, name);
	if (found->kind == HW_JSON_NONE)
		return 1;
	if (hw_plugin_json_value(*found, kind, value, scratch, scratch_size) == 0)
		return 0;
	call->failed = true;
	return -1;
}
