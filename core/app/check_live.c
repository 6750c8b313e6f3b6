#include "app/check_live.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "app/cli_admin.h"
#include "app/cli_token.h"

#define DRY_RUN_PATH "/api/reload?dry_run=1"

static const char usage[] =
	"usage: hookwire check --live [options]\n"
	"\n"
	"Asks a running broker, on its admin listener, what a reload would do now: every problem\n"
	"of its configuration, how many live sessions and subscriptions would end, and the first\n"
	"of them with the hook that decides so. Nothing changes.\n"
	"\n"
	"  -u, --url URL         the admin listener; default " HW_CLI_ADMIN_URL "\n"
	"  --token-file FILE     the admin token is in this file\n"
	"  -t, --token TOKEN     the token itself; other users of the machine may see it for a\n"
	"                        moment; without either: the environment variable\n"
	"                        " HW_CLI_ADMIN_TOKEN_ENV "\n"
	"  --json                print the broker's answer as it is\n"
	"  -h, --help            this text\n"
	"\n"
	"Exit status: 0 if all of it would be in force, 1 if something is broken or refused, or\n"
	"the broker cannot be asked, 2 if the command line is wrong.\n";

struct live {
	struct hw_cli_admin admin;
	bool json;
};

static int say(int exit_code, const char *text)
{
	return hw_cli_say("check", exit_code, "%s", text);
}

/* -1: help was asked for */
static int read_options(int argc, char **argv, struct live *l)
{
	enum { JSON = 256 };
	static const struct option options[] = {
		HW_CLI_ADMIN_OPTIONS,
		{"json", no_argument, NULL, JSON},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int id;

	optind = 1;
	while ((id = getopt_long(argc, argv, "h" HW_CLI_ADMIN_SHORT, options, NULL)) != -1) {
		if (id == 'h')
			return -1;
		if (id == JSON)
			l->json = true;
		else if (!hw_cli_admin_option(&l->admin, id, optarg))
			return say(2, "see hookwire check --live --help");
	}
	if (optind != argc)
		return say(2, "--live takes options alone; see hookwire check --live --help");
	return hw_cli_admin_ready(&l->admin, DRY_RUN_PATH);
}

/* ---- the answer ---- */

/* What clients named themselves is shown as JSON, so that it cannot write on the terminal. */
static void show(const char *before, const json_t *value, const char *after)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);

	printf("%s%s%s", before, text ? text : "?", after);
	free(text);
}

static long long number(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static void show_counts(const json_t *of)
{
	printf("%lld of %lld live subscriptions would end, %lld of %lld sessions\n",
		number(of, "revoked_subscriptions"), number(of, "subscriptions"),
		number(of, "revoked_sessions"), number(of, "sessions"));
}

static void show_first(const json_t *r)
{
	const char *hook = json_string_value(json_object_get(r, "hook"));

	show("  tenant ", json_object_get(r, "tenant"), " ");
	show("user ", json_object_get(r, "user"), " ");
	if (json_is_string(json_object_get(r, "topic")))
		show("topic ", json_object_get(r, "topic"), "");
	else
		printf("the session");
	printf(": %s", json_string_value(json_object_get(r, "code")));
	if (hook && hook[0])
		printf(", hook %s", hook);
	putchar('\n');
}

static void show_preview(const json_t *preview)
{
	json_t *item;
	size_t i;

	if (!json_is_object(preview))
		return;
	show_counts(preview);
	json_array_foreach(json_object_get(preview, "tenants"), i, item)
	{
		if (number(item, "revoked_subscriptions") + number(item, "revoked_sessions") == 0)
			continue;
		show("tenant ", json_object_get(item, "tenant"), ": ");
		show_counts(item);
	}
	if (json_array_size(json_object_get(preview, "first")))
		puts("the first of them:");
	json_array_foreach(json_object_get(preview, "first"), i, item) show_first(item);
}

static void show_problems(const json_t *root)
{
	json_t *unit, *problem;
	size_t i, j;

	json_array_foreach(json_object_get(root, "units"), i, unit)
	{
		json_array_foreach(json_object_get(unit, "problems"), j, problem)
			puts(json_string_value(problem));
	}
}

static int show_answer(void *arg)
{
	const struct live *l = arg;
	const struct hw_cli_admin *a = &l->admin;
	json_t *root = json_loadb(a->answer.len ? a->answer.data : "", a->answer.len, 0, NULL);
	const char *result = json_string_value(json_object_get(root, "result"));
	int rc = a->status == 200 ? 0 : 1;

	if (!result) {
		rc = hw_cli_admin_refused(a, json_string_value(json_object_get(root, "message")));
	} else if (l->json) {
		printf("%.*s\n", (int)a->answer.len, a->answer.data);
	} else {
		show_problems(root);
		show_preview(json_object_get(root, "preview"));
		printf("a reload would be: %s\n", result);
	}
	json_decref(root);
	return hw_cli_end("check", rc, 1);
}

int hw_check_live(int argc, char **argv)
{
	struct live l = {.json = false};

	hw_cli_admin_init(&l.admin, "check");
	return hw_cli_admin_run(
		&l.admin, read_options(argc, argv, &l), usage, "{}", show_answer, &l);
}
