#include "session/preview.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/session_internal.h"
#include "wire/topic.h"

enum {
	SLICE_MS = 2,
	SLICE_ASKS = 1024,
	IN_FLIGHT = 32, /* sessions whose hooks wait */
};

/* A session that is being asked about: first itself, then subscription after subscription. It has
 * its own copy of what hooks see, for the session goes on meanwhile. */
struct hw_preview_slot {
	struct hw_list link;  /* in the preview's slots */
	struct hw_list ready; /* its question was answered; it wants the next turn */
	struct hw_preview *preview;
	struct hw_session *session;
	struct hw_preview_tenant *tenant;
	struct hw_identity *identity;
	uint32_t next;
	bool admitted;
	char topic[HW_TOPIC_MAX + 1];
	size_t topic_len;
	struct hw_ask ask;
	struct hw_who who;
	struct hw_question question;
};

static void slot_free(struct hw_preview_slot *slot)
{
	hw_hooks_cancel(&slot->ask);
	if (slot->session)
		slot->session->preview_slot = NULL;
	hw_identity_unref(&slot->identity);
	hw_list_remove(&slot->link);
	hw_list_remove(&slot->ready);
	free(slot);
}

static void wake(struct hw_preview *p)
{
	hw_timer_arm(p->worker->timers, &p->timer, hw_worker_now_ms(p->worker));
}

static void end(struct hw_preview *p, int error)
{
	if (p->ended)
		return;
	p->ended = true;
	p->error = p->error ? p->error : error;
	hw_timer_cancel(&p->timer);
	while (!hw_list_empty(&p->slots))
		slot_free(HW_CONTAINER_OF(p->slots.next, struct hw_preview_slot, link));
	while (hw_list_pop(&p->sessions))
		;
	for (hw_map_each (&p->tenants, i)) {
		struct hw_preview_tenant *t = p->tenants.slots[i].value;

		hw_hook_bench_destroy(&t->bench);
	}
	hw_hook_bench_destroy(&p->global);
	if (p->worker->sessions->preview == p)
		p->worker->sessions->preview = NULL;
	p->done(p);
}

/* ---- what it finds ---- */

static char *dup(struct hw_str s)
{
	return hw_str_dup(s.p ? s : HW_STR(""));
}

static void note(struct hw_preview_slot *slot, bool session)
{
	struct hw_preview *p = slot->preview;
	struct hw_preview_revoked *r = &p->revoked[p->n_revoked];
	const char *hook = slot->ask.decided_by ? slot->ask.decided_by : "";

	if (p->n_revoked == HW_PREVIEW_REVOKED)
		return;
	*r = (struct hw_preview_revoked){
		.tenant = dup(hw_str_of(slot->tenant->id)),
		.user = dup(slot->identity->user_id),
		.topic = session ? NULL : dup((struct hw_str){slot->topic, slot->topic_len}),
		.hook = dup(hw_str_of(hook)),
		.code = hw_code_info(hw_ask_code(&slot->ask, HW_CODE_FORBIDDEN_TOPIC))->name,
	};
	p->n_revoked++;
	if (!r->tenant || !r->user || (!session && !r->topic) || !r->hook)
		p->error = -ENOMEM;
}

static bool by_global(const struct hw_preview_slot *slot)
{
	return !slot->tenant->bench ||
	       hw_hook_chain_names(slot->preview->generation->global, slot->ask.decided_by);
}

/* true: the session is asked about no more. */
static bool take(struct hw_preview_slot *slot, enum hw_verdict verdict)
{
	struct hw_preview_tenant *t = slot->tenant;
	size_t n = slot->admitted ? 1 : slot->session->sub.n_subs;

	if (verdict == HW_ALLOW) {
		slot->next += slot->admitted;
		slot->admitted = true;
		return false;
	}
	note(slot, !slot->admitted);
	t->cut_subscriptions += n;
	t->cut_by_global += by_global(slot) ? n : 0;
	t->cut_sessions += !slot->admitted;
	slot->next++;
	return !slot->admitted;
}

/* ---- asking ---- */

