#include "settings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#define TOPIC_MAX 255 /* bytes, as the protocol has it */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct item {
	struct hw_slice key, value;
	char kind;
	char scratch[4096];
	char path[sizeof(((struct hw_problem *)0)->path)];
};

__attribute__((format(printf, 3, 4))) static int refuse(
	struct hw_problem *problem, const char *path, const char *format, ...)
{
	va_list args;

	snprintf(problem->path, sizeof(problem->path), "%s", path);
	va_start(args, format);
	vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
	return -1;
}

static bool is(struct hw_slice s, const char *text)
{
	return s.len == strlen(text) && (s.len == 0 || memcmp(s.p, text, s.len) == 0);
}

/* JSON pointer: "~" and "/" in a name are "~0" and "~1" (RFC 6901). */
static void set_path(struct item *item)
{
	size_t n = 0;

	item->path[n++] = '/';
	for (size_t i = 0; i < item->key.len && n + 3 < sizeof(item->path); i++) {
		char c = item->key.p[i];

		if (c == '~' || c == '/')
			item->path[n++] = '~';
		item->path[n++] = c == '~' ? '0' : c == '/' ? '1' : c;
	}
	item->path[n] = '\0';
}

/* ---- each setting ---- */

/* Who reads the log must not find a password there, so the address is never shown. */
static int read_url(const struct item *m, struct webhook_settings *out, struct hw_problem *problem)
{
	char *scheme = NULL, *host = NULL;
	CURLU *url = curl_url();
	int rc = -1;

	if (m->kind == 's' && m->value.len > 0 && !memchr(m->value.p, '\0', m->value.len))
		out->url = strndup(m->value.p, m->value.len);
	if (url && out->url && curl_url_set(url, CURLUPART_URL, out->url, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] &&
		(strcasecmp(scheme, "https") == 0 || strcasecmp(scheme, "http") == 0))
		rc = 0;
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(url);
	return rc == 0 ? 0
		       : refuse(problem, m->path,
				 "must be a whole address in quotes, like "
				 "\"https://shop.example/hooks\"");
}

static int add_secret(const struct item *m, struct hw_slice text, char kind,
	struct webhook_settings *out, struct hw_problem *problem)
{
	if (out->n_secrets == WEBHOOK_SECRETS_MAX)
		return refuse(problem, m->path, "more than %d secrets", WEBHOOK_SECRETS_MAX);
	if (kind != 's' || !sign_secret_parse(text, &out->secrets[out->n_secrets]))
		return refuse(problem, m->path,
			"must be \"whsec_\" and %d to %d bytes in base64, as \"echo "
			"whsec_$(openssl "
			"rand -base64 32)\" makes it, or an array of such",
			SIGN_SECRET_MIN, SIGN_SECRET_MAX);
	out->n_secrets++;
	return 0;
}

static int read_secret(const struct hw_host *host, const struct item *m,
	struct webhook_settings *out, struct hw_problem *problem)
{
	struct hw_slice none, text;
	size_t position = 0;
	char scratch[256], kind;
	int rc = 0;

	if (m->kind != 'a')
		return add_secret(m, m->value, m->kind, out, problem);
	while (rc == 0 && (rc = host->json_next(m->value, &position, &none, &kind, &text, scratch,
				   sizeof(scratch))) == 0)
		rc = add_secret(m, text, kind, out, problem);
	explicit_bzero(scratch, sizeof(scratch));
	if (rc > 0 && out->n_secrets > 0)
		return 0;
	/* nothing, or too long for one */
	return problem->text[0] ? -1 : add_secret(m, (struct hw_slice){NULL, 0}, 'z', out, problem);
}

static unsigned kind_bit(struct hw_slice name)
{
	static const char *const names[] = {[HW_ON_CONNECT] = "connect",
		[HW_ON_DISCONNECT] = "disconnect",
		[HW_ON_OCCUPIED] = "occupied",
		[HW_ON_VACATED] = "vacated",
		[HW_ON_PUBLISH] = "publish"};

	for (unsigned i = 0; i < COUNT(names); i++)
		if (is(name, names[i]))
			return 1u << i;
	return 0;
}

