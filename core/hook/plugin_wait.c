#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/random.h"
#include "hook/plugin_host.h"

#define WAIT_MAX_MS 2000 /* in total; then the call is `unavailable` */
#define WAITS_MAX 1024   /* of one plugin on one bench at the same time */

/* A call that was suspended.
 *
 *   open --finish, any thread--> finished, in the inbox --the worker's turn--> resumed
 *    |                            |
 *    +-- cancelled, deadline -----+--> gone
 *
 * Open ones are in host->waits: whoever takes one out of it, under the lock, decides what becomes
 * of it. Only the worker frees. */
struct hw_plugin_wait {
	struct hw_mail mail;
	struct hw_list link; /* seat->waits */
	uint64_t ticket;     /* the key in host->waits */
	struct hw_plugin_seat *seat;
	struct hw_ask *ask;
	struct hw_timer deadline;
	int64_t due_ms;
	/* what setters look at */
	enum hw_hook_stage stage;
	bool publish, global;
	struct hw_entry_answer answer; /* once finished */
};

static struct hw_str key_of(const uint64_t *ticket)
{
	return (struct hw_str){(const char *)ticket, sizeof(*ticket)};
}

/* false: somebody has finished it. */
static bool close_ticket(struct hw_plugin_wait *w)
{
	struct hw_plugin_host *host = w->seat->host;
	bool open;

	pthread_mutex_lock(&host->lock);
	open = hw_map_remove(&host->waits, key_of(&w->ticket)) != NULL;
	pthread_mutex_unlock(&host->lock);
	return open;
}

static void release(struct hw_plugin_wait *w)
{
	hw_timer_cancel(&w->deadline);
	hw_list_remove(&w->link);
	w->seat->n_waits--;
	hw_entry_answer_fini(&w->answer);
	free(w);
}

void hw_plugin_wait_discard(struct hw_plugin_wait *w)
{
	if (!close_ticket(w))
		hw_inbox_take_back(w->seat->inbox, &w->mail);
	release(w);
}

/* Afterwards the wait is gone, and maybe who asked. */
static void resume(struct hw_plugin_wait *w, struct hw_entry_answer *answer)
{
	struct hw_ask *ask = w->ask;

	release(w);
	hw_hooks_resume(ask, answer);
}

static void on_mail(struct hw_mail *mail)
{
	struct hw_plugin_wait *w = HW_CONTAINER_OF(mail, struct hw_plugin_wait, mail);
	struct hw_entry_answer answer = w->answer;

	w->answer = (struct hw_entry_answer){0};
	resume(w, &answer);
}

static void on_deadline(struct hw_timer *timer)
{
	struct hw_plugin_wait *w = HW_CONTAINER_OF(timer, struct hw_plugin_wait, deadline);
	struct hw_entry_answer answer = {.verdict = HW_ERROR};

	if (!close_ticket(w))
		return; /* the answer is in the inbox */
	snprintf(
		answer.detail, sizeof(answer.detail), "it was suspended, and not finished in time");
	resume(w, &answer);
}

static int64_t now_of(const struct hw_plugin_seat *seat)
{
	return hw_clock_mono_ms(seat->host->env->clock);
}

/* 0: no memory. */
static bool open_ticket(struct hw_plugin_wait *w)
{
	struct hw_plugin_host *host = w->seat->host;
	bool open = false;

	pthread_mutex_lock(&host->lock);
	do
		hw_random(&w->ticket, sizeof(w->ticket));
	while (w->ticket == 0 || hw_map_get(&host->waits, key_of(&w->ticket)));
	open = hw_map_put(&host->waits, key_of(&w->ticket), w, NULL) == 0;
	pthread_mutex_unlock(&host->lock);
	return open;
}

static bool may_wait(const struct hw_plugin_call *c)
{
	if (!c->ask || !c->seat->inbox || c->seat->n_waits >= WAITS_MAX)
		return false;
	return c->stage == HW_STAGE_AUTHENTICATE || c->stage == HW_STAGE_AUTHORIZE ||
	       c->stage == HW_STAGE_TRANSFORM;
}

uint64_t hw_plugin_suspend(struct hw_call *call, uint32_t timeout_ms)
{
	struct hw_plugin_call *c = hw_plugin_call_of(call);
	struct hw_plugin_wait *w;

	if (c->wait)
		return c->wait->ticket;
	if (!may_wait(c))
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w)
		return 0;
	hw_list_init(&w->mail.link);
	w->mail.run = on_mail;
	w->seat = c->seat;
	w->ask = c->ask;
	w->stage = c->stage;
	w->publish = c->publish;
	w->global = c->global;
	w->due_ms = now_of(c->seat) +
		    (timeout_ms == 0 || timeout_ms > WAIT_MAX_MS ? WAIT_MAX_MS : timeout_ms);
	hw_timer_init(&w->deadline, on_deadline);
	if (!open_ticket(w)) {
		free(w);
		return 0;
	}
	hw_list_push(&c->seat->waits, &w->link);
	c->seat->n_waits++;
	c->wait = w;
	return w->ticket;
}

void hw_plugin_wait_begin(struct hw_plugin_wait *w)
{
	hw_timer_arm(w->seat->inbox->timers, &w->deadline, w->due_ms);
}

struct hw_plugin_wait *hw_plugin_wait_find(struct hw_plugin_seat *seat, const struct hw_ask *ask)
{
	hw_list_each (node, &seat->waits) {
		struct hw_plugin_wait *w = HW_CONTAINER_OF(node, struct hw_plugin_wait, link);

		if (w->ask == ask)
			return w;
	}
	return NULL;
}

/* What the setters have to know of the call, if it is still open. */
static bool look(struct hw_plugin_host *host, uint64_t ticket, struct hw_plugin_call *c)
{
	const struct hw_plugin_wait *w;

	pthread_mutex_lock(&host->lock);
	w = hw_map_get(&host->waits, key_of(&ticket));
	if (w) {
		c->stage = w->stage;
		c->publish = w->publish;
		c->global = w->global;
	}
	pthread_mutex_unlock(&host->lock);
	return w != NULL;
}

/* The answer is made outside of the lock, which workers take: it may be long. */
int hw_plugin_finish(const struct hw_host *host_in, uint64_t ticket, const struct hw_answer *answer)
{
	struct hw_plugin_host *host = hw_plugin_host_of(host_in);
	struct hw_entry_answer made = {0};
	struct hw_plugin_call c = {.answer = &made};
	struct hw_answer said = {0};
	struct hw_plugin_wait *w;

	memcpy(&said, answer, answer->size < sizeof(said) ? answer->size : sizeof(said));
	if (!look(host, ticket, &c))
		return -1;
	hw_plugin_take_answer(&c, &said);
	pthread_mutex_lock(&host->lock);
	w = hw_map_remove(&host->waits, key_of(&ticket));
	if (w) {
		w->answer = made;
		hw_inbox_post(w->seat->inbox, &w->mail);
	}
	pthread_mutex_unlock(&host->lock);
	if (!w) {
		hw_entry_answer_fini(&made);
		return -1;
	}
	return 0;
}
