/* The journal: what the broker's workers hand over, and the two threads that deal with it.
 *
 *   journal_append ──> appends ──> the writer: all that waits in one transaction ──> COMMIT ──>
 *                                  journal_committed, in order
 *   journal_read   ──> reads ────> the reader, on a connection of its own ────────> journal_rows
 *
 * Between two commits the writer takes away what retention keeps no longer, and copies the
 * write-ahead log into the file. */
#pragma once

#include <pthread.h>

#include "names.h"

struct append {
	struct append *next;
	uint64_t ticket;
	struct tenant *tenant;
	const struct hw_journal_event *events; /* the broker's, until the ticket is answered */
	size_t n, bytes;
	uint64_t first_number; /* 0: it has failed */
};

struct read {
	struct read *next;
	uint64_t ticket;
	const struct hw_journal_query *query; /* likewise */
};

struct writer;
struct reader;

struct journal {
	const struct hw_host *host;
	struct settings settings;
	struct file file;
	struct names names;
	pthread_mutex_t lock;
	pthread_cond_t for_writer, for_reader;
	pthread_t write_thread, read_thread;
	struct writer *writer;
	struct reader *reader;
	/* under the lock */
	struct append *appends, **last_append;
	size_t queued_bytes; /* of appends that are not answered yet */
	struct read *reads, **last_read;
	size_t n_reads;
	struct tenant *changed; /* tenants with new_rules */
	bool ending;
};

/** The writer's statements and state. NULL: the connection says why. */
struct writer *writer_create(struct journal *journal);
void writer_destroy(struct writer **writer);
/** Of write_thread: until the journal is ending and all that was handed over is answered. */
void *writer_run(void *journal);

struct reader *reader_create(struct journal *journal);
void reader_destroy(struct reader **reader);
void *reader_run(void *journal);

void journal_log(const struct journal *journal, enum hw_log_severity severity, const char *format,
	...) __attribute__((format(printf, 3, 4)));
void journal_count(const struct journal *journal, const char *name, uint64_t add);
