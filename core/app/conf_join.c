#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/conf_internal.h"
#include "base/map.h"

static struct hw_str id_of(const struct hw_conf_tenant *tenant)
{
	return hw_str_of(tenant->id);
}

/* ---- tenants defined twice ----------------------------------------------- */

static size_t unit_of(const struct hw_conf *conf, const struct hw_conf_part *part)
{
	size_t i = 0;

	while (conf->units[i].part != part)
		i++;
	return i;
}

static void report_twin(struct hw_conf_report *report, const struct hw_conf_tenant *here,
	const struct hw_conf_tenant *there)
{
	hw_conf_report_add(report, here->unit, HW_CONF_ERROR, here->pos,
		"the tenant \"%s\" is defined twice, here and at %s:%u:%u; remove one of them",
		here->id, there->pos.file, (unsigned)there->pos.line, (unsigned)there->pos.column);
}

int hw_conf_find_twins(struct hw_conf *conf, struct hw_conf_report *report)
{
	struct hw_hash_key key = hw_hash_key_random();
	struct hw_map first;
	int rc = 0;

	hw_map_init(&first, &key);
	for (size_t i = 0; rc == 0 && i < conf->n_units; i++) {
		struct hw_conf_part *part = conf->units[i].part;

		for (size_t k = 0; rc == 0 && k < part->n_tenants; k++) {
			struct hw_conf_tenant *tenant = &part->tenants[k], *other;

			other = hw_map_get(&first, id_of(tenant));
			if (!other) {
				rc = hw_map_put(&first, id_of(tenant), tenant, NULL);
				continue;
			}
			/* Nobody can say which is meant, so both files keep what they had; but
			 * the main file is not to be stopped by an included one. */
			report_twin(report, tenant, other);
			conf->units[i].broken = true;
			if (unit_of(conf, other->part) == 0)
				continue;
			report_twin(report, other, tenant);
			conf->units[unit_of(conf, other->part)].broken = true;
		}
	}
	hw_map_fini(&first);
	return rc;
}

/* ---- the table of tenants ------------------------------------------------ */

struct joining {
	struct hw_map by_id;
	struct hw_conf_part **pinned;
	size_t n_pinned;
};

static int take(struct joining *j, struct hw_conf_tenant *tenant)
{
	if (hw_map_get(&j->by_id, id_of(tenant)))
		return 0;
	return hw_map_put(&j->by_id, id_of(tenant), tenant, NULL);
}

static int take_units(struct joining *j, const struct hw_conf *conf, bool inherited)
{
	for (size_t i = 0; i < conf->n_units; i++) {
		const struct hw_conf_unit *u = &conf->units[i];

		if (u->broken || u->inherited != inherited)
			continue;
		for (size_t k = 0; k < u->part->n_tenants; k++)
			if (take(j, &u->part->tenants[k]) != 0)
				return -ENOMEM;
	}
	return 0;
}

static int pin(struct joining *j, struct hw_conf_part *part)
{
	struct hw_conf_part **grown;

	for (size_t i = 0; i < j->n_pinned; i++)
		if (j->pinned[i] == part)
			return 0;
	grown = realloc(j->pinned, (j->n_pinned + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	j->pinned = grown;
	j->pinned[j->n_pinned++] = hw_conf_part_ref(part);
	return 0;
}

static int take_old(struct joining *j, const struct hw_conf *old)
{
	for (size_t i = 0; i < old->n_tenants; i++) {
		const struct hw_conf_tenant *tenant = old->tenants[i];

		if (hw_map_get(&j->by_id, id_of(tenant)))
			continue;
		if (pin(j, tenant->part) != 0 ||
			hw_map_put(&j->by_id, id_of(tenant), (void *)tenant, NULL) != 0)
			return -ENOMEM;
	}
	return 0;
}

/* The main file kept its former content, or a unit has none: something of @old may be missing. */
static bool incomplete(const struct hw_conf *conf)
{
	for (size_t i = 0; i < conf->n_units; i++)
		if (conf->units[i].broken || (i == 0 && conf->units[i].inherited))
			return true;
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct hw_conf_tenant *const *x = a, *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

static void drop_pinned(struct hw_conf_part **pinned, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hw_conf_part_unref(&pinned[i]);
	free(pinned);
}

int hw_conf_join(struct hw_conf *conf, const struct hw_conf *old)
{
	struct hw_hash_key key = hw_hash_key_random();
	const struct hw_conf_tenant **tenants;
	struct joining j = {0};
	size_t n = 0;

	hw_map_init(&j.by_id, &key);
	if (take_units(&j, conf, true) != 0 || take_units(&j, conf, false) != 0)
		goto fail;
	if (old && incomplete(conf) && take_old(&j, old) != 0)
		goto fail;
	tenants = calloc(hw_map_count(&j.by_id) + 1, sizeof(*tenants));
	if (!tenants)
		goto fail;
	for (hw_map_each (&j.by_id, i))
		tenants[n++] = j.by_id.slots[i].value;
	qsort(tenants, n, sizeof(*tenants), compare);
	hw_map_fini(&j.by_id);

	free((void *)conf->tenants);
	conf->tenants = tenants;
	conf->n_tenants = n;
	drop_pinned(conf->pinned, conf->n_pinned);
	conf->pinned = j.pinned;
	conf->n_pinned = j.n_pinned;
	return 0;
fail:
	hw_map_fini(&j.by_id);
	drop_pinned(j.pinned, j.n_pinned);
	return -ENOMEM;
}
