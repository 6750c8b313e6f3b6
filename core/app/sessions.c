#include "app/control.h"
#include "app/sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/broker.h"
#include "app/round.h"
#include "session/walk.h"
#include "wire/code.h"

enum { ANSWER_S = 10 };

struct part {
	struct hw_session_walk walk;
	struct sessions_round *round;
	atomic_bool done;
};

/* The texts are its own: a worker may come back when the request is answered. */
struct sessions_round {
	struct hw_round round;
	unsigned n_parts;
	char *user, *tenant, *session, *after, *reason;
	size_t limit;
	uint16_t close_code;
	struct part *parts; /* by worker */
};

static void round_free(struct hw_round *round)
{
	struct sessions_round *r = HW_CONTAINER_OF(round, struct sessions_round, round);

	for (unsigned i = 0; r->parts && i < r->n_parts; i++)
		if (atomic_load(&r->parts[i].done))
			hw_session_walk_fini(&r->parts[i].walk);
	free(r->parts);
	free(r->user);
	free(r->tenant);
	free(r->session);
	free(r->after);
	free(r->reason);
	free(r);
}

static void on_done(struct hw_session_walk *walk)
{
	struct part *part = HW_CONTAINER_OF(walk, struct part, walk);

	atomic_store(&part->done, true);
	hw_round_done(&part->round->round);
}

static void run(struct hw_round *round, struct hw_worker_thread *to)
{
	struct sessions_round *r = HW_CONTAINER_OF(round, struct sessions_round, round);
	struct part *part = &r->parts[to->worker.index];

	part->round = r;
	part->walk = (struct hw_session_walk){
		.worker = &to->worker,
		.match = {.user = hw_str_of(r->user), .tenant = hw_str_of(r->tenant)},
		.session = r->session,
		.after = r->after,
		.limit = r->limit + 1, /* to know whether that is all */
		.close_code = r->close_code,
		.reason = r->reason ? hw_str_of(r->reason) : HW_STR(""),
		.done = on_done,
	};
	hw_session_walk_start(&part->walk);
	/* nobody reads a list that comes too late; who was to be ended still is */
	if (!r->close_code && atomic_load(&round->given_up))
		hw_session_walk_cancel(&part->walk);
}

static struct sessions_round *round_new(struct hw_broker *b, struct hw_control_request *request)
{
	struct sessions_round *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->parts = calloc(b->n_workers, sizeof(*r->parts));
	if (!r->parts) {
		free(r);
		return NULL;
	}
	r->round.run = run;
	r->round.free = round_free;
	r->n_parts = b->n_workers;
	r->user = hw_control_take(&request->user);
	r->tenant = hw_control_take(&request->tenant);
	r->session = hw_control_take(&request->session);
	r->after = hw_control_take(&request->after);
	r->reason = hw_control_take(&request->reason);
	r->limit = request->limit;
	r->close_code = request->close_code;
	return r;
}

/* ---- the answer ---- */

static int by_id(const void *a, const void *b)
{
	const struct hw_session_row *x = a, *y = b;

	return strcmp(x->id, y->id);
}

static int tell_list(const struct sessions_round *r, size_t n_found, struct hw_buf *out)
{
	size_t n = 0, n_told;
	struct hw_session_row *all;

	for (unsigned i = 0; i < r->n_parts; i++)
		n += r->parts[i].walk.n_rows;
	all = calloc(n + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	n = 0;
	for (unsigned i = 0; i < r->n_parts; i++)
		for (size_t j = 0; j < r->parts[i].walk.n_rows; j++)
			all[n++] = r->parts[i].walk.rows[j];
	qsort(all, n, sizeof(*all), by_id);
	n_told = n < r->limit ? n : r->limit;
	hw_buf_printf(out, "{\"total\":%zu,\"sessions\":[", n_found);
	for (size_t i = 0; i < n_told; i++) {
		hw_buf_puts(out, i ? "," : "");
		hw_buf_puts(out, all[i].json);
	}
	hw_buf_puts(out, "],\"next\":");
	if (n_told < n)
		hw_buf_json(out, hw_str_of(all[n_told - 1].id));
	else
		hw_buf_puts(out, "null");
	hw_buf_putc(out, '}');
	free(all);
	return 0;
}

static int tell(const struct sessions_round *r, struct hw_buf *out)
{
	size_t n_found = 0;

	for (unsigned i = 0; i < r->n_parts; i++) {
		if (r->parts[i].walk.error)
			return r->parts[i].walk.error;
		n_found += r->parts[i].walk.n_found;
	}
	if (!r->close_code)
		return tell_list(r, n_found, out);
	hw_buf_printf(out, "{\"ok\":true,\"sessions\":%zu}", n_found);
	return 0;
}

unsigned hw_broker_sessions(struct hw_broker *b, struct hw_control_request *request)
{
	struct sessions_round *round = round_new(b, request);
	int r = -ENOMEM;

	if (round) {
		r = hw_round_go(&round->round, b, ANSWER_S, true);
		if (!r)
			r = tell(round, &request->body);
		hw_round_unref(&round->round);
	}
	if (!r)
		return 200;
	hw_code_body(&request->body, HW_CODE_UNAVAILABLE,
		r == -ENOMEM ? HW_STR("out of memory") : HW_STR("a worker does not answer"),
		HW_CONTROL_RETRY_MS);
	return hw_code_info(HW_CODE_UNAVAILABLE)->http_status;
}
