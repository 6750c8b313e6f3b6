#include "sender.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#define ANSWER_MAX 65536 /* bytes of an answer that are read; only its status counts */
#define IDLE_MS 60000    /* how long the thread sleeps when nothing is due */

struct message {
	struct message *next;
	struct sender *sender;
	int64_t due_ms;
	unsigned attempts;
	size_t answer_bytes;
	CURL *easy; /* while it is active */
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	char id[SIGN_ID_SIZE]; /* the same at every attempt, so that receivers know a repetition */
	size_t len;
	char body[];
};

/* In the order in which they came in. */
struct list {
	struct message *first, **end;
};

struct sender {
	const struct hw_host *host;
	const struct webhook_settings *settings;
	CURLM *multi;

	pthread_mutex_t lock; /* guards what follows up to the thread's own */
	struct list pushed;
	int64_t n_messages, n_bytes; /* in all lists: what the queue's limits are about */
	int64_t n_dropped;           /* since the queue was last found to have room */
	bool started, closing;
	pthread_t thread;

	/* the thread's own */
	struct list waiting, active;
	int64_t n_active;
	bool gone; /* it was answered 410: nothing is wanted there any more */
};

/* ---- small things ---- */

static int64_t now_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void list_init(struct list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_add(struct list *list, struct message *m)
{
	m->next = NULL;
	*list->end = m;
	list->end = &m->next;
}

/* Takes out what @at points to, which is in the list. */
static struct message *list_take(struct list *list, struct message **at)
{
	struct message *m = *at;

	*at = m->next;
	if (list->end == &m->next)
		list->end = at;
	return m;
}

static void take_active(struct sender *s, struct message *m)
{
	struct message **at = &s->active.first;

	while (*at != m)
		at = &(*at)->next;
	list_take(&s->active, at);
	s->n_active--;
}

__attribute__((format(printf, 3, 4))) static void say(
	struct sender *s, enum hw_log_severity severity, const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0)
		return;
	s->host->log(s->host, severity,
		(struct hw_slice){text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1});
}

static void count(struct sender *s, const char *name, int64_t n)
{
	s->host->metric(s->host, name, n);
}

/* ---- one attempt ---- */

static void forget_transfer(struct message *m)
{
	if (!m->easy)
		return;
	curl_multi_remove_handle(m->sender->multi, m->easy);
	curl_easy_cleanup(m->easy);
	curl_slist_free_all(m->headers);
	m->easy = NULL;
	m->headers = NULL;
}

static void message_free(struct message *m)
{
	struct sender *s = m->sender;
	int64_t len = (int64_t)m->len;

	forget_transfer(m);
	free(m);
	pthread_mutex_lock(&s->lock);
	s->n_messages--;
	s->n_bytes -= len;
	pthread_mutex_unlock(&s->lock);
}

static size_t on_answer(char *p, size_t size, size_t n, void *arg)
{
	struct message *m = arg;

	(void)p;
	m->answer_bytes += size * n;
	return m->answer_bytes <= ANSWER_MAX ? size * n : 0;
}

__attribute__((format(printf, 2, 3))) static bool add_header(
	struct message *m, const char *format, ...)
{
	char line[64 + WEBHOOK_SECRETS_MAX * SIGN_SIGNATURE_SIZE];
	struct curl_slist *list;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	list = curl_slist_append(m->headers, line);
	if (list)
		m->headers = list;
	return list != NULL;
}

/* The time of the attempt is signed with the rest, so that nobody can send it again much later. */
static bool add_headers(struct sender *s, struct message *m)
{
	char signatures[WEBHOOK_SECRETS_MAX * SIGN_SIGNATURE_SIZE], trace[SIGN_TRACE_SIZE];
	int64_t now_s = now_ms(CLOCK_REALTIME) / 1000;
	size_t n = 0;

	for (size_t i = 0; i < s->settings->n_secrets; i++) {
		char one[SIGN_SIGNATURE_SIZE];

		if (!sign_message(s->host, &s->settings->secrets[i], m->id, now_s,
			    (struct hw_slice){m->body, m->len}, one))
			return false;
		n += (size_t)snprintf(
			signatures + n, sizeof(signatures) - n, "%s%s", i ? " " : "", one);
	}
	if (sign_trace(s->host, (struct hw_slice){m->body, m->len}, trace) &&
		!add_header(m, "traceparent: %s", trace))
		return false;
	return add_header(m, "Content-Type: application/json") && add_header(m, "Expect:") &&
	       add_header(m, "webhook-id: %s", m->id) &&
	       add_header(m, "webhook-timestamp: %" PRId64, now_s) &&
	       add_header(m, "webhook-signature: %s", signatures);
}

