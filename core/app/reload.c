#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/broker.h"
#include "app/generation_make.h"

static int open_env(struct hw_broker *b)
{
	const struct hw_conf_global *c = b->conf->global;
	int r = hw_plugin_cache_open(
		c->plugin_cache, b->plugin_cache, sizeof(b->plugin_cache), &b->made_cache);

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
		b->script_lib, b->plugin_cache, b->self_exe);
	return b->env ? 0 : -ENOMEM;
}

/* Hooks are tried even if some file is wrong, so that all problems are told at once. */
static int load(struct hw_broker *b, struct hw_conf_report *report)
{
	int r = hw_conf_load(b->conf_path, &b->conf, report), hooks;

	if (r < 0 || b->conf->units[0].broken)
		return r;
	hw_log_configure(b->log, b->conf->global->log.level, b->conf->global->log.format);
	hooks = hw_broker_fix(b);
	if (!hooks)
		hooks = open_env(b);
	if (!hooks)
		hooks = hw_generation_make(b->env, b->conf, NULL, report, &b->generation);
	return hooks ? hooks : r;
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

/* Reads and stages; units that are broken keep what they were. NULL: nothing can be taken. */
static struct hw_generation *stage(
	struct hw_broker *b, struct hw_conf **conf, struct hw_conf_report *report, bool *partial)
{
	struct hw_conf_options options = {.old = b->conf};
	struct hw_generation *g = NULL;
	int r = hw_conf_load_with(b->conf_path, &options, conf, report);

	if (r < 0)
		return NULL;
	*partial = r == HW_CONF_PARTIAL;
	for (size_t tries = 0; tries <= (*conf)->n_units + 1; tries++) {
		if (*partial && hw_conf_inherit(*conf, b->conf))
			return NULL;
		r = hw_generation_make(b->env, *conf, b->generation, report, &g);
		if (r != HW_CONF_PARTIAL)
			break;
		*partial = true;
	}
	return r ? NULL : g;
}

static int put_in_force(struct hw_broker *b, struct hw_generation *g)
{
	int r = hw_tenants_configure(&b->tenants, g);

	if (r)
		hw_log(b->log, HW_LOG_ERROR, "reload", "some tenants keep their topic classes",
			HW_F_INT("error", -r));
	r = hw_broker_swap(b, g);
	if (r != -ETIMEDOUT)
		return r;
	hw_log(b->log, HW_LOG_ERROR, "reload",
		"a worker does not answer; it decides anew when it comes back");
	return 0;
}

/* All workers decide alike: if one cannot start the new hooks, the others go back. */
static bool put_in_force_or_back(struct hw_broker *b, struct hw_generation *g)
{
	int r = put_in_force(b, g);

	if (!r)
		return true;
	hw_log(b->log, HW_LOG_ERROR, "reload", "a worker cannot start the new hooks",
		HW_F_Z("error", strerror(-r)));
	r = put_in_force(b, b->generation);
	if (r)
		hw_log(b->log, HW_LOG_ERROR, "reload", "a worker cannot go back either",
			HW_F_Z("error", strerror(-r)));
	return false;
}

/* Does no unit bring anything of its own? */
static bool all_as_before(const struct hw_conf *conf)
{
	for (size_t i = 0; i < conf->n_units; i++) {
		if (!conf->units[i].broken && !conf->units[i].inherited)
			return false;
	}
	return true;
}

static void note_failed(struct hw_broker *b)
{
	hw_metric_add(b->reloads_failed, 1);
	hw_log(b->log, HW_LOG_ERROR, "reload", "reload failed: everything decides as before");
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
	for (size_t i = 0; i < conf->n_units; i++)
		hw_metric_add(b->failed_units, conf->units[i].inherited);
	hw_metric_set(b->generation_gauge, g->number);
	if (all_as_before(conf)) {
		note_failed(b);
		return;
	}
	hw_metric_add(partial ? b->reloads_partial : b->reloads_ok, 1);
	hw_log(b->log, partial ? HW_LOG_WARN : HW_LOG_INFO, "reload",
		partial ? "reloaded in part: broken units keep deciding as before" : "reloaded",
		HW_F_UINT("generation", g->number));
}

void hw_broker_reload(struct hw_broker *b)
{
	struct hw_conf_report report;
	struct hw_conf *conf = NULL;
	struct hw_generation *g;
	bool partial = false;

	hw_conf_report_init(&report);
	g = stage(b, &conf, &report, &partial);
	log_report(b, &report);
	if (g && put_in_force_or_back(b, g)) {
		publish(b, conf, g, partial);
	} else {
		hw_generation_unref(&g);
		hw_conf_destroy(&conf);
		note_failed(b);
	}
	hw_hook_env_reap(b->env);
	hw_conf_report_fini(&report);
}
