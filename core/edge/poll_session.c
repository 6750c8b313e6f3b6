#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "edge/poll_internal.h"
#include "hub/seats.h"

enum { POLLER_LINGER_MS = 30000 };

/* ---- topics
 * ----------------------------------------------------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
	const struct hw_str *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int r = memcmp(x->p, y->p, n);

	return r ? r : (x->len > y->len) - (x->len < y->len);
}

void poll_topics_fini(struct poll_topics *t)
{
	free(t->topics);
	t->topics = NULL;
}

bool poll_topics_read(struct exchange *ex, struct poll_topics *out)
{
	struct hw_str rest = exchange_str(ex, ex->topics), topic;
	size_t n = 0, unique = 0;

	out->topics = calloc(rest.len / 2 + 1, sizeof(*out->topics)); /* no more than commas */
	out->n = 0;
	if (!out->topics) {
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
		return false;
	}
	while (rest.p) {
		topic = hw_str_cut(&rest, ',');
		if (topic.len)
			out->topics[n++] = topic;
	}
	qsort(out->topics, n, sizeof(*out->topics), compare);
	for (size_t i = 0; i < n; i++)
		if (!unique || !hw_str_eq(out->topics[i], out->topics[unique - 1]))
			out->topics[unique++] = out->topics[i];
	out->n = unique;
	if (n)
		return true;
	poll_topics_fini(out);
	exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, "topics is missing: which are to be polled?");
	return false;
}

/* ---- names
 * ---------------------------------------------------------------------------------------------------------------------
 */

/* Hooks are told where a client is, and may decide by that: elsewhere it is asked again. */
static void add_place(struct hw_sha256 *sha, const struct exchange *ex)
{
	struct hw_str address = hw_str_of(http_address(ex)), origin = exchange_str(ex, ex->origin);

	hw_sha256_add_field(sha, address.p, address.len);
	hw_sha256_add_field(sha, origin.p ? origin.p : "", origin.len);
}

static void add_topics(struct hw_sha256 *sha, const struct poll_topics *t)
{
	for (size_t i = 0; i < t->n; i++)
		hw_sha256_add_field(sha, t->topics[i].p, t->topics[i].len);
}

static void name_by_token(
	struct exchange *ex, const struct poll_topics *t, uint8_t out[HW_SHA256_LEN])
{
	struct hw_str token = exchange_str(ex, ex->token);
	struct hw_sha256 sha;

	hw_sha256_init(&sha);
	hw_sha256_add_field(&sha, token.p, token.len);
	add_place(&sha, ex);
	add_topics(&sha, t);
	hw_sha256_finish(&sha, out);
}

/* @seat: of the person, who is counted once, also while one token follows another. @key: of all
 * that decides what it may see, so that nobody sees by another's session what he may not. */
static void name_by_identity(const struct exchange *ex, const struct poll_topics *t,
	uint8_t seat[HW_SHA256_LEN], uint8_t key[HW_SHA256_LEN])
{
	const struct hw_identity *id = ex->login.identity;
	struct hw_sha256 sha, all;

	hw_sha256_init(&sha);
	hw_sha256_add_field(&sha, id->tenant_id.p, id->tenant_id.len);
	hw_sha256_add_field(&sha, id->user_id.p, id->user_id.len);
	add_topics(&sha, t);
	all = sha;
	hw_sha256_finish(&sha, seat);
	hw_sha256_add_field(&all, id->claims.p, id->claims.len);
	add_place(&all, ex);
	hw_sha256_finish(&all, key);
}

static struct hw_str key_of(const uint8_t name[HW_SHA256_LEN])
{
	return (struct hw_str){(const char *)name, HW_SHA256_LEN};
}

static void forget_token(struct poller *r)
{
	if (r->has_token)
		hw_map_remove(&r->edge->pollers_by_token, key_of(r->token));
	r->has_token = false;
}

/* The token that came last is known until another comes: mostly there is one. */
static void learn_token(
	struct poller *r, struct exchange *ex, const struct poll_topics *t, int64_t expires_at)
{
	uint8_t name[HW_SHA256_LEN];
	struct poller *other;

	if (!ex->token.there || r->ended)
		return;
	name_by_token(ex, t, name);
	other = hw_map_get(&r->edge->pollers_by_token, key_of(name));
	if (other && other != r)
		forget_token(other); /* the chain calls its owner another now */
	forget_token(r);
	memcpy(r->token, name, sizeof(name));
	r->token_expires_at = expires_at;
	r->has_token = hw_map_put(&r->edge->pollers_by_token, key_of(r->token), r, NULL) == 0;
}

