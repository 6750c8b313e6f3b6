#include "app/explain_tell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/broker.h"

static void put_time(struct hw_buf *out, int64_t wall_ms)
{
	char text[HW_ISO8601_LEN + 1];

	hw_clock_iso8601(wall_ms, text);
	hw_buf_json(out, hw_str_of(text));
}

static void put_id(struct hw_buf *out, const struct hw_tenant *tenant, uint64_t number)
{
	hw_buf_putc(out, '"');
	hw_cursor_add(
		out, (struct hw_cursor){.epoch = hw_journal_epoch(tenant->journal), .seq = number});
	hw_buf_putc(out, '"');
}

static void put_member(struct hw_buf *out, const char *name, struct hw_json value)
{
	hw_buf_printf(out, ",\"%s\":", name);
	if (value.kind == HW_JSON_NONE)
		hw_buf_puts(out, "null");
	else
		hw_buf_str(out, value.raw);
}

static void put_text(struct hw_buf *out, const char *name, const char *text)
{
	hw_buf_printf(out, ",\"%s\":", name);
	if (text && text[0])
		hw_buf_json(out, hw_str_of(text));
	else
		hw_buf_puts(out, "null");
}

/* ---- what was recorded with the event ---- */

static void tell_event(struct hw_buf *out, const struct explain_round *r)
{
	const struct hw_found *found = &r->found;
	const struct hw_event *ev = &r->parsed;

	hw_buf_puts(out, "\"event\":");
	if (!found->tenant) {
		hw_buf_puts(out, "null");
		return;
	}
	hw_buf_puts(out, "{\"id\":");
	put_id(out, found->tenant, found->number);
	hw_buf_puts(out, ",\"tenant\":");
	hw_buf_json(out, found->tenant->id);
	if (found->outcome == HW_FIND_FOUND) {
		hw_buf_puts(out, ",\"topic\":");
		hw_buf_json(out, ev->topic);
		put_member(out, "event", ev->event);
		put_member(out, "entity_id", ev->entity_id);
		put_member(out, "published_by", ev->user_id);
		put_member(out, "timestamp", ev->timestamp);
		put_member(out, "trace", ev->trace_id);
		hw_buf_printf(out, ",\"view_change\":%s", r->event.previous.p ? "true" : "false");
	}
	hw_buf_putc(out, '}');
}

static void tell_stored(struct hw_buf *out, const struct explain_round *r)
{
	const struct hw_found *found = &r->found;
	char pattern[256];

	if (!found->tenant) {
		hw_buf_puts(out, ",\"stored\":null");
		return;
	}
	hw_buf_printf(out, ",\"stored\":{\"in_journal\":%s,\"seq\":%llu,\"plugin\":%s",
		found->outcome == HW_FIND_FOUND ? "true" : "false",
		(unsigned long long)found->number, found->tenant->store ? "true" : "false");
	if (found->outcome == HW_FIND_FOUND) {
		hw_journal_class_pattern(found->tenant->journal, r->event.topic, pattern);
		hw_buf_puts(out, ",\"class\":");
		hw_buf_json(out, pattern[0] ? hw_str_of(pattern) : HW_STR("default"));
		hw_buf_puts(out, ",\"at\":");
		put_time(out, found->wall_ms);
	}
	hw_buf_putc(out, '}');
}

static void tell_search(struct hw_buf *out, const struct explain_round *r)
{
	if (!r->trace)
		return;
	hw_buf_puts(out, ",\"search\":{\"trace\":");
	hw_buf_json(out, hw_str_of(r->trace));
	hw_buf_printf(out, ",\"looked_at\":%llu,\"complete\":%s,\"also\":[",
		(unsigned long long)r->found.n_looked_at, r->found.gave_up ? "false" : "true");
	for (size_t i = 0; i < r->found.n_also; i++) {
		hw_buf_puts(out, i ? ",{\"id\":" : "{\"id\":");
		put_id(out, r->found.also[i].tenant, r->found.also[i].number);
		hw_buf_puts(out, ",\"tenant\":");
		hw_buf_json(out, r->found.also[i].tenant->id);
		hw_buf_putc(out, '}');
	}
	hw_buf_puts(out, "]}");
}

/* ---- what may have changed it ---- */

static void add_entries(
	struct hw_buf *out, const struct hw_hook_chain *chain, bool global, bool *first)
{
	const char *name;
	size_t i = 0;

	while ((name = hw_hook_chain_registers(chain, HW_STAGE_TRANSFORM, &i))) {
		hw_buf_puts(out, *first ? "{\"hook\":" : ",{\"hook\":");
		hw_buf_json(out, hw_str_of(name));
		hw_buf_printf(out, ",\"global\":%s}", global ? "true" : "false");
		*first = false;
	}
}

static void tell_transform(
	struct hw_buf *out, const struct hw_generation *g, const struct explain_round *r)
{
	const struct hw_tenant_rules *rules =
		r->found.tenant ? hw_generation_rules(g, r->found.tenant->id) : NULL;
	bool first = true;

	hw_buf_puts(out, ",\"transform\":{\"registered\":[");
	if (rules) {
		add_entries(out, g->global, true, &first);
		add_entries(out, rules->chain, false, &first);
	}
	hw_buf_puts(out, "]}");
}

/* ---- the user ---- */

struct rows {
	const struct hw_explain_row **items;
	size_t n, n_found;
};

