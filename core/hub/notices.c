#include "hub/notices.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hub/hub_internal.h"
#include "wire/cursor.h"
#include "wire/topic.h"

#define LOG_EVERY_MS 1000

/* An event that is to be told, with copies of all that is said of it. */
struct hw_notice {
	struct hw_list link; /* once it is stored */
	struct hw_hub *hub;  /* may have gone when the worker ends: only to tell */
	struct hw_worker *worker;
	const struct hw_tenant *tenant;
	struct hw_identity *identity;
	struct hw_str session, address, topic, event; /* point to bytes */
	unsigned depth;
	size_t n_bytes;
	char bytes[]; /* the event is the last, with room for its end */
};

#define ID_NAME ",\"id\":\""
#define END_MAX (sizeof(ID_NAME) + HW_CURSOR_MAX + 2) /* and "} */

static int64_t now_us(void)
{
	struct timespec t = {0, 0};

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- telling ---- */

static bool wanted(const struct hw_hub *hub, enum hw_lifecycle_kind kind)
{
	return hw_hook_bench_has_kind(hub->worker->global, kind) ||
	       (hub->bench && hw_hook_bench_has_kind(hub->bench, kind));
}

/* What they answer changes nothing. A tenant that is refused now has no hooks of its own. */
static void ask(struct hw_hub *hub, const struct hw_who *who, struct hw_lifecycle *what,
	struct hw_str topic, unsigned depth)
{
	struct hw_str resource, id;
	struct hw_ask ask = {
		.stage = HW_STAGE_LIFECYCLE,
		.global = hub->worker->global,
		.tenant = hub->bench,
		.who = who,
		.lifecycle = what,
		.depth = depth,
	};

	hw_topic_split(topic, &resource, &id);
	what->size = sizeof(*what);
	what->topic = hw_slice_of(topic);
	what->resource = hw_slice_of(resource);
	what->id = hw_slice_of(id);
	if (hw_hooks_ask(&ask) == HW_PENDING)
		hw_hooks_cancel(&ask);
}

static void count_untold(struct hw_hub *hub, struct hw_metric *metric, uint64_t n)
{
	struct hw_notices *all = &hub->worker->notices;
	int64_t now_ms = hw_worker_now_ms(hub->worker);

	if (n == 0)
		return;
	hw_metric_add(metric, (int64_t)n);
	if (now_ms < all->log_after_ms) {
		all->n_unlogged++;
		return;
	}
	hw_log(hub->worker->log, HW_LOG_WARN, "hub",
		"hooks are not told of all that happens: they are slower than it",
		HW_F_STR("tenant", hub->tenant->id), HW_F_SOME("unlogged", all->n_unlogged));
	all->log_after_ms = now_ms + LOG_EVERY_MS;
	all->n_unlogged = 0;
}

/* ---- occupancy ---- */

/* One change. false: there is none, and the turn is another's. */
static bool tell_change(struct hw_hub *hub)
{
	const struct hw_counters *counters = hub->worker->counters;
	struct hw_occupancy_change change;
	struct hw_lifecycle what;
	struct hw_who who = {.size = sizeof(who),
		.tenant_id = hw_slice_of(hub->tenant->id),
		.claims = HW_SLICE("{}")};

	if (!hw_occupancy_next(&hub->tenant->occupancy, &change)) {
		hw_list_remove(&hub->telling_link);
		return false;
	}
	hw_metric_add(counters->occupied, change.occupied ? 1 : -1);
	count_untold(hub, counters->untold_occupancy, change.n_undone);
	what = (struct hw_lifecycle){
		.kind = change.occupied ? HW_ON_OCCUPIED : HW_ON_VACATED, .number = change.number};
	if (wanted(hub, what.kind))
		ask(hub, &who, &what, (struct hw_str){change.topic, change.topic_len}, 0);
	return true;
}

void hw_notices_tell(struct hw_hub *hub)
{
	hw_list_push(&hub->worker->notices.telling, &hub->telling_link);
}

/* ---- events ---- */

static struct hw_str keep(char **at, struct hw_str s)
{
	struct hw_str kept = {*at, s.len};

	if (s.len)
		memcpy(*at, s.p, s.len);
	*at += s.len;
	return kept;
}

struct hw_notice *hw_notice_of(struct hw_hub *hub, const struct hw_published *what)
{
	struct hw_notices *all = &hub->worker->notices;
	size_t n = sizeof(struct hw_notice) + what->session.len + what->address.len +
		   what->topic.len + what->event.len + END_MAX;
	struct hw_notice *notice = NULL;
	char *at;

	if (!wanted(hub, HW_ON_PUBLISH))
		return NULL;
	if (all->bytes + n <= HW_NOTICES_BYTES_MAX)
		notice = malloc(n);
	if (!notice) {
		count_untold(hub, hub->worker->counters->untold_published, 1);
		return NULL;
	}
	at = notice->bytes;
	hw_list_init(&notice->link);
	notice->hub = hub;
	notice->worker = hub->worker;
	notice->tenant = hub->tenant;
	notice->identity = hw_identity_ref((struct hw_identity *)(uintptr_t)what->identity);
	notice->session = keep(&at, what->session);
	notice->address = keep(&at, what->address);
	notice->topic = keep(&at, what->topic);
	notice->event = keep(&at, what->event);
	notice->depth = what->depth;
	notice->n_bytes = n;
	all->bytes += n;
	return notice;
}

static void notice_free(struct hw_notice *notice)
{
	hw_identity_unref(&notice->identity);
	free(notice);
}

void hw_notice_abandon(struct hw_notice **notice)
{
	if (*notice)
		notice_free(*notice);
	*notice = NULL;
}

void hw_notice_drop(struct hw_notice **notice_in)
{
	struct hw_notice *notice = *notice_in;

	if (!notice)
		return;
	*notice_in = NULL;
	notice->worker->notices.bytes -= notice->n_bytes;
	hw_list_remove(&notice->link);
	notice_free(notice);
}

/* As a subscriber gets it. */
static void complete(struct hw_notice *notice, uint64_t number)
{
	char *at = (char *)(uintptr_t)notice->event.p + notice->event.len;
	struct hw_cursor cursor = {
		.epoch = hw_journal_epoch(notice->tenant->journal), .seq = number};

	if (number) {
		memcpy(at, ID_NAME, sizeof(ID_NAME) - 1);
		at += sizeof(ID_NAME) - 1;
		at += hw_cursor_format(cursor, at);
		*at++ = '"';
	}
	*at++ = '}';
	notice->event.len = (size_t)(at - notice->event.p);
}

void hw_notice_tell(struct hw_notice **notice_in, uint64_t number)
{
	struct hw_notice *notice = *notice_in;

	if (!notice)
		return;
	*notice_in = NULL;
	complete(notice, number);
	hw_list_push(&notice->worker->notices.published, &notice->link);
}

static void tell_published(const struct hw_notice *notice)
{
	const struct hw_identity *i = notice->identity;
	struct hw_lifecycle what = {.kind = HW_ON_PUBLISH, .event = hw_slice_of(notice->event)};
	struct hw_who who = {.size = sizeof(who),
		.user_id = hw_slice_of(i->user_id),
		/* a back end's other tenant hears of one of its own */
		.tenant_id = hw_slice_of(notice->tenant->id),
		.session = hw_slice_of(notice->session),
		.address = hw_slice_of(notice->address),
		.claims = hw_slice_of(i->claims),
		.expires_at = i->expires_at};

	ask(notice->hub, &who, &what, notice->topic, notice->depth);
}

static struct hw_notice *next_published(const struct hw_notices *all)
{
	return hw_list_empty(&all->published)
		       ? NULL
		       : HW_CONTAINER_OF(all->published.next, struct hw_notice, link);
}

/* ---- all of a worker's ---- */

void hw_notices_init(struct hw_notices *all)
{
	hw_list_init(&all->telling);
	hw_list_init(&all->published);
}

void hw_notices_fini(struct hw_notices *all)
{
	struct hw_notice *notice;

	while ((notice = next_published(all)))
		hw_notice_drop(&notice);
}

bool hw_notices_has(const struct hw_notices *all)
{
	return !hw_list_empty(&all->telling) || !hw_list_empty(&all->published);
}

/* The next of each list. Hooks publish nothing at once, and subscribe to nothing: neither list
 * changes under them. */
static void tell_one(struct hw_notices *all)
{
	struct hw_notice *notice = next_published(all);

	if (!hw_list_empty(&all->telling)) {
		struct hw_hub *hub =
			HW_CONTAINER_OF(all->telling.next, struct hw_hub, telling_link);

		if (tell_change(hub)) { /* the other tenants' turn */
			hw_list_remove(&hub->telling_link);
			hw_list_push(&all->telling, &hub->telling_link);
		}
	}
	if (notice) {
		tell_published(notice);
		hw_notice_drop(&notice);
	}
}

void hw_notices_run(struct hw_worker *w)
{
	struct hw_notices *all = &w->notices;
	int64_t until_us;

	if (!hw_notices_has(all))
		return;
	until_us = now_us() + HW_NOTICES_US_A_TURN;
	do
		tell_one(all);
	while (hw_notices_has(all) && now_us() < until_us);
}

/* Nobody is told of it. */
static void forget(struct hw_worker *w, struct hw_hub *hub)
{
	struct hw_occupancy_change change;
	struct hw_notice *notice = next_published(&w->notices);

	if (notice) {
		count_untold(notice->hub, w->counters->untold_published, 1);
		hw_notice_drop(&notice);
	}
	if (hub && hw_occupancy_next(&hub->tenant->occupancy, &change))
		count_untold(hub, w->counters->untold_occupancy, change.n_undone + 1);
	else if (hub)
		hw_list_remove(&hub->telling_link);
}

void hw_notices_end(struct hw_worker *w)
{
	struct hw_notices *all = &w->notices;
	int64_t until_us = now_us() + HW_NOTICES_END_US;

	while (hw_notices_has(all) && now_us() < until_us)
		tell_one(all);
	while (hw_notices_has(all))
		forget(w, hw_list_empty(&all->telling) ? NULL
						       : HW_CONTAINER_OF(all->telling.next,
								 struct hw_hub, telling_link));
}
