/* The writer's transactions: write.c commits what came, trim.c takes away what is kept no longer.
 */
#pragma once

#include "journal.h"

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	TENANT_ADD,
	TENANT_SET,
	CLASS_ADD,
	CLASS_SET,
	TOPIC_FIND,
	TOPIC_ADD,
	TOPIC_FILLED,
	EVENT_ADD,
	EVENT_OLDEST,
	EVENT_FIRST,
	EVENT_DROP,
	EVENT_STEP,
	EVENT_REDATE,
	TOPIC_GONE,
	EMPTY_COUNT,
	EMPTY_NTH,
	EMPTY_DROP,
	N_STATEMENTS
};

struct gone {
	int64_t topic;
	uint64_t number;
};

struct writer {
	struct journal *journal;
	sqlite3 *db;
	sqlite3_stmt *statements[N_STATEMENTS];
	/* of the present transaction */
	struct tenant *touched_tenants;
	struct class *touched_classes;
	uint64_t n_events; /* of the last commit */
	/* the write-ahead log, in pages */
	uint64_t log_pages, checkpoint_pages, checkpoint_at;
	bool trimming; /* the present transaction is trim.c's */
	bool unsafe;   /* the connection has been told not to sync, and not yet to do it again */
	/* trouble is told when it begins, now and then, and when it ends */
	bool failing;
	int64_t told_ms;
	/* what retention takes away: a ring of classes, the next one first */
	struct class *due, **last_due;
	int64_t look_at_ms;
	bool trim_failed; /* until the next look */
	struct gone *gone;
	size_t cap_gone;
};

/** Steps a statement that gives no rows, and makes it ready again. 0 or -1. */
int writer_do(struct writer *w, enum statement which);
int64_t writer_mono_ms(void);

int transaction_begin(struct writer *w);
/** Its counters are written with the transaction, and as they were if it is undone. */
void transaction_touch(struct writer *w, struct class *class);
/** 0: it is stored; -1: it is undone, and told. */
int transaction_end(struct writer *w, bool good);

/** Looks whether a class holds more than it should, and remembers it. */
void trim_consider(struct writer *w, struct class *class);
/** One small transaction of it, if any is due. */
void trim_step(struct writer *w);
/** When something is to be done without an append; now: at once. */
int64_t trim_next_ms(const struct writer *w);