/* ---- its end
 * -------------------------------------------------------------------------------------------------------------------
 */

static void arm_now(struct poller *r)
{
	struct hw_worker *w = r->edge->worker;

	hw_timer_arm(w->timers, &r->timer, hw_worker_now_ms(w));
}

/* Nobody finds it any more; its polls are answered in the next turn, and it goes. */
static void end(struct poller *r, enum hw_code code, struct hw_str message)
{
	if (r->ended)
		return;
	r->ended = true;
	r->end.code = code;
	snprintf(r->end.message, sizeof(r->end.message), "%.*s", HW_STR_ARG(message));
	forget_token(r);
	if (hw_map_get(&r->edge->pollers_by_key, key_of(r->key)) == r)
		hw_map_remove(&r->edge->pollers_by_key, key_of(r->key));
	arm_now(r);
}

static void poller_free(struct poller *r)
{
	end(r, HW_CODE_NONE, HW_STR(""));
	hw_timer_cancel(&r->timer);
	hw_session_destroy(&r->session);
	hw_list_remove(&r->link);
	free(r->topics);
	free(r);
}

static void on_timer(struct hw_timer *timer)
{
	struct poller *r = HW_CONTAINER_OF(timer, struct poller, timer);

	while (!hw_list_empty(&r->polls))
		poll_end(HW_CONTAINER_OF(r->polls.next, struct poll, link));
	poller_free(r);
}

void polls_fini(struct hw_edge *edge)
{
	while (!hw_list_empty(&edge->pollers))
		poller_free(HW_CONTAINER_OF(edge->pollers.next, struct poller, link));
}

/* ---- the session's outlet
 * --------------------------------------------------------------------------------------------------------
 */

/* What is unasked is for who holds a connection; a poll reads on from its cursor. */
static int outlet_message(void *arg, struct hw_str text)
{
	(void)arg;
	(void)text;
	return 0;
}

static int outlet_run(void *arg, const struct hw_run *run, unsigned how)
{
	struct poller *r = arg;

	(void)how;
	hw_list_each (node, &r->polls)
		poll_take(HW_CONTAINER_OF(node, struct poll, link), run);
	return 0;
}

static size_t outlet_queued(void *arg)
{
	(void)arg;
	return 0;
}

static bool outlet_blocked(void *arg)
{
	(void)arg;
	return false;
}

/* The policy has changed, and nothing is to be delivered until it has been asked. */
static uint64_t outlet_drop(void *arg)
{
	struct poller *r = arg;

	hw_list_each (node, &r->polls)
		poll_hold(HW_CONTAINER_OF(node, struct poll, link));
	return 0;
}

/* It is there as long as it is polled. */
static void outlet_ping(void *arg)
{
	(void)arg;
}

static void outlet_pause(void *arg, bool on)
{
	(void)arg;
	(void)on;
}

static void outlet_close(void *arg, uint16_t close_code, struct hw_str reason)
{
	struct poller *r = arg;
	/* 1001: draining, or an operator's "come again" */
	bool friendly = close_code == 1000 || close_code == 1001 || close_code == 0;
	struct hw_str message = reason;

	end(r, friendly ? HW_CODE_NONE : hw_code_of_close(close_code, reason, &message), message);
}

/* One of its topics is refused; the close that follows says less. */
static bool outlet_begin(void *arg, enum hw_code code, struct hw_str message)
{
	if (code != HW_CODE_NONE)
		end(arg, code, message);
	return true;
}

/* It follows all of them. */
static int outlet_place(void *arg, struct hw_str cursor)
{
	struct poller *r = arg;
	struct hw_worker *w = r->edge->worker;

	(void)cursor; /* each poll has its own */
	if (r->open)
		return 0;
	r->open = true;
	hw_list_each (node, &r->polls) {
		struct poll *p = HW_CONTAINER_OF(node, struct poll, link);

		hw_timer_arm(w->timers, &p->timer, hw_worker_now_ms(w));
	}
	return 0;
}

static void outlet_revoked(void *arg, enum hw_code code)
{
	end(arg, code, HW_STR("access to a topic was revoked"));
}

