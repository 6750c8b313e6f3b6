#include "hub/seats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct hw_seat {
	struct hw_tenant *tenant;
	struct hw_seat_name name;
	unsigned n; /* sessions that hold it */
};

void hw_seats_init(struct hw_seats *seats, const struct hw_hash_key *hash_key)
{
	pthread_mutex_init(&seats->lock, NULL);
	hw_map_init(&seats->by_key, hash_key);
}

void hw_seats_fini(struct hw_seats *seats)
{
	hw_map_fini(&seats->by_key);
	pthread_mutex_destroy(&seats->lock);
}

static struct hw_str key_of(const struct hw_seat_name *name)
{
	return (struct hw_str){(const char *)name->key, sizeof(name->key)};
}

static int charge(struct hw_tenant *t, const struct hw_seat_name *name)
{
	if (!hw_quota_charge(&t->connections, 1))
		return HW_SEAT_CONNECTIONS;
	if (hw_quota_charge(&t->subscriptions, name->n_subscriptions))
		return 0;
	hw_quota_release(&t->connections, 1);
	return HW_SEAT_SUBSCRIPTIONS;
}

static void release(struct hw_tenant *t, const struct hw_seat_name *name)
{
	hw_quota_release(&t->subscriptions, name->n_subscriptions);
	hw_quota_release(&t->connections, 1);
}

static int seat_new(struct hw_tenant *t, const struct hw_seat_name *name, struct hw_seat **out)
{
	struct hw_seat *seat = malloc(sizeof(*seat));
	int r;

	if (!seat)
		return -ENOMEM;
	*seat = (struct hw_seat){.tenant = t, .name = *name};
	r = charge(t, name);
	if (r) {
		free(seat);
		return r;
	}
	if (hw_map_put(&t->seats.by_key, key_of(&seat->name), seat, NULL)) {
		release(t, name);
		free(seat);
		return -ENOMEM;
	}
	*out = seat;
	return 0;
}

int hw_seat_take(struct hw_tenant *t, const struct hw_seat_name *name, struct hw_seat **out)
{
	struct hw_seat *seat;
	int r = 0;

	pthread_mutex_lock(&t->seats.lock);
	seat = hw_map_get(&t->seats.by_key, key_of(name));
	if (!seat)
		r = seat_new(t, name, &seat);
	else if (seat->n == HW_SEAT_SESSIONS)
		r = HW_SEAT_CONNECTIONS;
	if (!r) {
		seat->n++;
		*out = seat;
	}
	pthread_mutex_unlock(&t->seats.lock);
	return r;
}

void hw_seat_leave(struct hw_seat **out)
{
	struct hw_seat *seat = *out;
	struct hw_tenant *t = seat->tenant;
	bool last;

	*out = NULL;
	pthread_mutex_lock(&t->seats.lock);
	last = --seat->n == 0;
	if (last) {
		hw_map_remove(&t->seats.by_key, key_of(&seat->name));
		release(t, &seat->name);
	}
	pthread_mutex_unlock(&t->seats.lock);
	if (last)
		free(seat);
}