static bool set_options(struct sender *s, struct message *m)
{
	const struct webhook_settings *c = s->settings;
	CURL *e = m->easy;

	return curl_easy_setopt(e, CURLOPT_URL, c->url) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       /* a resolver that hangs would hold up the end of the thread */
	       curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms) == CURLE_OK &&
	       (!c->ca_file || curl_easy_setopt(e, CURLOPT_CAINFO, c->ca_file) == CURLE_OK) &&
	       curl_easy_setopt(e, CURLOPT_HTTPHEADER, m->headers) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_USERAGENT, "hookwire-webhook") == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)m->len) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_POSTFIELDS, &m->body[0]) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEDATA, m) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_ERRORBUFFER, m->error) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_PRIVATE, m) == CURLE_OK;
}

static bool begin(struct sender *s, struct message *m)
{
	m->error[0] = '\0';
	m->answer_bytes = 0;
	m->easy = curl_easy_init();
	if (m->easy && add_headers(s, m) && set_options(s, m) &&
		curl_multi_add_handle(s->multi, m->easy) == CURLM_OK)
		return true;
	snprintf(m->error, sizeof(m->error), "out of memory");
	curl_easy_cleanup(m->easy);
	curl_slist_free_all(m->headers);
	m->easy = NULL;
	m->headers = NULL;
	return false;
}

/* ---- what becomes of it ---- */

/* Doubles from attempt to attempt; half of it is chance, so that many brokers do not come back to a
 * receiver at the same moment. What the receiver asked for counts when it is longer. */
static int64_t pause_ms(struct sender *s, unsigned attempts, int64_t asked_ms)
{
	const struct webhook_settings *c = s->settings;
	int64_t pause = c->retry_ms;
	uint32_t chance;

	for (unsigned i = 1; i < attempts && pause < c->retry_max_ms; i++)
		pause *= 2;
	if (pause > c->retry_max_ms)
		pause = c->retry_max_ms;
	s->host->random(&chance, sizeof(chance));
	pause = pause / 2 + (int64_t)(chance % (uint32_t)(pause / 2 + 1));
	if (asked_ms > c->retry_max_ms)
		asked_ms = c->retry_max_ms;
	return pause > asked_ms ? pause : asked_ms;
}

static void failed(struct sender *s, struct message *m, int64_t asked_ms, const char *why)
{
	count(s, "webhook_failed", 1);
	if (m->attempts >= s->settings->attempts) {
		count(s, "webhook_given_up", 1);
		say(s, HW_PLUGIN_ERROR, "%s is given up after %u attempts: %s", m->id, m->attempts,
			why);
		message_free(m);
		return;
	}
	say(s, HW_PLUGIN_DEBUG, "%s is tried again: %s", m->id, why);
	m->due_ms = now_ms(CLOCK_MONOTONIC) + pause_ms(s, m->attempts, asked_ms);
	list_add(&s->waiting, m);
}

static void ended(struct sender *s, struct message *m, CURLcode code)
{
	curl_off_t asked_s = 0;
	char why[CURL_ERROR_SIZE + 64];
	long status = 0;

	curl_easy_getinfo(m->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(m->easy, CURLINFO_RETRY_AFTER, &asked_s);
	/* an answer that is longer than it needs to be is an answer */
	if (code == CURLE_WRITE_ERROR && m->answer_bytes > ANSWER_MAX)
		code = CURLE_OK;
	if (code == CURLE_OK)
		snprintf(why, sizeof(why), "it was answered %ld", status);
	else
		snprintf(why, sizeof(why), "%s", m->error[0] ? m->error : curl_easy_strerror(code));
	forget_transfer(m);
	take_active(s, m);
	if (code == CURLE_OK && status >= 200 && status < 300) {
		count(s, "webhook_delivered", 1);
		message_free(m);
		return;
	}
	if (code == CURLE_OK && status == 410 && !s->gone) {
		s->gone = true;
		say(s, HW_PLUGIN_ERROR,
			"the receiver wants no more (410): nothing is sent until the entry "
			"changes");
	}
	failed(s, m, asked_s > 0 && asked_s < 86400 ? (int64_t)asked_s * 1000 : 0, why);
}

/* ---- the thread ---- */

static void drop_all(struct sender *s, struct list *list)
{
	int64_t n = 0;

	while (list->first) {
		message_free(list_take(list, &list->first));
		n++;
	}
	if (n > 0)
		count(s, "webhook_dropped", n);
}

/* True: the plugin is being unloaded. */
static bool take_pushed(struct sender *s)
{
	bool closing;

	pthread_mutex_lock(&s->lock);
	if (s->pushed.first) {
		*s->waiting.end = s->pushed.first;
		s->waiting.end = s->pushed.end;
		list_init(&s->pushed);
	}
	closing = s->closing;
	pthread_mutex_unlock(&s->lock);
	return closing;
}

/* Starts what is due. What has failed already is not waited for once @closing. Returns when the
 * next one is due. */
static int64_t begin_due(struct sender *s, bool closing)
{
	int64_t now = now_ms(CLOCK_MONOTONIC), next = now + IDLE_MS;
	struct message **at = &s->waiting.first;

	while (*at && s->n_active < s->settings->concurrency) {
		struct message *m = *at;

		if (closing && m->attempts > 0) {
			count(s, "webhook_dropped", 1);
			message_free(list_take(&s->waiting, at));
			continue;
		}
		if (m->due_ms > now) {
			next = m->due_ms < next ? m->due_ms : next;
			at = &m->next;
			continue;
		}
		list_take(&s->waiting, at);
		m->attempts++;
		if (begin(s, m)) {
			list_add(&s->active, m);
			s->n_active++;
		} else {
			/* behind the others, and later than now: this walk ends */
			failed(s, m, 0, m->error);
		}
	}
	return next;
}

static size_t end_finished(struct sender *s)
{
	CURLMsg *msg;
	size_t n = 0;
	int left;

	while ((msg = curl_multi_info_read(s->multi, &left))) {
		CURLcode code = msg->data.result;
		char *m = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &m);
		ended(s, (struct message *)(void *)m, code);
		n++;
	}
	return n;
}

