#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/broker.h"
#include "app/control.h"
#include "app/generation_make.h"
#include "app/preview.h"
#include "app/store_make.h"
#include "hook/decisions.h"

static int open_env(struct hw_broker *b)
{
	const struct hw_conf_global *c = b->conf->global;
	int r = hw_plugin_cache_open(c->plugin_cache, &b->plugin_cache);

	if (r) {
		fprintf(stderr,
			"hookwire: no directory for private copies of plugins: %s; set "
			"\"plugin_cache\"\n",
			strerror(-r));
		return r;
	}
	if (c->script_path) {
		b->script_lib = strdup(c->script_path);
		if (!b->script_lib)
			return -ENOMEM;
	}
	b->env = hw_hook_env_create(b->log, b->metrics, &hw_clock_system, b->watchdog,
		b->script_lib, b->plugin_cache.path, HW_SELF_EXE);
	hw_warden_env(&b->warden, b->env);
	return b->env ? hw_broker_open_decisions(b) : -ENOMEM;
}

/* Hooks are tried even if some file is wrong, so that all problems are told at once. */
static int load(struct hw_broker *b, struct hw_conf_report *report)
{
	int r = hw_conf_load(b->conf_path, &b->conf, report), hooks, store = 0;

	if (r < 0 || b->conf->units[0].broken)
		return r;
	hw_log_configure(b->log, b->conf->global->log.level, b->conf->global->log.format);
	hooks = hw_broker_fix(b);
	if (!hooks)
		hooks = open_env(b);
	if (!hooks)
		hooks = store = hw_store_make(b->env, b->conf, false, report, &b->store);
	b->tenants.store = b->store;
	if (hooks >= 0)
		hooks = hw_generation_make(b->env, b->conf, NULL, report, &b->generation);
	return hooks ? hooks : store ? store : r;
}

int hw_broker_load(struct hw_broker *b)
{
	struct hw_conf_report report;
	int r;

	hw_conf_report_init(&report);
	r = load(b, &report);
	for (size_t i = 0; i < report.n_items; i++)
		fprintf(stderr, "%s\n", report.items[i].text);
	if (r < 0)
		fprintf(stderr, "hookwire: cannot start: %s\n", strerror(-r));
	else if (r)
		fprintf(stderr, "hookwire: not started: %zu error%s in %s\n", report.n_errors,
			report.n_errors == 1 ? "" : "s", b->conf_path);
	hw_conf_report_fini(&report);
	return r ? -EINVAL : 0;
}

/* ---- reload
 * -------------------------------------------------------------------------------------------------------------
 */

static void log_report(struct hw_broker *b, const struct hw_conf_report *report)
{
	for (size_t i = 0; i < report->n_items; i++)
		hw_log(b->log,
			report->items[i].severity == HW_CONF_ERROR ? HW_LOG_ERROR : HW_LOG_WARN,
			"reload", report->items[i].text, HW_F_Z("unit", report->items[i].unit));
}

static int give_workers(struct hw_broker *b, struct hw_generation *g, const char **refused)
{
	int r = hw_tenants_configure(&b->tenants, g);

	if (r)
		hw_log(b->log, HW_LOG_ERROR, "reload", "some tenants keep their topic classes",
			HW_F_INT("error", -r));
	r = hw_broker_swap(b, g, refused);
	if (r != -ETIMEDOUT)
		return r;
	hw_log(b->log, HW_LOG_ERROR, "reload",
		"a worker does not answer; it decides anew when it comes back");
	return 0;
}

static void go_back(struct hw_broker *b)
{
	const char *refused;
	int r = give_workers(b, b->generation, &refused);

	if (r)
		hw_log(b->log, HW_LOG_ERROR, "reload", "a worker cannot go back either",
			HW_F_Z("error", strerror(-r)));
}

/* The unit whose hooks a worker cannot start is as broken as one whose hooks do not load. Returns
 * HW_CONF_PARTIAL, or -EIO: they are no unit's of @conf, but kept from an earlier load. */
