/* Between a test and forward_plugin.c, which hands every call on to the test: settings are
 * {"to": ADDRESS} of this struct. NULL members are not called. */
#pragma once

#include <hookwire/plugin.h>

struct forward {
	int (*worker_start)(struct hw_call *call);
	int (*save)(struct hw_call *call);
	int (*restore)(struct hw_call *call, struct hw_slice state);
	enum hw_verdict (*authorize)(struct hw_call *call);
	void (*worker_fini)(const struct hw_host *host, void *state);
	void (*unload)(const struct hw_host *host);
};
