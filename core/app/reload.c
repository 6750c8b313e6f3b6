#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/broker.h"
#include "app/generation_make.h"

int hw_broker_load(struct hw_broker *b)
{
	struct hw_conf_report report;
	int r;

	hw_conf_report_init(&report);
	r = hw_conf_load(b->conf_path, &b->conf, &report);
	if (!r) {
		hw_log_configure(b->log, b->conf->global->log.level, b->conf->global->log.format);
		r = hw_plugin_cache_open(b->conf->global->plugin_cache, b->plugin_cache, sizeof(b->plugin_cache),
			&b->made_cache);
		if (r)
			fprintf(stderr, "hookwire: no directory for private copies of plugins: %s; set \"plugin_cache\"\n",
				strerror(-r));
	}
	if (!r && b->conf->global->script_path) {
		b->script_lib = strdup(b->conf->global->script_path);
		r = b->script_lib ? 0 : -ENOMEM;
	}
	if (!r) {
		b->env = hw_hook_env_create(b->log, b->metrics, &hw_clock_system, b->watchdog, b->script_lib,
			b->plugin_cache, b->self_exe);
		r = b->env ? hw_generation_make(b->env, b->conf, NULL, &report, &b->generation) : -ENOMEM;
	}
	for (size_t i = 0; i < report.n_items; i++)
		fprintf(stderr, "%s\n", report.items[i].text);
	if (r < 0)
		fprintf(stderr, "hookwire: %s\n", strerror(-r));
	hw_conf_report_fini(&report);
	return r ? -EINVAL : 0;
}

/* ---- reload ------------------------------------------------------------------------------------------------------------- */

struct swap {
	struct hw_generation *generation;
	int result;
};

static void swap_worker(struct hw_worker_thread *t, void *arg)
{
	struct swap *swap = arg;
	int r = hw_worker_swap(&t->worker, swap->generation);

	if (r)
		swap->result = r;
	else
		hw_edge_settings_changed(&t->edge);
}

static void log_report(struct hw_broker *b, const struct hw_conf_report *report)
{
	for (size_t i = 0; i < report->n_items; i++)
		hw_log(b->log, report->items[i].severity == HW_CONF_ERROR ? HW_LOG_ERROR : HW_LOG_WARN, "reload",
			report->items[i].text, HW_F_Z("unit", report->items[i].unit));
}

static bool same_listen(const struct hw_conf_global *a, const struct hw_conf_global *b)
{
	if (a->n_listen != b->n_listen || a->admin.enabled != b->admin.enabled || a->workers != b->workers)
		return false;
	for (size_t i = 0; i < a->n_listen; i++)
		if (strcmp(a->listen[i].text, b->listen[i].text))
			return false;
	return !a->admin.enabled || !strcmp(a->admin.listen.text, b->admin.listen.text);
}

/* Reads and stages; units that are broken keep what they were. NULL: nothing can be taken. */
static struct hw_generation *stage(struct hw_broker *b, struct hw_conf **conf, struct hw_conf_report *report,
	bool *partial)
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

static void publish(struct hw_broker *b, struct hw_conf *conf, struct hw_generation *g, bool partial)
{
	struct swap swap = {.generation = g};
	int r = hw_tenants_configure(&b->tenants, g);

	if (r)
		hw_log(b->log, HW_LOG_ERROR, "reload", "some tenants keep their topic classes", HW_F_INT("error", -r));
	for (unsigned i = 0; i < b->n_workers; i++)
		hw_worker_thread_call(&b->workers[i], swap_worker, &swap);
	if (swap.result)
		hw_log(b->log, HW_LOG_ERROR, "reload", "a worker keeps its old generation", HW_F_INT("error", -swap.result));
	if (!same_listen(conf->global, b->conf->global))
		hw_log(b->log, HW_LOG_WARN, "reload", "listen, admin.listen and workers: a change needs a restart");
	hw_log_configure(b->log, conf->global->log.level, conf->global->log.format);
	hw_generation_unref(&b->generation);
	b->generation = g;
	hw_conf_destroy(&b->conf);
	b->conf = conf;
	for (size_t i = 0; i < conf->n_units; i++)
		hw_metric_add(b->failed_units, conf->units[i].inherited);
	hw_metric_set(b->generation_gauge, g->number);
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
	if (g) {
		publish(b, conf, g, partial);
	} else {
		hw_conf_destroy(&conf);
		hw_metric_add(b->reloads_failed, 1);
		hw_log(b->log, HW_LOG_ERROR, "reload", "reload failed: everything decides as before");
	}
	hw_hook_env_reap(b->env);
	hw_conf_report_fini(&report);
}
