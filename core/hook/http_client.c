#include "hook/http_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "base/trust.h"

#define KEPT_CONNECTIONS 64L /* idle ones, of a worker */

struct hw_http_client {
	struct hw_poller *poller;
	CURLM *multi;
	struct hw_timer timer; /* curl's; its alone: it tells only of changes */
	struct hw_timer start; /* armed: a queued one may start */
	struct hw_list queued, resolving, active;
	size_t n_requests;
	unsigned n_resolving;
	bool any_lost; /* struct hw_http_request.lost_socket */
	struct hw_trust *trust;
	int64_t (*stub)(void *arg, const struct hw_http_spec *spec, struct hw_http_request *r);
	void *stub_arg;
};

/* A socket of curl's. */
struct watch {
	struct hw_poll poll;
	struct hw_http_client *client;
};

/* ---- the life of a request ---- */

static void request_free(struct hw_http_request *r)
{
	hw_timer_cancel(&r->timeout);
	hw_list_remove(&r->link);
	if (r->resolving)
		r->client->n_resolving--;
	r->client->n_requests--;
	curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->header_list);
	hw_buf_fini(&r->head);
	hw_buf_fini(&r->body);
	if (r->spec.memory)
		hw_quota_release(r->spec.memory, r->charged);
	free(r->method);
	free(r->url);
	free(r->sent);
	free(r);
}

/* Out of curl's hands: with QUICK_EXIT it waits for no resolve. */
static void deactivate(struct hw_http_request *r)
{
	if (r->active)
		curl_multi_remove_handle(r->client->multi, r->easy);
	r->active = false;
	hw_list_remove(&r->link);
}

static void kick(struct hw_http_client *client)
{
	if (!hw_list_empty(&client->queued) && !hw_timer_armed(&client->start))
		hw_timer_arm(client->poller->timers, &client->start,
			hw_clock_mono_ms(client->poller->clock));
}

/* Its name is known now, or will not be. */
static void resolved(struct hw_http_request *r)
{
	if (!r->resolving)
		return;
	r->resolving = false;
	r->client->n_resolving--;
	hw_list_remove(&r->link);
	hw_list_push(&r->client->active, &r->link);
}

void hw_http_request_destroy(struct hw_http_request **request)
{
	struct hw_http_request *r = *request;
	struct hw_http_client *client;

	if (!r)
		return;
	*request = NULL;
	client = r->client;
	r->spec.done = NULL;
	hw_timer_cancel(&r->timeout);
	if (r->spec.memory)
		hw_quota_release(r->spec.memory, r->charged);
	r->spec.memory = NULL;
	if (r->resolving)
		return; /* on_socket or its end frees it */
	deactivate(r);
	request_free(r);
	kick(client);
}

static void finish(struct hw_http_request *r)
{
	bool again = r->over;

	hw_timer_cancel(&r->timeout);
	resolved(r);
	deactivate(r);
	r->over = true;
	if (!r->spec.done)
		request_free(r);
	else if (!again)
		r->spec.done(r, r->spec.arg);
}

static void on_timeout(struct hw_timer *timer)
{
	struct hw_http_request *r = HW_CONTAINER_OF(timer, struct hw_http_request, timeout);
	struct hw_http_client *client = r->client;

	snprintf(r->reason, sizeof(r->reason), "no answer within %lld ms%s",
		(long long)r->spec.timeout_ms,
		r->resolving ? ": the host's name is not resolved"
		: !r->active ? ": other names are being resolved"
			     : "");
	r->error = r->reason;
	r->over = true;
	if (!r->resolving)
		deactivate(r); /* else destroy leaves the resolve to itself */
	r->spec.done(r, r->spec.arg);
	kick(client);
}

/* ---- what curl calls ---- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct hw_http_request *r = arg;

	n *= size;
	if (n > r->spec.max_bytes - r->body.len) {
		r->too_long = true;
		return 0;
	}
	if (r->spec.memory && !hw_quota_charge(r->spec.memory, n)) {
		r->no_memory = true;
		return 0;
	}
	r->charged += n;
	hw_buf_add(&r->body, p, n);
	if (r->body.failed)
		r->no_memory = true;
	return r->body.failed ? 0 : n;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct hw_http_request *r = arg;

	n *= size;
	if (n >= 5 && memcmp(p, "HTTP/", 5) == 0) {
		hw_buf_clear(&r->head); /* what came before belonged to an interim answer */
		return n;
	}
	if (n > HW_HTTP_HEAD_BYTES - r->head.len) {
		r->head_too_long = true;
		return 0;
	}
	if (n > 2 || (n == 2 && p[0] != '\r'))
		hw_buf_add(&r->head, p, n);
	return r->head.failed ? 0 : n;
}

