/* Calls that a plugin suspends: who may finish them, when, and what becomes of the others. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hook/chain_internal.h"
#include "loaded.h"

#define PROBE HW_BINARY_DIR "/tests/probes/probe.so"
#define WORKER 3 /* as loaded_bench has it */
#define WAIT_MS 2000
#define WAITS_MAX 1024

/* As the probe fills it. */
struct ticket {
	const struct hw_host *host;
	uint64_t ticket;
};

struct world {
	struct loaded l;
	struct hw_timers *timers;
	struct hw_hook_chain *none;
	struct hw_hook_bench *empty_global, *empty_tenant, *global, *tenant;
	atomic_uint n_wakes;
};

struct asked {
	struct hw_ask ask;
	struct hw_request request;
	struct hw_who who;
	struct hw_question question;
	char script[512];
	struct ticket ticket;
	int n_decided;
};

static void wake(void *arg)
{
	atomic_fetch_add(&((struct world *)arg)->n_wakes, 1);
}

static void world_init(struct world *w, bool inbox)
{
	struct hw_hook_entry *entry;

	memset(w, 0, sizeof(*w));
	loaded_init(&w->l, NULL);
	w->timers = hw_timers_create(w->l.now_ms);
	if (inbox)
		assert_int_equal(hw_hook_inbox_open(w->l.env, WORKER, w->timers, wake, w), 0);
	w->none = hw_hook_chain_create(NULL, 0);
	assert_int_equal(
		hw_hook_bench_create(w->l.env, w->none, HW_STR(""), WORKER, &w->empty_global), 0);
	assert_int_equal(
		hw_hook_bench_create(w->l.env, w->none, HW_STR("acme"), WORKER, &w->empty_tenant),
		0);
	assert_int_equal(loaded_load(&w->l, PROBE, "{}", true, &entry), 0);
	w->global = loaded_bench(&w->l, entry);
	assert_int_equal(loaded_load(&w->l, PROBE, "{}", false, &entry), 0);
	w->tenant = loaded_bench(&w->l, entry);
	assert_non_null(w->global);
	assert_non_null(w->tenant);
}

static void world_fini(struct world *w)
{
	hw_hook_bench_destroy(&w->global);
	hw_hook_bench_destroy(&w->tenant);
	hw_hook_bench_destroy(&w->empty_global);
	hw_hook_bench_destroy(&w->empty_tenant);
	hw_hook_chain_unref(&w->none);
	hw_hook_inbox_close(w->l.env, WORKER);
	hw_timers_destroy(&w->timers);
	loaded_fini(&w->l);
}

static void decided(struct hw_ask *ask)
{
	HW_CONTAINER_OF(ask, struct asked, ask)->n_decided++;
}

/* Asks the probe; each "%" in the script is where it puts its ticket. */
static enum hw_verdict ask(
	struct world *w, enum hw_hook_stage stage, const char *script, struct asked *a)
{
	bool global = stage == HW_STAGE_AUTHENTICATE;
	static const struct hw_lifecycle gone = {.kind = HW_ON_DISCONNECT, .close_code = 1000};
	const char *percent = strchr(script, '%');

	memset(a, 0, sizeof(*a));
	if (percent)
		snprintf(a->script, sizeof(a->script), "%.*s%llu%s", (int)(percent - script),
			script, (unsigned long long)(uintptr_t)&a->ticket, percent + 1);
	else
		snprintf(a->script, sizeof(a->script), "%s", script);
	a->request.token = (struct hw_slice){a->script, strlen(a->script)};
	a->who = (struct hw_who){.user_id = HW_SLICE("u1"),
		.tenant_id = HW_SLICE("acme"),
		.session = {a->script, strlen(a->script)},
		.claims = HW_SLICE("{}")};
	a->question = (struct hw_question){.operation = HW_OP_SUBSCRIBE};
	a->ask = (struct hw_ask){
		.stage = stage,
		.global = global ? w->global : w->empty_global,
		.tenant = global ? w->empty_tenant : w->tenant,
		.request = &a->request,
		.who = global ? NULL : &a->who,
		.question = &a->question,
		.event = HW_STR("{\"topic\":\"a:1\"}"),
		.lifecycle = &gone,
		.decided = decided,
	};
	return hw_hooks_ask(&a->ask);
}

static void suspend(struct world *w, enum hw_hook_stage stage, struct asked *a)
{
	assert_int_equal(ask(w, stage, "suspend=%;return=3", a), HW_PENDING);
	assert_int_not_equal(a->ticket.ticket, 0);
	assert_int_equal(a->n_decided, 0);
}

