/* CloudEvents 1.0 in their JSON format, one or a batch, as the body of POST /publish: each becomes
 * the text of an item that wire/command.h reads. docs/protocol.md says which attribute becomes
 * what. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/command.h"

struct hw_cloudevents {
	struct hw_json_reader reader;
	bool batch, done;
};

/* What names an event everywhere: two of the same are one. Strings, views of the body. */
struct hw_cloudevent {
	struct hw_json source, id;
};

/** As hw_commands_open; but @batch says which of the two @text has to be, and a batch may be
 * empty. */
HW_MUST_CHECK int hw_cloudevents_open(struct hw_cloudevents *it, struct hw_str text, bool batch,
	size_t max_items, struct hw_err *err);
/** As hw_command_next; 0: @out, cleared before, is the item. */
HW_MUST_CHECK int hw_cloudevents_next(struct hw_cloudevents *it, struct hw_cloudevent *event,
	struct hw_buf *out, struct hw_err *err);
