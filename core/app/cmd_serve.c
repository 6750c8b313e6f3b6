#include "app/cmd_serve.h"

#include "app/broker.h"
#include "app/cli_config.h"

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
	const char *path;
	int r = hw_cli_config(argc, argv, usage, &path);

	return r < 0 ? hw_broker_run(path) : r;
}