static int read_events(const struct hw_host *host, const struct item *m,
	struct webhook_settings *out, struct hw_problem *problem)
{
	struct hw_slice none, text;
	size_t position = 0;
	char scratch[64], kind;
	int rc = 0;

	out->kinds = 0;
	while (m->kind == 'a' && (rc = host->json_next(m->value, &position, &none, &kind, &text,
					  scratch, sizeof(scratch))) == 0) {
		unsigned bit = kind == 's' ? kind_bit(text) : 0;

		if (!bit)
			break;
		out->kinds |= bit;
	}
	return rc > 0 && out->kinds ? 0
				    : refuse(problem, m->path,
					      "must be an array of \"connect\", \"disconnect\", "
					      "\"occupied\", \"vacated\" and \"publish\", or some "
					      "of them");
}

/* "resource:id" or "resource:*", as the broker's topics are. */
static bool is_pattern(struct hw_slice s)
{
	const char *colon = s.len <= TOPIC_MAX ? memchr(s.p, ':', s.len) : NULL;

	if (!colon || colon == s.p || s.p[0] < 'a' || s.p[0] > 'z' || colon + 1 == s.p + s.len)
		return false;
	for (const char *p = s.p; p < s.p + s.len; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-';

		if (!plain && p != colon && !(*p == '*' && p == colon + 1 && p + 1 == s.p + s.len))
			return false;
	}
	return true;
}

static int add_topic(
	struct webhook_settings *out, struct hw_slice topic, struct hw_problem *problem)
{
	char **topics = realloc(out->topics, (out->n_topics + 1) * sizeof(*topics));

	if (topics)
		out->topics = topics;
	if (topics)
		topics[out->n_topics] = strndup(topic.p, topic.len);
	if (!topics || !topics[out->n_topics])
		return refuse(problem, "", "out of memory");
	out->n_topics++;
	return 0;
}

static int read_topics(const struct hw_host *host, const struct item *m,
	struct webhook_settings *out, struct hw_problem *problem)
{
	struct hw_slice none, text;
	size_t position = 0;
	char scratch[TOPIC_MAX + 1], kind;
	int rc = 0;

	while (m->kind == 'a' && (rc = host->json_next(m->value, &position, &none, &kind, &text,
					  scratch, sizeof(scratch))) == 0) {
		if (kind != 's' || !is_pattern(text))
			break;
		if (out->n_topics == WEBHOOK_TOPICS_MAX)
			return refuse(problem, m->path, "more than %d topics", WEBHOOK_TOPICS_MAX);
		if (add_topic(out, text, problem) < 0)
			return -1;
	}
	return rc > 0 && out->n_topics > 0
		       ? 0
		       : refuse(problem, m->path,
				 "must be an array of topics, like \"gift-list:family-1\", or of "
				 "all of a resource, \"gift-list:*\"");
}

static int read_number(
	const struct item *m, int64_t least, int64_t most, int64_t *out, struct hw_problem *problem)
{
	int64_t n = 0;
	size_t i = 0;

	while (m->kind == 'n' && i < m->value.len && i < 10 && m->value.p[i] >= '0' &&
		m->value.p[i] <= '9')
		n = 10 * n + (m->value.p[i++] - '0');
	if (i == 0 || i < m->value.len || n < least || n > most)
		return refuse(problem, m->path, "must be a whole number, %" PRId64 " to %" PRId64,
			least, most);
	*out = n;
	return 0;
}

static int read_member(const struct hw_host *host, const struct item *m,
	struct webhook_settings *out, struct hw_problem *problem)
{
	const struct {
		const char *name;
		int64_t least, most, *to;
	} numbers[] = {{"timeout_ms", 100, 60000, &out->timeout_ms},
		{"attempts", 1, 20, &out->attempts}, {"retry_ms", 10, 600000, &out->retry_ms},
		{"retry_max_ms", 10, 86400000, &out->retry_max_ms},
		{"queue", 1, 1000000, &out->queue},
		{"queue_bytes", 65536, 1 << 30, &out->queue_bytes},
		{"concurrency", 1, 64, &out->concurrency}, {"close_ms", 0, 10000, &out->close_ms}};

