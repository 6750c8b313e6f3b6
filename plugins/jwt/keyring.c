#include "keyring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fetch.h"

#define WAITERS_MAX 256 /* of a source */
#define TOKEN_MAX 8192  /* longer ones are refused anyway */
#define NAME_MAX_BYTES 1024
#define BACK_OFF_MS 1000
#define BACK_OFF_MAX_MS 300000
#define LOOK_AGAIN_MS 100 /* while a fetch is on its way */

struct keyset {
	unsigned n_refs; /* under the ring's lock */
	struct hw_jwt_keys *keys;
};

struct waiter {
	struct waiter *next;
	uint64_t ticket;
	size_t len;
	char token[];
};

struct source {
	const struct jwt_source *spec;
	char *doc; /* the last good one; NULL: there was none */
	size_t len;
	int64_t next_ms; /* the earliest moment of the next fetch */
	int64_t old_ms;  /* from then on it should be fetched again */
	unsigned failures;
	bool in_flight;
	struct waiter *waiters;
	size_t n_waiters;
};

struct keyring {
	const struct hw_host *host;
	const struct jwt_settings *settings;
	keyring_retry *retry;
	void *arg;
	_Atomic uint64_t generation;
	_Atomic int64_t look_ms; /* before then keyring_refresh has nothing to do */
	pthread_mutex_t build;   /* one set is made at a time; taken before lock */
	pthread_mutex_t lock;    /* guards what follows */
	struct keyset *current;  /* NULL: no keys at all yet */
	struct source sources[];
};

/* One fetch on its way. */
struct job {
	struct keyring *ring;
	struct source *source;
	bool ran;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the set ---- */

static void drop(struct keyring *ring, struct keyset *set)
{
	bool last;

	if (!set)
		return;
	pthread_mutex_lock(&ring->lock);
	last = --set->n_refs == 0;
	pthread_mutex_unlock(&ring->lock);
	if (!last)
		return;
	ring->host->jwt_keys_destroy(&set->keys);
	free(set);
}

int keyring_verify(struct keyring *ring, struct hw_slice token, const struct hw_jwt_rules *rules,
	int64_t now, struct hw_jwt_result *result)
{
	struct keyset *set;
	int rc;

	pthread_mutex_lock(&ring->lock);
	set = ring->current;
	if (set)
		set->n_refs++;
	pthread_mutex_unlock(&ring->lock);
	if (!set) {
		result->expired = 0;
		snprintf(result->reason, sizeof(result->reason),
			"no key is known for the token's issuer and kid");
		return 1;
	}
	rc = ring->host->jwt_verify(set->keys, token, rules, now, result);
	drop(ring, set);
	return rc;
}

uint64_t keyring_generation(struct keyring *ring)
{
	return atomic_load_explicit(&ring->generation, memory_order_acquire);
}

struct text {
	char *p;
	size_t len, size;
	bool failed;
};

static void add(struct text *t, const char *p, size_t len)
{
	if (t->failed)
		return;
	if (len > t->size - t->len) {
		size_t size = 2 * (t->len + len) + 1024;
		char *grown = realloc(t->p, size);

		if (!grown) {
			t->failed = true;
			return;
		}
		t->p = grown;
		t->size = size;
	}
	memcpy(t->p + t->len, p, len);
	t->len += len;
}

/* As a JSON text, whatever it is: what was fetched cannot end it and go on as settings. */
static void add_member(struct text *t, const char *name, const char *value, size_t len)
{
	add(t, name, strlen(name));
	add(t, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];
		char escaped[8];

		if (c >= 0x20 && c != '"' && c != '\\') {
			add(t, &value[i], 1);
			continue;
		}
		snprintf(escaped, sizeof(escaped), "\\u%04x", c);
		add(t, escaped, 6);
	}
	add(t, "\"", 1);
}

/* All keys, as settings have them; @doc stands for the document of @fresh. */
static void write_settings(struct keyring *ring, const struct source *fresh, const char *doc,
	size_t len, struct text *t)
{
	const char *items = ring->settings->items;

	add(t, "[", 1);
	add(t, items, strlen(items));
	for (size_t i = 0; i < ring->settings->n_sources; i++) {
		const struct source *s = &ring->sources[i];
		const char *alg = s->spec->alg;

		if (s != fresh && !s->doc)
			continue;
		if (t->len > 1)
			add(t, ",", 1);
		add_member(t, "{\"iss\":", s->spec->iss, strlen(s->spec->iss));
		if (alg)
			add_member(t, ",\"alg\":", alg, strlen(alg));
		add_member(t, ",\"jwks\":", s == fresh ? doc : s->doc, s == fresh ? len : s->len);
		add(t, "}", 1);
	}
	add(t, "]", 1);
}

