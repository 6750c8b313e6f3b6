/* Live sessions are authorized again when the policy that let them in is no longer the one in
 * force: each once, by a job like any message's, a slice in each turn of the loop. */
#include <errno.h>

#include "session/session_internal.h"
#include "wire/topic.h"

enum {
	/* of work in one turn: deliveries and sockets come in between, and what waits for them is
	 * what a reload costs who is not concerned */
	SLICE_MS = 1,
	SLICE_ASKS = 8,
	SLICE_LOOKS = 256, /* sessions looked at in one turn for what their policy is */
	PACE_MS = 4,    /* those due in between go together: a wake-up costs as much as a check */
	IN_FLIGHT = 32, /* checks whose hooks wait; a script's calls that wait are bounded too,
			   and clients want some of them */
	AGAIN_MS = 250, /* until what could not be decided is asked again */
};

static struct hw_sweep *sweep_of(const struct hw_session *s)
{
	return &s->worker->sessions->sweep;
}

/* ---- slices ---- */

static void slice_begin(struct hw_sweep *sweep)
{
	sweep->slice_until_ms = hw_worker_now_ms(sweep->worker) + SLICE_MS;
	sweep->slice_asks = SLICE_ASKS;
}

/* One question of it is about to be asked. */
static bool slice_take(struct hw_sweep *sweep)
{
	if (sweep->slice_asks == 0 || hw_worker_now_ms(sweep->worker) >= sweep->slice_until_ms)
		return false;
	sweep->slice_asks--;
	return true;
}

static void wake(struct hw_sweep *sweep, int64_t at_ms)
{
	if (!hw_timer_armed(&sweep->timer) || sweep->timer.due_ms > at_ms)
		hw_timer_arm(sweep->worker->timers, &sweep->timer, at_ms);
}

static void wake_now(struct hw_sweep *sweep)
{
	wake(sweep, hw_worker_now_ms(sweep->worker));
}

/* ---- the check of one session ---- */

static void begin(struct job *job, bool admitted)
{
	struct hw_session *s = job->session;

	job->recheck = 0;
	job->admitted = admitted;
	s->policy = s->hub->policy;
}

static void refuse(struct hw_session *s, enum hw_code code, const char *message, const char *hook)
{
	sweep_of(s)->n_closed++;
	hw_metric_add(s->worker->counters->revoked_sessions, 1);
	session_close_by(s, code, message, hook);
}

/* The tenant may be refused since, or its hooks may not have started. */
static bool still_served(struct hw_session *s)
{
	struct hw_hub *hub;

	if (s->hub->bench || hw_hub_get(s->worker, s->hub->tenant->id, &hub) != -ENOENT)
		return true;
	refuse(s, HW_CODE_FORBIDDEN_TOPIC, "this tenant is not served here", "");
	return false;
}

static void revoke(struct job *job)
{
	struct hw_session *s = job->session;
	struct hw_str topic = {job->question.topic.p, job->question.topic.len};

	/* the last subscription moves into its place and is asked next. The name is the
	 * subscription's: it is written before that ends. */
	session_note_refused(s, HW_REFUSED_REVOKED, topic,
		hw_ask_code(&job->ask, HW_CODE_FORBIDDEN_TOPIC), job->ask.decided_by);
	sweep_of(s)->n_revoked += s->recheck == RECHECK_RUNNING;
	hw_metric_add(s->worker->counters->revoked_subscriptions, 1);
	if (job->question.operation == HW_OP_PRESENCE) {
		presence_revoke(s, hw_ask_code(&job->ask, HW_CODE_FORBIDDEN_TOPIC));
		return;
	}
	hw_control_unsubscribed(session_out(s), s->plain, &topic, 1,
		hw_ask_code(&job->ask, HW_CODE_FORBIDDEN_TOPIC));
	hw_hub_unsubscribe(s->hub, &s->sub, topic);
	if (!s->plain)
		session_send(s);
	if (s->outlet->revoked && !s->closed)
		s->outlet->revoked(s->arg, hw_ask_code(&job->ask, HW_CODE_FORBIDDEN_TOPIC));
	if (s->only_query && s->sub.n_subs == 0 && !s->closed)
		refuse(s, HW_CODE_FORBIDDEN_TOPIC, "none of its topics is left to it", "");
}

