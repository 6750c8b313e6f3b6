/* The database file: who may use it, what is in it, and the two connections to it.
 *
 *   meta    what was drawn once: the seed of all epochs
 *   tenant  the last number of each, which stays when its events have gone
 *   class   a tenant's pattern of retention, with what it holds
 *   topic   a name, and the number of its newest event that is not kept any more
 *   event   id = class << 40 | number: what retention takes away of a class is one range */
#pragma once

#include <stdbool.h>

#include <sqlite3.h>

#include "settings.h"

enum {
	NUMBER_BITS = 40, /* of an event, in its tenant: 10^12 of them */
	SEED_BYTES = 32,
};
#define NUMBER_MAX ((UINT64_C(1) << NUMBER_BITS) - 1)
#define CLASS_MAX ((INT64_C(1) << (63 - NUMBER_BITS)) - 1)

struct file {
	int lock_fd;
	sqlite3 *writing, *reading; /* each of one thread */
	unsigned char seed[SEED_BYTES];
};

/** Opens the file, makes what it lacks and keeps other brokers out. 0, or -1 with @problem filled
 * and nothing open. */
int file_open(struct file *file, const struct hw_host *host, const struct settings *settings,
	struct hw_problem *problem);
void file_close(struct file *file);

/** 0, or -1 (the connection says why). */
int file_do(sqlite3 *db, const char *sql);
/** Prepared for as long as the connection lives; NULL likewise. */
sqlite3_stmt *file_prepare(sqlite3 *db, const char *sql);
/** What the connection last complained of, with the system's reason, if there is one. */
void file_error(sqlite3 *db, char *text, size_t size);