static void *run(void *arg)
{
	struct sender *s = arg;
	int64_t deadline = INT64_MAX;

	for (;;) {
		bool closing = take_pushed(s);
		int64_t now = now_ms(CLOCK_MONOTONIC), next;
		int running;

		if (closing && deadline == INT64_MAX)
			deadline = now + s->settings->close_ms;
		if (s->gone)
			drop_all(s, &s->waiting);
		next = begin_due(s, closing);
		if (closing && (now >= deadline || (!s->waiting.first && !s->active.first)))
			break;
		curl_multi_perform(s->multi, &running);
		if (end_finished(s) > 0)
			continue; /* places have become free */
		next = next < deadline ? next : deadline;
		now = now_ms(CLOCK_MONOTONIC);
		curl_multi_poll(s->multi, NULL, 0, next > now ? (int)(next - now) : 0, NULL);
	}
	drop_all(s, &s->active);
	drop_all(s, &s->waiting);
	return NULL;
}

/* The broker's signals are its own threads' business. */
static bool start(struct sender *s)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	s->started = pthread_create(&s->thread, NULL, run, s) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (s->started)
		pthread_setname_np(s->thread, "hw-webhook");
	return s->started;
}

/* ---- from outside ---- */

struct sender *sender_create(const struct hw_host *host, const struct webhook_settings *settings)
{
	struct sender *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->multi = curl_multi_init();
	if (!s->multi) {
		free(s);
		return NULL;
	}
	s->host = host;
	s->settings = settings;
	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->pushed);
	list_init(&s->waiting);
	list_init(&s->active);
	return s;
}

static struct message *make_message(struct sender *s, struct hw_slice body)
{
	struct message *m = body.p ? calloc(1, sizeof(*m) + body.len) : NULL;

	if (!m)
		return NULL;
	m->sender = s;
	m->len = body.len;
	memcpy(m->body, body.p, body.len);
	sign_make_id(s->host, m->id);
	return m;
}

void sender_push(struct sender *s, struct hw_slice body)
{
	struct message *m = make_message(s, body);
	bool taken, wake = false;
	int64_t n_dropped;

	pthread_mutex_lock(&s->lock);
	taken = m && s->n_messages < s->settings->queue &&
		s->n_bytes + (int64_t)m->len <= s->settings->queue_bytes &&
		(s->started || start(s));
	if (taken) {
		wake = !s->pushed.first;
		list_add(&s->pushed, m);
		s->n_messages++;
		s->n_bytes += (int64_t)m->len;
		s->n_dropped = 0;
	} else {
		s->n_dropped++;
	}
	n_dropped = s->n_dropped;
	pthread_mutex_unlock(&s->lock);
	if (wake)
		curl_multi_wakeup(s->multi);
	if (taken)
		return;
	free(m);
	count(s, "webhook_dropped", 1);
	if (n_dropped == 1) /* once, until one fits again */
		say(s, HW_PLUGIN_ERROR,
			"an event is dropped: the queue is full, or memory is short");
}

void sender_destroy(struct sender **sender)
{
	struct sender *s = *sender;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_mutex_unlock(&s->lock);
	if (s->started) {
		curl_multi_wakeup(s->multi);
		pthread_join(s->thread, NULL);
	}
	curl_multi_cleanup(s->multi);
	pthread_mutex_destroy(&s->lock);
	free(s);
	*sender = NULL;
}
