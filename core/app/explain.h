/* Why a user got an event, or did not: found in the journal by its id or its trace, then asked of
 * all workers. Control thread. */
#pragma once

#include "edge/edge.h"

struct hw_broker;

/** Explains what @request names, and appends the answer to its body. Returns the HTTP status. */
unsigned hw_broker_explain(struct hw_broker *broker, struct hw_control_request *request);
