#include "hub/revocations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The kind's letter, the tenant, a zero, the name: neither tenant holds a zero. */
enum { KEY_MAX = 1 + HW_TENANT_ID_MAX + 1 + HW_USER_ID_MAX };

_Static_assert(HW_TOKEN_ID_MAX <= HW_USER_ID_MAX, "a key has room for either");

struct entry {
	struct hw_revocation what; /* its texts are in the key */
	size_t key_len;
	char key[];
};

static size_t put_key(
	char out[KEY_MAX], enum hw_revoked_kind kind, struct hw_str tenant, struct hw_str name)
{
	static const char letters[] = {
		[HW_REVOKED_TOKEN] = 'j', [HW_REVOKED_USER] = 'u', [HW_REVOKED_TENANT] = 't'};
	char *p = out;

	*p++ = letters[kind];
	if (tenant.len)
		memcpy(p, tenant.p, tenant.len);
	p += tenant.len;
	*p++ = '\0';
	if (name.len)
		memcpy(p, name.p, name.len);
	return (size_t)(p - out) + name.len;
}

void hw_revocations_init(struct hw_revocations *r, const struct hw_hash_key *key)
{
	pthread_mutex_init(&r->lock, NULL);
	atomic_init(&r->n, 0);
	hw_map_init(&r->by_key, key);
	r->last = r->version = r->stored_version = 0;
}

void hw_revocations_fini(struct hw_revocations *r)
{
	for (hw_map_each (&r->by_key, i))
		free(r->by_key.slots[i].value);
	hw_map_fini(&r->by_key);
	pthread_mutex_destroy(&r->lock);
}

/* ---- asking ---- */

static bool ended(const struct hw_revocation *what, int64_t now_s)
{
	return what->until_s && what->until_s <= now_s;
}

static bool hit(const struct hw_revocations *r, enum hw_revoked_kind kind, struct hw_str tenant,
	struct hw_str name, const struct hw_token_facts *facts, int64_t now_s)
{
	char key[KEY_MAX];
	const struct entry *found;
	size_t len;

	if (tenant.len > HW_TENANT_ID_MAX || name.len > HW_USER_ID_MAX)
		return false; /* nobody can have put it on the list */
	len = put_key(key, kind, tenant, name);
	found = hw_map_get(&r->by_key, (struct hw_str){key, len});
	return found && !ended(&found->what, now_s) &&
	       (kind == HW_REVOKED_TOKEN || facts->issued_s <= found->what.before_s);
}

bool hw_revocations_hit(struct hw_revocations *r, const struct hw_token_facts *facts, int64_t now_s)
{
	bool is_hit;

	pthread_mutex_lock(&r->lock);
	is_hit = hit(r, HW_REVOKED_TENANT, facts->tenant, HW_STR_NULL, facts, now_s) ||
		 hit(r, HW_REVOKED_USER, facts->tenant, facts->user, facts, now_s) ||
		 (facts->jti.p &&
			 (hit(r, HW_REVOKED_TOKEN, facts->tenant, facts->jti, facts, now_s) ||
				 hit(r, HW_REVOKED_TOKEN, HW_STR_NULL, facts->jti, facts, now_s)));
	pthread_mutex_unlock(&r->lock);
	return is_hit;
}

/* ---- changing ---- */

static void count(struct hw_revocations *r)
{
	atomic_store_explicit(&r->n, hw_map_count(&r->by_key), memory_order_release);
}

/* What has ended stays for a while: a clock that was ahead and is set back makes it hold again. */
enum { KEPT_S = 24 * 60 * 60 };

static void trim(struct hw_revocations *r, int64_t now_s, int64_t kept_s)
{
	for (hw_map_each (&r->by_key, i)) {
		struct entry *entry = r->by_key.slots[i].value;

		if (!ended(&entry->what, now_s - kept_s))
			continue;
		hw_map_remove(&r->by_key, (struct hw_str){entry->key, entry->key_len});
		free(entry);
	}
	count(r);
}

