#include "app/cli_admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "app/cli_token.h"

#define ANSWER_MAX (16u << 20)

enum { CONNECT_MS = 10000, REQUEST_MS = 120000 };

void hw_cli_admin_init(struct hw_cli_admin *a, const char *command)
{
	*a = (struct hw_cli_admin){.command = command, .url = HW_CLI_ADMIN_URL};
	hw_buf_init(&a->token);
	hw_buf_init(&a->answer);
}

void hw_cli_admin_fini(struct hw_cli_admin *a)
{
	hw_cli_token_forget(&a->token);
	hw_buf_fini(&a->answer);
}

bool hw_cli_admin_option(struct hw_cli_admin *a, int id, char *value)
{
	if (id == 'u')
		a->url = value;
	else if (id == 't')
		a->token_argument = value;
	else if (id == HW_CLI_ADMIN_TOKEN_FILE)
		a->token_file = value;
	else
		return false;
	return true;
}

int hw_cli_admin_ready(struct hw_cli_admin *a, const char *path)
{
	const char *from_env = getenv(HW_CLI_ADMIN_TOKEN_ENV);
	bool given = a->token_argument || a->token_file;
	struct hw_err err = {""};
	int rc;

	if (hw_cli_url_parse(hw_str_of(a->url), "http", path, &a->at, &err) < 0)
		return hw_cli_say(a->command, 2, "--url: %s", err.text);
	if (!given && (!from_env || !from_env[0]))
		return hw_cli_say(a->command, 2,
			"no admin token: give --token-file FILE or --token TOKEN, or set "
			"" HW_CLI_ADMIN_TOKEN_ENV);
	rc = hw_cli_token_read(
		given ? a->token_argument : from_env, a->token_file, &a->token, &err);
	hw_cli_token_hide(a->token_argument);
	return rc < 0 ? hw_cli_say(a->command, rc == -EINVAL ? 2 : 1, "%s", err.text) : 0;
}

static size_t on_answer(char *data, size_t size, size_t n, void *arg)
{
	struct hw_cli_admin *a = arg;

	if (a->answer.len + size * n > ANSWER_MAX)
		return 0;
	hw_buf_add(&a->answer, data, size * n);
	return a->answer.failed ? 0 : size * n;
}

static struct curl_slist *headers_of(const struct hw_cli_admin *a)
{
	struct curl_slist *list = NULL, *more;
	struct hw_buf line;

	hw_buf_init(&line);
	hw_buf_puts(&line, "Authorization: Bearer ");
	hw_buf_str(&line, hw_buf_view(&a->token));
	hw_buf_putc(&line, '\0');
	if (!line.failed)
		list = curl_slist_append(NULL, line.data);
	more = list ? curl_slist_append(list, "Content-Type: application/json") : NULL;
	hw_cli_token_forget(&line);
	if (!more)
		curl_slist_free_all(list);
	return more ? list : NULL;
}

int hw_cli_admin_ask(struct hw_cli_admin *a, const char *body)
{
	char why[CURL_ERROR_SIZE] = "", url[sizeof(a->at.authority) + sizeof(a->at.target) + 16];
	CURL *curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
	struct curl_slist *headers = headers_of(a);
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	char agent[64];

	snprintf(url, sizeof(url), "%s://%s%s", a->at.tls ? "https" : "http", a->at.authority,
		a->at.target);
	snprintf(agent, sizeof(agent), "hookwire-%s", a->command);
	if (curl && headers) {
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		if (body)
			curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
		curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
		curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)REQUEST_MS);
		curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(curl, CURLOPT_USERAGENT, agent);
		rc = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a->status);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	curl_global_cleanup();
	if (rc == CURLE_OK)
		return 0;
	return hw_cli_say(
		a->command, 1, "%s: %s", a->at.authority, why[0] ? why : curl_easy_strerror(rc));
}

int hw_cli_admin_refused(const struct hw_cli_admin *a, const char *message)
{
	return hw_cli_say(a->command, 1, "%s answers HTTP %ld: %s", a->at.authority, a->status,
		message ? message : "is it a broker's admin listener?");
}

int hw_cli_admin_run(struct hw_cli_admin *a, int read, const char *usage, const char *body,
	int (*show)(void *arg), void *arg)
{
	int rc = read;

	if (rc == -1) {
		fputs(usage, stdout);
		rc = 0;
	} else if (rc == 0) {
		rc = hw_cli_admin_ask(a, body);
		if (rc == 0)
			rc = show(arg);
	}
	hw_cli_admin_fini(a);
	return rc;
}
