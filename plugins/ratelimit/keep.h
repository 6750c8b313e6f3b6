/* What a reload takes over: the debts of one generation's tables, as bytes. A rate that has changed
 * leaves the tokens that are owed as many as they were. */
#pragma once

#include "ratelimit.h"

#define KEEP_MAX_BYTES (1u << 20) /* the host's */

/** The debts, in a block of memory that is the caller's; of more than there is room for, the
 * largest. NULL: no memory, or nobody owes anything. */
char *keep_write(struct ratelimit *r, int64_t now_ns, size_t *len);
/** 0, or -1: it is none of ours. */
int keep_read(struct ratelimit *r, int64_t now_ns, struct hw_slice kept);
