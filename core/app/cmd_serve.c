#include "app/cmd_serve.h"

#include <getopt.h>
#include <stdio.h>

#include "app/broker.h"

static const char usage[] =
	"usage: hookwire serve -c FILE\n"
	"\n"
	"Runs the broker with the configuration FILE, in the foreground. It prints a line for "
	"each\n"
	"address it listens on and then \"hookwire: ready\"; the log goes to standard error.\n"
	"\n"
	"  -c, --config FILE   the configuration (see conf/hookwire.json for every key)\n"
	"  -h, --help          this text\n"
	"\n"
	"Signals: HUP reloads configuration, policies and plugins without disconnecting anybody;\n"
	"TERM and INT drain (sessions are closed spread over drain_ms), a second one stops at "
	"once.\n"
	"\n"
	"Exit status: 0 after a drain, 1 if it cannot start, 2 if the command line is wrong.\n";

int hw_cmd_serve(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
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
		if (c != 'c') {
			fputs("try: hookwire serve --help\n", stderr);
			return 2;
		}
		path = optarg;
	}
	if (!path || optind < argc) {
		fputs("hookwire serve: it needs -c FILE and nothing else; try: hookwire serve "
		      "--help\n",
			stderr);
		return 2;
	}
	return hw_broker_run(path);
}