static void on_decided(struct hw_ask *ask)
{
	struct hw_preview_slot *slot = HW_CONTAINER_OF(ask, struct hw_preview_slot, ask);
	struct hw_preview *p = slot->preview;

	if (p->ended)
		return; /* the end of its benches decided it */
	if (take(slot, ask->verdict))
		slot_free(slot);
	else
		hw_list_push(&p->ready, &slot->ready);
	wake(p);
}

static enum hw_verdict ask(struct hw_preview_slot *slot)
{
	struct hw_session *s = slot->session;
	struct hw_preview *p = slot->preview;
	struct hw_str name = HW_STR_NULL, resource = HW_STR_NULL, id = HW_STR_NULL;

	slot->question = (struct hw_question){.size = sizeof(slot->question)};
	slot->question.operation = HW_OP_SESSION;
	if (slot->admitted) {
		name = hw_hub_topic_name(s->sub.subs[slot->next].topic);
		memcpy(slot->topic, name.p, name.len);
		slot->topic_len = name.len;
		name.p = slot->topic;
		hw_topic_split(name, &resource, &id);
		slot->question.operation =
			hw_topic_is_wildcard(name) ? HW_OP_WILDCARD : HW_OP_SUBSCRIBE;
	}
	slot->question.topic = hw_slice_of(name);
	slot->question.resource = hw_slice_of(resource);
	slot->question.id = hw_slice_of(id);
	hw_who_fill(&slot->who, slot->identity, (struct hw_str){s->id, HW_SESSION_ID_LEN},
		hw_str_of(s->address));
	slot->ask = (struct hw_ask){.stage = HW_STAGE_AUTHORIZE,
		.global = p->global,
		.tenant = slot->tenant->bench,
		.who = &slot->who,
		.question = &slot->question,
		.decided = on_decided,
		.verdict = HW_DENY};
	return slot->tenant->bench ? hw_hooks_ask(&slot->ask) : HW_DENY;
}

struct slice {
	int64_t until_ms;
	unsigned asks;
};

/* true: it waits for a hook, or is gone; false: the slice is used up. */
static bool go_on(struct hw_preview_slot *slot, struct slice *slice)
{
	while (!slot->admitted || slot->next < slot->session->sub.n_subs) {
		enum hw_verdict verdict;

		if (slice->asks == 0 || hw_worker_now_ms(slot->preview->worker) >= slice->until_ms)
			return false;
		slice->asks--;
		verdict = ask(slot);
		if (verdict == HW_PENDING)
			return true;
		if (take(slot, verdict))
			break;
	}
	slot_free(slot);
	return true;
}

static struct hw_preview_slot *slot_new(struct hw_preview *p, struct hw_session *s)
{
	struct hw_preview_slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return NULL;
	slot->preview = p;
	slot->session = s;
	slot->tenant = hw_map_get(&p->tenants, s->hub->tenant->id);
	slot->identity = hw_identity_ref(s->identity);
	hw_list_init(&slot->ready);
	hw_list_push(&p->slots, &slot->link);
	s->preview_slot = slot;
	return slot;
}

static size_t count(const struct hw_list *list)
{
	size_t n = 0;

	hw_list_each (node, list)
		n++;
	return n;
}

static void on_timer(struct hw_timer *timer)
{
	struct hw_preview *p = HW_CONTAINER_OF(timer, struct hw_preview, timer);
	struct slice slice = {hw_worker_now_ms(p->worker) + SLICE_MS, SLICE_ASKS};
	size_t room = IN_FLIGHT - count(&p->slots);
	struct hw_list *node;

	room += count(&p->ready);
	while (room > 0 && !p->error) {
		struct hw_preview_slot *slot;

		node = hw_list_pop(&p->ready);
		if (node) {
			slot = HW_CONTAINER_OF(node, struct hw_preview_slot, ready);
		} else {
			node = hw_list_pop(&p->sessions);
			if (!node)
				break;
			slot = slot_new(p, HW_CONTAINER_OF(node, struct hw_session, preview));
			if (!slot) {
				p->error = -ENOMEM;
				break;
			}
		}
		if (!go_on(slot, &slice)) {
			hw_list_push(&p->ready, &slot->ready);
			wake(p);
			return;
		}
		room = IN_FLIGHT - count(&p->slots) + count(&p->ready);
	}
	if (p->error || (hw_list_empty(&p->slots) && hw_list_empty(&p->sessions)))
		end(p, 0);
}