static void widen(struct hw_revocation *what, const struct hw_revocation *by)
{
	if (by->before_s > what->before_s)
		what->before_s = by->before_s;
	if (!by->until_s || (what->until_s && by->until_s > what->until_s))
		what->until_s = by->until_s;
}

static struct entry *entry_new(const struct hw_revocation *what, const char *key, size_t len)
{
	struct entry *entry = malloc(sizeof(*entry) + len);

	if (!entry)
		return NULL;
	memcpy(entry->key, key, len);
	entry->key_len = len;
	entry->what = *what;
	entry->what.tenant =
		what->tenant.p ? (struct hw_str){entry->key + 1, what->tenant.len} : HW_STR_NULL;
	entry->what.name =
		what->name.p ? (struct hw_str){entry->key + len - what->name.len, what->name.len}
			     : HW_STR_NULL;
	return entry;
}

static int put_new(
	struct hw_revocations *r, const struct hw_revocation *what, const char *key, size_t len)
{
	struct entry *entry = entry_new(what, key, len);

	if (!entry || hw_map_put(&r->by_key, (struct hw_str){entry->key, len}, entry, NULL)) {
		free(entry);
		return -ENOMEM;
	}
	if (!entry->what.number)
		entry->what.number = r->last + 1;
	if (entry->what.number > r->last)
		r->last = entry->what.number;
	entry->what.version = ++r->version;
	return 0;
}

static int add(struct hw_revocations *r, const struct hw_revocation *what, uint64_t *number)
{
	char key[KEY_MAX];
	size_t len = put_key(key, what->kind, what->tenant, what->name);
	struct entry *entry = hw_map_get(&r->by_key, (struct hw_str){key, len});
	int rc;

	if (entry) {
		widen(&entry->what, what);
		entry->what.version = ++r->version;
		*number = entry->what.number;
		return 0;
	}
	if (hw_map_count(&r->by_key) >= HW_REVOCATIONS_MAX)
		return -ENOSPC;
	rc = put_new(r, what, key, len);
	if (!rc)
		*number = r->last;
	return rc;
}

int hw_revocations_add(
	struct hw_revocations *r, const struct hw_revocation *what, int64_t now_s, uint64_t *number)
{
	int rc;