/* The first sign that the name is resolved. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct hw_http_request *r = arg;

	(void)purpose;
	resolved(r);
	if (!r->spec.done)
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* The same on a connection that is there already. */
static int on_connected(void *arg, char *to_ip, char *from_ip, int to_port, int from_port)
{
	struct hw_http_request *r = arg;

	(void)to_ip;
	(void)from_ip;
	(void)to_port;
	(void)from_port;
	resolved(r);
	return r->spec.done ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *arg)
{
	struct hw_http_request *r = arg;

	(void)easy;
	if (r->client->trust)
		r->client->trust->use(r->client->trust, ssl_ctx);
	return CURLE_OK;
}

/* ---- from the loop ---- */

static bool may_resolve(const struct hw_http_client *client, const struct hw_http_request *r)
{
	unsigned n = 0;

	if (client->n_resolving >= HW_HTTP_RESOLVES)
		return false;
	hw_list_each (node, &client->resolving)
		n += HW_CONTAINER_OF(node, struct hw_http_request, link)->spec.owner ==
		     r->spec.owner;
	return n < HW_HTTP_OWNER_RESOLVES;
}

static bool activate(struct hw_http_request *r)
{
	struct hw_http_client *client = r->client;

	hw_list_remove(&r->link);
	hw_list_push(&client->resolving, &r->link);
	r->resolving = true;
	client->n_resolving++;
	r->active = curl_multi_add_handle(client->multi, r->easy) == CURLM_OK;
	if (r->active)
		return true;
	r->error = "out of memory";
	finish(r);
	return false;
}

static void start_queued(struct hw_http_client *client)
{
	hw_list_each_safe (node, &client->queued) {
		struct hw_http_request *r = HW_CONTAINER_OF(node, struct hw_http_request, link);

		if (client->n_resolving >= HW_HTTP_RESOLVES)
			return;
		if (may_resolve(client, r) && !activate(r)) {
			kick(client); /* who was told may have taken the next off the list */
			return;
		}
	}
}

static void conclude(struct hw_http_request *r, CURLcode code)
{
	long status = 0;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	r->status = (unsigned)status;
	if (r->head_too_long) {
		r->error = "the answer's head is longer than 64 KiB";
	} else if (r->too_long || code == CURLE_FILESIZE_EXCEEDED) {
		snprintf(r->reason, sizeof(r->reason), "the answer is longer than %zu bytes",
			r->spec.max_bytes);
		r->error = r->reason;
	} else if (r->no_memory) {
		r->error = "the requests of this policy have no room in its memory";
	} else if (code != CURLE_OK) {
		if (!r->reason[0])
			snprintf(r->reason, sizeof(r->reason), "%s", curl_easy_strerror(code));
		r->error = r->reason;
	}
	finish(r);
}

static void conclude_all(struct hw_http_client *client)
{
	CURLMsg *message;
	int n_left;

	while ((message = curl_multi_info_read(client->multi, &n_left))) {
		struct hw_http_request *r = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &r);
		conclude(r, code);
	}
}

static bool lost_one(struct hw_http_client *client)
{
	bool lost = false;

	if (!client->any_lost)
		return false;
	client->any_lost = false;
	hw_list_each (node, &client->active) {
		struct hw_http_request *r = HW_CONTAINER_OF(node, struct hw_http_request, link);

		lost |= r->lost_socket;
		r->lost_socket = false;
	}
	return lost;
}

/* libcurl 7.88, which is Debian 12's, closes the socket of an address that refuses and waits to be
 * called before it tries the next one. No socket and no timer of it is left that would: so all are
 * looked at. */
static void go_on_elsewhere(struct hw_http_client *client)
{
	int n_running;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	curl_multi_socket_all(client->multi, &n_running);
#pragma GCC diagnostic pop
}

/* What ended by curl's last step, and what may start since. */
static void after_step(struct hw_http_client *client)
{
	conclude_all(client);
	if (lost_one(client)) {
		go_on_elsewhere(client);
		conclude_all(client);
	}
	start_queued(client);
}