/* A hook that cannot say now, since what it asks is down or its breaker is open, has denied
 * nothing. That it fails in the middle of a sweep, which asks it more than anybody, must not cut
 * everybody off. What was allowed before stays for a while, and then it is denied. */
static bool may_stay_undecided(struct hw_session *s)
{
	int64_t now_ms = hw_worker_now_ms(s->worker);

	if (!s->undecided_until_ms)
		s->undecided_until_ms = now_ms + s->worker->generation->settings.reauth_ms;
	return now_ms < s->undecided_until_ms;
}

static void take(struct job *job, enum hw_verdict verdict)
{
	struct hw_session *s = job->session;

	if (s->policy != s->hub->policy)
		return; /* an answer of yesterday's policy: all is asked again */
	if (verdict == HW_ERROR && job->asked_generation != s->worker->generation->number)
		return; /* its generation ended before it could say: asked again */
	if (verdict != HW_ALLOW && verdict != HW_DENY && may_stay_undecided(s)) {
		s->policy = 0;
		job->undecided = true;
		return;
	}
	if (verdict == HW_ALLOW) {
		if (job->question.operation == HW_OP_PRESENCE)
			presence_keep(s);
		job->recheck += job->admitted;
		job->admitted = true;
	} else if (job->admitted) {
		revoke(job);
	} else {
		refuse(s, hw_ask_code(&job->ask, HW_CODE_FORBIDDEN_TOPIC), job->ask.message,
			job->ask.decided_by);
	}
}

static bool go_on(struct job *job);

static void on_decided(struct hw_ask *ask)
{
	struct job *job = HW_CONTAINER_OF(ask, struct job, ask);

	take(job, ask->verdict);
	if (go_on(job))
		job->rechecked(job);
}

static enum hw_verdict ask_next(struct job *job)
{
	struct hw_session *s = job->session;
	struct hw_str topic;

	/* one check may see several generations: go_on begins again when that matters */
	hw_pins_drop(&job->pins);
	job->asked_generation = s->worker->generation->number;
	if (!job->admitted)
		return session_ask(job, HW_OP_SESSION, HW_STR_NULL, true, on_decided);
	if (job->recheck >= s->sub.n_subs)
		return session_ask(job, HW_OP_PRESENCE, presence_first(s), true, on_decided);
	topic = hw_hub_topic_name(s->sub.subs[job->recheck].topic);
	return session_ask(job, hw_topic_is_wildcard(topic) ? HW_OP_WILDCARD : HW_OP_SUBSCRIBE,
		topic, true, on_decided);
}

/* true: all is asked, or something is undecided, or the session is closed. */
static bool go_on(struct job *job)
{
	struct hw_session *s = job->session;
	struct hw_sweep *sweep = sweep_of(s);

	while (!s->closed && !job->undecided && still_served(s)) {
		enum hw_verdict verdict;

		if (s->policy != s->hub->policy)
			begin(job, false);
		if (job->admitted && job->recheck >= s->sub.n_subs + s->n_follows)
			break;
		if (!slice_take(sweep)) {
			hw_list_push(&sweep->parked, &job->parked);
			wake_now(sweep);
			return false;
		}
		verdict = ask_next(job);
		if (verdict == HW_PENDING)
			return false;
		take(job, verdict);
	}
	return true;
}

/* ---- nothing is delivered until it is checked ---- */

/* What has not begun to leave does not leave. It is read again from the journal, for what is still
 * subscribed to then. */
static void hold(struct hw_session *s)
{
	uint64_t dropped = s->outlet->drop(s->arg);

	if (dropped || s->sub.behind)
		hw_reading_stop(&s->reading);
	if (dropped)
		s->reading.cursor = dropped - 1;
	else if (!s->sub.behind)
		s->reading.cursor = hw_hub_number(s->hub);
	s->held = s->sub.behind = true;
	hw_list_remove(&s->catch_up);
	session_arm(s);
	subscribe_go_on(
		s); /* and gives up: what it waits for comes after the check, and that after it */
}

