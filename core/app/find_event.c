#include "app/find_event.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "wire/json.h"

enum { WINDOW = 2048 }; /* numbers that are looked through before the clock is looked at */

void hw_found_fini(struct hw_found *found)
{
	free(found->text);
	free(found->previous);
	*found = (struct hw_found){0};
}

/* ---- which journals: a tenant stays where it is until the broker ends ---- */

struct list {
	struct hw_str wanted;
	struct hw_tenant **items;
	size_t n, cap;
	bool failed;
};

static void add_tenant(void *arg, struct hw_tenant *tenant)
{
	struct list *list = arg;

	if (list->failed || (list->wanted.p && !hw_str_eq(list->wanted, tenant->id)))
		return;
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 16;
		struct hw_tenant **p = reallocarray(list->items, cap, sizeof(struct hw_tenant *));

		list->failed = !p;
		if (!p)
			return;
		list->items = p;
		list->cap = cap;
	}
	list->items[list->n++] = tenant;
}

static int tenants_of(struct hw_tenants *tenants, struct hw_str wanted, struct list *list)
{
	*list = (struct list){.wanted = wanted};
	hw_tenants_each(tenants, add_tenant, list);
	if (!list->failed)
		return 0;
	free(list->items);
	return -ENOMEM;
}

/* ---- what is found is copied: the journal may drop it at once ---- */

static char *copy(struct hw_str s)
{
	char *p = malloc(s.len + 1);

	if (p && s.len)
		memcpy(p, s.p, s.len);
	return p;
}

static int keep(
	struct hw_found *found, struct hw_tenant *tenant, const struct hw_run *run, size_t i)
{
	struct hw_str text = hw_run_event(run, i, &found->seq);
	bool has_previous = run->previous.p && i == run->n - 1;

	free(found->text);
	free(found->previous);
	found->number = hw_run_number(run, i);
	found->tenant = tenant;
	found->outcome = HW_FIND_FOUND;
	found->wall_ms = hw_run_part(run, i, 1).wall_ms;
	found->text = copy(text);
	found->text_len = text.len;
	found->previous = has_previous ? copy(run->previous) : NULL;
	found->previous_len = has_previous ? run->previous.len : 0;
	return found->text && (found->previous || !has_previous) ? 0 : -ENOMEM;
}

/* ---- by its id ---- */

static uint64_t last_number(struct hw_tenant *tenant)
{
	return hw_journal_number(tenant->journal, hw_journal_head(tenant->journal));
}

static int look_up(struct hw_tenant *tenant, uint64_t number, struct hw_found *found)
{
	struct hw_scan scan;
	struct hw_run run;
	int gone, r = 0;

	found->tenant = tenant;
	found->number = number;
	found->outcome = HW_FIND_NO_EVENT;
	if (number == 0 || number > last_number(tenant))
		return 0;
	gone = hw_scan_begin(&scan, tenant->journal, number - 1, NULL, 0);
	if (hw_scan_next(&scan, number, &run) && hw_run_number(&run, 0) == number)
		r = keep(found, tenant, &run, 0);
	else if (gone == HW_JOURNAL_GONE)
		found->outcome = HW_FIND_GONE;
	hw_scan_end(&scan);
	return r;
}

int hw_find_by_id(struct hw_tenants *tenants, struct hw_str tenant, struct hw_cursor id,
	struct hw_found *found)
{
	struct list list;
	int r = tenants_of(tenants, tenant, &list);

	*found = (struct hw_found){.outcome = HW_FIND_NO_TENANT};
	if (r)
		return r;
	for (size_t i = 0; i < list.n; i++) {
		if (hw_journal_epoch(list.items[i]->journal) != id.epoch)
			continue;
		r = look_up(list.items[i], id.seq, found);
		break;
	}
	free(list.items);
	return r;
}

/* ---- by its trace ---- */

struct search {
	struct hw_str trace;
	const struct hw_clock *clock;
	int64_t until_ms;
	struct hw_found *found;
};

/* Is it the trace of the event's envelope? Of that the canonical text has, behind data, nothing but
 * the trace, the version and the id: the last member of that name is it, since a quote inside a
 * string has a backslash before it. */
