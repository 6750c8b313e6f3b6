#include "app/cmd_explain.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "app/cli_admin.h"
#include "app/cli_token.h"
#include "app/explain_show.h"
#include "wire/query.h"

#define EXPLAIN_PATH "/api/explain"

static const char usage[] =
	"usage: hookwire explain --event ID --user USER [--tenant TENANT] [options]\n"
	"       hookwire explain --trace TRACE [--user USER] [--tenant TENANT] [options]\n"
	"\n"
	"Asks a running broker, on its admin listener, why a user got an event, or did not: who\n"
	"published it, where it is stored, which of the user's sessions follow its topic, what "
	"the\n"
	"hooks say of it and from which values, and what was refused lately. Nothing changes.\n"
	"\n"
	"  -e, --event ID        the event's id, as the publisher was answered\n"
	"  --trace TRACE         instead: its trace_id; the newest event that has it\n"
	"  --user USER           the user's id\n"
	"  --tenant TENANT       only of this tenant\n"
	"  -u, --url URL         the admin listener; default " HW_CLI_ADMIN_URL "\n"
	"  --token-file FILE     the admin token is in this file\n"
	"  -t, --token TOKEN     the token itself; other users of the machine may see it for a\n"
	"                        moment; without either: the environment variable\n"
	"                        " HW_CLI_ADMIN_TOKEN_ENV "\n"
	"  --json                print the broker's answer as it is\n"
	"  -h, --help            this text\n"
	"\n"
	"Exit status: 0 if it is explained, 1 if there is no such event (any more), or the broker\n"
	"cannot be asked, 2 if the command line is wrong.\n";

struct explain {
	struct hw_cli_admin admin;
	const char *event, *trace, *user, *tenant;
	bool json;
};

static int say(int exit_code, const char *text)
{
	return hw_cli_say("explain", exit_code, "%s", text);
}

static void add_parameter(struct hw_buf *target, const char *name, const char *value)
{
	if (!value)
		return;
	hw_buf_putc(target, target->len > sizeof(EXPLAIN_PATH) ? '&' : '?');
	hw_buf_printf(target, "%s=", name);
	hw_percent_encode(target, hw_str_of(value));
}

static int ready(struct explain *x)
{
	struct hw_buf target;
	int rc;

	if (!x->event == !x->trace)
		return say(2, "say which event: --event ID or --trace TRACE; see --help");
	if (x->event && !x->user)
		return say(2, "say for whom: --user USER; see --help");
	hw_buf_init(&target);
	hw_buf_puts(&target, EXPLAIN_PATH);
	add_parameter(&target, "event", x->event);
	add_parameter(&target, "trace", x->trace);
	add_parameter(&target, "user", x->user);
	add_parameter(&target, "tenant", x->tenant);
	hw_buf_putc(&target, '\0');
	rc = target.failed ? say(1, "out of memory") : hw_cli_admin_ready(&x->admin, target.data);
	hw_buf_fini(&target);
	return rc;
}

/* -1: help was asked for */
static int read_options(int argc, char **argv, struct explain *x)
{
	enum { JSON = 256, TRACE, USER, TENANT };
	static const struct option options[] = {
		{"event", required_argument, NULL, 'e'},
		{"trace", required_argument, NULL, TRACE},
		{"user", required_argument, NULL, USER},
		{"tenant", required_argument, NULL, TENANT},
		HW_CLI_ADMIN_OPTIONS,
		{"json", no_argument, NULL, JSON},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int id;

	optind = 1;
	while ((id = getopt_long(argc, argv, "e:h" HW_CLI_ADMIN_SHORT, options, NULL)) != -1) {
		if (id == 'h')
			return -1;
		if (id == 'e')
			x->event = optarg;
		else if (id == TRACE)
			x->trace = optarg;
		else if (id == USER)
			x->user = optarg;
		else if (id == TENANT)
			x->tenant = optarg;
		else if (id == JSON)
			x->json = true;
		else if (!hw_cli_admin_option(&x->admin, id, optarg))
			return say(2, "see hookwire explain --help");
	}
	if (optind != argc)
		return say(2, "takes options alone; see hookwire explain --help");
	return ready(x);
}

static int show(void *arg)
{
	const struct explain *x = arg;
	const struct hw_cli_admin *a = &x->admin;
	json_t *root = json_loadb(a->answer.len ? a->answer.data : "", a->answer.len, 0, NULL);
	json_t *outcome = json_object_get(root, "outcome");
	int rc = 0;

	if (a->status != 200 || !json_object_get(root, "stored")) {
		rc = hw_cli_admin_refused(a, json_string_value(json_object_get(root, "message")));
	} else {
		if (x->json)
			printf("%.*s\n", (int)a->answer.len, a->answer.data);
		else
			hw_explain_show(root);
		rc = json_is_string(outcome) && !strcmp(json_string_value(outcome), "gone");
	}
	json_decref(root);
	return hw_cli_end("explain", rc, 1);
}

int hw_cmd_explain(int argc, char **argv)
{
	struct explain x = {.json = false};

	hw_cli_admin_init(&x.admin, "explain");
	return hw_cli_admin_run(&x.admin, read_options(argc, argv, &x), usage, NULL, show, &x);
}