static struct keyset *make_set(struct keyring *ring, const struct source *fresh, const char *doc,
	size_t len, char error[FETCH_ERROR_SIZE])
{
	struct keyset *set = calloc(1, sizeof(*set));
	struct hw_problem problem = {"", ""};
	struct text t = {NULL, 0, 0, false};
	int rc = -1;

	write_settings(ring, fresh, doc, len, &t);
	snprintf(problem.text, sizeof(problem.text), "out of memory");
	if (set && !t.failed)
		rc = ring->host->jwt_keys_create(
			ring->host, (struct hw_slice){t.p, t.len}, &set->keys, &problem);
	free(t.p);
	if (rc == 0) {
		set->n_refs = 1;
		return set;
	}
	snprintf(error, FETCH_ERROR_SIZE, "%.200s", problem.text);
	free(set);
	return NULL;
}

/* ---- a fetch ends ---- */

static int64_t back_off_ms(struct keyring *ring, unsigned failures)
{
	int64_t pause = BACK_OFF_MS;
	uint32_t chance;

	for (unsigned i = 1; i < failures && pause < BACK_OFF_MAX_MS; i++)
		pause *= 2;
	if (pause > BACK_OFF_MAX_MS)
		pause = BACK_OFF_MAX_MS;
	ring->host->random(&chance, sizeof(chance));
	return pause / 2 + (int64_t)(chance % (uint32_t)(pause / 2 + 1));
}

/* Under the lock: what the source is after a fetch, and who waited for it. */
static struct waiter *settle(struct keyring *ring, struct source *s, bool good)
{
	struct waiter *waiters = s->waiters;
	int64_t now = now_ms();

	s->in_flight = false;
	s->waiters = NULL;
	s->n_waiters = 0;
	s->failures = good ? 0 : s->failures + 1;
	s->next_ms =
		now + (good ? ring->settings->refetch_s * 1000 : back_off_ms(ring, s->failures));
	if (good)
		s->old_ms = now + ring->settings->max_age_s * 1000;
	atomic_store(&ring->look_ms, 0);
	return waiters;
}

static void answer_all(struct keyring *ring, struct waiter *w, bool fetched)
{
	struct waiter *next;

	for (; w; w = next) {
		next = w->next;
		ring->retry(ring->arg, w->ticket, (struct hw_slice){w->token, w->len}, fetched);
		free(w);
	}
}

static void log_failure(struct keyring *ring, const struct source *s, const char *error)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "the keys of %.120s cannot be fetched: %s",
		s->spec->iss, error);

	ring->host->log(ring->host, HW_PLUGIN_WARN, (struct hw_slice){text, (size_t)n});
	ring->host->metric(ring->host, "jwt_fetch_failed", 1);
}

/* Takes @doc, which is NULL when there is none. */
static void install(
	struct keyring *ring, struct source *s, char *doc, size_t len, char error[FETCH_ERROR_SIZE])
{
	struct keyset *set, *former = NULL;
	struct waiter *waiters;
	char *old = doc;

	pthread_mutex_lock(&ring->build);
	set = doc ? make_set(ring, s, doc, len, error) : NULL;
	pthread_mutex_lock(&ring->lock);
	if (set) {
		former = ring->current;
		ring->current = set;
		old = s->doc;
		s->doc = doc;
		s->len = len;
		atomic_fetch_add(&ring->generation, 1);
	}
	waiters = settle(ring, s, set != NULL);
	pthread_mutex_unlock(&ring->lock);
	pthread_mutex_unlock(&ring->build);
	free(old);
	drop(ring, former);
	if (set)
		ring->host->metric(ring->host, "jwt_fetched", 1);
	else
		log_failure(ring, s, error);
	answer_all(ring, waiters, set != NULL);
}

/* ---- a fetch begins ---- */

