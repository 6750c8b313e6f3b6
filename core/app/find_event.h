/* Finds an event in the journals, by its id or, newest first, by its trace. Any thread: it reads as
 * workers do, and holds nobody up. */
#pragma once

#include "base/buf.h"
#include "hub/tenant.h"
#include "wire/cursor.h"

#define HW_FIND_ALSO 8 /* so many others of a trace are told of */

enum hw_find_outcome {
	HW_FIND_FOUND,
	HW_FIND_GONE,      /* its number was given, and retention has passed it, in memory */
	HW_FIND_NO_EVENT,  /* its number was given to none that has an id, or is yet to come */
	HW_FIND_NO_TENANT, /* no journal here has that epoch, or not that tenant's */
	HW_FIND_NOWHERE,   /* no event with that trace is in the journals */
	HW_FIND_GAVE_UP,   /* nor in what could be looked at in the time there is */
};

struct hw_found {
	enum hw_find_outcome outcome;
	struct hw_tenant *tenant; /* FOUND, GONE, NO_EVENT */
	uint64_t number;          /* likewise, of its id */
	uint64_t seq;             /* FOUND: its place in memory */
	int64_t wall_ms;          /* FOUND, and the following */
	char *text, *previous;    /* previous NULL: there is none */
	size_t text_len, previous_len;
	uint64_t n_looked_at; /* by trace: so many events */
	bool gave_up;         /* likewise: there was no time to look at all of them */
	/* by trace: older ones, the newest first */
	struct {
		const struct hw_tenant *tenant;
		uint64_t number;
	} also[HW_FIND_ALSO];
	size_t n_also;
};

/** @tenant: only of that one; p NULL: whichever. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_find_by_id(struct hw_tenants *tenants, struct hw_str tenant,
	struct hw_cursor id, struct hw_found *found);
HW_MUST_CHECK int hw_find_by_trace(struct hw_tenants *tenants, struct hw_str tenant,
	struct hw_str trace, const struct hw_clock *clock, int64_t most_ms, struct hw_found *found);
void hw_found_fini(struct hw_found *found);