static void on_timer(struct hw_timer *timer)
{
	struct hw_http_client *client = HW_CONTAINER_OF(timer, struct hw_http_client, timer);
	int n_running;

	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &n_running);
	after_step(client);
}

static void on_start(struct hw_timer *timer)
{
	start_queued(HW_CONTAINER_OF(timer, struct hw_http_client, start));
}

static void on_ready(struct hw_poll *poll, unsigned what)
{
	struct hw_http_client *client = HW_CONTAINER_OF(poll, struct watch, poll)->client;
	int n_running, events = (what & HW_POLL_READ ? CURL_CSELECT_IN : 0) |
				(what & HW_POLL_WRITE ? CURL_CSELECT_OUT : 0);

	curl_multi_socket_action(client->multi, poll->fd, events, &n_running);
	after_step(client); /* @poll may be gone */
}

static int on_multi_timer(CURLM *multi, long wait_ms, void *arg)
{
	struct hw_http_client *client = arg;

	(void)multi;
	if (wait_ms >= 0)
		hw_timer_arm(client->poller->timers, &client->timer,
			hw_clock_mono_ms(client->poller->clock) + wait_ms);
	else
		hw_timer_cancel(&client->timer);
	return 0;
}

static int on_multi_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct hw_http_client *client = arg;
	struct watch *watch = of_socket;
	unsigned wanted = (what & CURL_POLL_IN ? HW_POLL_READ : 0u) |
			  (what & CURL_POLL_OUT ? HW_POLL_WRITE : 0u);
	struct hw_http_request *r = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &r);
	if (r) { /* else curl's own, for the ends of connections */
		r->lost_socket = what == CURL_POLL_REMOVE;
		client->any_lost |= r->lost_socket;
	}
	if (what == CURL_POLL_REMOVE) {
		if (watch)
			client->poller->watch(client->poller, &watch->poll, 0);
		free(watch);
		return 0;
	}
	if (!watch) {
		watch = calloc(1, sizeof(*watch));
		if (!watch)
			return -1;
		watch->client = client;
		watch->poll.fd = fd;
		watch->poll.ready = on_ready;
		curl_multi_assign(client->multi, fd, watch);
	}
	return client->poller->watch(client->poller, &watch->poll, wanted);
}

/* ---- starting one ---- */

static int add_header(struct hw_http_request *r, const char *line)
{
	struct curl_slist *list = curl_slist_append(r->header_list, line);

	if (!list)
		return -ENOMEM;
	r->header_list = list;
	return 0;
}

static int copy_spec(struct hw_http_request *r, const struct hw_http_spec *spec)
{
	int rc = 0;

	r->spec = *spec;
	r->spec.headers = NULL;
	r->method = strdup(spec->method);
	r->url = strdup(spec->url);
	if (spec->body.p)
		r->sent = hw_str_dup(spec->body);
	if (!r->method || !r->url || (spec->body.p && !r->sent))
		return -ENOMEM;
	for (size_t i = 0; rc == 0 && i < spec->n_headers; i++)
		rc = add_header(r, spec->headers[i]);
	/* no pause before a large body, no type that nobody gave */
	if (rc == 0)
		rc = add_header(r, "Expect:");
	return rc;
}

static bool has_header(const struct hw_http_spec *spec, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < spec->n_headers; i++)
		if (strncasecmp(spec->headers[i], name, len) == 0)
			return true;
	return false;
}

static int set_options(struct hw_http_request *r, const struct hw_http_spec *spec)
{
	CURL *c = r->easy;
	int rc = copy_spec(r, spec);

	if (rc == 0 && spec->body.p && !has_header(spec, "content-type:"))
		rc = add_header(r, "Content-Type:");
	if (rc < 0)
		return rc;
	if (curl_easy_setopt(c, CURLOPT_URL, r->url) != CURLE_OK ||
		curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK)
		return -EINVAL;
	if (strcmp(r->method, "HEAD") == 0)
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else if (spec->body.p) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->sent);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body.len);
	}
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->header_list);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "hookwire/" HW_VERSION);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	/* curl would read its files anew for each connection */
	curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
	curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, r);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)spec->max_bytes);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, r->reason);
	curl_easy_setopt(c, CURLOPT_PRIVATE, r);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, r);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, r);
	curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(c, CURLOPT_PREREQDATA, r);
	return 0;
}

static void on_stubbed(struct hw_timer *timer)
{
	finish(HW_CONTAINER_OF(timer, struct hw_http_request, timeout));
}

