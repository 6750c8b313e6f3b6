#include "app/cmd_check.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "app/conf.h"
#include "hook/plugin_check.h"

static const char usage[] =
	"usage: hookwire check -c FILE\n"
	"\n"
	"Reads the configuration FILE and what it includes, as `hookwire serve` would, and\n"
	"prints every problem, one a line, as\n"
	"    file:line:column: what is wrong: why; what to do\n"
	"\n"
	"  -c, --config FILE   the configuration to check\n"
	"  --plugin FILE       instead: open a plugin (.so) and say what it is, or why it is none\n"
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

static int check(const char *path)
{
	struct hw_conf_report report;
	struct hw_conf *conf = NULL;
	int rc;

	hw_conf_report_init(&report);
	rc = hw_conf_load(path, &conf, &report);
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
	return rc == 0 ? 0 : 1;
}

int hw_cmd_check(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"plugin", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *path = NULL;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (c == 'p')
			return hw_plugin_check(optarg);
		if (c != 'c') {
			fputs("try: hookwire check --help\n", stderr);
			return 2;
		}
		path = optarg;
	}
	if (!path || optind < argc) {
		fprintf(stderr, "hookwire check: %s\n%s",
			path ? "too many arguments" : "which file? give it with -c FILE", usage);
		return 2;
	}
	return check(path);
}
