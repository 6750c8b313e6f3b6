#include "hub/hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hub/follow.h"
#include "hub/hub_internal.h"
#include "hub/occupancy.h"
#include "wire/topic.h"

enum { TURN_RUNS = 512 }; /* then the sockets get their turn; the fan-out goes on from its cursor */

struct hw_topic_sub {
	struct hw_subscriber *who;
	uint32_t link; /* in who->subs */
};

/* The subscribers of one topic on this worker, dense: what a delivery walks. */
struct hw_topic {
	struct hw_topic_sub *subs;
	uint32_t n, cap;
	struct hw_occupied *occupied; /* while n > 0; NULL of a pattern */
	bool present;                 /* presence is kept of its subscribers */
	size_t name_len;
	char name[];
};

struct hw_str hw_hub_topic_name(const struct hw_topic *t)
{
	return (struct hw_str){t->name, t->name_len};
}

/* ---- life
 * -----------------------------------------------------------------------------------------------------------
 */

static int bench_start(struct hw_worker *w, struct hw_str tenant_id, struct hw_hook_bench **out)
{
	const struct hw_tenant_rules *rules = hw_generation_rules(w->generation, tenant_id);

	if (!rules)
		return -ENOENT;
	return hw_hook_bench_create(w->env, rules->chain, tenant_id, w->index, out);
}

static uint64_t chain_number(struct hw_hook_bench *bench)
{
	uint64_t n;

	if (!bench)
		return 0;
	memcpy(&n, hw_hook_chain_hash(hw_hook_bench_chain(bench)), sizeof(n));
	return n;
}

void hw_hub_note_policy(struct hw_hub *hub)
{
	uint64_t parts[] = {chain_number(hub->worker->global), chain_number(hub->bench)};

	uint64_t policy = hw_hash(&hub->worker->tenants->hash_key, parts, sizeof(parts)) | 1;

	hub->policy_changed |= hub->policy != 0 && hub->policy != policy;
	hub->policy = policy;
}

static void on_grace(struct hw_timer *timer);
static void on_presence_grace(struct hw_timer *timer);

static int hub_create(struct hw_worker *w, struct hw_str tenant_id, struct hw_hub **out)
{
	const struct hw_tenant_rules *rules = hw_generation_rules(w->generation, tenant_id);
	struct hw_hub *hub;
	int r = -ENOMEM;

	if (!rules)
		return -ENOENT;
	hub = calloc(1, sizeof(*hub));
	if (!hub)
		return -ENOMEM;
	hub->worker = w;
	hw_list_init(&hub->left_link);
	hw_list_init(&hub->read_link);
	hw_list_init(&hub->unread_link);
	hw_list_init(&hub->telling_link);
	hw_timer_init(&hub->grace_timer, on_grace);
	hw_timer_init(&hub->presence_timer, on_presence_grace);
	hw_follows_init(hub);
	hw_list_init(&hub->behind);
	hw_list_init(&hub->behind_link);
	hw_classes_init(hub);
	hw_map_init(&hub->topics, &w->tenants->hash_key);
	r = hw_tenants_get(w->tenants, tenant_id, rules, w->generation->number, &hub->tenant);
	if (r)
		goto fail;
	r = -ENOMEM;
	hub->reader = hw_reader_create(hub->tenant->journal, w->index);
	if (!hub->reader)
		goto fail;
	r = bench_start(w, tenant_id, &hub->bench);
	if (r)
		goto fail;
	r = hw_map_put(&w->hubs, hub->tenant->id, hub, NULL);
	if (r)
		goto fail;
	hw_follows_start(hub);
	hw_classes_renew(hub);
	atomic_store(&hub->tenant->hubs[w->index], hub);
	hw_hub_note_policy(hub);
	*out = hub;
	return 0;
fail:
	hw_hub_destroy(&hub);
	return r;
}

