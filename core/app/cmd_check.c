#include "app/cmd_check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/broker.h"
#include "app/cli_token.h"
#include "app/check_live.h"
#include "app/cli_config.h"
#include "app/conf.h"
#include "app/generation_make.h"
#include "app/hook_kit.h"
#include "app/store_make.h"
#include "hook/plugin_check.h"

static const char usage[] =
	"usage: hookwire check -c FILE\n"
	"       hookwire check --plugin FILE\n"
	"       hookwire check --live [options]\n"
	"\n"
	"Reads the configuration FILE and what it includes, loads every plugin and policy, as\n"
	"`hookwire serve` would, and prints every problem, one a line, as\n"
	"    file:line:column: what is wrong: why; what to do\n"
	"\n"
	"  -c, --config FILE   the configuration to check\n"
	"  --plugin FILE       instead: open a plugin (.so) and say what it is, or why it is none\n"
	"  --live              instead: ask a running broker what a reload would do now, and what\n"
	"                      it would take away from whom; see hookwire check --live --help\n"
	"  -h, --help          this text\n"
	"\n"
	"Exit status: 0 if the configuration can be used (warnings may be printed),\n"
	"1 if it cannot, 2 if the command line is wrong.\n"
	"\n"
	"A file with ${NAME} needs these variables set, for example:\n"
	"    HOOKWIRE_JWT_SECRET=$(openssl rand -hex 32) \\\n"
	"        hookwire check -c conf/hookwire.json\n";

static void print_summary(
	const char *path, const struct hw_conf *conf, const struct hw_conf_report *report)
{
	if (report->n_errors > 0)
		printf("%s: %zu error%s, %zu warning%s\n", path, report->n_errors,
			report->n_errors == 1 ? "" : "s", report->n_warnings,
			report->n_warnings == 1 ? "" : "s");
	else
		printf("%s: ok (%zu file%s, %zu tenant%s)\n", path, conf->n_units,
			conf->n_units == 1 ? "" : "s", conf->n_tenants,
			conf->n_tenants == 1 ? "" : "s");
}

static int check_hooks(struct hw_conf *conf, struct hw_conf_report *report)
{
	struct hw_generation *generation = NULL;
	struct hw_store *store = NULL;
	struct hw_hook_kit kit;
	int journal = 0;
	int rc = hw_hook_kit_open(
		&kit, STDERR_FILENO, HW_LOG_WARN, &hw_clock_system, conf->global->script_path);

	if (rc == 0)
		rc = journal = hw_store_make(kit.env, conf, true, report, &store);
	if (rc >= 0)
		rc = hw_generation_make(kit.env, conf, NULL, report, &generation);
	hw_store_close(&store);
	hw_generation_unref(&generation);
	hw_hook_kit_close(&kit);
	return rc ? rc : journal;
}

static int check(const char *path)
{
	struct hw_conf_report report;
	struct hw_conf *conf = NULL;
	int rc;

	hw_conf_report_init(&report);
	rc = hw_conf_load(path, &conf, &report);
	/* a global part that is broken does not say where hooks find what they need */
	if (rc >= 0 && !conf->units[0].broken) {
		int hooks = check_hooks(conf, &report);

		rc = hooks ? hooks : rc;
	}
	for (size_t i = 0; i < report.n_items; i++)
		puts(report.items[i].text);
	if (report.n_errors + report.n_warnings > report.n_items)
		printf("%s: %zu more problems are not shown\n", path,
			report.n_errors + report.n_warnings - report.n_items);
	if (rc < 0)
		fprintf(stderr, "hookwire check: %s\n", strerror(-rc));
	else
		print_summary(path, conf, &report);
	hw_conf_destroy(&conf);
	hw_conf_report_fini(&report);
	return hw_cli_end("check", rc == 0 ? 0 : 1, 1);
}

int hw_cmd_check(int argc, char **argv)
{
	const char *path;
	int r;

	if (argc == 3 && strcmp(argv[1], "--plugin") == 0)
		return hw_plugin_check(argv[2]);
	if (argc > 1 && strcmp(argv[1], "--live") == 0)
		return hw_check_live(argc - 1, argv + 1);
	r = hw_cli_config(argc, argv, usage, &path);
	return r < 0 ? check(path) : r;
}
