/* The store: a plugin that keeps all tenants' events for good, behind the journals in memory. This
 * is the host's side of the journal_… members of plugin.h: tickets, and who hears of what becomes
 * of them. It knows plugins and nothing of journals; core/hub/keep.h has both.
 *
 *   append ──> journal_append(ticket) … journal_committed(ticket, number) ──> answered(number)
 *   read   ──> journal_read(ticket)   … journal_rows(ticket, rows)        ──> answered(rows)
 *
 * Answers come on any thread, each once; whoever asked keeps what it passed until then. */
#pragma once

#include "hook/hooks.h"

struct hw_store;

/** Control thread. Makes a store of a loaded entry and takes a reference of it. 0; -ENOTSUP: it is
 * no plugin that provides a journal, @err says what is missing; -ENOMEM. */
HW_MUST_CHECK int hw_store_open(
	struct hw_hook_entry *entry, struct hw_store **out, struct hw_err *err);
/** When nobody appends or reads any more. The plugin is unloaded, and so commits what it was given
 * or says that it failed; what it leaves unanswered has failed afterwards. */
void hw_store_close(struct hw_store **store);

/** Of a tenant: the epoch of its numbers and the last of them. Any thread; never waits. 0; -EAGAIN:
 * the store does not know yet; -EIO: it made no sense. */
HW_MUST_CHECK int hw_store_tenant(
	struct hw_store *store, struct hw_str tenant, uint64_t *epoch, uint64_t *last);
/** Whether it takes away what is not to be kept: else all is kept. */
bool hw_store_retains(const struct hw_store *store);
/** What is to be kept of a tenant's topics: @classes is borrowed for the call. Any thread. */
void hw_store_retain(struct hw_store *store, struct hw_str tenant,
	const struct hw_journal_class *classes, size_t n);

struct hw_store_append {
	/* borrowed until it is answered */
	struct hw_str tenant;
	const struct hw_journal_event *events;
	size_t n;
	/** @r 0: committed, the events are numbered from @first_number on, without gaps; else
	 * nothing of it is stored: -EAGAIN, -EIO. Any thread, in the order in which batches of the
	 * tenant were committed. */
	void (*answered)(struct hw_store_append *append, int r, uint64_t first_number);
	/* the store's */
	uint64_t ticket;
};
/** Any thread; answered comes once, maybe before this returns. */
void hw_store_append(struct hw_store *store, struct hw_store_append *append);

struct hw_store_read {
	/* borrowed until it is answered */
	struct hw_journal_query query; /* its size is set here */
	/** @r 0: @rows, valid for the call; else it cannot read: -EAGAIN, -EIO. Any thread. */
	void (*answered)(struct hw_store_read *read, int r, const struct hw_journal_rows *rows);
	/* the store's */
	uint64_t ticket;
};
/** As hw_store_append. */
void hw_store_read(struct hw_store *store, struct hw_store_read *read);