static int finish(const struct ticket *t, const struct hw_answer *answer)
{
	return t->host->finish(t->host, t->ticket, answer);
}

static const struct hw_answer allow = {.size = sizeof(allow), .verdict = HW_ALLOW};

static void turn(struct world *w)
{
	hw_hook_inbox_run(w->l.env, WORKER);
}

static void pass(struct world *w, int64_t ms)
{
	w->l.now_ms += ms;
	hw_timers_advance(w->timers, w->l.now_ms);
}

/* ---- the way it is meant ---- */

static void *finish_in_thread(void *arg)
{
	struct asked *a = arg;

	return (void *)(intptr_t)finish(&a->ticket, &allow);
}

static void another_thread_finishes_and_the_worker_decides(void **state HW_UNUSED)
{
	struct world w;
	struct asked a;
	pthread_t thread;
	void *rc;

	world_init(&w, true);
	suspend(&w, HW_STAGE_AUTHORIZE, &a);
	assert_false(hw_hook_inbox_has(w.l.env, WORKER));
	assert_int_equal(pthread_create(&thread, NULL, finish_in_thread, &a), 0);
	pthread_join(thread, &rc);
	assert_null(rc);
	assert_int_equal(atomic_load(&w.n_wakes), 1);
	assert_int_equal(a.n_decided, 0); /* never on the thread that finishes */
	assert_true(hw_hook_inbox_has(w.l.env, WORKER));
	turn(&w);
	assert_false(hw_hook_inbox_has(w.l.env, WORKER));
	assert_int_equal(a.n_decided, 1);
	assert_int_equal(a.ask.verdict, HW_ALLOW);
	world_fini(&w);
}

static void all_that_is_said_arrives(void **state HW_UNUSED)
{
	static const struct hw_slice tenants[] = {HW_SLICE("beta"), HW_SLICE("gamma")};
	static const struct hw_answer identity = {.size = sizeof(identity),
		.verdict = HW_ALLOW,
		.user_id = HW_SLICE("u7"),
		.tenant_id = HW_SLICE("acme"),
		.claims = HW_SLICE("{\"role\":\"x\"}"),
		.expires_at = 900,
		.tenants = tenants,
		.n_tenants = 2,
		.act_as = 1};
	static const struct hw_answer no = {.size = sizeof(no),
		.verdict = HW_DENY,
		.code = "rate_limited",
		.message = HW_SLICE("slowly")};
	static const struct hw_answer event = {
		.size = sizeof(event), .verdict = HW_DEFER, .event = HW_SLICE("{\"n\":1.0}")};
	struct world w;
	struct asked a;

	world_init(&w, true);
	suspend(&w, HW_STAGE_AUTHENTICATE, &a);
	assert_int_equal(finish(&a.ticket, &identity), 0);
	turn(&w);
	assert_int_equal(a.ask.verdict, HW_ALLOW);
	assert_true(hw_str_eq(a.ask.identity->user_id, HW_STR("u7")));
	assert_true(hw_str_eq(a.ask.identity->claims, HW_STR("{\"role\":\"x\"}")));
	assert_int_equal(a.ask.identity->expires_at, 900);
	assert_int_equal(a.ask.identity->n_tenants, 2);
	assert_true(a.ask.identity->act_as);
	hw_identity_unref(&a.ask.identity);
	suspend(&w, HW_STAGE_AUTHORIZE, &a);
	assert_int_equal(finish(&a.ticket, &no), 0);
	turn(&w);
	assert_int_equal(a.ask.verdict, HW_DENY);
	assert_string_equal(a.ask.code, "rate_limited");
	assert_string_equal(a.ask.message, "slowly");
	suspend(&w, HW_STAGE_TRANSFORM, &a);
	assert_int_equal(finish(&a.ticket, &event), 0);
	turn(&w);
	assert_int_equal(a.ask.verdict, HW_ALLOW);
	assert_int_equal(a.ask.new_event_len, 9);
	free(a.ask.new_event);
	world_fini(&w);
}

