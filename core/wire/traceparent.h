/* The trace of a request (W3C Trace Context, "traceparent"). Pure. */
#pragma once

#include "base/str.h"

#define HW_TRACE_ID_LEN 32

/** The trace id in @text, HW_TRACE_ID_LEN digits; p NULL: it is malformed, which that text wants
 * ignored. */
struct hw_str hw_traceparent_trace_id(struct hw_str text);