void hw_hub_destroy(struct hw_hub **hub_in)
{
	struct hw_hub *hub = *hub_in;

	if (!hub)
		return;
	if (hub->tenant)
		atomic_store(&hub->tenant->hubs[hub->worker->index], NULL);
	hw_list_remove(&hub->read_link);
	hw_list_remove(&hub->unread_link);
	hw_list_remove(&hub->telling_link);
	hw_timer_cancel(&hub->grace_timer);
	hw_timer_cancel(&hub->presence_timer);
	hw_follows_fini(hub);
	hw_list_remove(&hub->behind_link);
	hw_classes_fini(hub);
	hw_reader_destroy(&hub->reader);
	hw_hook_bench_destroy(&hub->bench);
	for (hw_map_each (&hub->topics, i)) {
		struct hw_topic *t = hub->topics.slots[i].value;

		free(t->subs);
		free(t);
	}
	hw_map_fini(&hub->topics);
	free(hub);
	*hub_in = NULL;
}

int hw_hub_get(struct hw_worker *w, struct hw_str tenant_id, struct hw_hub **out)
{
	struct hw_hub *hub = hw_map_get(&w->hubs, tenant_id);

	if (!hub)
		return hub_create(w, tenant_id, out);
	if (!hub->bench) {
		/* the generation that refused it, or could not start its hooks, may be over */
		int r = bench_start(w, tenant_id, &hub->bench);

		if (r)
			return r;
		hw_classes_renew(hub);
		hw_hub_note_policy(hub);
	}
	*out = hub;
	return 0;
}

/* ---- occupancy: what this worker's first and last subscription of a topic mean to the tenant ----
 */

static int64_t grace_ms(const struct hw_hub *hub)
{
	return hub->worker->draining ? 0 : hub->worker->generation->settings.grace_ms;
}

static int occupy(struct hw_hub *hub, struct hw_topic *t)
{
	bool tell = false;
	int r;

	if (hw_topic_is_wildcard(hw_hub_topic_name(t)))
		return 0; /* it names no topic, and would occupy all there could be */
	r = hw_occupancy_join(&hub->tenant->occupancy, hw_hub_topic_name(t), &t->occupied, &tell);
	if (tell)
		hw_notices_tell(hub);
	return r;
}

static void come_again(struct hw_hub *hub, int64_t at_ms)
{
	if (at_ms != INT64_MAX)
		hw_timer_arm(hub->worker->timers, &hub->grace_timer, at_ms);
}

static void vacate(struct hw_hub *hub, struct hw_topic *t)
{
	int64_t now_ms = hw_worker_now_ms(hub->worker);
	bool tell = false;

	if (!t->occupied)
		return;
	if (hw_occupancy_leave(
		    &hub->tenant->occupancy, &t->occupied, now_ms, grace_ms(hub), &tell) &&
		!hw_timer_armed(&hub->grace_timer))
		come_again(hub, now_ms + grace_ms(hub));
	if (tell)
		hw_notices_tell(hub);
}

void hw_hub_check_grace(struct hw_hub *hub)
{
	bool tell = false;

	come_again(hub, hw_occupancy_expire(&hub->tenant->occupancy, hw_worker_now_ms(hub->worker),
				grace_ms(hub), &tell));
	if (tell)
		hw_notices_tell(hub);
}

static void on_grace(struct hw_timer *timer)
{
	hw_hub_check_grace(HW_CONTAINER_OF(timer, struct hw_hub, grace_timer));
}

void hw_hub_end_grace(struct hw_hub *hub)
{
	bool tell = false;

	hw_occupancy_end(&hub->tenant->occupancy, &tell);
	if (tell)
		hw_notices_tell(hub);
}

/* ---- presence: who subscribes to a topic is in it, where the config says so ---- */

static const struct hw_presence_rules *presence_rules(const struct hw_hub *hub)
{
	return &hub->worker->generation->settings.presence;
}

static struct hw_str shown(struct hw_hub *hub, const struct hw_subscriber *s)
{
	return hw_presence_info(
		presence_rules(hub), s->ops->identity(s)->claims, &hub->follows.info);
}

static int enter(struct hw_hub *hub, const struct hw_topic *t, const struct hw_subscriber *s)
{
	return hw_presence_join(&hub->tenant->presence, hw_hub_topic_name(t),
		s->ops->identity(s)->user_id, s->same, shown(hub, s));
}

static void come_again_for_presence(struct hw_hub *hub, int64_t at_ms)
{
	if (at_ms != INT64_MAX)
		hw_timer_arm(hub->worker->timers, &hub->presence_timer, at_ms);
}

