/* The seats of one tenant: see seats.h. Apart from it because a tenant holds them. */
#pragma once

#include <pthread.h>

#include "base/map.h"

struct hw_seats {
	pthread_mutex_t lock;
	struct hw_map by_key;
};

void hw_seats_init(struct hw_seats *seats, const struct hw_hash_key *hash_key);
void hw_seats_fini(struct hw_seats *seats); /* none is taken */
