#include "app/preview.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/broker.h"
#include "app/round.h"
#include "session/preview.h"

enum { PREVIEW_S = 20 };

/* One worker's part; */
struct part {
	struct hw_preview preview;
	struct preview_round *round;
	atomic_bool done;
};

struct preview_round {
	struct hw_round round;
	struct hw_broker *broker;
	struct hw_generation *generation;
	struct part *parts; /* by worker */
};

/* Of all workers together. */
struct hw_broker_preview {
	struct preview_round *of;
	struct hw_map tenants; /* id -> struct hw_preview_tenant, sums */
	struct hw_hash_key key;
};

static void round_free(struct hw_round *round)
{
	struct preview_round *r = HW_CONTAINER_OF(round, struct preview_round, round);

	for (unsigned i = 0; r->parts && i < r->broker->n_workers; i++)
		if (atomic_load(&r->parts[i].done))
			hw_preview_fini(&r->parts[i].preview);
	hw_generation_unref(&r->generation);
	free(r->parts);
	free(r);
}

static void on_done(struct hw_preview *preview)
{
	struct part *part = HW_CONTAINER_OF(preview, struct part, preview);

	atomic_store(&part->done, true);
	hw_round_done(&part->round->round);
}

static void run(struct hw_round *round, struct hw_worker_thread *to)
{
	struct preview_round *r = HW_CONTAINER_OF(round, struct preview_round, round);
	struct part *part = &r->parts[to->worker.index];

	part->round = r;
	part->preview.worker = &to->worker;
	part->preview.generation = r->generation;
	part->preview.done = on_done;
	hw_preview_start(&part->preview);
	if (atomic_load(&round->given_up))
		hw_preview_cancel(&part->preview);
}

/* ---- sums ---- */

static int add(struct hw_broker_preview *p, const struct hw_preview_tenant *t)
{
	struct hw_preview_tenant *sum = hw_map_get(&p->tenants, hw_str_of(t->id));

	if (!sum) {
		sum = calloc(1, sizeof(*sum));
		if (!sum)
			return -ENOMEM;
		sum->id = t->id;
		sum->rules = t->rules;
		if (hw_map_put(&p->tenants, hw_str_of(sum->id), sum, NULL)) {
			free(sum);
			return -ENOMEM;
		}
	}
	sum->n_sessions += t->n_sessions;
	sum->n_subscriptions += t->n_subscriptions;
	sum->cut_sessions += t->cut_sessions;
	sum->cut_subscriptions += t->cut_subscriptions;
	sum->cut_by_global += t->cut_by_global;
	return 0;
}

static int add_parts(struct hw_broker_preview *p, unsigned n, const char **refused)
{
	int r = 0;

	for (unsigned i = 0; !r && i < n; i++) {
		const struct hw_preview *part = &p->of->parts[i].preview;

		r = part->error;
		if (r && part->refused)
			*refused = part->refused;
		for (hw_map_each (&part->tenants, j))
			if (!r)
				r = add(p, part->tenants.slots[j].value);
	}
	return r;
}

void hw_broker_preview_destroy(struct hw_broker_preview **preview)
{
	struct hw_broker_preview *p = *preview;

	*preview = NULL;
	if (!p)
		return;
	for (hw_map_each (&p->tenants, i))
		free(p->tenants.slots[i].value);
	hw_map_fini(&p->tenants);
	if (p->of)
		hw_round_unref(&p->of->round);
	free(p);
}

int hw_broker_preview(struct hw_broker *b, struct hw_generation *g, struct hw_broker_preview **out,
	const char **refused)
{
	struct hw_broker_preview *p = calloc(1, sizeof(*p));
	struct preview_round *round = calloc(1, sizeof(*round));
	int r;

	*refused = NULL;
	if (!p || !round) {
		free(p);
		free(round);
		return -ENOMEM;
	}
	p->key = hw_hash_key_random();
	hw_map_init(&p->tenants, &p->key);
	p->of = round;
	round->broker = b;
	round->generation = hw_generation_ref(g);
	round->round.run = run;
	round->round.free = round_free;
	round->parts = calloc(b->n_workers, sizeof(*round->parts));
	r = round->parts ? hw_round_go(&round->round, b, PREVIEW_S, true) : -ENOMEM;
	if (!round->parts) {
		round_free(&round->round);
		p->of = NULL;
	}
	if (!r)
		r = add_parts(p, b->n_workers, refused);
	if (r)
		hw_broker_preview_destroy(&p);
	else
		*out = p;
	return r;
}

/* ---- max_revoke ---- */

struct share {
	size_t cut, all;
};

static size_t unit_of(const struct hw_conf *conf, const struct hw_preview_tenant *t)
{
	const struct hw_conf_tenant *tenant =
		t->rules ? hw_conf_tenant_find(conf, hw_str_of(t->id)) : NULL;

	for (size_t i = 0; tenant && i < conf->n_units; i++)
		if (conf->units[i].part == tenant->part)
			return i;
	return 0;
}

