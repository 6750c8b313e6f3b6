#include <errno.h>
#include <string.h>

#include "app/broker.h"
#include "hook/decisions.h"

int hw_broker_open_decisions(struct hw_broker *b)
{
	b->decisions = hw_decisions_create(b->env);
	return b->decisions ? 0 : -ENOMEM;
}

void hw_broker_configure_decisions(struct hw_broker *b)
{
	const struct hw_conf_global *c = b->conf->global;
	struct hw_decisions_settings settings = {.path = c->decisions.path,
		.sample = c->decisions.sample,
		.stages = c->decisions.stages,
		.always = c->decisions.always,
		.redact = c->decisions.redact,
		.n_redact = c->decisions.n_redact,
		.line_bytes = c->decisions.line_bytes,
		.buffer_bytes = c->decisions.buffer_bytes};
	int r = hw_decisions_configure(b->decisions, c->decisions.enabled ? &settings : NULL);

	if (r)
		hw_log(b->log, HW_LOG_ERROR, "app", "the decision log stays as it was",
			HW_F_Z("error", strerror(-r)));
}