static void exit_in(struct hw_hub *hub, const struct hw_topic *t, const struct hw_subscriber *s,
	int64_t grace_ms)
{
	int64_t now_ms = hw_worker_now_ms(hub->worker);

	if (hw_presence_leave(&hub->tenant->presence, hw_hub_topic_name(t),
		    s->ops->identity(s)->user_id, s->same, now_ms, grace_ms) &&
		!hw_timer_armed(&hub->presence_timer))
		come_again_for_presence(hub, now_ms + grace_ms);
}

static void check_presence_grace(struct hw_hub *hub)
{
	come_again_for_presence(
		hub, hw_presence_expire(&hub->tenant->presence, hw_worker_now_ms(hub->worker),
			     presence_rules(hub)->grace_ms));
}

static void on_presence_grace(struct hw_timer *timer)
{
	check_presence_grace(HW_CONTAINER_OF(timer, struct hw_hub, presence_timer));
}

/* All of its subscribers here, or none. */
static void begin_presence(struct hw_hub *hub, struct hw_topic *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (enter(hub, t, t->subs[i].who) == 0)
			continue;
		while (i-- > 0)
			exit_in(hub, t, t->subs[i].who, 0);
		hw_log(hub->worker->log, HW_LOG_ERROR, "hub",
			"out of memory: a topic's presence is not kept here",
			HW_F_STR("tenant", hub->tenant->id),
			HW_F_STR("topic", hw_hub_topic_name(t)));
		return;
	}
	t->present = true;
}

static void end_presence(struct hw_hub *hub, struct hw_topic *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		exit_in(hub, t, t->subs[i].who, 0);
	t->present = false;
}

static void inform(struct hw_hub *hub, const struct hw_topic *t, const struct hw_subscriber *s)
{
	hw_presence_inform(&hub->tenant->presence, hw_hub_topic_name(t),
		s->ops->identity(s)->user_id, shown(hub, s));
}

void hw_hub_renew_presence(struct hw_hub *hub, const struct hw_presence_rules *before)
{
	const struct hw_presence_rules *rules = presence_rules(hub);

	check_presence_grace(hub);
	if (hw_presence_rules_same(rules, before))
		return;
	for (hw_map_each (&hub->topics, i)) {
		struct hw_topic *t = hub->topics.slots[i].value;
		bool keep = hw_presence_keeps(rules, hw_hub_topic_name(t));

		if (keep && !t->present)
			begin_presence(hub, t);
		else if (!keep && t->present)
			end_presence(hub, t);
		else if (keep)
			for (uint32_t k = 0; k < t->n; k++)
				inform(hub, t, t->subs[k].who);
	}
}

void hw_hub_reidentify(struct hw_hub *hub, struct hw_subscriber *s)
{
	for (uint32_t i = 0; i < s->n_subs; i++)
		if (s->subs[i].topic->present)
			inform(hub, s->subs[i].topic, s);
}

/* ---- subscriptions
 * --------------------------------------------------------------------------------------------------
 */

static int grow(void **array, uint32_t *cap, size_t item)
{
	uint32_t wanted = *cap ? *cap * 2 : 1;
	void *p = reallocarray(*array, wanted, item);

	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = wanted;
	return 0;
}

static struct hw_topic *topic_get(struct hw_hub *hub, struct hw_str name)
{
	struct hw_topic *t = hw_map_get(&hub->topics, name);

	if (t)
		return t;
	t = calloc(1, sizeof(*t) + name.len);
	if (!t)
		return NULL;
	t->name_len = name.len;
	memcpy(t->name, name.p, name.len);
	if (hw_map_put(&hub->topics, hw_hub_topic_name(t), t, NULL)) {
		free(t);
		return NULL;
	}
	hub->n_patterns += hw_topic_is_wildcard(name);
	t->present = hw_presence_keeps(presence_rules(hub), name);
	return t;
}

static void topic_drop_if_empty(struct hw_hub *hub, struct hw_topic *t)
{
	if (t->n)
		return;
	hub->n_patterns -= hw_topic_is_wildcard(hw_hub_topic_name(t));
	hw_map_remove(&hub->topics, hw_hub_topic_name(t));
	free(t->subs);
	free(t);
}

static uint32_t find_link(
	const struct hw_hub *hub, const struct hw_subscriber *s, struct hw_str topic)
{
	const struct hw_topic *t = hw_map_get(&hub->topics, topic);

	for (uint32_t i = 0; t && i < s->n_subs; i++)
		if (s->subs[i].topic == t)
			return i;
	return UINT32_MAX;
}