static void release(struct hw_session *s)
{
	if (!s->held)
		return;
	s->held = false;
	s->lag_since_ms = hw_worker_now_ms(s->worker);
	session_read_later(s);
	session_arm(s);
	presence_catch_up(s);
}

/* ---- the sweep ---- */

static void log_end(struct hw_sweep *sweep)
{
	hw_log(sweep->worker->log, HW_LOG_INFO, "session", "sessions are authorized again",
		HW_F_UINT("worker", sweep->worker->index), HW_F_UINT("sessions", sweep->n_checked),
		HW_F_UINT("revoked", sweep->n_revoked), HW_F_UINT("closed", sweep->n_closed));
	sweep->n_checked = sweep->n_revoked = sweep->n_closed = 0;
	sweep->found = false;
}

/* It is on no list any more, whatever became of it. */
static void settle(struct hw_session *s)
{
	struct hw_sweep *sweep = sweep_of(s);

	if (s->recheck == RECHECK_NONE)
		return;
	sweep->n_running -= s->recheck == RECHECK_RUNNING;
	s->recheck = RECHECK_NONE;
	hw_timer_cancel(&s->recheck_at);
	hw_list_remove(&s->due);
	hw_metric_add(s->worker->counters->recheck_due, -1);
	if (--sweep->n_open == 0)
		log_end(sweep);
	else if (!hw_list_empty(&sweep->now) || !hw_list_empty(&sweep->paced))
		wake_now(sweep); /* there may be room for another now */
}

void reauth_leave(struct hw_session *s)
{
	settle(s);
	s->held = false;
}

/* A wheel and no list in the order of their times: sweeps overlap when reloads follow each other.
 */
static void on_due(struct hw_timer *timer)
{
	struct hw_session *s = HW_CONTAINER_OF(timer, struct hw_session, recheck_at);

	hw_list_push(&sweep_of(s)->paced, &s->due);
	wake_now(sweep_of(s));
}

void reauth_enter(struct hw_session *s)
{
	hw_timer_init(&s->recheck_at, on_due);
}

static void put_due(struct hw_session *s, int64_t at_ms)
{
	struct hw_sweep *sweep = sweep_of(s);

	if (s->recheck == RECHECK_NONE) {
		sweep->found = true;
		sweep->n_open++;
		hw_metric_add(s->worker->counters->recheck_due, 1);
		s->recheck = RECHECK_DUE;
		hw_timer_arm(sweep->worker->timers, &s->recheck_at, at_ms);
	}
	if (s->held && s->recheck == RECHECK_DUE) {
		hw_timer_cancel(&s->recheck_at);
		hw_list_remove(&s->due);
		hw_list_push(&sweep->now, &s->due);
	}
}

/* It could not be decided: when its time comes it is asked from the beginning. */
static void ask_again(struct hw_session *s)
{
	struct hw_sweep *sweep = sweep_of(s);

	if (s->recheck == RECHECK_NONE) {
		sweep->found = true;
		sweep->n_open++;
		hw_metric_add(s->worker->counters->recheck_due, 1);
	}
	sweep->n_running -= s->recheck == RECHECK_RUNNING;
	s->recheck = RECHECK_DUE;
	hw_list_remove(&s->due);
	hw_timer_arm(sweep->worker->timers, &s->recheck_at, hw_worker_now_ms(s->worker) + AGAIN_MS);
	wake_now(sweep); /* there may be room for another now */
}

/* One that is due or in line behind this message is asked anyway. */
static void end_refresh(const struct job *job)
{
	struct hw_session *s = job->session;

	if (job->undecided && !s->closed && s->recheck == RECHECK_NONE)
		ask_again(s);
}

static void on_refreshed(struct job *job)
{
	end_refresh(job);
	job->refreshed(job);
}

bool reauth_subscriptions(struct job *job, void (*rechecked)(struct job *job))
{
	job->refreshed = rechecked;
	job->rechecked = on_refreshed;
	/* with an older policy's verdicts the session is asked about too: go_on sees to it */
	job->recheck = 0;
	job->admitted = true;
	job->undecided = false;
	slice_begin(sweep_of(job->session));
	if (!go_on(job))
		return false;
	end_refresh(job);
	return true;
}