static void what_a_setter_refuses_fails_the_call(void **state HW_UNUSED)
{
	static const struct hw_answer wrong[] = {
		{.size = sizeof(allow), .verdict = HW_ALLOW, .user_id = HW_SLICE("u2")},
		{.size = sizeof(allow), .verdict = HW_ALLOW, .event = HW_SLICE("{}")},
		{.size = sizeof(allow), .verdict = HW_ALLOW, .act_as = 1},
		{.size = sizeof(allow), .verdict = HW_PENDING},
		{.size = sizeof(allow), .verdict = (enum hw_verdict)77},
	};
	struct world w;
	struct asked a;

	world_init(&w, true);
	for (size_t i = 0; i < HW_COUNT(wrong); i++) {
		suspend(&w, HW_STAGE_AUTHORIZE, &a);
		assert_int_equal(finish(&a.ticket, &wrong[i]), 0);
		turn(&w);
		assert_int_equal(a.n_decided, 1);
		assert_int_equal(a.ask.verdict, HW_ERROR);
		assert_string_equal(a.ask.code, "unavailable");
	}
	world_fini(&w);
}

/* The struct may be shorter, as that of an older plugin is. */
static void an_answer_of_which_only_the_verdict_is_known_is_one(void **state HW_UNUSED)
{
	struct hw_answer answer = {.size = offsetof(struct hw_answer, user_id),
		.verdict = HW_ALLOW,
		.user_id = HW_SLICE("beyond")};
	struct world w;
	struct asked a;

	world_init(&w, true);
	suspend(&w, HW_STAGE_AUTHORIZE, &a);
	assert_int_equal(finish(&a.ticket, &answer), 0);
	turn(&w);
	assert_int_equal(a.ask.verdict, HW_ALLOW);
	world_fini(&w);
}

static void it_may_be_finished_before_the_hook_returns(void **state HW_UNUSED)
{
	struct world w;
	struct asked a;

	world_init(&w, true);
	assert_int_equal(ask(&w, HW_STAGE_AUTHORIZE, "finish_now;return=3", &a), HW_PENDING);
	assert_int_equal(a.n_decided, 0);
	turn(&w);
	assert_int_equal(a.n_decided, 1);
	assert_int_equal(a.ask.verdict, HW_ALLOW);
	/* and what the hook then answers at once wins */
	assert_int_equal(ask(&w, HW_STAGE_AUTHORIZE, "finish_now;return=2", &a), HW_DENY);
	turn(&w);
	assert_int_equal(a.n_decided, 0);
	assert_int_equal(
		loaded_metric(&w.l, "hookwire_plugin_probe_finish_failed_total", "probe"), 0);
	world_fini(&w);
}

/* ---- tickets that are none ---- */

static void a_ticket_is_good_once(void **state HW_UNUSED)
{
	struct world w;
	struct asked a;

	world_init(&w, true);
	suspend(&w, HW_STAGE_AUTHORIZE, &a);
	assert_int_equal(finish(&a.ticket, &allow), 0);
	assert_int_equal(finish(&a.ticket, &allow), -1);
	turn(&w);
	assert_int_equal(finish(&a.ticket, &allow), -1);
	turn(&w);
	assert_int_equal(a.n_decided, 1);
	world_fini(&w);
}

static void a_ticket_of_another_or_of_nobody_is_refused(void **state HW_UNUSED)
{
	struct world w;
	struct asked a, b;

	world_init(&w, true);
	suspend(&w, HW_STAGE_AUTHORIZE, &a);
	suspend(&w, HW_STAGE_AUTHENTICATE, &b);
	assert_ptr_not_equal(a.ticket.host, b.ticket.host);
	assert_int_equal(a.ticket.host->finish(a.ticket.host, b.ticket.ticket, &allow), -1);
	assert_int_equal(a.ticket.host->finish(a.ticket.host, 0, &allow), -1);
	assert_int_equal(a.ticket.host->finish(a.ticket.host, a.ticket.ticket + 1, &allow), -1);
	turn(&w);
	assert_int_equal(a.n_decided + b.n_decided, 0);
	hw_hooks_cancel(&a.ask);
	hw_hooks_cancel(&b.ask);
	world_fini(&w);
}

static void a_hook_that_answers_at_once_has_no_ticket(void **state HW_UNUSED)
{
	struct world w;
	struct asked a;

	world_init(&w, true);
	assert_int_equal(ask(&w, HW_STAGE_AUTHORIZE, "suspend=%;return=1", &a), HW_ALLOW);
	assert_int_not_equal(a.ticket.ticket, 0);
	assert_int_equal(finish(&a.ticket, &allow), -1);
	assert_int_equal(ask(&w, HW_STAGE_LIFECYCLE, "suspend=%;return=3", &a), HW_ALLOW);
	assert_non_null(a.ticket.host);
	assert_int_equal(a.ticket.ticket, 0);
	world_fini(&w);
}