static void ask_stub(struct hw_http_request *r, const struct hw_http_spec *spec)
{
	struct hw_http_client *client = r->client;
	int64_t delay_ms = client->stub(client->stub_arg, spec, r);

	if (delay_ms >= spec->timeout_ms) {
		delay_ms = spec->timeout_ms;
		snprintf(r->reason, sizeof(r->reason), "no answer within %lld ms",
			(long long)spec->timeout_ms);
		r->error = r->reason;
	}
	if (!r->error && r->body.len > spec->max_bytes) {
		snprintf(r->reason, sizeof(r->reason), "the answer is longer than %zu bytes",
			spec->max_bytes);
		r->error = r->reason;
	}
	hw_timer_init(&r->timeout, on_stubbed);
	hw_timer_arm(client->poller->timers, &r->timeout,
		hw_clock_mono_ms(client->poller->clock) + delay_ms);
}

void hw_http_client_stub(struct hw_http_client *client,
	int64_t (*answer)(
		void *arg, const struct hw_http_spec *spec, struct hw_http_request *request),
	void *arg)
{
	client->stub = answer;
	client->stub_arg = arg;
}

int hw_http_start(struct hw_http_client *client, const struct hw_http_spec *spec,
	struct hw_http_request **out)
{
	struct hw_http_request *r;
	int rc;

	if (client->n_requests >= HW_HTTP_REQUESTS)
		return -EBUSY;
	if (spec->memory && !hw_quota_charge(spec->memory, spec->body.len))
		return -EDQUOT;
	r = calloc(1, sizeof(*r));
	if (!r) {
		if (spec->memory)
			hw_quota_release(spec->memory, spec->body.len);
		return -ENOMEM;
	}
	client->n_requests++;
	r->client = client;
	r->spec.memory = spec->memory;
	r->charged = spec->body.len;
	hw_list_init(&r->link);
	hw_timer_init(&r->timeout, on_timeout);
	hw_buf_init(&r->head);
	hw_buf_init(&r->body);
	r->easy = curl_easy_init();
	rc = r->easy ? set_options(r, spec) : -ENOMEM;
	if (rc < 0) {
		request_free(r);
		return rc;
	}
	*out = r;
	if (client->stub) {
		ask_stub(r, spec);
		return 0;
	}
	hw_list_push(&client->queued, &r->link);
	hw_timer_arm(client->poller->timers, &r->timeout,
		hw_clock_mono_ms(client->poller->clock) + spec->timeout_ms);
	kick(client);
	return 0;
}

/* ---- the client ---- */

const char *hw_http_ca_file(void)
{
	const char *given = getenv("SSL_CERT_FILE");

	return given && *given ? given : curl_version_info(CURLVERSION_NOW)->cainfo;
}

struct hw_http_client *hw_http_client_create(struct hw_poller *poller, struct hw_trust *trust)
{
	struct hw_http_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->trust = trust;
	client->poller = poller;
	hw_list_init(&client->queued);
	hw_list_init(&client->resolving);
	hw_list_init(&client->active);
	hw_timer_init(&client->timer, on_timer);
	hw_timer_init(&client->start, on_start);
	/* counted by curl, and safe from several threads: each client has its own pair */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(client);
		return NULL;
	}
	client->multi = curl_multi_init();
	if (!client->multi) {
		hw_http_client_destroy(&client);
		return NULL;
	}
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_multi_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_multi_timer);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS);
	return client;
}

void hw_http_client_destroy(struct hw_http_client **client)
{
	struct hw_http_client *c = *client;
	struct hw_list *node;

	if (!c)
		return;
	*client = NULL;
	hw_list_splice(&c->active, &c->queued);
	hw_list_splice(&c->active, &c->resolving);
	while ((node = hw_list_pop(&c->active))) {
		struct hw_http_request *r = HW_CONTAINER_OF(node, struct hw_http_request, link);

		deactivate(r);
		request_free(r);
	}
	if (c->multi)
		curl_multi_cleanup(c->multi);
	hw_timer_cancel(&c->timer);
	hw_timer_cancel(&c->start);
	curl_global_cleanup();
	free(c);
}

size_t hw_http_client_count(const struct hw_http_client *client)
{
	return client->n_requests;
}

unsigned hw_http_client_resolves(const struct hw_http_client *client)
{
	return client->n_resolving;
}