static int break_unit_of(struct hw_conf *conf, const char *refused, struct hw_conf_report *report)
{
	const struct hw_conf_tenant *tenant =
		refused[0] ? hw_conf_tenant_find(conf, hw_str_of(refused)) : NULL;
	const struct hw_conf_part *part = tenant ? tenant->part : conf->units[0].part;

	for (size_t i = 0; i < conf->n_units; i++) {
		struct hw_conf_pos pos = {conf->units[i].name, 0, 0};

		if (conf->units[i].part != part)
			continue;
		hw_conf_report_add(report, conf->units[i].name, HW_CONF_ERROR,
			tenant ? tenant->pos : pos,
			"a worker cannot start the hooks of %s%s: the log says which hook and why",
			tenant ? "tenant " : "all tenants", tenant ? refused : "");
		hw_conf_unit_break(conf, i);
		return HW_CONF_PARTIAL;
	}
	return -EIO;
}

/* Every unit is broken and keeps what it was, and none is gone. */
static bool all_as_before(const struct hw_conf *conf, const struct hw_conf *old)
{
	if (conf->n_units != old->n_units)
		return false;
	for (size_t i = 0; i < conf->n_units; i++) {
		if (!conf->units[i].inherited)
			return false;
	}
	return true;
}

/* What the live sessions would lose is looked at: for @preview, or because max_revoke bounds it.
 * HW_CONF_PARTIAL: a unit is broken now. */
static int look(struct hw_broker *b, struct hw_conf *conf, struct hw_generation *g,
	struct hw_conf_report *report, struct hw_broker_preview **preview)
{
	struct hw_broker_preview *found = NULL;
	const char *refused;
	int r;

	if (!preview &&
		(conf->global->max_revoke >= 1 || atomic_load(&b->counters.sessions->value) == 0))
		return 0;
	r = hw_broker_preview(b, g, &found, &refused);
	if (r && refused)
		return break_unit_of(conf, refused, report);
	if (r) {
		hw_conf_report_add(report, conf->units[0].name, HW_CONF_ERROR,
			(struct hw_conf_pos){conf->units[0].name, 0, 0},
			"what it would take away from live sessions could not be found out: %s",
			strerror(-r));
		return r;
	}
	if (hw_broker_preview_judge(found, conf, report))
		r = HW_CONF_PARTIAL;
	if (preview) {
		/* told of what was wanted, also if a unit of it is refused for that */
		if (!*preview)
			*preview = found;
		else
			hw_broker_preview_destroy(&found);
	} else {
		hw_broker_preview_destroy(&found);
	}
	return r;
}

/* Makes the generation of @conf and gives it to all workers. With @preview nothing is given, but
 * what the first one tried would take away is found out. A unit that turns out to be broken on
 * the way keeps what it was, and the rest is tried again. 0 with @out in force; else negative
 * errno, -EINVAL when nothing is left of it, and all decide as before. */
static int put_in_force(struct hw_broker *b, struct hw_conf *conf, struct hw_conf_report *report,
	bool *partial, struct hw_generation **out, struct hw_broker_preview **preview)
{
	bool given = false;
	int r = HW_CONF_PARTIAL;

	for (size_t tries = 0; r == HW_CONF_PARTIAL && tries <= conf->n_units + 1; tries++) {
		const char *refused = NULL;

		r = *partial ? hw_conf_inherit(conf, b->conf) : 0;
		if (!r)
			r = hw_generation_make(b->env, conf, b->generation, report, out);
		if (!r && all_as_before(conf, b->conf)) {
			hw_generation_unref(out);
			r = -EINVAL;
		}
		if (!r) {
			r = look(b, conf, *out, report, preview);
			if (r)
				hw_generation_unref(out);
		}
		if (!r && !preview) {
			given = true;
			r = give_workers(b, *out, &refused);
			if (r && refused)
				r = break_unit_of(conf, refused, report);
			if (r)
				hw_generation_unref(out);
		}
		*partial |= r == HW_CONF_PARTIAL;
	}
	if (r && given)
		go_back(b);
	return r;
}

static void count_failed_units(struct hw_broker *b, const struct hw_conf *conf)
{
	for (size_t i = 0; i < conf->n_units; i++)
		hw_metric_add(b->failed_units, conf->units[i].broken || conf->units[i].inherited);
}