static void work(const struct hw_host *host, void *instance, void *arg)
{
	struct job *job = arg;
	char error[FETCH_ERROR_SIZE] = "", *doc = NULL;
	size_t len = 0;

	(void)host;
	(void)instance;
	job->ran = true;
	if (fetch_document(job->source->spec->url, &doc, &len, error) < 0)
		doc = NULL;
	install(job->ring, job->source, doc, len, error);
}

static void abandon(struct keyring *ring, struct source *s)
{
	struct waiter *waiters;

	pthread_mutex_lock(&ring->lock);
	waiters = settle(ring, s, false);
	pthread_mutex_unlock(&ring->lock);
	answer_all(ring, waiters, false);
}

static void done(struct hw_call *call, void *arg)
{
	struct job *job = arg;

	(void)call;
	if (!job->ran)
		abandon(job->ring, job->source);
	free(job);
}

/* The source is marked as in flight already. */
static void start(struct keyring *ring, struct source *s, struct hw_call *call)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job) {
		job->ring = ring;
		job->source = s;
		if (call->host->offload(call, work, done, job) == 0)
			return;
	}
	free(job);
	abandon(ring, s);
}

void keyring_refresh(struct keyring *ring, struct hw_call *call)
{
	int64_t now = now_ms(), look = INT64_MAX;

	if (now < atomic_load_explicit(&ring->look_ms, memory_order_relaxed))
		return;
	for (size_t i = 0; i < ring->settings->n_sources; i++) {
		struct source *s = &ring->sources[i];
		int64_t due;
		bool begin;

		pthread_mutex_lock(&ring->lock);
		due = s->next_ms > s->old_ms ? s->next_ms : s->old_ms;
		begin = !s->in_flight && now >= due;
		if (begin)
			s->in_flight = true;
		if (s->in_flight)
			due = now + LOOK_AGAIN_MS;
		look = due < look ? due : look;
		pthread_mutex_unlock(&ring->lock);
		if (begin)
			start(ring, s, call);
	}
	/* a fetch that ends sets it back */
	atomic_store(&ring->look_ms, look);
}

/* ---- what a token says, before it is believed ---- */

/* Without padding, as tokens are. NULL: it is not base64url, or memory is short. */
static char *decode(struct hw_slice text, size_t *len)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char *out = malloc(text.len + 1);
	unsigned n_bits = 0;
	uint32_t bits = 0;

	*len = 0;
	for (size_t i = 0; out && i < text.len; i++) {
		const char *at = text.p[i] ? strchr(letters, text.p[i]) : NULL;

		if (!at) {
			free(out);
			return NULL;
		}
		bits = bits << 6 | (uint32_t)(at - letters);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			out[(*len)++] = (char)(bits >> n_bits);
		}
	}
	return out;
}

/* A text of an object in base64url; *out is zero-terminated, "" when there is none. */
static bool find_name(const struct hw_host *host, struct hw_slice part, const char *name,
	char out[NAME_MAX_BYTES])
{
	struct hw_slice value;
	char scratch[NAME_MAX_BYTES], kind;
	size_t len;
	char *json = decode(part, &len);
	int rc;

	if (!json)
		return false;
	out[0] = '\0';
	rc = host->json_get(
		(struct hw_slice){json, len}, name, &kind, &value, scratch, sizeof(scratch));
	if (rc == 0 && kind == 's' && value.len < NAME_MAX_BYTES) {
		memcpy(out, value.p, value.len);
		out[value.len] = '\0';
	}
	free(json);
	return rc >= 0;
}

static bool read_names(const struct hw_host *host, struct hw_slice token, char iss[NAME_MAX_BYTES],
	char kid[NAME_MAX_BYTES])
{
	const char *first, *second;

	if (token.len > TOKEN_MAX)
		return false;
	first = memchr(token.p, '.', token.len);
	if (!first)
		return false;
	second = memchr(first + 1, '.', (size_t)(token.p + token.len - first - 1));
	return second &&
	       find_name(host, (struct hw_slice){token.p, (size_t)(first - token.p)}, "kid", kid) &&
	       find_name(host, (struct hw_slice){first + 1, (size_t)(second - first - 1)}, "iss",
		       iss);
}