	pthread_mutex_lock(&r->lock);
	trim(r, now_s, KEPT_S);
	rc = add(r, what, number);
	if (rc == -ENOSPC) {
		trim(r, now_s, 0);
		rc = add(r, what, number);
	}
	count(r);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static struct entry *find(const struct hw_revocations *r, uint64_t number)
{
	for (hw_map_each (&r->by_key, i)) {
		struct entry *entry = r->by_key.slots[i].value;

		if (entry->what.number == number)
			return entry;
	}
	return NULL;
}

static void drop(struct hw_revocations *r, struct entry *entry)
{
	hw_map_remove(&r->by_key, (struct hw_str){entry->key, entry->key_len});
	free(entry);
}

bool hw_revocations_remove(struct hw_revocations *r, uint64_t number, uint64_t version)
{
	struct entry *entry;

	pthread_mutex_lock(&r->lock);
	entry = find(r, number);
	if (entry && version && entry->what.version != version)
		entry = NULL;
	if (entry)
		drop(r, entry);
	count(r);
	pthread_mutex_unlock(&r->lock);
	return entry;
}

bool hw_revocations_find(struct hw_revocations *r, uint64_t number, uint64_t *version)
{
	const struct entry *entry;

	pthread_mutex_lock(&r->lock);
	entry = find(r, number);
	if (entry)
		*version = entry->what.version;
	pthread_mutex_unlock(&r->lock);
	return entry;
}

size_t hw_revocations_trim(struct hw_revocations *r, int64_t now_s)
{
	size_t n = 0;

	if (!hw_revocations_any(r))
		return 0;
	pthread_mutex_lock(&r->lock);
	trim(r, now_s, KEPT_S);
	for (hw_map_each (&r->by_key, i)) {
		const struct entry *entry = r->by_key.slots[i].value;

		n += !ended(&entry->what, now_s);
	}
	pthread_mutex_unlock(&r->lock);
	return n;
}

/* ---- listing ---- */

static int by_number(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;

	return (x->what.number > y->what.number) - (x->what.number < y->what.number);
}

static int by_version(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;

	return (x->what.version > y->what.version) - (x->what.version < y->what.version);
}

/* Those that are above both, in an order. */
static int each_in_order(struct hw_revocations *r, uint64_t number, uint64_t version,
	int (*order)(const void *a, const void *b),
	bool (*each)(void *arg, const struct hw_revocation *revocation), void *arg)
{
	struct entry **all = calloc(hw_map_count(&r->by_key) + 1, sizeof(struct entry *));
	size_t n = 0;

	if (!all)
		return -ENOMEM;
	for (hw_map_each (&r->by_key, i)) {
		struct entry *entry = r->by_key.slots[i].value;

		if (entry->what.number > number && entry->what.version > version)
			all[n++] = entry;
	}
	qsort(all, n, sizeof(struct entry *), order);
	for (size_t i = 0; i < n; i++)
		if (!each(arg, &all[i]->what))
			break;
	free(all);
	return 0;
}

int hw_revocations_each(struct hw_revocations *r, uint64_t after,
	bool (*each)(void *arg, const struct hw_revocation *revocation), void *arg)
{
	int rc;

	pthread_mutex_lock(&r->lock);
	rc = each_in_order(r, after, 0, by_number, each, arg);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* ---- what survives ---- */

static bool is_valid(const struct hw_revocation *what)
{
	size_t most = what->kind == HW_REVOKED_TOKEN ? HW_TOKEN_ID_MAX : HW_USER_ID_MAX;

	if (!what->number || what->tenant.len > HW_TENANT_ID_MAX || what->name.len > most)
		return false;
	return (what->kind == HW_REVOKED_TOKEN || what->tenant.p) &&
	       (what->kind == HW_REVOKED_TENANT) == !what->name.p;
}

int hw_revocations_restore(struct hw_revocations *r, const struct hw_revocation *what)
{
	char key[KEY_MAX];
	struct entry *entry;
	size_t len;
	int rc;

	if (!is_valid(what))
		return -EINVAL;
	len = put_key(key, what->kind, what->tenant, what->name);
	pthread_mutex_lock(&r->lock);
	entry = hw_map_get(&r->by_key, (struct hw_str){key, len});
	if (entry)
		drop(r, entry);
	rc = put_new(r, what, key, len);
	count(r);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

void hw_revocations_skip(struct hw_revocations *r, uint64_t last)
{
	pthread_mutex_lock(&r->lock);
	if (r->last < last)
		r->last = last;
	pthread_mutex_unlock(&r->lock);
}

uint64_t hw_revocations_last(struct hw_revocations *r)
{
	uint64_t last;

	pthread_mutex_lock(&r->lock);
	last = r->last;
	pthread_mutex_unlock(&r->lock);
	return last;
}

int hw_revocations_each_unstored(struct hw_revocations *r,
	bool (*each)(void *arg, const struct hw_revocation *revocation), void *arg)
{
	int rc;

	pthread_mutex_lock(&r->lock);
	rc = each_in_order(r, 0, r->stored_version, by_version, each, arg);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

void hw_revocations_stored(struct hw_revocations *r, uint64_t version)
{
	pthread_mutex_lock(&r->lock);
	if (version > r->version)
		version = r->version; /* others are to come */
	if (r->stored_version < version)
		r->stored_version = version;
	pthread_mutex_unlock(&r->lock);
}

size_t hw_revocations_unstored(struct hw_revocations *r)
{
	size_t n = 0;

	pthread_mutex_lock(&r->lock);
	if (r->version > r->stored_version)
		for (hw_map_each (&r->by_key, i)) {
			const struct entry *entry = r->by_key.slots[i].value;

			n += entry->what.version > r->stored_version;
		}
	pthread_mutex_unlock(&r->lock);
	return n;
}