/* ---- the beginning ---- */

static bool same_hash(struct hw_hook_chain *a, struct hw_hook_chain *b)
{
	return memcmp(hw_hook_chain_hash(a), hw_hook_chain_hash(b), 32) == 0;
}

static int bench_of(struct hw_preview *p, struct hw_preview_tenant *t)
{
	int r;

	if (!t->rules || t->same)
		return 0;
	r = hw_hook_bench_create_trial(
		p->worker->env, t->rules->chain, hw_str_of(t->id), p->worker->index, &t->bench);
	if (r)
		p->refused = t->rules->id;
	return r;
}

static int tenant_of(struct hw_preview *p, struct hw_session *s, struct hw_preview_tenant **out)
{
	struct hw_worker *w = p->worker;
	struct hw_preview_tenant *t = hw_map_get(&p->tenants, s->hub->tenant->id);

	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
		t->id = hw_str_dup(s->hub->tenant->id);
		if (!t->id || hw_map_put(&p->tenants, hw_str_of(t->id), t, NULL)) {
			free(t->id);
			free(t);
			return -ENOMEM;
		}
		t->rules = hw_generation_rules(p->generation, s->hub->tenant->id);
		t->same = t->rules && s->hub->bench &&
			  same_hash(hw_hook_bench_chain(s->hub->bench), t->rules->chain) &&
			  same_hash(hw_hook_bench_chain(w->global), p->generation->global);
		*out = t;
		return bench_of(p, t);
	}
	*out = t;
	return 0;
}

static int begin(struct hw_preview *p)
{
	struct hw_worker *w = p->worker;
	int r = hw_hook_bench_create_trial(
		w->env, p->generation->global, HW_STR(""), w->index, &p->global);

	if (r) {
		p->refused = "";
		return r;
	}
	hw_list_each (node, &w->sessions->all) {
		struct hw_session *s = HW_CONTAINER_OF(node, struct hw_session, all);
		struct hw_preview_tenant *t;

		if (!s->live || s->closed)
			continue;
		r = tenant_of(p, s, &t);
		if (r)
			return r;
		t->n_sessions++;
		t->n_subscriptions += s->sub.n_subs;
		if (!t->same)
			hw_list_push(&p->sessions, &s->preview);
	}
	return 0;
}

void hw_preview_start(struct hw_preview *p)
{
	struct hw_sessions *sessions = p->worker->sessions;

	if (sessions->preview)
		end(sessions->preview, -ECANCELED);
	sessions->preview = p;
	hw_map_init(&p->tenants, &p->worker->tenants->hash_key);
	hw_list_init(&p->sessions);
	hw_list_init(&p->slots);
	hw_list_init(&p->ready);
	hw_timer_init(&p->timer, on_timer);
	p->error = begin(p);
	wake(p);
}

void hw_preview_cancel(struct hw_preview *p)
{
	end(p, -ECANCELED);
}

void preview_leave(struct hw_session *s)
{
	struct hw_preview_slot *slot = s->preview_slot;

	hw_list_remove(&s->preview);
	if (!slot)
		return;
	wake(slot->preview);
	slot_free(slot);
}

void hw_preview_fini(struct hw_preview *p)
{
	for (hw_map_each (&p->tenants, i)) {
		struct hw_preview_tenant *t = p->tenants.slots[i].value;

		free(t->id);
		free(t);
	}
	hw_map_fini(&p->tenants);
	for (size_t i = 0; i < p->n_revoked; i++) {
		free(p->revoked[i].tenant);
		free(p->revoked[i].user);
		free(p->revoked[i].topic);
		free(p->revoked[i].hook);
	}
}