static int by_id(const void *a, const void *b)
{
	const struct hw_explain_row *const *x = a, *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

static int gather_rows(const struct explain_round *r, struct rows *rows)
{
	*rows = (struct rows){
		.items = calloc((size_t)r->n_parts * HW_EXPLAIN_SESSIONS + 1, sizeof(void *))};
	if (!rows->items)
		return -ENOMEM;
	for (unsigned i = 0; i < r->n_parts; i++) {
		const struct hw_explain *x = &r->parts[i].explain;

		rows->n_found += x->n_found;
		for (size_t k = 0; k < x->n_rows; k++)
			rows->items[rows->n++] = &x->rows[k];
	}
	qsort(rows->items, rows->n, sizeof(void *), by_id);
	return 0;
}

static void tell_user(struct hw_buf *out, const struct explain_round *r, const struct rows *rows)
{
	enum hw_explain_outcome best = HW_EXPLAIN_NOT_CONNECTED;
	size_t n = rows->n < HW_EXPLAIN_SESSIONS ? rows->n : HW_EXPLAIN_SESSIONS;
	bool known = r->user && r->found.outcome == HW_FIND_FOUND;

	for (size_t i = 0; i < rows->n; i++)
		if (rows->items[i]->outcome < best)
			best = rows->items[i]->outcome;
	hw_buf_puts(out, ",\"user\":");
	if (r->user)
		hw_buf_json(out, hw_str_of(r->user));
	else
		hw_buf_puts(out, "null");
	put_text(out, "outcome",
		known                               ? hw_explain_outcome_name(best)
		: r->found.outcome == HW_FIND_GONE  ? "gone"
		: r->found.outcome != HW_FIND_FOUND ? "not_published"
						    : NULL);
	hw_buf_printf(out, ",\"sessions_total\":%zu,\"sessions_more\":%zu,\"sessions\":[",
		rows->n_found, rows->n_found - n);
	for (size_t i = 0; i < n; i++) {
		hw_buf_puts(out, i ? "," : "");
		hw_buf_puts(out, rows->items[i]->json);
	}
	hw_buf_putc(out, ']');
}

/* ---- refusals ---- */

static int newest_first(const void *a, const void *b)
{
	const struct hw_refusal *const *x = a, *const *y = b;

	return ((*x)->wall_ms < (*y)->wall_ms) - ((*x)->wall_ms > (*y)->wall_ms);
}

static void tell_refusal(struct hw_buf *out, const struct hw_refusal *refusal)
{
	hw_buf_puts(out, "{\"at\":");
	put_time(out, refusal->wall_ms);
	put_text(out, "what", hw_refusal_kind_name(refusal->kind));
	hw_buf_puts(out, ",\"tenant\":");
	hw_buf_json(out, refusal->tenant->id);
	put_text(out, "user", refusal->user);
	put_text(out, "topic", refusal->topic);
	put_text(out, "code", refusal->code);
	put_text(out, "hook", refusal->hook);
	put_text(out, "why", refusal->why);
	put_text(out, "trace", refusal->trace);
	hw_buf_printf(out, ",\"times\":%llu}", (unsigned long long)refusal->n_times);
}

static int tell_refusals(struct hw_buf *out, const struct explain_round *r)
{
	const struct hw_refusal **all =
		calloc((size_t)r->n_parts * EXPLAIN_REFUSALS + 1, sizeof(void *));
	uint64_t n_forgotten = 0;
	size_t n = 0, n_fitting = 0, n_told;

	if (!all)
		return -ENOMEM;
	for (unsigned i = 0; i < r->n_parts; i++) {
		for (size_t k = 0; k < r->parts[i].n_refusals; k++)
			all[n++] = &r->parts[i].refusals[k];
		n_fitting += r->parts[i].n_fitting;
		n_forgotten += r->parts[i].n_forgotten;
	}
	qsort(all, n, sizeof(void *), newest_first);
	n_told = n < EXPLAIN_REFUSALS ? n : EXPLAIN_REFUSALS;
	hw_buf_printf(out, ",\"refusals_more\":%zu,\"refusals_forgotten\":%llu,\"refusals\":[",
		n_fitting - n_told, (unsigned long long)n_forgotten);
	for (size_t i = 0; i < n_told; i++) {
		hw_buf_puts(out, i ? "," : "");
		tell_refusal(out, all[i]);
	}
	hw_buf_putc(out, ']');
	free(all);
	return 0;
}

int explain_tell(struct hw_broker *b, const struct explain_round *r, struct hw_buf *out)
{
	struct rows rows;
	int rc = gather_rows(r, &rows);

	if (rc)
		return rc;
	hw_buf_putc(out, '{');
	tell_event(out, r);
	tell_stored(out, r);
	tell_search(out, r);
	tell_transform(out, b->generation, r);
	tell_user(out, r, &rows);
	free(rows.items);
	rc = tell_refusals(out, r);
	hw_buf_printf(out,
		",\"generation\":%u,\"basis\":{\"recorded\":\"event, stored.seq, stored.at, "
		"subscriptions.since, refusals, and what says cached: true\",\"recomputed\":"
		"\"stored.class, transform and what says cached: false, by the policy of this "
		"generation\"}}",
		b->generation->number);
	return rc ? rc : out->failed ? -ENOMEM : 0;
}