void reauth_join(struct hw_session *s)
{
	if (s->policy == s->hub->policy)
		return;
	put_due(s, hw_worker_now_ms(s->worker));
	wake_now(sweep_of(s));
}

void reauth_note(struct hw_session *s, uint64_t policy)
{
	if (s->closed || policy == s->hub->policy)
		return;
	s->policy = 0;
	put_due(s, hw_worker_now_ms(s->worker));
	wake_now(sweep_of(s));
}

static void swept(struct hw_session *s)
{
	struct hw_sweep *sweep = sweep_of(s);

	if (s->closed)
		return; /* which has settled it */
	if (s->job->undecided) {
		ask_again(s);
		return;
	}
	s->undecided_until_ms = 0;
	sweep->n_checked++;
	hw_metric_add(s->worker->counters->rechecked, 1);
	settle(s);
	if (s->policy != s->hub->policy)
		put_due(s, hw_worker_now_ms(s->worker));
	else
		release(s);
}

static void on_swept(struct job *job)
{
	swept(job->session);
	job_resume(job);
}

bool reauth_swept(struct job *job)
{
	struct hw_session *s = job->session;

	s->recheck = RECHECK_RUNNING;
	sweep_of(s)->n_running++;
	job->rechecked = on_swept;
	/* as good as new: asked by a refresh, or the former policy is back */
	if (s->policy != s->hub->policy && !go_on(job))
		return false;
	swept(s);
	return true;
}

static void check(struct hw_session *s)
{
	hw_list_remove(&s->due);
	if (s->job)
		s->recheck = RECHECK_NEXT; /* job.c starts it then */
	else
		job_start_recheck(s);
}

static struct hw_session *next_due(struct hw_sweep *sweep)
{
	struct hw_list *list = hw_list_empty(&sweep->now) ? &sweep->paced : &sweep->now;

	return hw_list_empty(list) ? NULL : HW_CONTAINER_OF(list->next, struct hw_session, due);
}

/* ---- the look for sessions whose verdicts are of another policy ---- */

/* While it lasts it counts as one that is open, and those that are not looked at yet as due: nobody
 * may believe that all is asked. */
static void set_unlooked(struct hw_sweep *sweep, size_t n)
{
	hw_metric_add(
		sweep->worker->counters->recheck_due, (int64_t)n - (int64_t)sweep->n_unlooked);
	sweep->n_unlooked = n;
}

static void end_look(struct hw_sweep *sweep)
{
	sweep->next = NULL;
	set_unlooked(sweep, 0);
	if (--sweep->n_open == 0 && sweep->found)
		log_end(sweep);
}

/* Evenly over reauth_ms, by the place among all. */
static int64_t due_ms(const struct hw_sweep *sweep)
{
	int64_t all_ms = sweep->worker->generation->settings.reauth_ms;
	int64_t after_ms =
		(int64_t)((double)all_ms * (double)sweep->n_looked / (double)sweep->n_all);

	return sweep->began_ms + after_ms / PACE_MS * PACE_MS;
}

/* One that was due before keeps its time. */
static void look_at(struct hw_sweep *sweep, struct hw_session *s)
{
	sweep->n_looked++;
	if (s->recheck != RECHECK_NONE)
		return;
	if (sweep->n_unlooked > 0)
		set_unlooked(sweep, sweep->n_unlooked - 1);
	if (s->hub && !s->closed && s->policy != s->hub->policy)
		put_due(s, due_ms(sweep));
}

static void look(struct hw_sweep *sweep)
{
	struct hw_list *head = &sweep->worker->sessions->all;

	for (unsigned i = 0; sweep->next && i < SLICE_LOOKS; i++) {
		struct hw_session *s;

		/* who came since is of the new policy, or says so itself */
		if (sweep->next == head || sweep->n_looked == sweep->n_all) {
			end_look(sweep);
			return;
		}
		s = HW_CONTAINER_OF(sweep->next, struct hw_session, all);
		sweep->next = sweep->next->next;
		look_at(sweep, s);
	}
	if (sweep->next)
		wake_now(sweep);
}