static bool has_kid(const struct hw_host *host, const struct source *s, const char *kid)
{
	struct hw_slice list, none, jwk, value;
	char scratch[NAME_MAX_BYTES], kind;
	size_t position = 0;

	if (host->json_get((struct hw_slice){s->doc, s->len}, "keys", &kind, &list, NULL, 0) != 0 ||
		kind != 'a')
		return false;
	while (host->json_next(list, &position, &none, &kind, &jwk, scratch, sizeof(scratch)) ==
		0) {
		if (kind == 'o' &&
			host->json_get(jwk, "kid", &kind, &value, scratch, sizeof(scratch)) == 0 &&
			kind == 's' && value.len == strlen(kid) &&
			memcmp(value.p, kid, value.len) == 0)
			return true;
	}
	return false;
}

/* ---- who waits ---- */

static enum keyring_answer add_waiter(struct source *s, struct hw_call *call, struct hw_slice token)
{
	struct waiter *w;

	if (s->n_waiters == WAITERS_MAX)
		return KEYRING_UNAVAILABLE;
	w = malloc(sizeof(*w) + token.len);
	if (!w)
		return KEYRING_UNAVAILABLE;
	w->ticket = call->host->suspend(call, 0);
	if (w->ticket == 0) {
		free(w);
		return KEYRING_UNAVAILABLE;
	}
	w->len = token.len;
	memcpy(w->token, token.p, token.len);
	w->next = s->waiters;
	s->waiters = w;
	s->n_waiters++;
	return KEYRING_WAITS;
}

/* Under the lock. *begin: a fetch is to be started. */
static enum keyring_answer ask_source(struct keyring *ring, struct source *s, struct hw_call *call,
	struct hw_slice token, const char *kid, bool *begin)
{
	enum keyring_answer answer;

	if (s->doc && (!kid[0] || has_kid(ring->host, s, kid)))
		return KEYRING_KNOWN;
	/* an unknown kid is cheap to make up: so seldom is it worth a fetch */
	if (!s->in_flight && now_ms() < s->next_ms)
		return s->doc && s->failures == 0 ? KEYRING_KNOWN : KEYRING_UNAVAILABLE;
	answer = add_waiter(s, call, token);
	if (answer == KEYRING_WAITS && !s->in_flight)
		*begin = s->in_flight = true;
	return answer;
}

enum keyring_answer keyring_ask(struct keyring *ring, struct hw_call *call, struct hw_slice token)
{
	char iss[NAME_MAX_BYTES], kid[NAME_MAX_BYTES];
	enum keyring_answer answer;
	struct source *s = NULL;
	bool begin = false;

	if (!read_names(ring->host, token, iss, kid))
		return KEYRING_KNOWN;
	for (size_t i = 0; i < ring->settings->n_sources; i++) {
		if (strcmp(ring->sources[i].spec->iss, iss) == 0)
			s = &ring->sources[i];
	}
	if (!s)
		return KEYRING_KNOWN;
	pthread_mutex_lock(&ring->lock);
	answer = ask_source(ring, s, call, token, kid, &begin);
	pthread_mutex_unlock(&ring->lock);
	if (begin)
		start(ring, s, call);
	return answer;
}

/* ---- life ---- */

struct keyring *keyring_create(const struct hw_host *host, const struct jwt_settings *settings,
	keyring_retry *retry, void *arg)
{
	struct keyring *ring =
		calloc(1, sizeof(*ring) + settings->n_sources * sizeof(ring->sources[0]));
	char error[FETCH_ERROR_SIZE];

	if (!ring)
		return NULL;
	ring->host = host;
	ring->settings = settings;
	ring->retry = retry;
	ring->arg = arg;
	pthread_mutex_init(&ring->build, NULL);
	pthread_mutex_init(&ring->lock, NULL);
	for (size_t i = 0; i < settings->n_sources; i++)
		ring->sources[i].spec = &settings->sources[i];
	if (settings->items[0]) {
		ring->current = make_set(ring, NULL, NULL, 0, error);
		if (!ring->current)
			keyring_destroy(&ring);
	}
	return ring;
}

void keyring_destroy(struct keyring **ring)
{
	struct keyring *r = *ring;

	if (!r)
		return;
	drop(r, r->current);
	for (size_t i = 0; i < r->settings->n_sources; i++)
		free(r->sources[i].doc);
	pthread_mutex_destroy(&r->build);
	pthread_mutex_destroy(&r->lock);
	free(r);
	*ring = NULL;
}
