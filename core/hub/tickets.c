#include "hub/tickets.h"

#include <errno.h>
#include <stdlib.h>

#include "crypto/digest.h"
#include "crypto/hex.h"
#include "crypto/random.h"
#include "hook/identity.h"
#include "hub/tenant.h"

struct ticket {
	struct hw_list link; /* by_age */
	uint8_t digest[HW_SHA256_LEN];
	int64_t until_ms;
	struct hw_tenant *tenant;
	struct hw_identity *identity;
};

void hw_tickets_init(struct hw_tickets *tickets, const struct hw_hash_key *hash_key)
{
	pthread_mutex_init(&tickets->lock, NULL);
	hw_map_init(&tickets->by_digest, hash_key);
	hw_list_init(&tickets->by_age);
}

static struct hw_str key_of(const uint8_t digest[HW_SHA256_LEN])
{
	return (struct hw_str){(const char *)digest, HW_SHA256_LEN};
}

/* The lock is held. */
static void drop(struct hw_tickets *tickets, struct ticket *t)
{
	hw_map_remove(&tickets->by_digest, key_of(t->digest));
	hw_list_remove(&t->link);
	hw_quota_release(&t->tenant->tickets, 1);
	hw_identity_unref(&t->identity);
	free(t);
}

/* All live equally long: the oldest end first. The lock is held. */
static void trim(struct hw_tickets *tickets, int64_t mono_ms)
{
	while (!hw_list_empty(&tickets->by_age)) {
		struct ticket *t = HW_CONTAINER_OF(tickets->by_age.next, struct ticket, link);

		if (t->until_ms > mono_ms)
			break;
		drop(tickets, t);
	}
}

void hw_tickets_fini(struct hw_tickets *tickets)
{
	trim(tickets, INT64_MAX);
	hw_map_fini(&tickets->by_digest);
	pthread_mutex_destroy(&tickets->lock);
}

void hw_tickets_trim(struct hw_tickets *tickets, int64_t mono_ms)
{
	pthread_mutex_lock(&tickets->lock);
	trim(tickets, mono_ms);
	pthread_mutex_unlock(&tickets->lock);
}

static int put(struct hw_tickets *tickets, struct ticket *t, int64_t mono_ms)
{
	int r = 0;

	pthread_mutex_lock(&tickets->lock);
	trim(tickets, mono_ms);
	if (!hw_quota_charge(&t->tenant->tickets, 1)) {
		r = -EDQUOT;
	} else if (hw_map_put(&tickets->by_digest, key_of(t->digest), t, NULL)) {
		hw_quota_release(&t->tenant->tickets, 1);
		r = -ENOMEM;
	} else {
		hw_list_push(&tickets->by_age, &t->link);
	}
	pthread_mutex_unlock(&tickets->lock);
	return r;
}

int hw_ticket_make(struct hw_tickets *tickets, struct hw_tenant *tenant,
	struct hw_identity *identity, int64_t mono_ms, char out[HW_TICKET_LEN + 1])
{
	struct ticket *t = malloc(sizeof(*t));
	uint8_t secret[HW_TICKET_LEN / 2];
	int r;

	if (!t)
		return -ENOMEM;
	*t = (struct ticket){.until_ms = mono_ms + HW_TICKET_MS,
		.tenant = tenant,
		.identity = hw_identity_ref(identity)};
	hw_list_init(&t->link);
	hw_random(secret, sizeof(secret));
	hw_hex(secret, sizeof(secret), out);
	hw_sha256(out, HW_TICKET_LEN, t->digest);
	r = put(tickets, t, mono_ms);
	if (r) {
		hw_identity_unref(&t->identity);
		free(t);
	}
	return r;
}

struct hw_identity *hw_ticket_take(struct hw_tickets *tickets, struct hw_str text, int64_t mono_ms)
{
	struct hw_identity *identity = NULL;
	uint8_t digest[HW_SHA256_LEN];
	struct ticket *t;

	hw_sha256(text.p, text.len, digest);
	pthread_mutex_lock(&tickets->lock);
	trim(tickets, mono_ms);
	t = hw_map_get(&tickets->by_digest, key_of(digest));
	if (t) {
		identity = hw_identity_ref(t->identity);
		drop(tickets, t);
	}
	pthread_mutex_unlock(&tickets->lock);
	return identity;
}