bool hw_hub_subscribed(const struct hw_hub *hub, const struct hw_subscriber *s, struct hw_str topic)
{
	return find_link(hub, s, topic) != UINT32_MAX;
}

static int link_up(struct hw_hub *hub, struct hw_subscriber *s, struct hw_str name)
{
	struct hw_topic *t = topic_get(hub, name);

	if (!t)
		return -ENOMEM;
	if ((t->n == t->cap && grow((void **)&t->subs, &t->cap, sizeof(*t->subs))) ||
		(s->n_subs == s->cap_subs &&
			grow((void **)&s->subs, &s->cap_subs, sizeof(*s->subs))) ||
		(t->present && enter(hub, t, s)))
		goto fail;
	if (t->n == 0 && occupy(hub, t)) {
		if (t->present)
			exit_in(hub, t, s, 0);
		goto fail;
	}
	s->subs[s->n_subs] = (struct hw_sub_link){.topic = t,
		.index = t->n,
		.after = hw_hub_number(hub),
		.since = hw_hub_number(hub)};
	t->subs[t->n++] = (struct hw_topic_sub){.who = s, .link = s->n_subs++};
	return 0;
fail:
	topic_drop_if_empty(hub, t);
	return -ENOMEM;
}

int hw_hub_subscribe(struct hw_hub *hub, struct hw_subscriber *s, struct hw_str topic)
{
	int r;

	if (hw_hub_subscribed(hub, s, topic))
		return HW_HUB_ALREADY;
	if (!s->uncharged && !hw_quota_charge(&hub->tenant->subscriptions, 1))
		return -EDQUOT;
	hw_reader_activate(hub->reader);
	r = link_up(hub, s, topic);
	if (r) {
		if (!s->uncharged)
			hw_quota_release(&hub->tenant->subscriptions, 1);
		if (hub->n_subscriptions == 0)
			hw_hub_rest(hub);
		return r;
	}
	hub->n_subscriptions++;
	hw_classes_join(hub, s);
	hw_metric_add(hub->worker->counters->subscriptions, 1);
	return 0;
}

static void unlink_at(struct hw_hub *hub, struct hw_subscriber *s, uint32_t link)
{
	struct hw_topic *t = s->subs[link].topic;
	uint32_t index = s->subs[link].index;

	if (t->present)
		exit_in(hub, t, s, presence_rules(hub)->grace_ms);
	/* the last of each array moves into the hole */
	t->subs[index] = t->subs[--t->n];
	if (index < t->n)
		t->subs[index].who->subs[t->subs[index].link].index = index;
	s->subs[link] = s->subs[--s->n_subs];
	if (link < s->n_subs)
		s->subs[link].topic->subs[s->subs[link].index].link = link;
	if (t->n == 0)
		vacate(hub, t);
	topic_drop_if_empty(hub, t);
	if (!s->uncharged)
		hw_quota_release(&hub->tenant->subscriptions, 1);
	hw_metric_add(hub->worker->counters->subscriptions, -1);
	if (--hub->n_subscriptions == 0)
		hw_hub_rest(hub);
}

/* Nobody listens any more: publishers need not tell us. What was read in this turn stays until the
 * end of it. */
void hw_hub_rest(struct hw_hub *hub)
{
	if (hw_list_empty(&hub->read_link))
		hw_hub_stop(hub);
}

void hw_hub_stop(struct hw_hub *hub)
{
	hub->rest.n = 0;
	hw_reader_deactivate(hub->reader);
}

bool hw_hub_unsubscribe(struct hw_hub *hub, struct hw_subscriber *s, struct hw_str topic)
{
	uint32_t link = find_link(hub, s, topic);

	if (link == UINT32_MAX)
		return false;
	unlink_at(hub, s, link);
	return true;
}

void hw_hub_unsubscribe_all(struct hw_hub *hub, struct hw_subscriber *s)
{
	while (s->n_subs)
		unlink_at(hub, s, s->n_subs - 1);
	hw_classes_leave(hub, s);
	free(s->subs);
	s->subs = NULL;
	s->cap_subs = 0;
}

/* ---- delivery
 * -------------------------------------------------------------------------------------------------------
 */

