/* hookwire: one binary, a word for each thing it does. */
#include <stdio.h>
#include <string.h>

#include <hookwire/plugin.h>

#include "app/cmd_check.h"
#include "app/cmd_explain.h"
#include "app/cmd_policy.h"
#include "app/cmd_pub.h"
#include "app/cmd_serve.h"
#include "app/cmd_sub.h"
#include "app/cmd_token.h"
#include "app/cmd_validate.h"
#include "base/str.h"

static int cmd_version(int argc, char **argv)
{
	if (argc == 1) {
		printf("hookwire %s (ABI %d.%d)\n", HW_VERSION, HW_PLUGIN_MAJOR, HW_PLUGIN_MINOR);
		return 0;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
		puts("usage: hookwire version\n\nPrints the version of the broker and of its "
		     "plugin ABI.");
		return 0;
	}
	fprintf(stderr, "%s: unrecognized argument '%s'\ntry: %s --help\n", argv[0], argv[1],
		argv[0]);
	return 2;
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"serve", hw_cmd_serve, "run the broker"},
	{"check", hw_cmd_check, "say every problem of a configuration"},
	{"explain", hw_cmd_explain, "say why a user got an event, or did not"},
	{"policy", hw_cmd_policy, "test a policy, ask it one question, or what a log was asked"},
	{"token", hw_cmd_token, "mint a token for development or a back end"},
	{"pub", hw_cmd_pub, "publish events and print their ids"},
	{"sub", hw_cmd_sub, "subscribe and print events as lines of JSON"},
	{"validate", hw_cmd_validate, "check events against the envelope's rules"},
	{"version", cmd_version, "print the version"},
};

static void usage(FILE *out)
{
	fputs("usage: hookwire COMMAND [OPTIONS]\n\nA real-time event broker, programmable in Lua "
	      "and C.\n\n",
		out);
	for (size_t i = 0; i < HW_COUNT(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	fputs("\nEach explains itself: hookwire COMMAND --help\n"
	      "To begin:\n"
	      "  export HOOKWIRE_JWT_SECRET=$(openssl rand -hex 32)\n"
	      "  hookwire check -c conf/minimal.json\n"
	      "  hookwire serve -c conf/minimal.json\n"
	      "and in another terminal, with the same secret:\n"
	      "  hookwire token --secret-env HOOKWIRE_JWT_SECRET --user alice --tenant acme\n"
	      "  hookwire sub --help\n",
		out);
}

static int unknown(const char *name)
{
	const char *best = NULL;
	size_t best_distance = 3;

	for (size_t i = 0; i < HW_COUNT(commands); i++) {
		size_t distance = hw_str_distance(hw_str_of(name), hw_str_of(commands[i].name));

		if (distance < best_distance) {
			best_distance = distance;
			best = commands[i].name;
		}
	}
	fprintf(stderr, "hookwire: there is no command \"%s\"", name);
	if (best)
		fprintf(stderr, "; did you mean \"%s\"?", best);
	fputs("\ntry: hookwire --help\n", stderr);
	return 2;
}

/* The sub-command is told its whole name, which getopt puts before what it says. */
static int run(const struct command *command, int argc, char **argv)
{
	char name[64];

	snprintf(name, sizeof(name), "hookwire %s", command->name);
	argv[0] = name;
	return command->run(argc, argv);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version"))
		argv[1] = "version";
	for (size_t i = 0; i < HW_COUNT(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return run(&commands[i], argc - 1, argv + 1);
	return unknown(argv[1]);
}