static void publish(
	struct hw_broker *b, struct hw_conf *conf, struct hw_generation *g, bool partial)
{
	hw_broker_warn_fixed(b, conf);
	hw_log_configure(b->log, conf->global->log.level, conf->global->log.format);
	hw_generation_unref(&b->generation);
	b->generation = g;
	hw_conf_destroy(&b->conf);
	b->conf = conf;
	hw_broker_configure_decisions(b);
	hw_metric_set(b->generation_gauge, g->number);
	hw_metric_add(partial ? b->reloads_partial : b->reloads_ok, 1);
	hw_log(b->log, partial ? HW_LOG_WARN : HW_LOG_INFO, "reload",
		partial ? "reloaded in part: broken units keep deciding as before" : "reloaded",
		HW_F_UINT("generation", g->number));
}

/* What became of it, for whoever asked. */
static void tell(struct hw_buf *out, const struct hw_broker *b, const char *result,
	const struct hw_conf *conf, const struct hw_conf_report *report)
{
	hw_buf_printf(out, "{\"ok\":%s,\"result\":\"%s\",\"generation\":%u,\"units\":[",
		strcmp(result, "ok") ? "false" : "true", result, b->generation->number);
	for (size_t i = 0; conf && i < conf->n_units; i++) {
		const struct hw_conf_unit *unit = &conf->units[i];
		bool first = true;

		hw_buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
		hw_buf_json(out, hw_str_of(unit->name));
		hw_buf_printf(out, ",\"ok\":%s,\"problems\":[",
			unit->broken || unit->inherited ? "false" : "true");
		for (size_t j = 0; j < report->n_items; j++) {
			if (strcmp(report->items[j].unit, unit->name))
				continue;
			if (!first)
				hw_buf_putc(out, ',');
			first = false;
			hw_buf_json(out, hw_str_of(report->items[j].text));
		}
		hw_buf_puts(out, "]}");
	}
	hw_buf_puts(out, "]");
}

static unsigned status_of(int r, bool partial)
{
	return r ? 422 : partial ? 207 : 200;
}

static const char *result_of(int r, bool partial)
{
	return r ? "failed" : partial ? "partial" : "ok";
}

unsigned hw_broker_dry_run(struct hw_broker *b, struct hw_buf *answer)
{
	struct hw_conf_options options = {.old = b->conf};
	struct hw_broker_preview *preview = NULL;
	struct hw_conf_report report;
	struct hw_conf *conf = NULL;
	struct hw_generation *g = NULL;
	bool partial;
	int r;

	hw_conf_report_init(&report);
	r = hw_conf_load_with(b->conf_path, &options, &conf, &report);
	partial = r == HW_CONF_PARTIAL;
	if (r >= 0)
		r = put_in_force(b, conf, &report, &partial, &g, &preview);
	tell(answer, b, result_of(r, partial), conf, &report);
	if (preview) {
		hw_buf_puts(answer, ",\"preview\":");
		hw_broker_preview_tell(preview, answer);
	}
	hw_buf_putc(answer, '}');
	hw_broker_preview_destroy(&preview);
	if (!r)
		hw_generation_unref(&g);
	hw_conf_destroy(&conf);
	hw_hook_env_reap(b->env);
	hw_conf_report_fini(&report);
	return status_of(r, partial);
}

unsigned hw_broker_reload(struct hw_broker *b, struct hw_buf *answer)
{
	const char *result;
	struct hw_conf_options options = {.old = b->conf};
	struct hw_conf_report report;
	struct hw_conf *conf = NULL;
	struct hw_generation *g;
	bool partial;
	int r;

	hw_conf_report_init(&report);
	r = hw_conf_load_with(b->conf_path, &options, &conf, &report);
	partial = r == HW_CONF_PARTIAL;
	if (r >= 0)
		r = put_in_force(b, conf, &report, &partial, &g, NULL);
	log_report(b, &report);
	if (conf)
		count_failed_units(b, conf);
	result = result_of(r, partial);
	if (r == 0) {
		publish(b, conf, g, partial);
		tell(answer, b, result, conf, &report);
	} else {
		tell(answer, b, result, conf, &report);
		hw_conf_destroy(&conf);
		hw_metric_add(b->reloads_failed, 1);
		hw_log(b->log, HW_LOG_ERROR, "reload",
			"reload failed: everything decides as before");
	}
	hw_decisions_reopen(
		b->decisions); /* whatever became of the rest: the file was moved away */
	hw_hook_env_reap(b->env);
	hw_buf_putc(answer, '}');
	hw_conf_report_fini(&report);
	return status_of(r, partial);
}
