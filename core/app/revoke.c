#include "app/control.h"
#include "app/revoke.h"

#include <errno.h>
#include <stdlib.h>

#include "app/broker.h"
#include "app/round.h"
#include "session/revoke.h"
#include "wire/code.h"
#include "wire/control.h"

enum { ANSWER_S = 10 };

struct part {
	struct hw_session_revoke revoke; /* of a session; else its walk alone is used */
	struct revoke_round *round;
};

/* The texts are its own: a worker may come back when the request is answered. */
struct revoke_round {
	struct hw_round round;
	char *user, *tenant, *session, *jti;
	int64_t until_s;
	atomic_size_t n_sessions;
	atomic_ullong number; /* a worker's, of the session's token */
	atomic_int error;     /* negative errno */
	struct part parts[];  /* by worker */
};

static void round_free(struct hw_round *round)
{
	struct revoke_round *r = HW_CONTAINER_OF(round, struct revoke_round, round);

	free(r->user);
	free(r->tenant);
	free(r->session);
	free(r->jti);
	free(r);
}

static void on_done(struct hw_session_walk *walk)
{
	struct part *part = HW_CONTAINER_OF(walk, struct part, revoke.walk);
	struct revoke_round *r = part->round;

	atomic_fetch_add(&r->n_sessions, walk->n_found);
	if (part->revoke.number)
		atomic_store(&r->number, part->revoke.number);
	if (walk->error)
		atomic_store(&r->error, walk->error);
	hw_session_walk_fini(walk);
	hw_round_done(&r->round);
}

static void run(struct hw_round *round, struct hw_worker_thread *to)
{
	struct revoke_round *r = HW_CONTAINER_OF(round, struct revoke_round, round);
	struct part *part = &r->parts[to->worker.index];

	part->round = r;
	part->revoke = (struct hw_session_revoke){
		.until_s = r->until_s,
		.walk = {.worker = &to->worker,
			.match = {.user = hw_str_of(r->user), .tenant = hw_str_of(r->tenant)},
			.session = r->session,
			.jti = hw_str_of(r->jti),
			.revoked = true,
			.done = on_done},
	};
	if (r->session)
		hw_session_revoke_init(&part->revoke);
	hw_session_walk_start(&part->revoke.walk);
}

static struct revoke_round *round_new(struct hw_broker *b, struct hw_control_request *request)
{
	struct revoke_round *r = calloc(1, sizeof(*r) + b->n_workers * sizeof(r->parts[0]));

	if (!r)
		return NULL;
	r->round.run = run;
	r->round.free = round_free;
	r->user = hw_control_take(&request->user);
	r->tenant = hw_control_take(&request->tenant);
	r->session = hw_control_take(&request->session);
	r->jti = hw_control_take(&request->jti);
	r->until_s = request->until_s;
	return r;
}

static unsigned refuse(struct hw_control_request *request, enum hw_code code, const char *why)
{
	hw_code_body(&request->body, code, hw_str_of(why),
		code == HW_CODE_UNAVAILABLE ? HW_CONTROL_RETRY_MS : HW_CONTROL_NO_RETRY);
	return hw_code_info(code)->http_status;
}

static unsigned fail(struct hw_control_request *request, int r)
{
	switch (r) {
	case -ENOMEM:
		return refuse(request, HW_CODE_UNAVAILABLE, "out of memory");
	case -ENOSPC:
		return refuse(request, HW_CODE_TOPIC_LIMIT,
			"the list is full: take some off, or revoke by tenant");
	default:
		return refuse(request, HW_CODE_UNAVAILABLE,
			"it is revoked, but a worker does not answer: it ends its sessions when "
			"it comes back");
	}
}

static int64_t now_s(void)
{
	return hw_clock_wall_ms(&hw_clock_system) / 1000;
}

