#include "app/cmd_pub.h"

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
#include "base/buf.h"
#include "wire/event.h"
#include "wire/json.h"

#define DEFAULT_URL "http://127.0.0.1:8080"
#define PUBLISH_PATH "/publish"
#define ANSWER_MAX (16u << 20)

enum {
	KEY_MAX = 256,
	BATCH_EVENTS = 100,
	BATCH_BYTES = 256 * 1024, /* a quarter of what a broker takes by default */
	CONNECT_MS = 10000,
	REQUEST_MS = 60000,
};

static const char usage[] =
	"usage: hookwire pub [options] TOPIC EVENT ENTITY_ID [PAYLOAD]\n"
	"       hookwire pub [options] EVENT_JSON\n"
	"       hookwire pub [options] --stdin\n"
	"\n"
	"Publishes one event, or with --stdin one for each line, and prints their ids, which\n"
	"are cursors. The line is empty for an event without an id: a policy dropped it, or its\n"
	"topic keeps no history.\n"
	"\n"
	"  TOPIC                 RESOURCE:ID, as gift-list:123\n"
	"  EVENT                 ADDED, UPDATED, DELETED, STATUS_CHANGED, or one of your own\n"
	"  ENTITY_ID             what it is about\n"
	"  PAYLOAD               JSON; it is passed on as it is. Default: {}\n"
	"  EVENT_JSON            a complete event instead of these words\n"
	"\n"
	"  --stdin               read complete events from standard input, one JSON object a line\n"
	"  -k, --key KEY         idempotency key: repeated within ten minutes, nothing is "
	"published\n"
	"                        twice. With --stdin put a member \"key\" into the lines instead\n"
	"  -u, --url URL         the broker; default " DEFAULT_URL "\n"
	"  --token-file FILE     the token is in this file\n"
	"  -t, --token TOKEN     the token itself; other users of the machine may see it for a "
	"moment;\n"
	"                        without either: the environment variable HOOKWIRE_TOKEN\n"
	"  -h, --help            this text\n"
	"\n"
	"Examples:\n"
	"    export HOOKWIRE_TOKEN=$(hookwire token --user shop --tenant acme)\n"
	"    hookwire pub gift-list:123 UPDATED gift-456 '{\"name\":\"Bike\"}'\n"
	"    hookwire pub --key order-7-paid order:7 STATUS_CHANGED 7 '{\"status\":\"paid\"}'\n"
	"    hookwire pub --stdin < events.ndjson\n"
	"\n"
	"where a line of events.ndjson is\n"
	"    "
	"{\"topic\":\"gift-list:123\",\"event\":\"ADDED\",\"data\":{\"entity_id\":\"gift-1\","
	"\"payload\":{}}}\n"
	"\n"
	"Exit status: 0 all are published; 1 something was refused (why is on standard error, by\n"
	"line with --stdin); 2 the command line is wrong.\n";

enum option_id { TOKEN_FILE = 256, STDIN };

struct pub {
	char url[HW_CLI_TARGET_MAX + HW_CLI_HOST_MAX + 32];
	char authority[HW_CLI_HOST_MAX + 9];
	char *token_argument;
	const char *token_file;
	const char *key;
	bool from_stdin;
	struct hw_buf token;
	CURL *curl;
	struct curl_slist *headers;
	char curl_error[CURL_ERROR_SIZE];
	struct hw_buf body;
	struct hw_buf answer;
	long status;
	bool failed;                /* some event was refused */
	size_t n_batch;             /* events in @body */
	size_t lines[BATCH_EVENTS]; /* the line each came from */
};

/* ---- the command line ---- */

static int read_url(const char *text, struct pub *p)
{
	struct hw_err err = {""};
	struct hw_cli_url url;

	if (hw_cli_url_parse(hw_str_of(text), "http", PUBLISH_PATH, &url, &err) < 0)
		return hw_cli_say("pub", 2, "--url: %s", err.text);
	snprintf(p->url, sizeof(p->url), "%s://%s%s", url.tls ? "https" : "http", url.authority,
		url.target);
	snprintf(p->authority, sizeof(p->authority), "%s", url.authority);
	return 0;
}

