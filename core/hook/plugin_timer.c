#include <stdlib.h>

#include "hook/plugin_host.h"

#define TIMERS_MAX 256                    /* of one plugin on one bench */
#define AFTER_MAX_MS INT64_C(31622400000) /* a year */

struct hw_plugin_timer {
	struct hw_timer timer;
	struct hw_list link; /* seat->timers */
	uint64_t number;
	struct hw_plugin_seat *seat;
	void (*fire)(struct hw_call *call, void *arg);
	void *arg;
	unsigned depth; /* of the call that made it */
};

static void release(struct hw_plugin_timer *t)
{
	hw_timer_cancel(&t->timer);
	hw_list_remove(&t->link);
	t->seat->n_timers--;
	free(t);
}

static void on_timer(struct hw_timer *timer)
{
	struct hw_plugin_timer *t = HW_CONTAINER_OF(timer, struct hw_plugin_timer, timer);
	void (*fire)(struct hw_call * call, void *arg) = t->fire;
	struct hw_entry_answer answer = {0};
	struct hw_plugin_call c;
	void *arg = t->arg;

	hw_plugin_call_init(&c, t->seat, &answer, t->depth);
	release(t); /* first: it may set the next one */
	fire(&c.call, arg);
	hw_entry_answer_fini(&answer);
}

uint64_t hw_plugin_timer(struct hw_call *call, int64_t after_ms,
	void (*fire)(struct hw_call *call, void *arg), void *arg)
{
	struct hw_plugin_seat *seat = hw_plugin_call_of(call)->seat;
	struct hw_plugin_timer *t;

	if (!seat->inbox || seat->n_timers >= TIMERS_MAX)
		return 0;
	t = calloc(1, sizeof(*t));
	if (!t)
		return 0;
	t->number = ++seat->last_timer;
	t->seat = seat;
	t->fire = fire;
	t->arg = arg;
	t->depth = hw_plugin_call_of(call)->depth;
	after_ms = after_ms < 0 ? 0 : after_ms > AFTER_MAX_MS ? AFTER_MAX_MS : after_ms;
	hw_timer_init(&t->timer, on_timer);
	hw_timer_arm(seat->inbox->timers, &t->timer,
		hw_clock_mono_ms(seat->host->env->clock) + after_ms);
	hw_list_push(&seat->timers, &t->link);
	seat->n_timers++;
	return t->number;
}

int hw_plugin_timer_cancel(struct hw_call *call, uint64_t number)
{
	struct hw_plugin_seat *seat = hw_plugin_call_of(call)->seat;

	hw_list_each (node, &seat->timers) {
		struct hw_plugin_timer *t = HW_CONTAINER_OF(node, struct hw_plugin_timer, link);

		if (t->number == number) {
			release(t);
			return 0;
		}
	}
	return -1;
}

void hw_plugin_timers_end(struct hw_plugin_seat *seat)
{
	while (!hw_list_empty(&seat->timers))
		release(HW_CONTAINER_OF(seat->timers.next, struct hw_plugin_timer, link));
}
