#include "app/control.h"
#include "app/revoke.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/broker.h"
#include "app/round.h"
#include "session/revoke.h"
#include "wire/code.h"
#include "wire/control.h"

enum {
	ANSWER_S = 10,
	START_S = 10, /* for a store to know what it holds */
	LOOK_MS = 100,
};

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

/* ---- in the journal ---- */

static int64_t mono_ms(void)
{
	return hw_clock_mono_ms(&hw_clock_system);
}

/* Until what is under way is answered. */
static int wait_for(struct hw_revocation_log *log, int64_t until_ms)
{
	while (!hw_revocation_log_wait(log, LOOK_MS)) {
		if (hw_round_told_to_end())
			return -EINTR;
		if (mono_ms() >= until_ms)
			return -ETIMEDOUT;
	}
	return 0;
}

/* Whatever there is to be stored is; an ask of before that fails now is not this one's. */
static int store(struct hw_broker *b)
{
	struct hw_revocation_log *log = &b->revocation_log;
	int64_t until_ms = mono_ms() + (int64_t)ANSWER_S * 1000;
	bool own = log->ask == HW_ASK_NOTHING;
	int r = 0;

	while (!hw_revocation_log_is_done(log)) {
		r = hw_revocation_log_step(log);
		if (r < 0 && own)
			return r;
		own |= r < 0;
		r = r == HW_LOG_UNDER_WAY ? wait_for(log, until_ms) : 0;
		if (r)
			return r;
	}
	return 0;
}

static void tell_unstored(struct hw_broker *b)
{
	size_t n = b->store ? hw_revocations_unstored(&b->revocations) : 0;

	hw_metric_set(b->unstored_gauge, (int64_t)n);
	if (!n == !b->unstored_told)
		return;
	b->unstored_told = n;
	if (n)
		hw_log(b->log, HW_LOG_ERROR, "app",
			"revocations are in force that the journal has not stored; it is tried "
			"again",
			HW_F_UINT("revocations", n));
	else
		hw_log(b->log, HW_LOG_INFO, "app", "all revocations are stored");
}

static unsigned refuse_unstored(struct hw_control_request *request)
{
	return refuse(request, HW_CODE_UNAVAILABLE,
		"it is revoked, but the journal does not store it now: the broker goes on trying, "
		"and what it has not stored it forgets when it ends");
}

unsigned hw_broker_revoke(struct hw_broker *b, struct hw_control_request *request)
{
	struct revoke_round *round = round_new(b, request);
	uint64_t number;
	int r, begun, stored;

	if (!round)
		return fail(request, -ENOMEM);
	r = put_on_list(b, round, &number);
	if (r) {
		round_free(&round->round);
		return fail(request, r);
	}
	/* the disk is at it while the sessions end; if it is not, it is tried again below */
	begun = hw_revocation_log_step(&b->revocation_log);
	(void)begun;
	r = hw_round_go(&round->round, b, ANSWER_S, true);
	if (!r)
		r = atomic_load(&round->error);
	stored = store(b);
	tell_unstored(b);
	if (!number)
		number = atomic_load(&round->number);
	if (!r && !stored) {
		hw_buf_puts(&request->body, "{\"ok\":true,\"id\":");
		if (number)
			hw_buf_printf(&request->body, "\"%llu\"", (unsigned long long)number);
		else
			hw_buf_puts(&request->body, "null");
		hw_buf_printf(
			&request->body, ",\"sessions\":%zu}", atomic_load(&round->n_sessions));
	}
	hw_round_unref(&round->round);
	return r ? fail(request, r) : stored ? refuse_unstored(request) : 200;
}

unsigned hw_broker_unrevoke(struct hw_broker *b, struct hw_control_request *request)
{
	if (!hw_revocation_log_unrevoke(&b->revocation_log, request->number)) {
		hw_code_body(&request->body, HW_CODE_BAD_REQUEST,
			HW_STR("nothing is revoked under this id"), HW_CONTROL_NO_RETRY);
		return 404;
	}
	if (store(b)) {
		bool asked = hw_revocation_log_takes_back(&b->revocation_log, request->number);

		(void)hw_revocation_log_unrevoke(&b->revocation_log, 0);
		return refuse(request, HW_CODE_UNAVAILABLE,
			asked ? "the journal has not answered: it is not known whether it is "
				"revoked as before; the list says it when the journal answers"
			      : "the journal does not store it now: it is revoked as before");
	}
	hw_buf_puts(&request->body, "{\"ok\":true}");
	return 200;
}

/* ---- the list ---- */

struct listing {
	struct hw_buf *out;
	const struct hw_broker *broker;
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
		hw_buf_printf(l->out, ",\"until\":%lld", (long long)what->until_s);
	else
		hw_buf_puts(l->out, ",\"until\":null");
	if (l->broker->store) /* the list is locked */
		hw_buf_puts(l->out, what->version > l->broker->revocations.stored_version
					    ? ",\"stored\":false"
					    : ",\"stored\":true");
	hw_buf_putc(l->out, '}');
	l->last = what->number;
	return true;
}

unsigned hw_broker_revocations(struct hw_broker *b, struct hw_control_request *request)
{
	struct listing l = {
		.out = &request->body, .broker = b, .limit = request->limit, .now_s = now_s()};
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

/* ---- start and housekeeping ---- */

static const char *why_not(int r)
{
	switch (r) {
	case -EINTR:
		return "it was told to end";
	case -ENODATA:
		return "some of it is gone that the journal was told to keep";
	case -EINVAL:
		return "something of it is none of this version's: a newer one wrote it, or it is "
		       "damaged";
	case -EAGAIN:
	case -ETIMEDOUT:
		return "the journal does not answer";
	default:
		return strerror(-r);
	}
}

static void count_revocations(struct hw_broker *b)
{
	hw_metric_set(b->revocations_gauge, (int64_t)hw_revocations_trim(&b->revocations, now_s()));
}

/* A moment later: 0, or -EINTR. */
static int look_again(void)
{
	const struct timespec moment = {.tv_nsec = (long)LOOK_MS * 1000000};

	if (hw_round_told_to_end())
		return -EINTR;
	nanosleep(&moment, NULL);
	return 0;
}

int hw_broker_read_revocations(struct hw_broker *b)
{
	struct hw_revocation_log *log = &b->revocation_log;
	int64_t until_ms = mono_ms() + (int64_t)START_S * 1000;
	int r = 0;

	while (!r && !hw_revocation_log_is_read(log)) {
		r = hw_revocation_log_step(log);
		if (r == HW_LOG_UNDER_WAY)
			r = wait_for(log, until_ms);
		else if (r == -EAGAIN && mono_ms() < until_ms)
			r = look_again(); /* it does not know yet */
	}
	count_revocations(b);
	if (r)
		fprintf(stderr,
			"hookwire: not started: what was revoked cannot be read from the journal, "
			"and nobody is let in without: %s\n",
			why_not(r));
	return r;
}

void hw_broker_keep_revocations(struct hw_broker *b)
{
	int r = hw_revocation_log_step(&b->revocation_log);

	count_revocations(b);
	if (r != HW_LOG_UNDER_WAY)
		tell_unstored(b);
}

void hw_broker_end_revocations(struct hw_broker *b)
{
	size_t n = hw_revocation_log_closed(&b->revocation_log);

	if (n)
		hw_log(b->log, HW_LOG_ERROR, "app",
			"revocations that the journal did not store are forgotten: say them again",
			HW_F_UINT("revocations", n));
}
