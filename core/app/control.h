/* What operators ask of the broker as a whole, by signal or on the admin listener. Control thread.
 */
#pragma once

#include "edge/edge.h"

struct hw_broker;

/** A text of a request becomes the taker's: it is freed with what was made of it. */
static inline char *hw_control_take(char **from)
{
	char *text = *from;

	*from = NULL;
	return text;
}

/** Any thread: takes @request until it is answered, and wakes the control thread. @broker is a
 * struct hw_broker. */
void hw_broker_ask(void *broker, struct hw_control_request *request);
/** Does what was asked for since the last call; @hup: also SIGHUP. While the broker drains all of
 * it is refused. */
void hw_broker_serve(struct hw_broker *broker, bool hup, bool draining);

/* app/reload.c */
/** Says in the same way what a reload would do, and what it would take away from whom. Nothing
 * changes. */
unsigned hw_broker_dry_run(struct hw_broker *broker, struct hw_buf *answer);
/** Reloads and appends what became of it as JSON. Returns the HTTP status. */
unsigned hw_broker_reload(struct hw_broker *broker, struct hw_buf *answer);