static void a_call_that_is_cancelled_is_not_finished(void **state HW_UNUSED)
{
	struct world w;
	struct asked a;

	world_init(&w, true);
	suspend(&w, HW_STAGE_AUTHORIZE, &a);
	hw_hooks_cancel(&a.ask);
	assert_int_equal(finish(&a.ticket, &allow), -1);
	/* or it was finished first, and the worker has not come to it yet */
	suspend(&w, HW_STAGE_AUTHORIZE, &a);
	assert_int_equal(finish(&a.ticket, &allow), 0);
	hw_hooks_cancel(&a.ask);
	turn(&w);
	assert_int_equal(a.n_decided, 0);
	world_fini(&w);
}

static void a_bench_that_goes_takes_its_tickets_along(void **state HW_UNUSED)
{
	for (int early = 0; early < 2; early++) {
		struct hw_hook_entry *held;
		struct world w;
		struct asked a;

		world_init(&w, true);
		held = hw_hook_entry_ref(hw_hook_chain_entry(hw_hook_bench_chain(w.tenant), 0));
		suspend(&w, HW_STAGE_AUTHORIZE, &a);
		if (early)
			assert_int_equal(finish(&a.ticket, &allow), 0);
		hw_hook_bench_destroy(&w.tenant);
		assert_int_equal(a.n_decided, 1);
		assert_int_equal(a.ask.verdict, HW_ERROR);
		assert_string_equal(a.ask.code, "unavailable");
		/* its threads may go on until unload */
		assert_int_equal(finish(&a.ticket, &allow), -1);
		turn(&w);
		assert_int_equal(a.n_decided, 1);
		hw_hook_entry_unref(&held);
		world_fini(&w);
	}
}

/* ---- bounds ---- */

static void who_does_not_finish_in_time_is_unavailable(void **state HW_UNUSED)
{
	struct world w;
	struct asked a;

	world_init(&w, true);
	suspend(&w, HW_STAGE_AUTHORIZE, &a);
	pass(&w, WAIT_MS - 1);
	assert_int_equal(a.n_decided, 0);
	pass(&w, 1);
	assert_int_equal(a.n_decided, 1);
	assert_int_equal(a.ask.verdict, HW_ERROR);
	assert_string_equal(a.ask.code, "unavailable");
	assert_int_equal(finish(&a.ticket, &allow), -1);
	/* in time, but the worker was slow: the answer counts */
	suspend(&w, HW_STAGE_AUTHORIZE, &a);
	assert_int_equal(finish(&a.ticket, &allow), 0);
	pass(&w, WAIT_MS);
	assert_int_equal(a.n_decided, 0);
	turn(&w);
	assert_int_equal(a.ask.verdict, HW_ALLOW);
	world_fini(&w);
}

static void a_worker_without_inbox_has_no_calls_that_wait(void **state HW_UNUSED)
{
	struct world w;
	struct asked a;

	world_init(&w, false);
	assert_int_equal(ask(&w, HW_STAGE_AUTHORIZE, "suspend=%;return=3", &a), HW_ERROR);
	assert_int_equal(a.ticket.ticket, 0);
	world_fini(&w);
}

static void so_many_wait_and_no_more(void **state HW_UNUSED)
{
	struct asked *all = calloc(WAITS_MAX, sizeof(*all)), more;
	struct world w;

	assert_non_null(all);
	world_init(&w, true);
	for (size_t i = 0; i < WAITS_MAX; i++)
		suspend(&w, HW_STAGE_AUTHORIZE, &all[i]);
	assert_int_equal(ask(&w, HW_STAGE_AUTHORIZE, "suspend=%;return=3", &more), HW_ERROR);
	assert_int_equal(more.ticket.ticket, 0);
	hw_hooks_cancel(&all[7].ask);
	suspend(&w, HW_STAGE_AUTHORIZE, &all[7]);
	hw_hook_bench_destroy(&w.tenant);
	for (size_t i = 0; i < WAITS_MAX; i++)
		assert_int_equal(all[i].n_decided, 1);
	world_fini(&w);
	free(all);
}