static int read_key(const char *value, struct pub *p)
{
	struct hw_str key = hw_str_of(value);

	for (size_t i = 0; i < key.len; i++) {
		if (key.p[i] <= ' ' || key.p[i] > '~')
			key.len = 0;
	}
	if (key.len == 0 || key.len > KEY_MAX)
		return hw_cli_say(
			"pub", 2, "--key: it is 1 to %d characters, without white space", KEY_MAX);
	p->key = value;
	return 0;
}

static int read_option(int id, char *value, struct pub *p)
{
	switch (id) {
	case 'u':
		return read_url(value, p);
	case 't':
		p->token_argument = value;
		return 0;
	case TOKEN_FILE:
		p->token_file = value;
		return 0;
	case 'k':
		return read_key(value, p);
	case STDIN:
		p->from_stdin = true;
		return 0;
	default:
		fputs("try: hookwire pub --help\n", stderr);
		return 2;
	}
}

static int check_words(int n, const struct pub *p)
{
	if (p->from_stdin && p->key)
		return hw_cli_say("pub", 2,
			"--key is for one event; with --stdin put \"key\" into each line");
	if (p->from_stdin && n > 0)
		return hw_cli_say("pub", 2, "--stdin or TOPIC EVENT ENTITY_ID, not both");
	if (!p->from_stdin && n != 1 && n != 3 && n != 4)
		return hw_cli_say("pub", 2,
			"give TOPIC EVENT ENTITY_ID and perhaps PAYLOAD (in quotes), or "
			"EVENT_JSON, or --stdin; see hookwire pub "
			"--help");
	return 0;
}

static int read_token(struct pub *p)
{
	struct hw_err err = {""};
	int rc = hw_cli_token_read(p->token_argument, p->token_file, &p->token, &err);

	hw_cli_token_hide(p->token_argument);
	if (rc < 0)
		return hw_cli_say("pub", rc == -EINVAL || (rc == -ENOENT && !p->token_file) ? 2 : 1,
			"%s", err.text);
	return 0;
}

