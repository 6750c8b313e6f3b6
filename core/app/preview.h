/* What a configuration would take away from the live sessions of all workers. Control thread. */
#pragma once

#include "base/buf.h"
#include "app/conf.h"
#include "hub/generation.h"

struct hw_broker;
struct hw_broker_preview;

/** Asks @g about all live sessions. 0 with @out; -EIO: a worker cannot start the hooks of the rules
 * @refused ("" = the global ones, as in hw_worker_swap); -ETIMEDOUT, -EINTR (the process is told to
 * end), -ENOMEM, -ECANCELED. */
HW_MUST_CHECK int hw_broker_preview(struct hw_broker *b, struct hw_generation *g,
	struct hw_broker_preview **out, const char **refused);
void hw_broker_preview_destroy(struct hw_broker_preview **preview);
/** Breaks each unit of @conf that would cut more than conf's max_revoke of the live subscriptions
 * it decides about, and says so in @report. How many it broke. */
size_t hw_broker_preview_judge(const struct hw_broker_preview *preview, struct hw_conf *conf,
	struct hw_conf_report *report);
/** Appends it as a JSON object. */
void hw_broker_preview_tell(const struct hw_broker_preview *preview, struct hw_buf *out);
