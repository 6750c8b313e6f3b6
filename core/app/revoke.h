/* What operators revoke: on the list that all workers look at, then out with who is there. Control
 * thread. */
#pragma once

#include "edge/edge.h"

struct hw_broker;

/* Each does what @request says and appends the answer to its body. Returns the HTTP status. */
unsigned hw_broker_revoke(struct hw_broker *broker, struct hw_control_request *request);
unsigned hw_broker_unrevoke(struct hw_broker *broker, struct hw_control_request *request);
unsigned hw_broker_revocations(struct hw_broker *broker, struct hw_control_request *request);
/** Housekeeping, once a second. */
void hw_broker_trim_revocations(struct hw_broker *broker);
