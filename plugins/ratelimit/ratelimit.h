/* An instance of the plugin: its settings and a table of buckets for each limit, shared by all
 * workers and tenants of the entry. */
#pragma once

#include <stdatomic.h>

#include "buckets.h"
#include "hash.h"
#include "settings.h"

#define WORKERS_MAX 64 /* whose saves are told apart; more save more than once */

struct ratelimit {
	struct settings settings;
	struct hash_key key;
	struct buckets *tables[N_LIMITS][N_PERS]; /* NULL: no such limit */
	atomic_uint_fast64_t saved;               /* bits: workers that have saved it */
	atomic_bool told; /* that a limit per user or tenant cannot know whose it is */
};
