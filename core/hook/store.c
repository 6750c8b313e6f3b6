#include "hook/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "crypto/random.h"
#include "hook/plugin_host.h"

/* What a ticket stands for: one of these is set. */
struct open_ticket {
	uint64_t number;
	struct hw_store_append *append;
	struct hw_store_read *read;
};

struct hw_store {
	struct hw_hook_entry *entry;
	struct hw_plugin_host *host;
	struct hw_metric *refused;
	pthread_mutex_t lock;
	struct hw_map tickets;
};

/* ---- life
 * ------------------------------------------------------------------------------------------------------------
 */

static const char *missing(const struct hw_plugin *table)
{
	return !table->journal_open     ? "journal_open"
	       : !table->journal_append ? "journal_append"
	       : !table->journal_read   ? "journal_read"
					: NULL;
}

int hw_store_open(struct hw_hook_entry *entry, struct hw_store **out, struct hw_err *err)
{
	struct hw_plugin_host *host = hw_entry_plugin_host(entry);
	struct hw_hash_key key = hw_hash_key_random();
	struct hw_store *store;

	if (!host)
		return hw_err_set(err, -ENOTSUP, "a journal is provided by a plugin, not by Lua");
	if (missing(host->table))
		return hw_err_set(err, -ENOTSUP,
			"the plugin \"%s\" provides no journal: its table has no %s",
			host->plugin_name, missing(host->table));
	store = calloc(1, sizeof(*store));
	if (!store)
		return -ENOMEM;
	pthread_mutex_init(&store->lock, NULL);
	hw_map_init(&store->tickets, &key);
	store->refused = hw_metrics_get(host->env->metrics, HW_METRIC_COUNTER,
		"hookwire_store_misbehaved_total",
		"Answers of the journal's plugin that were none: unknown tickets, numbers out of "
		"order",
		"");
	store->entry = hw_hook_entry_ref(entry);
	store->host = host;
	host->store = store;
	*out = store;
	return 0;
}

/* ---- tickets
 * ---------------------------------------------------------------------------------------------------------
 */

static struct hw_str key_of(const uint64_t *ticket)
{
	return (struct hw_str){(const char *)ticket, sizeof(*ticket)};
}

/* The ticket's number, 0: no memory. */
static uint64_t ticket_give(
	struct hw_store *store, struct hw_store_append *append, struct hw_store_read *read)
{
	struct open_ticket *t = malloc(sizeof(*t));
	bool open;

	if (!t)
		return 0;
	*t = (struct open_ticket){.append = append, .read = read};
	pthread_mutex_lock(&store->lock);
	do
		hw_random(&t->number, sizeof(t->number));
	while (t->number == 0 || hw_map_get(&store->tickets, key_of(&t->number)));
	open = hw_map_put(&store->tickets, key_of(&t->number), t, NULL) == 0;
	pthread_mutex_unlock(&store->lock);
	if (open)
		return t->number;
	free(t);
	return 0;
}

/* Who takes it answers; the others find nothing. @append: for an append, else for a read. */
static bool ticket_take(
	struct hw_store *store, uint64_t number, bool append, struct open_ticket *out)
{
	struct open_ticket *t;

	pthread_mutex_lock(&store->lock);
	t = hw_map_get(&store->tickets, key_of(&number));
	if (t && (t->append != NULL) == append)
		hw_map_remove(&store->tickets, key_of(&number));
	else
		t = NULL;
	pthread_mutex_unlock(&store->lock);
	if (!t)
		return false;
	*out = *t;
	free(t);
	return true;
}

static void answer(
	struct open_ticket *t, int r, uint64_t number, const struct hw_journal_rows *rows)
{
	if (t->append)
		t->append->answered(t->append, r, number);
	else
		t->read->answered(t->read, r, rows);
}