/* A session's token is known to its worker alone, which lists it. */
static int put_on_list(struct hw_broker *b, const struct revoke_round *r, uint64_t *number)
{
	struct hw_revocation what = {.kind = r->jti    ? HW_REVOKED_TOKEN
					     : r->user ? HW_REVOKED_USER
						       : HW_REVOKED_TENANT,
		.tenant = hw_str_of(r->tenant),
		.name = hw_str_of(r->jti ? r->jti : r->user),
		.until_s = r->until_s};

	*number = 0;
	if (r->session)
		return 0;
	if (!r->jti)
		what.before_s = now_s();
	return hw_revocations_add(&b->revocations, &what, now_s(), number);
}

unsigned hw_broker_revoke(struct hw_broker *b, struct hw_control_request *request)
{
	struct revoke_round *round = round_new(b, request);
	uint64_t number;
	int r;

	if (!round)
		return fail(request, -ENOMEM);
	r = put_on_list(b, round, &number);
	if (r) {
		round_free(&round->round);
		return fail(request, r);
	}
	r = hw_round_go(&round->round, b, ANSWER_S, true);
	if (!r)
		r = atomic_load(&round->error);
	if (!number)
		number = atomic_load(&round->number);
	if (!r) {
		hw_buf_puts(&request->body, "{\"ok\":true,\"id\":");
		if (number)
			hw_buf_printf(&request->body, "\"%llu\"", (unsigned long long)number);
		else
			hw_buf_puts(&request->body, "null");
		hw_buf_printf(
			&request->body, ",\"sessions\":%zu}", atomic_load(&round->n_sessions));
	}
	hw_round_unref(&round->round);
	return r ? fail(request, r) : 200;
}

unsigned hw_broker_unrevoke(struct hw_broker *b, struct hw_control_request *request)
{
	if (!hw_revocations_remove(&b->revocations, request->number)) {
		hw_code_body(&request->body, HW_CODE_BAD_REQUEST,
			HW_STR("nothing is revoked under this id"), HW_CONTROL_NO_RETRY);
		return 404;
	}
	hw_buf_puts(&request->body, "{\"ok\":true}");
	return 200;
}

/* ---- the list ---- */

struct listing {
	struct hw_buf *out;
	size_t limit, n;
	int64_t now_s;
	uint64_t last;
	bool more;
};

static void put_name(struct hw_buf *out, const char *name, struct hw_str value)
{
	if (!value.p)
		return;
	hw_buf_printf(out, ",\"%s\":", name);
	hw_buf_json(out, value);
}

static bool list_one(void *arg, const struct hw_revocation *what)
{
	struct listing *l = arg;

	if (what->until_s && what->until_s <= l->now_s)
		return true;
	if (l->n == l->limit) {
		l->more = true;
		return false;
	}
	hw_buf_printf(
		l->out, "%s{\"id\":\"%llu\"", l->n++ ? "," : "", (unsigned long long)what->number);
	put_name(l->out, "tenant", what->tenant);
	put_name(l->out, what->kind == HW_REVOKED_TOKEN ? "jti" : "user", what->name);
	if (what->kind != HW_REVOKED_TOKEN)
		hw_buf_printf(l->out, ",\"issued_until\":%lld", (long long)what->before_s);
	if (what->until_s)
		hw_buf_printf(l->out, ",\"until\":%lld}", (long long)what->until_s);
	else
		hw_buf_puts(l->out, ",\"until\":null}");
	l->last = what->number;
	return true;
}

unsigned hw_broker_revocations(struct hw_broker *b, struct hw_control_request *request)
{
	struct listing l = {.out = &request->body, .limit = request->limit, .now_s = now_s()};
	size_t total = hw_revocations_trim(&b->revocations, l.now_s);

	hw_buf_printf(l.out, "{\"total\":%zu,\"revocations\":[", total);
	if (hw_revocations_each(&b->revocations, request->number, list_one, &l)) {
		hw_buf_clear(l.out);
		return fail(request, -ENOMEM);
	}
	hw_buf_puts(l.out, "],\"next\":");
	if (l.more)
		hw_buf_printf(l.out, "\"%llu\"}", (unsigned long long)l.last);
	else
		hw_buf_puts(l.out, "null}");
	return 200;
}

void hw_broker_trim_revocations(struct hw_broker *b)
{
	hw_metric_set(b->revocations_gauge, (int64_t)hw_revocations_trim(&b->revocations, now_s()));
}