	if (is(m->key, "url"))
		return read_url(m, out, problem);
	if (is(m->key, "secret"))
		return read_secret(host, m, out, problem);
	if (is(m->key, "events"))
		return read_events(host, m, out, problem);
	if (is(m->key, "topics"))
		return read_topics(host, m, out, problem);
	for (size_t i = 0; i < COUNT(numbers); i++) {
		if (is(m->key, numbers[i].name))
			return read_number(
				m, numbers[i].least, numbers[i].most, numbers[i].to, problem);
	}
	return refuse(problem, m->path,
		"unknown setting: there are \"url\", \"secret\", \"events\", \"topics\", "
		"\"timeout_ms\", \"attempts\", \"retry_ms\", \"retry_max_ms\", \"queue\", "
		"\"queue_bytes\", \"concurrency\" and \"close_ms\"");
}

/* ---- all of them ---- */

static int read_all(const struct hw_host *host, struct hw_slice config,
	struct webhook_settings *out, struct item *m, struct hw_problem *problem)
{
	size_t position = 0;
	int rc;

	while ((rc = host->json_next(config, &position, &m->key, &m->kind, &m->value, m->scratch,
			sizeof(m->scratch))) == 0) {
		set_path(m);
		if ((is(m->key, "url") && out->url) || (is(m->key, "secret") && out->n_secrets) ||
			(is(m->key, "topics") && out->n_topics))
			return refuse(problem, m->path, "is there twice");
		if (read_member(host, m, out, problem) < 0)
			return -1;
	}
	if (rc < 0)
		return refuse(problem, "", "a name or a text is too long");
	if (!out->url)
		return refuse(problem, "", "there is no \"url\": where are events sent to?");
	if (out->n_secrets == 0)
		return refuse(problem, "",
			"there is no \"secret\": without one, who receives an event cannot know "
			"that it comes from here");
	if (out->retry_max_ms < out->retry_ms)
		return refuse(problem, "/retry_max_ms", "must not be less than \"retry_ms\"");
	return 0;
}

int webhook_settings_read(const struct hw_host *host, struct hw_slice config,
	struct webhook_settings *out, struct hw_problem *problem)
{
	const char *ca_file = getenv("SSL_CERT_FILE");
	struct item m;
	int rc;

	*out = (struct webhook_settings){
		.kinds = 1u << HW_ON_CONNECT | 1u << HW_ON_DISCONNECT,
		.timeout_ms = 10000,
		.attempts = 8,
		.retry_ms = 1000,
		.retry_max_ms = 300000,
		.queue = 10000,
		.queue_bytes = 16 << 20,
		.concurrency = 4,
		.close_ms = 2000,
	};
	problem->text[0] = '\0';
	if (!HW_HOST_HAS(host, hmac_sha256) || !HW_HOST_HAS(host, random))
		return refuse(problem, "", "this plugin needs a newer broker");
	rc = read_all(host, config, out, &m, problem);
	explicit_bzero(m.scratch, sizeof(m.scratch));
	/* as OpenSSL's own programs take it */
	if (rc == 0 && ca_file && ca_file[0]) {
		out->ca_file = strdup(ca_file);
		if (!out->ca_file)
			rc = refuse(problem, "", "out of memory");
	}
	if (rc < 0)
		webhook_settings_fini(out);
	return rc;
}

void webhook_settings_fini(struct webhook_settings *settings)
{
	free(settings->url);
	for (size_t i = 0; i < settings->n_topics; i++)
		free(settings->topics[i]);
	free(settings->topics);
	free(settings->ca_file);
	explicit_bzero(settings, sizeof(*settings));
}

bool webhook_settings_match(
	const struct webhook_settings *settings, struct hw_slice topic, struct hw_slice resource)
{
	for (size_t i = 0; i < settings->n_topics; i++) {
		const char *pattern = settings->topics[i];
		size_t len = strlen(pattern);

		if (is(topic, pattern))
			return true;
		if (pattern[len - 1] == '*' && resource.len == len - 2 &&
			memcmp(resource.p, pattern, resource.len) == 0)
			return true;
	}
	return settings->n_topics == 0;
}
