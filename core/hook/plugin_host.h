/* Inside core/hook: the broker's side of the table that plugins call, and what hides behind a host
 * and a call. One host per entry, so that a log line or a metric names the one that spoke. */
#pragma once

#include <stdatomic.h>

#include "hook/entry_internal.h"

struct hw_host_metric; /* a counter that the plugin has bumped */

struct hw_plugin_host {
	struct hw_host host; /* what the plugin sees; first */
	struct hw_hook_env *env;
	const char *hook_name;   /* the entry's */
	const char *plugin_name; /* the table's */
	_Atomic(struct hw_host_metric *) metrics;
	atomic_uint n_metrics;
};

/** Names are borrowed for the host's life. */
void hw_plugin_host_init(struct hw_plugin_host *host, struct hw_hook_env *env,
	const char *hook_name, const char *plugin_name);
void hw_plugin_host_fini(struct hw_plugin_host *host);

/** plugin_audience.c: the host's function "audience". */
int hw_plugin_audience(struct hw_call *call, const char *name, char *kind, struct hw_slice *value,
	char *scratch, size_t scratch_size);

/* One call of one hook, and where its answer goes. */
struct hw_plugin_call {
	struct hw_call call; /* what the plugin sees; first */
	struct hw_entry_answer *answer;
	enum hw_hook_stage stage;
	const struct hw_audience *audience; /* FILTER, REDACT */
	bool publish;                       /* AUTHORIZE(PUBLISH) */
	bool global;
	bool undeclared; /* it read what it does not declare; answer->detail says what */
	bool failed;     /* a setter could not do what was asked: the answer is not whole */
};