static const struct hw_outlet outlet = {
	.message = outlet_message,
	.run = outlet_run,
	.queued = outlet_queued,
	.blocked = outlet_blocked,
	.drop = outlet_drop,
	.ping = outlet_ping,
	.pause = outlet_pause,
	.close = outlet_close,
	.begin = outlet_begin,
	.place = outlet_place,
	.revoked = outlet_revoked,
};

/* ---- its beginning
 * -----------------------------------------------------------------------------------------------------------
 */

/* Its own copy of the topics. */
static bool copy_topics(struct poller *r, const struct poll_topics *t)
{
	char *p = r->text;

	r->topics = calloc(t->n, sizeof(*r->topics));
	if (!r->topics)
		return false;
	for (size_t i = 0; i < t->n; i++) {
		if (i)
			*p++ = ',';
		memcpy(p, t->topics[i].p, t->topics[i].len);
		r->topics[i] = (struct hw_str){p, t->topics[i].len};
		p += t->topics[i].len;
	}
	*p = '\0';
	r->n_topics = t->n;
	return true;
}

static struct poller *poller_new(
	struct exchange *ex, const struct poll_topics *t, const uint8_t key[HW_SHA256_LEN])
{
	struct hw_edge *edge = http_edge(ex);
	size_t len = 1;
	struct poller *r;

	for (size_t i = 0; i < t->n; i++)
		len += t->topics[i].len + 1;
	r = calloc(1, sizeof(*r) + len);
	if (!r)
		return NULL;
	memcpy(r->key, key, sizeof(r->key));
	if (!copy_topics(r, t) || hw_map_put(&edge->pollers_by_key, key_of(r->key), r, NULL)) {
		free(r->topics);
		free(r);
		return NULL;
	}
	r->edge = edge;
	hw_list_init(&r->polls);
	hw_timer_init(&r->timer, on_timer);
	hw_list_push(&edge->pollers, &r->link);
	return r;
}

/* The login is allowed: it becomes the session. */
static void open_session(struct poller *r, struct exchange *ex, const struct hw_seat_name *seat)
{
	struct hw_session_open open = {
		.outlet = &outlet,
		.arg = r,
		.only_query = true,
		.transport = ex->route->transport,
		.address = hw_str_of(http_address(ex)),
		.origin = exchange_str(ex, ex->origin),
		.path = hw_str_of(ex->route->path),
		.login = &ex->login,
		.topics = hw_str_of(r->text),
		.seat = seat,
	};

	r->session = hw_session_create(r->edge->worker, &open);
	if (!r->session)
		end(r, HW_CODE_UNAVAILABLE, HW_STR("out of memory"));
}

struct poller *poller_of_token(struct exchange *ex, const struct poll_topics *t)
{
	struct hw_edge *edge = http_edge(ex);
	uint8_t name[HW_SHA256_LEN];
	struct poller *r;

	name_by_token(ex, t, name);
	r = hw_map_get(&edge->pollers_by_token, key_of(name));
	if (!r || (r->token_expires_at &&
			  r->token_expires_at <= hw_worker_wall_ms(edge->worker) / 1000))
		return NULL; /* who has expired is told so by who decides it */
	return r;
}

struct poller *poller_get(struct exchange *ex, const struct poll_topics *t)
{
	int64_t expires_at = ex->login.identity->expires_at;
	struct hw_seat_name seat = {.n_subscriptions = (uint32_t)t->n};
	uint8_t key[HW_SHA256_LEN];
	struct poller *r;

	name_by_identity(ex, t, seat.key, key);
	r = hw_map_get(&http_edge(ex)->pollers_by_key, key_of(key));
	if (r) {
		hw_session_extend(r->session, ex->login.identity);
	} else {
		r = poller_new(ex, t, key);
		if (r)
			open_session(r, ex, &seat);
	}
	if (r)
		learn_token(r, ex, t, expires_at);
	return r;
}

void poller_join(struct poller *r, struct poll *p)
{
	p->poller = r;
	hw_list_push(&r->polls, &p->link);
	if (!r->ended)
		hw_timer_cancel(&r->timer);
}

void poller_leave(struct poll *p)
{
	struct poller *r = p->poller;

	p->poller = NULL;
	if (!r)
		return;
	hw_list_remove(&p->link);
	if (hw_list_empty(&r->polls) && !r->ended)
		hw_timer_arm(r->edge->worker->timers, &r->timer,
			hw_worker_now_ms(r->edge->worker) + POLLER_LINGER_MS);
}