static void nobody_is_woken_once_the_inbox_is_closed(void **state HW_UNUSED)
{
	struct hw_mail mail = {.run = NULL};
	struct hw_hook_inbox *inbox;
	struct world w;

	world_init(&w, true);
	inbox = hw_hook_inbox_of(w.l.env, WORKER);
	hw_hook_inbox_close(w.l.env, WORKER);
	hw_list_init(&mail.link);
	hw_inbox_post(inbox, &mail);
	assert_int_equal(atomic_load(&w.n_wakes), 0);
	hw_inbox_take_back(inbox, &mail);
	world_fini(&w);
}

/* ---- all at once ---- */

#define N_THREADS 4
#define N_ROUNDS 2000
#define N_ASKS 8

struct race {
	struct world w;
	struct asked asks[N_ASKS];
	/* tickets in circulation: threads take them in any order, some twice */
	_Atomic(uint64_t) tickets[N_ASKS];
	_Atomic(const struct hw_host *) host;
	atomic_bool stop;
	atomic_uint n_taken;
};

static void *finish_what_is_there(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->stop)) {
		for (size_t i = 0; i < N_ASKS; i++) {
			struct ticket t = {atomic_load(&r->host), atomic_load(&r->tickets[i])};

			if (t.ticket && finish(&t, &allow) == 0)
				atomic_fetch_add(&r->n_taken, 1);
		}
	}
	return NULL;
}

/* Threads finish what they see, twice and late; the worker cancels, lets time pass and takes
 * answers as it likes. Each question ends once, and as often as finish said "taken" an answer was
 * there. */
static void threads_that_finish_and_a_worker_that_cancels(void **state HW_UNUSED)
{
	struct race *r = calloc(1, sizeof(*r));
	unsigned n_decided = 0, n_cancelled = 0, n_late = 0;
	pthread_t threads[N_THREADS];

	assert_non_null(r);
	world_init(&r->w, true);
	suspend(&r->w, HW_STAGE_AUTHORIZE, &r->asks[0]);
	atomic_store(&r->host, r->asks[0].ticket.host);
	hw_hooks_cancel(&r->asks[0].ask);
	for (size_t i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, finish_what_is_there, r), 0);
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		for (size_t i = 0; i < N_ASKS; i++) {
			suspend(&r->w, HW_STAGE_AUTHORIZE, &r->asks[i]);
			atomic_store(&r->tickets[i], r->asks[i].ticket.ticket);
		}
		if (round % 3 == 0)
			turn(&r->w);
		for (size_t i = round % 2; i < N_ASKS; i += 2) {
			n_cancelled += r->asks[i].n_decided == 0;
			hw_hooks_cancel(&r->asks[i].ask);
		}
		if (round % 5 == 0)
			pass(&r->w, WAIT_MS);
		for (size_t i = 1 - round % 2; i < N_ASKS; i += 2) {
			while (r->asks[i].n_decided == 0)
				turn(&r->w);
			n_late += r->asks[i].ask.verdict != HW_ALLOW;
		}
		for (size_t i = 0; i < N_ASKS; i++) {
			assert_in_range(r->asks[i].n_decided, 0, 1);
			n_decided += (unsigned)r->asks[i].n_decided;
		}
	}
	atomic_store(&r->stop, true);
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(n_decided + n_cancelled, N_ROUNDS * N_ASKS);
	assert_in_range(atomic_load(&r->n_taken), n_decided - n_late, N_ROUNDS * N_ASKS);
	world_fini(&r->w);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_thread_finishes_and_the_worker_decides),
		cmocka_unit_test(all_that_is_said_arrives),
		cmocka_unit_test(what_a_setter_refuses_fails_the_call),
		cmocka_unit_test(an_answer_of_which_only_the_verdict_is_known_is_one),
		cmocka_unit_test(it_may_be_finished_before_the_hook_returns),
		cmocka_unit_test(a_ticket_is_good_once),
		cmocka_unit_test(a_ticket_of_another_or_of_nobody_is_refused),
		cmocka_unit_test(a_hook_that_answers_at_once_has_no_ticket),
		cmocka_unit_test(a_call_that_is_cancelled_is_not_finished),
		cmocka_unit_test(a_bench_that_goes_takes_its_tickets_along),
		cmocka_unit_test(who_does_not_finish_in_time_is_unavailable),
		cmocka_unit_test(a_worker_without_inbox_has_no_calls_that_wait),
		cmocka_unit_test(so_many_wait_and_no_more),
		cmocka_unit_test(nobody_is_woken_once_the_inbox_is_closed),
		cmocka_unit_test(threads_that_finish_and_a_worker_that_cancels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
