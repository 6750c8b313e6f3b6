/* What operators ask about live sessions, gathered over all workers. Control thread. */
#pragma once

#include "edge/edge.h"

struct hw_broker;

/** Lists or ends what @request says, and appends the answer to its body. Returns the HTTP status.
 */
unsigned hw_broker_sessions(struct hw_broker *broker, struct hw_control_request *request);
