/* Tenants, their classes, and the topics that were named last. Everything here is bounded by what
 * the configuration and retention bound: a topic that is forgotten is looked up again. */
#pragma once

#include <stdbool.h>

#include "file.h"
#include "map.h"
#include "rules.h"

/* What one pattern of a tenant holds. The writer's own. */
struct class
{
	struct class *next;         /* of the tenant */
	struct class *next_of_all;  /* names->classes */
	struct class *next_touched; /* by the present transaction */
	struct tenant *tenant;
	struct hw_slice pattern; /* in the same block */
	int64_t id;              /* 0: it has no row yet */
	uint64_t events, bytes;
	uint64_t floor; /* newest deleted event of topics that have no row any more */
	struct {
		int64_t id;
		uint64_t events, bytes, floor;
	} committed;
	uint64_t n_empty;  /* topics of it without events, or fewer */
	int64_t oldest_ms; /* of its first event; INT64_MIN: to be looked up */
	struct class *next_due;
	int64_t redate_after; /* while what the clock has not come to is given the present: the last
				 id that was looked at; 0: nothing is to be given it */
	bool touched, is_due, n_empty_known;
};

struct tenant {
	struct map_node node;
	struct hw_slice name;        /* in the same block */
	uint64_t last;               /* committed; under the lock */
	struct rules *new_rules;     /* under the lock: what the writer has not seen yet */
	struct tenant *next_changed; /* under the lock */
	bool changed;                /* likewise */
	/* the writer's own */
	int64_t id;      /* 0: it has no row yet */
	uint64_t number; /* last, with those of the present transaction */
	struct rules *rules;
	unsigned rules_serial;
	struct class *classes;
	struct tenant *next_touched, *next_adopted;
	bool touched, is_new;
};

/* A topic that has events; in the writer's cache. */
struct topic {
	struct map_node node;
	struct tenant *tenant;
	struct class *class; /* for rules_serial */
	unsigned rules_serial;
	int64_t id;
	size_t len;
	char name[];
};

struct names {
	struct map tenants; /* under the journal's lock */
	struct map topics;  /* the writer's */
	struct class *classes;
};

void names_init(struct names *names, const struct hw_host *host);
void names_fini(struct names *names);
/** All that the file knows: before there are threads. 0, or -1: the connection says why, or there
 * is no memory (and it says nothing). */
int names_load(struct names *names, sqlite3 *db);

/** Made if it is not there. NULL: out of memory. Under the lock. */
struct tenant *names_tenant(struct names *names, struct hw_slice name);
/** Without a row until it is needed. NULL: out of memory. */
struct class *names_class(struct names *names, struct tenant *tenant, struct hw_slice pattern);

struct topic *names_topic(const struct names *names, uint64_t hash, const struct tenant *tenant,
	struct hw_slice name);
struct topic *names_topic_add(struct names *names, uint64_t hash, struct tenant *tenant,
	struct hw_slice name, int64_t id);
void names_forget_topics(struct names *names);
