#include "hook/identity.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

bool hw_user_id_valid(struct hw_str user_id)
{
	return user_id.len > 0 && user_id.len <= HW_USER_ID_MAX &&
	       hw_utf8_valid(user_id.p, user_id.len) && !memchr(user_id.p, '\0', user_id.len);
}

bool hw_tenant_id_valid(struct hw_str tenant_id)
{
	if (tenant_id.len == 0 || tenant_id.len > HW_TENANT_ID_MAX)
		return false;
	for (size_t i = 0; i < tenant_id.len; i++) {
		char c = tenant_id.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
			return false;
	}
	return true;
}

static struct hw_str put(char **room, struct hw_str s)
{
	struct hw_str copy = {*room, s.len};

	if (s.len > 0)
		memcpy(*room, s.p, s.len);
	*room += s.len;
	return copy;
}

/* struct | tenants[] | the bytes of user, tenant, claims and the tenants' names */
struct hw_identity *hw_identity_create(const struct hw_identity *from)
{
	size_t size = sizeof(*from) + from->n_tenants * sizeof(struct hw_str) + from->user_id.len +
		      from->tenant_id.len + from->claims.len;
	struct hw_identity *identity;
	char *room;

	for (size_t i = 0; i < from->n_tenants; i++)
		size += from->tenants[i].len;
	identity = malloc(size);
	if (!identity)
		return NULL;
	atomic_init(&identity->n_refs, 1);
	identity->expires_at = from->expires_at;
	identity->act_as = from->act_as;
	identity->n_tenants = from->n_tenants;
	identity->tenants = (struct hw_str *)(identity + 1);
	room = (char *)(identity->tenants + from->n_tenants);
	identity->user_id = put(&room, from->user_id);
	identity->tenant_id = put(&room, from->tenant_id);
	identity->claims = put(&room, from->claims);
	for (size_t i = 0; i < from->n_tenants; i++)
		identity->tenants[i] = put(&room, from->tenants[i]);
	return identity;
}

struct hw_identity *hw_identity_ref(struct hw_identity *identity)
{
	atomic_fetch_add_explicit(&identity->n_refs, 1, memory_order_relaxed);
	return identity;
}

void hw_identity_unref(struct hw_identity **identity)
{
	struct hw_identity *i = *identity;

	*identity = NULL;
	if (i && atomic_fetch_sub_explicit(&i->n_refs, 1, memory_order_acq_rel) == 1)
		free(i);
}

bool hw_identity_same_person(const struct hw_identity *a, const struct hw_identity *b)
{
	return hw_str_eq(a->user_id, b->user_id) && hw_str_eq(a->tenant_id, b->tenant_id);
}

bool hw_identity_same_claims(const struct hw_identity *a, const struct hw_identity *b)
{
	if (!hw_str_eq(a->claims, b->claims) || a->act_as != b->act_as ||
		a->n_tenants != b->n_tenants)
		return false;
	for (size_t i = 0; i < a->n_tenants; i++) {
		if (!hw_str_eq(a->tenants[i], b->tenants[i]))
			return false;
	}
	return true;
}

bool hw_identity_may_publish_to(const struct hw_identity *identity, struct hw_str tenant_id)
{
	if (hw_str_eq(identity->tenant_id, tenant_id))
		return true;
	for (size_t i = 0; i < identity->n_tenants; i++) {
		if (hw_str_eq(identity->tenants[i], tenant_id))
			return true;
	}
	return false;
}