/* -1: help was asked for */
static int read_options(int argc, char **argv, struct pub *p)
{
	static const struct option options[] = {
		{"url", required_argument, NULL, 'u'},
		{"token", required_argument, NULL, 't'},
		{"token-file", required_argument, NULL, TOKEN_FILE},
		{"key", required_argument, NULL, 'k'},
		{"stdin", no_argument, NULL, STDIN},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int id, rc;

	optind = 1;
	while ((id = getopt_long(argc, argv, "u:t:k:h", options, NULL)) != -1) {
		if (id == 'h')
			return -1;
		rc = read_option(id, optarg, p);
		if (rc != 0)
			return rc;
	}
	rc = check_words(argc - optind, p);
	return rc ? rc : read_token(p);
}

/* ---- the request ---- */

static size_t on_answer(char *data, size_t size, size_t n, void *arg)
{
	struct pub *p = arg;

	if (p->answer.len + size * n > ANSWER_MAX)
		return 0;
	hw_buf_add(&p->answer, data, size * n);
	return p->answer.failed ? 0 : size * n;
}

static bool add_header(struct pub *p, const char *name, struct hw_str value)
{
	struct curl_slist *list;
	struct hw_buf line;

	hw_buf_init(&line);
	hw_buf_printf(&line, "%s: %.*s", name, HW_STR_ARG(value));
	hw_buf_putc(&line, '\0');
	list = line.failed ? NULL : curl_slist_append(p->headers, line.data);
	if (list)
		p->headers = list;
	if (line.data)
		explicit_bzero(line.data, line.cap);
	hw_buf_fini(&line);
	return list != NULL;
}

static int prepare(struct pub *p)
{
	struct hw_buf bearer;
	bool ok;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return hw_cli_say("pub", 1, "libcurl cannot be set up");
	p->curl = curl_easy_init();
	hw_buf_init(&bearer);
	hw_buf_puts(&bearer, "Bearer ");
	hw_buf_str(&bearer, hw_buf_view(&p->token));
	ok = p->curl && !bearer.failed && add_header(p, "Authorization", hw_buf_view(&bearer)) &&
	     add_header(p, "Content-Type", HW_STR("application/json")) &&
	     add_header(p, "Expect", HW_STR("")) &&
	     (!p->key || add_header(p, "Idempotency-Key", hw_str_of(p->key)));
	hw_cli_token_forget(&bearer);
	if (!ok)
		return hw_cli_say("pub", 1, "out of memory");
	curl_easy_setopt(p->curl, CURLOPT_URL, p->url);
	curl_easy_setopt(p->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(p->curl, CURLOPT_HTTPHEADER, p->headers);
	curl_easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(p->curl, CURLOPT_WRITEDATA, p);
	curl_easy_setopt(p->curl, CURLOPT_ERRORBUFFER, p->curl_error);
	curl_easy_setopt(p->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(p->curl, CURLOPT_TIMEOUT_MS, (long)REQUEST_MS);
	curl_easy_setopt(p->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(p->curl, CURLOPT_USERAGENT, "hookwire-pub");
	return 0;
}

/* 0: there is an answer, whatever it says */
static int post(struct pub *p)
{
	CURLcode rc;

	if (p->body.failed)
		return hw_cli_say("pub", 1, "out of memory");
	hw_buf_clear(&p->answer);
	p->curl_error[0] = '\0';
	curl_easy_setopt(p->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)p->body.len);
	curl_easy_setopt(p->curl, CURLOPT_POSTFIELDS, p->body.data);
	rc = curl_easy_perform(p->curl);
	if (rc != CURLE_OK)
		return hw_cli_say("pub", 1, "%s: %s", p->authority,
			p->curl_error[0] ? p->curl_error : curl_easy_strerror(rc));
	curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &p->status);
	return 0;
}

/* ---- the answer ---- */

static int print_line(const char *text)
{
	if (puts(text) < 0 || fflush(stdout) != 0)
		return hw_cli_say("pub", 1, "standard output: %s", strerror(errno));
	return 0;
}

/* One result; an event that no history keeps has no id, and prints an empty line. @line 0: the only
 * one. */
static int show_result(struct pub *p, json_t *result, size_t line)
{
	const char *code = json_string_value(json_object_get(result, "code"));
	const char *message = json_string_value(json_object_get(result, "message"));
	const char *id = json_string_value(json_object_get(result, "id"));
	char place[32] = "";

	if (json_is_true(json_object_get(result, "ok")))
		return print_line(id ? id : "");
	if (line > 0)
		snprintf(place, sizeof(place), "line %zu: ", line);
	p->failed = true;
	hw_cli_say("pub", 1, "%s%s: %s", place, code ? code : "refused",
		message ? message : "the broker says no more");
	return 0;
}

/* 0: read on; else an exit code */
static int show_answer(struct pub *p)
{
	json_t *root = json_loadb(p->answer.len > 0 ? p->answer.data : "", p->answer.len, 0, NULL);
	json_t *results = json_object_get(root, "results");
	int rc = 0;

	if (p->status >= 200 && p->status < 300 && json_is_array(results) &&
		json_array_size(results) == p->n_batch) {
		for (size_t i = 0; i < p->n_batch && rc == 0; i++)
			rc = show_result(p, json_array_get(results, i), p->lines[i]);
	} else if (p->status >= 200 && p->status < 300 && p->n_batch == 0 && json_is_object(root)) {
		rc = show_result(p, root, 0);
	} else if (json_is_string(json_object_get(root, "code"))) {
		rc = hw_cli_say("pub", 1, "%s: %s",
			json_string_value(json_object_get(root, "code")),
			json_is_string(json_object_get(root, "message"))
				? json_string_value(json_object_get(root, "message"))
				: "the broker says no more");
	} else {
		rc = hw_cli_say("pub", 1,
			"%s answers HTTP %ld, and not as a broker does: is it one?", p->authority,
			p->status);
	}
	json_decref(root);
	return rc;
}

/* ---- what is published ---- */

/* The event that the words of the command line say. */
static int make_event(struct pub *p, int n, char **words)
{
	struct hw_str payload = n > 3 ? hw_str_of(words[3]) : HW_STR("{}");
	struct hw_err err = {""};
	struct hw_json value;

	if (n == 1) {
		hw_buf_puts(&p->body, words[0]);
		return 0;
	}
	if (hw_json_whole(payload, 0, &value, &err) < 0)
		return hw_cli_say("pub", 2,
			"PAYLOAD is no JSON: %s (a text needs its quotes: '\"text\"')", err.text);
	hw_buf_puts(&p->body, "{\"topic\":");
	hw_buf_json(&p->body, hw_str_of(words[0]));
	hw_buf_puts(&p->body, ",\"event\":");
	hw_buf_json(&p->body, hw_str_of(words[1]));
	hw_buf_puts(&p->body, ",\"data\":{\"entity_id\":");
	hw_buf_json(&p->body, hw_str_of(words[2]));
	hw_buf_puts(&p->body, ",\"payload\":");
	hw_buf_str(&p->body, value.raw);
	hw_buf_puts(&p->body, "}}");
	return 0;
}

static int publish_one(struct pub *p, int n, char **words)
{
	struct hw_err err = {""};
	struct hw_event event;
	int rc = make_event(p, n, words);

	if (rc)
		return rc;
	if (!p->body.failed && hw_event_parse(hw_buf_view(&p->body), 0, &event, NULL, &err))
		return hw_cli_say("pub", 2, "%s", err.text);
	rc = post(p);
	return rc ? rc : show_answer(p);
}

static int flush_batch(struct pub *p)
{
	int rc;

	if (p->n_batch == 0)
		return 0;
	hw_buf_putc(&p->body, ']');
	rc = post(p);
	if (rc == 0)
		rc = show_answer(p);
	if (rc)
		hw_cli_say("pub", 0, "lines %zu to %zu: see above; reading ends", p->lines[0],
			p->lines[p->n_batch - 1]);
	p->n_batch = 0;
	hw_buf_clear(&p->body);
	return rc;
}

static int add_line(struct pub *p, struct hw_str text, size_t line)
{
	struct hw_err err = {""};
	struct hw_json value;
	int rc;

	if (text.len == 0)
		return 0;
	if (hw_json_whole(text, 0, &value, &err) < 0 || value.kind != HW_JSON_OBJECT) {
		p->failed = true;
		hw_cli_say("pub", 1, "line %zu: no JSON object%s%s", line, err.text[0] ? ": " : "",
			err.text);
		return 0;
	}
	if (p->n_batch == BATCH_EVENTS ||
		(p->n_batch > 0 && p->body.len + text.len > BATCH_BYTES)) {
		rc = flush_batch(p);
		if (rc)
			return rc;
	}
	hw_buf_putc(&p->body, p->n_batch == 0 ? '[' : ',');
	hw_buf_str(&p->body, value.raw);
	p->lines[p->n_batch++] = line;
	return 0;
}

static int publish_stdin(struct pub *p)
{
	char *text = NULL;
	size_t cap = 0, line = 0;
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = getline(&text, &cap, stdin)) >= 0) {
		while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
			n--;
		rc = add_line(p, hw_str_trim((struct hw_str){text, (size_t)n}), ++line);
	}
	if (rc == 0 && ferror(stdin))
		rc = hw_cli_say("pub", 1, "standard input: %s", strerror(errno));
	free(text);
	if (rc == 0)
		rc = flush_batch(p);
	return rc;
}

static int run(struct pub *p, int n, char **words)
{
	int rc = prepare(p);

	if (rc == 0)
		rc = p->from_stdin ? publish_stdin(p) : publish_one(p, n, words);
	if (rc == 0 && p->failed)
		rc = 1;
	curl_easy_cleanup(p->curl);
	for (struct curl_slist *h = p->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data)); /* the token is in one */
	curl_slist_free_all(p->headers);
	curl_global_cleanup();
	return rc;
}

int hw_cmd_pub(int argc, char **argv)
{
	struct pub *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return hw_cli_say("pub", 1, "out of memory");
	hw_buf_init(&p->token);
	hw_buf_init(&p->body);
	hw_buf_init(&p->answer);
	rc = read_url(DEFAULT_URL, p);
	if (rc == 0)
		rc = read_options(argc, argv, p);
	if (rc < 0) {
		fputs(usage, stdout);
		rc = 0;
	} else if (rc == 0) {
		rc = run(p, argc - optind, argv + optind);
	}
	hw_buf_fini(&p->answer);
	hw_buf_fini(&p->body);
	hw_cli_token_forget(&p->token);
	free(p);
	return rc;
}
