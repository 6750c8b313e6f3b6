#include "hub/key_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hook/inbox.h"
#include "hub/hub.h"
#include "wire/json.h"

enum {
	READ_EVENTS = 1000,
	READ_BYTES = 1 << 20,
};

static const struct hw_slice topic = HW_SLICE(HW_KEYS_TOPIC);

void hw_key_log_init(struct hw_key_log *log, const struct hw_store *store, uint64_t last)
{
	log->kept = store && hw_store_retains(store);
	log->upto = last;
	log->reading = false;
	atomic_init(&log->known, !log->kept || last == 0);
	pthread_mutex_init(&log->lock, NULL);
	hw_list_init(&log->waiters);
}

void hw_key_log_fini(struct hw_key_log *log)
{
	pthread_mutex_destroy(&log->lock);
}

struct hw_journal_class hw_key_log_class(void)
{
	return (struct hw_journal_class){.pattern = topic,
		.count = HW_IDEMPOTENCY_MAX,
		.bytes = (uint64_t)HW_IDEMPOTENCY_MAX * HW_KEY_ROW_MAX,
		.age_ms = HW_IDEMPOTENCY_MS};
}

/* ---- one key ---- */

size_t hw_key_row_write(const struct hw_idempotency_entry *entry, char out[HW_KEY_ROW_MAX])
{
	struct hw_idempotency_key key = hw_idempotency_key_of(entry);
	int n = snprintf(out, HW_KEY_ROW_MAX,
		"{\"topic\":\"" HW_KEYS_TOPIC "\",\"event\":\"KEY\",\"data\":{\"entity_id\":\"%s\","
		"\"body\":\"%" PRIu64 "\"}}",
		key.digest, key.body_hash);

	return n > 0 && n < HW_KEY_ROW_MAX ? (size_t)n : 0;
}

struct hw_journal_event hw_key_row(struct hw_str text, int64_t wall_ms)
{
	return (struct hw_journal_event){
		.at_ms = wall_ms, .topic = topic, .event = hw_slice_of(text)};
}

static int take_data(struct hw_json_reader *r, struct hw_idempotency_key *out)
{
	struct hw_json name, value;
	bool has_digest = false, has_body = false;
	int rc = hw_json_enter(r, HW_JSON_OBJECT);

	while (!rc && !(rc = hw_json_member(r, &name))) {
		rc = hw_json_value(r, &value);
		if (rc || value.kind != HW_JSON_STRING)
			continue;
		if (hw_json_is(name, HW_STR("entity_id")) &&
			hw_json_inside(value).len == HW_IDEMPOTENCY_DIGITS) {
			memcpy(out->digest, hw_json_inside(value).p, HW_IDEMPOTENCY_DIGITS);
			has_digest = true;
		} else if (hw_json_is(name, HW_STR("body"))) {
			has_body = hw_str_to_u64(hw_json_inside(value), &out->body_hash) == 0;
		}
	}
	return rc == HW_JSON_END && has_digest && has_body ? 0 : -EINVAL;
}

bool hw_key_row_read(const struct hw_journal_event *row, struct hw_idempotency_key *out)
{
	struct hw_json_reader r;
	struct hw_json name, value;
	bool found = false;
	int rc;

	*out = (struct hw_idempotency_key){0};
	hw_json_init(&r, (struct hw_str){row->event.p, row->event.len}, 0);
	rc = hw_json_enter(&r, HW_JSON_OBJECT);
	while (!rc && !(rc = hw_json_member(&r, &name))) {
		if (hw_json_is(name, HW_STR("data"))) {
			rc = take_data(&r, out);
			found = rc == 0;
		} else {
			rc = hw_json_value(&r, &value);
		}
	}
	return rc == HW_JSON_END && found;
}

/* ---- who waits ---- */

/*   in the log's list ──> known, or not ──> its worker's inbox ──> done, unless it was forgotten */
struct hw_keys_waiter {
	struct hw_list link;
	struct hw_mail mail;
	struct hw_hook_env *env;
	unsigned worker;
	int result;
	struct hw_keys_wait *wait; /* NULL: nobody any more; the worker's own */
};

static void on_waited(struct hw_mail *mail)
{
	struct hw_keys_waiter *waiter = HW_CONTAINER_OF(mail, struct hw_keys_waiter, mail);
	struct hw_keys_wait *wait = waiter->wait;
	int r = waiter->result;

	free(waiter);
	if (!wait)
		return;
	wait->waiter = NULL;
	wait->done(wait, r);
}

static struct hw_keys_waiter *waiter_new(struct hw_hub *hub, struct hw_keys_wait *wait)
{
	struct hw_keys_waiter *waiter = calloc(1, sizeof(*waiter));

