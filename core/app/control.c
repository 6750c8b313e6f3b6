#include "app/control.h"

#include <errno.h>
#include <stdlib.h>

#include "app/broker.h"
#include "app/explain.h"
#include "app/revoke.h"
#include "app/round.h"
#include "app/sessions.h"
#include "session/session.h"
#include "wire/code.h"

enum { ANSWER_S = 10 };

void hw_broker_ask(void *broker, struct hw_control_request *request)
{
	struct hw_broker *b = broker;

	pthread_mutex_lock(&b->requests_lock);
	hw_list_push(&b->requests, &request->link);
	pthread_mutex_unlock(&b->requests_lock);
	hw_broker_wake(b);
}

/* It is the worker's again, and may be gone. */
static void answer(struct hw_control_request *request, unsigned status)
{
	request->status = status;
	hw_list_remove(&request->link);
	hw_loop_post(request->loop, &request->answered);
}

static void refuse(struct hw_control_request *request, enum hw_code code, const char *why)
{
	hw_code_body(&request->body, code, hw_str_of(why), HW_CONTROL_RETRY_MS);
	answer(request, hw_code_info(code)->http_status);
}

/* ---- reauthorize ---- */

struct reauthorize {
	struct hw_round round;
	/* copies: a worker may come back when the request is answered */
	char *user, *tenant, *topic;
	atomic_size_t n_sessions;
};

static void reauthorize_free(struct hw_round *round)
{
	struct reauthorize *r = HW_CONTAINER_OF(round, struct reauthorize, round);

	free(r->user);
	free(r->tenant);
	free(r->topic);
	free(r);
}

static void run_reauthorize(struct hw_round *round, struct hw_worker_thread *to)
{
	struct reauthorize *r = HW_CONTAINER_OF(round, struct reauthorize, round);
	struct hw_session_match match = {.user = hw_str_of(r->user),
		.tenant = hw_str_of(r->tenant),
		.topic = hw_str_of(r->topic)};

	atomic_fetch_add(&r->n_sessions, hw_sessions_reauthorize(&to->worker, &match));
	hw_round_done(round);
}

static void reauthorize(struct hw_broker *b, struct hw_control_request *request)
{
	struct reauthorize *r = calloc(1, sizeof(*r));
	int rc;

	if (!r) {
		refuse(request, HW_CODE_UNAVAILABLE, "out of memory");
		return;
	}
	r->round.run = run_reauthorize;
	r->round.free = reauthorize_free;
	r->user = request->user;
	r->tenant = request->tenant;
	r->topic = request->topic;
	request->user = request->tenant = request->topic = NULL;
	rc = hw_round_go(&r->round, b, ANSWER_S, true);
	if (rc) {
		refuse(request, HW_CODE_UNAVAILABLE,
			rc == -ENOMEM ? "out of memory"
				      : "a worker does not answer; it goes on when it comes back");
	} else {
		hw_buf_printf(&request->body, "{\"ok\":true,\"sessions\":%zu}",
			atomic_load(&r->n_sessions));
		answer(request, 200);
	}
	hw_round_unref(&r->round);
}

/* ---- all that was asked for ---- */

static void take(struct hw_broker *b, struct hw_list *requests)
{
	hw_list_init(requests);
	pthread_mutex_lock(&b->requests_lock);
	hw_list_splice(requests, &b->requests);
	pthread_mutex_unlock(&b->requests_lock);
}

static bool any(struct hw_list *requests, enum hw_control_kind kind)
{
	hw_list_each (node, requests)
		if (HW_CONTAINER_OF(node, struct hw_control_request, link)->kind == kind)
			return true;
	return false;
}

/* Whoever asked before it began has the same answer. */
static void answer_all(struct hw_list *requests, enum hw_control_kind kind, unsigned status,
	const struct hw_buf *body)
{
	hw_list_each_safe (node, requests) {
		struct hw_control_request *request =
			HW_CONTAINER_OF(node, struct hw_control_request, link);

		if (request->kind != kind)
			continue;
		hw_buf_str(&request->body, hw_buf_view(body));
		request->body.failed |= body->failed;
		answer(request, status);
	}
}

void hw_broker_serve(struct hw_broker *b, bool hup, bool draining)
{
	struct hw_list requests, *node;
	struct hw_buf body;

	take(b, &requests);
	hw_buf_init(&body);
	if (!draining && (hup || any(&requests, HW_CONTROL_RELOAD))) {
		unsigned status = hw_broker_reload(b, &body);

		answer_all(&requests, HW_CONTROL_RELOAD, status, &body);
	}
	if (!draining && any(&requests, HW_CONTROL_DRY_RUN)) {
		unsigned status;

		hw_buf_clear(&body);
		status = hw_broker_dry_run(b, &body);
		answer_all(&requests, HW_CONTROL_DRY_RUN, status, &body);
	}
	hw_buf_fini(&body);
	while ((node = hw_list_pop(&requests))) {
		struct hw_control_request *request =
			HW_CONTAINER_OF(node, struct hw_control_request, link);

		if (draining)
			refuse(request, HW_CODE_DRAINING, NULL);
		else if (request->kind == HW_CONTROL_REAUTHORIZE)
			reauthorize(b, request);
		else if (request->kind == HW_CONTROL_REVOKE)
			answer(request, hw_broker_revoke(b, request));
		else if (request->kind == HW_CONTROL_UNREVOKE)
			answer(request, hw_broker_unrevoke(b, request));
		else if (request->kind == HW_CONTROL_REVOCATIONS)
			answer(request, hw_broker_revocations(b, request));
		else if (request->kind == HW_CONTROL_EXPLAIN)
			answer(request, hw_broker_explain(b, request));
		else
			answer(request, hw_broker_sessions(b, request));
	}
}
