#include "hook/breaker.h"

bool hw_breaker_admit(struct hw_breaker *b, int64_t now_ms)
{
	if (b->state == HW_BREAKER_CLOSED)
		return true;
	if (b->state == HW_BREAKER_OPEN) {
		if (now_ms < b->open_until_ms)
			return false;
		b->state = HW_BREAKER_HALF_OPEN;
		b->trying = false;
	}
	if (b->trying)
		return false;
	b->trying = true;
	return true;
}

static void open_for_a_while(
	struct hw_breaker *b, const struct hw_breaker_rules *rules, int64_t now_ms)
{
	int64_t open_ms = rules->open_ms;

	for (unsigned i = 0; i < b->n_opens && open_ms < rules->open_max_ms; i++)
		open_ms *= 2;
	if (open_ms > rules->open_max_ms)
		open_ms = rules->open_max_ms;
	b->n_opens++;
	b->state = HW_BREAKER_OPEN;
	b->trying = false;
	b->open_until_ms = now_ms + open_ms;
}

static void close_again(struct hw_breaker *b, int64_t now_ms)
{
	b->state = HW_BREAKER_CLOSED;
	b->trying = false;
	b->n_row = b->n_opens = b->n_calls = b->n_failed = 0;
	b->window_ms = now_ms;
}

static bool is_enough(const struct hw_breaker *b, const struct hw_breaker_rules *rules)
{
	if (rules->failures > 0 && b->n_row >= rules->failures)
		return true;
	return rules->share_percent > 0 && b->n_calls >= rules->min_calls &&
	       (uint64_t)b->n_failed * 100 >= (uint64_t)b->n_calls * rules->share_percent;
}

bool hw_breaker_note(
	struct hw_breaker *b, const struct hw_breaker_rules *rules, bool failed, int64_t now_ms)
{
	if (b->state == HW_BREAKER_OPEN)
		return false; /* it began before, and decides no more */
	if (b->state == HW_BREAKER_HALF_OPEN) {
		if (failed)
			open_for_a_while(b, rules, now_ms);
		else
			close_again(b, now_ms);
		return failed;
	}
	if (!failed) {
		b->n_calls++;
		b->n_row = 0;
		return false;
	}
	if (now_ms - b->window_ms >= rules->window_ms) {
		b->window_ms = now_ms;
		b->n_calls = b->n_failed = 0;
	}
	b->n_calls++;
	b->n_failed++;
	b->n_row++;
	if (!is_enough(b, rules))
		return false;
	open_for_a_while(b, rules, now_ms);
	return true;
}

void hw_breaker_forget(struct hw_breaker *b)
{
	b->trying = false;
}