	if (!waiter)
		return NULL;
	hw_list_init(&waiter->link);
	waiter->mail.run = on_waited;
	hw_list_init(&waiter->mail.link);
	waiter->env = hub->worker->env;
	waiter->worker = hub->worker->index;
	waiter->wait = wait;
	return waiter;
}

/* Any thread. */
static void end_reading(struct hw_key_log *log, int r)
{
	struct hw_list waiters, *node;

	hw_list_init(&waiters);
	pthread_mutex_lock(&log->lock);
	hw_list_splice(&waiters, &log->waiters);
	log->reading = false;
	if (!r)
		atomic_store(&log->known, true);
	pthread_mutex_unlock(&log->lock);
	while ((node = hw_list_pop(&waiters))) {
		struct hw_keys_waiter *waiter = HW_CONTAINER_OF(node, struct hw_keys_waiter, link);

		waiter->result = r;
		if (!hw_hook_inbox_offer(waiter->env, waiter->worker, &waiter->mail))
			free(waiter); /* the worker has ended, and with it who waited */
	}
}

void hw_keys_forget(struct hw_keys_wait *wait)
{
	if (wait->waiter)
		wait->waiter->wait = NULL;
	wait->waiter = NULL;
}

/* ---- reading ---- */

/* Pages, each asked for on the worker that began. */
struct reading {
	struct hw_mail mail;
	struct hw_store_read read;
	struct hw_tenant *tenant;
	struct hw_hook_env *env;
	unsigned worker;
	const struct hw_clock *clock;
	int result;
	bool more;
};

static void end(struct reading *reading, int r)
{
	end_reading(&reading->tenant->keys, r);
	free(reading);
}

static void take_rows(struct reading *reading, const struct hw_journal_rows *rows)
{
	int64_t wall_ms = hw_clock_wall_ms(reading->clock);
	int64_t mono_ms = hw_clock_mono_ms(reading->clock);

	for (size_t i = 0; i < rows->n; i++) {
		const struct hw_journal_event *row = &rows->events[i];
		struct hw_idempotency_key key;

		reading->read.query.after = row->number;
		if (hw_key_row_read(row, &key) && !reading->result)
			reading->result = hw_idempotency_restore(&reading->tenant->idempotency,
				&key, row->number + 1 /* the event's */, wall_ms - row->at_ms,
				mono_ms);
	}
	reading->more = rows->more && rows->n;
}

/* The store's thread. */
static void on_rows(struct hw_store_read *read, int r, const struct hw_journal_rows *rows)
{
	struct reading *reading = HW_CONTAINER_OF(read, struct reading, read);

	reading->result = r;
	if (!r)
		take_rows(reading, rows);
	if (!hw_hook_inbox_offer(reading->env, reading->worker, &reading->mail))
		end(reading, -ECANCELED);
}

static void on_page(struct hw_mail *mail)
{
	struct reading *reading = HW_CONTAINER_OF(mail, struct reading, mail);

	if (reading->result || !reading->more)
		end(reading, reading->result);
	else if (!hw_hook_inbox_is_open(reading->env, reading->worker))
		end(reading, -ECANCELED); /* the store is closed before the worker is freed */
	else
		hw_store_read(reading->tenant->store, &reading->read);
}

static int read_all(struct hw_hub *hub)
{
	struct reading *reading = calloc(1, sizeof(*reading));

	if (!reading)
		return -ENOMEM;
	reading->mail.run = on_page;
	hw_list_init(&reading->mail.link);
	reading->tenant = hub->tenant;
	reading->env = hub->worker->env;
	reading->worker = hub->worker->index;
	reading->clock = hub->worker->clock;
	reading->read = (struct hw_store_read){
		.query = {.tenant = hw_slice_of(hub->tenant->id),
			.topics = &topic,
			.n_topics = 1,
			.upto = hub->tenant->keys.upto,
			.limit = READ_EVENTS,
			.max_bytes = READ_BYTES},
		.answered = on_rows,
	};
	hw_store_read(hub->tenant->store, &reading->read);
	return 0;
}

int hw_keys_know(struct hw_hub *hub, struct hw_keys_wait *wait)
{
	struct hw_key_log *log = &hub->tenant->keys;
	struct hw_keys_waiter *waiter;
	bool begins, known;
	int r;

	if (atomic_load_explicit(&log->known, memory_order_acquire))
		return 0;
	waiter = waiter_new(hub, wait);
	if (!waiter)
		return -ENOMEM;
	pthread_mutex_lock(&log->lock);
	known = atomic_load(&log->known);
	begins = !known && !log->reading;
	if (!known) {
		wait->waiter = waiter;
		hw_list_push(&log->waiters, &waiter->link);
		log->reading = true;
	}
	pthread_mutex_unlock(&log->lock);
	if (known) {
		free(waiter);
		return 0;
	}
	r = begins ? read_all(hub) : 0;
	if (r)
		end_reading(log, r);
	return HW_KEYS_LATER;
}