static struct hw_topic *pattern_of(const struct hw_hub *hub, struct hw_str topic)
{
	char pattern[HW_TOPIC_MAX + 2];

	return hw_map_get(&hub->topics, hw_topic_pattern(topic, pattern));
}

static void deliver_to(struct hw_hub *hub, struct hw_topic *t, const struct hw_run *run)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		struct hw_subscriber *s = t->subs[i].who;

		if (s->delivered_seq >= run->last_seq)
			continue; /* another of its subscriptions had it */
		s->delivered_seq = run->last_seq;
		s->ops->deliver(s, run);
		n++; /* also who is behind: it will read this by itself, and is counted here */
	}
	hw_metric_add(hub->worker->counters->delivered, (int64_t)(n * run->n));
}

void hw_hub_count(struct hw_hub *hub, size_t n_delivered, size_t n_filtered, size_t n_failed)
{
	const struct hw_counters *counters = hub->worker->counters;

	if (n_delivered)
		hw_metric_add(counters->delivered, (int64_t)n_delivered);
	if (n_filtered)
		hw_metric_add(counters->filtered, (int64_t)n_filtered);
	if (n_failed)
		hw_metric_add(counters->filter_failed, (int64_t)n_failed);
}

/* The same where a policy says what of it each may see. Who can no longer be asked about in this
 * turn reads on by himself: the others wait for nobody. */
static void deliver_seen_to(struct hw_hub *hub, struct hw_topic *t, const struct hw_run *run)
{
	size_t n_delivered = 0, n_filtered = 0, n_failed = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		struct hw_subscriber *s = t->subs[i].who;
		const struct hw_seen *seen;

		if (s->delivered_seq >= run->last_seq)
			continue;
		s->delivered_seq = run->last_seq;
		if (s->behind)
			continue;
		seen = hw_hub_see(hub, s, run);
		for (size_t k = 0; seen && k < seen->n_pieces && !s->behind; k++) {
			s->ops->deliver(s, &seen->pieces[k]);
			if (!s->behind)
				n_delivered += seen->pieces[k].n;
		}
		if (s->behind)
			continue; /* it fell behind on the way, and will look at all of it again */
		if (!seen || !seen->whole)
			s->ops->defer(s, seen ? seen->upto : run->after);
		if (seen) {
			n_filtered += seen->n_filtered;
			n_failed += seen->n_failed;
		}
	}
	hw_hub_count(hub, n_delivered, n_filtered, n_failed);
}

static void fan_out(struct hw_hub *hub, const struct hw_run *run)
{
	void (*deliver)(struct hw_hub *, struct hw_topic *, const struct hw_run *) =
		hub->classes.filtering ? deliver_seen_to : deliver_to;
	struct hw_topic *t = hw_map_get_hashed(&hub->topics, run->topic_hash, run->topic);

	if (t)
		deliver(hub, t, run);
	t = hub->n_patterns ? pattern_of(hub, run->topic) : NULL;
	if (t)
		deliver(hub, t, run);
}

/* What was read, in slices that a turn's asks suffice for. false: they are spent, and the rest is
 * for the next turn, unless @all of it has to be now. */
static bool fan_out_rest(struct hw_hub *hub, bool all)
{
	while (hub->rest.n) {
		struct hw_run slice = hub->rest;
		size_t n = hub->classes.filtering ? hw_classes_slice(hub) : slice.n;

		if (!all && !hw_classes_may_ask(hub))
			return false;
		if (n < slice.n) {
			slice = hw_run_part(&hub->rest, 0, n);
			hub->rest = hw_run_part(&hub->rest, n, hub->rest.n - n);
		} else {
			hub->rest.n = 0;
		}
		fan_out(hub, &slice);
	}
	return true;
}

void hw_hub_recovered(
	const struct hw_hub *hub, struct hw_subscriber *s, struct hw_str topic, uint64_t since)
{
	uint32_t link = find_link(hub, s, topic);

	if (link != UINT32_MAX && since < s->subs[link].since)
		s->subs[link].since = since;
}

void hw_hub_begins(
	const struct hw_hub *hub, struct hw_subscriber *s, struct hw_str topic, uint64_t after)
{
	uint32_t link = find_link(hub, s, topic);

	if (link != UINT32_MAX)
		s->subs[link].after = s->subs[link].since = after;
}

