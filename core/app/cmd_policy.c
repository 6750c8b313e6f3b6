#include "app/cmd_policy.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
	"usage: hookwire policy test [--coverage] DIR|FILE...\n"
	"       hookwire policy eval -c FILE --tenant TENANT --user USER [OPTIONS] WHAT [TOPIC]\n"
	"       hookwire policy replay -c FILE LOG\n"
	"\n"
	"What a policy says, without a broker.\n"
	"\n"
	"  test    runs the cases beside a policy: family.test.lua has those of family.lua\n"
	"  eval    asks the hooks of a configuration one question, and can explain the answer\n"
	"  replay  asks a configuration what a decision log was asked, and says what would change\n"
	"\n"
	"Each explains itself: hookwire policy test --help\n";

int hw_cmd_policy(int argc, char **argv)
{
	char name[64];
	int (*run)(int argc, char **argv) = NULL;

	if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "test") == 0)
		run = hw_cmd_policy_test;
	else if (argc > 1 && strcmp(argv[1], "eval") == 0)
		run = hw_cmd_policy_eval;
	else if (argc > 1 && strcmp(argv[1], "replay") == 0)
		run = hw_cmd_policy_replay;
	if (!run) {
		fprintf(stderr, "%s: it needs test, eval or replay; try: %s --help\n", argv[0],
			argv[0]);
		return 2;
	}
	snprintf(name, sizeof(name), "%s %s", argv[0], argv[1]);
	argv[1] = name;
	return run(argc - 1, argv + 1);
}