static bool has_trace(struct hw_str text, struct hw_str trace)
{
	static const char name[] = "\"trace_id\":\"";
	size_t len = sizeof(name) - 1;
	struct hw_json_reader reader;
	struct hw_json value;

	for (size_t at = text.len < len ? 0 : text.len - len; at > 0; at--) {
		if (text.p[at] != '"' || memcmp(text.p + at, name, len) != 0)
			continue;
		at += len - 1; /* the value's own quote */
		hw_json_init(&reader, (struct hw_str){text.p + at, text.len - at}, 0);
		return hw_json_value(&reader, &value) == 0 && hw_json_is(value, trace);
	}
	return false;
}

static int note(struct search *s, struct hw_tenant *tenant, const struct hw_run *run, size_t i)
{
	struct hw_found *found = s->found;
	uint64_t number = hw_run_number(run, i);
	int64_t wall_ms = hw_run_part(run, i, 1).wall_ms;
	bool newer = !found->text || wall_ms > found->wall_ms ||
		     (tenant == found->tenant && number > found->number);
	const struct hw_tenant *other_tenant = newer ? found->tenant : tenant;
	uint64_t other = newer ? found->number : number;

	if (found->text) {
		size_t n = found->n_also < HW_FIND_ALSO ? found->n_also++ : HW_FIND_ALSO - 1;

		memmove(found->also + 1, found->also, n * sizeof(found->also[0]));
		found->also[0].tenant = other_tenant;
		found->also[0].number = other;
	}
	return newer ? keep(found, tenant, run, i) : 0;
}

/* What lies behind @after, up to @upto. */
static int look_through(
	struct search *s, struct hw_tenant *tenant, uint64_t after, uint64_t upto, uint64_t *n_seen)
{
	struct hw_scan scan;
	struct hw_run run;
	int r = hw_scan_begin(&scan, tenant->journal, after, NULL, 0);

	r = 0; /* what is gone is not here, that is all */
	while (!r && hw_scan_next(&scan, upto, &run)) {
		for (size_t i = 0; !r && i < run.n; i++) {
			(*n_seen)++;
			if (has_trace(hw_run_event(&run, i, NULL), s->trace))
				r = note(s, tenant, &run, i);
		}
	}
	hw_scan_end(&scan);
	return r;
}

static uint64_t oldest(struct hw_tenant *tenant, uint64_t upto)
{
	struct hw_scan scan;
	struct hw_run run;
	int gone = hw_scan_begin(&scan, tenant->journal, 0, NULL, 0);
	uint64_t number = hw_scan_next(&scan, upto, &run) ? hw_run_number(&run, 0) : 0;

	(void)gone;
	hw_scan_end(&scan);
	return number;
}

/* A stretch of numbers whose events are gone is gone over in longer and longer strides. */
static int search(struct search *s, struct hw_tenant *tenant)
{
	uint64_t upto = last_number(tenant), first = oldest(tenant, upto);
	uint64_t stride = WINDOW;
	int r = 0;

	while (!r && first && upto >= first) {
		uint64_t after = upto > stride ? upto - stride : 0, n_seen = 0;

		if (hw_clock_mono_ms(s->clock) >= s->until_ms)
			return -ETIME;
		r = look_through(s, tenant, after, upto, &n_seen);
		s->found->n_looked_at += n_seen;
		if (s->found->text && s->found->tenant == tenant)
			break; /* the newest here */
		stride = n_seen ? WINDOW : stride * 2;
		upto = after;
	}
	return r;
}

int hw_find_by_trace(struct hw_tenants *tenants, struct hw_str tenant, struct hw_str trace,
	const struct hw_clock *clock, int64_t most_ms, struct hw_found *found)
{
	struct search s = {.trace = trace,
		.clock = clock,
		.until_ms = hw_clock_mono_ms(clock) + most_ms,
		.found = found};
	struct list list;
	int r = tenants_of(tenants, tenant, &list);

	*found = (struct hw_found){
		.outcome = tenant.p && !r && !list.n ? HW_FIND_NO_TENANT : HW_FIND_NOWHERE};
	if (r)
		return r;
	for (size_t i = 0; !r && i < list.n; i++)
		r = search(&s, list.items[i]);
	free(list.items);
	if (r == -ETIME) {
		found->gave_up = true;
		if (!found->text)
			found->outcome = HW_FIND_GAVE_UP;
		r = 0;
	}
	return r;
}