static bool covers(const struct hw_hub *hub, const struct hw_subscriber *s,
	const struct hw_run *run, bool recovered)
{
	const struct hw_topic *t = hw_map_get_hashed(&hub->topics, run->topic_hash, run->topic);
	const struct hw_topic *p = hub->n_patterns ? pattern_of(hub, run->topic) : NULL;

	for (uint32_t i = 0; (t || p) && i < s->n_subs; i++) {
		const struct hw_sub_link *link = &s->subs[i];

		if ((link->topic == t || link->topic == p) &&
			(recovered ? link->since : link->after) <= run->after)
			return true;
	}
	return false;
}

bool hw_hub_matches(
	const struct hw_hub *hub, const struct hw_subscriber *s, const struct hw_run *run)
{
	return covers(hub, s, run, false);
}

bool hw_hub_has(const struct hw_hub *hub, const struct hw_subscriber *s, const struct hw_run *run)
{
	return covers(hub, s, run, true);
}

uint64_t hw_subscriber_next_begin(const struct hw_subscriber *s, uint64_t number, uint64_t last)
{
	uint64_t next = last;

	for (uint32_t i = 0; i < s->n_subs; i++)
		if (s->subs[i].since > number && s->subs[i].since < next)
			next = s->subs[i].since;
	return next;
}

/* An event is in the store alone, as there was no memory for it: nobody here would find it. All
 * read on by themselves, and so come upon it. */
static void defer_all(struct hw_hub *hub)
{
	uint64_t number = hw_hub_number(hub);

	for (hw_map_each (&hub->topics, i)) {
		struct hw_topic *t = hub->topics.slots[i].value;

		for (uint32_t k = 0; k < t->n; k++)
			if (!t->subs[k].who->behind)
				t->subs[k].who->ops->defer(t->subs[k].who, number);
	}
}

/* Until the place is behind where the event would have been: who is deferred before reads up to the
 * place, and may be level again too early. */
static void look_for_holes(struct hw_hub *hub, uint64_t torn)
{
	if (torn != hub->hole) {
		hub->hole = torn;
		hub->hole_seq = hw_journal_head(hub->tenant->journal);
	}
	if (hub->torn != hub->hole)
		defer_all(hub);
}

static void pass_holes(struct hw_hub *hub)
{
	if (hw_hub_seq(hub) >= hub->hole_seq)
		hub->torn = hub->hole;
}

static bool pump(struct hw_hub *hub, size_t max_runs)
{
	uint64_t head = hw_journal_head(hub->tenant->journal);
	uint64_t torn = hw_journal_torn(hub->tenant->journal);
	bool all = max_runs == SIZE_MAX, more = true;

	if (!hw_reader_active(hub->reader))
		return false;
	look_for_holes(hub, torn);
	/* also if there is nothing: the reader may have left a segment */
	if (hw_list_empty(&hub->read_link))
		hw_list_push(&hub->worker->read_hubs, &hub->read_link);
	for (size_t i = 0; more && i < max_runs && fan_out_rest(hub, all); i++)
		more = hw_reader_next(hub->reader, head, &hub->rest);
	pass_holes(hub);
	return more;
}

void hw_hub_pump(struct hw_hub *hub)
{
	pump(hub, SIZE_MAX);
}

bool hw_hub_pump_some(struct hw_hub *hub)
{
	return pump(hub, TURN_RUNS);
}

uint64_t hw_hub_seq(const struct hw_hub *hub)
{
	if (!hw_reader_active(hub->reader))
		return hw_journal_head(hub->tenant->journal);
	return hub->rest.n ? hub->rest.first_seq - 1 : hw_reader_seq(hub->reader);
}

void hw_hub_stand(struct hw_hub *hub)
{
	hw_reader_activate(hub->reader);
	if (hw_list_empty(&hub->read_link)) /* whose end of the turn it is */
		hw_list_push(&hub->worker->read_hubs, &hub->read_link);
}

uint64_t hw_hub_number(const struct hw_hub *hub)
{
	uint64_t seq = hw_hub_seq(hub);
	uint64_t number = hw_journal_number(hub->tenant->journal, seq);

	/* what nobody finds in memory behind the place belongs to it all the same */
	return hub->torn > number && seq >= hub->hole_seq ? hub->torn : number;
}