void hw_store_close(struct hw_store **store_in)
{
	struct hw_store *store = *store_in;
	struct hw_hook_env *env;

	if (!store)
		return;
	*store_in = NULL;
	env = store->host->env;
	hw_entry_plugin_unload(store->entry);
	for (hw_map_each (&store->tickets, i)) {
		struct open_ticket *t = store->tickets.slots[i].value;

		answer(t, -EIO, 0, NULL);
		free(t);
	}
	store->host->store = NULL;
	hw_hook_entry_unref(&store->entry);
	hw_hook_env_reap(env);
	hw_map_fini(&store->tickets);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

/* ---- what is asked of the plugin
 * -----------------------------------------------------------------------------------------
 */

int hw_store_tenant(struct hw_store *store, struct hw_str tenant, uint64_t *epoch, uint64_t *last)
{
	const struct hw_plugin_host *host = store->host;
	struct hw_journal_head head = {.size = sizeof(head)};

	if (host->table->journal_open(&host->host, host->instance, hw_slice_of(tenant), &head))
		return -EAGAIN;
	if (head.epoch == 0) {
		hw_metric_add(store->refused, 1);
		return -EIO;
	}
	*epoch = head.epoch;
	*last = head.last;
	return 0;
}

bool hw_store_retains(const struct hw_store *store)
{
	return store->host->table->journal_retain;
}

void hw_store_retain(struct hw_store *store, struct hw_str tenant,
	const struct hw_journal_class *classes, size_t n)
{
	const struct hw_plugin_host *host = store->host;

	if (host->table->journal_retain)
		host->table->journal_retain(
			&host->host, host->instance, hw_slice_of(tenant), classes, n);
}

void hw_store_append(struct hw_store *store, struct hw_store_append *a)
{
	const struct hw_plugin_host *host = store->host;
	uint64_t ticket = a->ticket = ticket_give(store, a, NULL);
	struct open_ticket t;

	if (ticket == 0) {
		a->answered(a, -ENOMEM, 0);
		return;
	}
	/* answered, it may be gone: what is needed afterwards is here */
	if (host->table->journal_append(
		    &host->host, host->instance, ticket, hw_slice_of(a->tenant), a->events, a->n) &&
		ticket_take(store, ticket, true, &t))
		answer(&t, -EAGAIN, 0, NULL);
}

void hw_store_read(struct hw_store *store, struct hw_store_read *read)
{
	const struct hw_plugin_host *host = store->host;
	uint64_t ticket = read->ticket = ticket_give(store, NULL, read);
	struct open_ticket t;

	if (ticket == 0) {
		read->answered(read, -ENOMEM, NULL);
		return;
	}
	read->query.size = sizeof(read->query);
	if (host->table->journal_read(&host->host, host->instance, ticket, &read->query) &&
		ticket_take(store, ticket, false, &t))
		answer(&t, -EAGAIN, 0, NULL);
}

/* ---- what the plugin says
 * ------------------------------------------------------------------------------------------------
 */

static struct hw_store *store_of(const struct hw_host *host)
{
	return hw_plugin_host_of(host)->store;
}

static bool take(const struct hw_host *host, uint64_t ticket, bool append, struct open_ticket *t)
{
	struct hw_store *store = store_of(host);

	if (!store)
		return false;
	if (ticket_take(store, ticket, append, t))
		return true;
	hw_metric_add(store->refused, 1);
	return false;
}

int hw_plugin_journal_committed(const struct hw_host *host, uint64_t ticket, uint64_t first_number)
{
	struct open_ticket t;

	if (!take(host, ticket, true, &t))
		return -1;
	answer(&t, first_number ? 0 : -EIO, first_number, NULL);
	return 0;
}

int hw_plugin_journal_failed(const struct hw_host *host, uint64_t ticket)
{
	struct hw_store *store = store_of(host);
	struct open_ticket t;

	if ((!store || !ticket_take(store, ticket, true, &t)) && !take(host, ticket, false, &t))
		return -1;
	answer(&t, -EIO, 0, NULL);
	return 0;
}

int hw_plugin_journal_rows(
	const struct hw_host *host, uint64_t ticket, const struct hw_journal_rows *rows)
{
	struct hw_journal_rows known = {0};
	struct open_ticket t;

	memcpy(&known, rows, rows->size < sizeof(known) ? rows->size : sizeof(known));
	if (!take(host, ticket, false, &t))
		return -1;
	answer(&t, 0, 0, &known);
	return 0;
}
