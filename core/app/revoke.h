/* What operators revoke: on the list that all workers look at, then out with who is there. Control
 * thread. */
#pragma once

#include "edge/edge.h"

struct hw_broker;

/* Each does what @request says and appends the answer to its body. Returns the HTTP status. */
unsigned hw_broker_revoke(struct hw_broker *broker, struct hw_control_request *request);
unsigned hw_broker_unrevoke(struct hw_broker *broker, struct hw_control_request *request);
unsigned hw_broker_revocations(struct hw_broker *broker, struct hw_control_request *request);
/** Before anybody may come: what was revoked when the last broker ended is revoked now. 0, or
 * negative errno, told on stderr: then nobody may come. */
HW_MUST_CHECK int hw_broker_read_revocations(struct hw_broker *broker);
/** Housekeeping, once a second: what has ended goes, what is not stored is tried again. */
void hw_broker_keep_revocations(struct hw_broker *broker);
/** The store is closed: says what of them it does not have. */
void hw_broker_end_revocations(struct hw_broker *broker);