static void begin_sweep(struct hw_worker *w)
{
	struct hw_sweep *sweep = &w->sessions->sweep;
	size_t n_all = w->sessions->n, n_open = sweep->n_open - (sweep->next != NULL);

	sweep->n_open = n_open + 1; /* one that goes on begins again */
	sweep->next = w->sessions->all.next;
	sweep->n_all = n_all;
	sweep->n_looked = 0;
	sweep->began_ms = hw_worker_now_ms(w);
	set_unlooked(sweep, n_all > n_open ? n_all - n_open : 0);
	wake_now(sweep);
}

/* Its place in the look is its neighbour's. */
void reauth_forget(struct hw_session *s)
{
	struct hw_sweep *sweep = sweep_of(s);

	if (sweep->next == &s->all)
		sweep->next = s->all.next;
}

static void on_timer(struct hw_timer *timer)
{
	struct hw_sweep *sweep = HW_CONTAINER_OF(timer, struct hw_sweep, timer);
	struct hw_list parked, *node;
	struct hw_session *s;

	look(sweep);
	slice_begin(sweep);
	hw_list_init(&parked);
	hw_list_splice(&parked, &sweep->parked);
	while ((node = hw_list_pop(&parked))) {
		struct job *job = HW_CONTAINER_OF(node, struct job, parked);

		if (go_on(job))
			job->rechecked(job);
	}
	while (sweep->n_running < IN_FLIGHT && (s = next_due(sweep))) {
		if (!slice_take(sweep)) {
			wake_now(sweep);
			break;
		}
		check(s);
	}
}

static bool follows(const struct hw_session *s, struct hw_str topic)
{
	struct hw_str resource, other;

	hw_topic_split(topic, &resource, NULL);
	for (uint32_t i = 0; i < s->sub.n_subs; i++) {
		struct hw_str name = hw_hub_topic_name(s->sub.subs[i].topic);

		hw_topic_split(name, &other, NULL);
		if (hw_str_eq(name, topic) ||
			((hw_topic_is_wildcard(name) || hw_topic_is_wildcard(topic)) &&
				hw_str_eq(resource, other)))
			return true;
	}
	return false;
}

static bool matches(const struct hw_session *s, const struct hw_session_match *match)
{
	return s->live && !s->closed &&
	       (!match->user.p || hw_str_eq(match->user, s->identity->user_id)) &&
	       (!match->tenant.p || hw_str_eq(match->tenant, s->hub->tenant->id)) &&
	       (!match->topic.p || follows(s, match->topic));
}

size_t hw_sessions_reauthorize(struct hw_worker *w, const struct hw_session_match *match)
{
	size_t n = 0;

	hw_list_each (node, &w->sessions->all) {
		struct hw_session *s = HW_CONTAINER_OF(node, struct hw_session, all);

		if (!matches(s, match))
			continue;
		s->policy = 0;
		n++;
	}
	if (n)
		begin_sweep(w);
	return n;
}

/* Whose entries say so gets nothing from now on. */
static void hold_all(struct hw_worker *w)
{
	int64_t now_ms = hw_worker_now_ms(w);

	hw_list_each (node, &w->sessions->all) {
		struct hw_session *s = HW_CONTAINER_OF(node, struct hw_session, all);

		if (s->hub && !s->closed && s->hub->revoke_now && s->policy != s->hub->policy) {
			hold(s);
			put_due(s, now_ms);
		}
	}
}

static void on_policy_changed(struct hw_worker *w)
{
	bool any = false, holds = false;

	for (hw_map_each (&w->hubs, i)) {
		struct hw_hub *hub = w->hubs.slots[i].value;

		any |= hub->policy_changed;
		holds |= hub->policy_changed && hub->revoke_now;
		hub->policy_changed = false;
	}
	if (holds)
		hold_all(w);
	if (any)
		begin_sweep(w);
}

void reauth_init(struct hw_worker *w)
{
	struct hw_sweep *sweep = &w->sessions->sweep;

	sweep->worker = w;
	hw_list_init(&sweep->now);
	hw_list_init(&sweep->paced);
	hw_list_init(&sweep->parked);
	hw_timer_init(&sweep->timer, on_timer);
	w->policy_changed = on_policy_changed;
}

void reauth_fini(struct hw_worker *w)
{
	hw_timer_cancel(&w->sessions->sweep.timer);
}
