#include "app/check_live.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

#include "app/cli_token.h"
#include "app/cli_url.h"

#define DEFAULT_URL "http://127.0.0.1:8081"
#define DRY_RUN_PATH "/api/reload?dry_run=1"
#define ANSWER_MAX (16u << 20)
#define ADMIN_TOKEN_ENV "HOOKWIRE_ADMIN_TOKEN"

enum { CONNECT_MS = 10000, REQUEST_MS = 120000 };

static const char usage[] =
	"usage: hookwire check --live [options]\n"
	"\n"
	"Asks a running broker, on its admin listener, what a reload would do now: every problem\n"
	"of its configuration, how many live sessions and subscriptions would end, and the first\n"
	"of them with the hook that decides so. Nothing changes.\n"
	"\n"
	"  -u, --url URL         the admin listener; default " DEFAULT_URL "\n"
	"  --token-file FILE     the admin token is in this file\n"
	"  -t, --token TOKEN     the token itself; other users of the machine may see it for a\n"
	"                        moment; without either: the environment variable\n"
	"                        " ADMIN_TOKEN_ENV "\n"
	"  --json                print the broker's answer as it is\n"
	"  -h, --help            this text\n"
	"\n"
	"Exit status: 0 if all of it would be in force, 1 if something is broken or refused, or\n"
	"the broker cannot be asked, 2 if the command line is wrong.\n";

struct live {
	const char *url, *token_file;
	char *token_argument;
	bool json;
	struct hw_cli_url at;
	struct hw_buf token, answer;
	long status;
};

static int say(int exit_code, const char *text)
{
	return hw_cli_say("check", exit_code, "%s", text);
}

/* -1: help was asked for */
static int read_options(int argc, char **argv, struct live *l)
{
	enum { TOKEN_FILE = 256, JSON };
	static const struct option options[] = {
		{"url", required_argument, NULL, 'u'},
		{"token", required_argument, NULL, 't'},
		{"token-file", required_argument, NULL, TOKEN_FILE},
		{"json", no_argument, NULL, JSON},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *from_env = getenv(ADMIN_TOKEN_ENV);
	struct hw_err err = {""};
	int id, rc;

	optind = 1;
	while ((id = getopt_long(argc, argv, "u:t:h", options, NULL)) != -1) {
		if (id == 'h')
			return -1;
		if (id == 'u')
			l->url = optarg;
		else if (id == 't')
			l->token_argument = optarg;
		else if (id == TOKEN_FILE)
			l->token_file = optarg;
		else if (id == JSON)
			l->json = true;
		else
			return say(2, "see hookwire check --live --help");
	}
	if (optind != argc)
		return say(2, "--live takes options alone; see hookwire check --live --help");
	if (hw_cli_url_parse(hw_str_of(l->url), "http", DRY_RUN_PATH, &l->at, &err) < 0)
		return hw_cli_say("check", 2, "--url: %s", err.text);
	if (!l->token_argument && !l->token_file && (!from_env || !from_env[0]))
		return say(2, "no admin token: give --token-file FILE or --token TOKEN, or set "
			      "" ADMIN_TOKEN_ENV);
	rc = hw_cli_token_read(l->token_argument || l->token_file ? l->token_argument : from_env,
		l->token_file, &l->token, &err);
	hw_cli_token_hide(l->token_argument);
	return rc < 0 ? hw_cli_say("check", rc == -EINVAL ? 2 : 1, "%s", err.text) : 0;
}

/* ---- the request ---- */

static size_t on_answer(char *data, size_t size, size_t n, void *arg)
{
	struct live *l = arg;

	if (l->answer.len + size * n > ANSWER_MAX)
		return 0;
	hw_buf_add(&l->answer, data, size * n);
	return l->answer.failed ? 0 : size * n;
}

static struct curl_slist *headers_of(const struct live *l)
{
	struct curl_slist *list = NULL, *more;
	struct hw_buf line;

	hw_buf_init(&line);
	hw_buf_puts(&line, "Authorization: Bearer ");
	hw_buf_str(&line, hw_buf_view(&l->token));
	hw_buf_putc(&line, '\0');
	if (!line.failed)
		list = curl_slist_append(NULL, line.data);
	more = list ? curl_slist_append(list, "Content-Type: application/json") : NULL;
	hw_cli_token_forget(&line);
	if (!more)
		curl_slist_free_all(list);
	return more ? list : NULL;
}

static int ask(struct live *l)
{
	char why[CURL_ERROR_SIZE] = "", url[sizeof(l->at.authority) + sizeof(l->at.target) + 16];
	CURL *curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
	struct curl_slist *headers = headers_of(l);
	CURLcode rc = CURLE_OUT_OF_MEMORY;

	snprintf(url, sizeof(url), "%s://%s%s", l->at.tls ? "https" : "http", l->at.authority,
		l->at.target);
	if (curl && headers) {
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "{}");
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, l);
		curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
		curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)REQUEST_MS);
		curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(curl, CURLOPT_USERAGENT, "hookwire-check");
		rc = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &l->status);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	curl_global_cleanup();
	if (rc == CURLE_OK)
		return 0;
	return hw_cli_say(
		"check", 1, "%s: %s", l->at.authority, why[0] ? why : curl_easy_strerror(rc));
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

static int show_answer(struct live *l)
{
	json_t *root = json_loadb(l->answer.len ? l->answer.data : "", l->answer.len, 0, NULL);
	const char *result = json_string_value(json_object_get(root, "result"));
	const char *message = json_string_value(json_object_get(root, "message"));
	int rc = l->status == 200 ? 0 : 1;

	if (!result) {
		rc = hw_cli_say("check", 1, "%s answers HTTP %ld: %s", l->at.authority, l->status,
			message ? message : "is it a broker's admin listener?");
	} else if (l->json) {
		printf("%.*s\n", (int)l->answer.len, l->answer.data);
	} else {
		show_problems(root);
		show_preview(json_object_get(root, "preview"));
		printf("a reload would be: %s\n", result);
	}
	json_decref(root);
	if (fflush(stdout) != 0 || ferror(stdout))
		return hw_cli_say("check", 1, "standard output: %s", strerror(errno));
	return rc;
}

int hw_check_live(int argc, char **argv)
{
	struct live l = {.url = DEFAULT_URL};
	int rc;

	hw_buf_init(&l.token);
	hw_buf_init(&l.answer);
	rc = read_options(argc, argv, &l);
	if (rc == -1) {
		fputs(usage, stdout);
		rc = 0;
	} else if (rc == 0) {
		rc = ask(&l);
		if (rc == 0)
			rc = show_answer(&l);
	}
	hw_cli_token_forget(&l.token);
	hw_buf_fini(&l.answer);
	return rc;
}