/* The global unit answers for what its own hooks cut, and for tenants that are served no more, out
 * of all that is live; another for what its tenants' hooks cut of theirs. */
size_t hw_broker_preview_judge(
	const struct hw_broker_preview *p, struct hw_conf *conf, struct hw_conf_report *report)
{
	struct share *shares = calloc(conf->n_units, sizeof(*shares));
	double most = conf->global->max_revoke;
	size_t n_broken = 0;

	if (!shares)
		return 0;
	for (hw_map_each (&p->tenants, i)) {
		const struct hw_preview_tenant *t = p->tenants.slots[i].value;
		size_t unit = unit_of(conf, t);

		shares[0].all += t->n_subscriptions;
		shares[0].cut += unit == 0 ? t->cut_subscriptions : t->cut_by_global;
		if (unit == 0)
			continue;
		shares[unit].all += t->n_subscriptions;
		shares[unit].cut += t->cut_subscriptions - t->cut_by_global;
	}
	for (size_t i = 0; i < conf->n_units; i++) {
		struct hw_conf_pos pos = {conf->units[i].name, 0, 0};

		if ((double)shares[i].cut <= most * (double)shares[i].all ||
			conf->units[i].broken || conf->units[i].inherited)
			continue;
		hw_conf_report_add(report, conf->units[i].name, HW_CONF_ERROR, pos,
			"it would end %zu of %zu live subscriptions, which is more than "
			"\"max_revoke\" (%g) allows; look at them with hookwire check --live, and "
			"raise it if that is meant",
			shares[i].cut, shares[i].all, most);
		hw_conf_unit_break(conf, i);
		n_broken++;
	}
	free(shares);
	return n_broken;
}

/* ---- as JSON ---- */

static void tell_tenant(struct hw_buf *out, const struct hw_preview_tenant *t)
{
	hw_buf_puts(out, "{\"tenant\":");
	hw_buf_json(out, hw_str_of(t->id));
	hw_buf_printf(out,
		",\"sessions\":%zu,\"subscriptions\":%zu,\"revoked_sessions\":%zu,"
		"\"revoked_subscriptions\":%zu}",
		t->n_sessions, t->n_subscriptions, t->cut_sessions, t->cut_subscriptions);
}

static void tell_revoked(struct hw_buf *out, const struct hw_preview_revoked *r)
{
	hw_buf_puts(out, "{\"tenant\":");
	hw_buf_json(out, hw_str_of(r->tenant));
	hw_buf_puts(out, ",\"user\":");
	hw_buf_json(out, hw_str_of(r->user));
	hw_buf_puts(out, ",\"topic\":");
	if (r->topic)
		hw_buf_json(out, hw_str_of(r->topic));
	else
		hw_buf_puts(out, "null");
	hw_buf_printf(out, ",\"code\":\"%s\",\"hook\":", r->code);
	hw_buf_json(out, hw_str_of(r->hook));
	hw_buf_putc(out, '}');
}

static int by_id(const void *a, const void *b)
{
	const struct hw_preview_tenant *const *x = a, *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

void hw_broker_preview_tell(const struct hw_broker_preview *p, struct hw_buf *out)
{
	size_t n = hw_map_count(&p->tenants), k = 0;
	const struct hw_preview_tenant **sorted = calloc(n + 1, sizeof(*sorted));
	struct hw_preview_tenant all = {0};

	if (!sorted) {
		out->failed = true;
		return;
	}
	for (hw_map_each (&p->tenants, i)) {
		const struct hw_preview_tenant *t = p->tenants.slots[i].value;

		sorted[k++] = t;
		all.n_sessions += t->n_sessions;
		all.n_subscriptions += t->n_subscriptions;
		all.cut_sessions += t->cut_sessions;
		all.cut_subscriptions += t->cut_subscriptions;
	}
	qsort(sorted, n, sizeof(struct hw_preview_tenant *), by_id);
	hw_buf_printf(out,
		"{\"sessions\":%zu,\"subscriptions\":%zu,\"revoked_sessions\":%zu,"
		"\"revoked_subscriptions\":%zu,\"tenants\":[",
		all.n_sessions, all.n_subscriptions, all.cut_sessions, all.cut_subscriptions);
	for (size_t i = 0; i < n; i++) {
		if (i)
			hw_buf_putc(out, ',');
		tell_tenant(out, sorted[i]);
	}
	free(sorted);
	hw_buf_puts(out, "],\"first\":[");
	k = 0;
	for (unsigned i = 0; i < p->of->broker->n_workers; i++) {
		const struct hw_preview *part = &p->of->parts[i].preview;

		for (size_t j = 0; j < part->n_revoked && k < HW_PREVIEW_REVOKED; j++) {
			if (k++)
				hw_buf_putc(out, ',');
			tell_revoked(out, &part->revoked[j]);
		}
	}
	hw_buf_puts(out, "]}");
}
