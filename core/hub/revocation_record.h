/* What the journal keeps of the revocations: an event for each change, complete in itself, so that
 * the newest that is about a number decides. Pure; any thread. */
#pragma once

#include "base/buf.h"
#include "hub/revocations.h"

#define HW_REVOCATIONS_TOPIC "broker:revocations"

enum hw_revocation_record_kind {
	HW_RECORD_REVOKED,   /* on the list, as it is from now on */
	HW_RECORD_UNREVOKED, /* taken back: of @revocation only the number is set */
	/* Between these two all that is on the list is said again. What was before the first is
	 * not needed once the second is there. Of @revocation the number is set: the last one that
	 * was given. */
	HW_RECORD_LIST,
	HW_RECORD_LIST_END,
};

struct hw_revocation_record {
	enum hw_revocation_record_kind kind;
	struct hw_revocation revocation; /* its texts are those of @memory, or of the text */
	struct hw_buf memory;
};

/** Appends the event, a JSON object without an id. */
void hw_revocation_record_write(struct hw_buf *out, enum hw_revocation_record_kind kind,
	const struct hw_revocation *revocation);
/** 0 and @out filled, which hw_revocation_record_fini ends; -EINVAL: it is no such event, or one of
 * a newer broker; -ENOMEM. */
HW_MUST_CHECK int hw_revocation_record_read(struct hw_str text, struct hw_revocation_record *out);
void hw_revocation_record_fini(struct hw_revocation_record *record);
