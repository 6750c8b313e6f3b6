#include "hub/refusals.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

void hw_refusals_fini(struct hw_refusals *r)
{
	free(r->items);
	*r = (struct hw_refusals){0};
}

static void copy(char *out, size_t size, struct hw_str s)
{
	size_t len = s.len < size ? s.len : size - 1;

	if (len)
		memcpy(out, s.p, len);
	out[len] = '\0';
}

static struct hw_str text(const char *zero_terminated)
{
	return zero_terminated ? hw_str_of(zero_terminated) : HW_STR("");
}

static bool same_code(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same(const struct hw_refusal *a, const struct hw_refusal *b)
{
	return a->tenant == b->tenant && a->kind == b->kind && same_code(a->code, b->code) &&
	       !strcmp(a->user, b->user) && !strcmp(a->topic, b->topic) &&
	       !strcmp(a->hook, b->hook) && !strcmp(a->trace, b->trace) && !strcmp(a->why, b->why);
}

static struct hw_refusal *newest(struct hw_refusals *r)
{
	return r->n ? &r->items[(r->next + HW_REFUSALS - 1) % HW_REFUSALS] : NULL;
}

void hw_refusals_note(struct hw_refusals *r, const struct hw_refused *refused, int64_t wall_ms)
{
	struct hw_refusal item = {.tenant = refused->tenant,
		.kind = refused->kind,
		.code = refused->code,
		.wall_ms = wall_ms,
		.n_times = 1};
	struct hw_refusal *last = newest(r);

	copy(item.user, sizeof(item.user), refused->user);
	copy(item.topic, sizeof(item.topic), refused->topic);
	copy(item.hook, sizeof(item.hook), text(refused->hook));
	copy(item.why, sizeof(item.why), text(refused->why));
	/* half a trace would be somebody else's */
	if (refused->trace.len <= HW_REFUSAL_TRACE_MAX)
		copy(item.trace, sizeof(item.trace), refused->trace);
	if (last && same(last, &item)) {
		last->n_times++;
		last->wall_ms = wall_ms;
		return;
	}
	if (!r->items)
		r->items = calloc(HW_REFUSALS, sizeof(*r->items));
	if (!r->items || r->n == HW_REFUSALS)
		r->n_forgotten++;
	if (!r->items)
		return;
	r->items[r->next] = item;
	r->next = (r->next + 1) % HW_REFUSALS;
	r->n += r->n < HW_REFUSALS;
}

const struct hw_refusal *hw_refusals_at(const struct hw_refusals *r, size_t i)
{
	return i < r->n ? &r->items[(r->next + HW_REFUSALS - 1 - i) % HW_REFUSALS] : NULL;
}

const char *hw_refusal_kind_name(enum hw_refusal_kind kind)
{
	static const char *const names[] = {[HW_REFUSED_PUBLISH] = "publish",
		[HW_REFUSED_DROPPED] = "dropped",
		[HW_REFUSED_SUBSCRIBE] = "subscribe",
		[HW_REFUSED_REVOKED] = "revoked",
		[HW_REFUSED_SESSION] = "session"};

	return names[kind];
}

/* Is @refused, a topic or a pattern, about @topic? Of a session it is about all. */
static bool about(struct hw_str refused, struct hw_str topic)
{
	struct hw_str a, b;

	if (refused.len == 0 || hw_str_eq(refused, topic))
		return true;
	if (!hw_topic_is_wildcard(refused))
		return false;
	hw_topic_split(refused, &a, NULL);
	hw_topic_split(topic, &b, NULL);
	return hw_str_eq(a, b);
}

bool hw_refusal_fits(const struct hw_refusal *r, const struct hw_refusal_match *match)
{
	bool receiving = r->kind != HW_REFUSED_PUBLISH && r->kind != HW_REFUSED_DROPPED;

	return (!match->tenant || match->tenant == r->tenant) &&
	       (!match->trace.p || (r->trace[0] && hw_str_eq(match->trace, hw_str_of(r->trace)))) &&
	       (!match->user.p || hw_str_eq(match->user, hw_str_of(r->user))) &&
	       (!match->topic.p || about(hw_str_of(r->topic), match->topic)) &&
	       (!match->receiving || receiving);
}
